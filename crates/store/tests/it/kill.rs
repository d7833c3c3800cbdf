//! What was acknowledged survives the death of the process that wrote it (SIGKILL, at any moment)
//! and of the database server.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use avouch_core::time::Time;
use avouch_store::keyring::{RootKey, SecretOf, TenantKey};
use avouch_store::postgresql::PostgresqlStore;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{AuthorityState, Conflict, Fault, Snapshot, Store, TenantRecord, Used};
use avouch_testkit::postgresql::Cluster;
use tempfile::TempDir;

use crate::objects::*;
use crate::on_postgresql::or_skipped;

/// How often to kill; `AVOUCH_KILL_ROUNDS` says otherwise.
const ROUNDS: u64 = 20;

/// After how many lines a writer has been let go on for long enough. Whoever hands an authority over loses
/// to those who change something else again and again on a busy machine, so it takes many of theirs.
const LONGEST: u64 = 200_000;

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let mut told = Told::of(&SqliteStore::open(folder.path()).unwrap());
    for round in 0..rounds() {
        let child = told.writer("sqlite", place, round);
        told.read_until_killed(round, child, |child| {
            child.kill().unwrap();
        });
        told.check(&SqliteStore::open(folder.path()).unwrap());
    }
    assert!(told.has_something_of_each());
}

#[test]
fn nothing_acknowledged_is_lost_when_process_or_server_is_killed_on_postgresql() {
    let name = "nothing_acknowledged_is_lost_when_process_or_server_is_killed_on_postgresql";
    let Some(cluster) = or_skipped(name, Cluster::start()) else {
        return;
    };
    let address = cluster.new_database();
    let mut told = Told::of(&PostgresqlStore::connect(&address).unwrap());
    for round in 0..rounds() {
        let child = told.writer("postgresql", &address, round);
        // Every fifth time it is the server that goes, and the writer with it.
        if round % 5 == 4 {
            told.read_until_killed(round, child, |_| cluster.crash().unwrap());
            cluster.up().unwrap();
        } else {
            told.read_until_killed(round, child, |child| child.kill().unwrap());
        }
        told.check(&PostgresqlStore::connect(&address).unwrap());
    }
    assert!(told.has_something_of_each());
}

fn rounds() -> u64 {
    let asked = std::env::var("AVOUCH_KILL_ROUNDS").ok();
    asked.map_or(ROUNDS, |text| text.parse().unwrap())
}

/// The example `write_until_killed`, which cargo builds beside the tests.
fn writer(engine: &str, place: &str, round: u64, keys: &str) -> Child {
    let tests = std::env::current_exe().unwrap();
    let build = tests.parent().and_then(|deps| deps.parent()).unwrap();
    let program: PathBuf = build.join("examples/write_until_killed");
    Command::new(&program)
        .args([engine, place, &format!("r{round}"), keys])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `cargo test -p avouch-store` builds it",
                program.display()
            )
        })
}

/// All that was acknowledged so far.
struct Told {
    /// Where the root key is, by which the writers and whoever looks open the key of the tenant.
    keys: TempDir,
    key: TenantKey,
    root_key: RootKey,
    /// Pairs of tenants that were made, whose removal was begun, and was acknowledged.
    made: BTreeSet<String>,
    removing: BTreeSet<String>,
    removed: BTreeSet<String>,
    /// The authority of each writer that was handed over to last.
    signing: BTreeMap<String, u64>,
    changed: BTreeSet<String>,
    recorded: BTreeSet<String>,
    used: BTreeSet<String>,
    last: u64,
}

impl Told {
    /// Of nothing yet; the tenant is added.
    fn of(store: &dyn Store) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let root_key = RootKey::create(keys.path()).unwrap();
        let key = add_tenant_under(store, "acme", &root_key);
        let domain = [domain("a.test")];
        store.apply(&tenant("acme"), &domain).unwrap();
        Self {
            keys,
            key,
            root_key,
            made: BTreeSet::new(),
            removing: BTreeSet::new(),
            removed: BTreeSet::new(),
            signing: BTreeMap::new(),
            changed: BTreeSet::new(),
            recorded: BTreeSet::new(),
            used: BTreeSet::new(),
            last: 0,
        }
    }

    fn writer(&self, engine: &str, place: &str, round: u64) -> Child {
        writer(engine, place, round, self.keys.path().to_str().unwrap())
    }

    /// Reads what the child tells, kills after some lines, another number of them in every round,
    /// and reads what it had told until then.
    fn read_until_killed(&mut self, round: u64, mut child: Child, kill: impl FnOnce(&mut Child)) {
        let out = child.stdout.take().unwrap();
        let mut lines = BufReader::new(out).lines();
        let mut told = 0;
        // The last is let go on until there was something of each, however slow the machine is.
        while told < 1 + round * 37 % 101
            || round + 1 == rounds() && !self.has_something_of_each() && told < LONGEST
        {
            let line = lines.next().expect("the writer ended by itself").unwrap();
            self.read(&line);
            told += 1;
        }
        kill(&mut child);
        // The last line is half a line if it does not parse.
        lines
            .map_while(Result::ok)
            .for_each(|line| self.read(&line));
        child.wait().unwrap();
    }

    fn has_something_of_each(&self) -> bool {
        let all = [&self.changed, &self.recorded, &self.used, &self.removed];
        all.iter().all(|some| !some.is_empty()) && self.signing.values().any(|count| *count > 0)
    }

    fn read(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["changed", name, sequence] => {
                self.changed.insert(name.to_owned());
                self.last = self.last.max(sequence.parse().unwrap());
            }
            ["signs", writer, number] => {
                let number = number.parse().unwrap();
                self.signing.insert(writer.to_owned(), number);
            }
            ["recorded", name] => {
                self.recorded.insert(name.to_owned());
            }
            ["made", name] => {
                self.made.insert(name.to_owned());
            }
            ["removing", name] => {
                self.removing.insert(name.to_owned());
            }
            ["removed", name] => {
                self.removed.insert(name.to_owned());
            }
            ["used", name] => {
                self.used.insert(name.to_owned());
            }
            _ => {}
        }
    }

    /// One of each writer signs, at no moment none or two; no key is lost, and each is whose it was.
    fn check_authorities(&self, snapshot: &Snapshot) {
        let mut signing: BTreeMap<&str, u64> = BTreeMap::new();
        for (id, record) in &snapshot.authorities {
            let (writer, number) = id.as_str().rsplit_once('-').unwrap();
            let sealed = record.private_key.as_ref().unwrap();
            let secret = self.key.open(SecretOf::Authority(id), sealed).unwrap();
            assert_eq!(secret.as_slice(), id.as_str().as_bytes(), "the key of {id}");
            if record.state == AuthorityState::Active {
                let other = signing.insert(writer, number.parse().unwrap());
                assert_eq!(other, None, "two authorities of {writer} sign");
            } else {
                assert_eq!(record.state, AuthorityState::Retired, "{id}");
            }
        }
        for (writer, acknowledged) in &self.signing {
            let number = signing.get(writer.as_str()).copied();
            assert!(
                number >= Some(*acknowledged),
                "{writer} signs with {number:?}"
            );
        }
    }

    /// What was acknowledged stays removed; what was not is there with all that it had, or is gone with
    /// all of it, and never one of two that go together.
    fn check_removals(&self, store: &dyn Store) {
        let records = store.tenants(&OPERATOR).unwrap();
        let found = |id: &str| records.iter().find(|record| record.id.as_str() == id);
        for name in &self.made {
            let both = ["above", "below"].map(|which| format!("{name}-{which}"));
            let there = both.each_ref().map(|id| found(id).is_some());
            assert_eq!(there[0], there[1], "half of {name} is there");
            assert!(
                !there[0] || !self.removed.contains(name),
                "{name} came back"
            );
            assert!(there[0] || self.removing.contains(name), "{name} is lost");
            for id in &both {
                match found(id) {
                    Some(record) => self.is_whole(store, record),
                    None => is_gone(store, id),
                }
            }
        }
    }

    fn is_whole(&self, store: &dyn Store, record: &TenantRecord) {
        let id = &record.id;
        let snapshot = store.load(id).unwrap();
        assert_eq!(snapshot.trust_domains.len(), 1, "{id}");
        let (name, authority) = snapshot.authorities.first_key_value().unwrap();
        let key = self.root_key.unwrap(id, &record.key).unwrap();
        let sealed = authority.private_key.as_ref().unwrap();
        let secret = key.open(SecretOf::Authority(name), sealed).unwrap();
        assert_eq!(secret.as_slice(), name.as_str().as_bytes());
        let intents = store.intents(id, Time::from_unix(0), 10).unwrap();
        assert_eq!(intents.len(), 1, "{id}");
    }

    fn check(&self, store: &dyn Store) {
        self.check_removals(store);
        while store.clear_removed(&OPERATOR).unwrap() > 0 {}
        self.check_removals(store);
        let snapshot = store.load(&tenant("acme")).unwrap();
        assert!(snapshot.sequence.number() >= self.last);
        let stored: BTreeSet<&str> = snapshot.anchors.keys().map(|id| id.as_str()).collect();
        for name in &self.changed {
            assert!(
                stored.contains(format!("{name}-a").as_str()),
                "{name} is lost"
            );
        }
        for id in &stored {
            let name = &id[..id.len() - 1];
            let both = ["a", "b"].map(|half| stored.contains(format!("{name}{half}").as_str()));
            assert_eq!(both, [true, true], "half of a call is there: {id}");
        }
        self.check_authorities(&snapshot);
        let intents = store
            .intents(&tenant("acme"), Time::from_unix(0), u32::MAX)
            .unwrap();
        let recorded: BTreeSet<&str> = intents.iter().map(|intent| intent.id.as_str()).collect();
        for name in &self.recorded {
            assert!(
                recorded.contains(name.as_str()),
                "the intent {name} is lost"
            );
        }
        let anew: Vec<_> = self.used.iter().map(|name| used(name, 2)).collect();
        let told = store.use_once(&tenant("acme"), &anew).unwrap();
        let at = used("", 1).at;
        for (name, told) in self.used.iter().zip(told) {
            assert_eq!(told, Used::Before { at }, "{name} can be used again");
        }
    }
}

fn is_gone(store: &dyn Store, name: &str) {
    let id = tenant(name);
    assert_eq!(store.load(&id), Ok(Snapshot::default()), "{id}");
    assert_eq!(store.intents(&id, Time::from_unix(0), 10), Ok(Vec::new()));
    let unknown = Fault::from(Conflict::UnknownTenant(id.clone()));
    assert_eq!(store.apply(&id, &[anchor("x")]), Err(unknown));
}
