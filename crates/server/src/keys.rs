//! The private keys of one tenant: sealed in the store, or kept elsewhere, as in a token.

use std::sync::Arc;

use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use avouch_issuer::fault::Fault as IssuerFault;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::key_manager::{FileKeys, Kept, KeyManager, NewKey};
use avouch_issuer::pkcs11::{Pkcs11Keys, WrappingKey};
use avouch_issuer::signer::{Origin, Signer, SigningKind};
use avouch_store::keyring::{RootKeeper, RootKey, Sealed, SecretOf, TenantKey};
use avouch_store::{AuthorityId, AuthorityRecord, TenantRecord};
use zeroize::Zeroizing;

use crate::fault::{Fault, Refused};
use crate::plane::Plane;

pub use avouch_issuer::pkcs11::TokenAddress;

/// Makes, seals and finds the private keys of one tenant.
pub(crate) struct Keys {
    sealing: TenantKey,
    manager: Arc<dyn KeyManager>,
}

/// Where a private key is, as the store remembers it.
pub(crate) struct Place {
    pub(crate) sealed: Option<Sealed>,
    pub(crate) address: Option<String>,
}

impl Keys {
    pub(crate) fn of(sealing: TenantKey, manager: Arc<dyn KeyManager>) -> Self {
        Self { sealing, manager }
    }

    /// What seals the other secrets of the tenant.
    pub(crate) fn sealing(&self) -> &TenantKey {
        &self.sealing
    }

    /// P-256: every SPIFFE client knows it, and tokens allow no other of our kinds.
    pub(crate) fn generate(
        &self,
        tenant: &TenantId,
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        Ok(self.manager.generate(tenant, SigningKind::P256, name)?)
    }

    /// Takes in a key as unencrypted DER PKCS#8.
    pub(crate) fn import(
        &self,
        tenant: &TenantId,
        pkcs8: &[u8],
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        Ok(self.manager.import(tenant, pkcs8, name)?)
    }

    /// Where a new key of an authority is, for the store.
    pub(crate) fn place(&self, id: &AuthorityId, kept: &Kept) -> Result<Place, Fault> {
        Ok(match kept {
            Kept::Here(pkcs8) => Place {
                sealed: Some(self.sealing.seal(SecretOf::Authority(id), pkcs8)?),
                address: None,
            },
            Kept::Elsewhere(address) => Place {
                sealed: None,
                address: Some(address.clone()),
            },
        })
    }

    /// What signs for an authority, if it still has a key.
    pub(crate) fn open(&self, record: &AuthorityRecord) -> Result<Option<Arc<dyn Signer>>, Fault> {
        let signer = match (&record.private_key, &record.key_address) {
            (Some(sealed), _) => {
                let pkcs8 = self.sealing.open(SecretOf::Authority(&record.id), sealed)?;
                FileKeys.open(&Kept::Here(pkcs8))?
            }
            (None, Some(address)) => self.manager.open(&Kept::Elsewhere(address.clone()))?,
            (None, None) => return Ok(None),
        };
        Ok(Some(signer))
    }

    /// What signs with a key that someone else has put where keys are made.
    ///
    /// # Errors
    ///
    /// `issue.key_address_refused`, or what failed on our side.
    pub(crate) fn bring(&self, address: &str) -> Result<NewKey, Refused> {
        self.manager.bring(address).map_err(not_brought)
    }

    /// Destroys a key that is kept elsewhere.
    pub(crate) fn destroy(&self, address: &str) -> Result<(), Fault> {
        Ok(self.manager.destroy(address)?)
    }
}

/// What is wrong with an address or its key is told to whoever names it. What is wrong with the token
/// is ours, and may name files of this server.
fn not_brought(fault: IssuerFault) -> Refused {
    let detail = match fault {
        IssuerFault::NoSuchKey(detail) => detail,
        IssuerFault::KeyUnusable(detail) => detail.to_owned(),
        fault => return fault.into(),
    };
    Reason::IssueKeyAddress { detail }.into()
}

/// Where the private key of an authority is, as a word; none once it is destroyed.
pub(crate) fn origin_of(record: &AuthorityRecord) -> Option<&'static str> {
    match (&record.private_key, &record.key_address) {
        (Some(_), _) => Some(Origin::File.name()),
        (None, Some(address)) if address.starts_with("pkcs11:") => Some(Origin::Pkcs11.name()),
        (None, Some(_)) => Some(Origin::Memory.name()),
        (None, None) => None,
    }
}

/// The token of a deployment, in which keys of authorities are made and stay.
#[derive(Debug)]
pub struct TokenKeys(Pkcs11Keys);

impl TokenKeys {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub fn open(address: TokenAddress) -> Result<Self, Fault> {
        Ok(Self(Pkcs11Keys::open(address)?))
    }

    /// The root key in it. It is made as long as there is no tenant whose key it would have to open.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub fn root_key(&self, tenants: &[TenantRecord]) -> Result<RootKey, Fault> {
        let key = self.0.wrapping_key(tenants.is_empty())?;
        Ok(RootKey::kept_by(Box::new(RootInToken(key))))
    }
}

impl Plane {
    /// Whether the keys of authorities are at hand.
    ///
    /// # Errors
    ///
    /// Why they are not.
    pub(crate) fn check_keys(&self) -> Result<(), Fault> {
        Ok(self.settings.keys.check()?)
    }
}

impl KeyManager for TokenKeys {
    fn origin(&self) -> Origin {
        self.0.origin()
    }

    fn check(&self) -> Result<(), IssuerFault> {
        self.0.check()
    }

    fn generate(
        &self,
        tenant: &TenantId,
        kind: SigningKind,
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, IssuerFault> {
        self.0.generate(tenant, kind, name)
    }

    fn import(
        &self,
        tenant: &TenantId,
        pkcs8: &[u8],
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, IssuerFault> {
        self.0.import(tenant, pkcs8, name)
    }

    fn open(&self, kept: &Kept) -> Result<Arc<dyn Signer>, IssuerFault> {
        self.0.open(kept)
    }

    fn bring(&self, address: &str) -> Result<NewKey, IssuerFault> {
        self.0.bring(address)
    }

    fn destroy(&self, address: &str) -> Result<(), IssuerFault> {
        self.0.destroy(address)
    }
}

/// The root key in a token.
struct RootInToken(WrappingKey);

impl RootKeeper for RootInToken {
    fn wrap(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, String> {
        self.0
            .wrap(context, secret)
            .map_err(|fault| fault.to_string())
    }

    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let opened = self.0.unwrap(context, wrapped);
        opened.map_err(|fault| fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_names_a_key_learns_what_is_wrong_with_it_and_nothing_of_the_token() {
        let missing = || "there is no key pkcs11:token=t;id=%01 in it".to_owned();
        for fault in [
            IssuerFault::NoSuchKey(missing()),
            IssuerFault::KeyUnusable("it can be taken out of the token"),
        ] {
            let Refused::Reason(reason) = not_brought(fault) else {
                panic!("a fault of ours");
            };
            assert_eq!(reason.code(), "issue.key_address_refused");
        }
        let secret = "it refuses the secret of /etc/avouch/pin: CKR_PIN_INCORRECT";
        for fault in [
            IssuerFault::TokenUnusable(secret.to_owned()),
            IssuerFault::TokenFailed("CKR_DEVICE_REMOVED".to_owned()),
            IssuerFault::NoRandomness,
        ] {
            let refused = not_brought(fault);
            assert!(matches!(refused, Refused::Fault(_)), "{refused}");
        }
    }
}
