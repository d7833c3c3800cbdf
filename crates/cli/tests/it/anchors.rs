//! What is trusted, and what has changed in it.

use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::crl::CrlForge;
use avouch_testkit::https::VALID;
use avouch_testkit::key::Key;
use avouch_testkit::status_list::StatusListForge;
use avouch_testkit::world::{Authority, pem};

use crate::plane::Plane;
use crate::run::Folder;

fn document(anchors: &[(&str, &str)]) -> String {
    let anchors: Vec<String> = anchors
        .iter()
        .map(|(certificate, rest)| {
            let indented = certificate.replace('\n', "\n      ");
            format!("  - x509: |\n      {indented}\n{rest}")
        })
        .collect();
    format!("anchors:\n{}", anchors.concat())
}

fn root(name: &str) -> String {
    pem("CERTIFICATE", &Authority::root(name).certificate)
}

const STEWARDSHIP: &str = "    name: corp
    owner: platform team
    reason: servers of the office
    added: 2024-01-01
    expires: 2025-01-01
    constraints: {dns: [corp.example], purposes: server, path_length: 1}
";

#[test]
fn a_list_tells_who_answers_for_each_anchor_and_until_when() {
    let folder = Folder::new("anchor_list");
    let (one, other) = (root("Corp Root"), root("Other Root"));
    let text = document(&[
        (&one, STEWARDSHIP),
        (&other, ""),
        ("AAAA", "    name: broken\n"),
    ]);
    folder.file("trust.yaml", text);
    insta::assert_snapshot!(folder.both(&["anchor", "list", "--trust", "trust.yaml"]));
}

#[test]
fn equal_documents_do_not_differ() {
    let folder = Folder::new("diff_equal");
    let one = root("Corp Root");
    folder
        .file("old.yaml", document(&[(&one, STEWARDSHIP)]))
        .file("new.yaml", document(&[(&one, STEWARDSHIP)]));
    insta::assert_snapshot!(folder.both(&["anchor", "diff", "old.yaml", "new.yaml"]), @r#"
    exit 0
    nothing has changed

    exit 0
    {
      "changes": [],
      "severity": null
    }
    "#);
}

#[test]
fn a_difference_names_every_anchor_and_member_and_how_grave_it_is() {
    let folder = Folder::new("diff_all");
    let authority = Authority::root("Corp Root");
    let renewed = CertificateForge::authority("Corp Root", &authority.key)
        .valid("2024-01-01T00:00:00Z", "2044-01-01T00:00:00Z");
    let renewed = pem("CERTIFICATE", &authority.issue(renewed));
    let (kept, gone, come) = (root("Kept Root"), root("Gone Root"), root("New Root"));
    let widened = STEWARDSHIP
        .replace("[corp.example]", "[corp.example, example.org]")
        .replace("2025", "2030")
        .replace("office", "whole company");
    folder
        .file(
            "old.yaml",
            document(&[
                (&kept, STEWARDSHIP),
                (&pem("CERTIFICATE", &authority.certificate), ""),
                (&gone, ""),
            ]),
        )
        .file(
            "new.yaml",
            document(&[(&kept, &widened), (&renewed, ""), (&come, "")]),
        );
    insta::assert_snapshot!(folder.both(&["anchor", "diff", "old.yaml", "new.yaml"]));
}

#[test]
fn the_exit_code_tells_the_gravest_change() {
    let folder = Folder::new("diff_codes");
    let (one, other) = (root("Corp Root"), root("Other Root"));
    let changed = |from: &str, to: &str| STEWARDSHIP.replace(from, to);
    let old = document(&[(&one, STEWARDSHIP)]);
    folder.file("old.yaml", &old);
    for (new, code) in [
        (document(&[(&one, STEWARDSHIP)]), 0),
        (document(&[(&one, &changed("platform team", "mia"))]), 11),
        (document(&[]), 12),
        (
            document(&[(&one, &changed("expires: 2025", "expires: 2024"))]),
            12,
        ),
        (
            document(&[(&one, &changed("path_length: 1", "path_length: 0"))]),
            12,
        ),
        (
            document(&[(&one, &changed("expires: 2025-01-01\n", "source: x\n"))]),
            12,
        ),
        (
            document(&[(&one, &changed("    expires: 2025-01-01\n", ""))]),
            13,
        ),
        (
            document(&[(&one, &changed("dns: [corp.example], ", ""))]),
            13,
        ),
        (
            document(&[(
                &one,
                &changed("purposes: server", "purposes: [server, client]"),
            )]),
            13,
        ),
        (document(&[(&one, STEWARDSHIP), (&other, "")]), 14),
        ("anchors: 5\n".to_owned(), 3),
    ] {
        let new = if new == "anchors:\n" {
            "anchors: []\n".to_owned()
        } else {
            new
        };
        folder.file("new.yaml", &new);
        let ran = folder.run(&["anchor", "diff", "old.yaml", "new.yaml"]);
        assert_eq!(ran.code, code, "{new}\n{ran:?}");
    }
    assert_eq!(
        folder.run(&["anchor", "diff", "old.yaml", "nowhere"]).code,
        1
    );
}

#[test]
fn what_lets_more_be_believed_is_told_as_more() {
    let folder = Folder::new("diff_wider");
    let one = root("Corp Root");
    let bounds = |constraints: &str| {
        let rest = format!("    constraints: {{{constraints}}}\n");
        document(&[(&one, &rest)])
    };
    let web = |constraints: &str| {
        let store = "    store: {label: web-pki, source: s, as_of: 2024-01-01}\n";
        document(&[(
            &one,
            &format!("{store}    constraints: {{{constraints}}}\n"),
        )])
    };
    let most = |most: &str| {
        let rest = format!("    grants_at_most: {{{most}}}\n");
        document(&[(&one, &rest)])
    };
    let two = |first: &str, second: &str| document(&[(&one, first), (&one, second)]);
    let (mia, max) = (
        "    owner: mia\n",
        "    owner: max\n    expires: 2025-01-01\n",
    );
    let list = |index| StatusListForge::at("https://s.example/1", 16).status(index, 1);
    let lists = |lists: &[StatusListForge]| {
        let signed = lists
            .iter()
            .map(|list| format!("  - {}\n", list.sign(&Key::p256("s"), "k")));
        format!("anchors: []\nstatus_lists:\n{}", signed.collect::<String>())
    };
    for (old, new, code) in [
        (
            bounds("status_lists: required"),
            bounds("status_lists: checked"),
            13,
        ),
        (bounds(""), bounds("status_lists: ignored"), 13),
        (
            bounds("status_lists: ignored"),
            bounds("status_lists: required"),
            12,
        ),
        (bounds(""), bounds("trust_domains: [prod.example]"), 13),
        (
            bounds("trust_domains: [a.example, b.example]"),
            bounds("trust_domains: [a.example]"),
            12,
        ),
        (web(""), web("purposes: any"), 13),
        (web(""), web("purposes: server"), 12),
        (bounds(""), bounds("purposes: client"), 12),
        (most("lifetime: 60"), most("lifetime: 90"), 13),
        (most("lifetime: 60"), bounds(""), 13),
        (bounds(""), most("lifetime: 60"), 12),
        (two(mia, max), two(max, mia), 0),
        (lists(&[list(1)]), lists(&[list(2)]), 11),
        (lists(&[list(1)]), "anchors: []\n".to_owned(), 14),
        ("anchors: []\n".to_owned(), lists(&[list(1)]), 11),
    ] {
        folder.file("old.yaml", &old).file("new.yaml", &new);
        let ran = folder.run(&["anchor", "diff", "old.yaml", "new.yaml"]);
        assert_eq!(ran.code, code, "{old}\n{new}\n{ran:?}");
    }
}

#[test]
fn a_revocation_list_that_is_gone_is_grave_and_one_that_was_replaced_is_not() {
    let folder = Folder::new("diff_crls");
    let root = Authority::root("Corp Root");
    let store = pem("CERTIFICATE", &root.certificate);
    let list = |number| pem("X509 CRL", &root.crl(CrlForge::complete().number(number)));
    folder
        .file("none.pem", &store)
        .file("first.pem", store.clone() + &list(1))
        .file("second.pem", store.clone() + &list(2));
    let diff = |old, new| folder.run(&["anchor", "diff", old, new]).code;
    assert_eq!(diff("first.pem", "second.pem"), 11);
    assert_eq!(diff("none.pem", "first.pem"), 11);
    assert_eq!(diff("first.pem", "none.pem"), 14);
}

#[test]
fn a_model_tells_its_three_answers_and_which_anchors_rest_on_it() {
    let folder = Folder::new("model_show");
    folder.file("trust.yaml", document(&[(&root("Corp Root"), STEWARDSHIP)]));
    insta::assert_snapshot!(folder.both(&["model", "show", "pki", "--trust", "trust.yaml"]));
    let unknown = folder.run(&["model", "show", "blockchain"]);
    assert_eq!(unknown.code, 2);
}

#[test]
fn the_store_of_this_machine_is_imported_under_its_label_and_its_age_is_listed() {
    let plane = Plane::start("public-store", &[]);
    let credential = plane.folder.path().join("avouch-data/operator.jwt");
    crate::outside::until("there is a credential", || credential.exists());
    let here = ["anchor", "list", "--trust", "system", "-o", "json"];
    let here = plane.folder.run(&here);
    if here.code == 1 {
        return println!("skipped: the store of this machine: {}", here.err);
    }
    let here = here.json()["anchors"].as_array().unwrap().len();
    assert!(here > 0);
    let of_tenant = |command: &[&str]| plane.run(&[command, &["--tenant", "demo"]].concat());
    let import = ["anchor", "import", "web-pki", "--owner", "platform team"];
    let imported = of_tenant(&import);
    assert_eq!(imported.code, 0, "{}", imported.err);
    assert_eq!(imported.out.trim(), "web-pki");
    let listed = of_tenant(&["anchor", "list", "-o", "json"]).json();
    let anchor = &listed["anchors"][0];
    assert_eq!(anchor["store"]["certificates"], here, "{}", anchor["store"]);
    let text = anchor["anchor"]["x509"].as_str().unwrap();

    // The same and one more, from a file of a month.
    let root = Authority::root("Example Public Root");
    let more = format!("{text}{}", pem("CERTIFICATE", &root.certificate));
    plane.folder.file("roots.pem", more);
    let from = ["--from", "roots.pem", "--source", "roots of a browser"];
    let as_of = ["--as-of", "2026-01-31T12:00:00Z"];
    let imported = of_tenant(&[&import[..], &from, &as_of].concat());
    assert_eq!(imported.code, 0, "{}", imported.err);
    let listed = of_tenant(&["anchor", "list"]).out;
    let told = format!(
        "public store web-pki: {} certificates of roots of a browser",
        here + 1
    );
    let listed = listed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        listed.contains(&told) && listed.contains("days old"),
        "{listed}"
    );

    let leaf = CertificateForge::server("db.example.com").valid(VALID.0, VALID.1);
    plane.folder.certificates("leaf.pem", &[&root.issue(leaf)]);
    let server = plane.http();
    let ask = [
        "verify", "leaf.pem", "--server", &server, "--tenant", "demo",
    ];
    let ask = [&ask[..], &["--dns", "db.example.com"]].concat();
    let decided = plane.folder.run(&ask);
    assert_eq!(decided.code, 0, "{}{}", decided.out, decided.err);
    for told in [
        "of the public store web-pki",
        "public store web-pki: roots of a browser, as of 2026-01-31T12:00:00Z",
    ] {
        let out = decided.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.contains(told), "{told}: {}", decided.out);
    }
    let client = plane
        .folder
        .run(&[&ask[..], &["--purpose", "client"]].concat());
    assert_eq!(client.code, 3, "{}", client.out);

    // What is one's own and public too is told.
    let own = format!(
        "x509: |\n  {}",
        pem("CERTIFICATE", &root.certificate).replace('\n', "\n  ")
    );
    plane.folder.file("own.yaml", own);
    let put = of_tenant(&["anchor", "put", "own", "-f", "own.yaml"]);
    assert_eq!(put.code, 0, "{}", put.err);
    assert!(
        put.err.contains("is in the public store web-pki too"),
        "{}",
        put.err
    );
    // What is no certificates is no store.
    let document = of_tenant(&["anchor", "import", "web-pki", "--from", "own.yaml"]);
    assert_ne!(document.code, 0);
}

#[test]
fn what_is_wrong_with_what_was_put_is_named_by_object_and_member() {
    let plane = Plane::start("put_wrong", &[]);
    let of_tenant = |arguments: &[&str]| {
        let tenant = ["--tenant", "demo", "-o", "json"];
        plane.folder.run(&[arguments, &tenant[..]].concat())
    };
    let anchor = "issuer: https://a.test\naudience: x\n";
    let service = "audiences: [x]\nmodels: [pki]\nacross: ignore\n";
    plane.folder.file("anchor.yaml", anchor);
    plane.folder.file("service.yaml", service);
    for (object, said) in [
        ("anchor", "`anchor` has no member `audience`"),
        ("service", "`service.across` must be flag or refuse"),
    ] {
        let file = format!("{object}.yaml");
        let put = of_tenant(&[object, "put", "wrong", "-f", &file]);
        assert_eq!(put.code, 3, "{put:?}");
        let told = format!("{}{}", put.out, put.err);
        assert!(told.contains("issue.body_malformed"), "{told}");
        assert!(
            told.contains(&format!("The {object} that was sent")),
            "{told}"
        );
        assert!(told.contains(said), "{told}");
        assert!(!told.contains("trust document"), "{told}");
    }
}
