//! `avouch token exchange`, against a server that runs.

#![expect(clippy::disallowed_methods, reason = "tokens are of now")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use avouch_testkit::https::{HttpsServer, Shown, response, root};
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use avouch_testkit::world::pem;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::plane::Plane;
use crate::run::Ran;

const ISSUER: &str = "https://ci.example.com";
const CLOUD: &str = "https://cloud.test";

/// A plane whose tenant `demo` gives something to the jobs of an issuer.
struct Jobs {
    plane: Plane,
    count: AtomicU64,
}

impl Jobs {
    fn start(name: &str) -> Self {
        let plane = Plane::start(name, &[]);
        let issuer = json!({
            "issuer": ISSUER, "jwks": jwks(&[jwk(&Key::p256("ci"), "k1")]),
        "rules": [{"name": "ours", "facts": {"claims.environment": ["prod", "stage", "dev"]}}],
            "owner": "the platform team",
        });
        let rule = json!({
            "from": {"anchor": "ci", "facts": {"claims.environment": "prod"}},
            "gives": {
                "spiffe_id": "spiffe://demo.avouch.test/job",
                "kinds": ["jwt-svid", "access-token", "x509-svid"],
                "audiences": [CLOUD], "scopes": ["read", "deploy"],
            },
            "actors": [{"anchor": "ci", "facts": {"subject": "proxy"}}],
            "owner": "the platform team", "reason": "jobs",
        });
        plane.folder.file("ci.json", issuer.to_string());
        plane.folder.file("rule.json", rule.to_string());
        let credential = plane.folder.path().join("avouch-data/operator.jwt");
        crate::outside::until("there is a credential", || credential.exists());
        for (noun, name, file) in [("anchor", "ci", "ci.json"), ("rule", "job", "rule.json")] {
            let put = plane.run(&[noun, "put", name, "--tenant", "demo", "-f", file]);
            assert_eq!(put.code, 0, "{}", put.err);
        }
        Self {
            plane,
            count: AtomicU64::new(0),
        }
    }

    fn token(&self, changed: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = now.as_secs();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let mut claims = json!({
            "iss": ISSUER, "sub": "job", "aud": format!("{}/t/demo", self.plane.http()),
            "environment": "prod", "jti": number.to_string(), "iat": now, "exp": now + 600,
        });
        for (name, value) in changed.as_object().unwrap() {
            claims[name] = value.clone();
        }
        TokenForge::saying(claims).sign(&Key::p256("ci"), "k1")
    }

    fn run(&self, command: &[&str], token: &str) -> Ran {
        let server = self.plane.http();
        let exchange = ["token", "exchange", "--tenant", "demo", "--server", &server];
        let from_input = ["--subject-token", "-"];
        let command = [&exchange, &from_input[..], command].concat();
        self.plane.folder.run_with(&command, token)
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.plane.folder.path().join(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        let metadata = fs::metadata(self.plane.folder.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    }
}

fn part(token: &str, index: usize) -> Value {
    let part = token.trim().split('.').nth(index).unwrap();
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
}

#[test]
fn a_token_becomes_a_certificate_with_its_key_in_files_that_openssl_verifies() {
    let jobs = Jobs::start("exchange-certificate");
    let token = jobs.token(json!({}));
    let ran = jobs.run(&["--out", "identity"], &token);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.starts_with("spiffe://demo.avouch.test/job\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("written to   identity/svid.pem"),
        "{}",
        ran.out
    );
    assert_eq!(jobs.mode("identity/key.pem"), 0o600);
    let openssl = |command: &[&str]| {
        let folder = jobs.plane.folder.path().join("identity");
        let output = Command::new("openssl")
            .args(command)
            .current_dir(folder)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    openssl(&[
        "verify",
        "-x509_strict",
        "-CAfile",
        "bundle.pem",
        "-untrusted",
        "svid.pem",
        "svid.pem",
    ]);
    // The key is that of the certificate.
    let of_certificate = openssl(&["x509", "-in", "svid.pem", "-noout", "-pubkey"]);
    assert_eq!(
        of_certificate,
        openssl(&["pkey", "-in", "key.pem", "-pubout"])
    );
    // The token is used, and what is there stays as it was.
    let before = jobs.file("identity/svid.pem");
    let again = jobs.run(&["--out", "identity"], &token);
    assert_eq!(again.code, 3);
    assert!(again.err.contains("(issue.token_used)"), "{}", again.err);
    assert!(again.out.is_empty());
    assert_eq!(jobs.file("identity/svid.pem"), before);
    // A certificate is exchanged in its turn by whoever has its key.
    let server = jobs.plane.http();
    let command = [
        "token",
        "exchange",
        "--tenant",
        "demo",
        "--server",
        &server,
        "--subject-token",
        "identity/svid.pem",
        "--key",
        "identity/key.pem",
        "-o",
        "json",
    ];
    let svid = jobs.plane.folder.run(&command);
    assert_eq!(svid.code, 3);
    assert_eq!(svid.json()["code"], "issue.exchange_not_admitted");
    let command = [&command[..8], &["--key", "other.pem", "-o", "json"]].concat();
    let stolen = jobs.plane.folder.run(&command);
    assert_eq!(
        stolen.json()["code"],
        "issue.proof_invalid",
        "{}",
        stolen.out
    );
}

#[test]
fn a_token_is_bound_to_a_key_that_is_made_and_goes_on_with_that_key_alone() {
    let jobs = Jobs::start("exchange-token");
    let access = ["--requested-token-type", "access-token", "--key", "key.pem"];
    let narrow = ["--audience", CLOUD, "--scope", "read"];
    let ran = jobs.run(&[&access[..], &narrow].concat(), &jobs.token(json!({})));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(jobs.mode("key.pem"), 0o600);
    // Nothing but the token, so that it can be put into a file.
    let said = part(&ran.out, 1);
    assert_eq!(
        (&said["aud"], &said["scope"]),
        (&json!(CLOUD), &json!("read"))
    );
    assert!(said["cnf"]["jkt"].is_string());
    // The same key again, read from its file.
    let json = jobs.run(
        &[&access[..], &["-o", "json"]].concat(),
        &jobs.token(json!({})),
    );
    let answer = json.json();
    assert_eq!(answer["token_type"], "DPoP");
    let again = part(answer["access_token"].as_str().unwrap(), 1);
    assert_eq!(again["cnf"], said["cnf"]);
    // Written to a folder, it is a secret.
    let written = jobs.run(
        &[&access[..], &["--out", "out"]].concat(),
        &jobs.token(json!({})),
    );
    assert_eq!(written.code, 0, "{}", written.err);
    assert_eq!(jobs.mode("out/token.jwt"), 0o600);
    assert!(!written.out.contains("eyJ"), "{}", written.out);
    let in_json = [&access[..], &["--out", "out", "-o", "json"]].concat();
    let in_json = jobs.run(&in_json, &jobs.token(json!({})));
    assert!(!in_json.out.contains("eyJ"), "{}", in_json.out);
    assert!(
        in_json.json()["files"].is_array(),
        "it says where it wrote to"
    );
    // Where nothing can be written, nothing is used up.
    let nowhere = [&access[..], &["--out", "/proc"]].concat();
    let token = jobs.token(json!({}));
    let nowhere = jobs.run(&nowhere, &token);
    assert_eq!(nowhere.code, 1, "{}", nowhere.err);
    assert_eq!(jobs.run(&access, &token).code, 0, "the token is unused");
    // Without a key nothing is proved, and the rule gives nothing to bearers.
    let bearer = jobs.run(&["-o", "json"], &jobs.token(json!({})));
    assert_eq!(
        (bearer.code, &bearer.json()["code"]),
        (3, &json!("issue.proof_required"))
    );
    // More than the rule gives.
    let more = [
        "--key", "key.pem", "--scope", "deploy", "--scope", "admin", "-o", "json",
    ];
    let more = jobs.run(&more, &jobs.token(json!({})));
    assert_eq!(
        (more.code, &more.json()["error"]),
        (3, &json!("invalid_scope"))
    );
    // Someone acts for the subject.
    jobs.plane
        .folder
        .file("proxy.jwt", jobs.token(json!({"sub": "proxy"})) + "\n");
    let acting = [&access[..], &["--actor-token", "proxy.jwt"]].concat();
    let acting = jobs.run(&acting, &jobs.token(json!({})));
    assert_eq!(acting.code, 0, "{}", acting.err);
    assert!(
        part(&acting.out, 1)["act"]["sub"]
            .as_str()
            .unwrap()
            .contains("proxy")
    );
}

#[test]
fn a_trial_tells_what_would_be_given_and_uses_nothing() {
    let jobs = Jobs::start("exchange-trial");
    let token = jobs.token(json!({}));
    for _ in 0..2 {
        let trial = jobs.run(&["--try", "--audience", CLOUD], &token);
        assert_eq!(trial.code, 0, "{}", trial.err);
        assert!(
            trial.out.contains("spiffe://demo.avouch.test/job"),
            "{}",
            trial.out
        );
        assert!(trial.out.contains("environment"), "{}", trial.out);
    }
    assert_eq!(jobs.run(&["--key", "key.pem"], &token).code, 0);
    let stage = jobs.token(json!({"environment": "stage"}));
    let refused = jobs.run(&["--try"], &stage);
    assert_eq!(refused.code, 3);
    assert!(
        refused.err.contains("expected prod, seen stage") && refused.out.is_empty(),
        "{}",
        refused.err
    );
    let json = jobs.run(&["--try", "-o", "json"], &stage);
    assert_eq!(json.code, 3);
    assert_eq!(
        json.json()["problem"]["code"],
        "issue.exchange_not_admitted"
    );
    // Whoever presents it learns less: a code, and the number under which the log says the rest.
    let presented = jobs.run(&["--key", "key.pem"], &stage);
    assert_eq!(presented.code, 3);
    assert!(!presented.err.contains("stage"), "{}", presented.err);
    let decision = presented
        .err
        .lines()
        .find_map(|line| line.trim().strip_prefix("decision: "));
    let log = jobs.plane.log();
    let line = log.lines().find(|line| line.contains(decision.unwrap()));
    assert!(line.unwrap().contains("expected prod, seen stage"), "{log}");
}

/// XML is sent in base64url, without anyone having to say so.
#[test]
fn an_assertion_of_saml_is_sent_as_the_standard_has_it() {
    let jobs = Jobs::start("exchange-saml");
    let assertion = "<Assertion xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>";
    let said = [["--subject-token-type", "saml2"].as_slice(), &[]];
    for more in said {
        let asked = [&["-o", "json"], more].concat();
        let refused = jobs.run(&asked, assertion);
        assert_eq!(refused.code, 3, "{}", refused.err);
        let code = refused.json()["code"].as_str().unwrap().to_owned();
        assert!(code.starts_with("input.saml_"), "{code}");
    }
    // Near miss: the same as a JWT is none.
    let asked = ["-o", "json", "--subject-token-type", "jwt"];
    let refused = jobs.run(&asked, assertion).json();
    assert_eq!(refused["code"], "input.token_not_compact");
}

#[test]
fn what_does_not_go_together_is_said_before_anything_is_sent() {
    let jobs = Jobs::start("exchange-usage");
    let token = jobs.token(json!({}));
    let wrong = |command: &[&str], code: i32, said: &str| {
        let ran = jobs.run(command, &token);
        assert_eq!(ran.code, code, "{command:?}: {}", ran.err);
        assert!(ran.err.contains(said), "{command:?}: {}", ran.err);
        assert!(ran.out.is_empty(), "{command:?}: {}", ran.out);
    };
    wrong(&["--requested-token-type", "x509-svid"], 2, "--out");
    wrong(&["--requested-token-type", "saml"], 2, "a type is");
    wrong(&["--github-actions"], 2, "cannot be used with");
    wrong(&["--try", "--key", "key.pem"], 2, "cannot be used with");
    // Keys that are none, of another kind, or known to others.
    jobs.plane.folder.file("open.pem", "x");
    wrong(&["--key", "open.pem"], 1, "chmod 600");
    let path = jobs.plane.folder.path().join("open.pem");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    wrong(
        &["--key", "open.pem"],
        2,
        "no private key of the curve P-256",
    );
    wrong(&["--key", "nowhere/key.pem"], 1, "nowhere/key.pem");
    wrong(&["--out", "open.pem"], 1, "open.pem");
    // What stands in a file is refused, and is no mistake in the arguments.
    let nothing = jobs.run(&["--key", "key.pem"], " \n");
    assert_eq!(nothing.code, 3);
    assert!(
        nothing.err.contains("standard input: it is empty"),
        "{}",
        nothing.err
    );
    // Nothing of all this used the token.
    assert_eq!(jobs.run(&["--key", "key.pem"], &token).code, 0);
    // Outside of GitHub Actions there is no token of a job.
    let server = jobs.plane.http();
    let command = ["token", "exchange", "--tenant", "demo", "--server", &server];
    let outside = jobs
        .plane
        .folder
        .run(&[&command[..], &["--github-actions"]].concat());
    assert_eq!(outside.code, 2);
    assert!(outside.err.contains("id-token: write"), "{}", outside.err);
    // Not to a server that anyone on the way could listen to.
    let far = [
        "token",
        "exchange",
        "--tenant",
        "demo",
        "--server",
        "http://far.test",
    ];
    let far = jobs
        .plane
        .folder
        .run(&[&far[..], &["--subject-token", "open.pem"]].concat());
    assert_eq!(far.code, 2, "{}", far.err);
}

#[test]
fn keys_of_openssl_are_taken_in_both_of_its_forms() {
    let jobs = Jobs::start("exchange-keys");
    let folder = jobs.plane.folder.path();
    for (name, command) in [
        (
            "a.pem",
            [
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ],
        ),
        (
            "b.pem",
            ["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
        ),
    ] {
        let mut openssl = Command::new("openssl");
        let made = openssl
            .args(command)
            .args(["-out", name])
            .current_dir(folder)
            .output();
        assert!(made.unwrap().status.success());
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).unwrap();
        let ran = jobs.run(&["--key", name], &jobs.token(json!({})));
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
    }
}

#[test]
fn a_server_that_wants_a_nonce_gets_it_in_a_second_proof() {
    let root = root("Nonces");
    let shown = Shown::under(&root, &["localhost"]);
    let server = HttpsServer::start(&shown, move |received, wire| {
        let proof = received.headers.get("dpop").cloned().unwrap_or_default();
        let claims = part(&proof, 1);
        let (status, body) = match claims["nonce"].as_str() {
            Some("n-1") => (
                200,
                json!({"access_token": claims["jti"], "token_type": "DPoP"}),
            ),
            _ => (400, json!({"error": "use_dpop_nonce"})),
        };
        let fields = [("dpop-nonce", "n-1"), ("content-type", "application/json")];
        wire.write_all(&response(status, &fields, body.to_string().as_bytes()))
    });
    let folder = crate::run::Folder::new("exchange-nonce");
    folder.file("ca.pem", pem("CERTIFICATE", &root.certificate));
    folder.file("token", "a.b.c");
    let address = server.url("");
    let ran = folder.run(&[
        "token",
        "exchange",
        "--tenant",
        "demo",
        "--server",
        &address,
        "--ca",
        "ca.pem",
        "--subject-token",
        "token",
        "--key",
        "key.pem",
        "--issuer",
        "https://avouch.test/t/demo",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let received = server.received();
    let proofs: Vec<Value> = received
        .iter()
        .map(|one| part(&one.headers["dpop"], 1))
        .collect();
    assert_eq!(proofs.len(), 2);
    assert_ne!(proofs[0]["jti"], proofs[1]["jti"]);
    for proof in &proofs {
        assert_eq!(proof["htu"], "https://avouch.test/t/demo/token");
        assert_eq!(proof["htm"], "POST");
    }
    assert_eq!(ran.out.trim(), proofs[1]["jti"].as_str().unwrap());
    let header = part(&received[1].headers["dpop"], 0);
    assert_eq!(
        (&header["typ"], &header["alg"]),
        (&json!("dpop+jwt"), &json!("ES256"))
    );
    assert!(header["jwk"].get("d").is_none(), "{header}");
}

/// Believes an authority of SSH about people, and gives something to one of them.
fn trust_people(jobs: &Jobs) {
    let folder = &jobs.plane.folder;
    let anchor = json!({
        "ssh": {"authorities": [jobs.file("ca.pub")], "certify": "users"},
        "owner": "the platform team", "reason": "people deploy from laptops",
    });
    let rule = json!({
        "from": {"anchor": "people", "facts": {"ssh.principal": "deploy"}},
        "gives": {"spiffe_id": "spiffe://demo.avouch.test/people/{ssh.principal}",
            "kinds": ["x509-svid"]},
        "owner": "the platform team", "reason": "deploys by hand",
    });
    folder.file("people.json", anchor.to_string());
    folder.file("rule-people.json", rule.to_string());
    for (noun, file) in [("anchor", "people.json"), ("rule", "rule-people.json")] {
        let put = jobs
            .plane
            .run(&[noun, "put", "people", "--tenant", "demo", "-f", file]);
        assert_eq!(put.code, 0, "{}", put.err);
    }
}

#[test]
fn a_certificate_of_ssh_is_exchanged_with_the_key_that_ssh_keygen_signs_with() {
    let there = Command::new("ssh-keygen").arg("-?").output();
    if there.is_err() {
        return println!("skipped: keys of SSH: `ssh-keygen` is not installed");
    }
    let jobs = Jobs::start("exchange-ssh");
    let folder = &jobs.plane.folder;
    let keygen = |arguments: &[&str]| {
        let mut command = Command::new("ssh-keygen");
        let made = command.args(arguments).current_dir(folder.path()).output();
        assert!(made.unwrap().status.success(), "{arguments:?}");
    };
    for name in ["ca", "person", "thief"] {
        keygen(&["-q", "-t", "ed25519", "-N", "", "-f", name]);
    }
    keygen(&[
        "-q",
        "-s",
        "ca",
        "-I",
        "person",
        "-n",
        "deploy",
        "person.pub",
    ]);
    trust_people(&jobs);
    let server = jobs.plane.http();
    let exchange = |more: &[&str]| {
        let exchange = ["token", "exchange", "--tenant", "demo", "--server", &server];
        folder.run(&[&exchange, more].concat())
    };
    // The certificate beside the key is found by itself.
    let ran = exchange(&["--ssh-key", "person", "--out", "identity"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out
            .starts_with("spiffe://demo.avouch.test/people/deploy\n"),
        "{}",
        ran.out
    );
    let of = [
        "--ssh-certificate",
        "person-cert.pub",
        "--ssh-key",
        "thief",
        "--out",
        "x",
    ];
    let stolen = exchange(&of);
    assert_eq!(stolen.code, 3);
    assert!(stolen.err.contains("(ssh.proof_key)"), "{}", stolen.err);
    // A key that nobody has certified, and one that is not there.
    let bare = exchange(&[
        "--ssh-certificate",
        "person.pub",
        "--ssh-key",
        "person",
        "--out",
        "x",
    ]);
    assert!(bare.err.contains("(ssh.key_unknown)"), "{}", bare.err);
    assert_eq!(exchange(&["--ssh-key", "nobody", "--out", "x"]).code, 1);
}
