//! What is told of pins.

use std::sync::Arc;

use avouch_core::pin::{Judged, Pin, Pinned, Place, judge};
use avouch_core::time::Time;
use avouch_store::IssuerId;
use serde_json::{Value, json};

use super::super::keys::Keys;
use super::super::settings::IssuerSettings;
use super::super::shown;
use super::record::{Pins, SeenPath, StoredPin};
use super::warnings::warnings;
use super::watch::hosts;
use crate::fault::{Refused, unknown};
use crate::plane::Plane;
use crate::tenant::Tenant;

impl Plane {
    /// All pins of a tenant, and what is to be looked at.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn tell_all_pins(&self, tenant: &Arc<Tenant>) -> Result<Value, Refused> {
        let ids: Vec<IssuerId> =
            tenant.read(|snapshot| snapshot.issuer_pins.keys().cloned().collect());
        let (mut pins, mut warnings) = (Vec::new(), Vec::new());
        for id in ids {
            let told = self.tell_pins_of(tenant, &id)?;
            for (all, list) in [(&mut pins, "pins"), (&mut warnings, "warnings")] {
                for one in told
                    .get(list)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    let mut one = one.clone();
                    if let Some(members) = one.as_object_mut() {
                        members.insert("name".to_owned(), id.as_str().into());
                    }
                    all.push(one);
                }
            }
        }
        Ok(json!({ "pins": pins, "warnings": warnings }))
    }

    /// The pins of an issuer, what its servers show, and what is to be looked at.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub(crate) fn tell_pins(&self, tenant: &Arc<Tenant>, name: &str) -> Result<Value, Refused> {
        let id = self.issuer_named(tenant, name)?;
        self.tell_pins_of(tenant, &id)
    }

    /// One pin of an issuer.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub(crate) fn tell_pin(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        pin: &str,
    ) -> Result<Value, Refused> {
        let id = self.issuer_named(tenant, name)?;
        let (settings, keys) = self.issuer(tenant, &id)?;
        let pins = self.pins(tenant, &id)?;
        let pinned = Pinned::parse(pin);
        let mut all = pins.pins.iter();
        let found = all.find(|one| pinned.is_some() && one.read().map(|pin| pin.pinned) == pinned);
        let found = found.ok_or_else(|| unknown("pin", pin))?;
        let mut told = pin_to_json(found, &pins, &keys, &settings, self.now());
        if let Some(members) = told.as_object_mut() {
            members.insert("name".to_owned(), id.as_str().into());
        }
        Ok(told)
    }

    fn tell_pins_of(&self, tenant: &Arc<Tenant>, id: &IssuerId) -> Result<Value, Refused> {
        let (settings, keys) = self.issuer(tenant, id)?;
        let pins = self.pins(tenant, id)?;
        let now = self.now();
        let hosts = hosts(&settings, &keys);
        let watch = self
            .refreshing
            .watched
            .of(&(tenant.id().clone(), id.clone()));
        let warned = warnings(&pins, &keys, &settings.issuer, &hosts, now);
        Ok(json!({
            "name": id.as_str(),
            "issuer": settings.issuer,
            "pins": pins.pins.iter()
                .map(|pin| pin_to_json(pin, &pins, &keys, &settings, now))
                .collect::<Vec<_>>(),
            "warnings": warned.iter().map(|warning| warning.to_json()).collect::<Vec<_>>(),
            "shown": pins.paths.iter().map(|path| path_to_json(path, &pins, now)).collect::<Vec<_>>(),
            "checked": watch.at.map(|at| at.to_string()),
            "not_seen": watch.unseen.iter().map(|(host, reason)| json!({
                "host": host, "code": reason.code(), "sentence": reason.sentence(),
            })).collect::<Vec<_>>(),
            "would_hold": would_hold(&pins, &hosts, now),
        }))
    }
}

fn pin_to_json(
    stored: &StoredPin,
    pins: &Pins,
    keys: &Keys,
    settings: &IssuerSettings,
    now: Time,
) -> Value {
    let pin = stored.read();
    let live = pin.is_some_and(|pin| pin.is_live(now));
    let state = match pin {
        _ if !live => "ended",
        Some(pin) if is_shown(&pin, pins, keys) => "seen",
        Some(_) | None => "unseen",
    };
    json!({
        "pin": stored.pin,
        "place": (!stored.is_of_tokens()).then_some(stored.place.as_str()),
        "mode": stored.mode(),
        "state": state,
        "host": stored.host,
        "auto_stage": stored.auto_stage,
        "owner": stored.owner,
        "reason": stored.reason,
        "added": shown(stored.added),
        "expires": stored.expires.map(shown),
        "continues": stored.continues,
        "means": meaning(stored),
        "consulted": consulted(stored, settings),
    })
}

fn is_shown(pin: &Pin, pins: &Pins, keys: &Keys) -> bool {
    match pin.pinned {
        Pinned::Jwk(_) => keys.current().any(|key| key.pinned() == Some(pin.pinned)),
        _ => pins.paths.iter().any(|path| pin.holds(&path.shown())),
    }
}

/// What a pin names, for whoever finds it and wonders.
fn meaning(pin: &StoredPin) -> String {
    match (Pinned::parse(&pin.pin), Place::parse(&pin.place)) {
        (Some(Pinned::Jwk(_)), _) => "a key that signs tokens".to_owned(),
        (Some(Pinned::Sha1(_)), Some(Place::Top)) => {
            "the top intermediate CA that signed the certificate of the server (a thumbprint of AWS \
             IAM), not that certificate itself and no key of tokens"
                .to_owned()
        }
        (Some(Pinned::PublicKey(_)), Some(place)) => {
            format!("the key of the certificate at the place {}", place.name())
        }
        (_, Some(place)) => format!("the certificate at the place {}", place.name()),
        (_, None) => "nothing that is known".to_owned(),
    }
}

/// Whether it matters.
fn consulted(pin: &StoredPin, settings: &IssuerSettings) -> &'static str {
    if !settings.is_fetched() && !pin.is_of_tokens() {
        return "not consulted: the keys of the issuer are given by hand, so no server of it is called; \
                pin the keys themselves (`jwk:`)";
    }
    match (pin.enforced, is_github(&settings.issuer)) {
        (true, _) => "it is consulted whenever keys are fetched or used",
        (false, true) => {
            "present but not consulted; so it is in AWS IAM, which has validated GitHub by its own \
             library of CAs since 6 July 2023 and ignores the thumbprint"
        }
        (false, false) => {
            "present but not consulted; AWS IAM consults one only where no CA of its library has \
             signed"
        }
    }
}

fn is_github(issuer: &str) -> bool {
    issuer == "https://token.actions.githubusercontent.com"
        || issuer.starts_with("https://token.actions.githubusercontent.com/")
}

fn path_to_json(path: &SeenPath, pins: &Pins, now: Time) -> Value {
    let judged: Vec<Pin> = pins.for_host(&path.host);
    let held = match judge(&judged, &path.shown(), now) {
        Judged::Held(pinned) => json!(pinned.to_string()),
        Judged::Missed { .. } => json!(false),
        Judged::NotPinned => Value::Null,
    };
    json!({
        "host": path.host,
        "held_by": held,
        "certificates": path.links.iter().map(|link| json!({
            "subject": link.subject,
            "sha1": link.sha1,
            "sha256": link.sha256,
            "spki_sha256": link.key,
            "not_after": shown(link.not_after),
        })).collect::<Vec<_>>(),
        "anchor_spki_sha256": path.anchor,
        "first_seen": shown(path.first_seen),
        "last_seen": shown(path.last_seen),
    })
}

/// The set that holds all that is shown nowadays, at the place of the pins that are there: for
/// whoever keeps one elsewhere, such as in AWS IAM.
fn would_hold(pins: &Pins, hosts: &[String], now: Time) -> Vec<Value> {
    let place = pins.pins.iter().find(|pin| !pin.is_of_tokens());
    let place = place.and_then(|pin| Place::parse(&pin.place));
    let place = place.unwrap_or_default();
    let mut set: Vec<Value> = Vec::new();
    for host in hosts {
        for link in pins.current(host, now).filter_map(|path| path.at(place)) {
            let one = json!({
                "place": place.name(),
                "subject": link.subject,
                "sha1": link.sha1,
                "sha256": link.sha256,
                "spki_sha256": link.key,
            });
            if !set.contains(&one) {
                set.push(one);
            }
        }
    }
    set
}
