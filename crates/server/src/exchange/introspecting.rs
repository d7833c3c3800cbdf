//! What a tenant says of its own tokens to whoever asks (RFC 7662).

use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::exchange::introspection::Presented;
use avouch_core::id::SpiffeId;
use avouch_core::question::{Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::verdict::{IdentityKind, Verdict};
use avouch_core::view::View;
use serde_json::{Map, Value};

use super::believing::undecided;
use super::request::IntrospectionRequest;
use super::using::Uses;
use super::{Exchange, Shown};
use crate::decisions::{Course, Shown as Kept};
use crate::fault::Refused;

impl Exchange<'_> {
    /// That whoever asks is a workload of the tenant, or a client that a rule knows: by its assertion,
    /// which is used up, or by the certificate of the connection.
    pub(crate) fn authenticated(
        &self,
        request: &IntrospectionRequest,
        shown: Shown<'_>,
    ) -> Result<(), Refused> {
        let mut uses = Uses::default();
        let client = match &request.client {
            Some(client) => Some(self.client(client, &mut uses)?),
            None => self.tls_client(shown, &mut uses)?,
        };
        let refuse = |detail: &str| Reason::IssueClient {
            detail: detail.to_owned(),
        };
        let client =
            client.ok_or_else(|| refuse("it sent neither `client_assertion` nor a certificate"))?;
        let is_known = match client.identity.kind() {
            IdentityKind::Spiffe => self.is_own(client.identity.name()),
            // The keys of a rule have vouched for who has signed an assertion that is no JWT-SVID;
            // whoever else has a certificate that is trusted for something is nobody's client.
            _ => request.client.is_some(),
        };
        if !is_known {
            return Err(refuse("it is of a trust domain of somebody else").into());
        }
        self.use_up(uses)
    }

    /// Uses up what shows who asks.
    pub(super) fn use_up(&self, uses: Uses) -> Result<(), Refused> {
        let rows = uses.to_rows(self)?;
        if rows.is_empty() {
            return Ok(());
        }
        let used = self.plane.use_once(self.tenant, &rows)?;
        match uses.used_before(&used) {
            None => Ok(()),
            Some(reason) => Err(reason.into()),
        }
    }

    /// What a token of the tenant says, if it holds: for whomever it is, and whoever holds it. Otherwise
    /// why it does not; of a token of someone else's there is nothing to say.
    pub(crate) fn introspect(&self, token: &str) -> Result<Map<String, Value>, Option<Reason>> {
        let credential = Credential::Jwt(token.to_owned());
        let shown = Some(Kept::of(&credential));
        self.course.replace(Course { shown, said: None });
        let presented = Presented::read(token).map_err(Some)?;
        let (question, verdict) = self.judged(self.view, credential, &presented);
        self.note_verdict(&question, self.view, &verdict);
        match &verdict {
            Verdict::Accept(_) => match self.own_of(&verdict) {
                Some(_) => Ok(presented.into_answer()),
                None => Err(None),
            },
            Verdict::Reject(refusal) => Err(Some(refusal.reason().clone())),
            Verdict::Undetermined(needs) => Err(Some(undecided(needs, self.now))),
        }
    }

    /// Whose a token of the tenant is, if it holds by what is known in a view.
    pub(super) fn holds_in(
        &self,
        view: &View,
        token: &str,
        presented: &Presented,
    ) -> Option<SpiffeId> {
        let credential = Credential::Jwt(token.to_owned());
        self.own_of(&self.judged(view, credential, presented).1)
    }

    fn judged(
        &self,
        view: &View,
        credential: Credential,
        presented: &Presented,
    ) -> (Question, Verdict) {
        let question = Question {
            tenant: self.tenant.id().clone(),
            credential,
            profile: Profile::Spiffe,
            purpose: Purpose::Any,
            now: self.now,
            context: presented.context(),
        };
        let verdict = decide(&question, view, &AwsLc, &mut Budget::default());
        (question, verdict)
    }

    /// Whom it is of, if it is one of the tenant.
    fn own_of(&self, verdict: &Verdict) -> Option<SpiffeId> {
        let Verdict::Accept(sealed) = verdict else {
            return None;
        };
        let identity = sealed.preview();
        let id = SpiffeId::parse(identity.name()).ok();
        let is_spiffe = identity.kind() == IdentityKind::Spiffe;
        id.filter(|_| is_spiffe && self.is_own(identity.name()))
    }

    pub(super) fn is_own(&self, name: &str) -> bool {
        let id = SpiffeId::parse(name);
        id.is_ok_and(|id| self.own.contains(id.trust_domain()))
    }
}
