//! What an assertion says (SAML Core 2.3 to 2.7), read from the bytes that were signed.

use std::collections::BTreeMap;

use roxmltree::Node;

use super::ASSERTION;
use super::xml::{
    self, Rounded, attribute, elements, exact_text, is, malformed, name_of, named, text,
};
use crate::ended::{Birth, Mark};
use crate::reason::{Reason, printable};
use crate::time::Time;

/// Whoever shows the assertion is its subject (SAML Profiles 3.3).
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";

/// The format of a name that is the name of an entity (SAML Core 8.3.6).
const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";

/// An assertion, typed.
#[derive(Debug)]
pub(crate) struct Assertion {
    pub(crate) id: String,
    pub(crate) issuer: String,
    pub(crate) issued_at: Time,
    pub(crate) subject: Subject,
    pub(crate) not_before: Option<Time>,
    pub(crate) expires: Option<Time>,
    /// One list for each restriction, all of which must hold.
    pub(crate) audiences: Vec<Vec<String>>,
    pub(crate) proxying: Option<Proxying>,
    pub(crate) sign_in: Option<SignIn>,
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
}

/// Whom it is about.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) format: Option<String>,
    /// The domain in which the name is unique, if it says another than its issuer.
    pub(crate) qualifier: Option<String>,
    /// How its bearer may be confirmed to be the subject.
    pub(crate) confirmations: Vec<Confirmation>,
}

/// Where, until when and in answer to what it may be shown.
#[derive(Debug)]
pub(crate) struct Confirmation {
    pub(crate) recipient: String,
    pub(crate) expires: Time,
    pub(crate) in_response_to: Option<String>,
}

/// How the subject signed in.
#[derive(Debug)]
pub(crate) struct SignIn {
    pub(crate) at: Time,
    pub(crate) class: Option<String>,
    /// Its session, as the identity provider calls it.
    pub(crate) session: Option<String>,
    pub(crate) session_ends: Option<Time>,
}

/// Whether others may be told something on the word of an assertion (SAML Core 2.5.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proxying {
    /// Over how many more parties; any number if it does not say.
    pub(crate) count: Option<u32>,
    /// Whom; anyone if it names nobody.
    pub(crate) audiences: Vec<String>,
}

impl Proxying {
    fn of(node: Node<'_, '_>) -> Result<Self, Reason> {
        let count = attribute(node, "Count").map(|text| {
            let digits = text.trim();
            let is_number = !digits.is_empty() && digits.bytes().all(|one| one.is_ascii_digit());
            match is_number {
                // A number beyond all bounds bounds nothing.
                true => Ok(digits.parse().unwrap_or(u32::MAX)),
                false => Err(malformed("its `Count` is no number".to_owned())),
            }
        });
        let audiences = named(node, ASSERTION, "Audience")
            .map(|audience| text(audience).map(str::to_owned))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            count: count.transpose()?,
            audiences,
        })
    }
}

impl Assertion {
    /// Reads what was signed.
    pub(crate) fn read(content: &[u8]) -> Result<Self, Reason> {
        let refuse = |detail: &str| Reason::SamlContent {
            detail: detail.to_owned(),
        };
        if content.is_empty() {
            return Err(refuse("nothing was signed"));
        }
        let content = std::str::from_utf8(content).map_err(|_| refuse("it is no text"))?;
        let document = xml::read(content)?;
        let root = document.root_element();
        let mut nested = document.descendants().skip(2);
        if !is(root, ASSERTION, "Assertion") || nested.any(|node| is(node, ASSERTION, "Assertion"))
        {
            return Err(refuse("it is not one assertion"));
        }
        Self::of(root)
    }

    /// When it was had, and by what it can be ended: a session that goes on is as old as its
    /// sign-in.
    pub(crate) fn birth(&self) -> Birth {
        let sign_in = self.sign_in.as_ref();
        let session = sign_in.and_then(|one| one.session.as_deref());
        let marks = [
            Some(Mark::subject(&self.issuer, &self.subject.name)),
            Some(Mark::token(&self.issuer, &self.id)),
            session.map(|session| Mark::session(&self.issuer, session)),
        ];
        Birth {
            at: Some(sign_in.map_or(self.issued_at, |one| one.at)),
            marks: marks.into_iter().flatten().collect(),
        }
    }

    fn of(root: Node<'_, '_>) -> Result<Self, Reason> {
        let missing = |element| Reason::SamlElementMissing { element };
        let id = attribute(root, "ID").ok_or(missing("ID"))?;
        let issued_at = attribute(root, "IssueInstant").ok_or(missing("IssueInstant"))?;
        let issuer = only(root, "Issuer")?.ok_or(missing("Issuer"))?;
        if attribute(issuer, "Format").is_some_and(|format| format != ENTITY) {
            return Err(malformed("its issuer is not named as an entity".to_owned()));
        }
        let subject = only(root, "Subject")?.ok_or(missing("Subject"))?;
        let conditions = only(root, "Conditions")?.ok_or(missing("Conditions"))?;
        check_conditions(conditions)?;
        Ok(Self {
            id: id.to_owned(),
            issuer: exact_text(issuer)?.to_owned(),
            issued_at: xml::time(issued_at, Rounded::Up)?,
            subject: Subject::of(subject)?,
            not_before: moment(conditions, "NotBefore", Rounded::Up)?,
            expires: moment(conditions, "NotOnOrAfter", Rounded::Down)?,
            audiences: audiences(conditions)?,
            proxying: only(conditions, "ProxyRestriction")?
                .map(Proxying::of)
                .transpose()?,
            sign_in: sign_in(root)?,
            attributes: attributes(root)?,
        })
    }
}

/// A condition that is not understood makes an assertion indeterminate (SAML Core 2.5.1.1). That it
/// be used once is kept of every assertion, and what may be vouched for on its word bounds whoever
/// issues something, not whoever believes it.
fn check_conditions(conditions: Node<'_, '_>) -> Result<(), Reason> {
    let known = |node: &Node<'_, '_>| {
        ["AudienceRestriction", "OneTimeUse", "ProxyRestriction"]
            .iter()
            .any(|name| is(*node, ASSERTION, name))
    };
    match elements(conditions).find(|node| !known(node)) {
        None => Ok(()),
        Some(other) => Err(Reason::SamlCondition {
            condition: name_of(other),
        }),
    }
}

fn audiences(conditions: Node<'_, '_>) -> Result<Vec<Vec<String>>, Reason> {
    let restrictions: Vec<Vec<String>> = named(conditions, ASSERTION, "AudienceRestriction")
        .map(|restriction| {
            named(restriction, ASSERTION, "Audience")
                .map(|audience| text(audience).map(str::to_owned))
                .collect()
        })
        .collect::<Result<_, _>>()?;
    // SAML Profiles 4.1.4.2.
    if restrictions.is_empty() || restrictions.iter().any(Vec::is_empty) {
        return Err(Reason::SamlElementMissing {
            element: "Audience",
        });
    }
    Ok(restrictions)
}

impl Subject {
    fn of(node: Node<'_, '_>) -> Result<Self, Reason> {
        let refuse = |detail: &str| Reason::SamlSubject {
            detail: detail.to_owned(),
        };
        let name = only(node, "NameID")?;
        if elements(node).any(|node| is(node, ASSERTION, "EncryptedID")) {
            return Err(refuse("it is encrypted"));
        }
        let name = name.ok_or_else(|| refuse("it has no `NameID`"))?;
        let confirmations = confirmations(node)?;
        let spelt = exact_text(name)?;
        // Two readers of it might see two names.
        if spelt.trim() != spelt {
            return Err(refuse("there is white space around its `NameID`"));
        }
        Ok(Self {
            name: spelt.to_owned(),
            format: attribute(name, "Format").map(str::to_owned),
            qualifier: attribute(name, "NameQualifier").map(str::to_owned),
            confirmations,
        })
    }
}

/// Those by which a bearer may be the subject: each suffices, so one that is of no use takes nothing
/// from the others (SAML Core 2.4.1). Where all are, it is said why the first is.
fn confirmations(subject: Node<'_, '_>) -> Result<Vec<Confirmation>, Reason> {
    let all = named(subject, ASSERTION, "SubjectConfirmation")
        .filter(|one| attribute(*one, "Method") == Some(BEARER));
    let mut usable = Vec::new();
    let mut first_refused = None;
    for one in all {
        match Confirmation::of(one) {
            Ok(confirmation) => usable.push(confirmation),
            Err(reason) => drop(first_refused.get_or_insert(reason)),
        }
    }
    match usable.is_empty() {
        false => Ok(usable),
        true => Err(first_refused.unwrap_or_else(|| confirmation("there is none for a bearer"))),
    }
}

impl Confirmation {
    /// SAML Profiles 4.1.4.2: for a bearer it says where and until when, and not from when.
    fn of(node: Node<'_, '_>) -> Result<Self, Reason> {
        // Who it names is to confirm the subject (SAML Core 2.4.1.1), and not whoever bears it.
        let confirming = elements(node)
            .find(|inside| ["BaseID", "NameID", "EncryptedID"].contains(&inside.tag_name().name()));
        if confirming.is_some() {
            return Err(confirmation(
                "it names an entity that confirms the subject, and a bearer's names none",
            ));
        }
        let data = only(node, "SubjectConfirmationData")?
            .ok_or_else(|| confirmation("it bounds nothing"))?;
        if attribute(data, "NotBefore").is_some() {
            return Err(confirmation(
                "it has a `NotBefore`, which a bearer's cannot have",
            ));
        }
        let recipient = attribute(data, "Recipient")
            .filter(|recipient| !recipient.is_empty())
            .ok_or_else(|| confirmation("it names no `Recipient`"))?;
        let expires = moment(data, "NotOnOrAfter", Rounded::Down)?
            .ok_or_else(|| confirmation("it has no `NotOnOrAfter`"))?;
        Ok(Self {
            recipient: recipient.to_owned(),
            expires,
            in_response_to: attribute(data, "InResponseTo").map(str::to_owned),
        })
    }
}

/// The last sign-in, if there is any: the subject was there then.
fn sign_in(root: Node<'_, '_>) -> Result<Option<SignIn>, Reason> {
    let mut last: Option<SignIn> = None;
    for statement in named(root, ASSERTION, "AuthnStatement") {
        let at = moment(statement, "AuthnInstant", Rounded::Down)?;
        let at = at.ok_or(Reason::SamlElementMissing {
            element: "AuthnInstant",
        })?;
        let class = match only(statement, "AuthnContext")? {
            Some(context) => only(context, "AuthnContextClassRef")?,
            None => None,
        };
        let class = class.map(exact_text).transpose()?;
        let session_ends = moment(statement, "SessionNotOnOrAfter", Rounded::Down)?;
        if last.as_ref().is_none_or(|known| known.at <= at) {
            last = Some(SignIn {
                at,
                class: class.map(str::to_owned),
                session: attribute(statement, "SessionIndex").map(str::to_owned),
                session_ends,
            });
        }
    }
    Ok(last)
}

/// The attributes by name. One that stands twice could be read two ways.
fn attributes(root: Node<'_, '_>) -> Result<BTreeMap<String, Vec<String>>, Reason> {
    let mut attributes = BTreeMap::new();
    for statement in named(root, ASSERTION, "AttributeStatement") {
        for node in named(statement, ASSERTION, "Attribute") {
            let name = attribute(node, "Name").unwrap_or_default();
            if name.is_empty() {
                return Err(malformed("an attribute has no name".to_owned()));
            }
            let values = named(node, ASSERTION, "AttributeValue")
                .filter_map(|value| match exact_text(value) {
                    Ok(value) => Some(value.to_owned()),
                    // Empty, or made of elements: there is no text to compare.
                    Err(_) => None,
                })
                .collect::<Vec<_>>();
            let count = named(node, ASSERTION, "AttributeValue").count();
            let values = if values.len() == count {
                values
            } else {
                Vec::new()
            };
            if attributes.insert(name.to_owned(), values).is_some() {
                return Err(Reason::SamlAttributeDuplicate {
                    attribute: printable(name),
                });
            }
        }
    }
    Ok(attributes)
}

/// The element of this name directly below, which stands there at most once.
fn only<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> Result<Option<Node<'a, 'input>>, Reason> {
    let mut found = named(node, ASSERTION, name);
    match (found.next(), found.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => Err(malformed(format!("`{name}` stands twice"))),
    }
}

fn moment(node: Node<'_, '_>, name: &str, rounded: Rounded) -> Result<Option<Time>, Reason> {
    attribute(node, name)
        .map(|text| xml::time(text, rounded))
        .transpose()
}

fn confirmation(detail: &str) -> Reason {
    Reason::SamlConfirmation {
        detail: detail.to_owned(),
    }
}
