//! `cluster bootstrap`: the side of a node that gets the first certificate of its kubelet.
//!
//! ```text
//! key (made, or there) ─► request ─► server ─► cluster CA == hash? ─► certificate below it? ─► files
//! ```
//!
//! The server is believed about nothing: what it answers is held against the hash that the node was
//! told, and the core decides on the certificate below exactly that CA before a file is written.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::AwsLc;
use avouch_core::id::{Digest, TenantId};
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_store::{NAME_IN_WORDS, NodeId};
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::arguments::cluster::{BootstrapArguments, ClusterArguments, ClusterCommand};
use super::client::Client;
use super::holder::Holder;
use super::table::Column;
use super::upstream::read_text;
use super::{said, tell_one};
use crate::arguments::Common;
use crate::clock;
use crate::fault::{Exit, Fault, Refusal};
use crate::fetch::write_file;
use crate::output;
use crate::recognise::{Recognised, recognise};

const WRITTEN: [Column; 8] = [
    ("NODE", "node"),
    ("KUBECONFIG", "kubeconfig"),
    ("CERTIFICATE", "certificate"),
    ("KEY", "key"),
    ("CLUSTER CA", "cluster_ca"),
    ("CA CERT HASH", "ca_cert_hash"),
    ("UNTIL", "not_after"),
    ("WARNING", "warning"),
];

/// `cluster`.
pub fn cluster(arguments: &ClusterArguments, common: &Common) -> Result<Exit, Fault> {
    match &arguments.command {
        ClusterCommand::Bootstrap(bootstrap) => bootstrapped(bootstrap, common),
    }
}

fn bootstrapped(arguments: &BootstrapArguments, common: &Common) -> Result<Exit, Fault> {
    let node = NodeId::parse(&arguments.node)
        .ok_or_else(|| Fault::Usage(format!("{}: {NAME_IN_WORDS}", arguments.node)))?;
    let token = token(arguments)?;
    let client = Client::bearing(&arguments.remote(), token)?;
    let folder = folder(&arguments.cert_dir)?;
    // Kept from the beginning: an answer that gets lost is given again to the same key.
    let key = folder.join("kubelet-client.key");
    let holder = Holder::of(&key)?;
    let user = format!("system:node:{node}");
    let request = holder.signing_request_of(&format!("CN={user},O=system:nodes"))?;
    let address = format!("/t/{}/signing-requests", common.tenant);
    let answer = client.post(&address, &asked(&request, arguments))?;
    let answer = Answer::read(&answer)?;
    answer.check(
        arguments.ca_cert_hash.as_deref(),
        &holder,
        &user,
        &common.tenant,
    )?;

    let (certificate, ca) = (
        folder.join("kubelet-client.pem"),
        folder.join("cluster-ca.pem"),
    );
    write_file(&ca, &answer.ca_pem, 0o644)?;
    write_file(&certificate, &answer.pem, 0o644)?;
    let configuration = kubeconfig(arguments, &user, &answer, [&certificate, &key]);
    write_file(&arguments.kubeconfig, &configuration, 0o600)?;
    let warning = arguments.ca_cert_hash.is_none().then_some(
        "the cluster CA is believed because someone answered: compare the hash with what `avouch \
         authority bootstrap-token` has shown before anything relies on it",
    );
    if let Some(warning) = warning {
        output::warn(warning);
    }
    let told = said([
        ("node", Some(json!(node.as_str()))),
        ("kubeconfig", Some(json!(arguments.kubeconfig))),
        ("certificate", Some(json!(certificate))),
        ("key", Some(json!(key))),
        ("cluster_ca", Some(json!(ca))),
        ("ca_cert_hash", Some(json!(answer.ca_hash()))),
        (
            "not_after",
            Some(json!(answer.leaf.not_after().to_string())),
        ),
        ("warning", warning.map(|warning| json!(warning))),
    ]);
    tell_one(common, &told, &WRITTEN)
}

fn token(arguments: &BootstrapArguments) -> Result<Zeroizing<String>, Fault> {
    let text = match (&arguments.token_file, &arguments.token) {
        (Some(path), _) => read_text(path)?,
        (None, Some(token)) => token.clone(),
        (None, None) => {
            return Err(Fault::Usage(
                "with which token? Name its file with --token-file, or set \
                 AVOUCH_BOOTSTRAP_TOKEN; `avouch authority bootstrap-token` makes one"
                    .to_owned(),
            ));
        }
    };
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// The folder under its whole name, which a kubeconfig can name wherever it is read.
fn folder(path: &Path) -> Result<PathBuf, Fault> {
    let made = fs::create_dir_all(path).and_then(|()| fs::canonicalize(path));
    made.map_err(|why| Fault::Folder {
        path: path.to_owned(),
        why: why.to_string(),
    })
}

fn asked(request: &str, arguments: &BootstrapArguments) -> Value {
    let skips = arguments.unsafe_skip_ca_verification;
    said([
        (
            "ca_cert_hash",
            arguments.ca_cert_hash.as_ref().map(|hash| json!(hash)),
        ),
        ("unsafe_skip_ca_verification", skips.then_some(json!(true))),
        (
            "signing_request",
            Some(json!({
                "apiVersion": "certificates.k8s.io/v1",
                "kind": "CertificateSigningRequest",
                "spec": {
                    "request": Base64::encode_string(request.as_bytes()),
                    "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                    "usages": ["digital signature", "client auth"],
                },
            })),
        ),
    ])
}

/// What the server has answered.
struct Answer {
    ca: Arc<Certificate>,
    ca_pem: String,
    /// As DER, its own first.
    chain: Vec<Vec<u8>>,
    leaf: Certificate,
    pem: String,
}

impl Answer {
    fn read(answer: &Value) -> Result<Self, Fault> {
        let read = || {
            let text = |place: &str| answer.pointer(place)?.as_str().map(str::to_owned);
            let ca_pem = text("/cluster_ca")?;
            let pem = Base64::decode_vec(&text("/signing_request/status/certificate")?).ok()?;
            let pem = String::from_utf8(pem).ok()?;
            let certificates = |pem: &str| match recognise(pem.as_bytes()) {
                Ok(Recognised::Certificates(all)) => Some(all),
                Ok(_) | Err(_) => None,
            };
            let chain = certificates(&pem)?;
            Some(Self {
                ca: Arc::new(Certificate::parse(certificates(&ca_pem)?.first()?).ok()?),
                leaf: Certificate::parse(chain.first()?).ok()?,
                ca_pem,
                chain,
                pem,
            })
        };
        read().ok_or_else(|| {
            let why = "the server has not answered with a certificate and the cluster CA above it";
            Fault::Run(why.to_owned())
        })
    }

    /// As `kubeadm join --discovery-token-ca-cert-hash` takes it.
    fn ca_hash(&self) -> String {
        format!("sha256:{}", Digest::of(self.ca.public_key_info()))
    }

    /// Holds the answer against what the node knows: the hash of the CA, its own key and its name.
    fn check(
        &self,
        hash: Option<&str>,
        holder: &Holder,
        user: &str,
        tenant: &TenantId,
    ) -> Result<(), Fault> {
        let own = self.ca_hash();
        if let Some(shown) = hash.filter(|shown| !shown.eq_ignore_ascii_case(&own)) {
            let shown = shown.to_owned();
            return Err(refused(&Reason::IssueBootstrapMismatch { shown, own }));
        }
        let is_ours = self.leaf.public_key_info() == holder.public_key()
            && self.leaf.subject().common_names() == [user];
        if !is_ours {
            let why =
                "the server has answered with a certificate of another key or of another node";
            return Err(Fault::Run(why.to_owned()));
        }
        let kind = AnchorKind::Certificate(Arc::clone(&self.ca));
        let anchor = Anchor::bare("cluster CA", kind, tenant);
        let epoch = Digest::of(self.ca.der());
        let view = View::new(tenant.clone(), vec![anchor], Vec::new(), Vec::new(), epoch);
        let question = Question {
            tenant: tenant.clone(),
            credential: Credential::X509(self.chain.clone()),
            profile: Profile::Private,
            purpose: Purpose::Client,
            now: clock::now(),
            context: Context::default(),
        };
        match avouch_core::decide(&question, &view, &AwsLc, &mut Budget::default()) {
            Verdict::Accept(_) => Ok(()),
            Verdict::Reject(rejected) => Err(refused(rejected.reason())),
            Verdict::Undetermined(_) => Err(Fault::Run("a fact is missing".to_owned())),
        }
    }
}

fn refused(reason: &Reason) -> Fault {
    Refusal::of(reason).into()
}

/// A kubeconfig with which the kubelet calls the API server. JSON is YAML, too.
fn kubeconfig(
    arguments: &BootstrapArguments,
    user: &str,
    answer: &Answer,
    [certificate, key]: [&Path; 2],
) -> String {
    let cluster = &arguments.cluster_name;
    let context = format!("{user}@{cluster}");
    format!(
        "{:#}\n",
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": cluster,
                "cluster": {
                    "server": arguments.api_server,
                    "certificate-authority-data": Base64::encode_string(answer.ca_pem.as_bytes()),
                },
            }],
            "users": [{
                "name": user,
                "user": {"client-certificate": certificate, "client-key": key},
            }],
            "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
            "current-context": context,
        })
    )
}
