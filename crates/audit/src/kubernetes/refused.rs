//! What an API server refuses to start with, though each member by itself can be read
//! (`ValidateAuthenticationConfiguration` of Kubernetes): whom it would admit is no question then.

use std::collections::BTreeSet;

use avouch_core::reason::{Reason, printable};
use serde_json::{Map, Value as Json};

use super::{Authenticator, ClaimRule, Mapping};
use crate::cel::Expression;
use crate::members::{list, malformed, text};

/// The policy that several audiences need.
const MATCH_ANY: &str = "MatchAny";

/// The most issuers.
const MOST_ISSUERS: usize = 64;

/// The domains that stand for Kubernetes itself.
const RESERVED: [&str; 2] = ["k8s.io", "kubernetes.io"];

/// Refuses two authenticators of one issuer, or with one address to discover it at.
pub(super) fn check_issuers(issuers: &[Map<String, Json>]) -> Result<(), Reason> {
    if issuers.len() > MOST_ISSUERS {
        return Err(malformed(format!(
            "it names more than {MOST_ISSUERS} issuers in `jwt`"
        )));
    }
    for member in ["url", "discoveryURL"] {
        let mut seen = BTreeSet::new();
        for (index, issuer) in issuers.iter().enumerate() {
            let url = issuer.get(member).and_then(Json::as_str);
            if let Some(url) = url.filter(|url| !url.is_empty())
                && !seen.insert(url)
            {
                return Err(malformed(format!(
                    "`jwt[{index}].issuer.{member}` is that of another before it: {}",
                    printable(url)
                )));
            }
        }
    }
    Ok(())
}

/// Refuses addresses and audiences that the API server does not take.
pub(super) fn check_issuer(
    place: &str,
    issuer: &Map<String, Json>,
    audiences: &[String],
) -> Result<(), Reason> {
    let url = text(place, issuer, "url")?.unwrap_or_default();
    check_address(&format!("{place}.url"), url)?;
    let discovery = text(place, issuer, "discoveryURL")?.unwrap_or_default();
    if !discovery.is_empty() {
        let place = format!("{place}.discoveryURL");
        check_address(&place, discovery)?;
        if discovery.trim_end_matches('/') == url.trim_end_matches('/') {
            return Err(malformed(format!("`{place}` must differ from `url`")));
        }
    }
    let policy = text(place, issuer, "audienceMatchPolicy")?.unwrap_or_default();
    let is_fitting = policy == MATCH_ANY || policy.is_empty() && audiences.len() < 2;
    if !is_fitting {
        return Err(malformed(format!(
            "`{place}.audienceMatchPolicy` must be `{MATCH_ANY}`, also where there are several audiences"
        )));
    }
    let different: BTreeSet<&String> = audiences.iter().collect();
    if different.len() < audiences.len() || audiences.iter().any(String::is_empty) {
        return Err(malformed(format!(
            "`{place}.audiences` has one that is empty, or twice"
        )));
    }
    Ok(())
}

fn check_address(place: &str, url: &str) -> Result<(), Reason> {
    let refuse = |why: &str| Err(malformed(format!("`{place}` {why}: {}", printable(url))));
    let Some(rest) = url.strip_prefix("https://") else {
        return refuse("does not begin with `https://`");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return refuse("names no host, or a user");
    }
    if rest.contains(['?', '#']) {
        return refuse("has a query or a fragment");
    }
    Ok(())
}

/// Refuses a key of `extra` that is none, or is given twice.
pub(super) fn check_extra(place: &str, extra: &[(String, Expression)]) -> Result<(), Reason> {
    let mut seen = BTreeSet::new();
    for (key, _) in extra {
        let refuse = |why: &str| {
            Err(malformed(format!(
                "`{place}.extra` has the key `{}`, which {why}",
                printable(key)
            )))
        };
        let (domain, path) = key.split_once('/').unwrap_or((key, ""));
        if domain.is_empty() || !domain.contains('.') || path.is_empty() {
            return refuse("is no path behind a domain, such as `example.com/name`");
        }
        if key.chars().any(char::is_uppercase) {
            return refuse("has large letters");
        }
        let is_reserved = |reserved: &&str| {
            let head = domain.strip_suffix(*reserved);
            head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
        };
        if RESERVED.iter().any(is_reserved) {
            return refuse("is reserved for Kubernetes");
        }
        if !seen.insert(key) {
            return refuse("stands there twice");
        }
    }
    Ok(())
}

impl Authenticator {
    /// Refuses what fits badly: a rule on one claim twice, and a name that is made of a mail address of
    /// which nobody asks whether it was verified.
    pub(super) fn check_whole(&self, place: &str) -> Result<(), Reason> {
        let mut seen = BTreeSet::new();
        for rule in &self.claims {
            if let ClaimRule::Equals { claim, .. } = rule
                && !seen.insert(claim)
            {
                return Err(malformed(format!(
                    "`{place}.claimValidationRules` has two rules on the claim `{}`",
                    printable(claim)
                )));
            }
        }
        let Mapping::Expression(username) = &self.mappings.username else {
            return Ok(());
        };
        let rules = self.claims.iter().filter_map(|rule| match rule {
            ClaimRule::Expression { expression, .. } => Some(expression),
            ClaimRule::Equals { .. } => None,
        });
        let extra = self.mappings.extra.iter().map(|(_, expression)| expression);
        let mut asking = rules.chain(extra).chain([username]);
        if reads(username, "email") && !asking.any(|one| reads(one, "email_verified")) {
            return Err(malformed(format!(
                "`{place}.claimMappings.username.expression` reads `claims.email`, and nothing asks for \
                 `claims.email_verified`"
            )));
        }
        Ok(())
    }
}

/// Whether an expression reads this claim, or asks whether it is there.
fn reads(expression: &Expression, claim: &str) -> bool {
    let is_of_claims = |of: &Expression| matches!(of, Expression::Name(root) if root == "claims");
    match expression {
        Expression::Has(of, member) | Expression::Member(of, member)
            if is_of_claims(of) && member == claim =>
        {
            true
        }
        Expression::Has(of, _) | Expression::Member(of, _) => reads(of, claim),
        other => {
            let path = other.path().unwrap_or_default();
            let is_read =
                matches!(path.as_slice(), [root, read, ..] if root == "claims" && read == claim);
            is_read || other.parts().into_iter().any(|part| reads(part, claim))
        }
    }
}

/// The issuers of all authenticators, as far as they can be read.
pub(super) fn issuers(members: &Map<String, Json>) -> Result<Vec<Map<String, Json>>, Reason> {
    let authenticators = list("configuration", members, "jwt")?.iter();
    let issuers = authenticators.map(|one| {
        let issuer = one.get("issuer").and_then(Json::as_object);
        issuer.cloned().unwrap_or_default()
    });
    Ok(issuers.collect())
}
