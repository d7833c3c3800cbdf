//! Attestors: what a tenant accepts from nodes, as it is written, read and kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use avouch_api::TrustDocument;
use avouch_api::members::{Document, Members};
use avouch_core::anchor::AnchorKind;
use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use avouch_core::view::View;
use avouch_store::keyring::{Sealed, SecretOf};
use avouch_store::{AttestorId, AttestorRecord, Change, Key, Object};
use serde_json::Value;
use zeroize::Zeroizing;

use super::k8s_psat::K8sPsat;
use super::sshpop::SshPop;
use super::tpm::Tpm;
use super::x509pop::X509Pop;
use super::{Attestation, Method};
use crate::fault::{Fault, Refused, unknown};
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views;

/// What is read.
const OBJECT: Document = Document::Request("attestor");

/// The longest attestor in bytes: it is read for callers who have shown nothing yet.
const LONGEST: usize = 256 << 10;

/// The longest name of an attestor: the names of its nodes begin with it.
const LONGEST_NAME: usize = 48;

/// An attestor, read.
pub(super) struct Attestor {
    pub(super) method: Method,
    pub(super) rejoin: Rejoin,
    pub(super) attestation: Box<dyn Attestation>,
}

/// Whether a node that is known may join again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejoin {
    /// Also with what it has shown before.
    Always,
    /// With something newer than what it has shown before. An answer to a challenge is always new.
    Fresh,
    /// Not until it is evicted.
    Never,
}

impl Rejoin {
    const ALL: [(&'static str, Self); 3] = [
        ("always", Self::Always),
        ("fresh", Self::Fresh),
        ("never", Self::Never),
    ];
}

impl Attestor {
    /// `secret` is what stands in no text.
    fn read(
        text: &str,
        secret: Option<Zeroizing<String>>,
        tenant: &Tenant,
    ) -> Result<Self, Reason> {
        let mut members = Members::read(OBJECT, text)?;
        let method = members.choice("method", &Method::ALL)?;
        let method = method.ok_or_else(|| members.refuse("method", "is missing"))?;
        let rejoin = members.choice("rejoin", &Rejoin::ALL)?;
        let attestation: Box<dyn Attestation> = match method {
            Method::K8sPsat => Box::new(K8sPsat::read(members, secret, tenant)?),
            Method::SshPop => Box::new(SshPop::read(members)?),
            Method::Tpm => Box::new(Tpm::read(members, tenant)?),
            Method::X509Pop => Box::new(X509Pop::read(members, tenant)?),
        };
        Ok(Self {
            method,
            rejoin: rejoin.unwrap_or(Rejoin::Fresh),
            attestation,
        })
    }
}

/// Reads the member `trust`, a trust document whose anchors are all of kinds that can vouch here.
pub(super) fn trust(
    members: &mut Members,
    tenant: &Tenant,
    can_vouch: fn(&AnchorKind) -> bool,
) -> Result<View, Reason> {
    let trust = members.take("trust");
    let trust = trust.ok_or_else(|| members.refuse("trust", "is missing"))?;
    let document = views::read(&trust.to_string(), tenant, "the attestor")?;
    if let Some(unusable) = document.set_aside().kept().first() {
        return Err(unusable.reason.clone());
    }
    let mut anchors = document.entries().iter().map(|entry| &entry.anchor);
    if document.entries().is_empty() {
        return Err(members.refuse("trust", "has no anchor, so no node would ever be believed"));
    }
    if let Some(other) = anchors.find(|anchor| !can_vouch(&anchor.kind)) {
        let kind = other.kind.name();
        let detail = format!("has an anchor of the kind `{kind}`, which vouches for nothing here");
        return Err(members.refuse("trust", &detail));
    }
    let documents: Vec<TrustDocument> = vec![document];
    Ok(views::view(tenant, documents))
}

/// Attestors that were read, each until its text is another one.
#[derive(Default)]
pub(crate) struct Known(Mutex<BTreeMap<(TenantId, AttestorId), ReadAttestor>>);

/// A record and what was read from it.
struct ReadAttestor {
    record: AttestorRecord,
    attestor: Arc<Attestor>,
}

impl Known {
    /// Forgets the attestors of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, _), _| of != tenant);
    }

    pub(super) fn get(
        &self,
        tenant: &Tenant,
        record: &AttestorRecord,
    ) -> Result<Arc<Attestor>, Fault> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (tenant.id().clone(), record.id.clone());
        if let Some(read) = known.get(&place)
            && read.record == *record
        {
            return Ok(Arc::clone(&read.attestor));
        }
        let secret = record
            .secret
            .as_ref()
            .map(|sealed| open(tenant, record, sealed));
        let attestor = Attestor::read(&record.document, secret.transpose()?, tenant);
        let attestor = attestor.map_err(|reason| Fault::Stored(reason.sentence()))?;
        let read = ReadAttestor {
            record: record.clone(),
            attestor: Arc::new(attestor),
        };
        let attestor = Arc::clone(&read.attestor);
        known.insert(place, read);
        Ok(attestor)
    }
}

impl Plane {
    /// Stores an attestor in the place of what had its name. It is read first, as it will be when a
    /// node shows something.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, `issue.object_malformed`, or what failed on our side.
    pub fn put_attestor(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        document: &Value,
    ) -> Result<AttestorRecord, Refused> {
        let malformed = |member: &str, detail: String| Reason::IssueObjectMalformed {
            object: "attestor",
            member: member.to_owned(),
            detail,
        };
        let id = AttestorId::parse(name).filter(|id| id.as_str().len() <= LONGEST_NAME);
        let id = id.ok_or_else(|| {
            let characters = "letters, digits, `.`, `_` and `-`";
            malformed(
                "name",
                format!("a name is 1 to {LONGEST_NAME} {characters}"),
            )
        })?;
        let (document, secret) = apart(document.clone());
        let document = document.to_string();
        if document.len() > LONGEST {
            let detail = format!("together they are longer than {LONGEST} bytes");
            return Err(malformed("trust", detail).into());
        }
        Attestor::read(&document, secret.clone(), tenant)?;
        let sealing = tenant.keys.sealing();
        let secret = secret.map(|secret| sealing.seal(SecretOf::Attestor(&id), secret.as_bytes()));
        let secret = secret.transpose()?;
        let record = AttestorRecord {
            id,
            document,
            secret,
        };
        self.apply(tenant, &[Change::Put(Object::Attestor(record.clone()))])?;
        Ok(record)
    }

    /// Accepts nothing by an attestor any more. Nodes that it let join stay.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn remove_attestor(&self, tenant: &Arc<Tenant>, name: &str) -> Result<(), Refused> {
        let id = AttestorId::parse(name);
        let there = id.filter(|id| tenant.read(|snapshot| snapshot.attestors.contains_key(id)));
        let id = there.ok_or_else(|| unknown("attestor", name))?;
        self.apply(tenant, &[Change::Remove(Key::Attestor(id))])?;
        Ok(())
    }
}

/// Takes the secret out of what was sent, so that it is neither stored with the rest nor shown.
fn apart(mut document: Value) -> (Value, Option<Zeroizing<String>>) {
    let review = document.get_mut("review").and_then(Value::as_object_mut);
    let token = review.and_then(|review| match review.get("token") {
        Some(Value::String(_)) => review.remove("token"),
        Some(_) | None => None,
    });
    let secret = match token {
        Some(Value::String(token)) => Some(Zeroizing::new(token)),
        Some(_) | None => None,
    };
    (document, secret)
}

fn open(
    tenant: &Tenant,
    record: &AttestorRecord,
    sealed: &Sealed,
) -> Result<Zeroizing<String>, Fault> {
    let sealing = tenant.keys.sealing();
    let secret = sealing.open(SecretOf::Attestor(&record.id), sealed)?;
    let text = String::from_utf8(secret.to_vec());
    let text =
        text.map_err(|_| Fault::Stored("the secret of an attestor is no text".to_owned()))?;
    Ok(Zeroizing::new(text))
}
