//! A deployment with two tenants on a database of its own, served over HTTP.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::ThreadId;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_server::clock::{Clock, SystemClock};
use avouch_server::entries::EntryDraft;
use avouch_server::issuing::Wanted;
use avouch_server::nodes::Admitted;
use avouch_server::plane::Founding;
use avouch_server::tenant::Tenant;
use avouch_server::tls::Shown;
use avouch_server::{Plane, Settings, http};
use avouch_store::keyring::RootKey;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{Store, TenantKind};
use avouch_testkit::key::Key;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::away::{Cut, Switched};
use crate::http::{Answer, request, send};
use crate::tls::Identity;

/// The clock of the machine, so many seconds ahead.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Time {
        SystemClock.now().plus(self.0.load(Ordering::SeqCst))
    }
}

/// A deployment that is served.
pub(crate) struct World {
    pub(crate) plane: Arc<Plane>,
    pub(crate) address: SocketAddr,
    is_away: Arc<AtomicBool>,
    switched: Arc<Switched>,
    clock: Arc<Ahead>,
    node: Admitted,
    stop: watch::Sender<bool>,
    runtime: Option<Runtime>,
    folder: TempDir,
}

impl World {
    /// With the tenants `one` and `two` below the root, each with a trust domain of its name.
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    /// As [`World::new`], with other settings.
    pub(crate) fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
        let is_away = Arc::new(AtomicBool::new(false));
        let store = Arc::new(Switched {
            store: RwLock::new(store),
            is_away: Arc::clone(&is_away),
            looking: Mutex::default(),
            cut: Mutex::default(),
        });
        let switched = Arc::clone(&store);
        let path = folder.path().to_owned();
        let founding = founding();
        let key = move |tenants: &[_]| Ok(RootKey::open_or_create(&path, tenants)?);
        let clock = Arc::<Ahead>::default();
        let plane = Plane::open(store, key, &founding, settings, clock.clone()).unwrap();
        for name in ["one", "two"] {
            let id = TenantId::parse(name).unwrap();
            let tenant = plane
                .add_tenant(&id, Some(&founding.tenant), TenantKind::Tenant)
                .unwrap();
            let domain = TrustDomain::parse(&format!("{name}.test")).unwrap();
            plane.add_trust_domain(&tenant, &domain).unwrap();
        }
        let node = joined(&plane);
        let runtime = Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        runtime.spawn(http::serve(
            listener,
            Shown::Nothing,
            Arc::clone(&plane),
            stopping,
        ));
        Self {
            plane,
            address,
            is_away,
            switched,
            clock,
            node,
            stop,
            runtime: Some(runtime),
            folder,
        }
    }

    /// A token for this server of whoever has this ID, which is registered if it is not yet.
    pub(crate) fn token(&self, id: &str) -> String {
        let name = id.split('/').nth(2).unwrap();
        let owner = self
            .plane
            .owner_of(&TrustDomain::parse(name).unwrap())
            .unwrap()
            .unwrap();
        let draft = EntryDraft {
            id: Some(id.rsplit('/').next().unwrap().to_owned()),
            spiffe_id: id.to_owned(),
            selectors: vec!["unix:uid:0".to_owned()],
            ..EntryDraft::default()
        };
        let entry = self.plane.put_entries(&owner, vec![draft]).unwrap();
        let entry = entry.into_iter().next().unwrap().unwrap();
        let audience = vec![self.plane.server_id().to_string()];
        let issued = self.plane.issue_jwt(
            &self.node,
            owner.id().as_str(),
            entry.id.as_str(),
            &[],
            audience,
        );
        issued.unwrap().token
    }

    /// The X.509-SVID of whoever has this ID, which is registered if it is not yet, for an Ed25519
    /// key that is derived from the ID.
    pub(crate) fn svid(&self, id: &str) -> Identity {
        self.token(id);
        self.svid_of(id.rsplit('/').next().unwrap(), id)
    }

    /// The X.509-SVID that an entry gives now, of a workload of this ID.
    pub(crate) fn svid_of(&self, entry: &str, id: &str) -> Identity {
        let key = Key::ed25519(id);
        let name = id.split('/').nth(2).unwrap();
        let owner = self
            .plane
            .owner_of(&TrustDomain::parse(name).unwrap())
            .unwrap();
        let wanted = Wanted {
            entry: entry.to_owned(),
            public_key: key.public_key_info(),
            facts: Vec::new(),
        };
        let owner = owner.unwrap();
        let issued = self
            .plane
            .issue_x509(&self.node, owner.id().as_str(), &[wanted]);
        let svid = issued.unwrap().into_iter().next().unwrap().unwrap();
        Identity {
            chain: svid.chain,
            key,
        }
    }

    /// What runs on the threads of the server.
    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    /// Serves the same on one more address.
    pub(crate) fn serve(&self, shown: Shown) -> SocketAddr {
        let runtime = self.runtime.as_ref().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = self.stop.subscribe();
        runtime.spawn(http::serve(
            listener,
            shown,
            Arc::clone(&self.plane),
            stopping,
        ));
        address
    }

    /// Serves the same where someone listens already.
    pub(crate) fn serve_on(&self, listener: std::net::TcpListener, shown: Shown) {
        listener.set_nonblocking(true).unwrap();
        let _entered = self.runtime().enter();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let serving = http::serve(
            listener,
            shown,
            Arc::clone(&self.plane),
            self.stop.subscribe(),
        );
        self.runtime().spawn(serving);
    }

    /// The node that joined.
    pub(crate) fn node(&self) -> &Admitted {
        &self.node
    }

    /// Where the database is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts another store in the place of the one there was.
    pub(crate) fn put_store(&self, store: Arc<dyn Store>) {
        *self.switched.store.write().unwrap() = store;
    }

    /// Takes the store away, or gives it back.
    pub(crate) fn store_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// Has time pass, for what is served now.
    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Has the next call of a kind break off.
    pub(crate) fn cut_next(&self, cut: Cut) {
        *self.switched.cut.lock().unwrap() = Some(cut);
    }

    /// Whatever was to fail does not.
    pub(crate) fn uncut(&self) {
        *self.switched.cut.lock().unwrap() = None;
    }

    /// The same deployment as another server has it, or this one after a restart.
    pub(crate) fn opened_again(&self, settings: Settings) -> Arc<Plane> {
        let path = self.folder.path().to_owned();
        let store = Arc::new(SqliteStore::open(&path).unwrap());
        let key = move |tenants: &[_]| Ok(RootKey::open_or_create(&path, tenants)?);
        Plane::open(store, key, &founding(), settings, Arc::new(SystemClock)).unwrap()
    }

    /// Goes on as after a restart, with no tenant open that nobody has asked for.
    pub(crate) fn restart(&mut self) {
        self.restart_with(Settings::default());
    }

    /// The same with other settings.
    pub(crate) fn restart_with(&mut self, settings: Settings) {
        let path = self.folder.path().to_owned();
        let store = Arc::<Switched>::clone(&self.switched);
        let key = move |tenants: &[_]| Ok(RootKey::open_or_create(&path, tenants)?);
        let clock = Arc::new(SystemClock);
        self.plane = Plane::open(store, key, &founding(), settings, clock).unwrap();
        self.address = self.serve(Shown::Nothing);
    }

    /// Which threads have looked at tenants in the store.
    pub(crate) fn looking(&self) -> &Mutex<HashSet<ThreadId>> {
        &self.switched.looking
    }

    /// A token of who runs the deployment.
    pub(crate) fn operator(&self) -> String {
        self.plane.operator_token().unwrap().token
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        send(self.address, &request("GET", path, &[], None))
    }

    pub(crate) fn call(&self, token: &str, method: &str, path: &str, body: Option<&str>) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        send(self.address, &request(method, path, &headers, body))
    }

    /// As [`World::call`] with JSON.
    pub(crate) fn send(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        self.call(token, method, path, Some(&body.to_string()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn founding() -> Founding {
    Founding {
        tenant: TenantId::parse("top").unwrap(),
        trust_domain: TrustDomain::parse("top.test").unwrap(),
    }
}

/// A node of the root tenant, which serves all tenants.
fn joined(plane: &Plane) -> Admitted {
    joined_to(plane, &plane.root().unwrap())
}

/// A node of a tenant.
pub(crate) fn joined_to(plane: &Plane, tenant: &Arc<Tenant>) -> Admitted {
    let token = plane.new_join_token(tenant, "node-1", 600).unwrap();
    let request = signing_request(&Key::p256("node-1"));
    let membership = plane.join(&token.token, &request).unwrap();
    let caller = plane.identify_client(membership.certificates).unwrap();
    plane.admit(&caller).unwrap()
}

/// A PKCS#10 request (RFC 2986) for a key, signed by it.
pub(crate) fn signing_request(key: &Key) -> Vec<u8> {
    key.signing_request()
}
