//! What is answered when something is refused or fails: problem details (RFC 9457).

use avouch_core::explain;
use avouch_core::reason::{Family, Reason};
use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::call::Stop;
use super::oauth;
use crate::fault::{Fault, Refused};

/// A problem as its caller is told of it.
pub(super) struct Problem {
    id: String,
    status: StatusCode,
    code: &'static str,
    detail: String,
    hint: String,
    headers: Vec<(HeaderName, String)>,
    /// What clients of OAuth look for.
    oauth: Option<Members>,
}

/// Further members of an answer.
type Members = serde_json::Map<String, serde_json::Value>;

impl Problem {
    pub(super) fn of(id: String, stop: Stop) -> Self {
        match stop {
            Stop::Refused(Refused::Reason(reason)) => Self::refused(id, &reason),
            Stop::Refused(Refused::Fault(fault)) => Self::failed(id, &fault),
            Stop::Slow => Self {
                status: StatusCode::REQUEST_TIMEOUT,
                detail: "The request was not sent in time.".to_owned(),
                ..Self::later(id)
            },
            Stop::Busy => Self::busy(id),
            Stop::OAuth(refusal) => Self::of_oauth(id, &refusal),
            Stop::Unauthenticated(reason) => Self::unauthenticated(id, &reason),
            Stop::Unready(why) => Self {
                detail: why.to_owned(),
                ..Self::later(id)
            },
        }
    }

    /// Too much is asked for at once.
    pub(super) fn busy(id: String) -> Self {
        Self {
            detail: "The server has too much to do just now.".to_owned(),
            ..Self::later(id)
        }
    }

    /// The work took too long.
    pub(super) fn slow(id: String) -> Self {
        Self {
            detail: "The server did not finish in time; what was asked for may still be done."
                .to_owned(),
            ..Self::later(id)
        }
    }

    /// The work ended in a panic.
    pub(super) fn broken(id: String) -> Self {
        Self::failed(id, &Fault::Bug("the work of a request panicked".to_owned()))
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    fn refused(id: String, reason: &Reason) -> Self {
        let headers = match reason {
            Reason::IssueMethodNotAllowed { allowed, .. } => vec![(ALLOW, allowed.join(", "))],
            Reason::IssueKeyAwaited { seconds, .. }
            | Reason::IssueEgressRate { seconds, .. }
            | Reason::IssueRate { seconds, .. } => {
                vec![(RETRY_AFTER, seconds.to_string())]
            }
            _ => Vec::new(),
        };
        Self {
            id,
            status: status_of(reason.code(), reason.family()),
            code: reason.code(),
            detail: reason.sentence(),
            hint: reason.hint(),
            headers,
            oauth: None,
        }
    }

    fn of_oauth(id: String, refusal: &oauth::Refusal) -> Self {
        let reason = &refusal.reason;
        let (detail, hint) = refusal.told();
        let status = match () {
            () if refusal.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
            // RFC 6749 5.2, whatever the code is called elsewhere.
            () if refusal.is_of_client() => StatusCode::UNAUTHORIZED,
            () => status_of(reason.code(), reason.family()),
        };
        Self {
            id,
            status,
            code: reason.code(),
            detail,
            hint,
            headers: refusal.headers(),
            oauth: Some(refusal.members()),
        }
    }

    /// The same for clients of OAuth, to whom every problem is an `error` (RFC 6749 5.2).
    pub(super) fn for_oauth(self) -> Self {
        let error = oauth::word_of_status(self.status).name();
        let members = || Members::from_iter([("error".to_owned(), error.into())]);
        Self {
            oauth: self.oauth.or_else(|| Some(members())),
            ..self
        }
    }

    /// Who has not shown who it is learns a code, and nothing of what is known here.
    fn unauthenticated(id: String, reason: &Reason) -> Self {
        let is_missing = matches!(reason, Reason::IssueCredentialMissing { .. });
        let (detail, hint, challenge) = if is_missing {
            let challenge = "Bearer realm=\"avouch\"".to_owned();
            (reason.sentence(), reason.hint(), challenge)
        } else {
            let told = explain::of_reason_for_peer(reason);
            let hint = "Get a fresh JWT-SVID whose audience is the SPIFFE ID of this server \
                        (`spiffe://TRUST-DOMAIN/avouch/server`, with the trust domain of the root of the deployment, \
                        which `server.json` in the folder of the server names), or call with a fresh X.509-SVID."
                .to_owned();
            // RFC 6750 3.1, RFC 9449 7.1.
            let challenge = match reason {
                Reason::IssueProof { .. } | Reason::IssueUsed { .. } => {
                    "DPoP realm=\"avouch\", error=\"invalid_dpop_proof\""
                }
                _ => "Bearer realm=\"avouch\", error=\"invalid_token\"",
            };
            let challenge = challenge.to_owned();
            (told.sentence.to_owned(), hint, challenge)
        };
        Self {
            id,
            status: StatusCode::UNAUTHORIZED,
            code: reason.code(),
            detail,
            hint,
            headers: vec![(WWW_AUTHENTICATE, challenge)],
            oauth: None,
        }
    }

    /// What failed inside is in the log, under the id of the request.
    fn failed(id: String, fault: &Fault) -> Self {
        if fault.is_damage() {
            return Self::damaged(id, fault);
        }
        tracing::error!(request = id, %fault, "a request failed");
        if fault.retryable() {
            return Self {
                detail: fault.in_words().to_owned(),
                hint: fault.remedy().to_owned(),
                ..Self::later(id)
            };
        }
        Self {
            id,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "server.failed",
            detail: "The server failed.".to_owned(),
            hint: "The log of the server says why, under the id of this request.".to_owned(),
            headers: Vec::new(),
            oauth: None,
        }
    }

    /// Something that is stored cannot be read, which gets no better by itself. It was told as an error
    /// when it was found, and is not for each who asks.
    fn damaged(id: String, fault: &Fault) -> Self {
        tracing::info!(request = id, %fault, "a request failed");
        Self {
            id,
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "server.damaged",
            detail: "Something that is stored of this cannot be read, so nothing is done for it.".to_owned(),
            hint: "The log of the server named it once, as an error, when it was found: restore it, or start \
                   the later version that wrote it. Until then a node of it can be banned, and the tenant \
                   be removed (`avouch tenant delete`); certificates of it cannot be revoked, since its \
                   lists are signed for all that it has."
                .to_owned(),
            headers: Vec::new(),
            oauth: None,
        }
    }

    fn later(id: String) -> Self {
        Self {
            id,
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "server.unavailable",
            detail: String::new(),
            hint: "Try again in a moment.".to_owned(),
            headers: vec![(RETRY_AFTER, "1".to_owned())],
            oauth: None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:avouch:reason:{}", self.code),
            "title": title_of(self.code),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": format!("urn:uuid:{}", self.id),
            "code": self.code,
            "hint": self.hint,
            "decision": self.id,
        });
        let content_type = match (self.oauth, body.as_object_mut()) {
            (Some(members), Some(body)) => {
                body.insert(
                    "error_description".to_owned(),
                    described(&self.detail).into(),
                );
                body.extend(members);
                // RFC 6749 5.2 names the type, and clients ask for it.
                "application/json"
            }
            _ => "application/problem+json",
        };
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// A sentence in the characters that RFC 6749 5.2 has for it; `detail` has it as it is.
fn described(detail: &str) -> String {
    let plain = detail.chars().map(|character| match character {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => character,
        _ => '?',
    });
    plain.collect()
}

/// The status for each row of the catalogue.
pub(super) fn status_of(code: &str, family: Family) -> StatusCode {
    match family {
        Family::Issue => status_of_issue(code).unwrap_or(StatusCode::BAD_REQUEST),
        Family::Fetch if code == "fetch.url_refused" => StatusCode::BAD_REQUEST,
        Family::Fetch if code == "fetch.budget_spent" => StatusCode::TOO_MANY_REQUESTS,
        // RFC 4918 11.4: what it depended on has failed.
        Family::Fetch => StatusCode::FAILED_DEPENDENCY,
        Family::Limit if code == "limit.input_size" => StatusCode::PAYLOAD_TOO_LARGE,
        Family::Federation
        | Family::Input
        | Family::Limit
        | Family::Pki
        | Family::Policy
        | Family::Revocation
        | Family::Spiffe
        | Family::Ssh => StatusCode::BAD_REQUEST,
    }
}

/// What is told to nodes, over gRPC only.
fn is_told_to_nodes(code: &str) -> bool {
    matches!(
        code,
        "issue.attestation_fact_missing"
            | "issue.attestation_malformed"
            | "issue.attestation_not_proven"
            | "issue.attestor_unknown"
            | "issue.node_joined_already"
            | "issue.node_name_taken"
            | "issue.ssh_authority_unknown"
            | "issue.ssh_not_a_host"
            | "issue.ssh_not_signed"
            | "issue.ssh_not_valid"
            | "issue.ssh_option_unknown"
            | "issue.ssh_principal"
            | "issue.token_review_refused"
            | "issue.tpm_certificate_purpose"
            | "issue.tpm_endorsement_key"
            | "issue.tpm_endorsement_unknown"
            | "issue.tpm_key_attributes"
            | "issue.tpm_node_key"
            | "issue.tpm_node_key_kept"
            | "issue.tpm_not_activated"
            | "issue.tpm_not_signed"
            | "issue.tpm_register"
            | "issue.tpm_registers"
            | "issue.tpm_statement_stale"
    )
}

/// What is told to whoever exchanges something, or says who may.
fn is_told_of_an_exchange(code: &str) -> bool {
    matches!(
        code,
        "issue.actor_not_allowed"
            | "issue.assurance_insufficient"
            | "issue.bound_exceeded"
            | "issue.delegation_refused"
            | "issue.exchange_not_admitted"
            | "issue.grant_unsupported"
            | "issue.lineage_broken"
            | "issue.name_resurrected"
            | "issue.names_exceeded"
            | "issue.nonce_required"
            | "issue.proof_invalid"
            | "issue.proof_required"
            | "issue.proxy_restricted"
            | "issue.revocation_unsupported"
            | "issue.scope_not_allowed"
            | "issue.ssh_challenge"
            | "issue.subject_ends_soon"
            | "issue.target_not_allowed"
            | "issue.template_unfit"
            | "issue.token_of_another"
            | "issue.token_type_false"
            | "issue.token_type_unsupported"
            | "issue.token_used"
    )
}

/// `None` for a row that nobody has thought about, which a test finds.
fn status_of_issue(code: &str) -> Option<StatusCode> {
    Some(match code {
        "issue.bootstrap_token_expired"
        | "issue.bootstrap_token_unknown"
        | "issue.bootstrap_token_used"
        | "issue.client_not_authenticated"
        | "issue.credential_missing" => StatusCode::UNAUTHORIZED,
        code if is_told_to_nodes(code) => StatusCode::FORBIDDEN,
        "issue.egress_bearer"
        | "issue.egress_not_permitted"
        | "issue.webhook_not_permitted"
        | "issue.identity_administers"
        | "issue.node_not_admitted"
        | "issue.not_permitted"
        | "issue.quota_exceeded" => StatusCode::FORBIDDEN,
        "issue.egress_busy"
        | "issue.egress_rate_exceeded"
        | "issue.endings_exceeded"
        | "issue.events_exceeded"
        | "issue.node_renews_too_often"
        | "issue.rate_exceeded" => StatusCode::TOO_MANY_REQUESTS,
        "issue.key_awaited" | "issue.undecided" => StatusCode::SERVICE_UNAVAILABLE,
        "issue.egress_leak" => StatusCode::BAD_GATEWAY,
        "issue.object_unknown" => StatusCode::NOT_FOUND,
        "issue.method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        "issue.precondition_failed" => StatusCode::PRECONDITION_FAILED,
        "issue.authority_in_use"
        | "issue.authority_no_successor"
        | "issue.authority_not_held"
        | "issue.authority_state"
        | "issue.conflict"
        | "issue.egress_key_waits"
        | "issue.entry_expired"
        | "issue.entry_unfilled"
        | "issue.release_stale"
        | "issue.removal_unconfirmed"
        | "issue.revocation_untold" => StatusCode::CONFLICT,
        "issue.audience_invalid"
        | "issue.authority_expired"
        | "issue.body_malformed"
        | "issue.bootstrap_ca_mismatch"
        | "issue.bootstrap_node"
        | "issue.bootstrap_unpinned"
        | "issue.cluster_request_refused"
        | "issue.cluster_signer_unknown"
        | "issue.dns_name_invalid"
        | "issue.egress_path"
        | "issue.webhook_malformed"
        | "issue.webhook_signature"
        | "issue.webhook_stale"
        | "issue.id_outside_trust_domain"
        | "issue.id_reserved"
        | "issue.join_token_expired"
        | "issue.join_token_unknown"
        | "issue.join_token_used"
        | "issue.key_address_refused"
        | "issue.key_not_accepted"
        | "issue.object_malformed"
        | "issue.public_key_malformed"
        | "issue.request_malformed"
        | "issue.request_not_signed"
        | "issue.request_refused"
        | "issue.upstream_key"
        | "issue.upstream_malformed"
        | "issue.ttl_out_of_bounds"
        | "issue.trust_mutable"
        | "issue.trust_unconditional" => StatusCode::BAD_REQUEST,
        code if is_told_of_an_exchange(code) || code.starts_with("issue.event_") => {
            StatusCode::BAD_REQUEST
        }
        _ => return None,
    })
}

/// The code in words: the same for every problem of this type.
fn title_of(code: &str) -> String {
    let (_, name) = code.split_once('.').unwrap_or(("", code));
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    let rest = characters.map(|one| if one == '_' { ' ' } else { one });
    first.into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use avouch_core::reason::CATALOGUE;

    use super::*;

    #[test]
    fn every_reason_of_issuing_has_a_status_of_its_own() {
        for entry in CATALOGUE {
            if entry.family == Family::Issue {
                assert!(status_of_issue(entry.code).is_some(), "{}", entry.code);
            }
            let status = status_of(entry.code, entry.family);
            // Some are no fault of whoever asks: nobody knows yet, and what another server answered.
            let others = ["issue.egress_leak", "issue.key_awaited", "issue.undecided"];
            let is_theirs = !others.contains(&entry.code);
            assert_eq!(status.is_client_error(), is_theirs, "{}", entry.code);
        }
    }

    #[test]
    fn a_title_is_the_code_in_words() {
        assert_eq!(title_of("issue.object_unknown"), "Object unknown");
    }
}
