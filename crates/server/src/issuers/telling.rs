//! What is told of an issuer: whom it lets in, how it stands, what depends on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::anchor::AnchorKind;
use avouch_core::model::federation::{IssuerAnchor, SamlAnchor};
use avouch_core::pin::Judged;
use avouch_core::policy::facts::Facts;
use avouch_core::policy::presets::Preset;
use avouch_core::policy::rules::Rule;
use avouch_core::time::Time;
use avouch_store::IssuerId;
use serde_json::{Value, json};

use super::keys::{Keys, KnownKey};
use super::pins::Pins;
use super::secrets::without_secrets;
use super::settings::{IssuerSettings, Source};
use super::{bare_anchor, shown};
use crate::failing::Failing;
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views;

impl Plane {
    /// All issuers of a tenant, in short.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn tell_issuers(&self, tenant: &Arc<Tenant>) -> Result<Vec<Value>, Refused> {
        let ids: Vec<IssuerId> = tenant.read(|snapshot| snapshot.issuers.keys().cloned().collect());
        ids.iter()
            .map(|id| {
                let mut told = self.tell_of(tenant, id)?;
                if let Some(members) = told.as_object_mut() {
                    for long in ["document", "events", "keys"] {
                        members.remove(long);
                    }
                }
                Ok(told)
            })
            .collect()
    }

    /// Everything of one issuer.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn tell_issuer(&self, tenant: &Arc<Tenant>, name: &str) -> Result<Value, Refused> {
        let id = self.issuer_named(tenant, name)?;
        let mut told = self.tell_of(tenant, &id)?;
        let (settings, _) = self.issuer(tenant, &id)?;
        let anchor = read_anchor(tenant, &id, &settings)?;
        if let Some(members) = told.as_object_mut() {
            let panels = self.panels(tenant, &settings, anchor.as_ref())?;
            members.insert("panels".to_owned(), panels);
        }
        Ok(told)
    }

    fn tell_of(&self, tenant: &Arc<Tenant>, id: &IssuerId) -> Result<Value, Refused> {
        let (settings, keys) = self.issuer(tenant, id)?;
        let pins = self.pins(tenant, id)?;
        let now = self.now();
        let anchor = read_anchor(tenant, id, &settings)?;
        let (population, warnings) = match (&anchor, read_provider(tenant, id, &settings)?) {
            (Some(anchor), _) => (population(anchor), warnings(anchor, &settings, &keys)),
            (None, Some(provider)) => (admitted(&provider), warnings_of(&provider, now)),
            (None, None) => (Vec::new(), Vec::new()),
        };
        let preset = anchor.as_ref().and_then(|anchor| anchor.preset());
        let at_most = settings.anchor.get("grants_at_most");
        let document = tenant.read(|snapshot| {
            let record = snapshot.issuers.get(id)?;
            serde_json::from_str::<Value>(&record.document).ok()
        });
        let document = document.map(without_secrets);
        Ok(json!({
            "name": id.as_str(),
            "issuer": settings.issuer,
            "preset": preset.map(Preset::name),
            "state": IssuerState::of(&settings, &keys, &pins, now).name(),
            "admits": population,
            "warnings": warnings,
            "owner": settings.anchor.get("owner"),
            "reason": settings.anchor.get("reason"),
            "expires": settings.anchor.get("expires"),
            "override": settings.overridden.as_ref().map(|(reason, expires)| json!({
                "reason": reason, "expires": expires.to_string(),
            })),
            "fetched": keys.as_of.zip(keys.next).map(|(as_of, next)| json!({
                "from": keys.url,
                "as_of": shown(as_of),
                "next": shown(next),
                "usable_until": shown(next.saturating_add(settings.stale_for)),
            })),
            "failing": keys.failing.as_ref().filter(|_| !keys.need_not_be(&settings)).map(Failing::told),
            "asking_failing": self.asking.failing(tenant.id(), id, now),
            "quarantined": keys.quarantine.as_ref().map(super::keys::Quarantine::to_json),
            "waiting_for_release": waiting(&settings, &keys),
            "waiting_keys": keys.waiting(&settings.issuer, now),
            "etag": keys.etag(),
            "contested": keys.contested.iter().map(|(kid, since)| json!({
                "kid": kid, "since": shown(*since),
            })).collect::<Vec<_>>(),
            "rollback": keys.rollback.as_ref().map(|held| json!({
                "since": shown(held.since), "taken_from": shown(held.until),
                "lacks": held.lacks, "returns": held.returns, "brings": held.brings,
            })),
            "grants_at_most": at_most,
            "pins": pins_in_short(&pins, &keys),
            "keys": keys.keys.iter().map(|key| key_to_json(key, &keys, &pins, now)).collect::<Vec<_>>(),
            "events": keys.events.iter().rev().map(|event| json!({
                "at": shown(event.at),
                "what": event.what,
                "detail": event.detail,
                "alarm": event.alarm,
            })).collect::<Vec<_>>(),
            "document": document,
        }))
    }

    /// How many issuers are in which state, for whoever watches the server.
    pub(crate) fn issuer_states(&self) -> Vec<(&'static str, u64)> {
        let now = self.now();
        let mut counts: BTreeMap<IssuerState, u64> = IssuerState::ALL
            .into_iter()
            .map(|state| (state, 0))
            .collect();
        for tenant in self.open_tenants() {
            let ids: Vec<IssuerId> =
                tenant.read(|snapshot| snapshot.issuers.keys().cloned().collect());
            for id in ids {
                let (Ok((settings, keys)), Ok(pins)) =
                    (self.issuer(&tenant, &id), self.pins(&tenant, &id))
                else {
                    continue;
                };
                let state = IssuerState::of(&settings, &keys, &pins, now);
                *counts.entry(state).or_default() += 1;
            }
        }
        let counts = counts.into_iter();
        counts.map(|(state, count)| (state.name(), count)).collect()
    }
}

/// How an issuer stands, by what is most urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum IssuerState {
    Contested,
    Failing,
    Ok,
    Quarantined,
    RolledBack,
    Stale,
    Unpinned,
    Waiting,
}

impl IssuerState {
    const ALL: [Self; 8] = [
        Self::Contested,
        Self::Failing,
        Self::Ok,
        Self::Quarantined,
        Self::RolledBack,
        Self::Stale,
        Self::Unpinned,
        Self::Waiting,
    ];

    fn of(settings: &IssuerSettings, keys: &Keys, pins: &Pins, now: Time) -> Self {
        let is_stale = |next: i64| now >= Time::from_unix(next).plus(settings.stale_for);
        if keys.quarantine.is_some() {
            Self::Quarantined
        } else if keys.next.is_some_and(is_stale) {
            Self::Stale
        } else if !keys.contested.is_empty() {
            Self::Contested
        } else if keys.need_not_be(settings) {
            Self::Ok
        } else if keys.failing.is_some() {
            Self::Failing
        } else if keys.rollback.is_some() {
            Self::RolledBack
        } else if !settings.has_keys() {
            Self::Ok
        } else if keys.current().next().is_none() {
            Self::Waiting
        } else if keys.unpinned(pins, now).len() == keys.current().count() {
            Self::Unpinned
        } else {
            Self::Ok
        }
    }

    /// The word for it.
    fn name(self) -> &'static str {
        match self {
            Self::Contested => "contested",
            Self::Failing => "failing",
            Self::Ok => "ok",
            Self::Quarantined => "quarantined",
            Self::RolledBack => "rolled_back",
            Self::Stale => "stale",
            Self::Unpinned => "unpinned",
            Self::Waiting => "waiting",
        }
    }
}

/// The names of the keys that wait for someone to release them.
fn waiting(settings: &IssuerSettings, keys: &Keys) -> Vec<String> {
    let Some(pending) = &keys.pending else {
        return Vec::new();
    };
    avouch_core::credential::jose::jwk::KeySet::read(&settings.issuer, pending)
        .map(|set| set.names())
        .unwrap_or_default()
}

/// The pins and whether they are looked at: one that is there and is not consulted must not be
/// taken for one that is.
fn pins_in_short(pins: &Pins, keys: &Keys) -> Value {
    json!({
        "enforced": pins.enforced(),
        "not_consulted": pins.not_consulted(),
        "held": keys.held.as_ref().filter(|_| pins.are_enforced()),
        "missed": keys.missed.as_ref().filter(|_| pins.are_enforced()).map(|missed| json!({
            "since": shown(missed.since), "expected": missed.expected, "seen": missed.seen,
        })),
    })
}

fn key_to_json(key: &KnownKey, keys: &Keys, pins: &Pins, now: Time) -> Value {
    json!({
        "pinned": match pins.judge_key(key, now) {
            Judged::NotPinned => None,
            Judged::Held(_) => Some(true),
            Judged::Missed { .. } => Some(false),
        },
        "kid": key.kid,
        "thumbprint": key.thumbprint,
        "kind": key.kind,
        "first_seen": shown(key.first_seen),
        "last_seen": shown(key.last_seen),
        "first_used": key.first_used.map(shown),
        "published_before_use": key.published_before_use(),
        "missed_since": keys.missed_since(key).map(shown),
        "removed": key.removed.map(shown),
    })
}

fn read_anchor(
    tenant: &Tenant,
    id: &IssuerId,
    settings: &IssuerSettings,
) -> Result<Option<IssuerAnchor>, Refused> {
    let anchor = bare_anchor(id, settings);
    let text = json!({ "anchors": [anchor] }).to_string();
    let read = views::read(&text, tenant, "the issuer")?;
    let entry = read.entries().first();
    Ok(entry.and_then(|entry| entry.anchor.kind.as_issuer().cloned()))
}

fn read_provider(
    tenant: &Tenant,
    id: &IssuerId,
    settings: &IssuerSettings,
) -> Result<Option<SamlAnchor>, Refused> {
    if !settings.is_provider() {
        return Ok(None);
    }
    let text = json!({ "anchors": [bare_anchor(id, settings)] }).to_string();
    let read = views::read(&text, tenant, "the issuer")?;
    let mut anchors = read.entries().iter().map(|entry| &entry.anchor.kind);
    Ok(anchors.find_map(|kind| kind.as_saml().cloned()))
}

/// Whom an anchor lets in, in words, if it vouches for whoever an issuer or an identity provider names.
pub(crate) fn admits(anchor: &AnchorKind) -> Vec<String> {
    match anchor {
        AnchorKind::Issuer(issuer) => population(issuer),
        AnchorKind::Saml(provider) => admitted(provider),
        AnchorKind::ApiKey(_)
        | AnchorKind::Certificate(_)
        | AnchorKind::Federation(_)
        | AnchorKind::Ssh(_)
        | AnchorKind::TrustDomain(_) => Vec::new(),
    }
}

/// Whom an identity provider of SAML lets in, in words.
pub(super) fn admitted(provider: &SamlAnchor) -> Vec<String> {
    if provider.rules().is_empty() {
        return vec![format!("everyone for whom {} signs", provider.entity_id())];
    }
    let rules = provider.rules().iter();
    rules
        .map(|rule| format!("{}: {}", rule.name(), rule.population(&Facts::default())))
        .collect()
}

/// What is permitted of an identity provider and still worth a second look.
fn warnings_of(provider: &SamlAnchor, now: Time) -> Vec<String> {
    let mut warnings = Vec::new();
    if provider.audiences().is_empty() {
        warnings.push(
            "no audience is named, so an assertion for whatever name a question gives is admitted"
                .to_owned(),
        );
    }
    match provider.valid_until() {
        Some(until) if now >= until => {
            warnings.push(format!(
                "its metadata ended on {until}: put what it publishes now"
            ));
        }
        Some(until) => warnings.push(format!("its metadata ends on {until}")),
        None => {}
    }
    if let Some(duration) = provider.cache_duration() {
        warnings.push(format!(
            "its metadata asks to be read anew after {duration} (`cacheDuration`), and nobody does: put what it \
             publishes again by then"
        ));
    }
    warnings.extend(asked_as_texts(provider.rules()));
    warnings
}

/// Rules that may be meant for a list, which they never match.
fn asked_as_texts(rules: &[Rule]) -> impl Iterator<Item = String> {
    rules.iter().flat_map(|rule| {
        let facts = rule.lists_asked_as_texts();
        facts.map(|fact| {
            format!(
                "{}: {fact} is asked for as one text, and most providers send a list: ask with `has`",
                rule.name()
            )
        })
    })
}

/// Whom it lets in, in words: one sentence for each rule, or all whose tokens the issuer signs.
pub(super) fn population(anchor: &IssuerAnchor) -> Vec<String> {
    if anchor.rules().is_empty() {
        return vec![everyone_of(anchor)];
    }
    let rules = anchor.rules().iter();
    let told = rules.map(|rule| {
        let population = rule.population(&Facts::default());
        let everyone = match rule.customer_named(anchor.preset()) {
            Some(customer) => format!(": everyone of that customer ({customer}), whoever it is"),
            None => String::new(),
        };
        format!("{}: {population}{everyone}", rule.name())
    });
    told.collect()
}

/// All whose tokens the issuer signs, in words.
pub(super) fn everyone_of(anchor: &IssuerAnchor) -> String {
    let issuer = anchor.issuer();
    Preset::shared_with(issuer).map_or_else(
        || format!("everyone whose tokens {issuer} signs"),
        str::to_owned,
    )
}

/// What is permitted and still worth a second look.
fn warnings(anchor: &IssuerAnchor, settings: &IssuerSettings, keys: &Keys) -> Vec<String> {
    let mut warnings = Vec::new();
    if keys.need_not_be(settings)
        && let Some(failing) = &keys.failing
    {
        warnings.push(format!(
            "it is asked about tokens that it alone can read, and others of it are not believed, since its keys \
             could not be fetched: {}",
            failing.in_words()
        ));
    }
    if anchor.audiences().is_empty() {
        warnings.push(
            "no audience is named, so a token for whatever name a question gives is admitted"
                .to_owned(),
        );
    }
    if let Some((reason, expires)) = &settings.overridden {
        warnings.push(format!("trusted without a pin until {expires}: {reason}"));
    }
    if anchor.preset() == Some(Preset::Kubernetes) {
        let unpinned = |rule: &&Rule| !rule.pins(Preset::Kubernetes);
        for rule in anchor.rules().iter().filter(unpinned) {
            warnings.push(format!(
                "{}: who deletes and makes the service account anew has its name; pin \
                 k8s.service_account_uid",
                rule.name()
            ));
        }
    }
    for rule in anchor.rules() {
        let asks = |fact: &str| rule.conditions().contains_key(fact);
        if anchor.preset() == Some(Preset::Google)
            && asks("google.hosted_domain")
            && !asks("subject")
        {
            warnings.push(format!(
                "{}: whoever has the domain next has all accounts of google.hosted_domain; pin subject \
                 where one account is meant",
                rule.name()
            ));
        }
    }
    warnings.extend(asked_as_texts(anchor.rules()));
    if settings.takes_new_keys && matches!(settings.source, Source::Discovery(_) | Source::Keys(_))
    {
        warnings.push(
            "a key set that has nothing in common with the last one is taken without asking"
                .to_owned(),
        );
    }
    let short = keys.keys.iter().filter_map(KnownKey::published_before_use);
    if let Some(shortest) = short.min()
        && shortest < 60
    {
        warnings.push(format!(
            "a key was at work {shortest} s after it was first seen: verifiers that keep keys longer \
             refuse good tokens after each rotation"
        ));
    }
    warnings
}
