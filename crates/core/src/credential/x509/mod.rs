//! X.509 certificates and revocation lists, read but not believed.

/// A certificate.
#[derive(Clone, Debug)]
pub struct Certificate {}

/// A certificate revocation list.
#[derive(Clone, Debug)]
pub struct Crl {}
