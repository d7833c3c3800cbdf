//! Assertions of SAML 2.0, good or wrong in any way one asks for, written in the form that is
//! signed, so that whatever was signed can be cut out of them.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use aws_lc_rs::digest;
use base64ct::{Base64, Encoding};

use crate::key::{Key, Kind};

/// The namespaces.
const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";

/// The ID of an assertion unless it is given another.
pub const ID: &str = "_a1";

/// The ID of an assertion of which [`stand_in`] says that nothing was signed, as programs do whose
/// canonical form of it is empty.
pub const VOID: &str = "_void";

/// An assertion in the making.
#[derive(Clone, Debug)]
pub struct SamlForge {
    text: String,
    key_info: String,
}

impl SamlForge {
    /// An assertion that an identity provider made about a subject at [`crate::NOW`], for five
    /// minutes, for a service that is shown it at `recipient`.
    pub fn new(issuer: &str, subject: &str, audience: &str, recipient: &str) -> Self {
        let text = format!(
            "<saml:Assertion xmlns:saml=\"{ASSERTION}\" ID=\"{ID}\" \
             IssueInstant=\"2024-06-01T00:00:00Z\" Version=\"2.0\">\
             <saml:Issuer>{issuer}</saml:Issuer>\
             <saml:Subject><saml:NameID \
             Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">{subject}\
             </saml:NameID><saml:SubjectConfirmation \
             Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData \
             NotOnOrAfter=\"2024-06-01T00:05:00Z\" Recipient=\"{recipient}\">\
             </saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>\
             <saml:Conditions NotBefore=\"2024-05-31T23:59:00Z\" \
             NotOnOrAfter=\"2024-06-01T00:05:00Z\"><saml:AudienceRestriction>\
             <saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction>\
             </saml:Conditions><saml:AuthnStatement AuthnInstant=\"2024-05-31T23:50:00Z\" \
             SessionIndex=\"s1\"><saml:AuthnContext><saml:AuthnContextClassRef>\
             https://refeds.org/profile/mfa</saml:AuthnContextClassRef></saml:AuthnContext>\
             </saml:AuthnStatement><saml:AttributeStatement><saml:Attribute \
             Name=\"department\"><saml:AttributeValue>ops</saml:AttributeValue>\
             </saml:Attribute></saml:AttributeStatement></saml:Assertion>"
        );
        Self {
            text,
            key_info: String::new(),
        }
    }

    /// An assertion that is written like this, in the form that is signed.
    pub fn saying(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            key_info: String::new(),
        }
    }

    /// With another text in the place of one that stands there, before it is signed.
    pub fn with(mut self, found: &str, instead: &str) -> Self {
        assert!(self.text.contains(found), "there is no {found}");
        self.text = self.text.replace(found, instead);
        self
    }

    /// With something said of the key, which is not signed.
    pub fn key_info(mut self, inside: &str) -> Self {
        self.key_info = format!("<ds:KeyInfo>{inside}</ds:KeyInfo>");
        self
    }

    /// Without a signature.
    pub fn unsigned(&self) -> String {
        self.text.clone()
    }

    /// Signed.
    pub fn sign(&self, key: &Key) -> String {
        self.sign_as(key, &format!("#{}", self.id()))
    }

    /// Signed, with a reference of one's own to what is signed.
    pub fn sign_as(&self, key: &Key, uri: &str) -> String {
        let content = if self.id() == VOID { "" } else { &self.text };
        let signature = signature(key, uri, content, &self.key_info);
        self.text
            .replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1)
    }

    fn id(&self) -> &str {
        let after = self
            .text
            .split_once(" ID=\"")
            .map_or("", |(_, after)| after);
        after.split_once('"').map_or("", |(id, _)| id)
    }
}

/// A signature of `content` under the name `uri`.
pub fn signature(key: &Key, uri: &str, content: &str, key_info: &str) -> String {
    let algorithm = match key.kind() {
        Kind::P256 => "ecdsa-sha256",
        _ => "rsa-sha256",
    };
    let digest = digest::digest(&digest::SHA256, content.as_bytes());
    let inside = format!(
        "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">\
         </ds:CanonicalizationMethod><ds:SignatureMethod \
         Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#{algorithm}\"></ds:SignatureMethod>\
         <ds:Reference URI=\"{uri}\"><ds:Transforms><ds:Transform \
         Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"></ds:Transform>\
         <ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"></ds:Transform>\
         </ds:Transforms><ds:DigestMethod \
         Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"></ds:DigestMethod>\
         <ds:DigestValue>{}</ds:DigestValue></ds:Reference>",
        Base64::encode_string(digest.as_ref())
    );
    let signed = format!("<ds:SignedInfo xmlns:ds=\"{SIGNATURE}\">{inside}</ds:SignedInfo>");
    let value = match key.kind() {
        Kind::P256 => key.sign_ecdsa_fixed(signed.as_bytes()),
        _ => key.sign(key.scheme(), signed.as_bytes()),
    };
    let value = Base64::encode_string(&value);
    format!(
        "<ds:Signature xmlns:ds=\"{SIGNATURE}\"><ds:SignedInfo>{inside}</ds:SignedInfo>\
         <ds:SignatureValue>{value}</ds:SignatureValue>{key_info}</ds:Signature>"
    )
}

/// A response around assertions, or around whatever else.
pub fn response(inside: &str) -> String {
    format!(
        "<samlp:Response xmlns:samlp=\"{PROTOCOL}\" ID=\"_r1\" \
         IssueInstant=\"2024-06-01T00:00:00Z\" Version=\"2.0\"><samlp:Status>\
         <samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/>\
         </samlp:Status>{inside}</samlp:Response>"
    )
}

/// Metadata of an identity provider with these DER certificates.
pub fn metadata(entity_id: &str, certificates: &[&[u8]], valid_until: Option<&str>) -> String {
    let keys: String = certificates
        .iter()
        .map(|der| {
            let certificate = Base64::encode_string(der);
            format!(
                "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"{SIGNATURE}\">\
                 <ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate>\
                 </ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
            )
        })
        .collect();
    let until = valid_until.map_or(String::new(), |until| format!(" validUntil=\"{until}\""));
    format!(
        "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" \
         entityID=\"{entity_id}\"{until}><md:IDPSSODescriptor \
         protocolSupportEnumeration=\"{PROTOCOL}\">{keys}<md:SingleSignOnService \
         Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"{entity_id}/sso\"/></md:IDPSSODescriptor></md:EntityDescriptor>"
    )
}

/// Whether the program that checks signatures in XML is here. Installs it if it is missing and may
/// be installed; `Err` says why it is not.
pub fn xmlsec1() -> Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    let is_there = || {
        ["/usr/bin", "/usr/local/bin"]
            .iter()
            .any(|folder| Path::new(folder).join("xmlsec1").is_file())
    };
    let find = || {
        if is_there() {
            return Ok(());
        }
        let installed = Command::new("apt-get")
            .args(["install", "-y", "-qq", "xmlsec1"])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .output();
        match installed {
            Ok(done) if done.status.success() && is_there() => Ok(()),
            Ok(_) | Err(_) => Err("xmlsec1 is not here and cannot be installed".to_owned()),
        }
    };
    FOUND.get_or_init(find).clone()
}

/// Stands in for the program that works out what a signature covers, for documents that were made
/// here and are therefore in that form already: what was signed of the signature itself, and what
/// was signed of the assertion. It checks nothing, since nothing it says is believed.
pub fn stand_in(document: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (before, rest) = document.split_once("<ds:Signature ")?;
    let (inside, after) = rest.split_once("</ds:Signature>")?;
    let (_, info) = inside.split_once("<ds:SignedInfo>")?;
    let (info, _) = info.split_once("</ds:SignedInfo>")?;
    let begin = before.find("<saml:Assertion ")?;
    let end = after.find("</saml:Assertion>")? + "</saml:Assertion>".len();
    let content = format!("{}{}", before.get(begin..)?, after.get(..end)?);
    let is_void = content.contains(&format!(" ID=\"{VOID}\""));
    let signed = format!("<ds:SignedInfo xmlns:ds=\"{SIGNATURE}\">{info}</ds:SignedInfo>");
    let content = if is_void { String::new() } else { content };
    Some((signed.into_bytes(), content.into_bytes()))
}
