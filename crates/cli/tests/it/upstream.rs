//! Authorities whose certificates come from elsewhere, those for further uses, and what is issued
//! below them.

#![expect(
    clippy::print_stdout,
    reason = "what is skipped is read from the output of the tests"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "it waits for what happens in another process, and no longer than it may take"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::plane::Plane;
use crate::run::Ran;

/// Runs a script of the shell in the folder of a plane; `None` where there is no OpenSSL.
fn shell(plane: &Plane, script: &str) -> Option<(bool, String)> {
    let run = Command::new("sh")
        .args(["-ec", script])
        .current_dir(plane.folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    if run.status.code() == Some(127) {
        println!("skipped: authorities from elsewhere: there is no openssl here");
        return None;
    }
    Some((run.status.success(), told))
}

fn done(plane: &Plane, script: &str) -> Option<String> {
    let (holds, told) = shell(plane, script)?;
    assert!(holds, "{script}: {told}");
    Some(told)
}

fn manage(plane: &Plane, arguments: &[&str]) -> Ran {
    plane.run(&[arguments, &["--tenant", "demo"]].concat())
}

fn authorities(plane: &Plane) -> Vec<Value> {
    let list = manage(plane, &["authority", "list", "-o", "json"]);
    assert_eq!(list.code, 0, "{}", list.err);
    list.json()["authorities"].as_array().unwrap().clone()
}

const DOMAIN: &str = "demo.avouch.test";

/// A root of another company's CA, on RSA.
const CORPORATE: &str = "
openssl req -x509 -newkey rsa:2048 -nodes -keyout corp.key -out corp.pem -subj '/CN=Corp Root' \
  -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
openssl req -x509 -key corp.key -out short.pem -subj '/CN=Corp Root' -days 3650 \
  -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign \
  2>/dev/null
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key \
  -out other.pem -subj /CN=other 2>/dev/null
sign() {
  printf 'basicConstraints=%s\\nkeyUsage=%s\\nsubjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid\\n%s\\n' \
    \"$3\" \"$4\" \"$5\" > extensions
  openssl x509 -req -in \"$1\" -CA corp.pem -CAkey corp.key -set_serial \"0x5$$\" -days \"$6\" \
    -extfile extensions -out signed.pem 2>/dev/null
  cat signed.pem corp.pem > \"$2\"
}
ca=critical,CA:TRUE,pathlen:0
usage=critical,keyCertSign,cRLSign
sign request.pem chain.pem $ca $usage '' 365
cp signed.pem alone.pem
sign request.pem leaf.pem critical,CA:FALSE $usage '' 365
sign request.pem unlisted.pem $ca critical,keyCertSign '' 365
sign request.pem named.pem $ca $usage 'nameConstraints=critical,permitted;URI:other.test' 365
sign other.pem stranger.pem $ca $usage '' 365
";

#[test]
fn an_intermediate_that_another_ca_signed_takes_over_once_nodes_know_its_root() {
    let plane = Plane::start("upstream-csr", &[]);
    let request = manage(&plane, &["authority", "csr", DOMAIN]);
    assert_eq!(request.code, 0, "{}", request.err);
    plane.folder.file("request.pem", &request.out);
    let Some(_) = done(&plane, CORPORATE) else {
        return;
    };
    let shown = done(&plane, "openssl req -in request.pem -noout -text -verify").unwrap();
    assert!(
        shown.contains("CA:TRUE, pathlen:0") && shown.contains("URI:spiffe://demo.avouch.test"),
        "{shown}"
    );

    let import = |file: &str| manage(&plane, &["authority", "import", DOMAIN, file]);
    for (file, code) in [
        ("stranger.pem", "issue.upstream_key"),
        ("alone.pem", "issue.upstream_malformed"),
        ("leaf.pem", "pki.not_a_ca"),
        ("unlisted.pem", "revocation.crl_signing_forbidden"),
        ("named.pem", "pki.name_not_permitted"),
    ] {
        let refused = import(file);
        assert_eq!(refused.code, 3, "{file}: {}", refused.out);
        assert!(refused.err.contains(code), "{file}: {}", refused.err);
    }
    let imported = import("chain.pem");
    assert_eq!(imported.code, 0, "{}", imported.err);
    let mine = |one: &&Value| one["state"] == "prepared" && one["role"] == "intermediate";
    let all = authorities(&plane);
    let id = all.iter().find(mine).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // Its root is in the bundle before it signs.
    let fetch = || {
        let fetched = plane.run(&["fetch", "x509", "--write", "svid"]);
        assert_eq!(fetched.code, 0, "{}", fetched.err);
    };
    fetch();
    let counted = done(&plane, "grep -c BEGIN svid/bundle.pem").unwrap();
    assert_eq!(counted.trim(), "2");
    let active = manage(&plane, &["authority", "activate", &id]);
    assert_eq!(active.code, 0, "{}", active.err);
    let listed = authorities(&plane);
    let own = listed.iter().find(|one| one["id"] == id.as_str()).unwrap();
    assert_eq!(own["state"], "active");
    assert!(own["renew_by"].is_string(), "{own}");
    let again = manage(&plane, &["authority", "activate", &id]);
    assert!(again.err.contains("issue.authority_state"), "{}", again.err);

    // What is issued now ends at the root of the other CA.
    let request = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                   -keyout w.key -out w.pem -subj / 2>/dev/null";
    done(&plane, request).unwrap();
    issue(&plane, "w.pem", "web", "services");
    let verified = done(
        &plane,
        "openssl verify -CAfile corp.pem -untrusted web.pem web.pem",
    )
    .unwrap();
    assert!(verified.contains("OK"), "{verified}");
}

#[test]
fn a_root_that_was_made_elsewhere_signs_intermediates_here() {
    let plane = Plane::start("upstream-root", &[]);
    let made = "
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.pem \
  -subj '/CN=Corp Root' -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
openssl req -x509 -key root.key -out short.pem -subj '/CN=Corp Root' -days 3650 \
  -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
openssl genrsa 1024 > weak.key 2>/dev/null
openssl genrsa -aes128 -passout pass:secret 2048 > locked.key 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout p384.key -out p384.pem \
  -subj '/CN=Corp Root' -days 3650 2>/dev/null";
    if done(&plane, made).is_none() {
        return;
    }
    let import = |file: &str, key: &str| {
        manage(&plane, &["authority", "import", DOMAIN, file, "--key", key])
    };
    for (file, key, code) in [
        ("short.pem", "root.key", "pki.path_length"),
        ("root.pem", "weak.key", "issue.key_not_accepted"),
        ("p384.pem", "p384.key", "issue.key_not_accepted"),
        ("p384.pem", "root.key", "issue.upstream_key"),
    ] {
        let refused = import(file, key);
        assert_eq!(refused.code, 3, "{file}: {}", refused.out);
        assert!(refused.err.contains(code), "{file}: {}", refused.err);
    }
    let locked = import("root.pem", "locked.key");
    assert_eq!(locked.code, 2, "{}", locked.err);
    assert!(!locked.err.contains("BEGIN"), "{}", locked.err);
    let imported = import("root.pem", "root.key");
    assert_eq!(imported.code, 0, "{}", imported.err);
    assert!(
        import("root.pem", "root.key")
            .err
            .contains("issue.conflict")
    );
    let prepared = |one: &&Value| one["state"] == "prepared" && one["role"] == "root";
    let all = authorities(&plane);
    let id = all.iter().find(prepared).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let active = manage(&plane, &["authority", "activate", &id]);
    assert_eq!(active.code, 0, "{}", active.err);
    // The intermediate below the old root hands over to one below the new one.
    let root = authorities(&plane)
        .iter()
        .find(|one| one["id"] == id.as_str())
        .unwrap()["root"]
        .clone();
    let below = |one: &Value| one["role"] == "intermediate" && one["root"] == root;
    assert!(authorities(&plane).iter().any(below));
    assert!(!plane.log().contains("PRIVATE KEY"));
}

/// A certificate for an identity, written to NAME.pem.
fn issue(plane: &Plane, request: &str, name: &str, used_for: &str) -> Value {
    let id = format!("spiffe://{DOMAIN}/{name}");
    let made = manage(
        plane,
        &[
            "entry",
            "create",
            "--id",
            name,
            "--spiffe-id",
            &id,
            "--selector",
            "unix:uid:4242",
        ],
    );
    assert_eq!(made.code, 0, "{}", made.err);
    let text = std::fs::read_to_string(plane.folder.path().join(request)).unwrap();
    let body = serde_json::json!({"signing_request": text, "spiffe_id": id, "used_for": used_for});
    plane.folder.file("body.json", body.to_string());
    let url = format!("{}/v1/tenants/demo/certificates", plane.http());
    let script = format!(
        "curl -s -H \"Authorization: Bearer $(cat avouch-data/operator.jwt)\" \
         -H 'Content-Type: application/json' -d @body.json {url}"
    );
    let answer = done(plane, &script).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    if let Some(certificates) = answer["certificates"].as_str() {
        plane.folder.file(&format!("{name}.pem"), certificates);
    }
    answer
}

#[test]
fn a_certificate_of_a_device_is_refused_at_the_endpoint_of_a_service() {
    let plane = Plane::start("upstream-devices", &[]);
    let request = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                   -keyout d.key -out d.pem -subj / 2>/dev/null";
    if done(&plane, request).is_none() {
        return;
    }
    // Nobody signs for devices before there is an intermediate for them.
    let none = issue(&plane, "d.pem", "early", "devices");
    assert_eq!(none["code"], "issue.authority_state", "{none}");
    let add = ["authority", "add", DOMAIN, "--use", "devices"];
    let added = manage(&plane, &add);
    assert_eq!(added.code, 0, "{}", added.err);
    assert!(manage(&plane, &add).err.contains("issue.conflict"));
    for (name, used_for) in [("printer", "devices"), ("service", "services")] {
        let issued = issue(&plane, "d.pem", name, used_for);
        assert!(issued["certificates"].is_string(), "{issued}");
    }
    let fetched = plane.run(&["fetch", "x509", "--write", "svid"]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);

    let verify = |name: &str, purpose: &str| {
        let file = format!("{name}.pem");
        let id = format!("spiffe://{DOMAIN}/{name}");
        plane.run(&[
            "verify",
            &file,
            "--trust",
            "svid/bundle.pem",
            "--spiffe",
            &id,
            "--purpose",
            purpose,
        ])
    };
    let openssl = |name: &str, purpose: &str| {
        let script = format!(
            "openssl verify -purpose {purpose} -CAfile svid/bundle.pem -untrusted {name}.pem {name}.pem"
        );
        shell(&plane, &script).unwrap().0
    };
    for (name, purpose, other, holds) in [
        ("service", "server", "sslserver", true),
        ("service", "client", "sslclient", true),
        ("printer", "client", "sslclient", true),
        ("printer", "server", "sslserver", false),
    ] {
        let verdict = verify(name, purpose);
        assert_eq!(
            verdict.code == 0,
            holds,
            "{name} as {purpose}: {}",
            verdict.out
        );
        assert_eq!(openssl(name, other), holds, "{name} as {purpose}");
        if !holds {
            assert!(
                verdict.out.contains("pki.extended_key_usage_not_permitted"),
                "{}",
                verdict.out
            );
        }
    }
    check_services_only(&plane);
}

/// A service that takes services alone trusts their intermediate, and knows no device.
fn check_services_only(plane: &Plane) {
    let split = "csplit -sz -f part service.pem '/BEGIN/' '{*}' && mv part01 services-only.pem";
    done(plane, split).unwrap();
    let only = |name: &str| {
        let file = format!("{name}.pem");
        plane.run(&[
            "verify",
            &file,
            "--trust",
            "services-only.pem",
            "--spiffe",
            DOMAIN,
            "--purpose",
            "client",
        ])
    };
    assert_eq!(only("service").code, 0, "{}", only("service").out);
    let refused = only("printer");
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(
        refused.out.contains("pki.issuer_not_found"),
        "{}",
        refused.out
    );
}

#[test]
fn a_drill_is_watched_until_every_node_holds_the_new_keys() {
    let plane = Plane::start("upstream-drill", &[]);
    assert_eq!(plane.run(&["fetch", "x509"]).code, 0);
    let audited = manage(&plane, &["audit", "zero-trust"]);
    assert_eq!(audited.code, 13, "{}", audited.err);
    assert!(
        audited
            .out
            .contains("\nmedium: The key of the root authority "),
        "{}",
        audited.out
    );
    assert!(
        audited.out.contains(" (software-root)\n  fix: "),
        "{}",
        audited.out
    );
    let written = manage(&plane, &["audit", "zero-trust", "-o", "sarif"]);
    assert_eq!(written.code, 13, "{}", written.err);
    let run = written.json()["runs"][0].clone();
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap().clone();
    assert_eq!((rules.len(), &rules[0]["id"]), (1, &json!("software-root")));
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for result in results {
        assert_eq!(
            (&result["ruleId"], &result["level"]),
            (&rules[0]["id"], &json!("warning"))
        );
        let place = result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"].as_str();
        assert!(place.unwrap().starts_with("authority "), "{result}");
    }
    let record = manage(&plane, &["audit", "record", "web", "-o", "sarif"]);
    assert_eq!(record.code, 2, "{}", record.err);
    let replace = ["authority", "replace", DOMAIN, "--wait", "-o", "json"];
    let replaced = manage(&plane, &replace);
    // Nothing has failed, and nobody watches.
    assert_eq!((replaced.code, replaced.err.as_str()), (0, ""));
    let replaced = replaced.json();
    let all = replaced["authorities"].as_array().unwrap();
    let of = |state: &'static str| all.iter().filter(move |one| one["state"] == state);
    assert!(of("tainted").count() > 0, "{replaced}");
    for one in of("active") {
        assert_eq!(
            (&one["nodes_holding"], &one["nodes_connected"]),
            (&json!(1), &json!(1))
        );
    }
}

#[test]
fn an_operator_whose_key_is_replaced_and_taken_back_has_another_credential_by_then() {
    let plane = Plane::start("upstream-operator", &[]);
    let credential = plane.folder.path().join("avouch-data/operator.jwt");
    let read = || std::fs::read_to_string(&credential).unwrap();
    let before = read();
    let of_root = ["--tenant", "root", "-o", "json"];
    let run = |what: &[&str]| plane.run(&[what, &of_root].concat());
    let replaced = run(&["authority", "replace", "root.avouch.test"]);
    assert_eq!(replaced.code, 0, "{}", replaced.err);
    let started = Instant::now();
    while read() == before {
        assert!(started.elapsed() < Duration::from_secs(30), "it stays");
        assert_eq!(run(&["authority", "list"]).code, 0);
    }
    let listed = run(&["authority", "list"]).json();
    let tainted = listed["authorities"].as_array().unwrap().iter();
    let tainted = tainted.filter(|one| one["state"] == "tainted" && one["kind"] == "jwt");
    for id in tainted.map(|one| one["id"].as_str().unwrap()) {
        let revoked = run(&["authority", "revoke", id]);
        assert_eq!(revoked.code, 0, "{}", revoked.err);
    }
    assert_eq!(run(&["authority", "list"]).code, 0);
}

#[test]
fn who_reads_the_bundle_and_has_not_read_of_the_new_keys_is_named() {
    let plane = Plane::start("upstream-readers", &[]);
    let bundle = format!("{}/t/demo/bundle/{DOMAIN}", plane.http());
    // Who comes back follows it.
    for _ in 0..2 {
        let got = Command::new("curl")
            .args(["-sf", "-o", "/dev/null", &bundle])
            .status();
        if !got.is_ok_and(|got| got.success()) {
            println!("skipped: who reads the bundle: there is no curl here");
            return;
        }
    }
    let replaced = manage(&plane, &["authority", "replace", DOMAIN, "--wait"]);
    assert_eq!(replaced.code, 0, "{}", replaced.err);
    let noted = "note: the new keys are not yet read by 127.0.0.1: ";
    assert!(replaced.err.starts_with(noted), "{}", replaced.err);
    let behind = |listed: &Ran| {
        let lines = listed.out.lines();
        lines
            .filter(|line| line.ends_with(" is not yet read by 127.0.0.1"))
            .count()
    };
    let listed = manage(&plane, &["authority", "list"]);
    assert!(behind(&listed) > 0, "{}", listed.out);
    let again = Command::new("curl")
        .args(["-sf", "-o", "/dev/null", &bundle])
        .status();
    assert!(again.unwrap().success());
    let listed = manage(&plane, &["authority", "list"]);
    assert_eq!(behind(&listed), 0, "{}", listed.out);
}

#[test]
fn m_47_exactly_this_id_is_issued_and_explained_in_four_lines() {
    const ID: &str = "spiffe://prod.example.com/ns/payments/sa/api-server";
    let plane = Plane::start("upstream-four", &[]);
    let run = |arguments: &[&str]| {
        let ran = plane.run(arguments);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        ran
    };
    run(&[
        "tenant",
        "create",
        "prod",
        "--trust-domain",
        "prod.example.com",
    ]);
    let selector = format!("unix:uid:{}", nix::unistd::Uid::current());
    run(&[
        "entry",
        "create",
        "--tenant",
        "prod",
        "--spiffe-id",
        ID,
        "--selector",
        &selector,
    ]);
    let mut place = None;
    for _ in 0..100 {
        let fetched = run(&["fetch", "x509", "--write", "svid", "-o", "json"]).json();
        let svids = fetched["svids"].as_array().unwrap();
        place = svids.iter().position(|svid| svid["spiffe_id"] == ID);
        if place.is_some() {
            break;
        }
    }
    let number = match place.unwrap() {
        0 => String::new(),
        number => format!(".{number}"),
    };
    let (svid, bundle) = (
        format!("svid/svid{number}.pem"),
        format!("svid/bundle{number}.pem"),
    );
    let explained = plane
        .folder
        .run(&["explain", &svid, "--trust", &bundle, "--spiffe", ID]);
    assert_eq!(explained.code, 0, "{}", explained.out);
    let ladder = explained.out.lines().skip(2).take(5);
    let ladder: Vec<String> = ladder.map(without_keys).collect();
    let expected = [
        "  spiffe://prod.example.com/ns/payments/sa/api-server",
        "  └─ signed by serialNumber=[key], CN=prod.example.com intermediate",
        "     └─ signed by serialNumber=[key], CN=prod.example.com root",
        "        └─ anchored in that certificate, from svid/bundle.pem",
        "  3 certificates, 2 issuer signatures, 1 anchor",
    ];
    assert_eq!(
        ladder,
        expected.map(|line| line.replace("svid/bundle.pem", &bundle))
    );
    // So does the tenant, which has the root in a bundle.
    let server = plane.http();
    let decided = plane.folder.run(&[
        "verify", &svid, "--server", &server, "--tenant", "prod", "--spiffe", ID,
    ]);
    assert_eq!(decided.code, 0, "{decided:?}");
    let ladder = decided.out.lines().skip(2).take(5);
    let ladder: Vec<String> = ladder.map(without_keys).collect();
    let [id, first, second, _, counts] = expected;
    let bundle = "        └─ anchored in the bundle of prod.example.com";
    assert_eq!(ladder, [id, first, second, bundle, counts]);
}

/// A line without key identifiers, which differ from run to run.
fn without_keys(line: &str) -> String {
    match line.split_once("serialNumber=") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|one: char| one.is_ascii_hexdigit());
            format!("{before}serialNumber=[key]{rest}")
        }
        None => line.to_owned(),
    }
}
