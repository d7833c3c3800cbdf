//! Whether the subject is who the question and the anchor expect.

use crate::anchor::Anchor;
use crate::id::SpiffeId;
use crate::question::{ExpectedName, Purpose};
use crate::reason::Reason;

/// Whether all expected names are the subject's. An e-mail address is one if its issuer verified
/// it; a host name or an address is never one, since no token shows who holds it.
pub(super) fn check_expected(
    expected: &[ExpectedName],
    subject: &str,
    id: Option<&SpiffeId>,
    verified_email: Option<&str>,
) -> Result<(), Reason> {
    for name in expected {
        let holds = match (name, id) {
            (ExpectedName::Spiffe(wanted), Some(id)) => wanted == id,
            (ExpectedName::TrustDomain(wanted), Some(id)) => wanted == id.trust_domain(),
            (ExpectedName::Email(wanted), None) => verified_email == Some(wanted),
            (ExpectedName::Spiffe(_) | ExpectedName::TrustDomain(_), None)
            | (ExpectedName::Email(_), Some(_))
            | (ExpectedName::Dns(_) | ExpectedName::Ip(_), _) => false,
        };
        if holds {
            continue;
        }
        return Err(match id {
            Some(id) => Reason::IdMismatch {
                expected: name.to_string(),
                id: id.to_string(),
            },
            None => Reason::SubjectMismatch {
                subject: subject.to_owned(),
                expected: name.to_string(),
            },
        });
    }
    Ok(())
}

/// Whether the anchor may vouch for this subject. A token shows who calls, so it serves the
/// purpose of a client; and an anchor that is bound to names of hosts, or to trust domains, may
/// not vouch for a subject that is neither.
pub(crate) fn check_constraints(
    anchor: &Anchor,
    subject: &str,
    id: Option<&SpiffeId>,
) -> Result<(), Reason> {
    anchor.admits_purpose(Purpose::Client)?;
    let constraints = &anchor.constraints;
    let is_of_named_kind = id.is_some() && !constraints.trust_domains.is_empty();
    if !constraints.dns.is_empty() && !is_of_named_kind {
        return Err(Reason::AnchorName {
            anchor: anchor.name.clone(),
            name: subject.to_owned(),
            permitted: constraints.dns.clone(),
        });
    }
    match id {
        Some(id) => anchor.admits_trust_domain(id.trust_domain()),
        None if constraints.trust_domains.is_empty() => Ok(()),
        None => Err(Reason::AnchorName {
            anchor: anchor.name.clone(),
            name: subject.to_owned(),
            permitted: constraints
                .trust_domains
                .iter()
                .map(|trust_domain| format!("spiffe://{trust_domain}"))
                .collect(),
        }),
    }
}
