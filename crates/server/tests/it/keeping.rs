//! A verifier of other people's habits, to look at beside ours.

use avouch_api::TrustDocument;
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::TenantId;
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::token::jwks;
use serde_json::{Value, json};

use crate::http::request;
use crate::registry::AUDIENCE;
use crate::tls::Caller;

/// Keeps the keys of an issuer for as long as it was told, and never looks for one that it does not
/// know: so does step-ca, and many a gateway.
pub(crate) struct Keeping {
    keys: Value,
    until: i64,
}

impl Keeping {
    pub(crate) fn new() -> Self {
        Self {
            keys: jwks(&[]),
            until: 0,
        }
    }

    /// `accept` or the code of the refusal, by the same verifier as ours.
    pub(crate) fn decide(&mut self, issuer: &IssuerServer, token: &str, now: i64) -> String {
        if now >= self.until {
            let url = issuer.server().url("/jwks");
            let port = url.split([':', '/']).nth(4).unwrap();
            let address = format!("127.0.0.1:{port}").parse().unwrap();
            let caller = Caller::believing(&avouch_testkit::https::root("Issuers Root"));
            let asked = request("GET", "/jwks", &[], None);
            let answer = caller.send(address, "localhost", &asked);
            let control = answer.header("cache-control").unwrap();
            let kept: i64 = control.strip_prefix("max-age=").unwrap().parse().unwrap();
            (self.keys, self.until) = (answer.json(), now + kept);
        }
        let anchor = json!({
            "anchors": [{"issuer": issuer.issuer(), "audiences": [AUDIENCE], "jwks": self.keys}],
        });
        let tenant = TenantId::local();
        let document = TrustDocument::read_json(&anchor.to_string(), &tenant, "kept").unwrap();
        let question = Question {
            tenant: tenant.clone(),
            credential: Credential::Jwt(token.to_owned()),
            profile: Profile::Spiffe,
            purpose: Purpose::Any,
            now: Time::from_unix(now),
            context: Context::default(),
        };
        let view = TrustDocument::view(tenant, vec![document]);
        match decide(&question, &view, &AwsLc, &mut Budget::default()) {
            Verdict::Accept(_) => "accept".to_owned(),
            Verdict::Reject(refusal) => refusal.reason().code().to_owned(),
            Verdict::Undetermined(_) => "undetermined".to_owned(),
        }
    }
}
