//! One deployment that tells, and another that asks it: each as anyone would set it up.

use std::net::TcpListener;
use std::time::Duration;

use avouch_server::Settings;
use avouch_server::fetch::Permitted;
use avouch_server::tls::{Shown, WebCertificate, WebFiles};
use avouch_testkit::https::{self, ed25519_pkcs8, pause};
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use crate::exchange::OURSELVES;
use crate::world::World;

const WEB: &str = "spiffe://one.test/web";
const BILLING: &str = "spiffe://one.test/billing";

/// A deployment behind TLS that is called by its address, and the root of its certificate in PEM.
fn teller() -> (World, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let public_url = format!("https://{}", listener.local_addr().unwrap());
    let world = World::with(Settings {
        public_url,
        ..Settings::default()
    });
    let root = https::root("Web");
    let shown = https::Shown::under(&root, &["127.0.0.1"]);
    let folder = tempfile::tempdir().unwrap();
    let files = WebFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    std::fs::write(&files.certificate, pem("CERTIFICATE", &shown.chain[0])).unwrap();
    let key = pem("PRIVATE KEY", &ed25519_pkcs8(&shown.key));
    std::fs::write(&files.key, key).unwrap();
    let certificate = WebCertificate::read(files).unwrap();
    world.serve_on(listener, Shown::Web(certificate));
    (world, pem("CERTIFICATE", &root.certificate))
}

fn manage(world: &World, method: &str, path: &str, body: &Value) -> Value {
    let answer = world.send(&world.operator(), method, path, body);
    assert!(answer.status < 300, "{method} {path}: {}", answer.body);
    if answer.body.is_empty() {
        return Value::Null;
    }
    answer.json()
}

/// Nobody tells the receiver where the transmitter describes itself.
#[test]
fn what_ended_at_one_deployment_ends_at_another_that_knows_nothing_but_its_issuer() {
    let (teller, ca) = teller();
    let token = teller.token(BILLING);
    let receiver = json!({"subject": BILLING, "audience": OURSELVES});
    manage(
        &teller,
        "PUT",
        "/v1/tenants/one/receivers/billing",
        &receiver,
    );
    let issuer = teller.get("/t/one/.well-known/ssf-configuration").json()["issuer"].clone();
    let asker = World::with(Settings {
        fetch: Permitted::read(["127.0.0.0/8"]).unwrap(),
        ..Settings::default()
    });
    let signal = json!({
        "issuer": issuer, "delivery": "poll", "ca": ca, "token": token,
        "jwks": teller.get("/t/one/keys").json(),
    });
    manage(&asker, "PUT", "/v1/tenants/one/signals/teller", &signal);
    let shown = || manage(&asker, "GET", "/v1/tenants/one/signals/teller", &json!({}));
    let receivers = || {
        manage(
            &teller,
            "GET",
            "/v1/tenants/one/receivers/billing",
            &json!({}),
        )
    };
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        for _ in 0..200 {
            if is_so() {
                return;
            }
            let _entered = asker.runtime().enter();
            asker.plane.tend_signals();
            pause(Duration::from_millis(50));
        }
        panic!("{what} never came: {} {}", shown(), receivers());
    };
    until("a stream", &|| !receivers()["delivery"].is_null());
    let path = "/v1/tenants/one/entries";
    manage(
        &teller,
        "POST",
        path,
        &json!({"id": "web", "spiffe_id": WEB, "selectors": ["unix:uid:1"]}),
    );
    manage(&teller, "DELETE", &format!("{path}/web"), &json!({}));
    let ended = || manage(&asker, "GET", "/v1/tenants/one/ended", &json!({}));
    until("an end", &|| ended()["ended"][0]["name"] == WEB);
}
