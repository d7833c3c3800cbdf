//! What depends on an issuer: what stops if nothing of it is believed any more, and what stops when
//! it cannot be reached for a while.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::anchor::AnchorKind;
use avouch_core::exchange::ExchangeRule;
use avouch_core::exchange::statement::descends_from;
use avouch_core::time::Time;
use serde_json::{Value, json};

use super::keys::{Keys, KnownKey};
use super::settings::IssuerSettings;
use super::telling::{admitted, population};
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How many records of what was issued are looked at for what descends from an issuer.
const MOST_LOOKED_AT: u32 = 20_000;

/// How many of these are shown.
const MOST_SHOWN: usize = 100;

/// What is reached through some anchors.
struct Reached {
    /// The anchors, and whom each lets in.
    anchors: Vec<Value>,
    /// The exchange rules that admit nobody without them.
    rules: Vec<Value>,
    /// The exchange rules for which some may not act without them.
    actors: Vec<Value>,
    /// The longest life of what the rules give, in seconds.
    longest: Option<i64>,
}

impl Plane {
    /// What stops when nothing of an issuer is believed any more: every anchor through which it is
    /// believed now and whom each lets in, and the exchange rules that have admitted nobody else.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn reliance_on_issuer(&self, tenant: &Arc<Tenant>, name: &str) -> Result<Value, Refused> {
        let id = self.issuer_named(tenant, name)?;
        let (settings, keys) = self.issuer(tenant, &id)?;
        let reached = self.reached_through(tenant, &settings.issuer, None)?;
        let ends = reached.longest.map(|longest| self.now().plus(longest));
        let alive = self.alive_from(tenant, &settings.issuer);
        Ok(json!({
            "issuer": settings.issuer,
            "stops": reached.anchors,
            "exchange_rules": reached.rules,
            "actors_of_rules": reached.actors,
            "exchanged_before": exchanged_before(ends),
            "alive": alive,
            "keys": keys.current().map(KnownKey::name).collect::<Vec<_>>(),
            "already": keys.quarantine.is_some(),
        }))
    }

    /// What stops, and when, if the keys of an issuer cannot be fetched from now on for so many
    /// seconds. What it has signed is believed until its keys are too old; what rests on keys that
    /// were given by hand goes on.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn impact_of_issuer(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        seconds: i64,
    ) -> Result<Value, Refused> {
        let id = self.issuer_named(tenant, name)?;
        let (settings, keys) = self.issuer(tenant, &id)?;
        let back = self.now().plus(seconds);
        let stops_at = usable_until(&settings, &keys).filter(|until| *until <= back);
        let own = self.reached_through(tenant, &settings.issuer, Some(id.as_str()))?;
        let all = self.reached_through(tenant, &settings.issuer, None)?;
        let nothing = Reached {
            anchors: Vec::new(),
            rules: Vec::new(),
            actors: Vec::new(),
            longest: None,
        };
        let goes_on: Vec<Value> = match stops_at {
            None => all.anchors,
            Some(_) => {
                let is_other = |anchor: &Value| !own.anchors.contains(anchor);
                all.anchors.into_iter().filter(is_other).collect()
            }
        };
        let stopping = if stops_at.is_some() { own } else { nothing };
        let ends = stops_at.zip(stopping.longest);
        Ok(json!({
            "issuer": settings.issuer,
            "down_until": back.to_string(),
            "usable_until": usable_until(&settings, &keys).map(|until| until.to_string()),
            "stops_at": stops_at.map(|at| at.to_string()),
            "code": stops_at.map(|_| "federation.keys_stale"),
            "stops": stopping.anchors,
            "exchange_rules": stopping.rules,
            "actors_of_rules": stopping.actors,
            "exchanged_before": exchanged_before(ends.map(|(at, longest)| at.plus(longest))),
            "goes_on": goes_on,
            "at_once": at_once(&settings),
        }))
    }

    /// What was exchanged from tokens of an issuer, at whatever remove, and has not ended; nothing if
    /// the store cannot tell now. Of very many, the earliest are looked at.
    pub(super) fn alive_from(&self, tenant: &Arc<Tenant>, issuer: &str) -> Option<Value> {
        let now = self.now();
        let rules = self.rules(tenant).ok()?;
        let longest = rules.usable.iter().map(|rule| rule.lifetime()).max();
        let from = now.plus(-longest.unwrap_or_default());
        let recorded = self.store.intents(tenant.id(), from, MOST_LOOKED_AT).ok()?;
        let is_all = recorded.len() < usize::try_from(MOST_LOOKED_AT).unwrap_or(usize::MAX);
        let mut alive = recorded
            .iter()
            .filter(|intent| intent.not_after > now && descends_from(&intent.lineage, issuer));
        let count = alive.clone().count();
        let shown = alive.by_ref().take(MOST_SHOWN).map(|intent| {
            json!({
                "subject": intent.subject.as_str(),
                "kind": intent.kind.name(),
                "until": intent.not_after.to_string(),
            })
        });
        Some(json!({
            "count": count,
            "is_all": is_all,
            "some": shown.collect::<Vec<_>>(),
        }))
    }

    /// The names of the anchors that name an issuer.
    pub(super) fn anchors_named(
        &self,
        tenant: &Arc<Tenant>,
        issuer: &str,
    ) -> Result<Vec<String>, Refused> {
        let mut names = Vec::new();
        for document in self.trust_of(tenant)? {
            let anchors = document.entries().iter().map(|entry| &entry.anchor);
            let named = anchors.filter(|anchor| anchor.kind.issuer_name() == Some(issuer));
            names.extend(named.map(|anchor| anchor.name.clone()));
        }
        Ok(names)
    }

    /// What is reached through the anchors that name an issuer, or through the one of this name.
    fn reached_through(
        &self,
        tenant: &Arc<Tenant>,
        issuer: &str,
        only: Option<&str>,
    ) -> Result<Reached, Refused> {
        let mut anchors = Vec::new();
        let mut names = BTreeSet::new();
        for document in self.trust_of(tenant)? {
            for entry in document.entries() {
                let anchor = &entry.anchor;
                let (name, rules, admits) = match &anchor.kind {
                    AnchorKind::Issuer(found) => (found.issuer(), found.rules(), population(found)),
                    AnchorKind::Saml(found) => (found.entity_id(), found.rules(), admitted(found)),
                    _ => continue,
                };
                if name == issuer && only.is_none_or(|only| anchor.name == only) {
                    names.insert(anchor.name.clone());
                    anchors.push(json!({
                        "anchor": anchor.name,
                        "rules": rules.iter().map(|rule| rule.name()).collect::<Vec<_>>(),
                        "admits": admits,
                    }));
                }
            }
        }
        let now = self.now();
        let rules = self.rules(tenant)?;
        let live = rules.usable.iter().filter(|rule| !rule.has_ended(now));
        let (admitting, others): (Vec<&ExchangeRule>, Vec<&ExchangeRule>) =
            live.partition(|rule| {
                let anchor = rule.admits().anchor();
                anchor.is_some_and(|anchor| names.contains(anchor))
            });
        let acting = others.into_iter().filter(|rule| {
            let mut anchors = rule.actors().iter().filter_map(|actor| actor.anchor());
            anchors.any(|anchor| names.contains(anchor))
        });
        Ok(Reached {
            anchors,
            actors: acting.map(rule_to_json).collect(),
            longest: admitting.iter().map(|rule| rule.lifetime()).max(),
            rules: admitting.into_iter().map(rule_to_json).collect(),
        })
    }
}

fn rule_to_json(rule: &ExchangeRule) -> Value {
    json!({
        "rule": rule.name(),
        "admits": rule.population(),
        "gives": rule.grant_in_words(),
        "lifetime": rule.lifetime(),
    })
}

/// What was exchanged earlier is not exchanged any further, and whoever checks it elsewhere believes
/// it until it ends.
pub(super) fn exchanged_before(ends: Option<Time>) -> Value {
    json!({
        "ends_by": ends.map(|ends| ends.to_string()),
        "note": ends.map(|_| "what was exchanged under these rules is not exchanged again; whoever \
                              checks it elsewhere believes it until it ends, at the latest then"),
    })
}

/// Until when its keys may be used if none are fetched any more.
fn usable_until(settings: &IssuerSettings, keys: &Keys) -> Option<Time> {
    if !settings.is_fetched() {
        return None;
    }
    Some(Time::from_unix(keys.next?).plus(settings.stale_for))
}

/// What stops in the first second.
fn at_once(settings: &IssuerSettings) -> &'static str {
    match settings.is_fetched() {
        true => {
            "whoever needs a new token of the issuer gets none from it; whoever shows one that names a \
             key that is not known yet is told to come again"
        }
        false => "whoever needs a new token of the issuer gets none from it",
    }
}
