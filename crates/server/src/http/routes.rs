//! The table of all addresses.

mod issuing;
mod open;

use super::manage::{
    admins, anchors, attestors, audit, bounds, decisions, egress, entries, federations, issuers,
    nodes, pins, rules, services, signals, why_not,
};
pub(super) use super::route::{Access, Beginner, Method, Route};
use super::route::{BATCH, FORM};
use super::token;
use crate::access::{Noun, Verb};

/// All of them.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    [open::ROUTES, issuing::ROUTES, ROUTES]
        .into_iter()
        .flatten()
}

/// What a tenant is told and believes, and whom it lets do what, in the order of their paths.
static ROUTES: &[Route] = &[
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
    Route::get(
        "/v1/tenants/{tenant}/admins/{admin}",
        Access::Of(Verb::Read, Noun::Admin, admins::show),
        "Admin",
    )
    .says("Who has a role, by the name under which it was given"),
    Route::put(
        "/v1/tenants/{tenant}/admins/{admin}",
        Access::Of(Verb::Write, Noun::Admin, admins::put),
    )
    .rehearses()
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
    .rehearses()
    .says("Trusts an anchor no more"),
    Route::get(
        "/v1/tenants/{tenant}/anchors/{anchor}",
        Access::Of(Verb::Read, Noun::Anchor, anchors::show),
        "Anchor",
    )
    .says("An anchor"),
    Route::put(
        "/v1/tenants/{tenant}/anchors/{anchor}",
        Access::Of(Verb::Write, Noun::Anchor, anchors::put),
    )
    .rehearses()
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
    Route::get(
        "/v1/tenants/{tenant}/attestors/{attestor}",
        Access::Of(Verb::Read, Noun::Node, attestors::show),
        "Attestor",
    )
    .says("An attestor, without what is secret in it"),
    Route::put(
        "/v1/tenants/{tenant}/attestors/{attestor}",
        Access::Of(Verb::Write, Noun::Node, attestors::put),
    )
    .rehearses()
    .takes("AttestorDocument")
    .gives("Attestor")
    .says("Accepts nodes by a method, from those whom it names"),
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
        "/v1/tenants/{tenant}/decisions",
        Access::Of(Verb::Read, Noun::Decision, decisions::list),
        "Decisions",
    )
    .query(&["after", "code", "limit", "verdict"])
    .says(
        "What was decided lately on credentials that others have shown, the latest first, `limit` at a \
         time; `next` is `after` of the next call",
    ),
    Route::get(
        "/v1/tenants/{tenant}/decisions/{decision}",
        Access::Of(Verb::Read, Noun::Decision, decisions::show),
        "Decision",
    )
    .says("A decision with its whole verdict, by the `decision` that whoever was answered can quote"),
    Route::get(
        "/v1/tenants/{tenant}/drift",
        Access::Of(Verb::Read, Noun::Rule, rules::drift),
        "Drift",
    )
    .says("Names that exchange rules hold to ids, and those that mean something else by now"),
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
        "/v1/tenants/{tenant}/audit/secrets",
        Access::Of(Verb::Read, Noun::Tenant, audit::secrets),
        "StaticCredentials",
    )
    .says(
        "The static credentials that are known of the tenant, how old each is, who uses it, the step \
         away from it, and findings of the rule `long-lived-secret`; nothing that is secret",
    ),
    Route::get(
        "/v1/tenants/{tenant}/audit/zero-trust",
        Access::Of(Verb::Read, Noun::Tenant, audit::zero_trust),
        "ZeroTrust",
    )
    .says("What NIST SP 800-207A asks of the identity tier, each line met, not met or not known"),
    Route::get(
        "/v1/tenants/{tenant}/egress",
        Access::Of(Verb::Read, Noun::Egress, egress::list),
        "EgressList",
    )
    .says("The APIs of others that workloads of the tenant may use, without their keys"),
    Route::delete(
        "/v1/tenants/{tenant}/egress/{egress}",
        Access::Of(Verb::Write, Noun::Egress, egress::remove),
    )
    .says("Lets nobody use an API any more, and forgets its keys"),
    Route::get(
        "/v1/tenants/{tenant}/egress/{egress}",
        Access::Of(Verb::Read, Noun::Egress, egress::show),
        "Egress",
    )
    .says("An API of others, without its keys"),
    Route::put(
        "/v1/tenants/{tenant}/egress/{egress}",
        Access::Of(Verb::Write, Noun::Egress, egress::put),
    )
    .rehearses()
    .takes("NewEgress")
    .gives("Egress")
    .says("Lets workloads use an API of others; without `key` the key stays, if the API does"),
    Route::post(
        "/v1/tenants/{tenant}/egress/{egress}/promote",
        Access::Of(Verb::Write, Noun::Egress, egress::promote),
    )
    .gives("Egress")
    .says("Forgets the earlier of two keys"),
    Route::post(
        "/v1/tenants/{tenant}/egress/{egress}/rotate",
        Access::Of(Verb::Write, Noun::Egress, egress::rotate),
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
    .rehearses()
    .takes("EntryOrEntries")
    .creates("EntryOrAnswers")
    .at_most(BATCH)
    .says("Adds a registration entry, or many with an answer for each, in their order"),
    Route::delete(
        "/v1/tenants/{tenant}/entries/{entry}",
        Access::Of(Verb::Write, Noun::Entry, entries::remove),
    )
    .rehearses()
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
    .rehearses()
    .takes("Entry")
    .gives("Entry")
    .says("Puts a registration entry in the place of what has this name"),
    Route::get(
        "/v1/tenants/{tenant}/entries/{entry}/record",
        Access::Of(Verb::Read, Noun::Entry, audit::record),
        "IdentityRecord",
    )
    .says("Whose an identity is, what it is for and until when, and what of that nobody has said"),
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
    .rehearses()
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
    .rehearses()
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
    .rehearses()
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
    .rehearses()
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
    Route::get(
        "/v1/tenants/{tenant}/issuers/{issuer}/pins/{pin}",
        Access::Of(Verb::Read, Noun::Issuer, pins::show_one),
        "Pin",
    )
    .says("One pin of an issuer"),
    Route::put(
        "/v1/tenants/{tenant}/issuers/{issuer}/pins/{pin}",
        Access::Of(Verb::Write, Noun::Issuer, pins::put),
    )
    .rehearses()
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
        Access::Known(Verb::Write, Noun::Node, nodes::ban),
    )
    .gives("Node")
    .says("Gives a node nothing any more, also where something else of its tenant cannot be read"),
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
        "/v1/tenants/{tenant}/receivers",
        Access::Of(Verb::Read, Noun::Signal, signals::receivers),
        "Receivers",
    )
    .says("Those whom the tenant tells of what ended, and how it goes"),
    Route::delete(
        "/v1/tenants/{tenant}/receivers/{receiver}",
        Access::Of(Verb::Write, Noun::Signal, signals::remove_receiver),
    )
    .rehearses()
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
    .rehearses()
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
    .rehearses()
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
    .rehearses()
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
    Route::get(
        "/v1/tenants/{tenant}/services",
        Access::Of(Verb::Read, Noun::Anchor, services::list),
        "Services",
    )
    .says("The services for which only some trust models may decide, and which have"),
    Route::delete(
        "/v1/tenants/{tenant}/services/{service}",
        Access::Of(Verb::Write, Noun::Anchor, services::remove),
    )
    .rehearses()
    .says("Lets any trust model decide for a service again, and forgets what was seen of it"),
    Route::get(
        "/v1/tenants/{tenant}/services/{service}",
        Access::Of(Verb::Read, Noun::Anchor, services::show),
        "Service",
    )
    .says("A service, which trust models have decided for it, and since when"),
    Route::put(
        "/v1/tenants/{tenant}/services/{service}",
        Access::Of(Verb::Write, Noun::Anchor, services::put),
    )
    .rehearses()
    .takes("ServiceDocument")
    .gives("Service")
    .says(
        "Says which trust models may decide for a service; what another decides is refused, or flagged",
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
    .rehearses()
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
    .rehearses()
    .takes("SignalDocument")
    .gives("Signal")
    .says("Takes events of a transmitter, in the place of the stream that had this name"),
    Route::post(
        "/v1/tenants/{tenant}/signals/{signal}/verify",
        Access::Of(Verb::Write, Noun::Signal, signals::verify),
    )
    .gives("Signal")
    .says("Sets a stream up at its transmitter, and asks that whether it is there"),
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
