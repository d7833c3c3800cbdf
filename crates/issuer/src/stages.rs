//! How a credential comes to be signed.
//!
//! ```text
//! request ──► Prepared ──► Linted ──► Recorded ──► issued
//!    prepare         lint       record        sign
//! ```
//!
//! Each stage is a type that owns the one before, and only the step between makes it: there is no
//! signature without a record, no record without a lint, and nothing is signed twice.

use std::fmt;

use avouch_core::crypto::{AwsLc, Verifier};

use crate::fault::{Fault, NotIssued};
use crate::intent::{Intent, IntentLog, WaitingLog};
use crate::lint::Throwaway;
use crate::signer::{Origin, Signature, Signer};

/// What is to be signed. Only this crate has drafts.
pub trait Draft: private::Draft {
    /// What comes of it.
    type Issued;

    #[doc(hidden)]
    fn release(self, signature: &Signature) -> Result<Self::Issued, Fault>;
}

pub(crate) mod private {
    use super::{AwsLc, Intent, NotIssued, Signature, Signer, Verifier};

    /// What the stages need to know of a draft.
    pub trait Draft {
        /// The bytes to be signed.
        fn message(&self) -> &[u8];

        /// Who signs them.
        fn signer(&self) -> &dyn Signer;

        /// What is put on record.
        fn intent(&self) -> &Intent;

        /// What checks the signatures of those above, in both decisions.
        fn verifier(&self) -> &dyn Verifier {
            &AwsLc
        }

        /// Has the core decide on the credential that this signature would make of it.
        fn judge(&self, signature: &Signature, crypto: &dyn Verifier) -> Result<(), NotIssued>;

        /// Looks at what was really signed, once more before it is released. The lint has decided
        /// on these very bytes with a throwaway in the place of the signature, so what is left to
        /// check is that this one holds.
        fn confirm(&self, signature: &Signature) -> Result<(), NotIssued> {
            Ok(self.signer().check(self.message(), signature)?)
        }
    }
}

/// Everything is settled but the signature.
pub struct Prepared<D>(D);

/// The core would accept it.
pub struct Linted<D>(D);

/// That it is about to be signed is on record.
pub struct Recorded<D>(D);

impl<D: Draft> Prepared<D> {
    pub(crate) fn new(draft: D) -> Self {
        Self(draft)
    }

    /// What would be put on record.
    pub fn intent(&self) -> &Intent {
        self.0.intent()
    }

    /// Has the core decide on exactly this content, signed with a throwaway, so that no authority
    /// ever signs what the core would refuse.
    ///
    /// # Errors
    ///
    /// The reason for which the core refuses.
    pub fn lint(self) -> Result<Linted<D>, NotIssued> {
        let Self(draft) = self;
        let key = draft.signer().public_half().key();
        let digest = &draft.intent().digest;
        let throwaway = Throwaway::made_of(digest, draft.message(), key, draft.verifier())?;
        draft.judge(throwaway.signature(), &throwaway)?;
        Ok(Linted(draft))
    }
}

/// Puts a whole batch on record with one call.
///
/// # Errors
///
/// [`Fault::NotRecorded`]; then nothing of it can be signed any more.
pub fn record<D: Draft>(
    batch: Vec<Linted<D>>,
    log: &dyn IntentLog,
) -> Result<Vec<Recorded<D>>, Fault> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let intents = batch.iter().map(|Linted(draft)| draft.intent());
    log.record(&intents.collect::<Vec<_>>())?;
    Ok(batch
        .into_iter()
        .map(|Linted(draft)| Recorded(draft))
        .collect())
}

/// As [`record`], of one draft, holding no thread meanwhile.
///
/// # Errors
///
/// [`Fault::NotRecorded`]; then it cannot be signed any more.
pub async fn record_one<D: Draft>(
    draft: Linted<D>,
    log: &dyn WaitingLog,
) -> Result<Recorded<D>, Fault> {
    let Linted(draft) = draft;
    log.record(vec![draft.intent().clone()]).done().await?;
    Ok(Recorded(draft))
}

/// As [`record`], of one draft, by who writes it down together with something else, or refuses.
///
/// # Errors
///
/// What came of writing it down; then it cannot be signed any more.
pub fn record_with<D: Draft, E>(
    draft: Linted<D>,
    write_down: impl FnOnce(&Intent) -> Result<(), E>,
) -> Result<Recorded<D>, E> {
    let Linted(draft) = draft;
    write_down(draft.intent())?;
    Ok(Recorded(draft))
}

impl<D: Draft> Recorded<D> {
    /// Whether signing is a matter of this processor alone: a token elsewhere takes its time.
    pub fn signs_at_once(&self) -> bool {
        match self.0.signer().origin() {
            Origin::File | Origin::Memory => true,
            Origin::Pkcs11 => false,
        }
    }

    /// Signs, and looks at what was really signed before it is released.
    ///
    /// # Errors
    ///
    /// [`Fault::SignerFailed`], [`Fault::SignedWrongly`].
    pub fn sign(self) -> Result<D::Issued, Fault> {
        let Self(draft) = self;
        let signature = draft.signer().sign(draft.message())?;
        match draft.confirm(&signature) {
            Ok(()) => draft.release(&signature),
            Err(NotIssued::Failed(fault)) => Err(fault),
            Err(NotIssued::Refused(reason)) => Err(Fault::SignedWrongly {
                authority: draft.intent().authority.clone(),
                code: reason.code(),
            }),
        }
    }
}

/// Takes a batch through all stages: what is refused is refused by itself, and the rest is recorded
/// with one call and signed.
///
/// # Errors
///
/// [`Fault::NotRecorded`]; then nothing was signed.
pub fn issue<D: Draft>(
    batch: Vec<Result<Prepared<D>, NotIssued>>,
    log: &dyn IntentLog,
) -> Result<Vec<Result<D::Issued, NotIssued>>, Fault> {
    let mut linted = Vec::with_capacity(batch.len());
    let mut refused = Vec::with_capacity(batch.len());
    for prepared in batch {
        match prepared.and_then(Prepared::lint) {
            Ok(draft) => {
                linted.push(draft);
                refused.push(None);
            }
            Err(not_issued) => refused.push(Some(not_issued)),
        }
    }
    let mut recorded = record(linted, log)?.into_iter();
    Ok(refused
        .into_iter()
        .map(|refused| match (refused, &mut recorded) {
            (Some(not_issued), _) => Err(not_issued),
            (None, recorded) => match recorded.next() {
                Some(draft) => draft.sign().map_err(NotIssued::Failed),
                None => Err(Fault::Bug("a recorded draft is missing").into()),
            },
        })
        .collect())
}

/// Takes one draft through all stages.
///
/// # Errors
///
/// The reason for which it is refused, or what failed on our side.
pub fn issue_one<D: Draft>(
    prepared: Prepared<D>,
    log: &dyn IntentLog,
) -> Result<D::Issued, NotIssued> {
    let recorded = record(vec![prepared.lint()?], log)?;
    match recorded.into_iter().next() {
        Some(draft) => Ok(draft.sign()?),
        None => Err(Fault::Bug("a recorded draft is missing").into()),
    }
}

macro_rules! shown_by_its_intent {
    ($($stage:ident)*) => {
        $(impl<D: Draft> fmt::Debug for $stage<D> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($stage)).field(self.0.intent()).finish()
            }
        })*
    };
}

shown_by_its_intent! { Prepared Linted Recorded }
