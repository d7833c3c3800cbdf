//! What a token says beside who its subject is, read once it is believed.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::{Map, Value, json};

use super::delegation::{Actor, read_chain, read_may_act};
use super::place::Place;
use super::proxying;
use crate::budget::Limits;
use crate::credential::jose::json::kind_of;
use crate::credential::jose::jws::Jws;
use crate::credential::saml::XmlFound;
use crate::credential::saml::assertion::Assertion;
use crate::ended::{Birth, Mark};
use crate::id::{Digest, SpiffeId};
use crate::model::federation::claims::{Claims, LIFETIME_MAX};
use crate::model::federation::{Introspected, SignedIn};
use crate::policy::facts::SUBJECT;
use crate::question::Context;
use crate::reason::Reason;
use crate::time::Time;
use crate::verdict::{Identity, IdentityKind};
use crate::vouch::{How, Vouch};

/// The most ancestors that a token may name: those of eight exchanges, and of whoever acted in each with a
/// token of their own. One takes half a kilobyte, and a token is one of sixteen at most.
const ANCESTORS_MAX: usize = 16;

/// The most marks of an ancestor: there are five kinds of them.
const MARKS_MAX: usize = 5;

/// The claim in which a token that was exchanged names what it descends from.
pub const LINEAGE: &str = "lineage";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What may be used once: its issuer and `jti`, or what was signed where it has no `jti`.
    pub use_digest: Digest,
    /// Until when that must be remembered.
    pub expires: Time,
    /// For whom it is.
    pub audiences: Vec<String>,
    /// The subject as the issuer calls it.
    pub subject: Actor,
    /// Who acts in it, whoever acts now first.
    pub actors: Vec<Actor>,
    /// Who may act for the subject.
    pub may_act: Option<Actor>,
    /// What it allows, if it says so.
    pub scopes: Option<Vec<String>>,
    /// The claim by which it is plainly an access token, if it is one.
    pub is_access_by: Option<&'static str>,
    /// How the subject signed in.
    pub signed_in: SignedIn,
    /// When it was had, and by what it can be ended.
    pub birth: Birth,
    /// What it says it descends from, the first ancestor first. Of what other tenants have signed nothing
    /// in it vouches for anyone: that a token says so of itself only ever costs it something.
    pub lineage: Vec<Ancestor>,
}

/// What a credential descends from: an anchor and the key of it that vouched, and the digest of
/// what was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The tenant whose anchor it is, by its issuer identifier, where that is another than the one that
    /// names it.
    pub of: Option<String>,
    /// The trust domain of what that tenant gave, by which it knows itself when its issuer identifier is another
    /// by then.
    pub of_domain: Option<String>,
    /// The name of the anchor.
    pub anchor: String,
    /// What its key is called there: an issuer, a trust domain, the subject of a certificate.
    pub issuer: String,
    /// The key.
    pub key: String,
    /// Its thumbprint, where its name is one that its issuer has chosen: another key can have that.
    /// Lineages of before it was told have none.
    pub thumbprint: Option<Digest>,
    /// What may be used once of what was presented.
    pub digest: Digest,
    /// When that was had, and by what it can be ended.
    pub birth: Birth,
    /// How much may be had of it at most, at whatever remove: said where it, or whoever presented it,
    /// asked for no more.
    pub scopes: Option<Vec<String>>,
    /// For whom alone something may be had on its word, at whatever remove, where it says so
    /// (`ProxyRestriction` of SAML Core 2.5.1.6).
    pub audiences: Option<Vec<String>>,
}

/// Who has said of what something descends.
#[derive(Clone, Copy, Debug)]
pub struct Sayer<'a> {
    /// What it is called: its issuer identifier, which changes with its address.
    pub name: &'a str,
    /// The trust domain of the one of whom it says so, which does not.
    pub domain: Option<&'a str>,
}

impl Statement {
    /// Reads the token for which `identity` was believed.
    ///
    /// # Errors
    ///
    /// `federation.claim_mistyped`, `issue.delegation_refused`, and those of reading a token.
    pub fn of(identity: &Identity, token: &str) -> Result<Self, Reason> {
        let claims = match &identity.claims {
            Some(claimed) => Cow::Borrowed(claimed.all()),
            None => Cow::Owned(Jws::claims_of_believed(token, &Limits::default())?),
        };
        let claims = Claims::read(&claims)?;
        let signed = Jws::signed_of_believed(token)?;
        let nameless = [b"jws".as_slice(), signed.as_bytes()];
        Self::of_claims(identity, &claims, nameless, claims.required_expiry()?)
    }

    /// Reads what its issuer says of the token for which `identity` was believed.
    ///
    /// # Errors
    ///
    /// As of [`Statement::of`].
    pub fn of_introspected(identity: &Identity, answer: &Introspected) -> Result<Self, Reason> {
        let claims = Claims::read(answer.claims())?;
        let expires = match claims.expires {
            Some(expires) => expires,
            // Nobody knows when it ends, so its use is remembered as long as any token lives.
            None => answer.at().plus(LIFETIME_MAX),
        };
        let token = answer.token();
        let nameless = [b"opaque".as_slice(), token.as_bytes().as_slice()];
        Self::of_claims(identity, &claims, nameless, expires)
    }

    /// The same, for whom the proof of its holder is that was believed with it: a workload identity token
    /// itself is for nobody.
    ///
    /// # Errors
    ///
    /// Those of reading a token.
    pub fn shown_with(self, proof: &str) -> Result<Self, Reason> {
        let claims = Jws::claims_of_believed(proof, &Limits::default())?;
        let claims = Claims::read(&claims)?;
        let audiences = claims.audiences.iter().map(ToString::to_string).collect();
        Ok(Self { audiences, ..self })
    }

    fn of_claims(
        identity: &Identity,
        claims: &Claims<'_>,
        [kind, nameless]: [&[u8]; 2],
        expires: Time,
    ) -> Result<Self, Reason> {
        let owner = identity.anchor().subject.as_str();
        let use_digest = match claims.id {
            Some(id) => Digest::of_list([b"jti", owner.as_bytes(), id.as_bytes()]),
            None => Digest::of_list([kind, owner.as_bytes(), nameless]),
        };
        let is_svid = identity.kind() == IdentityKind::Spiffe;
        // A name alone is one of whoever signed the token, and not of anyone who has it elsewhere.
        let whose = claims.issuer.filter(|_| !is_svid);
        Ok(Self {
            birth: Birth::of_token(owner, claims, is_svid).seen_at(identity.valid_from()),
            use_digest,
            expires,
            audiences: claims.audiences.iter().map(ToString::to_string).collect(),
            subject: Actor {
                issuer: claims.issuer.map(str::to_owned),
                subject: claims.required_subject()?.to_owned(),
            },
            actors: read_chain(claims.all, whose)?,
            // Also in an SVID: a name that is no SPIFFE ID is not that of whoever has it somewhere.
            may_act: read_may_act(claims.all, claims.issuer.or(Some(owner)))?,
            scopes: read_scopes(claims.all)?,
            is_access_by: is_access_by(claims.all),
            signed_in: identity.signed_in().cloned().unwrap_or_default(),
            lineage: read_lineage(claims.all),
        })
    }
}

impl Statement {
    /// Reads the assertion of SAML for which `identity` was believed in this context, if it was
    /// for one.
    ///
    /// # Errors
    ///
    /// Those of reading an assertion.
    pub fn of_assertion(identity: &Identity, context: &Context) -> Result<Option<Self>, Reason> {
        if identity.path().first().map(Vouch::how) != Some(How::Saml) {
            return Ok(None);
        }
        let held = context
            .xml_signatures
            .iter()
            .find_map(|signature| match &signature.found {
                XmlFound::Held { content, .. } => Some(content),
                XmlFound::NotHeld => None,
            });
        let Some(content) = held else {
            return Ok(None);
        };
        let assertion = Assertion::read(content)?;
        let owner = identity.anchor().subject.as_str();
        let signed_in = SignedIn::of_assertion(&assertion);
        let digests = [b"saml", owner.as_bytes(), assertion.id.as_bytes()];
        Ok(Some(Self {
            birth: assertion.birth(),
            use_digest: Digest::of_list(digests),
            expires: identity.valid_until().plus(1),
            audiences: assertion.audiences.concat(),
            subject: Actor {
                issuer: Some(assertion.issuer),
                subject: assertion.subject.name,
            },
            actors: Vec::new(),
            may_act: None,
            scopes: None,
            is_access_by: None,
            signed_in,
            lineage: Vec::new(),
        }))
    }
}

/// RFC 8693 4.2: texts divided by single spaces.
fn read_scopes(claims: &Map<String, Value>) -> Result<Option<Vec<String>>, Reason> {
    match claims.get("scope") {
        None => Ok(None),
        Some(Value::String(scopes)) => Ok(Some(words(scopes))),
        Some(other) => Err(Reason::ClaimMistyped {
            claim: "scope".to_owned(),
            expected: "a text",
            found: kind_of(other),
        }),
    }
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// What access tokens say and ID tokens do not: what may be done with them and by which client
/// (RFC 9068 2.2), and the words of Keycloak and of Amazon Cognito, which write the type into a claim.
fn is_access_by(claims: &Map<String, Value>) -> Option<&'static str> {
    let says = |claim: &str, word: &str| claims.get(claim).and_then(Value::as_str) == Some(word);
    ["scope", "scp", "client_id"]
        .into_iter()
        .find(|claim| claims.contains_key(*claim))
        .or_else(|| says("typ", "Bearer").then_some("typ"))
        .or_else(|| says("token_use", "access").then_some("token_use"))
}

/// Whether something descends from what an issuer has said, however far up that stands.
pub fn descends_from(lineage: &[Ancestor], issuer: &str) -> bool {
    lineage.iter().any(|ancestor| ancestor.issuer == issuer)
}

/// What a token says it descends from. Others may use this name for something else, so what is not a lineage is
/// none.
pub fn read_lineage(claims: &Map<String, Value>) -> Vec<Ancestor> {
    let Some(Value::Array(list)) = claims.get(LINEAGE) else {
        return Vec::new();
    };
    let read: Option<Vec<Ancestor>> = list.iter().map(Ancestor::of_claim).collect();
    read.unwrap_or_default()
}

/// As one element of the claim `lineage`, its members in the order of their names.
impl Serialize for Ancestor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let told = [
            self.audiences.is_some(),
            self.of.is_some(),
            self.of_domain.is_some(),
            self.scopes.is_some(),
            self.thumbprint.is_some(),
        ];
        let count = 6 + told.into_iter().filter(|is_told| *is_told).count();
        let mut members = serializer.serialize_struct("Ancestor", count)?;
        members.serialize_field("anchor", &self.anchor)?;
        match &self.audiences {
            Some(audiences) => members.serialize_field("audiences", audiences)?,
            None => members.skip_field("audiences")?,
        }
        members.serialize_field("born", &self.birth.at.map(Time::unix))?;
        members.serialize_field("digest", &self.digest)?;
        members.serialize_field("iss", &self.issuer)?;
        members.serialize_field("key", &self.key)?;
        members.serialize_field("marks", &self.birth.marks)?;
        match &self.of {
            Some(of) => members.serialize_field("of", of)?,
            None => members.skip_field("of")?,
        }
        match &self.of_domain {
            Some(domain) => members.serialize_field("of_domain", domain)?,
            None => members.skip_field("of_domain")?,
        }
        match &self.scopes {
            Some(scopes) => members.serialize_field("scope", &scopes.join(" "))?,
            None => members.skip_field("scope")?,
        }
        match &self.thumbprint {
            Some(thumbprint) => members.serialize_field("thumbprint", thumbprint)?,
            None => members.skip_field("thumbprint")?,
        }
        members.end()
    }
}

/// Tokens of before a lineage told it say nothing of it.
fn read_birth(value: &Value) -> Option<Birth> {
    let marks = match value.get("marks") {
        None => Vec::new(),
        Some(Value::Array(list)) if list.len() <= MARKS_MAX => list
            .iter()
            .map(|mark| Some(Mark::from_digest(Digest::from_hex(mark.as_str()?)?)))
            .collect::<Option<_>>()?,
        Some(_) => return None,
    };
    Some(Birth {
        at: value
            .get("born")
            .and_then(Value::as_i64)
            .map(Time::from_unix),
        marks,
    })
}

impl Ancestor {
    /// Reads one element of the claim `lineage`.
    pub fn of_claim(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some(Self {
            of: match value.get("of") {
                None => None,
                Some(of) => Some(of.as_str()?.to_owned()),
            },
            of_domain: match value.get("of_domain") {
                None => None,
                Some(domain) => Some(domain.as_str()?.to_owned()),
            },
            anchor: text("anchor")?,
            issuer: text("iss")?,
            key: text("key")?,
            thumbprint: match value.get("thumbprint") {
                None => None,
                Some(thumbprint) => Some(Digest::from_hex(thumbprint.as_str()?)?),
            },
            digest: Digest::from_hex(value.get("digest")?.as_str()?)?,
            birth: read_birth(value)?,
            scopes: match value.get("scope") {
                None => None,
                Some(scopes) => Some(words(scopes.as_str()?)),
            },
            audiences: match value.get("audiences") {
                None => None,
                Some(Value::Array(named)) => {
                    let named = named.iter().map(|one| one.as_str().map(str::to_owned));
                    Some(named.collect::<Option<_>>()?)
                }
                Some(_) => return None,
            },
        })
    }

    /// Whether the two are one: had of the same, by the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        let named = |one: &Self| {
            let Self {
                of, anchor, key, ..
            } = one.clone();
            (of, anchor, key, one.digest)
        };
        named(self) == named(other)
    }

    /// The same as another tenant names it, which `place` is of, when `sayer` has named it.
    #[must_use]
    pub fn told(self, sayer: Sayer<'_>, place: Place<'_>) -> Self {
        let (of, of_domain) = match self.of {
            Some(of) => (of, self.of_domain),
            None => (sayer.name.to_owned(), sayer.domain.map(str::to_owned)),
        };
        let is_here = place.is_called(&of) || of_domain.as_deref().is_some_and(|of| place.owns(of));
        let (of, of_domain) = match is_here {
            true => (None, None),
            false => (Some(of), of_domain),
        };
        Self {
            of,
            of_domain,
            ..self
        }
    }

    /// As one element of the claim `lineage`.
    pub fn to_claim(&self) -> Value {
        json!(self)
    }

    pub(super) fn of(identity: &Identity, digest: Digest, statement: Option<&Statement>) -> Self {
        let reached = identity.anchor();
        let birth = match statement {
            Some(statement) => statement.birth.clone(),
            None => birth_of(identity),
        };
        Self {
            of: None,
            of_domain: None,
            birth,
            anchor: reached.anchor.name.clone(),
            issuer: reached.subject.clone(),
            key: reached.key.clone(),
            thumbprint: reached.thumbprint,
            digest,
            scopes: None,
            audiences: proxying::audiences(identity).map(<[String]>::to_vec),
        }
    }
}

/// What is no token tells its subject by its SPIFFE ID, if it has one.
fn birth_of(identity: &Identity) -> Birth {
    match SpiffeId::parse(identity.name()) {
        Ok(id) if identity.kind() == IdentityKind::Spiffe => {
            let issuer = format!("spiffe://{}", id.trust_domain());
            // Its own beginning: what is above it is made anew meanwhile.
            let own = identity.path().first().and_then(Vouch::valid);
            let from = own.map_or(identity.valid_from(), |(from, _)| from);
            Birth::of_certificate(&issuer, id.as_str(), from)
        }
        Ok(_) | Err(_) if identity.kind() == IdentityKind::Ssh => {
            let subject = identity.facts().get(SUBJECT);
            let subject = subject.map(String::as_str).unwrap_or_default();
            let issuer = &identity.anchor().subject;
            Birth::of_certificate(issuer, subject, identity.valid_from())
        }
        Ok(_) | Err(_) => Birth::default(),
    }
}

/// Whether a token can name all of these.
pub(super) fn is_bearable(lineage: &[Ancestor]) -> bool {
    lineage.len() <= ANCESTORS_MAX
}
