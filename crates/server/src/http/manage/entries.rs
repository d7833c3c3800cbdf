//! Registration entries.

use std::ops::Bound;
use std::sync::Arc;

use avouch_api::batch::Batch;
use avouch_api::members::{Document, Members};
use avouch_core::reason::Reason;
use avouch_core::template::IdTemplate;
use avouch_store::{Entry, EntryId};
use serde_json::{Value, json};

use super::audit::unsaid;
use super::{refusal, said};
use crate::administrators::Superiors;
use crate::entries::{EntryDraft, Existing};
use crate::fault::unknown;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::issuing::Answers;
use crate::tenant::Tenant;

const OBJECT: &str = "registration entry";

/// How many are listed at once if nobody says, and at most.
const USUAL_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

/// The most entries of one batch: one commit, and one lock on the tenant while it lasts.
const LARGEST_BATCH: usize = 20_000;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let limit = limit(call)?;
    let after = match call.asked("after") {
        None => Bound::Unbounded,
        Some(name) => {
            let name = EntryId::parse(name).ok_or_else(|| unknown(OBJECT, name))?;
            Bound::Excluded(name)
        }
    };
    let orphans = call.plane().orphans(tenant)?;
    let (entries, orphaned, unsaid, next) = tenant.read(|snapshot| {
        let mut rest = snapshot.entries.range((after, Bound::Unbounded));
        let page = rest.by_ref().take(limit).map(|(_, entry)| entry.as_ref());
        let page: Vec<&Entry> = page.collect();
        let last = page.last().map(|entry| entry.id.to_string());
        let next = last.filter(|_| rest.next().is_some());
        let orphaned = page.iter().filter_map(|entry| {
            let owner = entry.extras.owner.as_deref()?;
            orphans.of(entry.id.as_str(), owner)
        });
        let orphaned: Vec<Value> = orphaned.collect();
        let unsaid = page.iter().filter_map(|entry| {
            let missing = unsaid(&entry.extras);
            let is_whole = missing.is_empty();
            (!is_whole).then(|| json!({ "entry": entry.id.as_str(), "missing": missing }))
        });
        let unsaid: Vec<Value> = unsaid.collect();
        let page: Vec<Value> = page.into_iter().map(to_json).collect();
        (page, orphaned, unsaid, next)
    });
    let mut answer = json!({ "entries": entries, "orphaned": orphaned, "unsaid": unsaid });
    if let (Some(next), Some(members)) = (next, answer.as_object_mut()) {
        members.insert("next".to_owned(), next.into());
    }
    Ok(Answer::json(&answer))
}

pub(super) fn limit(call: &Call) -> Result<usize, Reason> {
    let Some(text) = call.asked("limit") else {
        return Ok(USUAL_PAGE);
    };
    let limit = text.parse().ok();
    let within = limit.filter(|limit| (1..=LARGEST_PAGE).contains(limit));
    within.ok_or_else(|| {
        Document::Request("query of the address")
            .refuse(format!("`limit` must be a number from 1 to {LARGEST_PAGE}"))
    })
}

pub(in crate::http) fn create(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let superiors = call.plane().superiors(&call.caller()?, tenant)?;
    let Some(batch) = batch(call, OBJECT)? else {
        let draft = draft(call.members(OBJECT)?).and_then(|draft| permitted(&superiors, draft))?;
        let entry = one(call
            .plane()
            .store_entries(tenant, vec![draft], Existing::Refuse)?)?;
        if call.is_dry_run() {
            return Ok(Answer::dry_run(None));
        }
        return Ok(Answer::created(&to_json(&entry), &location(tenant, &entry)));
    };
    let drafts =
        batch.each(|members| draft(members).and_then(|draft| permitted(&superiors, draft)))?;
    let answers = store_readable(call, tenant, drafts)?;
    let answers: Vec<Value> = answers
        .iter()
        .map(|answer| match answer {
            Ok(entry) => json!({ "entry": to_json(entry) }),
            Err(reason) => refusal(reason),
        })
        .collect();
    Ok(match call.is_dry_run() {
        true => Answer::dry_run(Some(answers)),
        false => Answer::json(&json!({ "answers": answers })),
    })
}

/// Stores those that could be read, and puts their answers in the places they were read from.
fn store_readable(
    call: &Call,
    tenant: &Arc<Tenant>,
    drafts: Vec<Result<EntryDraft, Reason>>,
) -> Result<Answers<Entry>, Stop> {
    let readable = drafts.iter().flatten().cloned().collect();
    let stored = call
        .plane()
        .store_entries(tenant, readable, Existing::Refuse)?;
    let mut stored = stored.into_iter();
    let answers = drafts.into_iter().map(|draft| match draft {
        Err(reason) => Some(Err(reason)),
        Ok(_) => stored.next(),
    });
    Ok(answers.flatten().collect())
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.name("entry");
    let entry = EntryId::parse(name).and_then(|id| {
        tenant.read(|snapshot| snapshot.entries.get(&id).map(|entry| to_json(entry)))
    });
    let entry = entry.ok_or_else(|| unknown(OBJECT, name))?;
    Ok(Answer::json(&entry))
}

pub(in crate::http) fn replace(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let superiors = call.plane().superiors(&call.caller()?, tenant)?;
    let mut draft = permitted(&superiors, draft(call.members(OBJECT)?)?)?;
    let name = call.name("entry");
    if draft.id.as_deref().is_some_and(|id| id != name) {
        let detail = "`id` is another than in the address; leave it out";
        return Err(Document::Request(OBJECT).refuse(detail).into());
    }
    draft.id = Some(name.to_owned());
    let entry = one(call.plane().put_entries(tenant, vec![draft])?)?;
    Ok(Answer::json(&to_json(&entry)))
}

fn location(tenant: &Tenant, entry: &Entry) -> String {
    format!("/v1/tenants/{}/entries/{}", tenant.id(), entry.id)
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let names = [call.name("entry").to_owned()];
    one(call.plane().remove_entries(tenant, &names)?)?;
    Ok(Answer::done())
}

pub(in crate::http) fn remove_many(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    const LIST: &str = "list of registration entries";
    let names = match batch(call, LIST)? {
        Some(batch) => batch.texts()?,
        None => {
            call.members(LIST)?.finish()?;
            Vec::new()
        }
    };
    let answers = call.plane().remove_entries(tenant, &names)?;
    let answers: Vec<Value> = answers
        .iter()
        .map(|answer| match answer {
            Ok(id) => json!({ "removed": id.as_str() }),
            Err(reason) => refusal(reason),
        })
        .collect();
    Ok(Answer::json(&json!({ "answers": answers })))
}

/// The list of what is sent, if it is one.
fn batch<'a>(call: &'a Call, object: &'static str) -> Result<Option<Batch<'a>>, Reason> {
    let document = Document::Request(object);
    Batch::read(document, call.text(object)?, "entries", LARGEST_BATCH)
}

/// The answer for a batch of one.
fn one<T>(answers: Answers<T>) -> Result<T, Stop> {
    let answer = answers.into_iter().next();
    let answer =
        answer.ok_or_else(|| crate::Fault::Bug("a batch of one has no answer".to_owned()))?;
    Ok(answer?)
}

/// What someone asks for who could not be one of these by it.
fn permitted(superiors: &Superiors, draft: EntryDraft) -> Result<EntryDraft, Reason> {
    // What is no identity is refused as that.
    if let Ok(identity) = IdTemplate::parse(&draft.spiffe_id) {
        superiors.check(&identity)?;
    }
    Ok(draft)
}

fn draft(mut members: Members) -> Result<EntryDraft, Reason> {
    let draft = EntryDraft {
        id: members.text("id")?,
        spiffe_id: members.required_text("spiffe_id")?,
        parent: members.text("parent")?,
        node_selectors: members.text_list("node_selectors")?,
        selectors: members.text_list("selectors")?,
        dns_names: members.text_list("dns_names")?,
        federates_with: members.text_list("federates_with")?,
        hint: members.text("hint")?.unwrap_or_default(),
        x509_ttl: members.count("x509_ttl")?,
        jwt_ttl: members.count("jwt_ttl")?,
        owner: members.text("owner")?,
        purpose: members.text("purpose")?,
        expires: members.time("expires")?,
    };
    // It is shown and cannot be chosen; taken so that what was shown can be sent back.
    members.time("created")?;
    members.finish()?;
    Ok(draft)
}

/// A registration entry as it is shown.
pub(in crate::http) fn to_json(entry: &Entry) -> Value {
    let texts = |list: Vec<&str>| Value::from(list);
    let extras = &entry.extras;
    said(json!({
        "id": entry.id.as_str(),
        "spiffe_id": entry.spiffe_id.as_str(),
        "parent": entry.parent.as_ref().map(|parent| parent.as_str()),
        "node_selectors": texts(entry.extras.node_selectors.iter().map(|one| one.as_str()).collect()),
        "selectors": texts(entry.selectors.iter().map(|one| one.as_str()).collect()),
        "dns_names": extras.dns_names,
        "federates_with": texts(extras.federates_with.iter().map(|one| one.as_str()).collect()),
        "hint": extras.hint,
        "x509_ttl": extras.x509_ttl,
        "jwt_ttl": extras.jwt_ttl,
        "owner": extras.owner,
        "purpose": extras.purpose,
        "created": entry.created.to_string(),
        "expires": extras.expires.map(|end| end.to_string()),
    }))
}
