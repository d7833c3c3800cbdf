//! Whether certificates of a tenant hold, told to whoever asks about one (OCSP: RFC 6960, RFC 5019).
//!
//! ```text
//! request ─► whose issuer? ─► revoked, by the record of the authority, as its list has it
//!                        └─► issued, by what is on record ─► answer: kept, or signed ─► whoever asked
//! ```
//!
//! Whoever asks shows nothing. So an answer is signed only about a certificate that is on record, and is
//! kept; one that cannot be kept, for a nonce or for several certificates, is signed within a bound. Of
//! what nobody here has issued nothing is signed at all, and it is the same whether another tenant has.

use std::sync::Arc;

use avouch_core::credential::x509::{Certificate, CertificateId, StatusRequest};
use avouch_core::id::{Digest, TenantId};
use avouch_core::time::Time;
use avouch_issuer::stages::issue_one;
use avouch_issuer::status_response::{CertificateStatus, StatusResponse, Unanswered, is_issued_by};
use avouch_store::{AuthorityKind, AuthorityRecord, AuthorityState, CredentialKind, IntentId};

use crate::authority_record::{self, Opened};
use crate::fault::{Fault, Refused};
use crate::issuing::StoreLog;
use crate::plane::Plane;
use crate::quotas::Rate;
use crate::remembered::{Remembered, Room};
use crate::tenant::Tenant;

/// For how many seconds an answer counts.
const LIFE: u32 = 3_600;

/// After how many seconds one is signed anew.
const SIGNED_ANEW: i64 = 1_800;

/// How many answers a minute are signed for one tenant that cannot be kept.
const UNKEPT_PER_MINUTE: u32 = 120;

/// How many answers are kept of one tenant.
const KEPT: Room = Room {
    entries: 10_000,
    bytes: 16 << 20,
};

/// Of each tenant there is one rate.
const RATES: Room = Room {
    entries: 1,
    bytes: 1,
};

/// The answers that this server has signed.
pub(crate) struct StatusAnswers {
    kept: Remembered<Digest, Kept>,
    rates: Remembered<(), Rate>,
}

struct Kept {
    response: StatusResponse,
    status: CertificateStatus,
}

impl Default for StatusAnswers {
    fn default() -> Self {
        Self {
            kept: Remembered::within(KEPT),
            rates: Remembered::within(RATES),
        }
    }
}

impl StatusAnswers {
    /// Forgets those of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.kept.forget_tenant(tenant);
        self.rates.forget_tenant(tenant);
    }

    /// Whether one more may be signed that is not kept.
    fn may_sign(&self, tenant: &TenantId, now: Time) -> bool {
        let rate = self.rates.held(tenant, (), now.plus(SIGNED_ANEW), now);
        rate.take(UNKEPT_PER_MINUTE, 1, now).0 == 1
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
struct Asked<'a> {
    plane: &'a Plane,
    tenant: &'a Arc<Tenant>,
    record: AuthorityRecord,
    now: Time,
}

impl Plane {
    /// Answers a request about certificates.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn certificate_status(
        &self,
        tenant: &Arc<Tenant>,
        request: &[u8],
    ) -> Result<StatusAnswer, Refused> {
        let Ok(request) = StatusRequest::parse(request) else {
            return Ok(StatusAnswer::Not(Unanswered::Malformed));
        };
        let now = self.now();
        let Some(record) = issuer_of(tenant, request.certificates(), now) else {
            return Ok(StatusAnswer::Not(Unanswered::Unauthorized));
        };
        let asked = Asked {
            plane: self,
            tenant,
            record,
            now,
        };
        match request.certificates() {
            [one] => asked.one(one, request.nonce()),
            all => asked.several(all, request.nonce()),
        }
    }
}

impl Asked<'_> {
    /// About one certificate: what is kept, unless it must repeat a nonce.
    fn one(&self, id: &CertificateId, nonce: Option<&[u8]>) -> Result<StatusAnswer, Refused> {
        let (answers, of) = (&self.plane.status_answers, self.tenant.id());
        if nonce.is_some() && answers.may_sign(of, self.now) {
            return self.signed_for(std::slice::from_ref(id), nonce);
        }
        let name = Digest::of_list([self.record.id.as_str().as_bytes(), id.der()]);
        let revoked = self.revocation(id);
        let kept = answers.kept.of(of, &name, self.now);
        // What was good is so still, unless it was taken back since.
        let kept = kept.filter(|kept| match revoked {
            Some(revoked) => kept.status == revoked,
            None => kept.status == CertificateStatus::Good,
        });
        let is_fresh = |kept: &Arc<Kept>| self.now < kept.response.this_update.plus(SIGNED_ANEW);
        if let Some(kept) = kept.as_ref().filter(|kept| is_fresh(kept)) {
            return Ok(signed(&kept.response));
        }
        let made = self.status(id).and_then(|status| match status {
            CertificateStatus::Unknown => Ok(None),
            status => Ok(Some((self.sign(&[(id, status)], None)?, status))),
        });
        match (made, kept) {
            (Ok(None), _) => Ok(StatusAnswer::Not(Unanswered::Unauthorized)),
            (Ok(Some((response, status))), _) => {
                let answer = signed(&response);
                let (bytes, until) = (response.der.len(), response.next_update);
                let new = Kept { response, status };
                answers.kept.keep(of, name, (new, bytes), until, self.now);
                Ok(answer)
            }
            // While the store is away, what was signed before counts on.
            (Err(Refused::Fault(_)), Some(kept)) => Ok(signed(&kept.response)),
            (Err(error), _) => Err(error),
        }
    }

    /// About several, within the bound.
    fn several(
        &self,
        ids: &[CertificateId],
        nonce: Option<&[u8]>,
    ) -> Result<StatusAnswer, Refused> {
        let answers = &self.plane.status_answers;
        match answers.may_sign(self.tenant.id(), self.now) {
            true => self.signed_for(ids, nonce),
            false => Ok(StatusAnswer::Not(Unanswered::TryLater)),
        }
    }

    /// An answer to this request alone.
    fn signed_for(
        &self,
        ids: &[CertificateId],
        nonce: Option<&[u8]>,
    ) -> Result<StatusAnswer, Refused> {
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            answers.push((id, self.status(id)?));
        }
        let is_unknown =
            |(_, status): &(_, CertificateStatus)| *status == CertificateStatus::Unknown;
        if answers.iter().all(is_unknown) {
            return Ok(StatusAnswer::Not(Unanswered::Unauthorized));
        }
        Ok(signed(&self.sign(&answers, nonce)?))
    }

    /// What is known of a certificate. One that has ended was refused before anyone asks, and its
    /// revocation may be forgotten, so nothing is said of it.
    fn status(&self, id: &CertificateId) -> Result<CertificateStatus, Refused> {
        if let Some(revoked) = self.revocation(id) {
            return Ok(revoked);
        }
        let found = match IntentId::parse(&hex(id.serial())) {
            Some(serial) => self.plane.store.intent(self.tenant.id(), &serial)?,
            None => None,
        };
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

    fn sign(
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
        let log = StoreLog::of(self.plane, self.tenant);
        Ok(issue_one(prepared, &log)?)
    }
}

fn signed(response: &StatusResponse) -> StatusAnswer {
    StatusAnswer::Signed {
        der: response.der.clone(),
        until: response.next_update,
    }
}

/// The authority of the tenant that has issued all of them, if it answers: an answer has one signature.
fn issuer_of(tenant: &Tenant, ids: &[CertificateId], now: Time) -> Option<AuthorityRecord> {
    let signs = |record: &&AuthorityRecord| {
        let is_there = match record.state {
            AuthorityState::Prepared
            | AuthorityState::Active
            | AuthorityState::Retired
            | AuthorityState::Tainted => true,
            AuthorityState::Requested | AuthorityState::Revoked => false,
        };
        let own = record.certificates.first();
        let own = own.and_then(|own| Certificate::parse(own).ok());
        record.kind == AuthorityKind::X509
            && is_there
            && now <= record.not_after
            && own.is_some_and(|own| ids.iter().all(|id| is_issued_by(id, &own)))
    };
    tenant.read(|snapshot| snapshot.authorities.values().find(signs).cloned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
