//! Exchange rules of tenants: put, removed, and asked whether they still give what they gave.

use std::sync::Arc;

use avouch_core::exchange::{Before, ExchangeRule, Granted, Place, Rules, at_most, still_given};
use avouch_core::id::TrustDomain;
use avouch_core::view::View;
use avouch_store::{Change, Key, Object, RuleId, RuleRecord};
use serde_json::{Map, Value};

use crate::administrators::Superiors;
use crate::fault::{Refused, misnamed, unknown};
use crate::names;
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views::{self, Known, read_rule, rules_of};

/// What a tenant knew when something was considered, and what it knows now.
#[derive(Clone, Copy)]
pub(super) struct Since<'a> {
    pub(super) before: &'a Known,
    pub(super) now: &'a Known,
}

impl Plane {
    /// Stores a rule in the place of what had its name. It is read first, as it will be when
    /// something is exchanged. It gives nobody the identity of one of `superiors`.
    ///
    /// # Errors
    ///
    /// Why it cannot be used; `issue.object_malformed`, `issue.identity_administers`, or what failed on
    /// our side.
    pub(crate) fn put_rule(
        &self,
        tenant: &Arc<Tenant>,
        superiors: &Superiors,
        name: &str,
        document: &Map<String, Value>,
    ) -> Result<RuleRecord, Refused> {
        let id = RuleId::parse(name).ok_or_else(|| misnamed("rule", "name"))?;
        let rule = self.preview_rule(tenant, name, document)?;
        superiors.check_rule(&rule)?;
        let record = RuleRecord {
            id,
            document: Value::Object(document.clone()).to_string(),
            created: self.now(),
        };
        self.apply(tenant, &[Change::Put(Object::Rule(record.clone()))])?;
        Ok(record)
    }

    /// Reads a rule without storing it.
    ///
    /// # Errors
    ///
    /// Why it cannot be used, or what failed on our side.
    pub(crate) fn preview_rule(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        document: &Map<String, Value>,
    ) -> Result<ExchangeRule, Refused> {
        let view = views::view(tenant, self.trust_of(tenant)?);
        let rule = read_rule(tenant, name, document, &view, self.now())?;
        rule.check_bounds()?;
        self.check_administers(tenant, &rule, &view)?;
        rule.check_met_by_someone()?;
        if !is_as_stored(tenant, name, document) {
            rule.check_names(self.now())?;
        }
        Ok(rule)
    }

    /// Whether a rule cannot give anyone an identity that administers, where none may be had through
    /// its anchor.
    fn check_administers(
        &self,
        tenant: &Arc<Tenant>,
        rule: &ExchangeRule,
        view: &View,
    ) -> Result<(), Refused> {
        let anchors = view.anchors().iter();
        let mut bounded = anchors.filter(|anchor| {
            let at_most = &anchor.constraints.grants_at_most;
            rule.admits().anchor() == Some(anchor.name.as_str()) && !at_most.lets_administer()
        });
        let Some(anchor) = bounded.next() else {
            return Ok(());
        };
        let administrators = self.administrators_reached_from(tenant)?;
        match administrators.iter().find(|one| rule.could_give(one)) {
            None => Ok(()),
            Some(one) => Err(at_most::administers(&anchor.name, one).into()),
        }
    }

    /// All rules of a tenant as they are now.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn rules(&self, tenant: &Arc<Tenant>) -> Result<Rules, Refused> {
        let view = views::view(tenant, self.trust_of(tenant)?);
        Ok(rules_of(tenant, &view, self.now()))
    }

    /// Whether what is to be given under a rule could be given still, by what is trusted and given now.
    ///
    /// # Errors
    ///
    /// `issue.exchange_not_admitted`, `issue.bound_exceeded`, `issue.lineage_broken`, or what failed on
    /// our side.
    pub(super) fn check_still_given(
        &self,
        tenant: &Arc<Tenant>,
        since: Since<'_>,
        granted: Granted<'_>,
    ) -> Result<(), Refused> {
        let own: Vec<TrustDomain> =
            tenant.read(|snapshot| snapshot.trust_domains.keys().cloned().collect());
        let place = Place {
            view: &since.now.view,
            rules: &since.now.rules,
            own: &own,
            issuer: &self.issuer_of(tenant.id()),
            now: self.now(),
        };
        let before = Before {
            view: &since.before.view,
            rules: &since.before.rules,
        };
        Ok(still_given(place, before, granted)?)
    }

    /// Lets nobody exchange anything under a rule any more.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub(crate) fn remove_rule(&self, tenant: &Arc<Tenant>, name: &str) -> Result<(), Refused> {
        let id = RuleId::parse(name);
        let there = id.filter(|id| tenant.read(|snapshot| snapshot.rules.contains_key(id)));
        let id = there.ok_or_else(|| unknown("rule", name))?;
        let mut changes = names::of_rule(tenant, id.as_str());
        changes.push(Change::Remove(Key::Rule(id)));
        self.apply(tenant, &changes)?;
        Ok(())
    }
}

/// Whether a rule admits whom it admits already, and makes the same identities of them: who changes what else
/// it gives changes nothing of that, and what was stored when less was asked of it goes on.
fn is_as_stored(tenant: &Tenant, name: &str, document: &Map<String, Value>) -> bool {
    let id = RuleId::parse(name);
    let stored = id.and_then(|id| tenant.read(|snapshot| snapshot.rules.get(&id).cloned()));
    let stored = stored.and_then(|record| serde_json::from_str(&record.document).ok());
    stored.is_some_and(|stored: Map<String, Value>| {
        let admits = ["actors", "from", "unpinned"].into_iter();
        let mut admits = admits.map(|member| stored.get(member) == document.get(member));
        let gives = |rule: &Map<String, Value>| rule.get("gives")?.get("spiffe_id").cloned();
        admits.all(|is_same| is_same) && gives(&stored) == gives(document)
    })
}
