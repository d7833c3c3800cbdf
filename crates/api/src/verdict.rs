//! A verdict: one JSON object, whose members are always all there.

use avouch_core::anchor::{KeyOrigin, PublicStore};
use avouch_core::explain;
use avouch_core::id::Digest;
use avouch_core::model::federation::SignedIn;
use avouch_core::path::{Attempt, Attempts};
use avouch_core::question::{AwaitedKey, Question};
use avouch_core::reason::Reason;
use avouch_core::set_aside::{SetAside, Unusable};
use avouch_core::time::Time;
use avouch_core::verdict::{
    AnchorReached, Check, Effect, Identity, Leg, Need, Refusal, StatusSource, TrustModel, Verdict,
};
use avouch_core::view::View;
use avouch_core::vouch::Vouch;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// What came of a question, and what the shell knows of it: everything that a reader is shown.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// What the asker calls the question.
    pub id: Option<&'a str>,
    /// What we call the decision.
    pub decision: &'a str,
    /// What came of it.
    pub outcome: Outcome<'a>,
}

/// What came of a question.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// The core decided.
    Decided {
        /// What was asked.
        question: &'a Question,
        /// What was known.
        view: &'a View,
        /// What came of it.
        verdict: &'a Verdict,
    },
    /// The question, its credential or its trust document could not be read: a refusal before
    /// anything was decided.
    Unreadable {
        /// Where it stands: a file, a member of the question.
        place: &'a str,
        /// Why it cannot be read.
        reason: &'a Reason,
    },
}

impl<'a> Answer<'a> {
    /// The word for it: `accept`, `reject` or `undetermined`.
    pub fn word(&self) -> &'static str {
        match self.verdict() {
            Some(Verdict::Accept(_)) => "accept",
            Some(Verdict::Reject(_)) | None => "reject",
            Some(Verdict::Undetermined(_)) => "undetermined",
        }
    }

    /// The verdict, unless nothing could be decided.
    pub fn verdict(&self) -> Option<&'a Verdict> {
        match self.outcome {
            Outcome::Decided { verdict, .. } => Some(verdict),
            Outcome::Unreadable { .. } => None,
        }
    }

    /// Why it is a refusal, if it is one.
    pub fn reason(&self) -> Option<&'a Reason> {
        match self.outcome {
            Outcome::Decided { verdict, .. } => match verdict {
                Verdict::Reject(refusal) => Some(refusal.reason()),
                Verdict::Accept(_) | Verdict::Undetermined(_) => None,
            },
            Outcome::Unreadable { reason, .. } => Some(reason),
        }
    }

    /// What the fix would admit besides this credential, where that can be told.
    pub fn also_admitted(&self) -> Option<String> {
        match self.outcome {
            Outcome::Decided { question, .. } => explain::also_admitted(self.reason()?, question),
            Outcome::Unreadable { .. } => None,
        }
    }

    /// What was given to be trusted and could not be read. It may be why a credential was not
    /// believed, never why it was.
    pub fn set_aside(&self) -> Option<&'a SetAside> {
        match self.outcome {
            Outcome::Decided {
                verdict: Verdict::Reject(_) | Verdict::Undetermined(_),
                view,
                ..
            } => Some(view.set_aside()),
            Outcome::Decided { .. } | Outcome::Unreadable { .. } => None,
        }
    }

    /// The verdict as JSON on one line, without a line break.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The verdict as JSON for a person to read.
    pub fn to_pretty(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// What came of what was asked for by someone who was believed: it was given, or refused for a reason
/// that lies not in what they have shown. Written in the form of a verdict.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// What we call the decision.
    pub decision: &'a str,
    /// Who was believed.
    pub identity: &'a Identity,
    /// When.
    pub at: Time,
    /// By which view.
    pub epoch: Digest,
    /// Why nothing was given.
    pub refused: Option<&'a Reason>,
}

impl Serialize for Sought<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let identity = self.identity;
        let mut document = VerdictDocument::named(None, self.decision, "accept", None);
        document.accepted(identity, &[]);
        if let Some(reason) = self.refused {
            // The path held, and beyond its end nothing was given.
            let attempt = AttemptDocument {
                path: std::mem::take(&mut document.path),
                stopped_at: "what was asked for",
                reason: ReasonDocument::of(reason),
            };
            document = VerdictDocument {
                model: document.model,
                exposed_to: document.exposed_to,
                reason: Some(ReasonDocument::of(reason)),
                attempts: vec![attempt],
                ..VerdictDocument::named(None, self.decision, "reject", None)
            };
        }
        document.at = Some(Moment(self.at));
        document.epoch = Some(DigestText(self.epoch));
        document.serialize(serializer)
    }
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = VerdictDocument::blank(self);
        match self.outcome {
            Outcome::Decided {
                question,
                view,
                verdict,
            } => {
                document.at = Some(Moment(question.now));
                document.epoch = Some(DigestText(view.epoch()));
                document.decided(verdict);
            }
            Outcome::Unreadable { place, reason } => document.unreadable(place, reason),
        }
        if let Some(reason) = &mut document.reason {
            reason.also_admits = self.also_admitted();
        }
        document.serialize(serializer)
    }
}

/// The members in the order in which they are written.
#[derive(Serialize)]
struct VerdictDocument<'a> {
    id: Option<&'a str>,
    decision: &'a str,
    verdict: &'static str,
    model: Option<&'static str>,
    identity: Option<IdentityDocument<'a>>,
    path: Vec<VouchDocument<'a>>,
    anchor: Option<AnchorDocument<'a>>,
    reason: Option<ReasonDocument<'a>>,
    attempts: Vec<AttemptDocument<'a>>,
    attempts_left_out: usize,
    checks: Vec<CheckDocument<'a>>,
    legs: Vec<LegDocument<'a>>,
    needs: Vec<NeedDocument<'a>>,
    effects: Vec<EffectDocument<'a>>,
    unusable: Vec<UnusableDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable_left_out: Option<usize>,
    exposed_to: &'static [&'static str],
    revocation: Vec<StatusDocument<'a>>,
    valid_from: Option<Moment>,
    valid_until: Option<Moment>,
    at: Option<Moment>,
    epoch: Option<DigestText>,
}

impl<'a> VerdictDocument<'a> {
    fn blank(answer: &Answer<'a>) -> Self {
        Self::named(
            answer.id,
            answer.decision,
            answer.word(),
            answer.set_aside(),
        )
    }

    fn named(
        id: Option<&'a str>,
        decision: &'a str,
        verdict: &'static str,
        set_aside: Option<&'a SetAside>,
    ) -> Self {
        let unusable = set_aside.map_or(&[][..], SetAside::kept);
        Self {
            id,
            decision,
            verdict,
            model: None,
            identity: None,
            path: Vec::new(),
            anchor: None,
            reason: None,
            attempts: Vec::new(),
            attempts_left_out: 0,
            checks: Vec::new(),
            legs: Vec::new(),
            needs: Vec::new(),
            effects: Vec::new(),
            unusable: unusable.iter().map(UnusableDocument::of).collect(),
            unusable_left_out: set_aside.map(SetAside::left_out).filter(|more| *more > 0),
            exposed_to: &[],
            revocation: Vec::new(),
            valid_from: None,
            valid_until: None,
            at: None,
            epoch: None,
        }
    }

    fn decided(&mut self, verdict: &'a Verdict) {
        match verdict {
            Verdict::Accept(sealed) => self.accepted(sealed.preview(), sealed.effects()),
            Verdict::Reject(refusal) => self.refused(refusal),
            Verdict::Undetermined(needs) => {
                self.needs = needs.iter().map(NeedDocument::of).collect();
            }
        }
    }

    fn accepted(&mut self, identity: &'a Identity, effects: &'a [Effect]) {
        self.model = Some(identity.model().name());
        self.identity = Some(IdentityDocument::of(identity));
        self.path = vouches(identity.path());
        self.anchor = Some(AnchorDocument::of(identity.anchor()));
        self.checks = identity.checks().iter().map(CheckDocument::of).collect();
        self.legs = identity.legs().iter().map(LegDocument::of).collect();
        self.effects = effects.iter().map(EffectDocument::of).collect();
        self.exposed_to = identity.model().exposed_to();
        self.revocation = identity
            .revocation()
            .iter()
            .map(StatusDocument::of)
            .collect();
        self.valid_from = Some(Moment(identity.valid_from()));
        self.valid_until = Some(Moment(identity.valid_until()));
    }

    fn refused(&mut self, refusal: &'a Refusal) {
        self.model = refusal.model().map(TrustModel::name);
        self.reason = Some(ReasonDocument::of(refusal.reason()));
        self.attempts = attempts(refusal.attempts());
        self.attempts_left_out = refusal.attempts().left_out();
        self.legs = refusal.legs().iter().map(LegDocument::of).collect();
        self.exposed_to = refusal
            .model()
            .map(TrustModel::exposed_to)
            .unwrap_or_default();
    }

    /// Nothing was tried, and that is the one attempt.
    fn unreadable(&mut self, place: &'a str, reason: &'a Reason) {
        self.reason = Some(ReasonDocument::of(reason));
        self.attempts = vec![AttemptDocument {
            path: Vec::new(),
            stopped_at: place,
            reason: ReasonDocument::of(reason),
        }];
    }
}

fn vouches(path: &[Vouch]) -> Vec<VouchDocument<'_>> {
    path.iter().map(VouchDocument::of).collect()
}

fn attempts(attempts: &Attempts) -> Vec<AttemptDocument<'_>> {
    attempts.iter().map(AttemptDocument::of).collect()
}

/// A moment in the form of RFC 3339.
struct Moment(Time);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A digest in hexadecimal.
struct DigestText(Digest);

impl Serialize for DigestText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct ReasonDocument<'a> {
    reason: &'a Reason,
    also_admits: Option<String>,
}

impl<'a> ReasonDocument<'a> {
    fn of(reason: &'a Reason) -> Self {
        Self {
            reason,
            also_admits: None,
        }
    }
}

impl Serialize for ReasonDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Members<'a> {
            code: &'a str,
            sentence: String,
            hint: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            also_admits: Option<&'a str>,
            evidence: EvidenceDocument<'a>,
            spec: &'a str,
        }
        Members {
            code: self.reason.code(),
            sentence: self.reason.sentence(),
            hint: self.reason.hint(),
            also_admits: self.also_admits.as_deref(),
            evidence: EvidenceDocument(self.reason),
            spec: self.reason.spec(),
        }
        .serialize(serializer)
    }
}

/// The evidence in the order of the catalogue.
struct EvidenceDocument<'a>(&'a Reason);

impl Serialize for EvidenceDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let evidence = self.0.evidence();
        serializer.collect_map(evidence.iter().map(|(name, fact)| (name, fact.to_json())))
    }
}

#[derive(Serialize)]
struct IdentityDocument<'a> {
    name: &'a str,
    kind: &'static str,
    tenant: &'a str,
    assurance: &'static str,
    facts: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    lists: BTreeMap<&'a str, &'a BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_in: Option<SignedInDocument<'a>>,
}

/// How the subject signed in, in the words of RFC 8176.
#[derive(Serialize)]
struct SignedInDocument<'a> {
    acr: Option<&'a str>,
    amr: &'a BTreeSet<String>,
    at: Option<Moment>,
    /// `null` when the issuer is known not to be able to say so.
    multi_factor: Option<bool>,
}

impl<'a> SignedInDocument<'a> {
    fn of(signed_in: &'a SignedIn) -> Self {
        Self {
            acr: signed_in.acr.as_deref(),
            amr: &signed_in.amr,
            at: signed_in.at.map(Moment),
            multi_factor: (!signed_in.tells_no_methods).then(|| signed_in.is_multi_factor()),
        }
    }
}

impl<'a> IdentityDocument<'a> {
    fn of(identity: &'a Identity) -> Self {
        Self {
            name: identity.name(),
            kind: identity.kind().name(),
            tenant: identity.tenant().as_str(),
            assurance: identity.assurance().name(),
            facts: identity.facts(),
            lists: identity.lists().collect(),
            signed_in: identity.signed_in().map(SignedInDocument::of),
        }
    }
}

#[derive(Serialize)]
struct VouchDocument<'a> {
    vouches_for: &'a str,
    by: &'a str,
    how: &'static str,
    key_id: &'a str,
    valid: Option<(Moment, Moment)>,
}

impl<'a> VouchDocument<'a> {
    fn of(vouch: &'a Vouch) -> Self {
        Self {
            vouches_for: vouch.vouches_for(),
            by: vouch.by(),
            how: vouch.how().name(),
            key_id: vouch.key(),
            valid: vouch
                .valid()
                .map(|(from, until)| (Moment(from), Moment(until))),
        }
    }
}

#[derive(Serialize)]
struct AnchorDocument<'a> {
    kind: &'static str,
    key_id: &'a str,
    name: &'a str,
    subject: &'a str,
    tenant: &'a str,
    owner: Option<&'a str>,
    reason: Option<&'a str>,
    added: Option<Moment>,
    expires: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_origin: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreDocument<'a>>,
    source: Option<&'a str>,
}

#[derive(Serialize)]
struct StoreDocument<'a> {
    label: &'static str,
    source: &'a str,
    as_of: Option<Moment>,
}

impl<'a> StoreDocument<'a> {
    fn of(store: &'a PublicStore) -> Self {
        Self {
            label: store.label.name(),
            source: &store.source,
            as_of: store.as_of.map(Moment),
        }
    }
}

impl<'a> AnchorDocument<'a> {
    fn of(reached: &'a AnchorReached) -> Self {
        let anchor = &reached.anchor;
        Self {
            kind: anchor.kind.name(),
            key_id: &reached.key,
            name: &anchor.name,
            subject: &reached.subject,
            tenant: anchor.tenant.as_str(),
            owner: anchor.stewardship.owner.as_deref(),
            reason: anchor.stewardship.reason.as_deref(),
            added: anchor.stewardship.added.map(Moment),
            expires: anchor.stewardship.expires.map(Moment),
            key_origin: anchor.stewardship.key_origin.map(KeyOrigin::name),
            store: anchor
                .stewardship
                .public_store
                .as_ref()
                .map(StoreDocument::of),
            source: anchor.source.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct AttemptDocument<'a> {
    path: Vec<VouchDocument<'a>>,
    stopped_at: &'a str,
    reason: ReasonDocument<'a>,
}

impl<'a> AttemptDocument<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        Self {
            path: vouches(attempt.path()),
            stopped_at: attempt.stopped_at(),
            reason: ReasonDocument::of(attempt.reason()),
        }
    }
}

#[derive(Serialize)]
struct CheckDocument<'a> {
    what: &'a str,
    compared: String,
    spec: &'a str,
}

impl<'a> CheckDocument<'a> {
    fn of(check: &'a Check) -> Self {
        Self {
            what: check.what,
            compared: check.compared.to_string(),
            spec: check.spec,
        }
    }
}

#[derive(Serialize)]
struct LegDocument<'a> {
    what: &'a str,
    model: &'static str,
    verdict: &'static str,
    ends_at: &'a str,
    reason: Option<ReasonDocument<'a>>,
}

impl<'a> LegDocument<'a> {
    fn of(leg: &'a Leg) -> Self {
        Self {
            what: leg.what,
            model: leg.model.name(),
            verdict: match (&leg.reason, leg.decided) {
                (Some(_), _) => "reject",
                (None, true) => "accept",
                (None, false) => "not_reached",
            },
            ends_at: &leg.ends_at,
            reason: leg.reason.as_ref().map(ReasonDocument::of),
        }
    }
}

#[derive(Serialize)]
struct NeedDocument<'a> {
    kind: &'static str,
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Moment>,
    sentence: String,
}

impl<'a> NeedDocument<'a> {
    fn of(need: &'a Need) -> Self {
        Self {
            kind: need.name(),
            issuer: match need {
                Need::Audience
                | Need::Challenge
                | Need::Recipient
                | Need::State
                | Need::XmlSignature(_) => None,
                Need::Introspection { issuer, .. }
                | Need::Key(AwaitedKey { issuer, .. })
                | Need::KeySet { issuer, .. }
                | Need::StatusList { issuer, .. } => Some(issuer),
            },
            key: match need {
                Need::Key(awaited) => Some(&awaited.key),
                _ => None,
            },
            from: match need {
                Need::Key(awaited) => Some(Moment(awaited.from)),
                _ => None,
            },
            sentence: need.sentence(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum EffectDocument<'a> {
    ConsumeNonce {
        scope: &'a str,
        nonce: &'a str,
        until: Moment,
    },
}

impl<'a> EffectDocument<'a> {
    fn of(effect: &'a Effect) -> Self {
        match effect {
            Effect::ConsumeNonce {
                scope,
                nonce,
                until,
            } => Self::ConsumeNonce {
                scope,
                nonce,
                until: Moment(*until),
            },
        }
    }
}

#[derive(Serialize)]
struct UnusableDocument<'a> {
    what: &'a str,
    reason: ReasonDocument<'a>,
}

impl<'a> UnusableDocument<'a> {
    fn of(unusable: &'a Unusable) -> Self {
        Self {
            what: &unusable.what,
            reason: ReasonDocument::of(&unusable.reason),
        }
    }
}

#[derive(Serialize)]
struct StatusDocument<'a> {
    source: &'a str,
    issuer: &'a str,
    as_of: Moment,
    next: Option<Moment>,
}

impl<'a> StatusDocument<'a> {
    fn of(status: &'a StatusSource) -> Self {
        Self {
            source: status.source,
            issuer: &status.issuer,
            as_of: Moment(status.as_of),
            next: status.next.map(Moment),
        }
    }
}
