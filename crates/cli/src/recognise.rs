//! Telling what kind of credential some bytes are, by what is in them and not by what their file
//! is called. Private keys are recognised first and never read further, decoded or shown.

use avouch_api::text::{self, PemBlock};
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::reason::Reason;
use base64ct::{Base64UrlUnpadded, Encoding};
use der::asn1::AnyRef;
use der::{Decode, Reader, SliceReader, Tag, Tagged};
use serde_json::Value;

/// What some bytes turned out to be.
#[derive(Clone, PartialEq, Eq)]
pub enum Recognised {
    /// A secret in one word of printable characters.
    ApiKey(String),
    /// DER certificates in the order in which they stood.
    Certificates(Vec<Vec<u8>>),
    /// A kind of credential that is known but cannot be decided yet, by its name in a question.
    Other(&'static str),
    /// A response or an assertion of SAML, as XML.
    Saml(String),
    /// A key or a certificate of SSH, one line as in a file `.pub`.
    Ssh(String),
    /// A compact token.
    Token {
        /// The token.
        text: String,
        /// Whether its header says that it is a workload identity token.
        is_wit: bool,
    },
}

/// The shortest secret taken for an API key: 16 characters of hexadecimal are 64 bits, and fewer
/// are more likely a word.
const API_KEY_MINIMUM: usize = 16;

/// The longest: the header limit of common HTTP servers.
const API_KEY_MAXIMUM: usize = 8 << 10;

/// Tells what `bytes` are; `input.*` when they are nothing that can be decided on.
pub fn recognise(bytes: &[u8]) -> Result<Recognised, Reason> {
    if bytes.is_empty() {
        return unrecognised("it is empty");
    }
    match std::str::from_utf8(bytes) {
        // A DER certificate is never valid UTF-8: its signature is not text.
        Ok(text) => recognise_text(text, Depth::Outer),
        Err(_) => recognise_binary(bytes),
    }
}

/// Whether base64 may still be taken off: once, or a hostile input could ask for it forever.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Outer,
    Unwrapped,
}

fn recognise_text(text: &str, depth: Depth) -> Result<Recognised, Reason> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return unrecognised("it is empty but for white space");
    }
    if let Some(found) = private_key_in_text(trimmed) {
        return private_key(found);
    }
    if text::looks_like_pem(trimmed) {
        return recognise_pem(trimmed);
    }
    if trimmed.starts_with('{') {
        return recognise_json(trimmed);
    }
    if let Some(before) = before_ssh_key(trimmed) {
        return ssh(trimmed, before);
    }
    if trimmed.starts_with('<') && trimmed.contains("urn:oasis:names:tc:SAML") {
        if trimmed.contains("urn:oasis:names:tc:SAML:2.0:metadata") {
            return unrecognised("it is SAML metadata; give it with `--trust`");
        }
        return Ok(Recognised::Saml(trimmed.to_owned()));
    }
    if is_compact(trimmed) {
        return Ok(Recognised::Token {
            text: trimmed.to_owned(),
            is_wit: is_wit(trimmed),
        });
    }
    if is_cut_off(trimmed) {
        let parts = trimmed.split('.').count();
        return Err(Reason::TokenNotCompact {
            detail: format!("it has {parts} parts, as what was cut off"),
        });
    }
    if depth == Depth::Outer
        && let Some(bytes) = text::base64(trimmed)
        && let Some(recognised) = recognise_unwrapped(&bytes)
    {
        return recognised;
    }
    let is_one_word = trimmed.bytes().all(|byte| byte.is_ascii_graphic());
    if is_one_word && (API_KEY_MINIMUM..=API_KEY_MAXIMUM).contains(&trimmed.len()) {
        return Ok(Recognised::ApiKey(trimmed.to_owned()));
    }
    if trimmed.contains('\0') {
        return unrecognised("it is binary, and no certificate in DER");
    }
    unrecognised("it is text of some other kind")
}

/// What stood inside base64; `None` where that is nothing known, so that the base64 itself may be
/// a secret.
fn recognise_unwrapped(bytes: &[u8]) -> Option<Result<Recognised, Reason>> {
    if bytes.first() == Some(&0x30) && AnyRef::from_der(bytes).is_ok() {
        return Some(recognise_binary(bytes));
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let is_known = text::looks_like_pem(text)
        || text.trim_start().starts_with('<') && text.contains("urn:oasis:names:tc:SAML");
    is_known.then(|| recognise_text(text, Depth::Unwrapped))
}

fn recognise_pem(text: &str) -> Result<Recognised, Reason> {
    if text.contains("-----BEGIN PGP ") {
        return Ok(Recognised::Other("openpgp"));
    }
    let blocks = text::pem_blocks(text)?;
    let certificates: Vec<&PemBlock> = blocks
        .iter()
        .filter(|block| block.is_certificate())
        .collect();
    if !certificates.is_empty() {
        return certificates
            .into_iter()
            .map(PemBlock::decode)
            .collect::<Result<_, _>>()
            .map(Recognised::Certificates);
    }
    if let Some(what) = blocks.iter().find_map(PemBlock::wrapped_certificates) {
        return unrecognised(what);
    }
    let label = blocks.first().map(PemBlock::label).unwrap_or_default();
    unrecognised(match label {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            "it is a request for a certificate, which no one has signed yet"
        }
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "SSH2 PUBLIC KEY" => {
            "it is a bare public key, for which no one vouches"
        }
        "X509 CRL" | "CRL" => "it is a revocation list; give it with `--crl`",
        _ => "it is PEM of some other kind",
    })
}

fn recognise_json(text: &str) -> Result<Recognised, Reason> {
    let Ok(Value::Object(members)) = serde_json::from_str(text) else {
        return unrecognised("it begins like JSON and is not");
    };
    let mut keys = members
        .get("keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .chain(std::iter::once(&members));
    let is_secret =
        keys.any(|key| key.contains_key("kty") && (key.contains_key("d") || key.contains_key("k")));
    if is_secret {
        return private_key("a JSON Web Key");
    }
    if members.get("private_key").is_some_and(Value::is_string) {
        return private_key("a key file of a service account");
    }
    unrecognised(if members.contains_key("credential") {
        "it is a question; ask it with `verify --batch`"
    } else if members.contains_key("kty") || members.contains_key("keys") {
        "it is a public key set; put it into a trust document"
    } else if members.contains_key("anchors") {
        "it is a trust document; give it with `--trust`"
    } else {
        "it is JSON of some other kind"
    })
}

fn recognise_binary(bytes: &[u8]) -> Result<Recognised, Reason> {
    if Certificate::parse(bytes).is_ok() {
        return Ok(Recognised::Certificates(vec![bytes.to_vec()]));
    }
    match outline(bytes).as_deref() {
        Some([Tag::Integer, Tag::Sequence, Tag::OctetString, ..]) => private_key("PKCS#8 in DER"),
        Some([Tag::Sequence, Tag::OctetString]) => private_key("encrypted PKCS#8 in DER"),
        Some([Tag::Integer, Tag::OctetString, ..]) => private_key("an elliptic-curve key in DER"),
        Some([Tag::Integer, Tag::Integer, Tag::Integer, Tag::Integer, ..]) => {
            private_key("an RSA or DSA key in DER")
        }
        Some([Tag::Integer, Tag::Sequence, ..]) => {
            private_key("a PKCS#12 file, which usually holds one")
        }
        Some([Tag::ObjectIdentifier, ..]) => unrecognised(
            "it is a PKCS#7 bundle; take the certificates out with \
             `openssl pkcs7 -inform der -print_certs`",
        ),
        Some([Tag::Sequence, Tag::BitString]) => {
            unrecognised("it is a bare public key, for which no one vouches")
        }
        Some([Tag::Sequence, Tag::Sequence, Tag::BitString]) => {
            if Crl::parse(bytes).is_ok() {
                return unrecognised("it is a revocation list; give it with `--crl`");
            }
            // Shaped like a certificate: what is wrong with it is for the core to say.
            Ok(Recognised::Certificates(vec![bytes.to_vec()]))
        }
        Some(_) => unrecognised("it is DER of some other kind"),
        None if is_openpgp_secret(bytes) => private_key("an OpenPGP secret key"),
        None if is_openpgp(bytes) => Ok(Recognised::Other("openpgp")),
        None => unrecognised("it is binary, and no certificate in DER"),
    }
}

/// The tags of the elements of a DER SEQUENCE that fills `bytes`.
fn outline(bytes: &[u8]) -> Option<Vec<Tag>> {
    let outer = AnyRef::from_der(bytes).ok()?;
    if outer.tag() != Tag::Sequence {
        return None;
    }
    let mut reader = SliceReader::new(outer.value()).ok()?;
    let mut tags = Vec::new();
    // The longest that is told apart has four.
    while !reader.is_finished() && tags.len() < 5 {
        tags.push(AnyRef::decode(&mut reader).ok()?.tag());
    }
    Some(tags)
}

/// The kind of private key that a text says it is.
fn private_key_in_text(text: &str) -> Option<&'static str> {
    let pem = [
        ("-----BEGIN OPENSSH PRIVATE KEY", "an OpenSSH private key"),
        ("-----BEGIN PGP PRIVATE KEY", "an OpenPGP secret key"),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY",
            "encrypted PKCS#8 in PEM",
        ),
        ("-----BEGIN EC PRIVATE KEY", "an elliptic-curve key in PEM"),
        ("-----BEGIN RSA PRIVATE KEY", "an RSA key in PEM"),
        ("-----BEGIN DSA PRIVATE KEY", "a DSA key in PEM"),
        ("-----BEGIN PRIVATE KEY", "PKCS#8 in PEM"),
    ];
    if let Some((_, found)) = pem.iter().find(|(begin, _)| text.contains(begin)) {
        return Some(found);
    }
    if text.contains("PRIVATE KEY-----") {
        return Some("some kind in PEM");
    }
    if text.starts_with("PuTTY-User-Key-File-") {
        return Some("a PuTTY key file");
    }
    text.starts_with("AGE-SECRET-KEY-")
        .then_some("an age identity")
}

/// How many words stand before an SSH public key or certificate (RFC 4253 6.6), if there is one.
fn before_ssh_key(text: &str) -> Option<usize> {
    let kinds = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"];
    let words = text.split_ascii_whitespace();
    let mut pairs = words.clone().zip(words.skip(1));
    pairs.position(|(word, key)| {
        let is_kind = kinds.iter().any(|kind| word.starts_with(kind));
        // Every key begins with the length of its kind, which is under 256.
        is_kind && key.starts_with("AAAA")
    })
}

/// A key or certificate that stands alone. What stands before one in `known_hosts` or
/// `authorized_keys` bounds how it may be used, and would not be kept to.
fn ssh(text: &str, before: usize) -> Result<Recognised, Reason> {
    if before == 0 {
        return Ok(Recognised::Ssh(text.to_owned()));
    }
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    let first: String = first.chars().take(64).collect();
    Err(Reason::SshMalformed {
        part: "key or certificate",
        detail: format!("`{first}` stands before it, which would not be kept to; send it alone"),
    })
}

/// Three or five parts of base64url, of which the first begins a JSON object.
fn is_compact(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    matches!(parts.len(), 3 | 5) && text.starts_with("ey") && text.bytes().all(is_of_compact)
}

/// What begins as a token does and has a dot is one that was copied in part, and no API key: its
/// first part is the header of a JWS, which names an algorithm (RFC 7515 4.1.1). Other things are signed
/// as two parts of base64url, too.
fn is_cut_off(text: &str) -> bool {
    let names_algorithm = || header(text).is_some_and(|header| header.get("alg").is_some());
    text.contains('.') && text.bytes().all(is_of_compact) && names_algorithm()
}

fn is_of_compact(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_=+/".contains(&byte)
}

/// What the first part of a token is, if that is JSON.
fn header(token: &str) -> Option<Value> {
    let header = token.split('.').next()?;
    let header = Base64UrlUnpadded::decode_vec(header).ok()?;
    serde_json::from_slice(&header).ok()
}

fn is_wit(token: &str) -> bool {
    let Some(header) = header(token) else {
        return false;
    };
    let kind = header
        .get("typ")
        .and_then(Value::as_str)
        .unwrap_or_default();
    kind.eq_ignore_ascii_case("wit+jwt") || kind.eq_ignore_ascii_case("application/wit+jwt")
}

/// A public-key packet of version 4 or 6 (RFC 9580 4.2, 5.5.2), which begins an OpenPGP
/// certificate.
fn is_openpgp(bytes: &[u8]) -> bool {
    openpgp_packet(bytes) == Some(6)
}

/// A secret-key packet (RFC 9580 5.5.3).
fn is_openpgp_secret(bytes: &[u8]) -> bool {
    openpgp_packet(bytes) == Some(5)
}

/// The type of the first packet, if it is one of a key.
fn openpgp_packet(bytes: &[u8]) -> Option<u8> {
    let first = *bytes.first()?;
    let (kind, length_bytes) = if first & 0xc0 == 0xc0 {
        let length_bytes = match *bytes.get(1)? {
            0..=191 => 1,
            192..=223 => 2,
            255 => 5,
            224..=254 => return None,
        };
        (first & 0x3f, length_bytes)
    } else if first & 0xc0 == 0x80 {
        let length_bytes = match first & 3 {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => return None,
        };
        ((first >> 2) & 0x0f, length_bytes)
    } else {
        return None;
    };
    let version = *bytes.get(1 + length_bytes)?;
    (matches!(kind, 5 | 6) && matches!(version, 3..=6)).then_some(kind)
}

fn private_key<T>(found: &str) -> Result<T, Reason> {
    Err(Reason::PrivateKeyGiven {
        found: found.to_owned(),
    })
}

fn unrecognised<T>(found: &str) -> Result<T, Reason> {
    Err(Reason::Unrecognised {
        found: found.to_owned(),
    })
}
