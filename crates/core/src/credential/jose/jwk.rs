//! JSON Web Keys (RFC 7517) and sets of them, as the keys of an issuer.

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json::kind_of;
use super::{base64url, rsa};
use crate::credential::x509::Certificate;
use crate::crypto::{KeyKind, PublicKey};
use crate::id::Digest;
use crate::reason::Reason;

/// The most keys in one set. AWS reads 100, and issuers that rotate daily have 3.
const KEYS_MAX: usize = 100;

/// The members that hold private or shared secrets (RFC 7518 6.2.2, 6.3.2, 6.4.1; RFC 8037 2).
const SECRET_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key that may check the signatures of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    id: Option<String>,
    key: PublicKey,
    algorithm: Option<Algorithm>,
    thumbprint: Digest,
}

impl Jwk {
    /// Reads a key whose `use`, if it is set, must be `expected_use`. `owner` names whose key it is
    /// in refusals.
    ///
    /// # Errors
    ///
    /// `input.jwks_private_key` for a key with secret members, `input.jwk_malformed`,
    /// `federation.key_weak`, and `federation.key_not_for_signing` for what is a key, but not one
    /// to check signatures with.
    pub(crate) fn read(
        object: &Map<String, Value>,
        owner: &str,
        expected_use: &str,
    ) -> Result<Self, Reason> {
        let reader = Reader::of(object, owner)?;
        reader.refuse_secrets()?;
        let kind = reader.required_text("kty")?;
        reader.check_use(expected_use)?;
        let (key, thumbprint) = reader.key(kind)?;
        reader.check_certificate(&key)?;
        let algorithm = reader.algorithm(key.kind())?;
        Ok(Self {
            id: reader.id.map(str::to_owned),
            key,
            algorithm,
            thumbprint,
        })
    }

    /// Its `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The name of the key in a verdict: its `kid`, or its thumbprint.
    pub fn name(&self) -> String {
        match &self.id {
            Some(id) => id.clone(),
            None => format!(
                "thumbprint {}",
                base64url::encode(self.thumbprint.as_bytes())
            ),
        }
    }

    /// The key itself.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The one algorithm it is for, if it says so.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// The SHA-256 thumbprint (RFC 7638).
    pub fn thumbprint(&self) -> Digest {
        self.thumbprint
    }

    /// Whether a signature of this algorithm may be checked with it.
    ///
    /// # Errors
    ///
    /// `federation.key_algorithm_mismatch`.
    pub(crate) fn admits(&self, algorithm: Algorithm) -> Result<(), Reason> {
        let fits =
            algorithm.fits(self.key.kind()) && self.algorithm.is_none_or(|own| own == algorithm);
        if fits {
            return Ok(());
        }
        Err(Reason::KeyAlgorithmMismatch {
            key: self.name(),
            key_algorithm: match self.algorithm {
                Some(own) => own.name().to_owned(),
                None => self.key.kind().name(),
            },
            algorithm: algorithm.name().to_owned(),
        })
    }
}

/// The keys that one issuer publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Jwk>,
    set_aside: Vec<SetAside>,
}

/// A key that is published but is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    id: Option<String>,
    reason: Reason,
}

impl SetAside {
    /// Its `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Why it is not used.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

impl KeySet {
    /// Reads a JWK Set. Keys that cannot check signatures are set aside with their reason
    /// (RFC 7517 5 asks to pass over what is not understood); secrets in public and two keys of
    /// one name refuse the whole set.
    ///
    /// # Errors
    ///
    /// `input.jwks_malformed`, `input.jwks_private_key`, `federation.key_duplicate`.
    pub fn read(issuer: &str, value: &Value) -> Result<Self, Reason> {
        let malformed = |detail: String| Reason::JwksMalformed {
            issuer: issuer.to_owned(),
            detail,
        };
        let keys = match value.get("keys") {
            Some(Value::Array(keys)) => keys,
            Some(other) => {
                return Err(malformed(format!(
                    "`keys` must be a list, but is {}",
                    kind_of(other)
                )));
            }
            None => return Err(malformed("it has no member `keys`".to_owned())),
        };
        if keys.is_empty() {
            return Err(malformed("it has no keys".to_owned()));
        }
        let mut set = Self::default();
        set.add_all(issuer, keys, "sig")
            .map_err(|reason| match reason {
                AddFailed::Refused(reason) => reason,
                AddFailed::Malformed(detail) => malformed(detail),
            })?;
        Ok(set)
    }

    /// Adds the keys of `entries` whose `use` is or may be `expected_use`.
    pub(super) fn add_all<'a>(
        &mut self,
        owner: &str,
        entries: impl IntoIterator<Item = &'a Value>,
        expected_use: &str,
    ) -> Result<(), AddFailed> {
        for (index, entry) in entries.into_iter().enumerate() {
            if index == KEYS_MAX {
                return Err(AddFailed::Malformed(format!(
                    "it has more than {KEYS_MAX} keys"
                )));
            }
            let Value::Object(object) = entry else {
                return Err(AddFailed::Malformed(format!("a key is {}", kind_of(entry))));
            };
            match Jwk::read(object, owner, expected_use) {
                Ok(key) => self.add(owner, key)?,
                Err(reason @ Reason::JwksPrivateKey { .. }) => {
                    return Err(AddFailed::Refused(reason));
                }
                Err(reason) => self.set_aside.push(SetAside {
                    id: object.get("kid").and_then(Value::as_str).map(str::to_owned),
                    reason,
                }),
            }
        }
        Ok(())
    }

    fn add(&mut self, owner: &str, key: Jwk) -> Result<(), AddFailed> {
        let namesake = self
            .keys
            .iter()
            .find(|known| known.id.is_some() && known.id == key.id);
        match namesake {
            // The same key twice says nothing new.
            Some(known) if *known == key => Ok(()),
            Some(_) => Err(AddFailed::Refused(Reason::KeyDuplicate {
                issuer: owner.to_owned(),
                key: key.name(),
            })),
            None => {
                self.keys.push(key);
                Ok(())
            }
        }
    }

    /// Has the set say that it has a key which is not used.
    pub(super) fn set_one_aside(&mut self, id: Option<&str>, reason: Reason) {
        self.set_aside.push(SetAside {
            id: id.map(str::to_owned),
            reason,
        });
    }

    /// Has the set say why it has not the key of this name.
    pub(crate) fn withhold(&mut self, id: String, reason: Reason) {
        self.keys.retain(|key| key.id.as_ref() != Some(&id));
        self.set_aside.push(SetAside {
            id: Some(id),
            reason,
        });
    }

    /// The keys that may check signatures, in the order of the set.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// The keys that are not used, each with its reason.
    pub fn set_aside(&self) -> &[SetAside] {
        &self.set_aside
    }

    /// A digest of all that a verdict may rest on: each key that may check signatures with its name and
    /// algorithm, in the order of the set, and the names of those that may not.
    pub fn digest(&self) -> Digest {
        let keys = self.keys.iter().flat_map(|key| {
            let algorithm = key.algorithm.map_or("", Algorithm::name);
            let name = key.id().unwrap_or_default();
            [
                key.thumbprint.as_bytes().as_slice(),
                name.as_bytes(),
                algorithm.as_bytes(),
            ]
        });
        let aside = self.set_aside.iter().flat_map(|aside| {
            let name = aside.id().unwrap_or_default();
            [name.as_bytes(), aside.reason.code().as_bytes()]
        });
        Digest::of_list(keys.chain(aside))
    }

    /// The names of the keys that may check signatures.
    pub fn names(&self) -> Vec<String> {
        self.keys.iter().map(Jwk::name).collect()
    }
}

/// Whether a key has members that only its holder should know.
pub(super) fn holds_secret(key: &Map<String, Value>) -> bool {
    let is_shared = key.get("kty").and_then(Value::as_str) == Some("oct");
    is_shared || SECRET_MEMBERS.iter().any(|name| key.contains_key(*name))
}

/// The public half that the members of a key spell out, if there are any that do; `None` for a key
/// that says no more than its type.
pub(super) fn spelled_out(
    object: &Map<String, Value>,
    owner: &str,
) -> Result<Option<PublicKey>, Reason> {
    const MEMBERS: [&str; 5] = ["e", "n", "pub", "x", "y"];
    if !MEMBERS.iter().any(|member| object.contains_key(*member)) {
        return Ok(None);
    }
    // What it is called is nothing to its key.
    let reader = Reader {
        object,
        owner,
        id: None,
    };
    let (key, _) = reader.key(reader.required_text("kty")?)?;
    Ok(Some(key))
}

/// The key of the first certificate of `x5c`, if it can be read.
fn certified(object: &Map<String, Value>) -> Option<PublicKey> {
    let encoded = object.get("x5c")?.as_array()?.first()?.as_str()?;
    let certificate = Certificate::parse(&Base64::decode_vec(encoded).ok()?).ok()?;
    certificate.public_key().ok().cloned()
}

/// Why a set cannot take its keys.
pub(super) enum AddFailed {
    Malformed(String),
    Refused(Reason),
}

/// Reads the members of one key.
struct Reader<'a> {
    object: &'a Map<String, Value>,
    owner: &'a str,
    id: Option<&'a str>,
}

impl<'a> Reader<'a> {
    fn of(object: &'a Map<String, Value>, owner: &'a str) -> Result<Self, Reason> {
        let mut reader = Self {
            object,
            owner,
            id: None,
        };
        match reader.text("kid")? {
            // A key without a name is one thing, a name without a letter another: nobody could
            // tell in a verdict which key it is.
            Some("") => Err(reader.malformed("`kid` is empty")),
            id => {
                reader.id = id;
                Ok(reader)
            }
        }
    }

    /// How refusals call the key.
    fn name(&self) -> String {
        self.id.unwrap_or("without `kid`").to_owned()
    }

    fn malformed(&self, detail: impl Into<String>) -> Reason {
        Reason::JwkMalformed {
            key: self.name(),
            detail: detail.into(),
        }
    }

    fn not_for_signing(&self, detail: String) -> Reason {
        Reason::KeyNotForSigning {
            key: self.name(),
            detail,
        }
    }

    fn text(&self, member: &str) -> Result<Option<&'a str>, Reason> {
        match self.object.get(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.malformed(format!(
                "`{member}` must be a text, but is {}",
                kind_of(other)
            ))),
        }
    }

    fn required_text(&self, member: &str) -> Result<&'a str, Reason> {
        self.text(member)?
            .ok_or_else(|| self.malformed(format!("it has no `{member}`")))
    }

    fn bytes(&self, member: &str) -> Result<Vec<u8>, Reason> {
        base64url::decode(self.required_text(member)?)
            .ok_or_else(|| self.malformed(format!("`{member}` is not canonical base64url")))
    }

    fn refuse_secrets(&self) -> Result<(), Reason> {
        if holds_secret(self.object) {
            return Err(Reason::JwksPrivateKey {
                issuer: self.owner.to_owned(),
                key: self.name(),
            });
        }
        Ok(())
    }

    /// What the key says it is for (RFC 7517 4.2, 4.3).
    fn check_use(&self, expected: &str) -> Result<(), Reason> {
        if let Some(found) = self.text("use")?
            && found != expected
        {
            return Err(self.not_for_signing(format!("its `use` is `{found}`")));
        }
        let Some(operations) = self.object.get("key_ops") else {
            return Ok(());
        };
        let Value::Array(operations) = operations else {
            return Err(self.malformed("`key_ops` is not a list"));
        };
        if operations.iter().any(|operation| operation == "verify") {
            Ok(())
        } else {
            Err(self.not_for_signing("its `key_ops` do not name `verify`".to_owned()))
        }
    }

    /// The key and its thumbprint, by its `kty`.
    fn key(&self, kind: &str) -> Result<(PublicKey, Digest), Reason> {
        match kind {
            "EC" => self.elliptic_curve(),
            "OKP" => self.octet_pair(),
            "RSA" => self.rsa(),
            other => Err(self.not_for_signing(format!("its type is `{other}`"))),
        }
    }

    /// That a certificate which comes with it is of the same key (RFC 7517 4.7). Nothing else is
    /// ever asked of one, so that one which cannot be read says nothing.
    fn check_certificate(&self, key: &PublicKey) -> Result<(), Reason> {
        match certified(self.object) {
            Some(other) if other != *key => {
                Err(self.malformed("the certificate in its `x5c` is of another key"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn algorithm(&self, kind: KeyKind) -> Result<Option<Algorithm>, Reason> {
        let Some(name) = self.text("alg")? else {
            return Ok(None);
        };
        let algorithm = Algorithm::parse(name)
            .map_err(|_| self.not_for_signing(format!("its `alg` is `{name}`")))?;
        if algorithm.fits(kind) {
            Ok(Some(algorithm))
        } else {
            Err(self.malformed(format!(
                "its `alg` is {algorithm}, which {} keys do not sign with",
                kind.name()
            )))
        }
    }

    fn elliptic_curve(&self) -> Result<(PublicKey, Digest), Reason> {
        let curve = self.required_text("crv")?;
        let (kind, length) = match curve {
            "P-256" => (KeyKind::P256, 32),
            "P-384" => (KeyKind::P384, 48),
            "P-521" => (KeyKind::P521, 66),
            other => return Err(self.not_for_signing(format!("its curve is `{other}`"))),
        };
        let (x, y) = (self.bytes("x")?, self.bytes("y")?);
        if x.len() != length || y.len() != length {
            return Err(self.malformed(format!(
                "a coordinate on {curve} has {length} bytes; these have {} and {}",
                x.len(),
                y.len()
            )));
        }
        // SEC 1 2.3.3: 4 marks an uncompressed point.
        let mut point = Vec::with_capacity(1 + 2 * length);
        point.push(4);
        point.extend_from_slice(&x);
        point.extend_from_slice(&y);
        let key = PublicKey::new(kind, point);
        if !key.is_well_formed() {
            return Err(self.malformed(format!("it is not a point on {curve}")));
        }
        Ok((key, self.thumbprint(&["crv", "kty", "x", "y"])?))
    }

    fn octet_pair(&self) -> Result<(PublicKey, Digest), Reason> {
        let curve = self.required_text("crv")?;
        if curve != "Ed25519" {
            return Err(self.not_for_signing(format!("its curve is `{curve}`")));
        }
        let key = PublicKey::new(KeyKind::Ed25519, self.bytes("x")?);
        if !key.is_well_formed() {
            return Err(self.malformed("`x` is not an Ed25519 key of 32 bytes"));
        }
        Ok((key, self.thumbprint(&["crv", "kty", "x"])?))
    }

    fn rsa(&self) -> Result<(PublicKey, Digest), Reason> {
        let (modulus, exponent) = (self.bytes("n")?, self.bytes("e")?);
        let key = rsa::public_key(&modulus, &exponent).map_err(|not_a_key| match not_a_key {
            rsa::NotAKey::Malformed(detail) => self.malformed(detail),
            rsa::NotAKey::Weak(detail) => Reason::KeyWeak {
                key: self.name(),
                detail,
            },
        })?;
        Ok((key, self.thumbprint(&["e", "kty", "n"])?))
    }

    /// The digest of the required members in the order of their names (RFC 7638 3). By now each
    /// is base64url or a registered name, so none needs escaping.
    fn thumbprint(&self, members: &[&str]) -> Result<Digest, Reason> {
        let mut texts = Vec::with_capacity(members.len());
        for member in members {
            texts.push(format!("\"{member}\":\"{}\"", self.required_text(member)?));
        }
        Ok(Digest::of(format!("{{{}}}", texts.join(",")).as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use avouch_testkit::token::jwk;
    use avouch_testkit::world::Authority;
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<Jwk, Reason> {
        Jwk::read(value.as_object().unwrap(), "https://issuer.test", "sig")
    }

    /// The key of RFC 7517 A.1, whose RSA half is also the example of RFC 7638 3.1.
    fn curve_key() -> Value {
        json!({"kty": "EC", "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            "use": "sig", "kid": "1"})
    }

    #[test]
    fn a_name_without_a_letter_is_refused() {
        let mut key = curve_key();
        key["kid"] = json!("");
        assert_eq!(
            read(&key).unwrap_err(),
            Reason::JwkMalformed {
                key: "without `kid`".to_owned(),
                detail: "`kid` is empty".to_owned(),
            }
        );
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let key = read(&json!({"kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}))
        .unwrap();
        assert_eq!(
            base64url::encode(key.thumbprint().as_bytes()),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        assert_eq!(key.key().kind(), KeyKind::Rsa(2048));
        assert_eq!(key.name(), "2011-04-29");
    }

    #[test]
    fn a_key_is_read_with_what_it_is_for() {
        let key = read(&curve_key()).unwrap();
        assert_eq!(key.key().kind(), KeyKind::P256);
        assert_eq!(key.admits(Algorithm::Es256), Ok(()));
        assert_eq!(
            key.admits(Algorithm::Es384).unwrap_err().code(),
            "federation.key_algorithm_mismatch"
        );
    }

    #[test]
    fn a_key_that_is_not_for_signatures_is_refused_with_what_it_is_for() {
        for (member, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["encrypt"])),
            ("alg", json!("ECDH-ES")),
            ("alg", json!("HS256")),
            ("crv", json!("secp256k1")),
            ("kty", json!("AKP")),
        ] {
            let mut key = curve_key();
            key[member] = value;
            let reason = read(&key).unwrap_err();
            assert_eq!(reason.code(), "federation.key_not_for_signing", "{member}");
        }
    }

    #[test]
    fn a_key_that_is_not_written_right_is_malformed() {
        for (member, value) in [
            ("x", json!("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D5")),
            ("x", json!("AAAA")),
            ("y", json!("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM=")),
            ("y", json!(7)),
            ("alg", json!("ES384")),
            ("key_ops", json!("verify")),
            ("kid", json!(1)),
        ] {
            let mut key = curve_key();
            key[member] = value;
            assert_eq!(
                read(&key).unwrap_err().code(),
                "input.jwk_malformed",
                "{member}"
            );
        }
    }

    #[test]
    fn a_set_that_publishes_a_secret_is_refused_as_a_whole() {
        let mut private = curve_key();
        private["d"] = json!("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE");
        for secret in [private, json!({"kty": "oct", "k": "c2VjcmV0"})] {
            let set = json!({"keys": [curve_key(), secret]});
            let reason = KeySet::read("https://issuer.test", &set).unwrap_err();
            assert_eq!(reason.code(), "input.jwks_private_key");
            assert!(!format!("{reason:?}").contains("870MB6"));
        }
    }

    #[test]
    fn two_different_keys_of_one_name_refuse_the_set_and_the_same_key_twice_does_not() {
        let mut other = curve_key();
        other["x"] = json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        other["y"] = json!("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let set = json!({"keys": [curve_key(), other]});
        let reason = KeySet::read("https://issuer.test", &set).unwrap_err();
        assert_eq!(reason.code(), "federation.key_duplicate");
        let set = json!({"keys": [curve_key(), curve_key()]});
        assert_eq!(
            KeySet::read("https://issuer.test", &set)
                .unwrap()
                .keys()
                .len(),
            1
        );
    }

    #[test]
    fn keys_that_are_not_understood_are_set_aside() {
        let set = json!({"keys": [{"kty": "AKP", "kid": "future"}, curve_key()], "more": 1});
        let set = KeySet::read("https://issuer.test", &set).unwrap();
        assert_eq!(set.names(), ["1"]);
        assert_eq!(set.set_aside()[0].id(), Some("future"));
    }

    /// RFC 7517 4.7. What cannot be read as a certificate is of nobody's key and says nothing.
    #[test]
    fn a_key_with_the_certificate_of_another_is_set_aside() {
        let authority = Authority::root("Example");
        let own = jwk(&authority.key, "own");
        let with = |key: &Value, x5c: Value| {
            let mut key = key.clone();
            key["x5c"] = x5c;
            key
        };
        let x5c = json!([Base64::encode_string(&authority.certificate)]);
        assert!(read(&with(&own, x5c.clone())).is_ok());
        let reason = read(&with(&curve_key(), x5c.clone())).unwrap_err();
        assert_eq!(reason.code(), "input.jwk_malformed");
        assert!(reason.sentence().contains("x5c"), "{}", reason.sentence());
        let set = json!({"keys": [with(&curve_key(), x5c), own]});
        let set = KeySet::read("https://issuer.test", &set).unwrap();
        assert_eq!(set.names(), ["own"]);
        assert_eq!(set.set_aside()[0].id(), Some("1"));
        for unread in [json!([]), json!(["QQ=="]), json!(7)] {
            assert!(read(&with(&curve_key(), unread)).is_ok());
        }
    }

    #[test]
    fn a_set_without_keys_is_refused() {
        for set in [
            json!({}),
            json!([]),
            json!({"keys": []}),
            json!({"keys": {}}),
            json!({"keys": [1]}),
        ] {
            let reason = KeySet::read("https://issuer.test", &set).unwrap_err();
            assert_eq!(reason.code(), "input.jwks_malformed", "{set}");
        }
    }
}
