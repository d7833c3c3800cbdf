//! Exchange: what a tenant gives for a credential of someone else's (RFC 8693).
//!
//! ```text
//! request ──► believed ──► admitted ──► prepared ──► used once ──► recorded ──► signed
//!     core decides   a rule gives   the issuer lints    durable       durable
//! ```
//!
//! A token is used when everything else is settled, and before anything is signed: whoever is
//! answered has used it, and nobody else has.

mod believing;
mod introspecting;
mod issued;
mod nonces;
pub(crate) mod request;
mod revoking;
pub(crate) mod rules;
mod using;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use avouch_core::budget::{Budget, Limits};
use avouch_core::crypto::PublicKey;
use avouch_core::exchange::drift;
use avouch_core::exchange::{Believed, Given, IssuedKind, Place, Rules, at_most, give};
use avouch_core::id::TrustDomain;
use avouch_core::question::Holder;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::TrustModel;
use avouch_core::view::View;

use crate::decisions::Course;
use crate::fault::{Fault, Refused};
use crate::names::Naming;
use crate::plane::{Plane, RESERVED};
use crate::tenant::Tenant;
use crate::views::{Known, Views};
pub(crate) use issued::Pending;
use request::{Grant, NO_CREDENTIAL, OTHER_CLIENT, TokenRequest};
pub(crate) use revoking::Revoking;
use using::Uses;

/// Where something is exchanged.
pub(crate) struct Exchange<'a> {
    pub(crate) plane: &'a Arc<Plane>,
    pub(crate) tenant: &'a Arc<Tenant>,
    pub(crate) view: &'a View,
    pub(crate) rules: &'a Rules,
    /// Both, and when they changed last.
    known: &'a Arc<Known>,
    /// Where they are looked at again.
    views: &'a Arc<Views>,
    /// The issuer identifier of the tenant.
    issuer: String,
    /// The trust domains whose keys are the tenant's own.
    own: Vec<TrustDomain>,
    now: Time,
    /// Under which number it is decided.
    decision: &'a str,
    pace: Pace,
    /// Whether keys or a status list were fetched that the view does not have yet.
    has_news: Cell<bool>,
    /// Who was refused something for a service.
    refused: RefCell<Option<String>>,
    /// What was shown, and what came of it.
    course: RefCell<Course>,
}

/// What an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// A moment, and nothing that is waited for: memory and little work settle most of them. What
    /// they do not settle comes to nothing, and is begun again.
    AtOnce,
    /// Whatever it takes: keys are fetched, names are stored, and what has drifted is told.
    Thorough,
}

/// The most work on signatures that is done at once, in nominal microseconds: one signature of the
/// slowest kind of key.
const WORK_AT_ONCE: u32 = 400;

/// What is not settled at once; nobody is told, since it is begun again.
fn unsettled(why: &str) -> Refused {
    Fault::Bug(format!("not settled at once: {why}")).into()
}

/// What is used, as whoever used it before is told.
pub(crate) const ASSERTION: &str = "assertion";
pub(crate) const CLIENT_ASSERTION: &str = "client assertion";

/// What was shown beside the request itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown<'a> {
    /// The proofs of possession (RFC 9449).
    pub(crate) proofs: &'a [String],
    /// The certificates of a TLS client, its own first.
    pub(crate) certificates: &'a [Vec<u8>],
}

/// What is given, before anything is used or signed.
pub(crate) struct Considered<'a> {
    pub(crate) subject: Believed,
    pub(crate) client: Option<Believed>,
    pub(crate) given: Given<'a>,
    proved: Proven,
    uses: Uses,
    /// The names of the subject that the rule holds to their ids.
    naming: Naming,
}

/// What the sender has proved.
#[derive(Debug, Default)]
struct Proven {
    holder: Holder,
    /// The key of its DPoP proof.
    key: Option<PublicKey>,
    /// Whether that proof answers a nonce of ours.
    is_fresh: bool,
}

impl<'a> Exchange<'a> {
    pub(crate) fn at(
        plane: &'a Arc<Plane>,
        tenant: &'a Arc<Tenant>,
        (known, views): (&'a Arc<Known>, &'a Arc<Views>),
        decision: &'a str,
    ) -> Self {
        Self {
            issuer: plane.issuer_of(tenant.id()),
            own: tenant.read(|snapshot| snapshot.trust_domains.keys().cloned().collect()),
            now: plane.now(),
            decision,
            pace: Pace::Thorough,
            has_news: Cell::new(false),
            refused: RefCell::default(),
            course: RefCell::default(),
            plane,
            tenant,
            view: &known.view,
            rules: &known.rules,
            known,
            views,
        }
    }

    /// The same without waiting for anything: whoever does it may have no thread of its own. Whatever
    /// it refuses is to be begun again otherwise, and nothing has happened before.
    pub(crate) fn at_once(self) -> Self {
        Self {
            pace: Pace::AtOnce,
            ..self
        }
    }

    /// What one decision may cost.
    fn budget(&self) -> Budget {
        match self.pace {
            Pace::AtOnce => Budget::new(Limits {
                signature_work: WORK_AT_ONCE,
                ..Limits::default()
            }),
            Pace::Thorough => Budget::default(),
        }
    }

    /// Whether asking again in a new view makes sense: something was fetched that this one lacks.
    pub(crate) fn has_news(&self) -> bool {
        self.has_news.get()
    }

    /// What was shown and decided on before it was refused.
    pub(crate) fn course(&self) -> Course {
        self.course.take()
    }

    /// Exchanges, up to what has to be waited for.
    pub(crate) fn exchange(
        &self,
        request: &TokenRequest,
        shown: Shown<'_>,
    ) -> Result<Pending, Refused> {
        let considered = self
            .consider(request, shown)
            .inspect_err(|refused| self.note_crossing(refused))?;
        self.check_holder(&considered)?;
        let anchor = Arc::clone(&considered.subject.identity.anchor().anchor);
        let pending = self.issue(request, considered)?;
        // What is not settled at once is decided again, and counted there.
        if self.pace == Pace::AtOnce {
            self.tenant.tallies.count_anchor(&anchor);
        }
        Ok(pending)
    }

    /// Finds out who asks and what they get. Nothing is used.
    pub(crate) fn consider(
        &self,
        request: &TokenRequest,
        shown: Shown<'_>,
    ) -> Result<Considered<'_>, Refused> {
        let mut uses = Uses::default();
        let proved = self.proved("token", shown, &mut uses)?;
        let holder = &proved.holder;
        let client = match &request.client {
            Some(client) => Some(self.client(client, &mut uses)?),
            None => None,
        };
        let subject = match &request.grant {
            Grant::ClientCredentials => {
                self.client_itself(client.clone(), request, shown, &mut uses)?
            }
            Grant::Assertion(token) => self.subject(ASSERTION, token, holder, shown, &mut uses)?,
            Grant::Exchange { subject, .. } => {
                self.subject("subject_token", subject, holder, shown, &mut uses)?
            }
        };
        // Who asks for itself is the client, however it has shown who it is.
        let client = match request.grant {
            Grant::ClientCredentials => Some(subject.clone()),
            Grant::Assertion(_) | Grant::Exchange { .. } => client,
        };
        let actor = match &request.grant {
            Grant::Exchange {
                actor: Some(actor), ..
            } => {
                let of_subject = self.course.take();
                let actor = self.subject("actor_token", actor, holder, shown, &mut uses)?;
                self.course.replace(of_subject);
                Some(actor)
            }
            Grant::Exchange { actor: None, .. }
            | Grant::Assertion(_)
            | Grant::ClientCredentials => None,
        };
        let given = self.given(&subject, actor.as_ref(), request)?;
        let naming = self.naming(&given, &subject)?;
        // The path may begin with what the token says.
        if given.id.segments().next() == Some(RESERVED) {
            return Err(Reason::IssueIdReserved {
                id: given.id.to_string(),
            }
            .into());
        }
        if let Some(anchor) = &given.keeps_from_administering {
            let is_read = || self.plane.are_open_below(self.tenant.id());
            if self.pace == Pace::AtOnce && !is_read() {
                return Err(unsettled("tenants have to be read"));
            }
            let administrators = self.plane.administrators_reached_from(self.tenant)?;
            if administrators.contains(&given.id) {
                return Err(at_most::administers(anchor, &given.id).into());
            }
        }
        if given.rule.lets_reuse(self.now) {
            uses.forget_presented();
        }
        Ok(Considered {
            subject,
            client,
            given,
            proved,
            uses,
            naming,
        })
    }

    /// The names of the subject that the rule holds to their ids, each of which is still its own.
    fn naming(&self, given: &Given<'_>, subject: &Believed) -> Result<Naming, Refused> {
        let (rule, decision) = (given.rule.name(), self.decision);
        let names = drift::names(given.rule, &subject.identity);
        let is_known = || self.plane.holds_names(self.tenant, rule, &names);
        if self.pace == Pace::AtOnce && !is_known() {
            return Err(unsettled("a name is to be stored"));
        }
        let are_held = self
            .plane
            .check_names(self.tenant, rule, &names, decision)?;
        let naming = Naming {
            rule: rule.to_owned(),
            names,
            decision: decision.to_owned(),
            are_held,
        };
        if !are_held {
            self.plane.check_room_for_names(self.tenant, &naming)?;
        }
        Ok(naming)
    }

    /// Where and when it is asked.
    fn place(&self) -> Place<'_> {
        Place {
            view: self.view,
            rules: self.rules,
            own: &self.own,
            issuer: &self.issuer,
            now: self.now,
        }
    }

    /// What they get.
    fn given(
        &self,
        subject: &Believed,
        actor: Option<&Believed>,
        request: &TokenRequest,
    ) -> Result<Given<'_>, Refused> {
        give(self.place(), subject, actor, &request.wanted).or_else(|reason| {
            if let Reason::ServiceModel { .. } = &reason {
                self.refused
                    .replace(Some(subject.identity.name().to_owned()));
            }
            self.note_drift(subject, &reason)?;
            Err(reason.into())
        })
    }

    /// Notes that an exchange, and not a trial of one, was refused across the boundary of a service.
    fn note_crossing(&self, refused: &Refused) {
        let Refused::Reason(reason) = refused else {
            return;
        };
        let Reason::ServiceModel { service, model, .. } = &**reason else {
            return;
        };
        let model = TrustModel::ALL.into_iter().find(|one| one.name() == model);
        if let (Some(name), Some(model)) = (self.refused.take(), model) {
            let plane = self.plane;
            plane.note_service_refused(self.tenant, service, model, &name);
        }
    }

    /// Tells of someone who is not admitted only because a name or the form of the subject has
    /// changed since.
    fn note_drift(&self, subject: &Believed, reason: &Reason) -> Result<(), Refused> {
        let is_told = self.pace == Pace::Thorough;
        if !is_told || !matches!(reason, Reason::IssueExchange { .. }) {
            return Ok(());
        }
        let was_called =
            |rule: &str, fact: &str, id: &str| self.plane.was_called(self.tenant, rule, fact, id);
        for drift in drift::unadmitted(self.rules, subject, self.now, &was_called) {
            self.plane.tell_drift(self.tenant, &drift, self.decision)?;
        }
        Ok(())
    }

    /// What is given to bearers is given to whoever finds it, so a key must be proved unless the
    /// rule says otherwise. A signing request proves one itself.
    fn check_holder(&self, considered: &Considered<'_>) -> Result<(), Reason> {
        let (given, proved) = (&considered.given, &considered.proved);
        if proved.key.is_some() && given.rule.asks_for_nonce() && !proved.is_fresh {
            return Err(self.nonce_required("it answers none"));
        }
        let is_bound = match given.kind {
            IssuedKind::AccessToken | IssuedKind::JwtSvid => {
                proved.holder != Holder::default() || given.rule.gives_to_bearers(self.now)
            }
            // It is for the key of the proof and no other.
            IssuedKind::WitSvid => proved.key.is_some(),
            IssuedKind::X509Svid => true,
        };
        if is_bound {
            return Ok(());
        }
        Err(Reason::IssueProofRequired {
            rule: given.rule.name().to_owned(),
        })
    }

    fn nonce_required(&self, detail: &'static str) -> Reason {
        Reason::IssueNonce {
            detail,
            nonce: nonces::current(&self.tenant.keys, self.now),
        }
    }

    fn client_itself(
        &self,
        client: Option<Believed>,
        request: &TokenRequest,
        shown: Shown<'_>,
        uses: &mut Uses,
    ) -> Result<Believed, Refused> {
        if let Some(client) = client {
            return Ok(client);
        }
        let refuse = |detail: &str| Reason::IssueClient {
            detail: detail.to_owned(),
        };
        let Some(mut client) = self.tls_client(shown, uses)? else {
            return Err(refuse(NO_CREDENTIAL).into());
        };
        // RFC 8705 2: whoever has the certificate is the client that is named, and no other.
        let named = request.client_id.as_deref();
        if named.is_some_and(|named| named != client.identity.name()) {
            return Err(refuse(OTHER_CLIENT).into());
        }
        if let Some(leaf) = shown.certificates.first() {
            client.on_record = self.on_record(leaf)?;
        }
        Ok(client)
    }
}
