//! A drill: what if an issuer is hostile? Nothing is changed and nobody is asked: what its thief could
//! have comes from the rules and the bounds as they are, and so does who could still act.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::anchor::Anchor;
use avouch_core::exchange::ExchangeRule;
use avouch_core::exchange::rule::Source;
use avouch_core::id::SpiffeId;
use avouch_core::view::View;
use avouch_store::AdminRecord;
use serde_json::{Value, json};

use super::reliance::exchanged_before;
use crate::access::{Noun, Role, Verb};
use crate::exchange::rules::rules_of;
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views;

/// A tenant as it is seen in a drill.
struct Scene {
    tenant: Arc<Tenant>,
    view: View,
    /// The rules that give something now.
    rules: Vec<ExchangeRule>,
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
    /// need the issuer can. Of tenants that whoever asks does not see it is told how many administrators
    /// they have and what these could do, and not who they are.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn drill_issuer(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        sees: &dyn Fn(&Tenant) -> bool,
    ) -> Result<Value, Refused> {
        let id = self.issuer_named(tenant, name)?;
        let (settings, keys) = self.issuer(tenant, &id)?;
        let issuer = settings.issuer.as_str();
        let scene = self.scene(tenant)?;
        let stolen: Vec<&Anchor> = scene.anchors_of(issuer).collect();
        let reached = scene.reached(issuer);
        let administers = self.administered_by_thief(tenant, &stolen, &reached);
        let administrators = self.administrators_above(tenant, issuer, sees)?;
        let can_still_act = |one: &&Administrator| one.may_act() && one.is_independent();
        let break_glass: Vec<&Administrator> =
            administrators.iter().filter(can_still_act).collect();
        let is_contained = administers
            .iter()
            .all(|(_, role, _)| !changes_anything(*role));
        let longest = reached.iter().map(|(_, rule)| rule.lifetime()).max();
        let ends = longest.map(|longest| self.now().plus(longest));
        Ok(json!({
            "name": id.as_str(),
            "issuer": issuer,
            "thief": {
                "believed_through": stolen.iter().map(|anchor| anchor_in_words(anchor)).collect::<Vec<_>>(),
                "gets": reached.iter().map(|(step, rule)| json!({
                    "step": step,
                    "rule": rule.name(),
                    "admits": rule.population(),
                    "becomes": rule.gives_ids(),
                    "gives": rule.grant_in_words(),
                    "lifetime": rule.lifetime(),
                })).collect::<Vec<_>>(),
                "administers": administers.iter().map(|(told, _, _)| told).collect::<Vec<_>>(),
            },
            "quarantine": {
                "already": keys.quarantine.is_some(),
                "stops": reached.iter().map(|(_, rule)| rule.name()).collect::<Vec<_>>(),
                "revokes": self.alive_from(tenant, issuer),
                "exchanged_before": exchanged_before(ends),
            },
            "administrators": administrators.iter().map(Administrator::to_json).collect::<Vec<_>>(),
            "break_glass": break_glass.iter().map(|one| one.to_json()).collect::<Vec<_>>(),
            "findings": findings(&stolen, &administers, !break_glass.is_empty()),
            "passed": is_contained && !break_glass.is_empty(),
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
        reached: &[(u32, &ExchangeRule)],
    ) -> Vec<(Value, Option<Role>, SpiffeId)> {
        let is_within = |id: &SpiffeId| {
            stolen.iter().any(|anchor| {
                let at_most = &anchor.constraints.grants_at_most;
                at_most.lets_administer() && at_most.admits_id(id)
            })
        };
        let mut found = Vec::new();
        for below in self.with_all_below(tenant.id()) {
            let admins: Vec<AdminRecord> =
                below.read(|snapshot| snapshot.admins.values().cloned().collect());
            for admin in admins {
                let by = reached
                    .iter()
                    .find(|(_, rule)| rule.could_give(&admin.subject));
                let Some((_, rule)) = by.filter(|_| is_within(&admin.subject)) else {
                    continue;
                };
                let told = json!({
                    "tenant": below.id().as_str(),
                    "name": admin.id.as_str(),
                    "subject": admin.subject.as_str(),
                    "role": admin.role,
                    "rule": rule.name(),
                });
                found.push((told, Role::parse(&admin.role), admin.subject));
            }
        }
        found
    }

    /// Who has a role in a tenant or above it, and how they come to be who they are.
    fn administrators_above(
        &self,
        tenant: &Arc<Tenant>,
        issuer: &str,
        sees: &dyn Fn(&Tenant) -> bool,
    ) -> Result<Vec<Administrator>, Refused> {
        let drilled = tenant;
        let mut administrators = Vec::new();
        let mut at = Some(Arc::clone(tenant));
        while let Some(tenant) = at {
            let admins: Vec<AdminRecord> =
                tenant.read(|snapshot| snapshot.admins.values().cloned().collect());
            for record in admins {
                administrators.push(Administrator {
                    tenant: tenant.id().as_str().to_owned(),
                    is_seen: sees(&tenant),
                    ways: self.ways_to(&record.subject, issuer, drilled, sees)?,
                    record,
                });
            }
            at = tenant.parent().and_then(|parent| self.tenant(parent));
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
        sees: &dyn Fn(&Tenant) -> bool,
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
        let Some(owner) = self.owner_of(subject.trust_domain()) else {
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
        for rule in scene.rules.iter().filter(|rule| rule.could_give(subject)) {
            let rests_on_issuer = match rule.admits().source() {
                Source::Anchor(name) => scene.is_anchor_of(name, issuer),
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
        if !sees(&owner) {
            for way in &mut ways {
                "a way that another tenant knows".clone_into(&mut way.told);
            }
        }
        Ok(ways)
    }
}

impl Scene {
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

    /// The rules under which the thief gets something, each with how many exchanges it takes: what is
    /// given under one may be admitted by another.
    fn reached(&self, issuer: &str) -> Vec<(u32, &ExchangeRule)> {
        let mut reached: Vec<(u32, &ExchangeRule)> = Vec::new();
        let mut names = BTreeSet::new();
        for rule in &self.rules {
            let anchor = rule.admits().anchor();
            if anchor.is_some_and(|anchor| self.is_anchor_of(anchor, issuer)) {
                names.insert(rule.name());
                reached.push((1, rule));
            }
        }
        let mut looked_at = 0;
        while let Some((step, from)) = reached.get(looked_at).copied() {
            looked_at += 1;
            for next in &self.rules {
                if from.could_lead_to(next) && names.insert(next.name()) {
                    reached.push((step + 1, next));
                }
            }
        }
        reached
    }
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
) -> Vec<String> {
    let mut findings = Vec::new();
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
