//! SAML responses of a program of other people: pysaml2 as an identity provider.

use std::path::{Path, PathBuf};
use std::process::Command;

use avouch_testkit::saml::xmlsec1;

use crate::run::Folder;

const RELEASE: &str = "pysaml2==7.5.5";
const AUDIENCE: &str = "https://app.example.com/saml/metadata";
const RECIPIENT: &str = "https://app.example.com/saml/acs";

/// A Python that has pysaml2, kept for the next run.
fn python() -> Result<PathBuf, String> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(RELEASE);
    let python = environment.join("bin/python");
    let is_ready = |python: &Path| {
        let tried = Command::new(python).args(["-c", "import saml2"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    if is_ready(&python) {
        return Ok(python);
    }
    let run = |command: &mut Command| match command.output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    };
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&environment))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", RELEASE]))?;
    Ok(python)
}

#[test]
fn responses_of_pysaml2_are_told_apart() {
    if let Err(why) = xmlsec1() {
        return println!("skipped: pysaml2: {why}");
    }
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            let why = why
                .lines()
                .last()
                .unwrap_or("it cannot be installed")
                .to_owned();
            return println!("skipped: pysaml2: {why}");
        }
    };
    let folder = Folder::new("pysaml2");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/saml_idp.py");
    let made = Command::new(python)
        .arg(script)
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let verify = |file: &str, metadata: &str, more: &[&str]| {
        let own = ["verify", file, "--trust", metadata, "-o", "json"];
        let ran = folder.run(&[own.as_slice(), more].concat());
        let code = ran.json()["reason"]["code"].as_str().map(str::to_owned);
        code.unwrap_or_else(|| format!("exit {}", ran.code))
    };
    let here = [
        "--audience",
        AUDIENCE,
        "--recipient",
        RECIPIENT,
        "--in-response-to",
        "_q1",
    ];
    let rsa = "rsa-metadata.xml";
    for (file, metadata, expected) in [
        ("good.xml", rsa, "exit 0"),
        ("good.b64", rsa, "exit 0"),
        ("both.xml", rsa, "exit 0"),
        ("sha512.xml", rsa, "exit 0"),
        ("ecdsa.xml", "ecdsa-metadata.xml", "exit 0"),
        ("ecdsa.xml", rsa, "federation.saml_signature_invalid"),
        ("sha1.xml", rsa, "federation.saml_algorithm_forbidden"),
        ("unsigned.xml", rsa, "federation.saml_unsigned"),
        ("response-only.xml", rsa, "federation.saml_unsigned"),
    ] {
        assert_eq!(verify(file, metadata, &here), expected, "{file}");
    }
    assert_eq!(
        verify("good.xml", rsa, &here[..4]),
        "federation.saml_in_response_to_mismatch"
    );
    assert_eq!(verify("good.xml", rsa, &[]), "exit 4");
    let explained =
        folder.run(&[["explain", "good.xml", "--trust", rsa].as_slice(), &here].concat());
    assert_eq!(explained.code, 0, "{explained:?}");
    for told in [
        "alice-7",
        "https://idp.example.org/metadata",
        "recipient",
        "once only",
    ] {
        assert!(explained.out.contains(told), "{told}: {}", explained.out);
    }
}
