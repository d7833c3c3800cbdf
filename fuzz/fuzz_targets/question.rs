//! Questions in JSON, decided under the trust they bring or else under the fixture's.

#![no_main]

use avouch_api::{Asked, TrustDocument};
use avouch_core::id::TenantId;
use avouch_fuzz::{check, check_reason, fixtures, now};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let asked = match Asked::read(text) {
        Ok(asked) => asked,
        Err(unreadable) => return check_reason(&unreadable.reason),
    };
    let tenant = TenantId::local();
    let own = asked.trust().map(|trust| {
        TrustDocument::read(trust.as_bytes(), &tenant, "fuzz")
            .map(|document| TrustDocument::view(tenant.clone(), vec![document]))
    });
    let view = match &own {
        Some(Ok(view)) => view,
        Some(Err(reason)) => return check_reason(reason),
        None => fixtures::view(),
    };
    let limits = *asked.budget().limits();
    check(&asked.into_question(tenant, now()), view, limits);
});
