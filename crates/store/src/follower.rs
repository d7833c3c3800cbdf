//! How far those have come who follow a tenant, told by each server to all others on one database.

use avouch_core::id::{SpiffeId, TenantId};
use avouch_core::time::Time;

use crate::change::Sequence;
use crate::names::ServerId;

/// What a server says of itself and of those who follow it, now and then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which server.
    pub server: ServerId,
    /// One more than the report before, from 1 on.
    pub number: u64,
    /// When.
    pub at: Time,
    /// What is otherwise than it was in the report before.
    pub followers: Vec<Followers>,
}

/// Those who follow one tenant on one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followers {
    /// Which tenant.
    pub tenant: TenantId,
    /// How many they are.
    pub count: u64,
    /// Up to which change all of them hold the tenant.
    pub least: Sequence,
    /// One that holds no more than that.
    pub slowest: SpiffeId,
}
