//! What a trust in an issuer must say before it is saved, whether as an issuer or as an anchor.
//!
//! Both refusals can be overridden with a reason and an end. They do not hold for what is not saved:
//! whoever brings trust along with a question decides for themselves.

use avouch_core::anchor::{Anchor, AnchorKind};
use avouch_core::credential::jose::jwk::KeySet;
use avouch_core::model::federation::{IssuerAnchor, Standing};
use avouch_core::policy::facts::Facts;
use avouch_core::policy::presets::Preset;
use avouch_core::policy::rules::Rule;
use avouch_core::reason::Reason;
use avouch_core::time::Time;

use super::telling::everyone_of;

/// Refuses to save what would believe everyone, or whoever takes a name over.
///
/// # Errors
///
/// `issue.trust_unconditional`, `issue.trust_mutable`.
pub(crate) fn check(kind: &AnchorKind) -> Result<(), Reason> {
    match kind {
        AnchorKind::Issuer(issuer) => check_issuer(issuer),
        AnchorKind::Saml(provider) => {
            let (name, rules) = (provider.entity_id(), provider.rules());
            let everyone = || format!("everyone for whom {name} signs");
            refuse_unconditional(name, None, provider.standing(), rules, everyone)?;
            refuse_mutable(None, provider.standing(), rules)
        }
        AnchorKind::Federation(federation) => {
            let (name, rules) = (federation.entity_id(), federation.rules());
            let everyone = || format!("everyone for whom an entity below {name} signs");
            refuse_unconditional(name, None, federation.standing(), rules, everyone)?;
            refuse_mutable(None, federation.standing(), rules)
        }
        // Each of these is one key of one subject, or vouches for names below its own.
        AnchorKind::ApiKey(_)
        | AnchorKind::Certificate(_)
        | AnchorKind::Ssh(_)
        | AnchorKind::TrustDomain(_) => Ok(()),
    }
}

/// Refuses to save what could never be believed: what is over, and key sets in which no key can check
/// anything, which would be found out when the first token is refused.
///
/// # Errors
///
/// `issue.object_malformed`, `input.jwks_malformed`.
pub(crate) fn check_usable(object: &'static str, anchor: &Anchor, now: Time) -> Result<(), Reason> {
    if anchor.stewardship.expires.is_some_and(|end| end <= now) {
        return Err(Reason::IssueObjectMalformed {
            object,
            member: "expires".to_owned(),
            detail: "it is over".to_owned(),
        });
    }
    let issuer = anchor.kind.as_issuer();
    let keys = issuer.and_then(|issuer| Some((issuer.issuer(), issuer.keys()?)));
    match keys {
        Some((name, set)) if set.keys().is_empty() => Err(no_key_of(name, set)),
        Some(_) | None => Ok(()),
    }
}

/// That none of a set of keys can check a signature, and why the first cannot.
pub(crate) fn no_key_of(issuer: &str, set: &KeySet) -> Reason {
    let why = set.set_aside().first();
    let why = why.map(|one| one.reason().sentence()).unwrap_or_default();
    Reason::JwksMalformed {
        issuer: issuer.to_owned(),
        detail: format!("none of its keys can check a signature; {why}"),
    }
}

/// A cluster is excused from rules: its issuer is no name but its keys, which are given by its owner, and
/// who comes out of it are workloads of that owner, whom exchange rules tell apart. So is the bundle of a
/// trust domain, which is no issuer: it vouches for nothing but IDs below its own name.
fn check_issuer(issuer: &IssuerAnchor) -> Result<(), Reason> {
    let (name, standing, rules) = (issuer.issuer(), issuer.standing(), issuer.rules());
    let preset = issuer.preset();
    if preset != Some(Preset::Kubernetes) {
        refuse_unconditional(name, preset, standing, rules, || everyone_of(issuer))?;
    }
    refuse_mutable(preset, standing, rules)
}

/// An issuer alone says whose house the key is from, not who comes out of it.
fn refuse_unconditional(
    name: &str,
    preset: Option<Preset>,
    standing: &Standing,
    rules: &[Rule],
    everyone: impl FnOnce() -> String,
) -> Result<(), Reason> {
    if standing.unpinned_reason().is_some() {
        return Ok(());
    }
    let refuse = |rule: &str, population: String| {
        Err(Reason::IssueTrustUnconditional {
            issuer: name.to_owned(),
            rule: rule.to_owned(),
            population,
        })
    };
    match rules {
        [] => refuse("(none)", everyone()),
        rules => match rules.iter().find(|rule| !rule.names_someone(name, preset)) {
            None => Ok(()),
            Some(rule) => refuse(rule.name(), rule.population(&Facts::default())),
        },
    }
}

/// Refuses rules that trust a name that somebody else may have later, with no pin beside it.
///
/// Names of Kubernetes are excused, too: nobody from outside the cluster can take one over, and what
/// deploys there deletes and makes accounts anew under their names every day. Whoever wants the account
/// and not its name pins `k8s.service_account_uid`; that a rule does not is told as a warning.
fn refuse_mutable(
    preset: Option<Preset>,
    standing: &Standing,
    rules: &[Rule],
) -> Result<(), Reason> {
    if standing.unpinned_reason().is_some() {
        return Ok(());
    }
    for rule in rules {
        if let Some(changeable) = rule.changeable(preset) {
            return Err(Reason::IssueTrustMutable {
                rule: rule.name().to_owned(),
                names: changeable.names,
                pins: changeable.pins.into_iter().map(str::to_owned).collect(),
            });
        }
    }
    Ok(())
}
