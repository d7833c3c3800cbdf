//! Writes without end, and tells every write once it is acknowledged: `sqlite FOLDER` or
//! `postgresql ADDRESS`. The tests kill it and look whether all it told is there.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use avouch_core::id::{Digest, SpiffeId, TenantId};
use avouch_core::time::Time;
use avouch_store::postgresql::PostgresqlStore;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{
    AnchorId, AnchorRecord, AttemptId, AuthorityId, Change, CredentialKind, Fault, IntentId,
    IntentRow, Object, SingleUse, Store, UseKind, Used,
};

/// How many write at once, so that commits are shared.
const WRITERS: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sqlite", folder, run] => {
            SqliteStore::open(Path::new(folder)).and_then(|store| write(&store, run))
        }
        ["postgresql", address, run] => {
            PostgresqlStore::connect(address).and_then(|store| write(&store, run))
        }
        _ => return ExitCode::from(2),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            drop(writeln!(io::stderr(), "{fault}"));
            ExitCode::FAILURE
        }
    }
}

fn write(store: &dyn Store, run: &str) -> Result<(), Fault> {
    let tenant = TenantId::parse("acme").ok_or_else(|| bug("the tenant"))?;
    let tenant = &tenant;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write_on(store, tenant, &format!("{run}-{writer}"))))
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().unwrap_or_else(|_| Err(bug("a writer"))))
    })
}

/// Puts two anchors in one call, then records an intent, then uses something once, and so on.
fn write_on(store: &dyn Store, tenant: &TenantId, name: &str) -> Result<(), Fault> {
    for round in 0_u64.. {
        let pair = [anchor(name, round, "a")?, anchor(name, round, "b")?];
        let sequence = store.apply(tenant, &pair)?;
        tell(&format!("changed {name}-{round} {sequence}"))?;
        store.record_intents(tenant, &[intent(name, round)?])?;
        tell(&format!("recorded {name}-{round}"))?;
        if store.use_once(tenant, &[used(name, round)])? != [Used::First] {
            return Err(bug("something new was used before"));
        }
        tell(&format!("used {name}-{round}"))?;
    }
    Ok(())
}

fn anchor(name: &str, round: u64, half: &str) -> Result<Change, Fault> {
    let id = format!("{name}-{round}-{half}");
    Ok(Change::Put(Object::Anchor(AnchorRecord {
        id: AnchorId::parse(&id).ok_or_else(|| bug("the name of an anchor"))?,
        document: "x".repeat(500),
    })))
}

fn intent(name: &str, round: u64) -> Result<IntentRow, Fault> {
    let id = format!("{name}-{round}");
    Ok(IntentRow {
        content: Digest::of(id.as_bytes()),
        id: IntentId::parse(&id).ok_or_else(|| bug("the name of an intent"))?,
        kind: CredentialKind::X509,
        authority: AuthorityId::parse("k1").ok_or_else(|| bug("the name of an authority"))?,
        entry: None,
        subject: SpiffeId::parse("spiffe://a.test/x").map_err(|_| bug("the subject"))?,
        not_before: Time::from_unix(0),
        not_after: Time::from_unix(1),
        recorded: Time::from_unix(0),
        lineage: Vec::new(),
    })
}

/// As the tests make one, by the attempt of number 1.
fn used(name: &str, round: u64) -> SingleUse {
    let mut attempt = [0; 16];
    attempt[1] = 1;
    SingleUse {
        kind: UseKind::Token,
        digest: Digest::of(format!("{name}-{round}").as_bytes()),
        attempt: AttemptId::from_bytes(attempt),
        at: Time::from_unix(1_001),
        until: Time::from_unix(2_000),
    }
}

fn tell(what: &str) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    writeln!(out, "{what}")
        .and_then(|()| out.flush())
        .map_err(|error| Fault::Disk(error.to_string()))
}

fn bug(what: &str) -> Fault {
    Fault::Bug(what.to_owned())
}
