//! A forge for certificate revocation lists (RFC 5280 5), good or wrong.

use crate::asn1;
use crate::certificate::one_bit_wrong;
use crate::extension::{self, Extension, IssuingDistributionPoint};
use crate::key::{Key, Scheme};
use crate::moment::Moment;
use crate::name::Name;

/// When a list is made unless a test says otherwise.
pub const THIS_UPDATE: &str = "2024-05-31T00:00:00Z";
/// When the next one is due.
pub const NEXT_UPDATE: &str = "2024-06-07T00:00:00Z";

/// A revocation list in the making.
#[derive(Clone, Debug)]
pub struct CrlForge {
    version: Option<u64>,
    issuer: Option<Name>,
    this_update: Moment,
    next_update: Option<Moment>,
    entries: Vec<Entry>,
    extensions: Vec<Extension>,
    without: Vec<String>,
    scheme: Option<Scheme>,
    inner_algorithm: Option<Vec<u8>>,
    outer_algorithm: Option<Vec<u8>>,
    wrong_signature: bool,
}

/// One revoked certificate.
#[derive(Clone, Debug)]
pub struct Entry {
    serial: Vec<u8>,
    date: Moment,
    extensions: Vec<Extension>,
}

impl Entry {
    /// The certificate with this serial number, as the octets of its `INTEGER`, revoked on `date`.
    pub fn new(serial: &[u8], date: impl Into<Moment>) -> Self {
        Self {
            serial: serial.to_vec(),
            date: date.into(),
            extensions: Vec::new(),
        }
    }

    /// Why (RFC 5280 5.3.1): 1 is `keyCompromise`, 8 `removeFromCRL`.
    pub fn reason(self, code: u8) -> Self {
        self.with(extension::crl_reason(code))
    }

    /// Adds an extension to the entry.
    pub fn with(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    fn to_der(&self) -> Vec<u8> {
        let extensions = self.extensions.iter().map(Extension::to_der);
        let extensions = if self.extensions.is_empty() {
            Vec::new()
        } else {
            asn1::sequence(extensions)
        };
        asn1::sequence([
            asn1::integer(&self.serial),
            self.date.to_der().to_vec(),
            extensions,
        ])
    }
}

impl Default for CrlForge {
    fn default() -> Self {
        Self {
            version: Some(1),
            issuer: None,
            this_update: Moment::at(THIS_UPDATE),
            next_update: Some(Moment::at(NEXT_UPDATE)),
            entries: Vec::new(),
            extensions: vec![extension::crl_number(1)],
            without: Vec::new(),
            scheme: None,
            inner_algorithm: None,
            outer_algorithm: None,
            wrong_signature: false,
        }
    }
}

impl CrlForge {
    /// An empty complete list of version 2 with the number 1; an authority key identifier is added
    /// on signing.
    pub fn complete() -> Self {
        Self::default()
    }

    /// Adds an entry.
    pub fn revoke(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// Adds an entry for a certificate, given as DER, revoked a day before the list was made.
    pub fn revoke_certificate(self, certificate: &[u8]) -> Self {
        self.revoke(Entry::new(&serial_of(certificate), "2024-05-30T00:00:00Z").reason(1))
    }

    /// Made at `this`, replaced by the next at `next`, which may be left out.
    pub fn dates(mut self, this: impl Into<Moment>, next: Option<Moment>) -> Self {
        self.this_update = this.into();
        self.next_update = next;
        self
    }

    /// Another issuer than the one that signs.
    pub fn issuer(mut self, issuer: impl Into<Name>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// The number of the version: 1 means version 2. `None` leaves it out, which means version 1.
    pub fn version(mut self, version: Option<u64>) -> Self {
        self.version = version;
        self
    }

    /// The number of the list.
    pub fn number(self, number: u64) -> Self {
        self.with(extension::crl_number(number))
    }

    /// Makes it a delta to the complete list with the number `base`.
    pub fn delta(self, base: u64) -> Self {
        self.with(extension::delta_crl_indicator(base))
    }

    /// Adds an issuing distribution point.
    pub fn distribution_point(self, point: &IssuingDistributionPoint) -> Self {
        self.with(extension::issuing_distribution_point(point))
    }

    /// Adds an extension; one with the same object identifier is replaced.
    pub fn with(mut self, extension: Extension) -> Self {
        self.extensions.retain(|known| known.oid != extension.oid);
        self.extensions.push(extension);
        self
    }

    /// Leaves the extension with this object identifier out, also if it would be added on signing.
    pub fn without(mut self, oid: &str) -> Self {
        self.extensions.retain(|known| known.oid != oid);
        self.without.push(oid.to_owned());
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

    /// Writes another `AlgorithmIdentifier` in both places.
    pub fn algorithm(mut self, der: Vec<u8>) -> Self {
        self.inner_algorithm = Some(der.clone());
        self.outer_algorithm = Some(der);
        self
    }

    /// Flips one bit of the signature.
    pub fn wrong_signature(mut self) -> Self {
        self.wrong_signature = true;
        self
    }

    /// The list, signed by `key` in the name of `issuer`, as DER.
    pub fn sign(&self, issuer: &Name, key: &Key) -> Vec<u8> {
        let scheme = self.scheme.unwrap_or_else(|| key.scheme());
        let algorithm = scheme.identifier_for(key.kind());
        let inner = self.inner_algorithm.as_ref().unwrap_or(&algorithm);
        let to_be_signed = self.to_be_signed(self.issuer.as_ref().unwrap_or(issuer), inner, key);
        let signature = key.sign(scheme, &to_be_signed);
        let signature = if self.wrong_signature {
            one_bit_wrong(signature)
        } else {
            signature
        };
        let outer = self.outer_algorithm.clone().unwrap_or(algorithm);
        asn1::sequence([to_be_signed, outer, asn1::bit_string(0, &signature)])
    }

    fn to_be_signed(&self, issuer: &Name, algorithm: &[u8], key: &Key) -> Vec<u8> {
        let next = self.next_update.as_ref().map(Moment::to_der);
        let entries = if self.entries.is_empty() {
            Vec::new()
        } else {
            asn1::sequence(self.entries.iter().map(Entry::to_der))
        };
        let mut extensions: Vec<Vec<u8>> = self.extensions.iter().map(Extension::to_der).collect();
        let authority = extension::authority_key_id(&key.identifier());
        let settled = self
            .extensions
            .iter()
            .any(|known| known.oid == authority.oid)
            || self.without.contains(&authority.oid);
        if !settled {
            extensions.push(authority.to_der());
        }
        let extensions = if extensions.is_empty() {
            Vec::new()
        } else {
            asn1::constructed(0, &asn1::sequence(extensions))
        };
        asn1::sequence([
            self.version.map(asn1::number).unwrap_or_default(),
            algorithm.to_vec(),
            issuer.to_der(),
            self.this_update.to_der().to_vec(),
            next.unwrap_or_default().to_vec(),
            entries,
            extensions,
        ])
    }
}

/// The octets of the serial number of a DER certificate made by this crate.
pub fn serial_of(certificate: &[u8]) -> Vec<u8> {
    use der::asn1::AnyRef;
    use der::{Decode, Reader, SliceReader, Tag};

    let find = || -> der::Result<Vec<u8>> {
        let outer = AnyRef::from_der(certificate)?;
        let to_be_signed = AnyRef::decode(&mut SliceReader::new(outer.value())?)?;
        let mut fields = SliceReader::new(to_be_signed.value())?;
        while !fields.is_finished() {
            let field = AnyRef::decode(&mut fields)?;
            if field.header().tag() == Tag::Integer {
                return Ok(field.value().to_vec());
            }
        }
        Err(der::ErrorKind::Failed.into())
    };
    find().expect("a certificate of a test has a serial number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::CertificateForge;

    #[test]
    fn a_serial_number_is_read_back() {
        let key = Key::ed25519("root");
        let forge = CertificateForge::server("a.example").serial(&[0, 0x80, 1]);
        let certificate = forge.sign(&"Root".into(), &key);
        assert_eq!(serial_of(&certificate), [0, 0x80, 1]);
    }
}
