//! One token, with the sessions that are open to it.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::address::TokenAddress;
use crate::fault::Fault;

/// How many sessions are kept for the next signature; more are opened when more sign at once.
const MOST_IDLE: usize = 16;

/// Held alone while keys are made or destroyed, and shared by all other work: SoftHSM 2.6 fails to
/// make a key while another thread of the process makes, finds or uses one.
static MANAGING: RwLock<()> = RwLock::new(());

/// Nobody else in this process uses a token as long as this is there.
pub(super) struct Managing(
    #[expect(dead_code, reason = "it is held")] RwLockWriteGuard<'static, ()>,
);

/// Waits until no other thread uses a token.
pub(super) fn managing() -> Managing {
    Managing(MANAGING.write().unwrap_or_else(PoisonError::into_inner))
}

fn using() -> RwLockReadGuard<'static, ()> {
    MANAGING.read().unwrap_or_else(PoisonError::into_inner)
}

/// A token that we are logged in to.
pub(super) struct Token {
    address: TokenAddress,
    context: Pkcs11,
    pin: AuthPin,
    /// A session is used by one thread at a time (PKCS #11 3.0 2.6.7).
    idle: Mutex<Vec<Session>>,
    /// Why the token does not let us in any more. It is not asked again: after a few wrong secrets
    /// it would lock itself.
    refused: Mutex<Option<String>>,
}

/// Why work in a session failed.
pub(super) struct Failed(Error);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl Token {
    pub(super) fn open(address: TokenAddress) -> Result<Self, Fault> {
        let unusable = |detail: String| Fault::TokenUnusable(detail);
        let pin = address.pin().map_err(|error| unusable(error.to_string()))?;
        let module = address.module.display();
        let context = Pkcs11::new(&address.module)
            .map_err(|error| unusable(format!("the library {module}: {error}")))?;
        // Another user of the library in this process has done it already.
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(unusable(format!("the library {module}: {error}"))),
        }
        let token = Self {
            address,
            context,
            pin: AuthPin::from(pin.as_str()),
            idle: Mutex::default(),
            refused: Mutex::default(),
        };
        let _using = using();
        // What is not there when it is named is named wrongly, as far as one can tell.
        token.slot().map_err(|fault| match fault {
            Fault::TokenFailed(detail) => Fault::TokenUnusable(detail),
            other => other,
        })?;
        let session = token.session()?;
        token.idle().push(session);
        Ok(token)
    }

    pub(super) fn address(&self) -> &TokenAddress {
        &self.address
    }

    /// Works in a session beside others.
    pub(super) fn with_session<T>(
        &self,
        work: impl Fn(&Session) -> Result<T, Failed>,
    ) -> Result<T, Fault> {
        let _using = using();
        self.in_session(work)
    }

    /// Works in a session while nobody else does.
    pub(super) fn managed<T>(
        &self,
        _: &Managing,
        work: impl Fn(&Session) -> Result<T, Failed>,
    ) -> Result<T, Fault> {
        self.in_session(work)
    }

    /// Works in a session; once more in another if that one has ended, as after the token was taken
    /// out and put back.
    fn in_session<T>(&self, work: impl Fn(&Session) -> Result<T, Failed>) -> Result<T, Fault> {
        let idle = self.idle().pop();
        let was_idle = idle.is_some();
        let session = match idle {
            Some(session) => session,
            None => self.session()?,
        };
        match work(&session) {
            Ok(done) => {
                self.give_back(session);
                Ok(done)
            }
            Err(Failed(error)) if was_idle && has_ended(&error) => {
                drop(session);
                // The others have ended with it.
                self.idle().clear();
                let session = self.session()?;
                let done = work(&session).map_err(|Failed(error)| failed(&error))?;
                self.give_back(session);
                Ok(done)
            }
            // What is half done in a session ends with it.
            Err(Failed(error)) => Err(failed(&error)),
        }
    }

    /// Sees what other programs have put into the token, before this one changes it: SoftHSM 2.6 counts
    /// changes, and would take theirs for seen.
    pub(super) fn look(&self, managing: &Managing) -> Result<(), Fault> {
        let none = [Attribute::Class(ObjectClass::DOMAIN_PARAMETERS)];
        self.managed(managing, |session| Ok(session.find_objects(&none)?))?;
        Ok(())
    }

    /// The object of a class with an identifier. Two are none: nobody could tell which signs.
    pub(super) fn find(
        &self,
        class: ObjectClass,
        id: &[u8],
    ) -> Result<Option<ObjectHandle>, Fault> {
        let _using = using();
        self.find_here(class, id)
    }

    /// As [`Token::find`], while nobody else works with it.
    pub(super) fn find_managed(
        &self,
        _: &Managing,
        class: ObjectClass,
        id: &[u8],
    ) -> Result<Option<ObjectHandle>, Fault> {
        self.find_here(class, id)
    }

    fn find_here(&self, class: ObjectClass, id: &[u8]) -> Result<Option<ObjectHandle>, Fault> {
        let template = [Attribute::Class(class), Attribute::Id(id.to_vec())];
        let found = self.in_session(|session| Ok(session.find_objects(&template)?))?;
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            _ => Err(Fault::NoSuchKey(
                "two of its keys have one identifier".to_owned(),
            )),
        }
    }

    fn session(&self) -> Result<Session, Fault> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(detail) = refused.as_ref() {
            return Err(Fault::TokenUnusable(detail.clone()));
        }
        let session = self
            .context
            .open_rw_session(self.slot()?)
            .map_err(|error| failed(&error))?;
        match session.login(UserType::User, Some(&self.pin)) {
            // All sessions of a process are logged in together (PKCS #11 3.0 2.6.4).
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(
                error @ (RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::PinLocked),
                _,
            )) => {
                let detail = format!("it refuses the secret of {}: {error}", self.pin_file());
                Err(Fault::TokenUnusable(refused.insert(detail).clone()))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    fn slot(&self) -> Result<Slot, Fault> {
        let failed = |error: Error| failed(&error);
        let mut found = Vec::new();
        for slot in self.context.get_slots_with_token().map_err(failed)? {
            // A slot that says nothing of itself is not the one.
            let Ok(info) = self.context.get_token_info(slot) else {
                continue;
            };
            let serial = self.address.serial.as_deref();
            if info.label().trim_end() == self.address.token
                && serial.is_none_or(|serial| info.serial_number().trim_end() == serial)
            {
                found.push(slot);
            }
        }
        let label = &self.address.token;
        match found.as_slice() {
            [one] => Ok(*one),
            // It may be put back.
            [] => Err(Fault::TokenFailed(format!(
                "there is no token with the label `{label}`"
            ))),
            _ => Err(Fault::TokenUnusable(format!(
                "several tokens have the label `{label}`; add `serial=` to the address"
            ))),
        }
    }

    fn pin_file(&self) -> String {
        self.address.pin_file.display().to_string()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, session: Session) {
        let mut idle = self.idle();
        if idle.len() < MOST_IDLE {
            idle.push(session);
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("label", &self.address.token)
            .finish_non_exhaustive()
    }
}

fn has_ended(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::SessionClosed
                | RvError::SessionHandleInvalid
                | RvError::UserNotLoggedIn
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::DeviceRemoved
                | RvError::DeviceError,
            _
        )
    )
}

/// Whether what was to be decrypted is not what was encrypted with that key and context.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange | RvError::GeneralError,
            _
        )
    )
}

fn failed(error: &Error) -> Fault {
    Fault::TokenFailed(error.to_string())
}
