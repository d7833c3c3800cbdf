//! Webhooks of an API, as whoever receives them has them checked.

use avouch_testkit::token::hmac;
use serde_json::{Value, json};

use super::{BILLING, Scene};
use crate::http::{Answer, request};
use crate::secured::HOST;
use crate::tls::Caller;

const SECRET: &str = "whsec_test_of_payments";
const EVENT: &str = r#"{"id": "evt_1", "type": "charge.succeeded"}"#;

impl Scene {
    fn with_webhook(scheme: &str) -> Self {
        let scene = Self::new();
        let mut document = scene.document.clone();
        document["webhook"] = json!({"scheme": scheme, "ids": [BILLING]});
        document["webhook_secrets"] = json!([SECRET]);
        let put = scene.put(&document);
        assert!(put.is_put(), "{}", put.body);
        assert!(!put.body.contains(SECRET), "{}", put.body);
        scene
    }

    fn received(&self, id: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let caller = Caller::believing(&crate::tls::root("Web")).showing(self.world.svid(id));
        let path = "/t/one/webhooks/payments";
        caller.send(
            self.address,
            HOST,
            &request("POST", path, headers, Some(body)),
        )
    }

    fn now(&self) -> i64 {
        self.world.plane.now().unix()
    }
}

fn hex(secret: &str, message: &str) -> String {
    let tag = hmac(secret.as_bytes(), message.as_bytes());
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_stripe(secret: &str, made: i64, body: &str) -> String {
    format!("t={made},v1={}", hex(secret, &format!("{made}.{body}")))
}

#[test]
fn a_webhook_is_one_once_and_for_whom_it_is_meant() {
    let scene = Scene::with_webhook("stripe");
    let made = scene.now();
    let signature = of_stripe(SECRET, made, EVENT);
    let ask = |id: &str, signature: &str, body: &str| {
        let answer = scene.received(id, &[("stripe-signature", signature)], body);
        assert!(!answer.body.contains(SECRET), "{}", answer.body);
        answer
    };
    let refused = |id: &str, signature: &str, body: &str| {
        let answer = ask(id, signature, body);
        (answer.status, answer.code())
    };
    // Whoever it is not for does not use it up, nor does one that is signed otherwise.
    let of_web = refused("spiffe://one.test/web", &signature, EVENT);
    assert_eq!(of_web, (403, "issue.webhook_not_permitted".to_owned()));
    let of_two = refused("spiffe://two.test/billing", &signature, EVENT);
    assert_eq!(of_two, (404, "issue.object_unknown".to_owned()));
    let changed = refused(BILLING, &signature, &EVENT.replace("evt_1", "evt_2"));
    assert_eq!(changed, (400, "issue.webhook_signature".to_owned()));
    let forged = refused(BILLING, &of_stripe("whsec_of_another", made, EVENT), EVENT);
    assert_eq!(forged, (400, "issue.webhook_signature".to_owned()));
    let old = refused(BILLING, &of_stripe(SECRET, made - 400, EVENT), EVENT);
    assert_eq!(old, (400, "issue.webhook_stale".to_owned()));
    let nothing = scene.received(BILLING, &[], EVENT);
    assert_eq!(
        (nothing.status, nothing.code().as_str()),
        (400, "issue.webhook_malformed")
    );
    let first = ask(BILLING, &signature, EVENT);
    assert_eq!(first.status, 200, "{}", first.body);
    let told = avouch_core::time::Time::from_unix(made).to_string();
    assert_eq!(first.json(), json!({"egress": "payments", "made": told}));
    let again = refused(BILLING, &signature, EVENT);
    assert_eq!(again, (400, "issue.token_used".to_owned()));
    // Sent again by the API it is signed anew.
    let retried = of_stripe(SECRET, made - 1, EVENT);
    assert_eq!(ask(BILLING, &retried, EVENT).status, 200);
    // A token alone could be anyone's.
    let token = scene.world.token(BILLING);
    let path = "/t/one/webhooks/payments";
    assert_eq!(
        scene.world.call(&token, "POST", path, Some(EVENT)).code(),
        "issue.egress_bearer"
    );
    assert_eq!(scene.api.received().len(), 0);
}

#[test]
fn a_secret_is_replaced_with_both_known_and_stays_where_nobody_gives_one() {
    let scene = Scene::with_webhook("github");
    let ask = |secret: &str, body: &str| {
        let signature = format!("sha256={}", hex(secret, body));
        scene
            .received(BILLING, &[("x-hub-signature-256", &signature)], body)
            .status
    };
    assert_eq!(ask(SECRET, "one"), 200);
    assert_eq!(ask(SECRET, "one"), 400);
    let next = "whsec_test_that_comes_next";
    let put = |webhook: Option<Value>, secrets: Option<Value>| {
        let mut document = scene.document.clone();
        let members = document.as_object_mut().unwrap();
        members.remove("key");
        members.extend(webhook.map(|webhook| ("webhook".to_owned(), webhook)));
        members.extend(secrets.map(|secrets| ("webhook_secrets".to_owned(), secrets)));
        scene.put(&document)
    };
    let webhook = || Some(json!({"scheme": "github", "ids": [BILLING]}));
    assert!(put(webhook(), Some(json!([SECRET, next]))).is_put());
    assert_eq!((ask(SECRET, "two"), ask(next, "three")), (200, 200));
    // They stay when rules change and when keys of the API are replaced.
    assert!(put(webhook(), None).is_put());
    let rotate = json!({"key": super::SECOND});
    assert_eq!(
        scene.manage("POST", "/payments/rotate", &rotate).status,
        200
    );
    assert_eq!(
        scene.manage("POST", "/payments/promote", &json!({})).status,
        200
    );
    let shown = scene.manage("GET", "/payments", &Value::Null);
    assert_eq!(shown.json()["webhook_secrets"].as_array().unwrap().len(), 2);
    assert!(!shown.body.contains("whsec_"), "{}", shown.body);
    assert_eq!((ask(SECRET, "four"), ask(next, "five")), (200, 200));
    assert!(put(webhook(), Some(json!([next]))).is_put());
    assert_eq!((ask(SECRET, "six"), ask(next, "seven")), (400, 200));
    for (webhook, secrets) in [
        (webhook(), Some(json!([]))),
        (webhook(), Some(json!(["short"]))),
        (webhook(), Some(json!([next, next, next, next]))),
        (webhook(), Some(json!([7]))),
        (None, Some(json!([next]))),
        (Some(json!({"scheme": "md5", "ids": [BILLING]})), None),
        (Some(json!({"scheme": "github", "ids": []})), None),
        (
            Some(json!({"scheme": "github", "ids": [BILLING], "tolerance": 0})),
            None,
        ),
        (
            Some(json!({"scheme": "github", "ids": [BILLING], "tolerance": 3601})),
            None,
        ),
    ] {
        let told = format!("{webhook:?} {secrets:?}");
        assert_eq!(put(webhook, secrets).status, 400, "{told}");
    }
    // Where none are checked, nothing is kept of their secrets.
    assert!(put(None, None).is_put());
    assert_eq!(ask(next, "eight"), 404);
    assert_eq!(put(webhook(), None).status, 400);
}
