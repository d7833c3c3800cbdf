//! Answers about the status of certificates (OCSP: RFC 6960 4.2, RFC 5019).
//!
//! An authority answers for what it has signed itself, with the same key, as it signs its revocation
//! lists: whoever can check the certificate can check the answer, and no other key is worth stealing.

use std::sync::Arc;
use std::time::Duration;

use avouch_core::credential::x509::{
    Certificate, CertificateId, IssuerHash, SaidStatus, SignedStatuses,
};
use avouch_core::crypto::{PublicKey, Verifier};
use avouch_core::id::{Digest, SpiffeId, hex};
use avouch_core::time::Time;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use der::asn1::OctetString;
use der::asn1::{AnyRef, ContextSpecific, GeneralizedTime, Null, ObjectIdentifier};
use der::{DateTime, Decode, Encode, Sequence, Tag, TagMode, TagNumber};
use x509_cert::ext::Extension;
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::authority::X509Authority;
use crate::certificate::assemble;
use crate::counts_from;
use crate::fault::{Fault, NotIssued};
use crate::intent::{CredentialKind, Intent};
use crate::random::{Random, serial_number};
use crate::signer::{Signature, Signer};
use crate::stages::{Draft, Prepared, private};

/// `id-pkix-ocsp-basic` (RFC 6960 4.2.1).
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
/// `id-pkix-ocsp-nonce` (RFC 9654 2.1).
const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");

/// What is known of a certificate (`CertStatus`, RFC 6960 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    /// It was issued here, and nobody has taken it back.
    Good,
    /// It was taken back.
    Revoked {
        /// Since when.
        at: Time,
        /// Why: a `CRLReason` (RFC 5280 5.3.1) by its number.
        reason: u8,
    },
    /// It was not issued here, or is not on record any more.
    Unknown,
}

/// Why there is no answer (`OCSPResponseStatus`, RFC 6960 4.2.1). It is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The request cannot be read.
    Malformed,
    /// It may be asked again in a moment.
    TryLater,
    /// Nothing is known here of the certificates (RFC 5019 2.2.3).
    Unauthorized,
}

impl Unanswered {
    /// The whole answer, as DER.
    pub fn to_der(self) -> Vec<u8> {
        let status = match self {
            Self::Malformed => 1,
            Self::TryLater => 3,
            Self::Unauthorized => 6,
        };
        // A SEQUENCE of one ENUMERATED.
        vec![0x30, 3, 0x0a, 1, status]
    }
}

/// An answer that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusResponse {
    /// From when on it counts: [`BACKDATE`](crate::BACKDATE) before it was signed.
    pub this_update: Time,
    /// Until when it counts.
    pub next_update: Time,
    /// The whole answer as DER.
    pub der: Vec<u8>,
}

/// Whether a request means a certificate that the holder of this one has signed.
pub fn is_issued_by(id: &CertificateId, issuer: &Certificate) -> bool {
    let function = match id.hash() {
        Some(IssuerHash::Sha1) => &SHA1_FOR_LEGACY_USE_ONLY,
        Some(IssuerHash::Sha256) => &SHA256,
        Some(IssuerHash::Sha384) => &SHA384,
        Some(IssuerHash::Sha512) => &SHA512,
        None => return false,
    };
    let is_digest = |digest: &[u8], of: &[u8]| digest::digest(function, of).as_ref() == digest;
    let key = SubjectPublicKeyInfoRef::from_der(issuer.public_key_info());
    let key = key.ok().and_then(|info| info.subject_public_key.as_bytes());
    is_digest(id.issuer_name(), issuer.subject().der())
        && key.is_some_and(|key| is_digest(id.issuer_key(), key))
}

impl X509Authority {
    /// Prepares an answer about certificates that this authority has signed, which counts for so many
    /// seconds and no longer than the authority itself, and repeats the nonce of the request.
    ///
    /// An authority that signs certificates no more still answers for those it signed before.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`, or what failed on our side.
    pub fn prepare_status_response(
        self: &Arc<Self>,
        answers: &[(&CertificateId, CertificateStatus)],
        nonce: Option<&[u8]>,
        lifetime: u32,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<StatusResponseDraft>, NotIssued> {
        let life = self.life();
        life.check_may_answer("answer for certificates", self.id(), now)?;
        if !answers
            .iter()
            .all(|(id, _)| is_issued_by(id, self.certificate()))
        {
            return Err(Fault::Bug("an answer is about a certificate of another issuer").into());
        }
        let this_update = counts_from(now, &life);
        let next_update = now.plus(i64::from(lifetime)).min(life.not_after());
        let content = Content {
            responder: self.subject(),
            answers,
            nonce,
            validity: (this_update, next_update),
        };
        let message = content.to_der().map_err(unwritable)?;
        Ok(Prepared::new(StatusResponseDraft {
            intent: Intent {
                tenant: self.tenant().clone(),
                trust_domain: self.trust_domain().clone(),
                kind: CredentialKind::StatusResponse,
                subject: SpiffeId::parse(&format!("spiffe://{}", self.trust_domain()))?,
                serial: format!("ocsp-{}", hex(&serial_number(random)?)),
                authority: self.id().to_owned(),
                not_before: this_update,
                not_after: next_update,
                digest: Digest::of(&message),
            },
            meant: Meant {
                responder: self.certificate().subject().der().to_vec(),
                statuses: answers
                    .iter()
                    .map(|(id, status)| (id.der().to_vec(), *status))
                    .collect(),
                nonce: nonce.map(<[u8]>::to_vec),
                validity: (this_update, next_update),
            },
            authority: Arc::clone(self),
            message,
        }))
    }
}

/// An answer that is to be signed.
pub struct StatusResponseDraft {
    authority: Arc<X509Authority>,
    meant: Meant,
    message: Vec<u8>,
    intent: Intent,
}

impl StatusResponseDraft {
    fn response(&self, signature: &Signature) -> Result<Vec<u8>, Fault> {
        // A `BasicOCSPResponse` without certificates has the shape of a certificate. Who asks has that of
        // the signer; one beside it would be taken for that of a delegate, which must be signed by it.
        let basic = assemble(&self.message, self.authority.signs_with(), signature)?;
        around(&basic).map_err(unwritable)
    }
}

impl private::Draft for StatusResponseDraft {
    fn message(&self) -> &[u8] {
        &self.message
    }

    fn signer(&self) -> &dyn Signer {
        self.authority.signer().as_ref()
    }

    fn intent(&self) -> &Intent {
        &self.intent
    }

    /// The core decides by lists and believes no answers, but reads them: the whole answer must say of
    /// each certificate what it was to say, and hold for the key of the authority.
    fn judge(&self, signature: &Signature, crypto: &dyn Verifier) -> Result<(), NotIssued> {
        let response = self.response(signature)?;
        let key = self.signer().public_half().key();
        Ok(self.meant.check(&response, key, crypto)?)
    }

    /// What leaves is read once more as a whole, with its own signature.
    fn confirm(&self, signature: &Signature) -> Result<(), NotIssued> {
        self.signer().check(self.message(), signature)?;
        self.judge(signature, self.verifier())
    }
}

/// What an answer is to say.
struct Meant {
    /// The DER `Name` of who signs, as its certificate has it.
    responder: Vec<u8>,
    /// Of each certificate, by the DER of its name.
    statuses: Vec<(Vec<u8>, CertificateStatus)>,
    nonce: Option<Vec<u8>>,
    validity: (Time, Time),
}

impl Meant {
    /// Whether an answer, read by the core, says this and nothing else, and is signed.
    fn check(&self, response: &[u8], key: &PublicKey, crypto: &dyn Verifier) -> Result<(), Fault> {
        let read = SignedStatuses::parse(response)
            .map_err(|_| Fault::Bug("an answer of ours cannot be read"))?;
        read.verify(key, crypto)
            .map_err(|_| Fault::Bug("the signature of an answer does not hold"))?;
        let (from, until) = self.validity;
        let mut pairs = read.statuses().iter().zip(&self.statuses);
        let is_said = read.statuses().len() == self.statuses.len()
            && pairs.all(|(said, (id, status))| {
                said.certificate == *id
                    && said.status == SaidStatus::from(*status)
                    && (said.this_update, said.next_update) == (from, until)
            });
        let is_meant = is_said
            && read.responder() == self.responder
            && read.produced_at() == from
            && read.nonce() == self.nonce.as_deref();
        match is_meant {
            true => Ok(()),
            false => Err(Fault::Bug("an answer says something else")),
        }
    }
}

impl From<CertificateStatus> for SaidStatus {
    fn from(status: CertificateStatus) -> Self {
        match status {
            CertificateStatus::Good => Self::Good,
            CertificateStatus::Revoked { at, reason } => Self::Revoked { at, reason },
            CertificateStatus::Unknown => Self::Unknown,
        }
    }
}

impl Draft for StatusResponseDraft {
    type Issued = StatusResponse;

    fn release(self, signature: &Signature) -> Result<StatusResponse, Fault> {
        Ok(StatusResponse {
            der: self.response(signature)?,
            this_update: self.intent.not_before,
            next_update: self.intent.not_after,
        })
    }
}

/// The whole answer around what is signed.
fn around(basic: &[u8]) -> der::Result<Vec<u8>> {
    Response {
        status: AnyRef::new(Tag::Enumerated, &[0])?,
        bytes: ResponseBytes {
            kind: BASIC,
            response: AnyRef::new(Tag::OctetString, basic)?,
        },
    }
    .to_der()
}

/// What an answer will say.
struct Content<'a> {
    /// The DER `Name` of who signs.
    responder: &'a [u8],
    answers: &'a [(&'a CertificateId, CertificateStatus)],
    nonce: Option<&'a [u8]>,
    validity: (Time, Time),
}

impl Content<'_> {
    /// The bytes to be signed.
    fn to_der(&self) -> der::Result<Vec<u8>> {
        let (this_update, next_update) = (moment(self.validity.0)?, moment(self.validity.1)?);
        let statuses = self.answers.iter().map(|(_, one)| status(one));
        let statuses = statuses.collect::<der::Result<Vec<Vec<u8>>>>()?;
        let responses = self.answers.iter().zip(&statuses).map(|((id, _), status)| {
            Ok(SingleResponse {
                id: AnyRef::from_der(id.der())?,
                status: AnyRef::from_der(status)?,
                this_update,
                next_update,
            })
        });
        ToBeSigned {
            responder: AnyRef::from_der(self.responder)?,
            produced_at: this_update,
            responses: responses.collect::<der::Result<Vec<_>>>()?,
            extensions: self.nonce.map(repeated).transpose()?,
        }
        .to_der()
    }
}

/// The nonce of the request, once more.
fn repeated(nonce: &[u8]) -> der::Result<Vec<Extension>> {
    let value = AnyRef::new(Tag::OctetString, nonce)?.to_der()?;
    Ok(vec![Extension {
        extn_id: NONCE,
        critical: false,
        extn_value: OctetString::new(value)?,
    }])
}

/// `CertStatus`, whose tags are implicit.
fn status(status: &CertificateStatus) -> der::Result<Vec<u8>> {
    let nothing = |number: u32| {
        ContextSpecific {
            tag_number: TagNumber(number),
            tag_mode: TagMode::Implicit,
            value: Null,
        }
        .to_der()
    };
    match *status {
        CertificateStatus::Good => nothing(0),
        CertificateStatus::Unknown => nothing(2),
        CertificateStatus::Revoked { at, reason } => {
            let number = [reason];
            // RFC 5280 5.3.1: no reason is said by leaving it away.
            let reason = (reason != 0).then(|| AnyRef::new(Tag::Enumerated, &number));
            ContextSpecific {
                tag_number: TagNumber(1),
                tag_mode: TagMode::Implicit,
                value: RevokedInfo {
                    at: moment(at)?,
                    reason: reason.transpose()?,
                },
            }
            .to_der()
        }
    }
}

/// `ResponseData` (RFC 6960 4.2.1) of version 1, by the name of the responder.
#[derive(Sequence)]
struct ToBeSigned<'a> {
    #[asn1(context_specific = "1")]
    responder: AnyRef<'a>,
    produced_at: GeneralizedTime,
    responses: Vec<SingleResponse<'a>>,
    #[asn1(context_specific = "1", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

/// `SingleResponse` (RFC 6960 4.2.1).
#[derive(Sequence)]
struct SingleResponse<'a> {
    id: AnyRef<'a>,
    status: AnyRef<'a>,
    this_update: GeneralizedTime,
    #[asn1(context_specific = "0")]
    next_update: GeneralizedTime,
}

/// `RevokedInfo` (RFC 6960 4.2.1).
#[derive(Sequence)]
struct RevokedInfo<'a> {
    at: GeneralizedTime,
    #[asn1(context_specific = "0", optional = "true")]
    reason: Option<AnyRef<'a>>,
}

/// `OCSPResponse` (RFC 6960 4.2.1) that succeeded.
#[derive(Sequence)]
struct Response<'a> {
    status: AnyRef<'a>,
    #[asn1(context_specific = "0")]
    bytes: ResponseBytes<'a>,
}

/// `ResponseBytes` (RFC 6960 4.2.1).
#[derive(Sequence)]
struct ResponseBytes<'a> {
    kind: ObjectIdentifier,
    response: AnyRef<'a>,
}

fn moment(time: Time) -> der::Result<GeneralizedTime> {
    let seconds = u64::try_from(time.unix()).map_err(|_| der::ErrorKind::DateTime)?;
    let moment = DateTime::from_unix_duration(Duration::from_secs(seconds))?;
    Ok(GeneralizedTime::from_date_time(moment))
}

fn unwritable(_: der::Error) -> Fault {
    Fault::Bug("an answer about certificates cannot be written")
}

#[cfg(test)]
mod tests {
    use avouch_core::credential::x509::{StatusRequest, read_public_key};
    use avouch_core::crypto::{NotSigned, Scheme};
    use avouch_testkit::asn1;
    use avouch_testkit::key::Key;

    use super::*;
    use crate::signer::SigningKind;

    /// Believes all signatures, or none.
    struct Believes(bool);

    impl Verifier for Believes {
        fn verify(&self, _: &PublicKey, _: Scheme, _: &[u8], _: &[u8]) -> Result<(), NotSigned> {
            self.0.then_some(()).ok_or(NotSigned)
        }
    }

    const RESPONDER: [u8; 2] = [0x30, 0];

    fn at(seconds: i64) -> Time {
        Time::from_unix(1_800_000_000 + seconds)
    }

    fn id(serial: u64) -> CertificateId {
        let algorithm = asn1::sequence([asn1::oid("1.3.14.3.2.26")]);
        let digest = asn1::octet_string(&[1; 20]);
        let id = asn1::sequence([algorithm, digest.clone(), digest, asn1::number(serial)]);
        let list = asn1::sequence([asn1::sequence([id])]);
        let request = asn1::sequence([asn1::sequence([list])]);
        StatusRequest::parse(&request).unwrap().certificates()[0].clone()
    }

    /// An answer that says this, for an hour.
    fn says(answers: &[(&CertificateId, CertificateStatus)], nonce: Option<&[u8]>) -> Vec<u8> {
        let content = Content {
            responder: &RESPONDER,
            answers,
            nonce,
            validity: (at(0), at(3_600)),
        };
        let signature = Signature::new([9; 64]);
        let message = content.to_der().unwrap();
        let basic = assemble(&message, SigningKind::Ed25519, &signature).unwrap();
        around(&basic).unwrap()
    }

    #[test]
    fn an_answer_that_says_something_else_than_it_was_to_say_is_never_signed() {
        const NONCE: Option<&[u8]> = Some(&[7; 16]);
        let revoked = |reason, since| CertificateStatus::Revoked {
            at: at(since),
            reason,
        };
        let (one, two) = (id(1), id(2));
        let answers = [(&one, CertificateStatus::Good), (&two, revoked(1, -60))];
        let meant = || Meant {
            responder: RESPONDER.to_vec(),
            statuses: answers
                .iter()
                .map(|(id, status)| (id.der().to_vec(), *status))
                .collect(),
            nonce: NONCE.map(<[u8]>::to_vec),
            validity: (at(0), at(3_600)),
        };
        let key = read_public_key(&Key::ed25519("a").public_key_info()).unwrap();
        let is_right = |meant: &Meant, response: &[u8], crypto: &dyn Verifier| {
            meant.check(response, &key, crypto).is_ok()
        };
        let right = says(&answers, NONCE);
        assert!(is_right(&meant(), &right, &Believes(true)));
        assert!(!is_right(&meant(), &right, &Believes(false)));
        for (what, other) in [
            (
                "another status",
                says(&[(&one, CertificateStatus::Unknown), answers[1]], NONCE),
            ),
            (
                "good",
                says(&[answers[0], (&two, CertificateStatus::Good)], NONCE),
            ),
            (
                "another reason",
                says(&[answers[0], (&two, revoked(0, -60))], NONCE),
            ),
            (
                "another time",
                says(&[answers[0], (&two, revoked(1, -61))], NONCE),
            ),
            ("another order", says(&[answers[1], answers[0]], NONCE)),
            (
                "another certificate",
                says(&[answers[0], (&id(3), answers[1].1)], NONCE),
            ),
            ("one too few", says(&answers[..1], NONCE)),
            (
                "one too many",
                says(&[answers[0], answers[1], answers[1]], NONCE),
            ),
            ("no nonce", says(&answers, None)),
            ("another nonce", says(&answers, Some(&[8; 16]))),
            ("nothing", Unanswered::TryLater.to_der()),
        ] {
            assert!(!is_right(&meant(), &other, &Believes(true)), "{what}");
        }
        let others = [
            Meant {
                validity: (at(0), at(3_601)),
                ..meant()
            },
            Meant {
                validity: (at(1), at(3_600)),
                ..meant()
            },
            Meant {
                responder: vec![0x30, 1, 0],
                ..meant()
            },
        ];
        for other in &others {
            assert!(!is_right(other, &right, &Believes(true)));
        }
    }
}
