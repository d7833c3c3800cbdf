//! Fetching the status lists that tokens name.

use std::sync::Arc;
use std::time::Duration;

use avouch_api::TrustDocument;
use avouch_core::budget::Budget;
use avouch_core::credential::jose::status_list::{Fetched, LIST_BYTES, StatusList};
use avouch_core::crypto::AwsLc;
use avouch_core::model::federation::check_status_list;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::{Need, Verdict};
use axum::http::header::ACCEPT;

use super::kept::Kept;
use crate::failing;
use crate::fault::Refused;
use crate::fetch::{Limits, Request, Target};
use crate::issuers::{ListsAllowed, Looked};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How long a decision waits for a list.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// How long a list is used before it is fetched again, in seconds, whatever it says of that.
const SHORTEST: i64 = 60;
const LONGEST: i64 = 86_400;

/// For how long, where it says nothing.
const USUAL: i64 = 3_600;

/// The lists that a verdict lacks, each with whose it is, or rests on, where whose they are is known
/// from before: of these a newer one may be due, also for whom the last one refused.
fn missing(verdict: &Verdict, now: Time) -> Vec<(Option<String>, String)> {
    match verdict {
        Verdict::Accept(sealed) => {
            let sources = sealed.preview().revocation().iter();
            let lists = sources.filter(|source| source.source == "status_list");
            let due = lists.filter(|list| list.next.is_some_and(|next| now >= next));
            due.map(|list| (None, list.issuer.clone())).collect()
        }
        Verdict::Undetermined(needs) => {
            let lists = needs.iter().filter_map(|need| match need {
                Need::StatusList { issuer, uri, .. } => Some((Some(issuer.clone()), uri.clone())),
                _ => None,
            });
            lists.collect()
        }
        Verdict::Reject(refusal) => {
            let attempts = refusal.attempts().iter();
            let named = attempts.filter_map(|attempt| match attempt.reason() {
                Reason::StatusIndex { uri, .. }
                | Reason::StatusListExpired { uri, .. }
                | Reason::TokenStatus { uri, .. } => Some((None, uri.clone())),
                _ => None,
            });
            named.collect()
        }
    }
}

impl Plane {
    /// Whether a verdict is an acceptance for which nothing newer would be fetched.
    pub(crate) fn lacks_nothing(&self, verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Accept(_)) && missing(verdict, self.now()).is_empty()
    }

    /// Fetches what a verdict lacks, keys or status lists, if someone may wait for that now. It
    /// blocks.
    pub(crate) fn fetch_missing(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        verdict: &Verdict,
    ) -> Looked {
        let mut looked = self.fetch_missing_keys(tenant, verdict);
        looked.has_changed |= !looked.has_changed && self.fetch_missing_lists(tenant, verdict);
        looked
    }

    /// Fetches the status lists that a verdict lacks or that are due, if someone may wait for that
    /// now; whether it makes sense to ask again. It blocks.
    pub(crate) fn fetch_missing_lists(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        verdict: &Verdict,
    ) -> bool {
        let now = self.now();
        let missing = missing(verdict, now);
        if missing.is_empty() {
            return false;
        }
        let mut has_changed = false;
        for (issuer, uri) in missing {
            let known = self.status_lists.at(tenant.id(), &uri, now);
            if issuer.is_none() && known.as_ref().is_none_or(|kept| !kept.is_due(now)) {
                continue;
            }
            let Some(issuer) = issuer.or_else(|| known.map(|kept| kept.issuer.clone())) else {
                continue;
            };
            if !self.status_lists.may_try(tenant.id(), &uri, now) {
                continue;
            }
            let key = (tenant.id().clone(), uri.clone());
            let flights = &self.status_lists.flights;
            let fetched = flights.wait(key, LONGEST_WAIT, || {
                let (plane, tenant) = (Arc::clone(self), Arc::clone(tenant));
                async move { fetch(&plane, &tenant, &issuer, &uri).await }
            });
            has_changed |= fetched == Some(true);
        }
        has_changed
    }
}

/// Fetches a list and keeps it; whether there is a new one.
async fn fetch(plane: &Arc<Plane>, tenant: &Arc<Tenant>, issuer: &str, uri: &str) -> bool {
    let fetched = fetched(plane, tenant, issuer, uri).await;
    let now = plane.now();
    match fetched {
        Ok(kept) => {
            plane.status_lists.put(tenant.id(), uri, kept, now);
            true
        }
        Err(refused) => {
            let why = why(&refused);
            plane.status_lists.failed(tenant.id(), uri, why, now);
            match refused {
                Refused::Reason(reason) => {
                    plane.counters.refused(reason.code());
                    tracing::warn!(
                        tenant = %tenant.id(), issuer, uri, code = reason.code(),
                        "a status list was not taken: {}", reason.sentence()
                    );
                }
                Refused::Fault(fault) => tracing::error!(
                    tenant = %tenant.id(), issuer, uri, %fault, "a status list cannot be fetched"
                ),
            }
            false
        }
    }
}

/// Why a list could not be had, for whoever asks why there is none. What failed on our side is for the log.
fn why(refused: &Refused) -> String {
    match refused {
        Refused::Reason(reason) => match reason.as_ref() {
            // What to do stands in the settings of the issuer, and not with whoever publishes the list.
            elsewhere @ Reason::FetchStatusListElsewhere { .. } => {
                let fix = elsewhere.hint();
                let fix = fix.trim_end_matches('.');
                format!("{}: {fix}", failing::in_words(elsewhere))
            }
            other => failing::in_words(other),
        },
        Refused::Fault(_) => "this server could not fetch it, as its log says".to_owned(),
    }
}

async fn fetched(
    plane: &Arc<Plane>,
    tenant: &Arc<Tenant>,
    issuer: &str,
    uri: &str,
) -> Result<Kept, Refused> {
    let target = Target::parse(uri)?;
    let ListsAllowed { trust, stale_for } = plane.lists_allowed(tenant, issuer, &target)?;
    let limits = Limits {
        body: LIST_BYTES,
        redirects: 2,
        ..Limits::default()
    };
    let request = Request::get(uri)?
        .header(ACCEPT, "application/statuslist+jwt")
        .trusting(trust)
        .within(limits);
    let answer = plane.fetcher().fetch(tenant.id(), &request).await?;
    let answer = answer.when_ok()?;
    let fresh_for = answer.fresh_for().map(|fresh| fresh.as_secs());
    let text = String::from_utf8_lossy(answer.body()).trim().to_owned();
    let (plane, tenant) = (Arc::clone(plane), Arc::clone(tenant));
    let (issuer, uri) = (issuer.to_owned(), uri.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        let now = plane.now();
        let list = StatusList::read(&text)?;
        let fresh_for = list
            .time_to_live()
            .or(fresh_for.and_then(|seconds| seconds.try_into().ok()));
        let fresh_for = fresh_for.unwrap_or(USUAL).clamp(SHORTEST, LONGEST);
        let list = list.fetched(Fetched {
            uri: uri.clone(),
            as_of: now,
            next: now.plus(fresh_for),
            usable_until: now.plus(fresh_for).plus(stale_for),
        });
        let view = TrustDocument::view(tenant.id().clone(), plane.trust_of(&tenant)?);
        check_status_list(&list, &issuer, &view, now, &AwsLc, &mut Budget::default())?;
        // Whoever shows an older one would undo what was taken back since.
        if let Some(known) = plane.status_lists.at(tenant.id(), &uri, now)
            && known.list.issued_at() > list.issued_at()
        {
            return Err(Reason::FetchStatusListOlder {
                url: uri,
                known: known.list.issued_at(),
                found: list.issued_at(),
            }
            .into());
        }
        Ok(Kept {
            bytes: text.len() + list.entries() / 8,
            next: now.plus(fresh_for),
            list: Arc::new(list),
            issuer,
        })
    });
    let broken = |error: tokio::task::JoinError| crate::fault::Fault::Bug(error.to_string());
    reading.await.map_err(broken)?
}
