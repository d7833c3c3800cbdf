//! Where the keys of authorities are, and certificates that are taken back.

#![expect(
    clippy::print_stdout,
    reason = "what is skipped is read from the output of the tests"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "it waits for what happens in another process, and no longer than it may take"
)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use avouch_testkit::softhsm::SoftHsm;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::plane::Plane;

/// The authorities of the tenant `demo`.
fn authorities(plane: &Plane) -> Vec<Value> {
    let list = plane.run(&["authority", "list", "--tenant", "demo", "-o", "json"]);
    assert_eq!(list.code, 0, "{}", list.err);
    list.json()["authorities"].as_array().unwrap().clone()
}

/// Waits until something holds, and no longer than it may take.
fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

#[test]
fn keys_that_are_made_in_a_token_stay_there_and_go_when_they_are_revoked() {
    let token = match SoftHsm::make(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(token) => token,
        Err(why) => {
            println!("skipped: a plane with keys in a PKCS #11 token: {why}");
            return;
        }
    };
    let address = token.address();
    let more = ["--keys", address.as_str(), "--root-key", "token"];
    let plane = Plane::start_with("authority-token", &more, token.variable());
    assert_eq!(plane.run(&["fetch", "x509"]).code, 0);
    let all = authorities(&plane);
    assert!(
        all.iter().all(|one| one["key_origin"] == "pkcs11"),
        "{all:?}"
    );
    let audited = plane.run(&["audit", "zero-trust", "--tenant", "demo", "-o", "json"]);
    assert_eq!(audited.json()["findings"], json!([]), "{}", audited.out);
    let at = all[0]["key_address"].as_str().unwrap();
    assert!(at.starts_with("pkcs11:token=avouch%20test;id=%"), "{at}");
    assert!(!plane.folder.path().join("avouch-data/root.key").exists());
    // Two tenants with four authorities of two objects each, and the root key.
    assert_eq!(token.objects(), 17);

    let plane = plane.again(Signal::SIGKILL, &more);
    assert_eq!(plane.run(&["fetch", "jwt", "--audience", "a"]).code, 0);
    assert_eq!(token.objects(), 17);

    let of_kind = |kind: &str| all.iter().find(|one| one["kind"] == kind).unwrap()["id"].clone();
    let id = of_kind("wit");
    let id = id.as_str().unwrap();
    let tainted = plane.run(&["authority", "taint", id, "--tenant", "demo"]);
    assert_eq!(tainted.code, 0, "{}", tainted.err);
    assert_eq!(token.objects(), 19);
    let revoked = plane.run(&["authority", "revoke", id, "--anyway", "--tenant", "demo"]);
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    assert_eq!(token.objects(), 17);
    let is_destroyed = |one: &Value| one["id"] == id && one["key_origin"] == "destroyed";
    assert!(authorities(&plane).iter().any(is_destroyed));
    assert!(!plane.log().contains("a secret of 20 bytes"));

    // Without the token nothing is opened, and it is said which key is missed.
    let mut plane = plane;
    plane.signal(Signal::SIGTERM);
    let refused = plane.folder.run(&[
        "up",
        "--listen",
        "127.0.0.1:0",
        "--grpc-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(refused.code, 1, "{}", refused.out);
    assert!(refused.err.contains("root key"), "{}", refused.err);
}

#[test]
fn a_token_whose_secret_is_on_the_command_line_is_not_used() {
    let folder = crate::run::Folder::new("authority-pin");
    // Whatever else listens on this machine.
    let free = "127.0.0.1:0";
    let up = |more: [&str; 2]| {
        let up = ["up", "--listen", free, "--grpc-listen", free];
        folder.run(&[&up[..], &more].concat())
    };
    let keys = "pkcs11:token=a?module-path=/x.so&pin-value=4711";
    let refused = up(["--keys", keys]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.err.contains("mode 0600") && !refused.err.contains("4711"),
        "{}",
        refused.err
    );
    let refused = up(["--root-key", "token"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("--keys"), "{}", refused.err);
}

#[test]
fn a_certificate_that_is_taken_back_is_refused_and_its_workload_has_the_list_at_once() {
    let plane = Plane::start("authority-revoked", &[]);
    let fetch = |folder: &str| {
        let fetched = plane.run(&["fetch", "x509", "--write", folder, "-o", "json"]);
        assert_eq!(fetched.code, 0, "{}", fetched.err);
        fetched.json()
    };
    let first = fetch("svid");
    let id = first["svids"][0]["spiffe_id"].as_str().unwrap().to_owned();
    // Of the root and of the intermediate.
    assert_eq!(first["revocation_lists"].as_array().unwrap().len(), 2);
    let trust = ["--trust", "svid/bundle.pem", "--trust", "svid/crl.pem"];
    let verify = |plane: &Plane| {
        let ask = ["verify", "svid/svid.pem", "--spiffe", id.as_str()];
        plane.run(&[&ask[..], &trust].concat())
    };
    let good = verify(&plane);
    assert_eq!(good.code, 0, "{}", good.out);

    let revoked = plane.run(&[
        "authority",
        "revoke-certificates",
        "--tenant",
        "demo",
        "--spiffe-id",
        &id,
        "--reason",
        "key_compromise",
        "-o",
        "json",
    ]);
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    let revoked = revoked.json()["revoked"].as_array().unwrap().clone();
    assert!(!revoked.is_empty());
    let held = until("the agent has the new list", || {
        fetch("new")["revocation_lists"] != first["revocation_lists"]
    });
    assert!(held < Duration::from_secs(2), "{held:?}");
    std::fs::copy(
        plane.folder.path().join("new/crl.pem"),
        plane.folder.path().join("svid/crl.pem"),
    )
    .unwrap();
    let bad = verify(&plane);
    assert_eq!(bad.code, 3, "{}", bad.out);
    assert!(
        bad.out.contains("revocation.revoked") || bad.out.contains("revoked"),
        "{}",
        bad.out
    );

    // Again, and by its serial number, is harmless; what nobody has issued is not revoked.
    let serial = revoked[0]["serial"].as_str().unwrap();
    let by_serial = |serial: &str| {
        plane.run(&[
            "authority",
            "revoke-certificates",
            "--tenant",
            "demo",
            "--serial",
            serial,
        ])
    };
    assert_eq!(by_serial(serial).code, 0);
    assert!(by_serial("00ff").err.contains("issue.object_unknown"));

    let authority = revoked[0]["authority"].as_str().unwrap();
    check_published(&plane, authority, serial);
}

/// Everyone finds the list of an authority under its name, and OpenSSL reads it.
fn check_published(plane: &Plane, authority: &str, serial: &str) {
    let url = format!("{}/t/demo/crl/{authority}", plane.http());
    let list = plane.folder.path().join("list.der");
    let got = Command::new("curl")
        .args(["-sf", "-o"])
        .arg(&list)
        .arg(&url)
        .status();
    if !got.is_ok_and(|got| got.success()) {
        println!("skipped: a revocation list under OpenSSL: there is no curl here");
        return;
    }
    let shown = Command::new("openssl")
        .args(["crl", "-inform", "DER", "-noout", "-text", "-in"])
        .arg(&list)
        .output();
    let Ok(shown) = shown else {
        println!("skipped: a revocation list under OpenSSL: there is no openssl here");
        return;
    };
    let shown = String::from_utf8_lossy(&shown.stdout)
        .to_lowercase()
        .replace(':', "");
    assert!(
        shown.contains(&serial.to_lowercase()) && shown.contains("key compromise"),
        "{shown}"
    );
}

#[test]
fn a_log_is_replayed_without_a_server_and_shows_whether_it_was_changed() {
    let plane = Plane::start("authority-log", &[]);
    assert_eq!(plane.run(&["fetch", "x509"]).code, 0);
    let id = "spiffe://demo.avouch.test/by-hand";
    let create = [
        "entry",
        "create",
        "--spiffe-id",
        id,
        "--selector",
        "unix:uid:0",
        "--tenant",
        "demo",
    ];
    assert_eq!(plane.run(&create).code, 0);
    let key = avouch_testkit::key::Key::p256("by-hand");
    let request = avouch_testkit::world::pem("CERTIFICATE REQUEST", &key.signing_request());
    plane.folder.file("web.csr", request);
    let sign = [
        "authority",
        "sign-csr",
        "web.csr",
        "--spiffe-id",
        id,
        "--ttl",
        "900",
        "--tenant",
        "demo",
    ];
    let signed = plane.run(&sign);
    assert_eq!(signed.code, 0, "{}", signed.err);
    assert_eq!(
        signed.out.matches("BEGIN CERTIFICATE").count(),
        2,
        "{}",
        signed.out
    );
    // Of the same request as OpenSSL writes it with `-outform DER`, too.
    plane.folder.file("web.der", key.signing_request());
    let of_der = plane.run(&sign.map(|word| if word == "web.csr" { "web.der" } else { word }));
    assert_eq!(of_der.code, 0, "{}", of_der.err);
    plane.folder.file("web.pem", signed.out.clone());
    let verified = plane.run(&[
        "verify",
        "web.pem",
        "--server",
        &plane.http(),
        "--tenant",
        "demo",
    ]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    let other = sign.map(|word| {
        if word == id {
            "spiffe://demo.avouch.test/nobody"
        } else {
            word
        }
    });
    assert_eq!(plane.run(&other).code, 3);

    // What was decided a moment ago is told when all of that moment is on record.
    let mut log = String::new();
    until("both certificates are in the log", || {
        let ran = plane.run(&["authority", "log", "--tenant", "demo"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        log.clone_from(&ran.out);
        plane.folder.file("log.jsonl", ran.out);
        let replay = ["authority", "replay", "log.jsonl", "-o", "json"];
        let replayed = plane.folder.run(&replay);
        assert_eq!(replayed.code, 0, "{}{}", replayed.out, replayed.err);
        assert_eq!(replayed.json()["identical"], true);
        replayed.json()["living"].as_u64().unwrap() >= 2
    });
    assert_that_a_changed_log_is_rejected(&plane, &log);
}

/// A line that is changed does not fit to the next.
fn assert_that_a_changed_log_is_rejected(plane: &Plane, log: &str) {
    let changed = log.replace("by-hand", "by-hond");
    plane.folder.file("changed.jsonl", changed);
    let replay = ["authority", "replay", "changed.jsonl"];
    let told = ["authority", "replay", "changed.jsonl", "-o", "json"];
    let against = [
        "authority",
        "replay",
        "log.jsonl",
        "--against",
        "changed.jsonl",
    ];
    for asked in [&replay[..], &told, &against] {
        let rejected = plane.folder.run(asked);
        assert_eq!(rejected.code, 3, "{}{}", rejected.out, rejected.err);
        assert!(rejected.out.contains("does not follow"), "{}", rejected.out);
        assert!(rejected.err.is_empty(), "{}", rejected.err);
    }
    assert_eq!(plane.folder.run(&told).json()["identical"], false);
    let absent = plane.folder.run(&["authority", "replay", "absent.jsonl"]);
    assert_eq!(absent.code, 1, "{}", absent.out);
}

/// Makes a root with OpenSSL and puts its key into the token under an identifier; the file with the key
/// is gone then. `None` where there is no OpenSSL.
fn root_in(token: &SoftHsm, folder: &Path, id: &str) -> Option<()> {
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key \
                  -out root.pem -subj '/CN=corporate root' -days 3650 \
                  -addext keyUsage=critical,keyCertSign,cRLSign";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("skipped: a root with its key in a PKCS #11 token: there is no openssl");
        return None;
    }
    let imported = token
        .command("softhsm2-util")
        .args(["--import", "root.key", "--token", "avouch test"])
        .args(["--label", "corporate root", "--id", id])
        .args(["--pin", "a secret of 20 bytes"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(imported.status.success(), "{imported:?}");
    std::fs::remove_file(folder.join("root.key")).unwrap();
    Some(())
}

const AT: &str = "pkcs11:token=avouch%20test;id=%c0%ff%ee;type=private";

/// Takes the root of `root.pem` with its key at an address.
fn import_at(plane: &Plane, tenant: &str, domain: &str, address: &str) -> crate::run::Ran {
    let command = ["authority", "import", domain, "root.pem"];
    let more = ["--key-address", address, "--tenant", tenant];
    plane.run(&[command.as_slice(), &more].concat())
}

/// The authority whose key is there, of the tenant `demo`.
fn brought(plane: &Plane) -> Option<Value> {
    let all = authorities(plane);
    all.into_iter().find(|one| one["key_address"] == AT)
}

#[test]
fn a_root_whose_key_is_in_the_token_already_signs_for_one_tenant_and_is_left_there() {
    let token = match SoftHsm::make(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(token) => token,
        Err(why) => {
            println!("skipped: a root with its key in a PKCS #11 token: {why}");
            return;
        }
    };
    let keys = token.address();
    let more = ["--keys", keys.as_str()];
    let plane = Plane::start_with("authority-own-root", &more, token.variable());
    if root_in(&token, plane.folder.path(), "c0ffee").is_none() {
        return;
    }
    let shop = ["tenant", "create", "shop", "--trust-domain", "shop.test"];
    assert_eq!(plane.run(&shop).code, 0);
    let domain = "demo.avouch.test";
    for wrong in [
        "pkcs11:token=avouch%20test;id=%01",
        "pkcs11:token=another;id=%C0%FF%EE",
        "pkcs11:token=avouch%20test;id=%C0%FF%EE?pin-value=4711",
        "file:/etc/passwd",
    ] {
        let refused = import_at(&plane, "demo", domain, wrong);
        assert_eq!(refused.code, 3, "{wrong}: {}", refused.err);
        let code = "issue.key_address_refused";
        assert!(refused.err.contains(code), "{wrong}: {}", refused.err);
        assert!(!refused.err.contains("4711"), "{}", refused.err);
    }
    // What was made here is nobody's to name, not even where it would be the own.
    let is_root = |one: &&Value| one["role"] == "root" && one["kind"] == "x509";
    let own = authorities(&plane).iter().find(is_root).unwrap()["key_address"].clone();
    for (tenant, domain) in [("shop", "shop.test"), ("demo", domain)] {
        let refused = import_at(&plane, tenant, domain, own.as_str().unwrap());
        assert_eq!(refused.code, 3, "{}", refused.err);
        assert!(refused.err.contains("made here"), "{}", refused.err);
    }

    let taken = import_at(
        &plane,
        "demo",
        domain,
        "pkcs11:token=avouch%20test;id=%C0%FF%EE",
    );
    assert_eq!(taken.code, 0, "{}", taken.err);
    let root = brought(&plane).unwrap();
    assert_eq!(root["role"], "root");
    assert_eq!(root["key_origin"], "pkcs11");
    assert_eq!(root["key_is_brought"], true);
    for (tenant, domain) in [("shop", "shop.test"), ("demo", domain)] {
        let refused = import_at(&plane, tenant, domain, AT);
        assert_eq!(refused.code, 3, "{}", refused.err);
        assert!(refused.err.contains("issue.conflict"), "{}", refused.err);
    }
    sign_with(&plane, root["id"].as_str().unwrap());

    // It is there after a kill, too, and what is signed ends at it.
    let plane = plane.again(Signal::SIGKILL, &more);
    sees_root(&plane);
    leave(&plane, &token, root["id"].as_str().unwrap());
}

/// Has the root sign, and an intermediate below it.
fn sign_with(plane: &Plane, root: &str) {
    let activate = |id: &str| {
        let command = ["authority", "activate", id, "--anyway", "--tenant", "demo"];
        let active = plane.run(&command);
        assert_eq!(active.code, 0, "{}", active.err);
    };
    activate(root);
    let is_prepared = |one: &&Value| one["role"] == "intermediate" && one["state"] == "prepared";
    let all = authorities(plane);
    let below = all.iter().find(is_prepared).unwrap();
    activate(below["id"].as_str().unwrap());
    sees_root(plane);
}

/// Waits until an SVID ends at the root of `root.pem`, as OpenSSL sees it.
fn sees_root(plane: &Plane) {
    until("an SVID ends at the root", || {
        let fetched = plane.run(&["fetch", "x509", "--write", "svid"]);
        assert_eq!(fetched.code, 0, "{}", fetched.err);
        let svid = plane.folder.path().join("svid");
        let verified = Command::new("openssl")
            .args(["verify", "-CAfile", "../root.pem"])
            .args(["-untrusted", "svid.pem", "svid.pem"])
            .current_dir(svid)
            .output()
            .unwrap();
        verified.status.success()
    });
}

/// Revokes the root, and takes it for another tenant then, which is removed with it.
fn leave(plane: &Plane, token: &SoftHsm, root: &str) {
    let tenant = ["--tenant", "demo"];
    let step = |command: &[&str]| {
        let done = plane.run(&[command, &tenant].concat());
        assert_eq!(done.code, 0, "{}", done.err);
    };
    step(&["authority", "taint", root]);
    let before = token.objects();
    step(&["authority", "revoke", root, "--anyway"]);
    assert!(brought(plane).is_none(), "it is forgotten");
    // The key of the intermediate below it, of two halves, is what was destroyed.
    assert_eq!(token.objects(), before - 2);
    let taken = import_at(plane, "shop", "shop.test", AT);
    assert_eq!(taken.code, 0, "{}", taken.err);
    let command = ["tenant", "delete", "shop", "--confirm", "shop,shop.test"];
    let removed = plane.run(&command);
    assert_eq!(removed.code, 0, "{}", removed.err);
    assert_eq!(
        plane
            .run(&["tenant", "create", "mart", "--trust-domain", "mart.test"])
            .code,
        0
    );
    let again = import_at(plane, "mart", "mart.test", AT);
    assert_eq!(again.code, 0, "{}", again.err);
}
