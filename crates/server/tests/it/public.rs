//! What anyone may ask for.

use std::collections::BTreeSet;

use avouch_api::Asked;
use avouch_core::reason::Reason;
use serde_json::{Value, json};

use crate::http::{request, send};
use crate::world::World;

#[test]
fn a_tenant_publishes_its_bundle_its_keys_and_where_they_are() {
    let world = World::new();
    let bundle = world.get("/t/one/bundle");
    assert_eq!(bundle.status, 200);
    assert_eq!(bundle.header("content-type"), Some("application/json"));
    assert_eq!(bundle.header("cache-control"), Some("public, max-age=300"));
    let mut uses: Vec<_> = bundle.json()["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["use"].as_str().unwrap().to_owned())
        .collect();
    uses.sort();
    assert_eq!(uses, ["jwt-svid", "wit-svid", "x509-svid"]);
    assert_eq!(world.get("/t/one/bundle/one.test").body, bundle.body);
    assert_ne!(world.get("/t/two/bundle").body, bundle.body);

    let discovery = world.get("/t/one/.well-known/openid-configuration").json();
    let issuer = "http://127.0.0.1:8080/t/one";
    assert_eq!(discovery["issuer"], issuer);
    assert_eq!(discovery["jwks_uri"], format!("{issuer}/keys"));
    assert_eq!(discovery["token_endpoint"], format!("{issuer}/token"));
    for member in [
        "authorization_endpoint",
        "dpop_signing_alg_values_supported",
        "grant_types_supported",
        "response_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
    ] {
        assert!(!discovery[member].is_null(), "{member}");
    }
    let keys = world.get("/t/one/keys").json();
    assert_eq!(keys["keys"][0]["alg"], "ES256");
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn what_a_tenant_can_do_is_found_below_its_path_and_between_its_host_and_its_path() {
    let world = World::new();
    let all = |paths: &[&str]| {
        let found: Vec<_> = paths.iter().map(|path| world.get(path)).collect();
        for one in &found {
            assert_eq!((one.status, &one.body), (200, &found[0].body));
        }
        found[0].json()
    };
    // RFC 8414 3.1 and 5.
    let metadata = all(&[
        "/t/one/.well-known/openid-configuration",
        "/t/one/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/t/one",
    ]);
    assert_eq!(metadata["issuer"], "http://127.0.0.1:8080/t/one");
    assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
    for method in ["private_key_jwt", "spiffe_jwt", "tls_client_auth"] {
        let methods = metadata["token_endpoint_auth_methods_supported"].as_array();
        assert!(methods.unwrap().contains(&json!(method)), "{method}");
    }
    // SSF 1.0 7.2.1.
    let transmitter = all(&[
        "/t/one/.well-known/ssf-configuration",
        "/.well-known/ssf-configuration/t/one",
    ]);
    assert_eq!(transmitter["issuer"], "http://127.0.0.1:8080/t/one");
    for path in [
        "/.well-known/oauth-authorization-server/t/none",
        "/.well-known/ssf-configuration/t/none",
        "/.well-known/ssf-configuration",
    ] {
        let missing = world.get(path);
        assert_eq!(
            (missing.status, missing.code().as_str()),
            (404, "issue.object_unknown")
        );
    }
}

#[test]
fn what_anyone_may_keep_is_read_by_pages_of_any_origin_and_nothing_else_is() {
    let world = World::new();
    let open = [
        "/t/one/bundle",
        "/t/one/keys",
        "/t/one/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/t/one",
        "/t/one/.well-known/ssf-configuration",
    ];
    for path in open {
        let told = world.get(path);
        assert_eq!(
            told.header("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
    }
    let operator = world.operator();
    let listed = world.call(&operator, "GET", "/v1/tenants/one", None);
    assert_eq!(listed.status, 200);
    for told in [listed, world.get("/t/none/keys"), world.get("/healthz")] {
        assert_eq!(told.header("access-control-allow-origin"), None);
    }
}

#[test]
fn who_has_the_bundle_already_is_not_sent_it_again() {
    let world = World::new();
    let tag = world.get("/t/one/bundle");
    let tag = tag.header("etag").unwrap();
    let asked = request("GET", "/t/one/bundle", &[("if-none-match", tag)], None);
    let again = send(world.address, &asked);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(again.header("etag"), Some(tag));
}

#[test]
fn a_foreign_trust_domain_is_not_published_by_a_tenant() {
    let world = World::new();
    for path in ["/t/one/bundle/two.test", "/t/one/bundle/none.test"] {
        let refused = world.get(path);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (404, "issue.object_unknown")
        );
    }
    assert_eq!(world.get("/t/none/keys").status, 404);
}

#[test]
fn the_server_says_that_it_lives_and_is_ready() {
    let world = World::new();
    assert_eq!(world.get("/healthz").json(), json!({"status": "alive"}));
    assert_eq!(world.get("/readyz").json(), json!({"status": "ready"}));
    let metrics = world.get("/metrics").body;
    for line in [
        "avouch_tenants 3\n",
        "avouch_authorities{kind=\"x509\",state=\"active\"} 6\n",
        "avouch_credentials_issued_total{kind=\"x509_svid\"} 1\n",
        "avouch_http_requests_total{method=\"GET\",route=\"/readyz\",status=\"200\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
}

#[test]
fn what_is_not_there_and_what_is_not_done_there_are_problems() {
    let world = World::new();
    let refused = world.get("/nothing");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (404, "issue.object_unknown")
    );
    let refused = send(world.address, &request("PUT", "/healthz", &[], None));
    assert_eq!(refused.status, 405);
    assert_eq!(refused.code(), "issue.method_not_allowed");
    assert_eq!(refused.header("allow"), Some("GET"));
}

#[test]
fn every_answer_is_called_something_and_a_refusal_says_the_same() {
    let world = World::new();
    let token = world.operator();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let mut called = BTreeSet::new();
    for answer in [
        world.get("/healthz"),
        world.get("/t/one/keys"),
        world.get("/openapi.json"),
        world.call(&token, "GET", "/v1/tenants", None),
        world.call(&token, "DELETE", "/v1/tenants/one/rules/none", None),
        world.get("/nothing"),
        world.get("/v1/tenants"),
        world.get("/healthz?what=1"),
        send(world.address, &request("PUT", "/healthz", &[], None)),
        send(
            world.address,
            &request("POST", "/t/one/token", &form, Some("x=y")),
        ),
        world.send(
            &token,
            "POST",
            "/t/one/decide",
            &json!({"credential": {"jwt": "x"}}),
        ),
    ] {
        let id = answer.decision();
        if let Ok(body) = serde_json::from_str::<Value>(&answer.body)
            && let Some(said) = body.get("decision")
        {
            assert_eq!(said, id.as_str(), "{answer:?}");
        }
        assert!(
            answer.status == 200 || answer.body.contains(&id),
            "{answer:?}"
        );
        assert!(called.insert(id), "another has the same: {answer:?}");
    }
    let has_it = send(
        world.address,
        &request("GET", "/t/one/keys", &[("if-none-match", "*")], None),
    );
    assert_eq!(has_it.status, 304);
    assert!(called.insert(has_it.decision()));
    let described = world.get("/openapi.json").json();
    let reference = json!({"$ref": "#/components/headers/avouch-decision"});
    assert!(described["components"]["headers"]["avouch-decision"].is_object());
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let header = &response["headers"]["avouch-decision"];
                assert_eq!(header, &reference, "{method} {path} {status}");
            }
        }
    }
}

#[test]
fn every_address_is_described_and_every_description_is_an_address() {
    let world = World::new();
    let described = world.get("/openapi.json").json();
    let mut described: Vec<(String, String)> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(|method| (path.clone(), method.to_uppercase()))
        })
        .collect();
    described.sort();
    for (path, method) in &described {
        let path = path.replace(['{', '}'], "");
        let answer = send(world.address, &request(method, &path, &[], Some("")));
        assert_ne!(answer.status, 405, "{method} {path}");
        assert!(
            answer.status != 404 || !answer.body.contains("no address"),
            "{method} {path} is not served"
        );
    }
    let mut served: Vec<(String, String)> = avouch_server::http::addresses()
        // OpenAPI 3.1 has no word for "and all below it".
        .map(|(method, path)| (path.replace("{*", "{"), method.to_owned()))
        .collect();
    served.sort();
    assert_eq!(described, served);
}

/// The names in a list such as "`a`, `b`".
fn names_in(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn members_of(schema: &Value) -> BTreeSet<String> {
    let members = schema["properties"].as_object().unwrap();
    members.keys().cloned().collect()
}

#[test]
fn a_question_is_described_with_every_member_that_it_may_have() {
    let world = World::new();
    let described = world.get("/openapi.json").json();
    let described = &described["components"]["schemas"]["Question"];
    for (place, schema) in [
        ("", described.clone()),
        ("expect", described["properties"]["expect"].clone()),
        ("policies", described["properties"]["policies"].clone()),
        ("limits", described["properties"]["limits"].clone()),
        ("credential", described["properties"]["credential"].clone()),
    ] {
        let unknown = json!({"unknown": 1});
        let question = match place {
            "" => json!({"credential": {"jwt": "x"}, "unknown": 1}),
            "credential" => json!({"credential": unknown}),
            place => json!({"credential": {"jwt": "x"}, place: unknown}),
        };
        let unreadable = Asked::read(&question.to_string()).unwrap_err();
        let Reason::Malformed { detail } = unreadable.reason else {
            panic!("{unreadable:?}")
        };
        let (_, known) = detail.split_once("these are: ").unwrap();
        assert_eq!(names_in(known), members_of(&schema), "{place}");
    }
}

#[test]
fn a_verdict_is_described_with_every_member_that_it_may_have() {
    let world = World::new();
    let described = world.get("/openapi.json").json();
    let described = &described["components"]["schemas"]["Verdict"];
    let reasons = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/reasons");
    let mut seen = BTreeSet::new();
    let mut of_reason = BTreeSet::new();
    for example in std::fs::read_dir(reasons).unwrap() {
        let verdict = std::fs::read(example.unwrap().path().join("verdict.json")).unwrap();
        let verdict: Value = serde_json::from_slice(&verdict).unwrap();
        seen.extend(verdict.as_object().unwrap().keys().cloned());
        of_reason.extend(verdict["reason"].as_object().unwrap().keys().cloned());
    }
    // What is there only where more could not be read than is told.
    seen.insert("unusable_left_out".to_owned());
    assert_eq!(seen, members_of(described));
    assert_eq!(of_reason, members_of(&described["properties"]["reason"]));
}

#[test]
fn the_answer_for_many_entries_is_described_beside_that_for_one() {
    let described = World::new().get("/openapi.json").json();
    let responses = &described["paths"]["/v1/tenants/{tenant}/entries"]["post"]["responses"];
    let schema = |status: &str| responses[status]["content"]["application/json"]["schema"].clone();
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    assert_eq!(schema("201"), reference("Entry"));
    let one_of = json!({ "anyOf": [reference("Answers"), reference("DryRun")] });
    assert_eq!(schema("200"), one_of);
}

#[test]
fn an_entry_that_is_put_where_there_was_none_is_answered_as_one_that_was_made() {
    let world = World::new();
    let path = "/v1/tenants/one/entries/new";
    let entry = json!({"spiffe_id": "spiffe://one.test/new", "selectors": ["unix:uid:1"]});
    let put = |path: &str| world.send(&world.operator(), "PUT", path, &entry);
    let rehearsed = put(&format!("{path}?dry_run=true"));
    assert_eq!(rehearsed.status, 200, "{}", rehearsed.body);
    let made = put(path);
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.header("location"), Some(path));
    assert!(put(path).is_put());
    let described = world.get("/openapi.json").json();
    let responses = &described["paths"]["/v1/tenants/{tenant}/entries/{entry}"]["put"]["responses"];
    let schema = &responses["201"]["content"]["application/json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/Entry");
}

#[test]
fn refusals_are_described_by_the_type_that_they_have() {
    let world = World::new();
    let described = world.get("/openapi.json").json();
    let typed = |path: &str, status: &str| {
        let content = &described["paths"][path]["post"]["responses"][status]["content"];
        let types = content.as_object().unwrap().keys();
        types.cloned().collect::<Vec<_>>()
    };
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let event = [("content-type", "application/secevent+jwt")];
    let other = [("content-type", "application/json")];
    for (path, status, headers) in [
        ("/t/{tenant}/token", "default", &form),
        ("/t/{tenant}/introspect", "default", &form),
        ("/t/{tenant}/revoke", "default", &form),
        ("/t/{tenant}/events", "400", &event),
        ("/t/{tenant}/signing-requests", "default", &other),
    ] {
        let to = path.replace("{tenant}", "one");
        let answer = send(world.address, &request("POST", &to, headers, Some("x=y")));
        assert!(answer.status >= 400, "{path}: {answer:?}");
        let type_of_it = answer.header("content-type").unwrap().to_owned();
        assert_eq!(typed(path, status), [type_of_it], "{path}");
    }
}

#[test]
fn whoever_asks_learns_what_is_wrong_with_the_question() {
    let world = World::new();
    for (body, part) in [
        ("", "it is not a JSON object"),
        ("[]", "it is not a JSON object"),
        ("{}", "`credential` is missing"),
        (
            r#"{"credential":{"jwt":"x"},"profil":"spiffe"}"#,
            "`profil` is not a member that is known here; these are: `profile`",
        ),
    ] {
        let asked = request("POST", "/t/one/decide", &[], Some(body));
        let answer = send(world.address, &asked);
        assert_eq!(answer.status, 200);
        let reason = answer.json()["reason"].clone();
        assert_eq!(reason["code"], "input.malformed");
        let sentence = reason["sentence"].as_str().unwrap();
        assert!(sentence.contains(part), "{sentence}");
        assert!(reason["hint"].is_string(), "{reason}");
    }
    // What the tenant trusts is told to nobody.
    let body = json!({"credential": {"jwt": "x.y.z"}}).to_string();
    let asked = request("POST", "/t/one/decide", &[], Some(&body));
    let reason = send(world.address, &asked).json()["reason"].clone();
    assert!(reason.get("hint").is_none(), "{reason}");
}

#[test]
fn a_question_of_many_values_is_refused_before_they_take_memory() {
    let world = World::new();
    let many = "{\"\":0},".repeat(140_000);
    let body = format!("{{\"expect\":{{\"dns\":[{many}0]}}}}");
    let asked = request("POST", "/t/one/decide", &[], Some(&body));
    let answer = send(world.address, &asked).json();
    assert_eq!(answer["reason"]["code"], "limit.json_members");
    // Nor is more read of what it says is to be trusted, whoever says so.
    let bearer = format!("Bearer {}", world.operator());
    let trusting = |values: usize| {
        let anchors = "0,".repeat(values);
        let body =
            format!("{{\"credential\":{{\"jwt\":\"x\"}},\"trust\":{{\"anchors\":[{anchors}0]}}}}");
        let sent = [("authorization", bearer.as_str())];
        let asked = request("POST", "/t/one/decide", &sent, Some(&body));
        send(world.address, &asked).json()["reason"]["code"].clone()
    };
    assert_eq!(trusting(70_000), "limit.json_members");
    assert_eq!(trusting(60_000), "input.token_not_compact");
}

#[test]
fn an_entry_is_made_read_changed_and_removed() {
    let world = World::new();
    let token = world.operator();
    let entries = "/v1/tenants/one/entries";
    let entry =
        json!({"id": "web", "spiffe_id": "spiffe://one.test/web", "selectors": ["unix:uid:1"]});
    let made = world.send(&token, "POST", entries, &entry);
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.header("location"), Some("/v1/tenants/one/entries/web"));
    let again = world.send(&token, "POST", entries, &entry);
    assert_eq!(
        (again.status, again.code().as_str()),
        (409, "issue.conflict")
    );
    // What is shown can be sent back.
    let shown = world.call(&token, "GET", "/v1/tenants/one/entries/web", None);
    assert_eq!(shown.body, made.body);
    let mut changed = shown.json();
    changed["owner"] = json!("ops");
    let put = world.send(&token, "PUT", "/v1/tenants/one/entries/web", &changed);
    assert_eq!((put.status, &put.json()["owner"]), (200, &json!("ops")));
    assert_eq!(
        world
            .call(&token, "DELETE", "/v1/tenants/one/entries/web", None)
            .status,
        204
    );
    assert_eq!(
        world
            .call(&token, "DELETE", "/v1/tenants/one/entries/web", None)
            .status,
        404
    );
}

#[test]
fn who_shows_no_credential_is_asked_for_one() {
    let world = World::new();
    let missing = world.get("/v1/tenants");
    assert_eq!(
        (missing.status, missing.code().as_str()),
        (401, "issue.credential_missing")
    );
    for (method, path, wanted) in [
        ("GET", "/v1/tenants", "`--data`"),
        ("GET", "/t/one/egress/payments/v1", "`Authorization: DPoP`"),
        ("POST", "/t/one/webhooks/payments", "X.509-SVID"),
        ("GET", "/t/one/ssf/streams", "for this server"),
        ("POST", "/t/one/signing-requests", "bootstrap token"),
    ] {
        let missing = send(world.address, &request(method, path, &[], Some("{}")));
        assert_eq!(missing.code(), "issue.credential_missing", "{path}");
        let hint = missing.json()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains(wanted), "{path}: {hint}");
        assert_eq!(
            hint.contains("--data"),
            wanted == "`--data`",
            "{path}: {hint}"
        );
    }
    assert_eq!(
        missing.header("www-authenticate"),
        Some("Bearer realm=\"avouch\"")
    );
    let token = world.operator();
    let (head, _) = token.rsplit_once('.').unwrap();
    let refused = world.call(&format!("{head}.AAAA"), "GET", "/v1/tenants", None);
    assert_eq!(refused.status, 401);
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains("invalid_token")
    );
    assert!(!refused.body.contains("top.test"), "{}", refused.body);
}

#[test]
fn the_bundle_of_a_tenant_stays_that_of_the_trust_domain_it_had_first() {
    let world = World::new();
    let before = world.get("/t/two/bundle").json()["keys"].clone();
    let one = world.get("/t/one/bundle").json()["keys"].clone();
    assert_ne!(before, one);
    // Within the same second, and by a name that stands before the other's.
    for name in ["a.test", "z.test"] {
        let path = "/v1/tenants/two/trust-domains";
        let made = world.send(&world.operator(), "POST", path, &json!({ "name": name }));
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let keys = |path: &str| world.get(path).json()["keys"].clone();
    assert_eq!(keys("/t/two/bundle"), before);
    assert_eq!(keys("/t/two/bundle/two.test"), before);
    assert_ne!(keys("/t/two/bundle/a.test"), before);
}

/// RFC 9112 3.2.
#[test]
fn who_does_not_say_whom_it_means_is_refused_in_words_and_who_does_is_not() {
    let world = World::new();
    let sent = |version: &str, target: &str, hosts: &[&str]| {
        let hosts: String = hosts
            .iter()
            .map(|host| format!("host:{host}\r\n"))
            .collect();
        let text = format!("GET {target} HTTP/{version}\r\nconnection: close\r\n{hosts}\r\n");
        send(world.address, text.as_bytes())
    };
    for (target, hosts) in [
        ("/healthz", &[][..]),
        ("/nothing", &[]),
        // Also where the target says it: the one is no excuse for the other.
        ("http://test/healthz", &[]),
        ("/healthz", &[" test", " test"]),
        ("/healthz", &[" me@test"]),
        ("/healthz", &[" a b"]),
        ("/healthz", &[" test/healthz"]),
    ] {
        let refused = sent("1.1", target, hosts);
        assert_eq!(refused.status, 400, "{target} {hosts:?}: {refused:?}");
        let typed = refused.header("content-type");
        assert_eq!(typed, Some("application/problem+json"));
        assert_eq!(refused.code(), "issue.body_malformed");
        assert!(refused.body.contains("`Host`"), "{refused:?}");
        assert!(refused.body.contains(&refused.decision()), "{refused:?}");
    }
    for hosts in [&[" test"][..], &[" test:8080"], &[" [::1]:8080"], &[""]] {
        assert_eq!(sent("1.1", "/healthz", hosts).status, 200, "{hosts:?}");
    }
    assert_eq!(sent("1.0", "/healthz", &[]).status, 200);
}

#[test]
fn a_tenant_that_cannot_stand_where_it_is_wanted_is_told_what_can() {
    let world = World::new();
    let wanted = json!({"name": "below", "parent": "one", "kind": "organisation"});
    let refused = world.send(&world.operator(), "POST", "/v1/tenants", &wanted);
    assert_eq!(refused.status, 409, "{}", refused.body);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("below a tenant environments"), "{detail}");
    let taken = json!({"name": "two", "parent": "one", "kind": "environment"});
    let refused = world.send(&world.operator(), "POST", "/v1/tenants", &taken);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("is that of another tenant, or was"),
        "{detail}"
    );
}
