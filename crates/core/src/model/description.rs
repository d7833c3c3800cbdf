//! What each trust model is, told to the people who live with it: who is authoritative, how trust
//! is established, how it propagates, and what an attacker must do to be believed all the same.

use crate::anchor::AnchorKind;
use crate::verdict::TrustModel;

impl TrustModel {
    /// All models that are decided here.
    pub const ALL: [Self; 3] = [Self::Pki, Self::Federation, Self::SharedSecret];

    /// The model of this name, as in a verdict.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// Who is authoritative.
    pub fn authority(self) -> &'static str {
        match self {
            Self::Federation => {
                "the issuer whose keys stand in the trust document, for its own subjects"
            }
            Self::Pki => "the root CAs in the trust document, for any name they are not kept from",
            Self::SharedSecret => "whoever handed out the secret; no one vouches but its holder",
        }
    }

    /// How trust is established.
    pub fn establishment(self) -> &'static str {
        match self {
            Self::Federation => {
                "an owner adds the issuer with its key set, its audiences and rules on its subjects"
            }
            Self::Pki => {
                "an owner adds a root certificate, with constraints and an expiry of its own"
            }
            Self::SharedSecret => {
                "an owner records the digest of the secret and whom it speaks for"
            }
        }
    }

    /// How trust propagates.
    pub fn propagation(self) -> &'static str {
        match self {
            Self::Federation => "not beyond the issuer: one signature from its key to the token",
            Self::Pki => {
                "from CA to CA by signed certificates, as deep as path lengths and name constraints let it"
            }
            Self::SharedSecret => "not at all; it is copied, which no one can see",
        }
    }

    /// What an attacker must do to be believed all the same.
    pub fn exposed_to(self) -> &'static [&'static str] {
        match self {
            Self::Federation => &["issuer-compromise", "token-theft"],
            Self::Pki => &["root-ca-compromise"],
            Self::SharedSecret => &["secret-theft"],
        }
    }

    /// Whether a path of this model can end at an anchor of this kind.
    pub fn ends_at(self, kind: &AnchorKind) -> bool {
        match (self, kind) {
            (
                Self::Federation,
                AnchorKind::Federation(_)
                | AnchorKind::Issuer(_)
                | AnchorKind::Saml(_)
                | AnchorKind::TrustDomain(_),
            )
            | (
                Self::Pki,
                AnchorKind::Certificate(_) | AnchorKind::Ssh(_) | AnchorKind::TrustDomain(_),
            )
            | (Self::SharedSecret, AnchorKind::ApiKey(_)) => true,
            (
                Self::Federation,
                AnchorKind::ApiKey(_) | AnchorKind::Certificate(_) | AnchorKind::Ssh(_),
            )
            | (
                Self::Pki,
                AnchorKind::ApiKey(_)
                | AnchorKind::Federation(_)
                | AnchorKind::Issuer(_)
                | AnchorKind::Saml(_),
            )
            | (
                Self::SharedSecret,
                AnchorKind::Certificate(_)
                | AnchorKind::Federation(_)
                | AnchorKind::Issuer(_)
                | AnchorKind::Saml(_)
                | AnchorKind::Ssh(_)
                | AnchorKind::TrustDomain(_),
            ) => false,
        }
    }
}
