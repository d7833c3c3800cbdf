//! One token, with the sessions that are open to it.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
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

/// How often the library has begun anew in this process. Numbers of sessions and of objects from before
/// that mean others by now.
static BEGUN_ANEW: AtomicU64 = AtomicU64::new(0);

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
    idle: Mutex<Vec<(Era, Session)>>,
    /// How often its sessions have ended all at once.
    ended: AtomicU64,
    /// Why the token does not let us in any more. It is not asked again: after a few wrong secrets
    /// it would lock itself.
    refused: Mutex<Option<String>>,
}

/// The time between two ends of all sessions, in which numbers of sessions and of objects mean the same
/// (PKCS #11 3.0 2.6.1, 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Era {
    begun_anew: u64,
    ended: u64,
}

/// Why work in a session failed.
pub(super) enum Failed {
    /// What the token says.
    Token(Error),
    /// The key is not in it.
    Missing(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}

impl From<Failed> for Fault {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Token(error) => self::failed(&error),
            Failed::Missing(detail) => Self::NoSuchKey(detail),
        }
    }
}

/// An object that is kept in the token, and its number, which is another in each era.
#[derive(Debug)]
pub(super) struct Held {
    template: Vec<Attribute>,
    found: Mutex<(Era, ObjectHandle)>,
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
            ended: AtomicU64::new(0),
            refused: Mutex::default(),
        };
        let _using = using();
        // What is not there when it is named is named wrongly, as far as one can tell.
        token.slot().map_err(|fault| match fault {
            Fault::TokenFailed(detail) => Fault::TokenUnusable(detail),
            other => other,
        })?;
        let session = token.session()?;
        token.give_back(token.era(), session);
        Ok(token)
    }

    pub(super) fn address(&self) -> &TokenAddress {
        &self.address
    }

    /// Whether it is there and lets us in; the library begins anew where it does not see it.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.with_session(|_| match self.slot() {
            Ok(_) => Ok(()),
            Err(_) => Err(Failed::from(Error::Pkcs11(
                RvError::TokenNotPresent,
                Function::GetTokenInfo,
            ))),
        })
    }

    /// Works in a session beside others. Where that fails it is done once more, as the token may have been
    /// away: the library begins anew where it does not see it. So it is work that may be done twice, and
    /// finds by itself what it needs, as numbers of objects mean others then.
    pub(super) fn with_session<T>(
        &self,
        work: impl Fn(&Session) -> Result<T, Failed>,
    ) -> Result<T, Fault> {
        {
            let _using = using();
            if let Ok(done) = self.in_session(&work) {
                return Ok(done);
            }
        }
        self.see_again(&managing())?;
        let _using = using();
        self.in_session(work)
    }

    /// Works with an object that is held, as [`Token::with_session`] does.
    pub(super) fn with_held<T>(
        &self,
        held: &Held,
        work: impl Fn(&Session, ObjectHandle) -> Result<T, Failed>,
    ) -> Result<T, Fault> {
        self.with_session(|session| work(session, self.handle(held, session)?))
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
        let idle = self.take_idle();
        let was_idle = idle.is_some();
        let (era, session) = match idle {
            Some(session) => (self.era(), session),
            None => (self.era(), self.session()?),
        };
        match work(&session) {
            Ok(done) => {
                self.give_back(era, session);
                Ok(done)
            }
            Err(Failed::Token(error)) if was_idle && has_ended(&error) => {
                self.ended.fetch_add(1, Ordering::Relaxed);
                drop(session);
                // The others have ended with it.
                self.idle().clear();
                let (era, session) = (self.era(), self.session()?);
                let done = work(&session)?;
                self.give_back(era, session);
                Ok(done)
            }
            // What is half done in a session ends with it. If it was the last, we are logged out, and
            // numbers of objects mean nothing any more.
            Err(failed) => {
                self.ended.fetch_add(1, Ordering::Relaxed);
                drop(session);
                Err(failed.into())
            }
        }
    }

    /// Has the library begin anew where it does not see the token: some look for tokens only then, and take
    /// one that was away for a moment for gone.
    ///
    /// Nobody else in the process may be using it, and whoever has sessions or numbers of objects from
    /// before does without them.
    fn see_again(&self, _: &Managing) -> Result<(), Fault> {
        match self.slot() {
            Ok(_) => return Ok(()),
            Err(Fault::TokenFailed(_)) => {}
            Err(other) => return Err(other),
        }
        // While their numbers are still theirs.
        self.idle().clear();
        BEGUN_ANEW.fetch_add(1, Ordering::Relaxed);
        match self.context.clone().finalize() {
            // As after a beginning that has failed.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiNotInitialized, _)) => {}
            Err(error) => return Err(failed(&error)),
        }
        let begun = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        self.context
            .initialize(begun)
            .map_err(|error| failed(&error))?;
        self.slot().map(drop)
    }

    fn era(&self) -> Era {
        Era {
            begun_anew: BEGUN_ANEW.load(Ordering::Relaxed),
            ended: self.ended.load(Ordering::Relaxed),
        }
    }

    /// Sees what other programs have put into the token, before this one changes it: SoftHSM 2.6 counts
    /// changes, and would take theirs for seen.
    ///
    /// It must be there: of one that is away the library shows that it is empty.
    pub(super) fn look(&self, managing: &Managing) -> Result<(), Fault> {
        self.see_again(managing)?;
        let none = [Attribute::Class(ObjectClass::DOMAIN_PARAMETERS)];
        self.managed(managing, |session| Ok(session.find_objects(&none)?))?;
        Ok(())
    }

    /// What is found by a template now, to be found again later; `name` is how it is called if it is
    /// missing. Two are none: nobody could tell which signs.
    pub(super) fn hold(
        &self,
        session: &Session,
        template: Vec<Attribute>,
        name: &str,
    ) -> Result<Held, Failed> {
        let era = self.era();
        let handle = one(session, &template, name)?;
        Ok(Held {
            template,
            found: Mutex::new((era, handle)),
        })
    }

    /// As [`Token::hold`], of what was made just now, while nobody else works with the token.
    pub(super) fn hold_made(
        &self,
        _: &Managing,
        template: Vec<Attribute>,
        handle: ObjectHandle,
    ) -> Held {
        Held {
            template,
            found: Mutex::new((self.era(), handle)),
        }
    }

    pub(super) fn handle(&self, held: &Held, session: &Session) -> Result<ObjectHandle, Failed> {
        let era = self.era();
        let mut found = held.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.0 != era {
            *found = (era, one(session, &held.template, "the key")?);
        }
        Ok(found.1)
    }

    /// The objects of a class with an identifier, while nobody else works with the token.
    pub(super) fn find_managed(
        &self,
        managing: &Managing,
        class: ObjectClass,
        id: &[u8],
    ) -> Result<Option<ObjectHandle>, Fault> {
        let template = of_class(class, id);
        let found = self.managed(managing, |session| Ok(session.find_objects(&template)?))?;
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            _ => Err(Fault::NoSuchKey(TWO.to_owned())),
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

    fn idle(&self) -> MutexGuard<'_, Vec<(Era, Session)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session of this era.
    fn take_idle(&self) -> Option<Session> {
        let now = self.era();
        let mut idle = self.idle();
        while let Some((era, session)) = idle.pop() {
            if era == now {
                return Some(session);
            }
            if era.begun_anew != now.begun_anew {
                // To close it would close whose number it is now.
                mem::forget(session);
            }
        }
        None
    }

    fn give_back(&self, era: Era, session: Session) {
        let mut idle = self.idle();
        if idle.len() < MOST_IDLE {
            idle.push((era, session));
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

const TWO: &str = "two of its keys have one identifier";

/// What finds the objects of a class with an identifier.
pub(super) fn of_class(class: ObjectClass, id: &[u8]) -> Vec<Attribute> {
    vec![Attribute::Class(class), Attribute::Id(id.to_vec())]
}

/// The one object that a template finds.
fn one(session: &Session, template: &[Attribute], name: &str) -> Result<ObjectHandle, Failed> {
    match session.find_objects(template)?.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failed::Missing(format!("{name} is not in it"))),
        _ => Err(Failed::Missing(TWO.to_owned())),
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
