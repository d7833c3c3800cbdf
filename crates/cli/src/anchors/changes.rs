//! What has changed from one trust document to another, and how grave that is.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use avouch_api::{Entry, TrustDocument};
use avouch_core::anchor::{Anchor, AnchorKind, Constraints, PublicStore, StatusUse, Stewardship};
use avouch_core::credential::jose::jwk::{Jwk, KeySet};
use avouch_core::credential::x509::Certificate;
use avouch_core::exchange::at_most::GrantsAtMost;
use avouch_core::id::Digest;
use avouch_core::set_aside::Unusable;
use avouch_core::time::Time;
use serde_json::{Value, json};

use crate::fault::Exit;

/// How grave a change is: how much more is trusted than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Only words have changed.
    Info,
    /// Less is trusted.
    Low,
    /// The same is trusted in another way, for longer or for more.
    Medium,
    /// Something is trusted that was not.
    High,
}

impl Severity {
    /// The name in a list of changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// How a run ends in which this is the gravest change.
    pub fn exit(self) -> Exit {
        match self {
            Self::Info => Exit::FindingInfo,
            Self::Low => Exit::FindingLow,
            Self::Medium => Exit::FindingMedium,
            Self::High => Exit::FindingHigh,
        }
    }
}

/// One difference between two trust documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    what: What,
    anchor: String,
    key: String,
    details: Vec<Difference>,
}

/// A member that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub member: String,
    /// What it was, in words.
    pub old: String,
    /// What it is.
    pub new: String,
    /// How grave that is.
    pub severity: Severity,
}

/// What has happened to an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Added,
    Changed,
    CrlAdded,
    CrlRemoved,
    CrlReplaced,
    Recertified,
    Removed,
    StatusListAdded,
    StatusListRemoved,
    StatusListReplaced,
    Unreadable,
}

impl Change {
    /// The anchor it is about.
    pub fn anchor(&self) -> &str {
        &self.anchor
    }

    /// The key of the anchor.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The members that differ.
    pub fn details(&self) -> &[Difference] {
        &self.details
    }

    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self.what {
            What::Added => "added",
            What::Changed => "changed",
            What::CrlAdded => "crl_added",
            What::CrlRemoved => "crl_removed",
            What::CrlReplaced => "crl_replaced",
            What::Recertified => "recertified",
            What::Removed => "removed",
            What::StatusListAdded => "status_list_added",
            What::StatusListRemoved => "status_list_removed",
            What::StatusListReplaced => "status_list_replaced",
            What::Unreadable => "unreadable",
        }
    }

    /// What it means, in words.
    pub fn meaning(&self) -> &'static str {
        match self.what {
            What::Added => "whoever holds this key can now vouch",
            What::Changed => "the same key, in other bounds",
            What::CrlAdded => "a revocation list more",
            What::CrlRemoved => "what only this list revoked is believed again",
            What::CrlReplaced => "another revocation list stands in its place",
            What::Recertified => "the same key under another certificate",
            What::Removed => "what only this key vouched for is no longer believed",
            What::StatusListAdded => "a status list of tokens more",
            What::StatusListRemoved => "what this list withdrew is withdrawn no longer",
            What::StatusListReplaced => "another status list stands in its place",
            What::Unreadable => "it cannot be read, and is not trusted",
        }
    }

    /// How grave it is.
    pub fn severity(&self) -> Severity {
        let of_details = self.details.iter().map(|detail| detail.severity).max();
        match self.what {
            What::Added | What::CrlRemoved | What::StatusListRemoved => Severity::High,
            What::Changed => of_details.unwrap_or(Severity::Info),
            What::CrlAdded
            | What::CrlReplaced
            | What::StatusListAdded
            | What::StatusListReplaced => Severity::Info,
            What::Recertified => of_details.unwrap_or(Severity::Medium).max(Severity::Medium),
            What::Removed | What::Unreadable => Severity::Low,
        }
    }
}

/// What has changed, in the order of the new document, and then what is gone.
pub fn changes(old: &TrustDocument, new: &TrustDocument) -> Vec<Change> {
    let mut before: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
    for entry in old.entries() {
        before.entry(key_of(&entry.anchor)).or_default().push(entry);
    }
    let mut changes = Vec::new();
    let mut unmatched = Vec::new();
    // What is the same is matched first, and then equal certificates: the order of two anchors of one key
    // means nothing, and a key with two certificates of which one is gone does not look like two changes.
    let mut differ = Vec::new();
    for entry in new.entries() {
        let same_key = before.entry(key_of(&entry.anchor)).or_default();
        let is_same =
            |old: &&Entry| is_same_thing(old, entry) && differences(old, entry).is_empty();
        match same_key.iter().position(is_same) {
            Some(index) => drop(same_key.remove(index)),
            None => differ.push(entry),
        }
    }
    for entry in differ {
        let same_key = before.entry(key_of(&entry.anchor)).or_default();
        match same_key.iter().position(|old| is_same_thing(old, entry)) {
            Some(index) => changes.extend(changed(same_key.remove(index), entry)),
            None => unmatched.push(entry),
        }
    }
    for entry in unmatched {
        let same_key = before.entry(key_of(&entry.anchor)).or_default();
        if same_key.is_empty() {
            changes.push(whole(What::Added, entry));
        } else {
            changes.push(recertified(same_key.remove(0), entry));
        }
    }
    changes.extend(
        before
            .values()
            .flatten()
            .map(|entry| whole(What::Removed, entry)),
    );
    changes.extend(list_changes(&crls_of(old), &crls_of(new), CRLS));
    changes.extend(list_changes(
        &status_lists_of(old),
        &status_lists_of(new),
        STATUS_LISTS,
    ));
    let known: Vec<&Unusable> = old.set_aside().kept().iter().collect();
    changes.extend(
        new.set_aside()
            .kept()
            .iter()
            .filter(|unusable| !known.contains(unusable))
            .map(|unusable| Change {
                what: What::Unreadable,
                anchor: unusable.what.clone(),
                key: String::new(),
                details: Vec::new(),
            }),
    );
    changes
}

/// What makes an anchor itself through all changes: its key, or the name whose keys it holds.
pub(super) fn key_of(anchor: &Anchor) -> String {
    match &anchor.kind {
        AnchorKind::ApiKey(key) => format!("api_key {}", key.sha256()),
        AnchorKind::Certificate(certificate) => {
            format!("x509 {}", Digest::of(certificate.public_key_info()))
        }
        AnchorKind::Issuer(issuer) => format!("issuer {}", issuer.issuer()),
        AnchorKind::Federation(federation) => {
            format!("openid_federation {}", federation.entity_id())
        }
        AnchorKind::Saml(provider) => format!("saml {}", provider.entity_id()),
        AnchorKind::Ssh(trusted) => format!("ssh {}", trusted.fingerprints().join(", ")),
        AnchorKind::TrustDomain(bundle) => format!("trust_domain {}", bundle.trust_domain),
    }
}

fn is_same_thing(old: &Entry, new: &Entry) -> bool {
    match (certificate_of(old), certificate_of(new)) {
        (Some(old), Some(new)) => old == new,
        _ => true,
    }
}

fn certificate_of(entry: &Entry) -> Option<&Certificate> {
    match &entry.anchor.kind {
        AnchorKind::Certificate(certificate) => Some(certificate),
        AnchorKind::ApiKey(_)
        | AnchorKind::Issuer(_)
        | AnchorKind::Federation(_)
        | AnchorKind::Saml(_)
        | AnchorKind::Ssh(_)
        | AnchorKind::TrustDomain(_) => None,
    }
}

fn whole(what: What, entry: &Entry) -> Change {
    Change {
        what,
        anchor: entry.anchor.name.clone(),
        key: key_of(&entry.anchor),
        details: Vec::new(),
    }
}

fn changed(old: &Entry, new: &Entry) -> Option<Change> {
    let details = differences(old, new);
    (!details.is_empty()).then(|| Change {
        what: What::Changed,
        anchor: new.anchor.name.clone(),
        key: key_of(&new.anchor),
        details,
    })
}

fn recertified(old: &Entry, new: &Entry) -> Change {
    let mut details = Vec::new();
    if let (Some(before), Some(after)) = (certificate_of(old), certificate_of(new)) {
        let facts = [
            (
                "sha256",
                before.sha256().to_string(),
                after.sha256().to_string(),
            ),
            (
                "subject",
                before.subject().to_string(),
                after.subject().to_string(),
            ),
            (
                "not_after",
                before.not_after().to_string(),
                after.not_after().to_string(),
            ),
        ];
        for (member, old, new) in facts {
            if old != new {
                details.push(difference(member, old, new, Severity::Medium));
            }
        }
    }
    details.extend(differences(old, new));
    Change {
        what: What::Recertified,
        anchor: new.anchor.name.clone(),
        key: key_of(&new.anchor),
        details,
    }
}

/// The members that differ between two states of one anchor.
fn differences(old: &Entry, new: &Entry) -> Vec<Difference> {
    let mut found = Vec::new();
    let (old_words, new_words) = (words(&old.anchor), words(&new.anchor));
    for ((member, old), (_, new)) in old_words.into_iter().zip(new_words) {
        if old != new {
            found.push(difference(member, old, new, Severity::Info));
        }
    }
    expiry(&old.anchor.stewardship, &new.anchor.stewardship, &mut found);
    store(&old.anchor.stewardship, &new.anchor.stewardship, &mut found);
    constraints(&old.anchor, &new.anchor, &mut found);
    if old.anchor.tenant != new.anchor.tenant {
        let (old, new) = (old.anchor.tenant.to_string(), new.anchor.tenant.to_string());
        found.push(difference("tenant", old, new, Severity::Medium));
    }
    let keys_told = keys(old, new, &mut found);
    let names: BTreeSet<&String> = old.members.keys().chain(new.members.keys()).collect();
    for name in names {
        let is_told = keys_told && matches!(name.as_str(), "jwks" | "bundle");
        let (old, new) = (old.members.get(name), new.members.get(name));
        if old != new && !is_told {
            // Whether audiences or rules are wider is not judged here: any change matters.
            let (old, new) = (in_words(old), in_words(new));
            found.push(difference(name, old, new, Severity::Medium));
        }
    }
    found
}

/// The keys of an issuer or a trust domain: one more can vouch for everything the others can.
/// Whether they differ.
fn keys(old: &Entry, new: &Entry, found: &mut Vec<Difference>) -> bool {
    let (before, after) = (keys_of(&old.anchor), keys_of(&new.anchor));
    if before == after {
        return false;
    }
    let severity = if after.is_subset(&before) {
        Severity::Low
    } else {
        Severity::High
    };
    let words = |keys: BTreeSet<String>| match keys.is_empty() {
        true => none(),
        false => Vec::from_iter(keys).join(", "),
    };
    found.push(difference("keys", words(before), words(after), severity));
    true
}

/// The keys that can vouch under a name, each with what makes it another key.
fn keys_of(anchor: &Anchor) -> BTreeSet<String> {
    let of_set = |kind: &'static str, set: &KeySet| {
        let name = move |key: &Jwk| format!("{kind} {} {}", key.name(), key.thumbprint().short());
        set.keys().iter().map(name).collect::<BTreeSet<_>>()
    };
    match &anchor.kind {
        AnchorKind::Issuer(issuer) => issuer
            .keys()
            .map(|keys| of_set("jwt", keys))
            .unwrap_or_default(),
        AnchorKind::Federation(federation) => of_set("entity", federation.keys()),
        AnchorKind::Saml(provider) => {
            let name = |certificate: &Arc<Certificate>| {
                let key = Digest::of(certificate.public_key_info());
                format!("saml {} {}", certificate.title(), key.short())
            };
            provider.certificates().iter().map(name).collect()
        }
        AnchorKind::TrustDomain(bundle) => {
            let mut keys = of_set("jwt-svid", bundle.jwt_authorities());
            keys.extend(of_set("wit-svid", bundle.wit_authorities()));
            let name = |authority: &Arc<Certificate>| {
                format!(
                    "x509-svid {} {}",
                    authority.title(),
                    authority.sha256().short()
                )
            };
            keys.extend(bundle.x509_authorities.iter().map(name));
            keys
        }
        AnchorKind::Ssh(trusted) => trusted.fingerprints().into_iter().collect(),
        AnchorKind::ApiKey(_) | AnchorKind::Certificate(_) => BTreeSet::new(),
    }
}

/// What is said about an anchor for people only.
fn words(anchor: &Anchor) -> [(&'static str, String); 5] {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(none);
    [
        ("name", anchor.name.clone()),
        ("owner", text(&anchor.stewardship.owner)),
        ("reason", text(&anchor.stewardship.reason)),
        ("added", moment(anchor.stewardship.added)),
        (
            "key_origin",
            anchor
                .stewardship
                .key_origin
                .map_or_else(none, |origin| origin.name().to_owned()),
        ),
    ]
}

fn expiry(old: &Stewardship, new: &Stewardship, found: &mut Vec<Difference>) {
    if old.expires == new.expires {
        return;
    }
    let longer = match (old.expires, new.expires) {
        (Some(_), None) => true,
        (Some(old), Some(new)) => new > old,
        (None, _) => false,
    };
    let severity = if longer {
        Severity::Medium
    } else {
        Severity::Low
    };
    found.push(difference(
        "expires",
        moment(old.expires),
        moment(new.expires),
        severity,
    ));
}

/// The public store that an anchor is of: a member of none may vouch for more than servers.
fn store(old: &Stewardship, new: &Stewardship, found: &mut Vec<Difference>) {
    let (old, new) = (&old.public_store, &new.public_store);
    if old == new {
        return;
    }
    let severity = match (old, new) {
        (_, None) => Severity::Medium,
        (None, Some(_)) => Severity::Low,
        (Some(_), Some(_)) => Severity::Info,
    };
    let words = |store: &Option<PublicStore>| match store {
        None => none(),
        Some(store) => format!(
            "{}: {}, as of {}",
            store.label.name(),
            store.source,
            moment(store.as_of)
        ),
    };
    found.push(difference("store", words(old), words(new), severity));
}

fn constraints(old: &Anchor, new: &Anchor, found: &mut Vec<Difference>) {
    status_use(
        old.constraints.status_lists,
        new.constraints.status_lists,
        found,
    );
    grants(&old.constraints, &new.constraints, found);
    let is_of_store = new.stewardship.public_store.is_some();
    let (old, new) = (&old.constraints, &new.constraints);
    let names = |constraints: &Constraints| {
        let domains = constraints
            .trust_domains
            .iter()
            .map(ToString::to_string)
            .collect();
        let purposes = constraints
            .purposes
            .iter()
            .map(|p| p.name().to_owned())
            .collect();
        [
            ("constraints.trust_domains", domains),
            ("constraints.dns", constraints.dns.clone()),
            ("constraints.purposes", purposes),
        ]
    };
    for ((member, old), (_, new)) in names(old).into_iter().zip(names(new)) {
        // Who names a trust domain lets it make X.509-SVIDs of that one; of a public store, who names
        // purposes lets it vouch for more than servers.
        let names_widen = match member {
            "constraints.trust_domains" => true,
            "constraints.purposes" => is_of_store && new.iter().any(|name| name != "server"),
            _ => false,
        };
        set_of_names(member, &old, &new, names_widen, found);
    }
    if old.path_length != new.path_length {
        let narrower = match (old.path_length, new.path_length) {
            (None, Some(_)) => true,
            (Some(old), Some(new)) => new < old,
            (_, None) => false,
        };
        let severity = if narrower {
            Severity::Low
        } else {
            Severity::Medium
        };
        let words = |length: Option<u32>| length.map_or_else(none, |length| length.to_string());
        let (old, new) = (words(old.path_length), words(new.path_length));
        found.push(difference("constraints.path_length", old, new, severity));
    }
}

/// Whether tokens are looked up in status lists: the less, the more is believed.
fn status_use(old: StatusUse, new: StatusUse, found: &mut Vec<Difference>) {
    let strictness = |wanted| match wanted {
        StatusUse::Ignored => 0,
        StatusUse::Checked => 1,
        StatusUse::Required => 2,
    };
    let severity = match strictness(new).cmp(&strictness(old)) {
        Ordering::Equal => return,
        Ordering::Greater => Severity::Low,
        Ordering::Less => Severity::Medium,
    };
    let (old, new) = (old.name().to_owned(), new.name().to_owned());
    found.push(difference("constraints.status_lists", old, new, severity));
}

/// What may be had through an anchor at most. Which of two bounds is wider is not judged here.
fn grants(old: &Constraints, new: &Constraints, found: &mut Vec<Difference>) {
    let (old, new) = (&old.grants_at_most, &new.grants_at_most);
    if old == new {
        return;
    }
    let severity = match old.bounds() {
        false => Severity::Low,
        true => Severity::Medium,
    };
    let words = |most: &GrantsAtMost| match most.bounds() {
        true => most.to_json().to_string(),
        false => none(),
    };
    found.push(difference(
        "grants_at_most",
        words(old),
        words(new),
        severity,
    ));
}

/// A constraint that names what is permitted; without a name it permits everything.
///
/// `names_widen` where the first name permits something, too.
fn set_of_names(
    member: &'static str,
    old: &[String],
    new: &[String],
    names_widen: bool,
    found: &mut Vec<Difference>,
) {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (old.iter().collect(), new.iter().collect());
    if before == after {
        return;
    }
    let is_first = before.is_empty() && !names_widen;
    let is_fewer = !before.is_empty() && after.is_subset(&before);
    let narrower = !after.is_empty() && (is_first || is_fewer);
    let severity = if narrower {
        Severity::Low
    } else {
        Severity::Medium
    };
    let words = |names: &[String]| {
        if names.is_empty() {
            none()
        } else {
            names.join(", ")
        }
    };
    found.push(difference(member, words(old), words(new), severity));
}

/// Lists that withdraw, by whom they are of and by their digest, each in words.
type Lists = BTreeMap<String, BTreeMap<Digest, String>>;

/// How lists of one kind are told.
#[derive(Clone, Copy)]
struct ListKind {
    key: &'static str,
    added: What,
    removed: What,
    replaced: What,
}

const CRLS: ListKind = ListKind {
    key: "crl",
    added: What::CrlAdded,
    removed: What::CrlRemoved,
    replaced: What::CrlReplaced,
};

const STATUS_LISTS: ListKind = ListKind {
    key: "status_list",
    added: What::StatusListAdded,
    removed: What::StatusListRemoved,
    replaced: What::StatusListReplaced,
};

/// Lists by their content. A list that was replaced by another of its issuer is not grave; fewer lists
/// of one issuer are, since what only one of them withdrew is believed again.
fn list_changes(before: &Lists, after: &Lists, kind: ListKind) -> Vec<Change> {
    let none = BTreeMap::new();
    let issuers: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for issuer in issuers {
        let old = before.get(issuer).unwrap_or(&none);
        let new = after.get(issuer).unwrap_or(&none);
        let gone = match new.len() >= old.len() {
            true => kind.replaced,
            false => kind.removed,
        };
        let mut tell = |what, digest: &Digest, words: &String| {
            changes.push(Change {
                what,
                anchor: words.clone(),
                key: format!("{} {digest}", kind.key),
                details: Vec::new(),
            });
        };
        let removed = old.iter().filter(|(digest, _)| !new.contains_key(digest));
        removed.for_each(|(digest, words)| tell(gone, digest, words));
        let added = new.iter().filter(|(digest, _)| !old.contains_key(digest));
        added.for_each(|(digest, words)| tell(kind.added, digest, words));
    }
    changes
}

fn crls_of(document: &TrustDocument) -> Lists {
    let mut lists = Lists::new();
    for crl in document.crls() {
        let issuer = crl.issuer().to_string();
        let words = format!("revocation list of {issuer} as of {}", crl.this_update());
        lists.entry(issuer).or_default().insert(crl.sha256(), words);
    }
    lists
}

fn status_lists_of(document: &TrustDocument) -> Lists {
    let mut lists = Lists::new();
    for list in document.status_lists() {
        let uri = list.uri().to_owned();
        let words = format!("status list at {uri} as of {}", list.issued_at());
        lists.entry(uri).or_default().insert(list.digest(), words);
    }
    lists
}

fn difference(member: &str, old: String, new: String, severity: Severity) -> Difference {
    Difference {
        member: member.to_owned(),
        old,
        new,
        severity,
    }
}

fn in_words(value: Option<&Value>) -> String {
    match value {
        None => none(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn moment(time: Option<Time>) -> String {
    time.map_or_else(none, |time| time.to_string())
}

fn none() -> String {
    "none".to_owned()
}

/// The changes as JSON.
pub(super) fn to_json(changes: &[Change]) -> Value {
    let severest = changes.iter().map(Change::severity).max();
    json!({
        "severity": severest.map(Severity::name),
        "changes": changes.iter().map(|change| json!({
            "change": change.word(),
            "severity": change.severity().name(),
            "anchor": change.anchor,
            "key": change.key,
            "meaning": change.meaning(),
            "details": change.details.iter().map(|detail| json!({
                "member": detail.member,
                "old": detail.old,
                "new": detail.new,
                "severity": detail.severity.name(),
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}
