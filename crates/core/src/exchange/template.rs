//! The identity that a rule gives: fixed, or with typed facts as whole segments of its path.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::{SpiffeId, TrustDomain};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::Pattern;
use crate::policy::rules::invalid;
use crate::reason::{Reason, printable};

/// A SPIFFE ID in which `{fact}` stands for exactly one segment of the path. Nothing that a token
/// says can add a segment or change another, because a value is put in only if it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    trust_domain: TrustDomain,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Fact(String),
    Text(String),
}

impl Template {
    /// Reads a template of the rule of this name.
    pub(super) fn read(rule: &str, text: &str) -> Result<Self, Reason> {
        let refuse = |detail: String| invalid(rule, format!("`gives.spiffe_id` {detail}"));
        let rest = text.strip_prefix("spiffe://");
        let (trust_domain, path) = rest
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(|| refuse("must be a SPIFFE ID with a path".to_owned()))?;
        let segments: Vec<Segment> = path
            .split('/')
            .map(|segment| match segment.strip_prefix('{') {
                Some(rest) => match rest.strip_suffix('}') {
                    Some(fact) if !fact.is_empty() && !fact.contains(['{', '}']) => {
                        Ok(Segment::Fact(fact.to_owned()))
                    }
                    Some(_) | None => Err(refuse(format!(
                        "has `{}`, and a fact must be a whole segment",
                        printable(segment)
                    ))),
                },
                None if segment.contains(['{', '}']) => Err(refuse(format!(
                    "has `{}`, and a fact must be a whole segment",
                    printable(segment)
                ))),
                None => Ok(Segment::Text(segment.to_owned())),
            })
            .collect::<Result<_, _>>()?;
        let template = Self {
            trust_domain: TrustDomain::parse(trust_domain)?,
            segments,
        };
        // What is around the facts must be in order whatever the facts are.
        SpiffeId::parse(&template.with(|_| Some("x")).unwrap_or_default())?;
        Ok(template)
    }

    pub(super) fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The first segment of the path, if it does not depend on who comes.
    pub(super) fn first_segment(&self) -> Option<&str> {
        match self.segments.first() {
            Some(Segment::Text(text)) => Some(text),
            Some(Segment::Fact(_)) | None => None,
        }
    }

    /// Whether all that it can become is this identity or below it, segment by segment: a fact stands
    /// for any segment, so none may stand where the identity names one.
    pub(super) fn is_below(&self, id: &SpiffeId) -> bool {
        if *id.trust_domain() != self.trust_domain {
            return false;
        }
        let named: Vec<&str> = id.path().split('/').filter(|one| !one.is_empty()).collect();
        let own = self.segments.iter().take(named.len());
        let same = own.zip(&named).all(|(own, named)| match own {
            Segment::Text(text) => text == named,
            Segment::Fact(_) => false,
        });
        same && self.segments.len() >= named.len()
    }

    /// Whether it becomes this identity for some facts that `may` have these values.
    pub(super) fn could_be(&self, id: &SpiffeId, may: impl Fn(&str, &str) -> bool) -> bool {
        let named: Vec<&str> = id.segments().collect();
        *id.trust_domain() == self.trust_domain
            && named.len() == self.segments.len()
            && self
                .segments
                .iter()
                .zip(&named)
                .all(|(own, named)| match own {
                    Segment::Text(text) => text == named,
                    Segment::Fact(fact) => may(fact, named),
                })
    }

    /// Whether some path that it can become may match. A fact stands for any segment.
    pub(super) fn may_overlap(&self, matcher: &Matcher) -> bool {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            path.push_str(match segment {
                Segment::Text(text) => text,
                Segment::Fact(_) => "*",
            });
        }
        // What cannot be told is taken for possible.
        Pattern::parse(&path).map_or(true, |own| matcher.overlaps(&Matcher::Pattern(own)))
    }

    /// The facts in it.
    pub(super) fn facts(&self) -> impl Iterator<Item = &str> + Clone {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Fact(fact) => Some(fact.as_str()),
            Segment::Text(_) => None,
        })
    }

    /// The identity of whoever has these facts.
    ///
    /// # Errors
    ///
    /// `issue.template_unfit` when a fact is not there or is not one segment.
    pub(super) fn fill(&self, facts: &BTreeMap<String, String>) -> Result<SpiffeId, Reason> {
        for fact in self.facts() {
            let unfit = |detail: String| Reason::IssueTemplate {
                fact: fact.to_owned(),
                detail,
            };
            let value = facts
                .get(fact)
                .ok_or_else(|| unfit("is not there, or is a list".to_owned()))?;
            if !is_segment(value) {
                return Err(unfit(format!(
                    "is `{}`, which is not one segment of a path",
                    printable(value)
                )));
            }
        }
        let id = self.with(|fact| facts.get(fact).map(String::as_str));
        SpiffeId::parse(&id.unwrap_or_default())
    }

    fn with<'a>(&'a self, value: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        let mut text = format!("spiffe://{}", self.trust_domain);
        for segment in &self.segments {
            text.push('/');
            text.push_str(match segment {
                Segment::Fact(fact) => value(fact)?,
                Segment::Text(text) => text,
            });
        }
        Some(text)
    }
}

/// SPIFFE-ID 2.2: letters, digits, `.`, `-` and `_`, and no step elsewhere.
fn is_segment(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !matches!(text, "" | "." | "..") && text.bytes().all(is_plain)
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}", self.trust_domain)?;
        for segment in &self.segments {
            match segment {
                Segment::Fact(fact) => write!(f, "/{{{fact}}}")?,
                Segment::Text(text) => write!(f, "/{text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("subject".to_owned(), value.to_owned())])
    }

    #[test]
    fn a_fact_is_exactly_one_segment() {
        let template = Template::read("r", "spiffe://one.test/ci/{subject}/deploy").unwrap();
        assert_eq!(
            template.to_string(),
            "spiffe://one.test/ci/{subject}/deploy"
        );
        let id = template.fill(&facts("74")).unwrap();
        assert_eq!(id.as_str(), "spiffe://one.test/ci/74/deploy");
        for value in ["", ".", "..", "a/b", "a b", "a%2fb", "{x}", "é", "a\n"] {
            let reason = template.fill(&facts(value)).unwrap_err();
            assert_eq!(reason.code(), "issue.template_unfit", "{value:?}");
        }
        let reason = template.fill(&BTreeMap::new()).unwrap_err();
        assert_eq!(reason.code(), "issue.template_unfit");
    }

    #[test]
    fn what_is_no_identity_with_any_fact_is_no_template() {
        for text in [
            "spiffe://one.test",
            "spiffe://one.test/",
            "spiffe://one.test/a-{subject}",
            "spiffe://one.test/{subject}x",
            "spiffe://one.test/{}",
            "spiffe://one.test/../a",
            "spiffe://{subject}/a",
            "spiffe://ONE.test/a",
            "https://one.test/a",
            "spiffe://one.test/{{subject}}",
        ] {
            assert!(Template::read("r", text).is_err(), "{text}");
        }
    }
}
