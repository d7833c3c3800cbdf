//! Keys that are made on the node.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use const_oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::asn1::BitString;
use der::{Decode, Encode};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

/// A P-256 key pair: every SPIFFE client knows its kind.
pub(super) struct NodeKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
    public_key: Vec<u8>,
}

/// The library of cryptography failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key could not be made or used")]
pub struct KeyFault;

impl NodeKey {
    pub(super) fn generate() -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| KeyFault)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyFault)?;
        let pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
        Self::of(pair, pkcs8)
    }

    pub(super) fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8)
            .map_err(|_| KeyFault)?;
        Self::of(pair, pkcs8)
    }

    fn of(pair: EcdsaKeyPair, pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, KeyFault> {
        let info: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyFault)?;
        let public_key = info.as_ref().to_vec();
        Ok(Self {
            pair,
            pkcs8,
            public_key,
        })
    }

    /// As unencrypted DER PKCS#8.
    pub(super) fn pkcs8(&self) -> &Zeroizing<Vec<u8>> {
        &self.pkcs8
    }

    /// As a DER `SubjectPublicKeyInfo`.
    pub(super) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// A PKCS#10 request (RFC 2986) as DER, which shows that its sender holds the key. It names no
    /// one: who the node is, the server says.
    pub(super) fn signing_request(&self) -> Result<Vec<u8>, KeyFault> {
        let info = CertReqInfo {
            version: Version::V1,
            subject: Name::default(),
            public_key: SubjectPublicKeyInfoOwned::from_der(&self.public_key)
                .map_err(|_| KeyFault)?,
            attributes: Default::default(),
        };
        let message = info.to_der().map_err(|_| KeyFault)?;
        let signature = self
            .pair
            .sign(&SystemRandom::new(), &message)
            .map_err(|_| KeyFault)?;
        let request = CertReq {
            info,
            algorithm: AlgorithmIdentifierOwned {
                oid: ECDSA_WITH_SHA_256,
                parameters: None,
            },
            signature: BitString::from_bytes(signature.as_ref()).map_err(|_| KeyFault)?,
        };
        request.to_der().map_err(|_| KeyFault)
    }
}
