//! Certificate revocation lists of authorities (RFC 5280 5).

use std::sync::Arc;

use avouch_core::credential::Credential;
use avouch_core::credential::x509::Crl;
use avouch_core::crypto::Verifier;
use avouch_core::id::{Digest, SpiffeId, hex};
use avouch_core::question::Context;
use avouch_core::reason::Reason;
use avouch_core::time::Time;

use crate::authority::{X509Authority, sample_leaf};
use crate::certificate::{ListContent, ListEntry, assemble};
use crate::counts_from;
use crate::fault::{Fault, NotIssued};
use crate::intent::{CredentialKind, Intent};
use crate::lint::{Throwaway, ask, question, view_of_roots};
use crate::random::{Random, serial_number};
use crate::signer::{Signature, Signer};
use crate::stages::{Draft, Prepared, private};

/// How long the sample is valid on which a list is tried out, in seconds.
const SAMPLE_TTL: i64 = 60;

/// A certificate that a list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The serial number in hexadecimal.
    pub serial: String,
    /// Since when.
    pub at: Time,
    /// Why: a `CRLReason` (RFC 5280 5.3.1) by its number.
    pub reason: u8,
}

/// The reasons that a certificate is revoked for here, with their numbers (RFC 5280 5.3.1).
const REASONS: [(&str, u8); 7] = [
    ("unspecified", 0),
    ("key_compromise", 1),
    ("ca_compromise", 2),
    ("affiliation_changed", 3),
    ("superseded", 4),
    ("cessation_of_operation", 5),
    ("privilege_withdrawn", 9),
];

/// The number of a reason by its name, or as RFC 5280 spells it (`keyCompromise`).
pub fn reason_number(name: &str) -> Option<u8> {
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let wanted = plain(name);
    let mut all = REASONS.iter();
    all.find(|(one, _)| plain(one) == wanted)
        .map(|(_, number)| *number)
}

/// The names of all reasons.
pub fn reason_names() -> impl Iterator<Item = &'static str> {
    REASONS.iter().map(|(name, _)| *name)
}

/// A list that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// Its number.
    pub number: u64,
    /// From when on it counts: [`BACKDATE`](crate::BACKDATE) before it was signed.
    pub this_update: Time,
    /// By when the next one is there.
    pub next_update: Time,
    /// The list as DER.
    pub der: Vec<u8>,
}

impl X509Authority {
    /// Prepares a list of all certificates of this authority that are believed no more. Its number
    /// must be larger than that of any before (RFC 5280 5.2.3), and it counts for so many seconds.
    ///
    /// An authority that signs certificates no more still signs lists: those it signed before may
    /// have to be revoked.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`, or what failed on our side.
    pub fn prepare_revocation_list(
        self: &Arc<Self>,
        revoked: Vec<Revoked>,
        number: u64,
        lifetime: u32,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<RevocationListDraft>, NotIssued> {
        let life = self.life();
        life.check_may_answer("sign a revocation list", self.id(), now)?;
        // What was revoked meanwhile stands in it with its own date (RFC 5280 5.1.2.6), which nobody
        // compares with this one.
        let this_update = counts_from(now, &life);
        let next_update = now.plus(i64::from(lifetime));
        let entries: Option<Vec<ListEntry>> = revoked.iter().map(ListEntry::of).collect();
        let message = ListContent {
            signed_with: self.signs_with(),
            issuer: self.subject(),
            this_update,
            next_update,
            entries: entries.ok_or(Fault::Bug("a serial number is not hexadecimal"))?,
            number,
            issuer_key: self.key_id(),
        }
        .to_der()?;
        Ok(Prepared::new(RevocationListDraft {
            intent: Intent {
                tenant: self.tenant().clone(),
                trust_domain: self.trust_domain().clone(),
                kind: CredentialKind::RevocationList,
                subject: SpiffeId::parse(&format!("spiffe://{}", self.trust_domain()))?,
                // Two lists of one number may be on record, of which one was never released.
                serial: format!("crl-{number}-{}", hex(&serial_number(random)?)),
                authority: self.id().to_owned(),
                not_before: this_update,
                not_after: next_update,
                digest: Digest::of(&message),
            },
            authority: Arc::clone(self),
            now,
            revoked,
            number,
            message,
        }))
    }
}

/// A revocation list that is to be signed.
pub struct RevocationListDraft {
    authority: Arc<X509Authority>,
    /// When it is judged: what is above may not have been valid yet when it is dated.
    now: Time,
    revoked: Vec<Revoked>,
    number: u64,
    message: Vec<u8>,
    intent: Intent,
}

impl RevocationListDraft {
    fn list(&self, signature: &Signature) -> Result<Vec<u8>, Fault> {
        assemble(&self.message, self.authority.signs_with(), signature)
    }

    /// Has the core decide on a leaf of this serial number under the list.
    fn judge_leaf(
        &self,
        serial: &[u8],
        list: &Crl,
        crypto: &dyn Verifier,
    ) -> Result<(), NotIssued> {
        let authority = &self.authority;
        let now = self.now;
        let id = SpiffeId::parse(&format!("{}/sample", self.intent.subject))?;
        let key = authority.signer().public_half();
        let until = now.plus(SAMPLE_TTL).min(authority.life().not_after());
        let kind = authority.signs_with();
        let message = sample_leaf(key, authority.subject(), &id, kind, serial, now, until)?;
        let throwaway = Throwaway::over(&message, key.key(), crypto)?;
        let leaf = assemble(&message, kind, throwaway.signature())?;
        let chain = authority.chain_of(leaf);
        let root = [Arc::clone(authority.root())];
        let lists = vec![list.clone()];
        let view = view_of_roots(authority.tenant(), authority.trust_domain(), &root, lists);
        let question = question(Credential::X509(chain), &id, Context::default(), now, &view);
        ask(&question, &view, &throwaway)
    }
}

impl private::Draft for RevocationListDraft {
    fn message(&self) -> &[u8] {
        &self.message
    }

    fn signer(&self) -> &dyn Signer {
        self.authority.signer().as_ref()
    }

    fn intent(&self) -> &Intent {
        &self.intent
    }

    /// The core reads the list, refuses a leaf that it names, and accepts one that it does not.
    fn judge(&self, signature: &Signature, crypto: &dyn Verifier) -> Result<(), NotIssued> {
        let list = Crl::parse(&self.list(signature)?)
            .map_err(|_| Fault::Bug("a revocation list of ours cannot be read"))?;
        let mut free = [0x40; 16];
        while self.revoked.iter().any(|one| one.serial == hex(&free)) {
            let [.., last] = &mut free;
            *last = last.wrapping_add(1);
        }
        self.judge_leaf(&free, &list, crypto)?;
        let Some(first) = self.revoked.first().and_then(ListEntry::of) else {
            return Ok(());
        };
        match self.judge_leaf(first.serial(), &list, crypto) {
            Err(NotIssued::Refused(Reason::CredentialRevoked { .. })) => Ok(()),
            Err(other) => Err(other),
            Ok(()) => Err(Fault::Bug("a revocation list does not revoke").into()),
        }
    }
}

impl Draft for RevocationListDraft {
    type Issued = RevocationList;

    fn release(self, signature: &Signature) -> Result<RevocationList, Fault> {
        Ok(RevocationList {
            der: self.list(signature)?,
            number: self.number,
            this_update: self.intent.not_before,
            next_update: self.intent.not_after,
        })
    }
}
