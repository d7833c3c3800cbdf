//! A small federation of OpenID that answers over real TLS: an anchor, an intermediate and an entity
//! that signs tokens, made of the text of the standard (1.0, sections 3, 8.1 and 9).

use serde_json::{Value, json};

use crate::chain::{key, sign};
use crate::https::response;
use crate::issuer::IssuerServer;
use crate::token::{TokenForge, jwk, jwks};

/// Where an entity says what it is.
pub const CONFIGURATION: &str = "/.well-known/openid-federation";

/// The federation, all of whose entities are on one host.
pub struct Federation {
    server: IssuerServer,
    now: i64,
}

impl Federation {
    /// In which everything is right as of `now`, for a day.
    pub fn start(now: i64) -> Self {
        let this = Self {
            server: IssuerServer::start(),
            now,
        };
        this.publish_configuration("anchor", None, &json!({}));
        this.publish_configuration("edu", Some("anchor"), &json!({}));
        let provider = json!({"openid_provider": {
            "issuer": this.entity("op"), "jwks": jwks(&[jwk(&key("token"), "token")]),
        }});
        this.publish_configuration("op", Some("edu"), &json!({ "metadata": provider }));
        this.publish_statement("anchor", "edu", &json!({}));
        this.publish_statement("edu", "op", &json!({}));
        this
    }

    /// The name of an entity.
    pub fn entity(&self, name: &str) -> String {
        self.server.server().url(&format!("/{name}"))
    }

    /// The server of them all.
    pub fn server(&self) -> &IssuerServer {
        &self.server
    }

    /// Its host and port.
    pub fn authority(&self) -> String {
        let url = self.server.server().url("");
        url.trim_start_matches("https://").to_owned()
    }

    /// Has an entity say of itself what it is, below another, with these claims more.
    pub fn publish_configuration(&self, name: &str, above: Option<&str>, more: &Value) {
        let mut claims = self.claims(name, name);
        claims["metadata"] = json!({"federation_entity": {
            "federation_fetch_endpoint": self.entity(&format!("{name}/fetch")),
        }});
        if let Some(above) = above {
            claims["authority_hints"] = json!([self.entity(above)]);
        }
        extend(&mut claims, more);
        let path = format!("/{name}{CONFIGURATION}");
        self.page(&path, &sign(&claims, name, name));
    }

    /// Has an entity say of another what it is, with these claims more.
    pub fn publish_statement(&self, above: &str, below: &str, more: &Value) {
        let mut claims = self.claims(above, below);
        extend(&mut claims, more);
        self.page(
            &self.statement_path(above, below),
            &sign(&claims, above, above),
        );
    }

    /// Where that is found.
    pub fn statement_path(&self, above: &str, below: &str) -> String {
        let entity = self.entity(below).replace(':', "%3A").replace('/', "%2F");
        format!("/{above}/fetch?sub={entity}")
    }

    /// Answers a path with a statement.
    pub fn page(&self, path: &str, statement: &str) {
        let fields = [("content-type", "application/entity-statement+jwt")];
        let page = response(200, &fields, statement.as_bytes());
        self.server.page(path, page);
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let received = self.server.server().received();
        received.iter().filter(|one| one.path == path).count()
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        self.server.server().received().len()
    }

    /// The trust anchor, which lets chains be fetched from these hosts.
    pub fn anchor(&self, hosts: &[&str]) -> Value {
        json!({
            "openid_federation": {
                "entity_id": self.entity("anchor"),
                "jwks": jwks(&[jwk(&key("anchor"), "anchor")]),
            },
            "fetch": {"hosts": hosts, "ca": self.server.ca()},
            "rules": [{"name": "jobs", "facts": {"subject": "job-7"}}],
        })
    }

    /// A token of the entity.
    pub fn token(&self, now: i64, audience: &str) -> String {
        TokenForge::saying(json!({
            "iss": self.entity("op"), "sub": "job-7", "aud": audience, "iat": now, "exp": now + 300,
        }))
        .sign(&key("token"), "token")
    }

    fn claims(&self, issuer: &str, subject: &str) -> Value {
        json!({
            "iss": self.entity(issuer), "sub": self.entity(subject),
            "iat": self.now, "exp": self.now + 86_400,
            "jwks": jwks(&[jwk(&key(subject), subject)]),
        })
    }
}

fn extend(claims: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
}
