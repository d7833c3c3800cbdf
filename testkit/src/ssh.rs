//! Keys, certificates and signatures of SSH, good or wrong, written octet by octet
//! (PROTOCOL.certkeys, PROTOCOL.sshsig). Ed25519 only: its signatures are the same each time.

use aws_lc_rs::digest;
use base64ct::{Base64, Encoding};

use crate::key::{Key, Scheme};

/// The namespace of signatures that show who holds a key.
pub const NAMESPACE: &str = "proof@avouch";

/// 2024-01-01 and 2025-01-01, around [`crate::NOW`].
const VALID: (u64, u64) = (1_704_067_200, 1_735_689_600);

/// A certificate in the making.
#[derive(Clone)]
pub struct SshForge {
    key: Key,
    kind: u32,
    serial: u64,
    key_id: String,
    principals: Vec<String>,
    valid: (u64, u64),
    options: Vec<(String, String)>,
}

impl SshForge {
    /// That of a user with this key.
    pub fn user(key: &Key, principals: &[&str]) -> Self {
        Self {
            key: key.clone(),
            kind: 1,
            serial: 7,
            key_id: "laptop of a person".to_owned(),
            principals: principals.iter().map(|name| (*name).to_owned()).collect(),
            valid: VALID,
            options: Vec::new(),
        }
    }

    /// That of a host with this key.
    pub fn host(key: &Key, principals: &[&str]) -> Self {
        Self {
            kind: 2,
            ..Self::user(key, principals)
        }
    }

    /// Valid from and until, in seconds.
    #[must_use]
    pub fn valid(mut self, from: u64, until: u64) -> Self {
        self.valid = (from, until);
        self
    }

    /// With a critical option.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Signed by an authority, as a line of a file `-cert.pub`.
    pub fn sign(&self, authority: &Key) -> String {
        self.signed_as(authority, authority)
    }

    /// Naming one authority and signed by another.
    pub fn signed_as(&self, named: &Key, signer: &Key) -> String {
        let mut wire = Vec::new();
        put(&mut wire, b"ssh-ed25519-cert-v01@openssh.com");
        put(&mut wire, &[7; 32]);
        put(&mut wire, self.key.public());
        wire.extend(self.serial.to_be_bytes());
        wire.extend(self.kind.to_be_bytes());
        put(&mut wire, self.key_id.as_bytes());
        let mut principals = Vec::new();
        for name in &self.principals {
            put(&mut principals, name.as_bytes());
        }
        put(&mut wire, &principals);
        wire.extend(self.valid.0.to_be_bytes());
        wire.extend(self.valid.1.to_be_bytes());
        let mut options = Vec::new();
        for (name, value) in &self.options {
            put(&mut options, name.as_bytes());
            let mut inner = Vec::new();
            put(&mut inner, value.as_bytes());
            put(&mut options, &inner);
        }
        put(&mut wire, &options);
        put(&mut wire, b"");
        put(&mut wire, b"");
        put(&mut wire, &public(named));
        let signed = signature(signer, &wire);
        put(&mut wire, &signed);
        let body = Base64::encode_string(&wire);
        format!("ssh-ed25519-cert-v01@openssh.com {body} someone@somewhere")
    }
}

/// A public key, as a line of a file `.pub`.
pub fn public_line(key: &Key) -> String {
    let body = Base64::encode_string(&public(key));
    format!("ssh-ed25519 {body} someone@somewhere")
}

/// What the holder of a key signs for a relying party and its challenge.
pub fn statement(audience: &str, challenge: &str) -> String {
    format!("avouch proof of possession 1\nchallenge {challenge}\nfor {audience}\n")
}

/// A signature as `ssh-keygen -Y sign` writes it.
pub fn proof(key: &Key, namespace: &str, message: &str) -> String {
    let hash = digest::digest(&digest::SHA512, message.as_bytes());
    let mut signed = b"SSHSIG".to_vec();
    for part in [namespace.as_bytes(), b"", b"sha512", hash.as_ref()] {
        put(&mut signed, part);
    }
    let mut blob = b"SSHSIG".to_vec();
    blob.extend(1_u32.to_be_bytes());
    for part in [&public(key)[..], namespace.as_bytes(), b"", b"sha512"] {
        put(&mut blob, part);
    }
    put(&mut blob, &signature(key, &signed));
    let body = Base64::encode_string(&blob);
    let lines = body.as_bytes().chunks(70).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    format!(
        "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
        lines.join("\n")
    )
}

fn public(key: &Key) -> Vec<u8> {
    let mut wire = Vec::new();
    put(&mut wire, b"ssh-ed25519");
    put(&mut wire, key.public());
    wire
}

fn signature(key: &Key, message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    put(&mut wire, b"ssh-ed25519");
    put(&mut wire, &key.sign(Scheme::Ed25519, message));
    wire
}

/// A text with its length before it (RFC 4251 5).
fn put(wire: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).expect("a text of a test is short");
    wire.extend(length.to_be_bytes());
    wire.extend(text);
}
