//! Where every path ends: the anchors a tenant has chosen to trust, and within what bounds.

use std::sync::Arc;

use crate::credential::api_key::ApiKeyAnchor;
use crate::credential::jose::bundle::Bundle;
use crate::credential::x509::host::dns_covers;
use crate::credential::x509::{Certificate, GeneralName};
use crate::exchange::at_most::GrantsAtMost;
use crate::id::{TenantId, TrustDomain};
use crate::model::federation::{FederationAnchor, IssuerAnchor, SamlAnchor};
use crate::model::ssh::SshAnchor;
use crate::policy::facts::Facts;
use crate::question::Purpose;
use crate::reason::Reason;
use crate::time::Time;

/// One thing a tenant trusts without further proof.
#[derive(Clone, Debug)]
pub struct Anchor {
    /// How a person calls it.
    pub name: String,
    /// What it is.
    pub kind: AnchorKind,
    /// Who answers for it, and until when.
    pub stewardship: Stewardship,
    /// What it may vouch for.
    pub constraints: Constraints,
    /// Whose it is; an identity belongs to the tenant that owns the anchor its path ends at.
    pub tenant: TenantId,
    /// Where it was read from, for the reader.
    pub source: Option<String>,
}

impl Anchor {
    /// An anchor of `tenant` with nothing said of it: nobody answers for it, it does not expire, it vouches
    /// for whatever its kind can, and it was read from nowhere. For what a program trusts by itself, such as
    /// its own keys; what a person trusts has a steward.
    pub fn bare(name: impl Into<String>, kind: AnchorKind, tenant: &TenantId) -> Self {
        Self {
            name: name.into(),
            kind,
            stewardship: Stewardship::default(),
            constraints: Constraints::default(),
            tenant: tenant.clone(),
            source: None,
        }
    }

    /// Whether a path of `tenant` may end here at `now`, whatever kind of anchor it is. The first
    /// moment of its expiry is already too late.
    pub(crate) fn admits(&self, tenant: &TenantId, now: Time) -> Result<(), Reason> {
        if self.tenant != *tenant {
            return Err(Reason::AnchorTenant {
                anchor: self.name.clone(),
                tenant: tenant.to_string(),
            });
        }
        match self.stewardship.expires {
            Some(expires) if now >= expires => Err(Reason::AnchorExpired {
                anchor: self.name.clone(),
                expires,
                at: now,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether as much may be had through it as through what was in its place, whichever keys it has by now.
    pub(crate) fn is_bounded_as(&self, before: &Self) -> bool {
        let has_terms = match (&self.kind, &before.kind) {
            (AnchorKind::Federation(now), AnchorKind::Federation(was)) => now.has_terms_of(was),
            (AnchorKind::Issuer(now), AnchorKind::Issuer(was)) => now.has_terms_of(was),
            (AnchorKind::Saml(now), AnchorKind::Saml(was)) => now.has_terms_of(was),
            (AnchorKind::Ssh(now), AnchorKind::Ssh(was)) => now.has_terms_of(was),
            (AnchorKind::ApiKey(now), AnchorKind::ApiKey(was)) => now.subject() == was.subject(),
            (AnchorKind::Certificate(_), AnchorKind::Certificate(_)) => true,
            (AnchorKind::TrustDomain(now), AnchorKind::TrustDomain(was)) => {
                now.trust_domain == was.trust_domain
            }
            (
                AnchorKind::ApiKey(_)
                | AnchorKind::Certificate(_)
                | AnchorKind::Federation(_)
                | AnchorKind::Issuer(_)
                | AnchorKind::Saml(_)
                | AnchorKind::Ssh(_)
                | AnchorKind::TrustDomain(_),
                _,
            ) => false,
        };
        has_terms
            && self.constraints == before.constraints
            && self.stewardship.expires == before.stewardship.expires
    }

    /// Whether it may vouch for SPIFFE IDs of this trust domain.
    pub(crate) fn admits_trust_domain(&self, trust_domain: &TrustDomain) -> Result<(), Reason> {
        let permitted = &self.constraints.trust_domains;
        if permitted.is_empty() || permitted.contains(trust_domain) {
            return Ok(());
        }
        Err(Reason::AnchorTrustDomain {
            anchor: self.name.clone(),
            trust_domain: trust_domain.to_string(),
            permitted: self.constraints.names_of_trust_domains(),
        })
    }

    /// Whether it may have so many intermediates below it, self-issued ones not counted.
    pub(crate) fn admits_path_length(&self, intermediates: u32) -> Result<(), Reason> {
        match self.constraints.path_length {
            Some(allowed) if intermediates > allowed => Err(Reason::AnchorPathLength {
                anchor: self.name.clone(),
                allowed,
                intermediates,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it may vouch for a certificate with these names. Where it is constrained, names of
    /// a kind that no constraint speaks of are not admitted by silence.
    pub(crate) fn admits_names(
        &self,
        trust_domain: Option<&TrustDomain>,
        names: &[GeneralName],
    ) -> Result<(), Reason> {
        let Constraints {
            trust_domains, dns, ..
        } = &self.constraints;
        match trust_domain {
            Some(trust_domain) => self.admits_trust_domain(trust_domain)?,
            None if !trust_domains.is_empty() => {
                return Err(Reason::AnchorTrustDomain {
                    anchor: self.name.clone(),
                    trust_domain: "a certificate without a SPIFFE ID".to_owned(),
                    permitted: trust_domains.iter().map(TrustDomain::to_string).collect(),
                });
            }
            None => {}
        }
        if dns.is_empty() {
            return Ok(());
        }
        let refused = names.iter().find(|name| match name {
            GeneralName::Dns(name) => !dns.iter().any(|base| dns_covers(base, name)),
            _ => trust_domain.is_none() || trust_domains.is_empty(),
        });
        let name = match refused {
            Some(name) => name.to_string(),
            None if names.is_empty() => "a certificate without names".to_owned(),
            None => return Ok(()),
        };
        Err(Reason::AnchorName {
            anchor: self.name.clone(),
            name,
            permitted: dns.clone(),
        })
    }

    /// Whether it is no member of a public store, of which anyone may have a certificate: what those
    /// are for is servers with names of the Web (CA/Browser Forum TLS BR 1.1).
    pub(crate) fn is_private(&self, what: impl FnOnce() -> String) -> Result<(), Reason> {
        match &self.stewardship.public_store {
            None => Ok(()),
            Some(store) => Err(Reason::PublicStore {
                anchor: self.name.clone(),
                store: store.label.name().to_owned(),
                what: what(),
            }),
        }
    }

    /// Whether it may say this of someone.
    pub(crate) fn admits_facts(&self, facts: &Facts) -> Result<(), Reason> {
        let at_most = &self.constraints.grants_at_most;
        at_most.check_facts(&self.name, facts)
    }

    /// Whether it may be used for `purpose`.
    pub(crate) fn admits_purpose(&self, purpose: Purpose) -> Result<(), Reason> {
        let permitted = &self.constraints.purposes;
        if permitted.is_empty() {
            return match purpose {
                Purpose::Server => Ok(()),
                // What is good for any purpose is good for a client.
                Purpose::Any | Purpose::Client => self.is_private(|| "clients".to_owned()),
            };
        }
        if permitted.contains(&purpose) {
            return Ok(());
        }
        Err(Reason::AnchorPurpose {
            anchor: self.name.clone(),
            purpose: purpose.name().to_owned(),
            permitted: permitted
                .iter()
                .map(|purpose| purpose.name().to_owned())
                .collect(),
        })
    }
}

/// What an anchor is.
#[derive(Clone, Debug)]
pub enum AnchorKind {
    /// The digest of an API key.
    ApiKey(ApiKeyAnchor),
    /// A certificate (RFC 5280 6.1.1 (d)).
    Certificate(Arc<Certificate>),
    /// A trust anchor of OpenID Federation with its key set.
    Federation(FederationAnchor),
    /// An issuer of tokens with its key set.
    Issuer(IssuerAnchor),
    /// An identity provider of SAML with its keys.
    Saml(SamlAnchor),
    /// Authorities or keys of SSH.
    Ssh(SshAnchor),
    /// A SPIFFE trust domain with its bundle.
    TrustDomain(Bundle),
}

impl AnchorKind {
    /// The name in a verdict.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ApiKey(_) => "api_key",
            Self::Certificate(_) => "x509",
            Self::Federation(_) => "openid_federation",
            Self::Issuer(_) => "issuer",
            Self::Saml(_) => "saml",
            Self::Ssh(_) => "ssh",
            Self::TrustDomain(_) => "trust_domain",
        }
    }

    /// The trust anchor of a federation, if it is one.
    pub fn as_federation(&self) -> Option<&FederationAnchor> {
        match self {
            Self::Federation(federation) => Some(federation),
            _ => None,
        }
    }

    /// The issuer of tokens, if it is one.
    pub fn as_issuer(&self) -> Option<&IssuerAnchor> {
        match self {
            Self::Issuer(issuer) => Some(issuer),
            _ => None,
        }
    }

    /// The identity provider of SAML, if it is one.
    pub fn as_saml(&self) -> Option<&SamlAnchor> {
        match self {
            Self::Saml(provider) => Some(provider),
            _ => None,
        }
    }

    /// The bundle of a trust domain, if it is one.
    pub fn as_trust_domain(&self) -> Option<&Bundle> {
        match self {
            Self::TrustDomain(bundle) => Some(bundle),
            _ => None,
        }
    }

    /// That it is an issuer or a provider in quarantine, if it is.
    pub(crate) fn quarantine(&self) -> Option<Reason> {
        match self {
            Self::Issuer(issuer) => issuer.standing().quarantine(issuer.issuer()),
            Self::Saml(provider) => provider.standing().quarantine(provider.entity_id()),
            Self::ApiKey(_)
            | Self::Certificate(_)
            | Self::Federation(_)
            | Self::Ssh(_)
            | Self::TrustDomain(_) => None,
        }
    }

    /// What the issuer of tokens or assertions is called whose keys these are, if it is one.
    pub fn issuer_name(&self) -> Option<&str> {
        match self {
            Self::Issuer(issuer) => Some(issuer.issuer()),
            Self::Saml(provider) => Some(provider.entity_id()),
            Self::ApiKey(_)
            | Self::Certificate(_)
            | Self::Federation(_)
            | Self::Ssh(_)
            | Self::TrustDomain(_) => None,
        }
    }
}

/// Who answers for an anchor, why it is there, since when and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stewardship {
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why it is trusted.
    pub reason: Option<String>,
    /// Since when.
    pub added: Option<Time>,
    /// Until when; afterwards no path may end here, whatever the certificate says.
    pub expires: Option<Time>,
    /// Where the private key is kept, as its owner says: it tells who may have taken it.
    pub key_origin: Option<KeyOrigin>,
    /// The public store it is a member of, if it is.
    pub public_store: Option<PublicStore>,
}

/// A store of authorities that others chose, for everyone. Who is vouched for by a member of it is
/// told so in each verdict, and may have had their certificate from any of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicStore {
    /// What kind of store it is.
    pub label: StoreLabel,
    /// Where it was had from.
    pub source: String,
    /// How it stood when: members are added and thrown out. `None` where it is read anew each time.
    pub as_of: Option<Time>,
}

/// What kind a public store is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreLabel {
    /// The authorities of the Web: those that makers of browsers and systems trust.
    WebPki,
}

impl StoreLabel {
    const ALL: [Self; 1] = [Self::WebPki];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text)
    }

    /// The name in trust documents and verdicts.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebPki => "web-pki",
        }
    }
}

/// Where a private key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyOrigin {
    /// In a file or a database, and in memory while it signs.
    File,
    /// In the memory of one process, and gone with it.
    Memory,
    /// In a token that speaks PKCS #11, which it does not leave.
    Pkcs11,
    /// In a Trusted Platform Module, which it does not leave.
    Tpm,
}

impl KeyOrigin {
    const ALL: [Self; 4] = [Self::File, Self::Memory, Self::Pkcs11, Self::Tpm];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text)
    }

    /// The name in trust documents and verdicts.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
            Self::Pkcs11 => "pkcs11",
            Self::Tpm => "tpm",
        }
    }
}

/// What an anchor may vouch for. An empty list constrains nothing; RFC 5937 for certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    /// Trust domains of SPIFFE IDs.
    pub trust_domains: Vec<TrustDomain>,
    /// DNS subtrees, as in RFC 5280 4.2.1.10: `example.com` is itself and all below it.
    pub dns: Vec<String>,
    /// Purposes.
    pub purposes: Vec<Purpose>,
    /// The most intermediates below it, self-issued ones not counted.
    pub path_length: Option<u32>,
    /// Whether tokens are looked up in status lists.
    pub status_lists: StatusUse,
    /// What may be had through it at most.
    pub grants_at_most: GrantsAtMost,
}

impl Constraints {
    /// The trust domains, as evidence names them.
    pub(crate) fn names_of_trust_domains(&self) -> Vec<String> {
        let names = self.trust_domains.iter();
        names.map(TrustDomain::to_string).collect()
    }
}

/// Whether tokens that an anchor vouches for are looked up in status lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusUse {
    /// Each token that names a list is.
    #[default]
    Checked,
    /// None is: what was taken back is told in another way.
    Ignored,
    /// Each is, and one that names no list is not believed.
    Required,
}

impl StatusUse {
    const ALL: [Self; 3] = [Self::Checked, Self::Ignored, Self::Required];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text)
    }

    /// The name in trust documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checked => "checked",
            Self::Ignored => "ignored",
            Self::Required => "required",
        }
    }
}
