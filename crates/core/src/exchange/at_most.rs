//! What may be had at most through an anchor, whatever exchange rules say: what whoever has its key in
//! hand can become. Nothing is bounded that is not named.
//!
//! A bound holds for all that descends from the anchor, at whatever remove: what was exchanged within
//! it is not exchanged again beyond it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::assurance::AssuranceRule;
use super::rule::{ExchangeRule, IssuedKind};
use crate::credential::members::{Members, trust_document};
use crate::id::SpiffeId;
use crate::model::federation::SignedIn;
use crate::policy::facts::{Facts, List};
use crate::policy::matcher::Matcher;
use crate::policy::reading::read_matcher;
use crate::policy::rules::invalid;
use crate::reason::{Reason, printable};

/// The bounds of an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantsAtMost {
    lifetime: Option<i64>,
    below: Vec<SpiffeId>,
    kinds: Vec<IssuedKind>,
    audiences: Vec<String>,
    scopes: Vec<String>,
    claims: BTreeMap<String, Matcher>,
    assurance: SignInBound,
    /// Whether what is given may have a role of administration.
    administers: bool,
    /// As it was written.
    document: Map<String, Value>,
}

impl Default for GrantsAtMost {
    fn default() -> Self {
        Self {
            lifetime: None,
            below: Vec::new(),
            kinds: Vec::new(),
            audiences: Vec::new(),
            scopes: Vec::new(),
            claims: BTreeMap::new(),
            assurance: SignInBound::MultiFactor,
            administers: true,
            document: Map::new(),
        }
    }
}

/// How surely someone may have signed in at most, by the word of an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignInBound {
    /// Nothing that it says of it is believed.
    Nothing,
    /// One factor, and no class (`acr`), since a class may mean several.
    SingleFactor,
    /// Whatever it says.
    MultiFactor,
}

impl SignInBound {
    const ALL: [Self; 3] = [Self::Nothing, Self::SingleFactor, Self::MultiFactor];

    /// The name in a trust document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::SingleFactor => "single_factor",
            Self::MultiFactor => "multi_factor",
        }
    }
}

/// The members of `grants_at_most`.
const MEMBERS: [&str; 8] = [
    "administers",
    "assurance",
    "audiences",
    "below",
    "claims",
    "kinds",
    "lifetime",
    "scopes",
];

/// More than a bound permits.
struct Beyond {
    bound: &'static str,
    most: String,
    asked: String,
}

impl GrantsAtMost {
    /// Reads `{"lifetime": seconds, "below": [SPIFFE IDs], "kinds": […], "audiences": […], "scopes":
    /// […], "claims": {fact: matcher}, "assurance": "none" | "single_factor" | "multi_factor",
    /// "administers": true | false}`, which stands at `place`.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed`, `input.unsafe_text`, `policy.rule_invalid`.
    pub fn read_at(place: &str, value: &Value) -> Result<Self, Reason> {
        let Value::Object(object) = value else {
            return Err(trust_document(format!("`{place}` must be an object")));
        };
        let members = Members::of(object, place, &MEMBERS)?;
        let below = members.texts("below")?.into_iter();
        let below = below.map(|text| {
            SpiffeId::parse(&text).map_err(|_| {
                trust_document(format!(
                    "`{place}.below` has `{text}`, which is no SPIFFE ID"
                ))
            })
        });
        let kinds = members.texts("kinds")?.into_iter().map(|text| {
            let kind = IssuedKind::ALL.into_iter().find(|kind| kind.name() == text);
            kind.ok_or_else(|| {
                let names = IssuedKind::ALL.map(IssuedKind::name).join(", ");
                trust_document(format!(
                    "`{place}.kinds` has `{text}`; possible are {names}"
                ))
            })
        });
        let assurance = match members.text("assurance")? {
            None => SignInBound::MultiFactor,
            Some(text) => {
                let found = SignInBound::ALL.into_iter().find(|one| one.name() == text);
                found.ok_or_else(|| {
                    trust_document(format!(
                        "`{place}.assurance` must be none, single_factor or multi_factor"
                    ))
                })?
            }
        };
        Ok(Self {
            lifetime: members.seconds("lifetime")?,
            below: below.collect::<Result<_, _>>()?,
            kinds: kinds.collect::<Result<_, _>>()?,
            audiences: members.texts("audiences")?,
            scopes: members.texts("scopes")?,
            claims: claims(&members)?,
            assurance,
            administers: !object.contains_key("administers") || members.flag("administers")?,
            document: object.clone(),
        })
    }

    /// As it was written; nothing if nothing is bounded.
    pub fn to_json(&self) -> Value {
        match self.document.is_empty() {
            true => Value::Null,
            false => json!(self.document),
        }
    }

    /// Whether anything is bounded.
    pub fn bounds(&self) -> bool {
        *self != Self::default()
    }

    /// The members that bound nothing.
    pub fn unbounded(&self) -> Vec<&'static str> {
        let is_there = |name: &&&str| self.document.contains_key(**name);
        MEMBERS
            .iter()
            .filter(|name| !is_there(name))
            .copied()
            .collect()
    }

    /// Whether what is given may have a role of administration.
    pub fn lets_administer(&self) -> bool {
        self.administers
    }

    /// The longest life of what is given, in seconds.
    pub fn lifetime(&self) -> Option<i64> {
        self.lifetime
    }

    /// Whether an identity is one that may be given.
    pub fn admits_id(&self, id: &SpiffeId) -> bool {
        self.below.is_empty() || self.below.iter().any(|bound| is_below(id, bound))
    }

    /// The names of the facts whose values are bounded.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &str> {
        self.claims.keys().map(String::as_str)
    }

    /// Whether an anchor may say this of someone.
    pub(crate) fn check_facts(&self, anchor: &str, facts: &Facts) -> Result<(), Reason> {
        for (fact, permitted) in &self.claims {
            let beyond = |value: &str| Reason::ClaimBeyondBound {
                anchor: anchor.to_owned(),
                fact: fact.clone(),
                value: value.to_owned(),
                permitted: permitted.in_words(),
            };
            let listed = match facts.list(fact) {
                None => None,
                Some(List::Of(texts)) => Some(texts),
                // Nobody here reads it, but whoever is shown the token may.
                Some(List::Unfit(what)) => return Err(beyond(what)),
            };
            let listed = listed.into_iter().flatten().map(String::as_str);
            // Each value of a list is one that it says.
            let mut said = facts.get(fact).into_iter().chain(listed);
            if let Some(value) = said.find(|value| !permitted.matches(value)) {
                return Err(beyond(value));
            }
        }
        Ok(())
    }

    /// How surely someone may have signed in at most.
    pub(super) fn sign_in_bound(&self) -> SignInBound {
        self.assurance
    }

    /// What is believed of how someone signed in.
    pub(super) fn capped(&self, said: &SignedIn) -> SignedIn {
        match self.assurance {
            SignInBound::MultiFactor => said.clone(),
            SignInBound::SingleFactor => said.as_single_factor(),
            SignInBound::Nothing => SignedIn::default(),
        }
    }

    /// Why someone has not signed in surely enough, where that is for the bound alone.
    pub(super) fn assurance_exceeded(&self, anchor: &str) -> Reason {
        reason(
            anchor,
            Beyond {
                bound: "assurance",
                most: self.assurance.name().to_owned(),
                asked: "more".to_owned(),
            },
        )
    }

    /// Whether a rule gives no more than may be had through an anchor that it admits from.
    pub(super) fn check_rule(&self, anchor: &str, rule: &ExchangeRule) -> Result<(), Reason> {
        let beyond = self
            .beyond_by_what_is_given(rule)
            .or_else(|| self.beyond_by_whom_it_admits(rule));
        match beyond {
            None => Ok(()),
            Some(beyond) => Err(reason(anchor, beyond)),
        }
    }

    fn beyond_by_what_is_given(&self, rule: &ExchangeRule) -> Option<Beyond> {
        let gives = &rule.gives;
        let words = |words: &[String]| words.join(", ");
        if let Some(most) = self.lifetime
            && gives.lifetime > most
        {
            return Some(Beyond {
                bound: "lifetime",
                most: format!("{most} s"),
                asked: format!("{} s", gives.lifetime),
            });
        }
        if !self.below.is_empty() && !self.below.iter().any(|id| gives.template.is_below(id)) {
            return Some(self.not_below(gives.template.to_string()));
        }
        let is_other = |kind: &&IssuedKind| !self.kinds.is_empty() && !self.kinds.contains(kind);
        if let Some(kind) = gives.kinds.iter().find(is_other) {
            let most: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
            return Some(Beyond {
                bound: "kinds",
                most: most.join(", "),
                asked: kind.name().to_owned(),
            });
        }
        for (bound, most, given) in [
            ("audiences", &self.audiences, &gives.audiences),
            ("scopes", &self.scopes, &gives.scopes),
        ] {
            let other = given.iter().find(|one| !most.contains(one));
            if let Some(other) = other.filter(|_| !most.is_empty()) {
                return Some(Beyond {
                    bound,
                    most: words(most),
                    asked: other.clone(),
                });
            }
        }
        None
    }

    /// A rule that waits for what the anchor may not say would give nothing to anyone.
    fn beyond_by_whom_it_admits(&self, rule: &ExchangeRule) -> Option<Beyond> {
        let conditions = rule.admits.facts.as_ref().map(|facts| facts.conditions());
        for (fact, wanted) in conditions.into_iter().flatten() {
            if let Some(permitted) = self.claims.get(fact)
                && !permitted.overlaps(wanted)
            {
                return Some(Beyond {
                    bound: "claims",
                    most: format!("{fact} {}", permitted.in_words()),
                    asked: wanted.in_words(),
                });
            }
        }
        let asks = &rule.assurance;
        let needed = needed(asks);
        (needed > self.assurance && asks.otherwise.is_none()).then(|| Beyond {
            bound: "assurance",
            most: self.assurance.name().to_owned(),
            asked: needed.name().to_owned(),
        })
    }

    /// Whether what a rule gives may be had by who descends from an anchor.
    pub(super) fn check_given(&self, anchor: &str, rule: &ExchangeRule) -> Result<(), Reason> {
        match self.beyond_by_what_is_given(rule) {
            // Where the places of the identity are filled, the identity itself is looked at.
            Some(beyond) if beyond.bound != "below" => Err(reason(anchor, beyond)),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether an identity is one that may be given through an anchor.
    pub(super) fn check_id(&self, anchor: &str, id: &SpiffeId) -> Result<(), Reason> {
        if self.admits_id(id) {
            return Ok(());
        }
        Err(reason(anchor, self.not_below(id.to_string())))
    }

    fn not_below(&self, asked: String) -> Beyond {
        let below: Vec<String> = self.below.iter().map(ToString::to_string).collect();
        Beyond {
            bound: "below",
            most: format!("what is below {}", below.join(" or ")),
            asked,
        }
    }
}

/// The refusal of an identity that administers, where none may be given.
pub fn administers(anchor: &str, id: &SpiffeId) -> Reason {
    reason(
        anchor,
        Beyond {
            bound: "administers",
            most: "who administers nothing".to_owned(),
            asked: format!("{id}, which does"),
        },
    )
}

fn reason(anchor: &str, beyond: Beyond) -> Reason {
    Reason::IssueBoundExceeded {
        anchor: anchor.to_owned(),
        bound: beyond.bound,
        most: beyond.most,
        asked: printable(&beyond.asked),
    }
}

/// How surely someone must have signed in for a rule.
fn needed(asks: &AssuranceRule) -> SignInBound {
    if asks.multi_factor || !asks.acr.is_empty() || asks.amr.iter().any(|one| one == "mfa") {
        SignInBound::MultiFactor
    } else if asks.asks() {
        SignInBound::SingleFactor
    } else {
        SignInBound::Nothing
    }
}

/// Whether an identity is this one or below it, segment by segment.
fn is_below(id: &SpiffeId, bound: &SpiffeId) -> bool {
    let mut own = id.segments();
    id.trust_domain() == bound.trust_domain()
        && bound.segments().all(|segment| own.next() == Some(segment))
}

fn claims(members: &Members<'_>) -> Result<BTreeMap<String, Matcher>, Reason> {
    let place = members.place("claims");
    let object = match members.get("claims") {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(object)) if !object.is_empty() => object,
        Some(Value::Object(_)) => return Err(members.empty("claims")),
        Some(other) => return Err(members.mistyped("claims", "an object", other)),
    };
    let read = |(fact, value): (&String, &Value)| match read_matcher(&place, fact, value)? {
        Matcher::Has(_) | Matcher::HasAll(_) => {
            let detail = format!(
                "`{fact}` is bounded by the values that it may have, each of them where it is a list, \
                 and not by one that it `has`"
            );
            Err(invalid(&place, detail))
        }
        matcher => Ok((fact.clone(), matcher)),
    };
    object.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(value: &Value) -> Result<GrantsAtMost, Reason> {
        GrantsAtMost::read_at("grants_at_most", value)
    }

    #[test]
    fn what_is_misspelt_or_empty_is_refused_and_bounds_nothing_by_silence() {
        for wrong in [
            json!({"lifetime": 0}),
            json!({"lifetime": "600"}),
            json!({"below": []}),
            json!({"below": ["https://one.test"]}),
            json!({"kinds": ["certificate"]}),
            json!({"claims": {}}),
            json!({"claims": []}),
            json!({"assurance": "two"}),
            json!({"administers": "no"}),
            json!({"tenant": "one"}),
            json!([]),
        ] {
            let code = bounds(&wrong).unwrap_err().code();
            assert_eq!(code, "input.trust_document_malformed", "{wrong}");
        }
        let star = bounds(&json!({"claims": {"claims.env": "dev*"}}));
        assert_eq!(star.unwrap_err().code(), "policy.rule_invalid");
        assert!(!bounds(&json!({})).unwrap().bounds());
        assert!(bounds(&json!({"administers": false})).unwrap().bounds());
    }

    #[test]
    fn an_identity_is_below_by_whole_segments() {
        let below = bounds(&json!({"below": ["spiffe://one.test/ci", "spiffe://dev.test"]}));
        let below = below.unwrap();
        let admits = |id: &str| below.admits_id(&SpiffeId::parse(id).unwrap());
        for id in [
            "spiffe://one.test/ci",
            "spiffe://one.test/ci/a",
            "spiffe://dev.test/any",
        ] {
            assert!(admits(id), "{id}");
        }
        for id in [
            "spiffe://one.test/ci-evil",
            "spiffe://one.test/a",
            "spiffe://two.test/ci",
        ] {
            assert!(!admits(id), "{id}");
        }
    }

    #[test]
    fn what_an_anchor_may_say_is_bounded_by_value_and_silence_is_permitted() {
        let claims =
            json!({"claims": {"claims.env": ["dev", "test"], "subject": {"pattern": "a/**"}}});
        let bounds = bounds(&claims).unwrap();
        let says = |fact: &str, value: &str| {
            let facts = Facts::of_map(BTreeMap::from([(fact.to_owned(), value.to_owned())]));
            bounds.check_facts("ci", &facts).is_ok()
        };
        assert!(says("claims.env", "dev") && says("subject", "a/b") && says("claims.x", "y"));
        assert!(!says("claims.env", "prod") && !says("claims.env", "Dev") && !says("subject", "b"));
        // Each value of a list is one that it says.
        let lists = |values: Value| {
            let claims = json!({ "env": values });
            let facts = Facts::of(claims.as_object().unwrap(), None, std::iter::empty()).unwrap();
            bounds.check_facts("ci", &facts).is_ok()
        };
        assert!(lists(json!(["dev", "test"])) && lists(json!([])));
        assert!(!lists(json!(["dev", "prod"])) && !lists(json!(["Dev"])));
        // One that is no fact is not one that says nothing.
        assert!(!lists(json!(["dev", 7])) && !lists(json!(vec!["dev"; 257])));
        assert!(!lists(json!(["dev", "pr\u{200b}od"])) && !lists(json!([["prod"]])));
        let has = self::bounds(&json!({"claims": {"claims.env": {"has": "dev"}}}));
        assert_eq!(has.unwrap_err().code(), "policy.rule_invalid");
    }
}
