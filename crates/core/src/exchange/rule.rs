//! Exchange rules: whom they admit, what they give, and whom else that would be.

use std::collections::BTreeSet;
use std::fmt;

use super::Believed;
use super::assurance::AssuranceRule;
use super::template::Template;
use crate::anchor::{AnchorKind, Stewardship};
use crate::credential::jose::jwk::KeySet;
use crate::id::{Digest, SpiffeId, TrustDomain};
use crate::policy::facts::{CLAIMS, Facts, SUBJECT};
use crate::policy::given_up::Changeable;
use crate::policy::matcher::Matcher;
use crate::policy::presets::Preset;
use crate::policy::rules::{Rule, invalid};
use crate::question::AskedClaim;
use crate::reason::{Reason, printable};
use crate::time::Time;
use crate::verdict::Identity;

/// How long what is given is valid unless its rule says otherwise, in seconds: a quarter of an hour.
pub const LIFETIME_USUAL: i64 = 900;

/// One rule of a tenant.
#[derive(Clone, Debug)]
pub struct ExchangeRule {
    pub(super) name: String,
    pub(super) admits: Admission,
    pub(super) gives: Grant,
    pub(super) subject_audiences: Vec<String>,
    pub(super) actors: Vec<Admission>,
    pub(super) assurance: AssuranceRule,
    pub(super) bearer: Option<Exception>,
    pub(super) reuse: Option<Exception>,
    pub(super) unpinned: Option<Exception>,
    /// Whether it could not be used, or saved, without that.
    pub(super) rests_on_unpinned: bool,
    /// Whether a proof must answer a nonce (RFC 9449 8).
    pub(super) nonce: bool,
    pub(super) stewardship: Stewardship,
    /// Why it gives more than may be had through its anchor, if it does.
    pub(super) beyond: Option<Reason>,
    /// The digest of all that is said of it.
    pub(super) document: Digest,
}

/// Someone from somewhere.
#[derive(Clone, Debug)]
pub struct Admission {
    pub(super) source: Source,
    /// What their facts must be; anything where the source itself is one subject.
    pub(super) facts: Option<Rule>,
    pub(super) preset: Option<Preset>,
    /// Whether its tokens may say which methods someone has signed in by.
    pub(super) tells_methods: bool,
    /// What the issuer is called, for a reader.
    pub(super) called: String,
    /// The names that it trusts and that somebody else may have later.
    pub(super) changeable: Option<Changeable>,
}

/// Who vouches for whoever is admitted.
#[derive(Clone, Debug)]
pub enum Source {
    /// An anchor of the tenant, by its name.
    Anchor(String),
    /// A client with keys of its own (RFC 7523 2.2).
    Client {
        /// Its `client_id`.
        id: String,
        /// The keys of its assertions.
        keys: KeySet,
    },
    /// A trust domain whose bundle the tenant has.
    TrustDomain(TrustDomain),
}

/// What is given.
#[derive(Clone, Debug)]
pub struct Grant {
    pub(super) template: Template,
    /// The names of which its identities are made and that somebody else may have later.
    pub(super) changeable: Option<Changeable>,
    pub(super) kinds: Vec<IssuedKind>,
    pub(super) audiences: Vec<String>,
    pub(super) scopes: Vec<String>,
    pub(super) lifetime: i64,
    /// Whether it may be valid for longer than what was presented.
    pub(super) outlives: bool,
    /// Whether its tokens name the status list in which it is told if they have ended.
    pub(super) status: bool,
}

/// Something that is not done, done all the same, for a reason and for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    pub(super) reason: String,
    pub(super) expires: Time,
}

impl Exception {
    /// Whether it holds at `now`.
    pub fn holds(&self, now: Time) -> bool {
        now < self.expires
    }
}

/// What is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IssuedKind {
    /// An access token (RFC 9068).
    AccessToken,
    /// A JWT-SVID.
    JwtSvid,
    /// A WIT-SVID for the key of the proof.
    WitSvid,
    /// An X.509-SVID for a signing request.
    X509Svid,
}

impl IssuedKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::AccessToken,
        Self::JwtSvid,
        Self::WitSvid,
        Self::X509Svid,
    ];

    /// The name in a rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access-token",
            Self::JwtSvid => "jwt-svid",
            Self::WitSvid => "wit-svid",
            Self::X509Svid => "x509-svid",
        }
    }

    /// Whether it is for someone in particular; the others are for whoever is shown a proof.
    pub fn has_audience(self) -> bool {
        match self {
            Self::AccessToken | Self::JwtSvid => true,
            Self::WitSvid | Self::X509Svid => false,
        }
    }
}

impl ExchangeRule {
    /// That somebody can have signed in as it asks. Who reads a rule that is stored does not ask this:
    /// whoever comes by it is told what their issuer cannot say.
    ///
    /// # Errors
    ///
    /// `policy.rule_invalid`.
    pub fn check_met_by_someone(&self) -> Result<(), Reason> {
        let (admits, assurance) = (&self.admits, &self.assurance);
        let says_nothing = admits
            .preset
            .is_some_and(|preset| !preset.tells_how_one_signed_in());
        let is_in_vain = assurance.asks_methods() || assurance.asks() && says_nothing;
        if admits.tells_methods || !is_in_vain || assurance.otherwise.is_some() {
            return Ok(());
        }
        Err(invalid(
            &self.name,
            format!(
                "tokens of {} never say how someone signed in, so it would give nothing to anyone; say \
                 what they get `otherwise`",
                admits.called
            ),
        ))
    }

    /// That it trusts no name that somebody else may have later, unless it says so with an end. Rules that
    /// were stored before are not asked.
    ///
    /// # Errors
    ///
    /// `issue.trust_mutable`.
    pub fn check_names(&self, now: Time) -> Result<(), Reason> {
        let is_excused = self.unpinned.as_ref().is_some_and(|one| one.holds(now));
        match self.changeable() {
            Some(changeable) if !is_excused => Err(Reason::IssueTrustMutable {
                rule: self.name.clone(),
                names: changeable.names.clone(),
                pins: changeable.pins.iter().copied().map(str::to_owned).collect(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// The names that it trusts, of subjects or of actors, or of which it makes identities, and that
    /// somebody else may have later.
    pub(super) fn changeable(&self) -> Option<&Changeable> {
        let mut admitted = std::iter::once(&self.admits).chain(&self.actors);
        admitted
            .find_map(|admission| admission.changeable.as_ref())
            .or(self.gives.changeable.as_ref())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whom it admits.
    pub fn admits(&self) -> &Admission {
        &self.admits
    }

    /// Who may act for whom it admits.
    pub fn actors(&self) -> &[Admission] {
        &self.actors
    }

    /// How long what it gives is valid at most, in seconds.
    pub fn lifetime(&self) -> i64 {
        self.gives.lifetime
    }

    /// The trust domain of the identities it gives.
    pub fn trust_domain(&self) -> &TrustDomain {
        self.gives.template.trust_domain()
    }

    /// The first segment of the path of the identities it gives, if it is always the same.
    pub fn first_segment(&self) -> Option<&str> {
        self.gives.template.first_segment()
    }

    /// The names for which a token may be that is exchanged under it; the issuer identifier of the
    /// tenant if there is none.
    pub fn subject_audiences(&self) -> &[String] {
        &self.subject_audiences
    }

    /// Whether what it gives may be shown by whoever has it.
    pub fn gives_to_bearers(&self, now: Time) -> bool {
        self.bearer.as_ref().is_some_and(|bearer| bearer.holds(now))
    }

    /// Whether what is presented may be presented again.
    pub fn lets_reuse(&self, now: Time) -> bool {
        self.reuse.as_ref().is_some_and(|reuse| reuse.holds(now))
    }

    /// Whether a proof must answer a nonce of this server, so that none can be made in advance.
    pub fn asks_for_nonce(&self) -> bool {
        self.nonce
    }

    /// Whether it gives no more than may be had through the anchor that it admits from.
    ///
    /// # Errors
    ///
    /// `issue.bound_exceeded`.
    pub fn check_bounds(&self) -> Result<(), Reason> {
        self.beyond.clone().map_or(Ok(()), Err)
    }

    /// Whether someone whom it admits could be given this identity.
    pub fn could_give(&self, id: &SpiffeId) -> bool {
        let conditions = self.admits.facts.as_ref().map(|facts| facts.conditions());
        self.gives.template.could_be(id, |fact, segment| {
            let matcher = conditions.and_then(|conditions| conditions.get(fact));
            matcher.is_none_or(|matcher| matcher.matches(segment))
        })
    }

    /// For whom what it gives may be.
    pub fn audiences(&self) -> &[String] {
        &self.gives.audiences
    }

    /// How it asks its subjects to have signed in.
    pub fn assurance(&self) -> &AssuranceRule {
        &self.assurance
    }

    /// Whether what it gives could be admitted by another rule, as far as its identity goes.
    pub fn could_lead_to(&self, next: &Self) -> bool {
        let Source::TrustDomain(name) = &next.admits.source else {
            return false;
        };
        if name != self.trust_domain() {
            return false;
        }
        let conditions = next.admits.facts.as_ref().map(|facts| facts.conditions());
        let could_be = |fact: &String, matcher: &Matcher| match fact.as_str() {
            "spiffe.path" => self.gives.template.may_overlap(matcher),
            "spiffe.trust_domain" => matcher.matches(name.as_str()),
            // What else there is of it is not known here, so it may be.
            _ => true,
        };
        let mut conditions = conditions.into_iter().flatten();
        conditions.all(|(fact, matcher)| could_be(fact, matcher))
    }

    /// What the identities it gives are made of, as it was written.
    pub fn gives_ids(&self) -> String {
        self.gives.template.to_string()
    }

    /// Whether it has ended, or that has by which alone it may be.
    pub fn has_ended(&self, now: Time) -> bool {
        let unpinned = self.unpinned.as_ref();
        let rests = unpinned.filter(|_| self.rests_on_unpinned);
        rests.is_some_and(|unpinned| !unpinned.holds(now))
            || self.stewardship.expires.is_some_and(|end| now >= end)
    }

    /// Whom it admits, in words.
    pub fn population(&self) -> String {
        self.admits.population()
    }

    /// What a reader of the rule may not have thought of.
    pub fn remarks(&self, now: Time) -> Vec<String> {
        let mut remarks = self.admits.forgotten();
        let end = self.stewardship.expires.filter(|end| now >= *end);
        remarks.extend(
            end.map(|end| format!("it ended on {end} (`expires`): it gives nothing any more")),
        );
        let exceptions = [
            (
                "bearer",
                &self.bearer,
                "whoever has what it gives can use it",
            ),
            (
                "reuse",
                &self.reuse,
                "whoever has seen a token can exchange it again until it expires",
            ),
            (
                "unpinned",
                &self.unpinned,
                "a name that is given up and taken again is admitted too",
            ),
        ];
        for (name, exception, meaning) in exceptions {
            if let Some(exception) = exception {
                let state = if exception.holds(now) {
                    "until"
                } else {
                    "ended on"
                };
                remarks.push(format!(
                    "{name} ({state} {}, because: {}): {meaning}",
                    exception.expires,
                    printable(&exception.reason)
                ));
            }
        }
        if let Some(changeable) = self.changeable().filter(|_| self.unpinned.is_none()) {
            remarks.push(format!(
                "{} asked for without one of {}: whoever has the name later is admitted too",
                changeable.names.join(", "),
                changeable.pins.join(", ")
            ));
        }
        if self.gives.outlives {
            remarks.push(format!(
                "what it gives is valid for {} seconds, whether what was presented is by then or not",
                self.gives.lifetime
            ));
        }
        remarks
    }
}

impl ExchangeRule {
    /// Whether its tokens name the status list in which it is told if they have ended.
    pub fn tells_status(&self) -> bool {
        self.gives.status
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        write!(f, "{} as {}", self.template, kinds.join(", "))?;
        if !self.audiences.is_empty() {
            write!(f, " for {}", self.audiences.join(", "))?;
        }
        write!(f, ", {} s", self.lifetime)
    }
}

impl ExchangeRule {
    /// Whether it admits a client that signs with keys of its own.
    pub(super) fn is_for_client(&self) -> bool {
        matches!(self.admits.source, Source::Client { .. })
    }

    /// The keys of the client that it admits, if the anchor of that has this name.
    pub(super) fn keys_of_client(&self, anchor: &str) -> Option<&KeySet> {
        match &self.admits.source {
            Source::Client { id, keys } if client_anchor(id) == anchor => Some(keys),
            Source::Anchor(_) | Source::Client { .. } | Source::TrustDomain(_) => None,
        }
    }

    /// What it gives, in words.
    pub fn grant_in_words(&self) -> String {
        self.gives.to_string()
    }
}

impl Admission {
    /// Who vouches.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The anchor of the tenant that vouches, by its name, if one does.
    pub fn anchor(&self) -> Option<&str> {
        match &self.source {
            Source::Anchor(name) => Some(name),
            Source::Client { .. } | Source::TrustDomain(_) => None,
        }
    }

    /// The claims that it asks for by their own names.
    fn asked_claims(&self) -> impl Iterator<Item = AskedClaim> {
        let asked = self.anchor().zip(self.facts.as_ref());
        asked.into_iter().flat_map(|(anchor, facts)| {
            let facts = facts.conditions().keys();
            let claims = facts.filter_map(|fact| fact.strip_prefix(CLAIMS));
            claims.map(move |claim| AskedClaim {
                anchor: anchor.to_owned(),
                claim: claim.to_owned(),
            })
        })
    }

    /// Whether the identity comes from the source.
    pub(super) fn is_from_source(&self, identity: &Identity) -> bool {
        let anchor = &identity.anchor().anchor;
        match (&self.source, &anchor.kind) {
            (Source::TrustDomain(name), AnchorKind::TrustDomain(bundle)) => {
                bundle.trust_domain == *name
            }
            (
                Source::Anchor(name),
                AnchorKind::ApiKey(_)
                | AnchorKind::Certificate(_)
                | AnchorKind::Federation(_)
                | AnchorKind::Issuer(_)
                | AnchorKind::Saml(_)
                | AnchorKind::Ssh(_),
            ) => anchor.name == *name,
            (Source::Client { id, .. }, _) => {
                anchor.name == client_anchor(id) && identity.facts().get("subject") == Some(id)
            }
            (Source::Anchor(_) | Source::TrustDomain(_), _) => false,
        }
    }

    /// In what the identity is not who is admitted; empty when it is.
    pub(super) fn differences(&self, believed: &Believed) -> Vec<String> {
        let identity = &believed.identity;
        if !self.is_from_source(identity) {
            let anchor = printable(&identity.anchor().anchor.name);
            return vec![format!(
                "who vouches (expected {}, seen {anchor})",
                printable(&self.called)
            )];
        }
        let Some(rule) = &self.facts else {
            return Vec::new();
        };
        let differences = rule.differences(identity.all_facts()).into_iter();
        differences
            .map(|difference| difference.in_words())
            .collect()
    }

    fn population(&self) -> String {
        let everyone = match &self.source {
            Source::Client { id, .. } => return format!("the client {}", printable(id)),
            Source::Anchor(_) => Preset::shared_with(&self.called).map_or_else(
                || format!("every subject of {}", printable(&self.called)),
                str::to_owned,
            ),
            Source::TrustDomain(name) => format!("every workload of {name}"),
        };
        match &self.facts {
            None => everyone,
            Some(rule) => {
                let population = rule.population(&Facts::default());
                let conditions = population.trim_start_matches("every token ");
                format!("{everyone} {conditions}")
            }
        }
    }

    /// What the facts leave open that others have left open to their cost.
    fn forgotten(&self) -> Vec<String> {
        let asks_for_subject = || {
            let facts = self.facts.as_ref();
            facts.is_some_and(|facts| facts.conditions().contains_key(SUBJECT))
        };
        if matches!(self.source, Source::TrustDomain(_)) && asks_for_subject() {
            return vec![
                "an X.509-SVID has no `subject` and is not admitted: ask for `spiffe.path`"
                    .to_owned(),
            ];
        }
        let Some(rule) = &self.facts else {
            return Vec::new();
        };
        let lists = rule.lists_asked_as_texts().map(|fact| {
            format!("{fact} asked for as one text: most providers send a list, which `has` asks")
        });
        let lists: Vec<String> = lists.collect();
        let Some(preset) = self.preset else {
            return lists;
        };
        let open = |facts: &&(&[&str], &str)| {
            !facts
                .0
                .iter()
                .any(|fact| rule.conditions().contains_key(*fact))
        };
        let often = preset.often_forgotten().iter().filter(open);
        let often = often
            .map(|(facts, admitted)| format!("{} not asked for: {admitted}", facts.join(", ")));
        often.chain(lists).collect()
    }
}

/// The name of the anchor that vouches for a client with keys of its own.
pub fn client_anchor(id: &str) -> String {
    format!("the client {id}")
}

/// The rules of a tenant.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Those that can be used, by name.
    pub usable: Vec<ExchangeRule>,
    /// Those that cannot, and why.
    pub unusable: Vec<(String, Reason)>,
}

impl Rules {
    /// The names for which tokens may be that are exchanged here, of all rules.
    pub fn subject_audiences(&self, issuer: &str) -> Vec<String> {
        let mut names = vec![issuer.to_owned()];
        for rule in &self.usable {
            for audience in &rule.subject_audiences {
                if !names.contains(audience) {
                    names.push(audience.clone());
                }
            }
        }
        names
    }

    /// The claims by which rules admit, beside the facts that tokens have anyway.
    pub fn asked_claims(&self, now: Time) -> BTreeSet<AskedClaim> {
        let live = self.usable.iter().filter(|rule| !rule.has_ended(now));
        live.flat_map(|rule| std::iter::once(&rule.admits).chain(&rule.actors))
            .flat_map(Admission::asked_claims)
            .collect()
    }

    /// The keys of the client of this name, of each rule that admits it.
    pub fn client_keys<'a>(&'a self, id: &'a str, now: Time) -> impl Iterator<Item = &'a KeySet> {
        let live = self.usable.iter().filter(move |rule| !rule.has_ended(now));
        live.filter_map(move |rule| match &rule.admits.source {
            Source::Client { id: known, keys } if known == id => Some(keys),
            Source::Anchor(_) | Source::Client { .. } | Source::TrustDomain(_) => None,
        })
    }
}
