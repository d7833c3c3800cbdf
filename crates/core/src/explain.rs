//! One refusal, told to two readers.
//!
//! Whoever presented the credential learns a code and one sentence that gives nothing away: what
//! is trusted, and within what bounds, is the business of the tenant. The tenant's operator learns
//! everything, and what else the suggested fix would let in.

use crate::credential::Credential;
use crate::credential::x509::{Certificate, GeneralName};
use crate::question::Question;
use crate::reason::{Family, Reason, printable};
use crate::verdict::Refusal;
use crate::words::counted;

/// What the presenter of a refused credential is told, besides the id of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerExplanation {
    /// The stable code, by which the two sides can talk about it.
    pub code: &'static str,
    /// One sentence without any evidence.
    pub sentence: &'static str,
}

/// What the presenter is told.
pub fn for_peer(refusal: &Refusal) -> PeerExplanation {
    of_reason_for_peer(refusal.reason())
}

/// What the presenter is told of a reason, such as that for which nothing could be decided.
pub fn of_reason_for_peer(reason: &Reason) -> PeerExplanation {
    let sentence = match reason.family() {
        Family::Federation => "The token was not accepted.",
        Family::Fetch => "Something that was needed could not be fetched.",
        Family::Input => "What was presented could not be read.",
        Family::Issue => "The credential was not issued.",
        Family::Limit => "Checking what was presented would take more work than is allowed.",
        Family::Pki => "No path from the certificate to a trusted anchor was accepted.",
        Family::Policy => "The credential is not allowed here.",
        Family::Revocation => "The credential is revoked, or its status could not be told.",
        Family::Ssh => "The key or certificate of SSH was not accepted.",
        Family::Spiffe => "The SPIFFE identity was not accepted.",
    };
    PeerExplanation {
        code: reason.code(),
        sentence,
    }
}

/// What the suggested fix would admit besides this credential, where that can be told: a fix is
/// only the smallest if the reader knows how large it is.
pub fn also_admitted(reason: &Reason, question: &Question) -> Option<String> {
    match reason {
        Reason::AnchorNotTrusted { sha256, .. } => {
            let anchor = certificate_with_digest(question, sha256)?;
            Some(format!(
                "as an anchor it could vouch for {}",
                reach(&anchor)
            ))
        }
        Reason::IssuerNotFound { .. } => Some(
            "a missing intermediate admits nothing else: it is believed only under an anchor that \
             is trusted already"
                .to_owned(),
        ),
        Reason::AnchorExpired { anchor, .. } => Some(format!(
            "everything else below {} as well",
            printable(anchor)
        )),
        Reason::AnchorAudience { anchor, .. }
        | Reason::AnchorName { anchor, .. }
        | Reason::AnchorPathLength { anchor, .. }
        | Reason::AnchorPurpose { anchor, .. }
        | Reason::AnchorTrustDomain { anchor, .. } => Some(format!(
            "whatever else {} signs within the wider constraint",
            printable(anchor)
        )),
        Reason::AuthorityKeyIdMissing { .. } | Reason::SubjectKeyIdMissing { .. } => Some(
            "under `private`, every certificate of these anchors that is valid but not written as \
             RFC 5280 section 4 asks"
                .to_owned(),
        ),
        Reason::IssuerUnknown { issuer, .. } => Some(format!(
            "every token that {} signs for your audiences, unless a rule says which",
            printable(issuer)
        )),
        Reason::RuleNotMatched { fix_admits, .. } => Some(printable(fix_admits)),
        Reason::LifetimeExcessive { lifetime, .. } => {
            Some(format!("a stolen token of this issuer, for {lifetime}"))
        }
        _ => None,
    }
}

fn certificate_with_digest(question: &Question, sha256: &str) -> Option<Certificate> {
    let Credential::X509(chain) = &question.credential else {
        return None;
    };
    let mut certificates = chain.iter().filter_map(|der| Certificate::parse(der).ok());
    certificates.find(|certificate| certificate.sha256().to_string() == sha256)
}

/// What a CA could vouch for if it were trusted.
fn reach(ca: &Certificate) -> String {
    let extensions = ca.extensions();
    let constraints = extensions
        .name_constraints
        .as_ref()
        .map(|constraints| &constraints.value);
    let permitted: Vec<String> = constraints
        .map(|constraints| {
            constraints
                .permitted
                .iter()
                .map(|subtree| subtree_in_words(&subtree.base))
                .collect()
        })
        .unwrap_or_default();
    let names = if permitted.is_empty() {
        "any name".to_owned()
    } else {
        format!(
            "any name other than of these kinds, and of these kinds {}",
            permitted.join(", ")
        )
    };
    let purpose = match &extensions.extended_key_usage {
        Some(usage) if !usage.value.any() => usage.value.names().join(" and "),
        _ => "any purpose".to_owned(),
    };
    let depth = match extensions
        .basic_constraints
        .as_ref()
        .and_then(|basic| basic.value.path_length)
    {
        None => "through any number of intermediates".to_owned(),
        Some(0) => "directly, without intermediates".to_owned(),
        Some(most) => {
            let intermediates = counted(most, "intermediate", "intermediates");
            format!("through at most {intermediates}")
        }
    };
    format!("{names}, for {purpose}, {depth}, until {}", ca.not_after())
}

fn subtree_in_words(base: &GeneralName) -> String {
    match base {
        GeneralName::Dns(domain) => format!("{} and all below it", printable(domain)),
        _ => printable(&base.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Attempts;
    use crate::verdict::TrustModel;

    #[test]
    fn the_peer_learns_no_evidence() {
        let reason = Reason::NameNotPermitted {
            subject: "CN=secret".to_owned(),
            name: "internal.example.com".to_owned(),
            by: "CN=Internal CA".to_owned(),
            permitted: vec!["corp.example.com".to_owned()],
        };
        let refusal = Refusal {
            model: TrustModel::Pki,
            attempts: Attempts::before_search("CN=secret", reason),
            legs: Vec::new(),
        };
        let told = for_peer(&refusal);
        assert_eq!(told.code, "pki.name_not_permitted");
        assert!(!told.sentence.contains("example.com") && !told.sentence.contains("CN="));
    }
}
