//! Ending a token of the tenant by whoever has it in hand (RFC 7009), with all that was exchanged for it.

use avouch_core::exchange::introspection::{Asker, Presented};
use avouch_core::reason::Reason;
use avouch_core::verdict::IdentityKind;

use super::believing::Uses;
use super::request::IntrospectionRequest;
use super::{Exchange, Shown};
use crate::fault::Refused;

/// How whoever asks for it is known.
pub(crate) enum Revoking<'a> {
    /// As someone who may end what they like, by their name.
    Administrator(String),
    /// By what they show beside the token.
    Holder(Shown<'a>),
}

impl Exchange<'_> {
    /// Ends a token, if it is one of the tenant that holds: nothing that was exchanged for it outlives it. Of
    /// anything else nothing is told (2.2).
    pub(crate) fn revoke(
        &self,
        request: &IntrospectionRequest,
        revoking: Revoking<'_>,
    ) -> Result<(), Refused> {
        let (asker, by) = match revoking {
            Revoking::Administrator(name) => (None, Some(name)),
            Revoking::Holder(shown) => (Some(self.asker(request, shown)?), None),
        };
        let Ok(presented) = Presented::read(&request.token) else {
            return Ok(());
        };
        let subject = self.holds(&request.token, &presented);
        let (Some(subject), Some(id)) = (subject, presented.id()) else {
            return Ok(());
        };
        if asker.is_some_and(|asker| !presented.is_in_hand_of(&asker)) {
            return Err(Reason::IssueTokenOfAnother {}.into());
        }
        self.plane.end_own_token(self.tenant, &subject, id, by)
    }

    /// Who asks: a client by its assertion, which is used up, or whoever has the key of a proof or of a
    /// certificate. Nobody has to be anyone.
    fn asker(&self, request: &IntrospectionRequest, shown: Shown<'_>) -> Result<Asker, Refused> {
        let mut uses = Uses::default();
        let proved = self.proved("revoke", shown, &mut uses)?;
        let client = match &request.client {
            Some(client) => Some(self.client(client, &mut uses)?),
            // A certificate that nobody has vouched for shows a key all the same.
            None => match self.tls_client(shown, &mut uses) {
                Ok(client) => client.map(|(client, _)| client),
                Err(Refused::Reason(_)) => None,
                Err(fault @ Refused::Fault(_)) => return Err(fault),
            },
        };
        self.use_up(uses)?;
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
