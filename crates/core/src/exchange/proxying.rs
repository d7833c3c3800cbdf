//! What may be given on the word of an assertion of SAML whose issuer bounds that.

use super::Believed;
use super::rule::IssuedKind;
use crate::reason::{Reason, printable};

/// That whoever has signed the assertion of `believed` lets something be given on its word: not at all
/// where it says over how many more parties, since no credential from here carries such a number on; and
/// for those alone whom it names (SAML Core 2.5.1.6).
///
/// # Errors
///
/// `issue.proxy_restricted`.
pub(super) fn check(
    believed: &Believed,
    kind: IssuedKind,
    audiences: &[String],
) -> Result<(), Reason> {
    let Some(proxying) = &believed.identity.proxying else {
        return Ok(());
    };
    let refuse = |detail: String| {
        Err(Reason::IssueProxyRestricted {
            issuer: believed.identity.anchor().subject.clone(),
            detail,
        })
    };
    match proxying.count {
        None => {}
        Some(0) => return refuse("its `ProxyRestriction` has the `Count` 0".to_owned()),
        Some(count) => {
            return refuse(format!(
                "its `ProxyRestriction` has the `Count` {count}, and what is given here could not carry on \
                 that one less is left"
            ));
        }
    }
    if proxying.audiences.is_empty() {
        return Ok(());
    }
    let named = printable(&proxying.audiences.join(", "));
    if !kind.has_audience() {
        return refuse(format!(
            "its `ProxyRestriction` names {named}, and what is asked for is for whoever sees it"
        ));
    }
    match audiences
        .iter()
        .find(|one| !proxying.audiences.contains(one))
    {
        None => Ok(()),
        Some(other) => refuse(format!(
            "its `ProxyRestriction` names {named}, and not {}",
            printable(other)
        )),
    }
}
