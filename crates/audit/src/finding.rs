//! What is found, how grave it is, and the claims that prove it.

use avouch_core::policy::presets::Preset;
use serde_json::{Map, Value};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Small.
    Low,
    /// Of some weight.
    Medium,
    /// Someone comes in who should not, if they try a little.
    High,
    /// Anyone comes in.
    Critical,
}

impl Severity {
    const ALL: [Self; 5] = [
        Self::Info,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

macro_rules! codes {
    ($($variant:ident, $name:literal, $severity:ident, $title:literal;)*) => {
        /// What is found. A name is never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How grave it usually is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What it means, in general.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    AmbiguousSubjectFormat, "ambiguous-subject-format", High,
        "A subject whose ids cannot be told from names.";
    AnyonePrincipal, "anyone-principal", Critical,
        "Whoever asks is admitted, without any token.";
    AudienceMissingOrShared, "audience-missing-or-shared", High,
        "Tokens for other services are admitted.";
    BaseRefTriggerAdmitted, "base-ref-trigger-admitted", Low,
        "Jobs that run on the base branch for what others propose are admitted.";
    CaseFoldedSubject, "case-folded-subject", Low,
        "Names are compared without regard to case.";
    CelCost, "cel-cost", Medium,
        "An expression whose cost has no small bound.";
    ConditionKeyForeign, "condition-key-foreign", Medium,
        "A condition on a claim of another issuer, which tokens of this one never have.";
    ConditionKeyUnknown, "condition-key-unknown", Low,
        "A condition on a claim that the system is not known to hand on.";
    IssuerOnlyTrust, "issuer-only-trust", Critical,
        "Whatever the issuer signs is admitted.";
    MissingClaimFails, "missing-claim-fails", Info,
        "An expression fails, and so refuses, when a claim is missing.";
    MutableNameSubject, "mutable-name-subject", High,
        "Trust in a name that passes to whoever takes it next.";
    NotPrincipal, "not-principal", Critical,
        "Everyone is admitted but those who are named.";
    NothingAdmitted, "nothing-admitted", Info,
        "Nobody is admitted: conditions contradict each other, or never hold.";
    OldSubjectFormat, "old-subject-format", Medium,
        "A subject that stops matching when its issuer writes ids into it.";
    PlanPhaseAdmitted, "plan-phase-admitted", Medium,
        "Plans are admitted as confirmed applies are.";
    PopulationNotKnown, "population-not-known", High,
        "Whom it admits is not known, and may be anyone.";
    ReservedNameReachable, "reserved-name-reachable", Critical,
        "An issuer outside can name users or groups of the system itself.";
    SingleCharacterWildcard, "single-character-wildcard", Medium,
        "A question mark that stands for any character.";
    UnanchoredRegex, "unanchored-regex", High,
        "A regular expression that matches anywhere in a text.";
    UntrustedTriggerContext, "untrusted-trigger-context", High,
        "Jobs for what others propose are admitted.";
    VacuousCondition, "vacuous-condition", Critical,
        "A condition that holds when the claim is missing.";
    WildcardCrossesDelimiter, "wildcard-crosses-delimiter", Medium,
        "A wildcard that reaches over the sign that divides the parts.";
    WildcardSubject, "wildcard-subject", High,
        "A pattern that admits others beside those who are named.";
}

impl Code {
    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

/// Claims that prove a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The claims of a token.
    pub claims: Map<String, Value>,
    /// Whether they are admitted; of what stops matching they are not.
    pub admitted: bool,
}

/// One thing that is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// How grave it is here.
    pub severity: Severity,
    /// Where, as a path in the file.
    pub place: String,
    /// What is wrong, in a sentence.
    pub sentence: String,
    /// The smallest fix.
    pub fix: String,
    /// Claims that prove it.
    pub witness: Option<Witness>,
}

/// Claims by which nobody is known for good, since their holder may change them.
const CHANGEABLE: [&str; 5] = [
    "name",
    "nickname",
    "preferred_username",
    "unique_name",
    "upn",
];

impl Finding {
    /// What is wrong with calling subjects by a claim, which stands below `root` in expressions.
    pub(crate) fn of_subject(place: String, claim: &str, issuer: &str, root: &str) -> Option<Self> {
        if CHANGEABLE.contains(&claim) {
            let what = format!(
                "Users are called by `{claim}`, which its holder may change to that of another."
            );
            let fix = "Use `sub`, which never passes to another.";
            return Some(Self::new(Code::MutableNameSubject, place, what, fix));
        }
        let severity = match Preset::shared_with(issuer) {
            Some(_) => Severity::High,
            None => Severity::Medium,
        };
        let found = Self::new(
            Code::MutableNameSubject,
            place,
            "Users are called by `email`, which is given to another when its holder leaves.",
            format!(
                "Use `sub`, or `{root}.sub + '/' + {root}.email` where people must be able to read it."
            ),
        );
        (claim == "email").then(|| found.as_grave_as(severity))
    }

    /// A finding of its usual severity.
    pub fn new(
        code: Code,
        place: impl Into<String>,
        sentence: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: code.severity(),
            place: place.into(),
            sentence: sentence.into(),
            fix: fix.into(),
            witness: None,
        }
    }

    /// With these claims as its proof.
    #[must_use]
    pub fn proved_by(mut self, claims: Map<String, Value>) -> Self {
        self.witness = Some(Witness {
            claims,
            admitted: true,
        });
        self
    }

    /// With another severity.
    #[must_use]
    pub fn as_grave_as(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}
