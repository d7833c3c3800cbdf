//! A token of PKCS #11 on this machine: SoftHSM, as Debian has it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::outside;

/// Where distributions put the library.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// Counts the tokens of this process: each has a folder of its own.
static MADE: AtomicUsize = AtomicUsize::new(0);

const LABEL: &str = "avouch test";
const PIN: &str = "a secret of 20 bytes";

/// A token with nothing in it, gone with this value.
pub struct SoftHsm {
    folder: PathBuf,
    library: &'static str,
}

impl SoftHsm {
    /// Makes a token in a new folder below `parent`. Installs SoftHSM if it is missing and may be
    /// installed; `Err` says why there is none.
    pub fn make(parent: &Path) -> Result<Self, String> {
        let library = library()?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("softhsm-{}-{number}", std::process::id()));
        let tokens = folder.join("tokens");
        fs::create_dir_all(&tokens).map_err(|error| error.to_string())?;
        let settings = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        fs::write(folder.join("softhsm.conf"), settings).map_err(|error| error.to_string())?;
        let token = Self { folder, library };
        token.write_pin("pin", PIN, 0o600);
        let made = token
            .command("softhsm2-util")
            .args(["--init-token", "--free", "--label", LABEL, "--pin", PIN])
            .args(["--so-pin", PIN])
            .output()
            .map_err(|error| format!("softhsm2-util: {error}"))?;
        if made.status.success() {
            Ok(token)
        } else {
            Err(String::from_utf8_lossy(&made.stderr).into_owned())
        }
    }

    /// A program that finds the token: the library reads where it is from the environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs([self.variable()]);
        command
    }

    /// The variable of the environment that says where the token is.
    pub fn variable(&self) -> (&'static str, PathBuf) {
        ("SOFTHSM2_CONF", self.folder.join("softhsm.conf"))
    }

    /// Takes the token away, as a cable that is pulled does.
    pub fn take_away(&self) {
        fs::rename(self.folder.join("tokens"), self.folder.join("away")).unwrap();
    }

    /// Puts it back.
    pub fn put_back(&self) {
        fs::rename(self.folder.join("away"), self.folder.join("tokens")).unwrap();
    }

    /// How many objects are in the token.
    pub fn objects(&self) -> usize {
        let tokens = fs::read_dir(self.folder.join("tokens")).unwrap();
        let files = tokens.flat_map(|token| fs::read_dir(token.unwrap().path()).unwrap());
        files
            .filter(|file| {
                let path = file.as_ref().unwrap().path();
                path.extension().is_some_and(|end| end == "object")
                    && !path.ends_with("token.object")
            })
            .count()
    }

    /// The address of the token (RFC 7512).
    pub fn address(&self) -> String {
        self.address_with_pin(&self.folder.join("pin"))
    }

    /// The address with another file for the PIN.
    pub fn address_with_pin(&self, file: &Path) -> String {
        format!(
            "pkcs11:token=avouch%20test?module-path={}&pin-source=file:{}",
            self.library,
            file.display()
        )
    }

    /// Writes a file for a PIN beside the token.
    pub fn write_pin(&self, name: &str, pin: &str, mode: u32) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, format!("{pin}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for SoftHsm {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn library() -> Result<&'static str, String> {
    outside::debian("softhsm2", || {
        LIBRARIES.into_iter().find(|path| Path::new(path).exists())
    })
}
