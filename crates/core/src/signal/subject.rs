//! Whom an event is about (RFC 9493, SSF 1.0 3): what its issuer calls them becomes marks.

use serde_json::{Map, Value};

use super::{malformed, text_of};
use crate::ended::Mark;
use crate::id::{SpiffeId, TrustDomain};
use crate::policy::facts::refuse_unsafe;
use crate::reason::Reason;

/// The most names of one subject (RFC 9493 3.2.8).
const ALIASES_MAX: usize = 8;

/// The longest name, in bytes, as for a SPIFFE ID.
const NAME_BYTES_MAX: usize = 2_048;

/// A subject of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// By what it is known here.
    pub marks: Vec<Mark>,
    /// What a person calls it.
    pub name: String,
}

impl Subject {
    /// Reads a subject that `issuer` names, of which it speaks for the issuer `of`.
    ///
    /// # Errors
    ///
    /// `issue.event_subject` where it is of someone else or of a format that is not known;
    /// `issue.event_malformed`.
    pub fn read(value: &Value, issuer: &str, of: &str) -> Result<Self, Reason> {
        let Value::Object(members) = value else {
            return Err(malformed("its subject is no object".to_owned()));
        };
        let reader = Reader { issuer, of };
        match reader.format(members)? {
            "aliases" => reader.aliases(members),
            "complex" => reader.complex(members),
            format => reader.simple(format, members),
        }
    }
}

struct Reader<'a> {
    issuer: &'a str,
    of: &'a str,
}

impl Reader<'_> {
    fn format<'b>(&self, members: &'b Map<String, Value>) -> Result<&'b str, Reason> {
        let format = text_of(members, "format")?;
        format.ok_or_else(|| malformed("its subject has no `format`".to_owned()))
    }

    fn simple(&self, format: &str, members: &Map<String, Value>) -> Result<Subject, Reason> {
        let (mark, name) = match format {
            "account" | "uri" => {
                let uri = self.name(members, "uri")?;
                self.check_uri(uri)?;
                (Mark::subject(self.of, uri), uri)
            }
            "did" => {
                let url = self.name(members, "url")?;
                (Mark::subject(self.of, url), url)
            }
            "email" => {
                let address = self.name(members, "email")?;
                (Mark::email(self.of, address), address)
            }
            "iss_sub" => {
                self.check_issuer(members)?;
                let subject = self.name(members, "sub")?;
                self.check_uri(subject)?;
                (Mark::subject(self.of, subject), subject)
            }
            "jwt_id" => {
                self.check_issuer(members)?;
                let id = self.name(members, "jti")?;
                (Mark::token(self.of, id), id)
            }
            "opaque" => {
                let id = self.name(members, "id")?;
                (Mark::subject(self.of, id), id)
            }
            "phone_number" => {
                let number = self.name(members, "phone_number")?;
                (Mark::phone(self.of, number), number)
            }
            other => {
                return Err(self.refuse(format!("the format `{other}` is not known here")));
            }
        };
        Ok(Subject {
            marks: vec![mark],
            name: name.to_owned(),
        })
    }

    /// One subject by several names, all of which are its issuer's.
    fn aliases(&self, members: &Map<String, Value>) -> Result<Subject, Reason> {
        let Some(Value::Array(names)) = members.get("identifiers") else {
            return Err(malformed("its `identifiers` is no list".to_owned()));
        };
        if names.is_empty() || names.len() > ALIASES_MAX {
            let detail = format!("its `identifiers` has not 1 to {ALIASES_MAX} elements");
            return Err(malformed(detail));
        }
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            all.push(self.inner("identifiers", name)?);
        }
        let name = all.first().map(|first| first.name.clone());
        Ok(Subject {
            marks: all.into_iter().flat_map(|one| one.marks).collect(),
            name: name.unwrap_or_default(),
        })
    }

    /// All that it says holds at once (SSF 1.0 3.2). A session is less than its user, so it alone
    /// ends; a device or an application of a user is not told apart here, so the user ends.
    fn complex(&self, members: &Map<String, Value>) -> Result<Subject, Reason> {
        if let Some(session) = members.get("session") {
            return self.session(session);
        }
        match members.get("user") {
            Some(user) => self.inner("user", user),
            None => Err(self.refuse("it names neither a `user` nor a `session`".to_owned())),
        }
    }

    fn session(&self, session: &Value) -> Result<Subject, Reason> {
        let Value::Object(members) = session else {
            return Err(malformed("its `session` is no object".to_owned()));
        };
        match self.format(members)? {
            "opaque" => {
                let id = self.name(members, "id")?;
                Ok(Subject {
                    marks: vec![Mark::session(self.of, id)],
                    name: format!("the session {id}"),
                })
            }
            "jwt_id" => self.simple("jwt_id", members),
            other => Err(self.refuse(format!("a session of the format `{other}` is not known"))),
        }
    }

    fn inner(&self, place: &str, value: &Value) -> Result<Subject, Reason> {
        let Value::Object(members) = value else {
            return Err(malformed(format!("what is in `{place}` is no object")));
        };
        self.simple(self.format(members)?, members)
    }

    /// An issuer speaks of its own subjects. Names of others are not compared in part, by prefix or
    /// in another spelling.
    fn check_issuer(&self, members: &Map<String, Value>) -> Result<(), Reason> {
        match text_of(members, "iss")? {
            Some(issuer) if issuer == self.of || issuer == self.issuer => Ok(()),
            Some(issuer) => Err(self.refuse(format!("it is of {issuer}, not of {}", self.of))),
            None => Err(malformed("its subject has no `iss`".to_owned())),
        }
    }

    /// A trust domain speaks of what is in it.
    fn check_uri(&self, uri: &str) -> Result<(), Reason> {
        let Some(domain) = self.of.strip_prefix("spiffe://") else {
            return Ok(());
        };
        let domain = TrustDomain::parse(domain)?;
        match SpiffeId::parse(uri) {
            Ok(id) if *id.trust_domain() == domain => Ok(()),
            Ok(_) | Err(_) => Err(self.refuse(format!("{uri} is not in {}", self.of))),
        }
    }

    fn name<'b>(
        &self,
        members: &'b Map<String, Value>,
        member: &'static str,
    ) -> Result<&'b str, Reason> {
        let name = text_of(members, member)?;
        let name = name.ok_or_else(|| malformed(format!("its subject has no `{member}`")))?;
        if name.len() > NAME_BYTES_MAX {
            return Err(malformed(format!(
                "the `{member}` of its subject is longer than {NAME_BYTES_MAX} bytes"
            )));
        }
        refuse_unsafe(member, name)?;
        Ok(name)
    }

    fn refuse(&self, detail: String) -> Reason {
        Reason::IssueEventSubject {
            issuer: self.of.to_owned(),
            detail,
        }
    }
}
