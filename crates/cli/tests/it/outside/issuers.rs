//! Real issuers of other people, whose tokens a tenant takes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::house::{CLOUD, House, claims, with};
use super::{
    HEAVY_PATIENCE, Missing, Talker, built, free_port, module, node, python, scratch, sources,
    succeed, until, until_for,
};

/// Starts a script with the certificate of the house.
fn provider(house: &House, mut script: Command, more: &[&str]) -> Talker {
    script.args(more);
    script.env("NODE_EXTRA_CA_CERTS", house.file("ca.pem"));
    Talker::start(script, &house.folder().join("provider.log"))
}

fn certificate(house: &House) -> [String; 2] {
    [house.file("tls.pem"), house.file("tls.key")]
}

fn oidc_provider(house: &House) -> Result<Talker, Missing> {
    let [certificate, key] = certificate(house);
    let script = node("oidc-provider.mjs")?;
    Ok(provider(house, script, &[&certificate, &key]))
}

const BOTH: [&str; 2] = ["avouch-RS256", "avouch-ES256"];

#[test]
fn people_of_oidc_provider_are_given_what_they_have_signed_in_for() {
    let house = House::start("outside-oidc-provider");
    let mut idp = match oidc_provider(&house) {
        Ok(idp) => idp,
        Err(why) => return println!("skipped: oidc-provider: {why}"),
    };
    assert_eq!(house.trust(&idp, json!({}))["state"], "ok");
    let surely = json!({"multi_factor": true, "acr": ["phr"], "max_age": 600});
    let rule = json!({"subject_audiences": BOTH, "assurance": surely});
    house.rule("people", rule.clone());

    // Both algorithms, by discovery; how someone signed in goes on into the access token.
    let several = json!(["hwk", "mfa", "user"]);
    for alg in ["RS256", "ES256"] {
        let login = json!({"do": "login", "alg": alg, "amr": several, "acr": "phr"});
        let token = idp.token(&login);
        let given = house.accepted(&token, &["--requested-token-type", "access-token"]);
        assert_eq!(given["sub"], "spiffe://demo.avouch.test/people/alice");
        assert_eq!(given["aud"], CLOUD);
        assert_eq!(given["acr"], "phr");
        assert_eq!(given["auth_time"], claims(&token)["auth_time"]);
        assert!(given["cnf"]["jkt"].is_string(), "{given}");
        assert_eq!(house.refusal(&token, &[]), "issue.token_used");
    }
    // Whoever has signed in less surely, otherwise, or too long ago is told what is wanted.
    for (said, missing) in [
        (json!({"amr": ["pwd"], "acr": "phr"}), "one factor"),
        (json!({"amr": several, "acr": "pwd"}), "`acr` is pwd"),
        (json!({"amr": several}), "no `acr`"),
        (
            json!({"amr": several, "acr": "phr", "age": 900}),
            // And a second more where the machine is busy.
            "that was 15 minutes",
        ),
    ] {
        let mut login = json!({"do": "login"});
        for (name, value) in said.as_object().unwrap() {
            login[name] = value.clone();
        }
        let token = idp.token(&login);
        let ran = house.exchange(&token, &[]);
        assert_eq!(ran.code, 3, "{said}: {}", ran.out);
        let refusal = ran.json();
        assert_eq!(refusal["code"], "issue.assurance_insufficient", "{said}");
        assert_eq!(refusal["error"], "insufficient_user_authentication");
        assert_eq!(
            (&refusal["acr_values"], &refusal["max_age"]),
            (&json!("phr"), &json!(600))
        );
        let log = house.plane.log();
        assert!(log.contains(missing), "{said}: {log}");
    }
    // Another person, and the same person for another client.
    let login = json!({"do": "login", "sub": "mallory", "amr": several, "acr": "phr"});
    assert_eq!(
        house.refusal(&idp.token(&login), &[]),
        "issue.exchange_not_admitted"
    );
    let mut rule = rule;
    rule["subject_audiences"] = json!(["avouch-ES256"]);
    house.rule("people", rule);
    let login = json!({"do": "login", "alg": "RS256", "amr": several, "acr": "phr"});
    let code = house.refusal(&idp.token(&login), &[]);
    assert!(code.starts_with("federation.audience"), "{code}");
}

#[test]
fn a_token_that_oidc_provider_bound_to_a_key_is_exchanged_with_that_key_only() {
    let house = House::start("outside-oidc-provider-dpop");
    let mut idp = match oidc_provider(&house) {
        Ok(idp) => idp,
        Err(why) => return println!("skipped: oidc-provider: {why}"),
    };
    let resource = house.issuer();
    house.trust(&idp, json!({"audiences": [resource]}));
    house.rule(
        "client",
        json!({
            "from": {"anchor": "idp", "facts": {"subject": "avouch-ES256"}},
            "gives": {
                "spiffe_id": "spiffe://demo.avouch.test/client",
                "kinds": ["access-token"], "audiences": [CLOUD],
            },
        }),
    );
    // A first exchange makes the key, and needs no token for it.
    house.exchange("nothing", &[]);
    house.exchange_with("another.pem", "nothing", &[]);
    let key = house.plane.folder.path().join("holder.pem");
    let asked = json!({"do": "access", "resource": resource, "key": key});
    let token = idp.token(&asked);
    let access = ["--subject-token-type", "access-token"];
    let other = house.exchange_with("another.pem", &token, &access);
    assert_eq!(other.code, 3, "{}", other.out);
    assert_eq!(
        other.json()["code"],
        "federation.proof_missing",
        "{}",
        other.out
    );
    let given = house.accepted(&token, &access);
    assert_eq!(given["cnf"]["jkt"], claims(&token)["cnf"]["jkt"]);
    assert_eq!(given["sub"], "spiffe://demo.avouch.test/client");
}

#[test]
fn keys_of_oidc_provider_are_followed_through_rotations_and_a_clean_break() {
    let house = House::start("outside-oidc-provider-keys");
    let mut idp = match oidc_provider(&house) {
        Ok(idp) => idp,
        Err(why) => return println!("skipped: oidc-provider: {why}"),
    };
    house.trust(&idp, json!({}));
    house.rule("people", json!({"subject_audiences": BOTH}));
    let login = json!({"do": "login", "alg": "ES256"});
    let (first, late) = (idp.token(&login), idp.token(&login));
    house.accepted(&first, &[]);

    // A new key signs at once; what the old one signed before holds on.
    idp.ask(&json!({"do": "rotate", "keep": true}));
    house.accepted(&idp.token(&login), &[]);
    house.accepted(&late, &[]);

    // A set without any key that was known is not taken before someone has looked at it.
    let left = idp.token(&login);
    idp.ask(&json!({"do": "rotate", "keep": false}));
    house
        .plane
        .run(&["issuer", "refresh", "idp", "--tenant", "demo"]);
    assert_eq!(house.told()["state"], "quarantined", "{:#}", house.told());
    let fresh = idp.token(&login);
    assert_eq!(house.refusal(&fresh, &[]), "federation.issuer_quarantined");
    let etag = house.told()["etag"].as_str().unwrap().to_owned();
    house.manage(&["issuer", "release", "idp", "--etag", &etag]);
    house.accepted(&fresh, &[]);
    // What is not in the set any more has signed for the last time.
    assert_eq!(house.refusal(&left, &[]), "federation.key_removed");
}

#[test]
fn oauth2_mock_server_gets_keys_while_it_runs_and_says_what_it_is_told() {
    let house = House::start("outside-mock-server");
    let [certificate, key] = certificate(&house);
    let mut idp = match node("oauth2-mock-server.mjs") {
        Ok(script) => provider(&house, script, &[&certificate, &key]),
        Err(why) => return println!("skipped: oauth2-mock-server: {why}"),
    };
    house.trust(&idp, json!({"audiences": [house.issuer()]}));
    house.rule("people", json!({}));
    let good = json!({"sub": "alice", "aud": house.issuer(), "jti": "1"});
    let said = |changed: Value| {
        let claims = with(good.clone(), changed);
        json!({"do": "token", "kid": "first", "claims": claims})
    };
    house.accepted(&idp.token(&said(json!({}))), &[]);
    for (changed, code) in [
        (json!({"jti": "1"}), "issue.token_used"),
        (json!({"aud": CLOUD}), "federation.audience_mismatch"),
        (
            json!({"aud": [house.issuer(), CLOUD]}),
            "issue.exchange_not_admitted",
        ),
        (
            json!({"iss": "https://localhost"}),
            "federation.issuer_unknown",
        ),
        (json!({"exp": 1_700_000_000}), "federation.token_expired"),
        (json!({"exp": "1900000000"}), "federation.claim_mistyped"),
        (
            json!({"nbf": 4_000_000_000_u32}),
            "federation.token_not_yet_valid",
        ),
        (
            json!({"exp": 4_000_000_000_u32}),
            "federation.lifetime_excessive",
        ),
        (json!({"sub": ["alice"]}), "federation.claim_mistyped"),
        (json!({"sub": "bob"}), "issue.exchange_not_admitted"),
    ] {
        let mut changed = changed;
        if changed.get("jti").is_none() {
            changed["jti"] = json!(code);
        }
        let token = idp.token(&said(changed.clone()));
        assert_eq!(house.refusal(&token, &[]), code, "{changed}");
    }
    // Of another kind, and at work in the second in which it is made.
    idp.ask(&json!({"do": "add", "alg": "ES256", "kid": "second"}));
    let claims = with(good.clone(), json!({"jti": "2"}));
    let token = idp.token(&json!({"do": "token", "kid": "second", "claims": claims}));
    house.accepted(&token, &[]);
    let keys = house.told();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2, "{keys:#}");
    // The next within half a minute is not looked for because of a token, but when told to.
    idp.ask(&json!({"do": "add", "alg": "RS256", "kid": "third"}));
    let claims = with(good.clone(), json!({"jti": "3"}));
    let token = idp.token(&json!({"do": "token", "kid": "third", "claims": claims}));
    let ran = house.exchange(&token, &[]);
    assert_eq!(
        (ran.code, &ran.json()["code"]),
        (4, &json!("issue.key_awaited"))
    );
    house.manage(&["issuer", "refresh", "idp"]);
    house.accepted(&token, &[]);
}

#[test]
fn people_of_a_provider_in_python_are_known_although_its_keys_have_no_names() {
    let house = House::start("outside-mock-provider");
    let [certificate, key] = certificate(&house);
    let mut idp = match python("mock_provider.py") {
        Ok(script) => provider(&house, script, &[&certificate, &key, &house.file("ca.pem")]),
        Err(why) => return println!("skipped: oidc-provider-mock: {why}"),
    };
    house.trust(&idp, json!({}));
    let assurance = json!({"multi_factor": true});
    house.rule(
        "people",
        json!({"subject_audiences": ["avouch-mock"], "assurance": assurance}),
    );
    let surely = json!({"sub": "alice", "claims": {"amr": ["otp", "pwd"]}});
    let given = house.accepted(&idp.token(&surely), &[]);
    assert_eq!(given["sub"], "spiffe://demo.avouch.test/people/alice");
    let less = json!({"sub": "alice", "claims": {"amr": ["otp"]}});
    assert_eq!(
        house.refusal(&idp.token(&less), &[]),
        "issue.assurance_insufficient"
    );
    let other = json!({"sub": "mallory", "claims": {"amr": ["otp", "pwd"]}});
    assert_eq!(
        house.refusal(&idp.token(&other), &[]),
        "issue.exchange_not_admitted"
    );
}

/// The last version of Dex that can be had as a module. Its stores and connectors for other programs
/// are left out, whose modules of that time are not to be had, and one metric, whose library has
/// changed since.
const DEX: &str = "v2.13.0+incompatible";

fn dex() -> Result<PathBuf, Missing> {
    let own = sources("go/dex");
    built("dex", &own, |program| {
        let tree = scratch("program-dex-tree");
        drop(fs::remove_dir_all(&tree));
        crate::spire::copy(&module("github.com/dexidp/dex", DEX)?, &tree);
        for name in ["go.mod", "go.sum"] {
            fs::copy(own.join(name), tree.join(name)).unwrap();
        }
        for file in ["cmd/dex/config.go", "cmd/dex/serve.go", "server/server.go"] {
            let text = fs::read_to_string(tree.join(file)).unwrap();
            let kept = text.lines().filter(|line| !is_left_out(line));
            fs::write(tree.join(file), kept.collect::<Vec<_>>().join("\n")).unwrap();
        }
        let mut build = Command::new("go");
        build.arg("build").arg("-o").arg(program).arg("./cmd/dex");
        succeed(build.current_dir(&tree))?;
        let web = scratch("program-dex-web");
        drop(fs::remove_dir_all(&web));
        fs::rename(tree.join("web"), &web).unwrap();
        drop(fs::remove_dir_all(&tree));
        Ok(())
    })
}

/// A line that imports or lists a store or a connector but those that need no other program.
fn is_left_out(line: &str) -> bool {
    let line = line.trim();
    let is_import = line.starts_with("\"github.com/dexidp/dex/storage/")
        || line.starts_with("\"github.com/dexidp/dex/connector/");
    let is_listed =
        line.contains("func() StorageConfig {") || line.contains("func() ConnectorConfig {");
    let stays = ["/memory\"", "/mock\"", "new(memory.", "new(mock."];
    let is_metric = line.contains("prometheus.NewProcessCollector(");
    is_metric || (is_import || is_listed) && !stays.iter().any(|name| line.contains(name))
}

#[test]
fn dex_signs_with_a_new_key_at_once_and_cannot_say_how_someone_signed_in() {
    let program = match dex() {
        Ok(program) => program,
        Err(why) => return println!("skipped: Dex: {why}"),
    };
    let house = House::start("outside-dex");
    crate::spire::copy(&scratch("program-dex-web"), &house.folder().join("web"));
    let script = match python("dex.py") {
        Ok(script) => script,
        Err(why) => return println!("skipped: Dex: {why}"),
    };
    let port = free_port().to_string();
    let ([certificate, key], folder) = (certificate(&house), house.file(""));
    let more = [
        program.to_str().unwrap(),
        &folder,
        &port,
        &certificate,
        &key,
        &house.file("ca.pem"),
    ];
    let mut idp = provider(&house, script, &more);
    house.trust(&idp, json!({}));
    let subject = claims(&idp.token(&json!({})))["sub"].clone();
    let from = json!({"anchor": "idp", "facts": {"subject": subject}});
    let rule = json!({"from": from, "subject_audiences": ["avouch-dex"]});
    house.rule("people", rule.clone());
    let kid = |token: &str| {
        let header = token.split('.').next().unwrap();
        header.to_owned()
    };
    let first = idp.token(&json!({}));
    house.accepted(&first, &[]);
    // Nothing was said of the next key before it signs.
    let mut fresh = first.clone();
    until("Dex signs with another key", || {
        fresh = idp.token(&json!({}));
        kid(&fresh) != kid(&first)
    });
    house.accepted(&fresh, &[]);
    // It says neither `acr` nor `amr`, so who asks for several factors gives nothing, and says why.
    let mut surely = rule;
    surely["assurance"] = json!({"multi_factor": true});
    house.rule("people", surely);
    let code = house.refusal(&idp.token(&json!({})), &[]);
    assert_eq!(code, "issue.assurance_insufficient");
    assert!(house.plane.log().contains("the token has no `amr`"));
}

/// The version of Keycloak.
const KEYCLOAK: &str = "26.4.5";

/// Where it is unpacked, which needs a network the first time.
fn keycloak() -> Result<PathBuf, Missing> {
    let folder = scratch("program-keycloak");
    let home = folder.join(format!("keycloak-{KEYCLOAK}"));
    if home.join("unpacked").exists() {
        return Ok(home);
    }
    fs::create_dir_all(&folder).unwrap();
    let mut fetch = Command::new("mvn");
    fetch.args([
        "--quiet",
        "--batch-mode",
        "dependency:copy",
        "-Dmdep.stripVersion=true",
    ]);
    fetch.arg(format!(
        "-Dartifact=org.keycloak:keycloak-quarkus-dist:{KEYCLOAK}:zip"
    ));
    fetch.arg(format!("-DoutputDirectory={}", folder.display()));
    succeed(fetch.current_dir(&folder))?;
    let archive = folder.join("keycloak-quarkus-dist.zip");
    let unpack = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
    let mut python = Command::new("python3");
    python.args(["-c", unpack]).arg(&archive).arg(&folder);
    succeed(&mut python)?;
    succeed(Command::new("chmod").arg("+x").arg(home.join("bin/kc.sh")))?;
    fs::remove_file(archive).unwrap();
    fs::write(home.join("unpacked"), "").unwrap();
    Ok(home)
}

#[test]
fn keycloak_s_people_are_given_an_identity_through_a_change_of_its_keys() {
    let (home, script) = match keycloak().and_then(|home| Ok((home, python("keycloak.py")?))) {
        Ok(both) => both,
        Err(why) => return println!("skipped: Keycloak: {why}"),
    };
    let house = House::start("outside-keycloak");
    let ports = [free_port(), free_port()].map(|port| port.to_string());
    let ([certificate, key], folder) = (certificate(&house), house.file(""));
    let more = [
        home.to_str().unwrap(),
        &folder,
        &ports[0],
        &ports[1],
        &certificate,
        &key,
        &house.file("ca.pem"),
    ];
    let mut idp = provider(&house, script, &more);
    assert_eq!(house.trust(&idp, json!({}))["state"], "ok");
    let login = json!({"do": "login"});
    let token = idp.token(&login);
    let subject = claims(&token)["sub"].clone();
    let from = json!({"anchor": "idp", "facts": {"subject": subject}});
    let rule = json!({"from": from, "subject_audiences": ["avouch-keycloak"]});
    house.rule("people", rule.clone());
    let given = house.accepted(&token, &[]);
    let id = format!(
        "spiffe://demo.avouch.test/people/{}",
        subject.as_str().unwrap()
    );
    assert_eq!(given["sub"], id);
    assert_eq!(house.refusal(&token, &[]), "issue.token_used");
    // Its access token has the type `JWT` like an ID token, and is for others.
    let access = idp.token(&json!({"do": "login", "kind": "access_token"}));
    let as_id = ["--subject-token-type", "id-token"];
    let code = house.refusal(&access, &as_id);
    assert_eq!(code, "federation.audience_mismatch");
    // Where these others are meant, too, it still is no ID token.
    let both = json!(["avouch-keycloak", claims(&access)["aud"]]);
    house.trust(&idp, json!({ "audiences": both }));
    house.rule(
        "people",
        with(rule.clone(), json!({ "subject_audiences": both })),
    );
    let access = idp.token(&json!({"do": "login", "kind": "access_token"}));
    assert_eq!(house.refusal(&access, &as_id), "issue.token_type_false");
    house.accepted(&idp.token(&login), &as_id);
    house.rule("people", rule.clone());
    let late = idp.token(&login);
    idp.ask(&json!({"do": "rotate"}));
    let mut fresh = String::new();
    until_for(HEAVY_PATIENCE, "it signs with the new key", || {
        fresh = idp.token(&login);
        fresh.split('.').next() != late.split('.').next()
    });
    house.accepted(&fresh, &[]);
    house.accepted(&late, &[]);
    let mut surely = rule;
    surely["assurance"] = json!({"acr": ["phr"]});
    house.rule("people", surely);
    assert_eq!(
        house.refusal(&idp.token(&login), &[]),
        "issue.assurance_insufficient"
    );
}
