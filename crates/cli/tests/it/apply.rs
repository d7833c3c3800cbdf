//! `plan`, `apply` and `export` on a plane that runs.

use serde_json::{Value, json};

use crate::manage::Served;
use crate::run::Ran;

/// A tenant with everything that can stand in a file, each before what it needs.
const SHOP: &str = r#"# Everything of the shop.
kind: entry
tenant: shop
name: web
spec:
  spiffe_id: spiffe://shop.test/web
  selectors: ["unix:uid:4242", "unix:gid:7"]
  owner: the shop team
  expires: 2099-01-31
---
kind: rule
tenant: shop
name: deploy
spec:
  from: {trust_domain: partner.test, facts: {spiffe.path: /deployer}}
  gives: {spiffe_id: "spiffe://shop.test/deploy", audiences: [vault]}
  owner: the shop team
  reason: deployments
---
kind: issuer
tenant: shop
name: ci
spec:
  issuer: https://ci.example.com
  audiences: [avouch]
  jwks:
    keys:
      - {kty: EC, crv: P-256, kid: one, alg: ES256, x: MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4, y: 4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM}
  rules:
    - name: deploy
      facts: {subject: deployer}
  owner: the shop team
  reason: workflows
---
kind: pin
tenant: shop
name: ci/spki-sha256:0707070707070707070707070707070707070707070707070707070707070707
spec: {mode: vestigial, owner: the shop team, reason: told by its operator, expires: 2099-01-31}
---
kind: signal
tenant: shop
name: idp
spec: {issuer: "https://idp.example.com", owner: the shop team, reason: sessions}
---
kind: receiver
tenant: shop
name: billing
spec:
  subject: spiffe://shop.test/billing
  audience: https://billing.shop.test
  owner: the shop team
  reason: it ends its own sessions when ours end
---
kind: anchor
tenant: shop
name: partner
spec: {trust_domain: partner.test, owner: the shop team, bundle: {keys: []}}
---
kind: federation
tenant: shop
name: far.test
spec: {url: "https://far.test/bundle", profile: https_web, owner: the shop team}
---
kind: attestor
tenant: shop
name: machines
spec:
  method: sshpop
  authorities:
    - "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBX/2ks0OxHHiJvW2LDjcbZGdTbYsbXTHv8oP2KPKCPv"
  domains: [machines.test]
---
kind: egress
tenant: shop
name: stripe
spec:
  url: https://api.stripe.com
  rules:
    - {ids: ["spiffe://shop.test/billing"], methods: [GET], paths: [/v1]}
  webhook: {scheme: stripe, ids: ["spiffe://shop.test/billing"]}
  key_file: keys/stripe.key
  webhook_secret_files: [keys/webhook.key]
---
kind: admin
tenant: shop
name: anna
spec: {subject: "spiffe://shop.test/user/anna", role: registrar}
---
kind: quota
tenant: shop
spec: {entries: 100, nodes: null}
---
kind: trust-domain
tenant: shop
name: shop.test
---
kind: tenant
name: shop
spec: {parent: shops}
---
kind: tenant
name: shops
spec: {kind: organisation}
"#;

fn summary(ran: &Ran) -> Value {
    ran.json()["summary"].clone()
}

#[test]
fn everything_in_a_file_is_made_in_the_order_of_need_and_the_second_time_nothing_is() {
    let served = Served::start("apply-all");
    let folder = &served.plane.folder;
    folder.file("shop.yaml", SHOP);
    let missing = served.run(&["plan", "-f", "shop.yaml"]);
    assert!(
        missing.err.contains("`spec.key_file` names no file"),
        "{missing:?}"
    );
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    folder.file("keys/stripe.key", "rk_live_of_the_shop\n");
    folder.file("keys/webhook.key", "whsec_live_of_the_shop\n");
    let planned = served.run(&["plan", "-f", "shop.yaml", "-o", "json"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    // Only the tenant above is below one that is there.
    assert_eq!(summary(&planned), json!({"create": 15, "not_known": 14}));
    let quota = &planned.json()["objects"][3];
    let told = [&quota["kind"], &quota["outcome"], &quota["until"]];
    assert_eq!(told, ["quota", "not_known", "tenant shop"]);
    let kinds = |ran: &Ran| -> Vec<String> {
        let objects = ran.json()["objects"].as_array().cloned().unwrap();
        let kinds = objects.iter().map(|one| one["kind"].as_str().unwrap());
        kinds.map(str::to_owned).collect()
    };
    assert_eq!(kinds(&planned)[..3], ["tenant", "tenant", "trust-domain"]);
    // A plan changes nothing.
    let none = served.run(&["tenant", "show", "shop"]);
    assert_eq!(none.code, 3, "{none:?}");
    let check = served.run(&["plan", "-f", "shop.yaml", "--check"]);
    assert_eq!(check.code, 11, "{check:?}");

    let applied = served.run(&["apply", "-f", "shop.yaml"]);
    insta::assert_snapshot!("apply_all", applied.told());
    let again = served.run(&["apply", "-f", "shop.yaml", "-o", "json"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(summary(&again), json!({"left": 15}));
    let check = served.run(&["plan", "-f", "shop.yaml", "--check"]);
    assert_eq!((check.code, check.out.as_str()), (0, "15 to leave\n"));

    // What is written out can be put back, and then there is nothing to do.
    let exported = served.run(&["export", "--tenant", "shop"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    folder.file("exported.yaml", &exported.out);
    let round = served.run(&["plan", "-f", "exported.yaml", "--check"]);
    assert_eq!(
        (round.code, round.out.as_str()),
        (0, "14 to leave\n"),
        "{}",
        exported.out
    );
    let json = served.run(&["export", "--tenant", "shop", "-o", "json"]);
    folder.file("exported.json", &json.out);
    let round = served.run(&["plan", "-f", "exported.json", "--check"]);
    assert_eq!(round.out, "14 to leave\n");
    // Into nothing, too: all of it is enough to make the tenant again, with the keys beside it.
    let renamed = exported.out.replace("shop.test", "copy.test");
    let with_keys = |line: &str| match line.contains("api.stripe.com") {
        true => {
            let keys = "key_file: keys/stripe.key\n  webhook_secret_files: [keys/webhook.key]";
            format!("{line}\n  {keys}\n")
        }
        false => format!("{line}\n"),
    };
    let renamed: String = renamed.lines().map(with_keys).collect();
    folder.file("copy.yaml", renamed.replace(": shop\n", ": copy\n"));
    let copied = served.run(&["apply", "-f", "copy.yaml", "-o", "json"]);
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_eq!(summary(&copied), json!({"created": 14}));
}

#[test]
fn a_key_is_read_from_its_file_when_the_server_needs_it_and_is_in_nothing_that_is_shown() {
    let served = Served::start("apply-egress");
    let folder = &served.plane.folder;
    folder.file("stripe.key", "rk_live_the_first\n");
    folder.file("other.key", "rk_live_the_other\n");
    let document = |url: &str, path: &str, key: &str| {
        format!(
            "kind: egress\ntenant: demo\nname: stripe\nspec:\n  url: {url}\n  {key}\n  rules:\n    - \
             {{ids: [\"spiffe://demo.avouch.test/a\"], methods: [GET], paths: [{path}]}}\n"
        )
    };
    let apply = |text: &str| {
        folder.file("stripe.yaml", text);
        let ran = served.run(&["apply", "-f", "stripe.yaml"]);
        assert!(
            !ran.out.contains("rk_live") && !ran.err.contains("rk_live"),
            "{ran:?}"
        );
        ran
    };
    let keys = || {
        let listed = served.run(&["egress", "list", "--tenant", "demo", "-o", "json"]);
        listed.json()["egress"][0]["keys"].clone()
    };
    let inline = apply(&document("https://api.test", "/a", "key: rk_inline_key"));
    assert_eq!(inline.code, 3, "{inline:?}");
    assert!(
        inline.err.contains("name its file in `key_file`"),
        "{inline:?}"
    );
    let without = apply(&document("https://api.test", "/a", "bearer: false"));
    assert_eq!(without.code, 3, "{without:?}");
    let told = format!("{}{}", without.out, without.err);
    assert!(told.contains("`key_file`: is missing"), "{told}");
    assert!(!told.contains("`key`"), "{told}");
    let first = document("https://api.test", "/a", "key_file: stripe.key");
    assert_eq!(apply(&first).code, 0);
    let known = keys();
    // What stands in the file later is not what the server has; rules change without it.
    folder.file("stripe.key", "rk_live_the_second\n");
    assert_eq!(apply(&first).out, "1 left\n");
    assert_eq!(
        apply(&document("https://api.test", "/b", "key_file: stripe.key")).code,
        0
    );
    assert_eq!(keys(), known);
    // It goes elsewhere only when it is given again.
    let moved = apply(&document("https://evil.test", "/b", "bearer: false"));
    assert_eq!(moved.code, 3, "{moved:?}");
    assert_eq!(keys(), known);
    assert_eq!(
        apply(&document("https://api2.test", "/b", "key_file: other.key")).code,
        0
    );
    assert_ne!(keys(), known);
    let exported = served.run(&["export", "--tenant", "demo", "--kind", "egress"]);
    assert!(exported.out.contains("api2.test"), "{exported:?}");
    assert!(!exported.out.contains("key"), "{exported:?}");
}

#[test]
fn the_bundle_in_a_file_is_what_a_relation_begins_with_and_takes_nothing_back_later() {
    let served = Served::start("apply-bundle");
    let folder = &served.plane.folder;
    let relation = |owner: &str| {
        format!(
            "kind: federation\ntenant: demo\nname: far.test\nspec:\n  url: https://far.test/bundle\n  \
             profile: https_web\n  owner: {owner}\n  bundle: {{spiffe_sequence: 1, keys: []}}\n"
        )
    };
    folder.file("far.yaml", relation("me"));
    let made = served.run(&["apply", "-f", "far.yaml"]);
    assert_eq!(made.code, 0, "{made:?}");
    // What is learned since, here by hand.
    folder.file("learned.json", r#"{"spiffe_sequence": 7, "keys": []}"#);
    let learned = [
        "federation",
        "put",
        "far.test",
        "--tenant",
        "demo",
        "--url",
        "https://far.test/bundle",
        "--profile",
        "https_web",
        "--bundle",
        "learned.json",
    ];
    assert_eq!(served.run(&learned).code, 0);
    folder.file("far.yaml", relation("you"));
    let changed = served.run(&["apply", "-f", "far.yaml"]);
    assert_eq!(changed.code, 0, "{changed:?}");
    let show = [
        "federation",
        "show",
        "far.test",
        "--tenant",
        "demo",
        "-o",
        "json",
    ];
    let shown = served.run(&show).json();
    assert_eq!(
        (&shown["owner"], &shown["sequence"]),
        (&json!("you"), &json!(7))
    );
}

#[test]
fn what_differs_is_shown_by_its_member_and_what_nobody_names_goes_only_when_it_is_pruned() {
    let served = Served::start("apply-change");
    let folder = &served.plane.folder;
    let entry = |name: &str, more: &str| {
        format!(
            "kind: entry\nname: {name}\nspec:\n  spiffe_id: spiffe://demo.avouch.test/{name}\n  \
             selectors: ['unix:uid:1']\n{more}---\n"
        )
    };
    let mine = "  owner: me\n";
    let both = [entry("one", mine), entry("two", mine)].concat();
    folder.file("both.yaml", &both);
    let first = served.run(&["apply", "-f", "both.yaml", "--tenant", "demo"]);
    assert_eq!(first.code, 0, "{first:?}");
    let changed = entry("one", "  owner: me\n  x509_ttl: 600\n  hint: outer\n");
    let changed = changed.replace("unix:uid:1", "unix:uid:2");
    folder.file("one.yaml", &changed);
    let files = ["-f", "one.yaml", "--tenant", "demo"];
    let run = |command: &[&str]| served.run(&[command, &files].concat());
    insta::assert_snapshot!("plan_change", run(&["plan"]).told());
    let pruned = run(&["plan", "--prune", "--owner", "me", "-o", "json"]);
    assert_eq!(summary(&pruned), json!({"change": 1, "remove": 1}));
    // Nobody else's are touched, and never those of nobody.
    let other = run(&["plan", "--prune", "--owner", "you", "-o", "json"]);
    assert_eq!(summary(&other), json!({"change": 1}));
    assert_eq!(run(&["plan", "--prune"]).code, 2);
    insta::assert_snapshot!(
        "apply_prune",
        run(&["apply", "--prune", "--owner", "me"]).told()
    );
    let left = served.run(&["entry", "list", "--tenant", "demo", "-o", "json"]);
    let names: Vec<Value> = left.json()["entries"].as_array().unwrap().clone();
    let names: Vec<&str> = names
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"one") && !names.contains(&"two"),
        "{names:?}"
    );
    assert!(names.len() > 1, "the entry of nobody is gone: {names:?}");
}

/// What is in order, what is not, and what only is when other things are there.
fn of_all_sorts() -> String {
    let entry = |name: &str, domain: &str, selector: &str| {
        format!(
            "---\nkind: entry\nname: {name}\nspec:\n  spiffe_id: spiffe://{domain}/{name}\n  \
             selectors: ['{selector}']\n"
        )
    };
    let rule = |name: &str, from: &str| {
        format!(
            "---\nkind: rule\nname: {name}\nspec:\n  from: {{trust_domain: {from}, facts: {{spiffe.path: /x}}}}\n  \
             gives: {{spiffe_id: 'spiffe://demo.avouch.test/x', audiences: [vault]}}\n  owner: me\n  \
             reason: tests\n"
        )
    };
    [
        entry("good", "demo.avouch.test", "unix:uid:1"),
        entry("bad", "demo.avouch.test", "nothing"),
        entry("early", "later.test", "unix:uid:1"),
        entry("homeless", "far.test", "unix:uid:1"),
        rule("of-partner", "partner.test"),
        rule("of-nobody", "nobody.test"),
        "---\nkind: anchor\nname: partner\nspec: {trust_domain: partner.test, bundle: {keys: []}}\n"
            .to_owned(),
        "---\nkind: issuer\nname: ci\nspec: {issuer: 'https://token.actions.githubusercontent.com', \
         audiences: [a], owner: me}\n"
            .to_owned(),
        "---\nkind: trust-domain\nname: later.test\n".to_owned(),
    ]
    .concat()
}

/// A file without an object: its lines are comments, so that those of the others stay where they are.
fn without(text: &str, name: &str) -> String {
    let documents = text
        .split("---\n")
        .map(|one| match one.contains(&format!("name: {name}\n")) {
            true => one.lines().map(|line| format!("# {line}\n")).collect(),
            false => one.to_owned(),
        });
    documents.collect::<Vec<String>>().join("---\n")
}

#[test]
fn a_plan_tells_what_the_server_would_refuse_and_what_can_be_known_only_later() {
    let served = Served::start("apply-asked");
    let folder = &served.plane.folder;
    folder.file("all.yaml", of_all_sorts());
    let run = |command: &[&str]| {
        let files = ["-f", "all.yaml", "--tenant", "demo"];
        served.run(&[command, &files].concat())
    };
    let heads = || served.run(&["tenant", "show", "demo", "-o", "json"]).out;
    let before = heads();
    let planned = run(&["plan"]);
    insta::assert_snapshot!("plan_asked", planned.told());
    assert_eq!(planned.code, 3);
    assert_eq!(run(&["plan", "--check"]).code, 3);
    let json = run(&["plan", "-o", "json"]);
    let all = json.json()["objects"].as_array().cloned().unwrap();
    let of = |name: &str| all.iter().find(|one| one["name"] == name).cloned().unwrap();
    assert_eq!(of("good")["outcome"], "not_done");
    assert_eq!(of("bad")["problem"]["code"], "issue.object_malformed");
    let early = of("early");
    assert_eq!(early["outcome"], "not_known");
    assert_eq!(early["until"], "trust-domain later.test of demo");
    assert_eq!(early["problem"]["code"], "issue.id_outside_trust_domain");
    assert_eq!(of("of-partner")["until"], "anchor partner of demo");
    // Nothing was done, and what the plan has told is what happens.
    assert_eq!(heads(), before);
    let left = served.run(&["entry", "show", "good", "--tenant", "demo"]);
    assert_eq!(left.code, 3, "{left:?}");
    for (refused, name) in [
        ("issuer", "ci"),
        ("rule", "of-nobody"),
        ("entry", "bad"),
        ("entry", "homeless"),
    ] {
        let applied = run(&["apply", "-o", "json"]);
        assert_eq!(applied.code, 3, "{applied:?}");
        let objects = applied.json()["objects"].as_array().cloned().unwrap();
        let mut met = objects.iter().filter(|one| one["outcome"] == "refused");
        let met = met.find(|one| one["name"] == name).unwrap();
        assert_eq!(met["kind"], refused);
        for member in ["code", "hint"] {
            assert_eq!(met["problem"][member], of(name)["problem"][member]);
        }
        let text = std::fs::read_to_string(folder.path().join("all.yaml")).unwrap();
        folder.file("all.yaml", without(&text, name));
    }
    let applied = run(&["apply", "-o", "json"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    let clean = run(&["plan", "--check"]);
    assert_eq!((clean.code, clean.out.as_str()), (0, "5 to leave\n"));
}

#[test]
fn room_that_a_file_makes_itself_is_not_missing_yet() {
    let served = Served::start("apply-room");
    let folder = &served.plane.folder;
    let quota = |most: u32| format!("kind: quota\ntenant: demo\nspec: {{entries: {most}}}\n");
    folder.file("quota.yaml", quota(1));
    assert_eq!(served.run(&["apply", "-f", "quota.yaml"]).code, 0);
    let entry = "---\nkind: entry\ntenant: demo\nname: more\nspec:\n  \
                 spiffe_id: spiffe://demo.avouch.test/more\n  selectors: ['unix:uid:1']\n";
    folder.file("more.yaml", entry);
    let full = served.run(&["plan", "-f", "more.yaml"]);
    assert_eq!(full.code, 3, "{full:?}");
    assert!(full.err.contains("issue.quota_exceeded"), "{full:?}");
    folder.file("more.yaml", [&quota(100), entry].concat());
    let roomy = served.run(&["plan", "-f", "more.yaml"]);
    assert_eq!(roomy.code, 0, "{roomy:?}");
    let told = "create    entry more of demo (to be known after quota of demo)\n";
    assert!(roomy.out.contains(told), "{roomy:?}");
    assert_eq!(served.run(&["apply", "-f", "more.yaml"]).code, 0);
}

#[test]
fn a_refusal_of_the_server_names_the_file_the_line_and_the_member_and_what_comes_after_is_not_done()
{
    let served = Served::start("apply-refused");
    let folder = &served.plane.folder;
    folder.file(
        "entries.yaml",
        "kind: entry\ntenant: demo\nname: good\nspec:\n  spiffe_id: spiffe://demo.avouch.test/good\n  \
         selectors: ['unix:uid:1']\n---\nkind: entry\ntenant: demo\nname: bad\nspec:\n  \
         spiffe_id: spiffe://demo.avouch.test/bad\n  selectors:\n    - nothing\n---\n\
         kind: anchor\ntenant: demo\nname: odd\nspec:\n  pin: 7\n",
    );
    let refused = served.run(&["apply", "-f", "entries.yaml"]);
    insta::assert_snapshot!("apply_refused_first", refused.told());
    // Without the anchor, which came first, the good entry is stored and the bad one is not.
    let text = std::fs::read_to_string(folder.path().join("entries.yaml")).unwrap();
    let (entries, _) = text.rsplit_once("---\n").unwrap();
    folder.file("entries.yaml", entries);
    let refused = served.run(&["apply", "-f", "entries.yaml"]);
    insta::assert_snapshot!("apply_refused_in_batch", refused.told());
    let json = served.run(&["apply", "-f", "entries.yaml", "-o", "json"]);
    assert_eq!(json.code, 3);
    assert_eq!(summary(&json), json!({"left": 1, "refused": 1}));
    assert_eq!(
        json.json()["objects"][1]["problem"]["code"],
        "issue.object_malformed"
    );
}

#[test]
fn files_that_cannot_be_read_change_nothing_and_all_that_is_wrong_is_told_at_once() {
    let served = Served::start("apply-wrong");
    let folder = &served.plane.folder;
    std::fs::create_dir(folder.path().join("config")).unwrap();
    folder.file(
        "config/a.yaml",
        "kind: entry\ntenant: demo\nname: one\nspec:\n  spiffe_id: spiffe://demo.avouch.test/one\n  \
         selectors: ['unix:uid:1']\n---\nkind: entry\ntenant: demo\nname: two\nspec:\n  owners: me\n---\n\
         kind: pod\nname: x\n---\nkind: entry\nname: a/b\ntenant: demo\nspec: {}\n---\n\
         kind: entry\nname: three\ntenant: demo\nspec:\n  owner: me\n  owner: you\n---\n\
         kind: quota\nspec: {}\n",
    );
    folder.file(
        "config/b.json",
        r#"[{"kind": "entry", "tenant": "demo", "name": "one", "spec": {}}, 7]"#,
    );
    folder.file("config/notes.txt", "not looked at");
    let refused = served.run(&["apply", "-f", "config"]);
    insta::assert_snapshot!("apply_wrong", refused.told());
    let list = served.run(&["entry", "show", "one", "--tenant", "demo"]);
    assert_eq!(list.code, 3, "{list:?}");
    // A tenant that is not there, and one that stays what it is.
    folder.file(
        "far.yaml",
        "kind: quota\ntenant: nowhere\nspec: {entries: 1}\n",
    );
    let far = served.run(&["plan", "-f", "far.yaml"]);
    assert_eq!(far.code, 3);
    assert!(
        far.err
            .contains("far.yaml:1 (document 1): quota of nowhere"),
        "{}",
        far.err
    );
    folder.file(
        "demo.yaml",
        "kind: tenant\nname: demo\nspec:\n  kind: organisation\n",
    );
    let stays = served.run(&["apply", "-f", "demo.yaml"]);
    assert!(
        stays.err.contains("demo.yaml:4 (document 1): tenant demo"),
        "{}",
        stays.err
    );
    folder.file(
        "loop.yaml",
        "kind: tenant\nname: a\nspec: {parent: b}\n---\nkind: tenant\nname: b\nspec: {parent: a}\n",
    );
    assert_eq!(served.run(&["plan", "-f", "loop.yaml"]).code, 3);
    let nothing = served.run(&["plan", "-f", "nowhere.yaml"]);
    assert_eq!(nothing.code, 1, "{nothing:?}");
    let from_stdin = folder.run_with(
        &[
            "plan",
            "-f",
            "-",
            "--tenant",
            "demo",
            "--server",
            &served.server,
        ],
        r#"{"kind": "trust-domain", "name": "demo.avouch.test"}"#,
    );
    assert_eq!(
        (from_stdin.code, from_stdin.out.as_str()),
        (0, "1 to leave\n")
    );
}

#[test]
fn thousands_of_entries_go_in_few_calls() {
    let served = Served::start("apply-many");
    let entries = (0..2_500).map(|number| {
        json!({"kind": "entry", "tenant": "demo", "name": format!("e{number}"), "spec": {
            "spiffe_id": format!("spiffe://demo.avouch.test/e/{number}"),
            "selectors": [format!("unix:uid:{number}")],
        }})
    });
    let entries: Vec<Value> = entries.collect();
    served
        .plane
        .folder
        .file("many.json", json!(entries).to_string());
    let made = served.run(&["apply", "-f", "many.json", "-o", "json"]);
    assert_eq!(summary(&made), json!({"created": 2_500}));
    let again = served.run(&["apply", "-f", "many.json", "-o", "json"]);
    assert_eq!(summary(&again), json!({"left": 2_500}));
}

#[test]
fn whoever_could_be_given_the_identity_of_a_new_administrator_is_named() {
    let served = Served::start("apply-given-already");
    let folder = &served.plane.folder;
    let there = "kind: tenant\nname: shop\n---\nkind: trust-domain\ntenant: shop\nname: shop.test\n---\n\
        kind: entry\ntenant: shop\nname: made-before\nspec:\n  spiffe_id: spiffe://shop.test/user/anna\n  \
        selectors: [\"unix:uid:4242\"]\n---\n\
        kind: admin\ntenant: shop\nname: ben\n\
        spec: {subject: \"spiffe://shop.test/user/ben\", role: registrar}\n";
    folder.file("before.yaml", there);
    let before = served.run(&["apply", "-f", "before.yaml"]);
    assert_eq!((before.code, before.err.as_str()), (0, ""), "{before:?}");
    let anna = "kind: admin\ntenant: shop\nname: anna\n\
        spec: {subject: \"spiffe://shop.test/user/anna\", role: administrator}\n";
    folder.file("anna.yaml", anna);
    let applied = served.run(&["apply", "-f", "anna.yaml"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    assert!(
        applied
            .err
            .contains("made-before of the tenant shop gives spiffe://shop.test/user/anna already"),
        "{applied:?}"
    );
    // What is as it was is not sent, and nothing is said of it.
    let again = served.run(&["apply", "-f", "anna.yaml"]);
    assert_eq!((again.code, again.err.as_str()), (0, ""), "{again:?}");
}

#[test]
fn a_plan_says_which_selectors_no_workload_will_ever_have() {
    let served = Served::start("apply-mistyped");
    let folder = &served.plane.folder;
    let entry =
        "{spiffe_id: spiffe://demo.avouch.test/a, selectors: [\"unx:uid:1\", \"unix:uid:2\"]}";
    folder.file(
        "entry.yaml",
        format!("kind: entry\ntenant: demo\nname: a\nspec: {entry}\n"),
    );
    for (command, is_told) in [("plan", true), ("apply", true), ("plan", false)] {
        let ran = served.run(&[command, "-f", "entry.yaml", "--tenant", "demo"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let told = ran.err.matches("no workload will have it").count();
        assert_eq!(told, usize::from(is_told), "{}", ran.err);
        assert_eq!(ran.err.contains("`unx:uid:1` is no selector"), is_told);
    }
}
