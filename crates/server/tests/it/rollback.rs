//! Older key sets, as a cache on the way serves them once more: what was removed stays removed, what newer
//! keys have signed holds, and in the end the issuer is believed about itself.

use avouch_testkit::https::response;
use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use serde_json::{Value, json};

use crate::exchange::{OURSELVES, exchange_form, token as given};
use crate::registry::{AUDIENCE, Registry, document, token, trusted, with};

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

    /// What is said of the key of a letter where it is in doubt, with a token that it signed.
    fn doubt_of(&self, letter: char) -> Option<String> {
        let (key, kid) = self.key(letter);
        let token = token(&self.registry, &self.issuer, key, &kid);
        let verdict = self.registry.verdict("one", &token);
        let mut checks = verdict["checks"].as_array().unwrap().iter();
        let doubt = checks.find(|check| check.to_string().contains("in doubt"))?;
        let text = doubt["compared"]
            .as_str()
            .expect("a check says what it compared");
        Some(text.to_owned())
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
        assert!(put.is_put(), "{}", put.body);
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
    let keys = rotated.registry.show("ci")["keys"].clone();
    let mut keys = keys.as_array().unwrap().iter();
    let missed = keys.find(|key| key["kid"] == "k-c").unwrap();
    assert!(missed["missed_since"].is_string(), "{missed}");
    // Who is believed by it is told so, and by it alone.
    let said = rotated.doubt_of('c').expect("the newest key is in doubt");
    let since = missed["missed_since"].as_str().unwrap();
    assert!(
        said.starts_with("k-c is in doubt: ") && said.contains(since),
        "{said}"
    );
    assert_eq!(rotated.doubt_of('b'), None);
    // What descends from the newest key is exchanged on.
    let second = rotated.exchange(&first);
    assert_eq!(second.status, 200, "{}", second.body);
    rotated.issuer.publish_set(&rotated.set("bc"));
    rotated.minutes(1);
    assert_eq!(rotated.state(), "ok");
    assert_eq!(rotated.said("abc"), ["removed", "accept", "accept"]);
    // It was missed once, which is not over with the next set that has it.
    assert!(rotated.doubt_of('c').is_some());
    rotated.minutes(6);
    assert_eq!(rotated.doubt_of('c'), None);
    assert!(rotated.has_event("rollback") && rotated.has_event("rollback_over"));
    assert!(!rotated.has_event("key_returned"));
}

#[test]
fn a_set_that_only_lacks_a_key_is_a_revocation_at_once_also_where_it_stood_like_that_before() {
    let mut rotated = Rotated::new();
    rotated.serves("b");
    rotated.serves("bc");
    rotated.minutes(6);
    assert_eq!(rotated.said("bc"), ["accept", "accept"]);
    rotated.serves("b");
    assert_eq!(rotated.state(), "ok");
    assert_eq!(rotated.said("bc"), ["accept", "removed"]);
    // Whatever a stale cache serves then.
    for _ in 0..10 {
        rotated.serves("bc");
        rotated.serves("b");
        assert_eq!(rotated.said("bc"), ["accept", "removed"]);
    }
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
    // Nobody remembers that it was served once.
    rotated.registry.pass(7_201);
    rotated.registry.tick();
    rotated.serves("ab");
    rotated.minutes(4);
    assert_eq!(rotated.state(), "rolled_back");
    rotated.minutes(1);
    assert_eq!(rotated.state(), "quarantined");
}

#[test]
fn a_set_says_itself_how_old_it_is() {
    let noon = ("last-modified", "Thu, 14 Jan 2027 12:00:00 GMT");
    let morning = ("last-modified", "Thu, 14 Jan 2027 08:00:00 GMT");
    let evening = ("last-modified", "Thu, 14 Jan 2027 18:00:00 GMT");
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
    rotated.serves_with("bc", &[("last-modified", "Thu, 14 Jan 2027 20:00:00 GMT")]);
    assert_eq!(rotated.said("bc"), ["accept", "removed"]);
}

/// One edge of many is stale, or somebody else's.
#[test]
fn a_withdrawn_key_ends_in_five_minutes_whatever_is_served_in_between_and_does_not_come_back() {
    let mut rotated = Rotated::new();
    let in_turn = |rotated: &mut Rotated, times: usize| {
        for letters in ["ab", "bc"].into_iter().cycle().take(times) {
            rotated.issuer.publish_set(&rotated.set(letters));
            rotated.minutes(1);
        }
    };
    rotated.registry.pass(601);
    in_turn(&mut rotated, 4);
    assert_eq!(rotated.said("abc"), ["removed", "accept", "accept"]);
    in_turn(&mut rotated, 3);
    assert_eq!(rotated.said("abc"), ["removed", "accept", "removed"]);
    for _ in 0..10 {
        rotated.serves("bc");
        rotated.serves("ab");
        assert_eq!(rotated.said("abc"), ["removed", "accept", "removed"]);
    }
    // Nor does an hour in which the withdrawn key alone is served make the withdrawal wait anew.
    let mut rotated = Rotated::new();
    rotated.serves("ab");
    rotated.serves("bc");
    rotated.registry.pass(3_000);
    rotated.registry.tick();
    assert_eq!(rotated.said("bc"), ["accept", "accept"]);
    rotated.serves("ab");
    assert_eq!(rotated.said("abc"), ["removed", "accept", "removed"]);
}

#[test]
fn a_set_that_was_changed_in_the_future_makes_no_other_older() {
    let mut rotated = Rotated::new();
    let later = ("last-modified", "Fri, 31 Dec 2027 12:00:00 GMT");
    rotated.serves_with("bc", &[later]);
    rotated.serves_with("b", &[("last-modified", "Thu, 14 Jan 2027 12:00:00 GMT")]);
    assert_eq!(rotated.state(), "ok");
    assert_eq!(rotated.said("bc"), ["accept", "removed"]);
}

#[test]
fn what_a_newer_set_lacks_ends_at_once_and_what_it_brings_back_waits() {
    let mut rotated = Rotated::new();
    rotated.serves_with("bc", &[("last-modified", "Thu, 14 Jan 2027 08:00:00 GMT")]);
    rotated.serves_with("ab", &[("last-modified", "Thu, 14 Jan 2027 12:00:00 GMT")]);
    assert_eq!(rotated.said("abc"), ["removed", "accept", "removed"]);
    assert_eq!(rotated.state(), "rolled_back");
    rotated.minutes(5);
    assert_eq!(rotated.said("abc"), ["accept", "accept", "removed"]);
    // Another key beside it does not hurry a removed one back.
    let mut rotated = Rotated::new();
    let mut set = rotated.set("ab");
    let more = jwk(&Key::p256("junk"), "k-junk");
    set["keys"].as_array_mut().unwrap().push(more);
    rotated.issuer.publish_set(&set);
    rotated.registry.pass(601);
    rotated.registry.tick();
    assert_eq!(rotated.said("abc"), ["removed", "accept", "removed"]);
    rotated.minutes(5);
    assert_eq!(rotated.said("abc"), ["accept", "accept", "removed"]);
}

#[test]
fn a_while_in_which_nothing_could_be_fetched_brings_no_key_back() {
    let mut rotated = Rotated::new();
    rotated.serves("ab");
    let page = response(500, &[], b"");
    rotated.issuer.page("/jwks", page);
    rotated.minutes(1);
    assert_eq!(rotated.state(), "failing");
    rotated.issuer.publish_set(&rotated.set("ab"));
    rotated.registry.pass(700);
    rotated.registry.tick();
    // What is missed ends all the same.
    assert_eq!(rotated.said("abc"), ["removed", "accept", "removed"]);
    assert_eq!(rotated.state(), "rolled_back");
    rotated.minutes(1);
    assert_eq!(rotated.said("abc"), ["accept", "accept", "removed"]);
}

#[test]
fn a_key_stays_in_doubt_while_nobody_can_ask() {
    for is_served_between in [false, true] {
        let mut rotated = Rotated::new();
        rotated.serves("ab");
        if is_served_between {
            rotated.issuer.publish_set(&rotated.set("bc"));
            rotated.minutes(1);
        }
        assert!(rotated.doubt_of('c').is_some());
        rotated.issuer.page("/jwks", response(500, &[], b""));
        rotated.registry.pass(9_000);
        rotated.registry.tick();
        assert_eq!(rotated.said("abc"), ["removed", "accept", "accept"]);
        let said = rotated.doubt_of('c').expect("nobody could ask");
        assert!(said.contains("nobody could ask since"), "{said}");
        assert_eq!(rotated.doubt_of('b'), None);
        // Its absence counts from when it was missed first, though that is hours ago.
        rotated.issuer.publish_set(&rotated.set("ab"));
        rotated.registry.pass(700);
        rotated.registry.tick();
        assert_eq!(rotated.said("bc"), ["accept", "removed"]);
    }
    // The near miss: it is there when it can be asked again.
    let mut rotated = Rotated::new();
    rotated.serves("ab");
    rotated.issuer.page("/jwks", response(500, &[], b""));
    rotated.registry.pass(9_000);
    rotated.registry.tick();
    rotated.issuer.publish_set(&rotated.set("bc"));
    rotated.registry.pass(700);
    rotated.registry.tick();
    assert_eq!(rotated.doubt_of('c'), None);
    assert_eq!(rotated.said("abc"), ["removed", "accept", "accept"]);
}

#[test]
fn an_issuer_with_an_older_set_is_asked_each_minute_and_no_more_and_shown_as_that() {
    let mut rotated = Rotated::new();
    rotated.issuer.page("/jwks", response(500, &[], b""));
    rotated.registry.pass(601);
    rotated.registry.tick();
    assert_eq!(rotated.state(), "failing");
    rotated.issuer.publish_set(&rotated.set("ab"));
    rotated.registry.pass(61);
    rotated.registry.tick();
    assert_eq!(rotated.state(), "rolled_back");
    let before = rotated.issuer.server().received().len();
    for _ in 0..30 {
        rotated.registry.pass(1);
        rotated.registry.tick();
    }
    assert_eq!(rotated.issuer.server().received().len(), before);
    rotated.minutes(1);
    let after = rotated.issuer.server().received().len();
    assert!((1..=2).contains(&(after - before)), "{before} {after}");
}

#[test]
fn each_key_that_a_rollback_would_change_is_alarmed_and_the_same_once_an_hour() {
    let mut rotated = Rotated::new();
    let alarms = |rotated: &Rotated| {
        let told = rotated.registry.show("ci");
        let events = told["events"].as_array().unwrap().iter();
        events.filter(|event| event["what"] == "rollback").count()
    };
    rotated.serves("ab");
    rotated.minutes(1);
    assert_eq!(alarms(&rotated), 1);
    rotated.issuer.publish_set(&rotated.set("a"));
    rotated.minutes(1);
    assert_eq!(alarms(&rotated), 2);
}

#[test]
fn what_was_served_at_another_address_makes_nothing_wait_less() {
    let mut rotated = Rotated::new();
    rotated.serves("ab");
    let keys = rotated.issuer.server().url("/keys");
    let set = rotated.set("abc").to_string();
    rotated
        .issuer
        .page("/keys", response(200, &[], set.as_bytes()));
    rotated.minutes(4);
    let document = with(document(&rotated.issuer), json!({ "jwks_url": keys }));
    let put = rotated.registry.put("ci", &document);
    assert!(put.is_put(), "{}", put.body);
    rotated.minutes(3);
    assert_eq!(rotated.said("abc"), ["removed", "accept", "accept"]);
    rotated.minutes(3);
    assert_eq!(rotated.said("abc"), ["accept", "accept", "accept"]);
}
