//! `authority sign` and `authority bootstrap-token`: a tenant as the CA of a Kubernetes cluster.

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::arguments::{BootstrapTokenArguments, SignArguments};
use super::client::Client;
use super::table::Column;
use super::upstream::read_request;
use super::{path, pretty, said, segment, tell_one};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::input;
use crate::output;

/// The signer whose certificates are for servers.
const SERVING: &str = "kubernetes.io/kubelet-serving";

/// `authority sign`. A person gets the certificates as PEM, a program the request with its status.
pub(super) fn sign(
    client: &Client,
    arguments: &SignArguments,
    common: &Common,
) -> Result<Exit, Fault> {
    let mut address = path(common, "signing-requests")?;
    if let Some(trust_domain) = &arguments.trust_domain {
        address = format!("{address}?trust_domain={}", segment(trust_domain)?);
    }
    let answer = client.post(&address, &request(arguments)?)?;
    let certificate = answer.pointer("/status/certificate");
    let certificate = certificate.and_then(Value::as_str).unwrap_or_default();
    let pem = Base64::decode_vec(certificate).unwrap_or_default();
    output::formatted(
        common.output,
        || String::from_utf8_lossy(&pem).trim_end().to_owned(),
        || pretty(&answer),
    )?;
    Ok(Exit::Accepted)
}

fn request(arguments: &SignArguments) -> Result<Value, Fault> {
    let text = read_request(&arguments.request)?;
    let refuse = |why: String| {
        let file = input::name_of(&arguments.request);
        Fault::Usage(format!("{file}: {why}"))
    };
    if !text.trim_start().starts_with("-----BEGIN") {
        let names_more = !arguments.usage.is_empty() || arguments.expiration_seconds.is_some();
        let document =
            avouch_api::read_value(&text).map_err(|avouch_api::NotAValue(why)| refuse(why))?;
        let signer = document.pointer("/spec/signerName").and_then(Value::as_str);
        let is_other = arguments.signer.is_some() && arguments.signer.as_deref() != signer;
        if names_more || is_other {
            return Err(refuse(
                "it says itself who signs, for what and for how long".to_owned(),
            ));
        }
        return Ok(document);
    }
    let Some(signer) = &arguments.signer else {
        return Err(refuse("who signs? name it with --signer".to_owned()));
    };
    let usages = match arguments.usage.as_slice() {
        [] if signer == SERVING => vec!["digital signature", "server auth"],
        [] => vec!["digital signature", "client auth"],
        named => named.iter().map(String::as_str).collect(),
    };
    let spec = said([
        (
            "request",
            Some(json!(Base64::encode_string(text.as_bytes()))),
        ),
        ("signerName", Some(json!(signer))),
        ("usages", Some(json!(usages))),
        (
            "expirationSeconds",
            arguments.expiration_seconds.map(|seconds| json!(seconds)),
        ),
    ]);
    Ok(json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {},
        "spec": spec,
    }))
}

/// `authority bootstrap-token`.
pub(super) fn token(
    client: &Client,
    arguments: &BootstrapTokenArguments,
    common: &Common,
) -> Result<Exit, Fault> {
    const TOKEN: [Column; 4] = [
        ("TOKEN", "token"),
        ("NODE", "node"),
        ("UNTIL", "expires"),
        ("CA CERT HASH", "ca_cert_hash"),
    ];
    let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
    let new = said([
        ("node", Some(json!(arguments.node))),
        ("ttl", arguments.ttl.map(|ttl| json!(ttl))),
        ("trust_domain", text(&arguments.trust_domain)),
        ("api_server", text(&arguments.api_server)),
    ]);
    let answer = client.post(&path(common, "bootstrap-tokens")?, &new)?;
    tell_one(common, &answer, &TOKEN)
}
