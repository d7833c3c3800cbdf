//! Pins of issuers: on the certificates that their servers show, and on the keys that sign tokens.
//!
//! ```text
//! administrator ─► pins ─┬─► TLS: the verified path is compared   ─► keys are fetched, or not
//!                        ├─► keys: each is compared by thumbprint ─► a token is believed, or not
//! watch ─► paths seen ───┴─► warnings before a rotation breaks them ─► what continues is pinned
//! ```

mod record;
mod telling;
mod warnings;
mod watch;

use std::sync::Arc;

use avouch_api::members::{Document, Members};
use avouch_core::pin::{Pinned, Place};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{Change, IssuerId, IssuerPinsRecord, Object};

use super::keys::Keys;
use super::put_keys;
use super::settings::IssuerSettings;
use crate::fault::{Fault, Refused, unknown};
use crate::fetch::PinCheck;
use crate::plane::Plane;
use crate::tenant::Tenant;
pub(crate) use record::Pins;
use record::{MOST_PINS, StoredPin};
use warnings::KINDS;
pub(crate) use watch::Watched;

/// The longest text of an owner or a reason, in characters.
const LONGEST_TEXT: usize = 512;

/// What is to be pinned of what was seen.
pub(crate) struct Staging {
    /// The names of certificates and keys; all that no pin holds if there are none.
    names: Vec<Pinned>,
    owner: String,
    reason: String,
    expires: Option<Time>,
}

impl Staging {
    /// Reads `pins` or `all`, `owner`, `reason` and `expires`.
    pub(crate) fn read(mut members: Members) -> Result<Self, Reason> {
        let mut names = Vec::new();
        for text in members.text_list("pins")? {
            let detail = "names no certificate and no key";
            names.push(Pinned::parse(&text).ok_or_else(|| members.refuse("pins", detail))?);
        }
        let all = members.flag("all")?.unwrap_or(false);
        if all != names.is_empty() {
            return Err(members.refuse("pins", "names what is meant, or `all` says that all is"));
        }
        let (owner, reason) = (text(&mut members, "owner")?, text(&mut members, "reason")?);
        let expires = members.time("expires")?;
        members.finish()?;
        Ok(Self {
            names,
            owner,
            reason,
            expires,
        })
    }
}

fn text(members: &mut Members, name: &'static str) -> Result<String, Reason> {
    let text = members.required_text(name)?;
    match text.chars().count() {
        0..=LONGEST_TEXT => Ok(text),
        _ => Err(members.refuse(name, "has more than 512 characters")),
    }
}

impl StoredPin {
    /// Reads what is wanted of a pin.
    fn wanted(pinned: Pinned, mut members: Members, now: Time) -> Result<Self, Reason> {
        let mode = members.required_text("mode")?;
        let enforced = match mode.as_str() {
            "enforced" => true,
            "vestigial" => false,
            _ => return Err(members.refuse("mode", "must be `enforced` or `vestigial`")),
        };
        let place = match members.text("place")? {
            None => Place::default(),
            Some(_) if pinned.is_of_tokens() => {
                return Err(members.refuse("place", "is of certificates, and this names a key"));
            }
            Some(name) => Place::parse(&name).ok_or_else(|| {
                let places = Place::ALL.map(Place::name).join(", ");
                members.refuse("place", &format!("must be one of {places}"))
            })?,
        };
        if place == Place::Anchor && !matches!(pinned, Pinned::PublicKey(_)) {
            let detail = "of an anchor only the key is known; pin it as `spki-sha256`";
            return Err(members.refuse("place", detail));
        }
        let expires = members.time("expires")?;
        if expires.is_some_and(|expires| expires <= now) {
            return Err(members.refuse("expires", "is over"));
        }
        let auto_stage = members.flag("auto_stage")?.unwrap_or(false);
        if auto_stage && pinned.is_of_tokens() {
            let detail = "a key set that has an old key in it proves nothing of a new one";
            return Err(members.refuse("auto_stage", detail));
        }
        let pin = Self {
            pin: pinned.to_string(),
            place: place.name().to_owned(),
            enforced,
            host: members.text("host")?,
            auto_stage,
            owner: text(&mut members, "owner")?,
            reason: text(&mut members, "reason")?,
            added: now.unix(),
            expires: expires.map(Time::unix),
            continues: None,
        };
        members.finish()?;
        Ok(pin)
    }
}

impl Plane {
    /// Pins something of an issuer, in the place of the pin that named it before.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.object_malformed`, or what failed on our side.
    pub(crate) fn put_pin(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        pin: &str,
        body: &str,
    ) -> Result<IssuerId, Refused> {
        let id = self.issuer_named(tenant, name)?;
        let pinned = Pinned::parse(pin).ok_or_else(|| Reason::IssueObjectMalformed {
            object: "pin",
            member: "name".to_owned(),
            detail: "a pin is `sha1:`, `sha256:` or `spki-sha256:` with hexadecimal digits, or \
                     `jwk:` with the thumbprint of a key (RFC 7638)"
                .to_owned(),
        })?;
        let now = self.now();
        let wanted =
            StoredPin::wanted(pinned, Members::read(Document::Request("pin"), body)?, now)?;
        self.note_pins(tenant, &id, |_, pins, keys| {
            let is_new = pins.find(pinned).is_none();
            refuse_too_many(pins.pins.len() + usize::from(is_new))?;
            pins.put(wanted.clone());
            keys.tell(
                now,
                "pin_put",
                format!("{pinned}, {}", wanted.mode()),
                false,
            );
            Ok(())
        })?;
        Ok(id)
    }

    /// Pins something no more.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub(crate) fn remove_pin(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        pin: &str,
    ) -> Result<IssuerId, Refused> {
        let id = self.issuer_named(tenant, name)?;
        let unknown = || unknown("pin", pin);
        let pinned = Pinned::parse(pin).ok_or_else(unknown)?;
        let now = self.now();
        self.note_pins(tenant, &id, |_, pins, keys| {
            pins.find(pinned).ok_or_else(unknown)?;
            pins.pins.retain(|known| known.pin != pinned.to_string());
            keys.tell(now, "pin_removed", pinned.to_string(), false);
            Ok(())
        })?;
        Ok(id)
    }

    /// Pins what was seen, because someone says that it is meant.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.object_malformed` where something was not seen, or what failed
    /// on our side.
    pub(crate) fn stage_pins(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        staging: &Staging,
    ) -> Result<IssuerId, Refused> {
        let id = self.issuer_named(tenant, name)?;
        let now = self.now();
        self.note_pins(tenant, &id, |settings, pins, keys| {
            let names = match staging.names.as_slice() {
                [] => watch::unheld(settings, pins, keys, now),
                names => names.to_vec(),
            };
            for pinned in names {
                if !watch::was_seen(pins, keys, pinned, now) {
                    return Err(Reason::IssueObjectMalformed {
                        object: "stage",
                        member: "pins".to_owned(),
                        detail: format!(
                            "nothing called {pinned} was seen at this issuer; look with `avouch pin \
                             check`, or put it with `avouch pin put`"
                        ),
                    });
                }
                let of_same = pins
                    .pins
                    .iter()
                    .filter(|pin| pin.is_of_tokens() == pinned.is_of_tokens());
                let like = of_same.max_by_key(|pin| pin.enforced).cloned();
                pins.put(StoredPin {
                    pin: pinned.to_string(),
                    place: like
                        .as_ref()
                        .map_or_else(|| Place::default().name().to_owned(), |pin| pin.place.clone()),
                    enforced: like.as_ref().is_none_or(|pin| pin.enforced),
                    host: like.and_then(|pin| pin.host),
                    auto_stage: false,
                    owner: staging.owner.clone(),
                    reason: staging.reason.clone(),
                    added: now.unix(),
                    expires: staging.expires.map(Time::unix),
                    continues: None,
                });
                keys.tell(now, "pin_staged", format!("{pinned}, by hand"), false);
            }
            refuse_too_many(pins.pins.len())
        })?;
        Ok(id)
    }

    /// What is pinned of an issuer.
    ///
    /// # Errors
    ///
    /// What is stored cannot be read.
    pub(super) fn pins(&self, tenant: &Tenant, id: &IssuerId) -> Result<Pins, Refused> {
        let stored = tenant.read(|snapshot| {
            let record = snapshot.issuer_pins.get(id)?;
            Some(record.document.clone())
        });
        let Some(document) = stored else {
            return Ok(Pins::default());
        };
        let damaged = || Fault::Stored(format!("the pins of the issuer {id} cannot be read"));
        Ok(Pins::read(&document).ok_or_else(damaged)?)
    }

    /// What is compared when a host is called for an issuer, if anything is enforced.
    pub(super) fn pin_check(
        &self,
        tenant: &Tenant,
        id: &IssuerId,
        host: &str,
    ) -> Result<Option<PinCheck>, Refused> {
        let pins = self.pins(tenant, id)?.for_host(host);
        let is_enforced = pins.iter().any(|pin| pin.enforced);
        Ok(is_enforced.then(|| PinCheck {
            pins,
            now: self.now(),
        }))
    }

    /// Changes what is pinned and what is known of an issuer: worked out from what is stored, and
    /// stored if nothing has changed meanwhile, on whichever server.
    fn note_pins(
        &self,
        tenant: &Arc<Tenant>,
        id: &IssuerId,
        mut note: impl FnMut(&IssuerSettings, &mut Pins, &mut Keys) -> Result<(), Reason>,
    ) -> Result<(), Refused> {
        self.settle(tenant, || {
            let (settings, keys_before) = self.issuer(tenant, id)?;
            let pins_before = self.pins(tenant, id)?;
            let (mut pins, mut keys) = (pins_before.clone(), keys_before.clone());
            note(&settings, &mut pins, &mut keys)?;
            let mut changes = Vec::new();
            if pins != pins_before {
                changes.push(Change::Put(Object::IssuerPins(IssuerPinsRecord {
                    id: id.clone(),
                    document: pins.to_text(),
                })));
            }
            if keys != keys_before {
                changes.push(put_keys(id, &keys));
            }
            Ok(((), changes))
        })
    }
}

fn refuse_too_many(count: usize) -> Result<(), Reason> {
    if count <= MOST_PINS {
        return Ok(());
    }
    Err(Reason::IssueObjectMalformed {
        object: "pin",
        member: "pins".to_owned(),
        detail: format!("an issuer has {MOST_PINS} pins at most; remove those that are gone"),
    })
}
