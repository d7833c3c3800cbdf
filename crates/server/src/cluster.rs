//! A tenant as the CA of a Kubernetes cluster: signing requests of its components, and tokens with
//! which a kubelet gets its first certificate.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::id::{Digest, SpiffeId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::cluster::{
    ClusterSigner, ComponentCertificate, ComponentDraft, ComponentWanted, detached_jws, spki_hash,
};
use avouch_issuer::key::PublicHalf;
use avouch_issuer::random::Random;
use avouch_issuer::stages::{Prepared, issue_one, record_with};
use avouch_store::{AuthorityUse, JoinTokenId, JoinTokenRecord};
use zeroize::Zeroizing;

use crate::fault::{Fault, Refused, unknown};
use crate::issuing::StoreLog;
use crate::nodes::tokens::{Standing, kept, node_named, standing, used_up};
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::traces;

/// For how long after its use a token is answered again, to the same key: whoever has not heard the
/// answer asks again at once.
const ANSWERED_AGAIN: i64 = 300;

/// The characters of bootstrap tokens, and how many of them the name and the secret have
/// (Kubernetes, Authenticating with Bootstrap Tokens). Sixteen of 36 are some 82 bits.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const NAME_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// A bootstrap token as it is shown, once.
#[derive(Debug)]
pub struct BootstrapToken {
    /// What the kubelet is given: its name, a point and its secret.
    pub token: Zeroizing<String>,
    /// Until when it can be used.
    pub expires: Time,
    /// The hash of the key of the cluster CA, as `kubeadm join --discovery-token-ca-cert-hash` takes
    /// it.
    pub ca_cert_hash: String,
    /// The certificate of the cluster CA as DER.
    pub ca: Vec<u8>,
}

impl BootstrapToken {
    /// The name of the token, which is no secret.
    pub fn name(&self) -> &str {
        self.token.split('.').next().unwrap_or_default()
    }

    /// A signature over `content` with the secret of this token, as kubeadm looks for in the
    /// `cluster-info` of a cluster.
    pub fn sign(&self, content: &[u8]) -> String {
        let secret = self.token.split('.').nth(1).unwrap_or_default();
        detached_jws(self.name(), secret.as_bytes(), content)
    }
}

/// How a node knows the CA of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// By the hash of its key.
    Hash(String),
    /// Not at all: it believes whoever answers.
    Unsafe,
}

/// What a kubelet has got for its token.
#[derive(Debug)]
pub struct Bootstrapped {
    /// The certificate.
    pub certificate: ComponentCertificate,
    /// The node it is for.
    pub node: String,
    /// When the token was made.
    pub made: Time,
    /// The certificate of the cluster CA as DER.
    pub ca: Vec<u8>,
    /// The hash of its key.
    pub ca_cert_hash: String,
}

impl Plane {
    /// Signs a request of a component of a cluster, with the intermediate for clusters of a trust
    /// domain, which need not be named if there is one only.
    ///
    /// # Errors
    ///
    /// `issue.cluster_request_refused` and those of certificates; `issue.conflict` where no
    /// intermediate is for clusters, `issue.object_unknown` where none of that name is;
    /// `issue.object_malformed` where more than one trust domain has
    /// one; or what failed on our side.
    pub fn sign_component(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: Option<&TrustDomain>,
        wanted: &ComponentWanted,
    ) -> Result<ComponentCertificate, Refused> {
        let trust_domain = cluster_domain(tenant, trust_domain)?;
        let prepared = self.prepare_component(tenant, &trust_domain, wanted)?;
        self.admit_issuance(tenant)?;
        Ok(traces::part("issue").in_scope(|| issue_one(prepared, &StoreLog::of(self, tenant)))?)
    }

    /// Makes a token with which the kubelet of one node gets its first certificate, once, within
    /// `ttl` seconds.
    ///
    /// # Errors
    ///
    /// `issue.object_malformed` for what is no name, those of [`Plane::sign_component`] that concern
    /// the authority, or what failed on our side.
    pub fn new_bootstrap_token(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: Option<&TrustDomain>,
        node: &str,
        ttl: u32,
    ) -> Result<BootstrapToken, Refused> {
        let node = node_named(node, "bootstrap token")?;
        let trust_domain = cluster_domain(tenant, trust_domain)?;
        let spiffe_id = SpiffeId::parse(&format!(
            "spiffe://{trust_domain}/avouch/cluster/node/{node}"
        ))?;
        let ca = self.cluster_ca(tenant, &trust_domain)?;
        let name = self.characters(NAME_LENGTH)?;
        let secret = self.characters(SECRET_LENGTH)?;
        let token = Zeroizing::new(format!("{}.{}", *name, *secret));
        let expires = self.keep_token(tenant, token_id(&token)?, node, &spiffe_id, ttl)?;
        Ok(BootstrapToken {
            token,
            expires,
            ca_cert_hash: spki_hash(&ca)?,
            ca,
        })
    }

    /// Signs the first certificate of a kubelet for the token of its node. What is wrong with the
    /// request does not cost the token. It is used up in the commit that puts the certificate on
    /// record, before that is signed: of two who try at once one gets a certificate, and there is none
    /// on record for the other. What fails after that, or an answer that got lost, may be asked for
    /// again, for a moment, with the same key.
    ///
    /// # Errors
    ///
    /// `issue.bootstrap_token_unknown`, `issue.bootstrap_token_used`,
    /// `issue.bootstrap_token_expired`, `issue.bootstrap_ca_mismatch`, `issue.bootstrap_node`,
    /// those of [`Plane::sign_component`], or what failed on our side.
    pub fn bootstrap(
        &self,
        tenant: &Arc<Tenant>,
        token: &str,
        pin: &Pin,
        wanted: &ComponentWanted,
    ) -> Result<Bootstrapped, Refused> {
        let id = token_id(token)?;
        let key = wanted.request.public_half();
        let check = || -> Result<JoinTokenRecord, Refused> {
            let record = kept(tenant, &id).ok_or(Reason::IssueBootstrapTokenUnknown {})?;
            check_usable(&record, key, self.now())?;
            Ok(record)
        };
        let record = check()?;
        let trust_domain = record.spiffe_id.trust_domain();
        let ca = self.cluster_ca(tenant, trust_domain)?;
        let own = spki_hash(&ca)?;
        check_pin(pin, &own)?;
        check_asked(&record, wanted)?;
        let linted = self
            .prepare_component(tenant, trust_domain, wanted)?
            .lint()?;
        // Once nothing is wrong with the request: whoever comes again for free must not cost the
        // tenant what it may issue.
        self.admit_issuance(tenant)?;
        let log = StoreLog::of(self, tenant);
        let spent = traces::part("issue").in_scope(|| {
            record_with(linted, |intent| {
                let rows = log.rows(&[intent])?;
                self.settle_and_record(tenant, &rows, || {
                    let record = check()?;
                    let changes = match record.used {
                        Some(_) => Vec::new(),
                        None => vec![used_up(record, key, self.now())],
                    };
                    Ok(((), changes))
                })?;
                self.counters.issued(intent.kind);
                Ok::<(), Refused>(())
            })
        });
        let given = spent.and_then(|recorded| Ok(recorded.sign()?));
        let certificate = given.inspect_err(|_| self.give_back_issuance(tenant))?;
        Ok(Bootstrapped {
            certificate,
            node: record.node.to_string(),
            made: record.created,
            ca,
            ca_cert_hash: own,
        })
    }

    fn prepare_component(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
        wanted: &ComponentWanted,
    ) -> Result<Prepared<ComponentDraft>, Refused> {
        let now = self.now();
        let authority = tenant
            .held()
            .authorities()?
            .signing_x509(trust_domain, AuthorityUse::Cluster, now)
            .cloned()?;
        let profile = &self.settings.cluster;
        Ok(profile.prepare(&authority, wanted, now, &self.random)?)
    }

    /// The root above the intermediate for clusters, as DER.
    fn cluster_ca(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
    ) -> Result<Vec<u8>, Refused> {
        let held = tenant.held();
        let authority =
            held.authorities()?
                .signing_x509(trust_domain, AuthorityUse::Cluster, self.now())?;
        Ok(authority.root().der().to_vec())
    }

    /// Characters of a bootstrap token, each as likely as the other.
    fn characters(&self, length: usize) -> Result<Zeroizing<String>, Refused> {
        let mut text = Zeroizing::new(String::with_capacity(length));
        while text.len() < length {
            let mut bytes = Zeroizing::new([0_u8; 32]);
            self.random.fill(bytes.as_mut_slice())?;
            // 252 is the largest multiple of 36 that a byte can hold.
            let fair = bytes.iter().filter(|byte| **byte < 252);
            for byte in fair.take(length.saturating_sub(text.len())) {
                let place = usize::from(*byte) % ALPHABET.len();
                text.extend(ALPHABET.get(place).map(|byte| char::from(*byte)));
            }
        }
        Ok(text)
    }
}

/// The trust domain whose intermediate signs for the cluster.
fn cluster_domain(
    tenant: &Arc<Tenant>,
    named: Option<&TrustDomain>,
) -> Result<TrustDomain, Reason> {
    let domains: BTreeSet<TrustDomain> = tenant.read(|snapshot| {
        let records = snapshot.authorities.values();
        let cluster = records.filter(|record| record.used_for == AuthorityUse::Cluster);
        cluster.map(|record| record.trust_domain.clone()).collect()
    });
    let unknown = |name: &str| unknown("intermediate for a cluster", name);
    if let Some(named) = named {
        let found = domains.contains(named).then(|| named.clone());
        return found.ok_or_else(|| unknown(named.as_str()));
    }
    let mut domains = domains.into_iter();
    match (domains.next(), domains.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Reason::IssueConflict {
            detail: format!(
                "nothing signs for a cluster in {}; `avouch authority add TRUST-DOMAIN --use cluster` makes \
                 what does",
                tenant.id()
            ),
        }),
        (Some(_), Some(_)) => Err(Reason::IssueObjectMalformed {
            object: "signing request",
            member: "trust_domain".to_owned(),
            detail: "more than one trust domain signs for a cluster; name one".to_owned(),
        }),
    }
}

/// Who has shown the key that a token was used for is who used it, and has perhaps not heard the
/// answer.
fn check_usable(record: &JoinTokenRecord, key: &PublicHalf, now: Time) -> Result<(), Reason> {
    match standing(record, now) {
        Standing::Good => Ok(()),
        Standing::Used(used)
            if record.used_for == Some(Digest::of(key.info()))
                && now < used.plus(ANSWERED_AGAIN) =>
        {
            Ok(())
        }
        Standing::Used(used) => Err(Reason::IssueBootstrapTokenUsed { used }),
        Standing::Expired(expires, at) => Err(Reason::IssueBootstrapTokenExpired { expires, at }),
    }
}

/// A node that was told to believe another CA has been led astray, and says so before it believes
/// what it gets.
fn check_pin(pin: &Pin, own: &str) -> Result<(), Reason> {
    match pin {
        Pin::Hash(shown) if !shown.eq_ignore_ascii_case(own) => {
            Err(Reason::IssueBootstrapMismatch {
                shown: shown.chars().take(128).collect(),
                own: own.to_owned(),
            })
        }
        Pin::Hash(_) | Pin::Unsafe => Ok(()),
    }
}

/// A token of Kubernetes gives a certificate for whatever node its bearer names; here it was made
/// for one, and for the client certificate of its kubelet only.
fn check_asked(record: &JoinTokenRecord, wanted: &ComponentWanted) -> Result<(), Reason> {
    if wanted.signer != ClusterSigner::KubeletClient {
        return Err(Reason::IssueClusterRequest {
            signer: wanted.signer.name(),
            detail: "a bootstrap token gives a client certificate of a kubelet and nothing else"
                .to_owned(),
        });
    }
    let asked = wanted.request.common_name();
    if asked == format!("system:node:{}", record.node) {
        return Ok(());
    }
    Err(Reason::IssueBootstrapNode {
        node: record.node.to_string(),
        asked: asked.chars().take(256).collect(),
    })
}

/// Tokens are kept with the join tokens of nodes, under a name that none of those can have.
fn token_id(token: &str) -> Result<JoinTokenId, Fault> {
    let digest = Digest::of_list([b"bootstrap token".as_slice(), token.as_bytes()]).to_string();
    JoinTokenId::parse(&digest).ok_or_else(|| Fault::Bug("a digest is no name".to_owned()))
}
