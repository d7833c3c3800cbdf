//! A plane whose tenant `demo` trusts the tokens of a provider and exchanges them.

use std::path::Path;

use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::https::VALID;
use avouch_testkit::key::Key;
use avouch_testkit::name::GeneralName;
use avouch_testkit::world::{Authority, pem};
use avouch_testkit::{asn1, extension};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::outside::Talker;
use crate::plane::Plane;
use crate::run::Ran;

/// For whom everything is that is given.
pub(crate) const CLOUD: &str = "https://cloud.test";

/// A plane, and a certificate for whoever serves `localhost` beside it.
pub(crate) struct House {
    pub(crate) plane: Plane,
    pub(crate) files: TempDir,
}

impl House {
    /// Starts one in a folder of this name, which must be the test's own.
    pub(crate) fn start(name: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        certify(files.path());
        let more = ["--allow-fetch", "127.0.0.0/8"];
        let plane = Plane::start(name, &more);
        let credential = plane.folder.path().join("avouch-data/operator.jwt");
        super::until("there is a credential", || credential.exists());
        Self { plane, files }
    }

    /// A file of the provider: `tls.pem`, `tls.key`, `ca.pem`, or one of its own.
    pub(crate) fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.files.path()
    }

    /// The issuer identifier of the tenant.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/t/demo", self.plane.http())
    }

    /// Trusts a provider under the name `idp`, with these members more.
    pub(crate) fn trust(&self, provider: &Talker, more: Value) -> Value {
        let ca = std::fs::read_to_string(self.file("ca.pem")).unwrap();
        let document = with(
            json!({
                "issuer": provider.ready["issuer"], "ca": ca,
                "audiences": provider.ready["clients"],
                "owner": "the people team", "reason": "people sign in there",
                "override": {"reason": "a test", "expires": "2100-01-01T00:00:00Z"},
            }),
            more,
        );
        self.plane.folder.file("idp.json", document.to_string());
        self.manage(&["issuer", "put", "idp", "-f", "idp.json", "-o", "json"])
            .json()
    }

    /// What is told of the provider.
    pub(crate) fn told(&self) -> Value {
        self.manage(&["issuer", "show", "idp", "-o", "json"]).json()
    }

    /// Has a rule with these members in the place of its own.
    pub(crate) fn rule(&self, name: &str, changed: Value) {
        let rule = with(
            json!({
                "from": {"anchor": "idp", "facts": {"subject": "alice"}},
                "gives": {
                    "spiffe_id": "spiffe://demo.avouch.test/people/{subject}",
                    "kinds": ["jwt-svid", "access-token", "x509-svid"],
                    "audiences": [CLOUD], "scopes": ["read", "write"], "lifetime": 600,
                },
                "owner": "the people team", "reason": "people use the cloud",
            }),
            changed,
        );
        self.plane.folder.file("rule.json", rule.to_string());
        self.manage(&["rule", "put", name, "-f", "rule.json"]);
    }

    /// Changes something, which succeeds.
    pub(crate) fn manage(&self, command: &[&str]) -> Ran {
        let ran = self.plane.run(&[command, &["--tenant", "demo"]].concat());
        assert_eq!(ran.code, 0, "{command:?}: {}{}", ran.out, ran.err);
        ran
    }

    /// Exchanges a token, bound to the key of the test.
    pub(crate) fn exchange(&self, token: &str, more: &[&str]) -> Ran {
        self.exchange_with("holder.pem", token, more)
    }

    /// Exchanges a token, bound to the key of a file.
    pub(crate) fn exchange_with(&self, key: &str, token: &str, more: &[&str]) -> Ran {
        let server = self.plane.http();
        let command = [
            "token",
            "exchange",
            "--tenant",
            "demo",
            "--server",
            &server,
            "--subject-token",
            "-",
            "--key",
            key,
            "-o",
            "json",
        ];
        let command = [&command, more].concat();
        self.plane.folder.run_with(&command, token)
    }

    /// The code under which a token is refused.
    pub(crate) fn refusal(&self, token: &str, more: &[&str]) -> String {
        let ran = self.exchange(token, more);
        assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
        ran.json()["code"].as_str().unwrap().to_owned()
    }

    /// Exchanges a token, which succeeds, and gives what the new one says.
    pub(crate) fn accepted(&self, token: &str, more: &[&str]) -> Value {
        let ran = self.exchange(token, more);
        assert_eq!(
            ran.code,
            0,
            "{}{}\n{}",
            ran.out,
            ran.err,
            self.plane
                .log()
                .lines()
                .rev()
                .take(3)
                .collect::<Vec<_>>()
                .join("\n")
        );
        claims(ran.json()["access_token"].as_str().unwrap())
    }
}

/// Writes a certificate for this machine, its key, and the root above it: `tls.pem`, `tls.key` and
/// `ca.pem`. They are of the curve P-256, since not every program speaks TLS with Ed25519. Gives the
/// root.
pub(crate) fn certify(folder: &Path) -> Authority {
    let root = Authority::root_with("Others", Key::p256("Others"), |forge| {
        forge.valid(VALID.0, VALID.1)
    });
    let key = Key::p256("this machine");
    let names = [GeneralName::dns("localhost"), GeneralName::ip("127.0.0.1")];
    let forge = CertificateForge::bare("this machine", &key)
        .valid(VALID.0, VALID.1)
        .with(extension::key_usage(&[
            extension::KeyUsage::DigitalSignature,
        ]))
        .with(extension::extended_key_usage(&[extension::SERVER_AUTH]))
        .with(extension::subject_alternative_names(&names));
    for (name, text) in [
        ("tls.pem", pem("CERTIFICATE", &root.issue(forge))),
        ("tls.key", pem("PRIVATE KEY", &pkcs8(&key))),
        ("ca.pem", pem("CERTIFICATE", &root.certificate)),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    root
}

/// The PKCS#8 form of a P-256 key (RFC 5958 2, RFC 5915 3).
fn pkcs8(key: &Key) -> Vec<u8> {
    let algorithm = [
        asn1::oid("1.2.840.10045.2.1"),
        asn1::oid("1.2.840.10045.3.1.7"),
    ];
    let public = asn1::bit_string(0, key.public());
    let private = asn1::sequence([
        asn1::number(1),
        asn1::octet_string(key.private()),
        asn1::constructed(1, &public),
    ]);
    asn1::sequence([
        asn1::number(0),
        asn1::sequence(algorithm),
        asn1::octet_string(&private),
    ])
}

/// What a token says, not checked.
pub(crate) fn claims(token: &str) -> Value {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
}

/// An object with these members in the place of its own.
pub(crate) fn with(mut object: Value, changed: Value) -> Value {
    for (name, value) in changed.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}
