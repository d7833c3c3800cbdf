//! What issuers are shown that are asked about their tokens: sealed where it is stored, and told to
//! nobody.

use avouch_api::members::{Document, Members};
use avouch_core::reason::Reason;
use avouch_store::IssuerId;
use avouch_store::keyring::SecretOf;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::fault::Refused;
use crate::introspection::{CLIENT_SECRET, REVIEWER_TOKEN};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// A secret in what is wanted of an issuer.
struct Secret {
    /// In which part it stands.
    part: &'static str,
    /// How it is called there, as it is given and as it is stored.
    given: &'static str,
    stored: &'static str,
    /// To whom it is shown, by pointers into the document (RFC 6901): where these change, it is not kept.
    shown_to: &'static [&'static str],
    owner: fn(&IssuerId) -> SecretOf<'_>,
}

const SECRETS: [Secret; 2] = [
    Secret {
        part: "introspection",
        given: "client_secret",
        stored: CLIENT_SECRET,
        // Whoever has another CA believed can be the endpoint.
        shown_to: &["/introspection/endpoint", "/introspection/client_id", "/ca"],
        owner: |id| SecretOf::Introspection(id),
    },
    Secret {
        part: "review",
        given: "token",
        stored: REVIEWER_TOKEN,
        shown_to: &["/review/server", "/review/ca"],
        owner: |id| SecretOf::Review(id),
    },
];

impl Plane {
    /// Takes the secrets out of what is wanted of an issuer and seals them. One that is not given anew
    /// stays, for whom it was shown to before.
    pub(super) fn with_sealed_secrets(
        &self,
        tenant: &Tenant,
        id: &IssuerId,
        document: &str,
    ) -> Result<String, Refused> {
        let members = Members::read(Document::Request("issuer"), document)?;
        let mut document = Value::Object(members.rest());
        for secret in &SECRETS {
            let kept = secret.kept(tenant, id, &document);
            if let Some(Value::Object(part)) = document.get_mut(secret.part) {
                secret.seal(tenant, id, part, kept)?;
            }
        }
        Ok(document.to_string())
    }
}

impl Secret {
    fn seal(
        &self,
        tenant: &Tenant,
        id: &IssuerId,
        part: &mut Map<String, Value>,
        kept: Option<String>,
    ) -> Result<(), Refused> {
        let refuse = |name: &str, detail: &str| {
            let name = format!("{}.{name}", self.part);
            let detail = format!("`{name}` {detail}");
            let object = "issuer";
            Err(Reason::IssueBodyMalformed { object, detail }.into())
        };
        if part.contains_key(self.stored) {
            return refuse(self.stored, "is made by the server and cannot be given");
        }
        let sealed = match part.remove(self.given) {
            Some(Value::String(secret)) => {
                let secret = Zeroizing::new(secret);
                let sealing = tenant.keys.sealing();
                let sealed = sealing.seal((self.owner)(id), secret.as_bytes())?;
                Some(sealed.to_text())
            }
            Some(_) => return refuse(self.given, "must be a string"),
            None => kept,
        };
        part.extend(sealed.map(|sealed| (self.stored.to_owned(), sealed.into())));
        Ok(())
    }

    fn kept(&self, tenant: &Tenant, id: &IssuerId, wanted: &Value) -> Option<String> {
        let known = tenant.read(|snapshot| {
            let record = snapshot.issuers.get(id)?;
            serde_json::from_str::<Value>(&record.document).ok()
        })?;
        let is_same = |place: &&str| known.pointer(place) == wanted.pointer(place);
        let sealed = known.get(self.part)?.get(self.stored);
        let sealed = sealed.and_then(Value::as_str);
        sealed
            .filter(|_| self.shown_to.iter().all(is_same))
            .map(str::to_owned)
    }
}

/// What is wanted of an issuer, for administrators: without secrets.
pub(super) fn without_secrets(mut document: Value) -> Value {
    for secret in &SECRETS {
        let part = document.get_mut(secret.part);
        if let Some(part) = part.and_then(Value::as_object_mut) {
            part.remove(secret.stored);
        }
    }
    document
}
