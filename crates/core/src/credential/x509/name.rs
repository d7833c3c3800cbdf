//! Distinguished names: printed for people, compared as RFC 5280 7.1 asks.

use std::borrow::Cow;
use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc3280, rfc4519};
use der::asn1::{AnyRef, BmpString};
use der::{Decode, Encode, Tag, Tagged};

use super::der_read::{Detail, detail, each, exactly, expect, inside};

/// A distinguished name. Two are equal when RFC 5280 7.1 calls them equal: without regard to the
/// case and the amount of white space in text, and to which string type holds it.
#[derive(Clone)]
pub struct DistinguishedName {
    der: Vec<u8>,
    /// The relative names one after another, most significant first, each with the count of its
    /// attributes and they with their lengths: so a name begins with another's bytes only when it
    /// begins with its relative names.
    canonical: Vec<u8>,
}

impl DistinguishedName {
    /// Reads a DER `Name`.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, Detail> {
        let mut canonical = Vec::with_capacity(2 * der.len());
        for set in each(inside(der)?)? {
            push_relative(&mut canonical, expect(set?, Tag::Set)?)?;
        }
        Ok(Self {
            der: der.to_vec(),
            canonical,
        })
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.canonical.is_empty()
    }

    /// Its DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its comparable form: equal for names that RFC 5280 7.1 calls equal.
    pub(crate) fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Whether it lies in the subtree below `base` (RFC 5280 4.2.1.10 `directoryName`).
    pub(crate) fn is_within(&self, base: &Self) -> bool {
        self.canonical.starts_with(&base.canonical)
    }

    /// This name with one more relative distinguished name, given as the DER of its SET, at its
    /// end (RFC 5280 4.2.1.13 `nameRelativeToCRLIssuer`).
    pub(crate) fn with_relative(&self, relative: &[u8]) -> Result<Self, Detail> {
        let own = expect(AnyRef::from_der(&self.der).map_err(detail)?, Tag::Sequence)?;
        let content = [own, relative].concat();
        let name = AnyRef::new(Tag::Sequence, &content).map_err(detail)?;
        Self::parse(&name.to_der().map_err(detail)?)
    }

    /// As one text that is the text of no other name, most specific first: what stands in a value divides
    /// nothing (RFC 4514 2.4), and attributes of one relative name are joined by `+` (2.2).
    pub fn unambiguous(&self) -> String {
        // All of it was read before, so nothing stops here.
        let sets = inside(&self.der).and_then(each);
        let sets: Vec<AnyRef<'_>> = sets.into_iter().flatten().flatten().collect();
        let relative = |set: &AnyRef<'_>| {
            let attributes = attributes_in(*set).into_iter();
            let written = attributes.map(|(oid, value)| match text_of(value) {
                Some(text) => format!("{}={}", keyword(&oid), escaped(&text)),
                None => format!("{}=#{}", keyword(&oid), crate::id::hex(value.value())),
            });
            written.collect::<Vec<_>>().join("+")
        };
        let names: Vec<String> = sets.iter().rev().map(relative).collect();
        names.join(", ")
    }

    /// Its common names, most significant first.
    pub fn common_names(&self) -> Vec<String> {
        self.values_of(rfc4519::CN)
    }

    /// The values of the attributes of one type, as text where they are text.
    pub(crate) fn values_of(&self, wanted: ObjectIdentifier) -> Vec<String> {
        self.attributes()
            .into_iter()
            .filter(|(oid, _)| *oid == wanted)
            .map(|(_, value)| text_of(value).unwrap_or_default().into_owned())
            .collect()
    }

    fn attributes(&self) -> Vec<(ObjectIdentifier, AnyRef<'_>)> {
        let mut attributes = Vec::new();
        // All of it was read before, so nothing stops here.
        let sets = inside(&self.der).and_then(each);
        for set in sets.into_iter().flatten().flatten() {
            attributes.extend(attributes_in(set));
        }
        attributes
    }
}

/// The attributes of a relative name.
fn attributes_in(set: AnyRef<'_>) -> Vec<(ObjectIdentifier, AnyRef<'_>)> {
    let attributes = each(set.value()).into_iter().flatten().flatten();
    let typed = attributes.filter_map(|attribute| {
        let [oid, value] = exactly(attribute.value()).ok()??;
        Some((oid.decode_as().ok()?, value))
    });
    typed.collect()
}

/// A value in which nothing can be read as a divider (RFC 4514 2.4).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (index, character) in text.chars().enumerate() {
        let is_at_an_end =
            (character == ' ' && (index == 0 || index == last)) || (character == '#' && index == 0);
        if is_at_an_end || "\"+,;<>\\".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

impl PartialEq for DistinguishedName {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der || self.canonical == other.canonical
    }
}

impl Eq for DistinguishedName {}

impl fmt::Display for DistinguishedName {
    /// `CN=…, O=…`, most specific first as in RFC 4514 2.1; not escaped for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut attributes = self.attributes();
        if attributes.is_empty() {
            return f.write_str("(empty name)");
        }
        attributes.reverse();
        for (index, (oid, value)) in attributes.into_iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}=", keyword(&oid))?;
            match text_of(value) {
                Some(text) => f.write_str(&text)?,
                None => write!(f, "#{}", crate::id::hex(value.value()))?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistinguishedName({self})")
    }
}

/// The keyword of an attribute type (RFC 4514 3, RFC 5280 A.1), otherwise its OID.
fn keyword(oid: &ObjectIdentifier) -> Cow<'static, str> {
    Cow::Borrowed(match *oid {
        rfc4519::CN => "CN",
        rfc4519::C => "C",
        rfc4519::DC => "DC",
        rfc4519::L => "L",
        rfc4519::O => "O",
        rfc4519::OU => "OU",
        rfc4519::SERIAL_NUMBER => "serialNumber",
        rfc4519::ST => "ST",
        rfc4519::UID => "UID",
        rfc3280::EMAIL_ADDRESS => "emailAddress",
        other => return Cow::Owned(other.to_string()),
    })
}

/// Adds a relative name, given the bytes inside its SET: the count of its attributes and they, in
/// an order of their own.
fn push_relative(canonical: &mut Vec<u8>, content: &[u8]) -> Result<(), Detail> {
    if let Some([only]) = exactly(content)? {
        push_length(canonical, 1);
        return push_attribute(canonical, only);
    }
    let mut attributes = Vec::new();
    for attribute in each(content)? {
        let mut one = Vec::new();
        push_attribute(&mut one, attribute?)?;
        attributes.push(one);
    }
    if attributes.is_empty() {
        return Err("a relative distinguished name is empty".to_owned());
    }
    attributes.sort_unstable();
    push_length(canonical, attributes.len());
    canonical.extend(attributes.concat());
    Ok(())
}

/// Adds the type of an attribute and its value in comparable form, each with its length, so that
/// no two lists of attributes look alike.
fn push_attribute(canonical: &mut Vec<u8>, attribute: AnyRef<'_>) -> Result<(), Detail> {
    let Some([oid, value]) = exactly(expect(attribute, Tag::Sequence)?)? else {
        return Err("an attribute of a name is not a type and a value".to_owned());
    };
    push_part(canonical, expect(oid, Tag::ObjectIdentifier)?);
    match text_of(value) {
        Some(text) => {
            canonical.push(b't');
            push_part(canonical, folded(&text).as_bytes());
        }
        None => {
            canonical.push(b'd');
            push_part(canonical, value.tag().to_string().as_bytes());
            push_part(canonical, value.value());
        }
    }
    Ok(())
}

fn push_part(canonical: &mut Vec<u8>, part: &[u8]) {
    push_length(canonical, part.len());
    canonical.extend_from_slice(part);
}

fn push_length(canonical: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    canonical.extend_from_slice(&length.to_be_bytes());
}

/// The text of a value of one of the string types, `None` for other types and broken encodings.
fn text_of(value: AnyRef<'_>) -> Option<Cow<'_, str>> {
    let bytes = value.value();
    match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        // Read as Latin-1, which is what CAs put in it.
        Tag::TeletexString => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => BmpString::from_ucs2(bytes.to_vec())
            .ok()
            .map(|text| text.chars().collect()),
        _ => None,
    }
}

/// Without regard to case, and each run of white space as one blank, none at the ends.
fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        if word.is_ascii() {
            folded.extend(
                word.bytes()
                    .map(|byte| char::from(byte.to_ascii_lowercase())),
            );
        } else {
            folded.extend(word.chars().flat_map(char::to_lowercase));
        }
    }
    folded
}
