//! What an administrator wants of a stream of events.

use avouch_api::members::{Document, Members};
use avouch_core::credential::jose::jwk::KeySet;
use avouch_core::reason::Reason;
use avouch_core::signal::Kind;
use avouch_store::{SignalId, SignalKind, SignalRecord};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::fetch::{Target, certificates};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How long a transmitter may be silent before that is told, in seconds, unless something else is
/// said: two of the hours after which it is asked whether it is there.
const USUAL_HEARTBEAT: u32 = 7_200;

/// How many subjects a stream may end in a minute, unless something else is said. Whoever really has
/// more sends them over a few minutes; whoever has taken a transmitter over cannot fill the store.
const USUAL_MOST: u32 = 6_000;

/// How much may have ended by a stream at once, unless something else is said: nine streams may each
/// have as much.
const USUAL_ENDED: u32 = 10_000;

/// Shorter would be noise; longer, and nobody would look.
const HEARTBEATS: std::ops::RangeInclusive<u32> = 60..=604_800;

impl Plane {
    /// Whether a tenant takes events of an issuer.
    pub(crate) fn takes_signals_of(&self, tenant: &Tenant, issuer: &str) -> bool {
        tenant.read(|snapshot| {
            let records = snapshot.signals.values();
            let mut streams = records.filter(|record| record.key.kind == SignalKind::Signal);
            streams.any(|record| {
                let document: Option<Value> = serde_json::from_str(&record.document).ok();
                document.is_some_and(|document| document.get("issuer") == Some(&issuer.into()))
            })
        })
    }
}

/// How events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Whoever runs the transmitter has it send them here; nothing is set up from here.
    Manual,
    /// The transmitter is asked to send them here (RFC 8935).
    Push,
    /// They are asked for (RFC 8936).
    Poll,
}

impl Delivery {
    const ALL: [(&'static str, Self); 3] = [
        ("manual", Self::Manual),
        ("poll", Self::Poll),
        ("push", Self::Push),
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Push => "push",
            Self::Poll => "poll",
        }
    }

    /// The name of the method (SSF 1.0 6.1).
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Poll => "urn:ietf:rfc:8936",
            Self::Manual | Self::Push => "urn:ietf:rfc:8935",
        }
    }
}

/// A stream as an administrator wants it.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) issuer: String,
    /// The issuer whose subjects it speaks of.
    pub(super) of: String,
    /// What this receiver is called there.
    pub(super) audiences: Vec<String>,
    /// Its keys, where they are not those of an issuer of the tenant.
    pub(super) keys: Option<KeySet>,
    pub(super) delivery: Delivery,
    /// Where the transmitter says how it is called.
    pub(super) configuration: String,
    pub(super) ca: Vec<CertificateDer<'static>>,
    /// The events that it is asked for.
    pub(super) events: Vec<String>,
    /// After how many seconds of silence that is told.
    pub(super) heartbeat: i64,
    /// How many subjects it may end in a minute.
    pub(super) most_a_minute: u32,
    /// How many names of subjects may have ended by it at once.
    pub(super) most_ended: u32,
}

impl Settings {
    /// Reads what is wanted; `usual` is what this receiver is called unless something else is said.
    pub(super) fn read(text: &str, usual: &str) -> Result<Self, Reason> {
        let mut members = Members::read(Document::Request("signal"), text)?;
        let issuer = members.required_text("issuer")?;
        if issuer.is_empty() {
            return Err(members.refuse("issuer", "is empty"));
        }
        let of = members.text("of")?.unwrap_or_else(|| issuer.clone());
        let audiences = members.texts("audience")?;
        let keys = members.take("jwks");
        let keys = keys.map(|set| KeySet::read(&issuer, &set)).transpose()?;
        let delivery = members.choice("delivery", &Delivery::ALL)?;
        let delivery = delivery.unwrap_or(Delivery::Manual);
        let configuration = members.text("configuration_url")?;
        let configuration = configuration.unwrap_or_else(|| default_configuration(&issuer));
        if delivery != Delivery::Manual {
            Target::parse(&configuration)?;
        }
        let ca = match members.text("ca")? {
            Some(pem) => certificates(&pem)?,
            None => Vec::new(),
        };
        let events = members.texts("events")?;
        let heartbeat = members.count("heartbeat")?.unwrap_or(USUAL_HEARTBEAT);
        if !HEARTBEATS.contains(&heartbeat) {
            return Err(members.refuse("heartbeat", "must be 60 to 604800 seconds"));
        }
        let most_a_minute = members.count("most_per_minute")?;
        let most_ended = members.count("most_ended")?.unwrap_or(USUAL_ENDED);
        for name in ["owner", "reason"] {
            members.text(name)?;
        }
        members.finish()?;
        Ok(Self {
            issuer,
            of,
            audiences: match audiences.is_empty() {
                true => vec![usual.to_owned()],
                false => audiences,
            },
            keys,
            delivery,
            configuration,
            ca,
            events: match events.is_empty() {
                true => Kind::names().collect(),
                false => events,
            },
            heartbeat: heartbeat.into(),
            most_a_minute: most_a_minute.unwrap_or(USUAL_MOST),
            most_ended,
        })
    }

    /// As it is stored; what was stored was read before.
    pub(super) fn stored(record: &SignalRecord, usual: &str) -> Result<Self, Fault> {
        let damaged = || damaged(&record.key.id);
        Self::read(&record.document, usual).map_err(|_| damaged())
    }
}

/// Takes the credential for the transmitter out of what was sent, so that it is neither stored with
/// the rest nor shown.
pub(super) fn apart(
    text: &str,
    object: &'static str,
) -> Result<(String, Option<Zeroizing<String>>), Reason> {
    let mut members = Members::read(Document::Request(object), text)?;
    let secret = members.text("token")?.map(Zeroizing::new);
    Ok((Value::Object(members.rest()).to_string(), secret))
}

/// SSF 1.0 7.2.1: between the host and the path.
fn default_configuration(issuer: &str) -> String {
    const NAME: &str = "/.well-known/ssf-configuration";
    let rest = issuer.strip_prefix("https://").unwrap_or(issuer);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    match path.trim_end_matches('/') {
        "" => format!("https://{host}{NAME}"),
        path => format!("https://{host}{NAME}/{path}"),
    }
}

fn damaged(id: &SignalId) -> Fault {
    Fault::Stored(format!("the stream of signals {id} cannot be read"))
}

/// What was wanted, as it was sent.
pub(super) fn document_of(record: &SignalRecord) -> Value {
    serde_json::from_str(&record.document).unwrap_or_else(|_| json!(record.document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transmitter_is_looked_for_where_the_standard_says() {
        for (issuer, url) in [
            (
                "https://a.test",
                "https://a.test/.well-known/ssf-configuration",
            ),
            (
                "https://a.test/",
                "https://a.test/.well-known/ssf-configuration",
            ),
            (
                "https://a.test/t/one",
                "https://a.test/.well-known/ssf-configuration/t/one",
            ),
        ] {
            assert_eq!(default_configuration(issuer), url);
        }
    }
}
