//! Events that a program of other people has signed: `joserfc` of Python.

use std::path::Path;
use std::process::Command;

use avouch_testkit::outside::{python, succeed};
use serde_json::{Value, json};

use super::{REVOKED, shown};
use crate::exchange::Cloud;

#[test]
fn events_that_joserfc_has_signed_are_taken_and_changed_ones_are_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/signals");
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages-joserfc");
    let python = match python(&environment, "joserfc", &folder.join("joserfc.txt")) {
        Ok(python) => python,
        Err(why) => return println!("skipped: events signed by joserfc: {why}"),
    };
    let cloud = Cloud::new();
    let event = |number: u32, subject: Value| {
        json!({
            "iss": "https://idp.test", "aud": "here", "iat": cloud.now(),
            "jti": format!("e{number}"), "sub_id": subject, "events": { REVOKED: {} },
        })
    };
    let events = json!([
        event(1, json!({"format": "opaque", "id": "anna"})),
        event(2, json!({"format": "email", "email": "bert@idp.test"})),
        event(
            3,
            json!({"format": "iss_sub", "iss": "https://other.test", "sub": "x"})
        ),
    ]);
    let mut signing = Command::new(python);
    signing
        .arg(folder.join("joserfc_events.py"))
        .arg(events.to_string());
    let signed = succeed(&mut signing).expect("joserfc signs events");
    let signed: Value = serde_json::from_str(&signed).unwrap();
    let stream = json!({
        "issuer": "https://idp.test", "audience": "here", "jwks": signed["jwks"],
    });
    super::signal(&cloud, "idp", &stream);
    let event = |number: usize| signed["events"][number].as_str().unwrap().to_owned();
    assert_eq!(super::post(&cloud, &event(0)).status, 202);
    assert_eq!(super::post(&cloud, &event(1)).status, 202);
    assert_eq!(super::refused(&cloud, &event(2)), "access_denied");
    let (head, rest) = event(0)
        .split_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let (_, other) = event(1)
        .split_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let (claims, _) = other.split_once('.').unwrap();
    let changed = format!("{head}.{claims}.{signature}");
    assert_eq!(super::refused(&cloud, &changed), "invalid_key");
    assert_eq!(shown(&cloud, "idp")["ended"], 2);
}
