//! How surely a subject must have signed in: what a rule asks of `acr`, `amr` and `auth_time`
//! (OpenID Connect Core 2, RFC 8176, RFC 9470).

use crate::model::federation::{CLOCK_LEEWAY, SignedIn};
use crate::reason::Reason;
use crate::time::{Time, duration_in_words};

/// What a rule asks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssuranceRule {
    /// The class must be one of these; any will do if there is none.
    pub(super) acr: Vec<String>,
    /// All of these methods must have been used.
    pub(super) amr: Vec<String>,
    /// Whether several factors must have been used.
    pub(super) multi_factor: bool,
    /// How many seconds ago the subject may have signed in at most.
    pub(super) max_age: Option<i64>,
    /// What is given to whoever has not signed in like that; nothing if there is none.
    pub(super) otherwise: Option<Cap>,
}

/// Less than the rule gives else, for whoever has not signed in as it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    pub(super) lifetime: Option<i64>,
    pub(super) scopes: Vec<String>,
}

impl AssuranceRule {
    /// Whether it asks for anything.
    pub fn asks(&self) -> bool {
        !self.acr.is_empty() || !self.amr.is_empty() || self.multi_factor || self.max_age.is_some()
    }

    /// Whether it asks which methods were used.
    pub(super) fn asks_methods(&self) -> bool {
        self.multi_factor || !self.amr.is_empty()
    }

    /// Whether the subject has signed in as the rule asks. What a token does not say was not so. `classes`
    /// are those by which its issuer says that several factors were used.
    ///
    /// # Errors
    ///
    /// `issue.assurance_insufficient`.
    pub fn check(
        &self,
        signed_in: Option<&SignedIn>,
        classes: &[String],
        now: Time,
    ) -> Result<(), Reason> {
        if !self.asks() {
            return Ok(());
        }
        let nothing = SignedIn::default();
        let said = signed_in.unwrap_or(&nothing);
        match self.missing(said, now) {
            None => Ok(()),
            Some(missing) => Err(Reason::IssueAssurance {
                missing,
                asked: self.asked(),
                acr: self.classes_to_ask_for(said, classes),
                max_age: self.max_age.unwrap_or(-1),
            }),
        }
    }

    /// Which classes a client is to ask the issuer for (RFC 9470 3): those of the rule, and where a factor
    /// is missing those that mean several.
    fn classes_to_ask_for(&self, said: &SignedIn, classes: &[String]) -> Vec<String> {
        if !self.multi_factor || said.is_multi_factor() {
            return self.acr.clone();
        }
        if self.acr.is_empty() {
            return classes.to_vec();
        }
        let both = self.acr.iter().filter(|acr| classes.contains(acr));
        let both: Vec<String> = both.cloned().collect();
        if both.is_empty() {
            self.acr.clone()
        } else {
            both
        }
    }

    /// All that is asked for, in words.
    fn asked(&self) -> String {
        let one_of = (!self.acr.is_empty()).then(|| format!("`acr` {}", self.acr.join(" or ")));
        let methods = (!self.amr.is_empty()).then(|| format!("`amr` {}", self.amr.join(", ")));
        let factors = self
            .multi_factor
            .then(|| "several factors (`amr` of two kinds, or mfa)".to_owned());
        let age = self.max_age.map(|age| {
            format!(
                "that it was {} ago at most (`auth_time`)",
                duration_in_words(age)
            )
        });
        let parts = [one_of, methods, factors, age].into_iter().flatten();
        parts.collect::<Vec<_>>().join("; ")
    }

    fn missing(&self, said: &SignedIn, now: Time) -> Option<String> {
        let acr = said.acr.as_deref();
        if !self.acr.is_empty() && !acr.is_some_and(|acr| self.acr.iter().any(|one| one == acr)) {
            return Some(match acr {
                Some(acr) => format!("`acr` is {acr}"),
                None => "the token has no `acr`".to_owned(),
            });
        }
        if self.asks_methods() && said.tells_no_methods {
            return Some("its issuer cannot say which factors were used".to_owned());
        }
        if self.asks_methods() && said.amr.is_empty() {
            return Some("the token has no `amr`".to_owned());
        }
        let methods = || said.amr.iter().cloned().collect::<Vec<_>>().join(", ");
        if let Some(missing) = self.amr.iter().find(|method| !said.amr.contains(*method)) {
            return Some(format!("`amr` is {}, without {missing}", methods()));
        }
        if self.multi_factor && !said.is_multi_factor() {
            return Some(format!("`amr` is {}, which is one factor", methods()));
        }
        let max_age = self.max_age?;
        match said.at {
            None => Some("the token has no `auth_time`".to_owned()),
            Some(at) if at > now.plus(CLOCK_LEEWAY) => {
                Some(format!("`auth_time` is {at}, which has not come yet"))
            }
            Some(at) if now.since(at) > max_age => Some(format!(
                "that was {} ago, and {} are allowed",
                duration_in_words(now.since(at)),
                duration_in_words(max_age)
            )),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::federation::SignInReading;

    fn said(claims: &Value) -> SignedIn {
        let reading = SignInReading::default();
        SignedIn::read(claims.as_object().unwrap(), &reading).unwrap()
    }

    fn now() -> Time {
        Time::from_unix(10_000)
    }

    #[test]
    fn hostile_57_what_a_token_does_not_say_was_not_so() {
        let rule = AssuranceRule {
            acr: vec!["phr".to_owned()],
            multi_factor: true,
            max_age: Some(600),
            ..AssuranceRule::default()
        };
        let good = json!({"acr": "phr", "amr": ["hwk", "pwd"], "auth_time": 9_500});
        assert_eq!(rule.check(Some(&said(&good)), &[], now()), Ok(()));
        for (claim, value, missing) in [
            ("acr", json!(null), "no `acr`"),
            ("acr", json!("loa1"), "`acr` is loa1"),
            ("amr", json!(null), "no `amr`"),
            ("amr", json!(["pwd"]), "one factor"),
            ("amr", json!(["pwd", "pin"]), "one factor"),
            ("amr", json!(["pwd", "user"]), "one factor"),
            ("auth_time", json!(null), "no `auth_time`"),
            ("auth_time", json!(9_399), "ago"),
            ("auth_time", json!(10_061), "has not come"),
        ] {
            let mut claims = good.clone();
            let members = claims.as_object_mut().unwrap();
            members.remove(claim);
            if !value.is_null() {
                members.insert(claim.to_owned(), value.clone());
            }
            let reason = rule.check(Some(&said(&claims)), &[], now()).unwrap_err();
            assert_eq!(reason.code(), "issue.assurance_insufficient");
            assert!(reason.sentence().contains(missing), "{}", reason.sentence());
        }
        assert!(rule.check(None, &[], now()).is_err());
    }

    #[test]
    fn hostile_57_an_issuer_that_cannot_say_it_is_not_asked() {
        let cannot = SignedIn {
            tells_no_methods: true,
            ..said(&json!({"acr": "phr", "auth_time": 9_500}))
        };
        let asking = AssuranceRule {
            multi_factor: true,
            ..AssuranceRule::default()
        };
        let reason = asking.check(Some(&cannot), &[], now()).unwrap_err();
        assert!(reason.sentence().contains("its issuer cannot say"));
        // What it can say counts.
        let of_others = AssuranceRule {
            acr: vec!["phr".to_owned()],
            max_age: Some(600),
            ..AssuranceRule::default()
        };
        assert_eq!(of_others.check(Some(&cannot), &[], now()), Ok(()));
    }

    #[test]
    fn who_lacks_a_factor_is_told_which_class_means_several() {
        let classes = ["gold".to_owned(), "phr".to_owned()];
        let challenge = |acr: &[&str], claims: Value| {
            let rule = AssuranceRule {
                acr: acr.iter().map(|one| (*one).to_owned()).collect(),
                multi_factor: true,
                max_age: Some(300),
                ..AssuranceRule::default()
            };
            match rule.check(Some(&said(&claims)), &classes, now()) {
                Err(Reason::IssueAssurance { acr, asked, .. }) => {
                    assert!(asked.contains("several factors"), "{asked}");
                    assert!(asked.contains("5 minutes"), "{asked}");
                    acr.join(" ")
                }
                other => panic!("{other:?}"),
            }
        };
        let fresh = |amr: Value| json!({"auth_time": 9_900, "amr": amr});
        assert_eq!(challenge(&[], fresh(json!(["pwd", "pin"]))), "gold phr");
        assert_eq!(challenge(&["phr", "loa1"], fresh(json!(["pwd"]))), "phr");
        assert_eq!(challenge(&["loa1"], fresh(json!(["pwd"]))), "loa1");
        // Whose sign-in is old alone need not come with another class.
        let old = json!({"auth_time": 9_000, "amr": ["pwd", "hwk"]});
        assert_eq!(challenge(&[], old), "");
    }
}
