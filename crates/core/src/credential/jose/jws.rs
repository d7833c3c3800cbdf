//! Compact JWS (RFC 7515 3.1) carrying JSON claims: read strictly, not yet believed.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::base64url;
use super::json::{self, kind_of};
use crate::budget::{Budget, Limits};
use crate::crypto::{PublicKey, Scheme, Verifier, cost, hashing_cost};
use crate::reason::Reason;
use crate::stop::Stop;

/// Header members that bring a key or point to one (RFC 7515 4.1.2, 4.1.3, 4.1.5, 4.1.6). They
/// are never followed, and a token that has one is not worth a second look.
const KEYS_IN_HEADER: [&str; 4] = ["jku", "jwk", "x5c", "x5u"];

/// Header members that change what is signed (RFC 7797), or belong to encryption (RFC 7516).
const NEVER_IN_HEADER: [&str; 3] = ["b64", "enc", "zip"];

/// A token whose payload is a set of claims.
///
/// It has no `Debug`: the signature makes it a bearer credential.
pub(crate) struct Jws<'a> {
    compact: Compact<'a>,
    pub(crate) claims: Map<String, Value>,
}

/// A token that was taken apart, kept without its claims.
#[derive(Clone)]
pub(crate) struct Kept {
    header: Header,
    signed: String,
    signature: Vec<u8>,
}

/// A token taken apart, whatever its payload is.
pub(crate) struct Compact<'a> {
    header: Header,
    payload: &'a str,
    signed: &'a str,
    signature: Vec<u8>,
}

/// The protected header.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    token_type: Option<String>,
    /// The statements of a federation that lead from its issuer to a trust anchor (OpenID
    /// Federation 1.0, 4.3).
    pub(crate) trust_chain: Vec<String>,
    /// The names of all other members, in order.
    pub(crate) others: Vec<String>,
    /// The key that it brings, where it is one that proves nothing but that its sender has a key.
    key: Option<Map<String, Value>>,
}

/// Where the key of a token comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keyed {
    /// From whoever is trusted; what the token itself says of keys is refused.
    ByTrust,
    /// From its own header, as that of a DPoP proof (RFC 9449 4.2).
    ByItself,
}

impl<'a> Jws<'a> {
    /// Takes a token apart and reads its claims.
    pub(crate) fn read(token: &'a str, limits: &Limits) -> Result<Self, Reason> {
        Self::of(Compact::read(token, Keyed::ByTrust, limits)?, limits)
    }

    /// Takes a proof apart that brings the key it was signed with, and gives that key's members.
    /// Such a proof shows that its sender has the key, and nothing of who that is.
    pub(crate) fn read_with_own_key(
        token: &'a str,
        limits: &Limits,
    ) -> Result<(Self, Map<String, Value>), Reason> {
        let mut compact = Compact::read(token, Keyed::ByItself, limits)?;
        let key = compact.header.key.take().ok_or(Reason::HeaderMalformed {
            member: "jwk",
            detail: "it is missing".to_owned(),
        })?;
        Ok((Self::of(compact, limits)?, key))
    }

    fn of(compact: Compact<'a>, limits: &Limits) -> Result<Self, Reason> {
        let payload = decode(compact.payload, "payload")?;
        let claims = json::read_object(&payload, "claims set", limits)?;
        Ok(Self { compact, claims })
    }

    /// The claims of a token that is believed already. Its header was read then.
    pub(crate) fn claims_of_believed(
        token: &str,
        limits: &Limits,
    ) -> Result<Map<String, Value>, Reason> {
        let payload = decode(Parts::of(token)?.payload, "payload")?;
        json::read_object(&payload, "claims set", limits)
    }

    /// What the signature of a token is over that is believed already.
    pub(crate) fn signed_of_believed(token: &str) -> Result<&str, Reason> {
        Ok(Parts::of(token)?.signed)
    }

    /// What the signature is over, which has one spelling: an ECDSA signature has two.
    pub(crate) fn signed(&self) -> &'a str {
        self.compact.signed
    }

    pub(crate) fn header(&self) -> &Header {
        &self.compact.header
    }

    /// Keeps it, and gives its claims.
    pub(crate) fn keep(self) -> (Kept, Map<String, Value>) {
        let Compact {
            header,
            signed,
            signature,
            ..
        } = self.compact;
        let kept = Kept {
            header,
            signed: signed.to_owned(),
            signature,
        };
        (kept, self.claims)
    }

    /// Whether `key` signed it.
    pub(crate) fn is_signed_by(
        &self,
        key: &PublicKey,
        crypto: &dyn Verifier,
        budget: &mut Budget,
    ) -> Result<bool, Stop> {
        self.compact.is_signed_by(key, crypto, budget)
    }
}

impl<'a> Compact<'a> {
    /// Takes a token apart. The header comes first, and what it forbids ends the reading there:
    /// nothing else of an unsigned or self-keyed token is looked at.
    fn read(token: &'a str, keyed: Keyed, limits: &Limits) -> Result<Self, Reason> {
        if token.len() > limits.token_bytes {
            return Err(Reason::InputSize {
                part: "token",
                size: token.len(),
                allowed: limits.token_bytes,
            });
        }
        let Parts {
            header,
            payload,
            signature,
            signed,
        } = Parts::of(token)?;
        let header = Header::read(&decode(header, "header")?, keyed, limits)?;
        let signature = decode(signature, "signature")?;
        Ok(Self {
            header,
            payload,
            signed,
            signature,
        })
    }

    fn is_signed_by(
        &self,
        key: &PublicKey,
        crypto: &dyn Verifier,
        budget: &mut Budget,
    ) -> Result<bool, Stop> {
        let scheme = self.header.algorithm.scheme();
        is_signed_by(key, scheme, (self.signed, &self.signature), crypto, budget)
    }
}

impl Kept {
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Whether `key` signed it.
    pub(crate) fn is_signed_by(
        &self,
        key: &PublicKey,
        crypto: &dyn Verifier,
        budget: &mut Budget,
    ) -> Result<bool, Stop> {
        let scheme = self.header.algorithm.scheme();
        is_signed_by(key, scheme, (&self.signed, &self.signature), crypto, budget)
    }

    #[cfg(test)]
    pub(crate) fn of_nothing() -> Self {
        Self {
            header: Header {
                algorithm: Algorithm::Es256,
                key_id: None,
                token_type: None,
                trust_chain: Vec::new(),
                others: Vec::new(),
                key: None,
            },
            signed: String::new(),
            signature: Vec::new(),
        }
    }
}

fn is_signed_by(
    key: &PublicKey,
    scheme: Scheme,
    (signed, signature): (&str, &[u8]),
    crypto: &dyn Verifier,
    budget: &mut Budget,
) -> Result<bool, Stop> {
    budget.signature(cost(key.kind()))?;
    budget.signature(hashing_cost(scheme, signed.len()))?;
    let checked = crypto.verify(key, scheme, signed.as_bytes(), signature);
    Ok(checked.is_ok())
}

struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, Reason> {
        let not_compact = |detail: String| Reason::TokenNotCompact { detail };
        if token.trim_start().starts_with('{') {
            return Err(not_compact("it is in the JSON serialization".to_owned()));
        }
        let count = token.bytes().filter(|byte| *byte == b'.').count() + 1;
        if count == 5 {
            return Err(Reason::TokenEncrypted {});
        }
        let parted = token
            .rsplit_once('.')
            .and_then(|(signed, signature)| Some((signed, signed.split_once('.')?, signature)));
        match parted {
            Some((signed, (header, payload), signature)) if count == 3 => Ok(Self {
                header,
                payload,
                signature,
                signed,
            }),
            Some(_) | None if count == 1 => Err(not_compact("it has no dots".to_owned())),
            Some(_) | None => Err(not_compact(format!("it has {count} parts"))),
        }
    }
}

fn decode(text: &str, part: &'static str) -> Result<Vec<u8>, Reason> {
    base64url::decode(text).ok_or(Reason::Base64urlNotCanonical { part })
}

impl Header {
    /// Whether it says that the token is of this type, which is written without `application/`. A
    /// type is a media type: large and small letters are the same (RFC 2045 5.1), and a writer may
    /// leave `application/` out (RFC 7515 4.1.9).
    pub(crate) fn is_of_type(&self, name: &str) -> bool {
        let prefix = "application/";
        let Some(found) = self.token_type.as_deref() else {
            return false;
        };
        let found = match found.split_at_checked(prefix.len()) {
            Some((start, rest)) if start.eq_ignore_ascii_case(prefix) => rest,
            Some(_) | None => found,
        };
        found.eq_ignore_ascii_case(name)
    }

    /// The type as it is written, if there is one.
    pub(crate) fn token_type(&self) -> Option<&str> {
        self.token_type.as_deref()
    }

    /// That the token is of this type.
    pub(crate) fn expect_type(&self, name: &str) -> Result<(), Reason> {
        if self.is_of_type(name) {
            return Ok(());
        }
        Err(Reason::TypeUnexpected {
            found: self.token_type().unwrap_or("(none)").to_owned(),
            expected: vec![name.to_owned()],
        })
    }

    fn read(bytes: &[u8], keyed: Keyed, limits: &Limits) -> Result<Self, Reason> {
        let mut object = json::read_object(bytes, "header", limits)?;
        let key = match keyed {
            Keyed::ByTrust => None,
            Keyed::ByItself => own_key(&mut object)?,
        };
        let algorithm = match text(&object, "alg")? {
            Some(name) => Algorithm::parse(name)?,
            None => {
                return Err(Reason::HeaderMalformed {
                    member: "alg",
                    detail: "it is missing".to_owned(),
                });
            }
        };
        refuse_members(&object)?;
        let header = Self {
            algorithm,
            key_id: text(&object, "kid")?.map(str::to_owned),
            token_type: text(&object, "typ")?.map(str::to_owned),
            trust_chain: trust_chain(&object)?,
            others: object
                .keys()
                .filter(|name| !matches!(name.as_str(), "alg" | "kid" | "typ"))
                .cloned()
                .collect(),
            key,
        };
        Ok(header)
    }
}

fn trust_chain(object: &Map<String, Value>) -> Result<Vec<String>, Reason> {
    let refuse = || Reason::HeaderMalformed {
        member: "trust_chain",
        detail: "it must be a list of statements".to_owned(),
    };
    match object.get("trust_chain") {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|one| one.as_str().map(str::to_owned).ok_or_else(refuse))
            .collect(),
        Some(_) => Err(refuse()),
    }
}

fn own_key(object: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, Reason> {
    match object.remove("jwk") {
        None => Ok(None),
        Some(Value::Object(key)) => Ok(Some(key)),
        Some(other) => Err(Reason::HeaderMalformed {
            member: "jwk",
            detail: format!("it must be an object, but is {}", kind_of(&other)),
        }),
    }
}

/// Refuses the members that no kind of token may have here.
fn refuse_members(object: &Map<String, Value>) -> Result<(), Reason> {
    if let Some(critical) = object.get("crit") {
        return Err(critical_header(critical));
    }
    for name in KEYS_IN_HEADER {
        if object.contains_key(name) {
            return Err(Reason::KeyFromToken {
                member: name.to_owned(),
            });
        }
    }
    for name in NEVER_IN_HEADER {
        if object.contains_key(name) {
            return Err(Reason::HeaderUnexpected {
                member: name.to_owned(),
            });
        }
    }
    // RFC 7519 5.2: the payload is itself a token.
    let is_nested = text(object, "cty")?.is_some_and(|content| content.eq_ignore_ascii_case("JWT"));
    if is_nested {
        return Err(Reason::HeaderUnexpected {
            member: "cty".to_owned(),
        });
    }
    Ok(())
}

/// No extension is understood here, so every `crit` refuses; one that is not even well formed says
/// so (RFC 7515 4.1.11).
fn critical_header(critical: &Value) -> Reason {
    let malformed = |detail: &str| Reason::HeaderMalformed {
        member: "crit",
        detail: detail.to_owned(),
    };
    let Value::Array(elements) = critical else {
        return malformed("it is not a list of names");
    };
    let names: Option<Vec<String>> = elements
        .iter()
        .map(|element| element.as_str().map(str::to_owned))
        .collect();
    match names {
        None => malformed("it is not a list of names"),
        Some(names) if names.is_empty() => malformed("it is an empty list"),
        Some(names) if names.iter().collect::<BTreeSet<_>>().len() < names.len() => {
            malformed("it names a member twice")
        }
        Some(names) => Reason::CriticalHeaderUnsupported { names },
    }
}

fn text<'a>(
    object: &'a Map<String, Value>,
    member: &'static str,
) -> Result<Option<&'a str>, Reason> {
    match object.get(member) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Err(Reason::HeaderMalformed {
            member,
            detail: "it is empty".to_owned(),
        }),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Reason::HeaderMalformed {
            member,
            detail: format!("it must be a text, but is {}", kind_of(other)),
        }),
    }
}

#[cfg(test)]
#[path = "wycheproof.rs"]
mod wycheproof;
