//! Whether tokens were taken back, and who vouches for their issuers, told by and to programs of other
//! people.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use avouch_core::credential::jose::status_list::StatusList;
use serde_json::{Value, json};

use super::house::{CLOUD, House, claims};
use super::{Missing, Talker, node};

fn start(house: &House, script: &str) -> Result<Talker, Missing> {
    let mut script: Command = node(script)?;
    script.args([house.file("tls.pem"), house.file("tls.key")]);
    script.env("NODE_EXTRA_CA_CERTS", house.file("ca.pem"));
    Ok(Talker::start(script, &house.folder().join("talker.log")))
}

/// What is at an address of the plane.
fn page(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// What a rule gives, with tokens that name a status list.
fn telling() -> Value {
    json!({
        "spiffe_id": "spiffe://demo.avouch.test/people/{subject}",
        "kinds": ["jwt-svid", "access-token"], "audiences": [CLOUD], "lifetime": 600,
        "status": true,
    })
}

#[test]
fn status_lists_of_sd_jwt_are_read_here_and_ours_are_read_there() {
    let house = House::start("outside-status-lists");
    let mut idp = match start(&house, "status-lists.mjs") {
        Ok(idp) => idp,
        Err(why) => return println!("skipped: @sd-jwt/jwt-status-list: {why}"),
    };
    let keys = json!({"jwks": idp.ready["jwks"], "audiences": [house.issuer()]});
    house.trust(&idp, keys);
    house.rule("people", json!({ "gives": telling() }));
    let lists = idp.ready["lists"].clone();
    let mut given = None;
    for bits in [1, 2, 4, 8] {
        let of = &lists[bits.to_string()];
        let statuses: Vec<u64> = serde_json::from_value(of["statuses"].clone()).unwrap();
        let list = StatusList::read(of["token"].as_str().unwrap()).unwrap();
        for (index, status) in (0..).zip(&statuses) {
            let read = list.status(index).unwrap();
            assert_eq!(u64::from(read.value()), *status, "{bits} bits, {index}");
        }
        for index in [0_usize, 1, 2, 999] {
            let asked = json!({"do": "token", "aud": house.issuer(), "bits": bits, "idx": index});
            let token = idp.token(&asked);
            if statuses[index] == 0 {
                let ran = house.exchange(&token, &[]);
                assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
                given = Some(ran.json()["access_token"].as_str().unwrap().to_owned());
            } else {
                assert_eq!(
                    house.refusal(&token, &[]),
                    "revocation.token_status",
                    "{index}"
                );
            }
        }
    }
    // What was given names a list of ours, which the other library reads the same.
    let token = given.unwrap();
    let uri = claims(&token)["status"]["status_list"]["uri"].clone();
    let uri = uri.as_str().unwrap();
    let mut read = || idp.ask(&json!({"do": "read", "token": token, "list": page(uri)}));
    let before = read();
    assert_eq!(
        (&before["uri"], &before["status"]),
        (&json!(uri), &json!(0))
    );
    let issuer = idp.ready["issuer"].as_str().unwrap().to_owned();
    let end = [
        "signal",
        "end",
        "--issuer",
        &issuer,
        "--subject",
        "alice",
        "--reason",
        "a test",
    ];
    house.manage(&end);
    let mut read = || idp.ask(&json!({"do": "read", "token": token, "list": page(uri)}));
    assert_eq!(read()["status"], json!(1));
}

#[test]
fn an_opaque_token_of_oidc_provider_is_exchanged_unless_it_was_revoked() {
    let house = House::start("outside-introspection");
    let mut idp = match start(&house, "oidc-provider.mjs") {
        Ok(idp) => idp,
        Err(why) => return println!("skipped: oidc-provider: {why}"),
    };
    let endpoint = format!(
        "{}/token/introspection",
        idp.ready["issuer"].as_str().unwrap()
    );
    let asked = |secret: &str| {
        json!({"introspection": {
            "endpoint": endpoint, "client_id": "avouch-ES256", "client_secret": secret,
            "without_audience": true,
        }})
    };
    house.trust(&idp, asked("a secret of this test"));
    let facts = json!({"subject": "alice", "claims.client_id": "avouch-RS256"});
    let from = json!({"anchor": "idp", "facts": facts});
    house.rule("people", json!({ "from": from }));
    let access = ["--subject-token-type", "access-token"];
    let mut opaque = |person: &str| {
        let login = json!({"do": "login", "alg": "RS256", "sub": person});
        idp.ask(&login)["access"].as_str().unwrap().to_owned()
    };
    let (first, second, other) = (opaque("alice"), opaque("alice"), opaque("mallory"));
    assert!(!first.contains('.'), "it is not opaque");
    let given = house.accepted(&first, &access);
    assert_eq!(given["sub"], "spiffe://demo.avouch.test/people/alice");
    assert_eq!(house.refusal(&first, &access), "issue.token_used");
    assert_eq!(
        house.refusal(&other, &access),
        "issue.exchange_not_admitted"
    );
    idp.ask(&json!({"do": "revoke", "alg": "RS256", "token": second}));
    assert_eq!(house.refusal(&second, &access), "federation.token_inactive");
    assert_eq!(
        house.refusal("made-up-by-nobody", &access),
        "federation.token_inactive"
    );
    // With the secret of nobody it is not told, and then nothing is believed.
    let login = json!({"do": "login", "alg": "RS256", "sub": "alice"});
    let third = idp.ask(&login)["access"].as_str().unwrap().to_owned();
    house.trust(&idp, asked("another secret"));
    let ran = house.exchange(&third, &access);
    assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
    assert_eq!(ran.json()["code"], "issue.undecided");
}

#[test]
fn chains_of_openid_federation_core_are_resolved_as_it_resolves_them() {
    let house = House::start("outside-federation");
    let mut peer = match start(&house, "federation.mjs") {
        Ok(peer) => peer,
        Err(why) => return println!("skipped: @openid-federation/core: {why}"),
    };
    assert_eq!(peer.ask(&json!({"do": "resolve"}))["chains"], 1);
    let host = peer.ready["host"]
        .as_str()
        .unwrap()
        .trim_start_matches("https://")
        .to_owned();
    let ca = std::fs::read_to_string(house.file("ca.pem")).unwrap();
    let anchor = json!({
        "openid_federation": {"entity_id": peer.ready["anchor"], "jwks": peer.ready["jwks"]},
        "fetch": {"hosts": [host], "ca": ca},
        "owner": "the federation team", "reason": "a federation of others",
        "unpinned": {"reason": "a test", "expires": "2100-01-01T00:00:00Z"},
    });
    house.plane.folder.file("anchor.json", anchor.to_string());
    house.manage(&["anchor", "put", "idp", "-f", "anchor.json"]);
    house.rule("people", json!({}));
    let token = peer.token(&json!({"do": "token", "aud": house.issuer()}));
    let given = house.accepted(&token, &[]);
    assert_eq!(given["sub"], "spiffe://demo.avouch.test/people/alice");
    // A key of a superior signs no tokens of the entity.
    let forged = peer.token(&json!({"do": "token", "aud": house.issuer(), "signer": "edu"}));
    assert_eq!(house.refusal(&forged, &[]), "federation.signature_invalid");
}
