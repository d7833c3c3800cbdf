//! DER, written and never read: each function gives one whole element, tag and length included.

use der::asn1::AnyRef;
use der::asn1::ObjectIdentifier;
use der::{Encode, Tag, TagNumber};

/// An element of any tag with any content.
pub fn element(tag: Tag, content: &[u8]) -> Vec<u8> {
    AnyRef::new(tag, content)
        .and_then(|any| any.to_der())
        .expect("an element of a test is short enough")
}

/// A `SEQUENCE` of whole elements.
pub fn sequence<T: AsRef<[u8]>>(elements: impl IntoIterator<Item = T>) -> Vec<u8> {
    element(Tag::Sequence, &concatenated(elements))
}

/// A `SET` of whole elements, in the order given and not sorted.
pub fn set<T: AsRef<[u8]>>(elements: impl IntoIterator<Item = T>) -> Vec<u8> {
    element(Tag::Set, &concatenated(elements))
}

/// A context-specific element `[number]` that holds whole elements.
pub fn constructed(number: u32, content: &[u8]) -> Vec<u8> {
    context(number, true, content)
}

/// A context-specific element `[number]` that holds a value without elements of its own.
pub fn primitive(number: u32, content: &[u8]) -> Vec<u8> {
    context(number, false, content)
}

/// An `OBJECT IDENTIFIER`, from its dotted form.
pub fn oid(dotted: &str) -> Vec<u8> {
    ObjectIdentifier::new(dotted)
        .and_then(|oid| oid.to_der().map_err(|_| der::oid::Error::Length))
        .expect("an object identifier of a test is well formed")
}

/// An `INTEGER` with exactly these octets, minimal or not, negative or not, even none.
pub fn integer(octets: &[u8]) -> Vec<u8> {
    element(Tag::Integer, octets)
}

/// An `INTEGER` that is not negative, in its shortest form.
pub fn number(value: u64) -> Vec<u8> {
    value.to_der().expect("a number can be written")
}

/// A `BOOLEAN`.
pub fn boolean(value: bool) -> Vec<u8> {
    element(Tag::Boolean, if value { &[0xff] } else { &[0] })
}

/// An `OCTET STRING`.
pub fn octet_string(content: &[u8]) -> Vec<u8> {
    element(Tag::OctetString, content)
}

/// A `BIT STRING` whose last octet has so many unused bits.
pub fn bit_string(unused_bits: u8, content: &[u8]) -> Vec<u8> {
    element(Tag::BitString, &concatenated([&[unused_bits], content]))
}

/// A `NULL`.
pub fn null() -> Vec<u8> {
    element(Tag::Null, &[])
}

/// Several elements one after another.
pub fn concatenated<T: AsRef<[u8]>>(elements: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut all = Vec::new();
    for element in elements {
        all.extend_from_slice(element.as_ref());
    }
    all
}

fn context(number: u32, constructed: bool, content: &[u8]) -> Vec<u8> {
    let tag = Tag::ContextSpecific {
        constructed,
        number: TagNumber(number),
    };
    element(tag, content)
}
