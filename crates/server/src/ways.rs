//! Rules by which whoever says who someone is could have an identity that may more: who is admitted by
//! one is as good as whom it gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::exchange::ExchangeRule;
use avouch_core::exchange::rule::{Source, client_anchor};
use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_core::policy::pattern::Pattern;
use avouch_core::policy::rules::Matcher;
use avouch_core::template::IdTemplate;
use avouch_store::RuleRecord;
use serde_json::{Map, Value};

use crate::exchange::rules::rules_of;
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views;

/// A rule that leads to someone, itself or through others.
pub(crate) struct Way {
    rule: String,
    to: usize,
    written: Written,
    /// The rule, unless it cannot be used as things are: then it could be once they are others.
    usable: Option<ExchangeRule>,
}

/// What stands in a rule, whether it can be used or not.
struct Written {
    anchor: Option<String>,
    trust_domain: Option<TrustDomain>,
    /// What the path is asked to be, if it is asked for something that is understood.
    path: Option<Matcher>,
    gives: Option<Shape>,
}

/// What an identity with places may become.
struct Shape {
    trust_domain: TrustDomain,
    path: Pattern,
}

impl Shape {
    fn of(text: &str) -> Option<Self> {
        let (trust_domain, path) = text.strip_prefix("spiffe://")?.split_once('/')?;
        let segments = path.split('/').map(|one| match one.starts_with('{') {
            true => "*",
            false => one,
        });
        let path = segments.fold(String::new(), |path, one| path + "/" + one);
        Some(Self {
            trust_domain: TrustDomain::parse(trust_domain).ok()?,
            path: Pattern::parse(&path).ok()?,
        })
    }

    fn admits(&self, id: &SpiffeId) -> bool {
        self.trust_domain == *id.trust_domain() && self.path.matches(id.path())
    }
}

impl Written {
    fn read(document: &Map<String, Value>) -> Self {
        let from = document.get("from");
        let text = |name: &str| from?.get(name)?.as_str();
        let path = from.and_then(|from| from.get("facts")?.get("spiffe.path"));
        let gives = document
            .get("gives")
            .and_then(|gives| gives.get("spiffe_id"));
        Self {
            anchor: text("anchor").map(ToOwned::to_owned),
            trust_domain: text("trust_domain").and_then(|name| TrustDomain::parse(name).ok()),
            path: path.and_then(matcher),
            gives: gives.and_then(Value::as_str).and_then(Shape::of),
        }
    }

    fn could_give(&self, id: &SpiffeId) -> bool {
        self.gives.as_ref().is_some_and(|gives| gives.admits(id))
    }

    fn could_admit(&self, shape: &Shape) -> bool {
        let is_asked_for = |path: &Matcher| path.overlaps(&Matcher::Pattern(shape.path.clone()));
        self.trust_domain.as_ref() == Some(&shape.trust_domain)
            && self.path.as_ref().is_none_or(is_asked_for)
    }
}

/// What a fact must be; nothing where that is not understood, so that it may be anything.
fn matcher(value: &Value) -> Option<Matcher> {
    match value {
        Value::String(text) => Some(Matcher::exactly(text.as_str())),
        Value::Array(all) => {
            let texts = all.iter().map(|one| one.as_str().map(ToOwned::to_owned));
            Some(Matcher::AnyOf(texts.collect::<Option<BTreeSet<_>>>()?))
        }
        Value::Object(members) => {
            let pattern = members.get("pattern")?.as_str()?;
            Some(Matcher::Pattern(Pattern::parse(pattern).ok()?))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

impl Way {
    /// Its name.
    pub(crate) fn rule(&self) -> &str {
        &self.rule
    }

    /// To which of those it leads that it was looked for.
    pub(crate) fn to(&self) -> usize {
        self.to
    }

    /// Whether an identity that this could become is admitted.
    pub(crate) fn admits(&self, identity: &IdTemplate) -> bool {
        match Shape::of(identity.as_str()) {
            Some(shape) => self.written.could_admit(&shape),
            None => self.is_from(identity.trust_domain()),
        }
    }

    /// Whether some of a trust domain are admitted.
    pub(crate) fn is_from(&self, trust_domain: &TrustDomain) -> bool {
        self.written.trust_domain.as_ref() == Some(trust_domain)
    }

    /// Whether some are admitted for whom an anchor of this name vouches.
    pub(crate) fn is_through(&self, anchor: &str) -> bool {
        let source = self.usable.as_ref().map(|rule| rule.admits().source());
        let is_client =
            matches!(source, Some(Source::Client { id, .. }) if client_anchor(id) == anchor);
        is_client || self.written.anchor.as_deref() == Some(anchor)
    }

    /// Whether some are admitted whom a rule gives.
    pub(crate) fn is_reached_by(&self, rule: &ExchangeRule) -> bool {
        match &self.usable {
            Some(next) => rule.could_lead_to(next),
            None => self.is_from(rule.trust_domain()),
        }
    }
}

impl Plane {
    /// The rules of a tenant that lead to one of these.
    ///
    /// # Errors
    ///
    /// What the tenant trusts cannot be read: then nobody knows whom its rules admit.
    pub(crate) fn ways_of_becoming(
        &self,
        tenant: &Arc<Tenant>,
        ids: &[&SpiffeId],
    ) -> Result<Vec<Way>, Refused> {
        let records: Vec<RuleRecord> =
            tenant.read(|snapshot| snapshot.rules.values().cloned().collect());
        let written = records.into_iter().map(|record| {
            // What cannot be read is never used.
            let document = serde_json::from_str(&record.document).unwrap_or_default();
            (record.id.to_string(), Written::read(&document))
        });
        let mut waiting: Vec<(String, Written)> = written.collect();
        // What is trusted need not be read where none could, which is so most often.
        let mut all = waiting.iter();
        if !all.any(|(_, rule)| ids.iter().any(|id| rule.could_give(id))) {
            return Ok(Vec::new());
        }
        let view = views::view(tenant, self.trust_of(tenant)?);
        let now = self.now();
        let usable = rules_of(tenant, &view, now).usable;
        let has_ended = |name: &str| {
            let mut all = usable.iter();
            all.any(|rule| rule.name() == name && rule.has_ended(now))
        };
        waiting.retain(|(name, _)| !has_ended(name));
        let mut ways: Vec<Way> = Vec::new();
        loop {
            let before = ways.len();
            for (name, written) in std::mem::take(&mut waiting) {
                let rule = usable.iter().find(|rule| rule.name() == name);
                match leads_to(rule, &written, ids, &ways) {
                    None => waiting.push((name, written)),
                    Some(to) => ways.push(Way {
                        rule: name,
                        to,
                        written,
                        usable: rule.cloned(),
                    }),
                }
            }
            if ways.len() == before {
                return Ok(ways);
            }
        }
    }
}

/// To which of these a rule leads, by what is known to lead there.
fn leads_to(
    rule: Option<&ExchangeRule>,
    written: &Written,
    ids: &[&SpiffeId],
    ways: &[Way],
) -> Option<usize> {
    let direct = ids.iter().position(|id| match rule {
        Some(rule) => rule.could_give(id),
        None => written.could_give(id),
    });
    let reaches = |way: &&Way| match (rule, &written.gives) {
        (Some(rule), _) => way.is_reached_by(rule),
        (None, Some(gives)) => way.written.could_admit(gives),
        (None, None) => false,
    };
    direct.or_else(|| ways.iter().find(reaches).map(Way::to))
}
