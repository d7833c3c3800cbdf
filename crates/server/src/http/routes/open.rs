//! The addresses that anyone may call: what they show says who they are.

use super::{Access, Beginner, FORM, Method, Route};
use crate::http::manage::clusters;
use crate::http::{decide, egress, events, introspect, ocsp, public, ssf, token, watch};

pub(super) static ROUTES: &[Route] = &[
    Route::get(
        "/.well-known/oauth-authorization-server/t/{tenant}",
        Access::Anyone(public::discovery),
        "Any",
    )
    .says("Where clients of OAuth find the token endpoint of the tenant (RFC 8414 3.1)"),
    Route::get(
        "/.well-known/ssf-configuration/t/{tenant}",
        Access::Anyone(ssf::configuration),
        "Any",
    )
    .says("The same for receivers of events, between host and path (OpenID SSF 1.0 7.2.1)"),
    Route::get("/healthz", Access::Watcher(watch::health), "Status")
        .says("Whether the server lives"),
    Route::get("/metrics", Access::Watcher(watch::metrics), "Metrics")
        .says("Its numbers, in the text format of Prometheus"),
    Route::get("/openapi.json", Access::Watcher(watch::description), "Any").says("This document"),
    Route::get("/readyz", Access::Watcher(watch::readiness), "Status")
        .says("Whether the store answers, so that changes can be made"),
    Route::get(
        "/t/{tenant}/.well-known/oauth-authorization-server",
        Access::Anyone(public::discovery),
        "Any",
    )
    .says("The same, for clients that look below the path"),
    Route::get(
        "/t/{tenant}/.well-known/openid-configuration",
        Access::Anyone(public::discovery),
        "Any",
    )
    .says("Where verifiers of OIDC find the keys of the tenant (OpenID Connect Discovery 1.0)"),
    Route::get(
        "/t/{tenant}/.well-known/ssf-configuration",
        Access::Anyone(ssf::configuration),
        "Any",
    )
    .says("Where receivers of events find the tenant as their transmitter (OpenID SSF 1.0 7)"),
    Route::get(
        "/t/{tenant}/bundle",
        Access::Anyone(public::first_bundle),
        "Bundle",
    )
    .says("The SPIFFE bundle of the first trust domain of the tenant, by name"),
    Route::get(
        "/t/{tenant}/bundle/{trust_domain}",
        Access::Anyone(public::bundle),
        "Bundle",
    )
    .says("The SPIFFE bundle of a trust domain of the tenant"),
    Route::get(
        "/t/{tenant}/crl/{authority}",
        Access::Anyone(public::revocation_list),
        "RevocationList",
    )
    .says("The certificates that an authority has revoked, as DER (RFC 5280 5)"),
    Route::post("/t/{tenant}/decide", Access::Anyone(decide::answer))
        .takes("Question")
        .gives("Verdict")
        .says(
            "Decides on a credential under what the tenant trusts. Who may read the anchors of the \
             tenant sees the whole verdict, and what the question itself brings as `trust` counts \
             too; everyone else learns a code, or what is wrong with the question itself, and `trust` is passed over",
        ),
    Route::delete(
        "/t/{tenant}/egress/{egress}/{*path}",
        Access::Beginner(Beginner::of(egress::begin)),
    )
    .forwards()
    .says("Uses an API of others with a key that only the tenant has; who may, its rules say"),
    Route::get(
        "/t/{tenant}/egress/{egress}/{*path}",
        Access::Beginner(Beginner::of(egress::begin)),
        "Any",
    )
    .forwards()
    .says("Uses an API of others with a key that only the tenant has; who may, its rules say"),
    Route::of(
        Method::Patch,
        "/t/{tenant}/egress/{egress}/{*path}",
        Access::Beginner(Beginner::of(egress::begin)),
    )
    .forwards()
    .says("Uses an API of others with a key that only the tenant has; who may, its rules say"),
    Route::post(
        "/t/{tenant}/egress/{egress}/{*path}",
        Access::Beginner(Beginner::of(egress::begin)),
    )
    .forwards()
    .says("Uses an API of others with a key that only the tenant has; who may, its rules say"),
    Route::put(
        "/t/{tenant}/egress/{egress}/{*path}",
        Access::Beginner(Beginner::of(egress::begin)),
    )
    .forwards()
    .says("Uses an API of others with a key that only the tenant has; who may, its rules say"),
    Route::post("/t/{tenant}/events", Access::Anyone(events::receive))
        .takes("SecurityEvent")
        .at_most(FORM)
        .says(
            "Takes a security event of a transmitter whose stream the tenant has (RFC 8935): 202 when \
             what it does is done, or 400 with `err`, `description`, `code` and `decision`",
        ),
    Route::post("/t/{tenant}/introspect", Access::Anyone(introspect::answer))
        .takes("IntrospectionRequest")
        .gives("Introspection")
        .oauth()
        .says(
            "Whether a token of the tenant holds, and what it says (RFC 7662), for workloads of the \
             tenant and clients of its rules, by `client_assertion` or certificate, and for whoever may \
             read its rules",
        ),
    Route::get("/t/{tenant}/keys", Access::Anyone(public::keys), "KeySet")
        .says("The keys of JWT-SVIDs of the tenant (RFC 7517)"),
    Route::post("/t/{tenant}/ocsp", Access::Anyone(ocsp::posted))
        .takes("StatusRequest")
        .gives("StatusResponse")
        .at_most(ocsp::LONGEST)
        .says(
            "Whether certificates of the tenant hold (OCSP, RFC 6960): up to 32 of one authority, with \
             the nonce of the request if there is one. Of what is not on record here the answer is \
             `unauthorized`",
        ),
    Route::get(
        "/t/{tenant}/ocsp/{*request}",
        Access::Anyone(ocsp::fetched),
        "StatusResponse",
    )
    .says("The same with the request in Base64 (RFC 5019 5), to be kept in between"),
    Route::post("/t/{tenant}/revoke", Access::Anyone(introspect::revoke))
        .takes("IntrospectionRequest")
        .gives("Revoked")
        .oauth()
        .says(
            "Ends a token of the tenant and all that was exchanged for it (RFC 7009), for whoever has it in \
             hand: its subject or client, by `client_assertion` or certificate, the holder of its key, by a DPoP \
             proof or certificate, and anyone if it is bound to nobody. What is no such token is answered alike",
        ),
    Route::post(
        "/t/{tenant}/signing-requests",
        Access::Anyone(clusters::bootstrap),
    )
    .takes("BootstrapRequest")
    .gives("Bootstrapped")
    .says(
        "Signs the first certificate of a kubelet that shows the bootstrap token of its node as \
         `Authorization: Bearer`, once; on what the decision rests is in `legs`",
    ),
    Route::post("/t/{tenant}/ssf/poll", Access::Anyone(ssf::poll))
        .takes("EventPoll")
        .optional()
        .gives("Any")
        .says("Gives a receiver the events that it was not told yet (RFC 8936)"),
    Route::get("/t/{tenant}/ssf/status", Access::Anyone(ssf::status), "Any")
        .query(&["stream_id"])
        .says("How the stream of a receiver goes on (OpenID SSF 1.0 8.1.2)"),
    Route::post("/t/{tenant}/ssf/status", Access::Anyone(ssf::put_status))
        .takes("Any")
        .gives("Any")
        .says("Lets the stream of a receiver go on otherwise: enabled, paused or disabled"),
    Route::delete("/t/{tenant}/ssf/streams", Access::Anyone(ssf::delete))
        .query(&["stream_id"])
        .says("Ends the stream of a receiver"),
    Route::get("/t/{tenant}/ssf/streams", Access::Anyone(ssf::show), "Any")
        .query(&["stream_id"])
        .says("The stream of a receiver, or a list of it"),
    Route::of(Method::Patch, "/t/{tenant}/ssf/streams", Access::Anyone(ssf::update))
        .takes("Any")
        .gives("Any")
        .says("Changes what is named of the stream of a receiver"),
    Route::post("/t/{tenant}/ssf/streams", Access::Anyone(ssf::create))
        .takes("Any")
        .creates("Any")
        .says(
            "Makes the stream of a receiver (OpenID SSF 1.0 8.1.1): whoever an administrator lets be \
             one, by a JWT-SVID for this server or an X.509-SVID",
        ),
    Route::put("/t/{tenant}/ssf/streams", Access::Anyone(ssf::replace))
        .takes("Any")
        .gives("Any")
        .says("Puts the stream of a receiver in the place of itself"),
    Route::post("/t/{tenant}/ssf/subjects/add", Access::Anyone(ssf::add_subject))
        .takes("Any")
        .gives("Any")
        .says("Tells a receiver of a subject again"),
    Route::post("/t/{tenant}/ssf/subjects/remove", Access::Anyone(ssf::remove_subject))
        .takes("Any")
        .says("Tells a receiver nothing of a subject any more"),
    Route::post("/t/{tenant}/ssf/verify", Access::Anyone(ssf::verify))
        .takes("Any")
        .says("Has an event sent to a receiver that says that somebody is here"),
    Route::get(
        "/t/{tenant}/status/{list}",
        Access::Anyone(public::status_list),
        "StatusList",
    )
    .says("Which exchanged tokens have ended, as a signed status list (draft-ietf-oauth-status-list)"),
    Route::post("/t/{tenant}/token", Access::Beginner(token::BEGINNER))
        .takes("TokenRequest")
        .gives("TokenResponse")
        .oauth()
        .says(
            "Exchanges a credential for one of the tenant under its rules (RFC 8693, RFC 7523, \
             RFC 6749 4.4). Who may read the rules of the tenant is told why something is refused; \
             everyone else learns a code",
        ),
    Route::post("/t/{tenant}/webhooks/{egress}", Access::Anyone(egress::webhook))
        .forwards()
        .takes("Any")
        .gives("CheckedWebhook")
        .says(
            "Tells a workload that has received a webhook of an API of others whether it was signed \
             with a secret that only the tenant has: the body and the header of the signature as they \
             came",
        ),
];
