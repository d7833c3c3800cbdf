//! Signing requests of the components of a Kubernetes cluster, in the shape of
//! `certificates.k8s.io/v1`, and bootstrap tokens of kubelets.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_api::members::{Document, Members};
use avouch_api::text::{pem_signing_request, to_pem};
use avouch_core::id::TrustDomain;
use avouch_core::reason::Reason;
use avouch_issuer::cluster::{
    ClusterSigner, ComponentCertificate, ComponentRequest, ComponentWanted, Usage,
};
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};

use crate::cluster::{BootstrapToken, Bootstrapped, Pin};
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

const OBJECT: &str = "signing request";
const API_VERSION: &str = "certificates.k8s.io/v1";
const KIND: &str = "CertificateSigningRequest";

/// How long a bootstrap token can be used, in seconds. kubeadm gives a day, in which it can be used
/// again and again.
const SHORTEST_TOKEN: u32 = 10;
const USUAL_TOKEN: u32 = 3_600;
const LONGEST_TOKEN: u32 = 86_400;

/// Signs for an administrator, who has looked at the request: nobody else approves it.
pub(in crate::http) fn sign(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let trust_domain = call.asked("trust_domain").map(TrustDomain::parse);
    let trust_domain = trust_domain.transpose()?;
    let (document, signing) = read(call.members(OBJECT)?)?;
    let certificate = call
        .plane()
        .sign_component(tenant, trust_domain.as_ref(), &signing)?;
    Ok(Answer::json(&signed(document, &certificate)))
}

pub(in crate::http) fn new_token(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members("bootstrap token")?;
    let node = members.required_text("node")?;
    let ttl = members.count("ttl")?.unwrap_or(USUAL_TOKEN);
    let trust_domain = members.text("trust_domain")?;
    let api_server = members.text("api_server")?;
    if !(SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&ttl) {
        let detail = format!("must be from {SHORTEST_TOKEN} to {LONGEST_TOKEN}, in seconds");
        return Err(members.refuse("ttl", &detail).into());
    }
    let is_address = |text: &String| text.starts_with("https://") && !text.contains(['"', '\\']);
    if api_server.as_ref().is_some_and(|text| !is_address(text)) {
        let detail = "must be the address of the API server, such as `https://10.0.0.1:6443`";
        return Err(members.refuse("api_server", detail).into());
    }
    members.finish()?;
    let trust_domain = trust_domain
        .as_deref()
        .map(TrustDomain::parse)
        .transpose()?;
    let token = call
        .plane()
        .new_bootstrap_token(tenant, trust_domain.as_ref(), &node, ttl)?;
    let mut answer = json!({
        "token": token.token.as_str(),
        "node": node,
        "expires": token.expires.to_string(),
        "ca_cert_hash": token.ca_cert_hash,
        "cluster_ca": to_pem("CERTIFICATE", &token.ca),
    });
    if let (Some(api_server), Some(members)) = (api_server, answer.as_object_mut()) {
        members.insert("cluster_info".to_owned(), cluster_info(&token, &api_server));
    }
    Ok(Answer::json(&answer))
}

/// The data of the config map `cluster-info` in `kube-public`, in which `kubeadm join` looks for a
/// signature by its token. A cluster with several tokens has a signature for each.
fn cluster_info(token: &BootstrapToken, api_server: &str) -> Value {
    let ca = Base64::encode_string(to_pem("CERTIFICATE", &token.ca).as_bytes());
    let kubeconfig = format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: \
         {api_server}\n  name: \"\"\ncontexts: null\ncurrent-context: \"\"\nkind: Config\n\
         preferences: {{}}\nusers: null\n"
    );
    let signature = token.sign(kubeconfig.as_bytes());
    let mut data = Map::new();
    data.insert(format!("jws-kubeconfig-{}", token.name()), signature.into());
    data.insert("kubeconfig".to_owned(), kubeconfig.into());
    Value::Object(data)
}

/// Signs for a kubelet that shows a bootstrap token. How it knows the cluster CA is part of the
/// decision, and stands in the answer.
pub(in crate::http) fn bootstrap(call: &Call) -> Result<Answer, Stop> {
    let tenant = call.any_tenant()?;
    let token = call.bearer_token()?.to_owned();
    let mut members = call.members("bootstrap request")?;
    let pin = pin(&mut members)?;
    let request = members.members("signing_request")?;
    let request = request.ok_or_else(|| members.refuse("signing_request", "is missing"))?;
    members.finish()?;
    let (document, signing) = read(request)?;
    let given = call.plane().bootstrap(&tenant, &token, &pin, &signing);
    let given = given.inspect_err(|refused| {
        tracing::warn!(request = call.id, tenant = %tenant.id(), %refused, "no kubelet was bootstrapped");
    })?;
    tracing::info!(
        request = call.id, tenant = %tenant.id(), node = given.node,
        serial = given.certificate.serial, pinned = pin != Pin::Unsafe,
        "a kubelet was bootstrapped"
    );
    let legs = legs(&pin, &given, &token);
    let signed = signed(document, &given.certificate);
    Ok(Answer::json(&json!({
        "decision": call.id,
        "verdict": "accept",
        "legs": legs,
        "warning": (pin == Pin::Unsafe).then_some(
            "The node believes whoever answered it (unsafe_skip_ca_verification): compare \
             ca_cert_hash with what `avouch authority bootstrap-token` has shown before it is relied on."
        ),
        "ca_cert_hash": given.ca_cert_hash,
        "cluster_ca": to_pem("CERTIFICATE", &given.ca),
        "signing_request": signed,
    })))
}

fn pin(members: &mut Members) -> Result<Pin, Reason> {
    let hash = members.text("ca_cert_hash")?;
    let skips = members
        .flag("unsafe_skip_ca_verification")?
        .unwrap_or(false);
    match (hash, skips) {
        (Some(_), true) => Err(members.refuse(
            "unsafe_skip_ca_verification",
            "contradicts `ca_cert_hash`; send one of the two",
        )),
        (Some(hash), false) => Ok(Pin::Hash(hash)),
        (None, true) => Ok(Pin::Unsafe),
        (None, false) => Err(Reason::IssueBootstrapUnpinned {}),
    }
}

/// On what the decision rests: each mechanism by itself.
fn legs(pin: &Pin, given: &Bootstrapped, token: &str) -> Value {
    let name = token.split('.').next().unwrap_or_default();
    let (ca_verdict, ca_ends) = match pin {
        Pin::Hash(_) => ("accept", given.ca_cert_hash.clone()),
        Pin::Unsafe => (
            "not_reached",
            "nothing: the CA is believed on first use".to_owned(),
        ),
    };
    json!([
        {
            "what": "cluster CA", "model": "tofu", "verdict": ca_verdict, "ends_at": ca_ends,
        },
        {
            "what": "bootstrap token", "model": "tofu", "verdict": "accept",
            "ends_at": format!("token {name}, made for the node {} on {}, used now", given.node, given.made),
        },
        {
            "what": "certificate", "model": "pki", "verdict": "accept",
            "ends_at": format!("cluster CA {}", given.ca_cert_hash),
        },
    ])
}

/// The request with its status, as the API of Kubernetes shows it.
fn signed(mut document: Map<String, Value>, certificate: &ComponentCertificate) -> Value {
    let blocks = certificate
        .chain
        .iter()
        .map(|der| to_pem("CERTIFICATE", der));
    let pem: String = blocks.collect();
    document.insert(
        "status".to_owned(),
        json!({
            "certificate": Base64::encode_string(pem.as_bytes()),
            "conditions": [{
                "type": "Approved",
                "status": "True",
                "reason": "Signed",
                "message": format!("Signed with the serial number {}.", certificate.serial),
            }],
        }),
    );
    Value::Object(document)
}

/// Reads a signing request; gives what of it is shown again, too. What Kubernetes itself fills in
/// (`username`, `groups`, `uid`, `extra`, `status`) is passed over, as there.
fn read(mut members: Members) -> Result<(Map<String, Value>, ComponentWanted), Reason> {
    for (member, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        if members.required_text(member)? != expected {
            return Err(members.refuse(member, &format!("must be `{expected}`")));
        }
    }
    let metadata = members.members("metadata")?.map(Members::rest);
    members.take("status");
    let spec = members.members("spec")?;
    let mut spec = spec.ok_or_else(|| members.refuse("spec", "is missing"))?;
    members.finish()?;
    let signer = spec.required_text("signerName")?;
    let request = spec.required_text("request")?;
    let ttl = spec.count("expirationSeconds")?;
    let names = spec.texts("usages")?;
    for derived in ["extra", "groups", "uid", "username"] {
        spec.take(derived);
    }
    let usages = usages(&spec, &names)?;
    if ttl.is_some_and(|ttl| ttl < 600) {
        return Err(spec.refuse("expirationSeconds", "must be 600 or more"));
    }
    let pem = Base64::decode_vec(&request).ok();
    let pem = pem.and_then(|bytes| String::from_utf8(bytes).ok());
    let pem = pem.ok_or_else(|| spec.refuse("request", "must be the base64 of a PEM text"))?;
    spec.finish()?;
    let signer = ClusterSigner::parse(&signer)?;
    let shown = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata.unwrap_or_default(),
        "spec": super::said(json!({
            "request": request,
            "signerName": signer.name(),
            "expirationSeconds": ttl,
            "usages": names,
        })),
    });
    let wanted = ComponentWanted {
        signer,
        request: ComponentRequest::read(&pem_signing_request(&pem)?)?,
        usages,
        ttl,
    };
    match shown {
        Value::Object(shown) => Ok((shown, wanted)),
        _ => Err(Document::Request(OBJECT).refuse("it is no object")),
    }
}

fn usages(spec: &Members, names: &[String]) -> Result<BTreeSet<Usage>, Reason> {
    let mut usages = BTreeSet::new();
    for name in names {
        let usage = Usage::parse(name).ok_or_else(|| {
            let all = Usage::ALL.map(|usage| format!("`{}`", usage.name()));
            let detail = format!("is of {}, as far as these signers go", all.join(", "));
            spec.refuse("usages", &detail)
        })?;
        if !usages.insert(usage) {
            return Err(spec.refuse("usages", &format!("names `{}` twice", usage.name())));
        }
    }
    match usages.is_empty() {
        true => Err(spec.refuse("usages", "is missing")),
        false => Ok(usages),
    }
}
