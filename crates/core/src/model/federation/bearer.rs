//! What a token that is shown alone must say about itself, whoever issued it.

use super::claims::Claims;
use crate::credential::jose::jws::Jws;
use crate::question::Context;
use crate::reason::Reason;

/// Refuses a token whose type says that it proves something else than who its bearer is
/// (RFC 8725 3.11).
pub(super) fn check_bearer_type(token: &Jws<'_>, context: &Context) -> Result<(), Reason> {
    let header = token.header();
    if context.access_token {
        // RFC 9068 4: anything else is refused, a type left out with it.
        return header.expect_type("at+jwt");
    }
    if header.token_type().is_none() || header.is_of_type("JOSE") {
        return Ok(());
    }
    let is_own = |own: &&str| header.is_of_type(own);
    if context.own_type.as_ref().is_some_and(is_own) {
        return Ok(());
    }
    if header.is_of_type("wit+jwt") {
        return Err(Reason::ProofMissing {});
    }
    header.expect_type("JWT")
}

/// What every token that is shown alone must say about itself, whoever issued it.
pub(super) fn check_bearer_claims(claims: &Claims<'_>, context: &Context) -> Result<(), Reason> {
    let is_legacy = claims.issuer == Some("kubernetes/serviceaccount")
        || claims
            .all
            .contains_key("kubernetes.io/serviceaccount/secret.name");
    if is_legacy {
        return Err(Reason::LegacyKubernetesToken {});
    }
    // RFC 8417 4.5 and 4.6: what says that something happened says nothing of who its bearer is. Not
    // every issuer of such tokens, nor of logout tokens (OpenID Connect Back-Channel Logout 1.0 2.4),
    // gives them a type of their own.
    if claims.all.contains_key("events") {
        return Err(Reason::TypeUnexpected {
            found: "security event, since it has `events`".to_owned(),
            expected: vec!["JWT".to_owned()],
        });
    }
    if let Some(cnf) = claims.all.get("cnf")
        && !context.holder.is_meant_by(cnf)
    {
        return Err(Reason::ProofMissing {});
    }
    let subject = claims.required_subject()?;
    if claims.issuer.is_none() && !is_spiffe(subject) {
        return Err(Reason::ClaimMissing { claim: "iss" });
    }
    if claims.audiences.is_empty() {
        return Err(Reason::ClaimMissing { claim: "aud" });
    }
    claims.required_expiry().map(|_| ())
}

/// Whether a subject is meant to be a SPIFFE ID; whether it is one is another question.
pub(crate) fn is_spiffe(subject: &str) -> bool {
    let scheme = "spiffe://";
    subject
        .get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}
