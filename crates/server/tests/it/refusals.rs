//! Each refusal of the server, from a deployment whose clock is set by hand.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::cluster::{ClusterSigner, ComponentRequest, ComponentWanted, Usage};
use avouch_issuer::x509_svid::X509Svid;
use avouch_server::access::{Noun, Role, Verb};
use avouch_server::caller::Caller;
use avouch_server::clock::Clock;
use avouch_server::cluster::Pin;
use avouch_server::entries::EntryDraft;
use avouch_server::issuing::Wanted;
use avouch_server::nodes::Admitted;
use avouch_server::plane::Founding;
use avouch_server::tenant::Tenant;
use avouch_server::{Plane, Refused, Settings};
use avouch_store::keyring::RootKey;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{AuthorityState, AuthorityUse, CredentialKind, IntentRow, Store, TenantKind};
use avouch_testkit::key::Key;
use tempfile::TempDir;

use crate::cluster::{certification_request, node};
use crate::world::signing_request;

const START: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

#[derive(Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Time {
        Time::from_unix(START + self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct Deployment {
    pub(crate) plane: Arc<Plane>,
    clock: Arc<SetClock>,
    tenant: Arc<Tenant>,
    store: Arc<SqliteStore>,
    folder: TempDir,
}

impl Deployment {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
        let clock = Arc::new(SetClock::default());
        let plane = open(&store, folder.path(), &clock);
        let id = TenantId::parse("shop").unwrap();
        let top = plane.root().unwrap();
        let tenant = plane.add_tenant(&id, Some(top.id()), TenantKind::Tenant);
        let tenant = tenant.unwrap();
        plane.add_trust_domain(&tenant, &domain()).unwrap();
        Self {
            plane,
            clock,
            tenant,
            store,
            folder,
        }
    }

    /// Starts the server anew on what is stored.
    fn again(&mut self) {
        self.plane = open(&self.store, self.folder.path(), &self.clock);
        self.tenant = self.plane.tenant_named("shop").unwrap().unwrap();
    }

    pub(crate) fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    pub(crate) fn store(&self) -> &SqliteStore {
        &self.store
    }

    /// What another server on the same database is.
    pub(crate) fn opened_again(&self) -> Arc<Plane> {
        open(&self.store, self.folder.path(), &self.clock)
    }

    /// As [`Deployment::opened_again`], where something else is settled.
    pub(crate) fn opened_with(&self, settings: Settings) -> Arc<Plane> {
        open_with(&self.store, self.folder.path(), &self.clock, settings)
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Lets a node of this name join; who calls, and as what it is admitted.
    pub(crate) fn join(&self, name: &str) -> (Caller, Admitted) {
        let token = self.plane.new_join_token(&self.tenant, name, 600).unwrap();
        let request = signing_request(&Key::p256(name));
        let member = self.plane.join(&token.token, &request).unwrap();
        let caller = self.plane.identify_client(member.certificates).unwrap();
        let admitted = self.plane.admit(&caller).unwrap();
        (caller, admitted)
    }

    pub(crate) fn put(&self, draft: EntryDraft) -> Result<(), Reason> {
        let answers = self.plane.put_entries(&self.tenant, vec![draft]).unwrap();
        answers.into_iter().next().unwrap().map(drop)
    }

    pub(crate) fn issue(&self, node: &Admitted, entry: &str) -> Result<(), Reason> {
        let wanted = [wanted(entry)];
        let answers = self.plane.issue_x509(node, "shop", &wanted).unwrap();
        answers.into_iter().next().unwrap().map(drop)
    }

    /// The authorities that sign.
    fn signing(&self) -> BTreeSet<String> {
        self.tenant.read(|snapshot| {
            let all = snapshot.authorities.values();
            let active = all.filter(|one| one.state == AuthorityState::Active);
            active.map(|one| one.id.to_string()).collect()
        })
    }

    /// Which authorities there are, by what they sign and their state.
    fn authorities(&self, state: AuthorityState) -> usize {
        self.tenant.read(|snapshot| {
            let all = snapshot.authorities.values();
            all.filter(|authority| authority.state == state).count()
        })
    }
}

fn open(store: &Arc<SqliteStore>, folder: &Path, clock: &Arc<SetClock>) -> Arc<Plane> {
    open_with(store, folder, clock, Settings::default())
}

fn open_with(
    store: &Arc<SqliteStore>,
    folder: &Path,
    clock: &Arc<SetClock>,
    settings: Settings,
) -> Arc<Plane> {
    let founding = Founding {
        tenant: TenantId::parse("top").unwrap(),
        trust_domain: TrustDomain::parse("top.test").unwrap(),
    };
    let path = folder.to_owned();
    let key = move |tenants: &[_]| Ok(RootKey::open_or_create(&path, tenants)?);
    let store = Arc::<SqliteStore>::clone(store);
    let clock = Arc::<SetClock>::clone(clock);
    Plane::open(store, key, &founding, settings, clock).unwrap()
}

fn domain() -> TrustDomain {
    TrustDomain::parse("shop.test").unwrap()
}

pub(crate) fn draft(id: &str) -> EntryDraft {
    EntryDraft {
        id: Some(id.to_owned()),
        spiffe_id: format!("spiffe://shop.test/{id}"),
        selectors: vec!["unix:uid:1000".to_owned()],
        ..EntryDraft::default()
    }
}

fn wanted(entry: &str) -> Wanted {
    Wanted {
        entry: entry.to_owned(),
        public_key: Key::p256("workload").public_key_info(),
        facts: Vec::new(),
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Refused>) -> Reason {
    match answer {
        Err(Refused::Reason(reason)) => *reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// One reason for each code that is not about the form of a request over HTTP.
fn examples() -> Vec<Reason> {
    let world = Deployment::new();
    let (plane, tenant) = (&world.plane, &world.tenant);
    let request = signing_request(&Key::p256("other"));
    let (caller, node) = world.join("node-1");

    let used = plane.new_join_token(tenant, "node-2", 600).unwrap().token;
    plane.join(&used, &request).unwrap();
    let late = plane.new_join_token(tenant, "node-3", 600).unwrap().token;
    let limited = EntryDraft {
        expires: Some(plane.now().plus(60)),
        ..draft("limited")
    };
    world.put(limited).unwrap();
    let open = EntryDraft {
        spiffe_id: "spiffe://shop.test/user/{unix.user}".to_owned(),
        ..draft("open")
    };
    world.put(open).unwrap();
    world.pass(601);
    let auditor = Caller {
        id: "spiffe://shop.test/anna".parse_id(),
        ..caller.clone()
    };
    plane
        .put_admin(tenant, "anna", auditor.id.clone(), Role::Auditor)
        .unwrap();
    let taken = plane.add_trust_domain(&plane.root().unwrap(), &domain());
    plane.set_banned(tenant, "node-1", true).unwrap();
    vec![
        refused(taken),
        world.issue(&node, "limited").unwrap_err(),
        world.issue(&node, "open").unwrap_err(),
        world
            .put(EntryDraft {
                spiffe_id: "spiffe://shop.test/avouch/server".to_owned(),
                ..draft("reserved")
            })
            .unwrap_err(),
        refused(plane.join(&late, &request)),
        refused(plane.join("shop.nothing", &request)),
        refused(plane.join(&used, &request)),
        refused(plane.admit(&caller).map(|_| ())),
        refused(
            plane
                .permit(&auditor, "shop", Verb::Write, Noun::Entry)
                .map(|_| ()),
        ),
        world
            .put(EntryDraft {
                selectors: Vec::new(),
                ..draft("nobody")
            })
            .unwrap_err(),
        refused(
            plane
                .permit(&auditor, "elsewhere", Verb::Read, Noun::Entry)
                .map(|_| ()),
        ),
    ]
}

trait ParseId {
    fn parse_id(&self) -> avouch_core::id::SpiffeId;
}

impl ParseId for str {
    fn parse_id(&self) -> avouch_core::id::SpiffeId {
        avouch_core::id::SpiffeId::parse(self).unwrap()
    }
}

#[test]
fn every_refusal_of_the_server_has_an_example_that_reads_as_a_sentence() {
    let examples = examples();
    let codes: BTreeSet<&str> = examples.iter().map(Reason::code).collect();
    let expected = [
        "issue.conflict",
        "issue.entry_expired",
        "issue.entry_unfilled",
        "issue.id_reserved",
        "issue.join_token_expired",
        "issue.join_token_unknown",
        "issue.join_token_used",
        "issue.node_not_admitted",
        "issue.not_permitted",
        "issue.object_malformed",
        "issue.object_unknown",
    ];
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), expected);
    for reason in &examples {
        let (sentence, hint) = (reason.sentence(), reason.hint());
        assert!(!sentence.contains(['{', '}']), "{sentence}");
        assert!(!hint.contains(['{', '}']), "{hint}");
    }
}

#[test]
fn what_was_issued_stays_on_record_for_a_while_after_it_has_ended_and_then_no_longer() {
    let world = Deployment::new();
    let (plane, tenant) = (&world.plane, &world.tenant);
    world.put(draft("web")).unwrap();
    world.put(draft("late")).unwrap();
    let (_, node) = world.join("node-1");
    world.issue(&node, "web").unwrap();
    let of = |name: &str| {
        let all = world.store.intents(tenant.id(), Time::from_unix(0), 10_000);
        let id = format!("spiffe://shop.test/{name}");
        let all = all.unwrap().into_iter();
        all.filter(|intent| intent.subject.as_str() == id).count()
    };
    let authorities = || {
        let all = world.store.intents(tenant.id(), Time::from_unix(0), 10_000);
        let is_authority = |one: &IntentRow| one.kind == CredentialKind::Authority;
        all.unwrap().into_iter().filter(is_authority).count()
    };
    let (before, hour) = (authorities(), 3_600);
    // An answer about certificates goes sooner, and no sooner than an hour after its end.
    let recorded = world.store.intents(tenant.id(), Time::from_unix(0), 1);
    let answer = IntentRow {
        id: avouch_store::IntentId::parse("ocsp-4000").unwrap(),
        kind: CredentialKind::StatusResponse,
        not_after: plane.now().plus(hour),
        ..recorded.unwrap().remove(0)
    };
    let records = world.store.record_intents(tenant.id(), &[answer]);
    records.unwrap();
    world.pass(2 * hour);
    assert_eq!(plane.forget_intents().unwrap(), 0);
    world.pass(1);
    assert_eq!(plane.forget_intents().unwrap(), 1);
    world.pass(-2 * hour - 1);
    // It ended, and has been on record for all but an hour of the seven days.
    world.pass(7 * DAY);
    world.issue(&node, "late").unwrap();
    plane.forget_intents().unwrap();
    assert_eq!((of("web"), of("late")), (1, 1));
    world.pass(hour + 1);
    assert!(plane.forget_intents().unwrap() > 0);
    assert_eq!((of("web"), of("late")), (0, 1));
    assert_eq!(plane.forget_intents().unwrap(), 0);
    // Whatever has not ended can still be found, to be revoked.
    assert_eq!(authorities(), before);
}

#[test]
fn a_bootstrap_token_of_a_kubelet_ends() {
    let world = Deployment::new();
    let (plane, tenant) = (&world.plane, &world.tenant);
    let cluster = AuthorityUse::Cluster;
    plane
        .add_intermediate(tenant, &domain(), cluster, false, Vec::new())
        .unwrap();
    let made = plane
        .new_bootstrap_token(tenant, None, "node-1", 600)
        .unwrap();
    let signing = ComponentWanted {
        signer: ClusterSigner::KubeletClient,
        request: ComponentRequest::read(&signing_request(&Key::p256("kubelet"))).unwrap(),
        usages: BTreeSet::new(),
        ttl: None,
    };
    let tried = || {
        plane
            .bootstrap(tenant, &made.token, &Pin::Unsafe, &signing)
            .map(drop)
    };
    assert_eq!(refused(tried()).code(), "issue.bootstrap_node");
    // Good to its last second, and over with the one that it ends with.
    world.pass(599);
    assert_eq!(refused(tried()).code(), "issue.bootstrap_node");
    world.pass(1);
    assert_eq!(refused(tried()).code(), "issue.bootstrap_token_expired");
    world.pass(2 * DAY);
    plane.remove_over().unwrap();
    assert_eq!(refused(tried()).code(), "issue.bootstrap_token_unknown");
}

#[test]
fn a_bootstrap_token_that_was_used_is_answered_again_to_the_same_key_for_a_moment_only() {
    let world = Deployment::new();
    let (plane, tenant) = (&world.plane, &world.tenant);
    let cluster = AuthorityUse::Cluster;
    plane
        .add_intermediate(tenant, &domain(), cluster, false, Vec::new())
        .unwrap();
    let made = plane
        .new_bootstrap_token(tenant, None, "node-1", 3_600)
        .unwrap();
    let tried = |key: &str| {
        let request = certification_request(&Key::p256(key), &node("node-1"), &[]);
        let signing = ComponentWanted {
            signer: ClusterSigner::KubeletClient,
            request: ComponentRequest::read(&request).unwrap(),
            usages: BTreeSet::from([Usage::ClientAuth, Usage::DigitalSignature]),
            ttl: None,
        };
        plane
            .bootstrap(tenant, &made.token, &Pin::Unsafe, &signing)
            .map(|given| given.certificate.serial)
    };
    let first = tried("kubelet").unwrap();
    world.pass(299);
    assert_ne!(tried("kubelet").unwrap(), first);
    assert_eq!(refused(tried("other")).code(), "issue.bootstrap_token_used");
    // Counted from the first use, so nobody keeps it up by asking.
    world.pass(1);
    assert_eq!(
        refused(tried("kubelet")).code(),
        "issue.bootstrap_token_used"
    );
}

#[test]
fn a_join_token_is_good_to_its_last_second_and_over_with_the_one_it_ends_with() {
    let world = Deployment::new();
    let token = |name| {
        world
            .plane
            .new_join_token(&world.tenant, name, 600)
            .unwrap()
            .token
    };
    let (one, two) = (token("one"), token("two"));
    world.pass(599);
    world
        .plane
        .join(&one, &signing_request(&Key::p256("one")))
        .unwrap();
    world.pass(1);
    let late = refused(world.plane.join(&two, &signing_request(&Key::p256("two"))));
    assert_eq!(late.code(), "issue.join_token_expired");
}

#[test]
fn many_nodes_that_join_at_once_all_join() {
    let world = Deployment::new();
    let tokens: Vec<_> = (0..48)
        .map(|number| {
            let name = format!("node-{number}");
            let made = world.plane.new_join_token(&world.tenant, &name, 600);
            (made.unwrap().token, signing_request(&Key::p256(&name)))
        })
        .collect();
    std::thread::scope(|scope| {
        for (token, request) in &tokens {
            scope.spawn(|| world.plane.join(token, request).unwrap());
        }
    });
    assert_eq!(world.tenant.read(|snapshot| snapshot.nodes.len()), 48);
}

#[test]
fn of_two_who_bring_the_same_join_token_at_once_one_joins() {
    let world = Deployment::new();
    let token = world.plane.new_join_token(&world.tenant, "node-1", 600);
    let token = token.unwrap().token;
    let joined = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|number| {
                let (plane, token) = (&world.plane, &token);
                scope.spawn(move || {
                    let request = signing_request(&Key::p256(&format!("try-{number}")));
                    plane.join(token, &request).is_ok()
                })
            })
            .collect();
        let joined = tries.into_iter().map(|one| one.join().unwrap());
        joined.filter(|joined| *joined).count()
    });
    assert_eq!(joined, 1);
}

#[test]
fn no_join_token_lets_a_banned_node_back_before_the_ban_is_lifted() {
    let world = Deployment::new();
    let (plane, tenant) = (&world.plane, &world.tenant);
    world.join("node-1");
    let before = plane.new_join_token(tenant, "node-1", 600).unwrap().token;
    world.pass(5);
    plane.set_banned(tenant, "node-1", true).unwrap();
    let request = signing_request(&Key::p256("node-1"));
    let reason = refused(plane.join(&before, &request));
    assert_eq!(reason.code(), "issue.node_not_admitted");
    plane.set_banned(tenant, "node-1", false).unwrap();
    plane.join(&before, &request).unwrap();
}

#[test]
fn a_node_gets_nothing_for_another_node_and_nothing_of_another_tenant() {
    let world = Deployment::new();
    let (_, node) = world.join("node-1");
    let other = EntryDraft {
        parent: Some("spiffe://shop.test/avouch/node/node-2".to_owned()),
        ..draft("other")
    };
    let own = EntryDraft {
        parent: Some(node.id().to_string()),
        ..draft("own")
    };
    world.put(other).unwrap();
    world.put(own).unwrap();
    world.issue(&node, "own").unwrap();
    let refused_for = |entry| world.issue(&node, entry).unwrap_err().code();
    assert_eq!(refused_for("other"), "issue.object_unknown");
    // As if there were no such tenant: the one above, and one that there is not.
    for tenant in ["top", "nowhere"] {
        let reason = refused(world.plane.issue_x509(&node, tenant, &[]));
        assert_eq!(reason.code(), "issue.object_unknown", "{tenant}");
        let jwt = world
            .plane
            .issue_jwt(&node, tenant, "own", &[], vec!["vault".to_owned()]);
        assert_eq!(refused(jwt).code(), "issue.object_unknown", "{tenant}");
    }
}

#[test]
fn through_a_year_of_rotations_nothing_that_lives_is_ever_refused_and_one_authority_signs() {
    let world = Deployment::new();
    world
        .put(EntryDraft {
            x509_ttl: Some(86_400),
            ..draft("web")
        })
        .unwrap();
    let (_, node) = world.join("node-1");
    let mut live: Vec<X509Svid> = Vec::new();
    let (mut decided, mut signers) = (0, BTreeSet::new());
    for half_day in 0..730 {
        world.pass(DAY / 2);
        world.plane.tend_all().unwrap();
        let wanted = [wanted("web")];
        let issued = world.plane.issue_x509(&node, "shop", &wanted).unwrap();
        live.extend(issued.into_iter().map(Result::unwrap));
        let now = world.plane.now();
        live.retain(|svid| svid.not_after >= now);
        // What was issued before the last rotation, too, under the bundle of this moment.
        for svid in &live {
            let caller = world.plane.identify_client(svid.chain.clone());
            assert_eq!(caller.unwrap().id, svid.id, "half day {half_day}");
            decided += 1;
        }
        signers.extend(world.signing());
        assert_eq!(world.signing().len(), 4, "half day {half_day}");
        let retired = world.authorities(AuthorityState::Retired);
        assert!(retired <= 3, "half day {half_day}");
    }
    assert!(decided > 2 * 700, "{decided} decisions");
    assert!(signers.len() > 40, "{} have signed", signers.len());
}

#[test]
fn a_drill_replaces_every_key_and_leaves_nothing_that_could_sign_before() {
    let world = Deployment::new();
    let keys = |state| {
        world.tenant.read(|snapshot| {
            let all = snapshot.authorities.values();
            let of_state = all.filter(|authority| authority.state == state);
            of_state
                .map(|authority| authority.id.to_string())
                .collect::<BTreeSet<_>>()
        })
    };
    let before = keys(AuthorityState::Active);
    let head = world.tenant.read(|snapshot| snapshot.sequence);
    world
        .plane
        .replace_all(&world.tenant, &domain(), false)
        .unwrap();
    // One change: at no moment is there none that signs.
    let after = world.tenant.read(|snapshot| snapshot.sequence);
    assert_eq!(after.number(), head.number() + 1);
    assert_eq!(keys(AuthorityState::Tainted), before);
    assert_eq!(keys(AuthorityState::Active).len(), 4);
    assert!(keys(AuthorityState::Active).is_disjoint(&before));
    for id in &before {
        // What a root signed is revoked with it.
        match world.plane.revoke(&world.tenant, id, false) {
            Ok(()) => {}
            Err(refused) => assert_eq!(refused.to_string(), "refused: issue.authority_state"),
        }
    }
    assert_eq!(keys(AuthorityState::Revoked), before);
    let has_key = world.tenant.read(|snapshot| {
        let revoked = snapshot.authorities.values();
        let mut revoked = revoked.filter(|one| one.state == AuthorityState::Revoked);
        revoked.any(|authority| authority.private_key.is_some())
    });
    assert!(!has_key, "the key of a revoked authority is still there");
}

#[test]
fn nobody_is_passed_by_whom_a_server_that_was_just_started_does_not_know_yet() {
    let mut world = Deployment::new();
    let (mut before, mut handed_over) = (world.signing(), 0);
    for day in 0..60 {
        world.pass(DAY);
        world.again();
        // What is due is looked at when it starts, and whoever read the bundle is not back yet.
        assert_eq!(world.signing(), before, "day {day}");
        world.pass(301);
        world.plane.tend_all().unwrap();
        let after = world.signing();
        handed_over += after.difference(&before).count();
        before = after;
    }
    assert!(handed_over > 0, "nothing was due in all this time");
}

#[test]
fn a_node_that_is_not_back_after_a_start_is_waited_for() {
    let mut world = Deployment::new();
    world.join("node-1");
    world.plane.prepare(&world.tenant, &domain()).unwrap();
    world.again();
    let next = world.tenant.read(|snapshot| {
        let all = snapshot.authorities.values();
        let mut next = all.filter(|one| one.state == AuthorityState::Prepared);
        next.next().unwrap().id.to_string()
    });
    let reason = refused(world.plane.activate(&world.tenant, &next, false));
    assert!(
        matches!(reason, Reason::IssueAuthorityNotHeld { nodes: 1, .. }),
        "{reason:?}"
    );
    // Who does not come back in time is gone.
    world.pass(301);
    world.plane.activate(&world.tenant, &next, false).unwrap();
}
