//! SPIFFE bundles: the keys of one trust domain, by the kind of SVID they sign (SPIFFE Trust
//! Domain and Bundle 4).

use std::sync::Arc;

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value};

use super::json::kind_of;
use super::jwk::{AddFailed, Jwk, KeySet, holds_secret, spelled_out};
use crate::credential::x509::Certificate;
use crate::id::{Digest, TrustDomain};
use crate::reason::Reason;

/// The uses of keys that are known here.
const X509: &str = "x509-svid";
const JWT: &str = "jwt-svid";
const WIT: &str = "wit-svid";

/// The keys that may speak for a SPIFFE trust domain, by the kind of SVID they sign.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The trust domain; a bundle is never used for another.
    pub trust_domain: TrustDomain,
    /// The X.509 authorities.
    pub x509_authorities: Vec<Arc<Certificate>>,
    jwt_authorities: KeySet,
    wit_authorities: KeySet,
    sequence: Option<u64>,
    refresh_hint: Option<u64>,
    passed_over: Vec<String>,
}

impl Bundle {
    /// Reads the bundle of `trust_domain`. What the standard tells a reader to ignore is passed
    /// over and listed; a bundle without keys is well formed and means that nothing of the trust
    /// domain is believed.
    ///
    /// # Errors
    ///
    /// `spiffe.id_invalid`, `input.bundle_malformed`, `input.jwks_private_key`,
    /// `federation.key_duplicate`.
    pub fn read(trust_domain: &str, bundle: &Value) -> Result<Self, Reason> {
        let trust_domain = TrustDomain::parse(trust_domain)?;
        let malformed = |detail: String| Reason::BundleMalformed {
            trust_domain: trust_domain.to_string(),
            detail,
        };
        let Value::Object(members) = bundle else {
            return Err(malformed(format!("it is {}", kind_of(bundle))));
        };
        let keys = match members.get("keys") {
            Some(Value::Array(keys)) => keys,
            Some(other) => {
                return Err(malformed(format!(
                    "`keys` must be a list, but is {}",
                    kind_of(other)
                )));
            }
            None => return Err(malformed("it has no member `keys`".to_owned())),
        };
        let sequence = whole_number(members, "spiffe_sequence").map_err(malformed)?;
        let refresh_hint = whole_number(members, "spiffe_refresh_hint").map_err(malformed)?;
        let mut read = Self {
            sequence,
            refresh_hint,
            ..Self::of_authorities(trust_domain.clone(), Vec::new())
        };
        for key in keys {
            read.add(key).map_err(|failed| match failed {
                AddFailed::Malformed(detail) => malformed(detail),
                AddFailed::Refused(reason) => reason,
            })?;
        }
        read.check_key_names()?;
        Ok(read)
    }

    /// A bundle of X.509 authorities and nothing else.
    pub fn of_authorities(trust_domain: TrustDomain, authorities: Vec<Arc<Certificate>>) -> Self {
        Self {
            trust_domain,
            x509_authorities: authorities,
            jwt_authorities: KeySet::default(),
            wit_authorities: KeySet::default(),
            sequence: None,
            refresh_hint: None,
            passed_over: Vec::new(),
        }
    }

    /// Reads a bundle map, `{"trust_domains": {"<name>": <bundle>, …}}` (SPIFFE Trust Domain and
    /// Bundle 4.3). A name that stands twice has been refused with the JSON it stands in.
    ///
    /// # Errors
    ///
    /// As [`Bundle::read`].
    pub fn read_map(map: &Value) -> Result<Vec<Self>, Reason> {
        match map.get("trust_domains") {
            Some(Value::Object(bundles)) => bundles
                .iter()
                .map(|(trust_domain, bundle)| Self::read(trust_domain, bundle))
                .collect(),
            Some(_) | None => Err(Reason::BundleMalformed {
                trust_domain: "several trust domains".to_owned(),
                detail: "it has no object `trust_domains`".to_owned(),
            }),
        }
    }

    /// The keys that sign JWT-SVIDs.
    pub fn jwt_authorities(&self) -> &KeySet {
        &self.jwt_authorities
    }

    /// The keys that sign WIT-SVIDs.
    pub fn wit_authorities(&self) -> &KeySet {
        &self.wit_authorities
    }

    /// A digest of whom it vouches for and by which keys; not of its number nor of what was passed over,
    /// on which no verdict rests.
    pub fn digest(&self) -> Digest {
        let name = self.trust_domain.as_str().as_bytes();
        let tokens = [self.jwt_authorities.digest(), self.wit_authorities.digest()];
        let tokens = tokens.iter().map(|digest| digest.as_bytes().as_slice());
        let certificates = self.x509_authorities.iter().map(|one| one.der());
        Digest::of_list(std::iter::once(name).chain(tokens).chain(certificates))
    }

    /// Its number: a later bundle has a higher one.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// How often to look for a new one, in seconds.
    pub fn refresh_hint(&self) -> Option<u64> {
        self.refresh_hint
    }

    /// What was ignored, as the standard asks, and why.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// Adds one entry to the authorities of its `use`. Values are compared with regard to case.
    fn add(&mut self, entry: &Value) -> Result<(), AddFailed> {
        let Value::Object(key) = entry else {
            return Err(AddFailed::Malformed(format!("a key is {}", kind_of(entry))));
        };
        let of_use = match key.get("use").and_then(Value::as_str) {
            Some(of_use @ (X509 | JWT | WIT)) => of_use,
            Some(other) => {
                let what = format!("a key with the use `{other}`");
                self.passed_over.push(what);
                return Ok(());
            }
            None => {
                self.passed_over.push("a key without `use`".to_owned());
                return Ok(());
            }
        };
        if let Some(kind) = unknown_type(key, of_use) {
            self.ignore(key, of_use, kind);
            return Ok(());
        }
        let owner = self.trust_domain.to_string();
        if holds_secret(key) {
            return Err(AddFailed::Refused(Reason::JwksPrivateKey {
                issuer: owner,
                key: key_name(key),
            }));
        }
        match of_use {
            JWT => add_named(&mut self.jwt_authorities, &owner, entry, JWT),
            WIT => add_named(&mut self.wit_authorities, &owner, entry, WIT),
            _ => {
                self.add_x509_authority(key);
                Ok(())
            }
        }
    }

    /// Ignores an entry of an unknown type as a whole, whatever it has or lacks (SPIFFE Trust Domain
    /// and Bundle 4.2.1). Whoever looks for a key of its name is told why it is none.
    fn ignore(&mut self, key: &Map<String, Value>, of_use: &str, kind: &str) {
        let authorities = match of_use {
            JWT => &mut self.jwt_authorities,
            WIT => &mut self.wit_authorities,
            _ => {
                let what = format!("an `{X509}` key of the type `{kind}`");
                self.passed_over.push(what);
                return;
            }
        };
        let reason = Reason::KeyNotForSigning {
            key: key_name(key),
            detail: format!("its type is `{kind}`"),
        };
        authorities.set_one_aside(key.get("kid").and_then(Value::as_str), reason);
    }

    /// Adds the first certificate of `x5c`; further ones are ignored, as is an entry without any
    /// (SPIFFE X.509-SVID 6.2), and one that spells out another key than its certificate has
    /// (RFC 7517 4.7).
    fn add_x509_authority(&mut self, key: &Map<String, Value>) {
        let encoded = key
            .get("x5c")
            .and_then(Value::as_array)
            .and_then(|certificates| certificates.first())
            .and_then(Value::as_str);
        let Some(encoded) = encoded else {
            self.passed_over
                .push("an `x509-svid` key without `x5c`".to_owned());
            return;
        };
        let certificate = Base64::decode_vec(encoded)
            .map_err(|_| "it is not base64".to_owned())
            .and_then(|der| Certificate::parse(&der));
        let certificate = certificate.and_then(|certificate| {
            check_key(key, &certificate)?;
            Ok(certificate)
        });
        match certificate {
            Ok(certificate) => self.x509_authorities.push(Arc::new(certificate)),
            Err(detail) => self.passed_over.push(format!(
                "an `x509-svid` key whose certificate cannot be used: {detail}"
            )),
        }
    }

    /// A name means one key in the whole bundle (SPIFFE WIT-SVID 6).
    fn check_key_names(&self) -> Result<(), Reason> {
        let wit_names = self
            .wit_authorities
            .keys()
            .iter()
            .filter_map(|key| key.id());
        for name in wit_names {
            let is_jwt_name = |key: &Jwk| key.id() == Some(name);
            if self.jwt_authorities.keys().iter().any(is_jwt_name) {
                return Err(Reason::KeyDuplicate {
                    issuer: self.trust_domain.to_string(),
                    key: name.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// The type of a key that is none of those that a key of this use may have here, if it says one.
/// Only certificates are read with keys of ML-DSA (`AKP`).
fn unknown_type<'a>(key: &'a Map<String, Value>, of_use: &str) -> Option<&'a str> {
    let kind = key.get("kty").and_then(Value::as_str)?;
    let is_known = match kind {
        "EC" | "OKP" | "RSA" | "oct" => true,
        "AKP" => of_use == X509,
        _ => false,
    };
    (!is_known).then_some(kind)
}

/// That a certificate has the key that the members beside it spell out, where they do and where it
/// has one that can be spelled out.
fn check_key(key: &Map<String, Value>, certificate: &Certificate) -> Result<(), String> {
    let Ok(certified) = certificate.public_key() else {
        return Ok(());
    };
    if key.get("kty").and_then(Value::as_str) == Some("AKP") {
        return Ok(());
    }
    match spelled_out(key, "") {
        Ok(None) => Ok(()),
        Ok(Some(spelled)) if spelled == *certified => Ok(()),
        Ok(Some(_)) => Err("it is of another key than stands beside it".to_owned()),
        Err(reason) => Err(reason.sentence()),
    }
}

/// Adds a key, which must have a name.
fn add_named(
    authorities: &mut KeySet,
    owner: &str,
    entry: &Value,
    key_use: &'static str,
) -> Result<(), AddFailed> {
    if entry
        .get("kid")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        return Err(AddFailed::Malformed(format!(
            "a `{key_use}` key has no `kid`"
        )));
    }
    authorities.add_all(owner, [entry], key_use)
}

fn key_name(key: &Map<String, Value>) -> String {
    let name = key.get("kid").and_then(Value::as_str);
    name.unwrap_or("without `kid`").to_owned()
}

fn whole_number(members: &Map<String, Value>, name: &str) -> Result<Option<u64>, String> {
    match members.get(name) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(format!(
                "`{name}` must be a whole number, but is {}",
                kind_of(value)
            )),
        },
    }
}
