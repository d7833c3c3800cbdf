//! Secrets at rest: a root key wraps one key per tenant, and that key seals the tenant's private
//! keys.
//!
//! ```text
//! file `root.key`, 0600 ──► RootKey ──wraps──► TenantKey ──seals──► private key of an authority
//!                                   WrappedKey in TenantRecord      Sealed in AuthorityRecord
//! ```
//!
//! Whoever has the database without the file has public data only. Everything is sealed with
//! AES-256-GCM (NIST SP 800-38D) under a random nonce, together with what it is for: bytes moved to
//! another tenant or another authority do not open. The root key may be kept elsewhere, such as in a
//! token, which then does the wrapping ([`RootKeeper`]). To destroy a tenant's wrapped key is to destroy
//! all it sealed.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use avouch_core::id::{Digest, TenantId};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;
use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::names::{AttestorId, AuthorityId, EgressId, IssuerId, SignalId};
use crate::tenant::TenantRecord;

/// The name of the root key in the folder of the deployment.
pub const ROOT_KEY_FILE: &str = "root.key";

/// What a root key file begins with, so that people and scanners for secrets know it.
const ROOT_KEY_LABEL: &str = "avouch-root-key-1:";

const KEY_BYTES: usize = 32;

/// Bytes that were sealed here: this byte, the nonce, the ciphertext with its tag.
const FORMAT: u8 = 1;

/// Bytes that were wrapped elsewhere: this byte, and what that wrote.
const FORMAT_ELSEWHERE: u8 = 2;

/// Why a secret is out of reach. No text in it comes from a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyringFault {
    /// The file cannot be read or written.
    #[error("the root key {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a root key.
    #[error("{0} is not a root key; put the file back from where it was kept")]
    NotARootKey(PathBuf),
    /// Others than its owner can read or write the file.
    #[error("the root key {path} has mode {mode:04o}; make it 0600, and think about who read it")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key of the tenant does not open with this root key.
    #[error("the key of the tenant `{0}` was wrapped by another root key, or is damaged")]
    NotWrappedByThis(TenantId),
    /// The secret does not open with the key of the tenant.
    #[error("the secret of `{0}` was sealed for someone else, or is damaged")]
    NotSealedForThis(String),
    /// What keeps the root key failed.
    #[error("the root key, which is kept elsewhere: {0}")]
    Elsewhere(String),
    /// The library of cryptography failed.
    #[error("cryptography failed")]
    Cryptography,
}

/// The key that wraps the keys of all tenants.
pub struct RootKey(Root);

enum Root {
    Here(Cipher),
    Elsewhere(Box<dyn RootKeeper>),
}

/// Wraps with a key that it does not give away, such as one in a token.
pub trait RootKeeper: Send + Sync {
    /// Wraps a secret together with what it is for.
    ///
    /// # Errors
    ///
    /// What it failed with, in words.
    fn wrap(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, String>;

    /// Unwraps what was wrapped for this; `None` for anything else.
    ///
    /// # Errors
    ///
    /// What it failed with, in words.
    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, String>;
}

impl Root {
    fn seal(&self, context: Digest, secret: &[u8]) -> Result<Vec<u8>, KeyringFault> {
        let keeper = match self {
            Self::Here(cipher) => return cipher.seal(context, secret),
            Self::Elsewhere(keeper) => keeper,
        };
        let wrapped = keeper.wrap(context.as_bytes(), secret);
        let mut sealed = wrapped.map_err(KeyringFault::Elsewhere)?;
        sealed.insert(0, FORMAT_ELSEWHERE);
        Ok(sealed)
    }

    fn open(
        &self,
        context: Digest,
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeyringFault> {
        match (self, sealed.split_first()) {
            (Self::Here(cipher), _) => Ok(cipher.open(context, sealed)),
            (Self::Elsewhere(keeper), Some((&FORMAT_ELSEWHERE, wrapped))) => keeper
                .unwrap(context.as_bytes(), wrapped)
                .map_err(KeyringFault::Elsewhere),
            (Self::Elsewhere(_), Some(_) | None) => Ok(None),
        }
    }
}

impl RootKey {
    /// A key that is kept elsewhere.
    pub fn kept_by(keeper: Box<dyn RootKeeper>) -> Self {
        Self(Root::Elsewhere(keeper))
    }

    /// Reads the key from `root.key` in the folder of the deployment.
    ///
    /// # Errors
    ///
    /// The file is not there, is no root key, or is open to others than its owner.
    pub fn open(folder: &Path) -> Result<Self, KeyringFault> {
        let path = folder.join(ROOT_KEY_FILE);
        let failed = |source| KeyringFault::File {
            path: path.clone(),
            source,
        };
        let file = File::open(&path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyringFault::Exposed { path, mode });
        }
        let mut text = Zeroizing::new(String::new());
        // One byte more than a key has is enough to see that it is none.
        let most = ROOT_KEY_LABEL.len() + Base64::encoded_len(&[0; KEY_BYTES]) + 2;
        file.take(u64::try_from(most).unwrap_or(u64::MAX))
            .read_to_string(&mut text)
            .map_err(failed)?;
        let key = decode_root_key(&text).ok_or_else(|| KeyringFault::NotARootKey(path.clone()))?;
        Ok(Self(Root::Here(Cipher::new(&key)?)))
    }

    /// Reads the key, or makes it as long as there is no tenant whose key it would have to open:
    /// a new key beside an old database would only hide that the old one is missing.
    ///
    /// # Errors
    ///
    /// As [`RootKey::open`] and [`RootKey::create`].
    pub fn open_or_create(folder: &Path, tenants: &[TenantRecord]) -> Result<Self, KeyringFault> {
        match Self::open(folder) {
            Err(KeyringFault::File { source, .. })
                if tenants.is_empty() && source.kind() == io::ErrorKind::NotFound =>
            {
                Self::create(folder)
            }
            opened => opened,
        }
    }

    /// Makes a key and writes it to `root.key`, which must not be there yet. The file is whole or
    /// absent at any moment, and durable on return.
    ///
    /// # Errors
    ///
    /// The file is there, or cannot be written.
    pub fn create(folder: &Path) -> Result<Self, KeyringFault> {
        let key = random_key()?;
        let path = folder.join(ROOT_KEY_FILE);
        write_root_key(folder, &path, &key)
            .map_err(|source| KeyringFault::File { path, source })?;
        Ok(Self(Root::Here(Cipher::new(&key)?)))
    }

    /// A new key for a tenant, open and wrapped.
    ///
    /// # Errors
    ///
    /// What keeps the root key failed.
    pub fn new_tenant_key(
        &self,
        tenant: &TenantId,
    ) -> Result<(TenantKey, WrappedKey), KeyringFault> {
        let key = random_key()?;
        let wrapped = self.0.seal(wrapping(tenant), key.as_ref())?;
        let open = TenantKey::of(tenant, &key)?;
        Ok((open, WrappedKey(wrapped)))
    }

    /// Opens the key of a tenant.
    ///
    /// # Errors
    ///
    /// It does not open with this root key, or what keeps that failed.
    pub fn unwrap(
        &self,
        tenant: &TenantId,
        wrapped: &WrappedKey,
    ) -> Result<TenantKey, KeyringFault> {
        let refuse = || KeyringFault::NotWrappedByThis(tenant.clone());
        let opened = self
            .0
            .open(wrapping(tenant), &wrapped.0)?
            .ok_or_else(refuse)?;
        let key: &[u8; KEY_BYTES] = opened.as_slice().try_into().map_err(|_| refuse())?;
        TenantKey::of(tenant, key)
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(secret)")
    }
}

/// The key that seals the private keys of one tenant.
pub struct TenantKey {
    tenant: TenantId,
    cipher: Cipher,
    tags: hmac::Key,
}

impl TenantKey {
    fn of(tenant: &TenantId, key: &[u8; KEY_BYTES]) -> Result<Self, KeyringFault> {
        // Another key than the one that seals (NIST SP 800-108r1 4.1, with one block of output).
        let derived = hmac::sign(
            &hmac::Key::new(HMAC_SHA256, key),
            b"avouch tags of a tenant",
        );
        Ok(Self {
            tenant: tenant.clone(),
            cipher: Cipher::new(key)?,
            tags: hmac::Key::new(HMAC_SHA256, derived.as_ref()),
        })
    }

    /// A tag on a message by which every server knows it again that has the key of this tenant:
    /// nobody else can make one. `purpose` keeps messages of one kind from passing for another.
    pub fn tag(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        let text = Digest::of_list([purpose.as_bytes(), message]);
        let mut tag = [0; 32];
        let made = hmac::sign(&self.tags, text.as_bytes());
        for (to, from) in tag.iter_mut().zip(made.as_ref()) {
            *to = *from;
        }
        tag
    }

    /// Seals a secret of this tenant, in whatever form the caller has it.
    ///
    /// # Errors
    ///
    /// The library of cryptography failed.
    pub fn seal(&self, owner: SecretOf<'_>, secret: &[u8]) -> Result<Sealed, KeyringFault> {
        let context = self.sealing(&owner);
        self.cipher.seal(context, secret).map(Sealed)
    }

    /// Opens a secret of this tenant. The bytes are overwritten when they are dropped.
    ///
    /// # Errors
    ///
    /// It does not open with the key of this tenant.
    pub fn open(
        &self,
        owner: SecretOf<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, KeyringFault> {
        self.cipher
            .open(self.sealing(&owner), &sealed.0)
            .ok_or_else(|| KeyringFault::NotSealedForThis(owner.to_string()))
    }

    fn sealing(&self, owner: &SecretOf<'_>) -> Digest {
        Digest::of_list([
            b"avouch sealed private key".as_slice(),
            self.tenant.as_str().as_bytes(),
            owner.to_string().as_bytes(),
        ])
    }
}

/// Whose a secret is: it opens for nothing else.
#[derive(Clone, Copy, Debug)]
pub enum SecretOf<'a> {
    /// The private key of an authority.
    Authority(&'a AuthorityId),
    /// What an attestor of nodes shows to a cluster.
    Attestor(&'a AttestorId),
    /// The keys of an API of others.
    Egress(&'a EgressId),
    /// What an issuer is shown that is asked about its tokens.
    Introspection(&'a IssuerId),
    /// What a cluster is shown that is asked about its tokens.
    Review(&'a IssuerId),
    /// What a transmitter or a receiver of signals is shown.
    Signal(&'a SignalId),
}

impl fmt::Display for SecretOf<'_> {
    /// No two of them are written alike: authorities are called after their keys, in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(id) => write!(f, "{id}"),
            Self::Attestor(id) => write!(f, "attestor.{id}"),
            Self::Egress(id) => write!(f, "egress.{id}"),
            Self::Introspection(id) => write!(f, "introspection.{id}"),
            Self::Review(id) => write!(f, "review.{id}"),
            Self::Signal(id) => write!(f, "signal.{id}"),
        }
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantKey({}, secret)", self.tenant)
    }
}

/// The key of a tenant, wrapped by the root key: worth nothing without it.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey(Vec<u8>);

impl WrappedKey {
    pub(crate) fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({} bytes)", self.0.len())
    }
}

/// A private key, sealed by the key of a tenant: worth nothing without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    pub(crate) fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What tells it from any other, and nothing of what is in it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text, for documents.
    pub fn to_text(&self) -> String {
        Base64::encode_string(&self.0)
    }

    /// Reads it from a document.
    pub fn from_text(text: &str) -> Option<Self> {
        Base64::decode_vec(text).ok().map(Self)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

fn wrapping(tenant: &TenantId) -> Digest {
    Digest::of_list([b"avouch tenant key".as_slice(), tenant.as_str().as_bytes()])
}

/// AES-256-GCM with random nonces: safe for 2^32 seals under one key (NIST SP 800-38D 8.3), and a
/// key here seals once per tenant or per authority.
struct Cipher(RandomizedNonceKey);

impl Cipher {
    fn new(key: &[u8; KEY_BYTES]) -> Result<Self, KeyringFault> {
        RandomizedNonceKey::new(&AES_256_GCM, key)
            .map(Self)
            .map_err(|_| KeyringFault::Cryptography)
    }

    fn seal(&self, context: Digest, secret: &[u8]) -> Result<Vec<u8>, KeyringFault> {
        // Room for the tag, so that the plain bytes are not left behind by a growing vector.
        let mut text = Vec::with_capacity(secret.len() + AES_256_GCM.tag_len());
        text.extend_from_slice(secret);
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(*context.as_bytes()), &mut text)
            .map_err(|_| KeyringFault::Cryptography)?;
        let mut sealed = vec![FORMAT];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut text);
        Ok(sealed)
    }

    fn open(&self, context: Digest, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (&format, rest) = sealed.split_first()?;
        if format != FORMAT {
            return None;
        }
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(text.to_vec());
        let aad = Aad::from(*context.as_bytes());
        let plain = self.0.open_in_place(Nonce::from(nonce), aad, &mut text);
        let length = plain.ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

fn random_key() -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyringFault> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(key.as_mut()).map_err(|_| KeyringFault::Cryptography)?;
    Ok(key)
}

fn decode_root_key(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let encoded = text.strip_suffix('\n').unwrap_or(text);
    let encoded = encoded.strip_prefix(ROOT_KEY_LABEL)?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let decoded = Base64::decode(encoded, key.as_mut()).ok()?;
    (decoded.len() == KEY_BYTES).then_some(key)
}

/// Writes beside, then links: a link never replaces a file that is there, as a rename would.
fn write_root_key(folder: &Path, path: &Path, key: &[u8; KEY_BYTES]) -> io::Result<()> {
    let beside = folder.join(format!("{ROOT_KEY_FILE}.new"));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let encoded = Zeroizing::new(Base64::encode_string(key));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(ROOT_KEY_LABEL.as_bytes())?;
    file.write_all(encoded.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::hard_link(&beside, path)?;
    fs::remove_file(&beside)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use avouch_core::time::Time;

    use super::*;
    use crate::tenant::TenantKind;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn authority(name: &str) -> AuthorityId {
        AuthorityId::parse(name).unwrap()
    }

    #[test]
    fn a_private_key_opens_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::create(folder.path()).unwrap();
        let (key, wrapped) = root.new_tenant_key(&tenant("a")).unwrap();
        let sealed = key
            .seal(SecretOf::Authority(&authority("x")), b"a private key")
            .unwrap();
        drop((root, key));

        let root = RootKey::open(folder.path()).unwrap();
        let key = root.unwrap(&tenant("a"), &wrapped).unwrap();
        let opened = key
            .open(SecretOf::Authority(&authority("x")), &sealed)
            .unwrap();
        assert_eq!(opened.as_slice(), b"a private key");
    }

    #[test]
    fn what_was_sealed_for_one_opens_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::create(folder.path()).unwrap();
        let (a, wrapped_a) = root.new_tenant_key(&tenant("a")).unwrap();
        let (b, _) = root.new_tenant_key(&tenant("b")).unwrap();
        let sealed = a
            .seal(SecretOf::Authority(&authority("x")), b"secret")
            .unwrap();

        assert!(
            a.open(SecretOf::Authority(&authority("x")), &sealed)
                .is_ok()
        );
        assert!(
            a.open(SecretOf::Authority(&authority("y")), &sealed)
                .is_err()
        );
        assert!(
            b.open(SecretOf::Authority(&authority("x")), &sealed)
                .is_err()
        );
        assert!(root.unwrap(&tenant("b"), &wrapped_a).is_err());

        let elsewhere = tempfile::tempdir().unwrap();
        let other = RootKey::create(elsewhere.path()).unwrap();
        let fault = other.unwrap(&tenant("a"), &wrapped_a).unwrap_err();
        assert!(matches!(fault, KeyringFault::NotWrappedByThis(_)));
    }

    #[test]
    fn a_changed_or_shortened_seal_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::create(folder.path()).unwrap();
        let (key, _) = root.new_tenant_key(&tenant("a")).unwrap();
        let sealed = key
            .seal(SecretOf::Authority(&authority("x")), b"secret")
            .unwrap();
        for index in 0..sealed.0.len() {
            let mut changed = sealed.0.clone();
            changed[index] ^= 1;
            assert!(
                key.open(SecretOf::Authority(&authority("x")), &Sealed(changed))
                    .is_err()
            );
            let shortened = sealed.0[..index].to_vec();
            assert!(
                key.open(SecretOf::Authority(&authority("x")), &Sealed(shortened))
                    .is_err()
            );
        }
    }

    #[test]
    fn the_same_secret_is_never_sealed_alike() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::create(folder.path()).unwrap();
        let (key, _) = root.new_tenant_key(&tenant("a")).unwrap();
        let seal = || {
            key.seal(SecretOf::Authority(&authority("x")), b"secret")
                .unwrap()
        };
        assert_ne!(seal(), seal());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::create(folder.path()).unwrap();
        let (key, wrapped) = root.new_tenant_key(&tenant("a")).unwrap();
        let sealed = key
            .seal(SecretOf::Authority(&authority("x")), b"secret")
            .unwrap();
        assert_eq!(
            format!("{root:?} {key:?} {wrapped:?} {sealed:?}"),
            "RootKey(secret) TenantKey(a, secret) WrappedKey(61 bytes) Sealed(35 bytes)"
        );
    }

    #[test]
    fn the_file_is_for_its_owner_alone_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ROOT_KEY_FILE);
        RootKey::create(folder.path()).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(written.starts_with(ROOT_KEY_LABEL));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        assert!(RootKey::create(folder.path()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), written);
        RootKey::open(folder.path()).unwrap();
    }

    #[test]
    fn a_root_key_is_made_only_while_there_is_nothing_to_open() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::open_or_create(folder.path(), &[]).unwrap();
        let (_, key) = root.new_tenant_key(&tenant("a")).unwrap();
        let tenants = [TenantRecord {
            id: tenant("a"),
            parent: None,
            kind: TenantKind::Root,
            created: Time::from_unix(0),
            key,
        }];
        let again = RootKey::open_or_create(folder.path(), &tenants).unwrap();
        again.unwrap(&tenant("a"), &tenants[0].key).unwrap();

        fs::remove_file(folder.path().join(ROOT_KEY_FILE)).unwrap();
        RootKey::open_or_create(folder.path(), &tenants).unwrap_err();
        RootKey::open(folder.path()).unwrap_err();
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        RootKey::create(folder.path()).unwrap();
        let path = folder.path().join(ROOT_KEY_FILE);
        for mode in [0o640, 0o604, 0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let fault = RootKey::open(folder.path()).unwrap_err();
            assert!(matches!(fault, KeyringFault::Exposed { .. }), "{fault}");
        }
    }

    #[test]
    fn a_file_that_is_no_root_key_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ROOT_KEY_FILE);
        RootKey::create(folder.path()).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for text in [
            String::new(),
            good.get(1..).unwrap().to_owned(),
            good.get(..good.len() - 3).unwrap().to_owned(),
            format!("{good}x"),
            good.replace('=', ""),
            format!("{ROOT_KEY_LABEL}{}", "A".repeat(40)),
        ] {
            fs::write(&path, &text).unwrap();
            let fault = RootKey::open(folder.path()).unwrap_err();
            assert!(matches!(fault, KeyringFault::NotARootKey(_)), "{fault}");
            assert!(!fault.to_string().contains("AAAA"));
        }
    }

    #[test]
    fn what_a_crash_left_half_written_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("root.key.new"), "avouch-root").unwrap();
        RootKey::create(folder.path()).unwrap();
        RootKey::open(folder.path()).unwrap();
    }
}
