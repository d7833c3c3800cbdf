//! Asking a cluster about a token, by the TokenReview API of Kubernetes
//! (`authentication.k8s.io/v1`): it knows which tokens it has withdrawn with their pods.

use avouch_api::members::Members;
use avouch_core::reason::Reason;
use axum::http::header::{ACCEPT, AUTHORIZATION};
use serde_json::json;
use zeroize::Zeroizing;

use crate::fetch::{Fetched, Limits, Request, Trust, certificates};

/// The resource.
const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// A cluster that is asked.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    url: String,
    trust: Trust,
}

impl Cluster {
    /// Reads `server` and `ca`. Where a CA is named, no other is believed.
    pub(crate) fn read(members: &mut Members) -> Result<Self, Reason> {
        let server = members.required_text("server")?;
        let url = format!("{}{PATH}", server.trim_end_matches('/'));
        Request::get(&url)?;
        let trust = match members.text("ca")? {
            Some(pem) => Trust::Only(certificates(&pem)?),
            None => Trust::System,
        };
        Ok(Self { url, trust })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// By what it must show who it is.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What it is asked about a token, and whether it is for any of these. `bearer` shows that we may
    /// ask.
    pub(crate) fn request(
        &self,
        bearer: &str,
        token: &str,
        audiences: &[String],
        limits: Limits,
    ) -> Result<Request, Reason> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token, "audiences": audiences },
        });
        let body = review.to_string().into_bytes();
        let bearer = Zeroizing::new(format!("Bearer {bearer}"));
        let request = Request::post(&self.url, "application/json", body)?;
        Ok(request
            .trusting(self.trust.clone())
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, &bearer)
            .within(limits))
    }
}

/// An answer of a cluster: 201, because a review is made.
pub(crate) fn when_made(fetched: Fetched) -> Result<Fetched, Reason> {
    match fetched.status() {
        201 => Ok(fetched),
        _ => fetched.when_ok(),
    }
}
