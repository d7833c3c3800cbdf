//! What an assertion must pass once it is known who signed it.

use super::anchor::{AUTHN_CONTEXT, Answers, NAME_FORMAT, SamlAnchor};
use crate::anchor::Anchor;
use crate::credential::saml::assertion::{Assertion, Confirmation, Subject};
use crate::model::federation::claims::CLOCK_LEEWAY;
use crate::policy::facts::{CLAIMS, Facts, SUBJECT, may_be_a_fact};
use crate::question::Context;
use crate::reason::Reason;
use crate::time::{Time, duration_in_words};

/// From when on nothing of an assertion holds any more: the first of the ends that it names.
pub(super) fn expires(assertion: &Assertion) -> Time {
    let confirmed = assertion
        .subject
        .confirmations
        .iter()
        .map(|one| one.expires);
    // There is a confirmation for a bearer, or the assertion would not have been read.
    let last = confirmed.max().unwrap_or(assertion.issued_at);
    let session = assertion.sign_in.as_ref().and_then(|one| one.session_ends);
    [assertion.expires, session]
        .into_iter()
        .flatten()
        .fold(last, Time::min)
}

/// Whether it holds at `now`, and not for longer than its issuer may say.
pub(super) fn check_times(
    assertion: &Assertion,
    provider: &SamlAnchor,
    now: Time,
) -> Result<(), Reason> {
    let expired = expires(assertion);
    if now >= expired {
        return Err(Reason::TokenExpired {
            expired,
            at: now,
            ago: duration_in_words(now.since(expired)),
        });
    }
    let latest = now.plus(CLOCK_LEEWAY);
    if let Some(not_before) = assertion.not_before
        && not_before > latest
    {
        return Err(Reason::TokenNotYetValid {
            not_before,
            at: now,
            ahead: duration_in_words(not_before.since(now)),
        });
    }
    let issued_at = assertion.issued_at;
    if issued_at > latest {
        return Err(Reason::IssuedInFuture {
            issued_at,
            at: now,
            ahead: duration_in_words(issued_at.since(now)),
        });
    }
    let lifetime = expired.since(issued_at);
    if lifetime > provider.lifetime_max() {
        return Err(Reason::LifetimeExcessive {
            lifetime: duration_in_words(lifetime),
            allowed: duration_in_words(provider.lifetime_max()),
        });
    }
    Ok(())
}

/// Where and in answer to what an assertion is shown.
pub(super) struct Place<'a> {
    pub(super) anchor: &'a Anchor,
    pub(super) provider: &'a SamlAnchor,
    pub(super) context: &'a Context,
    /// The request that the response names, which nobody need have signed: it can only refuse.
    pub(super) response_to: Option<&'a str>,
    /// The address that the response names, which can only refuse, too.
    pub(super) destination: Option<&'a str>,
    pub(super) now: Time,
}

impl Place<'_> {
    /// The confirmation that holds here; `None` where no one says where that is.
    pub(super) fn check<'s>(
        &self,
        subject: &'s Subject,
    ) -> Result<Option<&'s Confirmation>, Reason> {
        let Some(names) = self.recipients()? else {
            return Ok(None);
        };
        let names = self.at_destination(names)?;
        let fitting: Vec<&Confirmation> = subject
            .confirmations
            .iter()
            .filter(|one| names.contains(&one.recipient.as_str()))
            .collect();
        let Some(first) = fitting.first() else {
            let found = subject
                .confirmations
                .iter()
                .map(|one| one.recipient.clone());
            return Err(elsewhere(found.collect(), &names));
        };
        let mut last = None;
        for one in &fitting {
            match self.check_one(one) {
                Ok(()) => return Ok(Some(one)),
                Err(reason) => last = Some(reason),
            }
        }
        last.map_or(Ok(Some(first)), Err)
    }

    /// The addresses that the question gives, within those of the anchor; either alone where the
    /// other says nothing.
    fn recipients(&self) -> Result<Option<Vec<&str>>, Reason> {
        let asked = &self.context.recipients;
        let admitted = self.provider.recipients();
        let both: Vec<&str> = match (asked.is_empty(), admitted.is_empty()) {
            (true, true) => return Ok(None),
            (true, false) => texts(admitted),
            (false, true) => texts(asked),
            (false, false) => {
                let both = asked.iter().filter(|name| admitted.contains(name));
                both.map(String::as_str).collect()
            }
        };
        if both.is_empty() {
            return Err(Reason::AnchorAudience {
                anchor: self.anchor.name.clone(),
                list: "recipients",
                asked: asked.clone(),
                permitted: admitted.to_vec(),
            });
        }
        Ok(Some(both))
    }

    /// Those of our addresses to which the response may have come: where it names one, that alone
    /// (SAML Core 3.2.2), compared letter by letter as `Recipient` is.
    fn at_destination<'n>(&self, names: Vec<&'n str>) -> Result<Vec<&'n str>, Reason> {
        let Some(destination) = self.destination else {
            return Ok(names);
        };
        match names.iter().find(|name| **name == destination) {
            Some(name) => Ok(vec![name]),
            None => Err(elsewhere(vec![destination.to_owned()], &names)),
        }
    }

    fn check_one(&self, one: &Confirmation) -> Result<(), Reason> {
        if self.now >= one.expires {
            return Err(Reason::TokenExpired {
                expired: one.expires,
                at: self.now,
                ago: duration_in_words(self.now.since(one.expires)),
            });
        }
        let found = one.in_response_to.as_deref();
        let expected = self.context.in_response_to.as_deref();
        let fits = match self.provider.answers() {
            Answers::Any => expected.is_none() || found == expected,
            Answers::Asked => found == expected,
            Answers::Required => expected.is_some() && found == expected,
        };
        // What is around the assertion must not contradict it.
        let agrees = self.response_to.is_none_or(|outer| found == Some(outer));
        if fits && agrees {
            return Ok(());
        }
        let seen = if fits { self.response_to } else { found };
        let wanted = if fits { found } else { expected };
        Err(Reason::SamlInResponseTo {
            found: seen.unwrap_or("no request").to_owned(),
            expected: wanted.unwrap_or("no request").to_owned(),
        })
    }
}

fn elsewhere(recipients: Vec<String>, names: &[&str]) -> Reason {
    Reason::SamlRecipient {
        recipients,
        expected: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// A name that is unique in the domain of another says nothing here.
pub(super) fn check_name(provider: &SamlAnchor, subject: &Subject) -> Result<(), Reason> {
    match &subject.qualifier {
        Some(qualifier) if qualifier != provider.entity_id() => Err(Reason::SamlSubject {
            detail: format!("its name is one of `{qualifier}`, not of its issuer"),
        }),
        Some(_) | None => Ok(()),
    }
}

/// What rules may speak of: the subject, how it is named and signed in, and every attribute.
pub(super) fn facts(assertion: &Assertion) -> Result<Facts, Reason> {
    let mut facts = Facts::default();
    let subject = &assertion.subject;
    facts.insert(SUBJECT.to_owned(), subject.name.clone())?;
    if let Some(format) = &subject.format {
        facts.insert(NAME_FORMAT.to_owned(), format.clone())?;
    }
    let class = assertion.sign_in.as_ref().and_then(|one| one.class.clone());
    if let Some(class) = class {
        facts.insert(AUTHN_CONTEXT.to_owned(), class)?;
    }
    for (name, values) in &assertion.attributes {
        // Nobody says that an address was verified, so it names no one.
        if may_be_a_fact(name) && name != "email" {
            facts.insert_all(&format!("{CLAIMS}{name}"), values)?;
        }
    }
    Ok(facts)
}
