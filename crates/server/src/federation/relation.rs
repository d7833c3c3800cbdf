//! What an administrator says of a foreign trust domain: where its bundle is, and by what its
//! endpoint is known. Nothing of it is inferred (SPIFFE Federation 5.1).

use std::sync::Arc;

use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_store::FederationRecord;
use serde_json::{Map, Value, json};

use super::{malformed, parsed};
use crate::clock::Clock;
use crate::fault::Fault;
use crate::fetch::{Request, Trust, certificates};
use crate::tls::SpiffePeer;

/// The relation of a tenant to a foreign trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Where the bundle is.
    pub url: String,
    /// By what the endpoint is known.
    pub profile: Profile,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub reason: Option<String>,
}

/// By what an endpoint is known (SPIFFE Federation 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `https_web`: by a certificate of the Web PKI.
    Web {
        /// In PEM; if there are any, these are believed instead of what the system believes.
        roots: Vec<String>,
    },
    /// `https_spiffe`: by an X.509-SVID.
    Spiffe {
        /// Of whom.
        endpoint: SpiffeId,
    },
}

impl Profile {
    /// The name of the standard for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Web { .. } => "https_web",
            Self::Spiffe { .. } => "https_spiffe",
        }
    }

    /// Puts a profile together.
    ///
    /// # Errors
    ///
    /// `issue.object_malformed` for what does not go together.
    pub fn of(name: &str, endpoint: Option<&str>, roots: Vec<String>) -> Result<Self, Reason> {
        match (name, endpoint) {
            ("https_web", None) => {
                for root in &roots {
                    certificates(root)?;
                }
                Ok(Self::Web { roots })
            }
            ("https_web", Some(_)) => Err(malformed(
                "endpoint_spiffe_id",
                "an endpoint of https_web is known by its host, and needs no other parameter",
            )),
            ("https_spiffe", Some(_)) if !roots.is_empty() => Err(malformed(
                "roots",
                "an endpoint of https_spiffe is known by the bundle of its trust domain",
            )),
            ("https_spiffe", Some(endpoint)) => Ok(Self::Spiffe {
                endpoint: SpiffeId::parse(endpoint)?,
            }),
            ("https_spiffe", None) => Err(malformed(
                "endpoint_spiffe_id",
                "an endpoint of https_spiffe is known by its SPIFFE ID, which is not inferred",
            )),
            (_, _) => Err(malformed("profile", "must be https_web or https_spiffe")),
        }
    }
}

impl Relation {
    /// Reads what was stored.
    pub(crate) fn read(record: &FederationRecord) -> Result<Self, Fault> {
        let read = || {
            let document: Map<String, Value> = serde_json::from_str(&record.document).ok()?;
            let text = |name: &str| document.get(name)?.as_str();
            let roots = document.get("roots").and_then(Value::as_array);
            let roots = roots.into_iter().flatten();
            let roots = roots.map(|root| root.as_str().map(str::to_owned));
            let profile = Profile::of(
                text("profile")?,
                text("endpoint_spiffe_id"),
                roots.collect::<Option<_>>()?,
            );
            Some(Self {
                url: text("url")?.to_owned(),
                profile: profile.ok()?,
                owner: text("owner").map(str::to_owned),
                reason: text("reason").map(str::to_owned),
            })
        };
        read().ok_or_else(|| {
            let name = &record.trust_domain;
            Fault::Stored(format!("the relation to {name} cannot be read"))
        })
    }

    /// As it is stored and shown.
    pub(crate) fn members(&self) -> Map<String, Value> {
        let (endpoint, roots) = match &self.profile {
            Profile::Web { roots } => (None, roots.as_slice()),
            Profile::Spiffe { endpoint } => (Some(endpoint.as_str()), &[][..]),
        };
        let all = [
            ("url", json!(self.url)),
            ("profile", json!(self.profile.name())),
            ("endpoint_spiffe_id", json!(endpoint)),
            ("roots", json!(roots)),
            ("owner", json!(self.owner)),
            ("reason", json!(self.reason)),
        ];
        let is_said = |value: &Value| !value.is_null() && *value != json!([]);
        let said = all.into_iter().filter(|(_, value)| is_said(value));
        said.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The trust domain whose bundle the endpoint is known by, if it is known by one.
    pub(super) fn endpoint_domain(&self) -> Option<&TrustDomain> {
        match &self.profile {
            Profile::Web { .. } => None,
            Profile::Spiffe { endpoint } => Some(endpoint.trust_domain()),
        }
    }

    /// What is asked for, and who is asked to tell why an endpoint was not believed. `bundle` is
    /// that of [`Relation::endpoint_domain`].
    pub(super) fn request(
        &self,
        url: &str,
        bundle: Option<&Value>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Request, Option<Arc<SpiffePeer>>), Reason> {
        let request = Request::get(url)?;
        match &self.profile {
            Profile::Web { roots } if roots.is_empty() => Ok((request, None)),
            Profile::Web { roots } => {
                let mut all = Vec::new();
                for root in roots {
                    all.extend(certificates(root)?);
                }
                Ok((request.trusting(Trust::Only(all)), None))
            }
            Profile::Spiffe { endpoint } => {
                let missing = || {
                    malformed(
                        "bundle",
                        "the bundle of the trust domain of the endpoint is not known",
                    )
                };
                let name = endpoint.trust_domain().as_str();
                let bundle = Bundle::read(name, bundle.ok_or_else(missing)?)?;
                let peer = Arc::new(SpiffePeer::new(endpoint.clone(), bundle, clock));
                let trust = Trust::Verifier(Arc::<SpiffePeer>::clone(&peer));
                Ok((request.trusting(trust), Some(peer)))
            }
        }
    }
}

/// The bundle in the anchor that a document holds, if it is one of this trust domain.
pub(super) fn bundle_in(document: &str, trust_domain: &TrustDomain) -> Option<Value> {
    let (name, bundle) = parsed(document)?;
    (name == trust_domain.as_str()).then_some(bundle)
}
