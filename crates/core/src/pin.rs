//! Pins: what someone expects an issuer to show, beside all that is believed of it anyway.
//!
//! A pin names one certificate or one key by its digest. Several make a set, of which one must hold.
//! A pin is *enforced*, or *vestigial*: kept, shown, and not consulted, as AWS IAM has kept the
//! thumbprint of GitHub since July 2023.
//!
//! A pin on a certificate is compared with the verified path, never with what the other side sends
//! along: anyone can send a certificate that is not theirs (RFC 7469 2.6 has the same rule).

use std::fmt;

use aws_lc_rs::digest;
use base64ct::{Base64UrlUnpadded, Encoding};

use crate::credential::x509::Certificate;
use crate::id::{Digest, hex};
use crate::time::Time;

/// The length of a SHA-1 digest, in bytes.
const SHA1_BYTES: usize = 20;

/// What a pin names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pinned {
    /// A certificate, by the SHA-1 digest of its DER: the thumbprint of AWS IAM.
    Sha1([u8; SHA1_BYTES]),
    /// A certificate, by the SHA-256 digest of its DER.
    Sha256(Digest),
    /// The key of a certificate, by the SHA-256 digest of its `SubjectPublicKeyInfo`
    /// (RFC 7469 2.4): it stays when a certificate is renewed or cross-signed.
    PublicKey(Digest),
    /// A key that signs tokens, by its thumbprint (RFC 7638).
    Jwk(Digest),
}

impl Pinned {
    /// Reads `sha1:`, `sha256:` or `spki-sha256:` with hexadecimal digits behind, of either case and
    /// with colons between them or without; `jwk:` with base64url behind; or 40 hexadecimal digits
    /// alone, as AWS writes a thumbprint.
    pub fn parse(text: &str) -> Option<Self> {
        let (form, value) = text.split_once(':').unwrap_or(("", text));
        match form {
            "jwk" => {
                let bytes = Base64UrlUnpadded::decode_vec(value).ok()?;
                Some(Self::Jwk(Digest::from_bytes(bytes.try_into().ok()?)))
            }
            "sha1" => sha1_of(value).map(Self::Sha1),
            "sha256" => Digest::from_hex(&value.replace(':', "")).map(Self::Sha256),
            "spki-sha256" => Digest::from_hex(&value.replace(':', "")).map(Self::PublicKey),
            _ => sha1_of(text).map(Self::Sha1),
        }
    }

    /// Whether it is about keys of tokens, and not about TLS.
    pub fn is_of_tokens(&self) -> bool {
        matches!(self, Self::Jwk(_))
    }

    fn names(&self, link: &Link) -> bool {
        match self {
            Self::Sha1(sha1) => *sha1 == link.sha1,
            Self::Sha256(sha256) => *sha256 == link.sha256,
            Self::PublicKey(key) => link.public_key == Some(*key),
            Self::Jwk(_) => false,
        }
    }
}

fn sha1_of(text: &str) -> Option<[u8; SHA1_BYTES]> {
    let digits = text.replace(':', "");
    let is_hex = digits.len() == 2 * SHA1_BYTES && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        return None;
    }
    let mut bytes = [0; SHA1_BYTES];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha1(bytes) => write!(f, "sha1:{}", hex(bytes)),
            Self::Sha256(digest) => write!(f, "sha256:{digest}"),
            Self::PublicKey(digest) => write!(f, "spki-sha256:{digest}"),
            Self::Jwk(digest) => {
                let text = Base64UrlUnpadded::encode_string(digest.as_bytes());
                write!(f, "jwk:{text}")
            }
        }
    }
}

/// Where on the verified path a pinned certificate stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The certificate of the server itself.
    EndEntity,
    /// The one that signed it.
    Issuing,
    /// The one next to the trust anchor: the top intermediate, whose thumbprint AWS IAM takes. Where
    /// there is no intermediate, the certificate of the server itself.
    #[default]
    Top,
    /// The trust anchor, of which only the key is known.
    Anchor,
    /// Any of them.
    Any,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::EndEntity,
        Self::Issuing,
        Self::Top,
        Self::Anchor,
        Self::Any,
    ];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::EndEntity => "end-entity",
            Self::Issuing => "issuing",
            Self::Top => "top",
            Self::Anchor => "anchor",
            Self::Any => "any",
        }
    }
}

/// One certificate of a verified path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    sha1: [u8; SHA1_BYTES],
    sha256: Digest,
    public_key: Option<Digest>,
}

impl Link {
    /// What a certificate in DER may be called by.
    pub fn of(der: &[u8]) -> Self {
        let mut sha1 = [0; SHA1_BYTES];
        // For comparing with what others have written down; nothing is believed for it.
        let found = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der);
        sha1.copy_from_slice(found.as_ref());
        let certificate = Certificate::parse(der).ok();
        Self {
            sha1,
            sha256: Digest::of(der),
            public_key: certificate.map(|one| Digest::of(one.public_key_info())),
        }
    }

    /// A certificate by what was written down of it.
    pub fn known(sha1: [u8; SHA1_BYTES], sha256: Digest, public_key: Option<Digest>) -> Self {
        Self {
            sha1,
            sha256,
            public_key,
        }
    }

    /// Its names: the SHA-1 and SHA-256 digests, and that of its key.
    pub fn names(&self) -> Vec<Pinned> {
        let key = self.public_key.map(Pinned::PublicKey);
        [Pinned::Sha1(self.sha1), Pinned::Sha256(self.sha256)]
            .into_iter()
            .chain(key)
            .collect()
    }

    /// The digest of its key.
    pub fn public_key(&self) -> Option<Digest> {
        self.public_key
    }

    /// Its SHA-256 digest.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }
}

/// A verified path: the certificates below the trust anchor, the server's own first, and the key of
/// the anchor.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShownPath {
    /// The certificates.
    pub links: Vec<Link>,
    /// The digest of the `SubjectPublicKeyInfo` of the anchor.
    pub anchor: Option<Digest>,
}

impl ShownPath {
    /// The certificates at a place; none at that of the anchor.
    pub fn at(&self, place: Place) -> &[Link] {
        let one = |index: Option<usize>| {
            index
                .and_then(|index| self.links.get(index..=index))
                .unwrap_or_default()
        };
        match place {
            Place::EndEntity => one(Some(0)),
            Place::Issuing => one(Some(1)),
            Place::Top => one(self.links.len().checked_sub(1)),
            Place::Anchor => &[],
            Place::Any => &self.links,
        }
    }
}

/// One pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What it names.
    pub pinned: Pinned,
    /// Where that stands on the path; of no meaning for keys of tokens.
    pub place: Place,
    /// Whether it is consulted.
    pub enforced: bool,
    /// From when on it holds nothing any more.
    pub expires: Option<Time>,
}

impl Pin {
    /// Whether it has not ended.
    pub fn is_live(&self, now: Time) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether it names what stands at its place on a path.
    pub fn holds(&self, path: &ShownPath) -> bool {
        let of_anchor = match (self.pinned, self.place) {
            (Pinned::PublicKey(key), Place::Anchor | Place::Any) => path.anchor == Some(key),
            _ => false,
        };
        of_anchor
            || path
                .at(self.place)
                .iter()
                .any(|link| self.pinned.names(link))
    }
}

/// What the pins that are consulted say of a server or of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// None is consulted.
    NotPinned,
    /// This one holds.
    Held(Pinned),
    /// None holds: what was expected, and what was seen at those places.
    Missed {
        /// The pins that are consulted.
        expected: Vec<String>,
        /// What was shown where they look.
        seen: Vec<String>,
    },
}

/// Judges a verified path by the enforced ones of these pins. Where one is enforced and all have
/// ended, nothing holds: a pin that runs out must not open what it has closed.
pub fn judge(pins: &[Pin], path: &ShownPath, now: Time) -> Judged {
    let enforced = || {
        pins.iter()
            .filter(|pin| pin.enforced && !pin.pinned.is_of_tokens())
    };
    if enforced().next().is_none() {
        return Judged::NotPinned;
    }
    let held = enforced().find(|pin| pin.is_live(now) && pin.holds(path));
    match held {
        Some(pin) => Judged::Held(pin.pinned),
        None => Judged::Missed {
            expected: enforced().map(|pin| in_words(pin, now)).collect(),
            seen: seen(enforced(), path),
        },
    }
}

/// Judges a key of tokens, by its thumbprint.
pub fn judge_key(pins: &[Pin], thumbprint: Digest, now: Time) -> Judged {
    let enforced = || {
        pins.iter()
            .filter(|pin| pin.enforced && pin.pinned.is_of_tokens())
    };
    if enforced().next().is_none() {
        return Judged::NotPinned;
    }
    let key = Pinned::Jwk(thumbprint);
    match enforced().any(|pin| pin.is_live(now) && pin.pinned == key) {
        true => Judged::Held(key),
        false => Judged::Missed {
            expected: enforced().map(|pin| in_words(pin, now)).collect(),
            seen: vec![key.to_string()],
        },
    }
}

/// A pin as a refusal names it.
fn in_words(pin: &Pin, now: Time) -> String {
    let ended = if pin.is_live(now) { "" } else { ", ended" };
    match pin.pinned {
        Pinned::Jwk(_) => format!("{}{ended}", pin.pinned),
        _ => format!("{} ({}{ended})", pin.pinned, pin.place.name()),
    }
}

/// What stands on a path where the pins look, in their own form, so that the two can be compared.
fn seen<'a>(pins: impl Iterator<Item = &'a Pin>, path: &ShownPath) -> Vec<String> {
    let mut seen = Vec::new();
    for pin in pins {
        let mut tell = |pinned: Pinned, place: Place| {
            let told = format!("{pinned} ({})", place.name());
            if !seen.contains(&told) {
                seen.push(told);
            }
        };
        for link in path.at(pin.place) {
            let same_form = link
                .names()
                .into_iter()
                .find(|name| std::mem::discriminant(name) == std::mem::discriminant(&pin.pinned));
            if let Some(name) = same_form {
                tell(name, pin.place);
            }
        }
        if let (Place::Anchor, Some(key)) = (pin.place, path.anchor) {
            tell(Pinned::PublicKey(key), Place::Anchor);
        }
    }
    seen
}

/// Whether a path itself proves that a certificate on it continues what a pin holds: the pinned
/// certificate stands above it, so it has signed it or what signed it; or it has the very key of a
/// certificate that the pin has held, so that whoever has it is the same.
///
/// Anything else (another intermediate under the same root, another key in the same set) is what a
/// rotation looks like and what a takeover looks like, and needs a person.
pub fn continues(pin: &Pin, link: &Link, path: &ShownPath, held_before: &[Link]) -> bool {
    let Some(at) = path.links.iter().position(|one| one == link) else {
        return false;
    };
    let above = path.links.get(at + 1..).unwrap_or_default();
    let is_below = above.iter().any(|one| pin.pinned.names(one));
    let is_below_anchor = match pin.pinned {
        Pinned::PublicKey(key) => path.anchor == Some(key),
        _ => false,
    };
    let has_same_key = held_before
        .iter()
        .filter(|before| pin.pinned.names(before))
        .any(|before| before.public_key.is_some() && before.public_key == link.public_key);
    is_below || is_below_anchor || has_same_key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, key: &str) -> Link {
        let digest = Digest::of(name.as_bytes());
        let mut sha1 = [0; SHA1_BYTES];
        sha1.copy_from_slice(&digest.as_bytes()[..SHA1_BYTES]);
        Link::known(sha1, digest, Some(Digest::of(key.as_bytes())))
    }

    fn shown(names: &[&str]) -> ShownPath {
        ShownPath {
            links: names.iter().map(|name| link(name, name)).collect(),
            anchor: Some(Digest::of(b"root")),
        }
    }

    fn pin(pinned: Pinned, place: Place) -> Pin {
        Pin {
            pinned,
            place,
            enforced: true,
            expires: None,
        }
    }

    fn now() -> Time {
        Time::from_unix(1_000)
    }

    #[test]
    fn a_pin_is_read_in_the_spellings_that_people_copy() {
        let github = "6938fd4d98bab03faadb97b34396831e3780aea1";
        let spelled = [
            github.to_owned(),
            github.to_uppercase(),
            format!("sha1:{github}"),
            "69:38:FD:4D:98:BA:B0:3F:AA:DB:97:B3:43:96:83:1E:37:80:AE:A1".to_owned(),
        ];
        for text in spelled {
            let pinned = Pinned::parse(&text).unwrap();
            assert_eq!(pinned.to_string(), format!("sha1:{github}"), "{text}");
        }
        let key = Pinned::Jwk(Digest::of(b"key"));
        let digest = Digest::of(b"x");
        for pinned in [key, Pinned::Sha256(digest), Pinned::PublicKey(digest)] {
            assert_eq!(Pinned::parse(&pinned.to_string()), Some(pinned));
        }
        for text in [
            "",
            "sha1:",
            "sha1:6938",
            "md5:6938fd4d98bab03faadb97b34396831e3780aea1",
            "sha256:6938fd4d98bab03faadb97b34396831e3780aea1",
            "6938fd4d98bab03faadb97b34396831e3780aeag",
            "jwk:AAAA",
            "jwk:AAAA=",
        ] {
            assert_eq!(Pinned::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_pin_holds_at_its_place_and_at_no_other() {
        let path = shown(&["server", "issuing", "top"]);
        let named = |name: &str| Pinned::Sha256(Digest::of(name.as_bytes()));
        for (place, name) in [
            (Place::EndEntity, "server"),
            (Place::Issuing, "issuing"),
            (Place::Top, "top"),
        ] {
            for other in ["server", "issuing", "top"] {
                let holds = pin(named(other), place).holds(&path);
                assert_eq!(holds, other == name, "{} {other}", place.name());
            }
            assert!(pin(named(name), Place::Any).holds(&path));
        }
        let root = Pinned::PublicKey(Digest::of(b"root"));
        assert!(pin(root, Place::Anchor).holds(&path));
        assert!(!pin(root, Place::Top).holds(&path));
        // Without an intermediate the top is the server itself.
        let alone = shown(&["server"]);
        assert!(pin(named("server"), Place::Top).holds(&alone));
        assert!(!pin(named("server"), Place::Issuing).holds(&alone));
    }

    #[test]
    fn one_of_a_set_is_enough_and_a_vestigial_one_is_not_consulted() {
        let path = shown(&["server", "second"]);
        let first = pin(Pinned::Sha256(Digest::of(b"first")), Place::Top);
        let second = pin(Pinned::Sha256(Digest::of(b"second")), Place::Top);
        let vestigial = Pin {
            enforced: false,
            ..first
        };
        assert_eq!(judge(&[], &path, now()), Judged::NotPinned);
        assert_eq!(judge(&[vestigial], &path, now()), Judged::NotPinned);
        assert_eq!(
            judge(&[first, second], &path, now()),
            Judged::Held(second.pinned)
        );
        let missed = judge(&[first, vestigial], &path, now());
        let Judged::Missed { expected, seen } = missed else {
            panic!("{missed:?}");
        };
        assert_eq!(expected, [format!("{} (top)", first.pinned)]);
        assert_eq!(seen, [format!("{} (top)", second.pinned)]);
    }

    #[test]
    fn a_pin_that_has_ended_opens_nothing() {
        let path = shown(&["server", "top"]);
        let held = pin(Pinned::Sha256(Digest::of(b"top")), Place::Top);
        let ended = Pin {
            expires: Some(now()),
            ..held
        };
        assert_eq!(judge(&[held], &path, now()), Judged::Held(held.pinned));
        let Judged::Missed { expected, .. } = judge(&[ended], &path, now()) else {
            panic!("it has ended");
        };
        assert_eq!(expected, [format!("{} (top, ended)", held.pinned)]);
        let key = Digest::of(b"key");
        let of_key = Pin {
            pinned: Pinned::Jwk(key),
            ..ended
        };
        assert!(matches!(
            judge_key(&[of_key], key, now()),
            Judged::Missed { .. }
        ));
        assert_eq!(judge_key(&[ended], key, now()), Judged::NotPinned);
    }

    #[test]
    fn only_what_was_signed_below_the_pin_or_has_its_key_continues_it() {
        let held = link("top", "the key");
        let top = pin(Pinned::Sha256(held.sha256()), Place::Issuing);
        // The pinned one has signed the new one.
        let below = ShownPath {
            links: vec![link("server", "a"), link("new", "b"), held],
            anchor: None,
        };
        assert!(continues(&top, &below.links[1], &below, &[held]));
        // The same key, certified by another root.
        let cross = ShownPath {
            links: vec![link("server", "a"), link("cross", "the key")],
            anchor: None,
        };
        assert!(continues(&top, &cross.links[1], &cross, &[held]));
        assert!(!continues(&top, &cross.links[1], &cross, &[]));
        // Another intermediate under whatever root.
        let other = ShownPath {
            links: vec![link("server", "a"), link("other", "b")],
            anchor: Some(Digest::of(b"root")),
        };
        assert!(!continues(&top, &other.links[1], &other, &[held]));
        // What stands above the pinned one was not signed by it.
        let above = ShownPath {
            links: vec![link("server", "a"), held, link("above", "c")],
            anchor: None,
        };
        assert!(!continues(&top, &above.links[2], &above, &[held]));
    }
}
