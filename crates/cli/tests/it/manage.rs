//! The commands that ask a server, as a person and as a program see them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::plane::Plane;
use crate::run::{Folder, Ran};

/// A plane, and its address.
pub(crate) struct Served {
    pub(crate) plane: Plane,
    pub(crate) server: String,
}

impl Served {
    #[expect(
        clippy::disallowed_methods,
        reason = "a limit on how long the test waits for the credential"
    )]
    pub(crate) fn start(name: &str) -> Self {
        let plane = Plane::start(name, &[]);
        let mut lines = plane.greeting.lines();
        let server = lines.find_map(|line| line.trim().strip_prefix("HTTP"));
        let server = server.unwrap().trim().to_owned();
        let credential = plane.folder.path().join("avouch-data/operator.jwt");
        let start = Instant::now();
        while !credential.exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "no credential");
            std::thread::yield_now();
        }
        Self { plane, server }
    }

    pub(crate) fn run(&self, command: &[&str]) -> Ran {
        let server = ["--server", &self.server];
        self.plane.folder.run(&[command, &server].concat())
    }

    /// What a person and a program are told, without what differs from run to run.
    fn both(&self, command: &[&str]) -> String {
        let human = self.run(command);
        let json = self.run(&[command, &["-o", "json"]].concat());
        assert_eq!(human.code, json.code);
        steady(&format!("{}\n{}", human.told(), json.told()))
    }
}

/// Times and names that are made anew at each run are left out. What is as wide as another stays
/// so, since columns are as wide as what is in them.
fn steady(text: &str) -> String {
    let mut steady = String::new();
    for word in text.split_inclusive([' ', '"', '\n', ',']) {
        let bare = word.trim_end_matches([' ', '"', '\n', ',']);
        let is_time = bare.len() == 20 && bare.ends_with('Z') && bare.contains("T");
        let is_id = bare.len() == 40 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_time {
            steady.push_str(&word.replace(bare, "2026-00-00T00:00:00Z"));
        } else if is_id {
            steady.push_str(&word.replace(bare, &"0".repeat(40)));
        } else {
            steady.push_str(word);
        }
    }
    steady
}

#[test]
fn an_entry_is_made_shown_changed_and_taken_away() {
    let served = Served::start("manage-entry");
    let demo = ["--tenant", "demo"];
    let run = |command: &[&str]| served.run(&[command, &demo].concat());
    let made = run(&[
        "entry",
        "create",
        "--id",
        "web",
        "--spiffe-id",
        "spiffe://demo.avouch.test/web",
        "--selector",
        "unix:uid:4242",
        "--owner",
        "the web team",
    ]);
    assert_eq!(made.code, 0, "{}", made.err);
    insta::assert_snapshot!(
        "entry_show",
        served.both(&["entry", "show", "web", "--tenant", "demo"])
    );
    let changed = run(&["entry", "update", "web", "--purpose", "the shop"]);
    assert!(changed.out.contains("the web team") && changed.out.contains("the shop"));
    // What is shown can be put back.
    let shown = run(&["entry", "show", "web", "-o", "json"]);
    served.plane.folder.file("web.json", &shown.out);
    let put = run(&["entry", "update", "web", "-f", "web.json", "-o", "json"]);
    assert_eq!(put.out, shown.out);
    let near = served.both(&[
        "why-not",
        "--tenant",
        "demo",
        "--selector",
        "unix:uid:1",
        "--selector",
        "unix:uid:4242",
    ]);
    assert!(near.starts_with("exit 0") && near.contains("web"), "{near}");
    let near = run(&["why-not", "--selector", "unix:uid:1"]);
    assert_eq!(near.code, 3);
    let told = "unix:uid:4242 where it has unix:uid:1";
    assert!(near.out.contains(told), "{}", near.out);
    // What no agent can ever tell of a workload is taken, and said, when it is written and later.
    let id = "spiffe://demo.avouch.test/mistyped";
    let more = ["--spiffe-id", id, "--selector", "unix:user-id:1"];
    let mistyped = run(&[&["entry", "create", "--id", "mistyped"], &more[..]].concat());
    assert_eq!(mistyped.code, 0, "{}", mistyped.err);
    assert!(
        mistyped.err.contains("warning: no workload will have it"),
        "{}",
        mistyped.err
    );
    // A program is told, too, and what it was told can be sent again.
    let update = ["entry", "update", "mistyped", "-o", "json"];
    let warned = run(&[&update[..], &["--selector", "unix:user-id:1"]].concat());
    let warnings = &warned.json()["warnings"];
    assert!(
        warnings[0].as_str().unwrap().contains("unix:user-id:1"),
        "{warnings}"
    );
    served.plane.folder.file("warned.json", &warned.out);
    let again = run(&[&update[..], &["-f", "warned.json"]].concat());
    assert_eq!(again.out, warned.out, "{}", again.err);
    let near = run(&["why-not", "--selector", "unix:uid:1"]);
    assert!(
        near.out.contains("unix:user-id:1, mistyped"),
        "{}",
        near.out
    );
    assert_eq!(run(&["entry", "delete", "nobody"]).out, "");
    assert_eq!(run(&["entry", "delete", "web"]).out, "web\n");
    insta::assert_snapshot!(
        "entry_unknown",
        served.both(&["entry", "show", "web", "--tenant", "demo"])
    );
}

#[test]
fn a_file_of_entries_is_stored_as_far_as_it_is_right() {
    let served = Served::start("manage-file");
    served.plane.folder.file(
        "entries.yaml",
        "entries:\n\
         - id: a\n  spiffe_id: spiffe://demo.avouch.test/a\n  selectors: ['unix:uid:1']\n\
         - id: b\n  spiffe_id: spiffe://other.test/b\n  selectors: ['unix:uid:1']\n\
         - id: c\n  spiffe_id: spiffe://demo.avouch.test/c\n  selectors: ['unix:uid:1']\n  owners: me\n",
    );
    insta::assert_snapshot!(
        "entry_file",
        steady(
            &served
                .run(&["entry", "create", "--tenant", "demo", "-f", "entries.yaml"])
                .told()
        )
    );
    let list = served.run(&["entry", "list", "--tenant", "demo", "-o", "json"]);
    assert_eq!(list.json()["entries"][0]["id"], "a");
    for empty in ["", "# nothing yet\n---\n"] {
        served.plane.folder.file("empty.yaml", empty);
        let refused = served.run(&["entry", "create", "--tenant", "demo", "-f", "empty.yaml"]);
        assert_eq!(refused.code, 3, "{}", refused.err);
        assert!(refused.err.contains("it is empty"), "{}", refused.err);
    }
}

#[test]
fn what_a_tenant_has_is_listed() {
    let served = Served::start("manage-lists");
    insta::assert_snapshot!("tenant_list", served.both(&["tenant", "list"]));
    let authorities = served.both(&["authority", "list", "--tenant", "demo"]);
    assert!(authorities.contains("AUTHORITY"), "{authorities}");
    insta::assert_snapshot!(
        "admin_list",
        served.both(&["admin", "list", "--tenant", "root"])
    );
    let nodes = served.run(&["node", "list", "--tenant", "root"]);
    assert!(nodes.out.contains("local"), "{}", nodes.out);
    let token = served.run(&["node", "token", "web-1", "--tenant", "demo", "-o", "json"]);
    let token = token.json()["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("demo.") && !served.plane.log().contains(&token));
    let made = served.run(&["tenant", "create", "shop", "--trust-domain", "shop.test"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let domains = served.run(&["trust-domain", "list", "--tenant", "shop"]);
    assert!(domains.out.contains("shop.test"), "{}", domains.out);
    let replaced = served.run(&["authority", "replace", "shop.test", "--tenant", "shop"]);
    assert!(replaced.out.contains("tainted"), "{}", replaced.out);
    let last = served.run(&["admin", "delete", "operator", "--tenant", "root"]);
    assert_eq!(last.code, 3, "{}", last.err);
    assert!(last.err.contains("issue.conflict"), "{}", last.err);
}

#[test]
fn an_anchor_is_given_to_a_tenant_and_taken_away() {
    let served = Served::start("manage-anchor");
    let anchor = r#"{"trust_domain": "partner.test", "owner": "sales", "bundle": {"keys": []}}"#;
    served.plane.folder.file("anchor.json", anchor);
    let put = [
        "anchor",
        "put",
        "partner",
        "-f",
        "anchor.json",
        "--tenant",
        "demo",
    ];
    assert_eq!(served.run(&put).out, "partner\n");
    insta::assert_snapshot!(
        "anchor_list_of_a_tenant",
        served.both(&["anchor", "list", "--tenant", "demo"])
    );
    // Of an issuer it is said whom it lets in.
    let issuer = r#"{"issuer": "https://ci.example.com", "audiences": ["us"], "jwks": {"keys": [{"kty": "EC", "crv": "P-256", "kid": "one", "alg": "ES256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]},
        "rules": [{"name": "deploy", "facts": {"subject": "deployer"}}], "owner": "ci", "reason": "workflows"}"#;
    served.plane.folder.file("anchor.json", issuer);
    let told = served.run(&put);
    assert_eq!(told.out, "partner\n", "{}", told.err);
    assert!(told.err.contains("it admits deploy: "), "{}", told.err);
    let gone = served.run(&["anchor", "delete", "partner", "--tenant", "demo"]);
    assert_eq!(gone.code, 0, "{}", gone.err);
}

#[test]
fn a_credential_that_others_can_read_is_not_used() {
    let folder = Folder::new("manage-exposed");
    fs::create_dir(folder.path().join("avouch-data")).unwrap();
    let path = folder.path().join("avouch-data/operator.jwt");
    fs::write(&path, "secret").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let refused = folder.run(&["tenant", "list"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("others may read"), "{}", refused.err);
}

/// Issuers and pins go by either word, files that cannot be read are refused, and whoever asks for keys
/// that are not there is told so.
#[test]
fn an_issuer_that_is_away_is_kept_with_a_warning_and_refused_when_it_is_asked_for() {
    let served = Served::start("manage-issuer");
    let folder = &served.plane.folder;
    folder
        .file("broken.yaml", "issuer: [")
        .file("bytes.yaml", "issuer: \u{0}")
        .file(
            "away.yaml",
            "issuer: https://idp.invalid\nrules: [{name: anna, facts: {subject: anna}}]\n",
        );
    let run = |command: &[&str]| served.run(&[command, &["--tenant", "demo"]].concat());
    for file in ["broken.yaml", "bytes.yaml"] {
        let refused = run(&["issuer", "put", "idp", "-f", file]);
        assert_eq!(refused.code, 3, "{file}: {}", refused.err);
        assert!(refused.err.contains(file), "{}", refused.err);
    }
    assert_eq!(run(&["issuer", "put", "idp", "-f", "nowhere.yaml"]).code, 1);
    let kept = run(&["issuer", "put", "idp", "-f", "away.yaml"]);
    assert_eq!(kept.code, 0, "{}", kept.err);
    assert!(
        kept.err
            .starts_with("warning: nothing of it is believed, since its keys could not be fetched"),
        "{}",
        kept.err
    );
    let refused = run(&["issuer", "refresh", "idp"]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(refused.err.contains("fetch."), "{}", refused.err);
    let pin = "sha1:a031c46782e6e6c662c2c87c76da9aa62ccabd8e";
    let owned = ["--mode", "vestigial", "--owner", "o", "--reason", "r"];
    let put = run(&[&["pin", "put", "idp", pin], &owned[..]].concat());
    assert_eq!(put.code, 0, "{}", put.err);
    assert_eq!(run(&["pin", "delete", "idp", pin]).code, 0);
    assert_eq!(run(&["issuer", "delete", "idp"]).code, 0);
    assert_eq!(run(&["issuer", "delete", "idp"]).code, 3);
}

#[test]
fn where_no_server_answers_the_way_to_start_one_is_told() {
    let folder = Folder::new("manage-away");
    let away = folder.run(&["tenant", "list"]);
    assert_eq!(away.code, 1);
    assert!(away.err.contains("avouch up"), "{}", away.err);
    fs::create_dir(folder.path().join("avouch-data")).unwrap();
    let path = folder.path().join("avouch-data/operator.jwt");
    fs::write(&path, "secret").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let away = folder.run(&["tenant", "list", "--server", "http://127.0.0.1:9"]);
    assert_eq!(away.code, 1);
    assert!(
        away.err.contains("start one with `avouch up`"),
        "{}",
        away.err
    );
    let unsafe_address = folder.run(&["tenant", "list", "--server", "http://10.0.0.1:8080"]);
    assert_eq!(unsafe_address.code, 2, "{}", unsafe_address.err);
    let nobody = folder.run(&["entry", "list"]);
    assert_eq!(nobody.code, 2);
    assert!(nobody.err.contains("--tenant"), "{}", nobody.err);
}

#[test]
fn whatever_is_listed_is_shown_by_its_name() {
    let served = Served::start("shown");
    let folder = &served.plane.folder;
    let key = "{kty: EC, crv: P-256, kid: one, alg: ES256, x: MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4, \
               y: 4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM}";
    let digest = "sha1:a031c46782e6e6c662c2c87c76da9aa62ccabd8e";
    folder.file(
        "all.yaml",
        format!(
            "kind: admin\nname: anna\nspec: {{subject: 'spiffe://demo.avouch.test/anna', role: auditor}}\n---\n\
             kind: anchor\nname: partner\nspec: {{trust_domain: partner.test, owner: us, bundle: {{keys: []}}}}\n---\n\
             kind: attestor\nname: machines\nspec:\n  method: sshpop\n  domains: [machines.test]\n  authorities:\n    \
             - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBX/2ks0OxHHiJvW2LDjcbZGdTbYsbXTHv8oP2KPKCPv\n---\n\
             kind: issuer\nname: ci\nspec:\n  issuer: https://ci.test\n  audiences: [a]\n  jwks: {{keys: [{key}]}}\n  \
             rules: [{{name: x, facts: {{subject: x}}}}]\n---\n\
             kind: pin\nname: ci/{digest}\n\
             spec: {{mode: vestigial, owner: us, reason: x, expires: 2099-01-31}}\n"
        ),
    );
    let applied = served.run(&["apply", "-f", "all.yaml", "--tenant", "demo"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    let of: [(&[&str], &str, &str, &[&str]); 6] = [
        (&["admin"], "admins", "name", &[]),
        (&["anchor"], "anchors", "name", &[]),
        (&["node", "attestor"], "attestors", "name", &[]),
        (&["authority"], "authorities", "id", &[]),
        (&["pin"], "pins", "pin", &["ci"]),
        (&["trust-domain"], "trust_domains", "name", &[]),
    ];
    for (noun, list, named, above) in of {
        let run = |rest: &[&str]| served.run(&[noun, rest, &["--tenant", "demo"]].concat());
        let listed = run(&["list", "-o", "json"]).json();
        let first = listed[list][0].clone();
        let name = first[named].as_str().unwrap();
        let show = [&["show"], above, &[name]].concat();
        let shown = run(&[&show[..], &["-o", "json"]].concat());
        assert_eq!((shown.code, shown.json()), (0, first.clone()), "{noun:?}");
        let human = run(&show);
        assert!(human.code == 0 && human.out.contains(name), "{human:?}");
    }
    let none = served.run(&["admin", "show", "none", "--tenant", "demo"]);
    assert_eq!(none.code, 3, "{none:?}");
    assert!(none.err.contains("issue.object_unknown"), "{none:?}");
}
