//! For whom a token is, and to whom it was given.

use super::claims::Claims;
use super::issuer::IssuerAnchor;
use crate::anchor::Anchor;
use crate::question::Context;
use crate::reason::Reason;

/// Who the relying party is, as far as anyone says.
pub(super) enum RelyingParty<'a> {
    /// By any of these names.
    Named(Vec<&'a str>),
    /// By none under this anchor: the question gives names, and the anchor admits others only.
    NotAdmitted(&'a [String]),
    /// No one says, so no token can be told to be for it.
    Unknown,
}

impl<'a> RelyingParty<'a> {
    /// The names that the question gives, within those for which the anchor admits tokens; either
    /// alone where the other says nothing.
    pub(super) fn of(context: &'a Context, admitted: &'a [String]) -> Self {
        let asked = &context.audiences;
        let names: Vec<&str> = match (asked.is_empty(), admitted.is_empty()) {
            (true, true) => return Self::Unknown,
            (true, false) => admitted.iter().map(String::as_str).collect(),
            (false, true) => asked.iter().map(String::as_str).collect(),
            (false, false) => asked
                .iter()
                .filter(|name| admitted.contains(name))
                .map(String::as_str)
                .collect(),
        };
        match names.is_empty() {
            true => Self::NotAdmitted(admitted),
            false => Self::Named(names),
        }
    }

    /// The name of it that the audiences hold, compared exactly. `anchor` is the anchor that admits
    /// names or does not.
    pub(super) fn check(
        &self,
        audiences: &[&'a str],
        context: &Context,
        anchor: &Anchor,
    ) -> Result<Option<&'a str>, Reason> {
        let names = match self {
            Self::Unknown => return Ok(None),
            // No token whatever could be for it, so that what this one is for says nothing.
            Self::NotAdmitted(admitted) => {
                return Err(Reason::AnchorAudience {
                    anchor: anchor.name.clone(),
                    list: "audiences",
                    asked: context.audiences.clone(),
                    permitted: admitted.to_vec(),
                });
            }
            Self::Named(names) => names,
        };
        match audiences.iter().find(|audience| names.contains(audience)) {
            Some(audience) => Ok(Some(audience)),
            None => Err(Reason::AudienceMismatch {
                audiences: owned(audiences),
                expected: owned(names),
            }),
        }
    }
}

/// What an issuer's anchor asks beyond that the audience fits: that there is no other, and that
/// the token was given to someone it knows (OpenID Connect Core 3.1.3.7). `fits` is the audience
/// that is the relying party.
pub(super) fn check_parties(
    issuer: &IssuerAnchor,
    claims: &Claims<'_>,
    fits: Option<&str>,
) -> Result<(), Reason> {
    if issuer.single_audience() && claims.audiences.len() > 1 {
        return Err(Reason::AudienceExtra {
            audiences: owned(&claims.audiences),
            expected: fits.map(str::to_owned).into_iter().collect(),
        });
    }
    let known = issuer.authorized_parties();
    if known.is_empty() {
        return Ok(());
    }
    match claims.authorized_party {
        None => Err(Reason::ClaimMissing { claim: "azp" }),
        Some(party) if known.iter().any(|name| name == party) => Ok(()),
        Some(party) => Err(Reason::AuthorizedPartyMismatch {
            authorized_party: party.to_owned(),
            expected: known.to_vec(),
        }),
    }
}

/// The nonce that the relying party sent must come back (OpenID Connect Core 3.1.3.7 (11)).
pub(super) fn check_nonce(context: &Context, claims: &Claims<'_>) -> Result<(), Reason> {
    match &context.nonce {
        Some(sent) if claims.nonce != Some(sent) => Err(Reason::NonceMismatch {}),
        Some(_) | None => Ok(()),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
