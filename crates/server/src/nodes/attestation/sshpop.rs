//! The certificate of a host of SSH and its key: the attestor names the authorities, and the node
//! signs the statement as `ssh-keygen -Y sign` would.
//!
//! What is on the wire is read by `ssh-key`; signatures are checked as all others are.

use avouch_api::attestation::SSH_NAMESPACE;
use avouch_api::grpc::node::SshPossession;
use avouch_api::grpc::node::evidence::Shown;
use avouch_api::members::Members;
use avouch_core::credential::x509::read_public_key;
use avouch_core::crypto::{AwsLc, Hash, PublicKey, Scheme, Verifier};
use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::{Any, BitString, UintRef};
use der::{Encode as _, Sequence};
use ssh_key::certificate::CertType;
use ssh_key::encoding::{Decode, Encode};
use ssh_key::public::{EcdsaPublicKey, KeyData};
use ssh_key::{Algorithm, Certificate, EcdsaCurve, HashAlg, Mpint, Signature, SshSig};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::{Attestation, Attested, Facts, Method, Moment};
use crate::fault::Refused;

/// The longest certificate in bytes: two keys of RSA with 8192 bits and 256 names fit.
const LONGEST_CERTIFICATE: usize = 32 << 10;

/// The longest signature in bytes: a key and a signature of RSA with 8192 bits fit.
const LONGEST_SIGNATURE: usize = 4 << 10;

/// The most authorities of one attestor.
const MOST_AUTHORITIES: usize = 64;

/// The last second of the year 9999: later is never, as for certificates without an end.
const NEVER: i64 = 253_402_300_799;

/// Whom an attestor believes.
pub(super) struct SshPop {
    authorities: Vec<KeyData>,
    /// Where all names of a host must lie; anywhere if there is none.
    domains: Vec<String>,
}

impl SshPop {
    pub(super) fn read(mut members: Members) -> Result<Self, Reason> {
        let texts = members.text_list("authorities")?;
        if texts.is_empty() {
            let detail = "names none, so no host would ever be believed";
            return Err(members.refuse("authorities", detail));
        }
        if texts.len() > MOST_AUTHORITIES {
            return Err(members.refuse("authorities", "names too many"));
        }
        let authorities = texts.iter().map(|text| {
            let key = ssh_key::PublicKey::from_openssh(text).ok();
            let key = key.map(|key| key.key_data().clone());
            key.filter(|key| public_key(key).is_some()).ok_or_else(|| {
                let detail = "must be keys as in a file `.pub`: Ed25519, ECDSA or RSA";
                members.refuse("authorities", detail)
            })
        });
        let authorities = authorities.collect::<Result<Vec<_>, _>>()?;
        let domains = members.text_list("domains")?;
        members.finish()?;
        Ok(Self {
            authorities,
            domains: domains.iter().map(|one| one.to_ascii_lowercase()).collect(),
        })
    }

    /// Whether a certificate is of a host that the attestor believes, in the order of what costs
    /// least.
    fn judge(&self, host: &Certificate, now: Time) -> Result<(), Reason> {
        let found = match host.cert_type() {
            CertType::Host if self.authorities.contains(host.public_key()) => {
                Some("the key of an authority")
            }
            CertType::Host => None,
            CertType::User => Some("the certificate of a user"),
        };
        if let Some(found) = found {
            return Err(Reason::IssueSshKind { found });
        }
        let authority = host.signature_key();
        if !self.authorities.contains(authority) {
            return Err(Reason::IssueSshAuthority {
                authority: fingerprint(authority),
            });
        }
        if let Some(option) = host.critical_options().keys().next() {
            return Err(Reason::IssueSshOption {
                option: option.chars().take(64).collect(),
            });
        }
        let time =
            |seconds: u64| Time::from_unix(i64::try_from(seconds).unwrap_or(NEVER).min(NEVER));
        let (from, until) = (time(host.valid_after()), time(host.valid_before()));
        if now < from || until <= now {
            return Err(Reason::IssueSshNotValid {
                from,
                until,
                at: now,
            });
        }
        self.judge_principals(host.valid_principals())
    }

    /// A certificate for no one is not one for everyone, and a pattern is not a name.
    fn judge_principals(&self, principals: &[String]) -> Result<(), Reason> {
        let is_name = |name: &String| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte))
        };
        let lies_in = |name: &str, domain: &String| {
            name == domain
                || name
                    .strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
        };
        let is_taken = |name: &String| {
            let lower = name.to_ascii_lowercase();
            let mut domains = self.domains.iter();
            is_name(name) && (self.domains.is_empty() || domains.any(|one| lies_in(&lower, one)))
        };
        if !principals.is_empty() && principals.iter().all(is_taken) {
            return Ok(());
        }
        let accepted = if self.domains.is_empty() {
            vec!["names of hosts".to_owned()]
        } else {
            self.domains.clone()
        };
        let shown = principals.iter().take(8);
        let shown: Vec<String> = shown.map(|one| one.chars().take(128).collect()).collect();
        Err(Reason::IssueSshPrincipal {
            principals: if shown.is_empty() {
                vec!["nobody in particular".to_owned()]
            } else {
                shown
            },
            accepted,
        })
    }
}

impl Attestation for SshPop {
    fn check(&self, shown: &Shown, moment: &Moment<'_>) -> Result<Attested, Refused> {
        let Shown::Sshpop(shown) = shown else {
            return Err(malformed("it is of another method").into());
        };
        check_size(shown)?;
        let host = Certificate::from_bytes(&shown.certificate)
            .map_err(|_| malformed("it is no certificate of SSH"))?;
        check_possession(&host, &shown.signature, moment.statement)?;
        self.judge(&host, moment.now)?;
        check_signed(&host, &shown.certificate)?;
        let mut facts = Facts::default();
        for name in host.valid_principals() {
            facts.note("sshpop:principal", &name.to_ascii_lowercase());
        }
        facts.note("sshpop:key_id", host.key_id());
        facts.note("sshpop:serial", &host.serial().to_string());
        facts.note("sshpop:fingerprint", &fingerprint(host.public_key()));
        facts.note("sshpop:ca:fingerprint", &fingerprint(host.signature_key()));
        // The key of a host stays when it is certified anew, and so does the node.
        let key = host.public_key().encode_vec();
        let key = key.map_err(|_| malformed("its key cannot be written"))?;
        let name = Digest::of(&key).to_string().chars().take(40).collect();
        Ok(Attested {
            name,
            facts,
            made: None,
        })
    }
}

fn check_size(shown: &SshPossession) -> Result<(), Reason> {
    for (part, size, allowed) in [
        (
            "host certificate",
            shown.certificate.len(),
            LONGEST_CERTIFICATE,
        ),
        ("signature", shown.signature.len(), LONGEST_SIGNATURE),
    ] {
        if size > allowed {
            return Err(Reason::InputSize {
                part,
                size,
                allowed,
            });
        }
    }
    Ok(())
}

/// Whether the statement was signed with the key of the host, and in our namespace: what the host
/// signs for its clients, or for anyone else, is nothing here.
fn check_possession(host: &Certificate, signature: &[u8], statement: &[u8]) -> Result<(), Reason> {
    let proven = || {
        let mut rest = signature;
        let signed = SshSig::decode(&mut rest).ok().filter(|_| rest.is_empty())?;
        if signed.namespace() != SSH_NAMESPACE || signed.public_key() != host.public_key() {
            return None;
        }
        let message = SshSig::signed_data(SSH_NAMESPACE, signed.hash_alg(), statement).ok()?;
        is_signed(host.public_key(), signed.signature(), &message).then_some(())
    };
    proven().ok_or(Reason::IssueAttestationNotProven {
        method: Method::SshPop.name(),
    })
}

/// Whether a certificate was signed by the authority it names: all that stands before the signature
/// (PROTOCOL.certkeys).
fn check_signed(host: &Certificate, bytes: &[u8]) -> Result<(), Reason> {
    let signed = || {
        let mut end = Vec::new();
        host.signature().encode_prefixed(&mut end).ok()?;
        let message = bytes.strip_suffix(end.as_slice())?;
        is_signed(host.signature_key(), host.signature(), message).then_some(())
    };
    signed().ok_or_else(|| Reason::IssueSshNotSigned {
        authority: fingerprint(host.signature_key()),
    })
}

fn is_signed(key: &KeyData, signature: &Signature, message: &[u8]) -> bool {
    let parts = public_key(key).zip(plain(key, signature));
    parts.is_some_and(|(key, (scheme, signature))| {
        AwsLc.verify(&key, scheme, message, &signature).is_ok()
    })
}

/// A signature in the form in which it is checked. SHA-1 is nowhere in it.
fn plain(key: &KeyData, signature: &Signature) -> Option<(Scheme, Vec<u8>)> {
    let bytes = signature.as_bytes();
    match (key, signature.algorithm()) {
        (KeyData::Ed25519(_), Algorithm::Ed25519) => Some((Scheme::Ed25519, bytes.to_vec())),
        (KeyData::Rsa(_), Algorithm::Rsa { hash }) => {
            let hash = match hash? {
                HashAlg::Sha256 => Hash::Sha256,
                HashAlg::Sha512 => Hash::Sha512,
                _ => return None,
            };
            Some((Scheme::RsaPkcs1(hash), bytes.to_vec()))
        }
        (KeyData::Ecdsa(key), Algorithm::Ecdsa { curve }) if key.curve() == curve => {
            let (hash, size) = match curve {
                EcdsaCurve::NistP256 => (Hash::Sha256, 32),
                EcdsaCurve::NistP384 => (Hash::Sha384, 48),
                EcdsaCurve::NistP521 => (Hash::Sha512, 66),
            };
            // Two numbers of any length (RFC 5656 3.1.2) become two of one.
            let mut rest = bytes;
            let mut fixed = Vec::with_capacity(2 * size);
            for _ in 0..2 {
                let number = Mpint::decode(&mut rest).ok()?;
                let number = number.as_positive_bytes()?;
                fixed.resize(fixed.len() + size.checked_sub(number.len())?, 0);
                fixed.extend_from_slice(number);
            }
            rest.is_empty().then_some((Scheme::EcdsaFixed(hash), fixed))
        }
        _ => None,
    }
}

/// A key as the core knows it, unless it is of a kind that is not accepted.
fn public_key(key: &KeyData) -> Option<PublicKey> {
    let info = match key {
        KeyData::Ed25519(key) => info(rfc8410::ID_ED_25519, None, &key.0)?,
        KeyData::Ecdsa(key) => {
            let curve = match key {
                EcdsaPublicKey::NistP256(_) => rfc5912::SECP_256_R_1,
                EcdsaPublicKey::NistP384(_) => rfc5912::SECP_384_R_1,
                EcdsaPublicKey::NistP521(_) => rfc5912::SECP_521_R_1,
            };
            let curve = Any::encode_from(&curve).ok()?;
            info(rfc5912::ID_EC_PUBLIC_KEY, Some(curve), key.as_sec1_bytes())?
        }
        KeyData::Rsa(key) => {
            let numbers = RsaPublicKey {
                modulus: UintRef::new(key.n().as_positive_bytes()?).ok()?,
                public_exponent: UintRef::new(key.e().as_positive_bytes()?).ok()?,
            };
            info(
                rfc5912::RSA_ENCRYPTION,
                Some(Any::null()),
                &numbers.to_der().ok()?,
            )?
        }
        _ => return None,
    };
    read_public_key(&info).ok()
}

/// `RSAPublicKey` (RFC 8017 A.1.1).
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// A `SubjectPublicKeyInfo` (RFC 5280 4.1.2.7).
fn info(oid: ObjectIdentifier, parameters: Option<Any>, key: &[u8]) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid, parameters },
        subject_public_key: BitString::from_bytes(key).ok()?,
    };
    info.to_der().ok()
}

/// A key as people compare it: `SHA256:…`.
fn fingerprint(key: &KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn malformed(detail: &str) -> Reason {
    super::malformed(Method::SshPop, detail)
}
