//! A forge for certificates, good or wrong in any way one asks for.

use aws_lc_rs::digest;

use crate::asn1;
use crate::extension::{self, Extension, KeyUsage};
use crate::key::{Key, Scheme};
use crate::moment::Moment;
use crate::name::{GeneralName, Name};

/// From when a certificate is valid unless a test says otherwise.
pub const NOT_BEFORE: &str = "2024-01-01T00:00:00Z";
/// Until when an end-entity certificate is valid: 200 days in all, well within what the Web allows.
pub const NOT_AFTER: &str = "2024-07-19T00:00:00Z";
/// Until when a CA certificate is valid.
pub const CA_NOT_AFTER: &str = "2034-01-01T00:00:00Z";

/// A certificate in the making. Start from one that is good and change what the test is about.
#[derive(Clone, Debug)]
pub struct CertificateForge {
    version: Option<u64>,
    serial: Option<Vec<u8>>,
    issuer: Option<Name>,
    not_before: Moment,
    not_after: Moment,
    subject: Name,
    public_key_info: Vec<u8>,
    own_key_identifier: Vec<u8>,
    unique_ids: Vec<u8>,
    extensions: Vec<Extension>,
    extensions_element: Option<Vec<u8>>,
    without: Vec<String>,
    scheme: Option<Scheme>,
    inner_algorithm: Option<Vec<u8>>,
    outer_algorithm: Option<Vec<u8>>,
    signature: SignatureForm,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SignatureForm {
    Right,
    OneBitWrong,
    Exactly(Vec<u8>),
}

impl CertificateForge {
    /// A certificate of version 3 with no extensions but the subject key identifier; an authority
    /// key identifier is added when another key signs it.
    pub fn bare(subject: impl Into<Name>, key: &Key) -> Self {
        Self {
            version: Some(2),
            serial: None,
            issuer: None,
            not_before: Moment::at(NOT_BEFORE),
            not_after: Moment::at(NOT_AFTER),
            subject: subject.into(),
            public_key_info: key.public_key_info(),
            own_key_identifier: key.identifier(),
            unique_ids: Vec::new(),
            extensions: vec![extension::subject_key_id(&key.identifier())],
            extensions_element: None,
            without: Vec::new(),
            scheme: None,
            inner_algorithm: None,
            outer_algorithm: None,
            signature: SignatureForm::Right,
        }
    }

    /// A CA certificate: basic constraints without a path length, and a key usage for
    /// certificates and revocation lists.
    pub fn authority(subject: impl Into<Name>, key: &Key) -> Self {
        Self::bare(subject, key)
            .valid(NOT_BEFORE, CA_NOT_AFTER)
            .with(extension::basic_constraints(true, None))
            .with(extension::key_usage(&[
                KeyUsage::KeyCertSign,
                KeyUsage::CrlSign,
            ]))
    }

    /// The certificate of a Web server: one DNS name, also as common name. Its key is derived from
    /// the name.
    pub fn server(dns: &str) -> Self {
        Self::server_with(dns, &Key::ed25519(dns))
    }

    /// The certificate of a Web server with a key of one's own.
    pub fn server_with(dns: &str, key: &Key) -> Self {
        Self::end_entity(dns, key, extension::SERVER_AUTH).with(
            extension::subject_alternative_names(&[GeneralName::dns(dns)]),
        )
    }

    /// The certificate of a TLS client with one mailbox as its name.
    pub fn client(email: &str, key: &Key) -> Self {
        Self::end_entity(email, key, extension::CLIENT_AUTH).with(
            extension::subject_alternative_names(&[GeneralName::email(email)]),
        )
    }

    /// An X.509-SVID of a workload (SPIFFE X.509-SVID 4), for both ends of mutual TLS.
    pub fn svid(spiffe_id: &str, key: &Key) -> Self {
        Self::bare(Name::empty().with(crate::name::ORGANIZATION, "SPIFFE"), key)
            .with(extension::basic_constraints(false, None))
            .with(extension::key_usage(&[KeyUsage::DigitalSignature]))
            .with(extension::extended_key_usage(&[
                extension::SERVER_AUTH,
                extension::CLIENT_AUTH,
            ]))
            .with(extension::subject_alternative_names(&[GeneralName::uri(
                spiffe_id,
            )]))
    }

    fn end_entity(common_name: &str, key: &Key, usage: &str) -> Self {
        Self::bare(common_name, key)
            .with(extension::key_usage(&[KeyUsage::DigitalSignature]))
            .with(extension::extended_key_usage(&[usage]))
    }

    /// Valid in this span, both ends included; see [`Moment`] for forced encodings.
    pub fn valid(mut self, from: impl Into<Moment>, until: impl Into<Moment>) -> Self {
        self.not_before = from.into();
        self.not_after = until.into();
        self
    }

    /// Another subject.
    pub fn subject(mut self, subject: impl Into<Name>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Another issuer than the one that signs.
    pub fn issuer(mut self, issuer: impl Into<Name>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// The serial number as the octets of its `INTEGER`, any at all. Otherwise it is derived from
    /// the subject and the key.
    pub fn serial(mut self, octets: &[u8]) -> Self {
        self.serial = Some(octets.to_vec());
        self
    }

    /// The number of the version: 2 means version 3. `None` leaves it out, which means version 1.
    pub fn version(mut self, version: Option<u64>) -> Self {
        self.version = version;
        self
    }

    /// Another `SubjectPublicKeyInfo`, any octets.
    pub fn public_key_info(mut self, der: Vec<u8>) -> Self {
        self.public_key_info = der;
        self
    }

    /// The unique identifiers of issuer and subject, as octets of their bit strings.
    pub fn unique_ids(mut self, issuer: Option<&[u8]>, subject: Option<&[u8]>) -> Self {
        let element = |number: u32, octets: &[u8]| {
            asn1::primitive(number, &asn1::concatenated([&[0], octets]))
        };
        let issuer = issuer.map(|octets| element(1, octets)).unwrap_or_default();
        let subject = subject.map(|octets| element(2, octets)).unwrap_or_default();
        self.unique_ids = asn1::concatenated([issuer, subject]);
        self
    }

    /// Adds an extension; one with the same object identifier is replaced.
    pub fn with(mut self, extension: Extension) -> Self {
        let same = self
            .extensions
            .iter_mut()
            .find(|known| known.oid == extension.oid);
        match same {
            Some(known) => *known = extension,
            None => self.extensions.push(extension),
        }
        self
    }

    /// Adds an extension even if there is one with the same object identifier already.
    pub fn with_again(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Leaves the extension with this object identifier out, also if it would be added on signing.
    pub fn without(mut self, oid: &str) -> Self {
        self.extensions.retain(|known| known.oid != oid);
        self.without.push(oid.to_owned());
        self
    }

    /// Limits the path length below a CA.
    pub fn path_length(self, most: u64) -> Self {
        self.with(extension::basic_constraints(true, Some(most)))
    }

    /// Other subject alternative names.
    pub fn names(self, names: &[GeneralName]) -> Self {
        self.with(extension::subject_alternative_names(names))
    }

    /// A whole element in place of the extensions with their tag `[3]`; empty to leave them out.
    pub fn extensions_element(mut self, der: Vec<u8>) -> Self {
        self.extensions_element = Some(der);
        self
    }

    /// Signs with this scheme instead of the usual one of the key.
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// Writes another `AlgorithmIdentifier` inside what is signed.
    pub fn inner_algorithm(mut self, der: Vec<u8>) -> Self {
        self.inner_algorithm = Some(der);
        self
    }

    /// Writes another `AlgorithmIdentifier` beside the signature.
    pub fn outer_algorithm(mut self, der: Vec<u8>) -> Self {
        self.outer_algorithm = Some(der);
        self
    }

    /// Flips one bit of the signature.
    pub fn wrong_signature(mut self) -> Self {
        self.signature = SignatureForm::OneBitWrong;
        self
    }

    /// Writes exactly these octets as the signature.
    pub fn signature(mut self, octets: Vec<u8>) -> Self {
        self.signature = SignatureForm::Exactly(octets);
        self
    }

    /// The certificate, signed by `key` in the name of `issuer`, as DER.
    pub fn sign(&self, issuer: &Name, key: &Key) -> Vec<u8> {
        let scheme = self.scheme.unwrap_or_else(|| key.scheme());
        let algorithm = scheme.identifier_for(key.kind());
        let inner = self.inner_algorithm.as_ref().unwrap_or(&algorithm);
        let to_be_signed = self.to_be_signed(self.issuer.as_ref().unwrap_or(issuer), inner, key);
        let signature = match &self.signature {
            SignatureForm::Right => key.sign(scheme, &to_be_signed),
            SignatureForm::OneBitWrong => one_bit_wrong(key.sign(scheme, &to_be_signed)),
            SignatureForm::Exactly(octets) => octets.clone(),
        };
        let outer = self.outer_algorithm.clone().unwrap_or(algorithm);
        asn1::sequence([to_be_signed, outer, asn1::bit_string(0, &signature)])
    }

    /// The certificate, signed by its own key, as DER.
    pub fn self_sign(&self, key: &Key) -> Vec<u8> {
        self.sign(&self.subject, key)
    }

    fn to_be_signed(&self, issuer: &Name, algorithm: &[u8], key: &Key) -> Vec<u8> {
        let version = self
            .version
            .map(|version| asn1::constructed(0, &asn1::number(version)));
        let validity = asn1::sequence([self.not_before.to_der(), self.not_after.to_der()]);
        let serial = self.serial.clone().unwrap_or_else(|| self.derived_serial());
        asn1::sequence([
            version.unwrap_or_default(),
            asn1::integer(&serial),
            algorithm.to_vec(),
            issuer.to_der(),
            validity,
            self.subject.to_der(),
            self.public_key_info.clone(),
            self.unique_ids.clone(),
            self.extensions_for(key),
        ])
    }

    fn extensions_for(&self, signer: &Key) -> Vec<u8> {
        if let Some(element) = &self.extensions_element {
            return element.clone();
        }
        let mut extensions: Vec<Vec<u8>> = self.extensions.iter().map(Extension::to_der).collect();
        let authority = extension::authority_key_id(&signer.identifier());
        let settled = self
            .extensions
            .iter()
            .any(|known| known.oid == authority.oid)
            || self.without.contains(&authority.oid)
            || self.own_key_identifier == signer.identifier();
        if !settled {
            extensions.push(authority.to_der());
        }
        if extensions.is_empty() {
            return Vec::new();
        }
        asn1::constructed(3, &asn1::sequence(extensions))
    }

    /// 16 octets that differ for every subject, key and start of validity; positive and minimal.
    fn derived_serial(&self) -> Vec<u8> {
        let parts = [
            self.subject.to_der(),
            self.public_key_info.clone(),
            self.not_before.to_der().to_vec(),
            self.not_after.to_der().to_vec(),
        ];
        let whole = digest::digest(&digest::SHA256, &asn1::concatenated(parts));
        let mut serial = whole.as_ref()[..16].to_vec();
        serial[0] = 0x40 | (serial[0] & 0x3f);
        serial
    }
}

pub(crate) fn one_bit_wrong(mut signature: Vec<u8>) -> Vec<u8> {
    if let Some(last) = signature.last_mut() {
        *last ^= 1;
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_twice_it_is_the_same() {
        let key = Key::ed25519("root");
        let made = || CertificateForge::server("a.example").sign(&"Root".into(), &key);
        assert_eq!(made(), made());
    }

    #[test]
    fn replacing_an_extension_leaves_one_and_adding_again_makes_two() {
        let forge = CertificateForge::authority("CA", &Key::ed25519("ca"));
        let count = forge.extensions.len();
        let forge = forge.path_length(0);
        assert_eq!(forge.extensions.len(), count);
        let forge = forge.with_again(extension::basic_constraints(true, None));
        assert_eq!(forge.extensions.len(), count + 1);
    }

    #[test]
    fn a_wrong_signature_differs_in_one_bit() {
        let key = Key::ed25519("root");
        let right = CertificateForge::server("a.example").sign(&"Root".into(), &key);
        let wrong = CertificateForge::server("a.example")
            .wrong_signature()
            .sign(&"Root".into(), &key);
        let bits: u32 = std::iter::zip(&right, &wrong)
            .map(|(right, wrong)| (right ^ wrong).count_ones())
            .sum();
        assert_eq!((right.len(), bits), (wrong.len(), 1));
    }
}
