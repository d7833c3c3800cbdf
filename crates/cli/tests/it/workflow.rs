//! The workflow of the how-to, step by step: what it says is run by a shell, with a runner of GitHub
//! Actions that is a simulator over TLS, and what it prints is compared with what comes of it.
//!
//! Of the document nothing is changed but the address of the server, which is on loopback here, and
//! the keys of GitHub, which it leaves out.

#![expect(clippy::disallowed_methods, reason = "tokens are of now")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use avouch_testkit::https::{HttpsServer, Shown, response};
use avouch_testkit::issuer::github;
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use serde_json::{Value, json};

use crate::outside::house::certify;
use crate::outside::until;
use crate::plane::Plane;

const HOW_TO: &str = include_str!("../../../../docs/how-to/exchange.md");
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const THERE: &str = "https://avouch.example.com";

/// The secret that a runner gives to the steps of its job.
const BEARER: &str = "the-token-of-the-runner";

/// A plane with the tenant `shop`, configured as the how-to says, and a runner.
struct Shop {
    plane: Plane,
    runner: HttpsServer,
    /// What the runner says of the job.
    job: Arc<Mutex<Value>>,
    files: tempfile::TempDir,
    here: String,
}

impl Shop {
    fn open(name: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let shown = Shown::under(&certify(files.path()), &["localhost"]);
        let [certificate, key, ca_file] =
            ["tls.pem", "tls.key", "ca.pem"].map(|name| files.path().join(name));
        let [certificate, key, ca_file] =
            [&certificate, &key, &ca_file].map(|file| file.to_str().unwrap());
        let plane = Plane::start(name, &["--tls-cert", certificate, "--tls-key", key]);
        let job = Arc::new(Mutex::new(json!({})));
        let told = Arc::clone(&job);
        let runner = HttpsServer::start(&shown, move |received, wire| {
            let bearer = received.headers.get("authorization").map(String::as_str);
            let is_known =
                bearer.is_some_and(|one| one.eq_ignore_ascii_case(&format!("bearer {BEARER}")));
            let audience = received
                .path
                .split_once("&audience=")
                .map(|(_, one)| unescaped(one));
            let (status, body) = match (is_known, audience) {
                (true, Some(audience)) => {
                    let token = workflow_token(&told.lock().unwrap(), &audience);
                    (200, json!({"count": token.len(), "value": token}))
                }
                _ => (401, json!({"message": "who are you?"})),
            };
            let fields = [("content-type", "application/json")];
            wire.write_all(&response(status, &fields, body.to_string().as_bytes()))
        });
        let ca = ca_file.to_owned();
        let shop = Self {
            here: plane.http(),
            plane,
            runner,
            job,
            files,
        };
        let credential = shop.plane.folder.path().join("avouch-data/operator.jwt");
        until("there is a credential", || credential.exists());
        let ca = ["--server", &shop.here, "--ca", &ca];
        let create = [
            "tenant",
            "create",
            "shop",
            "--trust-domain",
            "shop.example.com",
        ];
        let made = shop.plane.folder.run(&[&create[..], &ca].concat());
        assert_eq!(made.code, 0, "{}", made.err);
        shop.configure();
        shop
    }

    /// Does what the how-to says one does once.
    fn configure(&self) {
        let keys = jwks(&[jwk(&Key::p256("github"), "k1")]);
        let github = block("# github.yaml").replace("{ keys: [ … ] }", &keys.to_string());
        self.plane.folder.file("github.yaml", github);
        self.plane
            .folder
            .file("deploy.yaml", block("# deploy.yaml"));
        let console = block("$ avouch anchor put github");
        for line in console.lines() {
            let command = line.strip_prefix("$ ").unwrap();
            let ran = self.shell(self.plane.folder.path(), command);
            assert!(ran.status.success(), "{command}: {}", told(&ran));
        }
    }

    /// A shell in a folder, as a runner starts it, with the program in its path.
    fn shell(&self, folder: &Path, script: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_avouch")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let ca = self.files.path().join("ca.pem");
        let url = self.runner.url("/token?api-version=2.0");
        Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
            .current_dir(folder)
            .env_clear()
            .env("PATH", format!("{}:{path}", program.display()))
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", url)
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER)
            .env("AVOUCH_SERVER", &self.here)
            // Where the certificates are not those that the world believes.
            .env("AVOUCH_CA", &ca)
            .env("CURL_CA_BUNDLE", &ca)
            .env("SSL_CERT_FILE", &ca)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs the job of a workflow of the how-to: its variables, then each of its steps.
    fn job(&self, workflow: &str, claims: Value) -> (tempfile::TempDir, Vec<Output>) {
        *self.job.lock().unwrap() = claims;
        let folder = tempfile::tempdir().unwrap();
        let workflow = block(workflow).replace(THERE, &self.here);
        let workflow = avouch_api::read_value(&workflow)
            .unwrap_or_else(|avouch_api::NotAValue(why)| panic!("{why}: {workflow}"));
        assert_eq!(workflow["permissions"]["id-token"], "write");
        let variables = workflow["env"].as_object().unwrap().iter();
        let variables: String = variables
            .map(|(name, value)| format!("export {name}={}\n", value.as_str().unwrap()))
            .collect();
        let mut outputs = Vec::new();
        for step in workflow["jobs"]["deploy"]["steps"].as_array().unwrap() {
            let script = format!("{variables}{}", step["run"].as_str().unwrap());
            let output = self.shell(folder.path(), &script);
            let goes_on = output.status.success();
            outputs.push(output);
            if !goes_on {
                break;
            }
        }
        (folder, outputs)
    }
}

/// The block of the how-to that begins with this.
fn block(head: &str) -> String {
    let blocks = HOW_TO.split("```").skip(1).step_by(2);
    let mut bodies = blocks.map(|block| block.split_once('\n').unwrap().1);
    let body = bodies.find(|body| body.starts_with(head));
    body.unwrap_or_else(|| panic!("the how-to has no block {head}"))
        .to_owned()
}

fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        plain.push(char::from(u8::from_str_radix(code, 16).unwrap()));
        plain.push_str(rest);
    }
    plain
}

/// The token of a job of the repository 74, with these claims in the place of its own.
fn workflow_token(changed: &Value, audience: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs();
    let mut claims = github();
    for (name, value) in [
        ("iss", json!(GITHUB)),
        ("aud", json!(audience)),
        (
            "jti",
            json!(format!(
                "{}-{now}",
                NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            )),
        ),
        ("iat", json!(now)),
        ("nbf", json!(now - 600)),
        ("exp", json!(now + 300)),
        ("event_name", json!("push")),
    ] {
        claims[name] = value;
    }
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let members = claims.as_object_mut().unwrap();
    members.retain(|_, value| !value.is_null());
    TokenForge::saying(claims).sign(&Key::p256("github"), "k1")
}

static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

fn told(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

/// With one number in the place of that of the decision.
fn steady(text: &str) -> String {
    let lines = text
        .trim()
        .lines()
        .map(|line| match line.split_once("decision: ") {
            Some((head, _)) => format!("{head}decision: …"),
            None => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n")
}

/// The claims of a repository, where nothing else differs.
fn of_repository(owner: &str, owner_id: &str, name: &str, id: &str) -> Value {
    json!({
        "sub": format!("repo:{owner}@{owner_id}/{name}@{id}:environment:prod"),
        "repository": format!("{owner}/{name}"), "repository_id": id,
        "repository_owner": owner, "repository_owner_id": owner_id,
    })
}

#[test]
fn the_workflow_of_the_how_to_gets_its_certificate_and_others_get_the_sentences_it_prints() {
    let shop = Shop::open("workflow-command");
    let workflow = "# .github/workflows/deploy.yml";
    let (folder, outputs) = shop.job(workflow, json!({}));
    assert_eq!(outputs.len(), 2);
    for output in &outputs {
        assert!(output.status.success(), "{}", told(output));
    }
    assert!(told(&outputs[0]).starts_with("spiffe://shop.example.com/ci/74/deploy\n"));
    assert_eq!(told(&outputs[1]), "identity/svid.pem: OK\n");
    assert!(folder.path().join("identity/key.pem").exists());

    let fork = of_repository("mallory", "66", "octo-repo", "99");
    let other = of_repository("octo-org", "65", "other-repo", "75");
    let printed = HOW_TO.split_once("## What a fork is told").unwrap().1;
    let blocks = |kind: &'static str| {
        let blocks = printed.split(kind).skip(1);
        blocks.map(|text| text.split("```").next().unwrap())
    };
    let [answer, other_answer, other_why, ..] = blocks("```text\n").collect::<Vec<_>>()[..] else {
        panic!("what a fork is told, and what another is, and why");
    };
    let (drawn, _) = blocks("```console\n")
        .next()
        .unwrap()
        .split_once('…')
        .unwrap();
    let (_, why) = drawn.split_once('\n').unwrap();
    // As a line, however it is broken where it is drawn.
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (claims, answer, why) in [(fork, answer, why), (other, other_answer, other_why)] {
        let (folder, outputs) = shop.job(workflow, claims);
        assert_eq!(outputs.len(), 1);
        assert_eq!(outputs[0].status.code(), Some(3));
        let told = told(&outputs[0]);
        assert_eq!(steady(&told), steady(answer));
        assert!(!folder.path().join("identity/svid.pem").exists());
        let (_, id) = told.trim_end().rsplit_once(' ').unwrap();
        let command = format!("avouch explain {id} --tenant shop");
        let explained = shop.shell(shop.plane.folder.path(), &command);
        assert_eq!(explained.status.code(), Some(3), "{explained:?}");
        let explained = flat(&String::from_utf8_lossy(&explained.stdout));
        assert!(explained.contains(&flat(why)), "{explained}");
        let sentence = why.split_once("]: ").map_or(why, |(_, sentence)| sentence);
        let log = shop.plane.log();
        assert!(log.contains(&flat(sentence)), "not in the log: {sentence}");
    }
    // Jobs of pull requests of the repository itself, and of another environment.
    let of = |rest: &str| format!("repo:octo-org@65/octo-repo@74:{rest}");
    for claims in [
        json!({
            "sub": of("pull_request"), "event_name": "pull_request", "environment": null,
        }),
        json!({"sub": of("environment:stage"), "environment": "stage"}),
    ] {
        let (_, outputs) = shop.job(workflow, claims.clone());
        let said = told(&outputs[0]);
        assert_eq!(outputs[0].status.code(), Some(3), "{claims}: {said}");
        assert!(
            said.contains("issue.exchange_not_admitted"),
            "{claims}: {said}"
        );
    }
}

#[test]
fn the_workflow_with_curl_gets_its_certificate_and_fails_where_it_is_refused() {
    let shop = Shop::open("workflow-curl");
    let workflow = "# .github/workflows/deploy-with-curl.yml";
    let (folder, outputs) = shop.job(workflow, json!({}));
    assert!(outputs[0].status.success(), "{}", told(&outputs[0]));
    let at = |name: &str| folder.path().join(name);
    let svid = fs::read_to_string(at("svid.pem")).unwrap();
    assert!(svid.starts_with("-----BEGIN CERTIFICATE-----"), "{svid}");
    let shown = |kind: &str, file: &str, more: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args([kind, "-in"]).arg(at(file)).arg(more);
        if kind == "x509" {
            openssl.arg("-noout");
        }
        String::from_utf8(openssl.output().unwrap().stdout).unwrap()
    };
    assert_eq!(
        shown("x509", "svid.pem", "-pubkey"),
        shown("pkey", "key.pem", "-pubout")
    );
    let (folder, outputs) = shop.job(workflow, of_repository("mallory", "66", "octo-repo", "99"));
    assert_eq!(outputs[0].status.code(), Some(1));
    let refusal = told(&outputs[0]);
    assert!(
        refusal.contains(r#""code":"policy.rule_not_matched""#),
        "{refusal}"
    );
    assert!(!folder.path().join("svid.pem").exists());
}
