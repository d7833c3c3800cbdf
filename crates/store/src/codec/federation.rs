//! Federation relations as rows.

use avouch_core::id::TrustDomain;
use avouch_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::record::{FederationCourse, FederationFailure, FederationRecord};

#[derive(Serialize, Deserialize)]
pub(super) struct StoredFederation {
    document: String,
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    course: Option<StoredCourse>,
}

#[derive(Serialize, Deserialize)]
struct StoredCourse {
    tried: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    succeeded: Option<i64>,
    next: i64,
    #[serde(default)]
    failures: u32,
    /// Code, sentence and hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<(String, String, String)>,
}

impl StoredFederation {
    pub(super) fn of(record: &FederationRecord) -> Self {
        Self {
            document: record.document.clone(),
            created: record.created.unix(),
            course: record.course.as_ref().map(StoredCourse::of),
        }
    }

    pub(super) fn read(body: &str, trust_domain: TrustDomain) -> Option<FederationRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        Some(FederationRecord {
            trust_domain,
            document: stored.document,
            created: Time::from_unix(stored.created),
            course: stored.course.map(StoredCourse::read),
        })
    }
}

impl StoredCourse {
    fn of(course: &FederationCourse) -> Self {
        let failure = course.failure.clone();
        Self {
            tried: course.tried.unix(),
            succeeded: course.succeeded.map(Time::unix),
            next: course.next.unix(),
            failures: course.failures,
            failure: failure.map(|failure| (failure.code, failure.sentence, failure.hint)),
        }
    }

    fn read(self) -> FederationCourse {
        FederationCourse {
            tried: Time::from_unix(self.tried),
            succeeded: self.succeeded.map(Time::from_unix),
            next: Time::from_unix(self.next),
            failures: self.failures,
            failure: self
                .failure
                .map(|(code, sentence, hint)| FederationFailure {
                    code,
                    sentence,
                    hint,
                }),
        }
    }
}
