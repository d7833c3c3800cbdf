//! Chains of OpenID Federation in the one search: a token, the entity that signed it, what its
//! superiors say of it, and theirs of them, up to the key of a trust anchor (1.0, section 10).

mod anchor;
mod constraints;
mod policy;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use anchor::FACTS;
pub use anchor::{ChainsFetched, FederationAnchor};

use serde_json::{Map, Value};

use super::Asked;
use super::audience::{RelyingParty, check_nonce};
use super::claims::Claims;
use super::keys::select;
use super::status::{Signer, Told, status};
use super::subject::{check_constraints, check_expected};
use crate::anchor::Anchor;
use crate::budget::Budget;
use crate::credential::jose::algorithm::Algorithm;
use crate::credential::jose::entity::EntityStatement;
use crate::credential::jose::jwk::{Jwk, KeySet};
use crate::credential::jose::jws::Jws;
use crate::ended::Begun;
use crate::model::proved::{self, Proved};
use crate::path::{Candidate, Model};
use crate::policy::facts::Facts;
use crate::policy::rules::{Rule, not_matched};
use crate::reason::{About, Reason};
use crate::stop::Stop;
use crate::time::Time;
use crate::verdict::{
    AnchorReached, Check, Compared, Effect, Fact, Identity, IdentityKind, Need, TrustModel, Verdict,
};
use crate::vouch::{How, Vouch};
use anchor::ENTITY;
use constraints::Marks;
use policy::Policy;

/// The most statements that are read: a chain with 8 intermediates and the two configurations at
/// its ends, and a few that lead elsewhere.
const STATEMENTS: usize = 16;

/// The types of entities that issue tokens (section 5.1.3, 5.1.4).
const PROVIDERS: [&str; 2] = ["oauth_authorization_server", "openid_provider"];

/// The most statements on a path.
const LENGTH: usize = 10;

/// Decides on a token that comes with the statements of a federation.
pub(super) fn decide_chain(
    asked: Asked<'_>,
    token: &Jws<'_>,
    claims: &Claims<'_>,
    chain: &[&str],
    budget: &mut Budget,
) -> Verdict {
    if chain.len() > STATEMENTS {
        let reason = Reason::EntityStatementMalformed {
            position: STATEMENTS + 1,
            detail: format!("more than {STATEMENTS} are not read"),
        };
        return super::refused("the trust chain", reason);
    }
    let limits = *budget.limits();
    let read = chain
        .iter()
        .zip(1..)
        .map(|(token, position)| EntityStatement::read(token, position, &limits))
        .collect::<Result<Vec<_>, _>>();
    let statements = match read {
        Ok(statements) => each_once(statements),
        Err(reason) => return super::refused("the trust chain", reason),
    };
    let model = ChainModel {
        asked,
        token,
        claims,
        statements: &statements,
    };
    proved::decide(&model, Step::Token, TrustModel::Federation, budget)
}

/// The same statement twice would only be walked twice. What is signed tells them apart: an ECDSA
/// signature has two spellings.
fn each_once(statements: Vec<EntityStatement<'_>>) -> Vec<EntityStatement<'_>> {
    let mut seen = BTreeSet::new();
    let mut statements = statements;
    statements.retain(|statement| seen.insert(statement.jws.signed()));
    statements
}

struct ChainModel<'a> {
    asked: Asked<'a>,
    token: &'a Jws<'a>,
    claims: &'a Claims<'a>,
    statements: &'a [EntityStatement<'a>],
}

/// What stands on a path.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// The token.
    Token,
    /// A statement of an entity.
    Statement(&'a EntityStatement<'a>),
}

/// A key of a trust anchor, or why none of its keys can have signed the last statement.
struct AnchorKey<'a> {
    anchor: &'a Arc<Anchor>,
    federation: &'a FederationAnchor,
    key: Result<&'a Jwk, Reason>,
}

impl<'a> ChainModel<'a> {
    fn issuer(&self) -> &'a str {
        self.claims.issuer.unwrap_or_default()
    }

    /// The keys of anchors of this name that may have signed a statement.
    fn anchor_keys(&self, statement: &EntityStatement<'a>) -> Vec<Candidate<Self>> {
        let view = self.asked.view;
        let named = view.federations_named(&statement.issuer);
        let mut keys = Vec::new();
        for (anchor, federation) in named {
            let selected = select(
                federation.keys(),
                statement.jws.header(),
                federation.entity_id(),
            );
            keys.extend(selected.into_iter().map(|key| {
                Candidate::Anchor(AnchorKey {
                    anchor,
                    federation,
                    key,
                })
            }));
        }
        keys
    }

    fn superiors(&self, entity: &str) -> impl Iterator<Item = Candidate<Self>> {
        let about = self
            .statements
            .iter()
            .filter(move |one| one.subject == entity && !one.is_configuration());
        about.map(|one| Candidate::Statement(Step::Statement(one)))
    }

    fn configurations(&self, entity: &str) -> impl Iterator<Item = Candidate<Self>> {
        let own = self
            .statements
            .iter()
            .filter(move |one| one.subject == entity && one.is_configuration());
        own.map(|one| Candidate::Statement(Step::Statement(one)))
    }

    /// Who may stand above a statement.
    fn above(&self, statement: &'a EntityStatement<'a>, is_leaf: bool) -> Vec<Candidate<Self>> {
        let mut candidates = self.anchor_keys(statement);
        let is_of_anchor = !candidates.is_empty();
        if statement.is_configuration() {
            if is_leaf {
                candidates.extend(self.superiors(&statement.subject));
            }
            return candidates;
        }
        // An anchor that changes its keys says so in a configuration that an older key signs.
        if is_of_anchor {
            candidates.extend(self.configurations(&statement.issuer));
        }
        candidates.extend(self.superiors(&statement.issuer));
        candidates
    }

    fn broken(&self, entity: &str) -> Reason {
        let anchors = self.asked.view.anchors().iter();
        Reason::ChainBroken {
            entity: entity.to_owned(),
            known: anchors
                .filter_map(|anchor| Some(anchor.kind.as_federation()?.entity_id().to_owned()))
                .collect(),
        }
    }

    /// The token is signed with a key that the entity says is its own, or that someone above it says is.
    /// Which of these counts is known once everyone has had their say.
    fn vouch_for_token(
        &self,
        leaf: &EntityStatement<'a>,
        budget: &mut Budget,
    ) -> Result<Vouch, Stop> {
        self.is_signed(leaf, &leaf.keys, budget)?;
        let key = match self.token_key(&leaf.subject, &leaf.metadata, budget) {
            Err(Stop::Refused(reason)) => self.key_set_above(leaf, budget)?.ok_or(reason)?,
            own => own?,
        };
        let from = self.claims.not_before.or(self.claims.issued_at);
        Ok(Vouch {
            vouches_for: self.claims.subject.unwrap_or_default().into(),
            by: leaf.subject.as_str().into(),
            how: How::Jwt,
            key: key.into(),
            valid: from.zip(self.claims.expires),
        })
    }

    /// The key that signed the token, if it is one that superiors set for the entity in the place of what
    /// it says itself (sections 5.2, 6.1.3.1.1).
    fn key_set_above(
        &self,
        leaf: &EntityStatement<'a>,
        budget: &mut Budget,
    ) -> Result<Option<String>, Stop> {
        let superiors = self.statements.iter().filter(|one| !one.is_configuration());
        for statement in superiors {
            let is_immediate = statement.subject == leaf.subject;
            let said = is_immediate.then(|| statement.metadata.clone());
            for metadata in said.into_iter().chain([policy::key_sets(statement)]) {
                match self.token_key(&leaf.subject, &metadata, budget) {
                    Ok(key) => return Ok(Some(key)),
                    // What it says otherwise is judged with the whole.
                    Err(Stop::Refused(_)) => {}
                    Err(stop) => return Err(stop),
                }
            }
        }
        Ok(None)
    }

    /// The key in this metadata that signed the token, by its name.
    fn token_key(
        &self,
        entity: &str,
        metadata: &Map<String, Value>,
        budget: &mut Budget,
    ) -> Result<String, Stop> {
        let mut last = Reason::EntityKeysMissing {
            entity: entity.to_owned(),
        };
        for value in metadata.values() {
            let Some(keys) = value.get("jwks") else {
                continue;
            };
            let keys = KeySet::read(entity, keys)?;
            for key in select(&keys, self.token.header(), entity) {
                let admitted = key.and_then(|key| {
                    key.admits(self.token.header().algorithm)?;
                    Ok(key)
                });
                match admitted {
                    Err(reason) => last = reason,
                    Ok(key) => {
                        let crypto = self.asked.crypto;
                        if self.token.is_signed_by(key.key(), crypto, budget)? {
                            return Ok(key.name());
                        }
                        last = Reason::TokenSignatureInvalid {
                            key: key.name(),
                            issuer: entity.to_owned(),
                        };
                    }
                }
            }
        }
        Err(last.into())
    }

    /// Checks a statement with keys that someone says its issuer has.
    fn is_signed(
        &self,
        statement: &EntityStatement<'a>,
        keys: &KeySet,
        budget: &mut Budget,
    ) -> Result<String, Stop> {
        let mut last = None;
        for key in select(keys, statement.jws.header(), &statement.issuer) {
            match key {
                Err(reason) => last = Some(reason),
                Ok(key) => {
                    if self.is_signed_by(statement, key, budget)? {
                        return Ok(key.name());
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| not_signed(statement)).into())
    }

    fn is_signed_by(
        &self,
        statement: &EntityStatement<'a>,
        key: &Jwk,
        budget: &mut Budget,
    ) -> Result<bool, Stop> {
        key.admits(statement.jws.header().algorithm)?;
        statement
            .jws
            .is_signed_by(key.key(), self.asked.crypto, budget)
    }

    /// What the leaf is, once everyone above has had their say (section 6).
    fn resolve(
        &self,
        path: &[&EntityStatement<'a>],
        federation: &FederationAnchor,
        budget: &mut Budget,
    ) -> Result<Map<String, Value>, Stop> {
        let [leaf, above @ ..] = path else {
            return Err(self.broken(self.issuer()).into());
        };
        let mut metadata = leaf.metadata.clone();
        let superiors = || above.iter().filter(|one| !one.is_configuration());
        if let Some(immediate) = superiors().next() {
            for (name, members) in &immediate.metadata {
                let (Some(Value::Object(known)), Value::Object(members)) =
                    (metadata.get_mut(name), members)
                else {
                    continue;
                };
                known.extend(members.clone());
            }
        }
        let mut below = Vec::new();
        for statement in superiors() {
            below.push(statement.subject.as_str());
            constraints::check_path(statement, &below)?;
            constraints::keep_types(statement, &mut metadata);
        }
        let mut from_above: Vec<&EntityStatement<'_>> = superiors().copied().collect();
        from_above.reverse();
        let policy = Policy::of(from_above.iter().copied(), budget)?;
        policy.apply(&mut metadata, budget)?;
        let types = types_that_sign(federation, &from_above);
        metadata.retain(|name, _| types.contains(&name.as_str()));
        self.check_issuer(&metadata)?;
        Ok(metadata)
    }

    /// What the entity is called in its metadata is what its tokens call it (OpenID Connect Discovery 3,
    /// RFC 8414 2), also where a superior has said so.
    fn check_issuer(&self, metadata: &Map<String, Value>) -> Result<(), Reason> {
        for (entity_type, members) in metadata {
            let said = members.get("issuer").filter(|said| !said.is_null());
            let is_other = |said: &&Value| said.as_str() != Some(self.issuer());
            if let Some(said) = said.filter(is_other) {
                let said = said.as_str().unwrap_or("no text");
                return Err(Reason::MetadataPolicyViolated {
                    entity_type: entity_type.clone(),
                    parameter: "issuer".to_owned(),
                    detail: format!("it is {said}, and the token is one of {}", self.issuer()),
                });
            }
        }
        Ok(())
    }

    /// Whether the entity has taken the token back, by a list that a key of its metadata signed.
    fn status(
        &self,
        reached: &AnchorKey<'a>,
        metadata: &Map<String, Value>,
        budget: &mut Budget,
    ) -> Result<Told, Stop> {
        let published = metadata.values().filter_map(|one| one.get("jwks"));
        let sets = published
            .map(|keys| KeySet::read(self.issuer(), keys))
            .collect::<Result<Vec<_>, _>>()?;
        let signer = Signer {
            name: self.issuer(),
            issuer: None,
            keys: sets.iter().collect(),
            algorithms: &Algorithm::ALL,
        };
        status(
            &self.asked,
            self.claims.all,
            reached.anchor,
            &signer,
            budget,
        )
    }

    fn check_subject(&self, reached: &AnchorKey<'a>) -> Result<(Facts, Option<&'a Rule>), Reason> {
        let question = self.asked.question;
        let subject = self.claims.subject.unwrap_or_default();
        check_constraints(reached.anchor, subject, None)?;
        let mut facts = Facts::of(self.claims.all, None, std::iter::empty())?;
        facts.insert(ENTITY.to_owned(), self.issuer().to_owned())?;
        reached.anchor.admits_facts(&facts)?;
        check_expected(&question.context.expected, subject, None, None)?;
        let rules = reached.federation.rules();
        match rules.iter().find(|rule| rule.admits(&facts)) {
            Some(rule) => Ok((facts, Some(rule))),
            None => match not_matched(self.issuer(), rules, &facts) {
                Some(reason) => Err(reason),
                None => Ok((facts, None)),
            },
        }
    }
}

/// As what an entity may sign tokens: as what the anchor says, or as a provider of tokens. Where a
/// superior has a policy for some of these, keys that stand under another would escape it; whoever
/// stands below can leave fewer, and gives none back by speaking of it.
fn types_that_sign<'p>(
    federation: &'p FederationAnchor,
    from_above: &[&'p EntityStatement<'_>],
) -> Vec<&'p str> {
    let named = federation.entity_types();
    if !named.is_empty() {
        return named.iter().map(String::as_str).collect();
    }
    let mut types = PROVIDERS.to_vec();
    for statement in from_above {
        let speaks_of = |name: &str| statement.metadata_policy.contains_key(name);
        if PROVIDERS.into_iter().any(speaks_of) {
            types.retain(|name| speaks_of(name));
        }
    }
    types
}

fn not_signed(statement: &EntityStatement<'_>) -> Reason {
    Reason::StatementSignature {
        issuer: statement.issuer.clone(),
        entity: statement.subject.clone(),
    }
}

fn vouch_of(statement: &EntityStatement<'_>, key: String) -> Vouch {
    Vouch {
        vouches_for: statement.subject.as_str().into(),
        by: statement.issuer.as_str().into(),
        how: How::EntityStatement,
        key: key.into(),
        valid: Some((statement.issued_at, statement.expires)),
    }
}

/// The statements of a trail, the leaf's own first.
fn statements_of<'a>(trail: &[Step<'a>]) -> Vec<&'a EntityStatement<'a>> {
    trail
        .iter()
        .filter_map(|step| match step {
            Step::Token => None,
            Step::Statement(statement) => Some(*statement),
        })
        .collect()
}

impl<'a> Model for ChainModel<'a> {
    type Statement = Step<'a>;
    type AnchorKey = AnchorKey<'a>;
    type Conclusion = Proved;

    fn candidates(
        &self,
        trail: &[Step<'a>],
        _budget: &mut Budget,
    ) -> Result<Vec<Candidate<Self>>, Stop> {
        let (entity, candidates) = match trail.last() {
            Some(Step::Token) | None => {
                let entity = self.issuer();
                (entity, self.configurations(entity).collect::<Vec<_>>())
            }
            Some(Step::Statement(_)) if trail.len() > LENGTH => {
                let allowed = u32::try_from(LENGTH).unwrap_or(u32::MAX);
                return Err(Reason::PathLength { allowed }.into());
            }
            Some(Step::Statement(statement)) => {
                let is_leaf = trail.len() == 2;
                (statement.issuer.as_str(), self.above(statement, is_leaf))
            }
        };
        if candidates.is_empty() {
            return Err(self.broken(entity).into());
        }
        Ok(candidates)
    }

    fn vouch(
        &self,
        trail: &[Step<'a>],
        candidate: &Candidate<Self>,
        budget: &mut Budget,
    ) -> Result<Vouch, Stop> {
        match (trail.last(), candidate) {
            (Some(Step::Token), Candidate::Statement(Step::Statement(leaf))) => {
                self.vouch_for_token(leaf, budget)
            }
            (Some(Step::Statement(statement)), Candidate::Statement(Step::Statement(above))) => {
                let is_again = !above.is_configuration()
                    && statements_of(trail)
                        .iter()
                        .any(|one| one.subject == above.issuer);
                if is_again {
                    return Err(Reason::ChainLoop {
                        entity: above.issuer.clone(),
                    }
                    .into());
                }
                let key = self.is_signed(statement, &above.keys, budget)?;
                Ok(vouch_of(statement, key))
            }
            (Some(Step::Statement(statement)), Candidate::Anchor(reached)) => {
                let key = reached
                    .key
                    .as_ref()
                    .map_err(|reason| Stop::Refused(reason.clone()))?;
                if !self.is_signed_by(statement, key, budget)? {
                    return Err(not_signed(statement).into());
                }
                Ok(vouch_of(statement, key.name()))
            }
            // `candidates` gives nothing else.
            _ => Err(self.broken(self.issuer()).into()),
        }
    }

    fn conclude(
        &self,
        trail: &[Step<'a>],
        path: &[Vouch],
        reached: &AnchorKey<'a>,
        budget: &mut Budget,
    ) -> Result<Proved, Stop> {
        let question = self.asked.question;
        let federation = reached.federation;
        let statements = statements_of(trail);
        for statement in &statements {
            constraints::check_times(statement, question.now)?;
        }
        reached.anchor.admits(&question.tenant, question.now)?;
        let (name, standing) = (federation.entity_id(), federation.standing());
        standing.admits(name, &reached.anchor.name, question.now)?;
        let superiors = statements.iter().filter(|one| !one.is_configuration());
        let intermediates = superiors.count().saturating_sub(1);
        let intermediates = u32::try_from(intermediates).unwrap_or(u32::MAX);
        reached.anchor.admits_path_length(intermediates)?;
        let metadata = self.resolve(&statements, federation, budget)?;
        // The key must still be the entity's own after everyone above has had their say.
        self.token_key(self.issuer(), &metadata, budget)?;
        let marked_until = match statements.as_slice() {
            [leaf, ..] => {
                let marks = Marks {
                    federation,
                    leaf,
                    path: &statements,
                    now: question.now,
                };
                marks.check(self.asked.crypto, budget)?
            }
            [] => None,
        };
        if self.claims.issued_at.is_none() {
            return Err(Reason::ClaimMissing { claim: "iat" }.into());
        }
        let expires = self
            .claims
            .check_times(question.now, federation.lifetime_max())?;
        let party = RelyingParty::of(&question.context, federation.audiences());
        let audience = party.check(&self.claims.audiences, &question.context, reached.anchor)?;
        check_nonce(&question.context, self.claims)?;
        let (facts, rule) = self.check_subject(reached)?;
        let begun = Begun::Token {
            issuer: self.issuer(),
            claims: self.claims,
            is_svid: false,
        };
        self.asked.view.check_not_ended(&begun, question.now)?;
        let Some(audience) = audience else {
            return Ok(Proved::AllBut(Need::Audience));
        };
        let good = match self.status(reached, &metadata, budget)? {
            Told::Good(good) => good,
            Told::Unknown(need) => return Ok(Proved::AllBut(need)),
        };
        let ends = statements.iter().map(|one| one.expires);
        let expires = ends.chain(marked_until).fold(expires, Time::min);
        let mut identity = self.identity(reached, path, expires, audience, (facts, rule));
        identity.add_status(good.check, good.source, good.told);
        let effects = question
            .context
            .nonce
            .iter()
            .map(|nonce| Effect::ConsumeNonce {
                scope: format!("nonce of {}", self.issuer()),
                nonce: nonce.clone(),
                until: expires.plus(super::CLOCK_LEEWAY),
            });
        Ok(Proved::Identity(Box::new(identity), effects.collect()))
    }

    fn name_of(&self, candidate: &Candidate<Self>) -> String {
        match candidate {
            Candidate::Anchor(reached) => match &reached.key {
                Ok(key) => format!("key {} of {}", key.name(), reached.anchor.name),
                Err(_) => reached.anchor.name.clone(),
            },
            Candidate::Statement(Step::Token) => "the token".to_owned(),
            Candidate::Statement(Step::Statement(one)) if one.is_configuration() => {
                format!("the configuration of {}", one.subject)
            }
            Candidate::Statement(Step::Statement(one)) => {
                format!("what {} says of {}", one.issuer, one.subject)
            }
        }
    }

    fn name_of_fault(
        &self,
        _trail: &[Step<'a>],
        reached: &AnchorKey<'a>,
        reason: &Reason,
    ) -> String {
        match (reason, reason.about()) {
            (
                Reason::ChainName { .. }
                | Reason::ChainPathLength { .. }
                | Reason::MetadataPolicyConflict { .. }
                | Reason::MetadataPolicyViolated { .. }
                | Reason::StatementExpired { .. }
                | Reason::TrustMark { .. },
                _,
            ) => "the trust chain".to_owned(),
            (_, About::Anchor) => reached.anchor.name.clone(),
            (_, About::EndEntity | About::Subject(_)) => "the token".to_owned(),
        }
    }

    fn name_of_end(&self, trail: &[Step<'a>]) -> String {
        match trail.last() {
            Some(Step::Statement(statement)) => statement.issuer.clone(),
            Some(Step::Token) | None => "the token".to_owned(),
        }
    }
}

impl ChainModel<'_> {
    fn identity(
        &self,
        reached: &AnchorKey<'_>,
        path: &[Vouch],
        expires: Time,
        audience: &str,
        (facts, rule): (Facts, Option<&Rule>),
    ) -> Identity {
        let now = self.asked.question.now;
        let ends = [
            reached.anchor.stewardship.expires,
            reached.federation.standing().end(),
        ];
        let key = reached.key.as_ref().map(|key| key.name());
        let mut checks = vec![
            Check {
                what: "chain",
                compared: Compared::with(
                    "{} statements up to {}",
                    vec![
                        Fact::Count(path.len().saturating_sub(1)),
                        Fact::Text(reached.federation.entity_id().to_owned()),
                    ],
                ),
                spec: "OpenID Federation 1.0 10.2",
            },
            Check {
                what: "time",
                compared: Compared::with(
                    "{} is before {}",
                    vec![Fact::Time(now), Fact::Time(expires)],
                ),
                spec: "OpenID Federation 1.0 10.2; RFC 7519 4.1.4",
            },
            Check {
                what: "audience",
                compared: audience.to_owned().into(),
                spec: "RFC 7519 4.1.3",
            },
        ];
        checks.extend(rule.map(proved::by_rule));
        Identity {
            name: format!(
                "{}#{}",
                self.issuer(),
                self.claims.subject.unwrap_or_default()
            ),
            kind: IdentityKind::Token,
            model: TrustModel::Federation,
            path: path.to_vec(),
            anchor: AnchorReached {
                anchor: Arc::clone(reached.anchor),
                key: key.unwrap_or_default(),
                thumbprint: reached.key.as_ref().ok().map(|key| key.thumbprint()),
                subject: self.issuer().to_owned(),
            },
            checks,
            legs: Vec::new(),
            facts,
            signed_in: None,
            claims: None,
            proxying: None,
            revocation: Vec::new(),
            valid_from: self.claims.valid_from(now),
            valid_until: proved::last_second(expires, ends),
        }
    }
}
