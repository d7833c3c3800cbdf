//! Introspection (RFC 7662), both ways.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use avouch_testkit::https::{HttpsServer, Shown, response, root};
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use avouch_testkit::world::pem;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::exchange::{
    ACCESS_TOKEN, Cloud, OURSELVES, exchange_form, form, refusal, token as issued_token,
};
use crate::http::{Answer, request, send};
use crate::registry::{AUDIENCE, Registry};
use crate::signals::{SUBJECT, cloud, someone, workflow};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const BY_SVID: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

fn introspect(
    cloud: &Cloud,
    tenant: &str,
    parameters: &[(&str, &str)],
    as_operator: bool,
) -> Answer {
    let bearer = format!("Bearer {}", cloud.world.operator());
    let mut headers = vec![FORM];
    if as_operator {
        headers.push(("authorization", &bearer));
    }
    let path = format!("/t/{tenant}/introspect");
    let body = form(parameters);
    send(
        cloud.world.address,
        &request("POST", &path, &headers, Some(&body)),
    )
}

fn told(cloud: &Cloud, token: &str) -> Value {
    let answer = introspect(cloud, "one", &[("token", token)], true);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

fn exchanged(cloud: &Cloud, changed: &Value, more: &[(&str, &str)]) -> String {
    issued_token(&cloud.send(&exchange_form(&workflow(cloud, 20, changed), more), &[]))
}

#[test]
fn a_token_of_ours_is_active_until_it_ended() {
    let cloud = cloud();
    let token = exchanged(&cloud, &json!({}), &[]);
    let other = exchanged(&cloud, &someone("other"), &[]);
    let answer = told(&cloud, &token);
    assert_eq!(answer["active"], true, "{answer}");
    assert_eq!(answer["sub"], "spiffe://one.test/ci/74/deploy");
    assert_eq!(answer["iss"], OURSELVES);
    assert!(answer["exp"].is_i64());
    assert!(answer.get("lineage").is_none(), "{answer}");
    let access = exchanged(
        &cloud,
        &json!({}),
        &[("requested_token_type", ACCESS_TOKEN)],
    );
    let answer = told(&cloud, &access);
    assert_eq!(
        (&answer["active"], &answer["token_type"]),
        (&json!(true), &json!("Bearer"))
    );
    // One that is bound to a key holds, whoever asks.
    let proof = cloud.signed_proof();
    let bound = exchange_form(&workflow(&cloud, 20, &json!({})), &[]);
    let bound = issued_token(&cloud.send(&bound, &[("dpop", &proof)]));
    assert_eq!(told(&cloud, &bound)["active"], true);
    let ended = json!({"issuer": crate::exchange::GITHUB, "subject": SUBJECT, "reason": "a test"});
    assert!(cloud.manage("POST", "/v1/tenants/one/ended", &ended).status < 300);
    for token in [&token, &access, &bound] {
        assert_eq!(told(&cloud, token), json!({"active": false}));
    }
    assert_eq!(told(&cloud, &other)["active"], true);
}

#[test]
fn what_is_not_of_the_tenant_or_does_not_hold_is_inactive_and_nothing_more_is_told() {
    let cloud = cloud();
    let token = exchanged(&cloud, &json!({}), &[]);
    let forged = TokenForge::saying(Value::Object(crate::exchange::claims(&token)))
        .sign(&Key::p256("mallory"), "k1");
    let mut bent = token.clone();
    bent.replace_range(bent.len() - 2.., "AA");
    let foreign = workflow(&cloud, 20, &json!({}));
    for wrong in ["x", "a.b.c", &forged, &bent, &foreign] {
        assert_eq!(told(&cloud, wrong), json!({"active": false}), "{wrong:.40}");
    }
    // Another tenant knows nothing of it.
    let answer = introspect(&cloud, "two", &[("token", &token)], true);
    assert_eq!(answer.json(), json!({"active": false}), "{}", answer.body);
    let missing = introspect(&cloud, "one", &[], true);
    assert_eq!(refusal(&missing).0, "invalid_request");
}

#[test]
fn whoever_asks_says_who_they_are_once() {
    let cloud = cloud();
    let token = exchanged(&cloud, &json!({}), &[]);
    let nobody = introspect(&cloud, "one", &[("token", &token)], false);
    assert_eq!(nobody.status, 401, "{}", nobody.body);
    assert_eq!(refusal(&nobody).0, "invalid_client");
    // Workloads of the tenant show a JWT-SVID that was made for this.
    let svid = |id: &str| {
        let owner = cloud
            .world
            .plane
            .tenant_named(id.split(['/', '.']).nth(2).unwrap())
            .unwrap()
            .unwrap();
        cloud.world.token(id);
        let entry = id.rsplit('/').next().unwrap();
        let audience = vec![OURSELVES.to_owned()];
        let node = cloud.world.node();
        let issued = cloud
            .world
            .plane
            .issue_jwt(node, owner.id().as_str(), entry, &[], audience);
        issued.unwrap().token
    };
    let asking = |assertion: &str| {
        let parameters = [
            ("token", token.as_str()),
            ("client_assertion_type", BY_SVID),
            ("client_assertion", assertion),
        ];
        introspect(&cloud, "one", &parameters, false)
    };
    let assertion = svid("spiffe://one.test/api");
    let answer = asking(&assertion);
    assert_eq!(answer.json()["active"], true, "{}", answer.body);
    assert_eq!(refusal(&asking(&assertion)).1, "issue.token_used");
    // Of another tenant, and for somebody else.
    assert_eq!(
        refusal(&asking(&svid("spiffe://two.test/api"))).0,
        "invalid_client"
    );
    let for_others = cloud.world.token("spiffe://one.test/api");
    assert_eq!(refusal(&asking(&for_others)).0, "invalid_client");
    let discovery = cloud
        .world
        .get("/t/one/.well-known/openid-configuration")
        .json();
    assert_eq!(
        discovery["introspection_endpoint"],
        format!("{OURSELVES}/introspect")
    );
}

/// An issuer that is trusted for something calls its subjects as it likes.
#[test]
fn hostile_64_a_token_of_somebody_else_is_no_client_under_a_name_of_ours() {
    let cloud = cloud();
    let key = Key::p256("chooser");
    let chooser = json!({"issuer": "https://chooser.test", "jwks": jwks(&[jwk(&key, "c")])});
    cloud.anchor("chooser", &chooser);
    let subject = exchanged(&cloud, &json!({}), &[]);
    let now = cloud.now();
    let assertion = |jti: &str| {
        let said = TokenForge::saying(json!({
            "iss": "https://chooser.test", "sub": "spiffe://one.test/admin", "aud": OURSELVES,
            "iat": now, "exp": now + 60, "jti": jti,
        }));
        said.sign(&key, "c")
    };
    let of_workflow = workflow(&cloud, 20, &json!({}));
    for assertion in [of_workflow.as_str(), &assertion("a1")] {
        let parameters = [
            ("token", subject.as_str()),
            ("client_assertion_type", BY_SVID),
            ("client_assertion", assertion),
        ];
        let refused = introspect(&cloud, "one", &parameters, false);
        assert_eq!(refusal(&refused).1, "issue.client_not_authenticated");
    }
    let assertion = assertion("a2");
    let more = [
        ("requested_token_type", ACCESS_TOKEN),
        ("client_assertion_type", BY_SVID),
        ("client_assertion", assertion.as_str()),
    ];
    let refused = cloud.send(
        &exchange_form(&workflow(&cloud, 20, &json!({})), &more),
        &[],
    );
    assert_eq!(refusal(&refused).1, "issue.client_not_authenticated");
}

/// An issuer that answers about its tokens, and what it was asked.
struct Asked {
    server: HttpsServer,
    /// One after the other, and the last one on and on.
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
    ca: String,
}

impl Asked {
    fn start() -> Self {
        let root = root("Introspection Root");
        let answers: Arc<Mutex<VecDeque<Vec<u8>>>> = Arc::default();
        let said = Arc::clone(&answers);
        let shown = Shown::under(&root, &["localhost"]);
        let server = HttpsServer::start(&shown, move |_, wire| {
            let mut said = said.lock().unwrap();
            let last = said.back().cloned().unwrap_or_default();
            let answer = said.pop_front().filter(|_| !said.is_empty());
            if said.is_empty() {
                said.push_back(last.clone());
            }
            drop(said);
            wire.write_all(&answer.unwrap_or(last))
        });
        Self {
            server,
            answers,
            ca: pem("CERTIFICATE", &root.certificate),
        }
    }

    fn answers(&self, one_after_the_other: impl IntoIterator<Item = Vec<u8>>) {
        *self.answers.lock().unwrap() = one_after_the_other.into_iter().collect();
    }

    /// Fails before it says what it said last.
    fn fails_first(&self, failure: Vec<u8>) {
        self.answers.lock().unwrap().push_front(failure);
    }

    fn says(&self, answer: &Value) {
        let fields = [("content-type", "application/json")];
        self.answers([response(200, &fields, answer.to_string().as_bytes())]);
    }

    fn holds(&self, registry: &Registry) {
        self.says(&json!({
            "active": true, "iss": self.server.url(""), "sub": "job-7", "aud": AUDIENCE,
            "iat": registry.now() - 10, "exp": registry.now() + 600, "jti": "t-1",
        }));
    }

    fn document(&self, more: &Value) -> Value {
        let mut asked = json!({
            "endpoint": self.server.url("/introspect"), "client_id": "avouch one",
            "client_secret": "s3cr:t/+",
        });
        for (name, value) in more.as_object().unwrap() {
            asked[name] = value.clone();
        }
        json!({
            "issuer": self.server.url(""), "ca": self.ca, "audiences": [AUDIENCE],
            "jwks": jwks(&[jwk(&Key::p256("as"), "k")]), "introspection": asked,
            "override": {"reason": "a test", "expires": "2100-01-01T00:00:00Z"},
        })
    }

    fn count(&self) -> usize {
        self.server.received().len()
    }
}

fn decide(registry: &Registry, token: &str) -> Value {
    let question = json!({"credential": {"opaque": token}, "audience": [AUDIENCE]});
    let answer = registry.call("POST", "/t/one/decide", Some(&question));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// What is missing for a verdict on a token; and when it is to be asked for again.
fn need(registry: &Registry, token: &str) -> (String, Option<String>) {
    let question = json!({"credential": {"opaque": token}, "audience": [AUDIENCE]});
    let answer = registry.call("POST", "/t/one/decide", Some(&question));
    let need = answer.json()["needs"][0]["sentence"].clone();
    let again = answer.header("retry-after").map(str::to_owned);
    (need.as_str().unwrap_or_default().to_owned(), again)
}

fn word(registry: &Registry, token: &str) -> String {
    let verdict = decide(registry, token);
    match verdict["verdict"].as_str().unwrap() {
        "reject" => verdict["reason"]["code"].as_str().unwrap().to_owned(),
        other => other.to_owned(),
    }
}

#[test]
fn an_opaque_token_is_what_its_issuer_says_for_as_long_as_that_is_fresh() {
    let mut registry = Registry::new();
    let asked = Asked::start();
    let put = registry.put("as", &asked.document(&json!({})));
    assert!(put.is_put(), "{}", put.body);
    assert!(
        !put.body.contains("s3cr:t"),
        "the secret is shown: {}",
        put.body
    );
    assert!(!put.body.contains("sealed"), "{}", put.body);
    asked.holds(&registry);
    let verdict = decide(&registry, "opaque-token");
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
    assert_eq!(verdict["path"][0]["how"], "introspection");
    assert_eq!(verdict["revocation"][0]["source"], "introspection");
    assert_eq!(word(&registry, "opaque-token"), "accept");
    assert_eq!(asked.count(), 1, "an answer is used for a minute");
    let received = &asked.server.received()[0];
    let body = String::from_utf8_lossy(&received.body).into_owned();
    assert_eq!(body, "token=opaque-token&token_type_hint=access_token");
    // RFC 6749 2.3.1: both are escaped before they are put together.
    let basic = format!(
        "Basic {}",
        Base64::encode_string(b"avouch%20one:s3cr%3At%2F%2B")
    );
    assert_eq!(received.headers.get("authorization"), Some(&basic));
    asked.says(&json!({"active": false}));
    assert_eq!(word(&registry, "opaque-token"), "accept");
    assert_eq!(
        word(&registry, "another-token"),
        "federation.token_inactive"
    );
    registry.pass(61);
    assert_eq!(word(&registry, "opaque-token"), "federation.token_inactive");
    // Put again without the secret: it stays.
    let again = registry.show("as")["document"].clone();
    assert!(registry.put("as", &again).is_put());
    registry.pass(61);
    word(&registry, "opaque-token");
    let received = asked.server.received();
    assert_eq!(
        received.last().unwrap().headers.get("authorization"),
        Some(&basic)
    );
    // For another client it does not.
    let mut other = again;
    other["introspection"]["client_id"] = "someone else".into();
    assert!(registry.put("as", &other).is_put());
    registry.pass(61);
    word(&registry, "opaque-token");
    let received = asked.server.received();
    assert_eq!(received.last().unwrap().headers.get("authorization"), None);
}

#[test]
fn a_client_secret_is_not_kept_for_whomever_another_ca_vouches_for() {
    let mut registry = Registry::new();
    let asked = Asked::start();
    asked.holds(&registry);
    assert!(registry.put("as", &asked.document(&json!({}))).is_put());
    let mut again = registry.show("as")["document"].clone();
    let shown = |registry: &Registry, token: &str| {
        assert_eq!(word(registry, token), "accept");
        let received = asked.server.received();
        received
            .last()
            .unwrap()
            .headers
            .contains_key("authorization")
    };
    again["stale_for"] = 60.into();
    assert!(registry.put("as", &again).is_put());
    assert!(shown(&registry, "one"), "the same is shown it still");
    let other = pem("CERTIFICATE", &root("Another Root").certificate);
    again["ca"] = format!("{}{other}", asked.ca).into();
    assert!(registry.put("as", &again).is_put());
    registry.pass(61);
    assert!(
        !shown(&registry, "two"),
        "whoever has the other CA was to be shown it"
    );
}

#[test]
fn what_one_endpoint_has_answered_another_is_asked() {
    let registry = Registry::new();
    let asked = Asked::start();
    asked.holds(&registry);
    assert!(registry.put("as", &asked.document(&json!({}))).is_put());
    assert_eq!(word(&registry, "opaque-token"), "accept");
    assert_eq!(word(&registry, "opaque-token"), "accept");
    assert_eq!(asked.count(), 1);
    let elsewhere = json!({"endpoint": asked.server.url("/elsewhere")});
    assert!(registry.put("as", &asked.document(&elsewhere)).is_put());
    asked.says(&json!({"active": false}));
    assert_eq!(word(&registry, "opaque-token"), "federation.token_inactive");
    assert_eq!(asked.count(), 2);
    // As another client, too.
    let other = json!({"endpoint": asked.server.url("/elsewhere"), "client_id": "another"});
    assert!(registry.put("as", &asked.document(&other)).is_put());
    word(&registry, "opaque-token");
    assert_eq!(asked.count(), 3);
}

#[test]
fn an_issuer_that_does_not_answer_is_no_yes() {
    let mut registry = Registry::new();
    let asked = Asked::start();
    assert!(registry.put("as", &asked.document(&json!({}))).is_put());
    for (wrong, why) in [
        (response(401, &[], b"{\"active\": true}"), "fetch.status"),
        (
            response(200, &[], b"<html>"),
            "federation.introspection_malformed",
        ),
        (
            response(200, &[], b"{\"active\": \"true\"}"),
            "federation.introspection_malformed",
        ),
        (
            response(302, &[("location", "/elsewhere")], b""),
            "fetch.redirect_refused",
        ),
        (response(503, &[], b""), "fetch.status"),
        (vec![], "fetch.answer_broken"),
    ] {
        asked.answers([wrong]);
        assert_eq!(word(&registry, "opaque-token"), "undetermined");
        // What came of asking is told, and whoever asked is to ask again.
        let (need, again) = need(&registry, "opaque-token");
        assert!(need.contains(&format!("({why})")), "{need}");
        assert_eq!(again.as_deref(), Some("30"), "{need}");
        let count = asked.count();
        assert_eq!(word(&registry, "opaque-token"), "undetermined");
        assert_eq!(
            asked.count(),
            count,
            "who does not answer is left alone for a while"
        );
        let failing = registry.show("as")["asking_failing"].clone();
        assert_eq!(failing["since"], "2027-01-15T08:00:00Z", "{failing}");
        registry.pass(6);
    }
    asked.holds(&registry);
    assert_eq!(word(&registry, "opaque-token"), "accept");
    assert_eq!(registry.show("as")["asking_failing"], Value::Null);
    // What a stranger's token makes it answer silences it for no other token; that it fails does.
    for (status, another) in [
        (400, "accept"),
        (429, "undetermined"),
        (503, "undetermined"),
    ] {
        registry.pass(6);
        asked.answers([response(status, &[], b"")]);
        assert_eq!(
            word(&registry, &format!("made-up-{status}")),
            "undetermined"
        );
        asked.holds(&registry);
        assert_eq!(
            word(&registry, &format!("good-{status}")),
            another,
            "{status}"
        );
    }
    registry.pass(6);
    assert_eq!(word(&registry, "good-503"), "accept");
    // Whoever is nobody to the tenant has nobody asked.
    let question = json!({"credential": {"opaque": "a-third-token"}, "audience": [AUDIENCE]});
    let count = asked.count();
    let anyone = registry.as_anyone("/t/one/decide", &question);
    assert_eq!(anyone.json()["verdict"], "undetermined", "{}", anyone.body);
    assert_eq!(asked.count(), count);
}

#[test]
fn an_issuer_of_opaque_tokens_need_publish_no_keys() {
    let registry = Registry::new();
    let asked = Asked::start();
    asked.holds(&registry);
    let state = |more: &Value| {
        let mut document = asked.document(more);
        document.as_object_mut().unwrap().remove("jwks");
        assert!(registry.put("as", &document).is_put());
        // It has no discovery document: whatever it is asked, it says of a token.
        let refreshed = registry.call("POST", "/v1/tenants/one/issuers/as/refresh", None);
        assert_eq!(refreshed.status, 424, "{}", refreshed.body);
        registry.show("as")
    };
    let shown = state(&json!({}));
    assert_eq!(shown["state"], "ok", "{shown}");
    assert_eq!(shown["failing"], Value::Null, "{shown}");
    let told = |shown: &Value, panel: &str| shown.to_string().contains(panel);
    assert!(told(&shown, "since its keys could not be fetched"));
    assert!(told(&shown, "s after it has taken it back"), "{shown}");
    let is_alarm = |event: &Value| event["alarm"] == true;
    let events = shown["events"].as_array().unwrap();
    assert!(!events.iter().any(is_alarm), "{shown}");
    assert_eq!(word(&registry, "opaque-token"), "accept");
    // One that is asked about its JWT needs keys for them.
    let shown = state(&json!({"tokens": ["jwt"]}));
    assert_eq!(shown["state"], "failing", "{shown}");
}

#[test]
fn one_failure_of_an_issuer_passes() {
    let registry = Registry::new();
    let asked = Asked::start();
    assert!(registry.put("as", &asked.document(&json!({}))).is_put());
    for status in [500, 502, 503, 504] {
        asked.holds(&registry);
        asked.fails_first(response(status, &[], b""));
        let before = asked.count();
        let token = format!("after-{status}");
        assert_eq!(word(&registry, &token), "accept");
        assert_eq!(asked.count(), before + 2);
    }
    // Who says that it is asked too much is not asked again at once, and who says when, then.
    for (number, failure) in [
        response(429, &[], b""),
        response(503, &[("retry-after", "1")], b""),
        response(501, &[], b""),
    ]
    .into_iter()
    .enumerate()
    {
        let registry = Registry::new();
        assert!(registry.put("as", &asked.document(&json!({}))).is_put());
        asked.holds(&registry);
        asked.fails_first(failure);
        let before = asked.count();
        assert_eq!(word(&registry, &format!("no-{number}")), "undetermined");
        assert_eq!(asked.count(), before + 1);
    }
}

#[test]
fn an_issuer_that_fails_on_is_left_alone_for_longer_and_for_as_long_as_it_says() {
    let mut registry = Registry::new();
    let asked = Asked::start();
    assert!(registry.put("as", &asked.document(&json!({}))).is_put());
    let mut number = 0;
    let mut is_asked = |registry: &Registry| {
        let before = asked.count();
        number += 1;
        let token = format!("token-{number}");
        assert_eq!(word(registry, &token), "undetermined");
        asked.count() > before
    };
    asked.answers([response(429, &[], b"")]);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        assert!(is_asked(&registry), "before {seconds}");
        registry.pass(seconds - 1);
        assert!(!is_asked(&registry), "{seconds}");
        registry.pass(1);
    }
    // Within bounds, and in both forms.
    let date = "Thu, 01 Jan 1970 00:00:00 GMT";
    for (said, seconds) in [("45", 45), ("99999", 60), (date, 30), ("x", 30)] {
        asked.answers([response(429, &[("retry-after", said)], b"")]);
        assert!(is_asked(&registry), "{said}");
        registry.pass(seconds - 1);
        assert!(!is_asked(&registry), "{said}");
        registry.pass(1);
    }
    asked.holds(&registry);
    assert_eq!(word(&registry, "good"), "accept");
    // It has begun anew.
    asked.answers([response(429, &[], b"")]);
    assert!(is_asked(&registry));
    registry.pass(1);
    assert!(is_asked(&registry));
}

#[test]
fn the_silence_of_one_endpoint_is_not_that_of_the_next() {
    let registry = Registry::new();
    let asked = Asked::start();
    assert!(registry.put("as", &asked.document(&json!({}))).is_put());
    asked.answers([response(429, &[("retry-after", "60")], b"")]);
    assert_eq!(word(&registry, "opaque-token"), "undetermined");
    asked.holds(&registry);
    assert_eq!(word(&registry, "opaque-token"), "undetermined");
    // Whatever of how it is asked has changed.
    for changed in [
        json!({"client_secret": "an0ther"}),
        json!({"client_id": "another"}),
        json!({"endpoint": asked.server.url("/elsewhere")}),
    ] {
        assert!(registry.put("as", &asked.document(&changed)).is_put());
        assert_eq!(word(&registry, "opaque-token"), "accept", "{changed}");
        asked.answers([response(429, &[("retry-after", "60")], b"")]);
        assert_eq!(word(&registry, &changed.to_string()), "undetermined");
        asked.holds(&registry);
    }
}

#[test]
fn what_is_wanted_of_introspection_is_read_strictly() {
    let registry = Registry::new();
    let asked = Asked::start();
    for wrong in [
        json!({"endpoint": "http://localhost/introspect"}),
        json!({"client_id": 7}),
        json!({"client_secret": 7}),
        json!({"client_secret_sealed": "AAAA"}),
        json!({"tokens": ["all"]}),
        json!({"max_age": 3_601}),
        json!({"maxage": 60}),
    ] {
        let put = registry.put("as", &asked.document(&wrong));
        assert!((400..500).contains(&put.status), "{wrong}: {}", put.body);
    }
}

#[test]
fn who_is_asked_about_an_opaque_token_is_said_where_several_could_be() {
    let mut registry = Registry::new();
    let (asked, other) = (Asked::start(), Asked::start());
    for (name, one) in [("as", &asked), ("other", &other)] {
        assert!(registry.put(name, &one.document(&json!({}))).is_put());
    }
    registry.exchanges_jobs_of("as");
    asked.holds(&registry);
    other.says(&json!({"active": false}));
    let (url, of_other) = (asked.server.url(""), other.server.url(""));
    // A trial tells the same, and uses nothing.
    let trial = |registry: &mut Registry, issuer: Option<&str>| {
        let mut trial =
            json!({"subject_token": "opaque-token", "subject_token_type": ACCESS_TOKEN});
        if let Some(issuer) = issuer {
            trial["subject_issuer"] = json!(issuer);
        }
        let told = registry.call("POST", "/v1/tenants/one/try-exchange", Some(&trial));
        assert_eq!(told.status, 200, "{}", told.body);
        told.json()
    };
    let unsaid = trial(&mut registry, None);
    assert!(unsaid["problem"]["code"].is_string(), "{unsaid}");
    assert_eq!((asked.count(), other.count()), (0, 0));
    assert_eq!(trial(&mut registry, Some(&url))["rule"], "job");
    let wrong = trial(&mut registry, Some(&of_other));
    assert_eq!(wrong["problem"]["code"], "federation.token_inactive");
    let exchange = |registry: &Registry, issuer: &str| {
        let parameters = [
            ("subject_token_type", ACCESS_TOKEN),
            ("subject_issuer", issuer),
        ];
        registry.exchange_form(&exchange_form("opaque-token", &parameters))
    };
    assert_eq!(
        exchange(&registry, &of_other).json()["code"],
        "federation.token_inactive"
    );
    assert_eq!(exchange(&registry, &url).status, 200);
}

#[test]
fn what_an_issuer_says_of_a_token_is_bounded_as_what_stands_in_one() {
    let registry = Registry::new();
    let asked = Asked::start();
    let mut document = asked.document(&json!({}));
    document["grants_at_most"] = json!({"claims": {"claims.team": ["red"]}});
    assert!(registry.put("as", &document).is_put());
    let now = registry.now();
    let says = |team: &str| {
        asked.says(&json!({
            "active": true, "sub": "job-7", "aud": AUDIENCE, "team": team,
            "iat": now - 10, "exp": now + 600,
        }));
    };
    says("blue");
    assert_eq!(word(&registry, "a-token"), "policy.claim_beyond_bound");
    says("red");
    assert_eq!(word(&registry, "another-token"), "accept");
}

#[test]
fn an_opaque_token_is_exchanged_once_and_not_when_it_ended() {
    let mut registry = Registry::new();
    let asked = Asked::start();
    assert!(registry.put("as", &asked.document(&json!({}))).is_put());
    registry.exchanges_jobs_of("as");
    asked.holds(&registry);
    let exchange = |registry: &Registry, token: &str| {
        registry.exchange_form(&exchange_form(
            token,
            &[("subject_token_type", ACCESS_TOKEN)],
        ))
    };
    let exchanged = exchange(&registry, "opaque-token");
    assert_eq!(exchanged.status, 200, "{}", exchanged.body);
    assert_eq!(
        exchange(&registry, "opaque-token").json()["code"],
        "issue.token_used"
    );
    // The same under another text: its number is the same.
    assert_eq!(
        exchange(&registry, "opaque-token-2").json()["code"],
        "issue.token_used"
    );
    asked.says(&json!({"active": false}));
    assert_eq!(
        exchange(&registry, "opaque-token-3").json()["code"],
        "federation.token_inactive"
    );
    registry.pass(6);
    asked.answers([response(500, &[], b"")]);
    assert_eq!(
        exchange(&registry, "opaque-token-4").json()["code"],
        "issue.undecided"
    );
}
