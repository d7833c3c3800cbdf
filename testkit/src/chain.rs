//! A small federation of OpenID: a trust anchor, an intermediate, and an entity that signs tokens.

use serde_json::{Map, Value, json};

use crate::key::Key;
use crate::token::{NOW_SECONDS, TokenForge, jwk, jwks};

/// The trust anchor.
pub const ANCHOR: &str = "https://anchor.example.org";
/// The intermediate below it.
pub const INTERMEDIATE: &str = "https://edu.example.org";
/// The entity below that, which signs tokens.
pub const LEAF: &str = "https://op.example.net";
/// For whom its tokens are.
pub const AUDIENCE: &str = "vault";

/// The statements of a chain in the making.
#[derive(Clone, Debug)]
pub struct ChainForge {
    leaf: Value,
    by_intermediate: Value,
    by_anchor: Value,
    /// Further statements, signed already.
    more: Vec<String>,
}

impl Default for ChainForge {
    /// A chain in which everything is right.
    fn default() -> Self {
        let token_keys = jwks(&[jwk(&key("token"), "token")]);
        let mut leaf = statement(LEAF, LEAF, "leaf");
        leaf["authority_hints"] = json!([INTERMEDIATE]);
        leaf["metadata"] = json!({"openid_provider": {
            "issuer": LEAF, "jwks": token_keys, "scopes_supported": ["openid", "email"],
            "subject_types_supported": ["pairwise"], "contacts": ["a@op.example.net"],
        }});
        Self {
            leaf,
            by_intermediate: statement(INTERMEDIATE, LEAF, "leaf"),
            by_anchor: statement(ANCHOR, INTERMEDIATE, "intermediate"),
            more: Vec::new(),
        }
    }
}

impl ChainForge {
    /// With other claims in what the entity says of itself; `null` takes one away.
    pub fn leaf(mut self, claims: &Value) -> Self {
        change(&mut self.leaf, claims);
        self
    }

    /// With other claims in what the intermediate says of the entity.
    pub fn by_intermediate(mut self, claims: &Value) -> Self {
        change(&mut self.by_intermediate, claims);
        self
    }

    /// With other claims in what the anchor says of the intermediate.
    pub fn by_anchor(mut self, claims: &Value) -> Self {
        change(&mut self.by_anchor, claims);
        self
    }

    /// With one more statement.
    pub fn and(mut self, statement: String) -> Self {
        self.more.push(statement);
        self
    }

    /// The statements, the entity's own first.
    pub fn statements(&self) -> Vec<String> {
        let mut statements = self.but_the_last();
        statements.insert(2, sign(&self.by_anchor, "anchor", "anchor"));
        statements
    }

    /// The same with the last one signed by another key, under a name.
    pub fn last_signed_by(&self, signer: &str, kid: &str) -> Vec<String> {
        let mut statements = self.but_the_last();
        statements.insert(2, sign(&self.by_anchor, signer, kid));
        statements
    }

    /// The same without what the anchor says.
    pub fn but_the_last(&self) -> Vec<String> {
        let mut statements = vec![
            sign(&self.leaf, "leaf", "leaf"),
            sign(&self.by_intermediate, "intermediate", "intermediate"),
        ];
        statements.extend(self.more.iter().cloned());
        statements
    }
}

/// A key of this federation.
pub fn key(name: &str) -> Key {
    Key::ed25519(&format!("federation {name}"))
}

/// What `issuer` says of `subject`, which has the key of this name, for a day.
pub fn statement(issuer: &str, subject: &str, key_of_subject: &str) -> Value {
    json!({
        "iss": issuer, "sub": subject,
        "iat": NOW_SECONDS - 3_600, "exp": NOW_SECONDS + 82_800,
        "jwks": jwks(&[jwk(&key(key_of_subject), key_of_subject)]),
    })
}

/// Signs a statement.
pub fn sign(claims: &Value, signer: &str, kid: &str) -> String {
    TokenForge::saying(claims.clone())
        .header("typ", "entity-statement+jwt".into())
        .sign(&key(signer), kid)
}

/// A trust mark that `issuer` gives to the entity, signed by the key of this name.
pub fn trust_mark(issuer: &str, signer: &str, more: &Value) -> String {
    let mut claims = json!({
        "iss": issuer, "sub": LEAF, "iat": NOW_SECONDS - 60, "exp": NOW_SECONDS + 3_600,
        "trust_mark_type": MARK,
    });
    change(&mut claims, more);
    TokenForge::saying(claims)
        .header("typ", "trust-mark+jwt".into())
        .sign(&key(signer), signer)
}

/// The type of the trust mark.
pub const MARK: &str = "https://anchor.example.org/marks/certified";

/// The trust anchor, with what more it says.
pub fn anchor(more: &Value) -> Value {
    let keys = jwks(&[jwk(&key("anchor"), "anchor")]);
    let mut anchor = json!({"openid_federation": {"entity_id": ANCHOR, "jwks": keys}});
    change(&mut anchor, more);
    anchor
}

/// A token of the entity in which everything is right.
pub fn token() -> String {
    TokenForge::oidc(LEAF, "job-7", AUDIENCE).sign(&key("token"), "token")
}

fn change(claims: &mut Value, changes: &Value) {
    let empty = Map::new();
    for (name, value) in changes.as_object().unwrap_or(&empty) {
        let members = claims.as_object_mut().expect("claims are an object");
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}
