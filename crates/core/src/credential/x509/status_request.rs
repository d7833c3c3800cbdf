//! Requests for the status of certificates (OCSP: RFC 6960 4.1, RFC 9654).
//!
//! Whoever asks shows nothing, so of a request only the question is kept: a signature below it, and
//! who says to have made it, are passed over.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc6960};
use der::asn1::{AnyRef, UintRef};
use der::{Encode, Tag};

use super::der_read::{
    Context, Detail, decode, decode_all, detail, each, elements, expect, sequence,
};
use super::extensions::Extension;

/// A question after the status of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRequest {
    certificates: Vec<CertificateId>,
    nonce: Option<Vec<u8>>,
}

/// How a request names a certificate (`CertID`, RFC 6960 4.1.1): by digests of its issuer's name and
/// key, and its serial number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateId {
    der: Vec<u8>,
    hash: Option<IssuerHash>,
    has_null: bool,
    issuer_name: Vec<u8>,
    issuer_key: Vec<u8>,
    serial: Vec<u8>,
}

/// With what the name and the key of an issuer are hashed. It keeps nothing secret and proves nothing,
/// so SHA-1 will do, which RFC 5019 2.1.1 asks clients to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the name of a function")]
pub enum IssuerHash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl StatusRequest {
    /// The most certificates that one request may ask about.
    pub const MOST: usize = 32;

    /// The longest nonce (RFC 9654 2.1).
    const LONGEST_NONCE: usize = 128;

    /// Reads one DER `OCSPRequest` that fills `der`; says why it cannot.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let outer = sequence(der)?;
        let question = match outer.as_slice() {
            [question] => question,
            [question, signature] if Context::of(*signature) == Context::Constructed(0) => question,
            _ => return Err("it is not a question and a signature".to_owned()),
        };
        let fields = elements(expect(*question, Tag::Sequence)?)?;
        let mut fields = fields.as_slice();
        // RFC 6960 4.1.1: the version is 1, which DER leaves away, since it is the default.
        if let [who, rest @ ..] = fields
            && Context::of(*who) == Context::Constructed(1)
        {
            fields = rest;
        }
        let (list, extensions) = match fields {
            [list] => (list, None),
            [list, extensions] if Context::of(*extensions) == Context::Constructed(2) => {
                (list, Some(*extensions))
            }
            _ => return Err("its question is not a list and extensions".to_owned()),
        };
        let mut certificates = Vec::new();
        for one in each(expect(*list, Tag::Sequence)?)? {
            if certificates.len() == Self::MOST {
                return Err(format!(
                    "it asks about more than {} certificates",
                    Self::MOST
                ));
            }
            certificates.push(CertificateId::of_request(one?)?);
        }
        if certificates.is_empty() {
            return Err("it asks about no certificate".to_owned());
        }
        Ok(Self {
            certificates,
            nonce: extensions.map(nonce).transpose()?.flatten(),
        })
    }

    /// The certificates, in the order of the request; at least one.
    pub fn certificates(&self) -> &[CertificateId] {
        &self.certificates
    }

    /// What the answer must repeat, if anything: 1 to 128 bytes.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}

impl CertificateId {
    /// Reads the `Request` of one certificate.
    fn of_request(request: AnyRef<'_>) -> Result<Self, Detail> {
        let fields = elements(expect(request, Tag::Sequence)?)?;
        match fields.as_slice() {
            [id] => Self::of(*id),
            [id, extensions] if Context::of(*extensions) == Context::Constructed(0) => {
                for extension in extensions_of(*extensions)? {
                    known(&extension?, false)?;
                }
                Self::of(*id)
            }
            _ => Err("one of its elements is not a certificate and extensions".to_owned()),
        }
    }

    fn of(id: AnyRef<'_>) -> Result<Self, Detail> {
        let fields = elements(expect(id, Tag::Sequence)?)?;
        let [algorithm, name, key, serial] = fields.as_slice() else {
            return Err("a certificate is not named by four fields".to_owned());
        };
        let algorithm = elements(expect(*algorithm, Tag::Sequence)?)?;
        let (hash, has_null): (ObjectIdentifier, bool) = match algorithm.as_slice() {
            [oid] => (decode(*oid)?, false),
            // RFC 5754 2: absent, and yet NULL is to be taken. A NULL has no content, which its tag
            // alone does not say.
            [oid, parameters] if *parameters == AnyRef::NULL => (decode(*oid)?, true),
            _ => return Err("an algorithm of digests has parameters".to_owned()),
        };
        // A negative one is nobody's (RFC 5280 4.1.2.2).
        let serial: UintRef<'_> = decode(*serial)?;
        Ok(Self {
            der: id.to_der().map_err(detail)?,
            hash: IssuerHash::of(hash),
            has_null,
            issuer_name: expect(*name, Tag::OctetString)?.to_vec(),
            issuer_key: expect(*key, Tag::OctetString)?.to_vec(),
            serial: serial.as_bytes().to_vec(),
        })
    }

    /// The DER of it, which an answer repeats.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// With what the issuer is hashed; `None` if it is a function that is not used here.
    pub fn hash(&self) -> Option<IssuerHash> {
        self.hash
    }

    /// Whether that function has parameters, which are NULL. With the function, the issuer and the
    /// serial number it settles the DER: there is no other way to write them.
    pub fn has_null(&self) -> bool {
        self.has_null
    }

    /// The digest of the DER of the issuer's name.
    pub fn issuer_name(&self) -> &[u8] {
        &self.issuer_name
    }

    /// The digest of the issuer's key: of the bits of its `BIT STRING`.
    pub fn issuer_key(&self) -> &[u8] {
        &self.issuer_key
    }

    /// The serial number, most significant byte first, without leading zeros.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

impl IssuerHash {
    fn of(oid: ObjectIdentifier) -> Option<Self> {
        match oid {
            rfc5912::ID_SHA_1 => Some(Self::Sha1),
            rfc5912::ID_SHA_256 => Some(Self::Sha256),
            rfc5912::ID_SHA_384 => Some(Self::Sha384),
            rfc5912::ID_SHA_512 => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// The elements of `Extensions` below an explicit tag.
fn extensions_of(
    tagged: AnyRef<'_>,
) -> Result<impl Iterator<Item = Result<Extension<'_>, Detail>>, Detail> {
    let list: AnyRef<'_> = decode_all(tagged.value())?;
    let all = each(expect(list, Tag::Sequence)?)?;
    Ok(all.map(|one| Extension::parse(one?)))
}

/// An extension that must be understood and is not makes a request of no use (RFC 6960 4.4).
fn known(extension: &Extension<'_>, is_known: bool) -> Result<(), Detail> {
    if extension.critical && !is_known {
        return Err(format!(
            "it has the critical extension {}, which is not known",
            extension.oid
        ));
    }
    Ok(())
}

/// The nonce (RFC 9654 2.1): an OCTET STRING in the value of its extension.
pub(super) fn nonce(extensions: AnyRef<'_>) -> Result<Option<Vec<u8>>, Detail> {
    let mut found = None;
    for extension in extensions_of(extensions)? {
        let extension = extension?;
        let is_nonce = extension.oid == rfc6960::ID_PKIX_OCSP_NONCE;
        known(&extension, is_nonce)?;
        if !is_nonce {
            continue;
        }
        let value = expect(decode_all(extension.content)?, Tag::OctetString)?;
        let length = value.len();
        if length == 0 || length > StatusRequest::LONGEST_NONCE {
            return Err(format!(
                "its nonce has {length} bytes, not 1 to {}",
                StatusRequest::LONGEST_NONCE
            ));
        }
        if found.replace(value.to_vec()).is_some() {
            return Err("it has two nonces".to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use avouch_testkit::asn1;

    use super::*;

    fn algorithm(oid: &str) -> Vec<u8> {
        asn1::sequence([asn1::oid(oid), vec![5, 0]])
    }

    fn id(oid: &str, serial: u64) -> Vec<u8> {
        asn1::sequence([
            algorithm(oid),
            asn1::octet_string(&[1; 20]),
            asn1::octet_string(&[2; 20]),
            asn1::number(serial),
        ])
    }

    fn nonce_of(bytes: &[u8]) -> Vec<u8> {
        let oid = asn1::oid("1.3.6.1.5.5.7.48.1.2");
        let value = asn1::octet_string(&asn1::octet_string(bytes));
        asn1::sequence([oid, value])
    }

    fn request(ids: &[Vec<u8>], extensions: &[Vec<u8>]) -> Vec<u8> {
        let list = ids.iter().map(|id| asn1::sequence([id.clone()]));
        let mut question = vec![asn1::sequence(list)];
        if !extensions.is_empty() {
            let extensions = asn1::sequence(extensions.iter().cloned());
            question.push(asn1::constructed(2, &extensions));
        }
        asn1::sequence([asn1::sequence(question)])
    }

    const SHA_1: &str = "1.3.14.3.2.26";

    #[test]
    fn each_certificate_is_named_by_its_issuer_and_serial_number() {
        let ids = [id(SHA_1, 7), id("2.16.840.1.101.3.4.2.1", 300)];
        let read = StatusRequest::parse(&request(&ids, &[nonce_of(&[9; 32])])).unwrap();
        let [first, second] = read.certificates() else {
            panic!("{read:?}");
        };
        assert_eq!(first.der(), ids[0]);
        assert_eq!(first.hash(), Some(IssuerHash::Sha1));
        assert_eq!(first.issuer_name(), [1; 20]);
        assert_eq!(first.issuer_key(), [2; 20]);
        assert_eq!(first.serial(), [7]);
        assert_eq!(second.hash(), Some(IssuerHash::Sha256));
        assert_eq!(second.serial(), [1, 44]);
        assert_eq!(read.nonce(), Some(&[9; 32][..]));
        let plain = StatusRequest::parse(&request(&ids[..1], &[])).unwrap();
        assert_eq!(plain.nonce(), None);
        // A function that nobody here uses makes no request unreadable.
        let strange = StatusRequest::parse(&request(&[id("1.2.3", 1)], &[])).unwrap();
        assert_eq!(strange.certificates()[0].hash(), None);
    }

    #[test]
    fn a_nonce_has_a_length_within_bounds_and_stands_once() {
        let with =
            |extensions: &[Vec<u8>]| StatusRequest::parse(&request(&[id(SHA_1, 1)], extensions));
        for length in [1, 16, 32, 128] {
            assert!(with(&[nonce_of(&vec![3; length])]).is_ok(), "{length}");
        }
        for length in [0, 129] {
            let refused = with(&[nonce_of(&vec![3; length])]).unwrap_err();
            assert!(refused.contains("its nonce has"), "{refused}");
        }
        let twice = with(&[nonce_of(&[3]), nonce_of(&[3])]).unwrap_err();
        assert!(twice.contains("two nonces"), "{twice}");
    }

    #[test]
    fn what_is_no_request_says_what_is_wrong() {
        let good = request(&[id(SHA_1, 1)], &[]);
        let critical = asn1::sequence([
            asn1::oid("1.2.3"),
            vec![1, 1, 0xff],
            asn1::octet_string(&[]),
        ]);
        let many = vec![id(SHA_1, 1); StatusRequest::MOST + 1];
        let negative = {
            let mut id = id(SHA_1, 1);
            *id.last_mut().unwrap() = 0xff;
            id
        };
        for (der, told) in [
            (Vec::new(), ""),
            (b"POST".to_vec(), ""),
            ([good.clone(), vec![0]].concat(), ""),
            (request(&[], &[]), "no certificate"),
            (request(&many, &[]), "more than 32"),
            (
                request(&[id(SHA_1, 1)], &[critical]),
                "critical extension 1.2.3",
            ),
            (request(&[negative], &[]), ""),
            (
                request(&[asn1::sequence([algorithm(SHA_1)])], &[]),
                "four fields",
            ),
        ] {
            let why = StatusRequest::parse(&der).unwrap_err();
            assert!(why.contains(told), "{why}");
        }
        // A NULL with content, in which anyone could write what they like.
        let stuffed = |content: &[u8]| {
            let null = asn1::element(Tag::Null, content);
            let algorithm = asn1::sequence([asn1::oid(SHA_1), null]);
            let issuer = [asn1::octet_string(&[1; 20]), asn1::octet_string(&[2; 20])];
            let [name, key] = issuer;
            let id = asn1::sequence([algorithm, name, key, asn1::number(1)]);
            StatusRequest::parse(&request(&[id], &[]))
        };
        assert!(stuffed(&[]).unwrap().certificates()[0].has_null());
        for content in [&[0][..], &[1, 2, 3, 4], &[5, 0]] {
            assert!(stuffed(content).is_err(), "{content:?}");
        }
        for length in 0..good.len() {
            assert!(StatusRequest::parse(&good[..length]).is_err(), "{length}");
        }
    }
}
