//! What may be given on the word of an assertion of SAML whose issuer bounds that.

use super::Believed;
use super::rule::IssuedKind;
use super::statement::Ancestor;
use crate::reason::{Reason, printable};
use crate::verdict::Identity;

/// That whoever has signed the assertion of `believed` lets something be given on its word: not at all
/// where it says over how many more parties, since no credential from here carries such a number on; and
/// for those alone whom it names (SAML Core 2.5.1.6).
///
/// # Errors
///
/// `issue.proxy_restricted`.
pub(super) fn check(believed: &Believed, kind: IssuedKind, given: &[String]) -> Result<(), Reason> {
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
    match audiences(&believed.identity) {
        None => Ok(()),
        Some(named) => check_named(named, kind, given).or_else(refuse),
    }
}

/// The same of all that something descends from: who has signed an assertion bounds what is given on its word
/// at whatever remove.
///
/// # Errors
///
/// `issue.proxy_restricted`.
pub(super) fn check_descent(
    lineage: &[Ancestor],
    kind: IssuedKind,
    given: &[String],
) -> Result<(), Reason> {
    for ancestor in lineage {
        let Some(named) = &ancestor.audiences else {
            continue;
        };
        check_named(named, kind, given).map_err(|detail| Reason::IssueProxyRestricted {
            issuer: ancestor.issuer.clone(),
            detail,
        })?;
    }
    Ok(())
}

/// For whom alone an assertion lets something be given on its word, if it says so.
pub(super) fn audiences(identity: &Identity) -> Option<&[String]> {
    let named = &identity.proxying.as_ref()?.audiences;
    (!named.is_empty()).then_some(named.as_slice())
}

fn check_named(named: &[String], kind: IssuedKind, given: &[String]) -> Result<(), String> {
    let told = printable(&named.join(", "));
    if !kind.has_audience() {
        return Err(format!(
            "its `ProxyRestriction` names {told}, and what is asked for is for whoever sees it"
        ));
    }
    match given.iter().find(|one| !named.contains(one)) {
        None => Ok(()),
        Some(other) => Err(format!(
            "its `ProxyRestriction` names {told}, and not {}",
            printable(other)
        )),
    }
}
