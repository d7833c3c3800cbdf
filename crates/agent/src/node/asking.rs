//! Asks the server for JWT-SVIDs: with one call for all identities of a workload in a tenant.

use std::collections::BTreeMap;

use avouch_api::grpc::node::{IssueJwtResponse, IssueJwtsRequest, Refusal, TokenForEntry};
use avouch_core::id::TenantId;
use avouch_core::time::Time;

use super::holdings::Entry;
use super::link::{in_time, innermost};
use super::{Shared, now};
use crate::identities::{NotIssued, Token};

/// The most that one call may ask for.
const MOST_AT_ONCE: usize = 500;

/// A token for these audiences as each of the entries, in their order: one that was issued a moment
/// ago, or a new one, or while the server is away one that has not expired. Why there is none for one is
/// nothing to the others, which may be of other tenants.
pub(super) async fn tokens(
    shared: &Shared,
    entries: &[Entry],
    audiences: &[String],
) -> Vec<Result<Token, NotIssued>> {
    let mut audiences = audiences.to_vec();
    audiences.sort();
    audiences.dedup();
    let mut tokens: Vec<Option<Result<Token, NotIssued>>> = {
        let (holdings, now) = (shared.holdings(), now());
        let fresh = |entry| shared.tokens.fresh(entry, &audiences, &holdings, now);
        entries.iter().map(|entry| fresh(entry).map(Ok)).collect()
    };
    let mut missing: BTreeMap<&TenantId, Vec<usize>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        if matches!(tokens.get(place), Some(None)) {
            missing.entry(&entry.key.tenant).or_default().push(place);
        }
    }
    for (tenant, places) in missing {
        for places in places.chunks(MOST_AT_ONCE) {
            let asked: Vec<&Entry> = places.iter().filter_map(|at| entries.get(*at)).collect();
            let given = ask(shared, tenant, &asked, &audiences).await;
            for (place, token) in places.iter().zip(given) {
                if let Some(slot) = tokens.get_mut(*place) {
                    *slot = Some(token);
                }
            }
        }
    }
    let unanswered = || NotIssued::Unavailable {
        why: "the server has answered for fewer than were asked for".to_owned(),
    };
    let tokens = tokens.into_iter();
    tokens
        .map(|token| token.unwrap_or_else(|| Err(unanswered())))
        .collect()
}

async fn ask(
    shared: &Shared,
    tenant: &TenantId,
    entries: &[&Entry],
    audiences: &[String],
) -> Vec<Result<Token, NotIssued>> {
    let items = entries.iter().map(|entry| TokenForEntry {
        entry: entry.key.id.clone(),
        audiences: audiences.to_vec(),
        facts: entry.key.facts.clone(),
    });
    let request = IssueJwtsRequest {
        tenant: tenant.to_string(),
        items: items.collect(),
    };
    let mut client = shared.link.client();
    match in_time(client.issue_jwts(request)).await {
        Ok(answer) => {
            let answers = answer.into_inner().answers;
            let given = entries.iter().zip(answers);
            given
                .map(|(entry, answer)| given_for(shared, entry, audiences, answer))
                .collect()
        }
        Err(status) => {
            let away = || NotIssued::Unavailable {
                why: innermost(&status),
            };
            let usable = |entry| shared.tokens.usable(entry, audiences, now());
            let entries = entries.iter();
            entries
                .map(|entry| usable(entry).ok_or_else(away))
                .collect()
        }
    }
}

fn given_for(
    shared: &Shared,
    entry: &Entry,
    audiences: &[String],
    answer: IssueJwtResponse,
) -> Result<Token, NotIssued> {
    if let Some(refusal) = answer.refusal {
        return Err(refused(refusal));
    }
    let token = Token::new(answer.token);
    let (issued, expires) = (answer.issued, answer.expires);
    let (issued, expires) = (Time::from_unix(issued), Time::from_unix(expires));
    shared
        .tokens
        .keep(entry, audiences, &token, issued, expires);
    Ok(token)
}

/// What a refusal of the server is to the workload. What it named itself, audiences alone, is its own
/// fault (SPIFFE Workload API 6.2.1: `InvalidArgument`); all else lies with whoever runs the server,
/// and may be mended while the workload asks again.
fn refused(refusal: Refusal) -> NotIssued {
    let Refusal {
        code,
        sentence,
        hint,
    } = refusal;
    match code == "issue.audience_invalid" || code.starts_with("limit.") {
        true => NotIssued::Refused { code, sentence },
        false => NotIssued::Unavailable {
            why: format!("{code}: {sentence} {hint}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a07_what_the_workload_named_is_its_fault_and_nothing_else_is() {
        let of = |code: &str| {
            refused(Refusal {
                code: code.to_owned(),
                sentence: "It is not so.".to_owned(),
                hint: "Make it so.".to_owned(),
            })
        };
        for code in ["issue.audience_invalid", "limit.input_size"] {
            let is_own_fault =
                matches!(of(code), NotIssued::Refused { code: told, .. } if told == code);
            assert!(is_own_fault, "{code}");
        }
        for code in ["issue.quota_exceeded", "issue.conflict"] {
            let is_own_fault = matches!(of(code), NotIssued::Refused { .. });
            assert!(!is_own_fault, "{code}");
        }
    }
}
