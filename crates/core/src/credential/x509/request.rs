//! Certification requests (PKCS#10, RFC 2986): a public key, and proof that whoever asks has its
//! private half.

use der::asn1::AnyRef;
use der::{Decode, Encode, Tag};

use super::algorithm::{self, KeyProblem, SignatureAlgorithm};
use super::der_read::{Context, Detail, decode, detail, elements, expect};
use super::signed::Signed;
use crate::crypto::{NotSigned, PublicKey, Verifier};

/// Reads a DER `SubjectPublicKeyInfo` (RFC 5280 4.1.2.7) that fills `info`, and makes sure that it
/// can be a key at all.
///
/// # Errors
///
/// What it is instead of a key that is accepted.
pub fn read_public_key(info: &[u8]) -> Result<PublicKey, KeyProblem> {
    let key = algorithm::public_key(info).map_err(KeyProblem::Malformed)??;
    if key.is_well_formed() {
        Ok(key)
    } else {
        let detail = format!("it is not a key of the kind {}", key.kind().name());
        Err(KeyProblem::Malformed(detail))
    }
}

/// A certification request, read but not believed. Of what it asks for only the key is kept: who
/// someone is, is not for them to say.
#[derive(Clone, Debug)]
pub struct CertificationRequest {
    signed: Vec<u8>,
    public_key_info: Vec<u8>,
    signature_algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

impl CertificationRequest {
    /// Reads one DER request that fills `der`.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, for the detail of a refusal.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let outer = Signed::read(der)?;
        Ok(Self {
            signed: outer.content.to_vec(),
            public_key_info: public_key_info(outer.content)?,
            signature_algorithm: outer.algorithm,
            signature: outer.signature.to_vec(),
        })
    }

    /// The `SubjectPublicKeyInfo`.
    pub fn public_key_info(&self) -> &[u8] {
        &self.public_key_info
    }

    /// Whether the private half of `key` signed it.
    ///
    /// # Errors
    ///
    /// [`NotSigned`], also where the algorithm is one that is never accepted.
    pub fn check_signature(&self, key: &PublicKey, crypto: &dyn Verifier) -> Result<(), NotSigned> {
        match &self.signature_algorithm {
            SignatureAlgorithm::Known(scheme) => {
                crypto.verify(key, *scheme, &self.signed, &self.signature)
            }
            SignatureAlgorithm::Forbidden(_) => Err(NotSigned),
        }
    }
}

/// The key in a `CertificationRequestInfo` (RFC 2986 4.1). Its version is 0, and attributes come
/// last, under the tag 0.
fn public_key_info(info: &[u8]) -> Result<Vec<u8>, Detail> {
    let info = AnyRef::from_der(info).map_err(detail)?;
    let fields = elements(expect(info, Tag::Sequence)?)?;
    let (version, subject, key) = match fields.as_slice() {
        [version, subject, key] => (version, subject, key),
        [version, subject, key, attributes]
            if Context::of(*attributes) == Context::Constructed(0) =>
        {
            (version, subject, key)
        }
        _ => return Err("it is not a version, a subject, a key and attributes".to_owned()),
    };
    if decode::<u8>(*version)? != 0 {
        return Err("its version is not 1, which is written 0".to_owned());
    }
    expect(*subject, Tag::Sequence)?;
    key.to_der().map_err(detail)
}

#[cfg(test)]
mod tests {
    use avouch_testkit::asn1;
    use avouch_testkit::key::Key;

    use super::*;
    use crate::crypto::{AwsLc, KeyKind};

    /// A request whose parts may be wrong: version, subject, what stands for the attributes.
    fn request(version: u64, attributes: &[u8], key: &Key, signer: &Key) -> Vec<u8> {
        let info = asn1::sequence([
            asn1::number(version),
            asn1::sequence::<Vec<u8>>([]),
            key.public_key_info(),
            attributes.to_vec(),
        ]);
        let signature = signer.sign(signer.scheme(), &info);
        let algorithm = signer.scheme().identifier_for(signer.kind());
        asn1::sequence([info, algorithm, asn1::bit_string(0, &signature)])
    }

    #[test]
    fn a_request_is_signed_by_the_key_it_brings() {
        for key in [Key::p256("a"), Key::ed25519("a"), Key::p384("a")] {
            let der = request(0, &asn1::constructed(0, &[]), &key, &key);
            let request = CertificationRequest::parse(&der).unwrap();
            assert_eq!(request.public_key_info(), key.public_key_info());
            let public = read_public_key(request.public_key_info()).unwrap();
            assert_eq!(request.check_signature(&public, &AwsLc), Ok(()));
        }
    }

    #[test]
    fn a_request_signed_by_another_key_is_not_signed() {
        let der = request(0, &[], &Key::p256("a"), &Key::p256("b"));
        let request = CertificationRequest::parse(&der).unwrap();
        let public = read_public_key(request.public_key_info()).unwrap();
        assert_eq!(request.check_signature(&public, &AwsLc), Err(NotSigned));
    }

    #[test]
    fn what_is_not_a_request_says_what_is_wrong() {
        let key = Key::p256("a");
        let good = request(0, &[], &key, &key);
        let mut longer = good.clone();
        longer.push(0);
        for der in [
            Vec::new(),
            b"-----BEGIN CERTIFICATE REQUEST-----".to_vec(),
            good[..good.len() - 1].to_vec(),
            longer,
            request(1, &[], &key, &key),
            request(0, &asn1::constructed(1, &[]), &key, &key),
        ] {
            assert!(CertificationRequest::parse(&der).is_err(), "{der:02x?}");
        }
    }

    #[test]
    fn a_point_off_its_curve_is_no_key() {
        let key = Key::p256("a");
        assert_eq!(
            read_public_key(&key.public_key_info()).unwrap().kind(),
            KeyKind::P256
        );
        let mut info = key.public_key_info();
        *info.last_mut().unwrap() ^= 1;
        assert!(matches!(
            read_public_key(&info),
            Err(KeyProblem::Malformed(_))
        ));
    }
}
