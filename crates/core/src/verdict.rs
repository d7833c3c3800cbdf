//! What came of a question: believed, refused, or not to be told yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::anchor::Anchor;
use crate::credential::saml::XmlToVerify;
use crate::credential::saml::assertion::Proxying;
use crate::id::{Digest, TenantId};
use crate::model::federation::SignedIn;
use crate::path::Attempts;
use crate::policy::facts::Facts;
use crate::question::AwaitedKey;
use crate::reason::Reason;
use crate::time::Time;
use crate::vouch::{How, Vouch};

/// The answer to a question. There is always one: deciding never fails and never panics.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Believed. The identity may be acted on once its effects are committed.
    Accept(Sealed),
    /// Not believed, with every path that was tried.
    Reject(Refusal),
    /// Facts are missing. The shell may fetch them and ask again; at an enforcement point this
    /// refuses.
    Undetermined(Vec<Need>),
}

/// Which trust model decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrustModel {
    /// Someone else's issuer, trusted for what it says.
    Federation,
    /// Certificates below a root.
    Pki,
    /// A secret that both sides hold: no one vouches but its holder.
    SharedSecret,
}

impl TrustModel {
    /// The name in a verdict.
    pub fn name(self) -> &'static str {
        match self {
            Self::Federation => "federation",
            Self::Pki => "pki",
            Self::SharedSecret => "shared_secret",
        }
    }
}

/// Who was shown to be there, by whom and on what grounds.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) name: String,
    pub(crate) kind: IdentityKind,
    pub(crate) model: TrustModel,
    pub(crate) path: Vec<Vouch>,
    pub(crate) anchor: AnchorReached,
    pub(crate) checks: Vec<Check>,
    pub(crate) legs: Vec<Leg>,
    pub(crate) facts: Facts,
    pub(crate) signed_in: Option<SignedIn>,
    /// What its token says, where that was read for it.
    pub(crate) claims: Option<Claimed>,
    /// What may be vouched for on the word of its assertion, if that bounds it.
    pub(crate) proxying: Option<Proxying>,
    pub(crate) revocation: Vec<StatusSource>,
    pub(crate) valid_from: Time,
    pub(crate) valid_until: Time,
}

impl Verdict {
    /// The same without what its token says.
    pub(crate) fn without_claims(self) -> Self {
        match self {
            Self::Accept(mut sealed) => {
                sealed.identity.claims = None;
                Self::Accept(sealed)
            }
            Self::Reject(_) | Self::Undetermined(_) => self,
        }
    }
}

/// The claims of a token that is believed. What they say of people is nobody's who only looks.
#[derive(Clone)]
pub(crate) struct Claimed(Arc<Map<String, Value>>);

impl Claimed {
    pub(crate) fn new(claims: Map<String, Value>) -> Self {
        Self(Arc::new(claims))
    }

    pub(crate) fn all(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl fmt::Debug for Claimed {
    /// Shows how many there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claimed").field(&self.0.len()).finish()
    }
}

impl Identity {
    /// Adds on what grounds its credential was not taken back, and from when until when that can be
    /// told.
    pub(crate) fn add_status(
        &mut self,
        check: Option<Check>,
        source: Option<StatusSource>,
        told: Option<(Time, Time)>,
    ) {
        self.checks.extend(check);
        self.revocation.extend(source);
        if let Some((from, until)) = told {
            self.valid_from = self.valid_from.max(from);
            // In the second in which it ends it is too late.
            self.valid_until = self.valid_until.min(until.plus(-1));
        }
    }

    /// Its string form: a SPIFFE ID, the expected or first name of a certificate, or the subject
    /// of a token with its issuer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of identity it is.
    pub fn kind(&self) -> IdentityKind {
        self.kind
    }

    /// The tenant it belongs to: the owner of the anchor key at the end of its path.
    pub fn tenant(&self) -> &TenantId {
        &self.anchor.anchor.tenant
    }

    /// Which trust model decided.
    pub fn model(&self) -> TrustModel {
        self.model
    }

    /// How its subject signed in, if the credential says so.
    pub fn signed_in(&self) -> Option<&SignedIn> {
        self.signed_in.as_ref()
    }

    /// How sure it is that whoever presented the credential is its holder.
    pub fn assurance(&self) -> Assurance {
        match self.path.first().map(Vouch::how) {
            Some(How::SshProved | How::Wit) => Assurance::ProofOfPossession,
            Some(How::Ssh | How::X509) => Assurance::HolderOfKey,
            Some(
                How::EntityStatement | How::Introspection | How::Jwt | How::Saml | How::TokenReview,
            ) => Assurance::Bearer,
            Some(How::ApiKey) | None => Assurance::SharedSecret,
        }
    }

    /// The vouches from the credential up to the anchor.
    pub fn path(&self) -> &[Vouch] {
        &self.path
    }

    /// The anchor and the key of it at the end of the path.
    pub fn anchor(&self) -> &AnchorReached {
        &self.anchor
    }

    /// Each check that passed, with what it compared.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The parts of a decision in which several mechanisms had to agree.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The typed facts that rules may speak of and that are one text, by name.
    pub fn facts(&self) -> &BTreeMap<String, String> {
        self.facts.texts()
    }

    /// The same that are lists of texts.
    pub fn lists(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.facts.lists()
    }

    /// All of them.
    pub(crate) fn all_facts(&self) -> &Facts {
        &self.facts
    }

    /// Where the status came from, and how old it is.
    pub fn revocation(&self) -> &[StatusSource] {
        &self.revocation
    }

    /// From when this verdict holds if nothing else changes.
    pub fn valid_from(&self) -> Time {
        self.valid_from
    }

    /// Until when this verdict holds if nothing else changes.
    pub fn valid_until(&self) -> Time {
        self.valid_until
    }
}

/// How sure it is that whoever presented a credential is its holder; later is surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assurance {
    /// A secret that both sides hold: whoever has seen it is believed.
    SharedSecret,
    /// A token: whoever has it is believed until it expires.
    Bearer,
    /// A certificate: its holder still has to prove possession of the key, as TLS does.
    HolderOfKey,
    /// The holder proved possession of the key named in the credential.
    ProofOfPossession,
}

impl Assurance {
    /// The name in a verdict.
    pub fn name(self) -> &'static str {
        match self {
            Self::SharedSecret => "shared_secret",
            Self::Bearer => "bearer",
            Self::HolderOfKey => "holder_of_key",
            Self::ProofOfPossession => "proof_of_possession",
        }
    }

    /// What it means for whoever acts on it.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::SharedSecret => "whoever has seen the secret is believed",
            Self::Bearer => "whoever has the token is believed until it expires",
            Self::HolderOfKey => "its holder must still prove possession of the key, as TLS does",
            Self::ProofOfPossession => "its holder proved possession of the key",
        }
    }
}

/// The kind of name an identity has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// The name of an API key.
    ApiKey,
    /// A name of a certificate.
    Certificate,
    /// A SPIFFE ID.
    Spiffe,
    /// A name in a certificate of SSH, or that of a listed key.
    Ssh,
    /// A subject of an issuer.
    Token,
}

impl IdentityKind {
    /// The name in a verdict.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Certificate => "certificate",
            Self::Spiffe => "spiffe",
            Self::Ssh => "ssh",
            Self::Token => "token",
        }
    }
}

/// The end of a path: an anchor and the one key of it that was used.
#[derive(Clone, Debug)]
pub struct AnchorReached {
    /// The anchor.
    pub anchor: Arc<Anchor>,
    /// The key: a key identifier, a `kid` or a digest.
    pub key: String,
    /// Its thumbprint (RFC 7638), where its name is one that its issuer has chosen.
    pub thumbprint: Option<Digest>,
    /// What the key is called: the subject of a certificate, the issuer of a token.
    pub subject: String,
}

/// A check that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub what: &'static str,
    /// What was compared with what.
    pub compared: Compared,
    /// The standard and section that asks for it.
    pub spec: &'static str,
}

/// What was compared with what: a sentence and the facts in it. They are put together only for a
/// reader, because most acceptances have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    sentence: &'static str,
    facts: Vec<Fact>,
}

/// A fact in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Count(usize),
    Text(String),
    Time(Time),
    Word(&'static str),
}

impl Compared {
    /// A sentence in which each `{}` stands for one of the facts, in their order.
    pub(crate) fn with(sentence: &'static str, facts: Vec<Fact>) -> Self {
        Self { sentence, facts }
    }
}

impl From<&'static str> for Compared {
    fn from(sentence: &'static str) -> Self {
        Self::with(sentence, Vec::new())
    }
}

impl From<String> for Compared {
    fn from(text: String) -> Self {
        Self::with("{}", vec![Fact::Text(text)])
    }
}

impl fmt::Display for Compared {
    /// Not escaped for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = self.facts.iter();
        let mut pieces = self.sentence.split("{}");
        if let Some(first) = pieces.next() {
            f.write_str(first)?;
        }
        for piece in pieces {
            if let Some(fact) = facts.next() {
                fact.fmt(f)?;
            }
            f.write_str(piece)?;
        }
        Ok(())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Time(time) => time.fmt(f),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// One part of a decision in which several mechanisms had to agree, a small verdict of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// What this part shows.
    pub what: &'static str,
    /// The mechanism it rests on.
    pub model: TrustModel,
    /// What it ended at: a key, a rule, a name.
    pub ends_at: String,
    /// Why it failed, if it did; `None` with `decided` false means it was not reached.
    pub reason: Option<Reason>,
    /// Whether it was reached at all.
    pub decided: bool,
}

/// Where a status came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSource {
    /// `crl`, `status_list`, `introspection`, or `jwks` for the keys of an issuer.
    pub source: &'static str,
    /// Whose list it is, or where it is.
    pub issuer: String,
    /// When it was made.
    pub as_of: Time,
    /// When the next one is due.
    pub next: Option<Time>,
}

/// Not believed.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub(crate) model: TrustModel,
    pub(crate) attempts: Attempts,
    pub(crate) legs: Vec<Leg>,
}

impl Refusal {
    /// The model under which it was refused; none where nothing could be decided, since it is of a kind
    /// for which there is no model here.
    pub fn model(&self) -> Option<TrustModel> {
        let is_decided = !matches!(self.reason(), Reason::Unsupported { .. });
        is_decided.then_some(self.model)
    }

    /// The reason of the attempt that came nearest to an anchor.
    pub fn reason(&self) -> &Reason {
        self.attempts.nearest().reason()
    }

    /// Every path that was tried, nearest to an anchor first.
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// The parts of a decision in which several mechanisms had to agree.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }
}

/// A fact without which there can be no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// The name by which the relying party knows itself.
    Audience,
    /// The challenge that a proof of SSH answers.
    Challenge,
    /// Whether an issuer stands by its token.
    Introspection {
        /// The issuer.
        issuer: String,
        /// What came of asking it, where someone has.
        why: Option<String>,
    },
    /// A key that a trusted issuer may have by now, whose keys are looked at again later.
    Key(AwaitedKey),
    /// The key set of an issuer that is trusted but whose keys are not known.
    KeySet {
        /// The issuer.
        issuer: String,
        /// Why they could not be got, where someone has tried.
        why: Option<String>,
    },
    /// The address at which an assertion is shown.
    Recipient,
    /// All that is stored of the tenant, of which whoever decides cannot read something.
    State,
    /// The status list of an issuer that its token names.
    StatusList {
        /// The issuer.
        issuer: String,
        /// The address of the list.
        uri: String,
        /// Why it could not be got, where someone has tried.
        why: Option<String>,
    },
    /// What an XML signature covers, and whether it holds.
    XmlSignature(Box<XmlToVerify>),
}

impl Need {
    /// One sentence: what is missing and how to give it.
    pub fn sentence(&self) -> String {
        match self {
            Self::Audience => {
                "The token names an audience, and nothing says who you are: give the \
                               name of your service with `--audience` or `audience`."
                    .to_owned()
            }
            Self::Challenge => {
                "The proof answers a challenge, and nothing says which one you gave out: give it \
                 with `--nonce` or `nonce`."
                    .to_owned()
            }
            Self::Introspection { issuer, why: None } => format!(
                "Whether the token holds is told by {} alone, and what it says is not known; a server with \
                 the issuer asks it.",
                crate::reason::printable(issuer)
            ),
            Self::Introspection {
                issuer,
                why: Some(why),
            } => format!(
                "Whether the token holds is told by {} alone, which was asked and has given no answer that \
                 can be used: {}.",
                crate::reason::printable(issuer),
                crate::reason::printable(why)
            ),
            Self::Key(AwaitedKey { issuer, key, from }) => format!(
                "{} did not have the key {} when its keys were looked at last, and they are looked at \
                 again from {from} on: ask again then.",
                crate::reason::printable(issuer),
                crate::reason::printable(key)
            ),
            Self::KeySet { issuer, why: None } => format!(
                "The keys of {} are not known: add its `jwks` to the trust document.",
                crate::reason::printable(issuer)
            ),
            Self::KeySet {
                issuer,
                why: Some(why),
            } => format!(
                "The keys of {} are not known, since they could not be fetched: {}.",
                crate::reason::printable(issuer),
                crate::reason::printable(why)
            ),
            Self::Recipient => {
                "The assertion may be shown at one address, and nothing says what yours is: give \
                 it with `--recipient` or `recipient`, or as `recipients` of the anchor."
                    .to_owned()
            }
            Self::State => {
                "Something that is stored of the tenant cannot be read by this server, and may be \
                 that the credential was taken back: ask another server; the log of this one says \
                 what it is."
                    .to_owned()
            }
            Self::StatusList { issuer, uri, why } => sentence_of_list(issuer, uri, why.as_deref()),
            Self::XmlSignature(_) => {
                "Whether the signature of the assertion holds was not found out: it takes the \
                 program `xmlsec1`, in a process of its own."
                    .to_owned()
            }
        }
    }

    /// The name in a verdict.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::Challenge => "challenge",
            Self::Introspection { .. } => "introspection",
            Self::Key(_) => "key",
            Self::KeySet { .. } => "key_set",
            Self::Recipient => "recipient",
            Self::State => "state",
            Self::StatusList { .. } => "status_list",
            Self::XmlSignature(_) => "xml_signature",
        }
    }
}

fn sentence_of_list(issuer: &str, uri: &str, why: Option<&str>) -> String {
    let (issuer, uri) = (
        crate::reason::printable(issuer),
        crate::reason::printable(uri),
    );
    match why {
        Some(why) => format!(
            "Whether {issuer} has taken the token back is told by its status list at {uri}, of which there is \
             none that can be used: {}.",
            crate::reason::printable(why)
        ),
        None => format!(
            "Whether {issuer} has taken the token back is told by its status list, which is not known: get it \
             from {uri} and give it with `--crl` or `status_lists`."
        ),
    }
}

/// A change that must be committed before an identity may be acted on: believing someone on first
/// use, or using something once, is a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Uses a nonce that no one may use again before `until`.
    ConsumeNonce {
        /// Whose nonces they are: one issuer's, for one tenant.
        scope: String,
        /// The nonce, or its digest.
        nonce: String,
        /// When it may be forgotten, since what carries it has expired.
        until: Time,
    },
}

/// An identity that opens only with the receipt for its effects.
#[derive(Clone, Debug)]
pub struct Sealed {
    identity: Box<Identity>,
    effects: Vec<Effect>,
}

/// Proof that effects were committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    effects: Digest,
}

impl Receipt {
    /// For whoever stores effects: says that all of `effects` are durably committed.
    pub fn committed(effects: &[Effect]) -> Self {
        Self {
            effects: digest_of(effects),
        }
    }
}

impl Sealed {
    pub(crate) fn new(identity: Identity, effects: Vec<Effect>) -> Self {
        Self {
            identity: Box::new(identity),
            effects,
        }
    }

    /// The same with what its token says.
    pub(crate) fn with_claims(mut self, claims: Map<String, Value>) -> Self {
        self.identity.claims = Some(Claimed::new(claims));
        self
    }

    /// The same with these checks, too.
    pub(crate) fn with_checks(mut self, checks: Vec<Check>) -> Self {
        self.identity.checks.extend(checks);
        self
    }

    /// What must be committed first.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// To look at, for an explanation or a record; not to act on.
    pub fn preview(&self) -> &Identity {
        &self.identity
    }

    /// Opens with the receipt for exactly these effects.
    ///
    /// # Errors
    ///
    /// Itself, where the receipt is for others.
    pub fn open(self, receipt: &Receipt) -> Result<Identity, Self> {
        if *receipt == Receipt::committed(&self.effects) {
            Ok(*self.identity)
        } else {
            Err(self)
        }
    }
}

fn digest_of(effects: &[Effect]) -> Digest {
    let texts: Vec<String> = effects.iter().map(|effect| format!("{effect:?}")).collect();
    Digest::of_list(texts.iter().map(String::as_bytes))
}
