//! SSH: public keys, certificates (PROTOCOL.certkeys) and signatures of files (PROTOCOL.sshsig),
//! read but not believed.
//!
//! What is on the wire is read by `ssh-key`; signatures are checked as all others are. SHA-1 is
//! nowhere in it, and keys on security tokens (`sk-…`) are not accepted.

use base64ct::{Base64, Encoding};
use ssh_key::certificate::CertType;
use ssh_key::encoding::{Decode, Encode};
use ssh_key::public::{EcdsaPublicKey, KeyData};
use ssh_key::{Algorithm, Certificate, EcdsaCurve, HashAlg, Mpint, Signature, SshSig};

use super::jose::rsa::{self, NotAKey};
use crate::crypto::{Hash, KeyKind, PublicKey, Scheme, Verifier};
use crate::reason::Reason;
use crate::time::Time;

/// The namespace of signatures that show who holds a key: what it signs for anything else shows
/// nothing here.
pub const NAMESPACE: &str = "proof@avouch";

/// The longest key or certificate in characters: two keys of RSA with 8192 bits and 256 names fit.
const LONGEST_KEY: usize = 48 << 10;

/// The longest signature in characters: a key and a signature of RSA with 8192 bits fit.
const LONGEST_PROOF: usize = 8 << 10;

/// The end of the name of what is a certificate and no bare key.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// The last second of the year 9999: later is never, as for certificates without an end.
const NEVER: i64 = 253_402_300_799;

/// What whoever holds a key signs to show it: that they ask this relying party, and that it was not
/// signed before the party gave out the challenge.
pub fn statement(audience: &str, challenge: &str) -> String {
    format!("avouch proof of possession 1\nchallenge {challenge}\nfor {audience}\n")
}

/// Why something is no key to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// It cannot be read, or is of a kind that is not accepted.
    Unread,
    /// It can be broken, for this reason.
    Weak(String),
}

impl NoKey {
    /// In words: that it is weak, or else that it is not as it should be.
    pub fn or_else(&self, expected: &str) -> String {
        match self {
            Self::Unread => expected.to_owned(),
            Self::Weak(why) => format!("it must be no weak key: {why}"),
        }
    }
}

/// A public key of a kind that can be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    data: KeyData,
    key: PublicKey,
}

impl SshKey {
    /// Reads a line as it stands in a file `.pub`; of several nobody could tell which is meant.
    ///
    /// # Errors
    ///
    /// Why it is no key to be used.
    pub fn parse(text: &str) -> Result<Self, NoKey> {
        let line = text.trim();
        if line.contains(['\n', '\r']) {
            return Err(NoKey::Unread);
        }
        let read = ssh_key::PublicKey::from_openssh(line).map_err(|_| NoKey::Unread)?;
        Self::of(read.key_data())
    }

    /// One that was read, unless it is of a kind that is not accepted.
    fn of(data: &KeyData) -> Result<Self, NoKey> {
        let key = match data {
            KeyData::Ed25519(key) => PublicKey::new(KeyKind::Ed25519, key.0),
            KeyData::Ecdsa(key) => {
                let kind = match key {
                    EcdsaPublicKey::NistP256(_) => KeyKind::P256,
                    EcdsaPublicKey::NistP384(_) => KeyKind::P384,
                    EcdsaPublicKey::NistP521(_) => KeyKind::P521,
                };
                PublicKey::new(kind, key.as_sec1_bytes())
            }
            KeyData::Rsa(key) => {
                let (modulus, exponent) = (key.n(), key.e());
                let numbers = modulus
                    .as_positive_bytes()
                    .zip(exponent.as_positive_bytes());
                let (modulus, exponent) = numbers.ok_or(NoKey::Unread)?;
                rsa::public_key(modulus, exponent).map_err(|reason| match reason {
                    NotAKey::Malformed(_) => NoKey::Unread,
                    NotAKey::Weak(why) => NoKey::Weak(why),
                })?
            }
            _ => return Err(NoKey::Unread),
        };
        if !key.is_well_formed() {
            return Err(NoKey::Unread);
        }
        Ok(Self {
            data: data.clone(),
            key,
        })
    }

    /// The key as signatures are checked with it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// As people compare it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.data.fingerprint(HashAlg::Sha256).to_string()
    }

    /// As it is on the wire.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        self.data.encode_vec().ok()
    }

    /// Whether it is this one.
    pub fn is(&self, data: &KeyData) -> bool {
        self.data == *data
    }

    /// Whether the private half of it signed the message.
    pub fn has_signed(&self, message: &[u8], signature: &Signature, crypto: &dyn Verifier) -> bool {
        self.plain(signature).is_some_and(|(scheme, signature)| {
            let checked = crypto.verify(&self.key, scheme, message, &signature);
            checked.is_ok()
        })
    }

    /// A signature in the form in which it is checked.
    fn plain(&self, signature: &Signature) -> Option<(Scheme, Vec<u8>)> {
        let bytes = signature.as_bytes();
        match (&self.data, signature.algorithm()) {
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
                Some((Scheme::EcdsaFixed(hash), fixed(bytes, size)?))
            }
            _ => None,
        }
    }
}

/// Two numbers of any length (RFC 5656 3.1.2) become two of one.
fn fixed(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut rest = bytes;
    let mut fixed = Vec::with_capacity(2 * size);
    for _ in 0..2 {
        let number = Mpint::decode(&mut rest).ok()?;
        let number = number.as_positive_bytes()?;
        fixed.resize(fixed.len() + size.checked_sub(number.len())?, 0);
        fixed.extend_from_slice(number);
    }
    rest.is_empty().then_some(fixed)
}

/// Whom a certificate is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshKind {
    /// A host, under its names.
    Host,
    /// A user, under the names of the accounts that may be used.
    User,
}

impl SshKind {
    /// The name in an anchor.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::User => "user",
        }
    }
}

/// A certificate. Whether its authority signed it is not known yet.
#[derive(Clone, Debug)]
pub struct SshCertificate {
    read: Certificate,
    /// All that stands before the signature.
    signed: Vec<u8>,
    key: SshKey,
    authority: SshKey,
}

impl SshCertificate {
    /// Reads one that fills `bytes`; says why it cannot.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let read = Certificate::from_bytes(bytes).map_err(|_| "it is no certificate of SSH")?;
        let mut end = Vec::new();
        let encoded = read.signature().encode_prefixed(&mut end);
        let signed = encoded.ok().and_then(|()| bytes.strip_suffix(&*end));
        let signed = signed.ok_or("its signature is not at its end")?.to_vec();
        let why = |no: NoKey| no.or_else("it must be Ed25519, ECDSA or RSA");
        let why_of_authority = |no: NoKey| match no {
            NoKey::Unread => why(no),
            NoKey::Weak(why) => format!("its authority must have no weak key: {why}"),
        };
        Ok(Self {
            key: SshKey::of(read.public_key()).map_err(why)?,
            authority: SshKey::of(read.signature_key()).map_err(why_of_authority)?,
            read,
            signed,
        })
    }

    /// The key that it certifies.
    pub fn key(&self) -> &SshKey {
        &self.key
    }

    /// The key that it says it was signed with.
    pub fn authority(&self) -> &SshKey {
        &self.authority
    }

    /// Whom it is of.
    pub fn kind(&self) -> SshKind {
        match self.read.cert_type() {
            CertType::Host => SshKind::Host,
            CertType::User => SshKind::User,
        }
    }

    /// The names it is for.
    pub fn principals(&self) -> &[String] {
        self.read.valid_principals()
    }

    /// How its authority calls it.
    pub fn key_id(&self) -> &str {
        self.read.key_id()
    }

    /// Its number.
    pub fn serial(&self) -> u64 {
        self.read.serial()
    }

    /// The names of its critical options: what must be kept to by whoever takes it.
    pub fn critical_options(&self) -> impl Iterator<Item = &str> {
        self.read.critical_options().keys().map(String::as_str)
    }

    /// From when on it is valid.
    pub fn valid_from(&self) -> Time {
        time(self.read.valid_after())
    }

    /// The first moment at which it is valid no more.
    pub fn valid_until(&self) -> Time {
        time(self.read.valid_before())
    }

    /// Whether it was signed by the authority it names.
    pub fn is_signed(&self, crypto: &dyn Verifier) -> bool {
        let signature = self.read.signature();
        self.authority.has_signed(&self.signed, signature, crypto)
    }

    /// How many bytes of it were signed.
    pub(crate) fn size(&self) -> usize {
        self.signed.len()
    }
}

fn time(seconds: u64) -> Time {
    Time::from_unix(i64::try_from(seconds).unwrap_or(NEVER).min(NEVER))
}

/// What is presented: a certificate, or a bare key.
#[derive(Clone, Debug)]
pub(crate) enum Presented {
    Certificate(Box<SshCertificate>),
    Key(SshKey),
}

impl Presented {
    /// Reads a line as it stands in a file `.pub`.
    pub(crate) fn read(text: &str) -> Result<Self, Reason> {
        let text = text.trim();
        check_size("SSH key", text.len(), LONGEST_KEY)?;
        let refuse = |detail: &str| Reason::SshMalformed {
            part: "key or certificate",
            detail: detail.to_owned(),
        };
        if text.contains(['\n', '\r']) {
            return Err(refuse("it has several lines, and one is asked about"));
        }
        let mut words = text.split_ascii_whitespace();
        let is_certificate = words.next().is_some_and(|kind| kind.ends_with(CERTIFICATE));
        if !is_certificate {
            let key = SshKey::parse(text);
            let expected = "it must be a line as in a file `.pub`: Ed25519, ECDSA or RSA";
            return key
                .map(Self::Key)
                .map_err(|no| refuse(&no.or_else(expected)));
        }
        let bytes = words.next().and_then(|body| Base64::decode_vec(body).ok());
        let bytes = bytes.ok_or_else(|| refuse("what follows its kind is no base64"))?;
        let certificate = SshCertificate::parse(&bytes).map_err(|why| refuse(&why))?;
        Ok(Self::Certificate(Box::new(certificate)))
    }

    /// The key whose holder is meant.
    pub(crate) fn key(&self) -> &SshKey {
        match self {
            Self::Certificate(certificate) => certificate.key(),
            Self::Key(key) => key,
        }
    }
}

/// A signature by which someone shows that they hold a key.
#[derive(Clone, Debug)]
pub(crate) struct Proof(SshSig);

impl Proof {
    /// Reads one as `ssh-keygen -Y sign` writes it.
    pub(crate) fn read(text: &str) -> Result<Self, Reason> {
        check_size("proof", text.len(), LONGEST_PROOF)?;
        let read = SshSig::from_pem(text.trim().as_bytes());
        read.map(Self).map_err(|_| Reason::SshMalformed {
            part: "proof",
            detail: "it must be a signature as `ssh-keygen -Y sign` writes it".to_owned(),
        })
    }

    /// What it was made for.
    pub(crate) fn namespace(&self) -> &str {
        self.0.namespace()
    }

    /// Whether it was made with this key.
    pub(crate) fn is_of(&self, key: &SshKey) -> bool {
        key.is(self.0.public_key())
    }

    /// The key it was made with.
    pub(crate) fn fingerprint(&self) -> String {
        self.0.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// Whether it is one of `key` over this message.
    pub(crate) fn is_over(&self, message: &str, key: &SshKey, crypto: &dyn Verifier) -> bool {
        let hash = self.0.hash_alg();
        let signed = SshSig::signed_data(NAMESPACE, hash, message.as_bytes());
        signed.is_ok_and(|signed| key.has_signed(&signed, self.0.signature(), crypto))
    }
}

fn check_size(part: &'static str, size: usize, allowed: usize) -> Result<(), Reason> {
    if size <= allowed {
        return Ok(());
    }
    Err(Reason::InputSize {
        part,
        size,
        allowed,
    })
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;

    /// A line as in a file `.pub`, with a key of RSA of this modulus.
    fn line(modulus: &BigUint) -> String {
        let part = |bytes: &[u8]| {
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            [&length, bytes].concat()
        };
        // RFC 4251 5: a zero in front only of what would be negative without it.
        let mut modulus = modulus.to_bytes_be();
        if modulus.first().is_some_and(|first| *first >= 0x80) {
            modulus.insert(0, 0);
        }
        let bytes = [part(b"ssh-rsa"), part(&[1, 0, 1]), part(&modulus)].concat();
        format!("ssh-rsa {} someone", Base64::encode_string(&bytes))
    }

    #[test]
    fn a_key_that_can_be_factored_is_told_as_weak() {
        let prime = BigUint::from(3_u32).pow(647);
        let said = |modulus: &BigUint| match Presented::read(&line(modulus)) {
            Ok(_) => String::new(),
            Err(reason) => reason.sentence(),
        };
        let close = said(&(&prime * (&prime + 1_000_u32)));
        assert!(close.contains("no weak key"), "{close}");
        assert!(close.contains("Fermat"), "{close}");
        let marked = said(&BigUint::from(65_537_u32).pow(129));
        assert!(marked.contains("ROCA"), "{marked}");
        let short = said(&BigUint::from(3_u32).pow(700));
        assert!(short.contains("bits"), "{short}");
        // The near miss.
        assert_eq!(said(&(&prime * (&prime * 2_u32 + 1_u32))), "");
    }
}
