//! One SQLite file: the default, which needs nothing.
//!
//! One thread owns the connection that writes and commits what waits together, so that many small
//! calls cost one flush of the disk; readers have connections of their own and never wait for it
//! (write-ahead log). A commit is flushed before it is acknowledged (`synchronous=FULL`).

mod decisions;
mod followers;
mod lifetimes;
mod outline;
mod over;
mod reader;
mod removal;
mod schema;
mod statements;
mod uses;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use avouch_core::id::{Digest, TenantId, TrustDomain};
use avouch_core::time::Time;
use rusqlite::{Connection, ErrorCode, OpenFlags};

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
use crate::within::Within;
use reader::Readers;
use writer::Writer;

/// The name of the database in the folder of the deployment.
pub const DATABASE_FILE: &str = "avouch.sqlite3";

/// How long a call waits for another process that writes to the same file. One transaction takes
/// milliseconds, so after so long something is wrong.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many pages the log may have before they are moved to the file. A page that is written often
/// is moved once: with 64 MiB that saves most of the moving even of an index of digests, and reading
/// them back after a crash still takes a moment only.
const PAGES_IN_LOG: u32 = 16_384;

/// A store in one file.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
}

impl SqliteStore {
    /// Opens `avouch.sqlite3` in the folder of the deployment, which must be there. The file is
    /// made if it is missing, readable for its owner alone, and brought up to the schema of this
    /// program.
    ///
    /// # Errors
    ///
    /// The disk failed, or the database is damaged or was used by a later version.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        let file = DatabaseFile {
            path: folder.join(DATABASE_FILE),
            patience: PATIENCE,
        };
        Self::open_file(file)
    }

    fn open_file(file: DatabaseFile) -> Result<Self, Fault> {
        file.make()?;
        let mut connection = file.connect()?;
        schema::migrate(&mut connection)?;
        Ok(Self {
            writer: Writer::start(connection)?,
            readers: Readers::of(file),
        })
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
        self.writer
            .write(move |connection| statements::apply(connection, &tenant, held, expected, &plan))
    }
}

impl Store for SqliteStore {
    fn check(&self, _: &Operator) -> Result<(), Fault> {
        self.writer.write(schema::rewrite_version)
    }

    fn add_tenant(&self, _: &Operator, tenant: &TenantRecord) -> Result<(), Fault> {
        let tenant = tenant.clone();
        self.writer
            .write(move |connection| statements::add_tenant(connection, &tenant))
    }

    fn remove_tenants(&self, _: &Operator, tenants: &[(TenantId, Sequence)]) -> Result<(), Fault> {
        let tenants = tenants.to_vec();
        self.writer
            .write(move |connection| removal::remove_tenants(connection, &tenants))?;
        self.readers.move_log();
        Ok(())
    }

    fn keys_of_removed(&self, _: &Operator) -> Result<Vec<(TenantId, String)>, Fault> {
        self.readers.read(removal::keys_of_removed)
    }

    fn clear_removed(&self, _: &Operator) -> Result<u64, Fault> {
        self.writer.write(removal::clear_removed)
    }

    fn tenants(&self, _: &Operator) -> Result<Vec<TenantRecord>, Fault> {
        self.readers.read(statements::tenants)
    }

    fn tenant(&self, _: &Operator, id: &TenantId) -> Result<Option<TenantRecord>, Fault> {
        self.readers
            .read(|connection| statements::find_tenant(connection, id))
    }

    fn trust_domains(&self, _: &Operator) -> Result<BTreeMap<TrustDomain, TenantId>, Fault> {
        self.readers.read(outline::trust_domains)
    }

    fn heads(&self, _: &Operator) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
        self.readers.read(statements::heads)
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
        self.readers
            .read(|connection| outline::outline(connection, tenant))
    }

    fn appointed(&self, tenant: &TenantId) -> Result<Vec<Appointed>, Fault> {
        self.readers
            .read(|connection| outline::appointed(connection, tenant))
    }

    fn object(&self, tenant: &TenantId, key: &Key) -> Result<Option<(Sequence, Object)>, Fault> {
        self.readers
            .read(|connection| outline::object(connection, tenant, key))
    }

    fn counts(&self, tenant: &TenantId) -> Result<Counts, Fault> {
        self.readers
            .read(|connection| outline::counts(connection, tenant))
    }

    fn load(&self, tenant: &TenantId) -> Result<Snapshot, Fault> {
        self.readers
            .read(|connection| statements::load(connection, tenant))
    }

    fn changes_after(&self, tenant: &TenantId, after: Sequence) -> Result<Option<Feed>, Fault> {
        let found = self
            .readers
            .read(|connection| statements::changes_after(connection, tenant, after))?;
        found.map(plan::feed).transpose()
    }

    fn forget_removals(&self, tenant: &TenantId, up_to: Sequence) -> Result<u64, Fault> {
        let tenant = tenant.clone();
        self.writer
            .write(move |connection| statements::forget_removals(connection, &tenant, up_to))
    }

    fn tenants_with_over(&self, _: &Operator, over: &[Over]) -> Result<BTreeSet<TenantId>, Fault> {
        self.readers
            .read(|connection| over::tenants_with_over(connection, over))
    }

    fn remove_over(&self, tenant: &TenantId, over: &[Over]) -> Result<Option<Sequence>, Fault> {
        let (tenant, over) = (tenant.clone(), over.to_vec());
        self.writer
            .write(move |connection| over::remove_over(connection, &tenant, &over))
    }

    fn intents(&self, tenant: &TenantId, from: Time, limit: u32) -> Result<Vec<IntentRow>, Fault> {
        self.readers
            .read(|connection| statements::intents(connection, tenant, from, limit))
    }

    fn intent(&self, tenant: &TenantId, id: &IntentId) -> Result<Option<IntentRow>, Fault> {
        self.readers
            .read(|connection| statements::find_intent(connection, tenant, id))
    }

    fn intents_called(
        &self,
        tenant: &TenantId,
        beginning: &str,
        limit: u32,
    ) -> Result<Vec<IntentRow>, Fault> {
        self.readers
            .read(|connection| statements::intents_called(connection, tenant, beginning, limit))
    }

    fn living(&self, tenant: &TenantId, lasting: Lasting<'_>) -> Result<Vec<Living>, Fault> {
        self.readers
            .read(|connection| lifetimes::living(connection, tenant, lasting))
    }

    fn keep_lifetimes(&self, _: &Operator, lifetimes: &[Lifetime]) -> Result<(), Fault> {
        let kept = lifetimes.to_vec();
        self.writer
            .write(move |connection| lifetimes::keep(connection, &kept))
    }

    fn lifetimes(&self, _: &Operator) -> Result<Vec<Lifetime>, Fault> {
        self.readers.read(lifetimes::all)
    }

    fn forget_intents(&self, tenant: &TenantId, before: Time) -> Result<u64, Fault> {
        let tenant = tenant.clone();
        self.writer
            .write(move |connection| statements::forget_intents(connection, &tenant, before))
    }

    fn forget_answers(&self, tenant: &TenantId, before: Time) -> Result<u64, Fault> {
        let tenant = tenant.clone();
        self.writer
            .write(move |connection| statements::forget_answers(connection, &tenant, before))
    }

    fn used(
        &self,
        tenant: &TenantId,
        kind: UseKind,
        digest: &Digest,
    ) -> Result<Option<Time>, Fault> {
        self.readers
            .read(|connection| uses::used(connection, tenant, kind, digest))
    }

    fn use_and_record_held(
        &self,
        tenant: &TenantId,
        held: Sequence,
        uses: &[SingleUse],
        intents: &[IntentRow],
    ) -> Result<Vec<Used>, Fault> {
        let (tenant, uses, intents) = (tenant.clone(), uses.to_vec(), intents.to_vec());
        self.writer.write(move |connection| {
            uses::use_and_record(connection, &tenant, held, &uses, &intents)
        })
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
        let plan = Plan::of(changes)?;
        let (tenant, uses, intents) = (tenant.clone(), uses.to_vec(), intents.to_vec());
        let within = within.to_vec();
        self.writer.write(move |connection| {
            let told = uses::use_and_record(connection, &tenant, at, &uses, &intents)?;
            let number = match Used::are_first(&told) {
                true => {
                    statements::check_at(connection, &tenant, at)?;
                    outline::check_within(connection, &within)?;
                    statements::apply(connection, &tenant, at, Some(at), &plan)?
                }
                false => at,
            };
            Ok((told, number))
        })
    }

    fn rehearse_tenant(&self, _: &Operator, tenant: &TenantRecord) -> Result<(), Fault> {
        let tenant = tenant.clone();
        self.writer
            .rehearse(move |connection| statements::add_tenant(connection, &tenant))
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
        self.writer.rehearse(move |connection| {
            outline::check_within(connection, &within)?;
            statements::apply(connection, &tenant, held, None, &plan)
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
        let tenant = tenant.clone();
        self.writer.write_later(
            move |connection| uses::use_and_record(connection, &tenant, held, &uses, &intents),
            told,
        );
    }

    fn raise(&self, _: &Operator, floor: Sequence) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
        self.writer
            .write(move |connection| followers::raise(connection, floor))
    }

    fn report(&self, _: &Operator, report: &Report) -> Result<bool, Fault> {
        let report = report.clone();
        self.writer
            .write(move |connection| followers::report(connection, &report))
    }

    fn followers(
        &self,
        tenant: &TenantId,
        besides: &ServerId,
        since: Time,
    ) -> Result<Vec<Followers>, Fault> {
        self.readers
            .read(|connection| followers::followers(connection, tenant, besides, since))
    }

    fn forget_uses(&self, _: &Operator, before: Time) -> Result<u64, Fault> {
        self.writer
            .write(move |connection| uses::forget_uses(connection, before))
    }

    fn keep_decisions(
        &self,
        tenant: &TenantId,
        held: Sequence,
        decisions: &[DecisionRow],
        most: u32,
    ) -> Result<(), Fault> {
        let (tenant, decisions) = (tenant.clone(), decisions.to_vec());
        self.writer
            .write(move |connection| decisions::keep(connection, &tenant, held, &decisions, most))
    }

    fn decision(&self, tenant: &TenantId, id: &DecisionId) -> Result<Option<DecisionRow>, Fault> {
        self.readers
            .read(|connection| decisions::find(connection, tenant, id))
    }

    fn decisions(
        &self,
        tenant: &TenantId,
        wanted: &WantedDecisions,
    ) -> Result<Vec<DecisionRow>, Fault> {
        self.readers
            .read(|connection| decisions::latest(connection, tenant, wanted))
    }

    fn forget_decisions(&self, _: &Operator, before: Time) -> Result<u64, Fault> {
        self.writer
            .write(move |connection| decisions::forget(connection, before))
    }
}

/// Where the database is, and how connections to it are made.
struct DatabaseFile {
    path: PathBuf,
    patience: Duration,
}

impl DatabaseFile {
    /// Makes an empty file before SQLite would, which leaves it open to the group and to others.
    /// The files beside it get the permissions of this one.
    fn make(&self) -> Result<(), Fault> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(Fault::Denied(format!("{}: {error}", self.path.display())))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn connect(&self) -> Result<Connection, Fault> {
        // Never created here: if the file is gone, everything is, and that must be seen.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.patience)?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            let why = format!("the journal of SQLite is `{mode}` on this file system, not `wal`");
            return Err(Fault::Forgetful(why));
        }
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "wal_autocheckpoint", PAGES_IN_LOG)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    }
}

impl From<rusqlite::Error> for Fault {
    /// The texts of SQLite name tables and files, never values.
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        let Some(code) = error.sqlite_error_code() else {
            return match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::QueryReturnedNoRows
                | rusqlite::Error::Utf8Error(..) => Self::Corrupt(text),
                _ => Self::Bug(text),
            };
        };
        match code {
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy(text),
            ErrorCode::SystemIoFailure => Self::Disk(text),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(text),
            ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::AuthorizationForStatementDenied => Self::Denied(text),
            _ => Self::Bug(text),
        }
    }
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
