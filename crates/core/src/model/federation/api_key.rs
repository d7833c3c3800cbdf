//! API keys: a digest that is known, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::anchor::{Anchor, AnchorKind};
use crate::budget::Budget;
use crate::credential::api_key::ApiKeyAnchor;
use crate::id::Digest;
use crate::path::{self, Candidate, Model};
use crate::policy::facts::{Facts, SUBJECT};
use crate::question::Question;
use crate::reason::Reason;
use crate::stop::Stop;
use crate::time::Time;
use crate::verdict::{
    AnchorReached, Check, Identity, IdentityKind, Refusal, Sealed, TrustModel, Verdict,
};
use crate::view::View;
use crate::vouch::{How, Vouch};

use super::subject::check_expected;

/// Until when a verdict on a key without expiry holds: there is no end to it but its removal.
const FOREVER: i64 = 253_402_300_799;

/// Decides on an API key.
pub(crate) fn decide_api_key(
    key: &str,
    question: &Question,
    view: &View,
    budget: &mut Budget,
) -> Verdict {
    let model = ApiKeyModel { question, view };
    match path::search(&model, Digest::of(key.as_bytes()), budget) {
        Ok(found) => Verdict::Accept(Sealed::new(
            model.identity(found.anchor, found.path),
            Vec::new(),
        )),
        Err(attempts) => Verdict::Reject(Refusal {
            model: TrustModel::SharedSecret,
            attempts,
            legs: Vec::new(),
        }),
    }
}

struct ApiKeyModel<'a> {
    question: &'a Question,
    view: &'a View,
}

/// A known digest and the anchor it stands in.
struct KnownKey<'a> {
    anchor: &'a Arc<Anchor>,
    known: &'a ApiKeyAnchor,
}

impl<'a> Model for ApiKeyModel<'a> {
    type Statement = Digest;
    type AnchorKey = KnownKey<'a>;
    type Conclusion = ();

    fn candidates(
        &self,
        trail: &[Digest],
        _budget: &mut Budget,
    ) -> Result<Vec<Candidate<Self>>, Stop> {
        let mut any_known = false;
        let mut candidates = Vec::new();
        for anchor in self.view.anchors() {
            let AnchorKind::ApiKey(known) = &anchor.kind else {
                continue;
            };
            any_known = true;
            // No key is none, also where somebody has digested a variable that was not set.
            let shown = trail.last().filter(|digest| **digest != Digest::of(b""));
            if shown.is_some_and(|digest| known.is_digest_of(digest)) {
                candidates.push(Candidate::Anchor(KnownKey { anchor, known }));
            }
        }
        if !any_known {
            return Err(Reason::NoAnchors {}.into());
        }
        if candidates.is_empty() {
            let digest = trail.last().map(Digest::short).unwrap_or_default();
            return Err(Reason::ApiKeyUnknown { digest }.into());
        }
        Ok(candidates)
    }

    fn vouch(
        &self,
        _trail: &[Digest],
        candidate: &Candidate<Self>,
        _budget: &mut Budget,
    ) -> Result<Vouch, Stop> {
        let Candidate::Anchor(KnownKey { anchor, known }) = candidate else {
            // Digests are vouched for by anchors only; `candidates` gives nothing else.
            return Err(Reason::NoAnchors {}.into());
        };
        Ok(Vouch {
            vouches_for: known.subject().into(),
            by: anchor.name.as_str().into(),
            how: How::ApiKey,
            key: known.sha256().to_string().into(),
            valid: None,
        })
    }

    fn conclude(
        &self,
        _trail: &[Digest],
        _path: &[Vouch],
        reached: &KnownKey<'a>,
        _budget: &mut Budget,
    ) -> Result<(), Stop> {
        let anchor = reached.anchor;
        anchor.admits(&self.question.tenant, self.question.now)?;
        super::subject::check_constraints(anchor, reached.known.subject(), None)?;
        let mut facts = Facts::default();
        facts.insert(SUBJECT.to_owned(), reached.known.subject().to_owned())?;
        anchor.admits_facts(&facts)?;
        check_expected(
            &self.question.context.expected,
            reached.known.subject(),
            None,
            None,
        )?;
        Ok(())
    }

    fn name_of(&self, candidate: &Candidate<Self>) -> String {
        match candidate {
            Candidate::Anchor(reached) => reached.anchor.name.clone(),
            Candidate::Statement(digest) => digest.short(),
        }
    }

    fn name_of_fault(&self, _trail: &[Digest], reached: &KnownKey<'a>, _reason: &Reason) -> String {
        reached.anchor.name.clone()
    }

    fn name_of_end(&self, _trail: &[Digest]) -> String {
        "the API key".to_owned()
    }
}

impl ApiKeyModel<'_> {
    fn identity(&self, reached: KnownKey<'_>, path: Vec<Vouch>) -> Identity {
        let KnownKey { anchor, known } = reached;
        let now = self.question.now;
        let digest = known.sha256();
        Identity {
            name: known.subject().to_owned(),
            kind: IdentityKind::ApiKey,
            model: TrustModel::SharedSecret,
            path,
            anchor: AnchorReached {
                anchor: Arc::clone(anchor),
                key: digest.to_string(),
                thumbprint: None,
                subject: known.subject().to_owned(),
            },
            checks: vec![Check {
                what: "digest",
                compared: format!("SHA-256 {} is known", digest.short()).into(),
                spec: "docs/how-to/trust-documents.md",
            }],
            legs: Vec::new(),
            facts: Facts::of_map(BTreeMap::from([(
                SUBJECT.to_owned(),
                known.subject().to_owned(),
            )])),
            signed_in: None,
            claims: None,
            proxying: None,
            revocation: Vec::new(),
            valid_from: now,
            valid_until: anchor
                .stewardship
                .expires
                .map_or(Time::from_unix(FOREVER), |expires| expires.plus(-1)),
        }
    }
}
