//! Exactly what a person and a program are told, together.

use avouch_core::id::Digest;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::key::Key;
use avouch_testkit::world::{Authority, pem};

use crate::plane::Plane;
use crate::run::{Folder, Ran};

const AT: &str = "2024-06-01";

fn spiffe_world(name: &str) -> Folder {
    let folder = Folder::new(name);
    let root = Authority::root("Prod Root");
    let issuing = root.intermediate("Prod Issuing CA");
    let id = "spiffe://prod.example.com/ns/payments/sa/api-server";
    let root_pem = pem("CERTIFICATE", &root.certificate).replace('\n', "\n      ");
    folder
        .certificates("svid.pem", &[&issuing.svid(id), &issuing.certificate])
        .file(
            "trust.yaml",
            format!(
                "anchors:
  - name: production
    owner: platform team
    reason: identities of the production cluster
    added: 2024-01-01
    expires: 2024-07-01
    constraints: {{trust_domains: prod.example.com}}
    x509: |
      {root_pem}
"
            ),
        );
    folder
}

#[test]
fn an_svid_is_drawn_in_four_lines_and_counted() {
    let folder = spiffe_world("four_lines");
    let id = "spiffe://prod.example.com/ns/payments/sa/api-server";
    let ran = folder.run(&[
        "verify",
        "svid.pem",
        "--trust",
        "trust.yaml",
        "--spiffe",
        id,
        "--at",
        AT,
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let drawn: Vec<&str> = ran.out.lines().skip(2).take(5).collect();
    insta::assert_snapshot!(drawn.join("\n"), @r"
      spiffe://prod.example.com/ns/payments/sa/api-server
      └─ signed by CN=Prod Issuing CA
         └─ signed by CN=Prod Root
            └─ anchored in the trusted certificate production
      3 certificates, 2 issuer signatures, 1 anchor
    ");
}

#[test]
fn a_server_draws_the_same_lines_and_counts_them() {
    let plane = Plane::start("same_lines", &[]);
    let folder = spiffe_world("same_lines_offline");
    let trust = std::fs::read_to_string(folder.path().join("trust.yaml")).unwrap();
    let (_, root) = trust.split_once("    x509: |\n").unwrap();
    let key = "a-key-of-the-backup-job-0123456789";
    let known = format!(
        "api_key: {{sha256: {}, subject: backup job}}\n",
        Digest::of(key.as_bytes())
    );
    let svid = std::fs::read(folder.path().join("svid.pem")).unwrap();
    plane.folder.file("svid.pem", svid).file("backup.key", key);
    let lines = |ran: &Ran| -> Vec<String> {
        assert_eq!(ran.code, 0, "{ran:?}");
        let lines = ran.out.lines().skip(2).take_while(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    let server = plane.http();
    let at_server = ["--server", &server, "--tenant", "demo"];
    for (name, anchor, credential, more, counts) in [
        (
            "production",
            format!("constraints: {{trust_domains: prod.example.com}}\nx509: |\n{root}"),
            "svid.pem",
            &["--spiffe", "prod.example.com", "--at", AT][..],
            "  3 certificates, 2 issuer signatures, 1 anchor",
        ),
        (
            "backup",
            known,
            "backup.key",
            &[],
            "  1 anchor, no signature",
        ),
    ] {
        plane.folder.file("anchor.yaml", &anchor);
        let members = anchor.replace('\n', "\n    ");
        let trust = format!("anchors:\n  - name: {name}\n    {members}\n");
        plane.folder.file("trust.yaml", trust);
        let put = ["anchor", "put", name, "-f", "anchor.yaml"];
        let put = plane.folder.run(&[&put[..], &at_server].concat());
        assert_eq!(put.code, 0, "{put:?}");
        let verify = |place: &[&str]| {
            let verify = ["verify", credential];
            lines(&plane.folder.run(&[&verify[..], more, place].concat()))
        };
        let offline = verify(&["--trust", "trust.yaml"]);
        assert_eq!(offline.last().unwrap(), counts);
        assert_eq!(verify(&at_server), offline);
    }
}

#[test]
fn who_vouches_for_whom_is_drawn_for_graphviz_and_as_a_picture() {
    let folder = spiffe_world("pictures");
    let asked = |command: &str, trust: &str, form: &[&str]| {
        let trusted = ["--trust", trust, "--spiffe", "prod.example.com"];
        let at = ["--at", AT];
        folder.run(&[&[command, "svid.pem"], &trusted[..], &at[..], form].concat())
    };
    let dot = asked("explain", "trust.yaml", &["-o", "dot"]);
    assert_eq!((dot.code, dot.err.as_str()), (0, ""));
    assert!(dot.out.starts_with("digraph verdict {\n"), "{}", dot.out);
    assert!(
        dot.out.contains("\"trust anchor\\nproduction\""),
        "{}",
        dot.out
    );
    assert!(dot.out.contains("\"CN=Prod Root\\nkey "), "{}", dot.out);
    let svg = asked("explain", "trust.yaml", &["-o", "svg"]);
    assert_eq!(svg.code, 0);
    let picture = roxmltree::Document::parse(&svg.out).unwrap();
    let nodes = picture.descendants();
    let nodes = nodes.filter(|node| node.attribute("class") == Some("node"));
    assert_eq!(
        nodes.count(),
        4,
        "leaf, two authorities, anchor: {}",
        svg.out
    );

    // What is refused is drawn up to where it stopped, and ends as it does else.
    folder.file("nothing.yaml", "anchors: []\n");
    let refused = asked("explain", "nothing.yaml", &["-o", "dot"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.out.contains("color=red"), "{}", refused.out);
    folder.file(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let broken = folder.run(&[
        "explain",
        "broken.pem",
        "--trust",
        "trust.yaml",
        "-o",
        "svg",
    ]);
    assert_eq!(broken.code, 3, "{broken:?}");
    assert!(broken.out.contains("the credential"), "{}", broken.out);

    // A form that a command cannot write is a mistake of who asks.
    assert_eq!(asked("verify", "trust.yaml", &["-o", "dot"]).code, 2);
    let both = ["--flow", "svg", "-o", "svg"];
    assert_eq!(asked("explain", "trust.yaml", &both).code, 2);
}

#[test]
fn an_accepted_svid_explained() {
    let folder = spiffe_world("accepted_svid");
    insta::assert_snapshot!(folder.both(&[
        "explain",
        "svid.pem",
        "--trust",
        "trust.yaml",
        "--spiffe",
        "prod.example.com",
        "--at",
        AT,
    ]));
}

#[test]
fn an_expired_anchor_is_refused_though_its_certificate_is_valid() {
    let folder = spiffe_world("expired_anchor");
    insta::assert_snapshot!(folder.both(&[
        "verify",
        "svid.pem",
        "--trust",
        "trust.yaml",
        "--spiffe",
        "prod.example.com",
        "--at",
        "2024-07-01T00:00:01Z",
    ]));
}

#[test]
fn a_missing_intermediate_explained() {
    let folder = Folder::new("missing_intermediate");
    let root = Authority::root("Example Root");
    let issuing = root.intermediate("Example Issuing CA");
    folder
        .certificates("leaf.pem", &[&issuing.server("db.example.com")])
        .certificates("issuing.pem", &[&issuing.certificate])
        .certificates("root.pem", &[&root.certificate]);
    let arguments = [
        "explain",
        "leaf.pem",
        "--trust",
        "root.pem",
        "--dns",
        "db.example.com",
        "--at",
        AT,
        "--profile",
        "private",
    ];
    insta::assert_snapshot!(folder.both(&arguments));
    // The fix that it names works.
    let mut mended = arguments.to_vec();
    mended.extend(["--intermediates", "issuing.pem"]);
    assert_eq!(folder.run(&mended).code, 0);
}

#[test]
fn an_expired_certificate_explained_with_every_path_that_was_tried() {
    let folder = Folder::new("expired");
    let root = Authority::root("Example Root");
    let other = Authority::root("Other Root");
    let issuing = root.intermediate("Example Issuing CA");
    let leaf = issuing.issue(
        CertificateForge::server("db.example.com")
            .valid("2024-01-01T00:00:00Z", "2024-05-28T23:59:59Z"),
    );
    folder
        .certificates(
            "chain.pem",
            &[&leaf, &issuing.certificate, &other.cross_certify(&issuing)],
        )
        .certificates("roots.pem", &[&root.certificate, &other.certificate]);
    insta::assert_snapshot!(folder.both(&[
        "explain",
        "chain.pem",
        "--trust",
        "roots.pem",
        "--dns",
        "db.example.com",
        "--at",
        AT,
        "--profile",
        "private",
    ]));
}

#[test]
fn an_anchor_that_cannot_be_read_shows_in_the_refusal() {
    let folder = Folder::new("unusable_anchor");
    folder
        .certificates("leaf.pem", &[&Authority::root("Root").server("a.example")])
        .file(
            "trust.yaml",
            "anchors:\n  - {name: corp, x509: AAAA}\n  - {name: host, pin: x}\n",
        );
    insta::assert_snapshot!(folder.both(&[
        "verify",
        "leaf.pem",
        "--trust",
        "trust.yaml",
        "--dns",
        "a.example",
        "--at",
        AT,
    ]));
}

#[test]
fn hostile_names_cannot_write_on_the_terminal() {
    let folder = Folder::new("hostile_names");
    let root = Authority::root("Root");
    let forge = CertificateForge::server("a.example").subject("\u{1b}[2J\u{202e}evil\nline");
    folder
        .certificates("leaf.pem", &[&root.issue(forge)])
        .certificates("root.pem", &[&root.certificate]);
    let ran = folder.run(&[
        "explain",
        "leaf.pem",
        "--trust",
        "root.pem",
        "--dns",
        "b.example",
        "--at",
        AT,
    ]);
    assert_eq!(ran.code, 3);
    assert!(!ran.out.contains(['\u{1b}', '\u{202e}']), "{ran:?}");
    assert!(
        !ran.out.lines().any(|line| line.starts_with("line")),
        "{ran:?}"
    );
}

#[test]
fn every_form_of_a_certificate_is_told_apart_by_its_content() {
    let folder = Folder::new("forms");
    let root = Authority::root("Root");
    let leaf = root.server("a.example");
    let text = pem("CERTIFICATE", &leaf);
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    folder
        .certificates("root.pem", &[&root.certificate])
        .file("root.der", &root.certificate)
        .file("a.jwt", &text)
        .file("b.pem", &leaf)
        .file("c", &body)
        .file(
            "d",
            format!(
                "Bag Attributes\n  friendlyName: a\n{}",
                text.replace('\n', "\r\n")
            ),
        );
    for name in ["a.jwt", "b.pem", "c", "d"] {
        for trust in ["root.pem", "root.der"] {
            let ran = folder.run(&[
                "verify",
                name,
                "--trust",
                trust,
                "--dns",
                "a.example",
                "--at",
                AT,
                "--profile",
                "private",
            ]);
            assert_eq!(ran.code, 0, "{name}: {ran:?}");
        }
    }
    let ran = folder.run_with(
        &[
            "verify",
            "-",
            "--trust",
            "root.pem",
            "--dns",
            "a.example",
            "--at",
            AT,
            "--profile",
            "private",
        ],
        text,
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn files_of_one_chain_may_come_in_any_order() {
    let folder = Folder::new("any_order");
    let root = Authority::root("Root");
    let issuing = root.intermediate("Issuing");
    folder
        .certificates("root.pem", &[&root.certificate])
        .certificates("issuing.pem", &[&issuing.certificate])
        .certificates("leaf.pem", &[&issuing.server("a.example")]);
    for files in [["leaf.pem", "issuing.pem"], ["issuing.pem", "leaf.pem"]] {
        let ran = folder.run(&[
            "verify",
            files[0],
            files[1],
            "--trust",
            "root.pem",
            "--dns",
            "a.example",
            "--at",
            AT,
            "--profile",
            "private",
        ]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    folder.file("key", "sk_live_51H8dOpQ2eZvKYlo2C");
    assert_eq!(folder.run(&["verify", "leaf.pem", "key"]).code, 2);
    assert_eq!(
        folder.run(&["verify", "leaf.pem", "--proof", "key"]).code,
        2
    );
}

#[test]
fn the_system_store_is_labelled_as_the_public_web() {
    let folder = Folder::new("system_store");
    let root = Authority::root("Root");
    folder
        .certificates("root.pem", &[&root.certificate])
        .certificates("leaf.pem", &[&root.server("a.example")]);
    let output = folder
        .command(&[
            "verify",
            "leaf.pem",
            "--trust",
            "system",
            "--dns",
            "a.example",
            "--at",
            AT,
            "--profile",
            "private",
            "--purpose",
            "server",
            "-o",
            "json",
        ])
        .env("SSL_CERT_FILE", folder.path().join("root.pem"))
        .output()
        .unwrap();
    let ran = Ran::of(output);
    assert_eq!(ran.code, 0, "{ran:?}");
    let anchor = &ran.json()["anchor"];
    assert_eq!(anchor["store"]["label"], "web-pki", "{anchor}");
    let source = anchor["source"].as_str().unwrap_or_default();
    assert!(source.contains("public Web PKI"), "{anchor}");
}

#[test]
fn the_tenant_can_come_from_the_environment() {
    let folder = Folder::new("tenant");
    let root = Authority::root_with("Root", Key::ed25519("Root"), |forge| forge);
    folder
        .certificates("root.pem", &[&root.certificate])
        .certificates("leaf.pem", &[&root.server("a.example")]);
    let arguments = [
        "verify",
        "leaf.pem",
        "--trust",
        "root.pem",
        "--dns",
        "a.example",
        "--at",
        AT,
        "--profile",
        "private",
        "-o",
        "json",
    ];
    let output = folder
        .command(&arguments)
        .env("AVOUCH_TENANT", "demo")
        .output()
        .unwrap();
    assert_eq!(Ran::of(output).json()["identity"]["tenant"], "demo");
    let mut named = arguments.to_vec();
    named.extend(["--tenant", "Not A Tenant"]);
    assert_eq!(folder.run(&named).code, 2);
}

#[test]
fn every_command_explains_itself() {
    let folder = Folder::new("help");
    for command in [
        &["--help"][..],
        &["verify", "--help"],
        &["explain", "--help"],
        &["anchor", "list", "--help"],
        &["anchor", "diff", "--help"],
    ] {
        let ran = folder.run(command);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("xit codes"), "{command:?}: {ran:?}");
        assert!(
            ran.out.lines().all(|line| line.chars().count() <= 100),
            "{}",
            ran.out
        );
    }
}
