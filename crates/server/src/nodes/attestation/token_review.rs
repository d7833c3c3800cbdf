//! Asking a cluster about the token of an agent, by its TokenReview API.

use std::collections::BTreeMap;

use avouch_api::members::Members;
use avouch_core::model::federation::Reviewed;
use avouch_core::reason::Reason;
use zeroize::Zeroizing;

use crate::fetch::{Fetched, Limits, Request};
use crate::token_review::Cluster;

/// What a token is bound to, and how the core calls it.
const BOUND: [(&str, [&str; 2]); 4] = [
    ("k8s.pod", ["pod", "name"]),
    ("k8s.pod_uid", ["pod", "uid"]),
    ("k8s.node", ["node", "name"]),
    ("k8s.node_uid", ["node", "uid"]),
];

/// A cluster that is asked.
pub(super) struct Review {
    cluster: Cluster,
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
        let cluster = Cluster::read(&mut members)?;
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
            cluster,
            token,
            service_accounts: pairs,
        })
    }

    /// What the cluster is asked about a token.
    pub(super) fn request(&self, token: &str, audiences: &[String]) -> Result<Request, Reason> {
        let limits = Limits::default();
        self.cluster.request(&self.token, token, audiences, limits)
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
        let read = Reviewed::read(fetched.body()).map_err(refused)?;
        let reviewed = read.ok_or_else(|| refused("it does not know the token".to_owned()))?;
        // A server that says nothing of audiences has not looked at them (the documentation of
        // `spec.audiences`).
        let mut told = reviewed.audiences().iter();
        if !told.any(|one| audiences.contains(one)) {
            return Err(refused("the token is not for us".to_owned()));
        }
        let is_agent = |(namespace, name): &(&str, &str)| {
            let mut agents = self.service_accounts.iter();
            agents.any(|agent| agent.0 == *namespace && agent.1 == *name)
        };
        let Some((namespace, name)) = reviewed.account().filter(is_agent) else {
            let username = reviewed.username().chars().take(128).collect::<String>();
            return Err(refused(format!("the token is of {username}")));
        };
        let mut facts = BTreeMap::from([
            ("k8s.namespace", namespace.to_owned()),
            ("k8s.service_account", name.to_owned()),
            ("k8s.service_account_uid", reviewed.account_uid().to_owned()),
        ]);
        for (fact, [to, part]) in BOUND {
            if let Some(value) = reviewed.bound(to, part) {
                facts.insert(fact, value.to_owned());
            }
        }
        Ok(facts)
    }
}

fn refused(detail: String) -> Reason {
    Reason::IssueTokenReview { detail }
}
