//! Exchange rules of tenants as they are stored: as they were sent, and read again whenever what the
//! tenant trusts has changed.

use avouch_core::exchange::{ExchangeRule, Rules};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::view::View;
use avouch_store::RuleRecord;
use serde_json::{Map, Value};

use crate::fault::unknown;
use crate::plane::RESERVED;
use crate::tenant::Tenant;

/// The rules of a tenant that knows `view`. One that cannot be used gives nothing, and is shown.
pub(crate) fn rules_of(tenant: &Tenant, view: &View, now: Time) -> Rules {
    let records: Vec<RuleRecord> =
        tenant.read(|snapshot| snapshot.rules.values().cloned().collect());
    let mut rules = Rules::default();
    for record in records {
        let name = record.id.as_str();
        let damaged = || Reason::RuleInvalid {
            rule: name.to_owned(),
            detail: "what is stored of it is no object".to_owned(),
        };
        let document = serde_json::from_str(&record.document);
        let rule = document
            .map_err(|_| damaged())
            .and_then(|document| read_rule(tenant, name, &document, view, now));
        match rule {
            Ok(rule) => rules.usable.push(rule),
            Err(reason) => rules.unusable.push((name.to_owned(), reason)),
        }
    }
    rules
}

/// Reads a rule, which may give identities of the tenant itself and of no one else.
pub(crate) fn read_rule(
    tenant: &Tenant,
    name: &str,
    document: &Map<String, Value>,
    view: &View,
    now: Time,
) -> Result<ExchangeRule, Reason> {
    let rule = ExchangeRule::read(name, document, view, now)?;
    let trust_domain = rule.trust_domain();
    if !tenant.read(|snapshot| snapshot.trust_domains.contains_key(trust_domain)) {
        return Err(unknown("trust domain", trust_domain.as_str()));
    }
    if rule.first_segment() == Some(RESERVED) {
        return Err(Reason::IssueIdReserved {
            id: format!("spiffe://{trust_domain}/{RESERVED}"),
        });
    }
    Ok(rule)
}
