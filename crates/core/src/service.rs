//! Services, and which trust models may decide for each: "certificates only" is a promise that somebody
//! has to keep.
//!
//! A service is known by the audiences under which it asks and for which something is given. Whatever is
//! decided for it under another model than it says is across its boundary: refused, or let through and
//! flagged, as it says.

use serde_json::{Map, Value};

use crate::anchor::AnchorKind;
use crate::credential::members::{Members, trust_document};
use crate::path::Attempts;
use crate::question::Question;
use crate::reason::Reason;
use crate::verdict::{Check, Compared, Fact, Identity, Refusal, Sealed, TrustModel, Verdict};
use crate::view::View;

/// Under how many names a service asks at most: each is looked for with every decision.
const MOST_AUDIENCES: usize = 64;

/// A service and its boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    name: String,
    audiences: Vec<String>,
    models: Vec<TrustModel>,
    across: Across,
}

/// What becomes of a decision across a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Across {
    /// It holds, and says so.
    Flag,
    /// It does not.
    Refuse,
}

impl Across {
    const ALL: [Self; 2] = [Self::Flag, Self::Refuse];

    /// The name in a trust document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Refuse => "refuse",
        }
    }
}

impl Service {
    /// Reads the service that stands at `place` of its document: `name`, `audiences`, `models` (`pki`,
    /// `federation`, `shared_secret`), and optionally `across` (`refuse`, or `flag`), `owner`, `reason`.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed`, `input.unsafe_text`.
    pub fn read_at(place: &str, members: &Map<String, Value>) -> Result<Self, Reason> {
        let known = ["across", "audiences", "models", "name", "owner", "reason"];
        let members = Members::of(members, place, &known)?;
        let missing = |name: &str| trust_document(format!("`{place}` needs `{name}`"));
        let audiences = members.texts("audiences")?;
        if audiences.is_empty() {
            return Err(missing("audiences"));
        }
        if audiences.len() > MOST_AUDIENCES {
            let at = members.place("audiences");
            return Err(trust_document(format!(
                "`{at}` has {}, and at most {MOST_AUDIENCES} are read",
                audiences.len()
            )));
        }
        let models = members.texts("models")?.into_iter().map(|text| {
            let found = TrustModel::ALL.into_iter().find(|one| one.name() == text);
            found.ok_or_else(|| {
                let names = TrustModel::ALL.map(TrustModel::name).join(", ");
                let at = members.place("models");
                trust_document(format!("`{at}` has `{text}`; possible are {names}"))
            })
        });
        let models = models.collect::<Result<Vec<_>, _>>()?;
        if models.is_empty() {
            return Err(missing("models"));
        }
        let across = match members.text("across")? {
            None => Across::Refuse,
            Some(text) => {
                let found = Across::ALL.into_iter().find(|one| one.name() == text);
                found.ok_or_else(|| {
                    trust_document(format!(
                        "`{}` must be flag or refuse",
                        members.place("across")
                    ))
                })?
            }
        };
        for name in ["owner", "reason"] {
            members.text(name)?;
        }
        Ok(Self {
            name: members.required_text("name")?.to_owned(),
            audiences,
            models,
            across,
        })
    }

    /// How it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which models may decide for it.
    pub fn models(&self) -> &[TrustModel] {
        &self.models
    }

    /// What becomes of a decision under another.
    pub fn across(&self) -> Across {
        self.across
    }

    /// Whether it is one of these.
    pub fn is_among(&self, audiences: &[String]) -> bool {
        self.audiences.iter().any(|one| audiences.contains(one))
    }

    fn reason(&self, model: TrustModel) -> Reason {
        let permitted = self.models.iter().map(|model| model.name().to_owned());
        Reason::ServiceModel {
            service: self.name.clone(),
            model: model.name().to_owned(),
            permitted: permitted.collect(),
        }
    }
}

impl View {
    /// Whether what a model decided may be given for all of these.
    pub(crate) fn check_services(
        &self,
        audiences: &[String],
        model: TrustModel,
    ) -> Result<(), Reason> {
        let mut crossed = self.crossed(audiences, model);
        match crossed.find(|service| service.across == Across::Refuse) {
            None => Ok(()),
            Some(service) => Err(service.reason(model)),
        }
    }

    fn crossed(&self, audiences: &[String], model: TrustModel) -> impl Iterator<Item = &Service> {
        let services = self.services().iter();
        services.filter(move |one| !one.models.contains(&model) && one.is_among(audiences))
    }
}

/// For whom a question is decided: for whom it says, or else for those to whom the anchor is confined.
pub fn asked_for<'a>(question: &'a Question, identity: &'a Identity) -> &'a [String] {
    let asked = question.context.audiences.as_slice();
    match &identity.anchor().anchor.kind {
        _ if !asked.is_empty() => asked,
        AnchorKind::Federation(federation) => federation.audiences(),
        AnchorKind::Issuer(issuer) => issuer.audiences(),
        AnchorKind::Saml(provider) => provider.audiences(),
        AnchorKind::ApiKey(_)
        | AnchorKind::Certificate(_)
        | AnchorKind::Ssh(_)
        | AnchorKind::TrustDomain(_) => asked,
    }
}

/// The verdict as the services allow it for which it is.
pub(crate) fn within(question: &Question, view: &View, sealed: Sealed) -> Verdict {
    if view.services().is_empty() {
        return Verdict::Accept(sealed);
    }
    let identity = sealed.preview();
    let (model, audiences) = (identity.model(), asked_for(question, identity));
    if let Err(reason) = view.check_services(audiences, model) {
        let anchor = identity.anchor().anchor.name.clone();
        return Verdict::Reject(Refusal {
            model,
            attempts: Attempts::of_whole_path(identity.path().to_vec(), anchor, reason),
            legs: Vec::new(),
        });
    }
    let flagged = view.crossed(audiences, model).map(|service| Check {
        what: "boundary",
        compared: Compared::with(
            "across the boundary of {}: decided by {}",
            vec![
                Fact::Text(service.name.clone()),
                Fact::Text(model.name().to_owned()),
            ],
        ),
        spec: "docs/how-to/services.md",
    });
    let flagged: Vec<Check> = flagged.collect();
    Verdict::Accept(sealed.with_checks(flagged))
}
