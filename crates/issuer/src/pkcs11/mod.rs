//! Issuing keys in a token that speaks PKCS #11: a hardware security module, or a program that
//! stands for one. A key is made in the token and never leaves it.

mod address;
mod material;
mod token;

use std::sync::Arc;

use avouch_core::id::{TenantId, hex};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::key::PublicHalf;
use crate::key_manager::{FileKeys, Kept, KeyManager, NewKey};
use crate::signer::{Origin, Signature, Signer, SigningKind};
pub use address::{InvalidAddress, TokenAddress};
use material::{Material, PUBLIC, curve, public_half};
use token::{Failed, Held, Managing, Token, managing, of_class};

/// What stands before a SHA-256 digest that is signed with RSA: the beginning of a `DigestInfo`
/// (RFC 8017 9.2 note 1).
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Makes, finds and destroys issuing keys in one token. Keys that are made there are P-256.
#[derive(Debug)]
pub struct Pkcs11Keys {
    token: Arc<Token>,
}

impl Pkcs11Keys {
    /// Opens the token of an address, and says who we are to it once.
    ///
    /// # Errors
    ///
    /// [`Fault::TokenUnusable`] where it is not there, or refuses; a wrong secret is not tried a
    /// second time, because tokens lock themselves.
    pub fn open(address: TokenAddress) -> Result<Self, Fault> {
        let token = Arc::new(Token::open(address)?);
        Ok(Self { token })
    }

    /// The key of the token that wraps the keys of tenants, made if it is missing and may be.
    ///
    /// # Errors
    ///
    /// [`Fault::TokenUnusable`] where it is missing and may not be made, or the token does not know
    /// AES-GCM; or what else failed on our side.
    pub fn wrapping_key(&self, may_make: bool) -> Result<WrappingKey, Fault> {
        WrappingKey::open(Arc::clone(&self.token), may_make)
    }

    fn find(&self, id: &[u8]) -> Result<TokenKey, Fault> {
        let address = self.token.address().of_key(id);
        let name = format!("of the key {address} a half");
        let (held, read) = self.token.with_session(|session| {
            let template = of_class(ObjectClass::PRIVATE_KEY, id);
            let private = self.token.hold(session, template, &name)?;
            let template = of_class(ObjectClass::PUBLIC_KEY, id);
            let public = self.token.hold(session, template, &name)?;
            let read = session.get_attributes(self.token.handle(&public, session)?, &PUBLIC)?;
            Ok((private, read))
        })?;
        Ok(TokenKey {
            token: Arc::clone(&self.token),
            public: public_half(&read)?,
            held,
        })
    }

    fn new_key(&self, public: PublicHalf, held: Held, id: &[u8]) -> NewKey {
        NewKey {
            kept: Kept::Elsewhere(self.token.address().of_key(id)),
            signer: Arc::new(TokenKey {
                token: Arc::clone(&self.token),
                held,
                public,
            }),
        }
    }

    /// A private key that was made or taken in just now.
    fn made(&self, managing: &Managing, handle: ObjectHandle, id: &[u8]) -> Held {
        let template = of_class(ObjectClass::PRIVATE_KEY, id);
        self.token.hold_made(managing, template, handle)
    }
}

impl KeyManager for Pkcs11Keys {
    fn origin(&self) -> Origin {
        Origin::Pkcs11
    }

    fn check(&self) -> Result<(), Fault> {
        self.token.check()
    }

    fn generate(
        &self,
        tenant: &TenantId,
        kind: SigningKind,
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        if kind != SigningKind::P256 {
            return Err(Fault::KeyUnusable(
                "keys that are made in a token are P-256",
            ));
        }
        let curve = curve()?;
        let managing = managing();
        self.token.look(&managing)?;
        let (public, private) = self.token.managed(&managing, |session| {
            let public = [
                Attribute::Token(true),
                Attribute::Private(false),
                Attribute::KeyType(KeyType::EC),
                Attribute::Verify(true),
                Attribute::EcParams(curve.clone()),
            ];
            let mut private = held_template();
            private.push(Attribute::Sign(true));
            Ok(session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?)
        })?;
        let made = self.token.managed(&managing, |session| {
            let read = session.get_attributes(public, &[AttributeType::EcPoint])?;
            let kept = [
                AttributeType::Extractable,
                AttributeType::NeverExtractable,
                AttributeType::Local,
            ];
            let is_held = session.get_attributes(private, &kept)?.iter().all(|one| {
                matches!(
                    one,
                    Attribute::Extractable(false)
                        | Attribute::NeverExtractable(true)
                        | Attribute::Local(true)
                )
            });
            Ok((read, is_held))
        });
        let named = made.and_then(|(point, is_held)| {
            if !is_held {
                return Err(Fault::TokenUnusable(
                    "it makes keys that can be taken out of it".to_owned(),
                ));
            }
            let public_half = public_half(&point)?;
            let id = public_half.identifier().to_vec();
            let label = label(tenant, &name(&public_half));
            let named = [Attribute::Id(id.clone()), Attribute::Label(label)];
            self.token.managed(&managing, |session| {
                session.update_attributes(public, &named)?;
                Ok(session.update_attributes(private, &named)?)
            })?;
            Ok(self.new_key(public_half, self.made(&managing, private, &id), &id))
        });
        if named.is_err() {
            // Nobody would find it again.
            for handle in [private, public] {
                drop(
                    self.token
                        .managed(&managing, |session| Ok(session.destroy_object(handle)?)),
                );
            }
        }
        named
    }

    fn import(
        &self,
        tenant: &TenantId,
        pkcs8: &[u8],
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        let read = FileKeys.import(tenant, pkcs8, name)?;
        let public = read.signer.public_half().clone();
        let material = Material::of(pkcs8, &public)?;
        let id = public.identifier().to_vec();
        let label = label(tenant, &name(&public));
        let mut common = vec![
            Attribute::Token(true),
            Attribute::Id(id.clone()),
            Attribute::Label(label),
        ];
        common.extend(material.common);
        let managing = managing();
        self.token.look(&managing)?;
        let private = self.token.managed(&managing, |session| {
            let mut template = vec![
                Attribute::Class(ObjectClass::PRIVATE_KEY),
                Attribute::Sign(true),
            ];
            template.extend(material.private.clone());
            template.extend(held_template().into_iter().skip(1));
            template.extend(common.clone());
            let private = session.create_object(&template)?;
            let mut template = vec![
                Attribute::Class(ObjectClass::PUBLIC_KEY),
                Attribute::Private(false),
                Attribute::Verify(true),
            ];
            template.extend(material.public.clone());
            template.extend(common.clone());
            session.create_object(&template)?;
            Ok(private)
        })?;
        let held = self.made(&managing, private, &id);
        Ok(self.new_key(public, held, &id))
    }

    fn open(&self, kept: &Kept) -> Result<Arc<dyn Signer>, Fault> {
        let Kept::Elsewhere(address) = kept else {
            return FileKeys.open(kept);
        };
        let id = self.token.address().key_id(address).ok_or_else(|| {
            Fault::TokenUnusable(format!("the key {address} is not in the token of `--keys`"))
        })?;
        Ok(Arc::new(self.find(&id)?))
    }

    fn bring(&self, address: &str) -> Result<NewKey, Fault> {
        let id = self.token.address().key_id_strictly(address);
        let id = id.map_err(Fault::KeyUnusable)?;
        let key = self.find(&id)?;
        let said = [
            AttributeType::Label,
            AttributeType::Sensitive,
            AttributeType::Extractable,
        ];
        let said = self.token.with_held(&key.held, |session, handle| {
            Ok(session.get_attributes(handle, &said)?)
        })?;
        check_brought(&said).map_err(Fault::KeyUnusable)?;
        // It is tried out: a token may ask for a secret each time, or have another private half.
        let trial = trial()?;
        let signature = key.sign(&trial).map_err(|fault| match fault {
            Fault::TokenFailed(detail) => {
                Fault::NoSuchKey(format!("it does not sign with that key: {detail}"))
            }
            other => other,
        })?;
        key.check(&trial, &signature)
            .map_err(|_| Fault::KeyUnusable("its public half is that of another key"))?;
        Ok(self.new_key(key.public, key.held, &id))
    }

    fn destroy(&self, address: &str) -> Result<(), Fault> {
        let Some(id) = self.token.address().key_id(address) else {
            return Err(Fault::TokenUnusable(format!(
                "the key {address} is not in the token of `--keys`"
            )));
        };
        let managing = managing();
        // Of a token that is away nothing is found, and the key would count as gone.
        self.token.look(&managing)?;
        // The private half first: what is left after a failure between them cannot sign.
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            if let Some(handle) = self.token.find_managed(&managing, class, &id)? {
                self.token
                    .managed(&managing, |session| Ok(session.destroy_object(handle)?))?;
            }
        }
        Ok(())
    }
}

/// With what the labels begin of the keys that are made or taken in here.
const OWN_LABEL: &str = "avouch ";

/// How a key of a tenant is labelled in the token.
fn label(tenant: &TenantId, name: &str) -> Vec<u8> {
    format!("{OWN_LABEL}{tenant} {name}").into_bytes()
}

/// How a text begins that a key is tried out with. It is signed without a record, so it must be nothing
/// that anyone believes: no certificate, list or request, which are DER and begin with 0x30, and no token,
/// whose signing input has no space (RFC 7515 5.1).
const TRIAL: &str = "avouch tries a key out, and says nothing with it: ";

/// What a key is tried out with. Nobody who names a key has a part in it, and it is never the same again.
fn trial() -> Result<Vec<u8>, Fault> {
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Fault::NoRandomness)?;
    Ok(format!("{TRIAL}{}", hex(&random)).into_bytes())
}

/// Whether a private key that someone has put into the token may sign for an authority, by what the
/// token says of it.
fn check_brought(said: &[Attribute]) -> Result<(), &'static str> {
    let label = said.iter().find_map(|one| match one {
        Attribute::Label(label) => Some(label),
        _ => None,
    });
    // Without one nobody could tell it from a key that was made here.
    let label = label.ok_or("the token does not say how it is labelled")?;
    if label.starts_with(OWN_LABEL.as_bytes()) {
        return Err("its label says that it was made here, for whoever is named there");
    }
    let is_held =
        said.contains(&Attribute::Sensitive(true)) && said.contains(&Attribute::Extractable(false));
    if !is_held {
        return Err("it can be taken out of the token");
    }
    Ok(())
}

/// A private key in the token.
struct TokenKey {
    token: Arc<Token>,
    held: Held,
    public: PublicHalf,
}

impl Signer for TokenKey {
    fn public_half(&self) -> &PublicHalf {
        &self.public
    }

    fn origin(&self) -> Origin {
        Origin::Pkcs11
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, Fault> {
        // The token signs a digest: not every one hashes, and none as fast.
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message);
        let is_rsa = SigningKind::of(self.public.kind()) == Some(SigningKind::Rsa);
        let (mechanism, signed) = if is_rsa {
            let signed = [DIGEST_INFO.as_slice(), digest.as_ref()].concat();
            (Mechanism::RsaPkcs, signed)
        } else {
            (Mechanism::Ecdsa, digest.as_ref().to_vec())
        };
        let signed = self.token.with_held(&self.held, |session, handle| {
            Ok(session.sign(&mechanism, handle, &signed)?)
        })?;
        if is_rsa {
            return Ok(Signature::of_rsa(signed));
        }
        let signature = <[u8; 64]>::try_from(signed.as_slice());
        signature
            .map(Signature::new)
            .map_err(|_| Fault::SignerFailed("a signature of the token is not 64 bytes long"))
    }
}

/// An AES key in the token, which wraps and unwraps what is kept outside of it.
#[derive(Debug)]
pub struct WrappingKey {
    token: Arc<Token>,
    held: Held,
}

/// How the key is labelled; one token wraps for one deployment.
const WRAPPING_LABEL: &[u8] = b"avouch root key";

const NONCE_BYTES: usize = 12;
const TAG_BITS: u64 = 128;

impl WrappingKey {
    fn open(token: Arc<Token>, may_make: bool) -> Result<Self, Fault> {
        let managing = managing();
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Label(WRAPPING_LABEL.to_vec()),
        ];
        let found = token.managed(&managing, |session| Ok(session.find_objects(&template)?))?;
        let handle = match found.as_slice() {
            [one] => *one,
            [] if may_make => token.managed(&managing, |session| {
                let mut template = held_template();
                template.extend([
                    Attribute::Label(WRAPPING_LABEL.to_vec()),
                    Attribute::ValueLen(32.into()),
                    Attribute::Encrypt(true),
                    Attribute::Decrypt(true),
                ]);
                Ok(session.generate_key(&Mechanism::AesKeyGen, &template)?)
            })?,
            [] => {
                return Err(Fault::TokenUnusable(
                    "the root key is not in it, and there are tenants whose keys only that one opens"
                        .to_owned(),
                ));
            }
            _ => {
                return Err(Fault::TokenUnusable(
                    "there are several keys with the label `avouch root key` in it".to_owned(),
                ));
            }
        };
        let held = token.hold_made(&managing, template.to_vec(), handle);
        Ok(Self { token, held })
    }

    /// Wraps a secret together with what it is for, with AES-256-GCM (NIST SP 800-38D).
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn wrap(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut nonce = [0; NONCE_BYTES];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Fault::NoRandomness)?;
        let text = self.token.with_held(&self.held, |session, handle| {
            let mut nonce = nonce;
            let mechanism = gcm(&mut nonce, context)?;
            Ok(session.encrypt(&mechanism, handle, secret)?)
        })?;
        Ok([nonce.as_slice(), &text].concat())
    }

    /// Unwraps what was wrapped with the same context, or says that it was not.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn unwrap(
        &self,
        context: &[u8],
        wrapped: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        let Some((nonce, text)) = wrapped.split_first_chunk::<NONCE_BYTES>() else {
            return Ok(None);
        };
        self.token.with_held(&self.held, |session, handle| {
            let mut nonce = *nonce;
            let mechanism = gcm(&mut nonce, context)?;
            match session.decrypt(&mechanism, handle, text) {
                Ok(secret) => Ok(Some(Zeroizing::new(secret))),
                Err(error) if token::is_damage(&error) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }
}

fn gcm<'a>(nonce: &'a mut [u8], context: &'a [u8]) -> Result<Mechanism<'a>, Failed> {
    let parameters = cryptoki::mechanism::aead::GcmParams::new(nonce, context, TAG_BITS.into())?;
    Ok(Mechanism::AesGcm(parameters))
}

/// What every secret of ours in the token is like: it stays there. `Token` is the first.
fn held_template() -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_brought_along_if_it_was_not_made_here_and_cannot_be_taken_out() {
        let said = |label: &str, sensitive, extractable| {
            check_brought(&[
                Attribute::Label(label.as_bytes().to_vec()),
                Attribute::Sensitive(sensitive),
                Attribute::Extractable(extractable),
            ])
        };
        assert_eq!(said("corporate root", true, false), Ok(()));
        assert_eq!(said("avouched", true, false), Ok(()));
        for refused in [
            said("avouch demo 3f2a", true, false),
            said("avouch ", true, false),
            said("corporate root", false, false),
            said("corporate root", true, true),
            check_brought(&[Attribute::Label(b"corporate root".to_vec())]),
            check_brought(&[Attribute::Sensitive(true), Attribute::Extractable(false)]),
            check_brought(&[]),
        ] {
            assert!(refused.is_err());
        }
        assert!(label(&TenantId::parse("demo").unwrap(), "3f2a").starts_with(OWN_LABEL.as_bytes()));
    }

    #[test]
    fn what_a_key_is_tried_out_with_is_no_credential_and_never_the_same() {
        let (one, other) = (trial().unwrap(), trial().unwrap());
        assert_ne!(one, other);
        for text in [one, other] {
            let random = text.strip_prefix(TRIAL.as_bytes()).unwrap();
            assert_eq!(random.len(), 64);
            // Neither the beginning of DER nor all of a token.
            assert_ne!(text.first(), Some(&0x30));
            assert!(text.contains(&b' '));
        }
    }
}
