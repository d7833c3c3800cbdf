//! Writes without end, and tells every write once it is acknowledged: `sqlite FOLDER` or
//! `postgresql ADDRESS`. The tests kill it and look whether all it told is there.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_store::keyring::{RootKey, SecretOf, TenantKey};
use avouch_store::postgresql::PostgresqlStore;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{
    AnchorId, AnchorRecord, AttemptId, AuthorityId, AuthorityKind, AuthorityRecord, AuthorityRole,
    AuthorityState, AuthorityUse, Change, Conflict, CredentialKind, Fault, IntentId, IntentRow,
    Object, Operator, SingleUse, Store, TenantKind, TenantRecord, TrustDomainRecord, Upstream,
    UseKind, Used,
};

const OPERATOR: Operator = Operator::of_this_deployment();

/// How many write at once, so that commits are shared.
const WRITERS: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sqlite", folder, run, keys] => {
            SqliteStore::open(Path::new(folder)).and_then(|store| write(&store, run, keys))
        }
        ["postgresql", address, run, keys] => {
            PostgresqlStore::connect(address).and_then(|store| write(&store, run, keys))
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

fn write(store: &dyn Store, run: &str, keys: &str) -> Result<(), Fault> {
    let tenant = TenantId::parse("acme").ok_or_else(|| bug("the tenant"))?;
    let tenant = &tenant;
    let records = store.tenants(&OPERATOR)?;
    let record = records.into_iter().find(|record| record.id == *tenant);
    let wrapped = record.ok_or_else(|| bug("the tenant is not there"))?.key;
    let root_key = RootKey::open(Path::new(keys)).map_err(|_| bug("the root key"))?;
    let key = &root_key
        .unwrap(tenant, &wrapped)
        .map_err(|_| bug("the key"))?;
    let root_key = &root_key;
    thread::scope(|scope| {
        let mut writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || write_on(store, tenant, key, &format!("{run}-{writer}")))
            })
            .collect();
        writers.push(scope.spawn(move || remove_on(store, root_key, run)));
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().unwrap_or_else(|_| Err(bug("a writer"))))
    })
}

/// Puts two anchors in one call, has an authority follow another in one more, then records an intent, then uses something once, and so on.
fn write_on(
    store: &dyn Store,
    tenant: &TenantId,
    key: &TenantKey,
    name: &str,
) -> Result<(), Fault> {
    let mut last = None;
    for round in 0_u64.. {
        let pair = [anchor(name, round, "a")?, anchor(name, round, "b")?];
        let sequence = store.apply(tenant, &pair)?;
        tell(&format!("changed {name}-{round} {sequence}"))?;
        let next = authority(key, name, round)?;
        let retired = last.map(|last: AuthorityRecord| AuthorityRecord {
            state: AuthorityState::Retired,
            ..last
        });
        let handed_over = retired.into_iter().chain([next.clone()]);
        let handed_over: Vec<Change> = handed_over
            .map(|record| Change::Put(Object::Authority(record)))
            .collect();
        store.apply(tenant, &handed_over)?;
        tell(&format!("signs {name} {round}"))?;
        last = Some(next);
        store.record_intents(tenant, &[intent(name, round)?])?;
        tell(&format!("recorded {name}-{round}"))?;
        if store.use_once(tenant, &[used(name, round)])? != [Used::First] {
            return Err(bug("something new was used before"));
        }
        tell(&format!("used {name}-{round}"))?;
    }
    Ok(())
}

/// Adds two tenants, one below the other, and removes both in one call while someone writes to the upper
/// one, and so on. Now and then what they owned is cleared away.
fn remove_on(store: &dyn Store, root_key: &RootKey, run: &str) -> Result<(), Fault> {
    for round in 0_u64.. {
        let name = format!("{run}-{round}");
        let above = add(
            store,
            root_key,
            "root",
            &format!("{name}-above"),
            TenantKind::Tenant,
        )?;
        let kind = TenantKind::Environment;
        let below = add(
            store,
            root_key,
            above.as_str(),
            &format!("{name}-below"),
            kind,
        )?;
        tell(&format!("made {name}"))?;
        thread::scope(|scope| {
            let busy = scope.spawn(|| write_while_there(store, &above));
            tell(&format!("removing {name}"))?;
            remove(store, [&above, &below])?;
            tell(&format!("removed {name}"))?;
            busy.join().unwrap_or_else(|_| Err(bug("a writer")))
        })?;
        if round % 3 == 2 {
            store.clear_removed(&OPERATOR)?;
        }
    }
    Ok(())
}

/// Adds a tenant with a trust domain of its name, an authority with a sealed key, and an intent.
fn add(
    store: &dyn Store,
    root_key: &RootKey,
    parent: &str,
    name: &str,
    kind: TenantKind,
) -> Result<TenantId, Fault> {
    let id = TenantId::parse(name).ok_or_else(|| bug("the name of a tenant"))?;
    let (key, wrapped) = root_key.new_tenant_key(&id).map_err(|_| bug("a key"))?;
    let record = TenantRecord {
        id: id.clone(),
        parent: TenantId::parse(parent),
        kind,
        created: Time::from_unix(0),
        key: wrapped,
    };
    store.add_tenant(&OPERATOR, &record)?;
    let domain = TrustDomain::parse(&format!("{name}.test")).map_err(|_| bug("a trust domain"))?;
    let authority = AuthorityRecord {
        trust_domain: domain.clone(),
        ..authority(&key, name, 0)?
    };
    let domain = TrustDomainRecord {
        name: domain,
        created: Time::from_unix(0),
        upstream: Upstream::Own,
    };
    let own = [Object::TrustDomain(domain), Object::Authority(authority)];
    store.apply(&id, &own.map(Change::Put))?;
    store.record_intents(&id, &[intent(name, 0)?])?;
    Ok(id)
}

/// Writes to a tenant until it is not there any more, slowly enough that its removal has a turn.
fn write_while_there(store: &dyn Store, tenant: &TenantId) -> Result<(), Fault> {
    for round in 0_u64.. {
        let changes = [anchor("busy", round, "a")?];
        match store.apply(tenant, &changes) {
            Err(Fault::Conflict(Conflict::UnknownTenant(_))) => return Ok(()),
            applied => applied?,
        };
        thread::park_timeout(Duration::from_millis(2));
    }
    Ok(())
}

/// Removes tenants, worked out anew as long as one of them changes meanwhile.
fn remove(store: &dyn Store, tenants: [&TenantId; 2]) -> Result<(), Fault> {
    loop {
        let mut at = Vec::new();
        for tenant in tenants {
            at.push((tenant.clone(), store.load(tenant)?.sequence));
        }
        match store.remove_tenants(&OPERATOR, &at) {
            Err(Fault::Conflict(Conflict::Moved { .. })) => {}
            removed => return removed,
        }
    }
}

fn anchor(name: &str, round: u64, half: &str) -> Result<Change, Fault> {
    let id = format!("{name}-{round}-{half}");
    Ok(Change::Put(Object::Anchor(AnchorRecord {
        id: AnchorId::parse(&id).ok_or_else(|| bug("the name of an anchor"))?,
        document: "x".repeat(500),
    })))
}

/// One whose key is its name, sealed.
fn authority(key: &TenantKey, name: &str, round: u64) -> Result<AuthorityRecord, Fault> {
    let id = format!("{name}-{round}");
    let id = AuthorityId::parse(&id).ok_or_else(|| bug("the name of an authority"))?;
    let sealed = key.seal(SecretOf::Authority(&id), id.as_str().as_bytes());
    Ok(AuthorityRecord {
        trust_domain: TrustDomain::parse("a.test").map_err(|_| bug("the trust domain"))?,
        kind: AuthorityKind::X509,
        role: AuthorityRole::Intermediate,
        state: AuthorityState::Active,
        since: Time::from_unix(0),
        not_before: Time::from_unix(0),
        not_after: Time::from_unix(1),
        public_key: id.as_str().as_bytes().to_vec(),
        certificates: Vec::new(),
        private_key: Some(sealed.map_err(|_| bug("a key cannot be sealed"))?),
        key_address: None,
        key_is_brought: false,
        used_for: AuthorityUse::Services,
        revoked: Vec::new(),
        revocation_list: None,
        id,
    })
}

fn intent(name: &str, round: u64) -> Result<IntentRow, Fault> {
    let id = format!("{name}-{round}");
    Ok(IntentRow {
        content: Digest::of(id.as_bytes()),
        id: IntentId::parse(&id).ok_or_else(|| bug("the name of an intent"))?,
        kind: CredentialKind::X509,
        authority: AuthorityId::parse("k1").ok_or_else(|| bug("the name of an authority"))?,
        entry: None,
        node: None,
        subject: SpiffeId::parse("spiffe://a.test/x").map_err(|_| bug("the subject"))?,
        not_before: Time::from_unix(0),
        not_after: Time::from_unix(1),
        recorded: Time::from_unix(0),
        lineage: Vec::new(),
        decision: None,
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
