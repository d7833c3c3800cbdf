//! What a signature says it signs (XML Signature 4.4), of which one shape is accepted.

use aws_lc_rs::digest;
use roxmltree::Node;

use super::xml::{
    attribute, base64, elements, is_of_signature, malformed, name_of, without_white_space,
};
use super::{EXCLUSIVE, EXCLUSIVE_WITH_COMMENTS};
use crate::crypto::{Hash, Scheme};
use crate::reason::{Reason, printable};

/// What takes the signature itself out of what is signed (XML Signature 6.6.4).
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

/// How signatures are made (RFC 9231 2.3). SHA-1, HMAC and DSA are not here.
const SCHEMES: [(&str, Scheme); 6] = [
    (
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        Scheme::RsaPkcs1(Hash::Sha256),
    ),
    (
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
        Scheme::RsaPkcs1(Hash::Sha384),
    ),
    (
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
        Scheme::RsaPkcs1(Hash::Sha512),
    ),
    (
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
        Scheme::EcdsaFixed(Hash::Sha256),
    ),
    (
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
        Scheme::EcdsaFixed(Hash::Sha384),
    ),
    (
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
        Scheme::EcdsaFixed(Hash::Sha512),
    ),
];

/// How digests are made (XML Encryption 5.7, RFC 9231 2.1).
const DIGESTS: [(&str, Hash); 3] = [
    ("http://www.w3.org/2001/04/xmlenc#sha256", Hash::Sha256),
    (
        "http://www.w3.org/2001/04/xmldsig-more#sha384",
        Hash::Sha384,
    ),
    ("http://www.w3.org/2001/04/xmlenc#sha512", Hash::Sha512),
];

/// The most prefixes that canonical XML is told to keep, and the most bytes of their list. Programs
/// look up each for every element, before anyone knows who has signed; identity providers name one
/// or two (`xs`).
const PREFIXES: usize = 16;
const PREFIX_BYTES: usize = 256;

/// One reference to one element, by two transforms.
pub(super) struct SignedInfo {
    pub(super) scheme: Scheme,
    /// The ID of what is signed.
    pub(super) id: String,
    hash: Hash,
    digest: Vec<u8>,
}

impl SignedInfo {
    /// Reads a `SignedInfo`, of any other shape than the one accepted a refusal.
    pub(super) fn read(node: Node<'_, '_>) -> Result<Self, Reason> {
        let [canonicalization, method, reference] = exactly(
            node,
            ["CanonicalizationMethod", "SignatureMethod", "Reference"],
        )?;
        check_canonical(canonicalization)?;
        check_plain(method)?;
        let scheme = one_of(method, &SCHEMES)?;
        let [transforms, digest_method, digest_value] =
            exactly(reference, ["Transforms", "DigestMethod", "DigestValue"])?;
        check_transforms(transforms)?;
        check_plain(digest_method)?;
        let id = attribute(reference, "URI")
            .and_then(|uri| uri.strip_prefix('#'))
            .filter(|id| !id.is_empty() && id.chars().all(is_of_name))
            .ok_or_else(|| misplaced("its reference names no element by its ID"))?;
        Ok(Self {
            scheme,
            id: id.to_owned(),
            hash: one_of(digest_method, &DIGESTS)?,
            digest: base64(digest_value)?,
        })
    }

    /// Whether the digest is that of `content`.
    pub(super) fn is_digest_of(&self, content: &[u8]) -> bool {
        let algorithm = match self.hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, content).as_ref() == self.digest
    }
}

/// What can stand in the name of an element (XML Namespaces 3, `NCName`), so that a reference is
/// never an expression.
fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.')
}

/// The elements below, which must be these and no others, without text between them that says
/// anything.
pub(super) fn exactly<'a, 'input, const N: usize>(
    node: Node<'a, 'input>,
    names: [&str; N],
) -> Result<[Node<'a, 'input>; N], Reason> {
    let says_something = |child: &Node<'_, '_>| {
        let text = child.text().unwrap_or_default();
        child.is_comment() || child.is_text() && !without_white_space(text).is_empty()
    };
    let stray = node.children().find(says_something);
    let found: Vec<Node<'a, 'input>> = elements(node).collect();
    let fits = stray.is_none()
        && found.len() == N
        && std::iter::zip(&found, names).all(|(found, name)| is_of_signature(*found, name));
    let refusal = || {
        misplaced(format!(
            "`{}` must hold {} and nothing else",
            name_of(node),
            names.join(", ")
        ))
    };
    if !fits {
        return Err(refusal());
    }
    found.try_into().map_err(|_| refusal())
}

fn check_transforms(node: Node<'_, '_>) -> Result<(), Reason> {
    let transforms: Vec<Node<'_, '_>> = elements(node).collect();
    let allowed = |transform: &Node<'_, '_>, names: &[&str]| {
        is_of_signature(*transform, "Transform")
            && attribute(*transform, "Algorithm").is_some_and(|name| names.contains(&name))
    };
    let is_canonical =
        |transform: &Node<'_, '_>| allowed(transform, &[EXCLUSIVE, EXCLUSIVE_WITH_COMMENTS]);
    match transforms.as_slice() {
        [first, second] if allowed(first, &[ENVELOPED]) && is_canonical(second) => {
            check_plain(*first)?;
            check_canonical(*second)
        }
        others => {
            let wrong = others
                .iter()
                .find(|one| !allowed(one, &[ENVELOPED]) && !is_canonical(one));
            let name = wrong.and_then(|one| attribute(*one, "Algorithm"));
            Err(Reason::SamlTransform {
                transform: name.map_or_else(
                    || format!("{} transforms in this order", others.len()),
                    str::to_owned,
                ),
            })
        }
    }
}

/// Exclusive canonical XML, with nothing inside but prefixes.
fn check_canonical(node: Node<'_, '_>) -> Result<(), Reason> {
    let algorithm = attribute(node, "Algorithm").unwrap_or_default();
    if ![EXCLUSIVE, EXCLUSIVE_WITH_COMMENTS].contains(&algorithm) {
        return Err(Reason::SamlAlgorithm {
            algorithm: algorithm.to_owned(),
        });
    }
    let is_prefixes = |child: Node<'_, '_>| child.has_tag_name((EXCLUSIVE, "InclusiveNamespaces"));
    let refuse = |other| {
        Err(Reason::SamlTransform {
            transform: name_of(other),
        })
    };
    let mut inside = elements(node);
    match (inside.next(), inside.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if is_prefixes(one) && !one.has_children() => check_prefixes(one),
        (Some(one), None) => refuse(one),
        (Some(_), Some(second)) => refuse(second),
    }
}

/// Few prefixes in a short list (Exclusive XML Canonicalization 3).
fn check_prefixes(node: Node<'_, '_>) -> Result<(), Reason> {
    let list = attribute(node, "PrefixList").unwrap_or_default();
    if list.len() > PREFIX_BYTES {
        return Err(Reason::InputSize {
            part: "`PrefixList` of a signature",
            size: list.len(),
            allowed: PREFIX_BYTES,
        });
    }
    match list.split_ascii_whitespace().count() {
        ..=PREFIXES => Ok(()),
        more => Err(malformed(format!(
            "its `PrefixList` names {more} prefixes, and more than {PREFIXES} are not worked with"
        ))),
    }
}

/// An element with nothing inside.
fn check_plain(node: Node<'_, '_>) -> Result<(), Reason> {
    match elements(node).next() {
        None => Ok(()),
        Some(inside) => Err(Reason::SamlTransform {
            transform: name_of(inside),
        }),
    }
}

fn one_of<T: Copy>(node: Node<'_, '_>, known: &[(&str, T)]) -> Result<T, Reason> {
    let name = attribute(node, "Algorithm")
        .ok_or_else(|| malformed(format!("`{}` names no algorithm", name_of(node))))?;
    known
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
        .ok_or_else(|| Reason::SamlAlgorithm {
            algorithm: printable(name),
        })
}

pub(super) fn misplaced(detail: impl Into<String>) -> Reason {
    Reason::SamlSignaturePlace {
        detail: detail.into(),
    }
}
