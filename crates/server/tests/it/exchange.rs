//! Exchange over the wire: what is given for a token of someone else's, and what is not.

mod assurance;
mod at_most;
mod bound;
mod calling;
mod claims;
mod decided;
mod delegation;
mod descent;
mod drift;
mod edits;
mod github;
mod hostile;
mod narrowing;
mod proofs;
mod remembered;
mod saml;
mod single_use;
mod ssh;
mod times;
mod words;

use std::sync::atomic::{AtomicU64, Ordering};

use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, hash, jwk, jwks};
use serde_json::{Map, Value, json};

use crate::http::{Answer, request, send};
use crate::world::World;

pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(crate) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
pub(crate) const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(crate) const GITHUB: &str = "https://token.actions.githubusercontent.com";
pub(crate) const OURSELVES: &str = "http://127.0.0.1:8080/t/one";
pub(crate) const CLOUD: &str = "https://cloud.test";

/// A deployment whose tenant `one` gives credentials to a workflow.
pub(crate) struct Cloud {
    pub(crate) world: World,
    pub(crate) issuer: Key,
    pub(crate) holder: Key,
    operator: String,
    count: AtomicU64,
}

impl Cloud {
    pub(crate) fn new() -> Self {
        Self::of(World::new())
    }

    fn of(world: World) -> Self {
        let cloud = Self {
            operator: world.operator(),
            world,
            issuer: Key::p256("github"),
            holder: Key::p256("holder"),
            count: AtomicU64::new(0),
        };
        cloud.anchor("github", &cloud.github_anchor());
        cloud.rule("deploy", &rule());
        cloud
    }

    pub(crate) fn github_anchor(&self) -> Value {
        json!({
            "issuer": GITHUB, "jwks": jwks(&[jwk(&self.issuer, "k1")]),
            "rules": [{"name": "ours", "facts": {"github.repository_owner_id": ["65", "66"]}}],
        })
    }

    pub(crate) fn manage(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.world.send(&self.operator, method, path, body)
    }

    /// Trusts an anchor; an issuer without rules all its subjects, which tests of exchange rules want.
    pub(crate) fn anchor(&self, name: &str, anchor: &Value) {
        let path = format!("/v1/tenants/one/anchors/{name}");
        let put = self.manage("PUT", &path, &for_everyone(anchor));
        assert!(put.is_put(), "{}", put.body);
    }

    pub(crate) fn rule(&self, name: &str, rule: &Value) {
        self.rule_of("one", name, rule);
    }

    pub(crate) fn rule_of(&self, tenant: &str, name: &str, rule: &Value) {
        let path = format!("/v1/tenants/{tenant}/rules/{name}");
        let put = self.manage("PUT", &path, rule);
        assert!(put.is_put(), "{}", put.body);
    }

    pub(crate) fn now(&self) -> i64 {
        self.world.plane.now().unix()
    }

    fn number(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// The token of a workflow that the rule admits, with these claims in the place of its own.
    pub(crate) fn workflow(&self, changed: &Value) -> String {
        self.workflow_forge(changed).sign(&self.issuer, "k1")
    }

    pub(crate) fn workflow_forge(&self, changed: &Value) -> TokenForge {
        let now = self.now();
        let mut claims = json!({
            "iss": GITHUB, "aud": OURSELVES, "jti": format!("job-{}", self.number()),
            "sub": "repo:octo-org@65/octo-repo@74:environment:prod",
            "iat": now, "nbf": now - 600, "exp": now + 300,
            "repository": "octo-org/octo-repo", "repository_id": "74",
            "repository_owner": "octo-org", "repository_owner_id": "65",
            "ref": "refs/heads/main", "ref_type": "branch", "event_name": "push",
            "environment": "prod", "runner_environment": "github-hosted",
            "job_workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
        });
        let members = claims.as_object_mut().unwrap();
        for (name, value) in changed.as_object().unwrap() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        TokenForge::saying(claims)
    }

    /// A proof for the token endpoint of the tenant `one`, as of now.
    pub(crate) fn proof(&self) -> TokenForge {
        TokenForge::saying(json!({
            "jti": format!("proof-{}", self.number()),
            "htm": "POST", "htu": format!("{OURSELVES}/token"), "iat": self.now(),
        }))
        .header("typ", json!("dpop+jwt"))
        .header("jwk", public(&self.holder))
    }

    pub(crate) fn signed_proof(&self) -> String {
        self.proof().sign_nameless(&self.holder)
    }

    /// Exchanges a token, with a proof, as anyone.
    pub(crate) fn exchange(&self, token: &str, more: &[(&str, &str)]) -> Answer {
        let proof = self.signed_proof();
        self.send(&exchange_form(token, more), &[("dpop", &proof)])
    }

    /// As [`Cloud::exchange`], as someone who may know why.
    pub(crate) fn exchange_as_operator(&self, token: &str, more: &[(&str, &str)]) -> Answer {
        let proof = self.signed_proof();
        let bearer = format!("Bearer {}", self.operator);
        let headers = [("dpop", proof.as_str()), ("authorization", bearer.as_str())];
        self.send(&exchange_form(token, more), &headers)
    }

    pub(crate) fn send(&self, form: &str, headers: &[(&str, &str)]) -> Answer {
        self.send_to("one", form, headers)
    }

    pub(crate) fn send_to(&self, tenant: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        let path = format!("/t/{tenant}/token");
        send(
            self.world.address,
            &request("POST", &path, &all, Some(form)),
        )
    }
}

/// The same anchor, trusted for all its subjects if it is of an issuer and says nothing of them.
pub(crate) fn for_everyone(anchor: &Value) -> Value {
    let mut anchor = anchor.clone();
    let mut kinds = ["issuer", "openid_federation", "saml"].into_iter();
    if kinds.any(|kind| anchor.get(kind).is_some()) && anchor.get("rules").is_none() {
        anchor["unpinned"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    }
    anchor
}

pub(crate) fn rule() -> Value {
    json!({
        "from": {"anchor": "github", "facts": {
            "github.repository_id": "74", "github.environment": "prod",
            "github.event_name": ["push", "workflow_dispatch"],
        }},
        "gives": {
            "spiffe_id": "spiffe://one.test/ci/{github.repository_id}/deploy",
            "kinds": ["jwt-svid", "access-token", "x509-svid"],
            "audiences": [CLOUD], "scopes": ["read", "deploy"],
            "lifetime": 900, "outlives": true,
        },
        "owner": "the platform team", "reason": "deploys of the shop",
    })
}

/// A public key as a proof brings it.
pub(crate) fn public(key: &Key) -> Value {
    let mut key = jwk(key, "x");
    for member in ["kid", "use"] {
        key.as_object_mut().unwrap().remove(member);
    }
    key
}

pub(crate) fn exchange_form(token: &str, more: &[(&str, &str)]) -> String {
    let own = [
        ("grant_type", EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", JWT),
    ];
    let replaced = |name: &str| more.iter().any(|(other, _)| *other == name);
    let kept = own.into_iter().filter(|(name, _)| !replaced(name));
    form(&kept.chain(more.iter().copied()).collect::<Vec<_>>())
}

pub(crate) fn form(parameters: &[(&str, &str)]) -> String {
    let escaped = |text: &str| -> String {
        let escape = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        };
        text.bytes().map(escape).collect()
    };
    let parts = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)));
    parts.collect::<Vec<_>>().join("&")
}

/// The token of an answer.
pub(crate) fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// What a token says, not checked.
pub(crate) fn claims(token: &str) -> Map<String, Value> {
    part(token, 1)
}

pub(crate) fn part(token: &str, index: usize) -> Map<String, Value> {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let part = token.split('.').nth(index).unwrap();
    let bytes = Base64UrlUnpadded::decode_vec(part).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The thumbprint of a key as `cnf.jkt` has it.
pub(crate) fn thumbprint(key: &Key) -> String {
    let key = jwk(key, "x");
    let text = format!(
        r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#,
        key["x"], key["y"]
    );
    hash(&text)
}

/// The `error` and the code of a refusal, which must have the shape of both.
pub(crate) fn refusal(answer: &Answer) -> (String, String) {
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    for member in [
        "error",
        "error_description",
        "type",
        "title",
        "detail",
        "code",
        "hint",
        "decision",
    ] {
        assert!(body[member].is_string(), "{member}: {body}");
    }
    let text = |member: &str| body[member].as_str().unwrap().to_owned();
    assert!(ERRORS.contains(&text("error").as_str()), "{body}");
    (text("error"), text("code"))
}

/// What a client of OAuth may find in `error` (RFC 6749 5.2 and 4.1.2.1, RFC 7009 2.2.1, RFC 8628 3.5,
/// RFC 8707 2, RFC 9449 5 and 8, RFC 9470 3).
const ERRORS: [&str; 13] = [
    "insufficient_user_authentication",
    "invalid_client",
    "invalid_dpop_proof",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unsupported_grant_type",
    "unsupported_token_type",
    "use_dpop_nonce",
];

pub(crate) fn sentence(answer: &Answer) -> String {
    answer.json()["detail"].as_str().unwrap().to_owned()
}
