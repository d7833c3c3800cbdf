//! OAuth clients of other people at our token endpoint.

use std::time::{SystemTime, UNIX_EPOCH};

use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use serde_json::{Value, json};

use super::house::{CLOUD, House, claims, with};
use super::{Talker, node, python, succeed};

const CI: &str = "https://ci.example.com";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A house that gives something to jobs, and to a client that has a key of its own.
struct Office {
    house: House,
    key: String,
}

impl Office {
    fn open(name: &str) -> Self {
        let house = House::start(name);
        let ci = json!({
            "issuer": CI, "jwks": jwks(&[jwk(&Key::p256("ci"), "k1")]),
            "unpinned": {"reason": "a test", "expires": "2100-01-01T00:00:00Z"},
        });
        house.plane.folder.file("ci.json", ci.to_string());
        house.manage(&["anchor", "put", "idp", "-f", "ci.json"]);
        house.rule(
            "job",
            json!({"from": {"anchor": "idp", "facts": {"subject": "job"}}}),
        );
        let mut openssl = std::process::Command::new("openssl");
        openssl.args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]);
        let key = succeed(&mut openssl).unwrap();
        let own = public_half(&key);
        house.rule(
            "billing",
            json!({
                "from": {"client": "billing", "jwks": {"keys": [own]}},
                "gives": {
                    "spiffe_id": "spiffe://demo.avouch.test/billing",
                    "kinds": ["access-token"], "audiences": [CLOUD], "scopes": ["read", "write"],
                },
            }),
        );
        Self { house, key }
    }

    /// Gives the same to whoever has no proof of a key, as Authlib knows of none.
    fn let_bearers_in(&self) {
        let bearer = json!({"reason": "it cannot prove a key", "expires": "2100-01-01T00:00:00Z"});
        let from = json!({"anchor": "idp", "facts": {"subject": "job"}});
        self.house
            .rule("job", json!({"from": from, "bearer": bearer}));
        let own = public_half(&self.key);
        self.house.rule(
            "billing",
            json!({
                "from": {"client": "billing", "jwks": {"keys": [own]}},
                "gives": {
                    "spiffe_id": "spiffe://demo.avouch.test/billing",
                    "kinds": ["access-token"], "audiences": [CLOUD], "scopes": ["read", "write"],
                },
                "bearer": bearer,
            }),
        );
    }

    fn job(&self, subject: &str) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        TokenForge::saying(json!({
            "iss": CI, "sub": subject, "aud": self.house.issuer(), "iat": now, "exp": now + 300,
            "jti": format!("{:x}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()),
        }))
        .sign(&Key::p256("ci"), "k1")
    }

    fn exchange(&self, subject: &str) -> Value {
        json!({
            "subject_token": self.job(subject),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "requested_token_type": ACCESS,
        })
    }

    fn ask(&self, client: &mut Talker, asked: Value) -> Value {
        client.ask(&with(json!({"issuer": self.house.issuer()}), asked))
    }
}

/// The public half of a key of OpenSSL, as a client registers it.
fn public_half(pem: &str) -> Value {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pem).unwrap();
    let mut openssl = std::process::Command::new("openssl");
    openssl
        .args(["pkey", "-pubout", "-outform", "DER", "-in"])
        .arg(&file);
    let der = openssl.output().unwrap().stdout;
    // The point stands at the end: 4, and two coordinates of 32 bytes.
    let (x, y) = der[der.len() - 64..].split_at(32);
    let [x, y] = [x, y].map(Base64UrlUnpadded::encode_string);
    json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "own", "use": "sig", "alg": "ES256"})
}

fn given(answer: &Value) -> Value {
    let token = answer["access_token"].as_str();
    claims(token.unwrap_or_else(|| panic!("nothing was given: {answer:#}")))
}

#[test]
fn openid_client_and_oauth4webapi_discover_the_endpoint_and_get_tokens_bound_to_their_keys() {
    let office = Office::open("outside-openid-client");
    let mut client = match node("clients.mjs") {
        Ok(script) => Talker::start(script, &office.house.folder().join("client.log")),
        Err(why) => return println!("skipped: openid-client, oauth4webapi: {why}"),
    };
    for library in ["openid-client", "oauth4webapi"] {
        let asked = json!({"with": library, "id": "anyone", "form": office.exchange("job")});
        let answer = office.ask(&mut client, asked.clone());
        assert_eq!(answer["token_type"], "dpop", "{library}: {answer}");
        assert_eq!(answer["issued_token_type"], ACCESS);
        let said = given(&answer);
        assert_eq!(
            said["sub"], "spiffe://demo.avouch.test/people/job",
            "{library}"
        );
        assert!(said["cnf"]["jkt"].is_string(), "{library}: {said}");
        // A second time, and someone else.
        let again = office.ask(&mut client, asked);
        assert_eq!(again["error"], "invalid_request", "{library}: {again}");
        let asked = json!({"with": library, "id": "anyone", "form": office.exchange("other")});
        let other = office.ask(&mut client, asked);
        assert_eq!(other["error"], "invalid_request", "{library}: {other}");
        assert!(
            other["message"]
                .as_str()
                .unwrap()
                .contains("server responded"),
            "{other}"
        );
    }
    // What is no access token has no type that OAuth knows.
    let form = with(
        office.exchange("job"),
        json!({"requested_token_type": "urn:ietf:params:oauth:token-type:jwt"}),
    );
    let answer = office.ask(&mut client, json!({"id": "anyone", "form": form}));
    assert_eq!(answer["token_type"], "n_a", "{answer}");

    let credentials = |key: &str, form: Value| json!({"id": "billing", "key": key, "grant": "client_credentials", "form": form});
    let read = json!({"scope": "read", "resource": CLOUD});
    let answer = office.ask(&mut client, credentials(&office.key, read.clone()));
    let said = given(&answer);
    assert_eq!(
        (&said["sub"], &said["scope"]),
        (&json!("spiffe://demo.avouch.test/billing"), &json!("read"))
    );
    assert_eq!(answer["token_type"], "dpop", "{answer}");
    let more = json!({"scope": "admin", "resource": CLOUD});
    let answer = office.ask(&mut client, credentials(&office.key, more));
    assert_eq!(answer["error"], "invalid_scope", "{answer}");
    let mut openssl = std::process::Command::new("openssl");
    openssl.args([
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    let stranger = succeed(&mut openssl).unwrap();
    let answer = office.ask(&mut client, credentials(&stranger, read.clone()));
    assert_eq!(answer["error"], "invalid_client", "{answer}");
    let bearer = with(credentials(&office.key, read), json!({"bearer": true}));
    let answer = office.ask(&mut client, bearer);
    assert_eq!(answer["error"], "invalid_request", "{answer}");
}

#[test]
fn authlib_gets_tokens_where_bearers_may_if_its_assertion_is_for_the_issuer() {
    let office = Office::open("outside-authlib");
    let mut client = match python("clients.py") {
        Ok(script) => Talker::start(script, &office.house.folder().join("client.log")),
        Err(why) => return println!("skipped: Authlib: {why}"),
    };
    let form = json!({"grant_type": "client_credentials", "scope": "read", "audience": CLOUD});
    let issuer = office.house.issuer();
    let asked = json!({"id": "billing", "key": office.key, "form": form, "audience": issuer});
    let unproved = office.ask(&mut client, asked.clone());
    assert_eq!(unproved["error"], "invalid_request", "{unproved}");
    office.let_bearers_in();
    let answer = office.ask(&mut client, asked.clone());
    assert_eq!(given(&answer)["sub"], "spiffe://demo.avouch.test/billing");
    assert_eq!(answer["token_type"], "Bearer", "{answer}");
    // An assertion for the address of the endpoint could have been meant for another issuer.
    let mut elsewhere = asked;
    elsewhere.as_object_mut().unwrap().remove("audience");
    let answer = office.ask(&mut client, elsewhere);
    assert_eq!(answer["error"], "invalid_client", "{answer}");

    let form = with(office.exchange("job"), json!({"grant_type": EXCHANGE}));
    let asked = json!({"id": "anyone", "method": "none", "form": form});
    let answer = office.ask(&mut client, asked.clone());
    assert_eq!(
        given(&answer)["sub"],
        "spiffe://demo.avouch.test/people/job"
    );
    let again = office.ask(&mut client, asked);
    assert_eq!(again["error"], "invalid_request", "{again}");
}
