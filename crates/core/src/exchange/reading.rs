//! Reading exchange rules strictly. A rule that cannot be read gives nothing to anyone.

use serde_json::{Map, Value};

use super::assurance::{AssuranceRule, Cap};
use super::rule::{Admission, Exception, ExchangeRule, Grant, IssuedKind, LIFETIME_USUAL, Source};
use super::template::Template;
use crate::anchor::{Anchor, AnchorKind, Stewardship};
use crate::credential::jose::json::kind_of;
use crate::credential::jose::jwk::KeySet;
use crate::credential::members::Members;
use crate::id::{Digest, TrustDomain};
use crate::model::federation::{CHAIN_FACTS, SAML_FACTS};
use crate::model::ssh::FACTS as SSH_FACTS;
use crate::policy::given_up::Changeable;
use crate::policy::matcher::Matcher;
use crate::policy::presets::Preset;
use crate::policy::reading::Vocabulary;
use crate::policy::rules::{Rule, invalid, require_pins};
use crate::reason::Reason;
use crate::time::Time;
use crate::view::View;

/// The longest that a rule may make what it gives valid, in seconds: a day.
const LIFETIME_MAX: i64 = 86_400;

/// The facts of certificates and of SPIFFE IDs.
const OF_CERTIFICATES: &[&str] = &[
    "spiffe.path",
    "spiffe.trust_domain",
    "x509.serial",
    "x509.subject",
];
const OF_WORKLOADS: &[&str] = &["spiffe.path", "spiffe.trust_domain"];

const MEMBERS: [&str; 13] = [
    "actors",
    "assurance",
    "bearer",
    "dpop_nonce",
    "expires",
    "from",
    "gives",
    "owner",
    "reason",
    "reuse",
    "subject_audiences",
    "unpinned",
    "name",
];

impl ExchangeRule {
    /// Reads a rule of a tenant that knows `view`, as it holds at `now`.
    ///
    /// # Errors
    ///
    /// `policy.rule_invalid`; `policy.shared_issuer_unpinned` for one that admits whoever takes a
    /// name over, unless it says `unpinned`; the refusals of key sets and SPIFFE IDs.
    pub fn read(
        name: &str,
        document: &Map<String, Value>,
        view: &View,
        now: Time,
    ) -> Result<Self, Reason> {
        let reader = Reader {
            name,
            view,
            now,
            is_excused: false,
        };
        reader.rule(document).map_err(|reason| match reason {
            Reason::TrustDocumentMalformed { detail, .. } => invalid(name, detail),
            other => other,
        })
    }
}

/// By which rules an issuer lets someone in: whom those tell apart for good is told apart already.
fn own_rules(anchor: &Anchor) -> Option<&[Rule]> {
    match &anchor.kind {
        AnchorKind::Federation(federation) => Some(federation.rules()),
        AnchorKind::Issuer(issuer) => Some(issuer.rules()),
        AnchorKind::Saml(provider) => Some(provider.rules()),
        AnchorKind::ApiKey(_)
        | AnchorKind::Certificate(_)
        | AnchorKind::Ssh(_)
        | AnchorKind::TrustDomain(_) => None,
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    name: &'a str,
    view: &'a View,
    now: Time,
    /// Whether the rule may rest on names that can pass to another.
    is_excused: bool,
}

impl Reader<'_> {
    fn refuse(&self, detail: impl Into<String>) -> Reason {
        invalid(self.name, detail)
    }

    fn rule(&self, document: &Map<String, Value>) -> Result<ExchangeRule, Reason> {
        let members = Members::of(document, "rule", &MEMBERS)?;
        if members.text("name")?.is_some_and(|name| name != self.name) {
            return Err(self.refuse("its `name` is another than that of its address"));
        }
        let unpinned = self.exception(&members, "unpinned")?;
        let is_excused = unpinned.as_ref().is_some_and(|one| one.holds(self.now));
        let reader = Self {
            is_excused,
            ..*self
        };
        let mut rule = reader.rule_read(document, &members, unpinned)?;
        // What a name that can pass to another is trusted by ends as well.
        rule.rests_on_unpinned = rule.changeable().is_some();
        if is_excused {
            let alone = self.rule_read(document, &members, None);
            rule.rests_on_unpinned |= alone.is_err();
        }
        Ok(rule)
    }

    fn rule_read(
        &self,
        document: &Map<String, Value>,
        members: &Members<'_>,
        unpinned: Option<Exception>,
    ) -> Result<ExchangeRule, Reason> {
        let admits = self.admission("from", members.get("from"))?;
        let gives = self.grant(members, &admits)?;
        let assurance = self.assurance(members, &gives)?;
        let actors = match members.get("actors") {
            None => Vec::new(),
            Some(Value::Array(actors)) if !actors.is_empty() => actors
                .iter()
                .map(|actor| self.admission("actors", Some(actor)))
                .collect::<Result<_, _>>()?,
            Some(other) => {
                return Err(members.mistyped("actors", "a list that is not empty", other));
            }
        };
        let mut rule = ExchangeRule {
            beyond: None,
            document: Digest::of(Value::Object(document.clone()).to_string().as_bytes()),
            name: self.name.to_owned(),
            admits,
            gives,
            subject_audiences: members.texts("subject_audiences")?,
            actors,
            assurance,
            bearer: self.exception(members, "bearer")?,
            reuse: self.exception(members, "reuse")?,
            unpinned,
            rests_on_unpinned: false,
            nonce: members.flag("dpop_nonce")?,
            stewardship: Stewardship {
                owner: Some(members.required_text("owner")?.to_owned()),
                reason: Some(members.required_text("reason")?.to_owned()),
                added: None,
                expires: self.time(members, "expires")?,
                key_origin: None,
                public_store: None,
            },
        };
        rule.beyond = self.beyond(&rule);
        Ok(rule)
    }

    /// Why a rule gives more than may be had through the anchor that it admits from.
    fn beyond(&self, rule: &ExchangeRule) -> Option<Reason> {
        let mut anchors = self.view.anchors().iter();
        let anchor = anchors.find(|anchor| match rule.admits.source() {
            Source::Anchor(name) => anchor.name == *name,
            Source::Client { .. } => false,
            Source::TrustDomain(name) => match &anchor.kind {
                AnchorKind::TrustDomain(bundle) => bundle.trust_domain == *name,
                _ => false,
            },
        })?;
        let at_most = &anchor.constraints.grants_at_most;
        at_most.check_rule(&anchor.name, rule).err()
    }

    fn admission(&self, place: &str, value: Option<&Value>) -> Result<Admission, Reason> {
        const KNOWN: [&str; 5] = ["anchor", "client", "facts", "jwks", "trust_domain"];
        let members = self.object(place, value)?;
        let members = Members::of(members, place, &KNOWN)?;
        let sources = ["anchor", "client", "trust_domain"];
        let named: Vec<&str> = sources
            .into_iter()
            .filter(|name| members.get(name).is_some())
            .collect();
        if named.len() != 1 {
            return Err(self.refuse(format!("`{place}` needs one of {}", sources.join(", "))));
        }
        let is_client = named == ["client"];
        for (name, fits) in [("jwks", is_client), ("facts", !is_client)] {
            if !fits && members.get(name).is_some() {
                return Err(self.refuse(format!(
                    "`{place}.{name}` does not go with {}",
                    named.join("")
                )));
            }
        }
        if let Some(id) = members.text("client")? {
            return self.client(&members, place, id);
        }
        if let Some(name) = members.text("trust_domain")? {
            return self.workloads(&members, place, name);
        }
        let name = members.required_text("anchor")?;
        self.subjects(&members, place, self.anchor(name)?)
    }

    fn client(&self, members: &Members<'_>, place: &str, id: &str) -> Result<Admission, Reason> {
        let keys = match members.get("jwks") {
            Some(set) if !id.is_empty() => KeySet::read(id, set)?,
            Some(_) | None => {
                return Err(self.refuse(format!(
                    "`{place}` needs the name of the `client` and its keys, `jwks`"
                )));
            }
        };
        Ok(Admission {
            called: id.to_owned(),
            source: Source::Client {
                id: id.to_owned(),
                keys,
            },
            facts: None,
            preset: None,
            tells_methods: true,
            changeable: None,
        })
    }

    fn workloads(
        &self,
        members: &Members<'_>,
        place: &str,
        name: &str,
    ) -> Result<Admission, Reason> {
        let trust_domain = TrustDomain::parse(name)?;
        if self.view.bundles_of(&trust_domain).next().is_none() {
            return Err(self.refuse(format!("no bundle of `{trust_domain}` is known here")));
        }
        let facts = self.facts(members, place, Vocabulary::Named(OF_WORKLOADS))?;
        let facts = facts.ok_or_else(|| {
            self.refuse(format!(
                "it would admit every workload of {trust_domain}: name their `{place}.facts`"
            ))
        })?;
        let names_a_path = facts.conditions().iter().any(|(fact, matcher)| {
            fact != "spiffe.trust_domain"
                && (!matcher.matches("/any/path") || !matcher.matches("/any"))
        });
        if !names_a_path && !self.is_excused {
            return Err(self.refuse(format!(
                "it would admit every workload of {trust_domain}: ask for a `spiffe.path`, or say \
                 `unpinned` with a reason and an end"
            )));
        }
        Ok(Admission {
            called: trust_domain.to_string(),
            source: Source::TrustDomain(trust_domain),
            facts: Some(facts),
            preset: None,
            tells_methods: true,
            changeable: None,
        })
    }

    fn subjects(
        &self,
        members: &Members<'_>,
        place: &str,
        anchor: &Anchor,
    ) -> Result<Admission, Reason> {
        let tells_methods = match &anchor.kind {
            AnchorKind::Issuer(issuer) => issuer.sign_in().tells_methods(),
            AnchorKind::ApiKey(_)
            | AnchorKind::Certificate(_)
            | AnchorKind::Federation(_)
            | AnchorKind::Saml(_)
            | AnchorKind::Ssh(_)
            | AnchorKind::TrustDomain(_) => true,
        };
        let (called, vocabulary, preset) = match &anchor.kind {
            AnchorKind::Issuer(issuer) => (
                issuer.issuer().to_owned(),
                Vocabulary::Token(issuer.preset()),
                issuer.preset(),
            ),
            AnchorKind::Federation(federation) => (
                federation.entity_id().to_owned(),
                Vocabulary::Assertion(&CHAIN_FACTS),
                None,
            ),
            AnchorKind::Saml(provider) => (
                provider.entity_id().to_owned(),
                Vocabulary::Assertion(&SAML_FACTS),
                None,
            ),
            AnchorKind::Certificate(_) => (
                anchor.name.clone(),
                Vocabulary::Named(OF_CERTIFICATES),
                None,
            ),
            AnchorKind::Ssh(_) => (anchor.name.clone(), Vocabulary::Named(SSH_FACTS), None),
            AnchorKind::ApiKey(_) | AnchorKind::TrustDomain(_) => {
                (anchor.name.clone(), Vocabulary::Named(&[]), None)
            }
        };
        let facts = self.facts(members, place, vocabulary)?;
        match (&anchor.kind, &facts) {
            // A key is one subject already.
            (AnchorKind::ApiKey(_), _) => {}
            (AnchorKind::Ssh(trusted), _) if trusted.subject().is_some() => {}
            (AnchorKind::Issuer(issuer), facts) if !self.is_excused => {
                let rules: Vec<Rule> = facts.iter().cloned().collect();
                require_pins(issuer.issuer(), preset, &rules)?;
                if facts.is_none() {
                    return Err(self.no_facts(place, &called));
                }
            }
            (_, None) if !self.is_excused => return Err(self.no_facts(place, &called)),
            _ => {}
        }
        let asked = facts.as_ref().zip(own_rules(anchor));
        let changeable = asked.and_then(|(asked, own)| asked.changeable_below(preset, own));
        Ok(Admission {
            source: Source::Anchor(anchor.name.clone()),
            facts,
            preset,
            tells_methods,
            called,
            changeable,
        })
    }

    fn no_facts(&self, place: &str, called: &str) -> Reason {
        self.refuse(format!(
            "it would admit every subject of {called}: name their `{place}.facts`, or say \
             `unpinned` with a reason and an end"
        ))
    }

    /// The one anchor of this name; two would make it a guess whose subject is meant.
    fn anchor(&self, name: &str) -> Result<&Anchor, Reason> {
        let anchors = self.view.anchors().iter();
        let mut named = anchors.filter(|anchor| {
            anchor.name == name && !matches!(anchor.kind, AnchorKind::TrustDomain(_))
        });
        match (named.next(), named.next()) {
            (Some(anchor), None) => Ok(anchor),
            (None, _) => Err(self.refuse(format!(
                "no anchor `{name}` is known here that is an issuer, a certificate, a key or an authority"
            ))),
            (Some(_), Some(_)) => Err(self.refuse(format!("two anchors are called `{name}`"))),
        }
    }

    fn facts(
        &self,
        members: &Members<'_>,
        place: &str,
        vocabulary: Vocabulary,
    ) -> Result<Option<Rule>, Reason> {
        match members.get("facts") {
            None => Ok(None),
            Some(Value::Object(facts)) => {
                Rule::of_facts(self.name.to_owned(), facts, vocabulary).map(Some)
            }
            Some(other) => Err(self.refuse(format!(
                "`{place}.facts` must be an object, but is {}",
                kind_of(other)
            ))),
        }
    }

    fn grant(&self, members: &Members<'_>, admits: &Admission) -> Result<Grant, Reason> {
        const KNOWN: [&str; 7] = [
            "audiences",
            "kinds",
            "lifetime",
            "outlives",
            "scopes",
            "spiffe_id",
            "status",
        ];
        let gives = self.object("gives", members.get("gives"))?;
        let gives = Members::of(gives, "gives", &KNOWN)?;
        let template = Template::read(self.name, gives.required_text("spiffe_id")?)?;
        self.check_template(&template, admits)?;
        let changeable = self.changeable_identity(&template, admits)?;
        let kinds: Vec<IssuedKind> = gives
            .texts("kinds")?
            .iter()
            .map(|text| {
                let kind = IssuedKind::ALL.into_iter().find(|kind| kind.name() == text);
                kind.ok_or_else(|| {
                    let names = IssuedKind::ALL.map(IssuedKind::name).join(", ");
                    self.refuse(format!("`gives.kinds` has `{text}`; possible are {names}"))
                })
            })
            .collect::<Result<_, _>>()?;
        let kinds = if kinds.is_empty() {
            vec![IssuedKind::JwtSvid]
        } else {
            kinds
        };
        let audiences = match gives.get("audiences") {
            Some(Value::Array(list)) if list.is_empty() => Vec::new(),
            _ => gives.texts("audiences")?,
        };
        if audiences.is_empty() && kinds.iter().any(|kind| kind.has_audience()) {
            return Err(self.refuse("`gives.audiences` must name for whom its tokens may be"));
        }
        let scopes = gives.texts("scopes")?;
        self.check_scopes("gives.scopes", &scopes)?;
        let lifetime = gives.seconds("lifetime")?.unwrap_or(LIFETIME_USUAL);
        if lifetime > LIFETIME_MAX {
            return Err(self.refuse(format!("`gives.lifetime` is over a day ({LIFETIME_MAX} s)")));
        }
        Ok(Grant {
            template,
            changeable,
            kinds,
            audiences,
            scopes,
            lifetime,
            outlives: gives.flag("outlives")?,
            status: gives.flag("status")?,
        })
    }

    /// RFC 6749 3.3: what stands in a scope stands between spaces.
    fn check_scopes(&self, place: &str, scopes: &[String]) -> Result<(), Reason> {
        let is_token = |scope: &String| {
            let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
            scope.bytes().all(fits)
        };
        match scopes.iter().find(|scope| !is_token(scope)) {
            None => Ok(()),
            Some(scope) => Err(self.refuse(format!("`{place}` has `{scope}`, which is no scope"))),
        }
    }

    /// A fact that names someone must be one that the source has, and of a shared issuer one that
    /// lasts or that the rule itself fixes: else an identity passes to whoever takes a name over.
    fn check_template(&self, template: &Template, admits: &Admission) -> Result<(), Reason> {
        let vocabulary = match (&admits.source, admits.preset) {
            (Source::Anchor(_), preset) => Vocabulary::Token(preset),
            (Source::Client { .. }, _) => Vocabulary::Named(&[]),
            (Source::TrustDomain(_), _) => Vocabulary::Named(OF_WORKLOADS),
        };
        for fact in template.facts() {
            let is_named = matches!(fact, "x509.subject" | "x509.serial" | "spiffe.path");
            if !is_named && !SSH_FACTS.contains(&fact) {
                vocabulary.check(self.name, fact)?;
            }
            let asked = admits
                .facts
                .as_ref()
                .and_then(|rule| rule.conditions().get(fact));
            if asked.is_some_and(Matcher::asks_list) {
                return Err(self.refuse(format!(
                    "`gives.spiffe_id` is made of `{fact}`, of which it asks as of a list: which of its \
                     values names someone cannot be told"
                )));
            }
            let is_shared = Preset::shared_with(&admits.called).is_some();
            let lasts = admits
                .preset
                .is_some_and(|preset| preset.pins().contains(&fact));
            if is_shared && !lasts && asked.is_none() && !self.is_excused {
                return Err(self.refuse(format!(
                    "`gives.spiffe_id` is made of `{fact}`, which can pass to another; use an id, \
                     or ask for one value of it"
                )));
            }
        }
        Ok(())
    }

    /// The names of which identities are made that can pass to another.
    fn changeable_identity(
        &self,
        template: &Template,
        admits: &Admission,
    ) -> Result<Option<Changeable>, Reason> {
        let Source::Anchor(name) = &admits.source else {
            return Ok(None);
        };
        let Some(own) = own_rules(self.anchor(name)?) else {
            return Ok(None);
        };
        let anyone = Rule::of_anyone(self.name);
        let asked = admits.facts.as_ref().unwrap_or(&anyone);
        Ok(asked.changeable_identity(admits.preset, own, template.facts()))
    }

    fn assurance(&self, members: &Members<'_>, gives: &Grant) -> Result<AssuranceRule, Reason> {
        const KNOWN: [&str; 5] = ["acr", "amr", "max_age", "multi_factor", "otherwise"];
        let Some(value) = members.get("assurance") else {
            return Ok(AssuranceRule::default());
        };
        let asks = Members::of(self.object("assurance", Some(value))?, "assurance", &KNOWN)?;
        let otherwise = match asks.get("otherwise") {
            None => None,
            Some(cap) => Some(self.cap(cap, gives)?),
        };
        let assurance = AssuranceRule {
            acr: asks.texts("acr")?,
            amr: asks.texts("amr")?,
            multi_factor: asks.flag("multi_factor")?,
            max_age: asks.seconds("max_age")?,
            otherwise,
        };
        if !assurance.asks() {
            return Err(self.refuse("`assurance` asks for nothing"));
        }
        Ok(assurance)
    }

    fn cap(&self, value: &Value, gives: &Grant) -> Result<Cap, Reason> {
        let place = "assurance.otherwise";
        let cap = Members::of(
            self.object(place, Some(value))?,
            place,
            &["lifetime", "scopes"],
        )?;
        let scopes = cap.texts("scopes")?;
        if let Some(wider) = scopes.iter().find(|scope| !gives.scopes.contains(scope)) {
            return Err(self.refuse(format!(
                "`{place}.scopes` has `{wider}`, and `gives` has not"
            )));
        }
        Ok(Cap {
            lifetime: cap.seconds("lifetime")?,
            scopes,
        })
    }

    fn exception(&self, members: &Members<'_>, name: &str) -> Result<Option<Exception>, Reason> {
        let Some(value) = members.get(name) else {
            return Ok(None);
        };
        let exception = Members::of(
            self.object(name, Some(value))?,
            name,
            &["expires", "reason"],
        )?;
        let reason = exception.required_text("reason")?.to_owned();
        match self.time(&exception, "expires")? {
            Some(expires) => Ok(Some(Exception { reason, expires })),
            None => Err(self.refuse(format!("`{name}` needs an end, `expires`"))),
        }
    }

    fn time(&self, members: &Members<'_>, name: &str) -> Result<Option<Time>, Reason> {
        match members.text(name)? {
            None => Ok(None),
            Some(text) => Time::parse_or_day(text).map(Some).map_err(|_| {
                self.refuse(format!(
                    "`{}` is no time such as 2026-01-31T09:30:00Z, and no day such as 2026-01-31",
                    members.place(name)
                ))
            }),
        }
    }

    fn object<'v>(
        &self,
        place: &str,
        value: Option<&'v Value>,
    ) -> Result<&'v Map<String, Value>, Reason> {
        match value {
            Some(Value::Object(members)) => Ok(members),
            Some(other) => Err(self.refuse(format!(
                "`{place}` must be an object, but is {}",
                kind_of(other)
            ))),
            None => Err(self.refuse(format!("it needs an object `{place}`"))),
        }
    }
}
