//! The signature algorithms that a token may use.

use std::fmt;

use crate::crypto::{Hash, KeyKind, Scheme};
use crate::reason::Reason;

/// An asymmetric signature algorithm (RFC 7518 3.1, RFC 8037 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519, named `EdDSA` or, since RFC 9864, `Ed25519`.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
}

impl Algorithm {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::EdDsa,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// Those that SPIFFE allows (JWT-SVID 2.2): all but EdDSA.
    pub const SPIFFE: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// Reads a name, exactly as registered.
    ///
    /// # Errors
    ///
    /// `federation.algorithm_forbidden` for every other name: `none`, the shared-secret
    /// algorithms, and what is unknown.
    pub fn parse(name: &str) -> Result<Self, Reason> {
        match name {
            "EdDSA" | "Ed25519" => Ok(Self::EdDsa),
            "ES256" => Ok(Self::Es256),
            "ES384" => Ok(Self::Es384),
            "ES512" => Ok(Self::Es512),
            "PS256" => Ok(Self::Ps256),
            "PS384" => Ok(Self::Ps384),
            "PS512" => Ok(Self::Ps512),
            "RS256" => Ok(Self::Rs256),
            "RS384" => Ok(Self::Rs384),
            "RS512" => Ok(Self::Rs512),
            _ => Err(Reason::AlgorithmForbidden {
                algorithm: name.to_owned(),
            }),
        }
    }

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// How it signs.
    pub(crate) fn scheme(self) -> Scheme {
        match self {
            Self::EdDsa => Scheme::Ed25519,
            Self::Es256 => Scheme::EcdsaFixed(Hash::Sha256),
            Self::Es384 => Scheme::EcdsaFixed(Hash::Sha384),
            Self::Es512 => Scheme::EcdsaFixed(Hash::Sha512),
            Self::Ps256 => Scheme::RsaPss(Hash::Sha256),
            Self::Ps384 => Scheme::RsaPss(Hash::Sha384),
            Self::Ps512 => Scheme::RsaPss(Hash::Sha512),
            Self::Rs256 => Scheme::RsaPkcs1(Hash::Sha256),
            Self::Rs384 => Scheme::RsaPkcs1(Hash::Sha384),
            Self::Rs512 => Scheme::RsaPkcs1(Hash::Sha512),
        }
    }

    /// Whether keys of this kind sign with it. In JOSE each curve has one algorithm
    /// (RFC 7518 3.4).
    pub(crate) fn fits(self, kind: KeyKind) -> bool {
        match kind {
            KeyKind::Ed25519 => self == Self::EdDsa,
            KeyKind::P256 => self == Self::Es256,
            KeyKind::P384 => self == Self::Es384,
            KeyKind::P521 => self == Self::Es512,
            KeyKind::Rsa(_) => matches!(
                self,
                Self::Ps256 | Self::Ps384 | Self::Ps512 | Self::Rs256 | Self::Rs384 | Self::Rs512
            ),
            KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => false,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_exactly_as_registered() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Ok(algorithm));
        }
        assert_eq!(Algorithm::parse("Ed25519"), Ok(Algorithm::EdDsa));
        for name in [
            "none", "None", "", "HS256", "es256", " ES256", "ES256K", "Ed448", "RSA1_5",
        ] {
            let reason = Algorithm::parse(name).unwrap_err();
            assert_eq!(reason.code(), "federation.algorithm_forbidden", "{name}");
        }
    }

    #[test]
    fn each_curve_has_one_algorithm() {
        for kind in [
            KeyKind::Ed25519,
            KeyKind::P256,
            KeyKind::P384,
            KeyKind::P521,
        ] {
            let fitting = Algorithm::ALL.iter().filter(|a| a.fits(kind)).count();
            assert_eq!(fitting, 1, "{}", kind.name());
        }
        let fitting = Algorithm::ALL.iter().filter(|a| a.fits(KeyKind::Rsa(2048)));
        assert_eq!(fitting.count(), 6);
    }
}
