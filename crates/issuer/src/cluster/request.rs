//! A signing request of a component, read apart: here who someone is, is for them to say, and for
//! the rules of the signer to judge.

use std::net::IpAddr;

use avouch_core::reason::Reason;
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};
use x509_cert::name::Name;
use x509_cert::request::CertReq;

use crate::key::PublicHalf;
use crate::signing_request::{asks_for_ca, extensions};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// The most names that one certificate is asked for.
const MOST_NAMES: usize = 100;

/// What a component asks for, whose key has signed it.
#[derive(Clone, Debug)]
pub struct ComponentRequest {
    public_half: PublicHalf,
    /// The DER `Name`, as it was sent.
    subject: Vec<u8>,
    common_name: String,
    organizations: Vec<String>,
    dns_names: Vec<String>,
    ips: Vec<IpAddr>,
    emails: Vec<String>,
    has_uris: bool,
    asks_for_ca: bool,
}

impl ComponentRequest {
    /// Reads a certification request (PKCS#10, RFC 2986) as DER.
    ///
    /// # Errors
    ///
    /// `issue.request_malformed`, `issue.request_not_signed`, `issue.public_key_malformed`.
    pub fn read(der: &[u8]) -> Result<Self, Reason> {
        let refuse = |detail: &str| Reason::IssueRequest {
            detail: detail.to_owned(),
        };
        let public_half = PublicHalf::from_signing_request(der)?;
        let request = CertReq::from_der(der).map_err(|error| refuse(&error.to_string()))?;
        let extensions = extensions(&request)?;
        let subject = &request.info.subject;
        let mut commons = texts(subject, COMMON_NAME)?;
        // One reader would take the first, another the last.
        if commons.len() > 1 {
            return Err(refuse("it has more than one common name"));
        }
        let mut read = Self {
            public_half,
            subject: subject
                .to_der()
                .map_err(|_| refuse("its subject cannot be read"))?,
            common_name: commons.pop().unwrap_or_default(),
            organizations: texts(subject, ORGANIZATION)?,
            dns_names: Vec::new(),
            ips: Vec::new(),
            emails: Vec::new(),
            has_uris: false,
            asks_for_ca: asks_for_ca(&extensions)?,
        };
        for name in names(&extensions)? {
            read.take(name)?;
        }
        Ok(read)
    }

    fn take(&mut self, name: GeneralName) -> Result<(), Reason> {
        let refuse = |detail: &str| {
            Err(Reason::IssueRequest {
                detail: detail.to_owned(),
            })
        };
        match name {
            GeneralName::DnsName(name) => self.dns_names.push(name.to_string()),
            GeneralName::Rfc822Name(name) => self.emails.push(name.to_string()),
            GeneralName::UniformResourceIdentifier(_) => self.has_uris = true,
            GeneralName::IpAddress(bytes) => match ip(bytes.as_bytes()) {
                Some(ip) => self.ips.push(ip),
                None => return refuse("an IP address has neither 4 nor 16 bytes"),
            },
            GeneralName::OtherName(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::RegisteredId(_) => {
                return refuse("it asks for a kind of name that no component of a cluster has");
            }
        }
        Ok(())
    }

    /// The key, which has signed the request.
    pub fn public_half(&self) -> &PublicHalf {
        &self.public_half
    }

    /// The name of a user of the cluster; empty if there is none.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// The groups of the user.
    pub fn organizations(&self) -> &[String] {
        &self.organizations
    }

    pub(crate) fn subject(&self) -> &[u8] {
        &self.subject
    }

    pub(crate) fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    pub(crate) fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    pub(crate) fn emails(&self) -> &[String] {
        &self.emails
    }

    pub(crate) fn has_uris(&self) -> bool {
        self.has_uris
    }

    pub(crate) fn asks_for_ca(&self) -> bool {
        self.asks_for_ca
    }
}

/// The values of an attribute of a subject.
fn texts(subject: &Name, oid: ObjectIdentifier) -> Result<Vec<String>, Reason> {
    let refuse = |detail: &str| Reason::IssueRequest {
        detail: detail.to_owned(),
    };
    let values = subject.iter().filter(|attribute| attribute.oid == oid);
    values
        .map(|attribute| {
            let text: DirectoryString = attribute
                .value
                .decode_as()
                .map_err(|_| refuse("a part of its subject is no text"))?;
            let text = text.value().into_owned();
            match text.chars().any(char::is_control) {
                true => Err(refuse("a part of its subject has control characters")),
                false => Ok(text),
            }
        })
        .collect()
}

/// The names that are asked for beside the subject. Other extensions are passed over, as Kubernetes
/// does, unless they would make a CA.
fn names(extensions: &[Extension]) -> Result<Vec<GeneralName>, Reason> {
    let refuse = |detail: &str| Reason::IssueRequest {
        detail: detail.to_owned(),
    };
    let mut names = Vec::new();
    let mut lists = 0;
    for extension in extensions {
        if extension.extn_id != SUBJECT_ALT_NAME {
            continue;
        }
        lists += 1;
        let SubjectAltName(more) = SubjectAltName::from_der(extension.extn_value.as_bytes())
            .map_err(|_| refuse("its names cannot be read"))?;
        names.extend(more);
    }
    if lists > 1 {
        return Err(refuse("it has more than one list of names"));
    }
    if names.len() > MOST_NAMES {
        return Err(refuse("it asks for more than 100 names"));
    }
    Ok(names)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(bytes.into());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(bytes.into())
}
