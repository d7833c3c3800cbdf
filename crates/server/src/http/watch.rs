//! For those who watch the server: whether it lives, whether it is ready, and its numbers.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use avouch_core::exchange::drift::DriftKind;
use avouch_core::time::Time;
use avouch_store::AuthorityState;
use serde_json::json;

use super::answer::Answer;
use super::call::{Call, Stop};
use super::openapi;
use crate::plane::{KnownTenant, Life, Plane};

/// How long the store may take to answer before it counts as not answering.
const LONGEST_ANSWER: Duration = Duration::from_secs(2);

/// For how many seconds a store that could be changed counts as one that can: a disk is not written to
/// each time someone wants to know.
const IN_ORDER: i64 = 5;

/// What was last found out about the store, and about where the keys are. It is asked once a second at most, however often
/// someone wants to know, and by one thread at a time, however long it takes.
#[derive(Default)]
pub(super) struct StoreState(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    found: Option<(Time, Result<(), &'static str>)>,
    is_asked: bool,
}

impl Known {
    /// What needs not be asked anew.
    fn recent(&self, now: Time) -> Option<Result<(), &'static str>> {
        let (at, found) = self.found?;
        let is_recent = match found {
            Ok(()) => (0..IN_ORDER).contains(&now.since(at)),
            Err(_) => at == now,
        };
        is_recent.then_some(found)
    }
}

const SILENT: &str =
    "The store, or the token with the keys, does not answer; what is in memory is served on.";

impl StoreState {
    fn check(&self, plane: &Arc<Plane>) -> Result<(), &'static str> {
        let now = plane.now();
        {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match known.recent(now) {
                Some(found) => return found,
                None if known.is_asked => return Err(SILENT),
                None => known.is_asked = true,
            }
        }
        let (tell, told) = mpsc::channel();
        let plane = Arc::clone(plane);
        let state = Arc::clone(&self.0);
        std::thread::spawn(move || {
            let found = plane.check_store().and_then(|()| plane.check_keys());
            let found = found.map_err(|fault| fault.in_words());
            let mut known = state.lock().unwrap_or_else(PoisonError::into_inner);
            known.is_asked = false;
            known.found = Some((plane.now(), found));
            drop(known);
            // Nobody may be waiting any more.
            let _ = tell.send(found);
        });
        told.recv_timeout(LONGEST_ANSWER).unwrap_or(Err(SILENT))
    }
}

/// It lives.
pub(super) fn health(_: &Call) -> Result<Answer, Stop> {
    Ok(Answer::json(&json!({ "status": "alive" })))
}

/// It can be asked for changes too.
pub(super) fn readiness(call: &Call) -> Result<Answer, Stop> {
    match call.http.store.check(call.plane()) {
        Ok(()) => Ok(Answer::json(&json!({ "status": "ready" }))),
        Err(why) => Err(Stop::Unready(why)),
    }
}

/// All addresses in the form of OpenAPI.
pub(super) fn description(_: &Call) -> Result<Answer, Stop> {
    Ok(Answer::json(&openapi::document()?))
}

/// The numbers in the text format of Prometheus.
pub(super) fn metrics(call: &Call) -> Result<Answer, Stop> {
    let mut page = Page::default();
    of_tenants(call.plane(), &mut page);
    of_relations(call.plane(), &mut page);
    of_process(call.plane(), &mut page);
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(Answer::text(content_type, page.text))
}

fn of_tenants(plane: &Plane, page: &mut Page) {
    let now = plane.now();
    let tenants = plane.all_known();
    let mut entries = 0;
    let mut states: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut ends: BTreeMap<(String, &str, &str), i64> = BTreeMap::new();
    let mut add = |life: Life| {
        let key = (life.kind.name(), life.state.name());
        *states.entry(key).or_default() += 1;
        if life.state == AuthorityState::Active {
            let name = life.trust_domain.to_string();
            let key = (name, life.kind.name(), life.role.name());
            let end = ends.entry(key).or_insert(i64::MIN);
            *end = life.not_after.since(now).max(*end);
        }
    };
    let mut unread = 0;
    for known in &tenants {
        let counted = plane.counts(known).map(|counts| counts.entries);
        match counted.and_then(|count| Ok((count, plane.lives(known)?))) {
            Ok((count, lives)) => {
                entries += count;
                lives.into_iter().for_each(&mut add);
            }
            Err(error) => {
                tracing::error!(tenant = %known.id(), %error, "the tenant cannot be counted");
                unread += 1;
            }
        }
    }
    of_what_is_held(plane, &tenants, page);
    page.gauge(
        "avouch_tenants_unread",
        "Tenants that could not be counted for this page, since they are damaged or the store is away; \
         while there are, no sum over all is told.",
    );
    page.value("avouch_tenants_unread", &[], unread);
    // A sum that is too small is worse than none.
    if unread == 0 {
        page.gauge("avouch_entries", "Registration entries of all tenants.");
        page.value("avouch_entries", &[], entries);
        page.gauge(
            "avouch_authorities",
            "Authorities by what they sign and their state.",
        );
        for ((kind, state), count) in states {
            let labels = [("kind", kind), ("state", state)];
            page.value("avouch_authorities", &labels, count);
        }
    }
    page.gauge("avouch_nodes_connected", "Nodes that follow now.");
    page.value("avouch_nodes_connected", &[], plane.presences.count());
    let name = "avouch_authority_ends_in_seconds";
    page.gauge(
        name,
        "Seconds until what signs now for a trust domain ends.",
    );
    for ((trust_domain, kind, role), seconds) in &ends {
        let labels = [
            ("trust_domain", trust_domain.as_str()),
            ("kind", *kind),
            ("role", *role),
        ];
        page.value(name, &labels, seconds);
    }
}

fn of_relations(plane: &Plane, page: &mut Page) {
    page.gauge("avouch_issuers", "Issuers of tokens by how they stand.");
    for (state, count) in plane.issuer_states() {
        page.value("avouch_issuers", &[("state", state)], count);
    }
    page.gauge(
        "avouch_federations",
        "Federation relations by how their last attempt went.",
    );
    for (state, count) in plane.federation_states() {
        page.value("avouch_federations", &[("state", state)], count);
    }
    of_pins(plane, page);
    page.gauge(
        "avouch_signals",
        "Streams of events of others by how they stand.",
    );
    for (state, count) in plane.signal_states() {
        page.value("avouch_signals", &[("state", state)], count);
    }
}

fn of_what_is_held(plane: &Plane, tenants: &[Arc<KnownTenant>], page: &mut Page) {
    page.gauge("avouch_tenants", "Tenants that are there.");
    page.value("avouch_tenants", &[], tenants.len());
    page.gauge(
        "avouch_tenants_loaded",
        "Tenants whose objects are in memory, since they are used.",
    );
    page.value("avouch_tenants_loaded", &[], plane.open_tenants().len());
    page.gauge(
        "avouch_tenants_damaged",
        "Tenants for which nothing is given until someone mends them: something that is stored of them was \
         found that cannot be read.",
    );
    let damaged = tenants.iter().filter(|known| known.is_damaged());
    page.value("avouch_tenants_damaged", &[], damaged.count());
    page.gauge("avouch_tenants_open", "Tenants whose keys are opened.");
    page.value("avouch_tenants_open", &[], plane.tenants_that_sign());
}

fn of_pins(plane: &Plane, page: &mut Page) {
    let states = plane.pin_states();
    page.gauge(
        "avouch_pins",
        "Pins of issuers by whether they are consulted.",
    );
    for (mode, count) in states.modes {
        page.value("avouch_pins", &[("mode", mode)], count);
    }
    page.gauge(
        "avouch_pin_warnings",
        "What is to be looked at before a rotation breaks a pin, by kind.",
    );
    for (kind, count) in states.kinds {
        page.value("avouch_pin_warnings", &[("kind", kind)], count);
    }
}

fn of_process(plane: &Plane, page: &mut Page) {
    let counters = &plane.counters;
    page.counter(
        "avouch_credentials_issued_total",
        "Credentials whose intent was recorded.",
    );
    for (kind, count) in counters.all_issued() {
        page.value("avouch_credentials_issued_total", &[("kind", kind)], count);
    }
    page.counter(
        "avouch_refusals_total",
        "Requests and credentials that were refused, by code.",
    );
    for (code, count) in counters.refusals() {
        page.value("avouch_refusals_total", &[("code", code)], count);
    }
    page.counter(
        "avouch_name_drift_total",
        "Names that were seen to mean something else than before, by kind.",
    );
    let drift = counters.drift();
    for kind in DriftKind::ALL.map(DriftKind::name) {
        let count = drift.get(kind).copied().unwrap_or_default();
        page.value("avouch_name_drift_total", &[("kind", kind)], count);
    }
    page.counter(
        "avouch_store_faults_total",
        "Calls to the store that failed.",
    );
    page.value("avouch_store_faults_total", &[], counters.store_faults());
    page.counter(
        "avouch_decisions_lost_total",
        "Refusals that were not kept, since there were more than can be stored in time.",
    );
    page.value("avouch_decisions_lost_total", &[], plane.decisions.lost());
    page.counter(
        "avouch_turned_away_total",
        "Connections and joins for which there was no place, by what they were.",
    );
    for (what, count) in plane.turned_away.counts() {
        page.value("avouch_turned_away_total", &[("what", what)], count);
    }
    page.counter("avouch_http_requests_total", "Requests that were answered.");
    for (answered, count) in counters.requests() {
        let status = answered.status.to_string();
        let labels = [
            ("method", answered.method),
            ("route", answered.route),
            ("status", status.as_str()),
        ];
        page.value("avouch_http_requests_total", &labels, count);
    }
}

/// The text format: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn gauge(&mut self, name: &str, help: &str) {
        self.head(name, "gauge", help);
    }

    fn counter(&mut self, name: &str, help: &str) {
        self.head(name, "counter", help);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// The labels hold names of ours and of trust domains, none of which need escapes.
    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}
