//! A drill: what if an issuer is hostile? Nothing is changed and nobody is asked: what its thief could
//! have comes from the rules and the bounds as they are, and so does who could still act.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind};
use avouch_core::exchange::ExchangeRule;
use avouch_core::exchange::rule::Source;
use avouch_core::id::{SpiffeId, TenantId};
use avouch_core::view::View;
use avouch_store::AdminRecord;
use serde_json::{Value, json};

use super::reliance::exchanged_before;
use crate::access::{Noun, Role, Verb};
use crate::fault::{Fault, Refused};
use crate::plane::{KnownTenant, Plane};
use crate::tenant::Tenant;
use crate::views;
use crate::views::rules_of;

/// Whether whoever asks sees a tenant.
type Sees<'a> = &'a dyn Fn(&TenantId) -> Result<bool, Fault>;

/// A tenant as it is seen in a drill.
struct Scene {
    tenant: Arc<Tenant>,
    view: View,
    /// The rules that give something now.
    rules: Vec<ExchangeRule>,
}

/// A rule under which the thief gets something.
struct Reached<'a> {
    /// How many exchanges it takes.
    step: u32,
    scene: &'a Scene,
    rule: &'a ExchangeRule,
}

impl Reached<'_> {
    fn to_json(&self) -> Value {
        let rule = self.rule;
        json!({
            "tenant": self.scene.tenant.id().as_str(),
            "step": self.step,
            "rule": rule.name(),
            "admits": rule.population(),
            "becomes": rule.gives_ids(),
            "gives": rule.grant_in_words(),
            "lifetime": rule.lifetime(),
            "relying_parties": rule.audiences(),
        })
    }
}

/// A way to become someone.
struct Way {
    told: String,
    /// Whether it is closed when nothing of the issuer is believed, or open to its thief.
    rests_on_issuer: bool,
}

/// Someone who administers, and how they come to be who they are.
struct Administrator {
    tenant: String,
    /// Whether whoever asks may know who it is.
    is_seen: bool,
    record: AdminRecord,
    ways: Vec<Way>,
}

impl Administrator {
    fn role(&self) -> Option<Role> {
        Role::parse(&self.record.role)
    }

    /// Whether they can put an issuer into quarantine and release it.
    fn may_act(&self) -> bool {
        self.role()
            .is_some_and(|role| role.may(Verb::Write, Noun::Issuer))
    }

    fn is_independent(&self) -> bool {
        self.ways.iter().any(|way| !way.rests_on_issuer)
    }

    fn to_json(&self) -> Value {
        let ways = self.ways.iter().map(|way| way.told.as_str());
        let seen = |text: &str| self.is_seen.then(|| text.to_owned());
        json!({
            "tenant": seen(&self.tenant),
            "name": seen(self.record.id.as_str()),
            "subject": seen(self.record.subject.as_str()),
            "role": seen(&self.record.role),
            "ways": if self.is_seen { ways.collect() } else { Vec::new() },
            "independent": self.is_independent(),
            "may_act": self.may_act(),
        })
    }
}

impl Plane {
    /// What whoever has the keys of an issuer could have, what a quarantine would stop, and who could
    /// still act without it. It is passed if the thief can change nothing here and someone who does not
    /// need the issuer can. Of tenants above that whoever asks does not see it is told how many
    /// administrators they have and what these could do, and not who they are. Tenants that believe what
    /// this one gives are looked at where whoever asks sees them, and are not told of otherwise.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn drill_issuer(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        sees: Sees<'_>,
    ) -> Result<Value, Refused> {
        let id = self.issuer_named(tenant, name)?;
        let (settings, keys) = self.issuer(tenant, &id)?;
        let issuer = settings.issuer.as_str();
        let mut scenes = vec![self.scene(tenant)?];
        let mut unread = Vec::new();
        for known in self.all_known() {
            // Nobody has any opened that they do not see.
            if known.id() == tenant.id() || !sees(known.id())? {
                continue;
            }
            match self.open_known(&known) {
                Ok(Some(other)) if has_rules(&other) => scenes.push(self.scene(&other)?),
                Ok(_) => {}
                Err(fault) if fault.is_damage() => unread.push(known.id().to_string()),
                Err(fault) => return Err(fault.into()),
            }
        }
        let reached = reached(&scenes, issuer, &self.issuer_of(tenant.id()));
        let own = |one: &&Reached<'_>| one.scene.tenant.id() == tenant.id();
        let stolen: Vec<&Anchor> = match scenes.first() {
            Some(scene) => scene.anchors_of(issuer).collect(),
            None => Vec::new(),
        };
        let administers = self.administered_by_thief(tenant, &stolen, &reached)?;
        let administrators = self.administrators_above(tenant, issuer, sees)?;
        let can_still_act = |one: &&Administrator| one.may_act() && one.is_independent();
        let break_glass: Vec<&Administrator> =
            administrators.iter().filter(can_still_act).collect();
        let is_contained = administers
            .iter()
            .all(|(_, role, _)| !changes_anything(*role));
        let parties: BTreeSet<&String> = reached
            .iter()
            .flat_map(|one| one.rule.audiences())
            .collect();
        let longest = reached.iter().map(|one| one.rule.lifetime()).max();
        let ends = longest.map(|longest| self.now().plus(longest));
        Ok(json!({
            "name": id.as_str(),
            "issuer": issuer,
            "thief": {
                "believed_through": stolen.iter().map(|anchor| anchor_in_words(anchor)).collect::<Vec<_>>(),
                "gets": reached.iter().filter(own).map(Reached::to_json).collect::<Vec<_>>(),
                "gets_elsewhere": reached
                    .iter()
                    .filter(|one| !own(one))
                    .map(Reached::to_json)
                    .collect::<Vec<_>>(),
                "administers": administers.iter().map(|(told, _, _)| told).collect::<Vec<_>>(),
            },
            "relying_parties": parties,
            "quarantine": {
                "already": keys.quarantine.is_some(),
                "stops": reached.iter().filter(own).map(|one| one.rule.name()).collect::<Vec<_>>(),
                "revokes": self.alive_from(tenant, issuer),
                "exchanged_before": exchanged_before(ends),
            },
            "administrators": administrators.iter().map(Administrator::to_json).collect::<Vec<_>>(),
            "break_glass": break_glass.iter().map(|one| one.to_json()).collect::<Vec<_>>(),
            "findings": findings(&stolen, &administers, !break_glass.is_empty(), &unread),
            "passed": is_contained && !break_glass.is_empty() && unread.is_empty(),
        }))
    }

    fn scene(&self, tenant: &Arc<Tenant>) -> Result<Scene, Refused> {
        let view = views::view(tenant, self.trust_of(tenant)?);
        let now = self.now();
        let rules = rules_of(tenant, &view, now).usable.into_iter();
        let gives = |rule: &ExchangeRule| !rule.has_ended(now) && rule.check_bounds().is_ok();
        Ok(Scene {
            tenant: Arc::clone(tenant),
            view,
            rules: rules.filter(gives).collect(),
        })
    }

    /// The roles of whom the thief can become, each as it is told, the role, and whose it is.
    fn administered_by_thief(
        &self,
        tenant: &Arc<Tenant>,
        stolen: &[&Anchor],
        reached: &[Reached<'_>],
    ) -> Result<Vec<(Value, Option<Role>, SpiffeId)>, Fault> {
        let is_within = |id: &SpiffeId| {
            stolen.iter().any(|anchor| {
                let at_most = &anchor.constraints.grants_at_most;
                at_most.lets_administer() && at_most.admits_id(id)
            })
        };
        // The bounds of an anchor are those of its tenant: another knows nothing of them.
        let is_bounded = |one: &Reached<'_>, id: &SpiffeId| {
            one.scene.tenant.id() == tenant.id() && !is_within(id)
        };
        let elsewhere = reached.iter().map(|one| one.scene.tenant.id());
        let elsewhere = elsewhere.filter_map(|id| self.known(id));
        let below = self.known_below(tenant.id()).into_iter();
        let administered: BTreeMap<TenantId, Arc<KnownTenant>> = below
            .chain(elsewhere)
            .map(|known| (known.id().clone(), known))
            .collect();
        let mut found = Vec::new();
        for known in administered.into_values() {
            let mut admins = Vec::new();
            self.each_admin(&known, &mut |admin| admins.push(admin.clone()))?;
            for admin in admins {
                let subject = &admin.subject;
                let could_give =
                    |one: &&Reached<'_>| one.rule.could_give(subject) && !is_bounded(one, subject);
                let Some(by) = reached.iter().find(could_give) else {
                    continue;
                };
                let told = json!({
                    "tenant": known.id().as_str(),
                    "name": admin.id.as_str(),
                    "subject": admin.subject.as_str(),
                    "role": admin.role,
                    "rule": by.rule.name(),
                });
                found.push((told, Role::parse(&admin.role), admin.subject));
            }
        }
        Ok(found)
    }

    /// Who has a role in a tenant or above it, and how they come to be who they are.
    fn administrators_above(
        &self,
        tenant: &Arc<Tenant>,
        issuer: &str,
        sees: Sees<'_>,
    ) -> Result<Vec<Administrator>, Refused> {
        let drilled = tenant;
        let mut administrators = Vec::new();
        for tenant in self.with_all_above(tenant) {
            let admins: Vec<AdminRecord> =
                tenant.read(|snapshot| snapshot.admins.values().cloned().collect());
            for record in admins {
                administrators.push(Administrator {
                    tenant: tenant.id().as_str().to_owned(),
                    is_seen: sees(tenant.id())?,
                    ways: self.ways_to(&record.subject, issuer, drilled, sees)?,
                    record,
                });
            }
        }
        Ok(administrators)
    }

    /// How someone comes to have a credential of this identity: the server's own for its operator,
    /// registration entries, and exchange rules. A rule for identities of the tenant itself opens no
    /// way of its own, since those have to be had first.
    fn ways_to(
        &self,
        subject: &SpiffeId,
        issuer: &str,
        drilled: &Tenant,
        sees: Sees<'_>,
    ) -> Result<Vec<Way>, Refused> {
        let mut ways = Vec::new();
        if self
            .operator_id()
            .is_ok_and(|operator| operator == *subject)
        {
            ways.push(Way {
                told: "the credential that the server makes for its operator".to_owned(),
                rests_on_issuer: false,
            });
        }
        let Some(owner) = self.owner_of(subject.trust_domain())? else {
            return Ok(ways);
        };
        owner.read(|snapshot| {
            let mut entries = snapshot.entries.values();
            if let Some(entry) = entries.find(|entry| entry.spiffe_id.admits(subject)) {
                ways.push(Way {
                    told: format!("the registration entry {}", entry.id),
                    rests_on_issuer: false,
                });
            }
        });
        let scene = self.scene(&owner)?;
        let quarantined = self.quarantined(&owner)?;
        for rule in scene.rules.iter().filter(|rule| rule.could_give(subject)) {
            let rests_on_issuer = match rule.admits().source() {
                Source::Anchor(name) => {
                    let rests = scene.is_anchor_of(name, issuer);
                    // Nobody comes in through another one that is in quarantine.
                    let is_closed =
                        || scene.is_named(name, |other| quarantined.contains_key(other));
                    if !rests && is_closed() {
                        continue;
                    }
                    rests
                }
                Source::Client { .. } => false,
                Source::TrustDomain(name) if scene.is_own(name) => continue,
                // Whom the thief becomes there is known by the rules of another tenant only.
                Source::TrustDomain(name) => {
                    drilled.read(|snapshot| snapshot.trust_domains.contains_key(name))
                }
            };
            ways.push(Way {
                told: format!("the rule {}, for {}", rule.name(), rule.population()),
                rests_on_issuer,
            });
        }
        if !sees(owner.id())? {
            for way in &mut ways {
                "a way that another tenant knows".clone_into(&mut way.told);
            }
        }
        Ok(ways)
    }
}

impl Scene {
    fn with_rules(&self) -> impl Iterator<Item = (&Self, &ExchangeRule)> {
        self.rules.iter().map(move |rule| (self, rule))
    }

    fn anchors_of<'a>(&'a self, issuer: &'a str) -> impl Iterator<Item = &'a Anchor> {
        let anchors = self.view.anchors().iter().map(AsRef::as_ref);
        anchors.filter(move |anchor| anchor.kind.issuer_name() == Some(issuer))
    }

    fn is_anchor_of(&self, name: &str, issuer: &str) -> bool {
        self.anchors_of(issuer).any(|anchor| anchor.name == name)
    }

    fn is_own(&self, trust_domain: &avouch_core::id::TrustDomain) -> bool {
        self.tenant
            .read(|snapshot| snapshot.trust_domains.contains_key(trust_domain))
    }

    /// Whether the anchor of this name is of an issuer that is called like that.
    fn is_named(&self, name: &str, is_meant: impl Fn(&str) -> bool) -> bool {
        let mut anchors = self.view.anchors().iter();
        anchors
            .any(|anchor| anchor.name == name && anchor.kind.issuer_name().is_some_and(&is_meant))
    }

    /// Whether what a rule of another tenant gives, whose issuer is called `issuer`, could be admitted by
    /// a rule of this one: by its trust domain, by the anchor of that trust domain, or as a token of that
    /// issuer, of which nobody knows here what it says.
    fn could_admit(&self, from: &ExchangeRule, issuer: &str, next: &ExchangeRule) -> bool {
        let believes = |name: Option<&str>| {
            let mut anchors = self.view.anchors().iter();
            anchors.any(|anchor| {
                let is_meant = name.is_none_or(|name| anchor.name == name);
                is_meant
                    && match &anchor.kind {
                        AnchorKind::TrustDomain(bundle) => {
                            bundle.trust_domain == *from.trust_domain()
                        }
                        kind => name.is_some() && kind.issuer_name() == Some(issuer),
                    }
            })
        };
        match next.admits().source() {
            Source::Anchor(name) => believes(Some(name)),
            Source::Client { .. } => false,
            Source::TrustDomain(_) => from.could_lead_to(next) && believes(None),
        }
    }
}

/// The rules under which the thief gets something, each with how many exchanges it takes: what is given
/// under one may be admitted by another, also of another tenant. The first scene is that of the tenant
/// whose issuer it is, and `own` is what it is called where it issues itself.
fn reached<'a>(scenes: &'a [Scene], issuer: &str, own: &str) -> Vec<Reached<'a>> {
    let mut reached: Vec<Reached<'a>> = Vec::new();
    let mut names = BTreeSet::new();
    let first = scenes.first();
    for (scene, rule) in first.iter().flat_map(|scene| scene.with_rules()) {
        let anchor = rule.admits().anchor();
        if anchor.is_some_and(|anchor| scene.is_anchor_of(anchor, issuer)) {
            names.insert((scene.tenant.id(), rule.name()));
            reached.push(Reached {
                step: 1,
                scene,
                rule,
            });
        }
    }
    let mut looked_at = 0;
    while let Some(from) = reached.get(looked_at) {
        looked_at += 1;
        let (step, scene, rule) = (from.step + 1, from.scene, from.rule);
        for (other, next) in scenes.iter().flat_map(Scene::with_rules) {
            let is_next = match other.tenant.id() == scene.tenant.id() {
                true => rule.could_lead_to(next),
                false => other.could_admit(rule, own, next),
            };
            if is_next && names.insert((other.tenant.id(), next.name())) {
                reached.push(Reached {
                    step,
                    scene: other,
                    rule: next,
                });
            }
        }
    }
    reached
}

/// Whether a tenant exchanges anything.
fn has_rules(tenant: &Tenant) -> bool {
    tenant.read(|snapshot| !snapshot.rules.is_empty())
}

fn changes_anything(role: Option<Role>) -> bool {
    let changes = |role: Role| Noun::ALL.iter().any(|noun| role.may(Verb::Write, *noun));
    role.is_some_and(changes)
}

fn anchor_in_words(anchor: &Anchor) -> Value {
    let at_most = &anchor.constraints.grants_at_most;
    json!({
        "anchor": anchor.name,
        "grants_at_most": at_most.to_json(),
        "unbounded": at_most.unbounded(),
    })
}

/// What is wrong, the gravest first, each with what to do.
fn findings(
    stolen: &[&Anchor],
    administers: &[(Value, Option<Role>, SpiffeId)],
    has_break_glass: bool,
    unread: &[String],
) -> Vec<String> {
    let mut findings = Vec::new();
    for tenant in unread {
        findings.push(format!(
            "what the tenant {tenant} gives cannot be read, so it is not known what the thief has \
             there: the log of the server says why"
        ));
    }
    for (_, role, subject) in administers {
        let role = role.map_or("unknown", Role::name);
        findings.push(format!(
            "whoever has its keys can become {subject}, who is {role}: set \
             `grants_at_most.administers` of its anchor to false, or dismiss them"
        ));
    }
    if !has_break_glass {
        findings.push(
            "nobody who may change issuers can sign in without it: give someone a role who has a \
             registration entry, or comes from another issuer"
                .to_owned(),
        );
    }
    for anchor in stolen {
        let at_most = &anchor.constraints.grants_at_most;
        if !at_most.bounds() {
            findings.push(format!(
                "nothing bounds {} but the rules: name `grants_at_most`, at least `below`, `lifetime` \
                 and `administers`",
                anchor.name
            ));
        }
    }
    findings
}
