//! A configuration that was read: whom it admits, from whom, under which conditions.

use std::fmt;

use avouch_core::policy::presets::Preset;
use avouch_core::reason::{Reason, printable};
use serde_json::{Map, Value};

use crate::cel::{Budget, Expression, FUEL, Inspection, Paths};
use crate::finding::Finding;
use crate::trace::Trace;
use crate::wish::Wish;
use crate::{aws, gcp, kubernetes};

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// The trust policy of a role of AWS.
    Aws,
    /// A workload identity provider of Google Cloud.
    Gcp,
    /// The authentication configuration of a Kubernetes API server.
    Kubernetes,
}

impl System {
    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws-trust-policy",
            Self::Gcp => "gcp-wif",
            Self::Kubernetes => "kubernetes-authentication",
        }
    }

    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed` when it is none of this system, or has what cannot be
    /// evaluated.
    pub fn read(self, document: &Value) -> Result<Configuration, Reason> {
        let read = match self {
            Self::Aws => aws::read(document),
            Self::Gcp => gcp::read(document),
            Self::Kubernetes => kubernetes::read(document),
        };
        read.map_err(|reason| match reason {
            Reason::TrustDocumentMalformed { detail, .. } => self.malformed(detail),
            other => other,
        })
    }

    /// The refusal of a file of this system.
    pub fn malformed(self, detail: impl Into<String>) -> Reason {
        Reason::TrustDocumentMalformed {
            what: self.document(),
            detail: detail.into(),
        }
    }

    /// What its file is, in words.
    pub fn document(self) -> &'static str {
        match self {
            Self::Aws => "trust policy of AWS",
            Self::Gcp => "workload identity provider of Google Cloud",
            Self::Kubernetes => "authentication configuration of Kubernetes",
        }
    }
}

/// A configuration.
#[derive(Debug)]
pub struct Configuration {
    /// Whose.
    pub system: System,
    /// Whom it admits: each by itself.
    pub admissions: Vec<Admission>,
    /// What was found while it was read.
    pub found: Vec<Finding>,
}

/// Whom one part of it admits.
#[derive(Debug)]
pub struct Admission {
    pub(crate) place: String,
    pub(crate) issuer: String,
    pub(crate) preset: Option<Preset>,
    /// The conditions in words, as they were written.
    pub(crate) conditions: Vec<String>,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) hints: Hints,
    /// Its expressions, by where they stand, and what they look for.
    pub(crate) expressions: Vec<(String, Inspection)>,
    pub(crate) asks: Asks,
    /// For whom its tokens are, if it says.
    pub(crate) audiences: Vec<String>,
    /// To whom its tokens must have been given (`azp`), where that is asked beside.
    pub(crate) parties: Vec<String>,
    pub(crate) gate: Box<dyn Gate>,
}

/// What helps to find claims that an admission admits, and says nothing of whom it means.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    /// Claims of which some values are excluded: what is usual there may be among them.
    pub(crate) avoided: Vec<Vec<String>>,
    /// What may be tried beside what is wished for.
    pub(crate) more: Vec<Wish>,
    /// Texts that something is compared with, of which a part of a claim may be one.
    pub(crate) texts: Vec<String>,
}

/// What an admission asks for, told apart by whether facts can say it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asks {
    /// What facts may say: claims that grant all of these meet the conditions they come from.
    pub(crate) said: Vec<Wish>,
    /// What no fact says, and why. A rule without it would admit more.
    pub(crate) unsaid: Vec<String>,
    /// What else a reader should know of: mostly where facts say more than was asked, so that a rule admits
    /// fewer.
    pub(crate) narrowed: Vec<String>,
}

impl Asks {
    /// Takes a condition down, each part that must hold by itself.
    pub(crate) fn condition(&mut self, condition: &Expression, paths: Paths<'_>) {
        for part in condition.conjuncts() {
            match part.demand(paths) {
                Some(wish) => self.said.push(wish),
                None => self.unsaid.push(format!(
                    "`{}`: only a claim that is compared by `==`, `in` or `startsWith`, or a list in which texts are \
                     looked for by `in` or `exists`, becomes a fact",
                    printable(&part.to_string())
                )),
            }
        }
    }
}

impl Asks {
    /// Whether a claim is asked for as a list.
    pub(crate) fn asks_list(&self, path: &[String]) -> bool {
        let mut said = self.said.iter();
        said.any(|wish| wish.path == path && wish.is_of_list())
    }

    /// Takes down that what is made of a claim is one text, where conditions ask for the claim as a list:
    /// then nobody is meant.
    pub(crate) fn refuse_list(&mut self, target: &str, words: &str, needed: &[Vec<String>]) {
        if needed.iter().any(|path| self.asks_list(path)) {
            self.unsaid.push(format!(
                "`{target} = {words}`: a list is no value of it, so nobody is meant"
            ));
        }
    }
}

/// Holds claims against the conditions of one admission.
pub(crate) trait Gate: fmt::Debug {
    /// What comes of each condition.
    fn trace(&self, claims: &Map<String, Value>, budget: &mut Budget) -> Trace;

    /// Why no claims are admitted at all, if that is certain. With `names_are_plain` names have no
    /// wildcards in them, as their issuers see to.
    fn contradiction(&self, _names_are_plain: bool) -> Option<String> {
        None
    }

    /// A name of the system itself that these claims become, if it gives them names.
    fn names_reserved(&self, _claims: &Map<String, Value>, _budget: &mut Budget) -> Option<String> {
        None
    }

    /// The steps that its expressions take.
    fn cost(&self, _claims: &Map<String, Value>) -> u64 {
        0
    }

    /// The claims that it makes names of.
    fn reserving_claims(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Admission {
    /// Where it stands in the file.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whose tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whom it admits, in words.
    pub fn population(&self) -> String {
        let everyone = Preset::shared_with(&self.issuer).map_or_else(
            || format!("every subject of {}", printable(&self.issuer)),
            str::to_owned,
        );
        if self.conditions.is_empty() {
            return everyone;
        }
        let conditions: Vec<String> = self.conditions.iter().map(|one| printable(one)).collect();
        format!("{everyone} with {}", conditions.join(" and "))
    }

    /// What comes of each condition when a token has these claims. A token of another issuer meets
    /// the first step, and no other.
    pub fn trace(&self, claims: &Map<String, Value>) -> Trace {
        let issuer = claims.get("iss").and_then(Value::as_str);
        let is_from_here = issuer.is_none_or(|issuer| self.is_called(issuer));
        if !is_from_here {
            return Trace::all_of(vec![crate::trace::Step {
                condition: format!("issuer = {}", self.issuer),
                seen: issuer.map(str::to_owned),
                held: crate::trace::Held::No,
            }]);
        }
        self.gate.trace(claims, &mut Budget::of(FUEL))
    }

    fn is_called(&self, issuer: &str) -> bool {
        let is_google = self.issuer == "https://accounts.google.com";
        self.issuer == issuer || is_google && issuer == "accounts.google.com"
    }

    pub(crate) fn admits(&self, claims: &Map<String, Value>, budget: &mut Budget) -> bool {
        budget.begin();
        self.gate.trace(claims, budget).admitted
    }
}
