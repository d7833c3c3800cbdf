//! What the programs and libraries of others make of what is issued.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use avouch_issuer::authority::AuthorityPlan;
use avouch_issuer::signer::SigningKind;
use avouch_testkit::key::Key;
use base64ct::{Base64, Encoding};
use der::Decode;
use x509_cert::ext::pkix::NameConstraints;

use crate::world::{World, half, now, plan, workload};

/// Runs `openssl`; `None`, and a line that says so, where there is none.
#[expect(
    clippy::print_stdout,
    reason = "`cargo xtask test` reads which suites were skipped"
)]
fn openssl(suite: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new("openssl").args(arguments).output() {
        Ok(output) => Some(output),
        Err(_) => {
            println!("skipped: {suite}: there is no openssl here");
            None
        }
    }
}

fn write(folder: &Path, name: &str, certificates: &[&[u8]]) -> String {
    let mut text = String::new();
    for der in certificates {
        let body = Base64::encode_string(der);
        text += "-----BEGIN CERTIFICATE-----\n";
        for line in body.as_bytes().chunks(64) {
            text += std::str::from_utf8(line).unwrap();
            text.push('\n');
        }
        text += "-----END CERTIFICATE-----\n";
    }
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Of this process alone: the suite runs in several at once, with keys of other kinds.
fn folder(name: &str) -> PathBuf {
    let name = format!("{name} {}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What `openssl verify` says of an X.509-SVID, for a server and for a client, at the time of the
/// world; `None` where there is no openssl.
fn openssl_verifies(suite: &str, world: &World) -> Option<()> {
    let mut request = workload();
    request.dns_names = vec!["api.payments.test".to_owned()];
    let svid = world.x509(request).unwrap();
    let folder = folder(suite);
    let root = write(&folder, "root.pem", &[world.root.certificate().der()]);
    let intermediate = write(&folder, "intermediate.pem", &[&svid.chain[1]]);
    let leaf = write(&folder, "leaf.pem", &[&svid.chain[0]]);
    let at = world.now.unix().to_string();
    for purpose in ["sslserver", "sslclient"] {
        let arguments = [
            "verify",
            "-x509_strict",
            "-check_ss_sig",
            "-attime",
            &at,
            "-purpose",
            purpose,
            "-verify_hostname",
            "api.payments.test",
            "-CAfile",
            &root,
            "-untrusted",
            &intermediate,
            &leaf,
        ];
        let output = openssl(suite, &arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{suite}, {purpose}: {said}");
    }
    Some(())
}

#[test]
fn openssl_verifies_what_is_issued() {
    let world = World::new();
    openssl_verifies("openssl verify P-256", &world);
}

#[test]
fn openssl_verifies_what_an_ed25519_authority_issues() {
    let world = World::planned(&plan(), SigningKind::Ed25519, now());
    openssl_verifies("openssl verify Ed25519", &world);
}

fn constrained() -> World {
    let plan = AuthorityPlan {
        constrain_names: true,
        ..plan()
    };
    World::planned(&plan, SigningKind::P256, now())
}

#[test]
fn x_11_openssl_and_the_core_honour_a_name_constraint_for_uris() {
    let world = constrained();
    openssl_verifies("openssl verify name constraints", &world);
    let certificate = world.intermediate.certificate();
    let certificate = x509_cert::Certificate::from_der(certificate.der()).unwrap();
    let constraints = certificate
        .tbs_certificate()
        .get_extension::<NameConstraints>();
    let (critical, constraints) = constraints.unwrap().unwrap();
    assert!(critical);
    assert_eq!(constraints.permitted_subtrees.unwrap().len(), 1);
}

#[test]
fn openssl_makes_a_signing_request_that_is_read() {
    let suite = "openssl req";
    let folder = folder(suite);
    let (key, request) = (folder.join("key.pem"), folder.join("request.der"));
    let arguments = [
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        key.to_str().unwrap(),
        "-subj",
        "/CN=spiffe:%%demo.avouch.test%admin",
        "-addext",
        "subjectAltName=URI:spiffe://demo.avouch.test/admin",
        "-outform",
        "DER",
        "-out",
        request.to_str().unwrap(),
    ];
    let Some(output) = openssl(suite, &arguments) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let der = std::fs::read(&request).unwrap();
    let half = avouch_issuer::key::PublicHalf::from_signing_request(&der).unwrap();
    let world = World::new();
    let mut asked = workload();
    asked.public_half = half;
    let svid = world.x509(asked).unwrap();
    // What the request asks to be called does not matter.
    assert_eq!(svid.id.as_str(), crate::world::ID);
}

/// What rustls-webpki says of an X.509-SVID as that of a TLS client.
fn webpki(world: &World, key: &Key) -> Result<(), webpki::Error> {
    use rustls_pki_types::{CertificateDer, UnixTime};
    let mut request = workload();
    request.public_half = half(key);
    let svid = world.x509(request).unwrap();
    let root = CertificateDer::from(world.root.certificate().der());
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    let intermediates = [CertificateDer::from(svid.chain[1].as_slice())];
    let leaf = CertificateDer::from(svid.chain[0].as_slice());
    let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
    let seconds = u64::try_from(world.now.unix()).unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        &intermediates,
        now,
        webpki::KeyUsage::client_auth(),
        None,
        None,
    )
    .map(|_| ())
}

#[test]
fn rustls_verifies_what_is_issued() {
    for kind in [SigningKind::P256, SigningKind::Ed25519, SigningKind::Rsa] {
        let world = World::planned(&plan(), kind, now());
        assert_eq!(webpki(&world, &Key::p256("workload")), Ok(()));
    }
}

#[test]
fn rustls_refuses_what_an_authority_with_a_name_constraint_for_uris_issues() {
    // This is why the constraint must be asked for. Once it passes, it can be the default.
    let refused = webpki(&constrained(), &Key::p256("workload")).unwrap_err();
    assert_eq!(refused, webpki::Error::NameConstraintViolation);
}
