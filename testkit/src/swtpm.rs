//! TPMs of makers on this machine: `swtpm`, a TPM 2.0 in software, as Debian has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::https::pause;
use crate::outside::{Missing, debian, in_path, succeed};

/// How often, and after which time each, it is looked whether a TPM listens.
const MOST_LOOKS: u32 = 1_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Whoever makes TPMs and certifies their endorsement keys.
pub struct TpmMaker(TempDir);

/// A TPM that listens on a socket until it is dropped.
pub struct SoftTpm {
    folder: TempDir,
    process: Child,
}

impl TpmMaker {
    /// A new one. Installs what is missing and may be installed.
    ///
    /// # Errors
    ///
    /// Why no TPMs can be made here.
    pub fn new() -> Result<Self, Missing> {
        for (package, program) in [
            ("swtpm", "swtpm"),
            ("swtpm-tools", "swtpm_setup"),
            ("gnutls-bin", "certtool"),
        ] {
            debian(package, || in_path(program))?;
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let authority = format!(
            "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
            folder.path().display(),
            path("key.pem"),
            path("issuer.pem"),
            path("serial")
        );
        let tool = in_path("swtpm_localca").ok_or("swtpm_localca is not there")?;
        let setup = format!(
            "create_certs_tool={}\ncreate_certs_tool_config={}\ncreate_certs_tool_options={}\n",
            tool.display(),
            path("authority.conf"),
            path("options")
        );
        let made = fs::write(folder.path().join("authority.conf"), authority)
            .and_then(|()| fs::write(folder.path().join("setup.conf"), setup))
            .and_then(|()| fs::write(folder.path().join("options"), ""));
        made.map_err(|error| error.to_string())?;
        Ok(Self(folder))
    }

    /// A TPM with its certificate in it, running.
    ///
    /// # Errors
    ///
    /// Why it cannot be made.
    pub fn tpm(&self) -> Result<SoftTpm, Missing> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut setup = Command::new("swtpm_setup");
        setup.args(["--tpm2", "--create-ek-cert", "--tpmstate"]);
        setup
            .arg(folder.path())
            .arg("--config")
            .arg(self.0.path().join("setup.conf"));
        succeed(&mut setup)?;
        let socket = socket(folder.path());
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--tpmstate"])
            .arg(format!("dir={}", folder.path().display()))
            .arg("--server")
            .arg(format!("type=unixio,path={}", socket.display()))
            .args(["--flags", "not-need-init,startup-clear"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let tpm = SoftTpm { folder, process };
        for _ in 0..MOST_LOOKS {
            if socket.exists() {
                return Ok(tpm);
            }
            pause(BETWEEN_LOOKS);
        }
        Err("swtpm does not listen".to_owned())
    }

    /// The certificate, in PEM, of the authority that signs those of TPMs.
    ///
    /// # Panics
    ///
    /// If no TPM was made yet.
    #[must_use]
    pub fn authority(&self) -> String {
        let text = fs::read_to_string(self.0.path().join("issuer.pem")).expect("a TPM was made");
        let from = text.find("-----BEGIN").expect("a certificate is in it");
        text[from..].to_owned()
    }
}

impl SoftTpm {
    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }
}

impl Drop for SoftTpm {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("tpm.sock")
}
