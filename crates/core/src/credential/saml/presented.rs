//! What is presented, judged by its shape: a response or an assertion with one signature in the
//! one place where it belongs. Nothing of it is believed.

use roxmltree::{Document, Node};

use super::signed_info::{SignedInfo, exactly, misplaced};
use super::xml::{
    self, attribute, base64, elements, is, is_of_signature, malformed, name_of, named,
};
use super::{ASSERTION, KEY_NAME, PROTOCOL, SIGNATURE, XmlToVerify};
use crate::budget::Budget;
use crate::crypto::{PublicKey, Scheme, Verifier, cost, hashing_cost};
use crate::reason::{Reason, printable};
use crate::stop::Stop;

/// The status of a response that says that all went well (SAML Core 3.2.2.2).
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";

/// An assertion of the right shape.
pub(crate) struct Presented {
    /// Who it says has issued it.
    pub(crate) issuer: String,
    /// Its ID.
    pub(crate) id: String,
    /// The request that the response around it says it answers.
    pub(crate) response_to: Option<String>,
    /// The address to which the response around it says it was sent.
    pub(crate) destination: Option<String>,
    /// How it says it was signed.
    pub(crate) scheme: Scheme,
    signature: Vec<u8>,
    document: String,
}

impl Presented {
    /// Judges a text.
    pub(crate) fn read(text: &str) -> Result<Self, Reason> {
        let document = xml::read(text)?;
        let root = document.root_element();
        let assertion = the_assertion(&document)?;
        check_response(root)?;
        let signature = the_signature(&document, assertion)?;
        if let Some(comment) = assertion.descendants().find(Node::is_comment) {
            let inside = comment.parent().map(name_of).unwrap_or_default();
            return Err(Reason::SamlComment { element: inside });
        }
        let (signed_info, value) = parts_of(signature)?;
        let info = SignedInfo::read(signed_info)?;
        let id = attribute(assertion, "ID").unwrap_or_default();
        if info.id != id {
            return Err(misplaced(format!(
                "it is of the element `{}`, not of the assertion `{}`",
                printable(&info.id),
                printable(id)
            )));
        }
        let issuer = named(assertion, ASSERTION, "Issuer").next();
        let issuer = issuer.ok_or(Reason::SamlElementMissing { element: "Issuer" })?;
        let issuer = xml::exact_text(issuer)?;
        if root != assertion {
            check_issuer_of_response(root, issuer)?;
        }
        let of_response = |name| {
            let value = attribute(root, name).filter(|_| root != assertion);
            value.map(str::to_owned)
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            id: id.to_owned(),
            response_to: of_response("InResponseTo"),
            destination: of_response("Destination"),
            scheme: info.scheme,
            signature: base64(value)?,
            document: to_verify(text, assertion, signature, value)?,
        })
    }

    /// What is to be found out with a key.
    pub(crate) fn to_verify(&self, key: &[u8]) -> XmlToVerify {
        XmlToVerify {
            document: self.document.clone(),
            key: key.to_vec(),
        }
    }

    /// Whether `key` signed a `SignedInfo` of this canonical form, and it speaks of `content`.
    /// Refused when these are not what was presented.
    pub(crate) fn is_signed_by(
        &self,
        key: &PublicKey,
        (signed_info, content): (&[u8], &[u8]),
        crypto: &dyn Verifier,
        budget: &mut Budget,
    ) -> Result<bool, Stop> {
        let refuse = |detail: &str| Reason::SamlContent {
            detail: detail.to_owned(),
        };
        let text = std::str::from_utf8(signed_info).map_err(|_| refuse("it is no text"))?;
        let document = xml::read(text)?;
        let root = document.root_element();
        if !is_of_signature(root, "SignedInfo") {
            return Err(refuse("its root is no `SignedInfo`").into());
        }
        let info = SignedInfo::read(root)?;
        if info.id != self.id || info.scheme != self.scheme {
            return Err(refuse("it is not what was presented").into());
        }
        budget.signature(cost(key.kind()))?;
        budget.signature(hashing_cost(info.scheme, signed_info.len() + content.len()))?;
        if content.is_empty() {
            return Err(refuse("nothing was signed").into());
        }
        let checked = crypto.verify(key, info.scheme, signed_info, &self.signature);
        Ok(checked.is_ok() && info.is_digest_of(content))
    }
}

/// The one assertion that there is.
fn the_assertion<'a, 'input>(document: &'a Document<'input>) -> Result<Node<'a, 'input>, Reason> {
    let root = document.root_element();
    let is_response = is(root, PROTOCOL, "Response");
    if !is_response && !is(root, ASSERTION, "Assertion") {
        let is_encrypted = is(root, ASSERTION, "EncryptedAssertion");
        return Err(if is_encrypted {
            Reason::SamlEncrypted {}
        } else {
            malformed(format!(
                "its root `{}` is neither a response nor an assertion of SAML 2.0",
                name_of(root)
            ))
        });
    }
    let all = || document.descendants();
    let assertions: Vec<_> = all()
        .filter(|node| is(*node, ASSERTION, "Assertion"))
        .collect();
    let encrypted = all().filter(|node| is(*node, ASSERTION, "EncryptedAssertion"));
    let encrypted = encrypted.count();
    match assertions.as_slice() {
        [] if encrypted > 0 => Err(Reason::SamlEncrypted {}),
        [one] if encrypted == 0 => {
            let is_in_place = *one == root || one.parent() == Some(root);
            let responses = all().filter(|node| is(*node, PROTOCOL, "Response")).count();
            if !is_in_place || responses != usize::from(is_response) {
                return Err(misplaced(
                    "the assertion does not stand directly in its response",
                ));
            }
            check_version(*one)?;
            Ok(*one)
        }
        others => Err(Reason::SamlAssertionCount {
            found: others.len() + encrypted,
        }),
    }
}

/// What the response around an assertion says can only refuse: nobody need have signed it.
fn check_response(root: Node<'_, '_>) -> Result<(), Reason> {
    if !is(root, PROTOCOL, "Response") {
        return Ok(());
    }
    check_version(root)?;
    let code = named(root, PROTOCOL, "Status")
        .next()
        .and_then(|status| named(status, PROTOCOL, "StatusCode").next())
        .and_then(|code| attribute(code, "Value"))
        .ok_or(Reason::SamlElementMissing { element: "Status" })?;
    if code == SUCCESS {
        return Ok(());
    }
    Err(Reason::SamlStatus {
        status: code.to_owned(),
    })
}

/// Whoever wraps an assertion is who has issued it, if it says who it is (SAML Profiles 4.1.4.2).
fn check_issuer_of_response(root: Node<'_, '_>, of_assertion: &str) -> Result<(), Reason> {
    let Some(issuer) = named(root, ASSERTION, "Issuer").next() else {
        return Ok(());
    };
    let issuer = xml::exact_text(issuer)?;
    if issuer == of_assertion {
        return Ok(());
    }
    Err(malformed(format!(
        "its response is one of {}, and its assertion of {}",
        printable(issuer),
        printable(of_assertion)
    )))
}

fn check_version(node: Node<'_, '_>) -> Result<(), Reason> {
    match attribute(node, "Version") {
        Some("2.0") => Ok(()),
        other => Err(malformed(format!(
            "`{}` is of the version {}, not 2.0",
            name_of(node),
            printable(other.unwrap_or("(none)"))
        ))),
    }
}

/// The signature of the assertion. Beside it there may be one of the response, which is not looked
/// at; any other is there to deceive.
fn the_signature<'a, 'input>(
    document: &'a Document<'input>,
    assertion: Node<'a, 'input>,
) -> Result<Node<'a, 'input>, Reason> {
    let root = document.root_element();
    let mut own = Vec::new();
    let mut of_response = 0;
    for node in document.descendants() {
        if is_of_signature(node, "SignedInfo") || is_of_signature(node, "SignatureValue") {
            let is_in_signature = node
                .parent()
                .is_some_and(|parent| is_of_signature(parent, "Signature"));
            if !is_in_signature {
                return Err(misplaced(format!(
                    "`{}` stands outside of one",
                    name_of(node)
                )));
            }
        }
        if !is_of_signature(node, "Signature") {
            continue;
        }
        match node.parent() {
            Some(parent) if parent == assertion => own.push(node),
            Some(parent) if parent == root => of_response += 1,
            Some(parent) => {
                return Err(misplaced(format!("one stands in `{}`", name_of(parent))));
            }
            None => {}
        }
    }
    match own.as_slice() {
        [] => Err(Reason::SamlUnsigned {}),
        [one] if of_response <= 1 => Ok(*one),
        _ => Err(misplaced("there are several")),
    }
}

/// `SignedInfo` and `SignatureValue`; what is said of the key beside them is not read.
fn parts_of<'a, 'input>(
    signature: Node<'a, 'input>,
) -> Result<(Node<'a, 'input>, Node<'a, 'input>), Reason> {
    let has_key_info = elements(signature).any(|node| is_of_signature(node, "KeyInfo"));
    if has_key_info {
        let [info, value, _] = exactly(signature, ["SignedInfo", "SignatureValue", "KeyInfo"])?;
        return Ok((info, value));
    }
    let [info, value] = exactly(signature, ["SignedInfo", "SignatureValue"])?;
    Ok((info, value))
}

/// The assertion alone, byte for byte, under the namespaces that are known where it stands; in the
/// place of what it says of its key, the name of ours. `KeyInfo` is not signed.
fn to_verify(
    text: &str,
    assertion: Node<'_, '_>,
    signature: Node<'_, '_>,
    value: Node<'_, '_>,
) -> Result<String, Reason> {
    let mut document = String::with_capacity(text.len());
    document.push_str("<alone");
    let outside = assertion.parent().filter(Node::is_element);
    for space in outside.iter().flat_map(|node| node.namespaces()) {
        if space.name() == Some("xml") {
            continue;
        }
        let name = space
            .name()
            .map_or(String::new(), |name| format!(":{name}"));
        let uri = escape(space.uri());
        document.push_str(&format!(" xmlns{name}=\"{uri}\""));
    }
    document.push('>');
    let whole = assertion.range();
    let key_info = elements(signature).find(|node| is_of_signature(*node, "KeyInfo"));
    let after = key_info.map_or(value.range().end, |node| node.range().end);
    let parts = [whole.start..value.range().end, after..whole.end];
    let mut pieces = parts.into_iter().map(|range| text.get(range));
    let piece = |piece: Option<Option<&str>>| {
        let text = piece.flatten().map(str::to_owned);
        text.ok_or_else(|| malformed("its parts cannot be told apart".to_owned()))
    };
    document.push_str(&piece(pieces.next())?);
    document.push_str(&format!(
        "<KeyInfo xmlns=\"{SIGNATURE}\"><KeyName>{KEY_NAME}</KeyName></KeyInfo>"
    ));
    document.push_str(&piece(pieces.next())?);
    document.push_str("</alone>");
    Ok(document)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(character))),
            plain => escaped.push(plain),
        }
    }
    escaped
}
