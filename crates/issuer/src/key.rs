//! Public keys: those of authorities, and those that credentials are issued for.

use avouch_core::credential::x509::{CertificationRequest, KeyProblem, read_public_key};
use avouch_core::crypto::{AwsLc, KeyKind, PublicKey};
use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use base64ct::{Base64UrlUnpadded, Encoding};
use der::asn1::{BitStringRef, Null, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use serde_json::{Map, Value};
use x509_cert::spki::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// RFC 5480 2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// `rsaEncryption` (RFC 8017 A.1), whose parameters are NULL.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// The kinds of keys that credentials are issued for everywhere.
const ISSUED_FOR: [KeyKind; 2] = [KeyKind::P256, KeyKind::P384];

/// A public key with its DER form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHalf {
    key: PublicKey,
    info: Vec<u8>,
}

impl PublicHalf {
    /// Reads a DER `SubjectPublicKeyInfo` (RFC 5280 4.1.2.7).
    ///
    /// # Errors
    ///
    /// `issue.public_key_malformed`, `issue.key_not_accepted`.
    pub fn from_info(info: &[u8]) -> Result<Self, Reason> {
        let key = read_public_key(info).map_err(refused)?;
        let info = info.to_vec();
        Ok(Self { key, info })
    }

    /// A key on one of the curves of NIST, as a proof has shown it to be someone's.
    ///
    /// # Errors
    ///
    /// `issue.key_not_accepted`.
    pub fn of_point(key: &PublicKey) -> Result<Self, Reason> {
        let curve = match key.kind() {
            KeyKind::P256 => SECP256R1,
            KeyKind::P384 => SECP384R1,
            other => {
                return Err(Reason::IssueKeyKind {
                    found: other.name(),
                    accepted: ISSUED_FOR.map(KeyKind::name).to_vec(),
                });
            }
        };
        let malformed = |error: der::Error| Reason::IssuePublicKey {
            detail: error.to_string(),
        };
        let info = SubjectPublicKeyInfo {
            algorithm: AlgorithmIdentifier {
                oid: EC_PUBLIC_KEY,
                parameters: Some(curve),
            },
            subject_public_key: BitStringRef::from_bytes(key.bytes()).map_err(malformed)?,
        };
        Self::from_info(&info.to_der().map_err(malformed)?)
    }

    /// A key of RSA, from its numbers in big-endian order.
    pub(crate) fn of_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, Reason> {
        let encode = || {
            let key = RsaPublicKey {
                modulus: UintRef::new(modulus)?,
                exponent: UintRef::new(exponent)?,
            };
            let key = key.to_der()?;
            SubjectPublicKeyInfo {
                algorithm: AlgorithmIdentifier {
                    oid: RSA_ENCRYPTION,
                    parameters: Some(Null),
                },
                subject_public_key: BitStringRef::from_bytes(&key)?,
            }
            .to_der()
        };
        let info = encode().map_err(|error: der::Error| Reason::IssuePublicKey {
            detail: error.to_string(),
        })?;
        Self::from_info(&info)
    }

    /// Takes the key out of a certification request (PKCS#10, RFC 2986) whose sender has shown to
    /// hold the private half, whatever else it asks for. For an SVID,
    /// [`SigningRequest`](crate::signing_request::SigningRequest) judges that, too.
    ///
    /// # Errors
    ///
    /// `issue.request_malformed`, `issue.request_not_signed`, and those of
    /// [`PublicHalf::from_info`].
    pub fn from_signing_request(der: &[u8]) -> Result<Self, Reason> {
        let request =
            CertificationRequest::parse(der).map_err(|detail| Reason::IssueRequest { detail })?;
        let half = Self::from_info(request.public_key_info())?;
        request
            .check_signature(&half.key, &AwsLc)
            .map_err(|_| Reason::IssueRequestNotSigned {})?;
        Ok(half)
    }

    /// The key as the core knows it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.key.kind()
    }

    /// The DER `SubjectPublicKeyInfo`.
    pub fn info(&self) -> &[u8] {
        &self.info
    }

    /// The key identifier: the leftmost 160 bits of the SHA-256 digest of the key (RFC 7093
    /// 2 (1)).
    pub fn identifier(&self) -> [u8; 20] {
        let mut identifier = [0; 20];
        let digest = Digest::of(self.key.bytes());
        for (to, from) in identifier.iter_mut().zip(digest.as_bytes()) {
            *to = *from;
        }
        identifier
    }

    /// The members of the key as a JSON Web Key that say which key it is (RFC 7518 6.2.1, RFC 8037
    /// 2), or `None` for a kind that is not issued for.
    pub(crate) fn jwk(&self) -> Option<Map<String, Value>> {
        if let KeyKind::Rsa(_) = self.kind() {
            return self.rsa_jwk();
        }
        let (key_type, curve) = match self.kind() {
            KeyKind::Ed25519 => ("OKP", "Ed25519"),
            KeyKind::P256 => ("EC", "P-256"),
            KeyKind::P384 => ("EC", "P-384"),
            KeyKind::P521 => ("EC", "P-521"),
            KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 | KeyKind::Rsa(_) => {
                return None;
            }
        };
        // In the order of their names, in which a thumbprint takes them.
        let mut members = vec![("crv", curve.to_owned()), ("kty", key_type.to_owned())];
        let bytes = self.key.bytes();
        if key_type == "OKP" {
            members.push(("x", Base64UrlUnpadded::encode_string(bytes)));
        } else {
            // An uncompressed point: 4, then two coordinates of one length (SEC 1 2.3.3).
            let (_, coordinates) = bytes.split_first()?;
            let (x, y) = coordinates.split_at_checked(coordinates.len() / 2)?;
            members.push(("x", Base64UrlUnpadded::encode_string(x)));
            members.push(("y", Base64UrlUnpadded::encode_string(y)));
        }
        let members = members.into_iter();
        Some(
            members
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        )
    }

    /// RFC 7518 6.3.1.
    fn rsa_jwk(&self) -> Option<Map<String, Value>> {
        let key = RsaPublicKey::from_der(self.key.bytes()).ok()?;
        let number = |number: UintRef<'_>| Base64UrlUnpadded::encode_string(number.as_bytes());
        let members = [
            ("e", number(key.exponent)),
            ("kty", "RSA".to_owned()),
            ("n", number(key.modulus)),
        ];
        let members = members.into_iter();
        Some(
            members
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        )
    }

    /// The SHA-256 thumbprint of the key as a JSON Web Key, as base64url (RFC 7638): the same key
    /// always has the same name, and two keys never have one.
    pub fn thumbprint(&self) -> Option<String> {
        let text = Value::Object(self.jwk()?).to_string();
        let digest = Digest::of(text.as_bytes());
        Some(Base64UrlUnpadded::encode_string(digest.as_bytes()))
    }

    /// Refuses a key of a kind that is not among those accepted.
    pub(crate) fn check_kind(&self, accepted: &[KeyKind]) -> Result<(), Reason> {
        if accepted.contains(&self.kind()) {
            return Ok(());
        }
        Err(Reason::IssueKeyKind {
            found: self.kind().name(),
            accepted: accepted.iter().map(|kind| kind.name()).collect(),
        })
    }
}

/// `RSAPublicKey` (RFC 8017 A.1.1).
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

fn refused(problem: KeyProblem) -> Reason {
    let detail = match problem {
        KeyProblem::Size(bits) => {
            return Reason::IssueKeyKind {
                found: KeyKind::Rsa(bits).name(),
                accepted: ISSUED_FOR.map(KeyKind::name).to_vec(),
            };
        }
        KeyProblem::Forbidden(found) => format!("it is of the kind {found}, which is not accepted"),
        KeyProblem::Malformed(detail) => detail,
    };
    Reason::IssuePublicKey { detail }
}

#[cfg(test)]
mod tests {
    use avouch_testkit::key::Key;

    use super::*;

    #[test]
    fn a_thumbprint_takes_the_members_in_the_order_of_their_names() {
        let half = PublicHalf::from_info(&Key::p256("a").public_key_info()).unwrap();
        let jwk = half.jwk().unwrap();
        let names: Vec<&str> = jwk.keys().map(String::as_str).collect();
        assert_eq!(names, ["crv", "kty", "x", "y"]);
        assert_eq!(half.thumbprint().unwrap().len(), 43);
    }

    #[test]
    fn a_key_of_rsa_that_is_too_short_is_refused_with_the_kinds_that_are_not() {
        let refused = PublicHalf::of_rsa(&[0xff; 128], &[1, 0, 1]);
        let Err(Reason::IssueKeyKind { found, accepted }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(found, "RSA 1024");
        assert_eq!(accepted, ["ECDSA P-256", "ECDSA P-384"]);
    }

    #[test]
    fn the_key_identifier_is_the_head_of_the_digest_of_the_key() {
        let key = Key::p256("a");
        let half = PublicHalf::from_info(&key.public_key_info()).unwrap();
        assert_eq!(half.identifier().to_vec(), key.identifier());
    }
}
