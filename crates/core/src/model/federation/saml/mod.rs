//! SAML assertions in the one search: which keys may have signed one, whether one did, and what it
//! proves (SAML Profiles 4.1.4.3).

mod anchor;
mod checks;

use std::sync::Arc;

pub(crate) use anchor::FACTS;
pub use anchor::{Answers, SamlAnchor};

use super::Asked;
use super::audience::RelyingParty;
use super::claims::CLOCK_LEEWAY;
use super::signed_in::SignedIn;
use super::subject::{check_constraints, check_expected};
use crate::anchor::Anchor;
use crate::budget::Budget;
use crate::credential::saml::assertion::Assertion;
use crate::credential::saml::presented::Presented;
use crate::credential::saml::{XmlFound, XmlToVerify};
use crate::credential::x509::Certificate;
use crate::crypto::Verifier;
use crate::ended::Begun;
use crate::id::Digest;
use crate::model::pki::key_refused;
use crate::model::proved::{self, Proved};
use crate::path::{Candidate, Model};
use crate::policy::facts::Facts;
use crate::policy::rules::{Rule, not_matched};
use crate::question::Question;
use crate::reason::{About, Reason};
use crate::stop::Stop;
use crate::time::Time;
use crate::verdict::{
    AnchorReached, Check, Compared, Effect, Fact, Identity, IdentityKind, Need, TrustModel, Verdict,
};
use crate::view::View;
use crate::vouch::{How, Vouch};

/// The most keys that one assertion is tried with: providers that rotate publish two.
const KEYS_TRIED: usize = 4;

/// Decides on a response or an assertion.
pub(crate) fn decide_saml(
    text: &str,
    question: &Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &mut Budget,
) -> Verdict {
    let presented = match Presented::read(text) {
        Ok(presented) => presented,
        Err(reason) => return super::refused("the assertion", reason),
    };
    let asked = Asked {
        question,
        view,
        crypto,
    };
    let model = SamlModel { asked, presented };
    let needs = model.needs();
    if !needs.is_empty() {
        return Verdict::Undetermined(needs);
    }
    proved::decide(&model, (), TrustModel::Federation, budget)
}

/// An assertion and what is asked about it.
struct SamlModel<'a> {
    asked: Asked<'a>,
    presented: Presented,
}

/// A key of an identity provider that may have signed the assertion, or why none can have.
struct AnchorKey<'a> {
    anchor: &'a Arc<Anchor>,
    provider: &'a SamlAnchor,
    key: Result<&'a Certificate, Reason>,
}

impl AnchorKey<'_> {
    fn name(&self) -> String {
        match &self.key {
            Ok(certificate) => format!("key {} of {}", key_name(certificate), self.anchor.name),
            Err(_) => self.anchor.name.clone(),
        }
    }
}

/// How a key is called: by the digest of its certificate, which its owner can compare.
fn key_name(certificate: &Certificate) -> String {
    certificate.sha256().short()
}

impl<'a> SamlModel<'a> {
    fn providers(&self) -> impl Iterator<Item = (&'a Arc<Anchor>, &'a SamlAnchor)> {
        let view = self.asked.view;
        view.providers_named(&self.presented.issuer)
    }

    fn keys(&self) -> Vec<AnchorKey<'a>> {
        let now = self.asked.question.now;
        let mut keys = Vec::new();
        for (anchor, provider) in self.providers() {
            let refused = provider.check_standing(&anchor.name, now).err();
            if let Some(reason) = refused {
                keys.push(AnchorKey {
                    anchor,
                    provider,
                    key: Err(reason),
                });
                continue;
            }
            let certificates = provider.certificates().iter().take(KEYS_TRIED);
            keys.extend(certificates.map(|certificate| AnchorKey {
                anchor,
                provider,
                key: match certificate.public_key() {
                    Ok(_) => Ok(certificate.as_ref()),
                    Err(problem) => Err(key_refused(certificate, problem)),
                },
            }));
        }
        keys.sort_by_key(|key| key.key.is_err());
        keys
    }

    /// What must be found out first: whether one of the keys signed it, and what. Nothing, once it
    /// is known that one has.
    fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        for key in self.keys() {
            let Ok(certificate) = &key.key else {
                continue;
            };
            let wanted = self.presented.to_verify(certificate.public_key_info());
            match self.found(&wanted.digest()) {
                Some(XmlFound::Held { .. }) => return Vec::new(),
                Some(XmlFound::NotHeld) => {}
                None => needs.push(wanted),
            }
        }
        needs.dedup_by_key(|wanted: &mut XmlToVerify| wanted.digest());
        needs
            .into_iter()
            .map(|wanted| Need::XmlSignature(Box::new(wanted)))
            .collect()
    }

    fn found(&self, digest: &Digest) -> Option<&'a XmlFound> {
        let known = &self.asked.question.context.xml_signatures;
        let fact = known.iter().find(|fact| fact.of == *digest);
        fact.map(|fact| &fact.found)
    }

    /// What the key signed, if it did.
    fn signed_by(&self, certificate: &Certificate) -> Option<(&'a [u8], &'a [u8])> {
        let wanted = self.presented.to_verify(certificate.public_key_info());
        match self.found(&wanted.digest()) {
            Some(XmlFound::Held {
                signed_info,
                content,
            }) => Some((signed_info, content)),
            Some(XmlFound::NotHeld) | None => None,
        }
    }

    /// Reads what was signed; it must be what was presented.
    fn assertion(&self, key: &AnchorKey<'a>) -> Result<Assertion, Reason> {
        let signed = key.key.as_ref().ok().and_then(|key| self.signed_by(key));
        let (_, content) = signed.ok_or_else(|| self.not_signed(key))?;
        let assertion = Assertion::read(content)?;
        if assertion.id != self.presented.id || assertion.issuer != key.provider.entity_id() {
            return Err(Reason::SamlContent {
                detail: "it is another assertion than was presented".to_owned(),
            });
        }
        Ok(assertion)
    }

    fn not_signed(&self, key: &AnchorKey<'_>) -> Reason {
        Reason::SamlSignature {
            key: key
                .key
                .as_ref()
                .map_or_else(|_| String::new(), |key| key_name(key)),
            issuer: key.provider.entity_id().to_owned(),
        }
    }

    /// Why there is no one who could have signed it.
    fn no_anchor(&self) -> Reason {
        let anchors = self.asked.view.anchors();
        let known: Vec<String> = anchors
            .iter()
            .filter_map(|anchor| Some(anchor.kind.as_saml()?.entity_id().to_owned()))
            .collect();
        if known.is_empty() {
            return Reason::NoAnchors {};
        }
        Reason::IssuerUnknown {
            issuer: self.presented.issuer.clone(),
            known,
        }
    }

    /// What the anchor asks of the subject. Gives the facts and the rule.
    fn check_subject(
        &self,
        reached: &AnchorKey<'a>,
        assertion: &Assertion,
    ) -> Result<(Facts, Option<&'a Rule>), Reason> {
        let question = self.asked.question;
        let provider = reached.provider;
        reached.anchor.admits(&question.tenant, question.now)?;
        check_constraints(reached.anchor, &assertion.subject.name, None)?;
        checks::check_name(provider, &assertion.subject)?;
        let facts = checks::facts(assertion)?;
        reached.anchor.admits_facts(&facts)?;
        let rules = provider.rules();
        match rules.iter().find(|rule| rule.admits(&facts)) {
            Some(rule) => Ok((facts, Some(rule))),
            None => match not_matched(provider.entity_id(), rules, &facts) {
                Some(reason) => Err(reason),
                None => Ok((facts, None)),
            },
        }
    }
}

impl<'a> Model for SamlModel<'a> {
    /// The assertion itself; there is only one.
    type Statement = ();
    type AnchorKey = AnchorKey<'a>;
    type Conclusion = Proved;

    fn candidates(
        &self,
        _trail: &[()],
        _budget: &mut Budget,
    ) -> Result<Vec<Candidate<Self>>, Stop> {
        let keys = self.keys();
        if keys.is_empty() {
            return Err(self.no_anchor().into());
        }
        Ok(keys.into_iter().map(Candidate::Anchor).collect())
    }

    fn vouch(
        &self,
        _trail: &[()],
        candidate: &Candidate<Self>,
        budget: &mut Budget,
    ) -> Result<Vouch, Stop> {
        let Candidate::Anchor(reached) = candidate else {
            // Assertions are vouched for by anchors only; `candidates` gives nothing else.
            return Err(self.no_anchor().into());
        };
        let certificate = reached
            .key
            .as_ref()
            .map_err(|reason| Stop::Refused(reason.clone()))?;
        let signed = self
            .signed_by(certificate)
            .ok_or_else(|| Stop::Refused(self.not_signed(reached)))?;
        let key = certificate
            .public_key()
            .map_err(|problem| Stop::Refused(key_refused(certificate, problem)))?;
        if !self
            .presented
            .is_signed_by(key, signed, self.asked.crypto, budget)?
        {
            return Err(self.not_signed(reached).into());
        }
        let assertion = self.assertion(reached)?;
        let expires = checks::expires(&assertion);
        Ok(Vouch {
            vouches_for: assertion.subject.name.as_str().into(),
            by: reached.provider.entity_id().into(),
            how: How::Saml,
            key: key_name(certificate).into(),
            valid: Some((assertion.issued_at, expires)),
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
        let context = &question.context;
        let provider = reached.provider;
        let assertion = self.assertion(reached)?;
        checks::check_times(&assertion, provider, question.now)?;
        let party = RelyingParty::of(context, provider.audiences());
        let mut audience = None;
        for restriction in &assertion.audiences {
            let texts: Vec<&str> = restriction.iter().map(String::as_str).collect();
            audience = party
                .check(&texts, context, reached.anchor)?
                .map(str::to_owned);
        }
        let place = checks::Place {
            anchor: reached.anchor,
            provider,
            context,
            response_to: self.presented.response_to.as_deref(),
            destination: self.presented.destination.as_deref(),
            now: question.now,
        };
        let confirmed = place.check(&assertion.subject)?;
        let (facts, rule) = self.check_subject(reached, &assertion)?;
        let begun = Begun::Assertion(&assertion);
        self.asked.view.check_not_ended(&begun, question.now)?;
        check_expected(&context.expected, &assertion.subject.name, None, None)?;
        let Some(audience) = audience else {
            return Ok(Proved::AllBut(Need::Audience));
        };
        let Some(confirmed) = confirmed else {
            return Ok(Proved::AllBut(Need::Recipient));
        };
        let expires = checks::expires(&assertion).min(confirmed.expires);
        let identity = self.identity(Concluded {
            reached,
            path,
            assertion: &assertion,
            expires,
            audience,
            recipient: confirmed.recipient.clone(),
            facts,
            rule,
        });
        // SAML Profiles 4.1.4.5: whoever accepts a bearer's assertion remembers it until it ends, and
        // another confirmation may hold longer than the one that was taken.
        let effect = Effect::ConsumeNonce {
            scope: format!("assertion of {}", provider.entity_id()),
            nonce: assertion.id.clone(),
            until: checks::expires(&assertion).max(expires).plus(CLOCK_LEEWAY),
        };
        Ok(Proved::Identity(Box::new(identity), vec![effect]))
    }

    fn name_of(&self, candidate: &Candidate<Self>) -> String {
        match candidate {
            Candidate::Anchor(reached) => reached.name(),
            Candidate::Statement(()) => "the assertion".to_owned(),
        }
    }

    fn name_of_fault(&self, _trail: &[()], reached: &AnchorKey<'a>, reason: &Reason) -> String {
        match reason.about() {
            About::Anchor => reached.anchor.name.clone(),
            About::EndEntity | About::Subject(_) => "the assertion".to_owned(),
        }
    }

    fn name_of_end(&self, _trail: &[()]) -> String {
        "the assertion".to_owned()
    }
}

/// Everything that an identity is made of.
struct Concluded<'a, 'b> {
    reached: &'b AnchorKey<'a>,
    path: &'b [Vouch],
    assertion: &'b Assertion,
    expires: Time,
    audience: String,
    recipient: String,
    facts: Facts,
    rule: Option<&'b Rule>,
}

impl SamlModel<'_> {
    fn identity(&self, concluded: Concluded<'_, '_>) -> Identity {
        let now = self.asked.question.now;
        let reached = concluded.reached;
        let provider = reached.provider;
        let ends = [
            reached.anchor.stewardship.expires,
            provider.valid_until(),
            provider.standing().end(),
        ];
        let assertion = concluded.assertion;
        let begun = assertion.not_before.unwrap_or(assertion.issued_at);
        Identity {
            name: format!("{}#{}", provider.entity_id(), assertion.subject.name),
            kind: IdentityKind::Token,
            model: TrustModel::Federation,
            path: concluded.path.to_vec(),
            anchor: AnchorReached {
                anchor: Arc::clone(reached.anchor),
                key: reached
                    .key
                    .as_ref()
                    .map(|key| key_name(key))
                    .unwrap_or_default(),
                thumbprint: None,
                subject: provider.entity_id().to_owned(),
            },
            checks: self.checks(&concluded),
            legs: Vec::new(),
            facts: concluded.facts,
            signed_in: assertion
                .sign_in
                .is_some()
                .then(|| SignedIn::of_assertion(assertion)),
            claims: None,
            proxying: assertion.proxying.clone(),
            revocation: Vec::new(),
            valid_from: begun.max(assertion.issued_at).min(now),
            valid_until: proved::last_second(concluded.expires, ends),
        }
    }

    /// What was compared with what, in the order in which it was.
    fn checks(&self, concluded: &Concluded<'_, '_>) -> Vec<Check> {
        let now = self.asked.question.now;
        let mut checks = vec![
            Check {
                what: "signature",
                compared: format!(
                    "{} by {}",
                    self.presented.scheme.name(),
                    concluded.reached.name()
                )
                .into(),
                spec: "SAML Core 5.4; XML Signature 3.2",
            },
            Check {
                what: "time",
                compared: Compared::with(
                    "{} is before {}",
                    vec![Fact::Time(now), Fact::Time(concluded.expires)],
                ),
                spec: "SAML Core 2.5.1.2",
            },
            Check {
                what: "audience",
                compared: concluded.audience.clone().into(),
                spec: "SAML Core 2.5.1.4",
            },
            Check {
                what: "recipient",
                compared: concluded.recipient.clone().into(),
                spec: "SAML Profiles 4.1.4.3",
            },
        ];
        checks.extend(concluded.rule.map(proved::by_rule));
        checks
    }
}
