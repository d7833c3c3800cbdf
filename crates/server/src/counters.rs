//! What is counted for those who watch the server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use avouch_issuer::intent::CredentialKind;

/// Numbers that only grow, from the start of the process on.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    issued: [AtomicU64; KINDS.len()],
    store_faults: AtomicU64,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    requests: Mutex<BTreeMap<Answered, u64>>,
    drift: Mutex<BTreeMap<&'static str, u64>>,
}

/// A kind of request and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answered {
    pub(crate) method: &'static str,
    /// The address with the names of its parts, never with the parts themselves: those who ask
    /// could make any number of them up.
    pub(crate) route: &'static str,
    pub(crate) status: u16,
}

/// The kinds of credentials with their names.
const KINDS: [(CredentialKind, &str); 9] = [
    (CredentialKind::Authority, "authority"),
    (CredentialKind::Certificate, "certificate"),
    (CredentialKind::Event, "event"),
    (CredentialKind::JwtSvid, "jwt_svid"),
    (CredentialKind::RevocationList, "revocation_list"),
    (CredentialKind::StatusList, "status_list"),
    (CredentialKind::StatusResponse, "status_response"),
    (CredentialKind::WitSvid, "wit_svid"),
    (CredentialKind::X509Svid, "x509_svid"),
];

impl Counters {
    /// A credential is being signed; its intent is recorded.
    pub(crate) fn issued(&self, kind: CredentialKind) {
        let mut all = KINDS.iter().zip(&self.issued);
        if let Some((_, count)) = all.find(|((one, _), _)| *one == kind) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The store did not do what it was asked to.
    pub(crate) fn store_failed(&self) {
        self.store_faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Something was refused with this code.
    pub(crate) fn refused(&self, code: &'static str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry(code).or_default() += 1;
    }

    /// A name was seen to have drifted, in this way, for the first time.
    pub(crate) fn drifted(&self, kind: &'static str) {
        let mut drift = self.drift.lock().unwrap_or_else(PoisonError::into_inner);
        *drift.entry(kind).or_default() += 1;
    }

    /// What has drifted, by its kind.
    pub(crate) fn drift(&self) -> BTreeMap<&'static str, u64> {
        let drift = self.drift.lock().unwrap_or_else(PoisonError::into_inner);
        drift.clone()
    }

    /// A request was answered.
    pub(crate) fn answered(&self, answered: Answered) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(answered).or_default() += 1;
    }

    /// Credentials by the name of their kind.
    pub(crate) fn all_issued(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = KINDS.iter().zip(&self.issued);
        all.map(|((_, name), count)| (*name, count.load(Ordering::Relaxed)))
    }

    /// How often the store failed.
    pub(crate) fn store_faults(&self) -> u64 {
        self.store_faults.load(Ordering::Relaxed)
    }

    /// Refusals by their code.
    pub(crate) fn refusals(&self) -> BTreeMap<&'static str, u64> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.clone()
    }

    /// Requests by what they were and how they ended.
    pub(crate) fn requests(&self) -> BTreeMap<Answered, u64> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.clone()
    }
}
