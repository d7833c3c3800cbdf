//! What superiors ask of a whole path (OpenID Federation 1.0, section 6.2), and the marks that an
//! anchor asks for (section 7).

use serde_json::{Map, Value};

use super::anchor::FederationAnchor;
use crate::budget::{Budget, Limits};
use crate::credential::jose::entity::{EntityHost, EntityStatement, PathConstraints, host_of};
use crate::credential::jose::jwk::KeySet;
use crate::credential::jose::jws::Jws;
use crate::crypto::Verifier;
use crate::model::federation::claims::{CLOCK_LEEWAY, Claims};
use crate::model::federation::keys::select;
use crate::reason::Reason;
use crate::stop::Stop;
use crate::time::{Time, duration_in_words};

/// The type of what belongs to the federation itself, which no constraint takes away.
const OF_FEDERATION: &str = "federation_entity";

/// Whether a statement holds at `now`.
pub(super) fn check_times(statement: &EntityStatement<'_>, now: Time) -> Result<(), Reason> {
    let expired = statement.expires;
    if now >= expired {
        return Err(Reason::StatementExpired {
            issuer: statement.issuer.clone(),
            entity: statement.subject.clone(),
            expired,
            at: now,
        });
    }
    if statement.issued_at > now.plus(CLOCK_LEEWAY) {
        return Err(Reason::IssuedInFuture {
            issued_at: statement.issued_at,
            at: now,
            ahead: duration_in_words(statement.issued_at.since(now)),
        });
    }
    Ok(())
}

/// Whether the entities below agree with the constraints of a statement. `below` are those that it
/// speaks of, the leaf first and the subject of the statement last.
pub(super) fn check_path(statement: &EntityStatement<'_>, below: &[&str]) -> Result<(), Reason> {
    let PathConstraints {
        max_path_length,
        permitted,
        excluded,
        ..
    } = &statement.constraints;
    let intermediates = below.len().saturating_sub(1);
    if let Some(allowed) = *max_path_length
        && u64::try_from(intermediates).unwrap_or(u64::MAX) > allowed
    {
        return Err(Reason::ChainPathLength {
            issuer: statement.issuer.clone(),
            allowed: i64::try_from(allowed).unwrap_or(i64::MAX),
            intermediates,
        });
    }
    if permitted.is_none() && excluded.is_empty() {
        return Ok(());
    }
    for entity in below {
        if !is_within(entity, permitted.as_deref(), excluded) {
            return Err(Reason::ChainName {
                issuer: statement.issuer.clone(),
                entity: (*entity).to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether naming constraints let a name be. What has no fully qualified domain name lies neither in
/// a domain nor outside of one, and is refused (RFC 5280 4.2.1.10).
fn is_within(entity: &str, permitted: Option<&[String]>, excluded: &[String]) -> bool {
    let Some(EntityHost::Name(host)) = host_of(entity) else {
        return false;
    };
    let is_in = |bases: &[String]| bases.iter().any(|base| covers(base, host));
    host.contains('.') && !is_in(excluded) && permitted.is_none_or(is_in)
}

/// RFC 5280 4.2.1.10 for URIs: a host, or with a leading dot all that is below one.
fn covers(base: &str, host: &str) -> bool {
    let (base, host) = (base.to_ascii_lowercase(), host.to_ascii_lowercase());
    match base.strip_prefix('.') {
        Some(_) => host.len() > base.len() && host.ends_with(&base),
        None => host == base,
    }
}

/// Takes away what an entity is not allowed to be.
pub(super) fn keep_types(statement: &EntityStatement<'_>, metadata: &mut Map<String, Value>) {
    if let Some(allowed) = &statement.constraints.entity_types {
        metadata.retain(|name, _| name == OF_FEDERATION || allowed.contains(name));
    }
}

/// Whether the leaf has every mark that the anchor asks for.
pub(super) struct Marks<'a> {
    pub(super) federation: &'a FederationAnchor,
    pub(super) leaf: &'a EntityStatement<'a>,
    /// The statements of the path, whose subjects' keys are known.
    pub(super) path: &'a [&'a EntityStatement<'a>],
    pub(super) now: Time,
}

impl Marks<'_> {
    /// Until when it has them all; `None` where they do not end.
    pub(super) fn check(
        &self,
        crypto: &dyn Verifier,
        budget: &mut Budget,
    ) -> Result<Option<Time>, Stop> {
        let mut until = None;
        for required in self.federation.trust_marks() {
            let mut why = "it has none of this type".to_owned();
            let of_type = |mark: &&(String, String)| mark.0 == required.mark;
            // Of several of one type, the one that holds the longest counts.
            let mut held: Option<Option<Time>> = None;
            for (_, token) in self.leaf.trust_marks.iter().filter(of_type) {
                match self.check_one(token, &required.mark, &required.issuers, crypto, budget) {
                    Ok(end) => held = Some(longer(held, end)),
                    Err(Stop::Refused(reason)) => {
                        reason.sentence().trim_end_matches('.').clone_into(&mut why);
                    }
                    Err(stop) => return Err(stop),
                }
            }
            let Some(end) = held else {
                return Err(Reason::TrustMark {
                    entity: self.leaf.subject.clone(),
                    mark: required.mark.clone(),
                    detail: why,
                }
                .into());
            };
            until = until.into_iter().chain(end).min();
        }
        Ok(until)
    }

    fn check_one(
        &self,
        token: &str,
        mark: &str,
        issuers: &[String],
        crypto: &dyn Verifier,
        budget: &mut Budget,
    ) -> Result<Option<Time>, Stop> {
        let refuse = |detail: &str| Reason::TrustMark {
            entity: self.leaf.subject.clone(),
            mark: mark.to_owned(),
            detail: detail.to_owned(),
        };
        let jws = Jws::read(token, &Limits::default())?;
        if !jws.header().is_of_type("trust-mark+jwt") {
            return Err(refuse("it is no trust mark").into());
        }
        let claims = Claims::read(&jws.claims)?;
        let issuer = claims.issuer.unwrap_or_default();
        if !issuers.iter().any(|one| one == issuer) {
            return Err(refuse("who gave it may not").into());
        }
        let of_type = jws.claims.get("trust_mark_type").and_then(Value::as_str);
        if claims.subject != Some(&self.leaf.subject) || of_type != Some(mark) {
            return Err(refuse("it was given to another, or is another mark").into());
        }
        if claims.expires.is_some_and(|expires| self.now >= expires)
            || claims
                .issued_at
                .is_none_or(|at| at > self.now.plus(CLOCK_LEEWAY))
        {
            return Err(refuse("it does not hold now").into());
        }
        let keys = self.keys_of(issuer);
        let keys = keys.ok_or_else(|| refuse("the keys of who gave it are not on the path"))?;
        for key in select(keys, jws.header(), issuer).into_iter().flatten() {
            key.admits(jws.header().algorithm)?;
            if jws.is_signed_by(key.key(), crypto, budget)? {
                return Ok(claims.expires);
            }
        }
        Err(refuse("its signature does not hold").into())
    }

    fn keys_of(&self, issuer: &str) -> Option<&KeySet> {
        if issuer == self.federation.entity_id() {
            return Some(self.federation.keys());
        }
        // What an entity on the path says of another is its own word: only the anchor is asked whose
        // marks count, so only the anchor says with which keys they are made.
        let others = self.path.iter().filter(|one| !one.is_configuration());
        let mut of_issuer =
            others.filter(|one| one.subject == issuer && one.issuer == self.federation.entity_id());
        of_issuer.next().map(|one| &one.keys)
    }
}

/// Of what is held and one more, the one that ends later; what has no end ends last.
fn longer(held: Option<Option<Time>>, more: Option<Time>) -> Option<Time> {
    match held {
        None => more,
        Some(held) => held.zip(more).map(|(held, more)| held.max(more)),
    }
}
