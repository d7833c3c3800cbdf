//! Issuers of other people and their keys, from the first discovery to the last.

use std::sync::Arc;

use avouch_testkit::https::response;
use avouch_testkit::issuer::{DISCOVERY, IssuerServer, github, gitlab};
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::token::{jwk, jwks};
use serde_json::{Value, json};

use crate::keeping::Keeping;
use crate::registry::{AUDIENCE, Registry, document, token, trusted, with};

#[test]
fn an_issuer_is_discovered_and_its_tokens_are_believed_at_once() {
    let registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let verdict = registry.verdict("one", &token(&registry, &issuer, &key, "k-a"));
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
    assert_eq!(verdict["anchor"]["name"], "ci");
    // How old the keys are stands in each verdict that rests on them.
    let source = &verdict["revocation"][0];
    assert_eq!(source["source"], "jwks", "{verdict}");
    assert_eq!(source["as_of"], "2027-01-15T08:00:00Z");
    assert_eq!(source["next"], "2027-01-15T08:10:00Z");
    let told = registry.show("ci");
    assert_eq!(told["keys"][0]["kid"], "k-a");
    assert_eq!(told["keys"][0]["first_used"], Value::Null);
    registry.tick();
    assert_eq!(registry.show("ci")["keys"][0]["published_before_use"], 0);
    let listed = registry.call("GET", "/v1/tenants/one/issuers", None).json();
    assert_eq!(listed["issuers"][0]["state"], "ok");
    let metrics = registry.call("GET", "/metrics", None).body;
    assert!(
        metrics.contains("avouch_issuers{state=\"ok\"} 1"),
        "{metrics}"
    );
}

#[test]
fn fifty_rotations_that_sign_at_once_refuse_no_valid_token_here_and_each_where_keys_are_kept() {
    let mut registry = Registry::new();
    let (issuer, first) = trusted(&registry);
    let mut before = (first, "k-a".to_owned());
    let mut without_asking = 0;
    let (mut keeping, mut refused_there) = (Keeping::new(), 0);
    for round in 0..50 {
        // Just looked, and told that the keys may be kept for ten minutes; then they change.
        registry.pass(6 * 3_600);
        registry.tick();
        let current = token(&registry, &issuer, &before.0, &before.1);
        let there = keeping.decide(&issuer, &current, registry.now());
        assert_eq!(there, "accept", "rotation {round}");
        let asked = issuer.key_sets_asked();
        registry.pass(5);
        let key = Key::p256(&format!("round {round}"));
        let kid = format!("k-{round}");
        let (old, old_kid) = &before;
        issuer.publish(&[(&key, &kid), (old, old_kid)]);
        let fresh = token(&registry, &issuer, &key, &kid);
        assert_eq!(registry.decide(&fresh), "accept", "rotation {round}");
        let there = keeping.decide(&issuer, &fresh, registry.now());
        refused_there += usize::from(there == "federation.key_unknown");
        let previous = token(&registry, &issuer, old, old_kid);
        assert_eq!(registry.decide(&previous), "accept", "rotation {round}");
        // Whoever waits for the end of the ten minutes has not asked, and refuses the fresh token.
        without_asking += usize::from(issuer.key_sets_asked() > asked);
        before = (key, kid);
    }
    assert_eq!(without_asking, 50);
    assert_eq!(
        refused_there, 50,
        "who keeps keys refuses a good token each time"
    );
    // It is no worse than that: ten minutes later it looks, and takes the newest.
    registry.pass(600);
    let fresh = token(&registry, &issuer, &before.0, &before.1);
    let there = keeping.decide(&issuer, &fresh, registry.now());
    assert_eq!(there, "accept");
    let told = registry.show("ci");
    let warnings = told["warnings"].to_string();
    registry.tick();
    assert!(
        registry.show("ci")["warnings"]
            .to_string()
            .contains("at work 0 s"),
        "{warnings}"
    );
}

#[test]
fn a_token_with_a_new_key_is_exchanged_at_the_first_try() {
    let mut registry = Registry::new();
    let (issuer, first) = trusted(&registry);
    registry.exchanges_jobs_of("ci");
    let second = Key::p256("b");
    issuer.publish(&[(&first, "k-a"), (&second, "k-b")]);
    let fresh = token(&registry, &issuer, &second, "k-b");
    let exchanged = registry.exchange(&fresh);
    assert_eq!(exchanged.status, 200, "{}", exchanged.body);
    // The near miss: a key that the issuer does not publish stays unknown.
    let forged = token(&registry, &issuer, &Key::p256("c"), "k-c");
    let put_off = registry.exchange(&forged).json();
    assert_eq!(put_off["code"], "issue.key_awaited");
    registry.pass(30);
    let refused = registry.exchange(&forged).json();
    assert_eq!(refused["code"], "federation.key_unknown");
    registry.tick();
    assert!(registry.show("ci")["keys"][1]["first_used"].is_string());
}

#[test]
fn hostile_18_a_key_that_was_removed_has_signed_for_the_last_time() {
    let mut registry = Registry::new();
    let (issuer, first) = trusted(&registry);
    let second = Key::p256("b");
    issuer.publish(&[(&first, "k-a"), (&second, "k-b")]);
    registry.pass(601);
    registry.tick();
    let (of_first, of_second) = (
        token(&registry, &issuer, &first, "k-a"),
        token(&registry, &issuer, &second, "k-b"),
    );
    assert_eq!(registry.decide(&of_first), "accept");
    assert_eq!(registry.decide(&of_second), "accept");
    issuer.publish(&[(&second, "k-b")]);
    registry.call("POST", "/v1/tenants/one/issuers/ci/refresh", None);
    assert_eq!(registry.decide(&of_first), "federation.key_removed");
    assert_eq!(registry.decide(&of_second), "accept");
    let told = registry.show("ci");
    assert_eq!(told["events"][0]["what"], "key_removed");
    assert!(told["keys"][0]["removed"].is_string(), "{told}");
}

#[test]
fn hostile_18_another_key_under_a_known_name_is_never_merged() {
    let mut registry = Registry::new();
    let (issuer, honest) = trusted(&registry);
    let other = Key::p256("b");
    issuer.publish(&[(&honest, "k-a"), (&other, "k-b")]);
    registry.pass(601);
    registry.tick();
    let forged = Key::p256("forged");
    issuer.publish(&[(&forged, "k-a"), (&other, "k-b")]);
    let answer = registry.call("POST", "/v1/tenants/one/issuers/ci/refresh", None);
    assert_eq!(answer.code(), "federation.key_changed");
    for key in [&honest, &forged] {
        let token = token(&registry, &issuer, key, "k-a");
        assert_eq!(registry.decide(&token), "federation.key_changed");
    }
    // The near miss: the other key is what it was.
    assert_eq!(
        registry.decide(&token(&registry, &issuer, &other, "k-b")),
        "accept"
    );
    let told = registry.show("ci");
    assert_eq!(told["state"], "contested");
    assert_eq!(told["contested"][0]["kid"], "k-a");
    assert_eq!(told["events"][1]["alarm"], true);
    // Someone has asked the issuer, and it was meant.
    let answer = registry.release("ci");
    assert_eq!(answer.json()["state"], "ok", "{}", answer.body);
    assert_eq!(
        registry.decide(&token(&registry, &issuer, &forged, "k-a")),
        "accept"
    );
}

#[test]
fn hostile_19_a_flood_of_unknown_names_causes_one_fetch() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let before = issuer.key_sets_asked();
    let registry_of = Arc::new(());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (registry, issuer, key) = (&registry, &issuer, &key);
            let held = Arc::clone(&registry_of);
            scope.spawn(move || {
                for number in 0..25 {
                    let kid = format!("made-up-{thread}-{number}");
                    let token = token(registry, issuer, key, &kid);
                    // What was looked for is refused, and of the rest nobody knows.
                    let told = registry.decide(&token);
                    let words = ["federation.key_unknown", "undetermined"];
                    assert!(words.contains(&told.as_str()), "{told}");
                }
                drop(held);
            });
        }
    });
    assert_eq!(issuer.key_sets_asked() - before, 1);
    // Later there is one more, but not for a name that was looked for just now.
    registry.pass(31);
    let again = token(&registry, &issuer, &key, "made-up-0-0");
    registry.decide(&again);
    let after = issuer.key_sets_asked() - before;
    assert!((1..=2).contains(&after), "{after}");
    registry.pass(31);
    registry.decide(&token(&registry, &issuer, &key, "new-name"));
    assert!(issuer.key_sets_asked() - before >= 2);
    assert_eq!(
        registry.decide(&token(&registry, &issuer, &key, "k-a")),
        "accept"
    );
}

#[test]
fn hostile_20_an_issuer_that_calls_itself_otherwise_is_not_taken() {
    let registry = Registry::new();
    let issuer = IssuerServer::start();
    let key = Key::p256("a");
    issuer.publish(&[(&key, "k-a")]);
    let own = issuer.issuer().to_owned();
    for found in [
        format!("{own}/"),
        own.replace("localhost", "LOCALHOST"),
        own.replace("localhost", "localhost.evil.test"),
        own.replace("https://", "https://evil@"),
        "https://accounts.google.com".to_owned(),
        String::new(),
    ] {
        issuer.discover(&with(issuer.discovery(), json!({"issuer": found})));
        let told = registry.put("ci", &document(&issuer)).json();
        assert_eq!(
            told["failing"]["code"], "fetch.discovery_issuer_mismatch",
            "{found}"
        );
        let token = token(&registry, &issuer, &key, "k-a");
        assert_eq!(registry.decide(&token), "undetermined");
    }
    issuer.discover(&issuer.discovery());
    assert_eq!(registry.put("ci", &document(&issuer)).json()["state"], "ok");
}

#[test]
fn hostile_21_an_issuer_that_begins_or_ends_like_a_trusted_one_is_another() {
    let registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let own = issuer.issuer();
    for like in [
        format!("{own}/"),
        format!("{own}.evil.test"),
        own.replace("https://", "https://evil.test/"),
        own.replace("https://", "https://evil.test@"),
        format!("x{own}"),
    ] {
        let claims = json!({"iss": like, "sub": "job-7", "aud": AUDIENCE});
        let token = issuer.token(registry.now(), &claims).sign(&key, "k-a");
        assert_eq!(
            registry.decide(&token),
            "federation.issuer_unknown",
            "{like}"
        );
    }
    assert_eq!(
        registry.decide(&token(&registry, &issuer, &key, "k-a")),
        "accept"
    );
}

#[test]
fn hostile_22_keys_on_another_host_need_a_word_of_the_administrator() {
    let mut registry = Registry::new();
    let (issuer, elsewhere) = (IssuerServer::start(), IssuerServer::start());
    let key = Key::p256("a");
    elsewhere.publish(&[(&key, "k-a")]);
    for keys in [
        elsewhere.server().url("/jwks"),
        "https://169.254.169.254/jwks".to_owned(),
        "https://kubernetes.default.svc/jwks".to_owned(),
    ] {
        issuer.discover(&with(issuer.discovery(), json!({"jwks_uri": keys})));
        let told = registry.put("ci", &document(&issuer)).json();
        assert_eq!(told["failing"]["code"], "fetch.keys_elsewhere", "{keys}");
    }
    assert_eq!(elsewhere.server().connections(), 0);
    // Even then what is at the other end must be an address that may be called.
    let internal = with(
        document(&issuer),
        json!({"jwks_hosts": ["169.254.169.254"]}),
    );
    let metadata = json!({"jwks_uri": "https://169.254.169.254/jwks"});
    issuer.discover(&with(issuer.discovery(), metadata));
    let told = registry.put("ci", &internal).json();
    assert_eq!(told["failing"]["code"], "fetch.address_forbidden");
    let keys = json!({"jwks_uri": elsewhere.server().url("/jwks")});
    issuer.discover(&with(issuer.discovery(), keys));
    let allowed = with(document(&issuer), json!({"jwks_hosts": ["localhost"]}));
    assert_eq!(registry.put("ci", &allowed).json()["state"], "ok");
    assert_eq!(
        registry.decide(&token(&registry, &issuer, &key, "k-a")),
        "accept"
    );
    // Once the word is taken back, a token with an unknown key has nobody look there either.
    let told = registry.put("ci", &document(&issuer)).json();
    assert_eq!(told["failing"]["code"], "fetch.keys_elsewhere");
    let (asked, new) = (elsewhere.key_sets_asked(), Key::p256("b"));
    elsewhere.publish(&[(&key, "k-a"), (&new, "k-b")]);
    registry.pass(31);
    let fresh = token(&registry, &issuer, &new, "k-b");
    assert_eq!(registry.decide(&fresh), "undetermined");
    assert_eq!(elsewhere.key_sets_asked(), asked);
}

/// Whoever looks for why a token is not believed learns why the keys are not there.
#[test]
fn a_verdict_says_why_the_keys_of_an_issuer_are_missing() {
    let registry = Registry::new();
    let issuer = IssuerServer::start();
    let key = Key::p256("a");
    issuer.publish(&[(&key, "k-a")]);
    let mut without_ca = document(&issuer);
    without_ca.as_object_mut().unwrap().remove("ca");
    registry.put("ci", &without_ca);
    registry.exchanges_jobs_of("ci");
    let shown = token(&registry, &issuer, &key, "k-a");
    let verdict = registry.verdict("one", &shown);
    assert_eq!(verdict["verdict"], "undetermined", "{verdict}");
    let told = |verdict: &Value| {
        let need = &verdict["needs"][0];
        assert_eq!(need["kind"], "key_set", "{verdict}");
        let sentence = need["sentence"].as_str().unwrap().to_owned();
        assert!(sentence.contains("could not be fetched"), "{sentence}");
        assert!(sentence.contains("(fetch.tls_failed)"), "{sentence}");
    };
    told(&verdict);
    // Who shows the token learns that it is not known; the tenant finds why under the decision.
    let refused = registry.exchange(&shown);
    assert!(!refused.body.contains("tls"), "{}", refused.body);
    let decision = refused.json()["decision"].as_str().unwrap().to_owned();
    let path = format!("/v1/tenants/one/decisions/{decision}");
    let kept = registry.call("GET", &path, None).json();
    told(&kept["verdict"]);
}

#[test]
fn hostile_23_an_issuer_that_cannot_show_who_it_is_is_not_read() {
    let registry = Registry::new();
    let issuer = IssuerServer::start();
    let key = Key::p256("a");
    issuer.publish(&[(&key, "k-a")]);
    let mut without_ca = document(&issuer);
    without_ca.as_object_mut().unwrap().remove("ca");
    let told = registry.put("ci", &without_ca).json();
    assert_eq!(told["failing"]["code"], "fetch.tls_failed");
    for url in [
        issuer.server().url("/jwks").replace("https:", "http:"),
        "file:///etc/passwd".to_owned(),
    ] {
        let answer = registry.put("ci", &with(document(&issuer), json!({"jwks_url": url})));
        assert_eq!(answer.code(), "fetch.url_refused");
    }
    let plain = json!({"issuer": issuer.issuer().replace("https:", "http:")});
    let answer = registry.put("ci", &with(document(&issuer), plain));
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(registry.put("ci", &document(&issuer)).json()["state"], "ok");
}

/// Answers that are no key set to believe, each with why. One brings the key `k-a` again.
fn bad_key_sets(key: &Key) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut private = jwk(&Key::p256("b"), "k-b");
    private["d"] = "AAAA".into();
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k-o"});
    let many: Vec<Value> = (0..101)
        .map(|number| jwk(&Key::p256(&format!("{number}")), &format!("k-{number}")))
        .collect();
    let huge = "A".repeat(300_000);
    let mut modulus = jwk(&Key::rsa(RsaTestKey::A), "k-r");
    modulus["n"] = "AQAB".repeat(16_384).into();
    let page = |body: &str| response(200, &[], body.as_bytes());
    let keys = |keys: &[Value]| page(&jwks(keys).to_string());
    vec![
        (
            "HTML",
            page("<html>Welcome</html>"),
            "fetch.discovery_malformed",
        ),
        ("nothing", page(""), "fetch.discovery_malformed"),
        ("a list", page("[]"), "fetch.discovery_malformed"),
        ("no keys", page("{}"), "input.jwks_malformed"),
        ("an empty set", keys(&[]), "input.jwks_malformed"),
        (
            "an unusable key",
            keys(&[json!({"kty": "AKP", "kid": "x"})]),
            "input.jwks_malformed",
        ),
        ("a huge modulus", keys(&[modulus]), "input.jwks_malformed"),
        (
            "a private key",
            keys(&[jwk(key, "k-a"), private]),
            "input.jwks_private_key",
        ),
        (
            "a shared secret",
            keys(&[jwk(key, "k-a"), secret]),
            "input.jwks_private_key",
        ),
        ("many keys", keys(&many), "input.jwks_malformed"),
        (
            "two of one name",
            keys(&[jwk(key, "k-a"), jwk(&Key::p256("b"), "k-a")]),
            "federation.key_duplicate",
        ),
        (
            "a name twice",
            page("{\"keys\":[],\"keys\":[]}"),
            "fetch.discovery_malformed",
        ),
        ("a bomb", page(&huge), "fetch.too_large"),
        (
            "packed",
            response(200, &[("content-encoding", "gzip")], b"\x1f\x8b"),
            "fetch.encoding_refused",
        ),
        (
            "a loop",
            response(302, &[("location", "/jwks")], b""),
            "fetch.redirect_refused",
        ),
        ("down", response(503, &[], b"{}"), "fetch.status"),
    ]
}

#[test]
fn hostile_24_a_bad_key_set_never_takes_the_place_of_a_good_one() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let good = token(&registry, &issuer, &key, "k-a");
    for (what, answer, code) in bad_key_sets(&key) {
        issuer.page("/jwks", answer);
        let answer = registry.call("POST", "/v1/tenants/one/issuers/ci/refresh", None);
        assert_eq!(answer.code(), code, "{what}");
        assert_eq!(registry.decide(&good), "accept", "{what}");
        assert_eq!(registry.show("ci")["state"], "failing", "{what}");
        registry.pass(1);
    }
    let told = registry.show("ci");
    let alarms = told["events"].as_array().unwrap().iter();
    assert!(
        alarms
            .filter(|event| event["what"] == "private_key_published")
            .count()
            >= 2
    );
    issuer.publish(&[(&key, "k-a")]);
    registry.call("POST", "/v1/tenants/one/issuers/ci/refresh", None);
    assert_eq!(registry.show("ci")["state"], "ok");
}

#[test]
fn hostile_25_an_issuer_in_quarantine_is_believed_by_no_other_way() {
    let registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let good = token(&registry, &issuer, &key, "k-a");
    // The same issuer was trusted by hand, too.
    let anchor = json!({
        "issuer": issuer.issuer(), "jwks": jwks(&[jwk(&key, "k-a")]),
        "rules": [{"name": "jobs", "facts": {"subject": "job-7"}}],
    });
    registry.call("PUT", "/v1/tenants/one/anchors/by-hand", Some(&anchor));
    let reliance = registry
        .call("GET", "/v1/tenants/one/issuers/ci/reliance", None)
        .json();
    let stops = reliance["stops"].as_array().unwrap();
    let names: Vec<&str> = stops
        .iter()
        .map(|one| one["anchor"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["by-hand", "ci"]);
    let cause = json!({"reason": "its signing key may be stolen"});
    registry.call(
        "POST",
        "/v1/tenants/one/issuers/ci/quarantine",
        Some(&cause),
    );
    assert_eq!(registry.decide(&good), "federation.issuer_quarantined");
    assert_eq!(registry.show("ci")["state"], "quarantined");
    registry.tick();
    assert_eq!(registry.decide(&good), "federation.issuer_quarantined");
    registry.release("ci");
    assert_eq!(registry.decide(&good), "accept");
    // Removed, it is believed by hand only, and after that not at all.
    registry.call("DELETE", "/v1/tenants/one/issuers/ci", None);
    assert_eq!(registry.decide(&good), "accept");
    registry.call("DELETE", "/v1/tenants/one/anchors/by-hand", None);
    assert_ne!(registry.decide(&good), "accept");
}

#[test]
fn hostile_26_whoever_takes_the_domain_over_is_not_believed() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let thief = Key::p256("thief");
    registry.pass(601);
    issuer.publish(&[(&thief, "k-t")]);
    registry.tick();
    for (key, kid) in [(&key, "k-a"), (&thief, "k-t")] {
        let token = token(&registry, &issuer, key, kid);
        assert_eq!(
            registry.decide(&token),
            "federation.issuer_quarantined",
            "{kid}"
        );
    }
    let told = registry.show("ci");
    assert_eq!(told["waiting_for_release"], json!(["k-t"]));
    assert!(
        told["quarantined"]["cause"]
            .as_str()
            .unwrap()
            .contains("no key in common")
    );
    // It was the issuer after all: someone says so, and what it published is believed.
    registry.release("ci");
    assert_eq!(
        registry.decide(&token(&registry, &issuer, &thief, "k-t")),
        "accept"
    );
    let old = token(&registry, &issuer, &key, "k-a");
    assert_eq!(registry.decide(&old), "federation.key_removed");
    // The near miss: one key in common is enough.
    let next = Key::p256("next");
    registry.pass(601);
    issuer.publish(&[(&thief, "k-t"), (&next, "k-n")]);
    registry.tick();
    assert_eq!(
        registry.decide(&token(&registry, &issuer, &next, "k-n")),
        "accept"
    );
    // And an issuer that is known to do so is believed if the administrator has said so.
    let mut wanted = document(&issuer);
    wanted["accept_new_keys"] = true.into();
    registry.put("ci", &wanted);
    let last = Key::p256("last");
    registry.pass(601);
    issuer.publish(&[(&last, "k-l")]);
    registry.tick();
    assert_eq!(
        registry.decide(&token(&registry, &issuer, &last, "k-l")),
        "accept"
    );
}

#[test]
fn hostile_27_two_tenants_with_one_issuer_share_nothing() {
    let registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let good = token(&registry, &issuer, &key, "k-a");
    let put = |document: &Value| registry.call("PUT", "/v1/tenants/two/issuers/ci", Some(document));
    let mut broken = document(&issuer);
    let other = avouch_testkit::https::root("Another Root");
    broken["ca"] = avouch_testkit::world::pem("CERTIFICATE", &other.certificate).into();
    assert_eq!(put(&broken).json()["failing"]["code"], "fetch.tls_failed");
    assert_eq!(registry.decide_in("two", &good), "undetermined");
    assert_eq!(registry.decide_in("one", &good), "accept");
    assert_eq!(put(&document(&issuer)).json()["state"], "ok");
    assert_eq!(registry.decide_in("two", &good), "accept");
    let cause = json!({"reason": "only ours"});
    registry.call(
        "POST",
        "/v1/tenants/two/issuers/ci/quarantine",
        Some(&cause),
    );
    assert_eq!(
        registry.decide_in("two", &good),
        "federation.issuer_quarantined"
    );
    assert_eq!(registry.decide_in("one", &good), "accept");
    let shown = registry
        .call("GET", "/v1/tenants/two/issuers/ci", None)
        .json();
    assert_eq!(shown["state"], "quarantined");
    assert_eq!(registry.show("ci")["state"], "ok");
}

#[test]
fn keys_that_grow_too_old_are_believed_no_more_and_survive_a_restart_until_then() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    issuer.page("/jwks", response(503, &[], b""));
    issuer.page(DISCOVERY, response(503, &[], b""));
    registry.pass(601);
    registry.tick();
    registry = registry.restarted();
    assert_eq!(registry.show("ci")["state"], "failing");
    let fresh = token(&registry, &issuer, &key, "k-a");
    let verdict = registry.verdict("one", &fresh);
    assert_eq!(verdict["verdict"], "accept");
    assert_eq!(verdict["revocation"][0]["as_of"], "2027-01-15T08:00:00Z");
    // Ten minutes fresh and a day on trust: the first moment after is too late.
    registry.pass(600 + 86_400 - 601 - 1);
    let token = |registry: &Registry| token(registry, &issuer, &key, "k-a");
    assert_eq!(registry.decide(&token(&registry)), "accept");
    registry.pass(1);
    assert_eq!(registry.decide(&token(&registry)), "federation.keys_stale");
    assert_eq!(registry.show("ci")["state"], "stale");
    // It is back, and whoever asks finds out.
    issuer.discover(&issuer.discovery());
    issuer.publish(&[(&key, "k-a")]);
    registry.pass(700);
    assert_eq!(registry.decide(&token(&registry)), "accept");
}

#[test]
fn a_shared_issuer_is_trusted_only_with_a_pin_or_a_reason_and_an_end() {
    let registry = Registry::new();
    let issuer = IssuerServer::named("https://token.actions.githubusercontent.com");
    let key = Key::rsa(RsaTestKey::A);
    issuer.publish(&[(&key, "k-g")]);
    let at = json!({
        "discovery_url": issuer.server().url(DISCOVERY), "jwks_hosts": ["localhost"],
    });
    let wanted = |more: Value| with(with(document(&issuer), at.clone()), more);
    let answer = registry.put("gh", &wanted(json!({})));
    assert_eq!(answer.code(), "policy.shared_issuer_unpinned");
    assert!(
        answer.body.contains("every repository on github.com"),
        "{}",
        answer.body
    );
    let named = json!([{"name": "deploy", "facts": {"github.repository": "octo-org/octo-repo"}}]);
    let answer = registry.put("gh", &wanted(json!({"rules": named})));
    assert_eq!(answer.code(), "policy.shared_issuer_unpinned");
    let override_ = json!({"reason": "migration", "expires": "2027-01-16T00:00:00Z"});
    let told = registry.put(
        "gh",
        &wanted(json!({"rules": named, "override": override_})),
    );
    let told = told.json();
    assert_eq!(told["state"], "ok", "{told}");
    assert!(told["warnings"].to_string().contains("migration"), "{told}");
    let job = issuer.token(registry.now(), &github()).sign(&key, "k-g");
    assert_eq!(registry.decide(&job), "accept");
    let pinned = json!([{"name": "deploy", "facts": {
        "github.repository_id": "74", "github.environment": "prod"}}]);
    let told = registry.put("gh", &wanted(json!({"rules": pinned}))).json();
    assert_eq!(told["preset"], "github");
    let admits = told["admits"][0].as_str().unwrap();
    assert!(admits.contains("github.repository_id = 74"), "{admits}");
    assert_eq!(registry.decide(&job), "accept");
    for (claim, value) in [
        ("repository_id", json!("75")),
        ("environment", json!("dev")),
        ("aud", json!("https://other.example.com")),
    ] {
        let forge = issuer.token(registry.now(), &github()).claim(claim, value);
        assert_ne!(
            registry.decide(&forge.sign(&key, "k-g")),
            "accept",
            "{claim}"
        );
    }
}

/// A domain pins a customer as long as it is theirs.
#[test]
fn hostile_26_who_trusts_by_a_domain_is_told_that_it_can_pass_to_another() {
    let registry = Registry::new();
    let told = |facts: Value| {
        let google = json!({
            "issuer": "https://accounts.google.com", "jwks": jwks(&[jwk(&Key::p256("g"), "g")]),
            "audiences": [AUDIENCE], "rules": [{"name": "staff", "facts": facts}],
            "owner": "o", "reason": "r",
        });
        let answer = registry.put("google", &google);
        assert!(answer.is_put(), "{}", answer.body);
        answer.json()["warnings"].to_string()
    };
    let by_domain = told(json!({"google.hosted_domain": "example.com"}));
    assert!(
        by_domain.contains("whoever has the domain next"),
        "{by_domain}"
    );
    let one = json!({"google.hosted_domain": "example.com", "subject": "1178"});
    assert_eq!(told(one), "[]");
}

#[test]
fn an_override_ends_by_itself() {
    let mut registry = Registry::new();
    let issuer = IssuerServer::named("https://gitlab.com");
    let key = Key::rsa(RsaTestKey::A);
    issuer.publish(&[(&key, "k-g")]);
    let rules = json!([{"name": "build", "facts": {"gitlab.project_path": "my-group/my-project"}}]);
    let wanted = with(
        document(&issuer),
        json!({
            "discovery_url": issuer.server().url(DISCOVERY), "jwks_hosts": ["localhost"],
            "rules": rules,
            "override": {"reason": "until the id is known", "expires": "2027-01-15T09:00:00Z"},
        }),
    );
    assert_eq!(registry.put("gl", &wanted).json()["state"], "ok");
    let job = |registry: &Registry| issuer.token(registry.now(), &gitlab()).sign(&key, "k-g");
    assert_eq!(registry.decide(&job(&registry)), "accept");
    registry.pass(3_600);
    assert_eq!(registry.decide(&job(&registry)), "policy.anchor_expired");
    assert_eq!(registry.put("gl", &wanted).code(), "issue.object_malformed");
}

#[test]
fn a_name_on_a_server_of_ones_own_is_no_pin_either() {
    let registry = Registry::new();
    let issuer = IssuerServer::start();
    let key = Key::rsa(RsaTestKey::A);
    issuer.publish(&[(&key, "k-g")]);
    let wanted = |facts: Value| {
        with(
            document(&issuer),
            json!({
                "preset": "gitlab", "rules": [{"name": "build", "facts": facts}],
            }),
        )
    };
    let by_name = json!({"gitlab.project_path": "my-group/my-project"});
    assert_eq!(
        registry.put("gl", &wanted(by_name)).code(),
        "issue.trust_mutable"
    );
    let by_id = json!({"gitlab.project_id": "20", "gitlab.project_path": "my-group/my-project"});
    assert_eq!(registry.put("gl", &wanted(by_id)).json()["state"], "ok");
    let job = issuer.token(registry.now(), &gitlab()).sign(&key, "k-g");
    assert_eq!(registry.decide(&job), "accept");
}

#[test]
fn uploaded_keys_need_no_network() {
    let registry = Registry::new();
    let key = Key::p256("offline");
    let wanted = json!({
        "issuer": "https://offline.example.com", "audiences": [AUDIENCE],
        "rules": [{"name": "x", "facts": {"subject": "x"}}],
        "jwks": jwks(&[jwk(&key, "k-o")]), "owner": "the platform team",
    });
    let told = registry.put("offline", &wanted).json();
    assert_eq!(told["state"], "ok", "{told}");
    assert_eq!(told["owner"], "the platform team");
    let claims = json!({
        "iss": "https://offline.example.com", "sub": "x", "aud": AUDIENCE,
        "iat": registry.now(), "exp": registry.now() + 60,
    });
    let token = avouch_testkit::token::TokenForge::saying(claims).sign(&key, "k-o");
    assert_eq!(registry.decide(&token), "accept");
    let next = Key::p256("next");
    let again = with(wanted.clone(), json!({"jwks": jwks(&[jwk(&next, "k-n")])}));
    assert_eq!(registry.put("offline", &again).json()["state"], "ok");
    assert_eq!(registry.decide(&token), "federation.key_removed");
    for (member, value, code) in [
        ("quarantined", json!({}), "issue.body_malformed"),
        ("audience", json!("x"), "issue.body_malformed"),
        ("jwks_url", json!("https://a.test/"), "issue.body_malformed"),
        ("stale_for", json!(9_999_999), "issue.body_malformed"),
        ("tenant", json!("two"), "issue.body_malformed"),
    ] {
        let answer = registry.put("offline", &with(wanted.clone(), json!({member: value})));
        assert_eq!(answer.code(), code, "{member}: {}", answer.body);
        assert!(
            answer.body.contains("The issuer that was sent"),
            "{}",
            answer.body
        );
    }
    let same = registry.put("other-name", &wanted);
    assert_eq!(same.code(), "issue.conflict");
}
