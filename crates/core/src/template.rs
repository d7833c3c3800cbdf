//! Names with places for facts: an identity that is not one, but one for each workload.
//!
//! `spiffe://example.org/ns/{k8s.ns}/sa/{k8s.sa}` has two places. Each stands for one whole segment
//! of the path and is filled by the value of one attested fact. There is no pattern to match and
//! nothing to run, so what a template can ever become is known from its text: a value has no `/`, so
//! it changes neither the trust domain nor the number of segments nor any segment beside it. A fact
//! that is absent, that has several values, or whose value cannot stand there fills nothing, and then
//! there is no name at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::id::{SpiffeId, TrustDomain};
use crate::reason::{Reason, printable};

/// The facts of a workload that a place may name: those that have one value and not many.
const OF_WORKLOADS: [&str; 13] = [
    "container.id",
    "k8s.container-name",
    "k8s.node-name",
    "k8s.ns",
    "k8s.pod-name",
    "k8s.pod-uid",
    "k8s.sa",
    "systemd.unit",
    "unix.gid",
    "unix.group",
    "unix.sha256",
    "unix.uid",
    "unix.user",
];

/// What begins the name of a label of a pod.
const POD_LABEL: &str = "k8s.pod-label.";

/// What begins the name of a fact of the node.
const OF_NODES: &str = "node.";

/// The most places of one template: more would be more than anyone could look over.
const MOST_PLACES: usize = 16;

/// The longest label of a DNS name in bytes (RFC 1035 2.3.4).
const LONGEST_LABEL: usize = 63;

/// A SPIFFE ID, or what becomes one when its places are filled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdTemplate(Shape);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Shape {
    Fixed(SpiffeId),
    Open(Box<Open>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Open {
    text: String,
    trust_domain: TrustDomain,
    segments: Vec<Part>,
}

/// A DNS name, or what becomes one when its places are filled; each stands for one whole label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Text(String),
    Place(Place),
}

/// A place for one fact, written `{k8s.ns}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    name: String,
    whose: Whose,
    kind: String,
}

/// Whose fact it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// Of the node, as it was told when the node was attested.
    Node,
    /// Of the workload, as the agent of its node tells it.
    Workload,
}

/// A text that is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It has no places, and is no SPIFFE ID.
    Id(Box<Reason>),
    /// What is wrong with it.
    Template(String),
}

/// A place that cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfilled {
    place: String,
    why: String,
}

impl Place {
    fn parse(name: &str) -> Result<Self, Malformed> {
        let place = |whose, kind| Self {
            name: name.to_owned(),
            whose,
            kind,
        };
        if OF_WORKLOADS.contains(&name) {
            return Ok(place(Whose::Workload, name.replacen('.', ":", 1)));
        }
        if let Some(label) = name.strip_prefix(POD_LABEL).filter(|key| is_label_key(key)) {
            return Ok(place(Whose::Workload, format!("k8s:pod-label:{label}")));
        }
        if let Some(kind) = name.strip_prefix(OF_NODES).and_then(kind_of_node) {
            return Ok(place(Whose::Node, kind));
        }
        Err(Malformed::Template(format!(
            "`{{{}}}` names no fact with one value; known are {}, {POD_LABEL}KEY, node.name and \
             node.TYPE.NAME",
            printable(name),
            OF_WORKLOADS.join(", ")
        )))
    }

    /// As it is written between the braces.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose fact fills it.
    pub fn whose(&self) -> Whose {
        self.whose
    }

    /// What its facts begin with, up to the last colon, such as `k8s:ns`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether these facts fill it as a segment of a SPIFFE ID.
    ///
    /// # Errors
    ///
    /// Why they do not.
    pub fn check(&self, facts: &[impl AsRef<str>]) -> Result<(), Unfilled> {
        let part = Part::Place(self.clone());
        filled(&[part], self.whose, facts, fits_segment).map(drop)
    }

    /// The one value that `facts` have for it. The same value twice is one value.
    fn value<'a>(&self, facts: &'a [impl AsRef<str>]) -> Result<&'a str, Unfilled> {
        let values = facts.iter().filter_map(|fact| {
            let rest = fact.as_ref().strip_prefix(self.kind.as_str())?;
            rest.strip_prefix(':')
        });
        let values: BTreeSet<&str> = values.collect();
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (Some(_), Some(_)) => Err(self.unfilled("has several values".to_owned())),
            (None, _) => Err(self.unfilled("has no value".to_owned())),
        }
    }

    fn unfilled(&self, why: String) -> Unfilled {
        Unfilled {
            place: self.name.clone(),
            why,
        }
    }
}

/// `name`, or the type of a fact and its name.
fn kind_of_node(text: &str) -> Option<String> {
    if text == "name" {
        return Some("name".to_owned());
    }
    let (kind, name) = text.split_once('.')?;
    let is_kind = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let fits = !kind.is_empty()
        && kind.bytes().all(is_kind)
        && !name.is_empty()
        && name.bytes().all(is_name);
    fits.then(|| format!("{kind}:{name}"))
}

/// The key of a label: a prefix of up to 253 characters and a name of up to 63.
fn is_label_key(text: &str) -> bool {
    let is_key = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    (1..=317).contains(&text.len()) && text.bytes().all(is_key)
}

impl Part {
    fn parse(text: &str) -> Result<Self, Malformed> {
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        match inner {
            Some(name) if !name.contains(['{', '}']) => Ok(Self::Place(Place::parse(name)?)),
            None if !text.contains(['{', '}']) => Ok(Self::Text(text.to_owned())),
            _ => Err(Malformed::Template(format!(
                "`{}` is neither text nor one place: a place stands for the whole of what is \
                 between two separators",
                printable(text)
            ))),
        }
    }

    fn place(&self) -> Option<&Place> {
        match self {
            Self::Place(place) => Some(place),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Place(place) => write!(f, "{{{}}}", place.name),
        }
    }
}

/// Splits at a separator that does not stand between braces.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut is_inside = false;
    text.split(move |one| {
        match one {
            '{' => is_inside = true,
            '}' => is_inside = false,
            _ => {}
        }
        one == separator && !is_inside
    })
    .collect()
}

fn parts(texts: &[&str]) -> Result<Vec<Part>, Malformed> {
    let parts = texts.iter().map(|text| Part::parse(text));
    let parts = parts.collect::<Result<Vec<Part>, Malformed>>()?;
    let places = parts.iter().filter_map(Part::place).count();
    if places > MOST_PLACES {
        return Err(Malformed::Template(format!(
            "it has {places} places, and at most {MOST_PLACES} are taken"
        )));
    }
    Ok(parts)
}

/// The parts with the places of `whose` facts filled; `fits` says which values may stand there.
fn filled(
    parts: &[Part],
    whose: Whose,
    facts: &[impl AsRef<str>],
    fits: fn(&str) -> Result<(), &'static str>,
) -> Result<Vec<Part>, Unfilled> {
    let filled = parts.iter().map(|part| match part {
        Part::Place(place) if place.whose == whose => {
            let value = place.value(facts)?;
            fits(value).map_err(|why| {
                let value: String = value.chars().take(128).collect();
                place.unfilled(format!("is `{}`, which {why}", printable(&value)))
            })?;
            Ok(Part::Text(value.to_owned()))
        }
        part => Ok(part.clone()),
    });
    filled.collect()
}

fn fits_segment(value: &str) -> Result<(), &'static str> {
    match SpiffeId::parse(&format!("spiffe://a/{value}")) {
        Ok(id) if id.segments().count() == 1 => Ok(()),
        _ => Err("is not one segment of a SPIFFE ID"),
    }
}

fn fits_label(value: &str) -> Result<(), &'static str> {
    let may_stand = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=LONGEST_LABEL).contains(&value.len())
        && value.bytes().all(may_stand)
        && !value.starts_with('-')
        && !value.ends_with('-');
    if fits {
        return Ok(());
    }
    Err("is not one label of a DNS name in lower case")
}

impl IdTemplate {
    /// Reads a SPIFFE ID, or one with places in its path. The trust domain has none.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if !text.contains(['{', '}']) {
            let id = SpiffeId::parse(text).map_err(|reason| Malformed::Id(Box::new(reason)))?;
            return Ok(Self::from(id));
        }
        if text.len() > SpiffeId::MAX_BYTES {
            let detail = "it is longer than 2048 bytes".to_owned();
            return Err(Malformed::Template(detail));
        }
        let refuse = |detail: &str| Malformed::Template(detail.to_owned());
        let rest = text
            .strip_prefix("spiffe://")
            .ok_or_else(|| refuse("it does not begin with `spiffe://`"))?;
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        if name.contains(['{', '}']) {
            return Err(refuse("its trust domain has a place, and must be one"));
        }
        let trust_domain =
            TrustDomain::parse(name).map_err(|reason| Malformed::Id(Box::new(reason)))?;
        let segments = parts(&split(path, '/'))?;
        // What is between the places must be right whatever they are filled with.
        let probe = segments.iter().map(|segment| match segment {
            Part::Text(text) => text.as_str(),
            Part::Place(_) => "x",
        });
        let probe: Vec<&str> = probe.collect();
        let probe = format!("spiffe://{trust_domain}/{}", probe.join("/"));
        SpiffeId::parse(&probe).map_err(|reason| Malformed::Id(Box::new(reason)))?;
        Ok(Self::open(trust_domain, segments))
    }

    fn open(trust_domain: TrustDomain, segments: Vec<Part>) -> Self {
        let path: Vec<String> = segments.iter().map(Part::to_string).collect();
        Self(Shape::Open(Box::new(Open {
            text: format!("spiffe://{trust_domain}/{}", path.join("/")),
            trust_domain,
            segments,
        })))
    }

    /// With the places filled that `whose` facts fill.
    ///
    /// # Errors
    ///
    /// The first place that cannot be filled.
    pub fn fill(&self, whose: Whose, facts: &[impl AsRef<str>]) -> Result<Self, Unfilled> {
        let Shape::Open(open) = &self.0 else {
            return Ok(self.clone());
        };
        let segments = filled(&open.segments, whose, facts, fits_segment)?;
        let next = Self::open(open.trust_domain.clone(), segments);
        if next.places().next().is_some() {
            return Ok(next);
        }
        // Each value fits by itself; together they may be too long.
        let too_long = |_| {
            let last = self.places().last();
            last.map(|place| place.unfilled("makes the SPIFFE ID too long".to_owned()))
        };
        match SpiffeId::parse(next.as_str()).map_err(too_long) {
            Ok(id) => Ok(Self::from(id)),
            Err(Some(unfilled)) => Err(unfilled),
            Err(None) => Ok(next),
        }
    }

    /// With those places filled that these facts do fill: what is left is open.
    #[must_use]
    pub fn narrowed(&self, whose: Whose, facts: &[impl AsRef<str>]) -> Self {
        let Shape::Open(open) = &self.0 else {
            return self.clone();
        };
        let segments = open.segments.iter().map(|segment| {
            let one = filled(std::slice::from_ref(segment), whose, facts, fits_segment);
            let one = one.ok().and_then(|parts| parts.into_iter().next());
            one.unwrap_or_else(|| segment.clone())
        });
        let narrowed = Self::open(open.trust_domain.clone(), segments.collect());
        Self::parse(narrowed.as_str()).unwrap_or(narrowed)
    }

    /// The same, as [`SpiffeId::sharing`].
    #[must_use]
    pub fn sharing(self, trust_domain: &TrustDomain) -> Self {
        match self.0 {
            Shape::Fixed(id) => Self(Shape::Fixed(id.sharing(trust_domain))),
            open @ Shape::Open(_) => Self(open),
        }
    }

    /// The ID, if there is nothing left to be filled.
    pub fn fixed(&self) -> Option<&SpiffeId> {
        match &self.0 {
            Shape::Fixed(id) => Some(id),
            Shape::Open(_) => None,
        }
    }

    /// The text that it was read from.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Shape::Fixed(id) => id.as_str(),
            Shape::Open(open) => &open.text,
        }
    }

    /// The trust domain of whatever it becomes.
    pub fn trust_domain(&self) -> &TrustDomain {
        match &self.0 {
            Shape::Fixed(id) => id.trust_domain(),
            Shape::Open(open) => &open.trust_domain,
        }
    }

    /// Its places, in their order.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        let segments = match &self.0 {
            Shape::Fixed(_) => &[],
            Shape::Open(open) => open.segments.as_slice(),
        };
        segments.iter().filter_map(Part::place)
    }

    /// The first segment of the path of whatever it becomes; none if that is open.
    pub fn first_segment(&self) -> Option<&str> {
        match &self.0 {
            Shape::Fixed(id) => id.segments().next(),
            Shape::Open(open) => match open.segments.first()? {
                Part::Text(text) => Some(text),
                Part::Place(_) => None,
            },
        }
    }

    /// All that it can become: the ID, with `*` for each segment that is open.
    pub fn bound(&self) -> String {
        match &self.0 {
            Shape::Fixed(id) => id.as_str().to_owned(),
            Shape::Open(open) => {
                let segments = open.segments.iter().map(|segment| match segment {
                    Part::Text(text) => text.as_str(),
                    Part::Place(_) => "*",
                });
                let segments: Vec<&str> = segments.collect();
                format!("spiffe://{}/{}", open.trust_domain, segments.join("/"))
            }
        }
    }

    /// Whether it can become this ID, with whatever facts.
    pub fn admits(&self, id: &SpiffeId) -> bool {
        match &self.0 {
            Shape::Fixed(own) => own == id,
            Shape::Open(open) => {
                let of_id: Vec<&str> = id.segments().collect();
                open.trust_domain == *id.trust_domain()
                    && open.segments.len() == of_id.len()
                    && open.admits_segments(&of_id)
            }
        }
    }
}

impl Open {
    /// A fact that stands in two places has one value.
    fn admits_segments(&self, of_id: &[&str]) -> bool {
        let mut values: BTreeMap<&Place, &str> = BTreeMap::new();
        let mut pairs = self.segments.iter().zip(of_id);
        pairs.all(|(segment, value)| match segment {
            Part::Text(text) => text == value,
            Part::Place(place) => *values.entry(place).or_insert(value) == *value,
        })
    }
}

impl From<SpiffeId> for IdTemplate {
    fn from(id: SpiffeId) -> Self {
        Self(Shape::Fixed(id))
    }
}

impl fmt::Display for IdTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl NameTemplate {
    /// Reads a DNS name, or one with places. The text between them is not looked into.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Ok(Self(parts(&split(text, '.'))?))
    }

    /// The name, with all places filled.
    ///
    /// # Errors
    ///
    /// The first place that cannot be filled.
    pub fn fill(
        &self,
        node: &[impl AsRef<str>],
        workload: &[impl AsRef<str>],
    ) -> Result<String, Unfilled> {
        let labels = filled(&self.0, Whose::Node, node, fits_label)?;
        let labels = filled(&labels, Whose::Workload, workload, fits_label)?;
        let labels: Vec<String> = labels.iter().map(Part::to_string).collect();
        Ok(labels.join("."))
    }

    /// Its places, in their order.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().filter_map(Part::place)
    }

    /// The name with `x` in its places, to check what is between them.
    pub fn probe(&self) -> String {
        let labels = self.0.iter().map(|label| match label {
            Part::Text(text) => text.as_str(),
            Part::Place(_) => "x",
        });
        let labels: Vec<&str> = labels.collect();
        labels.join(".")
    }
}

impl Unfilled {
    /// What is wrong with the identity as a whole.
    pub fn of_identity(why: &str) -> Self {
        Self {
            place: "the identity".to_owned(),
            why: why.to_owned(),
        }
    }

    /// The place, as it is written between the braces.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Why it is not filled, to be read after its name.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for Unfilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> IdTemplate {
        IdTemplate::parse(text).unwrap()
    }

    fn spiffe(text: &str) -> SpiffeId {
        SpiffeId::parse(text).unwrap()
    }

    fn wrong(text: &str) -> String {
        match IdTemplate::parse(text).unwrap_err() {
            Malformed::Template(detail) => detail,
            Malformed::Id(reason) => reason.sentence(),
        }
    }

    const POD: &str = "spiffe://prod.example.com/ns/{k8s.ns}/sa/{k8s.sa}";

    #[test]
    fn each_place_becomes_one_segment() {
        let facts = ["k8s:ns:payments", "k8s:sa:api-server", "unix:uid:0"];
        let filled = id(POD).fill(Whose::Workload, &facts).unwrap();
        assert_eq!(
            filled.fixed().unwrap().as_str(),
            "spiffe://prod.example.com/ns/payments/sa/api-server"
        );
        assert_eq!(id(POD).as_str(), POD);
        let places: Vec<&str> = vec!["k8s.ns", "k8s.sa"];
        assert!(id(POD).places().map(Place::name).eq(places));
    }

    #[test]
    fn a_label_is_named_by_its_key_whatever_stands_in_it() {
        let template = id("spiffe://a/app/{k8s.pod-label.app.kubernetes.io/name}");
        let facts = [
            "k8s:pod-label:app.kubernetes.io/name:web",
            "k8s:pod-label:app:x",
        ];
        let filled = template.fill(Whose::Workload, &facts).unwrap();
        assert_eq!(filled.as_str(), "spiffe://a/app/web");
    }

    #[test]
    fn hostile_33_a_fact_that_is_absent_or_has_several_values_fills_nothing() {
        let template = id("spiffe://a/user/{unix.user}");
        let fill = |facts: &[&str]| {
            let unfilled = template.fill(Whose::Workload, facts).unwrap_err();
            unfilled.to_string()
        };
        assert_eq!(fill(&[]), "unix.user has no value");
        assert_eq!(fill(&["unix:username:x"]), "unix.user has no value");
        let both = ["unix:user:anna", "unix:user:otto"];
        assert_eq!(fill(&both), "unix.user has several values");
        let twice = ["unix:user:anna", "unix:user:anna"];
        assert!(template.fill(Whose::Workload, &twice).is_ok());
    }

    #[test]
    fn a_value_that_would_be_more_or_less_than_a_segment_fills_nothing() {
        let template = id("spiffe://a/user/{unix.user}/x");
        for value in [
            "anna/admin",
            "..",
            ".",
            "a b",
            "anna@example.org",
            "%41",
            "a?b",
            "a#b",
            "é",
            "",
        ] {
            let facts = [format!("unix:user:{value}")];
            let unfilled = template.fill(Whose::Workload, &facts).unwrap_err();
            assert!(
                unfilled.why().contains("not one segment"),
                "{value}: {unfilled}"
            );
        }
        let long = [format!("unix:user:{}", "x".repeat(2_035))];
        let unfilled = template.fill(Whose::Workload, &long).unwrap_err();
        assert_eq!(unfilled.why(), "makes the SPIFFE ID too long");
    }

    #[test]
    fn facts_of_the_node_and_of_the_workload_are_told_apart() {
        let template = id("spiffe://a/{node.k8s_psat.cluster}/{k8s.ns}");
        let of_node = ["k8s_psat:cluster:east", "k8s:ns:from-the-node"];
        let of_workload = ["k8s_psat:cluster:west", "k8s:ns:web"];
        let told = template.fill(Whose::Node, &of_node).unwrap();
        assert_eq!(told.as_str(), "spiffe://a/east/{k8s.ns}");
        let filled = told.fill(Whose::Workload, &of_workload).unwrap();
        assert_eq!(filled.as_str(), "spiffe://a/east/web");
        assert!(template.fill(Whose::Node, &of_workload[1..]).is_err());
    }

    #[test]
    fn what_it_can_become_is_known_from_its_text() {
        assert_eq!(id(POD).bound(), "spiffe://prod.example.com/ns/*/sa/*");
        let narrowed = id(POD).narrowed(Whose::Workload, &["k8s:ns:payments"]);
        assert_eq!(
            narrowed.bound(),
            "spiffe://prod.example.com/ns/payments/sa/*"
        );
        let admits = |text| narrowed.admits(&spiffe(text));
        assert!(admits("spiffe://prod.example.com/ns/payments/sa/x"));
        for outside in [
            "spiffe://prod.example.com/ns/other/sa/x",
            "spiffe://prod.example.com/ns/payments/sa/x/y",
            "spiffe://prod.example.com/ns/payments/sa",
            "spiffe://evil.example.com/ns/payments/sa/x",
        ] {
            assert!(!admits(outside), "{outside}");
        }
        let twice = id("spiffe://a/{unix.user}/{unix.user}");
        assert!(twice.admits(&spiffe("spiffe://a/x/x")));
        assert!(!twice.admits(&spiffe("spiffe://a/x/y")));
    }

    #[test]
    fn whatever_it_is_filled_with_lies_within_its_bound() {
        let template = id(POD);
        for (ns, sa) in [("a", "b"), ("..", "b"), ("a/b", "c"), ("A.b-_", "0")] {
            let facts = [format!("k8s:ns:{ns}"), format!("k8s:sa:{sa}")];
            if let Ok(filled) = template.fill(Whose::Workload, &facts) {
                assert!(template.admits(filled.fixed().unwrap()), "{filled}");
            }
        }
    }

    #[test]
    fn a_text_that_is_no_template_is_refused_by_what_is_wrong_with_it() {
        for (text, part) in [
            ("spiffe://{k8s.ns}/x", "trust domain"),
            ("spiffe://a/x-{k8s.ns}", "neither text nor one place"),
            ("spiffe://a/{k8s.ns", "neither text nor one place"),
            ("spiffe://a/k8s.ns}", "neither text nor one place"),
            ("spiffe://a/{{k8s.ns}}", "neither text nor one place"),
            ("spiffe://a/{}", "names no fact"),
            ("spiffe://a/{k8s.namespace}", "known are container.id"),
            ("spiffe://a/{unix.path}", "names no fact"),
            ("spiffe://a/{node.}", "names no fact"),
            ("spiffe://a/{k8s.pod-label.a b}", "names no fact"),
            ("spiffe://a/{k8s.ns}/", "ends in `/`"),
            ("spiffe://a//{k8s.ns}", "empty segment"),
            ("spiffe://a/../{k8s.ns}", "`..`"),
            ("spiffe://a/x y/{k8s.ns}", "characters other than"),
            ("https://a/{k8s.ns}", "spiffe://"),
            ("spiffe://A/{k8s.ns}", "upper-case"),
            ("spiffe://a/x\u{1b}[2J{k8s.ns}", "\\u{1b}"),
        ] {
            let detail = wrong(text);
            assert!(detail.contains(part), "{text}: {detail}");
        }
        let many = format!("spiffe://a{}", "/{k8s.ns}".repeat(17));
        assert!(wrong(&many).contains("at most 16"));
    }

    #[test]
    fn a_name_is_filled_label_by_label() {
        let name = NameTemplate::parse("{k8s.sa}.{k8s.ns}.svc.example.com").unwrap();
        let none: [&str; 0] = [];
        let fill = |facts: &[&str]| name.fill(&none, facts);
        let filled = fill(&["k8s:ns:payments", "k8s:sa:api"]).unwrap();
        assert_eq!(filled, "api.payments.svc.example.com");
        for value in ["API", "a.b", "-a", "a_b", "*"] {
            let sa = format!("k8s:sa:{value}");
            let unfilled = fill(&["k8s:ns:payments", sa.as_str()]).unwrap_err();
            assert!(unfilled.why().contains("not one label"), "{value}");
        }
        assert_eq!(name.probe(), "x.x.svc.example.com");
    }
}
