//! Keys that are made where they are used: on the node, or where a command runs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use const_oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::asn1::BitString;
use der::{Decode, Encode};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use serde_json::{Value, json};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::tpm::TpmKey;

/// A P-256 key pair: every SPIFFE client knows its kind.
pub struct NodeKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
    public_key: Vec<u8>,
}

/// The library of cryptography failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key could not be made or used")]
pub struct KeyFault;

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey")
    }
}

impl NodeKey {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// [`KeyFault`] if the library of cryptography failed.
    pub fn generate() -> Result<Self, KeyFault> {
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

    /// Reads a P-256 key as other programs write it: DER of RFC 5915 or of PKCS#8.
    ///
    /// # Errors
    ///
    /// [`KeyFault`] if it is none.
    pub fn read(der: &[u8]) -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map_err(|_| KeyFault)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyFault)?;
        let pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
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
    pub fn pkcs8(&self) -> &Zeroizing<Vec<u8>> {
        &self.pkcs8
    }

    /// As a DER `SubjectPublicKeyInfo`.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// As a JSON Web Key (RFC 7518 6.2.2).
    pub(super) fn to_jwk(&self) -> Result<Zeroizing<String>, KeyFault> {
        let secret: EcPrivateKeyBin<'_> = self
            .pair
            .private_key()
            .as_be_bytes()
            .map_err(|_| KeyFault)?;
        let secret = Zeroizing::new(Base64UrlUnpadded::encode_string(secret.as_ref()));
        let [x, y] = self.coordinates()?;
        Ok(Zeroizing::new(format!(
            r#"{{"kty":"EC","crv":"P-256","alg":"ES256","x":"{x}","y":"{y}","d":"{}"}}"#,
            secret.as_str(),
        )))
    }

    /// The coordinates of the public point, in base64url (RFC 7518 6.2.1).
    ///
    /// # Errors
    ///
    /// [`KeyFault`] if the library of cryptography failed.
    pub fn coordinates(&self) -> Result<[String; 2], KeyFault> {
        // An uncompressed point: 4, then two coordinates of 32 bytes (SEC 1 2.3.3).
        let point = self.pair.public_key().as_ref().get(1..).ok_or(KeyFault)?;
        let (x, y) = point.split_at_checked(32).ok_or(KeyFault)?;
        Ok([x, y].map(Base64UrlUnpadded::encode_string))
    }

    /// A signature as tokens have it, two numbers of 32 bytes (RFC 7518 3.4).
    ///
    /// # Errors
    ///
    /// [`KeyFault`] if the library of cryptography failed.
    pub fn sign_token(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8)
            .map_err(|_| KeyFault)?;
        let signature = pair.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_| KeyFault)?.as_ref().to_vec())
    }

    /// A PKCS#10 request (RFC 2986) as DER, which shows that its sender holds the key. It names no
    /// one: who the node is, the server says.
    ///
    /// # Errors
    ///
    /// [`KeyFault`] if the library of cryptography failed.
    pub fn signing_request(&self) -> Result<Vec<u8>, KeyFault> {
        self.request(Name::default())
    }

    /// As [`NodeKey::signing_request`], of a name (RFC 4514).
    ///
    /// # Errors
    ///
    /// [`KeyFault`] if it is no name, or the library of cryptography failed.
    pub fn signing_request_of(&self, subject: &str) -> Result<Vec<u8>, KeyFault> {
        self.request(Name::from_str(subject).map_err(|_| KeyFault)?)
    }

    fn request(&self, subject: Name) -> Result<Vec<u8>, KeyFault> {
        signing_request(&self.public_key, subject, |message| {
            let signature = self.pair.sign(&SystemRandom::new(), message);
            Ok(signature.map_err(|_| KeyFault)?.as_ref().to_vec())
        })
    }
}

pub(super) fn signing_request(
    public_key: &[u8],
    subject: Name,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, KeyFault>,
) -> Result<Vec<u8>, KeyFault> {
    let info = CertReqInfo {
        version: Version::V1,
        subject,
        public_key: SubjectPublicKeyInfoOwned::from_der(public_key).map_err(|_| KeyFault)?,
        attributes: Default::default(),
    };
    let message = info.to_der().map_err(|_| KeyFault)?;
    let signature = sign(&message)?;
    let request = CertReq {
        info,
        algorithm: AlgorithmIdentifierOwned {
            oid: ECDSA_WITH_SHA_256,
            parameters: None,
        },
        signature: BitString::from_bytes(&signature).map_err(|_| KeyFault)?,
    };
    request.to_der().map_err(|_| KeyFault)
}

/// The key of the node itself.
#[derive(Debug)]
pub enum MemberKey {
    /// It is kept in the folder of the agent.
    Kept(NodeKey),
    /// It is in the TPM of the machine, and cannot be taken out.
    InTpm(TpmKey),
}

/// Where the key of a node is kept, as the file in the folder of the agent says it.
const PRIVATE_KEY: &str = "private_key";
const TPM: &str = "tpm";

impl MemberKey {
    /// The key for the next identity of the node: one in a TPM stays.
    pub(super) fn next(&self) -> Result<Self, KeyFault> {
        match self {
            Self::Kept(_) => Ok(Self::Kept(NodeKey::generate()?)),
            Self::InTpm(key) => Ok(Self::InTpm(key.clone())),
        }
    }

    /// A PKCS#10 request, as [`NodeKey::signing_request`] makes it.
    ///
    /// # Errors
    ///
    /// [`KeyFault`] if the library of cryptography or the TPM failed.
    pub fn signing_request(&self) -> Result<Vec<u8>, KeyFault> {
        match self {
            Self::Kept(key) => key.signing_request(),
            Self::InTpm(key) => signing_request(key.public_key(), Name::default(), |message| {
                key.sign(message).map_err(|fault| {
                    tracing::error!(%fault, "the key of the node cannot be used");
                    KeyFault
                })
            }),
        }
    }

    /// For TLS.
    pub(super) fn signing_key(&self) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        match self {
            Self::Kept(key) => {
                let der = PrivatePkcs8KeyDer::from(key.pkcs8().to_vec());
                any_supported_type(&PrivateKeyDer::Pkcs8(der))
            }
            Self::InTpm(key) => Ok(key.signing_key()),
        }
    }

    /// How it is kept: the name and the value of a member.
    pub(super) fn kept(&self) -> (&'static str, Value) {
        match self {
            Self::Kept(key) => (PRIVATE_KEY, json!(Base64::encode_string(key.pkcs8()))),
            Self::InTpm(key) => {
                let kept = json!({
                    "device": key.device(),
                    "unique": Base64::encode_string(key.unique()),
                    "public_key": Base64::encode_string(key.public_key()),
                });
                (TPM, kept)
            }
        }
    }

    /// What was kept in an object.
    pub(super) fn of_kept(object: &Value) -> Option<Self> {
        let bytes = |value: &Value| Base64::decode_vec(value.as_str()?).ok();
        if let Some(tpm) = object.get(TPM) {
            let device = tpm.get("device")?.as_str()?.into();
            let unique = bytes(tpm.get("unique")?)?.try_into().ok()?;
            let public_key = bytes(tpm.get("public_key")?)?;
            return Some(Self::InTpm(TpmKey::kept(device, unique, public_key)));
        }
        let pkcs8 = Zeroizing::new(bytes(object.get(PRIVATE_KEY)?)?);
        NodeKey::from_pkcs8(pkcs8).ok().map(Self::Kept)
    }
}
