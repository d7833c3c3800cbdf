//! OpenSSL and Go ask a server that runs about certificates of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use avouch_testkit::outside;

use crate::plane::Plane;

#[test]
fn openssl_asks_about_certificates_where_they_say() {
    let plane = Plane::start("ocsp", &["--public-url", "http://localhost"]);
    let folder = plane.folder.path();
    let openssl = |arguments: &[&str]| {
        let ran = Command::new("openssl")
            .args(arguments)
            .current_dir(folder)
            .output()
            .ok()?;
        let all = [ran.stdout, ran.stderr].concat();
        Some(String::from_utf8_lossy(&all).into_owned())
    };
    if openssl(&["version"]).is_none() {
        return println!("skipped: OCSP: there is no openssl here");
    }
    let fetched = plane.run(&["fetch", "x509", "--write", "."]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    let chain = fs::read_to_string(folder.join("svid.pem")).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    let (leaf, above) = chain.split_once(end).unwrap();
    plane.folder.file("leaf.pem", format!("{leaf}{end}"));
    plane.folder.file("int.pem", above);
    let where_to = openssl(&["x509", "-in", "leaf.pem", "-noout", "-ocsp_uri"]).unwrap();
    assert_eq!(where_to.trim(), "http://localhost/t/demo/ocsp");
    let url = format!("{}/t/demo/ocsp", plane.http());
    let ask = |more: &[&str]| {
        let with = ["ocsp", "-url", &url, "-CAfile", "bundle.pem"];
        openssl(&[&with[..], more].concat()).unwrap()
    };
    let leaf = ["-issuer", "int.pem", "-cert", "leaf.pem"];
    // With a nonce, which OpenSSL sends unless it is told not to, and looks for in the answer.
    let good = ask(&leaf);
    assert!(good.contains("Response verify OK"), "{good}");
    assert!(good.contains("leaf.pem: good"), "{good}");
    assert!(!good.contains("WARNING"), "{good}");
    for more in [&["-no_nonce"][..], &["-no_nonce", "-sha256"]] {
        // The function stands before the certificate that is named with it.
        let good = ask(&[more, &leaf].concat());
        assert!(good.contains("Response verify OK"), "{good}");
        assert!(good.contains("leaf.pem: good"), "{good}");
    }
    let above = ask(&["-issuer", "bundle.pem", "-cert", "int.pem"]);
    assert!(above.contains("Response verify OK"), "{above}");
    assert!(above.contains("int.pem: good"), "{above}");
    let unknown = ask(&["-issuer", "int.pem", "-serial", "0x4040"]);
    assert!(unknown.contains("unauthorized (6)"), "{unknown}");
    let both = ask(&[&leaf[..], &["-serial", "0x4040"]].concat());
    assert!(both.contains("leaf.pem: good"), "{both}");
    assert!(both.contains("0x4040: unknown"), "{both}");
    let serial = openssl(&["x509", "-in", "leaf.pem", "-noout", "-serial"]).unwrap();
    let serial = serial.trim().trim_start_matches("serial=");
    let revoke = ["authority", "revoke-certificates", "--tenant", "demo"];
    let which = ["--serial", serial, "--reason", "superseded"];
    let revoked = plane.run(&[&revoke[..], &which].concat());
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    for more in [&[][..], &["-no_nonce"]] {
        let revoked = ask(&[&leaf[..], more].concat());
        assert!(revoked.contains("Response verify OK"), "{revoked}");
        assert!(revoked.contains("leaf.pem: revoked"), "{revoked}");
        assert!(revoked.contains("Reason: superseded"), "{revoked}");
        assert!(revoked.contains("Revocation Time: "), "{revoked}");
    }
}

#[test]
fn go_believes_what_is_answered() {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ocsp-asker");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/go/ocsp");
    if let Err(why) = outside::go_program(&sources, ".", &program) {
        return println!("skipped: OCSP by Go: {why}");
    }
    let plane = Plane::start("ocsp-go", &[]);
    let fetched = plane.run(&["fetch", "x509", "--write", "svid"]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    let chain = plane.folder.path().join("svid/svid.pem");
    let url = format!("{}/t/demo/ocsp", plane.http());
    let ask = || {
        let mut ask = Command::new(&program);
        let ran = ask.arg(&chain).arg(&url).output().unwrap();
        let all = [ran.stdout, ran.stderr].concat();
        String::from_utf8(all).unwrap().trim().to_owned()
    };
    assert_eq!(ask(), "good");
    let id = fetched.out.lines().next().unwrap();
    let revoke = ["authority", "revoke-certificates", "--tenant", "demo"];
    let which = ["--spiffe-id", id, "--reason", "key_compromise"];
    let revoked = plane.run(&[&revoke[..], &which].concat());
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    assert_eq!(ask(), "revoked 1");
}
