//! Asking a cluster about a token, by the TokenReview API of Kubernetes
//! (`authentication.k8s.io/v1`): it knows which tokens it has withdrawn with their pods.

use std::collections::BTreeMap;

use avouch_api::members::Members;
use avouch_core::reason::Reason;
use axum::http::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::fetch::{Fetched, Request, Trust, certificates};

/// The resource.
const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// Where the cluster writes what a token is bound to, and how the core calls it.
const EXTRA: [(&str, &str); 4] = [
    ("authentication.kubernetes.io/pod-name", "k8s.pod"),
    ("authentication.kubernetes.io/pod-uid", "k8s.pod_uid"),
    ("authentication.kubernetes.io/node-name", "k8s.node"),
    ("authentication.kubernetes.io/node-uid", "k8s.node_uid"),
];

/// A cluster that is asked.
pub(super) struct Review {
    url: String,
    trust: Trust,
    /// What shows that we may ask.
    token: Zeroizing<String>,
    /// The agents, each as its namespace and service account.
    service_accounts: Vec<(String, String)>,
}

impl Review {
    /// `token` is kept apart, since it is a secret.
    pub(super) fn read(
        mut members: Members,
        service_accounts: &[String],
        token: Option<Zeroizing<String>>,
    ) -> Result<Self, Reason> {
        let server = members.required_text("server")?;
        let url = format!("{}{PATH}", server.trim_end_matches('/'));
        Request::get(&url)?;
        let trust = match members.text("ca")? {
            Some(pem) => Trust::Only(certificates(&pem)?),
            None => Trust::System,
        };
        let token = token.ok_or_else(|| members.refuse("token", "is missing"))?;
        let pairs = service_accounts.iter().map(|text| {
            let (namespace, name) = text.split_once('/')?;
            let is_pair = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
            is_pair.then(|| (namespace.to_owned(), name.to_owned()))
        });
        let pairs = pairs.collect::<Option<Vec<_>>>();
        let pairs = pairs.filter(|pairs| !pairs.is_empty()).ok_or_else(|| {
            let detail = "needs `service_accounts` beside it: the agents, each as `namespace/name`";
            members.refuse("server", detail)
        })?;
        members.finish()?;
        Ok(Self {
            url,
            trust,
            token,
            service_accounts: pairs,
        })
    }

    /// What the cluster is asked about a token.
    pub(super) fn request(&self, token: &str, audiences: &[String]) -> Result<Request, Reason> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token, "audiences": audiences },
        });
        let request = Request::post(
            &self.url,
            "application/json",
            review.to_string().into_bytes(),
        );
        let bearer = Zeroizing::new(format!("Bearer {}", self.token.as_str()));
        let request = request?.trusting(self.trust.clone());
        Ok(request
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, &bearer))
    }

    /// The facts of the token, if the cluster knows it, it is for us, and it is of an agent.
    pub(super) fn facts(
        &self,
        fetched: &Fetched,
        audiences: &[String],
    ) -> Result<BTreeMap<&'static str, String>, Reason> {
        // 201, because a review is made.
        if !matches!(fetched.status(), 200 | 201) {
            return Err(refused(format!(
                "it answers with status {}",
                fetched.status()
            )));
        }
        let answer: Value = serde_json::from_slice(fetched.body())
            .map_err(|_| refused("its answer is no JSON".to_owned()))?;
        let status = answer.get("status").cloned().unwrap_or_default();
        if status.get("authenticated") != Some(&Value::Bool(true)) {
            return Err(refused("it does not know the token".to_owned()));
        }
        // A server that says nothing of audiences has not looked at them (the documentation of
        // `spec.audiences`).
        let told = status.get("audiences").and_then(Value::as_array);
        let told = told.into_iter().flatten().filter_map(Value::as_str);
        if !told
            .into_iter()
            .any(|one| audiences.iter().any(|ours| ours == one))
        {
            return Err(refused("the token is not for us".to_owned()));
        }
        let user = status.get("user").cloned().unwrap_or_default();
        let text = |name: &str| user.get(name).and_then(Value::as_str).unwrap_or_default();
        let account = text("username").strip_prefix("system:serviceaccount:");
        let account = account.and_then(|account| account.split_once(':'));
        let is_agent = |(namespace, name): &(&str, &str)| {
            let mut agents = self.service_accounts.iter();
            agents.any(|agent| agent.0 == *namespace && agent.1 == *name)
        };
        let Some((namespace, name)) = account.filter(is_agent) else {
            let username = text("username").chars().take(128).collect::<String>();
            return Err(refused(format!("the token is of {username}")));
        };
        let mut facts = BTreeMap::from([
            ("k8s.namespace", namespace.to_owned()),
            ("k8s.service_account", name.to_owned()),
            ("k8s.service_account_uid", text("uid").to_owned()),
        ]);
        for (key, fact) in EXTRA {
            let values = user
                .get("extra")
                .and_then(|extra| extra.get(key)?.as_array());
            if let Some([Value::String(value)]) = values.map(Vec::as_slice) {
                facts.insert(fact, value.clone());
            }
        }
        Ok(facts)
    }
}

fn refused(detail: String) -> Reason {
    Reason::IssueTokenReview { detail }
}
