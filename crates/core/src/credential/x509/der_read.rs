//! Small readers on top of `der` for what its derive cannot say: optional tagged fields of types
//! that differ, and times before 1970.

use der::asn1::AnyRef;
use der::{Decode, Reader, SliceReader, Tag, Tagged};

use crate::time::Time;

/// Why a structure could not be read, for a person.
pub(crate) type Detail = String;

/// The elements of a SEQUENCE or SET one after another, given the bytes inside it. Nothing comes
/// after one that cannot be read.
pub(crate) fn each(
    content: &[u8],
) -> Result<impl Iterator<Item = Result<AnyRef<'_>, Detail>>, Detail> {
    let mut reader = Some(SliceReader::new(content).map_err(detail)?);
    Ok(std::iter::from_fn(move || {
        let open = reader.as_mut().filter(|open| !open.is_finished())?;
        let element = AnyRef::decode(open).map_err(detail);
        if element.is_err() {
            reader = None;
        }
        Some(element)
    }))
}

/// The elements of a SEQUENCE or SET of so many, given the bytes inside it; `None` if there are
/// more or fewer.
pub(crate) fn exactly<const N: usize>(content: &[u8]) -> Result<Option<[AnyRef<'_>; N]>, Detail> {
    let mut each = each(content)?;
    let mut elements = [AnyRef::NULL; N];
    for place in &mut elements {
        match each.next() {
            Some(element) => *place = element?,
            None => return Ok(None),
        }
    }
    Ok(each.next().is_none().then_some(elements))
}

/// The elements of a SEQUENCE or SET, given the bytes inside it.
pub(crate) fn elements(content: &[u8]) -> Result<Vec<AnyRef<'_>>, Detail> {
    each(content)?.collect()
}

/// The bytes inside a SEQUENCE, given with its header.
pub(crate) fn inside(bytes: &[u8]) -> Result<&[u8], Detail> {
    expect(AnyRef::from_der(bytes).map_err(detail)?, Tag::Sequence)
}

/// The elements of a SEQUENCE, given with its header.
pub(crate) fn sequence(bytes: &[u8]) -> Result<Vec<AnyRef<'_>>, Detail> {
    elements(inside(bytes)?)
}

/// The content of `value` if it has the tag.
pub(crate) fn expect(value: AnyRef<'_>, tag: Tag) -> Result<&[u8], Detail> {
    if value.tag() == tag {
        Ok(value.value())
    } else {
        Err(format!("{} stands where {tag} is expected", value.tag()))
    }
}

/// Reads a whole value of type `T`.
pub(crate) fn decode<'a, T>(value: AnyRef<'a>) -> Result<T, Detail>
where
    T: der::DecodeValue<'a, Error = der::Error> + der::FixedTag + 'a,
{
    value.decode_as::<T>().map_err(detail)
}

/// Reads a whole value of type `T` from bytes that must hold nothing else.
pub(crate) fn decode_all<'a, T>(bytes: &'a [u8]) -> Result<T, Detail>
where
    T: Decode<'a, Error = der::Error>,
{
    T::from_der(bytes).map_err(detail)
}

/// A context-specific tag and its form. DER leaves no choice of form: an explicit tag, and an
/// implicit one of a SEQUENCE or SET, is constructed, and an implicit one of a simple type is
/// primitive (X.690 8.14). Who takes one for the other reads what others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Constructed(u32),
    Primitive(u32),
    /// A tag of another class.
    Not,
}

impl Context {
    pub(crate) fn of(value: AnyRef<'_>) -> Self {
        match value.tag() {
            Tag::ContextSpecific {
                number,
                constructed: true,
            } => Self::Constructed(number.value()),
            Tag::ContextSpecific {
                number,
                constructed: false,
            } => Self::Primitive(number.value()),
            _ => Self::Not,
        }
    }
}

/// `Time` of RFC 5280 4.1.2.5: UTCTime for 1950 to 2049, GeneralizedTime with four digits of the
/// year, both in UTC and to the second.
pub(crate) fn time(value: AnyRef<'_>) -> Result<Time, Detail> {
    let digits = value.value();
    let (year, rest) = match (value.tag(), digits) {
        (Tag::UtcTime, [y1, y2, rest @ ..]) => {
            let year = two_digits(*y1, *y2)?;
            (
                if year >= 50 {
                    1900 + i16::from(year)
                } else {
                    2000 + i16::from(year)
                },
                rest,
            )
        }
        (Tag::GeneralizedTime, [y1, y2, y3, y4, rest @ ..]) => (
            i16::from(two_digits(*y1, *y2)?) * 100 + i16::from(two_digits(*y3, *y4)?),
            rest,
        ),
        (tag, _) => return Err(format!("{tag} stands where a time is expected")),
    };
    let [m1, m2, d1, d2, h1, h2, i1, i2, s1, s2, b'Z'] = rest else {
        return Err("a time is not written as YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ".to_owned());
    };
    Time::from_utc(
        year,
        two_digits(*m1, *m2)?,
        two_digits(*d1, *d2)?,
        two_digits(*h1, *h2)?,
        two_digits(*i1, *i2)?,
        two_digits(*s1, *s2)?,
    )
    .ok_or_else(|| "a time is not a date of the calendar".to_owned())
}

fn two_digits(tens: u8, ones: u8) -> Result<i8, Detail> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(10)
            .and_then(|digit| i8::try_from(digit).ok())
    };
    match (digit(tens), digit(ones)) {
        (Some(tens), Some(ones)) => Ok(tens * 10 + ones),
        _ => Err("a time has characters other than digits".to_owned()),
    }
}

/// What `der` says of an error, in words that end a sentence.
pub(crate) fn detail(error: der::Error) -> Detail {
    let text = error.to_string();
    text.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_utc_time_before_1970_is_read() {
        let value = AnyRef::new(Tag::UtcTime, b"500101120000Z").unwrap();
        assert_eq!(time(value).unwrap().to_string(), "1950-01-01T12:00:00Z");
    }

    #[test]
    fn a_tag_of_the_wrong_form_is_another_tag() {
        use crate::credential::x509::Certificate;
        use avouch_testkit::certificate::CertificateForge;
        use avouch_testkit::extension::{authority_key_id, name_constraints, policy_constraints};
        use avouch_testkit::key::Key;
        use avouch_testkit::name::GeneralName;

        let names = [
            GeneralName::dns("a.example"),
            GeneralName::email("a@a.example"),
            GeneralName::uri("spiffe://a.example/a"),
            GeneralName::ip("10.0.0.1"),
            GeneralName::directory("A"),
        ];
        let key = Key::ed25519("a");
        let der = CertificateForge::authority("A", &key)
            .names(&names)
            .with(authority_key_id(&key.identifier()))
            .with(policy_constraints(Some(1), Some(2)))
            .with(name_constraints(&names[..1], &names[4..]))
            .unique_ids(Some(b"one"), Some(b"two"))
            .sign(&"A".into(), &Key::ed25519("a"));
        let reads = |der: &[u8]| {
            Certificate::parse(der)
                .is_ok_and(|certificate| certificate.extensions().malformed.is_none())
        };
        assert!(reads(&der));
        // The version, five names, the name of a key, two numbers and two unique identifiers.
        for start in [
            &[0xa0, 3, 2, 1, 2][..],
            b"\x81\x0ba@a.example",
            b"\x82\x09a.example",
            b"\x86\x14spiffe:",
            &[0x87, 4, 10, 0, 0, 1],
            &[0xa4, 14, 0x30, 12],
            &[0x80, 20],
            &[0x80, 1, 1],
            &[0x81, 1, 2],
            b"\x81\x04\x00one",
            b"\x82\x04\x00two",
        ] {
            let place = der
                .windows(start.len())
                .position(|window| window == start)
                .unwrap_or_else(|| panic!("{start:02x?} is not there"));
            let mut other = der.clone();
            other[place] ^= 0x20;
            assert!(!reads(&other), "{start:02x?}");
        }
    }

    #[test]
    fn a_time_with_an_offset_or_without_seconds_is_refused() {
        for text in [
            &b"5001011200+0100"[..],
            b"5001011200Z",
            b"50010112000aZ",
            b"501301120000Z",
        ] {
            assert!(time(AnyRef::new(Tag::UtcTime, text).unwrap()).is_err());
        }
    }
}
