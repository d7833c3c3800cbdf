//! What a trust in an issuer must say before it is saved, whether as an issuer or as an anchor.
//!
//! Both refusals can be overridden with a reason and an end. They do not hold for what is not saved:
//! whoever brings trust along with a question decides for themselves.

use avouch_core::model::federation::IssuerAnchor;
use avouch_core::policy::facts::Facts;
use avouch_core::policy::presets::Preset;
use avouch_core::policy::rules::Rule;
use avouch_core::reason::Reason;

use super::telling::everyone_of;

/// Refuses to save what would believe everyone, or whoever takes a name over.
///
/// # Errors
///
/// `issue.trust_unconditional`, `issue.trust_mutable`.
pub(crate) fn check(issuer: &IssuerAnchor) -> Result<(), Reason> {
    if issuer.standing().unpinned_reason().is_some() {
        return Ok(());
    }
    refuse_unconditional(issuer)?;
    match issuer.preset() {
        Some(preset) => refuse_mutable(preset, issuer.rules()),
        None => Ok(()),
    }
}

/// An issuer alone says whose house the key is from, not who comes out of it.
///
/// A cluster is excused: its issuer is no name but its keys, which are given by its owner, and who
/// comes out of it are workloads of that owner, whom exchange rules tell apart. So is the bundle of a
/// trust domain, which is no issuer: it vouches for nothing but IDs below its own name.
fn refuse_unconditional(issuer: &IssuerAnchor) -> Result<(), Reason> {
    if issuer.preset() == Some(Preset::Kubernetes) {
        return Ok(());
    }
    let refuse = |rule: &str, population: String| {
        Err(Reason::IssueTrustUnconditional {
            issuer: issuer.issuer().to_owned(),
            rule: rule.to_owned(),
            population,
        })
    };
    match issuer.rules() {
        [] => refuse("(none)", everyone_of(issuer)),
        rules => match rules.iter().find(|rule| !rule.names_someone()) {
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
fn refuse_mutable(preset: Preset, rules: &[Rule]) -> Result<(), Reason> {
    for rule in rules {
        let asked = rule.conditions().keys().map(String::as_str);
        let names: Vec<String> = asked
            .filter(|fact| preset.names_that_are_given_up().contains(fact))
            .map(str::to_owned)
            .collect();
        if !names.is_empty() && !rule.pins(preset) {
            return Err(Reason::IssueTrustMutable {
                rule: rule.name().to_owned(),
                names,
                pins: preset.pins().iter().map(|pin| (*pin).to_owned()).collect(),
            });
        }
    }
    Ok(())
}
