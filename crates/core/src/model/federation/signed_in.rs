//! How a subject has signed in, as its issuer tells it: `acr`, `amr` and `auth_time` (OpenID Connect
//! Core 2, RFC 8176). What these words mean is for each issuer to say, and whoever trusts one says
//! how they are to be read.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::claims::{Rounded, seconds};
use crate::credential::jose::json::kind_of;
use crate::credential::members::{Members, trust_document};
use crate::credential::saml::assertion::Assertion;
use crate::policy::presets::Preset;
use crate::reason::Reason;
use crate::time::Time;

/// The method of RFC 8176 2 that says that several factors were used.
const SEVERAL: &str = "mfa";

/// Methods of RFC 8176 2 by what they show: that the subject knows, has, or is something. `user` is
/// none of them: that someone was there does not say who.
const KNOWS: [&str; 3] = ["kba", "pin", "pwd"];
const HAS: [&str; 7] = ["hwk", "otp", "pop", "sc", "sms", "swk", "tel"];
const IS: [&str; 5] = ["face", "fpt", "iris", "retina", "vbm"];

/// What a credential says of how its subject signed in, in the words of RFC 8176.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedIn {
    /// The class.
    pub acr: Option<String>,
    /// The methods.
    pub amr: BTreeSet<String>,
    /// When.
    pub at: Option<Time>,
    /// Whether the issuer is known not to be able to say which methods were used.
    pub tells_no_methods: bool,
}

impl SignedIn {
    /// Reads the claims; one of the wrong type is refused, never passed over.
    pub(crate) fn read(
        claims: &Map<String, Value>,
        reading: &SignInReading,
    ) -> Result<Self, Reason> {
        let mistyped = |claim: &str, expected, found| Reason::ClaimMistyped {
            claim: claim.to_owned(),
            expected,
            found,
        };
        let acr = match claims.get("acr") {
            None => None,
            Some(Value::String(acr)) => Some(acr.clone()),
            Some(other) => return Err(mistyped("acr", "a text", kind_of(other))),
        };
        let amr = match claims.get("amr") {
            None => BTreeSet::new(),
            Some(Value::Array(methods)) => methods
                .iter()
                .map(|method| match method {
                    Value::String(method) => Ok(method.clone()),
                    other => Err(mistyped("amr", "a list of texts", kind_of(other))),
                })
                .collect::<Result<_, _>>()?,
            Some(other) => return Err(mistyped("amr", "a list of texts", kind_of(other))),
        };
        let said = Self {
            acr,
            amr,
            at: seconds(claims, "auth_time", Rounded::Down)?,
            tells_no_methods: false,
        };
        Ok(reading.normalised(said))
    }

    /// What an assertion of SAML says: a class, and no methods.
    pub(crate) fn of_assertion(assertion: &Assertion) -> Self {
        let said = assertion.sign_in.as_ref();
        Self {
            acr: said.and_then(|one| one.class.clone()),
            at: said.map(|one| one.at),
            ..Self::default()
        }
    }

    /// The same when no more than one factor is believed: no class, since one may mean several, and the
    /// methods of one kind.
    pub(crate) fn as_single_factor(&self) -> Self {
        let of_kind = |kind: &[&str]| -> BTreeSet<String> {
            let methods = self.amr.iter();
            let methods = methods.filter(|method| kind.contains(&method.as_str()));
            methods.cloned().collect()
        };
        let mut kinds = [of_kind(&KNOWS), of_kind(&HAS), of_kind(&IS)].into_iter();
        Self {
            acr: None,
            amr: kinds.find(|kind| !kind.is_empty()).unwrap_or_default(),
            ..self.clone()
        }
    }

    /// Whether several factors were used: the issuer says so, or names methods of two kinds.
    pub fn is_multi_factor(&self) -> bool {
        let used = |kind: &[&str]| kind.iter().any(|method| self.amr.contains(*method));
        let kinds = [used(&KNOWS), used(&HAS), used(&IS)];
        self.amr.contains(SEVERAL) || kinds.into_iter().filter(|used| *used).count() >= 2
    }

    /// Whether anything is said at all.
    pub(crate) fn says_something(&self) -> bool {
        self.acr.is_some() || !self.amr.is_empty() || self.at.is_some()
    }
}

/// How what an issuer says of signing in is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignInReading {
    tells_no_methods: bool,
    /// Classes that are given for several factors only.
    acr: Vec<String>,
    /// Words of its own for methods that are several factors.
    amr: Vec<String>,
}

impl SignInReading {
    /// Reads the member `assurance` of an issuer: `multi_factor` (whether it can say so at all),
    /// `multi_factor_acr` and `multi_factor_amr` (by which values it does). Without it the preset
    /// says which issuers cannot.
    pub(super) fn read(members: &Members<'_>, preset: Option<Preset>) -> Result<Self, Reason> {
        let Some(value) = members.get("assurance") else {
            return Ok(Self {
                tells_no_methods: preset.is_some_and(|preset| !preset.tells_how_one_signed_in()),
                ..Self::default()
            });
        };
        let place = members.place("assurance");
        let Value::Object(object) = value else {
            return Err(members.mistyped("assurance", "an object", value));
        };
        let known = ["multi_factor", "multi_factor_acr", "multi_factor_amr"];
        let members = Members::of(object, &place, &known)?;
        let (acr, amr) = (
            members.texts("multi_factor_acr")?,
            members.texts("multi_factor_amr")?,
        );
        let can = match members.get("multi_factor") {
            None => None,
            Some(_) => Some(members.flag("multi_factor")?),
        };
        match (can, acr.is_empty() && amr.is_empty()) {
            (None, true) => Err(trust_document(format!("`{place}` says nothing"))),
            (Some(false), false) => Err(trust_document(format!(
                "`{place}` says that the issuer cannot tell several factors, and how it does"
            ))),
            (can, _) => Ok(Self {
                tells_no_methods: can == Some(false),
                acr,
                amr,
            }),
        }
    }

    /// Whether the issuer can say which methods were used.
    pub fn tells_methods(&self) -> bool {
        !self.tells_no_methods
    }

    /// The classes that it gives for several factors only.
    pub(crate) fn classes_of_several(&self) -> &[String] {
        &self.acr
    }

    /// What was said, in the words of RFC 8176: a class or a method that stands for several factors
    /// becomes `mfa`, and what an issuer cannot know is not passed on.
    fn normalised(&self, said: SignedIn) -> SignedIn {
        if self.tells_no_methods {
            return SignedIn {
                amr: BTreeSet::new(),
                tells_no_methods: true,
                ..said
            };
        }
        let mut said = said;
        let by_class = said.acr.as_ref().is_some_and(|acr| self.acr.contains(acr));
        if by_class || self.amr.iter().any(|method| said.amr.contains(method)) {
            said.amr.insert(SEVERAL.to_owned());
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reading(assurance: &Value, preset: Option<Preset>) -> Result<SignInReading, Reason> {
        let object = json!({ "assurance": assurance });
        let object = object.as_object().unwrap();
        let members = Members::of(object, "anchor", &["assurance"]).unwrap();
        SignInReading::read(&members, preset)
    }

    fn said(claims: &Value, reading: &SignInReading) -> SignedIn {
        SignedIn::read(claims.as_object().unwrap(), reading).unwrap()
    }

    #[test]
    fn hostile_57_two_methods_are_two_factors_only_if_they_are_of_two_kinds() {
        let of = |methods: Value| said(&json!({ "amr": methods }), &SignInReading::default());
        for one in [
            json!(["pwd"]),
            json!(["pwd", "user"]),
            json!(["hwk", "user"]),
            json!(["user"]),
            json!(["pwd", "pin", "kba"]),
            json!(["otp", "sms"]),
            json!(["pwd", "unheard"]),
            json!([]),
        ] {
            assert!(!of(one.clone()).is_multi_factor(), "{one}");
        }
        for several in [
            json!(["pwd", "hwk"]),
            json!(["hwk", "fpt", "user"]),
            json!(["mfa"]),
        ] {
            assert!(of(several.clone()).is_multi_factor(), "{several}");
        }
    }

    #[test]
    fn hostile_57_what_an_issuer_means_by_its_words_is_said_where_it_is_trusted() {
        let own = json!({"multi_factor_acr": ["gold"], "multi_factor_amr": ["ngcmfa"]});
        let own = reading(&own, None).unwrap();
        for (claims, is_multi_factor) in [
            (json!({"acr": "gold"}), true),
            (json!({"acr": "Gold"}), false),
            (json!({"acr": "silver", "amr": ["pwd"]}), false),
            (json!({"amr": ["ngcmfa"]}), true),
        ] {
            assert_eq!(
                said(&claims, &own).is_multi_factor(),
                is_multi_factor,
                "{claims}"
            );
            let plain = said(&claims, &SignInReading::default());
            assert!(!plain.is_multi_factor(), "{claims}");
        }
        // One that cannot is not believed about it, whatever its tokens say.
        let cannot = reading(&json!({"multi_factor": false}), None).unwrap();
        let claims = json!({"acr": "gold", "amr": ["mfa"], "auth_time": 7});
        let heard = said(&claims, &cannot);
        assert!(!heard.is_multi_factor() && heard.amr.is_empty());
        assert_eq!(
            (heard.acr.as_deref(), heard.at),
            (Some("gold"), Some(Time::from_unix(7)))
        );
        // A preset knows which those are, and whoever knows better says so.
        assert!(
            !reading(&json!({"multi_factor": false}), Some(Preset::Okta))
                .unwrap()
                .tells_methods()
        );
        assert!(
            reading(&json!({"multi_factor": true}), Some(Preset::Dex))
                .unwrap()
                .tells_methods()
        );
        for (preset, tells) in [
            (Some(Preset::Dex), false),
            (Some(Preset::Okta), true),
            (None, true),
        ] {
            let members = Map::new();
            let members = Members::of(&members, "anchor", &[]).unwrap();
            assert_eq!(
                SignInReading::read(&members, preset)
                    .unwrap()
                    .tells_methods(),
                tells
            );
        }
        for contradicting in [
            json!({}),
            json!({"multi_factor": false, "multi_factor_acr": ["gold"]}),
            json!({"multi_factor_acr": []}),
            json!({"multi_factor": "yes"}),
            json!({"mfa": true}),
            json!(true),
        ] {
            assert!(reading(&contradicting, None).is_err(), "{contradicting}");
        }
    }

    #[test]
    fn claims_of_the_wrong_type_are_refused() {
        for claims in [
            json!({"acr": 1}),
            json!({"amr": "mfa"}),
            json!({"amr": [1]}),
            json!({"auth_time": "9500"}),
        ] {
            let read = SignedIn::read(claims.as_object().unwrap(), &SignInReading::default());
            assert_eq!(
                read.unwrap_err().code(),
                "federation.claim_mistyped",
                "{claims}"
            );
        }
    }
}
