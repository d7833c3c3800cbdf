//! PostgreSQL: for several servers on one database.
//!
//! A few threads own one connection each ([`PostgresqlStore::CONNECTIONS`]) and carry calls out as
//! they come. Changes of one tenant take turns, because each locks the tenant's row before it gives
//! out the next number; that is why a higher number is never visible before a lower one.

mod schema;
mod session;
mod statements;
mod uses;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use postgres::config::{Host, SslMode};
use postgres::error::SqlState;
use postgres::types::{WasNull, WrongType};

use crate::change::{Change, Feed, Sequence, Snapshot};
use crate::fault::Fault;
use crate::intent::IntentRow;
use crate::plan::{self, Plan};
use crate::single_use::{SingleUse, Used};
use crate::store::{Operator, Store};
use crate::tenant::TenantRecord;
use session::Session;
use uses::Gathered;

/// A store in a database of PostgreSQL.
pub struct PostgresqlStore {
    /// Taken on drop, which ends the threads.
    calls: Option<Sender<Call>>,
    threads: Vec<JoinHandle<()>>,
    uses: Arc<Gathered>,
}

impl PostgresqlStore {
    /// How many calls are carried out at once. More than this many connections commit little more
    /// per second, since the flushes of the disk are shared anyway.
    pub const CONNECTIONS: usize = 8;

    /// Connects to the database at `address`, `postgres://USER:PASSWORD@HOST/DATABASE` or
    /// `host=… user=… dbname=…`, and brings it up to the schema of this program.
    ///
    /// Connections are not encrypted yet, so the host must be a directory of Unix sockets or this
    /// machine itself.
    pub fn connect(address: &str) -> Result<Self, Fault> {
        // What is wrong with it is not said: the text may be a password.
        let config: postgres::Config = address.parse().map_err(|_| {
            Fault::Denied("the address is not postgres://USER:PASSWORD@HOST/DATABASE".to_owned())
        })?;
        stays_on_this_machine(&config)?;
        let mut first = Session::new(config.clone());
        schema::migrate(&mut first)?;
        let (calls, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut sessions = vec![first];
        sessions.resize_with(Self::CONNECTIONS, || Session::new(config.clone()));
        let threads = sessions
            .into_iter()
            .map(|session| start(session, Arc::clone(&waiting)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            calls: Some(calls),
            threads,
            uses: Arc::default(),
        })
    }

    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.send(move |session| {
            // This fails only if the caller is gone, and a caller waits.
            drop(answer.send(work(session)));
        })?;
        answered.recv().map_err(|_| stopped())?
    }

    /// Has something done on a connection, when one is free.
    fn send(&self, work: impl FnOnce(&mut Session) + Send + 'static) -> Result<(), Fault> {
        let calls = self.calls.as_ref().ok_or_else(stopped)?;
        calls.send(Call(Box::new(work))).map_err(|_| stopped())
    }

    fn apply_if(
        &self,
        tenant: &TenantId,
        expected: Option<Sequence>,
        changes: &[Change],
    ) -> Result<Sequence, Fault> {
        let plan = Plan::of(changes)?;
        let tenant = tenant.clone();
        self.call(move |session| {
            session.write(|session| statements::apply(session, &tenant, expected, &plan))
        })
    }
}

impl Drop for PostgresqlStore {
    fn drop(&mut self) {
        drop(self.calls.take());
        for thread in self.threads.drain(..) {
            // It panicked if this fails, and its caller was told.
            drop(thread.join());
        }
    }
}

impl Store for PostgresqlStore {
    fn add_tenant(&self, _: &Operator, tenant: &TenantRecord) -> Result<(), Fault> {
        let tenant = tenant.clone();
        self.call(move |session| session.write(|session| statements::add_tenant(session, &tenant)))
    }

    fn tenants(&self, _: &Operator) -> Result<Vec<TenantRecord>, Fault> {
        self.call(|session| session.read(statements::tenants))
    }

    fn heads(&self, _: &Operator) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
        self.call(|session| session.read(statements::heads))
    }

    fn apply(&self, tenant: &TenantId, changes: &[Change]) -> Result<Sequence, Fault> {
        self.apply_if(tenant, None, changes)
    }

    fn apply_at(
        &self,
        tenant: &TenantId,
        at: Sequence,
        changes: &[Change],
    ) -> Result<Sequence, Fault> {
        self.apply_if(tenant, Some(at), changes)
    }

    fn load(&self, tenant: &TenantId) -> Result<Snapshot, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| session.read(|session| statements::load(session, &tenant)))
    }

    fn changes_after(&self, tenant: &TenantId, after: Sequence) -> Result<Feed, Fault> {
        let tenant = tenant.clone();
        let (head, rows) = self.call(move |session| {
            session.read(|session| statements::changes_after(session, &tenant, after))
        })?;
        plan::feed(head, rows)
    }

    fn record_intents(&self, tenant: &TenantId, intents: &[IntentRow]) -> Result<(), Fault> {
        let (tenant, intents) = (tenant.clone(), intents.to_vec());
        self.call(move |session| {
            session.write(|session| statements::record_intents(session, &tenant, &intents))
        })
    }

    fn intents(&self, tenant: &TenantId, from: Time, limit: u32) -> Result<Vec<IntentRow>, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| {
            session.read(|session| statements::intents(session, &tenant, from, limit))
        })
    }

    fn forget_intents(&self, tenant: &TenantId, before: Time) -> Result<u64, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| {
            session.write(|session| statements::forget_intents(session, &tenant, before))
        })
    }

    fn use_once(&self, tenant: &TenantId, uses: &[SingleUse]) -> Result<Vec<Used>, Fault> {
        let answered = self.uses.add(tenant, uses);
        let gathered = Arc::clone(&self.uses);
        self.send(move |session| gathered.carry_out(session))?;
        answered.recv().map_err(|_| stopped())?
    }

    fn forget_uses(&self, _: &Operator, before: Time) -> Result<u64, Fault> {
        self.call(move |session| session.write(|session| uses::forget_uses(session, before)))
    }
}

fn stopped() -> Fault {
    Fault::Bug("the connections have stopped".to_owned())
}

/// Something to do on a connection, which answers its caller itself.
struct Call(Box<dyn FnOnce(&mut Session) + Send>);

fn start(
    mut session: Session,
    waiting: Arc<Mutex<Receiver<Call>>>,
) -> Result<JoinHandle<()>, Fault> {
    let next = move || {
        // The queue is whole at any moment, whoever panicked while holding it.
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.recv()
    };
    thread::Builder::new()
        .name("store-connection".to_owned())
        .spawn(move || {
            while let Ok(Call(work)) = next() {
                work(&mut session);
            }
        })
        .map_err(|error| Fault::Busy(format!("no thread for a connection: {error}")))
}

fn stays_on_this_machine(config: &postgres::Config) -> Result<(), Fault> {
    let refuse = |why: &str| Err(Fault::Denied(why.to_owned()));
    if config.get_ssl_mode() == SslMode::Require {
        return refuse("connections are not encrypted yet, and the address requires it");
    }
    let named = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    });
    if named && config.get_hostaddrs().iter().all(IpAddr::is_loopback) {
        return Ok(());
    }
    refuse("connections are not encrypted yet, so the database must be on this machine")
}

impl From<postgres::Error> for Fault {
    /// The messages of PostgreSQL name tables and constraints; values stand in its details, which
    /// are left out.
    fn from(error: postgres::Error) -> Self {
        let Some(answer) = error.as_db_error() else {
            return without_answer(&error);
        };
        let code = answer.code();
        let text = format!("{} ({})", answer.message(), code.code());
        match code.code().get(..2).unwrap_or_default() {
            _ if *code == SqlState::DISK_FULL => Self::Full,
            _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Self::Lost(text),
            "40" | "53" | "55" => Self::Busy(text),
            "57" if *code == SqlState::QUERY_CANCELED => Self::Busy(text),
            "08" | "57" => Self::Lost(text),
            "58" => Self::Disk(text),
            "XX" => Self::Corrupt(text),
            "28" | "3D" | "42" if is_denial(code) => Self::Denied(text),
            _ => Self::Bug(text),
        }
    }
}

/// What a failure is that the server said nothing about.
fn without_answer(error: &postgres::Error) -> Fault {
    let text = error.to_string();
    let Some(source) = std::error::Error::source(error) else {
        return Fault::Lost(text);
    };
    if source.is::<WasNull>() || source.is::<WrongType>() {
        return Fault::Corrupt(text);
    }
    if error.is_closed() || source.is::<io::Error>() {
        return Fault::Lost(format!("{text}: {source}"));
    }
    Fault::Denied(text)
}

fn is_denial(code: &SqlState) -> bool {
    [
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
        SqlState::INVALID_PASSWORD,
    ]
    .contains(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unencrypted_connection_stays_on_this_machine() {
        for (address, fine) in [
            ("postgres://u@localhost/d", true),
            ("postgres://u@127.0.0.1:5433/d", true),
            ("postgres://u@[::1]/d", true),
            ("host=/run/postgresql user=u", true),
            ("postgres://u@db.example.com/d", false),
            ("postgres://u@localhost,db.example.com/d", false),
            ("postgres://u@localhost/d?hostaddr=192.0.2.1", false),
            ("postgres://u@localhost/d?sslmode=require", false),
        ] {
            let config = address.parse().unwrap();
            assert_eq!(stays_on_this_machine(&config).is_ok(), fine, "{address}");
        }
    }

    #[test]
    fn a_password_is_never_in_a_fault() {
        for address in [
            "postgres://u:se?cret@localhost/d",
            "postgres://u:secret@localhost:99999999/d",
            "postgres://u:secret@db.example.com/d",
            "postgres://u:secret@127.0.0.1:1/d?connect_timeout=1",
        ] {
            let fault = PostgresqlStore::connect(address).err().unwrap();
            assert!(!format!("{fault} {fault:?}").contains("cret"), "{fault}");
        }
    }
}
