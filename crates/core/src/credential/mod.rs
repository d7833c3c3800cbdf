//! What is presented: bytes, not yet read, not yet believed.

pub mod api_key;
pub mod jose;
pub(crate) mod members;
pub mod saml;
pub mod ssh;
pub mod tpm;
mod weak_rsa;
pub mod x509;

use std::fmt;

use crate::id::Digest;

/// A credential as it was presented. Reading it is part of deciding, because bytes that cannot be
/// read are a refusal like any other.
///
/// It has no `Display`, and its `Debug` shows a digest only: most credentials are secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// An API key: whoever holds it is believed.
    ApiKey(String),
    /// A compact JWS: an OIDC ID token, a workload token, a JWT-SVID.
    Jwt(String),
    /// A token that only its issuer can read.
    Opaque(String),
    /// A SAML response or assertion, XML.
    Saml(String),
    /// A public key or a certificate of SSH, and the proof that its holder has the key.
    Ssh {
        /// One line as in a file `.pub`.
        key: String,
        /// A signature as `ssh-keygen -Y sign` writes it, over [`ssh::statement`].
        proof: Option<String>,
    },
    /// A kind that is known but not yet decided here, by its name.
    Unsupported(String),
    /// A workload identity token and the proof that its holder has the key it names.
    Wit {
        /// The token, a compact JWS of the type `wit+jwt`.
        token: String,
        /// The workload proof token (WPT), a compact JWS of the type `wpt+jwt`.
        proof: Option<String>,
    },
    /// DER certificates: the end entity first, the others in any order.
    X509(Vec<Vec<u8>>),
}

impl Credential {
    /// The name of its kind, as in the contract of the question.
    pub fn kind(&self) -> &str {
        match self {
            Self::ApiKey(_) => "api_key",
            Self::Jwt(_) => "jwt",
            Self::Opaque(_) => "opaque",
            Self::Saml(_) => "saml",
            Self::Ssh { .. } => "ssh",
            Self::Unsupported(kind) => kind,
            Self::Wit { .. } => "wit",
            Self::X509(_) => "x509",
        }
    }

    /// The SHA-256 digest by which a decision names it without keeping it.
    pub fn digest(&self) -> Digest {
        let kind = self.kind().as_bytes();
        match self {
            Self::ApiKey(text) | Self::Jwt(text) | Self::Opaque(text) | Self::Saml(text) => {
                Digest::of_list([kind, text.as_bytes()])
            }
            Self::Ssh { key, proof } => {
                let proof = proof.as_deref().unwrap_or_default();
                Digest::of_list([kind, key.as_bytes(), proof.as_bytes()])
            }
            Self::Unsupported(_) => Digest::of_list([kind]),
            Self::Wit { token, proof } => {
                let proof = proof.as_deref().unwrap_or_default();
                Digest::of_list([kind, token.as_bytes(), proof.as_bytes()])
            }
            Self::X509(chain) => {
                Digest::of_list(std::iter::once(kind).chain(chain.iter().map(Vec::as_slice)))
            }
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Credential({}, SHA-256 {})",
            self.kind(),
            self.digest().short()
        )
    }
}
