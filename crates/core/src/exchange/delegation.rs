//! Who acts for whom (RFC 8693 4.1, 4.4).

use serde_json::{Map, Value};

use crate::model::federation::is_spiffe;
use crate::policy::facts::refuse_unsafe;
use crate::reason::Reason;

/// The most who may act for one another in one token. Each adds an issuer and a name to it.
pub const ACTORS_MAX: usize = 8;

/// Someone who acts for another: a subject, and whose it is. The same name of another issuer is
/// someone else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Who says so; a SPIFFE ID needs no one to say so.
    pub issuer: Option<String>,
    /// The name.
    pub subject: String,
}

impl Actor {
    fn read(
        claim: &'static str,
        members: &Map<String, Value>,
        whose: Option<&str>,
    ) -> Result<Self, Reason> {
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => {
                refuse_unsafe(claim, text)?;
                Ok(Some(text.clone()))
            }
            Some(_) => Err(refuse(format!("a `{name}` in `{claim}` is no text"))),
        };
        Ok(Self {
            issuer: text("iss")?.or_else(|| whose.map(str::to_owned)),
            subject: text("sub")?.ok_or_else(|| refuse(format!("a `{claim}` has no `sub`")))?,
        })
    }

    /// Whether the two are one. Where one does not say whose it is, the names decide.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same_issuer = match (&self.issuer, &other.issuer) {
            (Some(one), Some(two)) => one == two,
            (Some(_) | None, None) | (None, Some(_)) => true,
        };
        same_issuer && self.subject == other.subject
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.issuer {
            Some(issuer) => write!(f, "{issuer}#{}", self.subject),
            None => f.write_str(&self.subject),
        }
    }
}

/// The chain in `act`, whoever acts now first. Who is named without an issuer is `whose`.
pub(super) fn read_chain(
    claims: &Map<String, Value>,
    whose: Option<&str>,
) -> Result<Vec<Actor>, Reason> {
    let mut chain = Vec::new();
    let mut next = claims.get("act");
    while let Some(value) = next {
        let Value::Object(members) = value else {
            return Err(refuse("an `act` is no object".to_owned()));
        };
        if chain.len() == ACTORS_MAX {
            return Err(too_long());
        }
        chain.push(Actor::read("act", members, whose)?);
        next = members.get("act");
    }
    Ok(chain)
}

/// Who may act for the subject, if its token says so (RFC 8693 4.4).
pub(super) fn read_may_act(
    claims: &Map<String, Value>,
    whose: Option<&str>,
) -> Result<Option<Actor>, Reason> {
    match claims.get("may_act") {
        None => Ok(None),
        Some(Value::Object(members)) => {
            // A SPIFFE ID says itself whose it is.
            let is_own = |name: &Value| name.as_str().is_some_and(is_spiffe);
            let whose = whose.filter(|_| !members.get("sub").is_some_and(is_own));
            Actor::read("may_act", members, whose).map(Some)
        }
        Some(_) => Err(refuse("`may_act` is no object".to_owned())),
    }
}

/// The chain when `actor` acts next. Nobody acts for whom they already act through others: a chain
/// that bites its tail hides who began it.
pub(super) fn extended(
    subject: &Actor,
    chain: &[Actor],
    actor: Actor,
) -> Result<Vec<Actor>, Reason> {
    if actor.is(subject) {
        return Err(refuse(format!("{actor} would act for itself")));
    }
    if chain.iter().any(|earlier| earlier.is(&actor)) {
        return Err(refuse(format!("{actor} acts in it already")));
    }
    if chain.len() >= ACTORS_MAX {
        return Err(too_long());
    }
    let mut extended = vec![actor];
    extended.extend_from_slice(chain);
    Ok(extended)
}

/// The claim `act` of a chain: whoever acts now outermost.
pub fn to_claim(chain: &[Actor]) -> Option<Value> {
    chain.iter().rev().fold(None, |inner, actor| {
        let mut members = Map::new();
        if let Some(issuer) = &actor.issuer {
            members.insert("iss".to_owned(), issuer.as_str().into());
        }
        members.insert("sub".to_owned(), actor.subject.as_str().into());
        if let Some(inner) = inner {
            members.insert("act".to_owned(), inner);
        }
        Some(Value::Object(members))
    })
}

fn too_long() -> Reason {
    refuse(format!("more than {ACTORS_MAX} would act in it"))
}

fn refuse(detail: String) -> Reason {
    Reason::IssueDelegation { detail }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn actor(subject: &str) -> Actor {
        Actor {
            issuer: None,
            subject: subject.to_owned(),
        }
    }

    fn chain(act: Value) -> Result<Vec<Actor>, Reason> {
        read_chain(json!({ "act": act }).as_object().unwrap(), None)
    }

    #[test]
    fn whoever_acts_now_is_outermost() {
        let two = extended(&actor("s"), &[actor("a")], actor("b")).unwrap();
        let claim = to_claim(&two).unwrap();
        assert_eq!(claim, json!({"sub": "b", "act": {"sub": "a"}}));
        assert_eq!(chain(claim).unwrap(), two);
        assert_eq!(to_claim(&[]), None);
    }

    #[test]
    fn hostile_53_a_forged_act_is_refused_and_not_passed_on() {
        for act in [
            json!("a"),
            json!([{"sub": "a"}]),
            json!({}),
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"sub": "a", "iss": ["x"]}),
            json!({"sub": "a", "act": null}),
            json!({"sub": "a\u{202e}b"}),
        ] {
            assert!(chain(act.clone()).is_err(), "{act}");
        }
    }

    #[test]
    fn hostile_52_a_chain_neither_turns_back_nor_grows_without_end() {
        let loops = extended(&actor("s"), &[actor("b"), actor("a")], actor("a"));
        assert_eq!(loops.unwrap_err().code(), "issue.delegation_refused");
        assert!(extended(&actor("s"), &[], actor("s")).is_err());
        let mut long: Vec<Actor> = Vec::new();
        for number in 0..ACTORS_MAX {
            long = extended(&actor("s"), &long, actor(&format!("a{number}"))).unwrap();
        }
        assert!(extended(&actor("s"), &long, actor("one-more")).is_err());
        let mut nested = json!({"sub": "x"});
        for _ in 0..ACTORS_MAX {
            nested = json!({"sub": "x", "act": nested});
        }
        assert!(chain(nested).is_err());
    }

    #[test]
    fn the_same_name_of_another_issuer_is_someone_else() {
        let of = |issuer: &str| Actor {
            issuer: Some(issuer.to_owned()),
            subject: "a".to_owned(),
        };
        assert!(of("https://x.test").is(&of("https://x.test")));
        assert!(!of("https://x.test").is(&of("https://y.test")));
        assert!(extended(&actor("s"), &[of("https://x.test")], of("https://y.test")).is_ok());
    }

    #[test]
    fn whoever_is_named_without_an_issuer_is_of_whoever_signed_it() {
        let claims = json!({"may_act": {"sub": "a"}, "act": {"sub": "b", "iss": "https://y.test"}});
        let claims = claims.as_object().unwrap();
        let named = |claims| {
            read_may_act(claims, Some("https://x.test"))
                .unwrap()
                .unwrap()
        };
        assert_eq!(named(claims).issuer.as_deref(), Some("https://x.test"));
        let chain = read_chain(claims, Some("https://x.test")).unwrap();
        assert_eq!(chain[0].issuer.as_deref(), Some("https://y.test"));
    }
}
