//! A certificate and its key: the core decides on the chain, and the node signs the statement.

use avouch_api::grpc::node::X509Possession;
use avouch_api::grpc::node::evidence::Shown;
use avouch_api::members::Members;
use avouch_core::anchor::AnchorKind;
use avouch_core::credential::Credential;
use avouch_core::credential::x509::{Certificate, GeneralName};
use avouch_core::crypto::{AwsLc, Hash, KeyKind, Scheme, Verifier};
use avouch_core::id::{Digest, SpiffeId, hex};
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::view::View;
use rustls::SignatureScheme;

use super::{Attestation, Attested, Facts, Method, Moment, attestor, check_sizes, decision};
use crate::fault::Refused;
use crate::tenant::Tenant;

/// The most certificates that are looked at, and their bytes together.
const MOST_CERTIFICATES: usize = 10;
const MOST_BYTES: usize = 64 << 10;

/// The longest signature in bytes: RSA of 8192 bits.
const LONGEST_SIGNATURE: usize = 1 << 10;

/// Whom an attestor believes.
pub(super) struct X509Pop {
    view: View,
    profile: Profile,
    purpose: Purpose,
    name: Name,
    require_revocation: bool,
}

/// What a node is called after.
#[derive(Clone, Copy)]
enum Name {
    /// Its certificate: with another one it is another node.
    Certificate,
    /// The common name in it: whoever is certified under that name is this node.
    CommonName,
}

impl X509Pop {
    pub(super) fn read(mut members: Members, tenant: &Tenant) -> Result<Self, Reason> {
        let vouches = |kind: &AnchorKind| match kind {
            AnchorKind::Certificate(_) | AnchorKind::TrustDomain(_) => true,
            AnchorKind::ApiKey(_)
            | AnchorKind::Federation(_)
            | AnchorKind::Issuer(_)
            | AnchorKind::Saml(_)
            | AnchorKind::Ssh(_) => false,
        };
        let read = Self {
            view: attestor::trust(&mut members, tenant, vouches)?,
            profile: members
                .choice("profile", &PROFILES)?
                .unwrap_or(Profile::Private),
            purpose: members
                .choice("purpose", &PURPOSES)?
                .unwrap_or(Purpose::Any),
            name: members.choice("name", &NAMES)?.unwrap_or(Name::Certificate),
            require_revocation: members.flag("require_revocation")?.unwrap_or(false),
        };
        members.finish()?;
        Ok(read)
    }

    fn question(&self, chain: Vec<Vec<u8>>, leaf: &Certificate, moment: &Moment<'_>) -> Question {
        let id = spiffe_id(leaf).filter(|_| self.profile == Profile::Spiffe);
        let expected = id.map(|id| ExpectedName::TrustDomain(id.trust_domain().clone()));
        Question {
            tenant: moment.tenant.id().clone(),
            credential: Credential::X509(chain),
            profile: self.profile,
            purpose: self.purpose,
            now: moment.now,
            context: Context {
                expected: expected.into_iter().collect(),
                require_revocation: self.require_revocation,
                ..Context::default()
            },
        }
    }

    fn name(&self, leaf: &Certificate) -> Result<String, Reason> {
        match self.name {
            Name::Certificate => Ok(short(leaf.sha256())),
            Name::CommonName => {
                let mut names = leaf.subject().common_names().into_iter();
                let only = names.next().filter(|_| names.next().is_none());
                only.ok_or(Reason::IssueAttestationFact {
                    method: Method::X509Pop.name(),
                    fact: "one common name of letters, digits, `.`, `_` and `-`",
                })
            }
        }
    }
}

const PROFILES: [(&str, Profile); 3] = [
    ("private", Profile::Private),
    ("rfc5280", Profile::Rfc5280),
    ("spiffe", Profile::Spiffe),
];

const PURPOSES: [(&str, Purpose); 3] = [
    ("any", Purpose::Any),
    ("client", Purpose::Client),
    ("server", Purpose::Server),
];

const NAMES: [(&str, Name); 2] = [
    ("certificate", Name::Certificate),
    ("common_name", Name::CommonName),
];

impl Attestation for X509Pop {
    fn check(&self, shown: &Shown, moment: &Moment<'_>) -> Result<Attested, Refused> {
        let Shown::X509pop(shown) = shown else {
            return Err(malformed("it is of another method").into());
        };
        check_size(shown)?;
        let leaf = shown.certificates.first();
        let leaf = leaf.ok_or_else(|| malformed("there is no certificate"))?;
        let leaf = Certificate::parse(leaf).map_err(|detail| Reason::CertificateMalformed {
            position: "certificate of the node".to_owned(),
            detail,
        })?;
        if leaf.is_ca() {
            return Err(malformed("the certificate is that of an authority").into());
        }
        // First the one signature that costs least: without the key nothing else is worth a look,
        // and nobody learns by the certificate of another what is trusted here.
        check_possession(&leaf, shown, moment.statement)?;
        let question = self.question(shown.certificates.clone(), &leaf, moment);
        let identity = decision::identity(&question, &self.view)?;
        let mut facts = Facts::default();
        for name in leaf.subject().common_names() {
            facts.note("x509pop:subject:cn", &name);
        }
        if let Some(id) = spiffe_id(&leaf) {
            facts.note("x509pop:spiffe_id", id.as_str());
        }
        facts.note("x509pop:serialnumber", &hex(leaf.serial()));
        facts.note("x509pop:fingerprint", &leaf.sha256().to_string());
        if let AnchorKind::Certificate(anchor) = &identity.anchor().anchor.kind {
            facts.note("x509pop:ca:fingerprint", &anchor.sha256().to_string());
        }
        for name in leaf.alternative_names() {
            if let GeneralName::Dns(name) = name {
                facts.note("x509pop:dns", name);
            }
        }
        Ok(Attested {
            name: self.name(&leaf)?,
            facts,
            made: None,
        })
    }
}

fn check_size(shown: &X509Possession) -> Result<(), Reason> {
    let given = shown.certificates.len();
    if given > MOST_CERTIFICATES {
        return Err(Reason::Certificates {
            given,
            allowed: MOST_CERTIFICATES,
        });
    }
    let size: usize = shown.certificates.iter().map(Vec::len).sum();
    check_sizes(&[
        ("certificate chain", size, MOST_BYTES),
        ("signature", shown.signature.len(), LONGEST_SIGNATURE),
    ])
}

fn check_possession(
    leaf: &Certificate,
    shown: &X509Possession,
    statement: &[u8],
) -> Result<(), Reason> {
    let not_proven = || Reason::IssueAttestationNotProven {
        method: Method::X509Pop.name(),
    };
    let key = leaf
        .public_key()
        .map_err(|_| malformed("the certificate has a key of a kind that is not accepted"))?;
    let scheme = u16::try_from(shown.scheme).map_err(|_| not_proven())?;
    let scheme = scheme_of(SignatureScheme::from(scheme), key.kind()).ok_or_else(not_proven)?;
    let checked = AwsLc.verify(key, scheme, statement, &shown.signature);
    checked.map_err(|_| not_proven())
}

/// How a key of this kind signs by a scheme of TLS 1.3 (RFC 8446 4.2.3).
fn scheme_of(scheme: SignatureScheme, kind: KeyKind) -> Option<Scheme> {
    match (scheme, kind) {
        (SignatureScheme::ECDSA_NISTP256_SHA256, KeyKind::P256) => {
            Some(Scheme::EcdsaDer(Hash::Sha256))
        }
        (SignatureScheme::ECDSA_NISTP384_SHA384, KeyKind::P384) => {
            Some(Scheme::EcdsaDer(Hash::Sha384))
        }
        (SignatureScheme::ECDSA_NISTP521_SHA512, KeyKind::P521) => {
            Some(Scheme::EcdsaDer(Hash::Sha512))
        }
        (SignatureScheme::ED25519, KeyKind::Ed25519) => Some(Scheme::Ed25519),
        (SignatureScheme::RSA_PSS_SHA256, KeyKind::Rsa(_)) => Some(Scheme::RsaPss(Hash::Sha256)),
        (SignatureScheme::RSA_PSS_SHA384, KeyKind::Rsa(_)) => Some(Scheme::RsaPss(Hash::Sha384)),
        (SignatureScheme::RSA_PSS_SHA512, KeyKind::Rsa(_)) => Some(Scheme::RsaPss(Hash::Sha512)),
        _ => None,
    }
}

fn spiffe_id(leaf: &Certificate) -> Option<SpiffeId> {
    leaf.uris().find_map(|uri| SpiffeId::parse(uri).ok())
}

/// 160 bits of a digest: nobody makes another certificate with the same.
fn short(digest: Digest) -> String {
    digest.to_string().chars().take(40).collect()
}

fn malformed(detail: &str) -> Reason {
    super::malformed(Method::X509Pop, detail)
}
