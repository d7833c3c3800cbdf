//! Authorities that issue, and the text forms of what they issue.

use base64ct::{Base64, Encoding};

use crate::certificate::CertificateForge;
use crate::crl::CrlForge;
use crate::key::Key;
use crate::name::Name;

/// A CA: its name, its key and one certificate for both.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Its name.
    pub name: Name,
    /// Its key.
    pub key: Key,
    /// Its certificate, as DER.
    pub certificate: Vec<u8>,
}

impl Authority {
    /// A self-signed root whose Ed25519 key is derived from its name.
    pub fn root(name: &str) -> Self {
        Self::root_with(name, Key::ed25519(name), |forge| forge)
    }

    /// A self-signed root with a key of one's own and a certificate changed at will.
    pub fn root_with(
        name: impl Into<Name>,
        key: Key,
        change: impl FnOnce(CertificateForge) -> CertificateForge,
    ) -> Self {
        let name = name.into();
        let certificate = change(CertificateForge::authority(name.clone(), &key)).sign(&name, &key);
        Self {
            name,
            key,
            certificate,
        }
    }

    /// A CA below this one whose Ed25519 key is derived from its name.
    pub fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(name, Key::ed25519(name), |forge| forge)
    }

    /// A CA below this one with a key of one's own and a certificate changed at will.
    pub fn intermediate_with(
        &self,
        name: impl Into<Name>,
        key: Key,
        change: impl FnOnce(CertificateForge) -> CertificateForge,
    ) -> Self {
        let name = name.into();
        let certificate = self.issue(change(CertificateForge::authority(name.clone(), &key)));
        Self {
            name,
            key,
            certificate,
        }
    }

    /// Another certificate for an authority that exists already: a cross-certificate, as DER.
    pub fn cross_certify(&self, other: &Self) -> Vec<u8> {
        self.issue(CertificateForge::authority(other.name.clone(), &other.key))
    }

    /// Signs a certificate, as DER.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a forge is made where it is used"
    )]
    pub fn issue(&self, forge: CertificateForge) -> Vec<u8> {
        forge.sign(&self.name, &self.key)
    }

    /// The certificate of a Web server, as DER.
    pub fn server(&self, dns: &str) -> Vec<u8> {
        self.issue(CertificateForge::server(dns))
    }

    /// An X.509-SVID of a workload, as DER; its key is derived from the ID.
    pub fn svid(&self, spiffe_id: &str) -> Vec<u8> {
        self.issue(CertificateForge::svid(spiffe_id, &Key::ed25519(spiffe_id)))
    }

    /// Signs a revocation list, as DER.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a forge is made where it is used"
    )]
    pub fn crl(&self, forge: CrlForge) -> Vec<u8> {
        forge.sign(&self.name, &self.key)
    }
}

/// One block of PEM (RFC 7468): 64 characters a line.
pub fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, character) in Base64::encode_string(der).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + &format!("\n-----END {label}-----\n")
}
