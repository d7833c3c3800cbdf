//! A verdict, drawn like a compiler's diagnostic.

use std::collections::BTreeMap;

use avouch_api::{Answer, Outcome};
use avouch_core::anchor::{AnchorKind, KeyOrigin, PublicStore};
use avouch_core::model::federation::SignedIn;
use avouch_core::path::{Attempt, Attempts};
use avouch_core::reason::{Reason, printable};
use avouch_core::set_aside::SetAside;
use avouch_core::verdict::{
    AnchorReached, Effect, Identity, IdentityKind, Leg, Need, Refusal, Verdict,
};
use avouch_core::vouch::Vouch;

use super::Detail;
use super::ladder::{End, Ladder, Step};
use super::layout::{Page, Style, branch, count};

/// Draws what came of a question.
pub fn answer(answer: &Answer<'_>, detail: Detail, style: Style) -> String {
    let mut page = Page::new(style);
    match answer.outcome {
        Outcome::Decided { verdict, .. } => match verdict {
            Verdict::Accept(sealed) => {
                accepted(&mut page, sealed.preview(), detail);
                effects(&mut page, sealed.effects());
                page.field(0, COLUMN, "decision", answer.decision);
            }
            Verdict::Reject(refusal) => rejected(&mut page, answer, refusal, detail),
            Verdict::Undetermined(needs) => undetermined(&mut page, answer, needs),
        },
        Outcome::Unreadable { place, reason } => unreadable(&mut page, answer, place, reason),
    }
    page.finish()
}

/// The column of names beside which the facts of an acceptance stand.
const COLUMN: usize = 10;

fn accepted(page: &mut Page, identity: &Identity, detail: Detail) {
    let name = printable(identity.name());
    page.headline("accepted", &page.style.good("accepted"), &name);
    page.gap();
    ladder(identity).draw(page);
    page.gap();
    stewardship(page, identity);
    page.field(
        0,
        COLUMN,
        "identity",
        &format!(
            "{} of tenant {}, decided by {}",
            kind_in_words(identity.kind()),
            identity.tenant(),
            identity.model().name().replace('_', " "),
        ),
    );
    page.field(0, COLUMN, "assurance", identity.assurance().in_words());
    if let Some(signed_in) = identity.signed_in() {
        page.field(0, COLUMN, "signed in", &sign_in_in_words(signed_in));
    }
    page.field(
        0,
        COLUMN,
        "valid",
        &format!("{} to {}", identity.valid_from(), identity.valid_until()),
    );
    legs(page, identity.legs());
    if detail == Detail::Full {
        statements(page, identity);
        checks(page, identity);
        facts(page, identity);
        page.gap();
        page.field(
            0,
            COLUMN,
            "exposed to",
            &identity.model().exposed_to().join(", "),
        );
    }
}

fn kind_in_words(kind: IdentityKind) -> &'static str {
    match kind {
        IdentityKind::ApiKey => "API key",
        IdentityKind::Certificate => "name of a certificate",
        IdentityKind::Spiffe => "SPIFFE ID",
        IdentityKind::Ssh => "name in SSH",
        IdentityKind::Token => "subject of a token",
    }
}

/// What must be remembered before the identity may be acted on.
fn effects(page: &mut Page, effects: &[Effect]) {
    for effect in effects {
        let text = match effect {
            Effect::ConsumeNonce { nonce, until, .. } => format!(
                "the nonce {} is used up by this; whoever acts on it must remember it until \
                 {until}, or it can be replayed",
                printable(nonce)
            ),
        };
        page.field(0, COLUMN, "once only", &text);
    }
}

/// The identity, who signed for it, who signed for them, and the anchor in which it ends.
fn ladder(identity: &Identity) -> Ladder {
    Ladder {
        name: printable(identity.name()),
        steps: identity.path().iter().map(step).collect(),
        end: end(identity.anchor()),
    }
}

fn step(vouch: &Vouch) -> Step {
    Step {
        how: Some(vouch.how()),
        by: printable(vouch.by()),
        key: printable(vouch.key()),
    }
}

fn said_by(vouch: &Vouch) -> String {
    step(vouch).in_words()
}

fn end(reached: &AnchorReached) -> End {
    let anchor = &reached.anchor;
    let store = anchor.stewardship.public_store.as_ref();
    let (trust_domain, is_listed_key) = match &anchor.kind {
        AnchorKind::TrustDomain(bundle) => (Some(bundle.trust_domain.to_string()), false),
        AnchorKind::Ssh(trusted) => (None, trusted.subject().is_some()),
        AnchorKind::ApiKey(_)
        | AnchorKind::Certificate(_)
        | AnchorKind::Federation(_)
        | AnchorKind::Issuer(_)
        | AnchorKind::Saml(_) => (None, false),
    };
    End {
        kind: anchor.kind.name().to_owned(),
        name: printable(&anchor.name),
        subject: printable(&reached.subject),
        source: anchor.source.as_deref().map(printable),
        store: store.map(|store| store.label.name().to_owned()),
        trust_domain,
        is_listed_key,
    }
}

/// Who answers for the anchor, why it is there, since when and until when.
fn stewardship(page: &mut Page, identity: &Identity) {
    let reached = identity.anchor();
    let anchor = &reached.anchor;
    page.field(
        0,
        COLUMN,
        "anchor",
        &format!(
            "{}, key {}",
            printable(&anchor.name),
            printable(&reached.key)
        ),
    );
    let stewardship = &anchor.stewardship;
    let kept = stewardship.key_origin.map(|origin| match origin {
        KeyOrigin::File => "in a file",
        KeyOrigin::Memory => "in memory",
        KeyOrigin::Pkcs11 => "in a token",
        KeyOrigin::Tpm => "in a TPM",
    });
    let told = [
        ("owner", stewardship.owner.as_deref().map(printable)),
        ("reason", stewardship.reason.as_deref().map(printable)),
        ("added", stewardship.added.map(|time| time.to_string())),
        ("expires", stewardship.expires.map(|time| time.to_string())),
        ("key kept", kept.map(str::to_owned)),
        (
            "store",
            stewardship.public_store.as_ref().map(store_in_words),
        ),
        ("source", anchor.source.as_deref().map(printable)),
    ];
    for (name, text) in told {
        if let Some(text) = text {
            page.field(2, COLUMN - 2, name, &text);
        }
    }
}

/// The public store that an anchor is of, and how old what is known of it is.
pub(super) fn store_in_words(store: &PublicStore) -> String {
    let label = store.label.name();
    let source = printable(&store.source);
    match store.as_of {
        Some(as_of) => format!("public store {label}: {source}, as of {as_of}"),
        None => format!("public store {label}: {source}, as it is now"),
    }
}

fn statements(page: &mut Page, identity: &Identity) {
    page.gap();
    page.line(&page.style.strong("statements, each checked"));
    for vouch in identity.path() {
        let text = format!(
            "{} is vouched for by {}",
            printable(vouch.vouches_for()),
            printable(vouch.by())
        );
        let tick = page.style.good("✓");
        page.hanging("  ✓ ", &format!("  {tick} "), &text);
        let mut about = format!("{}, key {}", vouch.how().name(), printable(vouch.key()));
        if let Some((from, until)) = vouch.valid() {
            about.push_str(&format!(", from {from} to {until}"));
        }
        page.hanging("    ", "    ", &about);
    }
}

fn checks(page: &mut Page, identity: &Identity) {
    if identity.checks().is_empty() && identity.revocation().is_empty() {
        return;
    }
    page.gap();
    page.line(&page.style.strong("checks, all passed"));
    let column = identity
        .checks()
        .iter()
        .map(|check| check.what.chars().count())
        .max()
        .unwrap_or(0);
    for check in identity.checks() {
        let margin = format!("  ✓ {:<column$}  ", check.what);
        let painted = format!("  {} {:<column$}  ", page.style.good("✓"), check.what);
        let text = format!(
            "{} ({})",
            printable(&check.compared.to_string()),
            check.spec
        );
        page.hanging(&margin, &painted, &text);
    }
    for status in identity.revocation() {
        let next = match status.next {
            Some(next) => format!("the next is due {next}"),
            None => "it does not say when the next is due".to_owned(),
        };
        let text = format!(
            "{} of {}, as of {}; {next}",
            status.source,
            printable(&status.issuer),
            status.as_of
        );
        page.hanging("    ", "    ", &text);
    }
}

/// How the subject signed in, as its issuer says it.
fn sign_in_in_words(said: &SignedIn) -> String {
    let mut words = Vec::new();
    if let Some(acr) = &said.acr {
        words.push(format!("as {}", printable(acr)));
    }
    if !said.amr.is_empty() {
        let methods: Vec<String> = said.amr.iter().map(|method| printable(method)).collect();
        words.push(format!("by {}", methods.join(" and ")));
    }
    if let Some(at) = said.at {
        words.push(format!("on {at}"));
    }
    words.push(
        match (said.tells_no_methods, said.is_multi_factor()) {
            (true, _) => "by how many factors its issuer cannot say",
            (false, true) => "several factors",
            (false, false) => "one factor or none that is known",
        }
        .to_owned(),
    );
    words.join(", ")
}

fn facts(page: &mut Page, identity: &Identity) {
    let lists = identity.lists().map(|(name, texts)| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        (name, format!("a list of {}", texts.join(", ")))
    });
    let texts = identity.facts().iter();
    let texts = texts.map(|(name, value)| (name.as_str(), value.clone()));
    let facts: BTreeMap<&str, String> = texts.chain(lists).collect();
    if facts.is_empty() {
        return;
    }
    page.gap();
    page.line(&page.style.strong("facts that rules may speak of"));
    let column = facts
        .keys()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    for (name, value) in &facts {
        page.field(2, column.min(40), &printable(name), &printable(value));
    }
}

/// The parts in which several mechanisms had to agree.
fn legs(page: &mut Page, legs: &[Leg]) {
    if legs.is_empty() {
        return;
    }
    page.gap();
    page.line(&page.style.strong("legs, all of which must hold"));
    let column = legs
        .iter()
        .map(|leg| leg.what.chars().count())
        .max()
        .unwrap_or(0);
    for leg in legs {
        let (mark, painted, text) = match (&leg.reason, leg.decided) {
            (Some(reason), _) => (
                "✗",
                page.style.bad("✗"),
                format!("{}: {}", printable(&leg.ends_at), reason.sentence()),
            ),
            (None, true) => ("✓", page.style.good("✓"), printable(&leg.ends_at)),
            (None, false) => ("·", page.style.faint("·"), "not reached".to_owned()),
        };
        let what = leg.what;
        let margin = format!("  {mark} {what:<column$}  ");
        page.hanging(&margin, &format!("  {painted} {what:<column$}  "), &text);
    }
}

fn rejected(page: &mut Page, answer: &Answer<'_>, refusal: &Refusal, detail: Detail) {
    let attempts = refusal.attempts();
    let nearest = attempts.nearest();
    headline(page, nearest.reason());
    attempt(page, nearest);
    remarks(page, nearest.reason(), answer.also_admitted(), detail);
    page.remark("decision", answer.decision);
    legs(page, refusal.legs());
    let others = other_paths(answer, attempts);
    match detail {
        Detail::Full => in_full(page, &others),
        Detail::Short => in_short(page, others.len() + attempts.left_out()),
    }
    if detail == Detail::Full && attempts.left_out() > 0 {
        page.gap();
        let more = count(attempts.left_out(), "more path", "more paths");
        page.line(&format!(
            "{more}, further from an anchor, failed and were not kept."
        ));
    }
    unusable(page, answer);
}

/// The paths that failed beside the nearest. What could not be read is told apart from them.
fn other_paths<'a>(answer: &Answer<'a>, attempts: &'a Attempts) -> Vec<&'a Attempt> {
    let unusable = answer.set_aside().map_or(&[][..], SetAside::kept);
    attempts
        .iter()
        .skip(1)
        .filter(|attempt| {
            !unusable.iter().any(|unusable| {
                unusable.what == attempt.stopped_at() && unusable.reason == *attempt.reason()
            })
        })
        .collect()
}

fn headline(page: &mut Page, reason: &Reason) {
    let word = format!("rejected[{}]", reason.code());
    let painted = page.style.bad(&word);
    page.headline(&word, &painted, &reason.sentence());
}

/// The vouches that held, and where it stopped.
fn attempt(page: &mut Page, attempt: &Attempt) {
    let bar = page.style.faint("|");
    let tick = page.style.good("✓");
    let cross = page.style.bad(&format!("✗ {}", attempt.reason().code()));
    let stopped_at = printable(attempt.stopped_at());
    page.line(&format!("  {} {stopped_at}", page.style.faint("-->")));
    page.line(&format!("   {bar}"));
    let place = place_on_path(attempt);
    if let Some(first) = attempt.path().first() {
        let mark = if place == Some(0) { &cross } else { "" };
        page.line(&format!(
            "   {bar} {} {mark}",
            printable(first.vouches_for())
        ));
    }
    for (depth, vouch) in (1..).zip(attempt.path()) {
        let mark = if place == Some(depth) { &cross } else { &tick };
        page.line(&format!(
            "   {bar} {}{} {mark}",
            branch(depth),
            said_by(vouch)
        ));
    }
    if place.is_none() {
        let (depth, end) = match attempt.path().last() {
            None => (0, format!("{stopped_at} {cross}")),
            // A path that ends for want of a voucher stops at the last one it names.
            Some(last) if last.by() == attempt.stopped_at() => (attempt.path().len() + 1, cross),
            Some(_) => (attempt.path().len() + 1, format!("{stopped_at} {cross}")),
        };
        page.line(&format!("   {bar} {}{end}", branch(depth)));
    }
    page.line(&format!("   {bar}"));
}

/// Which step of the path it stopped at, if that is not its end: the statement itself is at 0.
fn place_on_path(attempt: &Attempt) -> Option<usize> {
    let path = attempt.path();
    if path.first()?.vouches_for() == attempt.stopped_at() {
        return Some(0);
    }
    let index = path
        .iter()
        .position(|vouch| vouch.by() == attempt.stopped_at())?;
    (index + 1 < path.len()).then_some(index + 1)
}

/// What was expected and seen, where it is asked for, the fix and how large it is, the standard.
fn remarks(page: &mut Page, reason: &Reason, also_admits: Option<String>, detail: Detail) {
    if detail == Detail::Full {
        // What the fix would admit besides stands below the fix.
        let evidence = reason.evidence().into_iter();
        for (name, fact) in evidence.filter(|(name, _)| *name != "fix_admits") {
            page.remark(&name.replace('_', " "), &fact.to_string());
        }
    }
    page.remark("fix", &reason.hint());
    if let Some(also_admits) = also_admits {
        page.remark("admits", &also_admits);
    }
    page.remark("spec", reason.spec());
}

fn in_full(page: &mut Page, others: &[&Attempt]) {
    for other in others {
        page.gap();
        let word = format!("also tried[{}]", other.reason().code());
        let painted = page.style.unsure(&word);
        page.headline(&word, &painted, &other.reason().sentence());
        attempt(page, other);
        remarks(page, other.reason(), None, Detail::Full);
    }
}

fn in_short(page: &mut Page, others: usize) {
    if others > 0 {
        page.gap();
        let more = count(others, "other path", "other paths");
        page.line(&format!(
            "{more} failed as well; `avouch explain` shows them."
        ));
    }
}

/// What was given to be trusted and could not be read: it may be why. What is said to be the reason
/// already is not said again.
fn unusable(page: &mut Page, answer: &Answer<'_>) {
    let said = answer.reason();
    let Some(set_aside) = answer.set_aside() else {
        return;
    };
    let mut others = set_aside
        .kept()
        .iter()
        .filter(|unusable| said != Some(&unusable.reason))
        .peekable();
    if others.peek().is_none() {
        return;
    }
    page.gap();
    page.line(&page.style.unsure("could not be read, and is not trusted"));
    for unusable in others {
        let what = printable(&unusable.what);
        let text = format!("{what}: {}", unusable.reason.sentence());
        let mark = page.style.unsure("!");
        page.hanging("  ! ", &format!("  {mark} "), &text);
    }
    if set_aside.left_out() > 0 {
        page.line(&format!("and {} more", set_aside.left_out()));
    }
}

fn undetermined(page: &mut Page, answer: &Answer<'_>, needs: &[Need]) {
    let painted = page.style.unsure("undetermined");
    page.headline(
        "undetermined",
        &painted,
        "there can be no verdict without more facts",
    );
    for need in needs {
        page.remark("need", &need.sentence());
    }
    page.remark("decision", answer.decision);
    unusable(page, answer);
}

fn unreadable(page: &mut Page, answer: &Answer<'_>, place: &str, reason: &Reason) {
    headline(page, reason);
    page.line(&format!(
        "  {} {}",
        page.style.faint("-->"),
        printable(place)
    ));
    page.line(&format!("   {}", page.style.faint("|")));
    remarks(page, reason, None, Detail::Short);
    page.remark("decision", answer.decision);
}
