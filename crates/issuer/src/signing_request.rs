//! Certification requests (PKCS#10, RFC 2986) of whoever is to have an SVID. Who that is, is not for
//! the request to say: only its key is taken. What it asks for and will not get is refused, so that
//! nobody holds a certificate and believes that it says what was asked for.

use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use der::asn1::ObjectIdentifier;
use der::flagset::FlagSet;
use der::{Decode, oid::AssociatedOid};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::request::CertReq;

use crate::certificate::{CLIENT_AUTH, EXTENSION_REQUEST, SERVER_AUTH};
use crate::key::PublicHalf;

/// `szOID_CERT_EXTENSIONS`, by which the tools of Windows ask for extensions (MS-WCCE 2.2.2.7.7.1).
const EXTENSION_REQUEST_OF_WINDOWS: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.14");

/// A request whose key has signed it.
#[derive(Clone, Debug)]
pub struct SigningRequest {
    public_half: PublicHalf,
    extensions: Vec<Extension>,
}

impl SigningRequest {
    /// Reads a request as DER.
    ///
    /// # Errors
    ///
    /// `issue.request_malformed`, `issue.request_not_signed`, `issue.public_key_malformed`,
    /// `issue.key_not_accepted`.
    pub fn read(der: &[u8]) -> Result<Self, Reason> {
        let public_half = PublicHalf::from_signing_request(der)?;
        let request = CertReq::from_der(der).map_err(|error| malformed(&error.to_string()))?;
        let extensions = extensions(&request)?;
        Ok(Self {
            public_half,
            extensions,
        })
    }

    /// The key, which has signed the request.
    pub fn public_half(&self) -> &PublicHalf {
        &self.public_half
    }

    /// The key for an SVID of `id` with these DNS names, unless the request asks for more than that:
    /// other names, to be a CA, other uses of the key, or what nobody here knows. Its subject and its
    /// attributes other than extensions are passed over, as SPIRE does: they promise nothing.
    ///
    /// # Errors
    ///
    /// `issue.request_refused`; `issue.request_malformed` for an extension that cannot be read.
    pub fn for_svid(&self, id: &SpiffeId, dns_names: &[String]) -> Result<PublicHalf, Reason> {
        for extension in &self.extensions {
            let more = match extension.extn_id {
                SubjectAltName::OID => excess_of_names(&read(extension)?, id, dns_names),
                BasicConstraints::OID => excess_of_basics(&read(extension)?),
                KeyUsage::OID => excess_of_usages(&read(extension)?),
                ExtendedKeyUsage::OID => excess_of_purposes(&read(extension)?),
                // These name the keys, whichever way their owner counts.
                SubjectKeyIdentifier::OID | AuthorityKeyIdentifier::OID => None,
                unknown => Some(format!("the extension {unknown}")),
            };
            if let Some(more) = more {
                return Err(Reason::IssueRequestRefused {
                    id: id.to_string(),
                    more,
                });
            }
        }
        Ok(self.public_half.clone())
    }
}

/// Whether extensions that are asked for would make a CA, or let its key sign certificates or lists.
pub(crate) fn asks_for_ca(extensions: &[Extension]) -> Result<bool, Reason> {
    for extension in extensions {
        let asks = match extension.extn_id {
            BasicConstraints::OID => read::<BasicConstraints>(extension)?.ca,
            KeyUsage::OID => {
                let KeyUsage(usages) = read(extension)?;
                usages.contains(KeyUsages::KeyCertSign) || usages.contains(KeyUsages::CRLSign)
            }
            _ => false,
        };
        if asks {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The extensions that a request asks for.
pub(crate) fn extensions(request: &CertReq) -> Result<Vec<Extension>, Reason> {
    let mut all = Vec::new();
    let attributes = request.info.attributes.iter();
    for attribute in attributes.filter(|attribute| {
        [EXTENSION_REQUEST, EXTENSION_REQUEST_OF_WINDOWS].contains(&attribute.oid)
    }) {
        for value in attribute.values.iter() {
            let more: Vec<Extension> = value
                .decode_as()
                .map_err(|_| malformed("its extensions cannot be read"))?;
            all.extend(more);
        }
    }
    Ok(all)
}

fn read<'a, T: Decode<'a>>(extension: &'a Extension) -> Result<T, Reason> {
    T::from_der(extension.extn_value.as_bytes()).map_err(|_| {
        malformed(&format!(
            "its extension {} cannot be read",
            extension.extn_id
        ))
    })
}

fn excess_of_names(
    SubjectAltName(names): &SubjectAltName,
    id: &SpiffeId,
    dns_names: &[String],
) -> Option<String> {
    names.iter().find_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => {
            let is_own = SpiffeId::parse(uri.as_str()).is_ok_and(|uri| uri == *id);
            (!is_own).then(|| format!("the URI {}", shown(uri.as_str())))
        }
        GeneralName::DnsName(name) => {
            let mut given = dns_names.iter();
            let is_given = given.any(|given| given.eq_ignore_ascii_case(name.as_str()));
            (!is_given).then(|| format!("the DNS name {}", shown(name.as_str())))
        }
        GeneralName::IpAddress(_) => Some("an IP address".to_owned()),
        GeneralName::Rfc822Name(_) => Some("an address of mail".to_owned()),
        GeneralName::OtherName(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::RegisteredId(_) => Some("a name of another kind".to_owned()),
    })
}

fn excess_of_basics(basics: &BasicConstraints) -> Option<String> {
    basics.ca.then(|| "to be a CA".to_owned())
}

/// An SVID signs (X.509-SVID 4.3). That its key may encipher, or sign what is not to be denied, is what many
/// tools ask for anyway (`v3_req` of openssl), and of no consequence: it is not put into the certificate.
fn excess_of_usages(KeyUsage(usages): &KeyUsage) -> Option<String> {
    let usual: FlagSet<KeyUsages> = KeyUsages::DigitalSignature
        | KeyUsages::NonRepudiation
        | KeyUsages::KeyEncipherment
        | KeyUsages::DataEncipherment
        | KeyUsages::KeyAgreement;
    let more = *usages - usual;
    let first = more.into_iter().next()?;
    Some(format!("the key usage {first:?}"))
}

fn excess_of_purposes(ExtendedKeyUsage(purposes): &ExtendedKeyUsage) -> Option<String> {
    let mut purposes = purposes.iter();
    let more = purposes.find(|purpose| ![SERVER_AUTH, CLIENT_AUTH].contains(purpose))?;
    Some(format!("the extended key usage {more}"))
}

/// What someone else has written, as far as it is needed to find it again.
fn shown(text: &str) -> String {
    text.chars().take(256).collect()
}

fn malformed(detail: &str) -> Reason {
    Reason::IssueRequest {
        detail: detail.to_owned(),
    }
}
