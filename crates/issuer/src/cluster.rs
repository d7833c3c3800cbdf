//! Certificates of the components of a Kubernetes cluster, whose CA a tenant's authority is: the
//! signers of `certificates.k8s.io/v1`, each with the subjects, names and usages that Kubernetes
//! documents for it ("Certificates and Certificate Signing Requests", Kubernetes signers).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use avouch_core::anchor::AnchorKind;
use avouch_core::credential::Credential;
use avouch_core::crypto::{KeyKind, Verifier};
use avouch_core::id::{Digest, SpiffeId, TrustDomain, hex};
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::view::View;

use crate::BACKDATE;
use crate::authority::X509Authority;
use crate::certificate::{Content, assemble, component_extensions};
use crate::fault::{Fault, NotIssued};
use crate::intent::{CredentialKind, Intent};
use crate::lint::{anchor, ask};
use crate::profile::{Lifetime, check_dns_name};
use crate::random::{Random, serial_number};
use crate::signer::{Signature, Signer};
use crate::stages::{Draft, Prepared, private};
use crate::x509_svid::status_of;

mod discovery;
mod request;

pub use discovery::{detached_jws, spki_hash};
pub use request::ComponentRequest;

/// The group of all nodes, and how their names begin (Kubernetes, Node authorization).
const NODES: &str = "system:nodes";
const NODE: &str = "system:node:";

/// The group that may do anything, which the admission of Kubernetes lets nobody ask for
/// (CertificateSubjectRestriction).
const MASTERS: &str = "system:masters";

/// Who signs, in the words of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterSigner {
    /// Whoever calls the API server.
    Client,
    /// The kubelet when it calls the API server.
    KubeletClient,
    /// The kubelet when it is called.
    KubeletServing,
}

impl ClusterSigner {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Client, Self::KubeletClient, Self::KubeletServing];

    /// Reads a `signerName`.
    ///
    /// # Errors
    ///
    /// `issue.cluster_signer_unknown`, with a sentence of its own for `kubernetes.io/legacy-unknown`.
    pub fn parse(name: &str) -> Result<Self, Reason> {
        let found = Self::ALL.into_iter().find(|one| one.name() == name);
        found.ok_or_else(|| Reason::IssueClusterSigner {
            signer: name.chars().take(571).collect(),
            detail: match name {
                "kubernetes.io/legacy-unknown" => {
                    "what it signs is for nothing in particular, and no part of Kubernetes relies on it"
                }
                _ => "it is none of those that sign for the components of a cluster",
            },
        })
    }

    /// The `signerName`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "kubernetes.io/kube-apiserver-client",
            Self::KubeletClient => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::KubeletServing => "kubernetes.io/kubelet-serving",
        }
    }

    /// What its certificates are for.
    fn purpose(self) -> Purpose {
        match self {
            Self::Client | Self::KubeletClient => Purpose::Client,
            Self::KubeletServing => Purpose::Server,
        }
    }
}

/// What a certificate may be used for, as far as the signers here know of it (`KeyUsage` of
/// `certificates.k8s.io/v1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// To sign in a handshake.
    DigitalSignature,
    /// To have keys encrypted to it, as RSA once did in TLS.
    KeyEncipherment,
    /// As a client.
    ClientAuth,
    /// As a server.
    ServerAuth,
}

impl Usage {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::DigitalSignature,
        Self::KeyEncipherment,
        Self::ClientAuth,
        Self::ServerAuth,
    ];

    /// As Kubernetes writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DigitalSignature => "digital signature",
            Self::KeyEncipherment => "key encipherment",
            Self::ClientAuth => "client auth",
            Self::ServerAuth => "server auth",
        }
    }

    /// Reads one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// What certificates of components may be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterProfile {
    /// For how long they are valid.
    pub lifetime: Lifetime,
    /// For keys of which kinds they are issued.
    pub keys: Vec<KeyKind>,
    /// As for X.509-SVIDs.
    pub lists_at: Option<String>,
}

impl Default for ClusterProfile {
    /// Ten minutes, less than which Kubernetes lets nobody ask for, to a year, and usually a day; and
    /// never longer than the authority.
    fn default() -> Self {
        Self {
            lifetime: Lifetime::of_components(),
            keys: vec![
                KeyKind::P256,
                KeyKind::P384,
                KeyKind::Ed25519,
                KeyKind::Rsa(2_048),
                KeyKind::Rsa(3_072),
                KeyKind::Rsa(4_096),
            ],
            lists_at: None,
        }
    }
}

/// A certificate of a component, with those above it up to the root, which is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentCertificate {
    /// What its holder is called in records.
    pub id: SpiffeId,
    /// DER, its own first.
    pub chain: Vec<Vec<u8>>,
    /// The serial number in hexadecimal.
    pub serial: String,
    /// The last second in which it is valid.
    pub not_after: Time,
}

/// What is asked for as a certificate of a component, in the words of `certificates.k8s.io/v1`.
#[derive(Clone, Debug)]
pub struct ComponentWanted {
    /// Who is to sign.
    pub signer: ClusterSigner,
    /// The certification request (PKCS#10).
    pub request: ComponentRequest,
    /// What the certificate may be used for.
    pub usages: BTreeSet<Usage>,
    /// For how many seconds; the usual time of the profile if nothing is said.
    pub ttl: Option<u32>,
}

impl ClusterProfile {
    /// Prepares a certificate. It ends with its authority at the latest.
    ///
    /// # Errors
    ///
    /// `issue.cluster_request_refused`, `issue.authority_state`, `issue.authority_expired`,
    /// `issue.key_not_accepted`, `issue.ttl_out_of_bounds`, `issue.dns_name_invalid`, or what failed
    /// on our side.
    pub fn prepare(
        &self,
        authority: &Arc<X509Authority>,
        wanted: &ComponentWanted,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<ComponentDraft>, NotIssued> {
        let ComponentWanted {
            signer,
            request,
            usages,
            ttl,
        } = wanted;
        let life = authority.life();
        life.check_may_sign(authority.id(), now)?;
        check(*signer, request, usages)?;
        request.public_half().check_kind(&self.keys)?;
        let ttl = self.lifetime.choose(*ttl)?;
        let id = record_id(authority.trust_domain(), request.common_name())?;
        let serial = serial_number(random)?;
        let not_before = now.plus(-BACKDATE).max(life.not_before());
        let not_after = now.plus(i64::from(ttl)).min(life.not_after());
        let mut extensions = component_extensions(authority.key_id(), request, usages)?;
        extensions.extend(status_of(authority, self.lists_at.as_deref())?);
        let message = Content {
            serial: &serial,
            signed_with: authority.signs_with(),
            issuer: authority.subject(),
            not_before,
            not_after,
            subject: request.subject(),
            public_half: request.public_half(),
            extensions,
        }
        .into_der()?;
        Ok(Prepared::new(ComponentDraft {
            view: view_of(authority),
            expected: expected(*signer, request),
            purpose: signer.purpose(),
            intent: Intent {
                tenant: authority.tenant().clone(),
                trust_domain: authority.trust_domain().clone(),
                kind: CredentialKind::Certificate,
                subject: id,
                serial: hex(&serial),
                authority: authority.id().to_owned(),
                not_before,
                not_after,
                digest: Digest::of(&message),
            },
            authority: Arc::clone(authority),
            message,
            now,
        }))
    }
}

/// The rules of each signer.
fn check(
    signer: ClusterSigner,
    request: &ComponentRequest,
    usages: &BTreeSet<Usage>,
) -> Result<(), Reason> {
    let refuse = |detail: String| {
        Err(Reason::IssueClusterRequest {
            signer: signer.name(),
            detail,
        })
    };
    // A URI could be a SPIFFE ID, and the root that vouches for the cluster vouches for those too.
    if request.has_uris() {
        return refuse("it asks for a URI, which could be someone's SPIFFE ID".to_owned());
    }
    // No signer of Kubernetes allows it.
    if request.asks_for_ca() {
        return refuse("it asks to be a CA, and a component of a cluster is none".to_owned());
    }
    let is_node = |name: &str| name.strip_prefix(NODE).is_some_and(|name| !name.is_empty());
    if signer != ClusterSigner::Client {
        if request.organizations() != [NODES] {
            return refuse(format!("its organization must be {NODES} and nothing else"));
        }
        if !is_node(request.common_name()) {
            return refuse(format!(
                "its common name must be {NODE} and the name of a node"
            ));
        }
    }
    if !request.emails().is_empty() && signer != ClusterSigner::Client {
        return refuse("it asks for an address of mail, which a kubelet has not".to_owned());
    }
    let has_hosts = !request.dns_names().is_empty() || !request.ips().is_empty();
    match signer {
        ClusterSigner::Client => {
            if request.organizations().iter().any(|name| name == MASTERS) {
                return refuse(format!(
                    "it asks for the group {MASTERS}, which may do anything and cannot be taken back"
                ));
            }
            if request.common_name().is_empty() {
                return refuse(
                    "it has no common name, by which the API server knows a user".to_owned(),
                );
            }
        }
        ClusterSigner::KubeletClient if has_hosts => {
            return refuse("it asks for names of hosts, and a client has none".to_owned());
        }
        ClusterSigner::KubeletServing if !has_hosts => {
            return refuse("it asks for no DNS name and no IP address".to_owned());
        }
        ClusterSigner::KubeletClient | ClusterSigner::KubeletServing => {}
    }
    for name in request.dns_names() {
        check_dns_name(name)?;
    }
    check_usages(signer, usages).or_else(refuse)
}

fn check_usages(signer: ClusterSigner, usages: &BTreeSet<Usage>) -> Result<(), String> {
    let end = match signer {
        ClusterSigner::Client | ClusterSigner::KubeletClient => Usage::ClientAuth,
        ClusterSigner::KubeletServing => Usage::ServerAuth,
    };
    let needed: &[Usage] = match signer {
        ClusterSigner::Client => &[end],
        ClusterSigner::KubeletClient | ClusterSigner::KubeletServing => {
            &[end, Usage::DigitalSignature]
        }
    };
    let allowed = [end, Usage::DigitalSignature, Usage::KeyEncipherment];
    if let Some(missing) = needed.iter().find(|usage| !usages.contains(usage)) {
        return Err(format!("its usages lack `{}`", missing.name()));
    }
    match usages.iter().find(|usage| !allowed.contains(usage)) {
        Some(extra) => Err(format!("its usages must not have `{}`", extra.name())),
        None => Ok(()),
    }
}

/// What the holder is called in records: under a part of the trust domain that no registration entry
/// can give, by its common name, or by the digest of one that no path can hold.
fn record_id(trust_domain: &TrustDomain, common_name: &str) -> Result<SpiffeId, Reason> {
    let (kind, name) = match common_name.strip_prefix(NODE) {
        Some(node) => ("node", node),
        None => ("user", common_name),
    };
    let head = format!("spiffe://{trust_domain}/avouch/cluster/{kind}");
    SpiffeId::parse(&format!("{head}/{name}"))
        .or_else(|_| SpiffeId::parse(&format!("{head}/{}", Digest::of(name.as_bytes()))))
}

/// In which the root of an authority vouches for whatever its certificates say.
fn view_of(authority: &X509Authority) -> View {
    let root = authority.root();
    let kind = AnchorKind::Certificate(Arc::clone(root));
    let anchors = vec![anchor(authority.tenant(), authority.trust_domain(), kind)];
    let epoch = Digest::of(root.der());
    View::new(
        authority.tenant().clone(),
        anchors,
        Vec::new(),
        Vec::new(),
        epoch,
    )
}

/// Every name of a host is one that its holder is found by.
fn expected(signer: ClusterSigner, request: &ComponentRequest) -> Vec<ExpectedName> {
    if signer != ClusterSigner::KubeletServing {
        return Vec::new();
    }
    let dns = request.dns_names().iter().cloned().map(ExpectedName::Dns);
    let ips = request.ips().iter().copied().map(ExpectedName::Ip);
    dns.chain(ips).collect()
}

/// A certificate of a component that is to be signed.
pub struct ComponentDraft {
    authority: Arc<X509Authority>,
    view: View,
    expected: Vec<ExpectedName>,
    purpose: Purpose,
    message: Vec<u8>,
    intent: Intent,
    now: Time,
}

impl ComponentDraft {
    fn chain(&self, signature: &Signature) -> Result<Vec<Vec<u8>>, Fault> {
        let leaf = assemble(&self.message, self.authority.signs_with(), signature)?;
        Ok(self.authority.chain_of(leaf))
    }

    fn question(&self, chain: Vec<Vec<u8>>) -> Question {
        Question {
            tenant: self.view.tenant().clone(),
            credential: Credential::X509(chain),
            profile: Profile::Private,
            purpose: self.purpose,
            now: self.now,
            context: Context {
                expected: self.expected.clone(),
                ..Context::default()
            },
        }
    }
}

impl private::Draft for ComponentDraft {
    fn message(&self) -> &[u8] {
        &self.message
    }

    fn signer(&self) -> &dyn Signer {
        self.authority.signer().as_ref()
    }

    fn intent(&self) -> &Intent {
        &self.intent
    }

    fn verifier(&self) -> &dyn Verifier {
        self.authority.verifier()
    }

    fn judge(&self, signature: &Signature, crypto: &dyn Verifier) -> Result<(), NotIssued> {
        let question = self.question(self.chain(signature)?);
        ask(&question, &self.view, crypto)
    }
}

impl Draft for ComponentDraft {
    type Issued = ComponentCertificate;

    fn release(self, signature: &Signature) -> Result<ComponentCertificate, Fault> {
        Ok(ComponentCertificate {
            chain: self.chain(signature)?,
            id: self.intent.subject,
            serial: self.intent.serial,
            not_after: self.intent.not_after,
        })
    }
}

/// An address as it stands in a certificate (RFC 5280 4.2.1.6).
pub(crate) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
