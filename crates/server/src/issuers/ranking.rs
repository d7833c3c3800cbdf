//! On whom a tenant depends the most: everyone from elsewhere who vouches for it, by how many decisions
//! rest on them, and by what nobody else vouches for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use avouch_core::anchor::AnchorKind;
use avouch_core::exchange::ExchangeRule;
use serde_json::{Value, json};

use crate::fault::Refused;
use crate::plane::Plane;
use crate::tallies::{DAYS, voucher};
use crate::tenant::Tenant;
use crate::views;

/// The most entries that are looked at for whom an issuer could become.
const MOST_ENTRIES: usize = 20_000;

/// Someone from elsewhere who vouches.
#[derive(Default)]
struct Voucher<'a> {
    anchors: Vec<&'a str>,
    rules: Vec<&'a ExchangeRule>,
    decisions: u64,
}

impl Plane {
    /// Everyone from elsewhere who vouches for a tenant, whoever is relied on the most first.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn issuers_by_reliance(&self, tenant: &Arc<Tenant>) -> Result<Value, Refused> {
        let now = self.now();
        let view = views::view(tenant, self.trust_of(tenant)?);
        let rules = self.rules(tenant)?;
        let live = rules.usable.iter().filter(|rule| !rule.has_ended(now));
        let live: Vec<&ExchangeRule> = live.collect();
        let tallied = self.tallied(tenant);
        let total: u64 = tallied.by_voucher.values().sum();
        let mut vouchers: BTreeMap<(&str, &str), Voucher<'_>> = BTreeMap::new();
        for anchor in view.anchors() {
            if let AnchorKind::TrustDomain(bundle) = &anchor.kind
                && tenant.read(|held| held.trust_domains.contains_key(&bundle.trust_domain))
            {
                continue;
            }
            let key = (anchor.kind.name(), voucher(anchor));
            vouchers.entry(key).or_default().anchors.push(&anchor.name);
        }
        for ((kind, name), found) in &mut vouchers {
            let admits = |rule: &&&ExchangeRule| is_from(rule, kind, name, &found.anchors);
            found.rules = live.iter().filter(admits).copied().collect();
            let key = ((*kind).to_owned(), (*name).to_owned());
            found.decisions = tallied.by_voucher.get(&key).copied().unwrap_or_default();
        }
        let parties = parties_of(live.iter().copied());
        let federations = believed_issuers(vouchers.keys(), &self.quarantined(tenant)?);
        let mut told: Vec<(u64, usize, Value)> = vouchers
            .iter()
            .map(|((kind, name), found)| {
                let own = parties_of(found.rules.iter().copied());
                let others = live.iter().copied();
                let others = others.filter(|rule| {
                    let mut names = found.rules.iter().map(|rule| rule.name());
                    !names.any(|name| name == rule.name())
                });
                let of_others = parties_of(others);
                let alone = own.difference(&of_others).count();
                // A key that stays as it is until someone changes it, beside an issuer whose tokens
                // live for minutes.
                let replaceable_by = match *kind {
                    "api_key" => federations.as_slice(),
                    _ => &[],
                };
                let told = json!({
                    "replaceable_by": replaceable_by,
                    "name": name,
                    "kind": kind,
                    "anchors": found.anchors,
                    "rules": found.rules.len(),
                    "entries": entries_of(tenant, &found.rules),
                    "relying_parties": own,
                    "decisions": found.decisions,
                    "share": percent(found.decisions, total),
                    "depends": percent(count(alone), count(parties.len())),
                });
                (found.decisions, found.rules.len(), told)
            })
            .collect();
        told.sort_by_key(|(decisions, rules, _)| std::cmp::Reverse((*decisions, *rules)));
        let told: Vec<Value> = told.into_iter().map(|(_, _, told)| told).collect();
        let most = |member: &str| {
            let values = told.iter().filter_map(|one| one.get(member)?.as_f64());
            values.fold(0.0, f64::max)
        };
        Ok(json!({
            "decisions": total,
            "relying_parties": parties.len(),
            "days": DAYS,
            "since": tallied.since,
            "note": "acceptances, counted by day and stored each minute: what a server that was killed \
                     had counted since is missing",
            "most_share": most("share"),
            "most_depends": most("depends"),
            "issuers": told,
        }))
    }
}

/// The issuers among those who vouch of which something is believed now.
fn believed_issuers<'a>(
    vouchers: impl Iterator<Item = &'a (&'a str, &'a str)>,
    quarantined: &BTreeMap<String, Value>,
) -> Vec<&'a str> {
    vouchers
        .filter(|(kind, name)| *kind == "issuer" && !quarantined.contains_key(*name))
        .map(|(_, name)| *name)
        .collect()
}

fn is_from(rule: &ExchangeRule, kind: &str, name: &str, anchors: &[&str]) -> bool {
    use avouch_core::exchange::rule::Source;
    match rule.admits().source() {
        Source::Anchor(anchor) => anchors.contains(&anchor.as_str()),
        Source::Client { .. } => false,
        Source::TrustDomain(domain) => kind == "trust_domain" && domain.as_str() == name,
    }
}

/// For whom what the rules give is.
fn parties_of<'a>(rules: impl Iterator<Item = &'a ExchangeRule>) -> BTreeSet<&'a str> {
    let audiences = rules.flat_map(|rule| rule.audiences());
    audiences.map(String::as_str).collect()
}

/// How many registration entries have an identity that the rules could give to others as well; none
/// where there are too many to look at.
fn entries_of(tenant: &Tenant, rules: &[&ExchangeRule]) -> Option<usize> {
    tenant.read(|snapshot| {
        if snapshot.entries.len() > MOST_ENTRIES {
            return None;
        }
        let ids = snapshot
            .entries
            .values()
            .filter_map(|entry| entry.spiffe_id.fixed());
        let is_given = |id: &&_| rules.iter().any(|rule| rule.could_give(id));
        Some(ids.filter(is_given).count())
    })
}

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

/// In percent, with one digit behind the point; nothing of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    let tenths = u128::from(part) * 1_000 / u128::from(whole);
    f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0
}
