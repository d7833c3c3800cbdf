//! Values of arguments: what is written for each, and what a person is told who has written something else.

use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::question::{ExpectedName, Profile, Purpose};
use avouch_core::time::Time;
use avouch_core::verdict::TrustModel;
use const_oid::ObjectIdentifier;

pub(crate) fn tenant(text: &str) -> Result<TenantId, String> {
    TenantId::parse(text)
        .ok_or_else(|| "a tenant is 1 to 63 lower-case letters, digits and hyphens".to_owned())
}

pub(crate) fn spiffe(text: &str) -> Result<ExpectedName, String> {
    avouch_api::expected_spiffe(text).map_err(str::to_owned)
}

pub(crate) fn spiffe_id(text: &str) -> Result<SpiffeId, String> {
    SpiffeId::parse(text).map_err(|reason| reason.sentence())
}

pub(crate) fn trust_domain(text: &str) -> Result<TrustDomain, String> {
    TrustDomain::parse_named(text).map_err(|reason| reason.sentence())
}

pub(crate) fn policy(text: &str) -> Result<ObjectIdentifier, String> {
    avouch_api::policy_identifier(text)
        .ok_or_else(|| "a policy is an object identifier such as 2.23.140.1.2.1".to_owned())
}

pub(crate) fn time(text: &str) -> Result<Time, String> {
    avouch_api::text::time(text)
        .ok_or_else(|| "a time looks like 2026-01-31T09:30:00Z or 2026-01-31".to_owned())
}

pub(crate) fn purpose(text: &str) -> Result<Purpose, String> {
    [Purpose::Any, Purpose::Client, Purpose::Server]
        .into_iter()
        .find(|purpose| purpose.name() == text)
        .ok_or_else(|| "a purpose is server, client or any".to_owned())
}

pub(crate) fn profile(text: &str) -> Result<Profile, String> {
    [
        Profile::Private,
        Profile::Rfc5280,
        Profile::Spiffe,
        Profile::WebPki,
    ]
    .into_iter()
    .find(|profile| profile.name() == text)
    .ok_or_else(|| "a profile is webpki, rfc5280, spiffe or private".to_owned())
}

pub(crate) fn model(text: &str) -> Result<TrustModel, String> {
    TrustModel::named(text)
        .ok_or_else(|| "the models are pki, federation and shared_secret".to_owned())
}
