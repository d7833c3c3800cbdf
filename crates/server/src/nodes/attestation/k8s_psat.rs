//! A token that Kubernetes projects into the pod of the agent: the core decides on it under the
//! keys of the cluster, or the cluster itself is asked.
//!
//! Whoever has a token can show it, so each is taken once: the next one of the same node must have
//! been issued later.

use std::collections::BTreeMap;

use avouch_api::grpc::node::evidence::Shown;
use avouch_api::members::Members;
use avouch_core::anchor::AnchorKind;
use avouch_core::credential::Credential;
use avouch_core::id::Digest;
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::view::View;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use zeroize::Zeroizing;

use super::token_review::Review;
use super::{Attestation, Attested, Facts, Made, Method, Moment, attestor, bug, decision};
use crate::fault::Refused;
use crate::fetch::Request;
use crate::tenant::Tenant;

/// The longest token in bytes, as for the core.
const LONGEST_TOKEN: usize = 16 << 10;

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
    source: Source,
    cluster: String,
    audiences: Vec<String>,
}

/// Who says whether a token is one.
enum Source {
    /// The core, by the keys of the cluster.
    Keys(Box<View>),
    /// The cluster.
    Review(Review),
}

impl K8sPsat {
    pub(super) fn read(
        mut members: Members,
        secret: Option<Zeroizing<String>>,
        tenant: &Tenant,
    ) -> Result<Self, Reason> {
        let source = match members.members("review")? {
            Some(review) => {
                let agents = members.text_list("service_accounts")?;
                Source::Review(Review::read(review, &agents, secret)?)
            }
            None => Source::Keys(Box::new(trust(&mut members, tenant)?)),
        };
        let read = Self {
            source,
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

/// The keys of the cluster, and which of its service accounts are agents: every pod of a cluster can have
/// a token for whatever audience it likes.
fn trust(members: &mut Members, tenant: &Tenant) -> Result<View, Reason> {
    let vouches = |kind: &AnchorKind| matches!(kind, AnchorKind::Issuer(_));
    let view = attestor::trust(members, tenant, vouches)?;
    let mut anchors = view.anchors().iter();
    let is_open =
        |kind: &AnchorKind| matches!(kind, AnchorKind::Issuer(issuer) if issuer.rules().is_empty());
    if anchors.any(|anchor| is_open(&anchor.kind)) {
        let detail = "has an issuer without `rules`, so every pod of the cluster could be a node; name the \
                      `k8s.namespace` and the `k8s.service_account` of the agent";
        return Err(members.refuse("trust", detail));
    }
    Ok(view)
}

impl Attestation for K8sPsat {
    fn check(&self, shown: &Shown, moment: &Moment<'_>) -> Result<Attested, Refused> {
        let Shown::K8sPsat(token) = shown else {
            let detail = "it is of another method";
            return Err(super::malformed(Method::K8sPsat, detail).into());
        };
        let told = match &self.source {
            Source::Keys(view) => self.decide(view, token, moment)?,
            Source::Review(review) => {
                let answer = moment
                    .answer
                    .ok_or_else(|| bug("the cluster was not asked"))?;
                review.facts(answer, &self.audiences)?
            }
        };
        let missing = |fact| Reason::IssueAttestationFact {
            method: Method::K8sPsat.name(),
            fact,
        };
        let mut facts = Facts::default();
        facts.note("k8s_psat:cluster", &self.cluster);
        for (name, fact) in FACTS {
            if let Some(value) = told.get(name) {
                facts.note(fact, value);
            }
        }
        let node = told.get("k8s.node_uid").filter(|uid| !uid.is_empty());
        let node = node.ok_or_else(|| missing("the uid of the Kubernetes node"))?;
        let made = made(token).ok_or_else(|| missing("when it was issued"))?;
        Ok(Attested {
            name: node.clone(),
            facts,
            made: Some(made),
        })
    }

    fn question(&self, shown: &Shown) -> Result<Option<Request>, Reason> {
        let (Shown::K8sPsat(token), Source::Review(review)) = (shown, &self.source) else {
            return Ok(None);
        };
        if token.len() > LONGEST_TOKEN {
            return Err(Reason::InputSize {
                part: "token",
                size: token.len(),
                allowed: LONGEST_TOKEN,
            });
        }
        review.request(token, &self.audiences).map(Some)
    }
}

impl K8sPsat {
    /// What the core says of a token, by the names of its facts.
    fn decide(
        &self,
        view: &View,
        token: &str,
        moment: &Moment<'_>,
    ) -> Result<BTreeMap<&'static str, String>, Refused> {
        let question = Question {
            tenant: moment.tenant.id().clone(),
            credential: Credential::Jwt(token.to_owned()),
            profile: Profile::Private,
            purpose: Purpose::Any,
            now: moment.now,
            context: Context {
                audiences: self.audiences.clone(),
                ..Context::default()
            },
        };
        let identity = decision::identity(&question, view)?;
        let told = FACTS.into_iter().filter_map(|(name, _)| {
            let value = identity.facts().get(name)?;
            Some((name, value.clone()))
        });
        Ok(told.collect())
    }
}

/// When a token was issued, and until when it holds (RFC 7519 4.1.6, 4.1.4), which was believed. It is
/// told from others by what was believed, never by its text: whoever has one can write it in another
/// way, such as with the other signature that ECDSA has for the same (SEC 1 4.1.4), or with what a
/// lenient reader of Base64 passes over.
fn made(token: &str) -> Option<Made> {
    let claims = Base64UrlUnpadded::decode_vec(token.split('.').nth(1)?).ok()?;
    let digest = Digest::of(&claims);
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let moment = |name| claims.get(name)?.as_i64().map(Time::from_unix);
    Some(Made {
        at: moment("iat")?,
        until: moment("exp"),
        digest,
    })
}
