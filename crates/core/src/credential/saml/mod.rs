//! SAML 2.0 assertions, read strictly and in two steps.
//!
//! What is presented is first judged by its shape alone ([`presented`]): one assertion, one
//! signature inside of it, of that assertion. Which bytes the signature covers is found out by
//! another program, in a process of its own, because canonical XML is not to be done here; its
//! answer comes back as a fact ([`XmlSignature`]). The core believes that program nothing: it
//! checks the digest and the signature over the very bytes that came back, and reads the claims
//! from them and from nowhere else ([`assertion`]). So whatever is wrapped around an assertion
//! cannot matter.

pub(crate) mod assertion;
pub(crate) mod metadata;
pub(crate) mod presented;
mod signed_info;
mod xml;

use std::fmt;

use crate::id::Digest;

/// The namespace of assertions (SAML Core 1.2).
pub(crate) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";

/// The namespace of protocol messages (SAML Core 1.2).
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";

/// The namespace of XML signatures.
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";

/// Exclusive canonical XML, and its twin that keeps comments; both are the same here, since there
/// are no comments (SAML Core 5.4.3).
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const EXCLUSIVE_WITH_COMMENTS: &str = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments";

/// How the key is called in a document whose signature is to be checked.
pub const KEY_NAME: &str = "anchor";

/// An assertion whose signature is to be checked with one key: what must be found out before there
/// can be a verdict.
#[derive(Clone, PartialEq, Eq)]
pub struct XmlToVerify {
    /// A document that holds the assertion, byte for byte but for its `KeyInfo`, which names the
    /// key [`KEY_NAME`] and brings none.
    pub document: String,
    /// The key of the anchor, a DER `SubjectPublicKeyInfo`.
    pub key: Vec<u8>,
}

impl XmlToVerify {
    /// The digest by which the answer names it.
    pub fn digest(&self) -> Digest {
        Digest::of_list([b"xml", self.document.as_bytes(), self.key.as_slice()])
    }
}

impl fmt::Debug for XmlToVerify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "XmlToVerify(SHA-256 {})", self.digest().short())
    }
}

/// What was found out about an [`XmlToVerify`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct XmlSignature {
    /// The digest of what was looked at.
    pub of: Digest,
    /// What it is.
    pub found: XmlFound,
}

/// Whether a signature holds, and for which bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum XmlFound {
    /// It holds, as far as the other program says.
    Held {
        /// `SignedInfo` in the canonical form that was signed.
        signed_info: Vec<u8>,
        /// What its one reference leads to, after the transforms.
        content: Vec<u8>,
    },
    /// It does not.
    NotHeld,
}

impl fmt::Debug for XmlSignature {
    /// Without the assertion, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = matches!(self.found, XmlFound::Held { .. });
        write!(f, "XmlSignature({}, held: {held})", self.of.short())
    }
}
