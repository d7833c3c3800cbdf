//! Streams that are set up at a transmitter and asked for their events: against a simulator of one.

use avouch_server::Settings;
use avouch_server::fetch::Permitted;
use avouch_testkit::token::{jwk, jwks};
use avouch_testkit::transmitter::TransmitterServer;
use serde_json::{Value, json};

use super::{REVOKED, SSF};
use crate::world::World;

struct Polled {
    world: World,
    transmitter: TransmitterServer,
    operator: String,
}

impl Polled {
    fn new() -> Self {
        let settings = Settings {
            fetch: Permitted::read(["127.0.0.0/8"]).unwrap(),
            ..Settings::default()
        };
        let world = World::with(settings);
        Self {
            operator: world.operator(),
            world,
            transmitter: TransmitterServer::start(),
        }
    }

    fn put(&self, delivery: &str, more: &Value) {
        let mut document = json!({
            "issuer": self.transmitter.issuer(), "audience": "here", "delivery": delivery,
            "jwks": jwks(&[jwk(self.transmitter.key(), "k1")]), "ca": self.transmitter.ca(),
        });
        for (name, value) in more.as_object().unwrap() {
            document[name] = value.clone();
        }
        let path = "/v1/tenants/one/signals/idp";
        let put = self.world.send(&self.operator, "PUT", path, &document);
        assert!(put.is_put(), "{}", put.body);
    }

    fn shown(&self) -> Value {
        let path = "/v1/tenants/one/signals/idp";
        self.world.call(&self.operator, "GET", path, None).json()
    }

    /// Does what the server does in time until something is so.
    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let runtime = self.world.runtime();
        for _ in 0..400 {
            if is_so() {
                return;
            }
            let _entered = runtime.enter();
            self.world.plane.tend_signals();
            avouch_testkit::https::pause(std::time::Duration::from_millis(50));
        }
        panic!("{what} never came: {}", self.shown());
    }

    fn event(&self, id: &str, subject: &str) -> String {
        let now = self.world.plane.now().unix();
        let subject = json!({"format": "opaque", "id": subject});
        let event = self.transmitter.event(id, "here", now, &subject, REVOKED);
        event.sign(self.transmitter.key(), "k1")
    }
}

#[test]
fn events_are_asked_for_taken_and_acknowledged_and_those_that_are_refused_are_told() {
    let polled = Polled::new();
    polled.transmitter.offer("e1", &polled.event("e1", "anna"));
    let forged = polled.event("e2", "bert").replace('.', "x");
    polled.transmitter.offer("e2", &forged);
    polled.put("poll", &json!({}));
    polled.until("an acknowledgement", || {
        polled.transmitter.acknowledged().contains(&"e1".to_owned())
    });
    polled.until("a refusal", || {
        polled.transmitter.refused().contains_key("e2")
    });
    assert_eq!(polled.transmitter.refused()["e2"]["err"], "invalid_request");
    assert!(!polled.transmitter.acknowledged().contains(&"e2".to_owned()));
    let ended = polled
        .world
        .call(&polled.operator, "GET", "/v1/tenants/one/ended", None)
        .json();
    assert_eq!(ended["ended"][0]["name"], "anna", "{ended}");
    assert_eq!(ended["ended"].as_array().unwrap().len(), 1);
    let stream = &polled.transmitter.streams()[0];
    assert_eq!(stream["delivery"]["method"], "urn:ietf:rfc:8936");
    assert!(
        stream["events_requested"]
            .as_array()
            .unwrap()
            .contains(&json!(REVOKED))
    );
    // As whom it is called: the server of the tenant, by a token for this transmitter alone.
    let credential = polled.transmitter.credentials()[0].clone();
    let claims = crate::exchange::claims(credential.strip_prefix("Bearer ").unwrap());
    assert_eq!(claims["sub"], "spiffe://one.test/avouch/server");
    assert_eq!(claims["aud"], json!(polled.transmitter.issuer()));
}

#[test]
fn hostile_59_a_transmitter_that_is_asked_answers_what_it_was_asked() {
    let polled = Polled::new();
    polled.put("poll", &json!({}));
    polled.until("a question", || !polled.transmitter.questions().is_empty());
    let answer = |id: &str, state: &str| {
        let name = format!("{SSF}/verification");
        let now = polled.world.plane.now().unix();
        let stream = json!({"format": "opaque", "id": avouch_testkit::transmitter::STREAM});
        let event = polled.transmitter.event(id, "here", now, &stream, &name);
        let event = event.claim("events", json!({ name: {"state": state} }));
        polled
            .transmitter
            .offer(id, &event.sign(polled.transmitter.key(), "k1"));
    };
    answer("v1", "something else");
    polled.until("a refusal", || {
        polled.transmitter.refused().contains_key("v1")
    });
    assert_eq!(polled.transmitter.refused()["v1"]["err"], "invalid_state");
    // Near miss: what it was asked with.
    let asked = polled.transmitter.questions().last().unwrap().clone();
    answer("v2", &asked);
    polled.until("an answer", || {
        polled.transmitter.acknowledged().contains(&"v2".to_owned())
    });
    assert_eq!(polled.shown()["state"], "ok");
}

#[test]
fn a_stream_is_changed_when_what_is_wanted_changes_and_a_credential_is_shown_to_nobody_else() {
    let polled = Polled::new();
    polled.put("push", &json!({"token": "secret-of-idp"}));
    polled.until("a stream", || !polled.transmitter.streams().is_empty());
    let stream = &polled.transmitter.streams()[0];
    assert_eq!(
        stream["delivery"]["endpoint_url"],
        "http://127.0.0.1:8080/t/one/events"
    );
    assert!(
        polled
            .transmitter
            .credentials()
            .contains(&"Bearer secret-of-idp".to_owned())
    );
    assert!(!polled.shown().to_string().contains("secret-of-idp"));
    polled.put("poll", &json!({"events": [REVOKED]}));
    polled.until("a change", || polled.transmitter.streams().len() > 1);
    let changed = &polled.transmitter.streams()[1];
    assert_eq!(changed["stream_id"], avouch_testkit::transmitter::STREAM);
    assert_eq!(changed["events_requested"], json!([REVOKED]));
}

#[test]
fn a_transmitter_that_says_that_it_is_someone_else_is_asked_for_nothing() {
    let polled = Polled::new();
    polled.transmitter.pretend("https://other.test");
    polled.put("poll", &json!({}));
    polled.until("a failure", || polled.shown()["state"] == "failing");
    let failing = polled.shown()["failing"]["code"].clone();
    assert_eq!(failing, "fetch.discovery_issuer_mismatch");
    assert!(polled.transmitter.streams().is_empty());
}

#[test]
fn what_can_be_taken_only_later_is_neither_acknowledged_nor_refused() {
    let polled = Polled::new();
    polled.transmitter.offer("e1", &polled.event("e1", "anna"));
    polled.put("poll", &json!({"most_ended": 1}));
    polled.until("an acknowledgement", || {
        polled.transmitter.acknowledged().contains(&"e1".to_owned())
    });
    polled.transmitter.offer("e2", &polled.event("e2", "bert"));
    polled.transmitter.offer("e3", &polled.event("e3", "anna"));
    polled.until("what comes after it", || {
        polled.transmitter.acknowledged().contains(&"e3".to_owned())
    });
    assert!(!polled.transmitter.acknowledged().contains(&"e2".to_owned()));
    assert!(!polled.transmitter.refused().contains_key("e2"));
    polled.put("poll", &json!({"most_ended": 2}));
    polled.until("the rest", || {
        polled.transmitter.acknowledged().contains(&"e2".to_owned())
    });
}
