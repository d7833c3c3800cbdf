//! Whether the issuer of a token has taken it back, by its status list
//! (draft-ietf-oauth-status-list, section 8.3).
//!
//! Lists are given, never fetched here. A token that names a list is believed only under that list,
//! unless the anchor says that nobody is to look.

use serde_json::{Map, Value};

use super::Asked;
use super::claims::CLOCK_LEEWAY;
use super::keys::select;
use crate::anchor::{Anchor, StatusUse};
use crate::budget::Budget;
use crate::credential::jose::algorithm::Algorithm;
use crate::credential::jose::json::kind_of;
use crate::credential::jose::jwk::KeySet;
use crate::credential::jose::status_list::StatusList;
use crate::crypto::Verifier;
use crate::id::SpiffeId;
use crate::reason::Reason;
use crate::stop::Stop;
use crate::time::{Time, duration_in_words};
use crate::verdict::{Check, Need, StatusSource};
use crate::view::View;

/// Who signs tokens, and so their status lists.
pub(super) struct Signer<'a> {
    pub(super) name: &'a str,
    /// What its tokens call it.
    pub(super) issuer: Option<&'a str>,
    pub(super) keys: Vec<&'a KeySet>,
    pub(super) algorithms: &'a [Algorithm],
}

/// What is known of the status of a token.
pub(super) enum Told {
    /// It is good, or nobody asks.
    Good(Good),
    /// The list is not known.
    Unknown(Need),
}

/// On what grounds a token is taken for good.
#[derive(Default)]
pub(super) struct Good {
    pub(super) check: Option<Check>,
    pub(super) source: Option<StatusSource>,
    /// From when until when that can be told.
    pub(super) told: Option<(Time, Time)>,
}

/// Where the status of a token stands.
struct Place<'a> {
    index: u64,
    uri: &'a str,
}

/// Asks for the status of a token that says this.
pub(super) fn status(
    asked: &Asked<'_>,
    claims: &Map<String, Value>,
    anchor: &Anchor,
    signer: &Signer<'_>,
    budget: &mut Budget,
) -> Result<Told, Stop> {
    let spec = "draft-ietf-oauth-status-list 8.3";
    let wanted = anchor.constraints.status_lists;
    if wanted == StatusUse::Ignored {
        let check = claims.contains_key("status").then(|| Check {
            what: "status",
            compared: "its status list is not looked at, as the anchor says".into(),
            spec,
        });
        return Ok(Told::Good(Good {
            check,
            ..Good::default()
        }));
    }
    let Some(place) = Place::read(claims)? else {
        return match wanted {
            StatusUse::Required => Err(Reason::StatusMissing {
                issuer: signer.name.to_owned(),
            }
            .into()),
            StatusUse::Checked | StatusUse::Ignored => Ok(Told::Good(Good::default())),
        };
    };
    let inquiry = Inquiry {
        crypto: asked.crypto,
        now: asked.question.now,
        signer,
        uri: place.uri,
    };
    let lists = asked.view.status_lists_at(place.uri);
    let mut problem = None;
    // The newest first: an older one that is shown instead would undo what was taken back since.
    for list in lists {
        match inquiry.look(list, budget) {
            Ok(()) => {
                let told = inquiry.read(list, place.index);
                return told.map(Told::Good).map_err(Stop::from);
            }
            Err(Stop::Refused(reason)) => problem = problem.or(Some(reason)),
            Err(stop) => return Err(stop),
        }
    }
    match problem {
        Some(reason) => Err(reason.into()),
        None => Ok(Told::Unknown(Need::StatusList {
            issuer: signer.name.to_owned(),
            uri: place.uri.to_owned(),
            why: None,
        })),
    }
}

impl<'a> Place<'a> {
    /// Reads the claim `status` (section 6.2). What other mechanisms it names is their business.
    fn read(claims: &'a Map<String, Value>) -> Result<Option<Self>, Reason> {
        let mistyped = |claim: &str, expected, found: &Value| Reason::ClaimMistyped {
            claim: claim.to_owned(),
            expected,
            found: kind_of(found),
        };
        let status = match claims.get("status") {
            None => return Ok(None),
            Some(Value::Object(status)) => status,
            Some(other) => return Err(mistyped("status", "an object", other)),
        };
        let list = match status.get("status_list") {
            None => return Ok(None),
            Some(Value::Object(list)) => list,
            Some(other) => return Err(mistyped("status.status_list", "an object", other)),
        };
        let member = |name: &str| list.get(name).unwrap_or(&Value::Null);
        let index = member("idx").as_u64().ok_or_else(|| {
            let expected = "a whole number, zero or more";
            mistyped("status.status_list.idx", expected, member("idx"))
        })?;
        let uri = member("uri").as_str().filter(|uri| !uri.is_empty());
        let uri =
            uri.ok_or_else(|| mistyped("status.status_list.uri", "an address", member("uri")))?;
        Ok(Some(Self { index, uri }))
    }
}

/// Whether a list is one of `issuer`, an issuer of tokens or the ID of a trust domain, at the address
/// where it was found, and holds at `now`: what is asked of it before it is kept.
///
/// # Errors
///
/// `revocation.status_list_*`, or that it takes more than the budget allows.
pub fn check_status_list(
    list: &StatusList,
    issuer: &str,
    view: &View,
    now: Time,
    crypto: &dyn Verifier,
    budget: &mut Budget,
) -> Result<(), Reason> {
    let domain = SpiffeId::parse(issuer).ok();
    let of_domain = domain
        .iter()
        .flat_map(|id| view.bundles_of(id.trust_domain()));
    let of_domain = of_domain.map(|(_, bundle)| Signer {
        name: issuer,
        issuer: list.issuer(),
        keys: vec![bundle.jwt_authorities()],
        algorithms: &Algorithm::SPIFFE,
    });
    let named = view.issuers_named(issuer).map(|(_, anchor)| Signer {
        name: issuer,
        issuer: None,
        keys: anchor.keys().into_iter().collect(),
        algorithms: anchor.algorithms(),
    });
    let mut last = Reason::StatusListSignature {
        uri: list.uri().to_owned(),
        issuer: issuer.to_owned(),
    };
    for signer in named.chain(of_domain) {
        let inquiry = Inquiry {
            crypto,
            now,
            signer: &signer,
            uri: list.uri(),
        };
        match inquiry.look(list, budget) {
            Ok(()) => return Ok(()),
            Err(stop) => last = stop.into_reason(),
        }
    }
    Err(last)
}

struct Inquiry<'a> {
    crypto: &'a dyn Verifier,
    now: Time,
    signer: &'a Signer<'a>,
    /// Where the list was asked for.
    uri: &'a str,
}

impl Inquiry<'_> {
    /// Whether a list is to be believed.
    fn look(&self, list: &StatusList, budget: &mut Budget) -> Result<(), Stop> {
        let uri = || self.uri.to_owned();
        if list.subject() != self.uri {
            return Err(Reason::StatusListSubject {
                uri: uri(),
                subject: list.subject().to_owned(),
            }
            .into());
        }
        self.check_signature(list, budget)?;
        let now = self.now;
        let issued_at = list.issued_at();
        if issued_at > now.plus(CLOCK_LEEWAY) {
            return Err(Reason::IssuedInFuture {
                issued_at,
                at: now,
                ahead: duration_in_words(issued_at.since(now)),
            }
            .into());
        }
        let expired = list.end();
        if now >= expired {
            return Err(Reason::StatusListExpired {
                uri: uri(),
                expired,
                at: now,
            }
            .into());
        }
        Ok(())
    }

    fn check_signature(&self, list: &StatusList, budget: &mut Budget) -> Result<(), Stop> {
        let header = list.token().header();
        let is_named = list
            .issuer()
            .is_none_or(|name| name == self.signer.name || Some(name) == self.signer.issuer);
        if is_named && self.signer.algorithms.contains(&header.algorithm) {
            for set in &self.signer.keys {
                let keys = select(set, header, self.signer.name).into_iter().flatten();
                for key in keys.filter(|key| key.admits(header.algorithm).is_ok()) {
                    if list.is_signed_by(key.key(), self.crypto, budget)? {
                        return Ok(());
                    }
                }
            }
        }
        Err(Reason::StatusListSignature {
            uri: self.uri.to_owned(),
            issuer: self.signer.name.to_owned(),
        }
        .into())
    }

    /// What a list that is believed says of the token.
    fn read(&self, list: &StatusList, index: u64) -> Result<Good, Reason> {
        let uri = self.uri;
        let status = list.status(index).ok_or_else(|| Reason::StatusIndex {
            uri: uri.to_owned(),
            index: i64::try_from(index).unwrap_or(i64::MAX),
            entries: list.entries(),
        })?;
        let (as_of, next) = list.dates();
        if !status.is_valid() {
            return Err(Reason::TokenStatus {
                issuer: self.signer.name.to_owned(),
                uri: uri.to_owned(),
                index: i64::try_from(index).unwrap_or(i64::MAX),
                status: status.to_string(),
                as_of,
            });
        }
        Ok(Good {
            check: Some(Check {
                what: "status",
                compared: format!("entry {index} of {uri} says {status}").into(),
                spec: "draft-ietf-oauth-status-list 8.3",
            }),
            source: Some(StatusSource {
                source: "status_list",
                issuer: uri.to_owned(),
                as_of,
                next,
            }),
            told: Some((list.issued_at().min(self.now), list.end())),
        })
    }
}
