//! Trust anchors of OpenID Federation: the keys at which chains of statements end, and the bounds
//! within which whoever is below is believed.

use serde_json::{Map, Value};

use crate::credential::jose::entity::host_of;
use crate::credential::jose::jwk::KeySet;
use crate::credential::members::{Members, trust_document};
use crate::model::federation::claims::LIFETIME_MAX;
use crate::model::federation::issuer::lifetime_max;
use crate::model::federation::standing::Standing;
use crate::policy::reading::Vocabulary;
use crate::policy::rules::Rule;
use crate::reason::Reason;

/// The entity that signed the token.
pub(super) const ENTITY: &str = "federation.entity";

/// The facts that a rule may speak of, beside `claims.<name>`.
pub(crate) const FACTS: [&str; 1] = [ENTITY];

/// A trust anchor of a federation.
#[derive(Clone, Debug)]
pub struct FederationAnchor {
    entity_id: String,
    keys: KeySet,
    audiences: Vec<String>,
    rules: Vec<Rule>,
    lifetime_max: i64,
    entity_types: Vec<String>,
    trust_marks: Vec<RequiredMark>,
    fetch: Option<ChainsFetched>,
    standing: Standing,
}

/// From where whoever decides for many may fetch chains that do not come with their token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainsFetched {
    /// The hosts, each with a port or without; a leading dot stands for all below a name.
    pub hosts: Vec<String>,
    /// Certificates in PEM that their servers may end at besides the trust store of the system.
    pub ca: Option<String>,
}

/// A trust mark that whoever is believed must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequiredMark {
    pub(super) mark: String,
    /// Who may have given it.
    pub(super) issuers: Vec<String>,
}

impl FederationAnchor {
    /// Whether it asks of its members what another does, whichever keys each has.
    pub(crate) fn has_terms_of(&self, other: &Self) -> bool {
        self.terms() == other.terms()
    }

    fn terms(&self) -> impl PartialEq + '_ {
        let lists = (&self.audiences, &self.entity_types, &self.rules);
        (lists, self.lifetime_max, &self.trust_marks)
    }

    /// Reads the members of the anchor that stands at `place` of its document:
    /// `openid_federation` with an `entity_id` and `jwks`, and optionally `audiences`, `rules`,
    /// `max_lifetime` (seconds), `entity_types`, `trust_marks`, `fetch` (`hosts`, `ca`)
    /// and `unpinned` (`reason`, `expires`).
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed`, and the refusals of [`KeySet::read`] and [`Rule::read`].
    pub fn read_at(place: &str, members: &Map<String, Value>) -> Result<Self, Reason> {
        let known = [
            "audiences",
            "entity_types",
            "fetch",
            "max_lifetime",
            "openid_federation",
            "rules",
            "trust_marks",
            "unpinned",
        ];
        let members = Members::of(members, place, &known)?;
        let place = members.place("openid_federation");
        let Some(Value::Object(object)) = members.get("openid_federation") else {
            return Err(trust_document(format!("`{place}` must be an object")));
        };
        let own = Members::of(object, &place, &["entity_id", "jwks"])?;
        let entity_id = own.required_text("entity_id")?;
        if host_of(entity_id).is_none() {
            return Err(trust_document(format!(
                "`{}` is no entity, which is an `https` URL",
                own.place("entity_id")
            )));
        }
        let keys = own
            .get("jwks")
            .ok_or_else(|| trust_document(format!("`{place}` needs `jwks`")))?;
        Ok(Self {
            entity_id: entity_id.to_owned(),
            keys: KeySet::read(entity_id, keys)?,
            audiences: members.texts("audiences")?,
            rules: Rule::read_list(&members, Vocabulary::Assertion(&FACTS))?,
            lifetime_max: lifetime_max(&members, LIFETIME_MAX)?,
            entity_types: members.texts("entity_types")?,
            trust_marks: read_marks(&members)?,
            fetch: read_fetch(&members)?,
            standing: Standing::read(&members)?,
        })
    }

    /// Its name.
    pub fn entity_id(&self) -> &str {
        &self.entity_id
    }

    /// The keys that it signs statements with.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// For whom tokens may be; anyone whom the question names when empty.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Who may come from below it; anyone when empty.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The longest life of tokens, in seconds.
    pub fn lifetime_max(&self) -> i64 {
        self.lifetime_max
    }

    /// As what an entity may sign tokens; as anything when empty.
    pub fn entity_types(&self) -> &[String] {
        &self.entity_types
    }

    /// From where chains may be fetched, if they may.
    pub fn fetch(&self) -> Option<&ChainsFetched> {
        self.fetch.as_ref()
    }

    /// How it stands with whoever trusts it.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(super) fn trust_marks(&self) -> &[RequiredMark] {
        &self.trust_marks
    }
}

fn read_fetch(members: &Members<'_>) -> Result<Option<ChainsFetched>, Reason> {
    let Some(value) = members.get("fetch") else {
        return Ok(None);
    };
    let place = members.place("fetch");
    let Value::Object(object) = value else {
        return Err(members.mistyped("fetch", "an object", value));
    };
    let fetch = Members::of(object, &place, &["ca", "hosts"])?;
    let hosts = fetch.texts("hosts")?;
    if hosts.is_empty() {
        return Err(trust_document(format!(
            "`{}` is missing",
            fetch.place("hosts")
        )));
    }
    let ca = match fetch.get("ca") {
        None => None,
        Some(Value::String(pem)) => Some(pem.clone()),
        Some(other) => return Err(fetch.mistyped("ca", "certificates in PEM", other)),
    };
    Ok(Some(ChainsFetched { hosts, ca }))
}

fn read_marks(members: &Members<'_>) -> Result<Vec<RequiredMark>, Reason> {
    let list = match members.get("trust_marks") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.is_empty() => return Err(members.empty("trust_marks")),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(members.mistyped("trust_marks", "a list of marks", other)),
    };
    let place = members.place("trust_marks");
    list.iter()
        .map(|mark| {
            let Value::Object(mark) = mark else {
                return Err(members.mistyped("trust_marks", "a list of objects", mark));
            };
            let mark = Members::of(mark, &place, &["issuers", "type"])?;
            let issuers = mark.texts("issuers")?;
            if issuers.is_empty() {
                return Err(trust_document(format!(
                    "`{}` is missing",
                    mark.place("issuers")
                )));
            }
            Ok(RequiredMark {
                mark: mark.required_text("type")?.to_owned(),
                issuers,
            })
        })
        .collect()
}
