//! The table of all addresses.

use super::manage::{
    admins, anchors, attestors, authorities, bounds, certificates, clusters,
    egress as managed_egress, entries, federations, issuers, nodes, pins, quotas, rules, signals,
    tenants, why_not,
};
pub(super) use super::route::{Access, Beginner, Method, Route};
use super::route::{BATCH, FORM};
use super::{decide, egress, events, introspect, public, ssf, token, watch};
use crate::access::{Noun, Verb};

/// All of them, in the order of their paths.
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
             too; everyone else learns a code, and `trust` is passed over",
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
    Route::get(
        "/v1/tenants",
        Access::Administrator(tenants::list),
        "Tenants",
    )
    .says("The tenants in which you have a role"),
    Route::post("/v1/tenants", Access::Administrator(tenants::create))
        .takes("NewTenant")
        .creates("Tenant")
        .says("Adds a tenant below another, and a trust domain if one is named"),
    Route::get(
        "/v1/tenants/{tenant}",
        Access::Of(Verb::Read, Noun::Tenant, tenants::show),
        "Tenant",
    )
    .says("A tenant"),
    Route::get(
        "/v1/tenants/{tenant}/admins",
        Access::Of(Verb::Read, Noun::Admin, admins::list),
        "Admins",
    )
    .says("Who administers the tenant; those above it administer it too"),
    Route::delete(
        "/v1/tenants/{tenant}/admins/{admin}",
        Access::Of(Verb::Write, Noun::Admin, admins::remove),
    )
    .says("Takes a role away. Nobody takes more than they have"),
    Route::put(
        "/v1/tenants/{tenant}/admins/{admin}",
        Access::Of(Verb::Write, Noun::Admin, admins::put),
    )
    .takes("NewAdmin")
    .gives("Admin")
    .says("Gives someone a role in the tenant and all below it. Nobody gives more than they have"),
    Route::get(
        "/v1/tenants/{tenant}/anchors",
        Access::Of(Verb::Read, Noun::Anchor, anchors::list),
        "Anchors",
    )
    .says("What the tenant trusts beside its own trust domains"),
    Route::delete(
        "/v1/tenants/{tenant}/anchors/{anchor}",
        Access::Of(Verb::Write, Noun::Anchor, anchors::remove),
    )
    .says("Trusts an anchor no more"),
    Route::put(
        "/v1/tenants/{tenant}/anchors/{anchor}",
        Access::Of(Verb::Write, Noun::Anchor, anchors::put),
    )
    .takes("AnchorDocument")
    .gives("Anchor")
    .says("Trusts an anchor: one element of `anchors` of a trust document"),
    Route::get(
        "/v1/tenants/{tenant}/attestors",
        Access::Of(Verb::Read, Noun::Node, attestors::list),
        "Attestors",
    )
    .says("What the tenant accepts from nodes that join without a token"),
    Route::delete(
        "/v1/tenants/{tenant}/attestors/{attestor}",
        Access::Of(Verb::Write, Noun::Node, attestors::remove),
    )
    .says("Accepts nothing by an attestor any more; nodes that it let join stay"),
    Route::put(
        "/v1/tenants/{tenant}/attestors/{attestor}",
        Access::Of(Verb::Write, Noun::Node, attestors::put),
    )
    .takes("AttestorDocument")
    .gives("Attestor")
    .says("Accepts nodes by a method, from those whom it names"),
    Route::get(
        "/v1/tenants/{tenant}/authorities",
        Access::Of(Verb::Read, Noun::Authority, authorities::list),
        "Authorities",
    )
    .says("The authorities of the tenant, and which connected nodes know them"),
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
    .gives("Authorities")
    .says("Lets an authority sign no more, and has all that it signed replaced"),
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
    Route::get(
        "/v1/tenants/{tenant}/bounds",
        Access::Of(Verb::Read, Noun::Entry, bounds::answer),
        "Bounds",
    )
    .query(&["after", "could", "limit", "node"])
    .says(
        "All identities that registration entries could ever give: any of them, or those for the \
         workloads of one `node`, or those that `could` become one ID. What is not in it is not \
         issued",
    ),
    Route::get(
        "/v1/tenants/{tenant}/drift",
        Access::Of(Verb::Read, Noun::Rule, rules::drift),
        "Drift",
    )
    .says("Names that exchange rules hold to ids, and those that mean something else by now"),
    Route::post(
        "/v1/tenants/{tenant}/certificates",
        Access::Of(Verb::Write, Noun::Entry, certificates::issue),
    )
    .takes("CertificationRequest")
    .gives("Certificate")
    .says("Issues an X.509-SVID for a registered identity and a signing request made by hand"),
    Route::get(
        "/v1/tenants/{tenant}/ended",
        Access::Of(Verb::Read, Noun::Signal, signals::ended),
        "Endings",
    )
    .says("What ended before its time: who, since when, and who said so"),
    Route::post(
        "/v1/tenants/{tenant}/ended",
        Access::Of(Verb::Write, Noun::Signal, signals::end),
    )
    .takes("NewEnding")
    .gives("Ended")
    .says(
        "Ends a subject, a session or a token of an issuer, and all that was exchanged for it; closes \
         it, so that nothing of it is believed; or opens it again",
    ),
    Route::get(
        "/v1/tenants/{tenant}/egress",
        Access::Of(Verb::Read, Noun::Egress, managed_egress::list),
        "EgressList",
    )
    .says("The APIs of others that workloads of the tenant may use, without their keys"),
    Route::delete(
        "/v1/tenants/{tenant}/egress/{egress}",
        Access::Of(Verb::Write, Noun::Egress, managed_egress::remove),
    )
    .says("Lets nobody use an API any more, and forgets its keys"),
    Route::get(
        "/v1/tenants/{tenant}/egress/{egress}",
        Access::Of(Verb::Read, Noun::Egress, managed_egress::show),
        "Egress",
    )
    .says("An API of others, without its keys"),
    Route::put(
        "/v1/tenants/{tenant}/egress/{egress}",
        Access::Of(Verb::Write, Noun::Egress, managed_egress::put),
    )
    .takes("NewEgress")
    .gives("Egress")
    .says("Lets workloads use an API of others; without `key` the key stays, if the API does"),
    Route::post(
        "/v1/tenants/{tenant}/egress/{egress}/promote",
        Access::Of(Verb::Write, Noun::Egress, managed_egress::promote),
    )
    .gives("Egress")
    .says("Forgets the earlier of two keys"),
    Route::post(
        "/v1/tenants/{tenant}/egress/{egress}/rotate",
        Access::Of(Verb::Write, Noun::Egress, managed_egress::rotate),
    )
    .takes("NewEgressKey")
    .gives("Egress")
    .says("Gives an API the key that comes next; both are good until the earlier is forgotten"),
    Route::get(
        "/v1/tenants/{tenant}/entries",
        Access::Of(Verb::Read, Noun::Entry, entries::list),
        "Entries",
    )
    .query(&["after", "limit"])
    .says("Registration entries by name, `limit` at a time; `next` is `after` of the next call"),
    Route::post(
        "/v1/tenants/{tenant}/entries",
        Access::Of(Verb::Write, Noun::Entry, entries::create),
    )
    .takes("EntryOrEntries")
    .creates("EntryOrAnswers")
    .at_most(BATCH)
    .says("Adds a registration entry, or many with an answer for each, in their order"),
    Route::delete(
        "/v1/tenants/{tenant}/entries/{entry}",
        Access::Of(Verb::Write, Noun::Entry, entries::remove),
    )
    .says("Removes a registration entry"),
    Route::get(
        "/v1/tenants/{tenant}/entries/{entry}",
        Access::Of(Verb::Read, Noun::Entry, entries::show),
        "Entry",
    )
    .says("A registration entry"),
    Route::put(
        "/v1/tenants/{tenant}/entries/{entry}",
        Access::Of(Verb::Write, Noun::Entry, entries::replace),
    )
    .takes("Entry")
    .gives("Entry")
    .says("Puts a registration entry in the place of what has this name"),
    Route::get(
        "/v1/tenants/{tenant}/federations",
        Access::Of(Verb::Read, Noun::Federation, federations::list),
        "Federations",
    )
    .says("Where bundles of foreign trust domains come from, and how it goes"),
    Route::delete(
        "/v1/tenants/{tenant}/federations/{federation}",
        Access::Of(Verb::Write, Noun::Federation, federations::remove),
    )
    .says("Ends the relation to a foreign trust domain, and takes its bundle back"),
    Route::get(
        "/v1/tenants/{tenant}/federations/{federation}",
        Access::Of(Verb::Read, Noun::Federation, federations::show),
        "Federation",
    )
    .says("The relation to a foreign trust domain, by the name of that"),
    Route::put(
        "/v1/tenants/{tenant}/federations/{federation}",
        Access::Of(Verb::Write, Noun::Federation, federations::put),
    )
    .takes("NewFederation")
    .gives("Federation")
    .says("Says where the bundle of a foreign trust domain is, and by what its endpoint is known"),
    Route::post(
        "/v1/tenants/{tenant}/federations/{federation}/refresh",
        Access::Of(Verb::Write, Noun::Federation, federations::refresh),
    )
    .gives("Federation")
    .says("Asks the endpoint now; why it gave no bundle stands in `failure`"),
    Route::get(
        "/v1/tenants/{tenant}/issuers",
        Access::Of(Verb::Read, Noun::Issuer, issuers::list),
        "Issuers",
    )
    .says("The issuers of tokens that the tenant trusts, and how each stands"),
    Route::delete(
        "/v1/tenants/{tenant}/issuers/{issuer}",
        Access::Of(Verb::Write, Noun::Issuer, issuers::remove),
    )
    .says("Trusts an issuer no more, and forgets its keys"),
    Route::get(
        "/v1/tenants/{tenant}/issuers/{issuer}",
        Access::Of(Verb::Read, Noun::Issuer, issuers::show),
        "Issuer",
    )
    .says("An issuer: whom it lets in, its keys with their history, and what has happened"),
    Route::put(
        "/v1/tenants/{tenant}/issuers/{issuer}",
        Access::Of(Verb::Write, Noun::Issuer, issuers::put),
    )
    .takes("IssuerDocument")
    .gives("Issuer")
    .says("Trusts an issuer, and fetches its keys unless they were given"),
    Route::get(
        "/v1/tenants/{tenant}/issuers/{issuer}/drill",
        Access::Of(Verb::Read, Noun::Issuer, issuers::drill),
        "Drill",
    )
    .says("What whoever has the keys of an issuer could have, and who could still act without it"),
    Route::get(
        "/v1/tenants/{tenant}/issuers/{issuer}/impact",
        Access::Of(Verb::Read, Noun::Issuer, issuers::impact),
        "Impact",
    )
    .query(&["for"])
    .says("What would stop, and when, if the issuer could not be reached `for` a while, such as 2h"),
    Route::get(
        "/v1/tenants/{tenant}/issuers/{issuer}/pins",
        Access::Of(Verb::Read, Noun::Issuer, pins::show),
        "PinsOfIssuer",
    )
    .says("What is pinned of an issuer, what its servers show, and what is to be looked at"),
    Route::post(
        "/v1/tenants/{tenant}/issuers/{issuer}/pins/check",
        Access::Of(Verb::Write, Noun::Issuer, pins::check),
    )
    .gives("PinsOfIssuer")
    .says("Looks at what its servers show now; what continues a pin that lets it is pinned"),
    Route::post(
        "/v1/tenants/{tenant}/issuers/{issuer}/pins/stage",
        Access::Of(Verb::Write, Noun::Issuer, pins::stage),
    )
    .takes("Staging")
    .gives("PinsOfIssuer")
    .says("Pins what was seen, because someone says that it is meant"),
    Route::delete(
        "/v1/tenants/{tenant}/issuers/{issuer}/pins/{pin}",
        Access::Of(Verb::Write, Noun::Issuer, pins::remove),
    )
    .says("Pins something no more"),
    Route::put(
        "/v1/tenants/{tenant}/issuers/{issuer}/pins/{pin}",
        Access::Of(Verb::Write, Noun::Issuer, pins::put),
    )
    .takes("NewPin")
    .gives("PinsOfIssuer")
    .says("Pins a certificate or a key by its digest, in the place of what has this name"),
    Route::post(
        "/v1/tenants/{tenant}/issuers/{issuer}/quarantine",
        Access::Of(Verb::Write, Noun::Issuer, issuers::quarantine),
    )
    .takes("Cause")
    .gives("Reliance")
    .says("Believes nothing of an issuer any more; what stops with it is the answer"),
    Route::post(
        "/v1/tenants/{tenant}/issuers/{issuer}/refresh",
        Access::Of(Verb::Write, Noun::Issuer, issuers::refresh),
    )
    .gives("Issuer")
    .says("Fetches the keys of an issuer now"),
    Route::post(
        "/v1/tenants/{tenant}/issuers/{issuer}/release",
        Access::Of(Verb::Write, Noun::Issuer, issuers::release),
    )
    .takes("Release")
    .gives("Issuer")
    .says(
        "Believes an issuer again, and the key set that waits for it, if it is still the one whose \
         `etag` is named",
    ),
    Route::get(
        "/v1/tenants/{tenant}/issuers/{issuer}/reliance",
        Access::Of(Verb::Read, Noun::Issuer, issuers::reliance),
        "Reliance",
    )
    .says("What would stop if nothing of an issuer were believed any more"),
    Route::post(
        "/v1/tenants/{tenant}/join-tokens",
        Access::Of(Verb::Write, Noun::Node, nodes::new_token),
    )
    .takes("NewJoinToken")
    .gives("JoinToken")
    .says("Makes a token with which one node joins, once. It is shown here and never again"),
    Route::get(
        "/v1/tenants/{tenant}/nodes",
        Access::Of(Verb::Read, Noun::Node, nodes::list),
        "Nodes",
    )
    .says("The nodes of the tenant, and up to which change each holds it"),
    Route::delete(
        "/v1/tenants/{tenant}/nodes/{node}",
        Access::Of(Verb::Write, Noun::Node, nodes::evict),
    )
    .says("Forgets a node: it gets nothing until it joins again"),
    Route::get(
        "/v1/tenants/{tenant}/nodes/{node}",
        Access::Of(Verb::Read, Noun::Node, nodes::show),
        "Node",
    )
    .says("A node: how it joined, and what was attested of it"),
    Route::post(
        "/v1/tenants/{tenant}/nodes/{node}/ban",
        Access::Of(Verb::Write, Noun::Node, nodes::ban),
    )
    .gives("Node")
    .says("Gives a node nothing any more"),
    Route::post(
        "/v1/tenants/{tenant}/nodes/{node}/unban",
        Access::Of(Verb::Write, Noun::Node, nodes::unban),
    )
    .gives("Node")
    .says("Lets a banned node come back"),
    Route::get(
        "/v1/tenants/{tenant}/pins",
        Access::Of(Verb::Read, Noun::Issuer, pins::list),
        "Pins",
    )
    .says("All pins of all issuers of the tenant, and what is to be looked at"),
    Route::get(
        "/v1/tenants/{tenant}/reliance",
        Access::Of(Verb::Read, Noun::Issuer, issuers::by_reliance),
        "Ranking",
    )
    .says("Everyone from elsewhere who vouches for a tenant, whoever is relied on the most first"),
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
    .takes("Quota")
    .gives("QuotaAndUse")
    .says(
        "Says how much the tenant may have and do together with all below it; what is not named is \
         not bounded. For those who may change tenants above it",
    ),
    Route::get(
        "/v1/tenants/{tenant}/receivers",
        Access::Of(Verb::Read, Noun::Signal, signals::receivers),
        "Receivers",
    )
    .says("Those whom the tenant tells of what ended, and how it goes"),
    Route::delete(
        "/v1/tenants/{tenant}/receivers/{receiver}",
        Access::Of(Verb::Write, Noun::Signal, signals::remove_receiver),
    )
    .says("Tells a receiver nothing any more"),
    Route::get(
        "/v1/tenants/{tenant}/receivers/{receiver}",
        Access::Of(Verb::Read, Noun::Signal, signals::show_receiver),
        "Receiver",
    )
    .says("A receiver: what it asked for, and what it has still to be told"),
    Route::put(
        "/v1/tenants/{tenant}/receivers/{receiver}",
        Access::Of(Verb::Write, Noun::Signal, signals::put_receiver),
    )
    .takes("ReceiverDocument")
    .gives("Receiver")
    .says("Lets someone ask for events of the tenant, in the place of who had this name"),
    Route::get(
        "/v1/tenants/{tenant}/refused-nodes",
        Access::Of(Verb::Read, Noun::Node, nodes::refused),
        "RefusedNodes",
    )
    .says("The last nodes that this server did not let in, newest first, and why"),
    Route::post(
        "/v1/tenants/{tenant}/preview-rule",
        Access::Of(Verb::Read, Noun::Rule, rules::preview),
    )
    .takes("RuleDocument")
    .gives("RulePreview")
    .says("Whom an exchange rule would admit, what it would give, and what is wrong with it"),
    Route::post(
        "/v1/tenants/{tenant}/remove-entries",
        Access::Of(Verb::Write, Noun::Entry, entries::remove_many),
    )
    .takes("EntryNames")
    .gives("Answers")
    .at_most(BATCH)
    .says("Removes many registration entries, with an answer for each, in their order"),
    Route::post(
        "/v1/tenants/{tenant}/revoke-certificates",
        Access::Of(Verb::Write, Noun::Authority, authorities::revoke_certificates),
    )
    .takes("RevokingCertificates")
    .gives("RevokedCertificates")
    .says(
        "Revokes the certificate of a serial number, or all of an identity, and tells everyone          with the list of their authority",
    ),
    Route::get(
        "/v1/tenants/{tenant}/rules",
        Access::Of(Verb::Read, Noun::Rule, rules::list),
        "Rules",
    )
    .says("Who may exchange what for what"),
    Route::delete(
        "/v1/tenants/{tenant}/rules/{rule}",
        Access::Of(Verb::Write, Noun::Rule, rules::remove),
    )
    .says("Lets nobody exchange anything under a rule any more"),
    Route::get(
        "/v1/tenants/{tenant}/rules/{rule}",
        Access::Of(Verb::Read, Noun::Rule, rules::show),
        "Rule",
    )
    .says("An exchange rule, whom it admits and what it gives"),
    Route::put(
        "/v1/tenants/{tenant}/rules/{rule}",
        Access::Of(Verb::Write, Noun::Rule, rules::put),
    )
    .takes("RuleDocument")
    .gives("Rule")
    .says(
        "Lets some exchange what they have for an identity of the tenant, in the place of what \
         had this name; refused when it admits more than it names",
    ),
    Route::post(
        "/v1/tenants/{tenant}/rules/{rule}/forget-name",
        Access::Of(Verb::Write, Noun::Rule, rules::forget),
    )
    .takes("ForgottenName")
    .says("Forgets a name that the rule holds to an id; the next use holds it anew"),
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
        "/v1/tenants/{tenant}/signals",
        Access::Of(Verb::Read, Noun::Signal, signals::list),
        "Signals",
    )
    .says("The streams of events that the tenant takes, and how each stands"),
    Route::delete(
        "/v1/tenants/{tenant}/signals/{signal}",
        Access::Of(Verb::Write, Noun::Signal, signals::remove),
    )
    .says("Takes no events of a stream any more; what it ended stays ended"),
    Route::get(
        "/v1/tenants/{tenant}/signals/{signal}",
        Access::Of(Verb::Read, Noun::Signal, signals::show),
        "Signal",
    )
    .says("A stream of events: when it was heard of, and what came of its last events"),
    Route::put(
        "/v1/tenants/{tenant}/signals/{signal}",
        Access::Of(Verb::Write, Noun::Signal, signals::put),
    )
    .takes("SignalDocument")
    .gives("Signal")
    .says("Takes events of a transmitter, in the place of the stream that had this name"),
    Route::post(
        "/v1/tenants/{tenant}/signals/{signal}/verify",
        Access::Of(Verb::Write, Noun::Signal, signals::verify),
    )
    .gives("Signal")
    .says("Sets a stream up at its transmitter, and asks that whether it is there"),
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
    .takes("NewTrustDomain")
    .creates("TrustDomain")
    .says("Gives the tenant a trust domain with all its authorities"),
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
    Route::post(
        "/v1/tenants/{tenant}/trust-domains/{trust_domain}/replace",
        Access::Of(Verb::Write, Noun::Authority, authorities::replace_all),
    )
    .gives("Authorities")
    .says("Replaces every key of a trust domain, as if all were in the wrong hands"),
    Route::post(
        "/v1/tenants/{tenant}/try-exchange",
        Access::Of(Verb::Read, Noun::Rule, token::trial),
    )
    .takes("ExchangeTrial")
    .gives("ExchangeTrialResult")
    .says("What a token would be exchanged for, or why not; nothing is used and nothing issued"),
    Route::post(
        "/v1/tenants/{tenant}/why-not",
        Access::Of(Verb::Read, Noun::Entry, why_not::answer),
    )
    .takes("Workload")
    .gives("WhyNot")
    .says("Which registration entries a workload matches, which nearly, and what is missing"),
];
