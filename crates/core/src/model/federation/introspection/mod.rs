//! Tokens that only their issuer can read: what it answered when it was asked (RFC 7662), in the one
//! search. Also for tokens that can be read, where an anchor wants their issuer asked all the same, and
//! for those of clusters of Kubernetes that are asked by TokenReview.
//!
//! Nobody is asked here. An answer is evidence like a revocation list: whoever asked gives it, with
//! when that was.

mod anchor;
mod answer;

use std::sync::Arc;

pub use anchor::{ANSWER_AGE_USUAL, Introspection, REVIEW_AGE_USUAL};
pub use answer::{ANSWER_BYTES, Introspected};

use super::Asked;
use super::audience::{RelyingParty, check_nonce, check_parties};
use super::claims::{CLOCK_LEEWAY, Claims};
use super::issuer::IssuerAnchor;
use super::signed_in::SignedIn;
use super::subject::{check_constraints, check_expected};
use crate::anchor::Anchor;
use crate::budget::Budget;
use crate::crypto::Verifier;
use crate::ended::Begun;
use crate::id::Digest;
use crate::model::proved::{self, Proved};
use crate::path::{Candidate, Model};
use crate::policy::facts::Facts;
use crate::policy::rules::{Rule, not_matched};
use crate::question::Question;
use crate::reason::{About, Reason};
use crate::stop::Stop;
use crate::time::Time;
use crate::verdict::{
    AnchorReached, Check, Compared, Effect, Fact, Identity, IdentityKind, Need, StatusSource,
    TrustModel, Verdict,
};
use crate::view::View;
use crate::vouch::Vouch;

/// The answer about a token that may be used now, if there is one.
fn answered<'a>(
    view: &'a View,
    issuer: &IssuerAnchor,
    asking: &Introspection,
    token: &Digest,
    now: Time,
) -> Option<&'a Introspected> {
    let answers = view.introspected(token);
    let of_issuer = answers.filter(|answer| answer.issuer == issuer.issuer());
    let usable = |answer: &&Introspected| {
        now < answer.at.plus(asking.age_max()) && answer.at <= now.plus(CLOCK_LEEWAY)
    };
    of_issuer.filter(usable).max_by_key(|answer| answer.at)
}

fn inactive(answer: &Introspected) -> Reason {
    Reason::TokenInactive {
        issuer: answer.issuer.clone(),
        at: answer.at,
    }
}

fn source(answer: &Introspected, asking: &Introspection) -> StatusSource {
    StatusSource {
        source: asking.name(),
        issuer: answer.issuer.clone(),
        as_of: answer.at,
        next: Some(answer.at.plus(asking.age_max())),
    }
}

/// Whether the issuer of a token that can be read still stands by it, where the anchor wants it
/// asked: since when that is known, and until when it counts. The need, where nobody asked.
pub(super) fn still_active(
    view: &View,
    issuer: &IssuerAnchor,
    token: &str,
    now: Time,
) -> Result<Option<(StatusSource, Time)>, Standing> {
    let Some(asking) = issuer.introspection().filter(|asking| asking.is_of_jwt()) else {
        return Ok(None);
    };
    let digest = Digest::of(token.as_bytes());
    match answered(view, issuer, asking, &digest, now) {
        None => Err(Standing::Unknown(Need::Introspection {
            issuer: issuer.issuer().to_owned(),
            why: None,
        })),
        Some(answer) if !answer.is_active => Err(Standing::Refused(inactive(answer))),
        Some(answer) => Ok(Some((
            source(answer, asking),
            answer.at.plus(asking.age_max()),
        ))),
    }
}

/// Why it is not known that an issuer stands by a token.
pub(super) enum Standing {
    Refused(Reason),
    Unknown(Need),
}

/// Decides on a token that only its issuer can read.
pub(crate) fn decide_opaque(
    token: &str,
    question: &Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &mut Budget,
) -> Verdict {
    let asked = Asked {
        question,
        view,
        crypto,
    };
    let model = OpaqueModel {
        asked,
        token: Digest::of(token.as_bytes()),
        own: None,
    };
    model.decide(budget)
}

/// Whether a token is of a cluster that is asked about it. Of several that carry its name, one that is
/// believed by its keys has it if it is for none of those that are asked.
pub(super) fn is_reviewed(claims: &Claims<'_>, view: &View) -> bool {
    let named = claims.issuer.into_iter();
    let named = named.flat_map(|name| view.issuers_named(name));
    let is_asked =
        |issuer: &IssuerAnchor| issuer.introspection().is_some_and(Introspection::is_review);
    let (asked, others): (Vec<_>, Vec<_>) = named
        .map(|(_, issuer)| issuer)
        .partition(|issuer| is_asked(issuer));
    let is_for = |issuer: &&IssuerAnchor| names_one_of(claims, issuer.audiences());
    !asked.is_empty() && (others.is_empty() || asked.iter().any(is_for))
}

fn names_one_of(claims: &Claims<'_>, audiences: &[String]) -> bool {
    let mut named = claims.audiences.iter();
    named.any(|named| audiences.iter().any(|one| one == named))
}

/// Decides on a token of a cluster that is asked about it. Whatever the token says chooses the cluster
/// and can only narrow: it is the cluster that vouches.
pub(super) fn decide_reviewed(
    token: &str,
    claims: &Claims<'_>,
    asked: Asked<'_>,
    budget: &mut Budget,
) -> Verdict {
    let model = OpaqueModel {
        asked,
        token: Digest::of(token.as_bytes()),
        own: Some(claims),
    };
    model.decide(budget)
}

struct OpaqueModel<'a> {
    asked: Asked<'a>,
    token: Digest,
    /// What the token says of itself, where it can be read.
    own: Option<&'a Claims<'a>>,
}

/// An issuer that can be asked, and its answer.
struct AnchorKey<'a> {
    anchor: &'a Arc<Anchor>,
    issuer: &'a IssuerAnchor,
    asking: &'a Introspection,
}

impl<'a> OpaqueModel<'a> {
    fn decide(&self, budget: &mut Budget) -> Verdict {
        if let Some(need) = self.need() {
            return Verdict::Undetermined(vec![need]);
        }
        proved::decide(self, (), TrustModel::Federation, budget)
    }

    /// Whether an issuer is asked about such tokens.
    fn asks(&self, asking: &Introspection) -> bool {
        match self.own {
            Some(_) => asking.is_review(),
            None => asking.is_of_opaque(),
        }
    }

    /// The issuers that are asked about such tokens: the one that is named, or the only one. A token
    /// is shown to nobody else: whoever else saw it could use it.
    fn issuers(&self) -> Vec<AnchorKey<'a>> {
        let anchors = self.asked.view.anchors().iter();
        let asked = anchors.filter_map(|anchor| {
            let issuer = anchor.kind.as_issuer()?;
            let asking = issuer.introspection().filter(|asking| self.asks(asking))?;
            Some(AnchorKey {
                anchor,
                issuer,
                asking,
            })
        });
        let mut asked: Vec<AnchorKey<'a>> = asked.collect();
        let is_named = |one: &AnchorKey<'_>, name| one.issuer.names().any(|known| known == name);
        if let Some(meant) = self.asked.question.context.issuer.as_deref() {
            asked.retain(|one| is_named(one, meant) || one.issuer.issuer() == meant);
        }
        if let Some(name) = self.own.and_then(|own| own.issuer) {
            asked.retain(|one| is_named(one, name));
        }
        // Of clusters that share a name, the one for whose audiences it is.
        if let Some(own) = self.own.filter(|_| asked.len() > 1) {
            let is_for = |one: &AnchorKey<'_>| names_one_of(own, one.issuer.audiences());
            if asked.iter().any(is_for) {
                asked.retain(is_for);
            }
        }
        asked
    }

    fn need(&self) -> Option<Need> {
        let issuers = self.issuers();
        let [one] = issuers.as_slice() else {
            return None;
        };
        let question = self.asked.question;
        let is_admitted = one.anchor.admits(&question.tenant, question.now).is_ok()
            && self.check_standing(one).is_ok()
            && self.check_own(one).is_ok();
        (is_admitted && self.answer(one).is_none()).then(|| Need::Introspection {
            issuer: one.issuer.issuer().to_owned(),
            why: None,
        })
    }

    fn answer(&self, reached: &AnchorKey<'a>) -> Option<&'a Introspected> {
        let (view, now) = (self.asked.view, self.asked.question.now);
        answered(view, reached.issuer, reached.asking, &self.token, now)
    }

    fn check_standing(&self, reached: &AnchorKey<'a>) -> Result<(), Reason> {
        let name = reached.issuer.issuer();
        let standing = reached.issuer.standing();
        standing.admits(name, &reached.anchor.name, self.asked.question.now)
    }

    /// Whether what the token says of itself leaves anything to ask: one that has ended or is not for us
    /// is shown to nobody.
    fn check_own(&self, reached: &AnchorKey<'a>) -> Result<(), Reason> {
        let Some(own) = self.own else {
            return Ok(());
        };
        if own.issued_at.is_none() {
            return Err(Reason::ClaimMissing { claim: "iat" });
        }
        let (question, issuer) = (self.asked.question, reached.issuer);
        own.check_times(question.now, issuer.lifetime_max())?;
        let party = RelyingParty::of(&question.context, issuer.audiences());
        party
            .check(&own.audiences, &question.context, reached.anchor)
            .map(drop)
    }

    fn opaque(&self) -> Reason {
        let anchors = self.asked.view.anchors().iter();
        let issuers = anchors.filter_map(|anchor| anchor.kind.as_issuer());
        let asked = issuers.filter(|issuer| {
            let asking = issuer.introspection();
            asking.is_some_and(|asking| self.asks(asking))
        });
        Reason::TokenOpaque {
            known: asked.map(|issuer| issuer.issuer().to_owned()).collect(),
        }
    }

    fn malformed(reached: &AnchorKey<'_>, detail: &str) -> Reason {
        Reason::IntrospectionMalformed {
            issuer: reached.issuer.issuer().to_owned(),
            detail: detail.to_owned(),
        }
    }

    /// Reads what the issuer says of the token; it must be its own.
    fn claims(&self, reached: &AnchorKey<'a>) -> Result<(&'a Introspected, Claims<'a>), Reason> {
        let answer = self.answer(reached).ok_or_else(|| self.opaque())?;
        if let Some(detail) = &answer.misfit {
            return Err(Self::malformed(reached, detail));
        }
        if !answer.is_active {
            return Err(inactive(answer));
        }
        let claims = Claims::read(&answer.claims)?;
        let is_named = |name: &str| reached.issuer.names().any(|known| known == name);
        match claims.issuer {
            Some(name) if !is_named(name) => Err(Self::malformed(
                reached,
                "it says that the token is of another issuer",
            )),
            Some(_) | None => Ok((answer, claims)),
        }
    }

    /// Until when the token holds: as long as it says, and as the answer may be used.
    fn expires(&self, reached: &AnchorKey<'a>, claims: &Claims<'_>) -> Result<Time, Reason> {
        let now = self.asked.question.now;
        let known = self.answer(reached).map(Introspected::at);
        let known = known.unwrap_or(now).plus(reached.asking.age_max());
        if claims.expires.is_none() {
            // What else it says of time holds all the same (RFC 7662 2.2).
            claims.check_begun(now)?;
            return Ok(known);
        }
        let expires = claims.check_times(now, reached.issuer.lifetime_max())?;
        Ok(expires.min(known))
    }

    fn check_subject(
        &self,
        reached: &AnchorKey<'a>,
        claims: &Claims<'_>,
        subject: &str,
    ) -> Result<(Facts, Option<&'a Rule>), Reason> {
        let question = self.asked.question;
        let issuer = reached.issuer;
        reached.anchor.admits(&question.tenant, question.now)?;
        check_constraints(reached.anchor, subject, None)?;
        if let Some(preset) = issuer.preset() {
            preset.check_subject(issuer.issuer(), claims.all)?;
        }
        let rules = issuer.rules();
        let asked = rules.iter().flat_map(|rule| rule.conditions().keys());
        let bounded = reached.anchor.constraints.grants_at_most.claims();
        let asked = asked.map(String::as_str).chain(bounded);
        let mut facts = Facts::of(claims.all, issuer.preset(), asked)?;
        facts.add_claims(claims.all, question.context.asked_of(reached.anchor));
        reached.anchor.admits_facts(&facts)?;
        check_expected(&question.context.expected, subject, None, None)?;
        match rules.iter().find(|rule| rule.admits(&facts)) {
            Some(rule) => Ok((facts, Some(rule))),
            None => match not_matched(issuer.issuer(), rules, &facts) {
                Some(reason) => Err(reason),
                None => Ok((facts, None)),
            },
        }
    }

    /// For whom the token is; nobody in particular where the anchor allows that.
    fn check_audience(
        &self,
        reached: &AnchorKey<'a>,
        claims: &Claims<'a>,
    ) -> Result<Option<String>, Reason> {
        let context = &self.asked.question.context;
        if claims.audiences.is_empty() {
            return match reached.asking.lets_audience_out() {
                true => Ok(Some("none is named, which the anchor allows".to_owned())),
                false => Err(Reason::ClaimMissing { claim: "aud" }),
            };
        }
        let party = RelyingParty::of(context, reached.issuer.audiences());
        let fits = party.check(&claims.audiences, context, reached.anchor)?;
        check_parties(reached.issuer, claims, fits)?;
        Ok(fits.map(str::to_owned))
    }
}

impl<'a> Model for OpaqueModel<'a> {
    /// The token itself; there is only one.
    type Statement = ();
    type AnchorKey = AnchorKey<'a>;
    type Conclusion = Proved;

    fn candidates(
        &self,
        _trail: &[()],
        _budget: &mut Budget,
    ) -> Result<Vec<Candidate<Self>>, Stop> {
        let mut issuers = self.issuers();
        match (issuers.pop(), issuers.is_empty()) {
            (Some(one), true) => Ok(vec![Candidate::Anchor(one)]),
            (Some(_) | None, _) => Err(self.opaque().into()),
        }
    }

    fn vouch(
        &self,
        _trail: &[()],
        candidate: &Candidate<Self>,
        _budget: &mut Budget,
    ) -> Result<Vouch, Stop> {
        let Candidate::Anchor(reached) = candidate else {
            // Such tokens are vouched for by anchors only; `candidates` gives nothing else.
            return Err(self.opaque().into());
        };
        self.check_standing(reached)?;
        self.check_own(reached)?;
        let (answer, claims) = self.claims(reached)?;
        let from = claims.not_before.or(claims.issued_at);
        Ok(Vouch {
            vouches_for: claims.required_subject()?.into(),
            by: answer.issuer.as_str().into(),
            how: reached.asking.how(),
            key: reached.asking.name().into(),
            valid: from.zip(claims.expires),
        })
    }

    fn conclude(
        &self,
        _trail: &[()],
        path: &[Vouch],
        reached: &AnchorKey<'a>,
        _budget: &mut Budget,
    ) -> Result<Proved, Stop> {
        let question = self.asked.question;
        let (answer, claims) = self.claims(reached)?;
        if let Some(cnf) = claims.all.get("cnf")
            && !question.context.holder.is_meant_by(cnf)
        {
            return Err(Reason::ProofMissing {}.into());
        }
        let subject = claims.required_subject()?;
        let expires = self.expires(reached, &claims)?;
        let audience = self.check_audience(reached, &claims)?;
        check_nonce(&question.context, &claims)?;
        let (facts, rule) = self.check_subject(reached, &claims, subject)?;
        let issuer = reached.issuer.issuer();
        let begun = Begun::Token {
            issuer,
            claims: &claims,
            is_svid: false,
        };
        self.asked.view.check_not_ended(&begun, question.now)?;
        let signed_in = SignedIn::read(claims.all, reached.issuer.sign_in())?;
        let Some(audience) = audience else {
            return Ok(Proved::AllBut(Need::Audience));
        };
        let effects = question
            .context
            .nonce
            .iter()
            .map(|nonce| Effect::ConsumeNonce {
                scope: format!("nonce of {issuer}"),
                nonce: nonce.clone(),
                until: expires.plus(CLOCK_LEEWAY),
            });
        let effects = effects.collect();
        let ends = [
            reached.anchor.stewardship.expires,
            reached.issuer.standing().end(),
        ];
        let identity = Identity {
            name: format!("{issuer}#{subject}"),
            kind: IdentityKind::Token,
            model: TrustModel::Federation,
            path: path.to_vec(),
            anchor: AnchorReached {
                anchor: Arc::clone(reached.anchor),
                key: reached.asking.name().to_owned(),
                thumbprint: None,
                subject: issuer.to_owned(),
            },
            checks: checks(
                answer,
                reached.asking,
                &audience,
                expires,
                rule,
                question.now,
            ),
            legs: Vec::new(),
            facts,
            signed_in: Some(signed_in).filter(SignedIn::says_something),
            claims: None,
            proxying: None,
            revocation: vec![source(answer, reached.asking)],
            valid_from: claims.valid_from(question.now),
            valid_until: proved::last_second(expires, ends),
        };
        Ok(Proved::Identity(Box::new(identity), effects))
    }

    fn name_of(&self, candidate: &Candidate<Self>) -> String {
        match candidate {
            Candidate::Anchor(reached) => reached.anchor.name.clone(),
            Candidate::Statement(()) => "the token".to_owned(),
        }
    }

    fn name_of_fault(&self, _trail: &[()], reached: &AnchorKey<'a>, reason: &Reason) -> String {
        match reason.about() {
            About::Anchor => reached.anchor.name.clone(),
            About::EndEntity | About::Subject(_) => "the token".to_owned(),
        }
    }

    fn name_of_end(&self, _trail: &[()]) -> String {
        "the token".to_owned()
    }
}

/// What was compared with what, in the order in which it was.
fn checks(
    answer: &Introspected,
    asking: &Introspection,
    audience: &str,
    expires: Time,
    rule: Option<&Rule>,
    now: Time,
) -> Vec<Check> {
    let spec = asking.spec();
    let mut checks = vec![
        Check {
            what: asking.name(),
            compared: Compared::with(
                "{} said at {} that the token holds",
                vec![Fact::Text(answer.issuer.clone()), Fact::Time(answer.at)],
            ),
            spec,
        },
        Check {
            what: "time",
            compared: Compared::with(
                "{} is before {}",
                vec![Fact::Time(now), Fact::Time(expires)],
            ),
            spec: "RFC 7662 2.2, 4",
        },
        Check {
            what: "audience",
            compared: audience.to_owned().into(),
            spec,
        },
    ];
    checks.extend(rule.map(proved::by_rule));
    checks
}
