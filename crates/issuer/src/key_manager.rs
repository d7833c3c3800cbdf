//! Where issuing keys are made, found again and destroyed.
//!
//! ```text
//! KeyManager ──generate──► NewKey { signer, kept }     kept here (to be sealed) or elsewhere
//!            ◄──open────── the same, years later
//!            ──destroy───► gone
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_core::id::{TenantId, hex};
use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::key::PublicHalf;
use crate::signer::{Origin, Signer, SigningKind, SoftwareKey};

/// Makes issuing keys, finds them again and destroys them.
pub trait KeyManager: fmt::Debug + Send + Sync {
    /// Where its keys are.
    fn origin(&self) -> Origin;

    /// Whether its keys are at hand now.
    ///
    /// # Errors
    ///
    /// Why they are not.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Makes a new key for an authority of a tenant. `name` says how the authority of a public key
    /// is called, so that who looks into a token sees whose key it is.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    fn generate(
        &self,
        tenant: &TenantId,
        kind: SigningKind,
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault>;

    /// Takes in a key that was made elsewhere, as unencrypted DER PKCS#8.
    ///
    /// # Errors
    ///
    /// [`Fault::KeyUnusable`], or what else failed on our side.
    fn import(
        &self,
        tenant: &TenantId,
        pkcs8: &[u8],
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault>;

    /// Opens a key that was made before.
    ///
    /// # Errors
    ///
    /// [`Fault::KeyUnusable`] or [`Fault::NoSuchKey`] where the key is not there, or what else failed
    /// on our side.
    fn open(&self, kept: &Kept) -> Result<Arc<dyn Signer>, Fault>;

    /// Opens a key that was put where keys are made by someone else, to sign with it from now on. One
    /// that was made here is not taken: whoever names it may not be whose it is.
    ///
    /// # Errors
    ///
    /// [`Fault::KeyUnusable`] or [`Fault::NoSuchKey`] for what is wrong with the address or the key, or
    /// what else failed on our side.
    fn bring(&self, address: &str) -> Result<NewKey, Fault> {
        let _ = address;
        Err(Fault::KeyUnusable(
            "keys are not in a token here, which `--keys` would name",
        ))
    }

    /// Destroys a key. One that is gone already is no fault.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    fn destroy(&self, address: &str) -> Result<(), Fault>;
}

/// A key that was made or taken in just now.
pub struct NewKey {
    /// Signs with it.
    pub signer: Arc<dyn Signer>,
    /// Where it is to be found.
    pub kept: Kept,
}

/// Where a private key is to be found again.
pub enum Kept {
    /// With whoever holds this: the key itself as unencrypted DER PKCS#8, to be sealed and stored.
    Here(Zeroizing<Vec<u8>>),
    /// With the key manager, under this address, in which there is no secret.
    Elsewhere(String),
}

/// Keys that their user seals and stores.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileKeys;

impl KeyManager for FileKeys {
    fn origin(&self) -> Origin {
        Origin::File
    }

    fn generate(
        &self,
        tenant: &TenantId,
        kind: SigningKind,
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        let made = SoftwareKey::generate(kind)?.to_pkcs8()?;
        self.import(tenant, &made, name)
    }

    fn import(
        &self,
        _: &TenantId,
        pkcs8: &[u8],
        _: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        Ok(NewKey {
            signer: Arc::new(SoftwareKey::from_pkcs8(pkcs8, Origin::File)?),
            kept: Kept::Here(Zeroizing::new(pkcs8.to_vec())),
        })
    }

    fn open(&self, kept: &Kept) -> Result<Arc<dyn Signer>, Fault> {
        match kept {
            Kept::Here(pkcs8) => Ok(Arc::new(SoftwareKey::from_pkcs8(pkcs8, Origin::File)?)),
            Kept::Elsewhere(_) => Err(Fault::KeyUnusable(
                "it is kept in a token, which `--keys` must name",
            )),
        }
    }

    fn destroy(&self, _: &str) -> Result<(), Fault> {
        Err(Fault::KeyUnusable(
            "it is kept in a token, which `--keys` must name",
        ))
    }
}

/// Keys in the memory of this process, gone with it: for trying out and for tests.
#[derive(Default)]
pub struct MemoryKeys(Mutex<BTreeMap<String, Arc<dyn Signer>>>);

impl MemoryKeys {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<String, Arc<dyn Signer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: SoftwareKey) -> NewKey {
        let address = format!("memory:{}", hex(&key.public_half().identifier()));
        let signer: Arc<dyn Signer> = Arc::new(key);
        self.keys().insert(address.clone(), Arc::clone(&signer));
        NewKey {
            signer,
            kept: Kept::Elsewhere(address),
        }
    }
}

impl KeyManager for MemoryKeys {
    fn origin(&self) -> Origin {
        Origin::Memory
    }

    fn generate(
        &self,
        _: &TenantId,
        kind: SigningKind,
        _: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        Ok(self.keep(SoftwareKey::generate(kind)?))
    }

    fn import(
        &self,
        _: &TenantId,
        pkcs8: &[u8],
        _: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        Ok(self.keep(SoftwareKey::from_pkcs8(pkcs8, Origin::Memory)?))
    }

    fn open(&self, kept: &Kept) -> Result<Arc<dyn Signer>, Fault> {
        let Kept::Elsewhere(address) = kept else {
            return FileKeys.open(kept);
        };
        let keys = self.keys();
        let found = keys.get(address).map(Arc::clone);
        found.ok_or(Fault::KeyUnusable("it ended with the process that had it"))
    }

    fn destroy(&self, address: &str) -> Result<(), Fault> {
        self.keys().remove(address);
        Ok(())
    }
}

impl fmt::Debug for MemoryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryKeys({})", self.keys().len())
    }
}
