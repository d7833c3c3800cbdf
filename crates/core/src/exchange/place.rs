//! Where and when something is asked for: what a tenant trusts, gives and calls its own.

use super::rule::Rules;
use crate::id::TrustDomain;
use crate::time::Time;
use crate::view::View;

/// Where and when it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// What the tenant trusts.
    pub view: &'a View,
    /// Its rules.
    pub rules: &'a Rules,
    /// The trust domains whose keys are its own.
    pub own: &'a [TrustDomain],
    /// Its issuer identifier.
    pub issuer: &'a str,
    /// Now.
    pub now: Time,
}
