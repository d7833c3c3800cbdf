//! What a workload is given of a foreign trust domain, as the files that other programs believe.

use std::fs;
use std::io;
use std::process::Command;

use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::key::Key;
use avouch_testkit::world::{Authority, pem};
use base64ct::{Base64, Encoding};
use serde_json::json;

use crate::shared_node::{Shared, eventually};

const FROM: &str = "2024-01-01T00:00:00Z";
const UNTIL: &str = "2049-01-01T00:00:00Z";

#[test]
fn b_08_f_06_a_partner_vouches_for_nobody_of_the_own_trust_domain() {
    let shared = Shared::start("foreign-bundles");
    let partner = Authority::root_with("Partner", Key::p256("partner"), |forge| {
        forge.valid(FROM, UNTIL)
    });
    let x5c = [Base64::encode_string(&partner.certificate)];
    let bundle = json!({"keys": [{"kty": "EC", "use": "x509-svid", "x5c": x5c}]});
    let anchor = json!({"trust_domain": "partner.test", "bundle": bundle});
    shared.anchor("two", "partner", &anchor);
    shared.register("two", &["partner.test"]);
    shared.bundles(&["partner.test", "two.test"]);

    let folder = &shared.plane.folder;
    let fetch = ["fetch", "x509", "--write", "svid"];
    let fetched = shared.plane.run(&fetch);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    let [own, foreign] = ["svid/bundle.pem", "svid/federated/partner.test.pem"];
    assert!(
        fetched.out.contains("federates with partner.test"),
        "{}",
        fetched.out
    );
    assert!(fetched.out.contains(foreign), "{}", fetched.out);
    assert!(folder.path().join(foreign).exists());

    // The partner says who is who in a trust domain that is not its own.
    let administrator = "spiffe://two.test/administrator";
    let forge = CertificateForge::svid(administrator, &Key::p256("forged")).valid(FROM, UNTIL);
    folder.file("forged.pem", pem("CERTIFICATE", &partner.issue(forge)));
    for (certificate, roots, by_avouch, by_openssl) in [
        ("svid/svid.pem", own, true, true),
        ("svid/svid.pem", foreign, false, false),
        ("forged.pem", own, false, false),
        // It is a good certificate to who believes the partner in everything.
        ("forged.pem", foreign, true, true),
    ] {
        let told = format!("{certificate} by {roots}");
        assert_eq!(
            avouch_believes(&shared, certificate, roots),
            by_avouch,
            "{told}"
        );
        match openssl_believes(&shared, certificate, roots) {
            Ok(believes) => assert_eq!(believes, by_openssl, "{told}"),
            Err(why) => println!("skipped: openssl: {why}"),
        }
    }

    shared.run("two", &["anchor", "delete", "partner"]);
    let gone = eventually(|| {
        let fetched = shared.plane.run(&fetch);
        assert_eq!(fetched.code, 0, "{}", fetched.err);
        (!folder.path().join(foreign).exists()).then_some(())
    });
    assert!(
        gone.is_some(),
        "the file of a partner that was removed stays"
    );
    let roots = fs::read_to_string(folder.path().join(own)).unwrap();
    assert_eq!(roots.matches("BEGIN CERTIFICATE").count(), 1);
}

fn avouch_believes(shared: &Shared, certificate: &str, roots: &str) -> bool {
    let command = [
        "verify",
        certificate,
        "--trust",
        roots,
        "--spiffe",
        "two.test",
    ];
    shared.plane.run(&command).code == 0
}

fn openssl_believes(shared: &Shared, certificate: &str, roots: &str) -> io::Result<bool> {
    let mut openssl = Command::new("openssl");
    openssl.args([
        "verify",
        "-CAfile",
        roots,
        "-untrusted",
        certificate,
        certificate,
    ]);
    let said = openssl.current_dir(shared.plane.folder.path()).output()?;
    Ok(said.status.success())
}
