//! What was decided is kept for the tenant, and nothing in it lets anyone in.

use std::slice::from_ref;

use avouch_testkit::key::Key;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::exchange::{Cloud, exchange_form, form, refusal, sentence, token};
use crate::http::Answer;

impl Cloud {
    /// A decision as the tenant reads it.
    fn kept(&self, id: &str) -> Answer {
        let path = format!("/v1/tenants/one/decisions/{id}");
        self.manage("GET", &path, &Value::Null)
    }

    fn record(&self, id: &str) -> Value {
        let answer = self.kept(id);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    fn listed(&self, query: &str) -> (Vec<String>, Option<String>) {
        let path = format!("/v1/tenants/one/decisions?{query}");
        let answer = self.manage("GET", &path, &Value::Null);
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        let decisions = answer["decisions"].as_array().unwrap();
        let ids = decisions
            .iter()
            .map(|one| one["decision"].as_str().unwrap().to_owned());
        (ids.collect(), answer["next"].as_str().map(str::to_owned))
    }

    /// Shows a credential as a stranger; what it is called that it was decided.
    fn decide_on(&self, credential: &Value) -> String {
        let question = json!({"credential": credential, "audience": ["someone"]});
        let path = "/t/one/decide";
        let told = crate::http::send(
            self.world.address,
            &crate::http::request("POST", path, &[], Some(&question.to_string())),
        );
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.json()["decision"], told.decision());
        told.decision()
    }
}

fn signature(token: &str) -> &str {
    token.rsplit_once('.').unwrap().1
}

#[test]
fn the_tenant_reads_why_an_exchange_was_refused_and_whoever_was_refused_does_not() {
    let mut cloud = Cloud::new();
    let subject = cloud.workflow(&json!({"event_name": "pull_request"}));
    let answer = cloud.exchange(&subject, &[]);
    assert_eq!(refusal(&answer).1, "issue.exchange_not_admitted");
    let id = answer.decision();
    assert!(!answer.body.contains("event_name"), "{}", answer.body);

    let record = cloud.record(&id);
    assert_eq!(record["decision"], id);
    assert_eq!(record["request"], "token");
    assert_eq!(record["refused"]["code"], "issue.exchange_not_admitted");
    assert_ne!(record["refused"]["sentence"], sentence(&answer));
    let verdict = &record["verdict"];
    assert_eq!(verdict["verdict"], "reject");
    assert_eq!(verdict["decision"], id);
    assert!(
        verdict["reason"].to_string().contains("github.event_name"),
        "{verdict}"
    );
    // It is shown up to where it held.
    let attempt = &verdict["attempts"][0];
    assert_eq!(
        attempt["path"][0]["by"],
        super::exchange::GITHUB,
        "{attempt}"
    );
    assert_eq!(record["credential"]["claims"]["event_name"], "pull_request");
    assert_eq!(record["credential"]["header"]["kid"], "k1");
    assert!(!record.to_string().contains(signature(&subject)));

    let described = cloud.world.get("/openapi.json").json();
    let described = &described["components"]["schemas"]["Decision"]["properties"];
    for name in record.as_object().unwrap().keys() {
        assert!(described[name].is_object(), "{name} is not described");
    }

    // What the core itself refuses is told by its own verdict.
    let forged = cloud
        .workflow_forge(&json!({}))
        .sign(&Key::p256("thief"), "k1");
    let refused = cloud.exchange(&forged, &[]);
    let of_core = cloud.record(&refused.decision());
    let reason = &of_core["verdict"]["reason"];
    assert_eq!(reason["code"], "federation.signature_invalid");
    assert!(of_core["verdict"]["epoch"].is_string(), "{of_core}");

    // On any server, after any restart: what waits is stored within a moment.
    cloud.world.plane.store_decisions().unwrap();
    cloud.world.restart();
    assert_eq!(cloud.record(&id), record);
    assert_eq!(cloud.record(&refused.decision()), of_core);
    assert_eq!(cloud.listed("").0, [refused.decision(), id]);
}

#[test]
fn of_what_was_given_the_tenant_sees_for_what_and_by_which_rule() {
    let cloud = Cloud::new();
    let subject = cloud.workflow(&json!({}));
    let answer = cloud.exchange(&subject, &[]);
    let given = token(&answer);
    let record = cloud.record(&answer.decision());
    let spiffe_id = "spiffe://one.test/ci/74/deploy";
    assert_eq!(
        record["given"],
        json!({"rule": "deploy", "spiffe_id": spiffe_id})
    );
    assert_eq!(record["verdict"]["verdict"], "accept");
    assert_eq!(record["verdict"]["anchor"]["name"], "github");
    assert_eq!(record["refused"], Value::Null);
    let text = record.to_string();
    assert!(!text.contains(signature(&subject)) && !text.contains(signature(&given)));

    // A token that is used up was believed, and is refused for that.
    let again = cloud.exchange(&subject, &[]);
    assert_eq!(refusal(&again).1, "issue.token_used");
    let record = cloud.record(&again.decision());
    assert_eq!(record["verdict"]["reason"]["code"], "issue.token_used");
    assert_eq!(
        record["verdict"]["attempts"][0]["path"][0]["by"],
        super::exchange::GITHUB
    );

    let (accepted, refused) = (answer.decision(), again.decision());
    assert_eq!(cloud.listed("").0, [refused.clone(), accepted.clone()]);
    assert_eq!(cloud.listed("verdict=accept").0, from_ref(&accepted));
    let of_code = "verdict=reject&code=issue.token_used";
    assert_eq!(cloud.listed(of_code).0, from_ref(&refused));
    assert_eq!(cloud.listed("code=pki.expired").0, Vec::<String>::new());
    let (page, next) = cloud.listed("limit=1");
    assert_eq!(
        (page, next.as_ref()),
        (vec![refused.clone()], Some(&refused))
    );
    let (page, next) = cloud.listed(&format!("limit=1&after={refused}"));
    assert_eq!((page, next), (vec![accepted], None));
}

#[test]
fn nothing_is_kept_that_would_let_its_bearer_in() {
    let cloud = Cloud::new();
    let secret = "AKIA-A-KEY-THAT-NOBODY-MAY-SEE";
    let subject = cloud.workflow(&json!({}));
    let api_key = "urn:avouch:params:token-type:api-key";
    let refused = cloud.exchange(secret, &[("subject_token_type", api_key)]);
    refusal(&refused);
    let opaque = cloud.exchange(
        secret,
        &[("subject_token_type", super::exchange::ACCESS_TOKEN)],
    );
    refusal(&opaque);
    // What is sent where it does not belong is kept no more than elsewhere.
    let misplaced = cloud.send(
        &form(&[("grant_type", secret), ("client_secret", secret)]),
        &[],
    );
    let unreadable = cloud.send(
        &exchange_form(
            &subject,
            &[("actor_token", secret), ("actor_token_type", api_key)],
        ),
        &[],
    );
    let mut ids = vec![
        refused.decision(),
        opaque.decision(),
        misplaced.decision(),
        unreadable.decision(),
    ];
    ids.push(cloud.decide_on(&json!({"api_key": secret})));
    ids.push(cloud.decide_on(&json!({"jwt": subject})));
    ids.push(cloud.decide_on(&json!({"jwt": secret})));
    ids.push(cloud.decide_on(&json!({"saml": secret})));
    ids.push(cloud.decide_on(&json!({"wit": {"token": subject, "proof": subject}})));
    cloud.world.plane.store_decisions().unwrap();
    for id in ids {
        let answer = cloud.kept(&id);
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = answer.body;
        assert!(!text.contains(signature(&subject)), "{text}");
        // Which grant was asked for is no credential, and whoever asks is told it.
        if id != misplaced.decision() {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let folder = cloud.world.folder();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            let bytes = std::fs::read(&file).unwrap();
            let needle = signature(&subject).as_bytes();
            let is_there = bytes.windows(needle.len()).any(|part| part == needle);
            assert!(!is_there, "{}", file.display());
        }
    }
}

#[test]
fn a_stranger_who_was_told_a_code_is_explained_by_the_tenant() {
    let cloud = Cloud::new();
    let subject = cloud.workflow(&json!({"aud": "another"}));
    let id = cloud.decide_on(&json!({"jwt": subject}));
    let record = cloud.record(&id);
    assert_eq!(record["request"], "decide");
    assert_eq!(record["asked"]["audience"], json!(["someone"]));
    let reason = &record["verdict"]["reason"];
    assert_eq!(reason["code"], "federation.audience_mismatch");
    assert!(
        reason["evidence"].to_string().contains("another"),
        "{reason}"
    );
    // Whoever may look into another tenant finds nothing of this one.
    let elsewhere = format!("/v1/tenants/two/decisions/{id}");
    let elsewhere = cloud.manage("GET", &elsewhere, &Value::Null);
    assert_eq!(
        (elsewhere.status, elsewhere.code().as_str()),
        (404, "issue.object_unknown")
    );
    for none in ["none", "0193d6a0-0000-7000-8000-000000000000"] {
        assert_eq!(cloud.kept(none).status, 404);
    }
    let upper = cloud.kept(&id.to_uppercase());
    assert_eq!(upper.json(), record);
}

#[test]
fn whoever_introspects_learns_that_a_token_does_not_hold_and_the_tenant_why() {
    let cloud = Cloud::new();
    let given = token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let introspected = |shown: &str| {
        let bearer = format!("Bearer {}", cloud.world.operator());
        let form = form(&[("token", shown)]);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let path = "/t/one/introspect";
        let asked = crate::http::request("POST", path, &headers, Some(&form));
        let answer = crate::http::send(cloud.world.address, &asked);
        assert_eq!(answer.status, 200, "{answer:?}");
        (
            answer.json()["active"] == true,
            cloud.record(&answer.decision()),
        )
    };
    let (is_active, record) = introspected(&given);
    assert!(is_active);
    assert_eq!(record["request"], "introspect");
    assert_eq!(record["verdict"]["verdict"], "accept");
    let (unsigned, _) = given.rsplit_once('.').unwrap();
    let (is_active, record) = introspected(&format!("{unsigned}.{}", "A".repeat(86)));
    assert!(!is_active);
    let reason = &record["verdict"]["reason"]["code"];
    assert_eq!(reason, "federation.signature_invalid", "{record}");
    let (is_active, record) = introspected("nothing");
    assert!(!is_active);
    assert_eq!(record["verdict"]["verdict"], "reject");
    assert_eq!(record["credential"]["kind"], "jwt");
}

#[test]
fn whoever_administers_a_tenant_sees_why_someone_who_says_to_be_of_it_was_not_believed() {
    let cloud = Cloud::new();
    let world = &cloud.world;
    let genuine = world.token("spiffe://one.test/administrator");
    let (unsigned, signed) = genuine.rsplit_once('.').unwrap();
    let forged = format!("{unsigned}.{}", "A".repeat(86));
    let refused = world.call(&forged, "GET", "/v1/tenants/two/entries", None);
    assert_eq!(refused.status, 401, "{refused:?}");
    let record = cloud.record(&refused.decision());
    assert_eq!(record["request"], "manage");
    assert_eq!(record["refused"]["code"], refused.code());
    assert_eq!(
        record["credential"]["claims"]["sub"],
        "spiffe://one.test/administrator"
    );
    assert!(!record.to_string().contains(signed));
    // It is a matter of the tenant of which they say they are, and of nobody whose address they call.
    let elsewhere = format!("/v1/tenants/two/decisions/{}", refused.decision());
    assert_eq!(cloud.manage("GET", &elsewhere, &Value::Null).status, 404);
    // Of nobody's trust domain nothing is kept.
    let (kept, _) = cloud.listed("verdict=reject");
    assert_eq!(kept, [refused.decision()]);
    for token in ["x", "x.y.z", ""] {
        let refused = world.call(token, "GET", "/v1/tenants/one/entries", None);
        assert_eq!(refused.status, 401);
    }
    assert_eq!(cloud.listed("verdict=reject").0, kept);
}

#[test]
fn what_is_refused_while_the_store_is_away_is_stored_when_it_is_back_and_forgotten_after_a_week() {
    let cloud = Cloud::new();
    let world = &cloud.world;
    world.store_away(true);
    let id = cloud.decide_on(&json!({"jwt": "x"}));
    world.plane.store_decisions().unwrap_err();
    world.store_away(false);
    world.plane.store_decisions().unwrap();
    let path = format!("/v1/tenants/one/decisions/{id}");
    let status = || world.call(&world.operator(), "GET", &path, None).status;
    world.pass(7 * 86_400 - 60);
    world.plane.forget_decisions().unwrap();
    assert_eq!(status(), 200);
    world.pass(120);
    world.plane.forget_decisions().unwrap();
    assert_eq!(status(), 404);
}

#[test]
fn a_long_question_takes_the_room_that_it_needs_and_no_more_is_kept_than_can_be_read() {
    let cloud = Cloud::new();
    let long: Vec<String> = (0..2_000)
        .map(|number| format!("https://audience-{number}.test"))
        .collect();
    let question = json!({"credential": {"jwt": "x"}, "audience": long}).to_string();
    let asked = crate::http::request("POST", "/t/one/decide", &[], Some(&question));
    let id = crate::http::send(cloud.world.address, &asked).decision();
    let kept = cloud.kept(&id);
    assert!(kept.body.len() < 16 << 10, "{}", kept.body.len());
    let record = kept.json();
    assert_eq!(record["asked"], Value::Null);
    assert_eq!(record["left_out"], json!(["asked"]));
    assert_eq!(record["verdict"]["verdict"], "reject");
}

#[test]
fn what_strangers_send_takes_no_more_than_the_room_of_one_record() {
    let cloud = Cloud::new();
    let header = json!({"alg": "ES256", "x": "x".repeat(500 << 10)}).to_string();
    let header = Base64UrlUnpadded::encode_string(header.as_bytes());
    let key = format!("ssh-ed25519 AAAA{}", "A".repeat(900 << 10));
    for credential in [
        json!({"jwt": format!("{header}.e30.AAAA")}),
        json!({"ssh": {"key": key}}),
    ] {
        let id = cloud.decide_on(&credential);
        let kept = cloud.kept(&id).body;
        assert!(kept.len() <= 16 << 10, "{}", kept.len());
        assert!(cloud.record(&id)["credential"]["digest"].is_string());
    }
}

#[test]
fn what_would_be_decided_by_what_a_question_brings_is_not_kept() {
    let cloud = Cloud::new();
    for trust in [json!({"anchors": []}), json!({"anchors": "none"})] {
        for (brought, status) in [(Some(&trust), 404), (None, 200)] {
            let mut question = json!({"credential": {"jwt": "x"}});
            if let Some(trust) = brought {
                question["trust"] = trust.clone();
            }
            let told = cloud.manage("POST", "/t/one/decide", &question);
            assert_eq!(told.json()["verdict"], "reject", "{told:?}");
            assert_eq!(cloud.kept(&told.decision()).status, status);
        }
    }
}

#[test]
fn what_a_tenant_decided_goes_with_it_and_is_not_anothers_of_its_name() {
    let cloud = Cloud::new();
    let given = cloud.exchange(&cloud.workflow(&json!({})), &[]);
    let stored = cloud.decide_on(&json!({"jwt": "x"}));
    cloud.world.plane.store_decisions().unwrap();
    let waiting = cloud.decide_on(&json!({"jwt": "y"}));
    let ids = [given.decision(), stored, waiting];
    for id in &ids {
        assert_eq!(cloud.kept(id).status, 200);
    }
    let removed = cloud.manage(
        "DELETE",
        "/v1/tenants/one?confirm=one,one.test",
        &Value::Null,
    );
    assert_eq!(removed.status, 200, "{removed:?}");
    let new = json!({"name": "one", "trust_domain": "one.test"});
    let again = cloud.manage("POST", "/v1/tenants", &new);
    assert_eq!(again.status, 201, "{again:?}");
    assert_eq!(cloud.listed("").0, Vec::<String>::new());
    for id in &ids {
        assert_eq!(cloud.kept(id).status, 404);
    }
    cloud.world.plane.store_decisions().unwrap();
    assert_eq!(cloud.listed("").0, Vec::<String>::new());
}

#[test]
fn a_flood_of_refusals_is_bounded_and_what_is_lost_is_counted() {
    const FLOOD: usize = 2_100;
    const ROOM: usize = 2_048;
    let cloud = Cloud::new();
    let question = json!({"credential": {"jwt": "x"}}).to_string();
    let one = crate::http::request("POST", "/t/one/decide", &[], Some(&question));
    for _ in 0..FLOOD {
        crate::http::send(cloud.world.address, &one);
    }
    let metrics = cloud.world.get("/metrics").body;
    let lost = format!("\navouch_decisions_lost_total {}\n", FLOOD - ROOM);
    assert!(metrics.contains(&lost), "{metrics}");
    cloud.world.plane.store_decisions().unwrap();
    let (mut count, mut after) = (0, String::new());
    loop {
        let (page, next) = cloud.listed(&format!("limit=1000{after}"));
        count += page.len();
        let Some(next) = next else { break };
        after = format!("&after={next}");
    }
    assert_eq!(count, ROOM);
}
