//! Status lists: which tokens of a tenant ended before their time
//! (draft-ietf-oauth-status-list, sections 4 and 5).
//!
//! The key that signs the tokens signs the list, so that a verifier needs no other. What tells the
//! two apart is the type in the header, and that a list is for nobody.

use std::sync::Arc;

use avouch_core::budget::Budget;
use avouch_core::credential::jose::status_list::{StatusList, pack};
use avouch_core::crypto::Verifier;
use avouch_core::id::SpiffeId;
use avouch_core::model::federation::check_status_list;
use avouch_core::time::Time;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::json;

use crate::fault::{Fault, NotIssued};
use crate::intent::{CredentialKind, Intent};
use crate::random::{Random, token_id};
use crate::signer::{Signature, Signer};
use crate::stages::{Draft, Prepared, private};
use crate::token::{Named, TokenAuthority, TokenKind, TokenParts};

/// What a list is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusListRequest {
    /// Where it is found, as tokens name it (`sub`).
    pub uri: String,
    /// Whose it is, as tokens name it (`iss`).
    pub issuer: String,
    /// For how many seconds it may be kept (`ttl`).
    pub time_to_live: i64,
    /// For how many seconds it holds (`exp`).
    pub life: i64,
    /// One bit for each token, from the least significant on: set if it has ended.
    pub statuses: Vec<u8>,
}

impl TokenAuthority {
    /// Prepares a list.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`, or what failed on our side.
    pub fn prepare_status_list(
        self: &Arc<Self>,
        request: StatusListRequest,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<StatusListDraft>, NotIssued> {
        if self.kind() != TokenKind::Jwt {
            return Err(Fault::Bug("another kind of authority was asked for a list").into());
        }
        self.life().check_may_sign(self.id(), now)?;
        let expires = now.plus(request.life).min(self.life().not_after());
        let packed = Base64UrlUnpadded::encode_string(&pack(&request.statuses));
        let claims = json!({
            "iss": request.issuer,
            "sub": request.uri,
            "iat": now.unix(),
            "exp": expires.unix(),
            "ttl": request.time_to_live,
            "status_list": {"bits": 1, "lst": packed},
        });
        let header = json!({"alg": "ES256", "kid": self.id(), "typ": "statuslist+jwt"});
        let header = Base64UrlUnpadded::encode_string(header.to_string().as_bytes());
        let named = Named {
            kind: CredentialKind::StatusList,
            subject: SpiffeId::parse(&format!("spiffe://{}", self.trust_domain()))?,
            // The same list is signed anew whenever it has changed or is about to end.
            serial: format!("status-{}", token_id(random)?),
            from: now,
            until: expires,
        };
        let claims = claims.to_string();
        let parts = self.put_together(&header, claims.as_bytes(), named);
        Ok(Prepared::new(StatusListDraft { parts }))
    }
}

/// A list that is to be signed.
pub struct StatusListDraft {
    parts: TokenParts,
}

impl private::Draft for StatusListDraft {
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
        let parts = &self.parts;
        let list = StatusList::read(&parts.token(signature))?;
        let issuer = format!("spiffe://{}", parts.authority.trust_domain());
        let view = parts.authority.view();
        let budget = &mut Budget::default();
        check_status_list(&list, &issuer, view, parts.now, crypto, budget)?;
        Ok(())
    }
}

impl Draft for StatusListDraft {
    type Issued = String;

    fn release(self, signature: &Signature) -> Result<String, Fault> {
        Ok(self.parts.token(signature))
    }
}
