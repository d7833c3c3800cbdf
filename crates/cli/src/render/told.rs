//! A verdict that a server told, drawn from its JSON: the path to the anchor, or where each path
//! failed. Whoever may not read the anchors of the tenant is told a code and no more.

use avouch_core::reason::{printable, printable_sentence};
use serde_json::Value;

use super::Detail;
use super::ladder::{self, End, Ladder, Step};
use super::layout::{Page, Style, branch, count};

/// The column of names beside which the facts of an acceptance stand.
const COLUMN: usize = 10;

/// Draws what a server has decided.
pub(crate) fn told(verdict: &Value, detail: Detail, style: Style) -> String {
    let mut page = Page::new(style);
    match verdict.get("verdict").and_then(Value::as_str) {
        Some("accept") => accepted(&mut page, verdict, detail),
        Some("reject") => rejected(&mut page, verdict, detail),
        Some(_) | None => undetermined(&mut page, verdict),
    }
    page.finish()
}

fn accepted(page: &mut Page, verdict: &Value, detail: Detail) {
    let identity = verdict
        .get("identity")
        .filter(|identity| identity.is_object());
    let Some(identity) = identity else {
        let painted = page.style.good("accepted");
        page.headline(
            "accepted",
            &painted,
            "whose it is, the tenant alone may know",
        );
        page.field(0, COLUMN, "decision", &text(verdict, "decision"));
        return;
    };
    let name = text(identity, "name");
    let painted = page.style.good("accepted");
    page.headline("accepted", &painted, &name);
    page.gap();
    let anchor = verdict.get("anchor").cloned().unwrap_or_default();
    let ladder = Ladder {
        end: end(&anchor, identity),
        steps: list(verdict, "path").iter().map(step).collect(),
        name,
    };
    ladder.draw(page);
    page.gap();
    stewardship(page, &anchor);
    let of = format!(
        "{} of tenant {}, decided by {}",
        kind(identity),
        text(identity, "tenant"),
        text(verdict, "model").replace('_', " "),
    );
    page.field(0, COLUMN, "identity", &of);
    page.field(
        0,
        COLUMN,
        "assurance",
        &text(identity, "assurance").replace('_', " "),
    );
    let valid = format!(
        "{} to {}",
        text(verdict, "valid_from"),
        text(verdict, "valid_until")
    );
    page.field(0, COLUMN, "valid", &valid);
    if detail == Detail::Full {
        checks(page, verdict);
    }
    page.field(0, COLUMN, "decision", &text(verdict, "decision"));
}

/// Who answers for the anchor, why it is there, since when and until when.
fn stewardship(page: &mut Page, anchor: &Value) {
    let named = format!("{}, key {}", text(anchor, "name"), text(anchor, "key_id"));
    page.field(0, COLUMN, "anchor", &named);
    for name in [
        "owner",
        "reason",
        "added",
        "expires",
        "key_origin",
        "source",
    ] {
        if anchor.get(name).is_some_and(Value::is_string) {
            page.field(2, COLUMN - 2, &name.replace('_', " "), &text(anchor, name));
        }
    }
    if let Some(store) = store_of(anchor) {
        let [label, source, as_of] = ["label", "source", "as_of"].map(|name| text(store, name));
        let told = format!("public store {label}: {source}, as of {as_of}");
        page.field(2, COLUMN - 2, "store", &told);
    }
}

/// The public store that an anchor is of.
fn store_of(anchor: &Value) -> Option<&Value> {
    anchor.get("store").filter(|store| store.is_object())
}

fn checks(page: &mut Page, verdict: &Value) {
    for check in list(verdict, "checks") {
        let tick = page.style.good("✓");
        let compared = format!(
            "{}: {} ({})",
            text(check, "what"),
            text(check, "compared"),
            text(check, "spec")
        );
        page.hanging("  ✓ ", &format!("  {tick} "), &compared);
    }
}

fn rejected(page: &mut Page, verdict: &Value, detail: Detail) {
    let attempts = list(verdict, "attempts");
    let reason = verdict.get("reason").cloned().unwrap_or_default();
    headline(page, "rejected", &reason);
    let (nearest, others) = match attempts.split_first() {
        Some((nearest, others)) => (Some(nearest), others),
        None => (None, attempts),
    };
    if let Some(nearest) = nearest {
        attempt(page, nearest);
    }
    remarks(page, &reason, detail);
    page.remark("decision", &text(verdict, "decision"));
    if nearest.is_none() {
        page.gap();
        page.line(
            "Why, and on which paths, those are told who may read the anchors of the tenant.",
        );
    }
    if detail == Detail::Full {
        for other in others {
            page.gap();
            let reason = other.get("reason").cloned().unwrap_or_default();
            headline(page, "also tried", &reason);
            attempt(page, other);
            remarks(page, &reason, detail);
        }
    } else if !others.is_empty() {
        page.gap();
        let more = count(others.len(), "other path", "other paths");
        page.line(&format!(
            "{more} failed as well; `avouch explain` shows them."
        ));
    }
}

fn headline(page: &mut Page, word: &str, reason: &Value) {
    let word = format!("{word}[{}]", text(reason, "code"));
    let painted = page.style.bad(&word);
    page.headline(&word, &painted, &whole(reason, "sentence"));
}

/// The vouches that were found, and where it stopped.
fn attempt(page: &mut Page, attempt: &Value) {
    let bar = page.style.faint("|");
    let stopped_at = text(attempt, "stopped_at");
    page.line(&format!("  {} {stopped_at}", page.style.faint("-->")));
    page.line(&format!("   {bar}"));
    let path = list(attempt, "path");
    if let Some(first) = path.first() {
        page.line(&format!("   {bar} {}", text(first, "vouches_for")));
    }
    for (depth, vouch) in (1..).zip(path) {
        page.line(&format!("   {bar} {}{}", branch(depth), said_by(vouch)));
    }
    let code = attempt.get("reason").map(|reason| text(reason, "code"));
    let cross = page.style.bad(&format!("✗ {}", code.unwrap_or_default()));
    let depth = if path.is_empty() { 0 } else { path.len() + 1 };
    page.line(&format!("   {bar} {}{stopped_at} {cross}", branch(depth)));
    page.line(&format!("   {bar}"));
}

/// What was expected and seen, where it is asked for, the fix and how large it is, the standard.
fn remarks(page: &mut Page, reason: &Value, detail: Detail) {
    let evidence = reason.get("evidence").and_then(Value::as_object);
    if detail == Detail::Full {
        for (name, fact) in evidence.into_iter().flatten() {
            let fact = fact
                .as_str()
                .map_or_else(|| fact.to_string(), str::to_owned);
            page.remark(&printable(name).replace('_', " "), &printable(&fact));
        }
    }
    for (name, member) in [("fix", "hint"), ("admits", "also_admits"), ("spec", "spec")] {
        if reason.get(member).is_some_and(Value::is_string) {
            page.remark(name, &whole(reason, member));
        }
    }
}

fn undetermined(page: &mut Page, verdict: &Value) {
    let painted = page.style.unsure("undetermined");
    let sentence = "there can be no verdict without more facts";
    page.headline("undetermined", &painted, sentence);
    for need in list(verdict, "needs") {
        page.remark("need", &whole(need, "sentence"));
    }
    page.remark("decision", &text(verdict, "decision"));
}

fn said_by(vouch: &Value) -> String {
    step(vouch).in_words()
}

fn step(vouch: &Value) -> Step {
    Step {
        how: ladder::way(&text(vouch, "how")),
        by: text(vouch, "by"),
        key: text(vouch, "key_id"),
    }
}

/// The anchor. Whose a bundle is, and whether a key of SSH is listed, is told by the identity.
fn end(anchor: &Value, identity: &Value) -> End {
    let name = text(identity, "name");
    let id = name.strip_prefix("spiffe://");
    let trust_domain = id.and_then(|id| id.split('/').next());
    let facts = identity.get("facts").cloned().unwrap_or_default();
    let source = anchor.get("source").and_then(Value::as_str);
    End {
        kind: text(anchor, "kind"),
        name: text(anchor, "name"),
        subject: text(anchor, "subject"),
        source: source.map(printable),
        store: store_of(anchor).map(|store| text(store, "label")),
        trust_domain: trust_domain.map(str::to_owned),
        is_listed_key: text(&facts, "ssh.kind") == "key",
    }
}

fn kind(of: &Value) -> String {
    text(of, "kind").replace('_', " ")
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    let list = of.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// A member that is a text, made safe to print.
/// A whole sentence, which has other texts in it.
fn whole(of: &Value, name: &str) -> String {
    let text = of.get(name).and_then(Value::as_str);
    printable_sentence(text.unwrap_or_default())
}

fn text(of: &Value, name: &str) -> String {
    let text = of.get(name).and_then(Value::as_str);
    printable(text.unwrap_or_default())
}
