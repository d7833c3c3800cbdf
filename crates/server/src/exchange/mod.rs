//! Exchange: what a tenant gives for a credential of someone else's (RFC 8693).

pub(crate) mod rules;
