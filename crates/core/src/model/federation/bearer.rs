//! What a token that is shown alone must say about itself, whoever issued it.

use super::claims::Claims;
use crate::credential::jose::jws::Jws;
use crate::question::Context;
use crate::reason::Reason;

/// Refuses a token whose type says that it proves something else than who its bearer is
/// (RFC 8725 3.11).
pub(super) fn check_bearer_type(token: &Jws<'_>, context: &Context) -> Result<(), Reason> {
    let found = token.header().token_type.as_ref();
    if context.access_token {
        // RFC 9068 4: anything else is refused, a type left out with it.
        return match found.map(|found| media_type(found)) {
            Some(name) if name.eq_ignore_ascii_case("at+jwt") => Ok(()),
            Some(_) | None => Err(Reason::TypeUnexpected {
                found: found.map_or("(none)", String::as_str).to_owned(),
                expected: vec!["at+jwt".to_owned()],
            }),
        };
    }
    let Some(found) = found else {
        return Ok(());
    };
    let name = media_type(found);
    if name.eq_ignore_ascii_case("JWT") || found == "JOSE" {
        return Ok(());
    }
    if context
        .own_type
        .is_some_and(|own| name.eq_ignore_ascii_case(own))
    {
        return Ok(());
    }
    if name.eq_ignore_ascii_case("wit+jwt") {
        return Err(Reason::ProofMissing {});
    }
    Err(Reason::TypeUnexpected {
        found: found.clone(),
        expected: vec!["JWT".to_owned()],
    })
}

/// A type without the `application/` that RFC 7515 4.1.9 lets a writer leave out.
pub(super) fn media_type(token_type: &str) -> &str {
    let prefix = "application/";
    match token_type.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => {
            token_type.get(prefix.len()..).unwrap_or_default()
        }
        Some(_) | None => token_type,
    }
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
