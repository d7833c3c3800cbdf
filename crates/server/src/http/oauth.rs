//! Refusals as clients of OAuth understand them (RFC 6749 5.2, RFC 8693 2.2.2).

use avouch_core::credential::jose::algorithm::Algorithm;
use avouch_core::exchange::NO_ONE;
use avouch_core::explain;
use avouch_core::reason::{Family, Reason};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use serde_json::{Map, Value};

use crate::caller::DPOP_PROOF;
use crate::exchange::CLIENT_ASSERTION;
use crate::exchange::request::{CLIENT_ASSERTION_TYPE, NO_CREDENTIAL, OTHER_CLIENT, SHARED_SECRET};

/// The nonce that the next proof must answer (RFC 9449 8).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// When what cannot be told now is worth asking again, in seconds.
pub(super) const SOON: u32 = 30;

/// What `error` may be: nothing but a word that clients know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// RFC 9470 3.
    InsufficientUserAuthentication,
    /// RFC 6749 5.2.
    InvalidClient,
    /// RFC 9449 5.
    InvalidDpopProof,
    /// RFC 6749 5.2.
    InvalidGrant,
    /// RFC 6749 5.2.
    InvalidRequest,
    /// RFC 6749 5.2.
    InvalidScope,
    /// RFC 8707 2.
    InvalidTarget,
    /// RFC 6749 4.1.2.1.
    ServerError,
    /// RFC 8628 3.5 has the only word there is for too many requests.
    SlowDown,
    /// RFC 6749 4.1.2.1.
    TemporarilyUnavailable,
    /// RFC 6749 5.2.
    UnsupportedGrantType,
    /// RFC 7009 2.2.1.
    UnsupportedTokenType,
    /// RFC 9449 8.
    UseDpopNonce,
}

impl Word {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
            Self::InvalidClient => "invalid_client",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::ServerError => "server_error",
            Self::SlowDown => "slow_down",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::UseDpopNonce => "use_dpop_nonce",
        }
    }
}

/// A refusal, and to whom it is told.
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// Whether an assertion was presented as a grant, whose refusals are called otherwise.
    pub(crate) is_grant: bool,
    /// Whether whoever asks may know what the tenant trusts.
    pub(crate) sees_all: bool,
    /// Whether a client has shown a secret in the header (RFC 6749 2.3.1).
    pub(crate) is_basic: bool,
}

impl Refusal {
    /// What is refused whoever asks, and told to them as to a stranger.
    pub(crate) fn of(reason: Reason) -> Self {
        Self {
            reason,
            is_grant: false,
            sees_all: false,
            is_basic: false,
        }
    }

    /// Who shows a secret in the header, which nobody has here.
    pub(crate) fn of_basic() -> Self {
        let detail = SHARED_SECRET.to_owned();
        Self {
            is_basic: true,
            ..Self::of(Reason::IssueClient { detail })
        }
    }

    /// Whether a client has not shown who it is (RFC 6749 5.2): also with an assertion that was used before
    /// (RFC 7523 3.2), and in a way that is not supported.
    pub(crate) fn is_of_client(&self) -> bool {
        match &self.reason {
            Reason::IssueClient { .. } => true,
            Reason::IssueUsed { what, .. } => *what == CLIENT_ASSERTION,
            Reason::IssueTokenType { parameter, .. } => *parameter == CLIENT_ASSERTION_TYPE,
            _ => false,
        }
    }

    /// The word for it.
    fn word(&self) -> Word {
        match &self.reason {
            _ if self.is_of_client() => Word::InvalidClient,
            Reason::IssueAssurance { .. } => Word::InsufficientUserAuthentication,
            Reason::IssueGrant { .. } => Word::UnsupportedGrantType,
            Reason::IssueNonce { .. } => Word::UseDpopNonce,
            Reason::IssueProof { .. } => Word::InvalidDpopProof,
            // RFC 9449 5: what can be used once is no good the second time.
            Reason::IssueUsed { what, .. } if *what == DPOP_PROOF => Word::InvalidDpopProof,
            // RFC 7009 2.2.1: it holds still, and may be ended later. Where others were faster nothing was used.
            Reason::IssueConflict { .. }
            | Reason::IssueEndingsExcess { .. }
            | Reason::IssueKeyAwaited { .. }
            | Reason::IssueUndecided { .. } => Word::TemporarilyUnavailable,
            Reason::IssueRate { .. } => Word::SlowDown,
            Reason::IssueRevocationKind { .. } => Word::UnsupportedTokenType,
            Reason::IssueScope { .. } => Word::InvalidScope,
            // RFC 6749 5.2: it was issued to another client.
            Reason::IssueTokenOfAnother {} => Word::InvalidGrant,
            Reason::IssueTarget { .. } => Word::InvalidTarget,
            Reason::IssueBodyMalformed { .. }
            | Reason::IssueProofRequired { .. }
            | Reason::IssueTokenType { .. } => Word::InvalidRequest,
            // RFC 7521 4.1.1: an assertion that is refused is an invalid grant.
            _ if self.is_grant => Word::InvalidGrant,
            _ => Word::InvalidRequest,
        }
    }

    /// Whether the same may be sent again later as it is.
    pub(crate) fn is_temporary(&self) -> bool {
        self.word() == Word::TemporarilyUnavailable
    }

    /// What and how much is told: the sentence and the fix. Whoever does not administer the tenant
    /// learns what is wrong with what they sent, and nothing of what the tenant trusts or whom its
    /// rules admit.
    pub(crate) fn told(&self) -> (String, String) {
        let reason = &self.reason;
        if self.sees_all || is_about_the_request(reason) {
            return (reason.sentence(), reason.hint());
        }
        if let Reason::IssueAssurance { asked, .. } = reason {
            // Whoever is to sign in again must know how (RFC 9470 3).
            let sentence =
                format!("The subject has not signed in surely enough. It takes: {asked}.");
            return (sentence, reason.hint());
        }
        let sentence = for_peer(reason);
        let sentence = sentence.unwrap_or_else(|| explain::of_reason_for_peer(reason).sentence);
        // What whoever asks can mend themselves.
        let is_theirs = match reason {
            Reason::IssueProofRequired { .. } => true,
            Reason::IssueTarget { asked, .. } => asked == NO_ONE,
            _ => false,
        };
        let hint = match is_theirs {
            true => reason.hint(),
            false => {
                "Ask whoever administers the tenant, and give them the decision: `avouch explain` \
                      tells them why by its number."
                    .to_owned()
            }
        };
        (sentence.to_owned(), hint)
    }

    /// The members beside those of a problem.
    pub(crate) fn members(&self) -> Map<String, Value> {
        let mut members = Map::from_iter([("error".to_owned(), self.word().name().into())]);
        if let Reason::IssueSshChallenge { challenge, .. } = &self.reason {
            members.insert("challenge".to_owned(), challenge.as_str().into());
        }
        if let Reason::IssueAssurance { acr, max_age, .. } = &self.reason {
            if !acr.is_empty() {
                members.insert("acr_values".to_owned(), acr.join(" ").into());
            }
            if *max_age >= 0 {
                members.insert("max_age".to_owned(), (*max_age).into());
            }
        }
        members
    }

    /// The challenge that goes with it (RFC 9470 3, RFC 9449 7.1).
    pub(crate) fn headers(&self) -> Vec<(HeaderName, String)> {
        let challenge = match &self.reason {
            Reason::IssueAssurance { acr, max_age, .. } => {
                let mut challenge = "Bearer error=\"insufficient_user_authentication\"".to_owned();
                let is_plain = |acr: &String| !acr.contains(['"', '\\']);
                if !acr.is_empty() && acr.iter().all(is_plain) {
                    challenge.push_str(&format!(", acr_values=\"{}\"", acr.join(" ")));
                }
                if *max_age >= 0 {
                    challenge.push_str(&format!(", max_age=\"{max_age}\""));
                }
                challenge
            }
            // There are clients that look at the challenge and not at the body.
            Reason::IssueProofRequired { .. } => {
                let algorithms = Algorithm::ALL.map(Algorithm::name).join(" ");
                format!("DPoP error=\"invalid_request\", algs=\"{algorithms}\"")
            }
            // RFC 6749 5.2: who tried by the header is answered in the scheme that they used.
            Reason::IssueClient { .. } if self.is_basic => "Basic realm=\"avouch\"".to_owned(),
            _ if self.is_of_client() => "Bearer error=\"invalid_client\"".to_owned(),
            Reason::IssueNonce { nonce, .. } => return vec![(DPOP_NONCE, nonce.clone())],
            Reason::IssueEndingsExcess { .. } | Reason::IssueUndecided { .. } => {
                return vec![(RETRY_AFTER, SOON.to_string())];
            }
            Reason::IssueKeyAwaited { seconds, .. } | Reason::IssueRate { seconds, .. } => {
                return vec![(RETRY_AFTER, seconds.to_string())];
            }
            _ => return Vec::new(),
        };
        vec![(WWW_AUTHENTICATE, challenge)]
    }
}

/// Whether the sentence speaks of nothing but what was sent.
fn is_about_the_request(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::IssueBodyMalformed { .. }
            | Reason::IssueGrant { .. }
            | Reason::IssueKeyAwaited { .. }
            | Reason::IssueKeyKind { .. }
            | Reason::IssueNonce { .. }
            | Reason::IssueObjectUnknown { .. }
            | Reason::IssueProof { .. }
            | Reason::IssuePublicKey { .. }
            | Reason::IssueRate { .. }
            | Reason::IssueRequest { .. }
            | Reason::IssueRequestNotSigned {}
            | Reason::IssueRequestRefused { .. }
            | Reason::IssueRevocationKind { .. }
            | Reason::IssueSshChallenge { .. }
            | Reason::IssueSubjectEnds { .. }
            | Reason::IssueTokenOfAnother {}
            | Reason::IssueTokenTypeFalse { .. }
            | Reason::IssueUsed { .. }
            | Reason::SshExpired { .. }
            | Reason::SshNotYetValid { .. }
            | Reason::SshOptionNotHonoured { .. }
            | Reason::SshOptionUnknown { .. }
            | Reason::SshPrincipalMissing {}
            | Reason::SshProofInvalid {}
            | Reason::SshProofKey { .. }
            | Reason::SshProofNamespace { .. }
            | Reason::TokenExpired { .. }
            | Reason::TokenNotYetValid { .. }
    ) || matches!(reason, Reason::IssueTokenType { supported, .. } if supported.len() > 3)
        || matches!(reason, Reason::IssueTokenType { parameter, .. } if *parameter == CLIENT_ASSERTION_TYPE)
        || matches!(reason, Reason::IssueClient { detail }
            if [NO_CREDENTIAL, OTHER_CLIENT, SHARED_SECRET].contains(&detail.as_str()))
        || matches!(reason.family(), Family::Input | Family::Limit)
}

/// One sentence for each code, in which there is nothing of the tenant.
fn for_peer(reason: &Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::AlgorithmForbidden { .. }
        | Reason::AlgorithmNotAllowed { .. }
        | Reason::KeyAlgorithmMismatch { .. } => {
            "The token is signed in a way that is not accepted."
        }
        Reason::ApiKeyUnknown { .. } => "The key is not one that is known here.",
        Reason::AudienceMismatch { .. } => "The token is for someone else.",
        Reason::AnchorAudience { .. } => "The issuer is not trusted with tokens for this service.",
        Reason::AudienceExtra { .. } => "The token is for others, too.",
        Reason::IssueActor { .. } => "Whoever is to act may not act for this subject.",
        Reason::IssueBoundExceeded { .. } => {
            "The token is genuine, and so much cannot be had for it here."
        }
        Reason::ClaimBeyondBound { .. } => {
            "The token is genuine, and its issuer is not trusted to say what it says."
        }
        Reason::IssueClient { .. } => "The client has not shown who it is.",
        Reason::IssueDelegation { .. } => "The chain of those who act is refused.",
        Reason::IssueExchange { .. } => "The token is genuine, and nothing is given for it here.",
        Reason::IssueLineage { .. } => "The token descends from what is not trusted any more.",
        Reason::IssueNameResurrected { .. } => {
            "The name of the subject was someone else's when it was first used here."
        }
        Reason::IssueNamesExcess { .. } => "The name of the subject was not used here before.",
        Reason::IssueScope { .. } => "The scope is wider than what may be had.",
        Reason::IssueProofRequired { .. } => {
            "Nothing is given to bearers here, and no key was proved with the request."
        }
        Reason::IssueProxyRestricted { .. } => {
            "The assertion does not let others be told anything on its word."
        }
        Reason::IssueTarget { asked, .. } if asked == NO_ONE => {
            "It was not said for whom the credential is to be."
        }
        Reason::IssueTarget { .. } => "A credential for this audience cannot be had.",
        Reason::IssueTemplate { .. } => "No identity can be made of what the token says.",
        Reason::IssueTokenType { .. } => "A credential of this type cannot be had.",
        Reason::IssueUndecided { .. } => {
            "It cannot be told now whether the token is to be believed."
        }
        Reason::IssuerUnknown { .. } | Reason::TrustDomainUnknown { .. } => {
            "The issuer of the token is not trusted here."
        }
        Reason::KeyUnknown { .. } => "The token names a key that its issuer does not have.",
        Reason::LifetimeExcessive { .. } => "The token lives longer than is accepted.",
        Reason::ProofMissing {} => "The token is bound to a key that was not proved.",
        Reason::RuleNotMatched { .. } => {
            "The token is genuine, and its issuer is not trusted for it."
        }
        Reason::SshAuthorityUnknown { .. } => {
            "The authority of the certificate is not trusted here."
        }
        Reason::SshKeyUnknown { .. } => "The key is not one that is known here.",
        Reason::SshKindMismatch { .. } => {
            "The certificate is not of the kind that its authority is trusted for."
        }
        Reason::SshNotSigned { .. } => "The signature of the certificate is wrong.",
        Reason::SshPrincipalAmbiguous { .. } | Reason::SshPrincipalNotAccepted { .. } => {
            "The certificate is not for a name that is taken here."
        }
        Reason::TokenSignatureInvalid { .. } => "The signature of the token is wrong.",
        Reason::TypeUnexpected { .. } => "The token is of another type than what was asked for.",
        _ => return None,
    })
}

/// The word for what is refused before anyone looks at what was sent.
pub(crate) fn word_of_status(status: StatusCode) -> Word {
    match status {
        StatusCode::UNAUTHORIZED => Word::InvalidClient,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => {
            Word::TemporarilyUnavailable
        }
        status if status.is_server_error() => Word::ServerError,
        _ => Word::InvalidRequest,
    }
}
