//! What a tenant publishes: bundles, keys and where to find them.

use std::sync::Arc;

use avouch_core::credential::jose::algorithm::Algorithm;
use avouch_core::id::TrustDomain;
use avouch_store::Sequence;
use serde_json::json;

use super::answer::Answer;
use super::call::{Call, Stop};
use crate::exchange::request::GRANTS;
use crate::readers::Published;
use crate::tenant::Tenant;

/// For how many seconds a status list may be kept in between, beside what it says itself.
const KEPT: u32 = 30;

/// The SPIFFE bundle of the trust domain that a tenant had first (SPIFFE Federation 5.1): who reads it
/// for that one never finds another there.
pub(super) fn first_bundle(call: &Call) -> Result<Answer, Stop> {
    let tenant = call.any_tenant()?;
    let first = tenant.require_trust_domain()?;
    bundle_of(call, &tenant, first)
}

/// The SPIFFE bundle of a trust domain.
pub(super) fn bundle(call: &Call) -> Result<Answer, Stop> {
    let tenant = call.any_tenant()?;
    let name: TrustDomain = call.own_trust_domain(&tenant)?;
    bundle_of(call, &tenant, name)
}

fn bundle_of(call: &Call, tenant: &Arc<Tenant>, name: TrustDomain) -> Result<Answer, Stop> {
    // Before it is made, so that nobody is thought to hold what came after.
    let holds = tenant.held().bundle_sequence;
    let bundle = call.plane().bundle(tenant, &name)?;
    note(call, tenant, Published::Bundle(name), holds);
    Ok(kept(call, &bundle))
}

/// The keys of JWT-SVIDs, for verifiers of OIDC.
pub(super) fn keys(call: &Call) -> Result<Answer, Stop> {
    let tenant = call.any_tenant()?;
    let holds = tenant.held().bundle_sequence;
    let keys = call.plane().jwks(&tenant)?;
    note(call, &tenant, Published::Keys, holds);
    Ok(kept(call, &keys))
}

/// The revocation list of an authority (RFC 5280 4.2.1.13, RFC 2585 3).
pub(super) fn revocation_list(call: &Call) -> Result<Answer, Stop> {
    let tenant = call.any_tenant()?;
    let list = call
        .plane()
        .revocation_list(&tenant, call.name("authority"))?;
    let seconds = call.plane().settings().bundle_refresh_hint;
    Ok(Answer::kept_bytes(
        call,
        "application/pkix-crl",
        list.der,
        seconds,
    ))
}

/// A status list of exchanged tokens (draft-ietf-oauth-status-list 8.2).
pub(super) fn status_list(call: &Call) -> Result<Answer, Stop> {
    let tenant = call.any_tenant()?;
    let list = call.plane().status_list(&tenant, call.name("list"))?;
    let kind = "application/statuslist+jwt";
    Ok(Answer::kept_bytes(call, kind, list.into_bytes(), KEPT))
}

/// Where an OIDC verifier finds the keys (OpenID Connect Discovery 1.0, section 3), and a client the
/// token endpoint (RFC 8414 2, RFC 8705 3.3, RFC 9449 5.1). Nobody logs in here, and yet the address
/// for that is a required member; the name in its place leads nowhere, as it does where Kubernetes
/// issues tokens.
pub(super) fn discovery(call: &Call) -> Result<Answer, Stop> {
    let tenant = call.any_tenant()?;
    let issuer = call.plane().issuer_of(tenant.id());
    let document = json!({
        "jwks_uri": format!("{issuer}/keys"),
        "token_endpoint": format!("{issuer}/token"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "introspection_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth"],
        "introspection_endpoint_auth_signing_alg_values_supported":
            Algorithm::ALL.map(Algorithm::name),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "revocation_endpoint_auth_methods_supported": ["none", "private_key_jwt", "tls_client_auth"],
        "revocation_endpoint_auth_signing_alg_values_supported":
            Algorithm::ALL.map(Algorithm::name),
        "grant_types_supported": GRANTS,
        "token_endpoint_auth_methods_supported": CLIENT_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::name),
        "dpop_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::name),
        "tls_client_certificate_bound_access_tokens": true,
        "issuer": issuer,
        "authorization_endpoint": "urn:avouch:programmatic_authorization",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": ["aud", "exp", "iat", "iss", "jti", "sub"],
    });
    Ok(kept(call, &document))
}

/// How a client may show who it is: an assertion of `client-assertion-type:jwt-bearer` is
/// `private_key_jwt`, one of `jwt-spiffe` is `spiffe_jwt`, and the certificate of a connection is an
/// X.509-SVID (RFC 7523 2.2, RFC 8705 2.1, draft-ietf-oauth-spiffe-client-auth-01).
const CLIENT_METHODS: [&str; 5] = [
    "none",
    "private_key_jwt",
    "spiffe_jwt",
    "spiffe_x509",
    "tls_client_auth",
];

/// Keeps in mind who has read what.
fn note(call: &Call, tenant: &Tenant, what: Published, holds: Sequence) {
    if let Some(address) = call.address {
        let now = call.plane().now();
        tenant.readers.note(what, address, holds, now);
    }
}

fn kept(call: &Call, document: &serde_json::Value) -> Answer {
    let seconds = call.plane().settings().bundle_refresh_hint;
    Answer::kept(call, document, seconds)
}
