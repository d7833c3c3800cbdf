//! The suite on SQLite.

use avouch_store::Store;
use avouch_store::sqlite::SqliteStore;
use tempfile::TempDir;

use crate::suite::{Engine, on_every_case};

struct Sqlite(TempDir);

impl Engine for Sqlite {
    fn open(&self) -> Box<dyn Store> {
        Box::new(SqliteStore::open(self.0.path()).unwrap())
    }
}

fn fresh(_case: &str) -> Option<Sqlite> {
    Some(Sqlite(tempfile::tempdir().unwrap()))
}

on_every_case!(fresh);
