//! What an auditor sees of a tenant: static credentials, the checklist of Zero Trust, identity records.

use std::collections::BTreeSet;

use avouch_server::Settings;
use avouch_testkit::key::Key;
use serde_json::{Value, json};

use crate::exchange::public;
use crate::http::Answer;
use crate::world::World;

struct Scene {
    world: World,
    operator: String,
}

impl Scene {
    fn new() -> Self {
        let mut settings = Settings::default();
        settings.set_public_url("https://avouch.test").unwrap();
        let world = World::with(settings);
        Self {
            operator: world.operator(),
            world,
        }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let path = format!("/v1/tenants/one/{path}");
        let answer = self.world.send(&self.operator, method, &path, body);
        assert!(answer.status < 300, "{path}: {}", answer.body);
        answer
    }

    fn get(&self, path: &str) -> Value {
        let path = format!("/v1/tenants/one/{path}");
        let answer = self.world.call(&self.operator, "GET", &path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    fn secrets(&self) -> Vec<Value> {
        self.get("audit/secrets")["secrets"]
            .as_array()
            .unwrap()
            .clone()
    }

    fn line(&self, id: &str) -> (String, Value) {
        let list = self.get("audit/zero-trust");
        let lines = list["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["id"] == id).unwrap();
        (
            line["answer"].as_str().unwrap().to_owned(),
            line["by"].clone(),
        )
    }
}

fn static_credentials(scene: &Scene) {
    let sha256 = "5".repeat(64);
    scene.send(
        "PUT",
        "anchors/legacy",
        &json!({"api_key": {"sha256": sha256, "subject": "batch"}, "owner": "ops", "added": "2020-01-01T00:00:00Z"}),
    );
    scene.send(
        "PUT",
        "egress/payments",
        &json!({
            "url": "https://api.test", "key": "rk_live_secret_of_payments",
            "rules": [{"ids": ["spiffe://one.test/billing"], "methods": ["GET"], "paths": ["/"]}],
            "webhook": {"scheme": "github", "ids": ["spiffe://one.test/billing"]},
            "webhook_secrets": ["whsec_live_secret"],
        }),
    );
    scene.send(
        "PUT",
        "rules/legacy",
        &json!({
            "from": {"anchor": "legacy"},
            "gives": {"spiffe_id": "spiffe://one.test/batch", "kinds": ["jwt-svid"], "audiences": ["x"]},
            "bearer": {"reason": "an old client", "expires": "2100-01-01T00:00:00Z"},
            "owner": "ops", "reason": "nightly batches",
        }),
    );
    let token = scene.world.send(
        &scene.operator,
        "POST",
        "/v1/tenants/one/join-tokens",
        &json!({"node": "rack-1", "ttl": 600}),
    );
    assert!(token.status < 300, "{}", token.body);
}

#[test]
fn every_static_credential_is_told_with_its_age_its_users_and_the_step_away_from_it() {
    let scene = Scene::new();
    assert_eq!(scene.secrets(), [] as [Value; 0]);
    assert_eq!(scene.line("no-long-lived-secrets").0, "met");
    static_credentials(&scene);
    let secrets = scene.secrets();
    let kinds: BTreeSet<&str> = secrets
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    let expected = [
        "API key",
        "bearer exception",
        "egress key",
        "join token",
        "webhook secret",
    ];
    assert_eq!(kinds, BTreeSet::from(expected));
    let of = |secrets: &[Value], kind: &str| {
        secrets
            .iter()
            .find(|one| one["kind"] == kind)
            .unwrap()
            .clone()
    };
    let key = of(&secrets, "API key");
    assert_eq!(key["name"], "legacy");
    assert_eq!(key["owner"], "ops");
    assert_eq!(key["used_by"], json!(["rule legacy"]));
    let finding = &key["finding"];
    assert_eq!(finding["code"], "long-lived-secret");
    assert_eq!(
        finding["severity"], "high",
        "it says that it was added in 2020"
    );
    assert!(
        finding["fix"]
            .as_str()
            .unwrap()
            .contains("avouch anchor delete legacy")
    );
    let told = scene.get("audit/secrets");
    assert_eq!(
        (&told["severity"], &told["findings"][0]),
        (&json!("high"), finding)
    );
    // A token that ends within minutes is none of this rule.
    assert_eq!(of(&secrets, "join token")["finding"], Value::Null);
    assert_eq!(of(&secrets, "egress key")["finding"]["severity"], "low");
    for secret in ["rk_live", "whsec_live", &"5".repeat(64)] {
        assert!(!told.to_string().contains(secret), "{secret}");
    }
    let (answer, by) = scene.line("no-long-lived-secrets");
    // What was made just now and has no end is good for longer, too.
    let endless = [
        "API key legacy",
        "egress key payments",
        "webhook secret payments",
        "bearer exception legacy",
    ];
    assert_eq!((answer.as_str(), by), ("not_met", json!(endless)));
}

#[test]
fn since_when_a_secret_is_there_is_noted_once_and_what_is_replaced_begins_anew() {
    let scene = Scene::new();
    static_credentials(&scene);
    let of = |secrets: &[Value], kind: &str| {
        secrets
            .iter()
            .find(|one| one["kind"] == kind)
            .unwrap()
            .clone()
    };
    scene.world.plane.store_tallies().unwrap();
    let noted = of(&scene.secrets(), "egress key");
    assert!(
        noted["since"].is_string() && noted["age_days"] == 0,
        "{noted}"
    );
    scene.send(
        "POST",
        "egress/payments/rotate",
        &json!({"key": "rk_live_another_secret"}),
    );
    scene.send("POST", "egress/payments/promote", &json!({}));
    scene.world.plane.store_tallies().unwrap();
    let replaced = of(&scene.secrets(), "egress key");
    assert_ne!(replaced["digest"], noted["digest"]);
    let again = scene.world.opened_again(Settings::default());
    let tenant = again.tenant_named("one").unwrap().unwrap();
    let stored = tenant.read(|snapshot| {
        let records = snapshot.tallies.values().map(|one| one.document.clone());
        records.collect::<String>()
    });
    assert!(stored.contains("egress key payments"), "{stored}");
    assert!(!stored.contains("rk_live"), "{stored}");
}

#[test]
fn what_is_under_seal_is_told_by_itself_and_nobody_can_try_what_they_guess() {
    let scene = Scene::new();
    let payments = |secret: &str| {
        json!({
            "url": "https://api.test", "key": "rk_live_secret_of_payments",
            "rules": [{"ids": ["spiffe://one.test/billing"], "methods": ["GET"], "paths": ["/"]}],
            "webhook": {"scheme": "github", "ids": ["spiffe://one.test/billing"]},
            "webhook_secrets": [secret],
        })
    };
    let cluster = |token: &str| {
        json!({
            "issuer": "https://cluster.test", "audiences": ["x"],
            "review": {"server": "https://cluster.test:6443", "token": token},
            "override": {"reason": "a test", "expires": "2100-01-01T00:00:00Z"},
        })
    };
    let put = |token: &str| {
        scene.send("PUT", "egress/payments", &payments("whsec_live_secret"));
        scene.send("PUT", "issuers/cluster", &cluster(token));
        let secrets = scene.secrets();
        let digest = |kind: &str| {
            let one = secrets.iter().find(|one| one["kind"] == kind);
            one.unwrap_or_else(|| panic!("{kind}: {secrets:?}"))["digest"].clone()
        };
        ["reviewer token", "webhook secret", "egress key"].map(digest)
    };
    let first = put("a token of the reviewer");
    assert_eq!(put("a token of the reviewer"), first, "the same secrets");
    assert_ne!(put("another token")[0], first[0]);
    let told = scene.get("egress/payments");
    let other = "/v1/tenants/two/egress/payments";
    let mut document = payments("whsec_live_secret");
    document["rules"][0]["ids"] = json!(["spiffe://two.test/billing"]);
    document["webhook"]["ids"] = json!(["spiffe://two.test/billing"]);
    let other = scene.world.send(&scene.operator, "PUT", other, &document);
    assert!(other.is_put(), "{}", other.body);
    // Each tenant has a key for it: equal secrets of two tells nobody that they are.
    for member in ["keys", "webhook_secrets"] {
        assert_ne!(told[member], other.json()[member], "{member}");
    }
}

#[test]
fn the_checklist_sees_that_whoever_comes_is_admitted() {
    let scene = Scene::new();
    let lines = [
        "authorization-per-identity",
        "user-authentication",
        "continuous-evaluation",
    ];
    for line in lines {
        assert_eq!(scene.line(line).0, "not_known", "{line}");
    }
    let ends = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    let keys = json!({"keys": [public(&Key::p256("ci"))]});
    scene.send(
        "PUT",
        "issuers/ci",
        &json!({
            "issuer": "https://ci.test", "audiences": ["x"], "jwks": keys, "override": ends,
        }),
    );
    scene.send(
        "PUT",
        "anchors/old",
        &json!({
            "issuer": "https://old.test", "audiences": ["x"], "jwks": keys, "unpinned": ends,
        }),
    );
    scene.send(
        "PUT",
        "rules/people",
        &json!({
            "from": {"anchor": "old", "facts": {"subject": "anna"}},
            "gives": {"spiffe_id": "spiffe://one.test/anna", "kinds": ["jwt-svid"], "audiences": ["x"]},
            "owner": "ops", "reason": "a test",
        }),
    );
    let both = json!(["issuer ci", "anchor old"]);
    for (line, by) in lines
        .into_iter()
        .zip([both.clone(), json!(["rule people"]), both])
    {
        assert_eq!(scene.line(line), ("not_met".to_owned(), by), "{line}");
    }
}

#[test]
fn the_checklist_says_what_is_met_by_what_is_there() {
    let scene = Scene::new();
    let list = scene.get("audit/zero-trust");
    let lines = list["lines"].as_array().unwrap();
    let counted = ["met", "not_met", "not_known"].map(|name| list[name].as_u64().unwrap());
    assert_eq!(counted.iter().sum::<u64>(), lines.len() as u64);
    assert_eq!(scene.line("encryption-in-transit").0, "met");
    assert_eq!(scene.line("no-bearers").0, "met");
    assert_eq!(scene.line("identity-record").0, "not_known");
    // Keys are in the store here.
    let (answer, roots) = scene.line("keys-in-hardware");
    assert_eq!(answer, "not_met");
    let findings = list["findings"].as_array().unwrap();
    let places: Vec<Value> = findings.iter().map(|one| one["place"].clone()).collect();
    assert!(!places.is_empty());
    assert_eq!(json!(places), roots);
    for finding in findings {
        assert_eq!(
            (&finding["code"], &finding["severity"]),
            (&json!("software-root"), &list["severity"])
        );
    }
    // Where the server is called in the clear, the same line is not met.
    let clear = World::new();
    let answer = clear.call(
        &clear.operator(),
        "GET",
        "/v1/tenants/one/audit/zero-trust",
        None,
    );
    let clear = answer.json();
    let line = |list: &Value| {
        let lines = list["lines"].as_array().unwrap();
        lines
            .iter()
            .find(|line| line["id"] == "encryption-in-transit")
            .unwrap()
            .clone()
    };
    assert_eq!(line(&clear)["answer"], "not_met");
    assert!(
        line(&clear)["fix"]
            .as_str()
            .unwrap()
            .contains("--public-url")
    );
    static_credentials(&scene);
    assert_eq!(
        scene.line("no-bearers"),
        ("not_met".to_owned(), json!(["rule legacy"]))
    );
    scene.send(
        "POST",
        "entries",
        &json!({"id": "web", "spiffe_id": "spiffe://one.test/web", "selectors": ["unix:uid:0"]}),
    );
    for id in ["identity-record", "reviewed", "attested-at-runtime"] {
        assert_eq!(
            scene.line(id),
            ("not_met".to_owned(), json!(["entry web"])),
            "{id}"
        );
    }
    scene.send(
        "PUT",
        "entries/web",
        &json!({
            "spiffe_id": "spiffe://one.test/web", "selectors": ["unix:path:/usr/bin/web"],
            "owner": "the web team", "purpose": "shows the shop", "expires": "2100-01-01T00:00:00Z",
        }),
    );
    for id in ["identity-record", "reviewed", "attested-at-runtime"] {
        assert_eq!(scene.line(id).0, "met", "{id}");
    }
}

/// Whether a value is as a schema of ours says: what these schemas use of JSON Schema, and no more.
fn fits(schemas: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return fits(schemas, &schemas[name], value, path);
    }
    if let Some(any) = schema["oneOf"].as_array() {
        let fitting = any
            .iter()
            .filter(|one| fits(schemas, one, value, path).is_ok())
            .count();
        return (fitting == 1)
            .then_some(())
            .ok_or(format!("{path}: fits {fitting} of oneOf"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_kind = match &schema["type"] {
        Value::Null => true,
        Value::String(one) => one == kind,
        Value::Array(any) => any.iter().any(|one| one == kind),
        other => panic!("{path}: {other}"),
    };
    if !is_kind {
        return Err(format!("{path}: {kind} is not {}", schema["type"]));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Err(format!("{path}: {value} is none of {allowed:?}"));
    }
    if let (Some(format), Some(text)) = (schema["format"].as_str(), value.as_str()) {
        let length = match format {
            "date" => 10,
            _ => 20,
        };
        if text.len() != length {
            return Err(format!("{path}: {text} is no {format}"));
        }
    }
    for (index, element) in value.as_array().into_iter().flatten().enumerate() {
        fits(
            schemas,
            &schema["items"],
            element,
            &format!("{path}[{index}]"),
        )?;
    }
    let Some(members) = value.as_object() else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            return Err(format!("{path}: {name} is missing"));
        }
    }
    for (name, member) in members {
        let known = &schema["properties"][name];
        if !known.is_null() {
            fits(schemas, known, member, &format!("{path}.{name}"))?;
        } else if schema["additionalProperties"] == false {
            return Err(format!("{path}: {name} is not known"));
        }
    }
    Ok(())
}

#[test]
fn what_the_server_answers_is_as_its_schemas_say_and_tells_what_nobody_has_said() {
    let scene = Scene::new();
    static_credentials(&scene);
    let whole = json!({
        "id": "whole", "spiffe_id": "spiffe://one.test/whole", "selectors": ["unix:uid:1"],
        "owner": "the web team", "purpose": "shows the shop", "expires": "2100-01-01T00:00:00Z",
        "dns_names": ["web.one.test"], "hint": "x", "x509_ttl": 600, "jwt_ttl": 60,
    });
    let bare =
        json!({"id": "bare", "spiffe_id": "spiffe://one.test/bare", "selectors": ["unix:uid:1"]});
    for entry in [&whole, &bare] {
        scene.send("POST", "entries", entry);
    }
    let document = scene.world.get("/openapi.json").json();
    let schemas = &document["components"]["schemas"];
    let check = |name: &str, path: &str| {
        let value = scene.get(path);
        let fits = fits(schemas, &schemas[name], &value, path);
        assert_eq!(fits, Ok(()), "{value}");
        value
    };
    let listed = check("Entries", "entries");
    let unsaid = json!([{"entry": "bare", "missing": ["owner", "purpose"]}]);
    assert_eq!(listed["unsaid"], unsaid);
    check("Entry", "entries/whole");
    let record = check("IdentityRecord", "entries/whole/record");
    assert_eq!(record["missing"], json!([]));
    assert_eq!(
        (&record["tenant"], &record["environment"]),
        (&json!("one"), &Value::Null)
    );
    assert_eq!(
        (&record["owner"], &record["purpose"]),
        (&json!("the web team"), &json!("shows the shop"))
    );
    let record = check("IdentityRecord", "entries/bare/record");
    assert_eq!(record["missing"], json!(["owner", "purpose", "expires"]));
    check("StaticCredentials", "audit/secrets");
    check("ZeroTrust", "audit/zero-trust");
    check("Egress", "egress/payments");
    // The check itself finds what does not fit.
    let mut wrong = listed.clone();
    wrong["entries"][0]["unheard"] = json!(1);
    assert!(fits(schemas, &schemas["Entries"], &wrong, "").is_err());
    wrong = scene.get("entries/whole/record");
    wrong.as_object_mut().unwrap().remove("owner");
    assert!(fits(schemas, &schemas["IdentityRecord"], &wrong, "").is_err());
    let missing = scene.world.call(
        &scene.operator,
        "GET",
        "/v1/tenants/one/entries/none/record",
        None,
    );
    assert_eq!(missing.code(), "issue.object_unknown");
}

#[test]
fn a_stage_of_a_tenant_is_told_as_what_it_is() {
    let scene = Scene::new();
    let stage = json!({"name": "prod", "parent": "one", "kind": "environment", "trust_domain": "prod.test"});
    let made = scene
        .world
        .send(&scene.operator, "POST", "/v1/tenants", &stage);
    assert_eq!(made.status, 201, "{}", made.body);
    let entry =
        json!({"id": "web", "spiffe_id": "spiffe://prod.test/web", "selectors": ["unix:uid:1"]});
    let path = "/v1/tenants/prod/entries";
    assert_eq!(
        scene
            .world
            .send(&scene.operator, "POST", path, &entry)
            .status,
        201
    );
    let record = scene.world.call(
        &scene.operator,
        "GET",
        "/v1/tenants/prod/entries/web/record",
        None,
    );
    let record = record.json();
    assert_eq!(
        (&record["tenant"], &record["environment"]),
        (&json!("one"), &json!("prod"))
    );
}

#[test]
fn nodes_of_a_tenant_above_serve_its_workloads_too() {
    let world = World::new();
    world.token("spiffe://one.test/web");
    let path = "/v1/tenants/one/audit/zero-trust";
    let line = || {
        let list = world.call(&world.operator(), "GET", path, None).json();
        let lines = list["lines"].as_array().unwrap();
        let mut lines = lines.iter().filter(|line| line["id"] == "service-identity");
        lines.next().unwrap().clone()
    };
    // The one node of this deployment is the root's.
    assert_eq!(line()["answer"], "met", "{}", line());
    assert_eq!(line()["why"], "1 registration entry, served by 1 node");
    let root = world.plane.root().unwrap();
    world.plane.set_banned(&root, "node-1", true).unwrap();
    assert_eq!(line()["answer"], "not_met", "{}", line());
}
