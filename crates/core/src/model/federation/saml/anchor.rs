//! Identity providers of SAML as anchors: their keys, and the bounds within which they are
//! believed.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::credential::members::{Members, trust_document};
use crate::credential::saml::metadata::Metadata;
use crate::credential::x509::Certificate;
use crate::model::federation::claims::LIFETIME_MAX;
use crate::model::federation::issuer::{certificate_of, lifetime_max};
use crate::model::federation::standing::Standing;
use crate::policy::reading::Vocabulary;
use crate::policy::rules::Rule;
use crate::reason::Reason;
use crate::time::Time;

/// The facts of an assertion beside its subject and its attributes.
pub(super) const NAME_FORMAT: &str = "saml.name_format";
pub(super) const AUTHN_CONTEXT: &str = "saml.authn_context";

/// The facts that a rule may speak of, beside `claims.<attribute>`.
pub(crate) const FACTS: [&str; 2] = [NAME_FORMAT, AUTHN_CONTEXT];

/// An identity provider that a tenant trusts.
#[derive(Clone, Debug)]
pub struct SamlAnchor {
    entity_id: String,
    certificates: Vec<Arc<Certificate>>,
    valid_until: Option<Time>,
    cache_duration: Option<String>,
    audiences: Vec<String>,
    recipients: Vec<String>,
    rules: Vec<Rule>,
    lifetime_max: i64,
    answers: Answers,
    standing: Standing,
}

/// To which requests an assertion may be an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Whichever; the question does not know.
    Any,
    /// The one that the question names, or to none if it names none.
    Asked,
    /// The one that the question names, which it must.
    Required,
}

const ANSWERS: [(&str, Answers); 3] = [
    ("any", Answers::Any),
    ("asked", Answers::Asked),
    ("required", Answers::Required),
];

impl SamlAnchor {
    /// Whether it asks of its assertions what another does, whichever certificates each has.
    pub(crate) fn has_terms_of(&self, other: &Self) -> bool {
        self.terms() == other.terms()
    }

    fn terms(&self) -> impl PartialEq + '_ {
        let lists = (&self.audiences, &self.recipients, &self.rules);
        (lists, self.lifetime_max, self.answers)
    }

    /// Reads the members of the anchor that stands at `place` of its document: `saml` with an
    /// `entity_id` and its `certificates`, or with `metadata`; and optionally `audiences`,
    /// `recipients`, `rules`, `max_lifetime` (seconds), `in_response_to`, and how it stands:
    /// `quarantined` and `unpinned`.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed`, `input.saml_malformed`, and the refusals of
    /// [`Rule::read`].
    pub fn read_at(place: &str, members: &Map<String, Value>) -> Result<Self, Reason> {
        let known = [
            "audiences",
            "in_response_to",
            "max_lifetime",
            "quarantined",
            "recipients",
            "rules",
            "saml",
            "unpinned",
        ];
        let members = Members::of(members, place, &known)?;
        let provider = Provider::read(&members)?;
        Ok(Self {
            entity_id: provider.entity_id,
            certificates: provider.certificates,
            valid_until: provider.valid_until,
            cache_duration: provider.cache_duration,
            audiences: members.texts("audiences")?,
            recipients: members.texts("recipients")?,
            rules: Rule::read_list(&members, Vocabulary::Assertion(&FACTS))?,
            lifetime_max: lifetime_max(&members, LIFETIME_MAX)?,
            answers: read_answers(&members)?,
            standing: Standing::read(&members)?,
        })
    }

    /// Its name, exactly as its assertions carry it.
    pub fn entity_id(&self) -> &str {
        &self.entity_id
    }

    /// The certificates of the keys that it signs with. They carry keys and nothing more: whether
    /// they have expired says nothing (SAML Metadata Interoperability Profile 2.6.1).
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// Until when its metadata may be used, if it says so.
    pub fn valid_until(&self) -> Option<Time> {
        self.valid_until
    }

    /// After how long its metadata asks to be read anew, as it is written there.
    pub fn cache_duration(&self) -> Option<&str> {
        self.cache_duration.as_deref()
    }

    /// For whom its assertions may be; anyone whom the question names when empty.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Where its assertions may be shown; wherever the question says when empty.
    pub fn recipients(&self) -> &[String] {
        &self.recipients
    }

    /// Who may come from it; anyone when empty.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The longest life of its assertions, in seconds.
    pub fn lifetime_max(&self) -> i64 {
        self.lifetime_max
    }

    /// To which requests its assertions may be answers.
    pub fn answers(&self) -> Answers {
        self.answers
    }

    /// How it stands with whoever trusts it.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether its keys may be used at `now`.
    pub(crate) fn check_standing(&self, anchor: &str, now: Time) -> Result<(), Reason> {
        self.standing.admits(&self.entity_id, anchor, now)?;
        match self.valid_until {
            Some(valid_until) if now >= valid_until => Err(Reason::SamlMetadataExpired {
                issuer: self.entity_id.clone(),
                valid_until,
                at: now,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// What stands in the member `saml`.
struct Provider {
    entity_id: String,
    certificates: Vec<Arc<Certificate>>,
    valid_until: Option<Time>,
    cache_duration: Option<String>,
}

impl Provider {
    fn read(members: &Members<'_>) -> Result<Self, Reason> {
        let place = members.place("saml");
        let Some(Value::Object(object)) = members.get("saml") else {
            return Err(trust_document(format!("`{place}` must be an object")));
        };
        let own = Members::of(object, &place, &["certificates", "entity_id", "metadata"])?;
        let named = own.text("entity_id")?.filter(|name| !name.is_empty());
        // Metadata is read by a reader of its own, and shown to no one.
        let metadata = match own.get("metadata") {
            None => None,
            Some(Value::String(text)) => Some(Metadata::read(text, named)?),
            Some(other) => return Err(own.mistyped("metadata", "a text", other)),
        };
        let listed = match own.get("certificates") {
            None => None,
            Some(Value::Array(list)) if list.is_empty() => return Err(own.empty("certificates")),
            Some(Value::Array(list)) => Some(list),
            Some(other) => return Err(own.mistyped("certificates", "a list of texts", other)),
        };
        match (metadata, listed, named) {
            (Some(metadata), None, _) => {
                let place = own.place("metadata");
                let certificates = metadata.certificates.iter().map(|der| {
                    Certificate::parse(der)
                        .map(Arc::new)
                        .map_err(|detail| trust_document(format!("`{place}`: {detail}")))
                });
                Ok(Self {
                    entity_id: metadata.entity_id,
                    certificates: certificates.collect::<Result<_, _>>()?,
                    valid_until: metadata.valid_until,
                    cache_duration: metadata.cache_duration,
                })
            }
            (None, Some(list), Some(named)) => {
                let place = own.place("certificates");
                let certificates = list.iter().map(|value| certificate_of(value, &place));
                Ok(Self {
                    entity_id: named.to_owned(),
                    certificates: certificates.collect::<Result<_, _>>()?,
                    valid_until: None,
                    cache_duration: None,
                })
            }
            (Some(_), Some(_), _) => Err(trust_document(format!(
                "`{place}` has `metadata` and `certificates`; one of them says which keys there are"
            ))),
            (None, _, _) => Err(trust_document(format!(
                "`{place}` needs `metadata`, or an `entity_id` and `certificates`"
            ))),
        }
    }
}

fn read_answers(members: &Members<'_>) -> Result<Answers, Reason> {
    let Some(name) = members.text("in_response_to")? else {
        return Ok(Answers::Asked);
    };
    let known = ANSWERS.iter().find(|(known, _)| *known == name);
    known.map(|(_, answers)| *answers).ok_or_else(|| {
        trust_document(format!(
            "`{}` must be any, asked or required",
            members.place("in_response_to")
        ))
    })
}
