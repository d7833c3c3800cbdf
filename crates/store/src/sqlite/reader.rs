//! Connections that only read.

use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

use super::DatabaseFile;
use crate::fault::Fault;

/// As many connections as there were readers at once, kept for the next.
pub(super) struct Readers {
    file: DatabaseFile,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn of(file: DatabaseFile) -> Self {
        Self {
            file,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Does `work` in one transaction: all that it reads is of one moment.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut connection = self.take()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        let outcome = work(&transaction)?;
        transaction.finish()?;
        // A connection on which anything failed is closed instead.
        self.idle().push(connection);
        Ok(outcome)
    }

    /// Moves what is written to the file and empties the log, which still has what was removed. Where
    /// someone reads meanwhile, that happens later.
    pub(super) fn move_log(&self) {
        if let Ok(connection) = self.file.connect() {
            drop(connection.pragma_update(None, "wal_checkpoint", "truncate"));
        }
    }

    fn take(&self) -> Result<Connection, Fault> {
        if let Some(connection) = self.idle().pop() {
            return Ok(connection);
        }
        let connection = self.file.connect()?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // The list is whole at any moment, whoever panicked while holding it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
