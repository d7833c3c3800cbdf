//! What something descends from: whose it is, and whether those who have vouched would do so still.

use super::give::Place;
use super::statement::Ancestor;
use crate::anchor::{Anchor, AnchorKind};
use crate::credential::jose::bundle::Bundle;
use crate::credential::jose::jwk::{Jwk, KeySet};
use crate::model::federation::{Introspection, IssuerAnchor};

/// A lineage as it stands in a token of this issuer or trust domain: where it does not say whose an ancestor
/// is, it is theirs.
pub(super) fn told_by(issuer: &str, lineage: &[Ancestor]) -> Vec<Ancestor> {
    let told = lineage.iter().cloned().map(|mut ancestor| {
        ancestor.via.get_or_insert_with(|| issuer.to_owned());
        ancestor
    });
    told.collect()
}

/// Whether the ancestor is one of this tenant's own, also where others have told it back. Those of others
/// are for these to trust.
pub(super) fn is_ours(place: Place<'_>, ancestor: &Ancestor) -> bool {
    let Some(told_by) = &ancestor.via else {
        return true;
    };
    let domain = told_by.strip_prefix("spiffe://");
    let mut own = place.own.iter();
    told_by == place.issuer || domain.is_some_and(|domain| own.any(|one| one.as_str() == domain))
}

/// Whether an anchor is the one that vouched for the ancestor, and would still be asked. Another
/// issuer or another key under the same name has vouched for nothing.
pub(super) fn stands(place: Place<'_>, anchor: &Anchor, ancestor: &Ancestor) -> bool {
    if anchor.name != ancestor.anchor || anchor.admits(place.view.tenant(), place.now).is_err() {
        return false;
    }
    match &anchor.kind {
        AnchorKind::Issuer(issuer) => {
            issuer.issuer() == ancestor.issuer
                && issuer.standing().counts(place.now)
                && vouches(issuer, ancestor)
        }
        AnchorKind::Saml(provider) => {
            let mut keys = provider.certificates().iter();
            provider.entity_id() == ancestor.issuer
                && provider.check_standing(&anchor.name, place.now).is_ok()
                && keys.any(|key| key.sha256().short() == ancestor.key)
        }
        AnchorKind::ApiKey(known) => known.sha256().to_string() == ancestor.key,
        AnchorKind::Certificate(certificate) => *certificate.key_id() == *ancestor.key,
        AnchorKind::Ssh(trusted) => trusted.fingerprints().contains(&ancestor.key),
        AnchorKind::TrustDomain(bundle) => {
            let named = ancestor.issuer.strip_prefix("spiffe://");
            let tokens = [bundle.jwt_authorities(), bundle.wit_authorities()];
            let signs = || tokens.iter().any(|keys| has_key(keys, ancestor));
            let is_named = named == Some(bundle.trust_domain.as_str());
            (is_named && signs()) || has_authority(bundle, ancestor)
        }
        AnchorKind::Federation(federation) => {
            federation.standing().counts(place.now) && has_key(federation.keys(), ancestor)
        }
    }
}

/// Whether the key that vouched is still among those of its issuer: one that it has removed it has taken
/// back, and so it has where another has its name.
pub(super) fn has_key(keys: &KeySet, ancestor: &Ancestor) -> bool {
    let is_it = |key: &Jwk| match ancestor.thumbprint {
        Some(thumbprint) => key.thumbprint() == thumbprint,
        None => key.name() == ancestor.key,
    };
    keys.keys().iter().any(is_it)
}

/// Whether the issuer would still vouch: by its word where it has given that, or else by a key, of which
/// nothing is said while the keys are not known.
fn vouches(issuer: &IssuerAnchor, ancestor: &Ancestor) -> bool {
    let is_asked = |asking: &Introspection| asking.name() == ancestor.key;
    match ancestor.thumbprint {
        None if issuer.introspection().is_some_and(is_asked) => true,
        _ => issuer.keys().is_none_or(|keys| has_key(keys, ancestor)),
    }
}

/// Whether the ancestor is a certificate of an authority of this bundle.
pub(super) fn has_authority(bundle: &Bundle, ancestor: &Ancestor) -> bool {
    let mut authorities = bundle.x509_authorities.iter();
    authorities.any(|authority| *authority.key_id() == *ancestor.key)
}
