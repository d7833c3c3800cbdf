//! Reading files and standard input, never more than is allowed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use avouch_core::reason::Reason;

use crate::fault::Fault;

/// The most that is read of one credential, as a file: four times what the core reads, since PEM
/// and base64 make it longer.
pub const CREDENTIAL_BYTES: usize = 16 << 20;

/// The most that is read of one trust document; the largest public store is under 1 MiB, and a
/// revocation list can reach 30 MiB.
pub const TRUST_BYTES: usize = 256 << 20;

/// Why nothing could be made of an input.
#[derive(Debug)]
pub enum Stop {
    /// Our side failed.
    Fault(Fault),
    /// The bytes are refused.
    Refused {
        /// Where they stand.
        place: String,
        /// Why.
        reason: Box<Reason>,
    },
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Stop {
    /// Refuses the bytes of a file.
    pub fn refused(path: &Path, reason: Reason) -> Self {
        Self::Refused {
            place: name_of(path),
            reason: Box::new(reason),
        }
    }
}

/// Whether a name stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// How a file is called in messages.
pub fn name_of(path: &Path) -> String {
    if is_stdin(path) {
        "standard input".to_owned()
    } else {
        avouch_core::reason::printable(&path.display().to_string())
    }
}

/// Reads a file, or standard input for `-`; refused when it is longer than `allowed` bytes.
pub fn read(path: &Path, part: &'static str, allowed: usize) -> Result<Vec<u8>, Stop> {
    let bytes = open(path)
        .and_then(|reader| {
            let mut bytes = Vec::new();
            let limit = u64::try_from(allowed).unwrap_or(u64::MAX).saturating_add(1);
            reader.take(limit).read_to_end(&mut bytes).map(|_| bytes)
        })
        .map_err(|why| fault_of(path, why))?;
    if bytes.len() > allowed {
        let size = bytes.len();
        return Err(Stop::refused(
            path,
            Reason::InputSize {
                part,
                size,
                allowed,
            },
        ));
    }
    Ok(bytes)
}

/// What some editors begin a text in UTF-8 with; nothing else that is read here begins so.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Opens a file, or standard input for `-`, behind the byte order mark if it has one.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if is_stdin(path) {
        return unmarked(io::stdin());
    }
    unmarked(File::open(path)?)
}

fn unmarked(mut reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::new();
    let length = BYTE_ORDER_MARK.len() as u64;
    reader.by_ref().take(length).read_to_end(&mut head)?;
    if head == BYTE_ORDER_MARK {
        head.clear();
    }
    Ok(Box::new(io::Cursor::new(head).chain(reader)))
}

/// What it means that a file cannot be read.
pub fn fault_of(path: &Path, why: io::Error) -> Fault {
    if why.kind() == io::ErrorKind::IsADirectory || path.is_dir() {
        return Fault::Directory(path.to_owned());
    }
    Fault::Read {
        what: name_of(path),
        why,
    }
}
