//! Lists of anchors and what has changed in them.

use avouch_api::TrustDocument;
use avouch_core::anchor::{Anchor, AnchorKind, Constraints};
use avouch_core::reason::printable;
use avouch_core::set_aside::SetAside;
use avouch_core::time::Time;

use super::layout::{Page, Style, count};
use super::verdict::store_in_words;
use crate::anchors::{Change, Severity};

const COLUMN: usize = 11;

/// Draws the anchors of trust documents; `now` marks those whose time has run out.
pub fn anchor_list(documents: &[TrustDocument], now: Time, style: Style) -> String {
    let mut page = Page::new(style);
    for entry in documents.iter().flat_map(TrustDocument::entries) {
        anchor(&mut page, &entry.anchor, now);
        page.gap();
    }
    let set_aside = || documents.iter().map(TrustDocument::set_aside);
    let unreadable: usize = set_aside().map(SetAside::count).sum();
    for unusable in set_aside().flat_map(SetAside::kept) {
        let text = format!(
            "{}: {}",
            printable(&unusable.what),
            unusable.reason.sentence()
        );
        let painted = page.style.unsure("unreadable");
        page.headline("unreadable", &painted, &text);
        page.gap();
    }
    let anchors = documents
        .iter()
        .map(|document| document.entries().len())
        .sum();
    let crls = documents.iter().map(|document| document.crls().len()).sum();
    let mut summary = format!(
        "{}, {}",
        count(anchors, "anchor", "anchors"),
        count(crls, "revocation list", "revocation lists")
    );
    if unreadable > 0 {
        summary.push_str(&format!(", {unreadable} unreadable and not trusted"));
    }
    page.line(&summary);
    page.finish()
}

fn anchor(page: &mut Page, anchor: &Anchor, now: Time) {
    let title = page.style.strong(&printable(&anchor.name));
    page.line(&format!(
        "{title}  {}",
        page.style.faint(anchor.kind.name())
    ));
    if let AnchorKind::Certificate(certificate) = &anchor.kind {
        let subject = certificate.title().to_string();
        if subject != anchor.name {
            page.field(2, COLUMN, "subject", &printable(&subject));
        }
        page.field(2, COLUMN, "sha256", &certificate.sha256().to_string());
        let mut valid = format!(
            "{} to {}",
            certificate.not_before(),
            certificate.not_after()
        );
        if certificate.not_after() < now {
            valid.push_str(" (over)");
        }
        page.field(2, COLUMN, "valid", &valid);
    }
    let stewardship = &anchor.stewardship;
    let missing = || page_missing(page.style);
    let owner = stewardship.owner.as_deref().map_or_else(missing, printable);
    let reason = stewardship
        .reason
        .as_deref()
        .map_or_else(missing, printable);
    let added = stewardship
        .added
        .map_or_else(missing, |time| time.to_string());
    let expires = match stewardship.expires {
        None => "never".to_owned(),
        Some(time) if time < now => format!("{time} (over, no longer trusted)"),
        Some(time) => time.to_string(),
    };
    page.field(2, COLUMN, "owner", &owner);
    page.field(2, COLUMN, "reason", &reason);
    page.field(2, COLUMN, "added", &added);
    page.field(2, COLUMN, "expires", &expires);
    if let Some(constraints) = constraints_in_words(&anchor.constraints) {
        page.field(2, COLUMN, "constraints", &constraints);
    }
    if let Some(store) = &stewardship.public_store {
        page.field(2, COLUMN, "store", &store_in_words(store));
    }
    if let Some(source) = &anchor.source {
        page.field(2, COLUMN, "source", &printable(source));
    }
}

fn page_missing(style: Style) -> String {
    style.faint("not told")
}

fn constraints_in_words(constraints: &Constraints) -> Option<String> {
    let mut words = Vec::new();
    if !constraints.trust_domains.is_empty() {
        let names: Vec<&str> = constraints
            .trust_domains
            .iter()
            .map(|name| name.as_str())
            .collect();
        words.push(format!("trust domains {}", names.join(", ")));
    }
    if !constraints.dns.is_empty() {
        let names: Vec<String> = constraints.dns.iter().map(|name| printable(name)).collect();
        words.push(format!("DNS {}", names.join(", ")));
    }
    if !constraints.purposes.is_empty() {
        let names: Vec<&str> = constraints
            .purposes
            .iter()
            .map(|purpose| purpose.name())
            .collect();
        words.push(format!("purposes {}", names.join(", ")));
    }
    if let Some(length) = constraints.path_length {
        words.push(format!(
            "at most {} below",
            count(
                usize::try_from(length).unwrap_or(usize::MAX),
                "intermediate",
                "intermediates",
            )
        ));
    }
    (!words.is_empty()).then(|| words.join("; "))
}

/// Draws what has changed, gravest first.
pub fn anchor_diff(changes: &[Change], style: Style) -> String {
    let mut page = Page::new(style);
    if changes.is_empty() {
        page.line("nothing has changed");
        return page.finish();
    }
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by_key(|change| std::cmp::Reverse(change.severity()));
    for change in &sorted {
        let word = format!("{}[{}]", change.word(), change.severity().name());
        let painted = match change.severity() {
            Severity::High => style.bad(&word),
            Severity::Medium => style.unsure(&word),
            Severity::Info | Severity::Low => style.strong(&word),
        };
        page.headline(&word, &painted, &printable(change.anchor()));
        page.remark("meaning", change.meaning());
        if !change.key().is_empty() {
            page.remark("key", &printable(change.key()));
        }
        for detail in change.details() {
            let text = format!("{} -> {}", printable(&detail.old), printable(&detail.new));
            page.remark(&printable(&detail.member), &text);
        }
        page.gap();
    }
    page.line(&count(changes.len(), "change", "changes"));
    page.finish()
}
