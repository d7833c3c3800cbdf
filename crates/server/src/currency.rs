//! Being as current as the store, for who must not act on what has been taken back.
//!
//! Servers answer from memory, and what another server on the same store has changed arrives in a
//! moment. Who asks here must not be believed when that other server has answered already that it is
//! over. So a server that is not alone looks at the store once more: whoever asks while it looks
//! waits for the next look, and all who wait share one.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// The looks at the store.
#[derive(Default)]
pub(crate) struct Currency {
    looks: Arc<(Mutex<Looks>, Condvar)>,
}

#[derive(Default)]
struct Looks {
    /// The number of the look that began last.
    begun: u64,
    /// The number of the look that ended last.
    ended: u64,
    /// The number of the last that found out everything.
    good: u64,
    /// The number of the last that somebody waits for.
    wanted: u64,
    is_looking: bool,
}

impl Plane {
    /// Whether other servers are on the store.
    pub(crate) fn is_one_of_several(&self) -> bool {
        self.sharing.is_shared()
    }

    /// Sees all that any server had stored of a tenant and of those above it when this was called;
    /// whether that was possible within a time. A server that is alone has seen it already, unless
    /// something of it cannot be read.
    pub(crate) fn be_current(self: &Arc<Self>, tenant: &Arc<Tenant>, at_most: Duration) -> bool {
        let has_seen = !self.is_one_of_several() || self.has_looked(at_most);
        // What is damaged of another tenant is no matter of this one.
        has_seen && !matches!(self.fit(tenant), Err(Refused::Fault(_)))
    }

    /// Looks at the store once more; whether that was possible within a time.
    fn has_looked(self: &Arc<Self>, at_most: Duration) -> bool {
        let (looks, turned) = &*self.currency.looks;
        let mut held = looks.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is under way may have missed what happened before this call.
        let needed = held.begun + 1;
        held.wanted = held.wanted.max(needed);
        if !held.is_looking {
            held.is_looking = true;
            let plane = Arc::clone(self);
            // On a thread of its own: who waits does so for a while only.
            std::thread::spawn(move || plane.look());
        }
        let waited = turned.wait_timeout_while(held, at_most, |held| held.ended < needed);
        let (held, _) = waited.unwrap_or_else(PoisonError::into_inner);
        held.good >= needed
    }

    /// Looks for as long as somebody waits for a look that has not begun.
    fn look(&self) {
        let (looks, turned) = &*self.currency.looks;
        let mut held = looks.lock().unwrap_or_else(PoisonError::into_inner);
        while held.begun < held.wanted {
            held.begun += 1;
            drop(held);
            let is_good = self.follow_store().is_ok();
            held = looks.lock().unwrap_or_else(PoisonError::into_inner);
            held.ended = held.begun;
            if is_good {
                held.good = held.ended;
            }
            turned.notify_all();
        }
        held.is_looking = false;
    }
}
