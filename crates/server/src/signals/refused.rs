//! What a transmitter is told when an event of it is not taken.

use avouch_core::reason::{Family, Reason};

/// The word for a refusal (RFC 8935 2.4, SSF 1.0 8.1.4.1).
pub(crate) fn word_of(reason: &Reason) -> &'static str {
    match reason {
        Reason::IssueEventAudience { .. } => "invalid_audience",
        Reason::IssueEventIssuer { .. } => "invalid_issuer",
        Reason::IssueEventKey { .. } => "invalid_key",
        Reason::IssueEventState { .. } => "invalid_state",
        Reason::IssueEventSubject { .. } => "access_denied",
        Reason::ClaimMissing { .. }
        | Reason::ClaimMistyped { .. }
        | Reason::HeaderUnexpected { .. }
        | Reason::CriticalHeaderUnsupported { .. } => "invalid_request",
        // The algorithm or the keys of the issuer.
        reason if reason.family() == Family::Federation => "invalid_key",
        _ => "invalid_request",
    }
}

/// What is about the token itself is told; what the tenant trusts is not.
pub(crate) fn description_of(reason: &Reason) -> String {
    match reason {
        Reason::IssueEventAudience { .. } => "The event is for someone else.".to_owned(),
        Reason::IssueEventIssuer { .. } => "No events of this issuer are taken here.".to_owned(),
        Reason::IssueEventKey { .. } => "The event was not signed by its issuer.".to_owned(),
        reason
            if matches!(
                reason.family(),
                Family::Input | Family::Issue | Family::Limit
            ) =>
        {
            reason.sentence()
        }
        reason => avouch_core::explain::of_reason_for_peer(reason)
            .sentence
            .to_owned(),
    }
}
