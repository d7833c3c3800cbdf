//! Signed answers about the status of certificates (OCSP: RFC 6960 4.2.1), read again by who has signed
//! them. Nothing is believed for one here: decisions are made by lists.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc6960;
use der::asn1::AnyRef;
use der::{Encode, Tag, Tagged};

use super::algorithm::SignatureAlgorithm;
use super::der_read::{
    Context, Detail, decode, decode_all, detail, each, elements, expect, sequence, time,
};
use super::signed::Signed;
use super::status_request::nonce;
use crate::crypto::{NotSigned, PublicKey, Verifier};
use crate::time::Time;

/// What an answer says, and by whom it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedStatuses {
    responder: Vec<u8>,
    produced_at: Time,
    statuses: Vec<SignedStatus>,
    nonce: Option<Vec<u8>>,
    signed: Vec<u8>,
    signature_algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

/// What an answer says of one certificate (`SingleResponse`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedStatus {
    /// The DER of the name of the certificate (`CertID`).
    pub certificate: Vec<u8>,
    /// What is said of it.
    pub status: SaidStatus,
    /// From when on that counts.
    pub this_update: Time,
    /// Until when.
    pub next_update: Time,
}

/// What is said of a certificate (`CertStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidStatus {
    /// It holds.
    Good,
    /// It was taken back.
    Revoked {
        /// Since when.
        at: Time,
        /// Why: a `CRLReason` by its number, 0 if none is said.
        reason: u8,
    },
    /// Nothing is known of it.
    Unknown,
}

impl SignedStatuses {
    /// Reads one DER `OCSPResponse` that fills `der` and carries an answer; says why it cannot.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let outer = sequence(der)?;
        let [status, bytes] = *outer.as_slice() else {
            return Err("it is not a status and an answer".to_owned());
        };
        if expect(status, Tag::Enumerated)? != [0] {
            return Err("it says that there is no answer".to_owned());
        }
        let bytes = elements(expect(explicit(bytes, 0)?, Tag::Sequence)?)?;
        let [kind, answer] = *bytes.as_slice() else {
            return Err("its answer is not a type and bytes".to_owned());
        };
        if decode::<ObjectIdentifier>(kind)? != rfc6960::ID_PKIX_OCSP_BASIC {
            return Err("its answer is not a basic one".to_owned());
        }
        let outer = Signed::read(expect(answer, Tag::OctetString)?).map_err(|detail| {
            format!("its answer is not what is signed, by what, and the signature: {detail}")
        })?;
        let fields = sequence(outer.content)?;
        let (responder, at, list, extensions) = match *fields.as_slice() {
            [responder, at, list] => (responder, at, list, None),
            [responder, at, list, extensions] => (responder, at, list, Some(extensions)),
            _ => return Err("what is signed has too few fields or too many".to_owned()),
        };
        let nonce = match extensions {
            Some(extensions) if Context::of(extensions) == Context::Constructed(1) => {
                nonce(extensions)?
            }
            Some(_) => return Err("its extensions are none".to_owned()),
            None => None,
        };
        let statuses = each(expect(list, Tag::Sequence)?)?;
        Ok(Self {
            responder: explicit(responder, 1)?.to_der().map_err(detail)?,
            produced_at: general_time(at)?,
            statuses: statuses
                .map(|one| SignedStatus::of(one?))
                .collect::<Result<_, Detail>>()?,
            nonce,
            signed: outer.content.to_vec(),
            signature_algorithm: outer.algorithm,
            signature: outer.signature.to_vec(),
        })
    }

    /// The DER `Name` of who has signed.
    pub fn responder(&self) -> &[u8] {
        &self.responder
    }

    /// When it was signed.
    pub fn produced_at(&self) -> Time {
        self.produced_at
    }

    /// What is said, in order.
    pub fn statuses(&self) -> &[SignedStatus] {
        &self.statuses
    }

    /// The nonce that is repeated.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// Whether it was signed with the private half of `key`.
    ///
    /// # Errors
    ///
    /// It was not.
    pub fn verify(&self, key: &PublicKey, crypto: &dyn Verifier) -> Result<(), NotSigned> {
        let SignatureAlgorithm::Known(scheme) = self.signature_algorithm else {
            return Err(NotSigned);
        };
        crypto.verify(key, scheme, &self.signed, &self.signature)
    }
}

impl SignedStatus {
    fn of(single: AnyRef<'_>) -> Result<Self, Detail> {
        let fields = elements(expect(single, Tag::Sequence)?)?;
        let [id, status, from, until] = *fields.as_slice() else {
            return Err("a certificate is not told of by four fields".to_owned());
        };
        expect(id, Tag::Sequence)?;
        Ok(Self {
            certificate: id.to_der().map_err(detail)?,
            status: SaidStatus::of(status)?,
            this_update: general_time(from)?,
            next_update: general_time(explicit(until, 0)?)?,
        })
    }
}

impl SaidStatus {
    fn of(status: AnyRef<'_>) -> Result<Self, Detail> {
        match (Context::of(status), status.value()) {
            (Context::Primitive(0), []) => Ok(Self::Good),
            (Context::Primitive(2), []) => Ok(Self::Unknown),
            (Context::Constructed(1), revoked) => {
                let (at, reason) = match *elements(revoked)?.as_slice() {
                    [at] => (at, 0),
                    [at, reason] => match expect(explicit(reason, 0)?, Tag::Enumerated)? {
                        [reason] => (at, *reason),
                        _ => return Err("a reason is no number".to_owned()),
                    },
                    _ => return Err("a revocation is not a time and a reason".to_owned()),
                };
                let at = general_time(at)?;
                Ok(Self::Revoked { at, reason })
            }
            _ => Err("a status is neither good nor revoked nor unknown".to_owned()),
        }
    }
}

/// The one value below an explicit tag.
fn explicit(value: AnyRef<'_>, number: u32) -> Result<AnyRef<'_>, Detail> {
    if Context::of(value) != Context::Constructed(number) {
        return Err(format!(
            "{} stands where [{number}] is expected",
            value.tag()
        ));
    }
    decode_all(value.value())
}

/// RFC 6960 4.2.2.1: `GeneralizedTime`, and no other.
fn general_time(value: AnyRef<'_>) -> Result<Time, Detail> {
    expect(value, Tag::GeneralizedTime)?;
    time(value)
}

#[cfg(test)]
mod tests {
    use avouch_testkit::asn1;

    use super::*;

    const ED25519: &str = "1.3.101.112";

    fn moment(text: &str) -> Vec<u8> {
        asn1::element(Tag::GeneralizedTime, text.as_bytes())
    }

    fn single(status: &[u8]) -> Vec<u8> {
        let id = asn1::sequence([asn1::number(7)]);
        let until = asn1::constructed(0, &moment("20260101010000Z"));
        asn1::sequence([id, status.to_vec(), moment("20260101000000Z"), until])
    }

    fn response(singles: &[Vec<u8>], extensions: Option<Vec<u8>>) -> Vec<u8> {
        let name = asn1::constructed(1, &asn1::sequence::<Vec<u8>>([]));
        let mut fields = vec![name, moment("20260101000000Z"), asn1::sequence(singles)];
        fields.extend(extensions);
        let algorithm = asn1::sequence([asn1::oid(ED25519)]);
        let signature = asn1::bit_string(0, &[9; 64]);
        let basic = asn1::sequence([asn1::sequence(fields), algorithm, signature]);
        let kind = asn1::oid("1.3.6.1.5.5.7.48.1.1");
        let bytes = asn1::sequence([kind, asn1::octet_string(&basic)]);
        asn1::sequence([vec![0x0a, 1, 0], asn1::constructed(0, &bytes)])
    }

    fn nonce_of(bytes: &[u8]) -> Vec<u8> {
        let value = asn1::octet_string(&asn1::octet_string(bytes));
        let one = asn1::sequence([asn1::oid("1.3.6.1.5.5.7.48.1.2"), value]);
        asn1::constructed(1, &asn1::sequence([one]))
    }

    #[test]
    fn an_answer_says_of_each_certificate_what_is_known() {
        let at = moment("20251231235959Z");
        let reason = asn1::constructed(0, &[0x0a, 1, 4]);
        let singles = [
            single(&[0x80, 0]),
            single(&asn1::constructed(1, &[at.clone(), reason].concat())),
            single(&asn1::constructed(1, &at)),
            single(&[0x82, 0]),
        ];
        let read = SignedStatuses::parse(&response(&singles, Some(nonce_of(&[5; 8])))).unwrap();
        let since = Time::from_utc(2025, 12, 31, 23, 59, 59).unwrap();
        let revoked = |reason| SaidStatus::Revoked { at: since, reason };
        let said: Vec<SaidStatus> = read.statuses().iter().map(|one| one.status).collect();
        assert_eq!(
            said,
            [
                SaidStatus::Good,
                revoked(4),
                revoked(0),
                SaidStatus::Unknown
            ]
        );
        let first = &read.statuses()[0];
        assert_eq!(first.certificate, asn1::sequence([asn1::number(7)]));
        assert_eq!(first.this_update.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(first.next_update.to_string(), "2026-01-01T01:00:00Z");
        assert_eq!(read.nonce(), Some(&[5; 8][..]));
        assert_eq!(read.responder(), [0x30, 0]);
        assert_eq!(read.produced_at(), first.this_update);
    }

    #[test]
    fn what_is_no_answer_is_not_read() {
        let good = response(&[single(&[0x80, 0])], None);
        assert!(SignedStatuses::parse(&good).is_ok());
        for length in 0..good.len() {
            assert!(SignedStatuses::parse(&good[..length]).is_err(), "{length}");
        }
        for status in [
            &[0x80, 1, 0][..],
            &[0xa0, 0],
            &[0x81, 0],
            &[0x83, 0],
            &[5, 0],
        ] {
            let read = SignedStatuses::parse(&response(&[single(status)], None));
            assert!(read.is_err(), "{status:?}");
        }
        let later = [0x30, 3, 0x0a, 1, 3];
        assert!(SignedStatuses::parse(&later).is_err());
    }
}
