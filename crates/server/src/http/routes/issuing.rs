//! The addresses of tenants, of what signs for them, and of what was signed.

use super::{Access, Route};
use crate::access::{Noun, Verb};
use crate::http::manage::{
    authorities, certificates, clusters, issued, log, quotas, removals, tenants,
};

pub(super) static ROUTES: &[Route] = &[
    Route::get(
        "/v1/tenants",
        Access::Administrator(tenants::list),
        "Tenants",
    )
    .says("The tenants in which you have a role"),
    Route::post("/v1/tenants", Access::Administrator(tenants::create))
    .rehearses()
        .takes("NewTenant")
        .creates("Tenant")
        .says("Adds a tenant below another, and a trust domain if one is named"),
    Route::delete(
        "/v1/tenants/{tenant}",
        Access::Known(Verb::Write, Noun::Tenant, removals::tenant),
    )
    .query(&["confirm"])
    .gives("Removal")
    .says(
        "Removes a tenant and all below it, with all that they have. Unless nothing of it is in use, \
         `confirm` names the tenants and trust domains that go, and `unread:TENANT` for one of which something \
         cannot be read. For those who may change tenants above it",
    ),
    Route::get(
        "/v1/tenants/{tenant}",
        Access::Of(Verb::Read, Noun::Tenant, tenants::show),
        "Tenant",
    )
    .says("A tenant"),
    Route::get(
        "/v1/tenants/{tenant}/authorities",
        Access::Of(Verb::Read, Noun::Authority, authorities::list),
        "Authorities",
    )
    .says("The authorities of the tenant, and which connected nodes know them"),
    Route::get(
        "/v1/tenants/{tenant}/authorities/{authority}",
        Access::Of(Verb::Read, Noun::Authority, authorities::show),
        "Authority",
    )
    .says("An authority, and which connected nodes know it"),
    Route::post(
        "/v1/tenants/{tenant}/authorities/{authority}/activate",
        Access::Of(Verb::Write, Noun::Authority, authorities::activate),
    )
    .takes("Revoking")
    .optional()
    .gives("Authorities")
    .says(
        "Has a prepared authority sign in the place of the one that does; refused while connected \
         nodes do not know it, unless `anyway`",
    ),
    Route::post(
        "/v1/tenants/{tenant}/authorities/{authority}/revoke",
        Access::Of(Verb::Write, Noun::Authority, authorities::revoke),
    )
    .takes("Revoking")
    .optional()
    .gives("Authorities")
    .says(
        "Takes a tainted authority out of the bundle and destroys its key; refused while nodes \
         may hold what it signed, unless `anyway`",
    ),
    Route::post(
        "/v1/tenants/{tenant}/authorities/{authority}/taint",
        Access::Of(Verb::Write, Noun::Authority, authorities::taint),
    )
    .takes("Revoking")
    .optional()
    .gives("Authorities")
    .says(
        "Lets an authority sign no more, and has all that it signed replaced; refused where nothing \
         would sign in its place, unless `anyway`",
    ),
    Route::post(
        "/v1/tenants/{tenant}/bootstrap-tokens",
        Access::Of(Verb::Write, Noun::Node, clusters::new_token),
    )
    .takes("NewBootstrapToken")
    .gives("BootstrapToken")
    .says(
        "Makes a token with which the kubelet of one node gets its first certificate, once. It is \
         shown here and never again",
    ),
    Route::post(
        "/v1/tenants/{tenant}/certificates",
        Access::Of(Verb::Write, Noun::Entry, certificates::issue),
    )
    .takes("CertificationRequest")
    .gives("Certificate")
    .says("Issues an X.509-SVID for a registered identity and a signing request made by hand"),
    Route::get(
        "/v1/tenants/{tenant}/issued",
        Access::Of(Verb::Read, Noun::Authority, issued::list),
        "Issued",
    )
    .query(&["after", "entry", "limit", "node", "serial", "since", "spiffe_id"])
    .says(
        "What was issued, for as long as it stays on record, the first first: the one with a `serial`, \
         or all of an identity, for an `entry`, through a `node`, or `since` a time",
    ),
    Route::get(
        "/v1/tenants/{tenant}/log",
        Access::Of(Verb::Read, Noun::Authority, log::list),
        "IssuanceLog",
    )
    .query(&["after", "limit", "since"])
    .says("Every decision to issue something or to take it back, in order, for as long as it is kept"),
    Route::get(
        "/v1/tenants/{tenant}/log/state",
        Access::Of(Verb::Read, Noun::Authority, log::state),
        "IssuanceState",
    )
    .query(&["at"])
    .says("The digest of what lives by what the server holds, to compare with what the log comes to"),
    Route::get(
        "/v1/tenants/{tenant}/quota",
        Access::Of(Verb::Read, Noun::Tenant, quotas::show),
        "QuotaAndUse",
    )
    .says("How much the tenant may have and do together with all below it, and how much it has"),
    Route::put(
        "/v1/tenants/{tenant}/quota",
        Access::Of(Verb::Write, Noun::Tenant, quotas::put),
    )
    .rehearses()
    .takes("Quota")
    .gives("QuotaAndUse")
    .says(
        "Says how much the tenant may have and do together with all below it; what is not named is \
         not bounded. For those who may change tenants above it",
    ),
    Route::post(
        "/v1/tenants/{tenant}/revoke-certificates",
        Access::Of(Verb::Write, Noun::Authority, authorities::revoke_certificates),
    )
    .takes("RevokingCertificates")
    .gives("RevokedCertificates")
    .says(
        "Revokes the certificate of a serial number, or all of an identity, and tells everyone          with the list of their authority",
    ),
    Route::post(
        "/v1/tenants/{tenant}/signing-requests",
        Access::Of(Verb::Write, Noun::Authority, clusters::sign),
    )
    .query(&["trust_domain"])
    .takes("SigningRequest")
    .gives("SigningRequest")
    .says(
        "Signs a CertificateSigningRequest of certificates.k8s.io/v1 as the CA of a Kubernetes \
         cluster, under the rules of its signer",
    ),
    Route::get(
        "/v1/tenants/{tenant}/removal",
        Access::Known(Verb::Read, Noun::Tenant, removals::of_tenant),
        "Removal",
    )
    .says("What would go with a tenant, and by what that is confirmed"),
    Route::get(
        "/v1/tenants/{tenant}/trust-domains",
        Access::Of(Verb::Read, Noun::TrustDomain, tenants::trust_domains),
        "TrustDomains",
    )
    .says("The trust domains of the tenant"),
    Route::post(
        "/v1/tenants/{tenant}/trust-domains",
        Access::Of(Verb::Write, Noun::TrustDomain, tenants::add_trust_domain),
    )
    .rehearses()
    .takes("NewTrustDomain")
    .creates("TrustDomain")
    .says("Gives the tenant a trust domain with all its authorities"),
    Route::delete(
        "/v1/tenants/{tenant}/trust-domains/{trust_domain}",
        Access::Of(Verb::Write, Noun::TrustDomain, removals::trust_domain),
    )
    .query(&["confirm"])
    .gives("Removal")
    .says(
        "Removes a trust domain with its authorities and all that is in it; unless nothing of it is in \
         use, `confirm` names it",
    ),
    Route::get(
        "/v1/tenants/{tenant}/trust-domains/{trust_domain}",
        Access::Of(Verb::Read, Noun::TrustDomain, tenants::trust_domain),
        "TrustDomain",
    )
    .says("A trust domain of the tenant"),
    Route::post(
        "/v1/tenants/{tenant}/trust-domains/{trust_domain}/authorities",
        Access::Of(Verb::Write, Noun::Authority, authorities::add),
    )
    .takes("NewIntermediate")
    .gives("Authorities")
    .says("Adds an intermediate for people, devices or a cluster"),
    Route::post(
        "/v1/tenants/{tenant}/trust-domains/{trust_domain}/csr",
        Access::Of(Verb::Write, Noun::Authority, authorities::request),
    )
    .gives("AuthorityRequest")
    .says("Makes a key for an intermediate whose certificate comes from elsewhere, and a request"),
    Route::post(
        "/v1/tenants/{tenant}/trust-domains/{trust_domain}/import",
        Access::Of(Verb::Write, Noun::Authority, authorities::import),
    )
    .takes("ImportedCertificates")
    .gives("ImportedAuthority")
    .says("Takes the certificate for a request, or a root with its key; what it would sign is tried"),
    Route::post(
        "/v1/tenants/{tenant}/trust-domains/{trust_domain}/prepare",
        Access::Of(Verb::Write, Noun::Authority, authorities::prepare),
    )
    .gives("Authorities")
    .says("Prepares a successor for each authority of a trust domain before its time"),
    Route::get(
        "/v1/tenants/{tenant}/trust-domains/{trust_domain}/removal",
        Access::Of(Verb::Read, Noun::TrustDomain, removals::of_trust_domain),
        "Removal",
    )
    .says("What would go with a trust domain, and by what that is confirmed"),
    Route::post(
        "/v1/tenants/{tenant}/trust-domains/{trust_domain}/replace",
        Access::Of(Verb::Write, Noun::Authority, authorities::replace_all),
    )
    .takes("Revoking")
    .optional()
    .gives("Authorities")
    .says(
        "Replaces every key of a trust domain, as if all were in the wrong hands; refused where nothing \
         would sign in the place of one, unless `anyway`",
    ),
];
