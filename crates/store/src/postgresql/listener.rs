//! Hears of changes as they are committed, on whichever server (`LISTEN`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use avouch_core::id::TenantId;
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;

use super::address::Address;
use super::session;
use crate::change::Sequence;
use crate::fault::Fault;

/// What every change is told on. A notice is the name of a tenant and the number of the change.
pub(super) const CHANNEL: &str = "avouch";

/// Numbers of last changes, by tenant.
type Heads = BTreeMap<TenantId, Sequence>;

pub(super) struct Listener {
    address: Address,
    client: Mutex<Option<Client>>,
}

impl Listener {
    pub(super) fn to(address: Address) -> Self {
        Self {
            address,
            client: Mutex::new(None),
        }
    }

    /// What has been heard of, at the latest after `at_most`; or nothing at all where listening
    /// began just now, and anything may have happened before.
    pub(super) fn wait(&self, at_most: Duration) -> Result<Option<Heads>, Fault> {
        let mut held = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(client) = held.as_mut() else {
            *held = Some(self.listen()?);
            return Ok(None);
        };
        let heard = hear(client, at_most);
        if heard.is_err() {
            *held = None;
        }
        heard.map(Some)
    }

    fn listen(&self) -> Result<Client, Fault> {
        let mut client = session::connect(&self.address)?;
        client.batch_execute(&format!("LISTEN {CHANNEL}"))?;
        Ok(client)
    }
}

fn hear(client: &mut Client, at_most: Duration) -> Result<Heads, Fault> {
    let mut heads = Heads::new();
    let mut note = |payload: &str| {
        // Whatever is not ours is nothing to follow.
        let Some((tenant, number)) = payload.split_once(' ') else {
            return;
        };
        if let (Some(tenant), Ok(number)) = (TenantId::parse(tenant), number.parse()) {
            heads.insert(tenant, Sequence::of(number));
        }
    };
    {
        let mut notices = client.notifications();
        if let Some(first) = notices.timeout_iter(at_most).next()? {
            note(first.payload());
        }
        // What came with it: a later notice of a tenant replaces an earlier one.
        let mut others = notices.iter();
        while let Some(other) = others.next()? {
            note(other.payload());
        }
    }
    if client.is_closed() {
        return Err(Fault::Lost("the server ended the connection".to_owned()));
    }
    Ok(heads)
}
