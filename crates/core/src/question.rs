//! What is asked: is this credential to be believed, now, for this?

use std::collections::BTreeSet;

use const_oid::ObjectIdentifier;

use serde_json::Value;

use crate::anchor::Anchor;
use crate::credential::Credential;
use crate::credential::jose::base64url;
use crate::credential::saml::XmlSignature;
use crate::id::{Digest, SpiffeId, TenantId, TrustDomain};
use crate::time::Time;

/// One question. Together with a [`View`](crate::view::View) it fixes the verdict, byte for byte.
#[derive(Clone, Debug)]
pub struct Question {
    /// In whose view it is asked.
    pub tenant: TenantId,
    /// What was presented.
    pub credential: Credential,
    /// Which rules hold beyond RFC 5280.
    pub profile: Profile,
    /// What the credential is to be used for.
    pub purpose: Purpose,
    /// The time of the check.
    pub now: Time,
    /// What the relying party knows about the exchange in which it was presented.
    pub context: Context,
}

/// What the relying party knows about the exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Context {
    /// Who the credential should be for; all of them must hold.
    pub expected: Vec<ExpectedName>,
    /// The names by which the relying party knows itself; a token must be for one of them.
    pub audiences: Vec<String>,
    /// The nonce it sent, which an ID token must carry.
    pub nonce: Option<String>,
    /// The most intermediates between end entity and anchor, self-issued ones not counted.
    pub max_path_length: Option<u32>,
    /// Whether a status that cannot be told refuses.
    pub require_revocation: bool,
    /// Under which policies certificates must have been issued.
    pub policies: InitialPolicies,
    /// Which keys whoever presents it has proved to have, in the same exchange.
    pub holder: Holder,
    /// Whether `holder` is only what the token says of it: whoever asks has proved nothing, and wants to know
    /// whether it would hold for its holder.
    pub holder_is_assumed: bool,
    /// Whether an access token (RFC 9068) is asked about, which proves nothing elsewhere.
    pub access_token: bool,
    /// Whether a JWT-SVID is asked about, for which its trust domain vouches and no issuer, even if one of
    /// them has the same keys.
    pub jwt_svid: bool,
    /// A type that a token may have beside the usual one, since it is made for what is asked here and
    /// for nothing else, such as `client-authentication+jwt`.
    pub own_type: Option<&'static str>,
    /// The addresses at which an assertion of SAML may have been shown.
    pub recipients: Vec<String>,
    /// The request that an assertion of SAML answers.
    pub in_response_to: Option<String>,
    /// Who has issued a token that only its issuer can read.
    pub issuer: Option<String>,
    /// The statements of a federation that came with a token, its issuer's own first (OpenID
    /// Federation 1.0, 4).
    pub trust_chain: Vec<String>,
    /// What was found out about signatures in XML, by a program in a process of its own. Never
    /// taken from whoever asks.
    pub xml_signatures: Vec<XmlSignature>,
    /// Keys that may be published by now and are not looked for before a while. Never taken from
    /// whoever asks.
    pub awaited_keys: Vec<AwaitedKey>,
    /// Claims that are facts beside those that the anchor itself asks for, since something is given by
    /// them. Never taken from whoever asks.
    pub asked_claims: BTreeSet<AskedClaim>,
}

/// A claim of tokens by which something is given to subjects of an anchor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskedClaim {
    /// The name of the anchor.
    pub anchor: String,
    /// The name of the claim.
    pub claim: String,
}

impl Context {
    /// The claims of tokens under this anchor by which something is given.
    pub(crate) fn asked_of(&self, anchor: &Anchor) -> impl Iterator<Item = &str> {
        let asked = self.asked_claims.iter();
        let asked = asked.filter(move |asked| asked.anchor == anchor.name);
        asked.map(|asked| asked.claim.as_str())
    }
}

/// A key that an issuer did not have when its keys were looked at last, and when they are looked at
/// again: until then nobody knows whether it has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AwaitedKey {
    /// The issuer.
    pub issuer: String,
    /// The name of the key.
    pub key: String,
    /// When its keys are looked at again.
    pub from: Time,
}

/// The keys that whoever presents a token has proved to have: a token that is bound to a key
/// (RFC 7800 3.1) is believed only from its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The thumbprint of the key of a DPoP proof (RFC 9449 6.1).
    pub jkt: Option<Digest>,
    /// The digest of the certificate of a TLS client (RFC 8705 3.1).
    pub certificate: Option<Digest>,
}

impl Holder {
    /// Whether this is the holder of a token with the confirmation `cnf`. Every member must be
    /// known and hold: a bound that is not understood is not a bound that is met.
    pub(crate) fn is_meant_by(&self, cnf: &Value) -> bool {
        let Value::Object(members) = cnf else {
            return false;
        };
        let proved = |name: &str| match name {
            "jkt" => self.jkt,
            "x5t#S256" => self.certificate,
            _ => None,
        };
        !members.is_empty()
            && members.iter().all(|(name, value)| {
                let digest = proved(name).map(|digest| base64url::encode(digest.as_bytes()));
                digest.is_some() && value.as_str() == digest.as_deref()
            })
    }
}

/// The inputs of path validation that concern certificate policies (RFC 5280 6.1.1 (c), (e) to
/// (g)). By default any policy will do, and none is required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct InitialPolicies {
    /// The policies that are accepted, in the anchor's own words; empty means any.
    pub accepted: Vec<ObjectIdentifier>,
    /// Whether the path must hold under one of them.
    pub require_explicit: bool,
    /// Whether no CA may map a policy to one of another name.
    pub inhibit_mapping: bool,
    /// Whether `anyPolicy` in a certificate counts for nothing.
    pub inhibit_any: bool,
}

/// A name that the credential should be for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ExpectedName {
    /// A DNS host name (RFC 9525); an IP literal is read as [`ExpectedName::Ip`].
    Dns(String),
    /// A mailbox (RFC 5280 4.2.1.6 `rfc822Name`).
    Email(String),
    /// An IP address.
    Ip(std::net::IpAddr),
    /// Exactly this SPIFFE ID.
    Spiffe(SpiffeId),
    /// Any SPIFFE ID of this trust domain.
    TrustDomain(TrustDomain),
}

impl std::fmt::Display for ExpectedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) | Self::Email(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
            Self::Spiffe(id) => id.fmt(f),
            Self::TrustDomain(name) => write!(f, "the trust domain {name}"),
        }
    }
}

/// Which rules hold for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Mutual TLS among one's own: the path validation of RFC 5280 without its rules on how a CA
    /// must write certificates.
    Private,
    /// RFC 5280 and nothing more.
    Rfc5280,
    /// X.509-SVID: `Private` and the SPIFFE standard.
    Spiffe,
    /// RFC 5280 and the CA/Browser Forum Baseline Requirements.
    WebPki,
}

impl Profile {
    /// The name in a question.
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Rfc5280 => "rfc5280",
            Self::Spiffe => "spiffe",
            Self::WebPki => "webpki",
        }
    }
}

/// What a certificate is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Anything: extended key usages are not compared.
    Any,
    /// To authenticate a TLS client (`id-kp-clientAuth`).
    Client,
    /// To authenticate a TLS server (`id-kp-serverAuth`).
    Server,
}

impl Purpose {
    /// The name in a question.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}
