//! A token that somebody was shown and asks its issuer about (RFC 7662), read before it is decided
//! on by the issuer itself.

use serde_json::{Map, Value};

use super::statement::LINEAGE;
use crate::budget::Limits;
use crate::credential::jose::base64url;
use crate::credential::jose::jws::Jws;
use crate::id::Digest;
use crate::model::federation::claims::Claims;
use crate::question::{Context, Holder};
use crate::reason::Reason;

/// A token as it was presented, not yet believed.
#[derive(Clone, Debug)]
pub struct Presented {
    claims: Map<String, Value>,
    audiences: Vec<String>,
    holder: Holder,
    is_access_token: bool,
    is_wit: bool,
}

/// Whoever wants a token ended, as far as they have shown it.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// A workload of the tenant, by its SPIFFE ID.
    pub workload: Option<String>,
    /// A client with keys of its own, by its name.
    pub client: Option<String>,
    /// The keys that they have proved.
    pub holder: Holder,
}

impl Presented {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// Those of reading a token.
    pub fn read(token: &str) -> Result<Self, Reason> {
        let jws = Jws::read(token, &Limits::default())?;
        let claims = Claims::read(&jws.claims)?;
        let audiences = claims.audiences.iter().map(ToString::to_string).collect();
        let cnf = jws.claims.get("cnf");
        let digest = |name: &str| {
            let text = cnf?.get(name)?.as_str()?;
            let bytes: [u8; 32] = base64url::decode(text)?.try_into().ok()?;
            Some(Digest::from_bytes(bytes))
        };
        let holder = Holder {
            jkt: digest("jkt"),
            certificate: digest("x5t#S256"),
        };
        let is_access_token = jws.header().is_of_type("at+jwt");
        let is_wit = jws.header().is_of_type("wit+jwt");
        Ok(Self {
            audiences,
            holder,
            is_access_token,
            is_wit,
            claims: jws.claims,
        })
    }

    /// In which it is believed if it holds at all: whoever asks was shown it by someone, for
    /// something, and answers for having checked that.
    pub fn context(&self) -> Context {
        Context {
            audiences: self.audiences.clone(),
            holder: self.holder.clone(),
            holder_is_assumed: true,
            access_token: self.is_access_token,
            ..Context::default()
        }
    }

    /// Its number, by which it can be ended alone.
    pub fn id(&self) -> Option<&str> {
        self.text("jti")
    }

    /// Whether it is a workload identity token, which is believed of nobody but with a proof.
    pub fn is_workload_identity(&self) -> bool {
        self.is_wit
    }

    /// Whether whoever this is has it in hand: its subject, whoever acts for it, the client that it was given
    /// to, or the holder of the key that it is bound to; and of what is bound to nobody and was given to no
    /// client of its own, whoever shows it.
    pub fn is_in_hand_of(&self, asker: &Asker) -> bool {
        let acting = self.claims.get("act").and_then(|act| act.get("sub"));
        let (subject, client) = (self.text("sub"), self.text("client_id"));
        let names = [subject, acting.and_then(Value::as_str), client];
        let is = |name: &Option<String>, among: &[Option<&str>]| {
            name.as_deref()
                .is_some_and(|name| among.contains(&Some(name)))
        };
        let has_key = |key: Option<Digest>, own: Option<Digest>| key.is_some() && key == own;
        let (bound, own) = (&self.holder, &asker.holder);
        let is_bound = *bound != Holder::default();
        let is_clients = client.is_some() && client != subject;
        is(&asker.workload, &names)
            || is(&asker.client, &[client])
            || has_key(bound.jkt, own.jkt)
            || has_key(bound.certificate, own.certificate)
            || !is_bound && !is_clients
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// What it says, for whoever asks: not what it descends from, which is between the tenant and
    /// whoever it got that from.
    pub fn into_answer(self) -> Map<String, Value> {
        let mut claims = self.claims;
        for name in [LINEAGE, "status"] {
            claims.remove(name);
        }
        if self.is_access_token {
            let kind = if self.holder.jkt.is_some() {
                "DPoP"
            } else {
                "Bearer"
            };
            claims.insert("token_type".to_owned(), kind.into());
        }
        claims
    }
}
