//! Asking the core about tokens, in a few lines.

use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::{Budget, Limits};
use avouch_core::credential::Credential;
use avouch_core::credential::api_key::ApiKeyAnchor;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::jose::status_list::StatusList;
use avouch_core::crypto::AwsLc;
use avouch_core::id::{Digest, TenantId};
use avouch_core::model::federation::{FederationAnchor, Introspected, IssuerAnchor};
use avouch_core::model::ssh::SshAnchor;
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::{Effect, Identity, Leg, Need, Receipt, Verdict};
use avouch_core::view::View;
use avouch_testkit::key::Key;
use avouch_testkit::token::{NOW_SECONDS, TokenForge, bundle, jwk, jwks};
use serde_json::{Value, json};

pub(crate) use crate::ask::outcome;

/// An issuer of no particular kind.
pub(crate) const ISSUER: &str = "https://issuer.example.com";
/// The relying party of most tests.
pub(crate) const AUDIENCE: &str = "vault";

/// A question about a token, with what is trusted.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) question: Question,
    anchors: Vec<Anchor>,
    lists: Vec<Arc<StatusList>>,
    answers: Vec<Arc<Introspected>>,
}

impl Ask {
    /// About a compact token, at [`avouch_testkit::NOW`], by a relying party called [`AUDIENCE`].
    pub(crate) fn jwt(token: impl Into<String>) -> Self {
        Self::about(Credential::Jwt(token.into()))
    }

    /// About a workload identity token and its proof.
    pub(crate) fn wit(token: &str, proof: Option<&str>) -> Self {
        Self::about(Credential::Wit {
            token: token.to_owned(),
            proof: proof.map(str::to_owned),
        })
    }

    pub(crate) fn api_key(key: &str) -> Self {
        Self::about(Credential::ApiKey(key.to_owned()))
    }

    pub(crate) fn ssh(key: &str, proof: Option<&str>) -> Self {
        Self::about(Credential::Ssh {
            key: key.to_owned(),
            proof: proof.map(str::to_owned),
        })
    }

    fn about(credential: Credential) -> Self {
        Self {
            question: Question {
                tenant: TenantId::local(),
                credential,
                profile: Profile::Spiffe,
                purpose: Purpose::Any,
                now: Time::from_unix(NOW_SECONDS),
                context: Context {
                    audiences: vec![AUDIENCE.to_owned()],
                    ..Context::default()
                },
            },
            anchors: Vec::new(),
            lists: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Trusting an anchor of a trust document.
    pub(crate) fn trust(self, anchor: &Value) -> Self {
        let kind = read_anchor(anchor).unwrap();
        self.trust_anchor(Anchor {
            name: "anchor".to_owned(),
            kind,
            stewardship: Stewardship::default(),
            constraints: Constraints::default(),
            tenant: TenantId::local(),
            source: None,
        })
    }

    pub(crate) fn trust_anchor(mut self, anchor: Anchor) -> Self {
        self.anchors.push(anchor);
        self
    }

    /// The last anchor, changed.
    pub(crate) fn with_anchor(mut self, change: impl FnOnce(&mut Anchor)) -> Self {
        change(self.anchors.last_mut().unwrap());
        self
    }

    pub(crate) fn audiences(mut self, audiences: &[&str]) -> Self {
        self.question.context.audiences = audiences.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    pub(crate) fn at(mut self, seconds: i64) -> Self {
        self.question.now = Time::from_unix(seconds);
        self
    }

    pub(crate) fn nonce(mut self, nonce: &str) -> Self {
        self.question.context.nonce = Some(nonce.to_owned());
        self
    }

    pub(crate) fn expect(mut self, name: ExpectedName) -> Self {
        self.question.context.expected.push(name);
        self
    }

    pub(crate) fn decide(&self) -> Verdict {
        self.decide_within(Limits::default())
    }

    pub(crate) fn decide_within(&self, limits: Limits) -> Verdict {
        let mut budget = Budget::new(limits);
        avouch_core::decide(&self.question, &self.view(), &AwsLc, &mut budget)
    }

    /// What is known when it is asked.
    pub(crate) fn view(&self) -> View {
        View::new(
            TenantId::local(),
            self.anchors.clone(),
            Vec::new(),
            Vec::new(),
            Digest::of(b"a view of a test"),
        )
        .with_status_lists(&self.lists)
        .with_introspected(&self.answers)
    }

    /// Knowing what an issuer answered.
    pub(crate) fn told(mut self, answer: Arc<Introspected>) -> Self {
        self.answers.push(answer);
        self
    }

    /// Knowing a status list.
    pub(crate) fn status_list(self, list: &str) -> Self {
        self.fetched_list(StatusList::read(list).unwrap())
    }

    pub(crate) fn fetched_list(mut self, list: StatusList) -> Self {
        self.lists.push(Arc::new(list));
        self
    }

    pub(crate) fn decide_code(&self) -> String {
        outcome(&self.decide())
    }

    /// The reason of the refusal.
    pub(crate) fn reason(&self) -> Reason {
        match self.decide() {
            Verdict::Reject(refusal) => refusal.reason().clone(),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The identity, once its effects are committed.
    pub(crate) fn identity(&self) -> Identity {
        match self.decide() {
            Verdict::Accept(sealed) => {
                let receipt = Receipt::committed(sealed.effects());
                sealed.open(&receipt).unwrap()
            }
            other => panic!("not accepted: {}", outcome(&other)),
        }
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        match self.decide() {
            Verdict::Accept(sealed) => sealed.effects().to_vec(),
            other => panic!("not accepted: {}", outcome(&other)),
        }
    }

    pub(crate) fn needs(&self) -> Vec<Need> {
        match self.decide() {
            Verdict::Undetermined(needs) => needs,
            other => panic!("not undetermined: {}", outcome(&other)),
        }
    }

    pub(crate) fn legs(&self) -> Vec<Leg> {
        match self.decide() {
            Verdict::Accept(sealed) => sealed.preview().legs().to_vec(),
            Verdict::Reject(refusal) => refusal.legs().to_vec(),
            Verdict::Undetermined(_) => Vec::new(),
        }
    }

    #[track_caller]
    pub(crate) fn is_accepted(&self) {
        assert_eq!(outcome(&self.decide()), "accept");
    }

    #[track_caller]
    pub(crate) fn is_refused(&self, code: &str) {
        assert_eq!(outcome(&self.decide()), code);
    }
}

/// Reads an anchor as the trust document has it.
pub(crate) fn read_anchor(anchor: &Value) -> Result<AnchorKind, Reason> {
    if let Some(trust_domain) = anchor["trust_domain"].as_str() {
        return Bundle::read(trust_domain, &anchor["bundle"]).map(AnchorKind::TrustDomain);
    }
    if !anchor["openid_federation"].is_null() {
        let members = anchor.as_object().unwrap();
        return FederationAnchor::read_at("anchor", members).map(AnchorKind::Federation);
    }
    if !anchor["api_key"].is_null() {
        return ApiKeyAnchor::read(&anchor["api_key"]).map(AnchorKind::ApiKey);
    }
    if !anchor["ssh"].is_null() {
        return SshAnchor::read_at("ssh", &anchor["ssh"]).map(AnchorKind::Ssh);
    }
    IssuerAnchor::read(anchor.as_object().unwrap()).map(AnchorKind::Issuer)
}

/// The key of [`ISSUER`].
pub(crate) fn issuer_key() -> Key {
    Key::p256("issuer")
}

/// An anchor for an issuer whose key is `key-1`.
pub(crate) fn issuer_with(issuer: &str, key: &Key) -> Value {
    json!({"issuer": issuer, "jwks": jwks(&[jwk(key, "key-1")])})
}

/// An anchor for [`ISSUER`].
pub(crate) fn issuer() -> Value {
    issuer_with(ISSUER, &issuer_key())
}

/// A good token of [`ISSUER`] in the making.
pub(crate) fn good() -> TokenForge {
    TokenForge::oidc(ISSUER, "job-7", AUDIENCE)
}

/// A question about a token of [`ISSUER`], rightly signed.
pub(crate) fn ask(token: &TokenForge) -> Ask {
    Ask::jwt(token.sign(&issuer_key(), "key-1")).trust(&issuer())
}

/// The trust domain of the SPIFFE tests.
pub(crate) const TRUST_DOMAIN: &str = "prod.example.com";
/// A workload in it.
pub(crate) const WORKLOAD: &str = "spiffe://prod.example.com/ns/payments/sa/api";

/// An anchor for [`TRUST_DOMAIN`].
pub(crate) fn trust_domain() -> Value {
    json!({"trust_domain": TRUST_DOMAIN, "bundle": bundle(&jwt_authority(), &wit_authority())})
}

pub(crate) fn jwt_authority() -> Key {
    Key::p256("jwt authority")
}

pub(crate) fn wit_authority() -> Key {
    Key::p256("wit authority")
}

/// A question about a JWT-SVID of [`TRUST_DOMAIN`], rightly signed.
pub(crate) fn ask_svid(token: &TokenForge) -> Ask {
    Ask::jwt(token.sign(&jwt_authority(), "jwt-1")).trust(&trust_domain())
}

/// A good JWT-SVID in the making.
pub(crate) fn good_svid() -> TokenForge {
    TokenForge::jwt_svid(WORKLOAD, AUDIENCE).untyped()
}
