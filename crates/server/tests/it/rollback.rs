//! Older key sets, as a cache on the way serves them once more: what was removed stays removed, what newer
//! keys have signed holds, and in the end the issuer is believed about itself.

use avouch_testkit::https::response;
use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use serde_json::{Value, json};

use crate::exchange::{OURSELVES, exchange_form, token as given};
use crate::registry::{AUDIENCE, Registry, token, trusted};

/// An issuer that has gone from the keys a and b to b and c.
struct Rotated {
    registry: Registry,
    issuer: IssuerServer,
    keys: [Key; 3],
}

impl Rotated {
    fn new() -> Self {
        let registry = Registry::new();
        let (issuer, first) = trusted(&registry);
        let mut rotated = Self {
            registry,
            issuer,
            keys: [first, Key::p256("b"), Key::p256("c")],
        };
        rotated.serves("ab");
        rotated.serves("bc");
        assert_eq!(rotated.said("abc"), ["removed", "accept", "accept"]);
        rotated
    }

    fn key(&self, letter: char) -> (&Key, String) {
        let place = usize::try_from(u32::from(letter) - u32::from('a')).unwrap();
        (&self.keys[place], format!("k-{letter}"))
    }

    fn set(&self, letters: &str) -> Value {
        let keys: Vec<Value> = letters
            .chars()
            .map(|letter| {
                let (key, kid) = self.key(letter);
                jwk(key, &kid)
            })
            .collect();
        jwks(&keys)
    }

    /// Has these keys served, and looks when they are due.
    fn serves(&mut self, letters: &str) {
        self.issuer.publish_set(&self.set(letters));
        self.registry.pass(601);
        self.registry.tick();
    }

    fn serves_with(&mut self, letters: &str, fields: &[(&str, &str)]) {
        let set = self.set(letters).to_string();
        self.issuer
            .page("/jwks", response(200, fields, set.as_bytes()));
        self.registry.pass(3_601);
        self.registry.tick();
    }

    fn minutes(&mut self, count: usize) {
        for _ in 0..count {
            self.registry.pass(61);
            self.registry.tick();
        }
    }

    /// What becomes of tokens of these keys.
    fn said(&self, letters: &str) -> Vec<String> {
        let said = letters.chars().map(|letter| {
            let (key, kid) = self.key(letter);
            let token = token(&self.registry, &self.issuer, key, &kid);
            let said = self.registry.decide(&token);
            said.replace("federation.key_", "")
        });
        said.collect()
    }

    fn state(&self) -> String {
        self.registry.show("ci")["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn has_event(&self, what: &str) -> bool {
        let told = self.registry.show("ci");
        let events = told["events"].as_array().unwrap();
        events.iter().any(|event| event["what"] == what)
    }

    fn exchange(&self, token: &str) -> crate::http::Answer {
        self.registry.exchange_form(&exchange_form(token, &[]))
    }
}

#[test]
fn an_older_key_set_that_is_served_once_brings_nothing_back_and_ends_nothing() {
    let mut rotated = Rotated::new();
    rotated.registry.exchanges_jobs_of("ci");
    let bearer = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    for (name, from, audience) in [
        (
            "job",
            json!({"anchor": "ci", "facts": {"subject": "job-7"}}),
            OURSELVES,
        ),
        (
            "last",
            json!({"trust_domain": "one.test", "facts": {"spiffe.path": "/job/7"}}),
            "https://cloud.test",
        ),
    ] {
        let mut rule = json!({
            "from": from, "bearer": bearer, "owner": "o", "reason": "r",
            "gives": {"spiffe_id": format!("spiffe://one.test/{name}/7"), "audiences": [audience],
                "lifetime": 3600, "outlives": true},
        });
        if name == "job" {
            rule["subject_audiences"] = json!([AUDIENCE]);
        }
        let path = format!("/v1/tenants/one/rules/{name}");
        let put = rotated.registry.call("PUT", &path, Some(&rule));
        assert_eq!(put.status, 200, "{}", put.body);
    }
    let (newest, kid) = rotated.key('c');
    let shown = token(&rotated.registry, &rotated.issuer, newest, &kid);
    let first = given(&rotated.exchange(&shown));
    rotated.serves("ab");
    assert_eq!(rotated.said("abc"), ["removed", "accept", "accept"]);
    assert_eq!(rotated.state(), "rolled_back");
    let held = rotated.registry.show("ci")["rollback"].clone();
    assert_eq!(held["lacks"], json!(["k-c"]), "{held}");
    assert_eq!(held["returns"], json!(["k-a"]), "{held}");
    // What descends from the newest key is exchanged on.
    let second = rotated.exchange(&first);
    assert_eq!(second.status, 200, "{}", second.body);
    rotated.issuer.publish_set(&rotated.set("bc"));
    rotated.minutes(1);
    assert_eq!(rotated.state(), "ok");
    assert_eq!(rotated.said("abc"), ["removed", "accept", "accept"]);
    assert!(rotated.has_event("rollback") && rotated.has_event("rollback_over"));
    assert!(!rotated.has_event("key_returned"));
    // A removal without any return is one, too.
    rotated.serves("b");
    rotated.serves("bc");
    rotated.minutes(6);
    rotated.serves("b");
    assert_eq!(rotated.state(), "rolled_back");
    assert_eq!(rotated.said("bc"), ["accept", "accept"]);
}

#[test]
fn an_older_key_set_is_taken_when_nothing_newer_is_served_for_five_minutes_or_someone_says_so() {
    let mut rotated = Rotated::new();
    rotated.serves("ab");
    rotated.minutes(4);
    assert_eq!(rotated.said("abc"), ["removed", "accept", "accept"]);
    rotated.minutes(1);
    assert_eq!(rotated.said("abc"), ["accept", "accept", "removed"]);
    assert_eq!(rotated.state(), "ok");
    assert!(rotated.has_event("rollback_taken") && rotated.has_event("key_returned"));
    let mut rotated = Rotated::new();
    rotated.serves("ab");
    assert_eq!(rotated.state(), "rolled_back");
    assert_eq!(rotated.registry.release("ci").json()["state"], "ok");
    assert_eq!(rotated.said("abc"), ["accept", "accept", "removed"]);
}

#[test]
fn a_set_of_two_rotations_ago_is_no_takeover_unless_it_stays() {
    let mut rotated = Rotated::new();
    rotated.serves("c");
    rotated.serves("ab");
    assert_eq!(rotated.state(), "rolled_back");
    assert_eq!(rotated.said("abc"), ["removed", "removed", "accept"]);
    rotated.issuer.publish_set(&rotated.set("c"));
    rotated.minutes(1);
    assert_eq!(rotated.state(), "ok");
    rotated.serves("ab");
    rotated.minutes(5);
    assert_eq!(rotated.state(), "quarantined");
}

#[test]
fn a_set_says_itself_how_old_it_is() {
    let noon = ("last-modified", "Fri, 15 Jan 2027 12:00:00 GMT");
    let morning = ("last-modified", "Fri, 15 Jan 2027 08:00:00 GMT");
    let evening = ("last-modified", "Fri, 15 Jan 2027 18:00:00 GMT");
    // Keys that nobody has seen before are none of an answer of the morning.
    let mut rotated = Rotated::new();
    rotated.keys[0] = Key::p256("never seen");
    rotated.serves_with("bc", &[noon]);
    let set = jwks(&[
        jwk(&rotated.keys[0], "k-never"),
        jwk(&rotated.keys[1], "k-b"),
    ])
    .to_string();
    let serve = |rotated: &mut Rotated, fields: &[(&str, &str)]| {
        rotated
            .issuer
            .page("/jwks", response(200, fields, set.as_bytes()));
        rotated.registry.pass(3_601);
        rotated.registry.tick();
    };
    let never = |rotated: &Rotated| {
        let shown = token(
            &rotated.registry,
            &rotated.issuer,
            &rotated.keys[0],
            "k-never",
        );
        rotated.registry.decide(&shown)
    };
    serve(&mut rotated, &[morning]);
    assert_eq!(rotated.state(), "rolled_back");
    assert_eq!(never(&rotated), "federation.key_unknown");
    // Nor of one that caches have kept since before the last.
    rotated.serves_with("bc", &[noon]);
    serve(&mut rotated, &[("age", "4000")]);
    assert_eq!(rotated.state(), "rolled_back");
    // The near misses: it is newer.
    rotated.serves_with("bc", &[noon]);
    serve(&mut rotated, &[("age", "3000"), evening]);
    assert_eq!(rotated.state(), "ok");
    assert_eq!(never(&rotated), "accept");
    // What says that it is newer takes away at once, though it is as before, and brings nothing back.
    let mut rotated = Rotated::new();
    rotated.serves_with("b", &[morning]);
    rotated.serves_with("bc", &[noon]);
    rotated.minutes(6);
    assert_eq!(rotated.said("bc"), ["accept", "accept"]);
    rotated.serves_with("b", &[evening]);
    assert_eq!(rotated.said("bc"), ["accept", "removed"]);
    rotated.serves_with("bc", &[("last-modified", "Fri, 15 Jan 2027 20:00:00 GMT")]);
    assert_eq!(rotated.said("bc"), ["accept", "removed"]);
}
