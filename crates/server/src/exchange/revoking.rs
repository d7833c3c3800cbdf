//! Ending a token of the tenant by whoever has it in hand (RFC 7009), with all that was exchanged for it.

use avouch_core::exchange::introspection::{Asker, Presented};
use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_core::verdict::IdentityKind;
use avouch_core::view::View;

use super::request::IntrospectionRequest;
use super::using::Uses;
use super::{Exchange, Shown};
use crate::fault::Refused;
use crate::signals::OwnToken;

/// How whoever asks for it is known.
pub(crate) enum Revoking<'a> {
    /// As someone who may end what they like, by their name.
    Administrator(String),
    /// By what they show beside the token.
    Holder(Shown<'a>),
}

impl Exchange<'_> {
    /// Ends a token, if it is one of the tenant that holds: nothing that was exchanged for it outlives it. Of
    /// anything else nothing is told (2.2), but of what is given here and never ended here: whoever thought it
    /// ended would be wrong (2.2.1).
    pub(crate) fn revoke(
        &self,
        request: &IntrospectionRequest,
        revoking: Revoking<'_>,
    ) -> Result<(), Refused> {
        let presented = Presented::read(&request.token);
        if let Some(reason) = unsupported(&request.token, presented.as_ref().ok()) {
            return Err(reason.into());
        }
        let mut uses = Uses::default();
        let (asker, by) = match revoking {
            Revoking::Administrator(name) => (None, Some(name)),
            Revoking::Holder(shown) => (Some(self.asker(request, shown, &mut uses)?), None),
        };
        let Ok(presented) = presented else {
            return Ok(());
        };
        let found = self.held_or_ended(&request.token, &presented);
        let (Some((subject, has_ended)), Some(id)) = (found, presented.id()) else {
            return Ok(());
        };
        if asker.is_some_and(|asker| !presented.is_in_hand_of(&asker)) {
            return Err(Reason::IssueTokenOfAnother {}.into());
        }
        // Not before there is something to end: whoever has nothing writes nothing.
        self.use_up(uses)?;
        let token = OwnToken {
            subject: &subject,
            id,
            has_ended,
        };
        self.plane.end_own_token(self.tenant, token, by)
    }

    /// Whose a token is that holds, or, which is told with it, that was ended itself: whoever has ended it
    /// may have died before all that descends from it was revoked, and is asked again by whoever was not
    /// answered. What descends from an issuer in quarantine may hold again once that is released, and ends
    /// like all else.
    fn held_or_ended(&self, token: &str, presented: &Presented) -> Option<(SpiffeId, bool)> {
        let now = View::clone(self.view).past_quarantines();
        if let Some(subject) = self.holds_in(&now, token, presented) {
            return Some((subject, false));
        }
        let lists = self.plane.status_lists.all(self.tenant.id());
        let before = View::clone(&self.known.base).with_status_lists(&lists);
        let before = before.past_quarantines();
        let subject = self.holds_in(&before, token, presented)?;
        let id = presented.id()?;
        let is_ended = self.plane.has_ended_own_token(self.tenant, &subject, id);
        is_ended.then_some((subject, true))
    }

    /// Who asks: a client by its assertion, or whoever has the key of a proof or of a certificate. Nobody
    /// has to be anyone.
    fn asker(
        &self,
        request: &IntrospectionRequest,
        shown: Shown<'_>,
        uses: &mut Uses,
    ) -> Result<Asker, Refused> {
        let proved = self.proved("revoke", shown, uses)?;
        let client = match &request.client {
            Some(client) => Some(self.client(client, uses)?),
            // A certificate that nobody has vouched for shows a key all the same.
            None => match self.tls_client(shown, uses) {
                Ok(client) => client,
                Err(Refused::Reason(_)) => None,
                Err(fault @ Refused::Fault(_)) => return Err(fault),
            },
        };
        let mut asker = Asker {
            holder: proved.holder,
            ..Asker::default()
        };
        if let Some(client) = client {
            let name = client.identity.name();
            match client.identity.kind() {
                IdentityKind::Spiffe if self.is_own(name) => asker.workload = Some(name.to_owned()),
                _ if request.client.is_some() => {
                    asker.client = client.identity.facts().get("subject").cloned();
                }
                _ => {}
            }
        }
        Ok(asker)
    }
}

/// Why nothing of this kind is ended here: a certificate is on a list of its authority or on none, and a
/// workload identity token is believed of nobody but with a proof for whoever looks at it.
fn unsupported(token: &str, presented: Option<&Presented>) -> Option<Reason> {
    let (kind, instead) = match presented {
        None if token
            .trim_start()
            .starts_with("-----BEGIN CERTIFICATE-----") =>
        {
            (
                "a certificate",
                "avouch authority revoke-certificates --spiffe-id ID",
            )
        }
        Some(token) if token.is_workload_identity() => (
            "a workload identity token",
            "avouch signal end --issuer spiffe://TRUST_DOMAIN --subject ID",
        ),
        Some(_) | None => return None,
    };
    Some(Reason::IssueRevocationKind { kind, instead })
}
