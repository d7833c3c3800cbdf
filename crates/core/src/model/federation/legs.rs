//! The legs of a decision on a Kubernetes token: three mechanisms that must all hold, and a fourth
//! where it took part.
//!
//! A projected token is signed by the key of the service account issuer, not by the CA of the
//! cluster. The CA is part of the story only where the keys were fetched over TLS under it.

use serde_json::{Map, Value};

use super::keys::{AnchorKey, Owner};
use super::token::TokenModel;
use crate::path::Attempts;
use crate::policy::rules::Rule;
use crate::reason::Reason;
use crate::time::Time;
use crate::verdict::{Leg, TrustModel};

const ISSUER_KEY: &str = "issuer key";
const FEDERATION: &str = "federation";
const AUDIENCE: &str = "audience";
const CLUSTER_CA: &str = "cluster CA";

/// The legs of a token that was believed.
pub(super) fn of_acceptance(
    reached: &AnchorKey<'_>,
    rule: Option<&Rule>,
    audience: &str,
    now: Time,
) -> Vec<Leg> {
    let mut legs = vec![
        held(ISSUER_KEY, key_name(reached)),
        held(FEDERATION, federation_name(reached, rule)),
        held(AUDIENCE, audience.to_owned()),
    ];
    legs.extend(cluster_ca(reached, now));
    legs
}

/// The legs of a token that was not: what the nearest attempt shows of each. Nothing that a token
/// says is looked at until its signature has held.
pub(super) fn of_refusal(model: &TokenModel<'_>, attempts: &Attempts) -> Vec<Leg> {
    let nearest = attempts.nearest();
    let reached = model
        .anchor_keys()
        .into_iter()
        .find(|key| match nearest.path().first() {
            Some(vouch) => key.made(vouch),
            None => key.name() == nearest.stopped_at(),
        });
    if !model.has_legs(reached.as_ref().map(|key| key.owner)) {
        return Vec::new();
    }
    let Some(reached) = reached else {
        return vec![
            not_reached(ISSUER_KEY),
            failed(FEDERATION, "no anchor".to_owned(), nearest.reason().clone()),
            not_reached(AUDIENCE),
        ];
    };
    let is_signed = !nearest.path().is_empty();
    let mut legs = if is_signed {
        of_signed(model, &reached)
    } else {
        vec![
            failed(ISSUER_KEY, key_name(&reached), nearest.reason().clone()),
            not_reached(FEDERATION),
            not_reached(AUDIENCE),
        ]
    };
    legs.extend(cluster_ca(&reached, model.now()));
    legs
}

/// The legs of a token that was refused for what it says about itself, before anyone was asked
/// who signed it.
pub(super) fn of_unread(claims: &Map<String, Value>, reason: &Reason) -> Vec<Leg> {
    if !is_of_kubernetes(claims) {
        return Vec::new();
    }
    let audience = match reason {
        Reason::ClaimMissing { claim: "aud" } => failed(
            AUDIENCE,
            "the audience of the token".to_owned(),
            reason.clone(),
        ),
        _ => not_reached(AUDIENCE),
    };
    vec![not_reached(ISSUER_KEY), not_reached(FEDERATION), audience]
}

/// Whether a token has the claims of a projected service account token.
pub(super) fn is_of_kubernetes(claims: &Map<String, Value>) -> bool {
    claims.get("kubernetes.io").is_some_and(Value::is_object)
}

/// Each leg of a token whose signature held, on its own.
fn of_signed(model: &TokenModel<'_>, reached: &AnchorKey<'_>) -> Vec<Leg> {
    let key = match model.check_times(reached.owner) {
        Ok(_) => held(ISSUER_KEY, key_name(reached)),
        Err(reason) => failed(ISSUER_KEY, key_name(reached), reason),
    };
    let federation = match model.check_subject(reached.anchor, reached.owner) {
        Ok((_, rule)) => held(FEDERATION, federation_name(reached, rule)),
        Err(reason) => failed(FEDERATION, federation_name(reached, None), reason),
    };
    let audience = match model.check_audience(reached.anchor, reached.owner) {
        Ok(Some(audience)) => held(AUDIENCE, audience.to_owned()),
        Ok(None) => not_reached(AUDIENCE),
        Err(reason) => failed(AUDIENCE, "the audience of the token".to_owned(), reason),
    };
    vec![key, federation, audience]
}

/// The CA under which the keys were fetched, if they were. The connection itself is over: what is known
/// is whether that certificate could vouch for one then, or now where it is not said when.
fn cluster_ca(reached: &AnchorKey<'_>, now: Time) -> Option<Leg> {
    let Owner::Issuer(issuer) = reached.owner else {
        return None;
    };
    let certificate = issuer.fetched_under()?;
    let source = issuer.standing().source(issuer.issuer());
    let fetched = source.map_or(now, |source| source.as_of);
    let lasted = certificate.not_before() <= fetched && fetched <= certificate.not_after();
    Some(Leg {
        what: CLUSTER_CA,
        model: TrustModel::Pki,
        ends_at: format!("{}, for the TLS that fetched the keys", certificate.title()),
        reason: None,
        decided: lasted && certificate.is_ca(),
    })
}

fn key_name(reached: &AnchorKey<'_>) -> String {
    match &reached.key {
        Ok(key) => format!("SA issuer key kid={}", key.name()),
        Err(_) => format!("the keys of {}", reached.owner.name()),
    }
}

fn federation_name(reached: &AnchorKey<'_>, rule: Option<&Rule>) -> String {
    match rule {
        Some(rule) => format!("{}, {}", reached.owner.name(), rule.name()),
        None => reached.owner.name(),
    }
}

fn held(what: &'static str, ends_at: String) -> Leg {
    Leg {
        what,
        model: TrustModel::Federation,
        ends_at,
        reason: None,
        decided: true,
    }
}

fn failed(what: &'static str, ends_at: String, reason: Reason) -> Leg {
    Leg {
        reason: Some(reason),
        ..held(what, ends_at)
    }
}

fn not_reached(what: &'static str) -> Leg {
    Leg {
        decided: false,
        ..held(what, String::new())
    }
}
