//! Names that customers of an issuer give up and others take, so that trust in one alone may come
//! to mean somebody else.

use super::facts::{CLAIMS, SUBJECT};
use super::naming::called;
use super::presets::Preset;
use super::rules::Rule;

/// Claims that name someone for now, of issuers of whom no more is known than how such claims are called,
/// beside those that presets take such names from.
const NAMES: [&str; 4] = ["login", "slug", "user_name", "username"];

/// Claims and attributes of SAML that are an address of mail, which whoever runs the domain gives to the
/// next when someone has left.
const MAILS: [&str; 8] = [
    "email",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "mail",
    "user_email",
    "urn:oid:0.9.2342.19200300.100.1.3",
    "urn:oid:1.3.6.1.4.1.5923.1.1.1.6",
];

/// Names in a rule that somebody else may have later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changeable {
    /// The facts.
    pub names: Vec<String>,
    /// The facts of which one would tell for good who is meant.
    pub pins: Vec<&'static str>,
}

impl Rule {
    /// The names that somebody else may have later, if it trusts them with nothing beside them by which
    /// whoever has them is known for good. An address is somebody's, so what says whose customer someone is
    /// does not pin it.
    pub fn changeable(&self, preset: Option<Preset>) -> Option<Changeable> {
        self.changeable_below(preset, &[])
    }

    /// The same of those who have been let in by one of `others` already: what each of these pins by which
    /// someone may come here is pinned here, too.
    pub fn changeable_below(&self, preset: Option<Preset>, others: &[Self]) -> Option<Changeable> {
        let facts = self.conditions().keys().map(String::as_str);
        among(facts, preset, |pins| {
            self.is_pinned_below(preset, others, pins)
        })
    }

    /// The names of which an identity is made for whom it admits, and that somebody else may have later, if
    /// nothing tells for good whose identity it is: neither `facts`, of which it is made, nor what is asked
    /// for. What is asked for as it stands is no name that anybody brings.
    pub fn changeable_identity<'a>(
        &self,
        preset: Option<Preset>,
        others: &[Self],
        facts: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<Changeable> {
        let is_brought = |fact: &&str| {
            let asked = self.conditions().get(*fact);
            asked.is_none_or(|matcher| matcher.texts().is_none())
        };
        among(facts.clone().filter(is_brought), preset, |pins| {
            let mut facts = facts.clone();
            facts.any(|fact| is_pin(fact, preset, pins))
                || self.is_pinned_below(preset, others, pins)
        })
    }

    fn is_pinned_below(&self, preset: Option<Preset>, others: &[Self], pins: &[&str]) -> bool {
        let mut ways = others
            .iter()
            .filter(|other| other.overlaps(self))
            .peekable();
        self.is_pinned_by(preset, pins)
            || ways.peek().is_some() && ways.all(|way| way.is_pinned_by(preset, pins))
    }

    /// Whether it asks for certain values of one of these, or of what another issuer would have for one. A
    /// subject is one where the preset does not know it to be put together from names.
    fn is_pinned_by(&self, preset: Option<Preset>, pins: &[&str]) -> bool {
        self.conditions().iter().any(|(fact, matcher)| {
            let Some(texts) = matcher.texts() else {
                return false;
            };
            match (called(fact, preset), preset) {
                (SUBJECT, None) => true,
                (SUBJECT, Some(preset)) => {
                    texts.iter().all(|text| preset.is_immutable_subject(text))
                }
                (fact, Some(_)) => pins.contains(&fact),
                (fact, None) => fact.strip_prefix(CLAIMS).is_some_and(is_id),
            }
        })
    }
}

/// Those of `facts` that somebody else may have later, unless one of the pins that would tell for good who
/// is meant `is_pinned`. An address needs one of people; of other names any will do.
fn among<'a>(
    facts: impl Iterator<Item = &'a str>,
    preset: Option<Preset>,
    is_pinned: impl Fn(&[&str]) -> bool,
) -> Option<Changeable> {
    let (mails, names_given_up): (Vec<&str>, Vec<&str>) = facts
        .filter(|fact| is_given_up(fact, preset))
        .partition(|fact| is_mail(fact, preset));
    let pins = preset.map_or(&[SUBJECT][..], Preset::pins);
    let of_people: Vec<&str> = pins
        .iter()
        .copied()
        .filter(|pin| !names_more_than_one(pin))
        .collect();
    let (names, pins) = if !mails.is_empty() && !is_pinned(&of_people) {
        (mails, of_people)
    } else if !names_given_up.is_empty() && !is_pinned(pins) {
        (names_given_up, pins.to_vec())
    } else {
        return None;
    };
    let names = names.into_iter().map(str::to_owned).collect();
    Some(Changeable { names, pins })
}

/// Whether whoever has any one value of a fact is known by it for good. A subject is where the preset does
/// not know it to be put together from names.
fn is_pin(fact: &str, preset: Option<Preset>, pins: &[&str]) -> bool {
    match (called(fact, preset), preset) {
        (SUBJECT, None) => true,
        (fact, Some(_)) => pins.contains(&fact),
        (fact, None) => fact.strip_prefix(CLAIMS).is_some_and(is_id),
    }
}

/// Pins that many have: of a customer, or of the client that someone has signed in to.
fn names_more_than_one(pin: &str) -> bool {
    let of_many = ["auth0.client_id", "auth0.organization_id", "okta.client_id"];
    of_many.contains(&pin)
        || Preset::ALL
            .iter()
            .any(|preset| preset.facts_of_customers().contains(&pin))
}

/// Whether a claim is one from which a preset takes what names someone for good.
fn is_id(claim: &str) -> bool {
    Preset::ALL.iter().any(|preset| {
        let fact = preset.fact_of_claim(&[claim]);
        fact.is_some_and(|fact| preset.pins().contains(&fact) && !names_more_than_one(fact))
    })
}

fn is_mail(fact: &str, preset: Option<Preset>) -> bool {
    let mail = preset.and_then(|preset| preset.fact_of_claim(&["email"]));
    let claim = fact.strip_prefix(CLAIMS);
    mail == Some(called(fact, preset)) || claim.is_some_and(|claim| MAILS.contains(&claim))
}

fn is_given_up(fact: &str, preset: Option<Preset>) -> bool {
    let known = |preset: &Preset, fact| preset.names_that_are_given_up().contains(&fact);
    if is_mail(fact, preset)
        || preset.is_some_and(|preset| known(&preset, called(fact, Some(preset))))
    {
        return true;
    }
    let Some(claim) = fact.strip_prefix(CLAIMS) else {
        return false;
    };
    NAMES.contains(&claim)
        || Preset::ALL.iter().any(|preset| {
            let fact = preset.fact_of_claim(&[claim]);
            fact.is_some_and(|fact| known(preset, fact))
        })
}

/// A name that is given up and taken again.
#[derive(Clone, Copy, Debug)]
pub struct BoundName {
    /// The fact that is the name.
    pub name: &'static str,
    /// The fact by which whoever has it is known for good.
    pub id: &'static str,
    /// The fact that tells below whom the name is unique, for good too; nothing if it is everywhere.
    pub below: Option<&'static str>,
}

impl BoundName {
    const fn new(name: &'static str, id: &'static str) -> Self {
        Self {
            name,
            id,
            below: None,
        }
    }

    const fn below(self, id: &'static str) -> Self {
        Self {
            below: Some(id),
            ..self
        }
    }
}

impl Preset {
    /// The facts that name someone for now: whoever renames, transfers or deletes what has the name
    /// leaves it to the next. Names of Kubernetes are the business of whoever runs the cluster.
    pub fn names_that_are_given_up(self) -> &'static [&'static str] {
        match self {
            Self::Buildkite => &["buildkite.organization", "buildkite.pipeline"],
            Self::GitHub => &[
                "github.enterprise",
                "github.job_workflow_ref",
                "github.repository",
                "github.repository_owner",
                "github.workflow_ref",
            ],
            Self::GitLab => &[
                "gitlab.ci_config_ref_uri",
                "gitlab.namespace_path",
                "gitlab.project_path",
                "gitlab.user_login",
            ],
            Self::HcpTerraform => &[
                "hcp_terraform.organization",
                "hcp_terraform.project",
                "hcp_terraform.workspace",
            ],
            Self::Auth0 => &["auth0.organization"],
            Self::Aws
            | Self::Bitbucket
            | Self::CircleCi
            | Self::Dex
            | Self::Entra
            | Self::Google
            | Self::GoogleIap
            | Self::Kubernetes
            | Self::Okta => &[],
        }
    }

    /// Names that are held to what whoever has them is known by for good.
    pub fn bound_names(self) -> &'static [BoundName] {
        match self {
            Self::Buildkite => {
                const {
                    &[
                        BoundName::new("buildkite.organization", "buildkite.organization_id"),
                        BoundName::new("buildkite.pipeline", "buildkite.pipeline_id")
                            .below("buildkite.organization_id"),
                    ]
                }
            }
            Self::GitHub => {
                const {
                    &[
                        BoundName::new("github.enterprise", "github.enterprise_id"),
                        BoundName::new("github.repository", "github.repository_id"),
                        BoundName::new("github.repository_owner", "github.repository_owner_id"),
                    ]
                }
            }
            Self::GitLab => {
                const {
                    &[
                        BoundName::new("gitlab.namespace_path", "gitlab.namespace_id"),
                        BoundName::new("gitlab.project_path", "gitlab.project_id"),
                    ]
                }
            }
            Self::HcpTerraform => {
                const {
                    &[
                        BoundName::new(
                            "hcp_terraform.organization",
                            "hcp_terraform.organization_id",
                        ),
                        BoundName::new("hcp_terraform.project", "hcp_terraform.project_id")
                            .below("hcp_terraform.organization_id"),
                        BoundName::new("hcp_terraform.workspace", "hcp_terraform.workspace_id")
                            .below("hcp_terraform.organization_id"),
                    ]
                }
            }
            Self::Auth0 => {
                const {
                    &[BoundName::new(
                        "auth0.organization",
                        "auth0.organization_id",
                    )]
                }
            }
            // Their names are not given up, or nothing else is known of whoever has them.
            Self::Aws
            | Self::Bitbucket
            | Self::CircleCi
            | Self::Dex
            | Self::Entra
            | Self::Google
            | Self::GoogleIap
            | Self::Kubernetes
            | Self::Okta => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn changeable(preset: Option<Preset>, facts: &Value) -> Option<Changeable> {
        let rule = Rule::read(&json!({"name": "r", "facts": facts}), 1, preset);
        rule.unwrap().changeable(preset)
    }

    #[test]
    fn what_whoever_was_let_in_has_shown_pins_a_name_of_theirs() {
        let preset = Some(Preset::GitLab);
        let read = |facts: &Value| {
            let rule = Rule::read(&json!({"name": "r", "facts": facts}), 1, preset);
            rule.unwrap()
        };
        let name = json!({"gitlab.project_path": "g/p"});
        let id = json!({"gitlab.project_id": "20"});
        let other = json!({"gitlab.project_path": "g/other"});
        let elsewhere = json!({"gitlab.project_path": "g/other", "gitlab.namespace_id": "7"});
        for (asked, own, is_pinned) in [
            (&name, vec![], false),
            (&name, vec![&id], true),
            // One of two ways to come pins nothing.
            (
                &name,
                vec![&id, &json!({"gitlab.ref_protected": "true"})],
                false,
            ),
            // Who comes by the other is somebody else.
            (&name, vec![&id, &other], true),
            // And who can come by none is not pinned by it.
            (&name, vec![&elsewhere], false),
            (&json!({"claims.user_email": "a@b.test"}), vec![], false),
            (&json!({"gitlab.ref_protected": "true"}), vec![], true),
        ] {
            let own: Vec<Rule> = own.into_iter().map(read).collect();
            let changeable = read(asked).changeable_below(preset, &own);
            assert_eq!(changeable.is_none(), is_pinned, "{asked} {own:?}");
        }
    }

    #[test]
    fn a_name_that_passes_to_another_needs_an_id_beside_it() {
        for (preset, facts) in [
            (None, json!({"claims.email": "a@b.test"})),
            (
                None,
                json!({"claims.mail": "a@b.test", "claims.team": "red"}),
            ),
            (
                None,
                json!({"claims.repository": "o/r", "claims.event_name": "push"}),
            ),
            (None, json!({"claims.project_path": {"pattern": "g/*"}})),
            (None, json!({"claims.username": "a"})),
            (
                None,
                json!({"claims.login": "a", "subject": {"pattern": "*"}}),
            ),
            (None, json!({"claims.slug": "a"})),
            (
                None,
                json!({"claims.email": "a@b.test", "claims.org_id": "o"}),
            ),
            (Some(Preset::Okta), json!({"okta.email": "a@b.test"})),
            (
                Some(Preset::Okta),
                json!({"okta.email": "a@b.test", "okta.client_id": "c"}),
            ),
            (
                Some(Preset::Okta),
                json!({"okta.email": "a@b.test", "subject": "a@b.test"}),
            ),
            (Some(Preset::Okta), json!({"claims.email": "a@b.test"})),
            (
                Some(Preset::Auth0),
                json!({"auth0.email": "a@b.test", "auth0.organization_id": "o"}),
            ),
            (
                Some(Preset::Dex),
                json!({"dex.email": "a@b.test", "dex.connector_id": "c"}),
            ),
            (
                Some(Preset::Google),
                json!({"google.email": "a@b.test", "google.hosted_domain": "b.test"}),
            ),
            (Some(Preset::GoogleIap), json!({"iap.email": "a@b.test"})),
            (Some(Preset::GitHub), json!({"claims.repository": "o/r"})),
            (Some(Preset::Entra), json!({"claims.email": "a@b.test"})),
        ] {
            let found = changeable(preset, &facts);
            assert!(found.is_some_and(|found| found.names.len() == 1), "{facts}");
        }
    }

    #[test]
    fn a_name_with_an_id_beside_it_and_what_is_no_such_name_are_left_alone() {
        for (preset, facts) in [
            (None, json!({"claims.email": "a@b.test", "subject": "7"})),
            (
                None,
                json!({"claims.repository": "o/r", "claims.repository_id": "74"}),
            ),
            (None, json!({"claims.group": "staff", "claims.team": "red"})),
            (None, json!({"claims.groups": {"has": "admins"}})),
            (
                Some(Preset::Okta),
                json!({"okta.email": "a@b.test", "okta.user_id": "00u1"}),
            ),
            (
                Some(Preset::Okta),
                json!({"okta.email": "a@b.test", "subject": "00u1"}),
            ),
            (
                Some(Preset::Auth0),
                json!({"auth0.email": "a@b.test", "subject": "auth0|1"}),
            ),
            (
                Some(Preset::Dex),
                json!({"dex.email": "a@b.test", "dex.user_id": "1"}),
            ),
            (
                Some(Preset::Google),
                json!({"google.hosted_domain": "b.test"}),
            ),
            (
                Some(Preset::GoogleIap),
                json!({"iap.email": "a@b.test", "subject": "1"}),
            ),
            (
                Some(Preset::GitHub),
                json!({"github.repository": "o/r", "github.repository_id": "74"}),
            ),
            (
                Some(Preset::GitHub),
                json!({"claims.repository": "o/r", "claims.repository_owner_id": "65"}),
            ),
        ] {
            assert_eq!(changeable(preset, &facts), None, "{facts}");
        }
    }

    #[test]
    fn every_name_is_a_fact_and_is_known_for_good_by_another() {
        for preset in Preset::ALL {
            for name in preset.names_that_are_given_up() {
                assert!(preset.has_fact(name), "{name}");
            }
            for BoundName { name, id, below } in preset.bound_names() {
                assert!(preset.has_fact(name), "{name}");
                for id in [Some(*id), *below].into_iter().flatten() {
                    assert!(preset.pins().contains(&id), "{id}");
                }
            }
        }
    }
}
