//! A verifier that was shown a credential, and decides on it with what it has heard of endings.

use std::sync::{Arc, PoisonError, RwLock};

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::ended::Endings;
use avouch_core::id::{Digest, TenantId};
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use serde_json::Value;

use crate::deployment::TENANT;

/// What all verifiers of this process were shown last.
#[derive(Clone, Default)]
pub(crate) struct Shown(Arc<RwLock<Option<Presented>>>);

/// An access token, and whom to believe about it.
struct Presented {
    view: View,
    question: Question,
}

impl Shown {
    /// Shows a token for `audience` to all of them, with the bundle of its trust domain; they believe it.
    pub(crate) fn show(&self, shown: &Value) {
        let text = |member: &str| shown[member].as_str().unwrap();
        let domain = text("trust_domain");
        let bundle = Bundle::read(domain, &shown["bundle"]).unwrap();
        let tenant = TenantId::parse(TENANT).unwrap();
        let anchor = Anchor {
            name: domain.to_owned(),
            kind: AnchorKind::TrustDomain(bundle),
            stewardship: Stewardship::default(),
            constraints: Constraints::default(),
            tenant: tenant.clone(),
            source: None,
        };
        let epoch = Digest::of(domain.as_bytes());
        let view = View::new(tenant.clone(), vec![anchor], Vec::new(), Vec::new(), epoch);
        let question = Question {
            tenant,
            credential: Credential::Jwt(text("token").to_owned()),
            profile: Profile::Spiffe,
            purpose: Purpose::Client,
            now: Time::from_unix(shown["now"].as_i64().unwrap()),
            context: Context {
                audiences: vec![text("audience").to_owned()],
                access_token: true,
                ..Context::default()
            },
        };
        let presented = Presented { view, question };
        let verdict = presented.decide(&Endings::default());
        assert!(matches!(verdict, Verdict::Accept(_)), "{verdict:?}");
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(presented);
    }

    /// With these endings a verifier refuses what it was shown last, if it was shown anything.
    pub(crate) fn assert_refused(&self, endings: &Endings) {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(presented) = &*shown else {
            return;
        };
        match presented.decide(endings) {
            Verdict::Reject(refusal) => {
                assert_eq!(refusal.reason().code(), "revocation.subject_ended")
            }
            other => panic!("it is still believed: {other:?}"),
        }
    }
}

impl Presented {
    fn decide(&self, endings: &Endings) -> Verdict {
        let view = self.view.clone().with_endings(Arc::new(endings.clone()));
        decide(&self.question, &view, &AwsLc, &mut Budget::default())
    }
}
