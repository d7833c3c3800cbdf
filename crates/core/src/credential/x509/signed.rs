//! What certificates, their lists, requests and signed answers are alike in: something that is
//! signed, the algorithm, and the signature (RFC 5280 4.1 and 5.1, RFC 2986 4.2, RFC 6960 4.2.1).

use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Reader, SliceReader};

use super::algorithm::{self, SignatureAlgorithm};
use super::der_read::{Detail, detail};

/// The parts of such a structure. Nothing of it is believed.
pub(super) struct Signed<'a> {
    /// The bytes that are signed.
    pub(super) content: &'a [u8],
    /// The `AlgorithmIdentifier` as it is written outside of them.
    pub(super) algorithm_der: &'a [u8],
    /// What it says.
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Reads one that fills `der`.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Detail> {
        let mut outer = SliceReader::new(der).map_err(detail)?;
        let (content, algorithm_der, signature) = outer
            .sequence(|reader| {
                let content = reader.tlv_bytes()?;
                let algorithm = reader.tlv_bytes()?;
                let signature = BitStringRef::decode(reader)?;
                Ok::<_, der::Error>((content, algorithm, signature))
            })
            .map_err(detail)?;
        outer.finish().map_err(detail)?;
        let signature = signature
            .as_bytes()
            .ok_or_else(|| "its signature is not whole bytes".to_owned())?;
        let algorithm = AnyRef::from_der(algorithm_der).map_err(detail)?;
        Ok(Self {
            content,
            algorithm_der,
            algorithm: algorithm::signature_algorithm(algorithm)?,
            signature,
        })
    }
}
