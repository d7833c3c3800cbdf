//! What people give by mistake: each is told by its name, and no secret is shown.

use avouch_testkit::asn1;
use avouch_testkit::key::Key;
use avouch_testkit::world::{Authority, pem};

use crate::run::{Folder, Ran};

fn code_of(ran: &Ran) -> String {
    ran.json()["reason"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_missing_file_is_a_fault_that_names_it() {
    let folder = Folder::new("missing_file");
    let ran = folder.run(&["verify", "nowhere.pem"]);
    insta::assert_snapshot!(ran.told(), @r"
    exit 1
    standard error:
    error: cannot read nowhere.pem: No such file or directory (os error 2)
    ");
}

#[test]
fn a_directory_is_a_fault_that_says_what_to_do() {
    let folder = Folder::new("directory");
    let ran = folder.run(&["verify", "."]);
    insta::assert_snapshot!(ran.told(), @r"
    exit 1
    standard error:
    error: . is a directory; name the files in it
    ");
}

#[test]
fn which_server_is_meant_may_be_said_before_and_after_the_command() {
    let folder = Folder::new("order");
    let before = folder.run(&["--data", "elsewhere", "--tenant", "demo", "entry", "list"]);
    let after = folder.run(&["entry", "list", "--tenant", "demo", "--data", "elsewhere"]);
    assert_eq!(before.told(), after.told());
    assert!(
        before.told().contains("elsewhere/operator.jwt"),
        "{}",
        before.told()
    );
    // Who has no such option says so.
    let refused = folder.run(&["--server", "http://127.0.0.1:1", "model", "list"]);
    assert!(refused.told().starts_with("exit 2"), "{}", refused.told());
}

#[test]
fn an_empty_file_is_refused_by_name() {
    let folder = Folder::new("empty_file");
    folder.file("empty.pem", "");
    let ran = folder.run(&["verify", "empty.pem"]);
    insta::assert_snapshot!(ran.told(), @r"
    exit 3
    rejected[input.unrecognised]: This is no credential that can be recognised: it is empty.
      --> empty.pem
       |
       = fix: Give a certificate (PEM or DER), a JWT, a SAML assertion, an SSH certificate or key, or an
              API key.
       = spec: docs/how-to/verify.md
       = decision: [decision]
    ");
}

#[test]
fn binary_junk_is_refused() {
    let folder = Folder::new("binary_junk");
    let junk: Vec<u8> = (0..300_u32).map(|n| (n * 97 % 251) as u8 | 0x80).collect();
    folder.file("junk", junk);
    let ran = folder.run(&["verify", "junk", "-o", "json"]);
    assert_eq!(
        (ran.code, code_of(&ran).as_str()),
        (3, "input.unrecognised")
    );
}

/// Who has copied half of it is told so, and not that it is an unknown API key.
#[test]
fn a_token_that_was_cut_off_is_told_from_an_api_key() {
    let folder = Folder::new("cut_off");
    for text in [
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRw",
        "eyJhbGciOiJFUzI1NiJ9.a.b.c",
    ] {
        folder.file("token", text);
        let ran = folder.run(&["verify", "token", "-o", "json"]);
        let told = (ran.code, code_of(&ran));
        assert_eq!(told, (3, "input.token_not_compact".to_owned()), "{text}");
    }
    // Near misses: a key that only begins like one, and what something else has signed.
    for text in [
        "eyJhbGciOiJFUzI1NiJ9eyJpc3MiOiJodHRw",
        "eyJpZCI6MX0.c2lnbmF0dXJlLW9mLWl0",
    ] {
        folder.file("token", text);
        let ran = folder.run(&["verify", "token", "-o", "json"]);
        assert_ne!(code_of(&ran), "input.token_not_compact", "{text}");
    }
}

#[test]
fn text_of_another_kind_is_refused() {
    let folder = Folder::new("other_text");
    folder.file("readme", "Dear reader,\nthis is no credential.\n");
    let ran = folder.run(&["verify", "readme", "-o", "json"]);
    assert_eq!(
        (ran.code, code_of(&ran).as_str()),
        (3, "input.unrecognised")
    );
}

#[test]
fn no_argument_is_a_usage_error() {
    let folder = Folder::new("no_argument");
    assert_eq!(folder.run(&["verify"]).code, 2);
    assert_eq!(folder.run(&["verify", "--batch", "a", "b"]).code, 2);
    assert_eq!(folder.run(&["anchor", "diff", "a"]).code, 2);
    assert_eq!(folder.run(&["explain"]).code, 2);
}

/// Whether a server would take it is not asked: it is told before.
#[test]
fn a_value_that_cannot_be_read_is_a_usage_error_that_says_what_can() {
    let folder = Folder::new("mistakes-values");
    let entry = [
        "entry",
        "create",
        "--tenant",
        "demo",
        "--selector",
        "unix:uid:1",
    ];
    let relation = [
        "federation",
        "put",
        "b.test",
        "--tenant",
        "demo",
        "--url",
        "https://b.test",
    ];
    let why_not = ["why-not", "--tenant", "demo", "--selector", "unix:uid:1"];
    let day = "2027-01-31";
    for (command, option, value, told) in [
        (
            &["authority", "issued", "--tenant", "demo"][..],
            "--since",
            "yesterday",
            day,
        ),
        (&entry, "--expires", "soon", day),
        (&entry, "--node", "web-1", "SPIFFE ID"),
        (&entry, "--federates-with", "B Test", "B Test"),
        (&relation, "--endpoint-id", "b.test", "SPIFFE ID"),
        (&relation, "--profile", "web", "https_web"),
        (&why_not, "--node", "web-1", "SPIFFE ID"),
    ] {
        let ran = folder.run(&[command, &[option, value]].concat());
        assert_eq!(ran.code, 2, "{option}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(option), "{}", ran.err);
        assert!(ran.err.contains(told), "{option}: {}", ran.err);
        assert!(ran.out.is_empty(), "{}", ran.out);
    }
}

#[test]
fn standard_input_named_twice_is_a_usage_error() {
    let folder = Folder::new("stdin_twice");
    let ran = folder.run(&["verify", "-", "--trust", "-"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("standard input can be read only once"),
        "{ran:?}"
    );
}

/// A private key as PKCS#8 (RFC 8410 7).
fn pkcs8(key: &Key) -> Vec<u8> {
    asn1::sequence([
        asn1::number(0),
        asn1::sequence([asn1::oid("1.3.101.112")]),
        asn1::octet_string(&asn1::octet_string(key.private())),
    ])
}

/// Private keys in the other binary forms there are, as far as they are looked at.
fn binary_keys() -> Vec<(&'static str, Vec<u8>)> {
    let secret = asn1::octet_string(&[0x80; 32]);
    let algorithm = asn1::sequence([asn1::oid("1.2.840.113549.1.5.13")]);
    let big = asn1::integer(&[0x7f; 128]);
    let data = asn1::sequence([asn1::oid("1.2.840.113549.1.7.1")]);
    vec![
        ("SEC1", asn1::sequence([asn1::number(1), secret.clone()])),
        (
            "PKCS#1",
            asn1::sequence([asn1::number(0), big.clone(), asn1::number(65_537), big]),
        ),
        ("encrypted PKCS#8", asn1::sequence([algorithm, secret])),
        ("PKCS#12", asn1::sequence([asn1::number(3), data])),
        (
            "OpenPGP, old format",
            vec![0x95, 0x01, 0x00, 0x04, 0xff, 0xff],
        ),
        (
            "OpenPGP, new format",
            vec![0xc5, 0x58, 0x06, 0xff, 0xff, 0xff],
        ),
    ]
}

/// Every form in which a private key may be given, and a part of it that must not be shown.
fn private_keys() -> Vec<(&'static str, Vec<u8>, String)> {
    let der = pkcs8(&Key::ed25519("given by mistake"));
    let base64 = |der: &[u8]| {
        let block = pem("X", der);
        block
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let body = base64(&der);
    // The end is the secret; the beginning only says what follows.
    let secret = body.trim_end().chars().rev().take(20).collect::<Vec<_>>();
    let secret: String = secret.into_iter().rev().collect();
    let text = |text: String| (text.into_bytes(), secret.clone());
    let mut keys = Vec::new();
    for label in [
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "RSA PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
        "SOME NEW PRIVATE KEY",
    ] {
        let (bytes, secret) = text(pem(label, &der));
        keys.push((label, bytes, secret));
    }
    let (bytes, hidden) = text(base64(&der));
    keys.push(("base64 of DER", bytes, hidden));
    let (bytes, hidden) = text(base64(pem("PRIVATE KEY", &der).as_bytes()));
    keys.push(("base64 of PEM", bytes, hidden));
    for (form, bytes) in binary_keys() {
        keys.push((form, bytes, secret.clone()));
    }
    keys.push(("DER", der, secret.clone()));
    let (bytes, _) =
        text(r#"{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"c2VjcmV0"}"#.to_owned());
    keys.push(("a JSON Web Key", bytes, "c2VjcmV0".to_owned()));
    let (bytes, _) = text(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#.to_owned());
    keys.push(("a key set", bytes, "c2VjcmV0".to_owned()));
    keys
}

#[test]
fn a_private_key_is_recognised_in_every_form_and_never_shown() {
    let folder = Folder::new("private_key");
    for (form, bytes, secret) in private_keys() {
        folder.file("key", &bytes);
        for format in ["human", "json"] {
            let ran = folder.run(&["verify", "key", "-o", format]);
            assert_eq!(ran.code, 3, "{form}: {ran:?}");
            assert!(
                ran.out.contains("input.private_key_given"),
                "{form}: {ran:?}"
            );
            assert!(!ran.out.contains(&secret), "{form} is shown: {ran:?}");
            assert_eq!(ran.err, "", "{form}");
        }
    }
}

#[test]
fn a_private_key_beside_its_certificate_is_refused_too() {
    let folder = Folder::new("private_key_beside");
    let root = Authority::root("Root");
    let leaf = root.server("a.example");
    let key = Key::p256("a.example");
    folder.file(
        "both.pem",
        pem("CERTIFICATE", &leaf) + &pem("PRIVATE KEY", key.private()),
    );
    let ran = folder.run(&["verify", "both.pem", "-o", "json"]);
    assert_eq!(
        (ran.code, code_of(&ran).as_str()),
        (3, "input.private_key_given")
    );
}

#[test]
fn a_private_key_in_a_trust_document_is_refused() {
    let folder = Folder::new("private_key_trusted");
    let root = Authority::root("Root");
    folder.certificates("leaf.pem", &[&root.server("a.example")]);
    folder.file("trust.pem", pem("PRIVATE KEY", Key::p256("a").private()));
    let ran = folder.run(&["verify", "leaf.pem", "--trust", "trust.pem", "-o", "json"]);
    assert_eq!(
        (ran.code, code_of(&ran).as_str()),
        (3, "input.private_key_given")
    );
}

#[test]
fn a_damaged_pem_block_is_told_as_such() {
    let folder = Folder::new("damaged_pem");
    let whole = pem("CERTIFICATE", &Authority::root("Root").certificate);
    for (damaged, part) in [
        (
            whole.replace("-----END CERTIFICATE-----", ""),
            "no END line",
        ),
        (
            whole.replace("END CERTIFICATE", "END X509 CRL"),
            "another name",
        ),
        (whole.replacen('M', "*", 1), "other than base64"),
    ] {
        folder.file("damaged.pem", damaged);
        let ran = folder.run(&["verify", "damaged.pem", "-o", "json"]);
        assert_eq!(
            (ran.code, code_of(&ran).as_str()),
            (3, "input.pem_malformed")
        );
        assert!(ran.out.contains(part), "{ran:?}");
    }
}

#[test]
fn what_is_no_credential_is_told_by_its_name() {
    let folder = Folder::new("no_credential");
    for (text, part) in [
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            "request",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "bare public key",
        ),
        (
            "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
            "revocation list",
        ),
        (
            "-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n",
            "PKCS#7",
        ),
        (r#"{"keys":[{"kty":"EC"}]}"#, "public key set"),
        (r#"{"anchors":[]}"#, "trust document"),
        (r#"{"credential":{"jwt":"x"}}"#, "question"),
        ("{", "begins like JSON"),
    ] {
        folder.file("input", text);
        let ran = folder.run(&["verify", "input", "-o", "json"]);
        assert_eq!(
            (ran.code, code_of(&ran).as_str()),
            (3, "input.unrecognised"),
            "{text}"
        );
        let sentence = ran.json()["reason"]["sentence"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(sentence.contains(part), "{text}: {sentence}");
    }
}

#[test]
fn keys_of_ssh_are_recognised_and_nothing_around_them_is_dropped() {
    let folder = Folder::new("keys_of_ssh");
    let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBX/2ks0OxHHiJvW2LDjcbZGdTbYsbXTHv8oP2KPKCPv";
    let behind = |before: &str| format!("{before} {good}");
    let trust = format!("anchors: [{{ssh: {{keys: [\"{good}\"], subject: robot}}}}]");
    folder.file("trust.yaml", trust);
    for (text, code) in [
        (good, 0),
        (&format!("{good} me@host\n"), 0),
        (&behind("host.example"), 3),
        (&behind("restrict,command=\"x y\""), 3),
        (&behind("@cert-authority *"), 3),
        (
            &behind("# host.example:22 SSH-2.0-OpenSSH\nhost.example"),
            3,
        ),
        (&format!("{good} one\n{good} two\n"), 3),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@host", 3),
        ("host.example ssh-rsa AAAAB3NzaC1yc2E", 3),
    ] {
        folder.file("input", text);
        let ran = folder.run(&["verify", "input", "--trust", "trust.yaml", "-o", "json"]);
        assert_eq!(ran.code, code, "{text}: {}", ran.out);
        if code == 3 {
            assert_eq!(code_of(&ran), "input.ssh_malformed", "{text}");
        }
    }
}

#[test]
fn known_kinds_that_cannot_be_decided_are_refused_by_name() {
    let folder = Folder::new("known_kinds");
    let text = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxx\n-----END PGP PUBLIC KEY BLOCK-----\n";
    folder.file("input", text);
    let ran = folder.run(&["verify", "input", "-o", "json"]);
    assert_eq!(
        (ran.code, code_of(&ran).as_str()),
        (3, "input.unsupported"),
        "{text}"
    );
    assert_eq!(ran.json()["reason"]["evidence"]["kind"], "openpgp");
}

#[test]
fn an_api_key_is_never_shown() {
    let folder = Folder::new("api_key");
    let key = "sk_live_51H8dOpQ2eZvKYlo2C";
    folder.file("key", key);
    folder.file("trust.yaml", "anchors: []\n");
    for format in ["human", "json"] {
        let ran = folder.run(&["explain", "key", "--trust", "trust.yaml", "-o", format]);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(!ran.out.contains(key) && !ran.err.contains(key), "{ran:?}");
    }
}

#[test]
fn a_wrong_trust_document_names_the_field() {
    let folder = Folder::new("wrong_trust");
    folder.certificates("leaf.pem", &[&Authority::root("Root").server("a.example")]);
    for (document, part) in [
        ("", "it is empty"),
        ("anchors: 5\n", "`anchors` must be a list, not a number"),
        (
            "anchors: []\nanchor: []\n",
            "`anchor` is not a member that is known here",
        ),
        ("anchors: []\nanchors: []\n", "stands twice"),
        ("- a\n", "it must be an object, not a list"),
        ("anchors: [}", "line 1 column"),
        ("{\"anchors\": [],}", "line 1 column"),
        ("crls: [5]\n", "`crls[0]` must be a string"),
        ("crls: ['%%%']\n", "`crls[0]` is neither PEM nor base64"),
    ] {
        folder.file("trust.yaml", document);
        let ran = folder.run(&["verify", "leaf.pem", "--trust", "trust.yaml", "-o", "json"]);
        assert_eq!(
            (ran.code, code_of(&ran).as_str()),
            (3, "input.trust_document_malformed"),
            "{document}: {ran:?}"
        );
        let sentence = ran.json()["reason"]["sentence"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(sentence.contains(part), "{document}: {sentence}");
    }
}

#[test]
fn the_id_of_a_decision_is_asked_for_alone_and_of_a_tenant() {
    let folder = Folder::new("decision_id");
    let id = "01a20260-162c-70d5-8221-32d10c913395";
    for (more, said) in [
        (vec![], "which tenant"),
        (vec!["--trust", "trust.yaml"], "name it alone"),
        (vec![id], "name it alone"),
    ] {
        let ran = folder.run(&[&["explain", id], more.as_slice()].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(said), "{ran:?}");
    }
}

#[test]
fn output_that_no_one_reads_ends_the_run_without_a_word() {
    use std::process::Stdio;
    let folder = Folder::new("closed_pipe");
    folder.certificates("leaf.pem", &[&Authority::root("Root").server("a.example")]);
    let mut child = folder
        .command(&["verify", "leaf.pem"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran::of(child.wait_with_output().unwrap());
    // Whether the pipe was closed in time or not, there is neither a panic nor a complaint.
    assert!(matches!(ran.code, 1 | 3), "{ran:?}");
    assert_eq!(ran.err, "");
}

#[test]
fn a_variable_of_the_environment_that_is_empty_is_as_one_that_is_not_set() {
    let folder = Folder::new("empty-variables");
    let named = ["AVOUCH_TENANT", "AVOUCH_SERVER", "AVOUCH_DATA", "AVOUCH_CA"];
    let run = |names: &[&str]| {
        let mut command = folder.command(&["tenant", "list"]);
        command.envs(names.iter().map(|name| (name, "")));
        Ran::of(command.output().unwrap())
    };
    let unset = run(&[]);
    // There is no server; that is found out behind the arguments.
    assert_eq!(unset.code, 1, "{}", unset.err);
    assert_eq!(run(&named).err, unset.err);
}

#[test]
fn the_trust_domain_that_up_gives_to_its_first_tenant_is_not_taken_for_the_root() {
    let folder = Folder::new("up-demo-domain");
    let any = "127.0.0.1:0";
    let taken = ["up", "--trust-domain", "demo.avouch.test"];
    let ran = folder.run(&[&taken[..], &["--listen", any, "--grpc-listen", any]].concat());
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("tenant `demo`"), "{}", ran.err);
}
