//! What a row of the table of addresses is.

use std::sync::Arc;

use axum::routing::MethodFilter;

use super::answer::Answer;
use super::call::{Call, Rest, Stop};
use crate::access::{Noun, Verb};
use crate::caller::Caller;
use crate::plane::KnownTenant;
use crate::tenant::Tenant;

/// The methods that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Delete,
    Get,
    Patch,
    Post,
    Put,
}

impl Method {
    pub(super) const ALL: [Self; 5] = [Self::Delete, Self::Get, Self::Patch, Self::Post, Self::Put];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }

    pub(super) fn filter(self) -> MethodFilter {
        match self {
            Self::Delete => MethodFilter::DELETE,
            Self::Get => MethodFilter::GET,
            Self::Patch => MethodFilter::PATCH,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
        }
    }
}

/// One address with one method.
#[derive(Clone, Copy)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// What it does, for `/openapi.json`.
    pub(super) summary: &'static str,
    /// What may stand behind the question mark.
    pub(super) query: &'static [&'static str],
    /// Whether it may be asked without being done (`dry_run`).
    pub(super) may_rehearse: bool,
    /// The name of the schema of what is sent, if anything is.
    pub(super) takes: Option<&'static str>,
    /// Whether it goes without what is sent, too.
    pub(super) may_be_empty: bool,
    /// The name of the schema of what is answered, if anything is.
    pub(super) gives: Option<&'static str>,
    /// Whether its answer is something new.
    pub(super) creates: bool,
    /// The most bytes that are taken.
    pub(super) longest: usize,
    /// Whether it takes a form and refuses as OAuth does.
    pub(super) is_oauth: bool,
    /// Whether what stands behind the question mark, and the head, are passed on as they came.
    pub(super) forwards: bool,
    pub(super) access: Access,
}

/// Who may call, and what is done then.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// Everyone. Who shows a credential may be told more.
    Anyone(fn(&Call) -> Result<Answer, Stop>),
    /// Everyone, where the end of the work is waited for without a thread.
    Beginner(Beginner),
    /// Everyone, and also while the server has too much to do.
    Watcher(fn(&Call) -> Result<Answer, Stop>),
    /// Whoever has an identity here; the work asks for the rest.
    Administrator(fn(&Call, &Caller) -> Result<Answer, Stop>),
    /// Who may do this in the tenant of the address.
    Of(Verb, Noun, fn(&Call, &Arc<Tenant>) -> Result<Answer, Stop>),
    /// Likewise, also where something of that tenant cannot be read.
    Known(
        Verb,
        Noun,
        fn(&Call, &Arc<KnownTenant>) -> Result<Answer, Stop>,
    ),
}

/// How work is begun whose end is waited for without a thread.
#[derive(Clone, Copy)]
pub(super) struct Beginner {
    /// What takes a moment and waits for nothing, so that it needs no thread either; nothing where
    /// that is not enough. Then nothing has happened yet.
    pub(super) at_once: fn(&Call) -> Option<Rest>,
    /// Whatever it takes.
    pub(super) begin: fn(&Call) -> Result<Rest, Stop>,
}

impl Beginner {
    /// Work of which nothing can be said at once.
    pub(super) const fn of(begin: fn(&Call) -> Result<Rest, Stop>) -> Self {
        Self {
            at_once: |_| None,
            begin,
        }
    }
}

/// Enough for one object of any kind.
pub(super) const OBJECT: usize = 1 << 20;

/// Enough for the tokens of a form, each of which has 16 KiB at most, with their escapes.
pub(super) const FORM: usize = 128 << 10;

/// Enough for a batch of registration entries.
pub(super) const BATCH: usize = 32 << 20;

impl Route {
    /// Of whom a credential is wanted here, and which.
    pub(super) fn credential(&self) -> (&'static str, &'static str) {
        let below = self.path.strip_prefix("/t/{tenant}/");
        match below.and_then(|below| below.split('/').next()) {
            Some("egress" | "webhooks") => (
                "a workload",
                "an X.509-SVID in the handshake, a token that is bound to a key as `Authorization: DPoP` with its \
                 proof, or a JWT-SVID as `Authorization: Bearer`, as the API has it",
            ),
            Some("ssf") => (
                "a receiver",
                "a JWT-SVID for this server as `Authorization: Bearer`, or an X.509-SVID in the handshake",
            ),
            Some("signing-requests") => (
                "a kubelet",
                "the bootstrap token of its node as `Authorization: Bearer`",
            ),
            Some(_) | None => (
                "an administrator",
                "a JWT-SVID as `Authorization: Bearer`; the command finds one in the folder that `--data` names",
            ),
        }
    }

    pub(super) const fn get(path: &'static str, access: Access, gives: &'static str) -> Self {
        Self::of(Method::Get, path, access).gives(gives)
    }

    pub(super) const fn post(path: &'static str, access: Access) -> Self {
        Self::of(Method::Post, path, access)
    }

    pub(super) const fn put(path: &'static str, access: Access) -> Self {
        Self::of(Method::Put, path, access)
    }

    pub(super) const fn delete(path: &'static str, access: Access) -> Self {
        Self::of(Method::Delete, path, access)
    }

    pub(super) const fn of(method: Method, path: &'static str, access: Access) -> Self {
        Self {
            method,
            path,
            summary: "",
            query: &[],
            may_rehearse: false,
            takes: None,
            may_be_empty: false,
            gives: None,
            creates: false,
            longest: OBJECT,
            is_oauth: false,
            forwards: false,
            access,
        }
    }

    pub(super) const fn says(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    pub(super) const fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    /// With `dry_run=true` it does all but store. Nothing that cannot be undone stands before the commit
    /// of such a row, and what waits without a thread has none.
    pub(super) const fn rehearses(self) -> Self {
        Self {
            may_rehearse: true,
            ..self
        }
    }

    pub(super) const fn takes(self, schema: &'static str) -> Self {
        Self {
            takes: Some(schema),
            ..self
        }
    }

    pub(super) const fn optional(self) -> Self {
        Self {
            may_be_empty: true,
            ..self
        }
    }

    pub(super) const fn gives(self, schema: &'static str) -> Self {
        Self {
            gives: Some(schema),
            ..self
        }
    }

    pub(super) const fn creates(self, schema: &'static str) -> Self {
        Self {
            creates: true,
            ..self.gives(schema)
        }
    }

    /// Whether it says by 201 that what it has put was not there before.
    pub(super) fn puts_new(&self) -> bool {
        self.method == Method::Put && self.tagged().is_some_and(|object| object != "quota")
    }

    /// What it is about, in words, if that is one object that is put by its name and has a tag.
    pub(super) fn tagged(&self) -> Option<&'static str> {
        let below = self.path.strip_prefix("/v1/tenants/{tenant}/")?;
        Some(match below {
            "admins/{admin}" => "administrator",
            "anchors/{anchor}" => "anchor",
            "attestors/{attestor}" => "attestor",
            "egress/{egress}" => "egress",
            "entries/{entry}" => "registration entry",
            "federations/{federation}" => "federation relation",
            "issuers/{issuer}" => "issuer",
            "quota" => "quota",
            "receivers/{receiver}" => "receiver",
            "rules/{rule}" => "rule",
            "services/{service}" => "service",
            "signals/{signal}" => "signal",
            _ => return None,
        })
    }

    pub(super) const fn forwards(self) -> Self {
        Self {
            forwards: true,
            ..self
        }
    }

    pub(super) const fn oauth(self) -> Self {
        Self {
            is_oauth: true,
            longest: FORM,
            ..self
        }
    }

    pub(super) const fn at_most(self, longest: usize) -> Self {
        Self { longest, ..self }
    }
}
