//! Keys and certificates of SSH, shown to a token endpoint. The private half is never read here:
//! `ssh-keygen` signs, with the file, the agent or the hardware that has it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use avouch_core::credential::ssh::{NAMESPACE, statement};
use zeroize::Zeroizing;

use super::read;
use crate::fault::Fault;
use crate::input;

/// What is presented: the file that is named, or what stands beside the key.
pub(super) fn presented(
    key: &Path,
    certificate: Option<&Path>,
) -> Result<Zeroizing<String>, Fault> {
    if let Some(certificate) = certificate {
        return read(certificate);
    }
    let name = key.to_string_lossy();
    let name = name.strip_suffix(".pub").unwrap_or(&name);
    let certificate = PathBuf::from(format!("{name}-cert.pub"));
    if certificate.exists() {
        return read(&certificate);
    }
    read(Path::new(&format!("{name}.pub")))
}

/// Signs for whom it is shown and their challenge.
pub(super) fn prove(key: &Path, audience: &str, challenge: &str) -> Result<String, Fault> {
    let failed = |why: &str| {
        Fault::Run(format!(
            "`ssh-keygen -Y sign` with {}: {why}",
            input::name_of(key)
        ))
    };
    let spawned = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => failed("there is no such program; it comes with OpenSSH"),
        _ => failed(&why.to_string()),
    })?;
    if let Some(mut input) = child.stdin.take() {
        let written = input.write_all(statement(audience, challenge).as_bytes());
        // A program that did not listen says why.
        drop(written);
    }
    let output = child
        .wait_with_output()
        .map_err(|why| failed(&why.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(&avouch_core::reason::printable(said.trim())));
    }
    String::from_utf8(output.stdout).map_err(|_| failed("it wrote no signature"))
}
