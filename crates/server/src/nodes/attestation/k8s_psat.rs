//! A token that Kubernetes projects into the pod of the agent: the core decides on it under the
//! keys of the cluster.
//!
//! Whoever has a token can show it, so each is taken once: the next one of the same node must have
//! been issued later.

use avouch_api::grpc::node::evidence::Shown;
use avouch_api::members::Members;
use avouch_core::anchor::AnchorKind;
use avouch_core::credential::Credential;
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::view::View;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;

use super::{Attestation, Attested, Facts, Method, Moment, attestor, decision};
use crate::fault::Refused;
use crate::tenant::Tenant;

/// The facts of the core that are facts of the node, with the names by which people know them.
const FACTS: [(&str, &str); 7] = [
    ("k8s.namespace", "k8s_psat:agent_ns"),
    ("k8s.service_account", "k8s_psat:agent_sa"),
    ("k8s.service_account_uid", "k8s_psat:agent_sa_uid"),
    ("k8s.pod", "k8s_psat:agent_pod_name"),
    ("k8s.pod_uid", "k8s_psat:agent_pod_uid"),
    ("k8s.node", "k8s_psat:agent_node_name"),
    ("k8s.node_uid", "k8s_psat:agent_node_uid"),
];

/// Whom an attestor believes.
pub(super) struct K8sPsat {
    view: View,
    cluster: String,
    audiences: Vec<String>,
}

impl K8sPsat {
    pub(super) fn read(mut members: Members, tenant: &Tenant) -> Result<Self, Reason> {
        let vouches = |kind: &AnchorKind| matches!(kind, AnchorKind::Issuer(_));
        let read = Self {
            view: attestor::trust(&mut members, tenant, vouches)?,
            cluster: members.required_text("cluster")?,
            audiences: members.text_list("audiences")?,
        };
        if read.audiences.is_empty() {
            let detail = "names none, so a token for anyone would do";
            return Err(members.refuse("audiences", detail));
        }
        let mut facts = Facts::default();
        facts.note("k8s_psat:cluster", &read.cluster);
        if facts.0.is_empty() {
            return Err(members.refuse("cluster", "is no name"));
        }
        members.finish()?;
        Ok(read)
    }
}

impl Attestation for K8sPsat {
    fn check(&self, shown: &Shown, moment: &Moment<'_>) -> Result<Attested, Refused> {
        let Shown::K8sPsat(token) = shown else {
            let detail = "it is of another method";
            return Err(super::malformed(Method::K8sPsat, detail).into());
        };
        let question = Question {
            tenant: moment.tenant.id().clone(),
            credential: Credential::Jwt(token.clone()),
            profile: Profile::Private,
            purpose: Purpose::Any,
            now: moment.now,
            context: Context {
                audiences: self.audiences.clone(),
                ..Context::default()
            },
        };
        let identity = decision::identity(&question, &self.view)?;
        let missing = |fact| Reason::IssueAttestationFact {
            method: Method::K8sPsat.name(),
            fact,
        };
        let mut facts = Facts::default();
        facts.note("k8s_psat:cluster", &self.cluster);
        for (name, fact) in FACTS {
            if let Some(value) = identity.facts().get(name) {
                facts.note(fact, value);
            }
        }
        let node = identity.facts().get("k8s.node_uid");
        let node = node.ok_or_else(|| missing("the uid of the Kubernetes node"))?;
        let issued = issued(token).ok_or_else(|| missing("when it was issued"))?;
        Ok(Attested {
            name: node.clone(),
            facts,
            made: Some(issued),
        })
    }
}

/// When a token was issued (RFC 7519 4.1.6), which the core has believed.
fn issued(token: &str) -> Option<Time> {
    let claims = Base64UrlUnpadded::decode_vec(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get("iat")?.as_i64().map(Time::from_unix)
}
