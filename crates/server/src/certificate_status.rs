//! Whether certificates of a tenant hold, told to whoever asks about one (OCSP: RFC 6960, RFC 5019).
//!
//! ```text
//! request ─► whose issuer? ─► kept, and not revoked since ─────────────────────────► answer ─► who asked
//!                        └─► revoked, by the record of the authority, as its list has it ─┐  ▲
//!                        └─► issued, by what is on record (a rate) ─► signed (a rate) ◄───┘──┘
//! ```
//!
//! Whoever asks shows nothing. So nothing is signed but about a certificate that is on record, and all that
//! is signed for a tenant, for a nonce, for several certificates or to be kept, is within one rate, of which
//! some is left for what is kept; so is what is looked for on record. An answer is kept under each way to
//! name the certificate (eight: four functions, with or without NULL), and is made once, however many ask.
//! Of what nobody here has issued nothing is signed at all, and it is the same whether another tenant has.

use std::sync::Arc;
use std::time::Duration;

use avouch_core::credential::x509::{Certificate, CertificateId, IssuerHash, StatusRequest};
use avouch_core::id::{Digest, TenantId, hex};
use avouch_core::time::Time;
use avouch_issuer::BACKDATE;
use avouch_issuer::random::is_serial_number;
use avouch_issuer::stages::issue_one;
use avouch_issuer::status_response::{CertificateStatus, StatusResponse, Unanswered, is_issued_by};
use avouch_store::{AuthorityRecord, CredentialKind, IntentId};

use crate::authority_record::{self, Opened};
use crate::fault::{Fault, Refused};
use crate::fetch::Flights;
use crate::issuing::StoreLog;
use crate::plane::Plane;
use crate::quotas::Rate;
use crate::remembered::{Remembered, Room};
use crate::tenant::Tenant;

/// For how many seconds an answer counts.
const LIFE: u32 = 3_600;

/// After how many seconds one is signed anew.
const SIGNED_ANEW: i64 = 1_800;

/// How many answers a minute are signed for one tenant.
const SIGNED_PER_MINUTE: u32 = 240;

/// How many of them may be for who asks alone. The others are left for what is kept.
const ALONE_PER_MINUTE: u32 = 120;

/// How many certificates a minute are looked for on record for one tenant.
const LOOKED_FOR_PER_MINUTE: u32 = 1_200;

/// How many answers are kept of one tenant: more than are signed in half an hour, so that none makes
/// place before it is signed anew.
const KEPT: Room = Room {
    entries: 10_000,
    bytes: 16 << 20,
};

/// Of each tenant there is one of each rate.
const RATES: Room = Room {
    entries: 1,
    bytes: 1,
};

/// How many may wait for one answer, and how long.
const MOST_WAITING: usize = 256;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The answers that this server has signed.
pub(crate) struct StatusAnswers {
    kept: Remembered<Digest, Kept>,
    rates: Remembered<(), Rates>,
    /// Those that are made to be kept, by their names and whether the certificate is revoked: who asks
    /// after a revocation does not wait for an answer of before.
    flights: Flights<(TenantId, Digest, bool), Result<Kept, Unsigned>>,
}

#[derive(Clone)]
struct Kept {
    response: StatusResponse,
    status: CertificateStatus,
}

#[derive(Default)]
struct Rates {
    looked_for: Rate,
    signed: Rate,
    alone: Rate,
}

/// Why nothing is signed.
#[derive(Clone, Debug)]
enum Unsigned {
    /// Nothing is known of the certificates.
    Unknown,
    /// A rate is spent, or the store is away.
    Later,
    /// Our own side failed, and will again.
    Failed(String),
}

impl From<Refused> for Unsigned {
    fn from(refused: Refused) -> Self {
        match refused {
            // The authority was revoked, or has ended, since it was looked for.
            Refused::Reason(_) => Self::Unknown,
            Refused::Fault(fault) if fault.retryable() => {
                tracing::warn!(%fault, "an answer about a certificate has to wait");
                Self::Later
            }
            Refused::Fault(fault) => Self::Failed(fault.to_string()),
        }
    }
}

impl Default for StatusAnswers {
    fn default() -> Self {
        Self {
            kept: Remembered::within(KEPT),
            rates: Remembered::within(RATES),
            flights: Flights::new(MOST_WAITING),
        }
    }
}

impl StatusAnswers {
    /// Forgets those of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.kept.forget_tenant(tenant);
        self.rates.forget_tenant(tenant);
    }

    /// Takes one of a rate of a tenant.
    fn take(
        &self,
        tenant: &TenantId,
        now: Time,
        rate: impl FnOnce(&Rates) -> (&Rate, u32),
    ) -> Result<(), Unsigned> {
        let rates = self.rates.held(tenant, (), now.plus(SIGNED_ANEW), now);
        let (rate, most) = rate(&rates);
        match rate.take(most, 1, now).0 {
            1 => Ok(()),
            _ => Err(Unsigned::Later),
        }
    }
}

/// What is answered.
pub(crate) enum StatusAnswer {
    /// An answer that is signed, as DER, and until when it counts.
    Signed {
        der: Vec<u8>,
        until: Time,
    },
    Not(Unanswered),
}

/// The authority that is asked about, and what its certificates are by its record.
struct Asked {
    plane: Arc<Plane>,
    tenant: Arc<Tenant>,
    record: AuthorityRecord,
    now: Time,
}

impl Plane {
    /// Answers a request about certificates.
    ///
    /// # Errors
    ///
    /// What failed on our side, and will again.
    pub(crate) fn certificate_status(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        request: &[u8],
    ) -> Result<StatusAnswer, Refused> {
        // What cannot be read may be that a certificate was taken back.
        if let Err(Refused::Fault(_)) = self.fit(tenant) {
            return Ok(StatusAnswer::Not(Unanswered::TryLater));
        }
        let Ok(request) = StatusRequest::parse(request) else {
            return Ok(StatusAnswer::Not(Unanswered::Malformed));
        };
        let now = self.now();
        let Some(record) = issuer_of(tenant, request.certificates(), now) else {
            return Ok(StatusAnswer::Not(Unanswered::Unauthorized));
        };
        let asked = Arc::new(Asked {
            plane: Arc::clone(self),
            tenant: Arc::clone(tenant),
            record,
            now,
        });
        let told = match request.certificates() {
            [one] => asked.one(one, request.nonce()),
            all => asked.alone(all, request.nonce(), None),
        };
        match told {
            Ok(response) => Ok(StatusAnswer::Signed {
                der: response.der,
                until: response.next_update,
            }),
            Err(Unsigned::Unknown) => Ok(StatusAnswer::Not(Unanswered::Unauthorized)),
            Err(Unsigned::Later) => Ok(StatusAnswer::Not(Unanswered::TryLater)),
            Err(Unsigned::Failed(why)) => Err(Fault::Bug(why).into()),
        }
    }
}

impl Asked {
    /// About one certificate: what is kept, unless a nonce can be repeated.
    fn one(
        self: &Arc<Self>,
        id: &CertificateId,
        nonce: Option<&[u8]>,
    ) -> Result<StatusResponse, Unsigned> {
        let name = self.name_of(id);
        let kept = self.kept(id, &name);
        let fresh = kept.as_deref().filter(|kept| self.is_fresh(kept));
        if nonce.is_some() {
            match self.alone(std::slice::from_ref(id), nonce, fresh) {
                // RFC 6960 4.4.1: who insists on its nonce refuses what is kept, and may ask again.
                Err(Unsigned::Later) => {}
                answer => return answer,
            }
        }
        if let Some(kept) = fresh {
            return Ok(kept.response.clone());
        }
        let is_revoked = self.revocation(id).is_some();
        let flight = (self.tenant.id().clone(), name, is_revoked);
        let (asked, id) = (Arc::clone(self), id.clone());
        let work = move || async move {
            let signing = tokio::task::spawn_blocking(move || asked.signed_anew(&id, name));
            let broken = |_| Err(Unsigned::Failed("signing an answer panicked".to_owned()));
            signing.await.unwrap_or_else(broken)
        };
        let flights = &self.plane.status_answers.flights;
        match (flights.wait(flight, LONGEST_WAIT, work), kept) {
            (Some(Ok(made)), _) => Ok(made.response),
            // What was signed before counts on.
            (Some(Err(Unsigned::Later)) | None, Some(kept)) => Ok(kept.response.clone()),
            (None, None) => Err(Unsigned::Later),
            (Some(Err(why)), _) => Err(why),
        }
    }

    /// An answer that is kept from now on, unless someone has just made it.
    fn signed_anew(&self, id: &CertificateId, name: Digest) -> Result<Kept, Unsigned> {
        let kept = self.kept(id, &name);
        if let Some(kept) = kept.filter(|kept| self.is_fresh(kept)) {
            return Ok(kept.as_ref().clone());
        }
        let status = self.status(id)?;
        if status == CertificateStatus::Unknown {
            return Err(Unsigned::Unknown);
        }
        let response = self.sign(&[(id, status)], None)?;
        let (bytes, until) = (response.der.len(), response.next_update);
        let made = Kept { response, status };
        let answers = &self.plane.status_answers;
        let new = (made.clone(), bytes);
        answers
            .kept
            .keep(self.tenant.id(), name, new, until, self.now);
        Ok(made)
    }

    /// An answer to this request alone; about one certificate, perhaps, of which something is kept.
    fn alone(
        &self,
        ids: &[CertificateId],
        nonce: Option<&[u8]>,
        kept: Option<&Kept>,
    ) -> Result<StatusResponse, Unsigned> {
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            let status = match kept {
                Some(kept) => kept.status,
                None => self.status(id)?,
            };
            answers.push((id, status));
        }
        let is_unknown =
            |(_, status): &(_, CertificateStatus)| *status == CertificateStatus::Unknown;
        if answers.iter().all(is_unknown) {
            return Err(Unsigned::Unknown);
        }
        // Only now: who asks about what nobody has issued takes nothing from the others.
        self.take(|rates| (&rates.alone, ALONE_PER_MINUTE))?;
        self.sign(&answers, nonce)
    }

    /// Under what an answer is kept. The issuer is that of the authority, so these are all that makes
    /// one name another.
    fn name_of(&self, id: &CertificateId) -> Digest {
        let hash: &[u8] = match id.hash() {
            Some(IssuerHash::Sha1) => b"sha1",
            Some(IssuerHash::Sha256) => b"sha256",
            Some(IssuerHash::Sha384) => b"sha384",
            Some(IssuerHash::Sha512) => b"sha512",
            None => b"",
        };
        let null: &[u8] = match id.has_null() {
            true => b"null",
            false => b"",
        };
        Digest::of_list([self.record.id.as_str().as_bytes(), hash, null, id.serial()])
    }

    /// What is kept and still true: what was good is so still, unless it was taken back since.
    fn kept(&self, id: &CertificateId, name: &Digest) -> Option<Arc<Kept>> {
        let answers = &self.plane.status_answers;
        let kept = answers.kept.of(self.tenant.id(), name, self.now)?;
        let status = self.revocation(id).unwrap_or(CertificateStatus::Good);
        (kept.status == status).then_some(kept)
    }

    fn is_fresh(&self, kept: &Kept) -> bool {
        self.now < kept.response.this_update.plus(BACKDATE + SIGNED_ANEW)
    }

    fn take(&self, rate: impl FnOnce(&Rates) -> (&Rate, u32)) -> Result<(), Unsigned> {
        let answers = &self.plane.status_answers;
        answers.take(self.tenant.id(), self.now, rate)
    }

    /// What is known of a certificate. One that has ended was refused before anyone asks, and its
    /// revocation may be forgotten, so nothing is said of it.
    fn status(&self, id: &CertificateId) -> Result<CertificateStatus, Unsigned> {
        if let Some(revoked) = self.revocation(id) {
            return Ok(revoked);
        }
        if !is_serial_number(id.serial()) {
            return Ok(CertificateStatus::Unknown);
        }
        let Some(serial) = IntentId::parse(&hex(id.serial())) else {
            return Ok(CertificateStatus::Unknown);
        };
        self.take(|rates| (&rates.looked_for, LOOKED_FOR_PER_MINUTE))?;
        let found = self.plane.store.intent(self.tenant.id(), &serial);
        let found = found.map_err(|fault| Refused::from(Fault::from(fault)))?;
        let is_certificate = |kind| {
            matches!(
                kind,
                CredentialKind::X509 | CredentialKind::Certificate | CredentialKind::Authority
            )
        };
        let found = found.filter(|intent| {
            is_certificate(intent.kind)
                && intent.authority == self.record.id
                && self.now <= intent.not_after
        });
        Ok(match found {
            Some(_) => CertificateStatus::Good,
            None => CertificateStatus::Unknown,
        })
    }

    /// Whether the authority has taken it back, by the record that its list is made of.
    fn revocation(&self, id: &CertificateId) -> Option<CertificateStatus> {
        let serial = hex(id.serial());
        let mut revoked = self.record.revoked.iter();
        let found = revoked.find(|one| one.serial == serial && self.now <= one.not_after)?;
        Some(CertificateStatus::Revoked {
            at: found.at,
            reason: found.reason,
        })
    }

    /// Signs an answer, within the rate of all that is signed.
    fn sign(
        &self,
        answers: &[(&CertificateId, CertificateStatus)],
        nonce: Option<&[u8]>,
    ) -> Result<StatusResponse, Unsigned> {
        self.take(|rates| (&rates.signed, SIGNED_PER_MINUTE))?;
        Ok(self.signed(answers, nonce)?)
    }

    fn signed(
        &self,
        answers: &[(&CertificateId, CertificateStatus)],
        nonce: Option<&[u8]>,
    ) -> Result<StatusResponse, Refused> {
        let opened = authority_record::open(self.tenant.id(), &self.tenant.keys, &self.record)?;
        let Some(Opened::X509(authority)) = opened else {
            return Err(Fault::Bug("an authority of certificates is none".to_owned()).into());
        };
        let random = &self.plane.random;
        let prepared = authority.prepare_status_response(answers, nonce, LIFE, self.now, random)?;
        let log = StoreLog::of(&self.plane, &self.tenant);
        Ok(issue_one(prepared, &log)?)
    }
}

/// The authority of the tenant that has issued all of them, if it answers: an answer has one signature.
fn issuer_of(tenant: &Tenant, ids: &[CertificateId], now: Time) -> Option<AuthorityRecord> {
    let signs = |record: &&AuthorityRecord| {
        let own = record.certificates.first();
        let own = own.and_then(|own| Certificate::parse(own).ok());
        authority_record::may_answer(record, now)
            && own.is_some_and(|own| ids.iter().all(|id| is_issued_by(id, &own)))
    };
    tenant.read(|snapshot| snapshot.authorities.values().find(signs).cloned())
}
