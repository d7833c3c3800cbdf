//! A store that can be taken away.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::ThreadId;

use avouch_core::id::{Digest, TenantId, TrustDomain};
use avouch_core::template::IdTemplate;
use avouch_core::time::Time;
use avouch_server::Refused;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{
    Appointed, Change, Counts, DecisionId, DecisionRow, Entry, EntryExtras, EntryId, Fault, Feed,
    Followers, IntentId, IntentRow, Key as StoreKey, Lasting, Lifetime, Living, Object, Operator,
    Outline, Over, Report, Selector, Sequence, ServerId, SingleUse, Snapshot, Store, TenantRecord,
    UseKind, Used, WantedDecisions, Within,
};
use avouch_testkit::key::Key;
use serde_json::json;

use crate::world::{World, signing_request};

/// What is said of where the database is, which no caller is to learn.
const INSIDE: &str = "db-7.internal";

/// Where the next call of a kind breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// When intents are to be recorded.
    BeforeRecording,
    /// When a change is to be stored.
    BeforeStoring,
    /// When it is stored, and before that is told.
    AfterStoring,
    /// When what was issued is to be looked through.
    BeforeLookingThrough,
    /// At every change, until there is room on the disk again.
    NoRoom,
}

/// A store that answers only while it is there.
pub(crate) struct Switched {
    pub(crate) cut: Mutex<Option<Cut>>,
    pub(crate) store: RwLock<Arc<dyn Store>>,
    pub(crate) is_away: Arc<AtomicBool>,
    /// Which threads have looked at tenants.
    pub(crate) looking: Mutex<HashSet<ThreadId>>,
}

impl Switched {
    fn cut_if(&self, here: Cut) -> Result<(), Fault> {
        let mut cut = self.cut.lock().unwrap();
        if *cut == Some(here) {
            *cut = None;
            return Err(Fault::Lost(INSIDE.to_owned()));
        }
        Ok(())
    }

    /// The store, to change something.
    fn changed(&self) -> Result<Arc<dyn Store>, Fault> {
        match *self.cut.lock().unwrap() {
            Some(Cut::NoRoom) => Err(Fault::Full),
            _ => self.store(),
        }
    }

    fn store(&self) -> Result<Arc<dyn Store>, Fault> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Fault::Lost(INSIDE.to_owned()));
        }
        Ok(Arc::clone(&self.store.read().unwrap()))
    }
}

impl Store for Switched {
    fn check(&self, operator: &Operator) -> Result<(), Fault> {
        self.changed()?.check(operator)
    }

    fn add_tenant(&self, operator: &Operator, tenant: &TenantRecord) -> Result<(), Fault> {
        self.changed()?.add_tenant(operator, tenant)
    }

    fn rehearse_tenant(&self, operator: &Operator, tenant: &TenantRecord) -> Result<(), Fault> {
        self.store()?.rehearse_tenant(operator, tenant)
    }

    fn rehearse(
        &self,
        tenant: &TenantId,
        held: Sequence,
        changes: &[Change],
        within: &[Within],
    ) -> Result<(), Fault> {
        self.store()?.rehearse(tenant, held, changes, within)
    }

    fn remove_tenants(
        &self,
        operator: &Operator,
        tenants: &[(TenantId, Sequence)],
    ) -> Result<(), Fault> {
        self.cut_if(Cut::BeforeStoring)?;
        let removed = self.store()?.remove_tenants(operator, tenants);
        self.cut_if(Cut::AfterStoring)?;
        removed
    }

    fn keys_of_removed(&self, operator: &Operator) -> Result<Vec<(TenantId, String)>, Fault> {
        self.store()?.keys_of_removed(operator)
    }

    fn clear_removed(&self, operator: &Operator) -> Result<u64, Fault> {
        self.store()?.clear_removed(operator)
    }

    fn tenants(&self, operator: &Operator) -> Result<Vec<TenantRecord>, Fault> {
        self.store()?.tenants(operator)
    }

    fn tenant(&self, operator: &Operator, id: &TenantId) -> Result<Option<TenantRecord>, Fault> {
        self.store()?.tenant(operator, id)
    }

    fn trust_domains(&self, operator: &Operator) -> Result<BTreeMap<TrustDomain, TenantId>, Fault> {
        self.store()?.trust_domains(operator)
    }

    fn heads(&self, operator: &Operator) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
        self.store()?.heads(operator)
    }

    fn apply_held(
        &self,
        tenant: &TenantId,
        held: Sequence,
        changes: &[Change],
    ) -> Result<Sequence, Fault> {
        self.changed()?.apply_held(tenant, held, changes)
    }

    fn apply_at(
        &self,
        tenant: &TenantId,
        at: Sequence,
        changes: &[Change],
    ) -> Result<Sequence, Fault> {
        self.cut_if(Cut::BeforeStoring)?;
        let stored = self.changed()?.apply_at(tenant, at, changes);
        self.cut_if(Cut::AfterStoring)?;
        stored
    }

    fn outline(&self, tenant: &TenantId) -> Result<Outline, Fault> {
        self.looking
            .lock()
            .unwrap()
            .insert(std::thread::current().id());
        self.store()?.outline(tenant)
    }

    fn appointed(&self, tenant: &TenantId) -> Result<Vec<Appointed>, Fault> {
        self.store()?.appointed(tenant)
    }

    fn tenants_with_over(
        &self,
        operator: &Operator,
        over: &[Over],
    ) -> Result<BTreeSet<TenantId>, Fault> {
        self.store()?.tenants_with_over(operator, over)
    }

    fn remove_over(&self, tenant: &TenantId, over: &[Over]) -> Result<Option<Sequence>, Fault> {
        self.store()?.remove_over(tenant, over)
    }

    fn object(
        &self,
        tenant: &TenantId,
        key: &StoreKey,
    ) -> Result<Option<(Sequence, Object)>, Fault> {
        self.store()?.object(tenant, key)
    }

    fn counts(&self, tenant: &TenantId) -> Result<Counts, Fault> {
        self.store()?.counts(tenant)
    }

    fn load(&self, tenant: &TenantId) -> Result<Snapshot, Fault> {
        self.store()?.load(tenant)
    }

    fn changes_after(&self, tenant: &TenantId, after: Sequence) -> Result<Option<Feed>, Fault> {
        self.store()?.changes_after(tenant, after)
    }

    fn forget_removals(&self, tenant: &TenantId, up_to: Sequence) -> Result<u64, Fault> {
        self.store()?.forget_removals(tenant, up_to)
    }

    fn intents(&self, tenant: &TenantId, from: Time, limit: u32) -> Result<Vec<IntentRow>, Fault> {
        self.cut_if(Cut::BeforeLookingThrough)?;
        self.store()?.intents(tenant, from, limit)
    }

    fn intent(&self, tenant: &TenantId, id: &IntentId) -> Result<Option<IntentRow>, Fault> {
        self.store()?.intent(tenant, id)
    }

    fn intents_called(
        &self,
        tenant: &TenantId,
        beginning: &str,
        limit: u32,
    ) -> Result<Vec<IntentRow>, Fault> {
        self.store()?.intents_called(tenant, beginning, limit)
    }

    fn living(&self, tenant: &TenantId, lasting: Lasting<'_>) -> Result<Vec<Living>, Fault> {
        self.store()?.living(tenant, lasting)
    }

    fn keep_lifetimes(&self, operator: &Operator, lifetimes: &[Lifetime]) -> Result<(), Fault> {
        self.changed()?.keep_lifetimes(operator, lifetimes)
    }

    fn lifetimes(&self, operator: &Operator) -> Result<Vec<Lifetime>, Fault> {
        self.store()?.lifetimes(operator)
    }

    fn forget_intents(&self, tenant: &TenantId, before: Time) -> Result<u64, Fault> {
        self.store()?.forget_intents(tenant, before)
    }

    fn forget_answers(&self, tenant: &TenantId, before: Time) -> Result<u64, Fault> {
        self.store()?.forget_answers(tenant, before)
    }

    fn use_and_record_held(
        &self,
        tenant: &TenantId,
        held: Sequence,
        uses: &[SingleUse],
        intents: &[IntentRow],
    ) -> Result<Vec<Used>, Fault> {
        if !intents.is_empty() {
            self.cut_if(Cut::BeforeRecording)?;
        }
        let store = self.store()?;
        store.use_and_record_held(tenant, held, uses, intents)
    }

    fn used(
        &self,
        tenant: &TenantId,
        kind: UseKind,
        digest: &Digest,
    ) -> Result<Option<Time>, Fault> {
        self.store()?.used(tenant, kind, digest)
    }

    fn apply_within(
        &self,
        tenant: &TenantId,
        uses: &[SingleUse],
        intents: &[IntentRow],
        at: Sequence,
        changes: &[Change],
        within: &[Within],
    ) -> Result<(Vec<Used>, Sequence), Fault> {
        self.cut_if(Cut::BeforeStoring)?;
        let store = self.store()?;
        let stored = store.apply_within(tenant, uses, intents, at, changes, within);
        self.cut_if(Cut::AfterStoring)?;
        stored
    }

    fn use_and_record_later(
        &self,
        tenant: &TenantId,
        held: Sequence,
        uses: Vec<SingleUse>,
        intents: Vec<IntentRow>,
        told: Box<dyn FnOnce(Result<Vec<Used>, Fault>) + Send>,
    ) {
        match self.store() {
            Ok(store) => store.use_and_record_later(tenant, held, uses, intents, told),
            Err(fault) => told(Err(fault)),
        }
    }

    fn raise(
        &self,
        operator: &Operator,
        floor: Sequence,
    ) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
        self.store()?.raise(operator, floor)
    }

    fn report(&self, operator: &Operator, report: &Report) -> Result<bool, Fault> {
        self.store()?.report(operator, report)
    }

    fn followers(
        &self,
        tenant: &TenantId,
        besides: &ServerId,
        since: Time,
    ) -> Result<Vec<Followers>, Fault> {
        self.store()?.followers(tenant, besides, since)
    }

    fn forget_uses(&self, operator: &Operator, before: Time) -> Result<u64, Fault> {
        self.store()?.forget_uses(operator, before)
    }

    fn keep_decisions(
        &self,
        tenant: &TenantId,
        held: Sequence,
        decisions: &[DecisionRow],
        most: u32,
    ) -> Result<(), Fault> {
        self.changed()?
            .keep_decisions(tenant, held, decisions, most)
    }

    fn decision(&self, tenant: &TenantId, id: &DecisionId) -> Result<Option<DecisionRow>, Fault> {
        self.store()?.decision(tenant, id)
    }

    fn decisions(
        &self,
        tenant: &TenantId,
        wanted: &WantedDecisions,
    ) -> Result<Vec<DecisionRow>, Fault> {
        self.store()?.decisions(tenant, wanted)
    }

    fn forget_decisions(&self, operator: &Operator, before: Time) -> Result<u64, Fault> {
        self.store()?.forget_decisions(operator, before)
    }
}

/// Signed and on record before the token is used up, handed out only after.
#[test]
fn no_failure_between_costs_a_join_token() {
    let world = World::new();
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    for cut in [Cut::BeforeRecording, Cut::BeforeStoring] {
        let name = format!("node-{cut:?}");
        let made = world.plane.new_join_token(&one, &name, 600).unwrap();
        let request = signing_request(&Key::p256(&name));
        world.cut_next(cut);
        assert!(matches!(
            world.plane.join(&made.token, &request),
            Err(Refused::Fault(_))
        ));
        world.plane.join(&made.token, &request).unwrap();
    }
}

#[test]
fn without_the_store_nothing_changes_and_what_is_in_memory_is_served_on() {
    let world = World::new();
    let token = world.operator();
    world.store_away(true);
    let entry = json!({"spiffe_id": "spiffe://one.test/web", "selectors": ["unix:uid:1"]});
    let refused = world.send(&token, "POST", "/v1/tenants/one/entries", &entry);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "server.unavailable")
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    let unready = world.get("/readyz");
    assert_eq!(
        (unready.status, unready.code().as_str()),
        (503, "server.unavailable")
    );
    assert_eq!(unready.json()["detail"], "The database cannot be reached.");
    for told in [&refused, &unready] {
        assert!(!told.body.contains(INSIDE), "{}", told.body);
    }
    assert_eq!(world.get("/healthz").status, 200);
    assert_eq!(world.get("/t/one/bundle").status, 200);
    let list = world.call(&token, "GET", "/v1/tenants/one/entries", None);
    assert_eq!(
        list.json(),
        json!({"entries": [], "orphaned": [], "unsaid": []})
    );
    let question =
        json!({"credential": {"jwt": token}, "audience": "spiffe://top.test/avouch/server"});
    let told = world
        .send(&token, "POST", "/t/top/decide", &question)
        .json();
    assert_eq!(told["verdict"], "accept", "{told}");
    let metrics = world.get("/metrics").body;
    assert!(
        metrics.contains("avouch_store_faults_total 1\n"),
        "{metrics}"
    );
    world.store_away(false);
    let stored = world.send(&token, "POST", "/v1/tenants/one/entries", &entry);
    assert_eq!(stored.status, 201, "{}", stored.body);
}

#[test]
fn a_full_disk_is_said_to_be_one_and_the_server_is_unready_until_there_is_room() {
    let world = World::new();
    let token = world.operator();
    let ready = || world.get("/readyz");
    assert_eq!(ready().status, 200);
    world.cut_next(Cut::NoRoom);
    let entry = json!({"spiffe_id": "spiffe://one.test/web", "selectors": ["unix:uid:1"]});
    let refused = world.send(&token, "POST", "/v1/tenants/one/entries", &entry);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "server.unavailable")
    );
    let full = "The disk of the database is full.";
    assert_eq!(refused.json()["detail"], full);
    let hint = refused.json()["hint"].to_string();
    assert!(hint.contains("Make room"), "{hint}");

    assert_eq!(ready().status, 200, "it was written to a moment ago");
    world.pass(5);
    let unready = ready();
    assert_eq!(
        (unready.status, &unready.json()["detail"]),
        (503, &json!(full))
    );
    assert_eq!(world.get("/t/one/bundle").status, 200);

    world.uncut();
    world.pass(1);
    assert_eq!(ready().status, 200);
    let stored = world.send(&token, "POST", "/v1/tenants/one/entries", &entry);
    assert_eq!(stored.status, 201, "{}", stored.body);
}

#[test]
fn what_is_over_of_a_tenant_in_use_goes_whatever_fails_and_nothing_else_does() {
    let world = World::new();
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let store = SqliteStore::open(world.folder()).unwrap();
    for cut in [Cut::BeforeStoring, Cut::AfterStoring] {
        let changes = [("over", Some(1_000)), ("stays", None)].map(|(name, expires)| {
            let extras = EntryExtras {
                expires: expires.map(Time::from_unix),
                ..EntryExtras::default()
            };
            Change::Put(Object::Entry(Entry {
                id: EntryId::parse(name).unwrap(),
                spiffe_id: IdTemplate::parse("spiffe://one.test/x").unwrap(),
                parent: None,
                selectors: [Selector::parse("unix:uid:7").unwrap()].into(),
                created: Time::from_unix(0),
                extras: extras.into(),
            }))
        });
        store.apply(one.id(), &changes).unwrap();
        world.plane.follow_store().unwrap();
        world.cut_next(cut);
        assert!(world.plane.remove_over().is_err(), "{cut:?}");
        world.plane.remove_over().unwrap();
        let stored = store.load(one.id()).unwrap();
        let left: Vec<&str> = stored.entries.keys().map(|id| id.as_str()).collect();
        assert_eq!(left, ["stays"], "{cut:?}");
        assert_eq!(one.read(Clone::clone), stored, "{cut:?}");
        let at = stored.sequence;
        world.plane.remove_over().unwrap();
        assert_eq!(store.load(one.id()).unwrap().sequence, at);
    }
}

/// What could not be stored for one tenant is stored for the next, and for the first with the next call.
#[test]
fn a_tenant_whose_tally_cannot_be_stored_starves_no_other() {
    let world = World::new();
    let operator = world.operator();
    for tenant in ["one", "two"] {
        let token = world.token(&format!("spiffe://{tenant}.test/api"));
        let audience = world.plane.server_id().to_string();
        let question = json!({"credential": {"jwt": token}, "audience": [audience]});
        let path = format!("/t/{tenant}/decide");
        let verdict = world.send(&operator, "POST", &path, &question).json();
        assert_eq!(verdict["verdict"], "accept", "{verdict}");
    }
    let stored = || {
        ["one", "two"].map(|tenant| {
            let tenant = world.plane.tenant_named(tenant).unwrap().unwrap();
            tenant.read(|held| held.tallies.len())
        })
    };
    world.cut_next(Cut::BeforeStoring);
    assert!(world.plane.store_tallies().is_err());
    assert_eq!(stored(), [0, 1], "the first failed, the second did not");
    world.plane.store_tallies().unwrap();
    assert_eq!(stored(), [1, 1], "what failed was kept");
}
