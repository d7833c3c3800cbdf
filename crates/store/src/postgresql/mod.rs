//! PostgreSQL: for several servers on one database.
//!
//! A few threads own one connection each ([`PostgresqlStore::CONNECTIONS`]) and carry calls out as
//! they come. Changes of one tenant take turns, because each locks the tenant's row before it gives
//! out the next number; that is why a higher number is never visible before a lower one.

mod address;
mod decisions;
mod followers;
mod lifetimes;
mod listener;
mod outline;
mod over;
mod removal;
mod schema;
mod session;
mod statements;
mod tls;
mod turns;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use avouch_core::id::{Digest, TenantId, TrustDomain};
use avouch_core::time::Time;
use postgres::error::SqlState;
use postgres::types::{WasNull, WrongType};

use crate::change::{Change, Feed, Key, Object, Sequence, Snapshot};
use crate::decision::{DecisionRow, WantedDecisions};
use crate::fault::Fault;
use crate::follower::{Followers, Report};
use crate::intent::IntentRow;
use crate::lifetime::{Lasting, Lifetime, Living};
use crate::names::{DecisionId, IntentId, ServerId};
use crate::outline::{Appointed, Counts, Outline};
use crate::over::Over;
use crate::plan::{self, Plan};
use crate::single_use::{SingleUse, UseKind, Used};
use crate::store::{Operator, Store};
use crate::tenant::TenantRecord;
use crate::within::{Within, tops};
use address::Address;
use listener::Listener;
use session::Session;
use turns::Turns;
use uses::{Gathered, Waiting};

/// A store in a database of PostgreSQL.
pub struct PostgresqlStore {
    /// Taken on drop, which ends the threads.
    calls: Option<Sender<Call>>,
    threads: Vec<JoinHandle<()>>,
    uses: Arc<Gathered>,
    /// Who keeps to the bound of which tenant just now, here.
    turns: Turns,
    listener: Listener,
}

impl PostgresqlStore {
    /// How many calls are carried out at once. More than this many connections commit little more
    /// per second, since the flushes of the disk are shared anyway.
    pub const CONNECTIONS: usize = 8;

    /// Connects to the database at `address`, `postgres://USER:PASSWORD@HOST/DATABASE` or
    /// `host=… user=… dbname=…`, and brings it up to the schema of this program.
    ///
    /// Connections that leave this machine are encrypted, and the certificate of the server must be
    /// for the host and come from a root of the system, or of the file `sslrootcert`.
    ///
    /// # Errors
    ///
    /// The address is none, the database cannot be reached or does not let us in, or it was used by a later
    /// version.
    pub fn connect(address: &str) -> Result<Self, Fault> {
        let address = Address::parse(address)?.kept_alive();
        let mut first = Session::new(address.clone());
        schema::migrate(&mut first)?;
        let (calls, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut sessions = vec![first];
        sessions.resize_with(Self::CONNECTIONS, || Session::new(address.clone()));
        let threads = sessions
            .into_iter()
            .map(|session| start(session, Arc::clone(&waiting)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            calls: Some(calls),
            threads,
            uses: Arc::default(),
            turns: Turns::default(),
            listener: Listener::to(address),
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
        held: Sequence,
        expected: Option<Sequence>,
        changes: &[Change],
    ) -> Result<Sequence, Fault> {
        let plan = Plan::of(changes)?;
        let tenant = tenant.clone();
        self.call(move |session| {
            session.write(|session| statements::apply(session, &tenant, held, expected, &plan))
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
    fn check(&self, _: &Operator) -> Result<(), Fault> {
        self.call(|session| session.write(schema::rewrite_version))
    }

    fn add_tenant(&self, _: &Operator, tenant: &TenantRecord) -> Result<(), Fault> {
        let tenant = tenant.clone();
        self.call(move |session| session.write(|session| statements::add_tenant(session, &tenant)))
    }

    fn remove_tenants(&self, _: &Operator, tenants: &[(TenantId, Sequence)]) -> Result<(), Fault> {
        let mut tenants = tenants.to_vec();
        // Those who remove at once take the rows in one order.
        tenants.sort();
        self.call(move |session| {
            session.write(|session| removal::remove_tenants(session, &tenants))
        })
    }

    fn keys_of_removed(&self, _: &Operator) -> Result<Vec<(TenantId, String)>, Fault> {
        self.call(|session| session.read(removal::keys_of_removed))
    }

    fn clear_removed(&self, _: &Operator) -> Result<u64, Fault> {
        self.call(|session| session.write(removal::clear_removed))
    }

    fn tenants(&self, _: &Operator) -> Result<Vec<TenantRecord>, Fault> {
        self.call(|session| session.read(statements::tenants))
    }

    fn tenant(&self, _: &Operator, id: &TenantId) -> Result<Option<TenantRecord>, Fault> {
        let id = id.clone();
        self.call(move |session| session.read(|session| statements::find_tenant(session, &id)))
    }

    fn trust_domains(&self, _: &Operator) -> Result<BTreeMap<TrustDomain, TenantId>, Fault> {
        self.call(|session| session.read(outline::trust_domains))
    }

    fn heads(&self, _: &Operator) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
        self.call(|session| session.read(statements::heads))
    }

    fn wait_for_change(
        &self,
        operator: &Operator,
        at_most: Duration,
    ) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
        match self.listener.wait(at_most)? {
            Some(heads) => Ok(heads),
            None => self.heads(operator),
        }
    }

    fn apply_held(
        &self,
        tenant: &TenantId,
        held: Sequence,
        changes: &[Change],
    ) -> Result<Sequence, Fault> {
        self.apply_if(tenant, held, None, changes)
    }

    fn apply_at(
        &self,
        tenant: &TenantId,
        at: Sequence,
        changes: &[Change],
    ) -> Result<Sequence, Fault> {
        self.apply_if(tenant, at, Some(at), changes)
    }

    fn outline(&self, tenant: &TenantId) -> Result<Outline, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| session.read(|session| outline::outline(session, &tenant)))
    }

    fn appointed(&self, tenant: &TenantId) -> Result<Vec<Appointed>, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| session.read(|session| outline::appointed(session, &tenant)))
    }

    fn object(&self, tenant: &TenantId, key: &Key) -> Result<Option<(Sequence, Object)>, Fault> {
        let (tenant, key) = (tenant.clone(), key.clone());
        self.call(move |session| session.read(|session| outline::object(session, &tenant, &key)))
    }

    fn counts(&self, tenant: &TenantId) -> Result<Counts, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| session.read(|session| outline::counts(session, &tenant)))
    }

    fn load(&self, tenant: &TenantId) -> Result<Snapshot, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| session.read(|session| statements::load(session, &tenant)))
    }

    fn changes_after(&self, tenant: &TenantId, after: Sequence) -> Result<Option<Feed>, Fault> {
        let tenant = tenant.clone();
        let found = self.call(move |session| {
            session.read(|session| statements::changes_after(session, &tenant, after))
        })?;
        found.map(plan::feed).transpose()
    }

    fn forget_removals(&self, tenant: &TenantId, up_to: Sequence) -> Result<u64, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| {
            session.write(|session| statements::forget_removals(session, &tenant, up_to))
        })
    }

    fn tenants_with_over(&self, _: &Operator, over: &[Over]) -> Result<BTreeSet<TenantId>, Fault> {
        let over = over.to_vec();
        self.call(move |session| session.read(|session| over::tenants_with_over(session, &over)))
    }

    fn remove_over(&self, tenant: &TenantId, over: &[Over]) -> Result<Option<Sequence>, Fault> {
        let (tenant, over) = (tenant.clone(), over.to_vec());
        self.call(move |session| {
            session.write(|session| over::remove_over(session, &tenant, &over))
        })
    }

    fn intents(&self, tenant: &TenantId, from: Time, limit: u32) -> Result<Vec<IntentRow>, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| {
            session.read(|session| statements::intents(session, &tenant, from, limit))
        })
    }

    fn intent(&self, tenant: &TenantId, id: &IntentId) -> Result<Option<IntentRow>, Fault> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.call(move |session| {
            session.read(|session| statements::find_intent(session, &tenant, &id))
        })
    }

    fn intents_called(
        &self,
        tenant: &TenantId,
        beginning: &str,
        limit: u32,
    ) -> Result<Vec<IntentRow>, Fault> {
        let (tenant, beginning) = (tenant.clone(), beginning.to_owned());
        self.call(move |session| {
            session.read(|session| statements::intents_called(session, &tenant, &beginning, limit))
        })
    }

    fn living(&self, tenant: &TenantId, lasting: Lasting<'_>) -> Result<Vec<Living>, Fault> {
        let (tenant, trust_domain) = (tenant.clone(), lasting.trust_domain.cloned());
        let (from, at) = (lasting.from, lasting.at);
        self.call(move |session| {
            let lasting = Lasting {
                from,
                at,
                trust_domain: trust_domain.as_ref(),
            };
            session.read(|session| lifetimes::living(session, &tenant, lasting))
        })
    }

    fn keep_lifetimes(&self, _: &Operator, lifetimes: &[Lifetime]) -> Result<(), Fault> {
        let kept = lifetimes.to_vec();
        self.call(move |session| session.write(|session| lifetimes::keep(session, &kept)))
    }

    fn lifetimes(&self, _: &Operator) -> Result<Vec<Lifetime>, Fault> {
        self.call(move |session| session.read(lifetimes::all))
    }

    fn forget_intents(&self, tenant: &TenantId, before: Time) -> Result<u64, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| {
            session.write(|session| statements::forget_intents(session, &tenant, before))
        })
    }

    fn forget_answers(&self, tenant: &TenantId, before: Time) -> Result<u64, Fault> {
        let tenant = tenant.clone();
        self.call(move |session| {
            session.write(|session| statements::forget_answers(session, &tenant, before))
        })
    }

    fn use_and_record_held(
        &self,
        tenant: &TenantId,
        held: Sequence,
        uses: &[SingleUse],
        intents: &[IntentRow],
    ) -> Result<Vec<Used>, Fault> {
        let (answer, answered) = mpsc::sync_channel(1);
        let told = Box::new(move |outcome| {
            // This fails only if the caller is gone, and a caller waits.
            drop(answer.send(outcome));
        });
        self.use_and_record_later(tenant, held, uses.to_vec(), intents.to_vec(), told);
        answered.recv().map_err(|_| stopped())?
    }

    fn used(
        &self,
        tenant: &TenantId,
        kind: UseKind,
        digest: &Digest,
    ) -> Result<Option<Time>, Fault> {
        let (tenant, digest) = (tenant.clone(), *digest);
        self.call(move |session| {
            session.read(|session| uses::used(session, &tenant, kind, &digest))
        })
    }

    /// Not together with others: each change of a tenant has a number of its own.
    fn apply_within(
        &self,
        tenant: &TenantId,
        uses: &[SingleUse],
        intents: &[IntentRow],
        at: Sequence,
        changes: &[Change],
        within: &[Within],
    ) -> Result<(Vec<Used>, Sequence), Fault> {
        let plan = Plan::of(changes)?;
        let within = within.to_vec();
        // Before a connection is taken: others need those for what nobody waits for.
        let _turn = self.turns.take(tops(&within))?;
        let alone = Waiting {
            tenant: tenant.clone(),
            held: at,
            uses: uses.to_vec(),
            intents: intents.to_vec(),
            told: Box::new(drop),
        };
        self.call(move |session| {
            session.write(|session| {
                outline::hold_tops(session, &alone.tenant, &within)?;
                let told = uses::use_and_record(session, &alone)?;
                let number = match Used::are_first(&told) {
                    true => {
                        statements::check_at(session, &alone.tenant, at)?;
                        outline::check_within(session, &within)?;
                        statements::apply(session, &alone.tenant, at, Some(at), &plan)?
                    }
                    false => at,
                };
                Ok((told, number))
            })
        })
    }

    fn rehearse_tenant(&self, _: &Operator, tenant: &TenantRecord) -> Result<(), Fault> {
        let tenant = tenant.clone();
        self.call(move |session| {
            session.rehearse(|session| statements::add_tenant(session, &tenant))
        })
    }

    fn rehearse(
        &self,
        tenant: &TenantId,
        held: Sequence,
        changes: &[Change],
        within: &[Within],
    ) -> Result<(), Fault> {
        let plan = Plan::of(changes)?;
        let (tenant, within) = (tenant.clone(), within.to_vec());
        let _turn = self.turns.take(tops(&within))?;
        self.call(move |session| {
            session.rehearse(|session| {
                outline::hold_tops(session, &tenant, &within)?;
                outline::check_within(session, &within)?;
                statements::apply(session, &tenant, held, None, &plan)
            })
        })
    }

    fn use_and_record_later(
        &self,
        tenant: &TenantId,
        held: Sequence,
        uses: Vec<SingleUse>,
        intents: Vec<IntentRow>,
        told: Box<dyn FnOnce(Result<Vec<Used>, Fault>) + Send>,
    ) {
        self.uses.add(Waiting {
            tenant: tenant.clone(),
            held,
            uses,
            intents,
            told,
        });
        let gathered = Arc::clone(&self.uses);
        if let Err(fault) = self.send(move |session| gathered.carry_out(session)) {
            self.uses.give_up(&fault);
        }
    }

    fn raise(&self, _: &Operator, floor: Sequence) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
        self.call(move |session| session.write(|session| followers::raise(session, floor)))
    }

    fn report(&self, _: &Operator, report: &Report) -> Result<bool, Fault> {
        let report = report.clone();
        self.call(move |session| session.write(|session| followers::report(session, &report)))
    }

    fn followers(
        &self,
        tenant: &TenantId,
        besides: &ServerId,
        since: Time,
    ) -> Result<Vec<Followers>, Fault> {
        let (tenant, besides) = (tenant.clone(), besides.clone());
        self.call(move |session| {
            session.read(|session| followers::followers(session, &tenant, &besides, since))
        })
    }

    fn forget_uses(&self, _: &Operator, before: Time) -> Result<u64, Fault> {
        self.call(move |session| session.write(|session| uses::forget_uses(session, before)))
    }

    fn keep_decisions(
        &self,
        tenant: &TenantId,
        held: Sequence,
        decisions: &[DecisionRow],
        most: u32,
    ) -> Result<(), Fault> {
        let (tenant, decisions) = (tenant.clone(), decisions.to_vec());
        self.call(move |session| {
            session.write(|session| decisions::keep(session, &tenant, held, &decisions, most))
        })
    }

    fn decision(&self, tenant: &TenantId, id: &DecisionId) -> Result<Option<DecisionRow>, Fault> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.call(move |session| session.read(|session| decisions::find(session, &tenant, &id)))
    }

    fn decisions(
        &self,
        tenant: &TenantId,
        wanted: &WantedDecisions,
    ) -> Result<Vec<DecisionRow>, Fault> {
        let (tenant, wanted) = (tenant.clone(), wanted.clone());
        self.call(move |session| {
            session.read(|session| decisions::latest(session, &tenant, &wanted))
        })
    }

    fn forget_decisions(&self, _: &Operator, before: Time) -> Result<u64, Fault> {
        self.call(move |session| session.write(|session| decisions::forget(session, before)))
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
    let is_network = source.downcast_ref::<io::Error>().is_some_and(|error| {
        !error
            .get_ref()
            .is_some_and(|inner| inner.is::<rustls::Error>())
    });
    if error.is_closed() || is_network {
        return Fault::Lost(format!("{text}: {source}"));
    }
    // The other end is not who it must be, or does not speak TLS, or we are not let in.
    Fault::Denied(format!("{text}: {source}"))
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
    fn a_password_is_never_in_a_fault() {
        for address in [
            "postgres://u:secret@localhost/d?sslmode=prefer",
            "host=db.example.com password=secret sslmode=disable",
            "host=127.0.0.1 port=1 password='sec ret' sslrootcert=/missing sslmode=require",
            "postgres://u:se?cret@localhost/d",
            "postgres://u:secret@localhost:99999999/d",
            "postgres://u:secret@db.example.com/d",
            "postgres://u:secret@127.0.0.1:1/d?connect_timeout=1",
        ] {
            let fault = PostgresqlStore::connect(address).err().unwrap();
            let told = format!("{fault} {fault:?}");
            assert!(!told.contains("cret") && !told.contains("sec "), "{told}");
        }
    }
}
