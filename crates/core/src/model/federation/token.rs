//! Tokens in the one search: which keys may have signed one, whether one did, and what it proves.

use std::sync::Arc;

use super::Asked;
use super::audience::{RelyingParty, check_nonce, check_parties};
use super::bearer::is_spiffe;
use super::claims::{CLOCK_LEEWAY, Claims, LIFETIME_MAX};
use super::introspection::{Standing, still_active};
use super::issuer::IssuerAnchor;
use super::keys::{AnchorKey, Owner, select};
use super::legs;
use super::proof::Proof;
use super::signed_in::{SignInReading, SignedIn};
use super::status::{Signer, Told, status};
use super::subject::{check_constraints, check_expected};
use crate::anchor::Anchor;
use crate::budget::Budget;
use crate::credential::Credential;
use crate::credential::jose::algorithm::Algorithm;
use crate::credential::jose::base64url;
use crate::credential::jose::bundle::Bundle;
use crate::credential::jose::jwk::KeySet;
use crate::credential::jose::jws::Jws;
use crate::ended::Begun;
use crate::id::SpiffeId;
use crate::model::proved::{self, Proved};
use crate::path::{self, Attempts, Candidate, Model};
use crate::policy::facts::Facts;
use crate::policy::presets::Preset;
use crate::policy::rules::{Rule, not_matched};
use crate::question::AwaitedKey;
use crate::reason::{About, Reason};
use crate::stop::Stop;
use crate::time::Time;
use crate::verdict::{
    AnchorReached, Check, Compared, Effect, Fact, Identity, IdentityKind, Need, Refusal,
    StatusSource, TrustModel, Verdict,
};
use crate::vouch::{How, Vouch};

/// How a token was presented.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    /// Alone.
    Bearer,
    /// With proof that its holder has the key it names.
    Wit(&'a Proof<'a>),
}

/// A token and what is asked about it.
pub(super) struct TokenModel<'a> {
    asked: Asked<'a>,
    token: &'a Jws<'a>,
    claims: &'a Claims<'a>,
    subject: &'a str,
    spiffe_id: Option<SpiffeId>,
    form: Form<'a>,
}

impl<'a> TokenModel<'a> {
    /// Decides on a token.
    pub(super) fn decide(
        asked: Asked<'a>,
        token: &'a Jws<'a>,
        claims: &'a Claims<'a>,
        form: Form<'a>,
        budget: &mut Budget,
    ) -> Verdict {
        let subject = claims.subject.unwrap_or_default();
        let spiffe_id = match is_spiffe(subject).then(|| SpiffeId::parse(subject)) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(reason)) => return super::refused("the token", reason),
        };
        let model = Self {
            asked,
            token,
            claims,
            subject,
            spiffe_id,
            form,
        };
        match path::search(&model, (), budget) {
            Ok(found) => found.conclusion.verdict(),
            Err(attempts) => model.not_found(attempts),
        }
    }

    /// A refusal, unless the keys that could turn it are not known.
    fn not_found(&self, attempts: Attempts) -> Verdict {
        let now = self.asked.question.now;
        let keyless = self.issuers().find(|(anchor, issuer)| {
            issuer.keys().is_none()
                && self.check_standing(anchor, issuer).is_ok()
                && anchor.admits(&self.asked.question.tenant, now).is_ok()
                && self.claims.check_times(now, issuer.lifetime_max()).is_ok()
        });
        if let (Some((_, issuer)), Form::Bearer) = (keyless, self.form) {
            return Verdict::Undetermined(vec![Need::KeySet {
                issuer: issuer.issuer().to_owned(),
                why: None,
            }]);
        }
        if let Some(awaited) = self.awaited_key() {
            return Verdict::Undetermined(vec![Need::Key(awaited.clone())]);
        }
        let legs = legs::of_refusal(self, &attempts);
        Verdict::Reject(Refusal {
            model: TrustModel::Federation,
            attempts,
            legs,
        })
    }

    /// The key that the token names, if its issuer may have it by now.
    fn awaited_key(&self) -> Option<&'a AwaitedKey> {
        let (now, header) = (self.asked.question.now, self.token.header());
        let named = |awaited: &&AwaitedKey| header.key_id.as_ref() == Some(&awaited.key);
        let awaited = self
            .asked
            .question
            .context
            .awaited_keys
            .iter()
            .find(named)?;
        let mut issuers = self.issuers();
        let may_have = issuers.any(|(anchor, issuer)| {
            let is_unknown = |set: &KeySet| {
                let selected = select(set, header, issuer.issuer());
                matches!(selected.as_slice(), [Err(Reason::KeyUnknown { .. })])
            };
            issuer.issuer() == awaited.issuer
                && issuer.keys().is_some_and(is_unknown)
                && self.check_standing(anchor, issuer).is_ok()
                && anchor.admits(&self.asked.question.tenant, now).is_ok()
                && self.claims.check_times(now, issuer.lifetime_max()).is_ok()
        });
        (may_have && matches!(self.form, Form::Bearer)).then_some(awaited)
    }

    /// The trusted issuers that the token names, unless it is shown as a JWT-SVID.
    fn issuers(&self) -> impl Iterator<Item = (&'a Arc<Anchor>, &'a IssuerAnchor)> {
        let (view, context) = (self.asked.view, &self.asked.question.context);
        let named = self.claims.issuer.filter(|_| !context.jwt_svid);
        named.into_iter().flat_map(|name| view.issuers_named(name))
    }

    /// The trusted bundles of the trust domain that the subject names.
    fn bundles(&self) -> impl Iterator<Item = (&'a Arc<Anchor>, &'a Bundle)> {
        let view = self.asked.view;
        let named = self.spiffe_id.as_ref().map(SpiffeId::trust_domain);
        named.into_iter().flat_map(|name| view.bundles_of(name))
    }

    /// Every key that may have signed the token, and for each anchor that has none, why.
    pub(super) fn anchor_keys(&self) -> Vec<AnchorKey<'a>> {
        let mut keys = Vec::new();
        if matches!(self.form, Form::Bearer) {
            for (anchor, issuer) in self.issuers() {
                if let Err(reason) = self.check_standing(anchor, issuer) {
                    keys.push(AnchorKey {
                        anchor,
                        owner: Owner::Issuer(issuer),
                        key: Err(reason),
                    });
                    continue;
                }
                // An issuer without keys is not a dead end but a question of its own.
                if let Some(set) = issuer.keys() {
                    self.push_keys(&mut keys, anchor, Owner::Issuer(issuer), set);
                }
            }
        }
        for (anchor, bundle) in self.bundles() {
            let owner = Owner::TrustDomain(bundle);
            let (set, key_use) = match self.form {
                Form::Bearer => (bundle.jwt_authorities(), "jwt-svid"),
                Form::Wit(_) => (bundle.wit_authorities(), "wit-svid"),
            };
            if set.keys().is_empty() && set.set_aside().is_empty() {
                let reason = Reason::BundleHasNoKeys {
                    trust_domain: bundle.trust_domain.to_string(),
                    key_use,
                };
                keys.push(AnchorKey {
                    anchor,
                    owner,
                    key: Err(reason),
                });
            } else {
                self.push_keys(&mut keys, anchor, owner, set);
            }
        }
        // What can hold comes first, and last of that what can only tell that a name is missing.
        keys.sort_by_key(|key| (key.key.is_err(), self.names_no_one(key)));
        keys
    }

    fn check_standing(&self, anchor: &Anchor, issuer: &IssuerAnchor) -> Result<(), Reason> {
        let now = self.asked.question.now;
        let standing = issuer.standing();
        standing.admits(issuer.issuer(), &anchor.name, now)
    }

    fn names_no_one(&self, key: &AnchorKey<'_>) -> bool {
        matches!(
            RelyingParty::of(&self.asked.question.context, self.admitted(key.owner)),
            RelyingParty::Unknown
        )
    }

    fn push_keys(
        &self,
        keys: &mut Vec<AnchorKey<'a>>,
        anchor: &'a Arc<Anchor>,
        owner: Owner<'a>,
        set: &'a KeySet,
    ) {
        let start = keys.len();
        let selected = select(set, self.token.header(), &owner.name());
        keys.extend(
            selected
                .into_iter()
                .map(|key| AnchorKey { anchor, owner, key }),
        );
        debug_assert!(keys.len() > start, "an anchor answers for itself");
    }

    fn admitted(&self, owner: Owner<'a>) -> &'a [String] {
        match owner {
            Owner::Issuer(issuer) => issuer.audiences(),
            Owner::TrustDomain(_) => &[],
        }
    }

    /// What the header must be for keys of this owner, before any signature is looked at.
    fn check_header(&self, owner: Owner<'_>) -> Result<(), Reason> {
        let header = self.token.header();
        let allowed = match owner {
            Owner::Issuer(issuer) => issuer.algorithms(),
            Owner::TrustDomain(_) => &Algorithm::SPIFFE,
        };
        if !allowed.contains(&header.algorithm) {
            return Err(Reason::AlgorithmNotAllowed {
                algorithm: header.algorithm.name().to_owned(),
                allowed: allowed.iter().map(|name| name.name().to_owned()).collect(),
            });
        }
        let unexpected_type = |expected: &[&str]| {
            Err(Reason::TypeUnexpected {
                found: header.token_type().unwrap_or_default().to_owned(),
                expected: expected.iter().map(|name| (*name).to_owned()).collect(),
            })
        };
        let is_untyped = header.token_type().is_none();
        let is_jose = header.is_of_type("JOSE");
        match (owner, self.form) {
            (Owner::Issuer(_), _) if is_jose => unexpected_type(&["JWT"]),
            (Owner::TrustDomain(_), Form::Bearer)
                if !(is_untyped
                    || is_jose
                    || header.is_of_type("JWT")
                    || self.asked.question.context.access_token) =>
            {
                unexpected_type(&["JWT", "JOSE"])
            }
            (Owner::TrustDomain(_), Form::Bearer) => match header.others.first() {
                Some(member) => Err(Reason::HeaderUnexpected {
                    member: member.clone(),
                }),
                None => Ok(()),
            },
            (Owner::Issuer(_), _) | (Owner::TrustDomain(_), Form::Wit(_)) => Ok(()),
        }
    }

    /// The life of the token, in the bounds of whoever signed it.
    pub(super) fn check_times(&self, owner: Owner<'_>) -> Result<Time, Reason> {
        let now = self.asked.question.now;
        match owner {
            Owner::Issuer(issuer) => {
                if self.claims.issued_at.is_none() && issuer.says_when_issued() {
                    return Err(Reason::ClaimMissing { claim: "iat" });
                }
                self.claims.check_times(now, issuer.lifetime_max())
            }
            Owner::TrustDomain(_) => match self.form {
                Form::Bearer => self.claims.check_times(now, LIFETIME_MAX),
                Form::Wit(_) => self.claims.check_times_of_wit(now, LIFETIME_MAX),
            },
        }
    }

    /// For whom the token is; `None` when no one says who we are. A WIT is for no one, and its
    /// proof is.
    pub(super) fn check_audience(
        &self,
        anchor: &Anchor,
        owner: Owner<'a>,
    ) -> Result<Option<&'a str>, Reason> {
        let context = &self.asked.question.context;
        let relying_party = RelyingParty::of(context, self.admitted(owner));
        let audience = match self.form {
            Form::Bearer => relying_party.check(&self.claims.audiences, context, anchor)?,
            Form::Wit(proof) => relying_party.check(&proof.audiences(), context, anchor)?,
        };
        if let Owner::Issuer(issuer) = owner {
            check_parties(issuer, self.claims, audience)?;
        }
        check_nonce(context, self.claims)?;
        Ok(audience)
    }

    /// What the anchor asks of the subject: that it may vouch for it, that its issuer wrote it, and
    /// that a rule admits it. Gives the facts and the rule.
    pub(super) fn check_subject(
        &self,
        anchor: &Anchor,
        owner: Owner<'a>,
    ) -> Result<(Facts, Option<&'a Rule>), Reason> {
        anchor.admits(&self.asked.question.tenant, self.asked.question.now)?;
        check_constraints(anchor, self.subject, self.spiffe_id.as_ref())?;
        let issuer = match owner {
            Owner::Issuer(issuer) => issuer,
            Owner::TrustDomain(_) => {
                let facts = self.spiffe_facts()?;
                anchor.admits_facts(&facts)?;
                return Ok((facts, None));
            }
        };
        let preset = self.preset(issuer);
        if let Some(preset) = preset {
            preset.check_subject(issuer.issuer(), self.claims.all)?;
        }
        let asked = issuer
            .rules()
            .iter()
            .flat_map(|rule| rule.conditions().keys());
        let bounded = anchor.constraints.grants_at_most.claims();
        let asked = asked.map(String::as_str).chain(bounded);
        let mut facts = Facts::of(self.claims.all, preset, asked)?;
        facts.add_claims(
            self.claims.all,
            self.asked.question.context.asked_of(anchor),
        );
        anchor.admits_facts(&facts)?;
        let rules = issuer.rules();
        match rules.iter().find(|rule| rule.admits(&facts)) {
            Some(rule) => Ok((facts, Some(rule))),
            None => match not_matched(issuer.issuer(), rules, &facts) {
                Some(reason) => Err(reason),
                None => Ok((facts, None)),
            },
        }
    }

    /// That neither the subject nor anything that the token descends from ended since, and that nobody
    /// from whom it descends is in quarantine.
    fn check_ended(&self, owner: Owner<'_>) -> Result<(), Reason> {
        let begun = Begun::Token {
            issuer: &owner.name(),
            claims: self.claims,
            is_svid: matches!(owner, Owner::TrustDomain(_)),
        };
        let question = self.asked.question;
        self.asked.view.check_not_ended(&begun, question.now)
    }

    /// Whether its issuer stands by it, where the anchor wants it asked.
    fn still_active(&self, owner: Owner<'_>) -> Result<Option<(StatusSource, Time)>, Standing> {
        let question = self.asked.question;
        match (owner, &question.credential) {
            (Owner::Issuer(issuer), Credential::Jwt(token)) => {
                still_active(self.asked.view, issuer, token, question.now)
            }
            (Owner::Issuer(_) | Owner::TrustDomain(_), _) => Ok(None),
        }
    }

    /// Whether whoever signed it has taken it back.
    fn status(&self, reached: &AnchorKey<'a>, budget: &mut Budget) -> Result<Told, Stop> {
        let owner = reached.owner;
        let (keys, algorithms) = match owner {
            Owner::Issuer(issuer) => (issuer.keys(), issuer.algorithms()),
            Owner::TrustDomain(bundle) => {
                (Some(bundle.jwt_authorities()), Algorithm::SPIFFE.as_slice())
            }
        };
        let signer = Signer {
            name: &owner.name(),
            issuer: self.claims.issuer,
            keys: keys.into_iter().collect(),
            algorithms,
        };
        status(
            &self.asked,
            self.claims.all,
            reached.anchor,
            &signer,
            budget,
        )
    }

    /// How the subject signed in, as whoever trusts the issuer reads it. What a tenant here has signed
    /// itself says it in the words of RFC 8176.
    fn signed_in(&self, owner: Owner<'_>) -> Result<SignedIn, Reason> {
        match owner {
            Owner::Issuer(issuer) => SignedIn::read(self.claims.all, issuer.sign_in()),
            Owner::TrustDomain(_) => SignedIn::read(self.claims.all, &SignInReading::default()),
        }
    }

    fn spiffe_facts(&self) -> Result<Facts, Reason> {
        let mut facts = Facts::default();
        facts.insert(
            crate::policy::facts::SUBJECT.to_owned(),
            self.subject.to_owned(),
        )?;
        if let Some(id) = &self.spiffe_id {
            facts.insert(
                "spiffe.trust_domain".to_owned(),
                id.trust_domain().to_string(),
            )?;
            facts.insert("spiffe.path".to_owned(), id.path().to_owned())?;
        }
        Ok(facts)
    }

    /// The preset of the issuer, or of the token if it is plainly one of Kubernetes.
    fn preset(&self, issuer: &IssuerAnchor) -> Option<Preset> {
        issuer
            .preset()
            .or_else(|| legs::is_of_kubernetes(self.claims.all).then_some(Preset::Kubernetes))
    }

    /// When it is decided.
    pub(super) fn now(&self) -> Time {
        self.asked.question.now
    }

    /// Whether its decision is told in legs.
    pub(super) fn has_legs(&self, owner: Option<Owner<'_>>) -> bool {
        match owner {
            Some(Owner::Issuer(issuer)) => self.preset(issuer) == Some(Preset::Kubernetes),
            Some(Owner::TrustDomain(_)) => false,
            None => legs::is_of_kubernetes(self.claims.all),
        }
    }

    fn identity(
        &self,
        reached: &AnchorKey<'a>,
        path: &[Vouch],
        expires: Time,
        audience: &str,
        (facts, rule): (Facts, Option<&Rule>),
    ) -> Identity {
        let question = self.asked.question;
        let (stands_until, source) = match reached.owner {
            Owner::Issuer(issuer) => {
                let standing = issuer.standing();
                (standing.end(), standing.source(issuer.issuer()))
            }
            Owner::TrustDomain(_) => (None, None),
        };
        let ends = [reached.anchor.stewardship.expires, stands_until];
        let (name, kind) = match (reached.owner, &self.spiffe_id) {
            (Owner::TrustDomain(_), Some(id)) => (id.to_string(), IdentityKind::Spiffe),
            (owner, _) => (
                format!("{}#{}", owner.name(), self.subject),
                IdentityKind::Token,
            ),
        };
        let legs = if self.has_legs(Some(reached.owner)) {
            legs::of_acceptance(reached, rule, audience, question.now)
        } else {
            Vec::new()
        };
        Identity {
            name,
            kind,
            model: TrustModel::Federation,
            path: path.to_vec(),
            anchor: AnchorReached {
                anchor: Arc::clone(reached.anchor),
                key: reached
                    .key
                    .as_ref()
                    .map(|key| key.name())
                    .unwrap_or_default(),
                thumbprint: reached.key.as_ref().ok().map(|key| key.thumbprint()),
                subject: reached.owner.name(),
            },
            checks: self.checks(reached, expires, audience, rule),
            legs,
            facts,
            signed_in: None,
            claims: None,
            proxying: None,
            revocation: source.into_iter().collect(),
            valid_from: self.claims.valid_from(question.now),
            valid_until: proved::last_second(expires, ends),
        }
    }

    /// What was compared with what, in the order in which it was.
    fn checks(
        &self,
        reached: &AnchorKey<'_>,
        expires: Time,
        audience: &str,
        rule: Option<&Rule>,
    ) -> Vec<Check> {
        let now = self.asked.question.now;
        let mut checks = vec![
            Check {
                what: "signature",
                compared: format!("{} by {}", self.token.header().algorithm, reached.name()).into(),
                spec: "RFC 7515 5.2",
            },
            Check {
                what: "time",
                compared: Compared::with(
                    "{} is before {}",
                    vec![Fact::Time(now), Fact::Time(expires)],
                ),
                spec: "RFC 7519 4.1.4, 4.1.5",
            },
            Check {
                what: "audience",
                compared: audience.to_owned().into(),
                spec: "RFC 7519 4.1.3",
            },
        ];
        checks.extend(rule.map(proved::by_rule));
        if let (Owner::Issuer(issuer), Ok(key)) = (&reached.owner, &reached.key)
            && let Some(doubt) = issuer.standing().doubt_in_words(key, now)
        {
            checks.push(Check {
                what: "keys",
                compared: doubt,
                spec: "docs/how-to/issuers.md",
            });
        }
        if let Owner::Issuer(issuer) = reached.owner
            && let Some(pins) = issuer.standing().pins_in_words()
        {
            checks.push(Check {
                what: "pins",
                compared: pins.into(),
                spec: "docs/how-to/pins.md",
            });
        }
        if let Form::Wit(proof) = self.form {
            checks.push(Check {
                what: "possession",
                compared: format!("proof by the key {}", proof.key_name()).into(),
                spec: "draft-ietf-wimse-wpt-02 2; RFC 7800 3",
            });
        } else if let Some(key) = &self.asked.question.context.holder.jkt
            && self.claims.all.contains_key("cnf")
            && !self.asked.question.context.holder_is_assumed
        {
            checks.push(Check {
                what: "possession",
                compared: format!("proof by the key {}", base64url::encode(key.as_bytes())).into(),
                spec: "RFC 9449 6.1, 7.2",
            });
        }
        checks
    }

    /// What must not happen twice: the use of a nonce or of a proof.
    fn effects(&self, owner: Owner<'_>, expires: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(nonce) = &self.asked.question.context.nonce {
            effects.push(Effect::ConsumeNonce {
                scope: format!("nonce of {}", owner.name()),
                nonce: nonce.clone(),
                until: expires,
            });
        }
        if let Form::Wit(proof) = self.form {
            effects.push(proof.effect());
        }
        effects
    }
}

impl<'a> Model for TokenModel<'a> {
    /// The token itself; there is only one.
    type Statement = ();
    type AnchorKey = AnchorKey<'a>;
    type Conclusion = Proved;

    fn candidates(
        &self,
        _trail: &[()],
        _budget: &mut Budget,
    ) -> Result<Vec<Candidate<Self>>, Stop> {
        let keys = self.anchor_keys();
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
            // Tokens are vouched for by anchors only; `candidates` gives nothing else.
            return Err(self.no_anchor().into());
        };
        self.check_header(reached.owner)?;
        let key = reached
            .key
            .as_ref()
            .map_err(|reason| Stop::Refused(reason.clone()))?;
        key.admits(self.token.header().algorithm)?;
        if !self
            .token
            .is_signed_by(key.key(), self.asked.crypto, budget)?
        {
            return Err(Reason::TokenSignatureInvalid {
                key: key.name(),
                issuer: reached.owner.name(),
            }
            .into());
        }
        let from = self.claims.not_before.or(self.claims.issued_at);
        Ok(Vouch {
            vouches_for: self.subject.into(),
            by: reached.owner.name().into(),
            how: match self.form {
                Form::Bearer => How::Jwt,
                Form::Wit(_) => How::Wit,
            },
            key: key.name().into(),
            valid: from.zip(self.claims.expires),
        })
    }

    fn conclude(
        &self,
        _trail: &[()],
        path: &[Vouch],
        reached: &AnchorKey<'a>,
        budget: &mut Budget,
    ) -> Result<Proved, Stop> {
        let owner = reached.owner;
        let expires = self.check_times(owner)?;
        if let Form::Wit(proof) = self.form {
            proof.check(&self.asked, budget)?;
        }
        let audience = self.check_audience(reached.anchor, owner)?;
        let (facts, rule) = self.check_subject(reached.anchor, owner)?;
        self.check_ended(owner)?;
        let email = ["google.email", "iap.email", "claims.email"]
            .iter()
            .find_map(|name| facts.get(name));
        let id = match owner {
            Owner::TrustDomain(_) => self.spiffe_id.as_ref(),
            Owner::Issuer(_) => None,
        };
        let expected = &self.asked.question.context.expected;
        check_expected(expected, self.subject, id, email)?;
        let signed_in = self.signed_in(owner)?;
        let Some(audience) = audience else {
            return Ok(Proved::AllBut(Need::Audience));
        };
        let good = match self.status(reached, budget)? {
            Told::Good(good) => good,
            Told::Unknown(need) => return Ok(Proved::AllBut(need)),
        };
        let asked = match self.still_active(owner) {
            Ok(asked) => asked,
            Err(Standing::Refused(reason)) => return Err(reason.into()),
            Err(Standing::Unknown(need)) => return Ok(Proved::AllBut(need)),
        };
        let effects = self.effects(owner, expires.plus(CLOCK_LEEWAY));
        let mut identity = self.identity(reached, path, expires, audience, (facts, rule));
        identity.signed_in = Some(signed_in).filter(SignedIn::says_something);
        identity.add_status(good.check, good.source, good.told);
        if let Some((source, until)) = asked {
            let told = (identity.valid_from(), until);
            identity.add_status(None, Some(source), Some(told));
        }
        Ok(Proved::Identity(Box::new(identity), effects))
    }

    fn name_of(&self, candidate: &Candidate<Self>) -> String {
        match candidate {
            Candidate::Anchor(reached) => reached.name(),
            Candidate::Statement(()) => "the token".to_owned(),
        }
    }

    fn name_of_fault(&self, _trail: &[()], reached: &AnchorKey<'a>, reason: &Reason) -> String {
        match (reason, reason.about()) {
            (Reason::ProofInvalid { .. }, _) => "the proof".to_owned(),
            (_, About::Anchor) => reached.anchor.name.clone(),
            (_, About::EndEntity | About::Subject(_)) => "the token".to_owned(),
        }
    }

    fn name_of_end(&self, _trail: &[()]) -> String {
        "the token".to_owned()
    }
}

impl TokenModel<'_> {
    /// Why there is no one who could have signed the token.
    fn no_anchor(&self) -> Reason {
        let anchors = self.asked.view.anchors();
        let issuers: Vec<String> = anchors
            .iter()
            .filter_map(|anchor| Some(anchor.kind.as_issuer()?.issuer().to_owned()))
            .collect();
        let trust_domains: Vec<String> = anchors
            .iter()
            .filter_map(|anchor| Some(anchor.kind.as_trust_domain()?.trust_domain.to_string()))
            .collect();
        if issuers.is_empty() && trust_domains.is_empty() {
            return Reason::NoAnchors {};
        }
        match (&self.spiffe_id, self.claims.issuer) {
            (Some(id), _) => Reason::TrustDomainUnknown {
                trust_domain: id.trust_domain().to_string(),
                known: trust_domains,
            },
            (None, Some(issuer)) => Reason::IssuerUnknown {
                issuer: issuer.to_owned(),
                known: issuers,
            },
            (None, None) => Reason::ClaimMissing { claim: "iss" },
        }
    }
}
