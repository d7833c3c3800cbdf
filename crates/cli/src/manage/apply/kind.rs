//! The kinds of objects that stand in files, in the order in which they need each other.

use avouch_core::id::SpiffeId;
use serde_json::{Map, Value};

/// A kind of object. Each may need those above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Who shares the server.
    Tenant,
    /// A trust domain of a tenant.
    TrustDomain,
    /// How much a tenant may have.
    Quota,
    /// A role in a tenant.
    Admin,
    /// What a tenant trusts.
    Anchor,
    /// Where the bundle of a foreign trust domain is.
    Federation,
    /// Whose tokens a tenant believes.
    Issuer,
    /// What must be seen of the servers or keys of an issuer. Its name is that of the issuer, a slash
    /// and the pin.
    Pin,
    /// Which trust models may decide for a service.
    Service,
    /// Whose events a tenant takes.
    Signal,
    /// Who is told of what ended.
    Receiver,
    /// What a tenant accepts from nodes.
    Attestor,
    /// Which workloads may use which API of others.
    Egress,
    /// Who may exchange what.
    Rule,
    /// Which workloads get which identity.
    Entry,
}

impl Kind {
    pub(super) const ALL: [Self; 15] = [
        Self::Tenant,
        Self::TrustDomain,
        Self::Quota,
        Self::Admin,
        Self::Anchor,
        Self::Federation,
        Self::Issuer,
        Self::Pin,
        Self::Service,
        Self::Signal,
        Self::Receiver,
        Self::Attestor,
        Self::Egress,
        Self::Rule,
        Self::Entry,
    ];

    /// As it stands in files: the noun of the command.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::TrustDomain => "trust-domain",
            Self::Quota => "quota",
            Self::Admin => "admin",
            Self::Anchor => "anchor",
            Self::Federation => "federation",
            Self::Issuer => "issuer",
            Self::Pin => "pin",
            Self::Service => "service",
            Self::Signal => "signal",
            Self::Receiver => "receiver",
            Self::Attestor => "attestor",
            Self::Egress => "egress",
            Self::Rule => "rule",
            Self::Entry => "entry",
        }
    }

    /// The last part of the address of all of a tenant.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Tenant => "tenants",
            Self::TrustDomain => "trust-domains",
            Self::Quota => "quota",
            Self::Admin => "admins",
            Self::Anchor => "anchors",
            Self::Federation => "federations",
            Self::Issuer => "issuers",
            Self::Pin => "pins",
            Self::Service => "services",
            Self::Signal => "signals",
            Self::Receiver => "receivers",
            Self::Attestor => "attestors",
            Self::Egress => "egress",
            Self::Rule => "rules",
            Self::Entry => "entries",
        }
    }

    /// The members of a `spec`, where they do not differ from one object to the other. The server
    /// reads the others, which are documents.
    pub(super) fn members(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Tenant => Some(&["kind", "parent"]),
            Self::TrustDomain => Some(&[]),
            Self::Quota => Some(&[
                "entries",
                "issuances_per_minute",
                "nodes",
                "trust_domains",
                "workloads",
            ]),
            Self::Admin => Some(&["role", "subject"]),
            Self::Federation => Some(&[
                "bundle",
                "endpoint_spiffe_id",
                "owner",
                "profile",
                "reason",
                "roots",
                "url",
            ]),
            Self::Entry => Some(&[
                "dns_names",
                "expires",
                "federates_with",
                "hint",
                "jwt_ttl",
                "node_selectors",
                "owner",
                "parent",
                "purpose",
                "selectors",
                "spiffe_id",
                "x509_ttl",
            ]),
            Self::Pin => Some(&[
                "auto_stage",
                "expires",
                "host",
                "mode",
                "owner",
                "place",
                "reason",
            ]),
            Self::Anchor
            | Self::Issuer
            | Self::Service
            | Self::Signal
            | Self::Receiver
            | Self::Attestor
            | Self::Egress
            | Self::Rule => None,
        }
    }

    /// A `spec` in the form in which two of them are compared: what means the same is the same, and
    /// what the server does not show is left out.
    pub(super) fn comparable(self, spec: &Map<String, Value>) -> Map<String, Value> {
        let mut spec = spec.clone();
        match self {
            Self::Entry => {
                drop_silent(&mut spec);
                for list in ["dns_names", "federates_with", "node_selectors", "selectors"] {
                    sort(&mut spec, list);
                }
                canonical_time(&mut spec, "expires");
            }
            Self::Quota => {
                drop_silent(&mut spec);
                sort(&mut spec, "workloads");
            }
            Self::Admin => {
                let subject = spec.get("subject").and_then(Value::as_str);
                if let Some(id) = subject.and_then(|subject| SpiffeId::parse(subject).ok()) {
                    spec.insert("subject".to_owned(), id.as_str().into());
                }
            }
            Self::Federation => {
                drop_silent(&mut spec);
                // It is what is believed until the endpoint is asked, and not kept.
                spec.remove("bundle");
            }
            Self::Attestor => {
                if let Some(Value::Object(review)) = spec.get_mut("review") {
                    review.remove("token");
                }
            }
            Self::Issuer => {
                for (part, secret) in [("introspection", "client_secret"), ("review", "token")] {
                    if let Some(Value::Object(part)) = spec.get_mut(part) {
                        part.remove(secret);
                    }
                }
            }
            Self::Pin => {
                if spec.get("auto_stage") == Some(&Value::Bool(false)) {
                    spec.remove("auto_stage");
                }
                canonical_time(&mut spec, "expires");
            }
            Self::Signal => {
                spec.remove("token");
            }
            Self::Egress => {
                for files in SECRETS {
                    spec.remove(files.of_files);
                }
            }
            // Nothing of a receiver is secret: what it is called with it has said itself, and that is
            // no part of what is wanted of it.
            Self::Tenant
            | Self::TrustDomain
            | Self::Anchor
            | Self::Service
            | Self::Receiver
            | Self::Rule => {}
        }
        spec
    }
}

/// A secret of an API of others, which stands in a file of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret {
    /// The member that names the file, or the list of files.
    pub(super) of_files: &'static str,
    /// What is sent in its place.
    pub(super) sent: &'static str,
    /// The members whose change asks for it again; otherwise what the server has stays.
    pub(super) asked_by: &'static [&'static str],
}

/// The secrets of an egress.
pub(super) const SECRETS: [Secret; 2] = [
    Secret {
        of_files: "key_file",
        sent: "key",
        asked_by: &["ca", "header", "url"],
    },
    Secret {
        of_files: "webhook_secret_files",
        sent: "webhook_secrets",
        asked_by: &["webhook"],
    },
];

/// Takes away what says nothing, as the server does.
fn drop_silent(spec: &mut Map<String, Value>) {
    spec.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    });
}

/// Whose order means nothing.
fn sort(spec: &mut Map<String, Value>, list: &str) {
    if let Some(Value::Array(list)) = spec.get_mut(list) {
        list.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
    }
}

fn canonical_time(spec: &mut Map<String, Value>, name: &str) {
    if let Some(value) = spec.get_mut(name)
        && let Some(time) = value.as_str().and_then(avouch_api::text::time)
    {
        *value = time.to_string().into();
    }
}
