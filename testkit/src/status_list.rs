//! Status lists of tokens, good or wrong in any way one asks for.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};

use crate::key::Key;
use crate::token::{NOW_SECONDS, TokenForge, encode};

/// A status list in the making.
#[derive(Clone, Debug)]
pub struct StatusListForge {
    bits: u8,
    statuses: Vec<u8>,
    packed: Option<Vec<u8>>,
    token: TokenForge,
}

impl StatusListForge {
    /// A list at an address with room for so many tokens at one bit each, made a minute ago, for an
    /// hour.
    pub fn at(uri: &str, entries: usize) -> Self {
        let token = TokenForge::saying(json!({
            "sub": uri, "iat": NOW_SECONDS - 60, "exp": NOW_SECONDS + 3_600, "ttl": 300,
        }));
        Self {
            bits: 1,
            statuses: vec![0; entries.div_ceil(8)],
            packed: None,
            token: token.header("typ", "statuslist+jwt".into()),
        }
    }

    /// With so many bits for each token, which makes it longer.
    pub fn bits(mut self, bits: u8) -> Self {
        self.statuses = vec![0; self.statuses.len() * usize::from(bits)];
        self.bits = bits;
        self
    }

    /// In which a token has this status.
    pub fn status(mut self, index: usize, status: u8) -> Self {
        let in_a_byte = usize::from(8 / self.bits);
        let shift = (index % in_a_byte) * usize::from(self.bits);
        self.statuses[index / in_a_byte] |= status << shift;
        self
    }

    /// With these bytes in the place of the packed entries.
    pub fn packed(mut self, packed: Vec<u8>) -> Self {
        self.packed = Some(packed);
        self
    }

    /// With a claim; `null` takes it away.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.token = match value.is_null() {
            true => self.token.without(name),
            false => self.token.claim(name, value),
        };
        self
    }

    /// With a member of the header.
    pub fn header(mut self, name: &str, value: Value) -> Self {
        self.token = self.token.header(name, value);
        self
    }

    /// The entries as they are packed.
    pub fn entries(&self) -> Vec<u8> {
        self.packed.clone().unwrap_or_else(|| pack(&self.statuses))
    }

    /// Signed.
    pub fn sign(&self, key: &Key, kid: &str) -> String {
        let list = json!({"bits": self.bits, "lst": encode(&self.entries())});
        let token = self.token.clone();
        token.claim("status_list", list).sign(key, kid)
    }

    /// Signed with this in the place of the claim `status_list`.
    pub fn sign_saying(&self, list: Value, key: &Key, kid: &str) -> String {
        self.token.clone().claim("status_list", list).sign(key, kid)
    }
}

/// Packs bytes as lists are packed.
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// The claim `status` of a token that has this number in the list at an address.
pub fn status(index: u64, uri: &str) -> Value {
    json!({"status_list": {"idx": index, "uri": uri}})
}
