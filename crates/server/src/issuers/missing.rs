//! Why the keys of an issuer, its answer about a token or its status list are missing, for the verdict that
//! says that they are: whoever decides does not fetch, so only whoever does knows it.

use std::borrow::Cow;
use std::sync::Arc;

use avouch_core::credential::Credential;
use avouch_core::verdict::{Need, Verdict};
use avouch_store::IssuerId;

use crate::plane::Plane;
use crate::tenant::Tenant;

impl Plane {
    /// The verdict on a credential, with what is known of why it lacks what it lacks.
    pub(crate) fn saying_why<'a>(
        &self,
        tenant: &Arc<Tenant>,
        credential: &Credential,
        verdict: &'a Verdict,
    ) -> Cow<'a, Verdict> {
        let Verdict::Undetermined(needs) = verdict else {
            return Cow::Borrowed(verdict);
        };
        let needs = needs.iter().cloned().map(|need| match need {
            Need::KeySet { issuer, why: None } => Need::KeySet {
                why: self.why_without_keys(tenant, &issuer),
                issuer,
            },
            Need::Introspection { issuer, why: None } => Need::Introspection {
                why: self.why_unanswered(tenant, &issuer, credential),
                issuer,
            },
            Need::StatusList {
                issuer,
                uri,
                why: None,
            } => Need::StatusList {
                why: self.status_lists.why_none(tenant.id(), &uri, self.now()),
                issuer,
                uri,
            },
            need => need,
        });
        Cow::Owned(Verdict::Undetermined(needs.collect()))
    }

    fn why_without_keys(&self, tenant: &Arc<Tenant>, issuer: &str) -> Option<String> {
        let ids: Vec<IssuerId> = tenant.read(|snapshot| snapshot.issuers.keys().cloned().collect());
        let of_issuers = ids.iter().filter_map(|id| self.issuer(tenant, id).ok());
        let mut of_this = of_issuers.filter(|(settings, _)| settings.issuer == issuer);
        of_this.find_map(|(_, keys)| Some(keys.failing?.in_words()))
    }
}
