//! Security events: what a tenant tells of subjects of its own (RFC 8417, OpenID SSF 1.0).
//!
//! The key that signs JWT-SVIDs signs events too, so that receivers find it where they find those
//! keys. What tells the two apart is the type in the header, and that an event has neither `sub` nor
//! `exp`: whoever takes one for the other has looked at neither.

use std::sync::Arc;

use avouch_core::budget::{Budget, Limits};
use avouch_core::credential::jose::jwk::KeySet;
use avouch_core::crypto::Verifier;
use avouch_core::id::SpiffeId;
use avouch_core::signal::{Place, Set, Stream};
use avouch_core::time::Time;
use serde_json::{Map, Value, json};

use crate::bundle::token_key;
use crate::fault::{Fault, NotIssued};
use crate::intent::{CredentialKind, Intent};
use crate::lint::empty_view;
use crate::random::{Random, token_id};
use crate::signer::{Signature, Signer};
use crate::stages::{Draft, Prepared, private};
use crate::token::{Named, TokenAuthority, TokenKind, TokenParts};

/// What is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRequest {
    /// What the transmitter is called (`iss`).
    pub issuer: String,
    /// For whom (`aud`).
    pub audience: String,
    /// Its number, by which a receiver knows it again (`jti`).
    pub id: String,
    /// Whom it is about, for the record.
    pub subject: SpiffeId,
    /// Whom it is about, as receivers read it (`sub_id`, RFC 9493).
    pub subject_id: Value,
    /// What it is called, an address.
    pub name: String,
    /// What it says.
    pub said: Map<String, Value>,
    /// When it happened.
    pub at: Time,
}

impl TokenAuthority {
    /// Prepares an event.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`, or what failed on our side.
    pub fn prepare_event(
        self: &Arc<Self>,
        request: EventRequest,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<EventDraft>, NotIssued> {
        if self.kind() != TokenKind::Jwt {
            return Err(Fault::Bug("another kind of authority was asked for an event").into());
        }
        self.life().check_may_sign(self.id(), now)?;
        let claims = json!({
            "iss": request.issuer,
            "aud": request.audience,
            "jti": request.id,
            "iat": now.unix(),
            "toe": request.at.unix(),
            "sub_id": request.subject_id,
            "events": { request.name.as_str(): request.said },
        });
        let named = Named {
            kind: CredentialKind::Event,
            subject: request.subject.clone(),
            // The same event is signed anew whenever it is sent again.
            serial: format!("event-{}", token_id(random)?),
            from: now,
            until: now,
        };
        let claims = claims.to_string();
        let parts = self.put_together(&self.event_header, claims.as_bytes(), named);
        Ok(Prepared::new(EventDraft { parts, request }))
    }
}

/// An event that is to be signed.
pub struct EventDraft {
    parts: TokenParts,
    request: EventRequest,
}

impl EventDraft {
    /// The key as receivers find it in the key set of the tenant.
    fn keys(&self) -> Result<KeySet, NotIssued> {
        let authority = &self.parts.authority;
        let public = authority.signer().public_half();
        let mut key = token_key(public, TokenKind::Jwt, authority.id())?;
        key.insert("use".to_owned(), "sig".into());
        let set = json!({ "keys": [key] });
        Ok(KeySet::read(&self.request.issuer, &set)?)
    }
}

impl private::Draft for EventDraft {
    fn message(&self) -> &[u8] {
        self.parts.message.as_bytes()
    }

    fn signer(&self) -> &dyn Signer {
        self.parts.authority.signer().as_ref()
    }

    fn intent(&self) -> &Intent {
        &self.parts.intent
    }

    fn judge(&self, signature: &Signature, crypto: &dyn Verifier) -> Result<(), NotIssued> {
        let token = self.parts.token(signature);
        let keys = self.keys()?;
        let audiences = [self.request.audience.clone()];
        let stream = Stream {
            issuer: &self.request.issuer,
            of: &self.request.issuer,
            audiences: &audiences,
            keys: Some(&keys),
        };
        let view = empty_view(self.parts.authority.tenant());
        let place = Place {
            view: &view,
            now: self.parts.now,
            crypto,
        };
        let set = Set::read(&token, &Limits::default())?;
        set.judge(stream, place, &mut Budget::default())?;
        Ok(())
    }
}

impl Draft for EventDraft {
    type Issued = String;

    fn release(self, signature: &Signature) -> Result<String, Fault> {
        Ok(self.parts.token(signature))
    }
}
