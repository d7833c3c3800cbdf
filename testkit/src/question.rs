//! Questions in the JSON of the contract, with the trust they are asked under.

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};

use crate::NOW;
use crate::world::{Authority, pem};

/// A question in the making, asked at [`NOW`].
#[derive(Clone, Debug)]
pub struct QuestionForge {
    question: Map<String, Value>,
    anchors: Vec<Value>,
    crls: Vec<Value>,
}

impl QuestionForge {
    /// A question about a chain of DER certificates, the end entity first.
    pub fn x509(chain: &[&[u8]]) -> Self {
        let chain: Vec<Value> = chain.iter().map(|der| certificate(der)).collect();
        Self::credential(json!({"x509": {"chain": chain}}))
    }

    /// A question about a compact token.
    pub fn jwt(token: &str) -> Self {
        Self::credential(json!({"jwt": token}))
    }

    /// A question about a workload identity token with its proof.
    pub fn wit(token: &str, proof: Option<&str>) -> Self {
        let mut wit = Map::new();
        wit.insert("token".to_owned(), token.into());
        if let Some(proof) = proof {
            wit.insert("proof".to_owned(), proof.into());
        }
        Self::credential(json!({"wit": wit}))
    }

    /// A question about any credential.
    pub fn credential(credential: Value) -> Self {
        let mut question = Map::new();
        question.insert("at".to_owned(), NOW.into());
        question.insert("credential".to_owned(), credential);
        Self {
            question,
            anchors: Vec::new(),
            crls: Vec::new(),
        }
    }

    /// Asked at another time.
    pub fn at(self, time: &str) -> Self {
        self.set("at", time.into())
    }

    /// Under a profile: `rfc5280`, `webpki`, `spiffe` or `private`.
    pub fn profile(self, profile: &str) -> Self {
        self.set("profile", profile.into())
    }

    /// For a purpose: `server`, `client` or `any`.
    pub fn purpose(self, purpose: &str) -> Self {
        self.set("purpose", purpose.into())
    }

    /// For a name of a kind: `dns`, `ip`, `email` or `spiffe`.
    pub fn expect(self, kind: &str, name: &str) -> Self {
        self.set("expect", json!({kind: name}))
    }

    /// By a relying party of these names.
    pub fn audience(self, audiences: &[&str]) -> Self {
        self.set("audience", audiences.into())
    }

    /// With a limit.
    pub fn limit(mut self, name: &str, value: u64) -> Self {
        let limits = self
            .question
            .entry("limits")
            .or_insert_with(|| Map::new().into());
        if let Some(limits) = limits.as_object_mut() {
            limits.insert(name.to_owned(), value.into());
        }
        self
    }

    /// With any member.
    pub fn set(mut self, member: &str, value: Value) -> Self {
        self.question.insert(member.to_owned(), value);
        self
    }

    /// Trusting a DER certificate.
    pub fn anchor(self, der: &[u8]) -> Self {
        self.anchor_json(json!({"x509": certificate(der)}))
    }

    /// Trusting a SPIFFE trust domain with these X.509 authorities.
    pub fn bundle(self, trust_domain: &str, authorities: &[&Authority]) -> Self {
        let keys: Vec<Value> = authorities.iter().map(|ca| x509_authority(ca)).collect();
        let bundle = json!({"spiffe_sequence": 1, "keys": keys});
        self.anchor_json(json!({"trust_domain": trust_domain, "bundle": bundle}))
    }

    /// Trusting any anchor, as it stands in a trust document.
    pub fn anchor_json(mut self, anchor: Value) -> Self {
        self.anchors.push(anchor);
        self
    }

    /// Knowing a DER revocation list.
    pub fn crl(mut self, der: &[u8]) -> Self {
        self.crls.push(pem("X509 CRL", der).into());
        self
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let mut question = self.question.clone();
        if !question.contains_key("trust") {
            let mut trust = Map::new();
            trust.insert("anchors".to_owned(), self.anchors.clone().into());
            if !self.crls.is_empty() {
                trust.insert("crls".to_owned(), self.crls.clone().into());
            }
            question.insert("trust".to_owned(), trust.into());
        }
        Value::Object(question)
    }
}

fn certificate(der: &[u8]) -> Value {
    pem("CERTIFICATE", der).into()
}

/// An entry of a bundle (SPIFFE X.509-SVID 6.2). Only the certificate in it is ever used.
fn x509_authority(authority: &Authority) -> Value {
    json!({
        "use": "x509-svid",
        "kty": "OKP",
        "x5c": [Base64::encode_string(&authority.certificate)],
    })
}
