//! The command and a server that speak TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use avouch_testkit::asn1;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension;
use avouch_testkit::key::Key;
use avouch_testkit::name::GeneralName;
use avouch_testkit::world::{Authority, pem};

use crate::plane::Plane;
use crate::run::{Folder, Ran};
use crate::serving_on::wait;

const VALID: (&str, &str) = ("2020-01-01T00:00:00Z", "2049-01-01T00:00:00Z");

pub(crate) fn root() -> Authority {
    Authority::root_with("Web", Key::ed25519("Web"), |forge| {
        forge.valid(VALID.0, VALID.1)
    })
}

/// Writes a certificate for a name, its key, and the root above it.
pub(crate) fn write(folder: &Path, root: &Authority, dns: &str) -> [String; 3] {
    write_with(folder, root, dns, |forge| forge)
}

fn write_with(
    folder: &Path,
    root: &Authority,
    dns: &str,
    changed: impl FnOnce(CertificateForge) -> CertificateForge,
) -> [String; 3] {
    let key = Key::ed25519(dns);
    let forge = CertificateForge::bare(dns, &key)
        .valid(VALID.0, VALID.1)
        .with(extension::extended_key_usage(&[extension::SERVER_AUTH]))
        .with(extension::subject_alternative_names(&[GeneralName::dns(
            dns,
        )]));
    // RFC 8410 7.
    let pkcs8 = asn1::sequence([
        asn1::number(0),
        asn1::sequence([asn1::oid("1.3.101.112")]),
        asn1::octet_string(&asn1::octet_string(key.private())),
    ]);
    let texts = [
        ("tls.pem", pem("CERTIFICATE", &root.issue(changed(forge)))),
        ("tls.key", pem("PRIVATE KEY", &pkcs8)),
        ("ca.pem", pem("CERTIFICATE", &root.certificate)),
    ];
    texts.map(|(name, text)| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

fn port(line: &str) -> &str {
    line.rsplit(':').next().unwrap().trim()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a limit on how long is waited")]
fn a_server_with_a_certificate_speaks_https_and_follows_its_files() {
    let files = tempfile::tempdir().unwrap();
    let root = root();
    let [certificate, key, ca] = write(files.path(), &root, "localhost");
    let plane = Plane::start(
        "secured_web",
        &["--tls-cert", &certificate, "--tls-key", &key],
    );
    let http = plane.http();
    assert!(http.starts_with("https://"), "{http}");
    let at = |host: &str| format!("https://{host}:{}", port(&http));
    let list = |server: &str, more: &[&str]| {
        let command = ["tenant", "list", "--server", server];
        plane.folder.run(&[&command, more].concat())
    };
    let ran = list(&at("localhost"), &["--ca", &ca]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("demo.avouch.test"), "{}", ran.out);
    // Who is not told to believe the CA does not.
    let plain = list(&at("127.0.0.1").replace("https", "http"), &[]);
    assert_eq!(plain.code, 1, "{}", plain.out);
    assert!(plain.err.contains("server.tls_required"), "{}", plain.err);
    let strange = list(&at("localhost"), &[]);
    assert_eq!(strange.code, 1);
    // It is there, and starting another would not help.
    assert!(
        strange.err.contains("no authority that is trusted here"),
        "{}",
        strange.err
    );
    assert!(strange.err.contains("--ca"), "{}", strange.err);
    assert!(
        !strange.err.contains("no server answers"),
        "{}",
        strange.err
    );
    assert_eq!(list(&at("127.0.0.1"), &["--ca", &ca]).code, 1);
    // An administrator shows an X.509-SVID as good as a token.
    let svid = files.path().join("svid");
    let written = svid.to_str().unwrap();
    let fetched = plane.run(&["fetch", "x509", "--write", written]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    let [cert, key] = ["svid.pem", "key.pem"].map(|name| format!("{written}/{name}"));
    let shown = ["--ca", &ca, "--cert", &cert, "--key", &key];
    let none = list(&at("localhost"), &shown);
    assert_eq!(none.code, 0, "{}", none.err);
    assert!(!none.out.contains("demo"), "{}", none.out);
    let subject = fetched.out.lines().next().unwrap();
    let put = [
        "admin", "put", "me", "--tenant", "demo", "--role", "auditor",
    ];
    let more = [
        "--subject",
        subject,
        "--server",
        &at("localhost"),
        "--ca",
        &ca,
    ];
    let ran = plane.folder.run(&[&put[..], &more[..]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let listed = list(&at("localhost"), &shown);
    assert!(listed.out.contains("demo"), "{}", listed.out);
    assert!(!listed.out.contains("root.avouch"), "{}", listed.out);
    // A key that others may read is not used.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = list(&at("localhost"), &shown);
    assert!(open.err.contains("chmod 600"), "{}", open.err);
    // The certificate is replaced while the server runs.
    write(files.path(), &root, "avouch.localhost");
    let since = Instant::now();
    while list(&at("localhost"), &["--ca", &ca]).code == 0 {
        assert!(since.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_server_that_shows_the_certificate_of_an_authority_is_refused_as_that() {
    let files = tempfile::tempdir().unwrap();
    let of_an_authority =
        |forge: CertificateForge| forge.with(extension::basic_constraints(true, None));
    let [certificate, key, ca] = write_with(files.path(), &root(), "localhost", of_an_authority);
    let shown = ["--tls-cert", &certificate, "--tls-key", &key];
    let plane = Plane::start("secured_ca", &shown);
    let at = format!("https://localhost:{}", port(&plane.http()));
    let command = ["tenant", "list", "--server", &at, "--ca", &ca];
    let refused = plane.folder.run(&command);
    assert_eq!(refused.code, 1, "{}", refused.out);
    assert!(refused.err.contains("CA:TRUE"), "{}", refused.err);
    assert!(refused.err.contains("CA:FALSE"), "{}", refused.err);
}

#[test]
fn an_administrator_is_known_by_the_workload_api_alone() {
    let plane = Plane::start(
        "secured_workload",
        &["--spiffe-listen", "demo.avouch.test=127.0.0.1:0"],
    );
    let mut lines = plane.greeting.lines();
    let address = lines.find_map(|line| line.trim().strip_prefix("SPIFFE"));
    let address = address.unwrap().trim();
    let socket = format!("unix://{}", plane.socket().display());
    let list = || {
        let command = ["tenant", "list", "--as-workload", "--server", address];
        let mut command = plane.folder.command(&command);
        let output = command
            .env("SPIFFE_ENDPOINT_SOCKET", &socket)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, listed, error) = list();
    assert_eq!(code, Some(0), "{error}");
    assert!(!listed.contains("demo"), "{listed}");
    let fetched = plane.run(&["fetch", "x509"]);
    let subject = fetched.out.lines().next().unwrap();
    let put = [
        "admin", "put", "me", "--tenant", "demo", "--role", "auditor",
    ];
    let ran = plane.run(&[&put[..], &["--subject", subject]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let (_, listed, _) = list();
    assert!(listed.contains("demo.avouch.test"), "{listed}");
}

#[test]
fn of_several_identities_the_one_of_the_trust_domain_that_the_server_is_called_by_is_shown() {
    let plane = Plane::start("secured_several", &["--spiffe-listen", "127.0.0.1:0"]);
    let mut lines = plane.greeting.lines();
    let address = lines.find_map(|line| line.trim().strip_prefix("SPIFFE"));
    let (_, port) = address.unwrap().trim().rsplit_once(':').unwrap();
    let address = format!("https://localhost:{port}");
    let socket = format!("unix://{}", plane.socket().display());
    let id = "spiffe://localhost/administrator";
    let uid = format!("unix:uid:{}", nix::unistd::getuid());
    for command in [
        &["tenant", "create", "shop", "--trust-domain", "localhost"][..],
        &[
            "entry",
            "create",
            "--tenant",
            "shop",
            "--id",
            "me",
            "--spiffe-id",
            id,
            "--selector",
            &uid,
        ],
        &[
            "admin",
            "put",
            "me",
            "--tenant",
            "shop",
            "--role",
            "auditor",
            "--subject",
            id,
        ],
    ] {
        let ran = plane.run(command);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let list = |option: &str| {
        let command = ["tenant", "list", option, "--server", &address];
        let mut command = plane.folder.command(&command);
        Ran::of(
            command
                .env("SPIFFE_ENDPOINT_SOCKET", &socket)
                .output()
                .unwrap(),
        )
    };
    wait(|| list("--as-workload").out.contains("shop"));
    assert!(list(&format!("--as-workload={id}")).out.contains("shop"));
    let other = list("--as-workload=spiffe://demo.avouch.test/nobody");
    assert!(other.err.contains("/nobody"), "{}{}", other.out, other.err);
}

#[test]
fn what_administrators_show_does_not_cross_the_network_unprotected_by_chance() {
    let folder = Folder::new("secured_plain");
    let ran = folder.run(&["server", "run", "--listen", "0.0.0.0:0"]);
    assert_eq!(ran.code, 2);
    for word in ["--tls-cert", "--plain-http"] {
        assert!(ran.err.contains(word), "{}", ran.err);
    }
    let ran = folder.run(&["server", "run", "--tls-cert", "x.pem"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    let ran = folder.run(&["tenant", "list", "--cert", "x", "--key", "x"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("over TLS only"), "{}", ran.err);
    let missing = ["--tls-cert", "no.pem", "--tls-key", "no.key"];
    let start = [
        "server",
        "run",
        "--listen",
        "127.0.0.1:0",
        "--grpc-listen",
        "127.0.0.1:0",
    ];
    let ran = folder.run(&[&start[..], &missing[..]].concat());
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no.pem"), "{}", ran.err);
}

#[test]
fn whoever_names_the_wrong_scheme_or_port_is_told_what_answers_there() {
    let plane = Plane::start("secured_misdirected", &[]);
    let nodes = plane.greeting.lines();
    let nodes = nodes.filter_map(|line| line.trim().strip_prefix("nodes"));
    let nodes = nodes.map(str::trim).next().unwrap();
    for (server, told) in [
        (
            plane.http().replace("http", "https"),
            "it speaks no TLS there",
        ),
        (format!("http://{nodes}"), "This is the address for nodes"),
    ] {
        let ran = plane.folder.run(&["tenant", "list", "--server", &server]);
        assert_eq!(ran.code, 1, "{}", ran.out);
        assert!(ran.err.contains(told), "{}", ran.err);
        assert!(!ran.err.contains("start one with"), "{}", ran.err);
    }
    let http = plane.http();
    let command = [
        "agent",
        "run",
        "--server",
        http.trim_start_matches("http://"),
    ];
    let trust = ["--server-trust", "avouch-data/server.json"];
    let rest = [
        "--agent-data",
        "far",
        "--socket",
        "far.sock",
        "--join-token",
        "x",
    ];
    let ran = plane.folder.run(&[&command[..], &trust, &rest].concat());
    assert_eq!(ran.code, 1, "{}", ran.out);
    let told = "not the server's address for nodes";
    assert!(ran.err.contains(told), "{}", ran.err);
}
