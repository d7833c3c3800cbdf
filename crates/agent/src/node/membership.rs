//! The identity of the node itself, and the file it is kept in.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use avouch_core::credential::x509::Certificate;
use avouch_core::id::{SpiffeId, hex};
use avouch_core::time::Time;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::key::MemberKey;
use super::now;
use super::validity::Validity;

/// The name of the file in the folder of the agent.
const FILE: &str = "node.json";

/// What makes the node a member: its X.509-SVID with the key, and the server's bundle as it was
/// told last.
pub(super) struct Membership {
    pub(super) id: SpiffeId,
    pub(super) key: MemberKey,
    /// DER, the SVID first.
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) server_bundle: String,
    pub(super) validity: Validity,
    /// The authority that signed it, as it is named where it is distrusted.
    pub(super) authority: Option<String>,
}

impl Membership {
    /// What a server has answered, for the key that was in the request.
    pub(super) fn of(
        key: MemberKey,
        spiffe_id: &str,
        certificates: Vec<Vec<u8>>,
        server_bundle: String,
    ) -> Option<Self> {
        let own = Certificate::parse(certificates.first()?).ok()?;
        let id = SpiffeId::parse(spiffe_id).ok()?;
        Some(Self {
            validity: Validity::of(&own, now(), own.serial()),
            authority: own.authority_key_id().map(hex),
            id,
            key,
            certificates,
            server_bundle,
        })
    }

    /// Until when it holds.
    pub(super) fn not_after(&self) -> Time {
        self.validity.not_after
    }

    /// Whether it does not hold yet.
    pub(super) fn is_of_the_future(&self) -> bool {
        let own = self.certificates.first();
        let own = own.and_then(|der| Certificate::parse(der).ok());
        own.is_some_and(|own| now() < own.not_before())
    }

    /// Reads what was kept; `None` if there is nothing, or nothing that can be used any more.
    pub(super) fn read(folder: &Path) -> io::Result<Option<Self>> {
        let path = folder.join(FILE);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if metadata.mode() & 0o077 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} can be read by others; make it 0600", path.display()),
            ));
        }
        let text = Zeroizing::new(fs::read_to_string(&path)?);
        let member = Self::parse(&text).filter(|member| now() < member.not_after());
        Ok(member)
    }

    fn parse(text: &str) -> Option<Self> {
        let kept: Value = serde_json::from_str(text).ok()?;
        let text = |name| kept.get(name).and_then(Value::as_str);
        let certificates = kept.get("certificates")?.as_array()?.iter();
        let certificates = certificates
            .map(|one| Base64::decode_vec(one.as_str()?).ok())
            .collect::<Option<Vec<_>>>()?;
        Self::of(
            MemberKey::of_kept(&kept)?,
            text("spiffe_id")?,
            certificates,
            text("server_bundle")?.to_owned(),
        )
    }

    /// Takes the folder for this agent, which is its own as long as what is answered lives. Two agents in one
    /// folder would be one node, and the server would take what one of them has for what both have.
    pub(super) fn hold(folder: &Path) -> io::Result<Option<File>> {
        make(folder)?;
        let held = File::open(folder)?;
        match held.try_lock() {
            Ok(()) => Ok(Some(held)),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another agent uses it; stop that one, or choose another folder with --agent-data",
            )),
            // There are file systems without locks.
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// Keeps it: the file is whole or as it was at any moment.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let certificates = self.certificates.iter();
        let certificates: Vec<String> =
            certificates.map(|der| Base64::encode_string(der)).collect();
        let (kind, key) = self.key.kept();
        let text = Zeroizing::new(
            json!({
                "spiffe_id": self.id.as_str(),
                kind: key,
                "certificates": certificates,
                "server_bundle": self.server_bundle,
            })
            .to_string(),
        );
        make(folder)?;
        let (path, new) = (folder.join(FILE), folder.join("node.json.new"));
        let written = write_whole(&new, text.as_bytes()).and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            // What stands there in part is of use to nobody.
            drop(fs::remove_file(&new));
        }
        written?;
        File::open(folder)?.sync_all()
    }
}

/// Makes the folder if there is none, for nobody else whatever the umask is: who may write in it may put
/// another identity in the place of this one. Those above it are made as the umask has it.
fn make(folder: &Path) -> io::Result<()> {
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    }
}

fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The umask is one for all threads, so it is not changed here: the usual one lets others read.
    #[test]
    fn the_folder_of_a_node_is_for_nobody_else_and_one_that_is_there_stays_as_it_is() {
        let there = tempfile::tempdir().unwrap();
        let folder = there.path().join("above/agent");
        make(&folder).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        let above = mode(folder.parent().unwrap());
        make(folder.parent().unwrap()).unwrap();
        assert_eq!(mode(folder.parent().unwrap()), above);
    }
}
