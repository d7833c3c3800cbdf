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

impl Place<'_> {
    /// Whether the tenant is called like this where it is said of whom something descends: by its issuer
    /// identifier, or by a trust domain of it where what it has signed names no issuer, as a WIT-SVID.
    pub fn is_called(self, name: &str) -> bool {
        let domain = name.strip_prefix("spiffe://");
        domain.is_some_and(|name| self.owns(name)) || name == self.issuer
    }

    /// Whether this trust domain is one of its own.
    pub(super) fn owns(self, domain: &str) -> bool {
        self.own.iter().any(|own| own.as_str() == domain)
    }
}
