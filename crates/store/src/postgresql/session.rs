//! One connection, made when it is needed and made again when it broke.

use std::collections::BTreeMap;

use postgres::types::ToSql;
use postgres::{Client, NoTls, Row, RowIter, Statement};

use super::address::Address;
use crate::fault::Fault;

/// What holds on every connection. Locks are held for milliseconds, and the longest statement reads
/// all that one tenant owns; whatever waits longer is a fault that can be told.
const SETTINGS: &str = "
    SET search_path TO avouch;
    SET lock_timeout TO '5s';
    SET statement_timeout TO '60s';
    SET idle_in_transaction_session_timeout TO '60s';
    SET client_min_messages TO warning;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') = 'off'";

pub(super) struct Session {
    address: Address,
    connection: Option<Connection>,
}

struct Connection {
    client: Client,
    prepared: BTreeMap<&'static str, Statement>,
}

impl Session {
    pub(super) fn new(address: Address) -> Self {
        Self {
            address,
            connection: None,
        }
    }

    /// Does `work` in one transaction and commits it.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.transact("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", work)
    }

    /// Does `work` in one transaction and undoes it again.
    pub(super) fn rehearse<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<(), Fault> {
        self.begin("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")?;
        let done = work(self).map(drop);
        let undone = self.end("ROLLBACK");
        done.and(undone)
    }

    /// Does `work` in one transaction: all that it reads is of one moment.
    pub(super) fn read<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.transact("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work)
    }

    fn transact<T>(
        &mut self,
        begin: &str,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.begin(begin)?;
        match work(self) {
            Ok(value) => self.end("COMMIT").map(|()| value),
            Err(fault) => {
                // If even this fails, the connection goes, and the transaction with it.
                drop(self.end("ROLLBACK"));
                Err(fault)
            }
        }
    }

    fn begin(&mut self, statement: &str) -> Result<(), Fault> {
        if let Some(connection) = &mut self.connection {
            if connection.client.batch_execute(statement).is_ok() {
                return Ok(());
            }
            // It broke while nobody used it; nothing has begun, so a new one will do.
            self.connection = None;
        }
        let mut connection = Connection {
            client: connect(&self.address)?,
            prepared: BTreeMap::new(),
        };
        connection.client.batch_execute(statement)?;
        self.connection = Some(connection);
        Ok(())
    }

    fn end(&mut self, statement: &str) -> Result<(), Fault> {
        let ended = self.batch(statement);
        if ended.is_err() {
            self.connection = None;
        }
        ended
    }

    /// Carries out statements without parameters.
    pub(super) fn batch(&mut self, statements: &str) -> Result<(), Fault> {
        Ok(self.connected()?.client.batch_execute(statements)?)
    }

    /// Carries out a statement and returns how many rows it changed.
    pub(super) fn execute(
        &mut self,
        statement: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Fault> {
        let connection = self.connected()?;
        let prepared = connection.prepare(statement)?;
        Ok(connection.client.execute(&prepared, parameters)?)
    }

    /// The rows that a statement returns, all at once.
    pub(super) fn query(
        &mut self,
        statement: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let connection = self.connected()?;
        let prepared = connection.prepare(statement)?;
        Ok(connection.client.query(&prepared, parameters)?)
    }

    /// The rows that a statement returns, one after another, for when they are many.
    pub(super) fn stream(
        &mut self,
        statement: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<RowIter<'_>, Fault> {
        let connection = self.connected()?;
        let prepared = connection.prepare(statement)?;
        let parameters = parameters.iter().copied();
        Ok(connection.client.query_raw(&prepared, parameters)?)
    }

    fn connected(&mut self) -> Result<&mut Connection, Fault> {
        self.connection
            .as_mut()
            .ok_or_else(|| Fault::Bug("a statement outside a transaction".to_owned()))
    }
}

/// A new connection, on which the settings of this program hold.
pub(super) fn connect(address: &Address) -> Result<Client, Fault> {
    let mut client = match &address.tls {
        Some(tls) => address.config.connect(tls.clone())?,
        None => address.config.connect(NoTls)?,
    };
    let fsync = client.query_opt("SELECT current_setting('fsync', true)", &[])?;
    let fsync: Option<String> = fsync.and_then(|row| row.try_get(0).ok());
    if fsync.as_deref() == Some("off") {
        return Err(Fault::Forgetful("its setting `fsync` is off".to_owned()));
    }
    client.batch_execute(SETTINGS)?;
    Ok(client)
}

impl Connection {
    fn prepare(&mut self, statement: &'static str) -> Result<Statement, Fault> {
        if let Some(prepared) = self.prepared.get(statement) {
            return Ok(prepared.clone());
        }
        let prepared = self.client.prepare(statement)?;
        self.prepared.insert(statement, prepared.clone());
        Ok(prepared)
    }
}
