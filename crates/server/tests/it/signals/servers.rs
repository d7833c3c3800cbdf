//! What ended on one server has ended on all servers on the store, and after any restart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use avouch_core::id::{TenantId, TrustDomain};
use avouch_server::clock::SystemClock;
use avouch_server::plane::Founding;
use avouch_server::tls::Shown;
use avouch_server::{Plane, Settings, http};
use avouch_store::Store;
use avouch_store::keyring::RootKey;
use avouch_store::sqlite::SqliteStore;
use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use serde_json::json;
use tokio::sync::watch;

use super::{
    CLOUD, REVOKED, SUBJECT, chained, cloud, event, exchanged, someone, subject, told, workflow,
};
use crate::exchange::{Cloud, exchange_form, form, refusal, rule, token};
use crate::http::{Answer, request, send};

/// Another server on the store of a deployment.
struct Second {
    address: SocketAddr,
    _stop: watch::Sender<bool>,
}

fn second(cloud: &Cloud) -> Second {
    let folder = cloud.world.folder().to_owned();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder).unwrap());
    let founding = Founding {
        tenant: TenantId::parse("top").unwrap(),
        trust_domain: TrustDomain::parse("top.test").unwrap(),
    };
    let key = move |tenants: &[_]| Ok(RootKey::open_or_create(&folder, tenants)?);
    let clock = Arc::new(SystemClock);
    let plane = Plane::open(store, key, &founding, Settings::default(), clock).unwrap();
    let runtime = cloud.world.runtime();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = runtime.block_on(listener).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    runtime.spawn(http::serve(
        listener,
        Shown::Nothing,
        Arc::clone(&plane),
        stopping,
    ));
    // Whoever tells the others of itself is one of several.
    cloud.world.plane.report_followers().unwrap();
    plane.report_followers().unwrap();
    Second {
        address,
        _stop: stop,
    }
}

fn decide(address: SocketAddr, token: &str) -> Answer {
    let question = json!({
        "profile": "spiffe", "audience": [CLOUD], "credential": {"jwt": token},
    });
    let sent = request("POST", "/t/one/decide", &[], Some(&question.to_string()));
    send(address, &sent)
}

fn is_accepted(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["verdict"] == "accept"
}

fn exchange(address: SocketAddr, subject: &str) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let form = exchange_form(subject, &[]);
    send(
        address,
        &request("POST", "/t/one/token", &headers, Some(&form)),
    )
}

#[test]
fn hostile_61_nothing_is_accepted_on_any_server_after_one_has_answered_that_it_ended() {
    let cloud = cloud();
    let second = second(&cloud);
    for round in 0..12 {
        let who = someone(&format!("a-{round}"));
        let given = exchanged(&cloud, 30, &who);
        assert!(is_accepted(&decide(second.address, &given)));
        let (is_over, accepted) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            let asking: Vec<_> = [cloud.world.address, second.address, second.address]
                .into_iter()
                .map(|address| {
                    let (given, is_over, accepted) = (&given, &is_over, &accepted);
                    scope.spawn(move || {
                        let mut after = 0;
                        while after < 5 {
                            // What begins after the answer must be refused.
                            let began_after = is_over.load(Ordering::SeqCst);
                            let is_accepted = is_accepted(&decide(address, given));
                            assert!(!(began_after && is_accepted), "accepted after the end");
                            accepted.fetch_add(u32::from(is_accepted), Ordering::SeqCst);
                            after += u32::from(began_after);
                        }
                    })
                })
                .collect();
            let unused = workflow(&cloud, 30, &who);
            while accepted.load(Ordering::SeqCst) < 6 {
                std::thread::yield_now();
            }
            told(
                &cloud,
                &event(&cloud, REVOKED, &subject(who["sub"].as_str().unwrap()), 10),
            );
            is_over.store(true, Ordering::SeqCst);
            let answer = exchange(second.address, &unused);
            assert_eq!(refusal(&answer).1, "revocation.subject_ended");
            for one in asking {
                one.join().unwrap();
            }
        });
    }
    // Near miss: who has signed in since is accepted on both.
    let anew = exchanged(&cloud, 5, &someone("a-0"));
    assert!(is_accepted(&decide(cloud.world.address, &anew)));
    assert!(is_accepted(&decide(second.address, &anew)));
}

#[test]
fn hostile_61_a_server_that_starts_later_knows_what_ended() {
    let cloud = cloud();
    let given = exchanged(&cloud, 30, &json!({}));
    told(&cloud, &event(&cloud, REVOKED, &subject(SUBJECT), 10));
    let second = second(&cloud);
    assert!(!is_accepted(&decide(second.address, &given)));
}

/// What was taken back on one server is the ground of nothing on another, from the answer on.
#[test]
fn hostile_61_nothing_is_given_on_any_server_for_what_one_has_answered_that_it_is_gone() {
    let cloud = cloud();
    let second = second(&cloud);
    let mut bearer = rule();
    bearer["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    let given = || exchange(second.address, &workflow(&cloud, 30, &json!({})));
    // It hears of nothing by itself here, but where somebody asks what must be current.
    let until_given = || {
        decide(second.address, "x");
        let answer = given();
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    for _ in 0..4 {
        until_given();
        let removed = cloud.manage("DELETE", "/v1/tenants/one/rules/deploy", &json!({}));
        assert_eq!(removed.status, 204, "{}", removed.body);
        assert_eq!(refusal(&given()).1, "issue.exchange_not_admitted");
        cloud.rule("deploy", &bearer);
        until_given();
        let removed = cloud.manage("DELETE", "/v1/tenants/one/anchors/github", &json!({}));
        assert_eq!(removed.status, 204, "{}", removed.body);
        // Whether it has heard of it before it decided or after.
        let code = refusal(&given()).1;
        let is_one = [
            "issue.exchange_not_admitted",
            "issue.lineage_broken",
            "federation.issuer_unknown",
        ]
        .contains(&code.as_str());
        assert!(is_one, "{code}");
        cloud.anchor("github", &cloud.github_anchor());
    }
}

/// Also where a rule or an anchor is there still, and less may be had by it.
#[test]
fn hostile_61_nothing_is_given_on_any_server_for_more_than_one_has_answered_that_there_is() {
    let cloud = cloud();
    let second = second(&cloud);
    let mut bearer = rule();
    bearer["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    let given = || exchange(second.address, &workflow(&cloud, 30, &json!({})));
    let until_given = || {
        decide(second.address, "x");
        let answer = given();
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["scope"], "read deploy", "{}", answer.body);
    };
    for _ in 0..4 {
        until_given();
        let mut narrow = bearer.clone();
        narrow["gives"]["scopes"] = json!(["read"]);
        cloud.rule("deploy", &narrow);
        let answer = given();
        // Whether it has heard of it before it decided or after.
        match answer.status {
            200 => assert_eq!(answer.json()["scope"], "read", "{}", answer.body),
            _ => assert_eq!(refusal(&answer).1, "issue.exchange_not_admitted"),
        }
        cloud.rule("deploy", &bearer);
        until_given();
        let mut others = cloud.github_anchor();
        others["rules"][0]["facts"]["github.repository_owner_id"] = json!(["66"]);
        cloud.anchor("github", &others);
        let answer = given();
        assert_ne!(answer.status, 200, "{}", answer.body);
        cloud.anchor("github", &cloud.github_anchor());
    }
}

/// What one server has given for a key that it had just been told of, another takes.
#[test]
fn what_descends_from_a_new_key_is_exchanged_on_every_server_at_once() {
    let cloud = chained();
    let second = second(&cloud);
    decide(second.address, "x");
    let warm = exchange(second.address, &workflow(&cloud, 30, &json!({})));
    assert_eq!(warm.status, 200, "{}", warm.body);
    let next = Key::p256("next");
    let mut anchor = cloud.github_anchor();
    anchor["jwks"] = jwks(&[jwk(&next, "k2"), jwk(&cloud.issuer, "k1")]);
    cloud.anchor("github", &anchor);
    let subject = cloud.workflow_forge(&json!({})).sign(&next, "k2");
    let given = exchange(cloud.world.address, &subject);
    let answer = exchange(second.address, &token(&given));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn hostile_61_no_server_says_of_a_token_that_it_holds_after_one_has_answered_that_it_ended() {
    let cloud = cloud();
    let second = second(&cloud);
    let bearer = format!("Bearer {}", cloud.world.operator());
    let is_active = |token: &str| {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", bearer.as_str()),
        ];
        let body = form(&[("token", token)]);
        let sent = request("POST", "/t/one/introspect", &headers, Some(&body));
        let answer = send(second.address, &sent);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["active"] == true
    };
    for round in 0..12 {
        let who = someone(&format!("a-{round}"));
        let given = exchanged(&cloud, 30, &who);
        assert!(is_active(&given));
        let name = who["sub"].as_str().unwrap();
        told(&cloud, &event(&cloud, REVOKED, &subject(name), 10));
        assert!(!is_active(&given), "{round}");
    }
}
