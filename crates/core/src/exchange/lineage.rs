//! What something that is given descends from, and whether whoever vouched for each of it is still
//! trusted.

use std::sync::Arc;

use super::Believed;
use super::place::Place;
use super::rule::{ExchangeRule, Rules};
use super::statement::{Ancestor, Sayer, is_bearable};
use crate::anchor::{Anchor, AnchorKind};
use crate::credential::jose::bundle::Bundle;
use crate::credential::jose::jwk::{Jwk, KeySet};
use crate::ended::Mark;
use crate::id::SpiffeId;
use crate::model::federation::{Introspection, IssuerAnchor};
use crate::reason::Reason;
use crate::verdict::{IdentityKind, TrustModel};
use crate::view::View;

/// What a tenant trusted and gave when something was considered.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// What it trusted.
    pub view: &'a View,
    /// Its rules.
    pub rules: &'a Rules,
}

/// On what rests what is about to be given.
#[derive(Clone, Copy, Debug)]
pub struct Granted<'a> {
    /// The name of its rule.
    pub rule: &'a str,
    /// What it descends from, the first ancestor first.
    pub lineage: &'a [Ancestor],
}

/// Whether what was considered by what was trusted and given `before` could be given still, as far as that
/// rests on its rule and on who has vouched: what changes while something is under way holds for it, too.
///
/// # Errors
///
/// `issue.exchange_not_admitted`, `issue.bound_exceeded`, `issue.lineage_broken`.
pub fn still_given(
    place: Place<'_>,
    before: Before<'_>,
    granted: Granted<'_>,
) -> Result<(), Reason> {
    let Granted { rule, lineage } = granted;
    let refuse = |differs: String| {
        Err(Reason::IssueExchange {
            subject: lineage.last().map_or("it", |one| &one.issuer).to_owned(),
            closest: rule.to_owned(),
            differs: vec![differs],
        })
    };
    let called = |one: &&ExchangeRule| one.name() == rule;
    let mut live = place.rules.usable.iter();
    match live.find(|one| called(one) && !one.has_ended(place.now)) {
        Some(now) => {
            now.check_bounds()?;
            let was = before.rules.usable.iter().find(called);
            if was.is_none_or(|was| was.document != now.document) {
                return refuse("what it says, which has changed meanwhile".to_owned());
            }
        }
        None => return refuse("that it is not there any more".to_owned()),
    }
    check_trusted(place, lineage)?;
    match place.view.anchors().iter().find(|anchor| {
        let vouched = |ancestor: &Ancestor| ancestor.of.is_none() && ancestor.anchor == anchor.name;
        let was = |was: &Arc<Anchor>| was.name == anchor.name && anchor.is_bounded_as(was);
        lineage.iter().any(vouched) && !before.view.anchors().iter().any(was)
    }) {
        None => Ok(()),
        Some(anchor) => refuse(format!(
            "what may be had through {}, which has changed meanwhile",
            anchor.name
        )),
    }
}

/// What the subject descends from, and itself. What was signed says so, whoever has signed it: a way
/// through another tenant and back leads around nothing. Every anchor of the tenant in it must still be
/// trusted, so that what descends from one that is not dies with it.
pub(super) fn lineage(place: Place<'_>, subject: &Believed) -> Result<Vec<Ancestor>, Reason> {
    let mut lineage: Vec<Ancestor> = match &subject.statement {
        Some(statement) => {
            let named = statement.subject.issuer.as_deref();
            let sayer = named.unwrap_or(&subject.identity.anchor().subject);
            let sayer = match is_own(place, &subject.identity.anchor().anchor) {
                true => place.issuer,
                false => sayer,
            };
            // A tenant gives names of its own trust domains alone. Whoever else writes one of ours has what it
            // says held to our anchors, which only ever costs it something.
            let id = SpiffeId::parse(&statement.subject.subject).ok();
            let sayer = Sayer {
                name: sayer,
                domain: id.as_ref().map(|id| id.trust_domain().as_str()),
            };
            let told = statement.lineage.iter().cloned();
            told.map(|one| one.told(sayer, place)).collect()
        }
        // What is on record of it holds by whichever anchor it is believed.
        None => subject.on_record.clone(),
    };
    check_trusted(place, &lineage)?;
    let statement = subject.statement.as_ref();
    let mut itself = Ancestor::of(&subject.identity, subject.digest, statement);
    itself.birth.marks.extend(mark_of_certificate(subject));
    lineage.push(itself);
    match is_bearable(&lineage) {
        true => Ok(lineage),
        false => Err(too_many()),
    }
}

/// By what a certificate of a workload is ended alone, with all that is given for it: the same as by what a
/// token is, its number. The subject's other certificates go on.
fn mark_of_certificate(believed: &Believed) -> Option<Mark> {
    let serial = believed.serial.as_ref()?;
    let id = SpiffeId::parse(believed.identity.name()).ok()?;
    let is_workload = believed.identity.kind() == IdentityKind::Spiffe;
    let issuer = format!("spiffe://{}", id.trust_domain());
    is_workload.then(|| Mark::token(&issuer, serial))
}

/// Whether what is believed by an anchor is what the tenant itself has signed.
fn is_own(place: Place<'_>, anchor: &Anchor) -> bool {
    match &anchor.kind {
        AnchorKind::TrustDomain(bundle) => place.own.contains(&bundle.trust_domain),
        // It may have been registered like any other; what it says of itself is still its own.
        AnchorKind::Issuer(issuer) => issuer.issuer() == place.issuer,
        AnchorKind::ApiKey(_)
        | AnchorKind::Certificate(_)
        | AnchorKind::Federation(_)
        | AnchorKind::Saml(_)
        | AnchorKind::Ssh(_) => false,
    }
}

/// Whether whoever vouched for each ancestor is trusted still.
fn check_trusted(place: Place<'_>, lineage: &[Ancestor]) -> Result<(), Reason> {
    let trusted = |ancestor: &&Ancestor| {
        // Whether it is trusted elsewhere is for that tenant to say.
        if ancestor.of.is_some() {
            return true;
        }
        let mut anchors = place.view.anchors().iter();
        let mut clients = place.rules.usable.iter();
        anchors.any(|anchor| stands(place, anchor, ancestor))
            || clients.any(|rule| {
                let keys = rule.keys_of_client(&ancestor.anchor);
                let has_key = keys.is_some_and(|keys| has_key(keys, ancestor));
                has_key && !rule.has_ended(place.now)
            })
    };
    match lineage.iter().find(|ancestor| !trusted(ancestor)) {
        None => Ok(()),
        Some(gone) => Err(Reason::IssueLineage {
            anchor: gone.anchor.clone(),
        }),
    }
}

/// By which model an anchor has vouched for the ancestor. A trust domain has keys of both kinds.
pub(super) fn model_of(anchor: &Anchor, ancestor: &Ancestor) -> TrustModel {
    match &anchor.kind {
        AnchorKind::ApiKey(_) => TrustModel::SharedSecret,
        AnchorKind::Certificate(_) | AnchorKind::Ssh(_) => TrustModel::Pki,
        AnchorKind::Federation(_) | AnchorKind::Issuer(_) | AnchorKind::Saml(_) => {
            TrustModel::Federation
        }
        AnchorKind::TrustDomain(bundle) => match has_authority(bundle, ancestor) {
            true => TrustModel::Pki,
            false => TrustModel::Federation,
        },
    }
}

/// Whether the key that vouched is still among those of its issuer: one that it has removed it has taken
/// back, and so it has where another has its name.
fn has_key(keys: &KeySet, ancestor: &Ancestor) -> bool {
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
fn has_authority(bundle: &Bundle, ancestor: &Ancestor) -> bool {
    let mut authorities = bundle.x509_authorities.iter();
    authorities.any(|authority| *authority.key_id() == *ancestor.key)
}

pub(super) fn too_many() -> Reason {
    Reason::IssueDelegation {
        detail: "the token descends from too many others".to_owned(),
    }
}

/// Whether an anchor is the one that vouched for the ancestor, and would still be asked. Another
/// issuer or another key under the same name has vouched for nothing, nor has one of another tenant.
pub(super) fn stands(place: Place<'_>, anchor: &Anchor, ancestor: &Ancestor) -> bool {
    if ancestor.of.is_some()
        || anchor.name != ancestor.anchor
        || anchor.admits(place.view.tenant(), place.now).is_err()
    {
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
