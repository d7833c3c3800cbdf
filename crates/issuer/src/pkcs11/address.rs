//! The address of a token and of a key in it (RFC 7512, the PKCS #11 URI scheme).

use avouch_core::id::hex;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// The longest secret of a token, in bytes; those that exist take at most 255.
const LONGEST_PIN: u64 = 1_024;

/// The longest identifier of a key that someone names, in bytes; a digest has at most 64.
const LONGEST_KEY_ID: usize = 255;

/// Which token, by which library, opened with what: such as
/// `pkcs11:token=avouch?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/avouch/pin`.
///
/// The secret that opens the token stands in a file, never in the address: an address is seen by
/// everyone who sees the processes of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAddress {
    pub(super) token: String,
    pub(super) serial: Option<String>,
    pub(super) module: PathBuf,
    pub(super) pin_file: PathBuf,
}

/// Why an address, or the file it names, cannot be used.
#[derive(Debug, Error)]
pub enum InvalidAddress {
    /// It is not an address of a token.
    #[error("it is no address of a token (RFC 7512): {0}")]
    Malformed(String),
    /// The secret of the token is in the address.
    #[error(
        "the secret of the token does not belong on a command line; put it into a file with mode 0600 and name that with `pin-source`"
    )]
    PinShown,
    /// The file with the secret cannot be read.
    #[error("the file {path} with the secret of the token: {source}")]
    PinFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner can read or write the file with the secret.
    #[error(
        "the file {path} with the secret of the token has mode {mode:04o}; make it 0600, and think about who read it"
    )]
    PinExposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

impl TokenAddress {
    /// Reads an address: `token` and perhaps `serial` in its path, `module-path` and `pin-source`
    /// in its query.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`].
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let malformed = |detail: &str| InvalidAddress::Malformed(detail.to_owned());
        let rest = text
            .strip_prefix("pkcs11:")
            .ok_or_else(|| malformed("it does not begin with `pkcs11:`"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut token, mut serial, mut module, mut pin) = (None, None, None, None);
        for (name, value) in attributes(path, ';').chain(attributes(query, '&')) {
            let place = match name {
                "token" => &mut token,
                "serial" => &mut serial,
                "module-path" => &mut module,
                "pin-source" => &mut pin,
                "pin-value" => return Err(InvalidAddress::PinShown),
                _ => {
                    return Err(malformed(
                        "it takes `token`, `serial`, `module-path` and `pin-source`",
                    ));
                }
            };
            let value = unescaped(value).ok_or_else(|| malformed("an escape is wrong"))?;
            let value = String::from_utf8(value).map_err(|_| malformed("it is not UTF-8"))?;
            if value.is_empty() || place.replace(value).is_some() {
                return Err(malformed("something is empty or stands twice"));
            }
        }
        let module = module.ok_or_else(|| malformed("`module-path`, the library, is missing"))?;
        let pin = pin.ok_or_else(|| malformed("`pin-source`, a file, is missing"))?;
        // RFC 7512 2.4 has a URI of the scheme `file` in it, or a path.
        let pin = pin.strip_prefix("file://").unwrap_or(&pin);
        let pin = pin.strip_prefix("file:").unwrap_or(pin);
        Ok(Self {
            token: token.ok_or_else(|| malformed("`token`, the label of the token, is missing"))?,
            serial,
            module: PathBuf::from(module),
            pin_file: PathBuf::from(pin),
        })
    }

    /// Reads the secret of the token from its file.
    pub(super) fn pin(&self) -> Result<Zeroizing<String>, InvalidAddress> {
        read_pin(&self.pin_file)
    }

    /// The address of a key in the token.
    pub(super) fn of_key(&self, id: &[u8]) -> String {
        let escaped: String = id
            .iter()
            .map(|byte| format!("%{}", hex(&[*byte])))
            .collect();
        format!(
            "pkcs11:token={};id={escaped};type=private",
            Escaped(&self.token)
        )
    }

    /// The identifier in the address of a key in this token as someone writes it, who names nothing
    /// else: `token`, `id` and perhaps `serial` and `type=private`, each once.
    pub(super) fn key_id_strictly(&self, address: &str) -> Result<Vec<u8>, &'static str> {
        const SHAPE: &str =
            "an address of a key is `pkcs11:token=…;id=%…`, and nothing else stands in it";
        let path = address.strip_prefix("pkcs11:");
        // A query says how a token is opened (RFC 7512 2.4), which is ours to say.
        let path = path.filter(|path| !path.contains('?')).ok_or(SHAPE)?;
        let (mut token, mut serial, mut id, mut kind) = (None, None, None, None);
        for (name, value) in attributes(path, ';') {
            let place = match name {
                "token" => &mut token,
                "serial" => &mut serial,
                "id" => &mut id,
                "type" => &mut kind,
                _ => return Err(SHAPE),
            };
            let value = unescaped(value).filter(|value| !value.is_empty());
            if place.replace(value.ok_or(SHAPE)?).is_some() {
                return Err(SHAPE);
            }
        }
        if kind.is_some_and(|kind| kind != b"private") {
            return Err("what signs is a private key");
        }
        let own_serial = self.serial.as_deref().map(str::as_bytes);
        let is_here = token.ok_or(SHAPE)? == self.token.as_bytes()
            && serial.is_none_or(|serial| own_serial.is_none_or(|own| own == serial));
        if !is_here {
            return Err("it names another token than `--keys` does");
        }
        id.filter(|id| id.len() <= LONGEST_KEY_ID).ok_or(SHAPE)
    }

    /// The identifier in the address of a key, if the key is in this token.
    pub(super) fn key_id(&self, address: &str) -> Option<Vec<u8>> {
        let path = address.strip_prefix("pkcs11:")?;
        let value = |wanted: &str| {
            let mut all = attributes(path, ';');
            let (_, value) = all.find(|(name, _)| *name == wanted)?;
            unescaped(value)
        };
        (value("token")? == self.token.as_bytes()).then(|| value("id"))?
    }
}

fn read_pin(path: &Path) -> Result<Zeroizing<String>, InvalidAddress> {
    let failed = |source| InvalidAddress::PinFile {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(InvalidAddress::PinExposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST_PIN)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(Zeroizing::new(
        text.trim_end_matches(['\n', '\r']).to_owned(),
    ))
}

fn attributes(text: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    text.split(separator)
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// RFC 3986 2.1.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    Some(bytes)
}

/// A text in an address: what is not unreserved (RFC 3986 2.3) is escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ADDRESS: &str = "pkcs11:token=our%20token?module-path=/lib/x.so&pin-source=file:/etc/pin";

    #[test]
    fn an_address_says_which_token_by_which_library_with_which_file() {
        let address = TokenAddress::parse(ADDRESS).unwrap();
        assert_eq!(address.token, "our token");
        assert_eq!(address.module, Path::new("/lib/x.so"));
        assert_eq!(address.pin_file, Path::new("/etc/pin"));
    }

    #[test]
    fn the_address_of_a_key_leads_back_to_it_in_its_own_token_only() {
        let address = TokenAddress::parse(ADDRESS).unwrap();
        let key = address.of_key(&[0, 0x1f, 0xff]);
        assert_eq!(key, "pkcs11:token=our%20token;id=%00%1f%ff;type=private");
        assert_eq!(address.key_id(&key), Some(vec![0, 0x1f, 0xff]));
        let other = TokenAddress {
            token: "other".to_owned(),
            ..address
        };
        assert_eq!(other.key_id(&key), None);
        assert_eq!(other.key_id("memory:00"), None);
    }

    #[test]
    fn whoever_names_a_key_names_it_by_its_token_and_identifier_alone() {
        let address = TokenAddress::parse(ADDRESS).unwrap();
        let read = |text: &str| address.key_id_strictly(text);
        for text in [
            "pkcs11:token=our%20token;id=%00%1f",
            "pkcs11:id=%00%1F;token=our%20token;type=private",
            "pkcs11:token=our%20token;serial=12;id=%00%1f",
        ] {
            assert_eq!(read(text), Ok(vec![0, 0x1f]), "{text}");
        }
        let long = format!("pkcs11:token=our%20token;id={}", "a".repeat(256));
        for text in [
            "",
            "file:/etc/pin",
            "pkcs11:",
            "pkcs11:token=our%20token",
            "pkcs11:token=our%20token;id=",
            "pkcs11:id=%01",
            "pkcs11:token=other;id=%01",
            "pkcs11:token=our%20token;id=%01;id=%02",
            "pkcs11:token=our%20token;id=%01;type=secret-key",
            "pkcs11:token=our%20token;id=%01;object=x",
            "pkcs11:token=our%20token;id=%01?pin-value=4711",
            "pkcs11:token=our%20token;id=%0",
            &long,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_in_the_address_is_refused_and_not_repeated() {
        let shown = format!("{ADDRESS}&pin-value=4711");
        let error = TokenAddress::parse(&shown).unwrap_err();
        assert!(matches!(error, InvalidAddress::PinShown));
        assert!(!error.to_string().contains("4711"));
    }

    #[test]
    fn what_is_no_address_of_a_token_is_refused() {
        for text in [
            "",
            "pkcs11:",
            "file:/etc/pin",
            "pkcs11:token=a",
            "pkcs11:token=a?module-path=/lib/x.so",
            "pkcs11:token=a;token=b?module-path=/lib/x.so&pin-source=/p",
            "pkcs11:token=%zz?module-path=/lib/x.so&pin-source=/p",
            "pkcs11:token=%f?module-path=/lib/x.so&pin-source=/p",
            "pkcs11:token=a;slot-id=1?module-path=/lib/x.so&pin-source=/p",
        ] {
            assert!(TokenAddress::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let path = std::env::temp_dir().join(format!("avouch-pin-{}", std::process::id()));
        fs::write(&path, "4711\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let exposed = read_pin(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let read = read_pin(&path);
        fs::remove_file(&path).unwrap();
        assert!(matches!(exposed, Err(InvalidAddress::PinExposed { .. })));
        assert_eq!(read.unwrap().as_str(), "4711");
        assert!(matches!(
            read_pin(&path),
            Err(InvalidAddress::PinFile { .. })
        ));
    }
}
