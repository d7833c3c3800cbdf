//! What someone gets: which rule admits them, and within what bounds.

use super::Believed;
use super::assurance::Cap;
use super::delegation::{Actor, extended};
use super::lineage::{lineage, model_of, stands, too_many};
use super::place::Place;
use super::proxying;
use super::rule::{ExchangeRule, IssuedKind};
use super::statement::{Ancestor, Statement, is_bearable};
use crate::anchor::Anchor;
use crate::id::SpiffeId;
use crate::model::federation::SignedIn;
use crate::reason::{Reason, printable};
use crate::time::Time;
use crate::verdict::{Identity, IdentityKind, TrustModel};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What kind of credential; the first that the rule gives if nothing is said.
    pub kind: Option<IssuedKind>,
    /// For whom; all that the rule gives if it gives one.
    pub audiences: Vec<String>,
    /// How much; all that may be had if nothing is said.
    pub scopes: Option<Vec<String>>,
}

/// What is given.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    /// Under which rule.
    pub rule: &'a ExchangeRule,
    /// What.
    pub kind: IssuedKind,
    /// The identity.
    pub id: SpiffeId,
    /// For whom.
    pub audiences: Vec<String>,
    /// How much.
    pub scopes: Vec<String>,
    /// For how many seconds.
    pub lifetime: i64,
    /// Who acts for the identity, whoever acts now first.
    pub actors: Vec<Actor>,
    /// Who alone may act for it, if the token of the subject says so (RFC 8693 4.4).
    pub may_act: Option<Actor>,
    /// What it descends from, the first ancestor first.
    pub lineage: Vec<Ancestor>,
    /// How the subject signed in, if its token says so.
    pub signed_in: Option<SignedIn>,
    /// The anchor through which nobody may be had who administers, if it descends from one.
    pub keeps_from_administering: Option<String>,
    /// The trust models on which it rests: of the subject, of whoever acts, and of all from which they
    /// descend.
    pub models: Vec<TrustModel>,
    /// Whether it is less than usual, because the subject has not signed in as the rule asks.
    pub is_capped: bool,
}

/// What `subject` gets, through `actor` if there is one.
///
/// # Errors
///
/// `issue.exchange_not_admitted` and the other reasons for which nothing is given.
pub fn give<'a>(
    place: Place<'a>,
    subject: &Believed,
    actor: Option<&Believed>,
    wanted: &Wanted,
) -> Result<Given<'a>, Reason> {
    let admitting = admitting(place, subject)?;
    let mut refusal: Option<Reason> = None;
    for rule in admitting {
        match under(place, rule, subject, actor, wanted) {
            Ok(given) => return Ok(given),
            // What the rule misses that comes nearest to what is asked for is what helps.
            Err(reason)
                if refusal
                    .as_ref()
                    .is_none_or(|it| nearness(it) < nearness(&reason)) =>
            {
                refusal = Some(reason);
            }
            Err(_) => {}
        }
    }
    // `admitting` gives at least one rule.
    Err(refusal.unwrap_or_else(|| none_closest(subject)))
}

/// How much of what is asked for is had under a rule that refuses for this reason, by whomever.
fn nearness(reason: &Reason) -> u8 {
    match reason {
        Reason::IssueTokenType { .. } => 0,
        Reason::IssueTarget { .. } => 1,
        Reason::IssueScope { .. } => 2,
        _ => 3,
    }
}

/// The rules that admit the subject, or which comes closest.
fn admitting<'a>(place: Place<'a>, subject: &Believed) -> Result<Vec<&'a ExchangeRule>, Reason> {
    let live = |rule: &&ExchangeRule| !rule.has_ended(place.now);
    let mut closest: Option<(&str, Vec<String>)> = None;
    let mut admitting = Vec::new();
    for rule in place.rules.usable.iter().filter(live) {
        let mut differs = rule.admits.differences(subject);
        if differs.is_empty()
            && let Some(wrong) = wrong_audience(place, rule, subject)
        {
            differs.push(wrong);
        }
        if differs.is_empty() {
            admitting.push(rule);
            continue;
        }
        // Someone from elsewhere is farther away than anyone from the right place.
        let distance = |rule: &ExchangeRule, count: usize| {
            (!rule.admits.is_from_source(&subject.identity), count)
        };
        let is_closer = closest.as_ref().is_none_or(|(name, found)| {
            let found_rule = place.rules.usable.iter().find(|rule| rule.name() == *name);
            found_rule.is_none_or(|found_rule| {
                distance(rule, differs.len()) < distance(found_rule, found.len())
            })
        });
        if is_closer {
            closest = Some((rule.name(), differs));
        }
    }
    if !admitting.is_empty() {
        return Ok(admitting);
    }
    Err(match closest {
        None => none_closest(subject),
        Some((name, differs)) => Reason::IssueExchange {
            subject: subject.identity.name().to_owned(),
            closest: name.to_owned(),
            differs,
        },
    })
}

fn none_closest(subject: &Believed) -> Reason {
    Reason::IssueExchange {
        subject: subject.identity.name().to_owned(),
        closest: "(none)".to_owned(),
        differs: vec!["everything, since there is no rule".to_owned()],
    }
}

/// A token must be for this tenant alone, or for the one name that the rule gives instead: what is
/// for others, too, can have been kept by any of them.
fn wrong_audience(place: Place<'_>, rule: &ExchangeRule, subject: &Believed) -> Option<String> {
    let audiences = &subject.statement.as_ref()?.audiences;
    // One that its issuer gives for nobody in particular, which its anchor allows.
    if audiences.is_empty() {
        return None;
    }
    let fits = |audience: &String| match rule.subject_audiences() {
        [] => audience == place.issuer,
        names => names.contains(audience),
    };
    match audiences.as_slice() {
        [one] if fits(one) => None,
        several => Some(format!(
            "audience (expected {} alone, seen {})",
            match rule.subject_audiences() {
                [] => printable(place.issuer),
                names => printable(&names.join(" or ")),
            },
            printable(&several.join(", "))
        )),
    }
}

fn under<'a>(
    place: Place<'a>,
    rule: &'a ExchangeRule,
    subject: &Believed,
    actor: Option<&Believed>,
    wanted: &Wanted,
) -> Result<Given<'a>, Reason> {
    rule.check_bounds()?;
    let statement = subject.statement.as_ref();
    let mut lineage = lineage(place, subject)?;
    let descends = lineage.len() > 1;
    let acting = actor.map(|actor| Acting::of(place, actor)).transpose()?;
    let kind = kind(rule, wanted)?;
    let audiences = audiences(rule, kind, wanted)?;
    for believed in std::iter::once(subject).chain(actor) {
        proxying::check(believed, kind, &audiences)?;
    }
    let of_actor = acting.as_ref().map_or(&[][..], |acting| &acting.lineage);
    proxying::check_descent(&lineage, kind, &audiences)?;
    proxying::check_descent(of_actor, kind, &audiences)?;
    let allowed = allowed(statement, &lineage);
    let asked = wanted.scopes.as_deref();
    // Who cannot have it however surely they sign in is not asked to sign in again.
    narrowed(&rule.gives.scopes, allowed.as_deref(), asked)?;
    let anchor = &subject.identity.anchor().anchor;
    anchor.admits_facts(subject.identity.all_facts())?;
    let before = lineage.len().saturating_sub(1);
    let vouching = lineage.iter().take(before).chain(of_actor);
    let (signed_in, cap) = signed_in(place, rule, subject, vouching)?;
    let scopes = match cap {
        None => &rule.gives.scopes,
        Some(cap) => &cap.scopes,
    };
    let scopes = narrowed(scopes, allowed.as_deref(), asked)?;
    let says_how_much = kind.has_audience() || rule.gives.scopes.is_empty();
    if let Some(subject) = lineage.last_mut()
        && (allowed.is_some() || asked.is_some() || cap.is_some() || !says_how_much)
    {
        // Not all that is given says how much it is for.
        subject.scopes = Some(scopes.clone());
    }
    let lifetime = match cap.and_then(|cap| cap.lifetime) {
        Some(lifetime) => lifetime.min(rule.gives.lifetime),
        None => rule.gives.lifetime,
    };
    let lifetime = bounded(place, rule, &subject.identity, lifetime, descends);
    let id = rule.gives.template.fill(subject.identity.facts())?;
    let mut descent = Descent::default();
    descent.check(place, rule, subject, &lineage, &id)?;
    let actors = actors(place, rule, subject, acting.as_ref())?;
    let mut lifetime = lifetime;
    if let Some(acting) = acting {
        descent.check_actor(place, rule, &acting, &id)?;
        // Nobody acts for longer than they are who they are.
        lifetime = lifetime.min(acting.left(place.now));
        lineage = acting.joined(lineage)?;
    }
    for model in &descent.models {
        place.view.check_services(&audiences, *model)?;
    }
    Ok(Given {
        kind,
        id,
        keeps_from_administering: descent.keeps_from_administering,
        models: descent.models,
        audiences,
        scopes,
        lifetime,
        actors: carried(kind, statement, actors)?,
        may_act: statement.and_then(|statement| statement.may_act.clone()),
        lineage,
        signed_in,
        is_capped: cap.is_some(),
        rule,
    })
}

/// Whoever acts, and what they descend from, themselves the last. What is given is in their hand, so it
/// ends with what they rest on, and is bounded by it at each exchange that follows.
struct Acting<'a> {
    actor: &'a Believed,
    lineage: Vec<Ancestor>,
}

impl<'a> Acting<'a> {
    fn of(place: Place<'_>, actor: &'a Believed) -> Result<Self, Reason> {
        let lineage = lineage(place, actor)?;
        Ok(Self { actor, lineage })
    }

    /// For how many seconds they are who they are.
    fn left(&self, now: Time) -> i64 {
        self.actor.identity.valid_until().plus(1).since(now)
    }

    /// The lineage of the subject, and theirs before it. How much they may do themselves says nothing of
    /// how much they may do for another.
    fn joined(self, subject: Vec<Ancestor>) -> Result<Vec<Ancestor>, Reason> {
        let mut joined: Vec<Ancestor> = self.lineage;
        joined.iter_mut().for_each(|one| one.scopes = None);
        joined.retain(|one| !subject.iter().any(|other| one.is(other)));
        joined.extend(subject);
        match is_bearable(&joined) {
            true => Ok(joined),
            false => Err(too_many()),
        }
    }
}

/// How the subject has signed in, as far as that counts, and what is given at most to whoever has not as
/// the rule asks. Whoever acts has in hand what is given, so whoever vouches for them bounds it, too, as
/// does whoever has vouched before: nothing counts that one of these may not say.
fn signed_in<'a, 'b>(
    place: Place<'_>,
    rule: &'a ExchangeRule,
    subject: &Believed,
    others: impl Iterator<Item = &'b Ancestor>,
) -> Result<(Option<SignedIn>, Option<&'a Cap>), Reason> {
    let mut vouching: Vec<&Anchor> = vec![&subject.identity.anchor().anchor];
    for ancestor in others {
        let anchors = place.view.anchors().iter().map(AsRef::as_ref);
        vouching.extend(anchors.filter(|anchor| stands(place, anchor, ancestor)));
    }
    let said = subject.statement.as_ref();
    let said = said.map(|statement| &statement.signed_in);
    let bounds = || {
        vouching
            .iter()
            .map(|anchor| &anchor.constraints.grants_at_most)
    };
    let capped = |said: &SignedIn| bounds().fold(said.clone(), |said, most| most.capped(&said));
    let signed_in = said.map(capped);
    let vouching_for_it = subject.identity.anchor().anchor.kind.as_issuer();
    let classes = vouching_for_it.map_or(&[][..], |issuer| issuer.sign_in().classes_of_several());
    let check = |said| rule.assurance.check(said, classes, place.now);
    let Err(reason) = check(signed_in.as_ref()) else {
        return Ok((signed_in, None));
    };
    if let Some(cap) = &rule.assurance.otherwise {
        return Ok((signed_in, Some(cap)));
    }
    let is_bound_alone = check(said).is_ok();
    let lowest = |anchor: &&&Anchor| anchor.constraints.grants_at_most.sign_in_bound();
    match vouching.iter().min_by_key(lowest) {
        Some(anchor) if is_bound_alone => {
            let at_most = &anchor.constraints.grants_at_most;
            Err(at_most.assurance_exceeded(&anchor.name))
        }
        Some(_) | None => Err(reason),
    }
}

/// What bounds what is given: everyone who has vouched for the subject or for whoever acts.
#[derive(Default)]
struct Descent {
    /// The anchor through which nobody may administer, if there is one.
    keeps_from_administering: Option<String>,
    /// Each trust model by which something of it was decided, once.
    models: Vec<TrustModel>,
}

impl Descent {
    /// Whether what is given is within what may be had through each anchor that it descends from: what
    /// was had within a bound is not exchanged again beyond it. Nor does an exchange make another trust
    /// model of the one by which something was first decided.
    fn check(
        &mut self,
        place: Place<'_>,
        rule: &ExchangeRule,
        believed: &Believed,
        lineage: &[Ancestor],
        id: &SpiffeId,
    ) -> Result<(), Reason> {
        self.rests_on(believed.identity.model());
        // The last ancestor is whoever is believed now.
        let before = lineage.len().saturating_sub(1);
        for (number, ancestor) in lineage.iter().enumerate() {
            let anchors = place.view.anchors().iter();
            for anchor in anchors.filter(|anchor| stands(place, anchor, ancestor)) {
                let at_most = &anchor.constraints.grants_at_most;
                at_most.check_given(&anchor.name, rule)?;
                at_most.check_id(&anchor.name, id)?;
                if !at_most.lets_administer() {
                    self.keeps_from_administering = Some(anchor.name.clone());
                }
                if number < before {
                    self.rests_on(model_of(anchor, ancestor));
                }
            }
            let mut clients = place.rules.usable.iter();
            let mut is_client =
                || clients.any(|rule| rule.keys_of_client(&ancestor.anchor).is_some());
            if number < before && ancestor.of.is_none() && is_client() {
                // By an assertion that it has signed (RFC 7523).
                self.rests_on(TrustModel::Federation);
            }
        }
        Ok(())
    }

    /// Whoever acts has in hand what is given, so whoever vouches for them bounds it, too.
    fn check_actor(
        &mut self,
        place: Place<'_>,
        rule: &ExchangeRule,
        acting: &Acting<'_>,
        id: &SpiffeId,
    ) -> Result<(), Reason> {
        let actor = acting.actor;
        let anchor = &actor.identity.anchor().anchor;
        anchor.admits_facts(actor.identity.all_facts())?;
        let subject = self.keeps_from_administering.take();
        self.check(place, rule, actor, &acting.lineage, id)?;
        self.keeps_from_administering = subject.or(self.keeps_from_administering.take());
        Ok(())
    }

    fn rests_on(&mut self, model: TrustModel) {
        if !self.models.contains(&model) {
            self.models.push(model);
        }
    }
}

fn kind(rule: &ExchangeRule, wanted: &Wanted) -> Result<IssuedKind, Reason> {
    let kinds = &rule.gives.kinds;
    let first = kinds.first().copied().unwrap_or(IssuedKind::JwtSvid);
    let kind = wanted.kind.unwrap_or(first);
    if kinds.contains(&kind) {
        return Ok(kind);
    }
    Err(Reason::IssueTokenType {
        parameter: "requested_token_type",
        found: kind.name().to_owned(),
        supported: kinds.iter().map(|kind| kind.name().to_owned()).collect(),
    })
}

/// For whom a credential is asked for, where nobody is named and the rule gives them for several.
pub const NO_ONE: &str = "no one in particular";

/// Each audience must be one of the rule's, compared exactly.
fn audiences(
    rule: &ExchangeRule,
    kind: IssuedKind,
    wanted: &Wanted,
) -> Result<Vec<String>, Reason> {
    let allowed = &rule.gives.audiences;
    let refuse = |asked: String| Reason::IssueTarget {
        asked,
        allowed: allowed.clone(),
    };
    if let Some(other) = wanted.audiences.iter().find(|one| !allowed.contains(one)) {
        return Err(refuse(other.clone()));
    }
    if !kind.has_audience() {
        return Ok(Vec::new());
    }
    match (wanted.audiences.as_slice(), allowed.as_slice()) {
        ([], [only]) => Ok(vec![only.clone()]),
        ([], _) => Err(refuse(NO_ONE.to_owned())),
        (asked, _) => Ok(asked.to_vec()),
    }
}

/// How much the subject may have at most, if anything says so: what it was exchanged from, at whatever
/// remove, and itself.
fn allowed(statement: Option<&Statement>, lineage: &[Ancestor]) -> Option<Vec<String>> {
    let before = lineage.iter().map(|ancestor| ancestor.scopes.as_deref());
    let said = statement.map(|statement| statement.scopes.as_deref());
    let bounds = before.chain(said).flatten();
    bounds.fold(None, |allowed: Option<Vec<String>>, bound| {
        let is_in = |scope: &String| allowed.as_ref().is_none_or(|it| it.contains(scope));
        Some(bound.iter().filter(|scope| is_in(scope)).cloned().collect())
    })
}

/// What is asked for, within what the rule gives and what the token allowed.
fn narrowed(
    given: &[String],
    said: Option<&[String]>,
    asked: Option<&[String]>,
) -> Result<Vec<String>, Reason> {
    let may =
        |scope: &&String| given.contains(scope) && said.is_none_or(|said| said.contains(scope));
    let Some(asked) = asked else {
        return Ok(given.iter().filter(may).cloned().collect());
    };
    match asked.iter().find(|scope| !may(scope)) {
        None => Ok(asked.to_vec()),
        Some(wider) => Err(Reason::IssueScope {
            asked: wider.clone(),
            allowed: given.iter().filter(may).cloned().collect(),
        }),
    }
}

/// How long it may be valid: what the rule says, and never longer than the rule, the anchor and the
/// exception that allows it; nor than what was presented, unless the rule says so and nobody has
/// exchanged it before. What a client signs tells who it is at that moment, and it can sign another at any:
/// how long that holds says nothing of what it may have.
fn bounded(
    place: Place<'_>,
    rule: &ExchangeRule,
    subject: &Identity,
    lifetime: i64,
    descends: bool,
) -> i64 {
    let anchor = &subject.anchor().anchor;
    let ends = [
        rule.stewardship.expires,
        anchor.stewardship.expires,
        rule.bearer
            .as_ref()
            .filter(|bearer| bearer.holds(place.now))
            .map(|bearer| bearer.expires),
        // The verdict holds for the whole of its last second.
        (descends || !(rule.gives.outlives || rule.is_for_client()))
            .then(|| subject.valid_until().plus(1)),
    ];
    let left = ends.into_iter().flatten().map(|end| end.since(place.now));
    left.fold(lifetime, i64::min)
}

/// A certificate says nothing of who acts, so whoever acts would be taken for the subject; nor of who
/// alone may, so anyone might.
fn carried(
    kind: IssuedKind,
    statement: Option<&Statement>,
    actors: Vec<Actor>,
) -> Result<Vec<Actor>, Reason> {
    if kind != IssuedKind::X509Svid {
        return Ok(actors);
    }
    let refuse = |what: &str| {
        Err(Reason::IssueDelegation {
            detail: format!("an X.509-SVID cannot say who {what} for its subject"),
        })
    };
    if !actors.is_empty() {
        return refuse("acts");
    }
    match statement.and_then(|statement| statement.may_act.as_ref()) {
        Some(_) => refuse("alone may act"),
        None => Ok(actors),
    }
}

/// Who acts for the subject then.
fn actors(
    place: Place<'_>,
    rule: &ExchangeRule,
    subject: &Believed,
    acting: Option<&Acting<'_>>,
) -> Result<Vec<Actor>, Reason> {
    let statement = subject.statement.as_ref();
    let chain = statement.map_or(&[][..], |statement| statement.actors.as_slice());
    let Some(Acting { actor, .. }) = acting else {
        return Ok(chain.to_vec());
    };
    let refuse = |detail: String| Reason::IssueActor { detail };
    if rule.actors.is_empty() {
        return Err(refuse(format!(
            "the rule {} names nobody who may",
            rule.name()
        )));
    }
    let differences = rule
        .actors
        .iter()
        .map(|admission| admission.differences(actor));
    let Some(closest) = differences.min_by_key(Vec::len) else {
        return Err(refuse("nobody may".to_owned()));
    };
    if !closest.is_empty() {
        return Err(refuse(format!(
            "{} differs from who may in {}",
            printable(actor.identity.name()),
            closest.join(", ")
        )));
    }
    // What is for others, too, can have been kept by any of them; what is for nobody in particular is so
    // by leave of its anchor.
    if let Some(said) = &actor.statement
        && !said.audiences.is_empty()
        && !matches!(said.audiences.as_slice(), [one] if one == place.issuer)
    {
        return Err(refuse("its token is not for this issuer alone".to_owned()));
    }
    // Whoever acts for the actor would act for the subject, and be seen nowhere.
    if let Some(said) = &actor.statement
        && let Some(other) = said.actors.first()
    {
        return Err(refuse(format!(
            "its token says that {} acts for it",
            printable(&other.to_string())
        )));
    }
    let name = name_of(actor);
    if let Some(named) = statement.and_then(|statement| statement.may_act.as_ref())
        && !named.is(&name)
    {
        return Err(refuse(format!(
            "the token lets {} act, not {}",
            printable(&named.to_string()),
            printable(&name.to_string())
        )));
    }
    extended(&name_of(subject), chain, name)
}

fn name_of(believed: &Believed) -> Actor {
    let identity = &believed.identity;
    match (&believed.statement, identity.kind()) {
        // A SPIFFE ID says itself whose it is.
        (_, IdentityKind::Spiffe) | (None, _) => Actor {
            issuer: None,
            subject: identity.name().to_owned(),
        },
        (Some(statement), _) => statement.subject.clone(),
    }
}
