//! What a request expects to be there of the object that it changes (RFC 9110 13.1), looked at in the
//! very commit that changes it: no other change comes in between.

use std::cell::RefCell;
use std::sync::Arc;

use avouch_core::id::{Digest, TenantId};
use avouch_core::reason::{Reason, printable};
use avouch_store::keyring::Sealed;
use avouch_store::{Change, Key, Object, Snapshot};

use crate::fault::Refused;
use crate::tenant::Tenant;

thread_local! {
    /// What this thread is asked to change. Like who asked for it, it goes with the call, and no function
    /// on the way can forget to pass it on.
    static TARGET: RefCell<Option<Target>> = const { RefCell::new(None) };
}

/// One object that a request names, and what it expects of it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) tenant: TenantId,
    pub(crate) key: Key,
    /// What it is, in words.
    pub(crate) object: &'static str,
    pub(crate) name: String,
    pub(crate) conditions: Conditions,
    /// What came of it.
    pub(crate) done: Option<Done>,
}

/// The headers of these names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
}

/// An object that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// Whether there was none before.
    pub(crate) is_new: bool,
    /// What it is called as it is now, if it is.
    pub(crate) tag: Option<String>,
}

impl Conditions {
    pub(crate) fn are_none(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Whether what is there is what is expected, by its tag if it has one.
    pub(crate) fn meet(&self, is_there: bool, tag: Option<&str>) -> bool {
        let names_it = |names: &String| {
            let mut names = names.split(',').map(str::trim);
            is_there && names.any(|name| name == "*" || tag.is_some_and(|tag| name == tag))
        };
        self.if_match.as_ref().is_none_or(names_it)
            && !self.if_none_match.as_ref().is_some_and(names_it)
    }

    /// What is told of what they do not meet.
    pub(crate) fn refuse(object: &'static str, name: &str) -> Reason {
        Reason::IssuePreconditionFailed {
            object,
            name: printable(name),
        }
    }
}

/// Does something that changes one object, and says what came of that, if it did.
pub(crate) fn targeting<T>(target: Target, work: impl FnOnce() -> T) -> (T, Option<Done>) {
    let mut before = Before(TARGET.replace(Some(target)));
    let done = work();
    let target = TARGET.replace(before.0.take());
    (done, target.and_then(|target| target.done))
}

/// Refuses where something else is there than the request expects of what is changed. Who has the turn to
/// change the tenant asks, and stores nothing then if the tenant is another than it was.
pub(crate) fn check(tenant: &Tenant, changes: &[Change]) -> Result<(), Refused> {
    of_changes(tenant, changes, |target| {
        let tag = tenant.read(|snapshot| tag_of(snapshot, &target.key));
        match target.conditions.meet(tag.is_some(), tag.as_deref()) {
            true => Ok(()),
            false => Err(Conditions::refuse(target.object, &target.name).into()),
        }
    })
    .unwrap_or(Ok(()))
}

/// Whether something is expected of what is changed.
pub(crate) fn are_asked(tenant: &Tenant, changes: &[Change]) -> bool {
    let asked = of_changes(tenant, changes, |target| !target.conditions.are_none());
    asked.unwrap_or(false)
}

/// What is there before a change, of what a request names.
pub(crate) fn before(tenant: &Arc<Tenant>, changes: &[Change]) -> Option<bool> {
    of_changes(tenant, changes, |target| {
        tenant.read(|snapshot| object(snapshot, &target.key).is_some())
    })
}

/// Notes that changes were stored; of what comes after that of the same object nothing is expected.
pub(crate) fn note(tenant: &Tenant, changes: &[Change], was_there: Option<bool>) {
    let Some(was_there) = was_there else {
        return;
    };
    of_changes(tenant, changes, |target| {
        let change = changes.iter().rev().find(|one| one.key() == target.key);
        target.done = Some(Done {
            is_new: !was_there,
            tag: match change {
                Some(Change::Put(object)) => Some(tag(object.clone())),
                Some(Change::Remove(_)) | None => None,
            },
        });
    });
}

fn of_changes<T>(
    tenant: &Tenant,
    changes: &[Change],
    look: impl FnOnce(&mut Target) -> T,
) -> Option<T> {
    TARGET.with_borrow_mut(|target| {
        let target = target.as_mut().filter(|target| {
            target.done.is_none()
                && target.tenant == *tenant.id()
                && changes.iter().any(|change| change.key() == target.key)
        });
        target.map(look)
    })
}

/// What an object is called as it is now (RFC 9110 8.8.3), if it is there.
pub(crate) fn tag_of(snapshot: &Snapshot, key: &Key) -> Option<String> {
    object(snapshot, key).map(tag)
}

/// It is the name of all that an administrator wants of it, and of nothing that comes about by itself.
fn tag(mut object: Object) -> String {
    if let Object::Federation(relation) = &mut object {
        relation.course = None;
    }
    let digest_of = |sealed: &Sealed| sealed.digest().to_string();
    let sealed = match &object {
        Object::Attestor(attestor) => attestor.secret.as_ref().map(digest_of),
        Object::Egress(egress) => Some(egress.secret.digest().to_string()),
        Object::Signal(signal) => signal.secret.as_ref().map(digest_of),
        _ => None,
    };
    // All members stand in it, in one order; only what is sealed does not.
    let digest = Digest::of(format!("{object:?} {}", sealed.unwrap_or_default()).as_bytes());
    format!("\"{digest}\"")
}

/// What has a name, of the kinds that are put in the place of what had it.
fn object(snapshot: &Snapshot, key: &Key) -> Option<Object> {
    match key {
        Key::Admin(id) => snapshot.admins.get(id).cloned().map(Object::Admin),
        Key::Anchor(id) => snapshot.anchors.get(id).cloned().map(Object::Anchor),
        Key::Attestor(id) => snapshot.attestors.get(id).cloned().map(Object::Attestor),
        Key::Egress(id) => snapshot.egresses.get(id).cloned().map(Object::Egress),
        Key::Entry(id) => {
            let entry = snapshot.entries.get(id)?;
            Some(Object::Entry(avouch_store::Entry::clone(entry)))
        }
        Key::Federation(name) => {
            let relation = snapshot.federations.get(name);
            relation.cloned().map(Object::Federation)
        }
        Key::Issuer(id) => snapshot.issuers.get(id).cloned().map(Object::Issuer),
        // Where nobody has said anything, nothing is bounded, and that may be read.
        Key::Quota => Some(Object::Quota(snapshot.quota.clone().unwrap_or_default())),
        Key::Rule(id) => snapshot.rules.get(id).cloned().map(Object::Rule),
        Key::Service(id) => snapshot.services.get(id).cloned().map(Object::Service),
        Key::Signal(key) => snapshot.signals.get(key).cloned().map(Object::Signal),
        Key::Authority(_)
        | Key::IssuerKeys(_)
        | Key::IssuerPins(_)
        | Key::JoinToken(_)
        | Key::Name(_)
        | Key::Node(_)
        | Key::Tally(_)
        | Key::TrustDomain(_) => None,
    }
}

/// Put back also where the work panics: the thread does something else next.
struct Before(Option<Target>);

impl Drop for Before {
    fn drop(&mut self) {
        TARGET.set(self.0.take());
    }
}
