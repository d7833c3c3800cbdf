//! Tokens and API keys, as a person and a program are told of them.

use avouch_core::id::Digest;
use avouch_testkit::key::Key;
use avouch_testkit::token::TokenForge;
use avouch_testkit::world::Authority;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::run::Folder;

fn token(key: &Key, kid: &str, claims: &Value) -> String {
    TokenForge::saying(claims.clone()).sign(key, kid)
}

/// The public half of a key, for this use.
fn jwk(key: &Key, kid: &str, key_use: &str) -> Value {
    let mut jwk = avouch_testkit::token::jwk(key, kid);
    jwk["use"] = json!(key_use);
    jwk
}

const AT: &str = "2024-06-01T00:00:00Z";
const AT_UNIX: i64 = 1_717_200_000;

fn claims(issuer: &str, audience: &str, rest: Value) -> Value {
    let mut claims = json!({
        "iss": issuer,
        "aud": [audience],
        "iat": AT_UNIX - 60,
        "nbf": AT_UNIX - 60,
        "exp": AT_UNIX + 3540,
    });
    for (name, value) in rest.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";

fn pod_claims(audience: &str) -> Value {
    claims(
        CLUSTER,
        audience,
        json!({
            "sub": "system:serviceaccount:payments:api-server",
            "jti": "8f1b6a4e-0d1c-4f5b-9a3e-2f1d0c9b8a77",
            "kubernetes.io": {
                "namespace": "payments",
                "pod": {"name": "api-server-0", "uid": "0d9f3c1e-1111-4222-8333-444455556666"},
                "serviceaccount": {"name": "api-server", "uid": "77778888-9999-4aaa-8bbb-ccccddddeeee"},
            },
        }),
    )
}

/// A cluster whose issuer is trusted for the service account of the payments namespace.
fn cluster(name: &str) -> Folder {
    let folder = Folder::new(name);
    let trust = json!({"anchors": [{
        "name": "production cluster",
        "owner": "platform team",
        "reason": "pods of the production cluster sign in to Vault",
        "added": "2024-01-01",
        "expires": "2025-01-01",
        "issuer": CLUSTER,
        "jwks": {"keys": [jwk(&Key::ed25519("cluster"), "sa-2024", "sig")]},
        "rules": [{"name": "payments", "facts": {
            "k8s.namespace": "payments",
            "k8s.service_account": ["api-server", "worker"],
        }}],
    }]});
    folder.file("trust.json", trust.to_string());
    folder
}

fn pod_token(audience: &str) -> String {
    token(&Key::ed25519("cluster"), "sa-2024", &pod_claims(audience))
}

/// What is asked about the token of the file `token` for an audience.
fn asked<'a>(verb: &'a str, audience: &'a str) -> [&'a str; 8] {
    let (trust, file) = ("--trust", "trust.json");
    [
        verb,
        "token",
        trust,
        file,
        "--audience",
        audience,
        "--at",
        AT,
    ]
}

#[test]
fn a_pod_token_for_vault_is_accepted_in_three_legs() {
    let folder = cluster("pod_accepted");
    folder.file("token", pod_token("vault") + "\n");
    insta::assert_snapshot!(folder.both(&asked("explain", "vault")));
}

#[test]
fn the_flow_of_a_request_is_drawn_from_its_verdict_with_five_stations_and_five_ways() {
    let folder = cluster("pod_flow");
    folder.file("token", pod_token("vault"));
    let drawn = |audience: &str, form: &str| {
        folder.run(&[&asked("explain", audience)[..], &["--flow", form]].concat())
    };
    insta::assert_snapshot!("flow_text", drawn("vault", "text").told());
    let picture = drawn("vault", "svg").told();
    for part in ["<g class=\"node\">", "<g class=\"edge\">"] {
        assert_eq!(picture.matches(part).count(), 5, "{picture}");
    }
    insta::assert_snapshot!("flow_svg", picture);
    // Of what was refused the reason is told, and nothing is drawn.
    let refused = drawn("elsewhere", "svg").told();
    assert!(
        refused.contains("federation.audience_mismatch"),
        "{refused}"
    );
    assert!(!refused.contains("<svg"), "{refused}");
}

#[test]
fn a_pod_token_for_vault_is_refused_elsewhere_leg_by_leg() {
    let folder = cluster("pod_refused");
    folder.file("token", pod_token("vault"));
    insta::assert_snapshot!(folder.both(&asked("verify", "db")));
}

#[test]
fn a_token_for_no_one_in_particular_is_undetermined_until_someone_says_who_asks() {
    let folder = cluster("pod_undetermined");
    folder.file("token", pod_token("vault"));
    insta::assert_snapshot!(
        folder.both(&["verify", "token", "--trust", "trust.json", "--at", AT,])
    );
}

#[test]
fn a_token_is_never_shown() {
    let folder = cluster("token_hidden");
    let text = pod_token("vault");
    folder.file("token", &text);
    for audience in ["vault", "db"] {
        for format in ["human", "json"] {
            let ran = folder.run(&[&asked("explain", audience)[..], &["-o", format]].concat());
            for part in text.split('.') {
                assert!(
                    !ran.out.contains(part) && !ran.err.contains(part),
                    "{ran:?}"
                );
            }
        }
    }
}

#[test]
fn a_job_of_another_repository_is_refused_with_what_differs() {
    let folder = Folder::new("github_refused");
    let issuer = "https://token.actions.githubusercontent.com";
    let trust = json!({"anchors": [{
        "name": "github",
        "issuer": issuer,
        "audiences": ["avouch:deploy"],
        "jwks": {"keys": [jwk(&Key::ed25519("github"), "2024-a", "sig")]},
        "rules": [{"name": "deploy from main", "facts": {
            "github.repository_id": "74",
            "github.repository_owner_id": "65",
            "github.ref": "refs/heads/main",
        }}],
    }]});
    folder.file("trust.json", trust.to_string());
    let job = |repository_id: &str, name: &str| {
        claims(
            issuer,
            "avouch:deploy",
            json!({
                "sub": format!("repo:octo-org/{name}:ref:refs/heads/main"),
                "repository": format!("octo-org/{name}"),
                "repository_id": repository_id,
                "repository_owner": "octo-org",
                "repository_owner_id": "65",
                "ref": "refs/heads/main",
                "ref_type": "branch",
                "jti": "1",
            }),
        )
    };
    let arguments = [
        "verify",
        "token",
        "--trust",
        "trust.json",
        "--audience",
        "avouch:deploy",
        "--at",
        AT,
    ];
    let key = Key::ed25519("github");
    folder.file("token", token(&key, "2024-a", &job("74", "octo-repo")));
    assert_eq!(
        folder.run(&arguments).code,
        0,
        "{:?}",
        folder.run(&arguments)
    );
    folder.file("token", token(&key, "2024-a", &job("75", "other-repo")));
    insta::assert_snapshot!(folder.both(&arguments));
}

#[test]
fn a_shared_issuer_without_a_pin_is_not_trusted_and_says_whom_it_would_admit() {
    let folder = Folder::new("github_unpinned");
    let trust = json!({"anchors": [{
        "name": "github",
        "issuer": "https://token.actions.githubusercontent.com",
        "rules": [{"facts": {"github.repository": "octo-org/octo-repo"}}],
    }]});
    folder
        .file("trust.json", trust.to_string())
        .file("token", pod_token("vault"));
    let ran = folder.run(&[
        "verify",
        "token",
        "--trust",
        "trust.json",
        "--audience",
        "vault",
        "--at",
        AT,
    ]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.out.contains("every repository on github.com"),
        "{ran:?}"
    );
    assert_eq!(
        folder
            .run(&["anchor", "list", "--trust", "trust.json"])
            .code,
        13
    );
}

#[test]
fn svids_of_both_kinds_end_in_the_bundle_of_their_trust_domain() {
    let folder = Folder::new("bundle");
    let id = "spiffe://prod.example.com/ns/payments/sa/api-server";
    let root = Authority::root("Prod Root");
    let issuing = root.intermediate("Prod Issuing CA");
    let mut authority = jwk(&root.key, "", "x509-svid");
    authority["x5c"] = json!([Base64::encode_string(&root.certificate)]);
    authority.as_object_mut().unwrap().remove("kid");
    let signer = Key::p256("jwt signer");
    let trust = json!({"anchors": [{
        "trust_domain": "prod.example.com",
        "bundle": {
            "spiffe_sequence": 7,
            "keys": [authority, jwk(&signer, "jwt-1", "jwt-svid")],
        },
        "owner": "platform team",
    }]});
    let claims = json!({
        "sub": id, "aud": ["db"], "iat": AT_UNIX - 60, "exp": AT_UNIX + 240,
    });
    folder
        .file("trust.json", trust.to_string())
        .certificates("svid.pem", &[&issuing.svid(id), &issuing.certificate])
        .file("svid.jwt", token(&signer, "jwt-1", &claims));
    let x509 = folder.run(&[
        "verify",
        "svid.pem",
        "--trust",
        "trust.json",
        "--spiffe",
        id,
        "--at",
        AT,
    ]);
    let jwt = folder.run(&[
        "verify",
        "svid.jwt",
        "--trust",
        "trust.json",
        "--spiffe",
        id,
        "--audience",
        "db",
        "--at",
        AT,
    ]);
    insta::assert_snapshot!(format!("{}\n{}", x509.told(), jwt.told()));
}

#[test]
fn b08_b09_b10_b11_a_map_of_bundles_is_believed_for_each_trust_domain_it_names() {
    let folder = Folder::new("bundle-map");
    let id = "spiffe://prod.example.com/web";
    let (signer, other) = (Key::p256("jwt signer"), Key::p256("other signer"));
    let bundle = |key: &Key| json!({"keys": [jwk(key, "jwt-1", "jwt-svid")]});
    let claims = json!({
        "sub": id, "aud": ["db"], "iat": AT_UNIX - 60, "exp": AT_UNIX + 240,
    });
    folder.file("svid.jwt", token(&signer, "jwt-1", &claims));
    let verify = |map: &str| {
        folder.file("map.json", map);
        let trust = ["verify", "svid.jwt", "--trust", "map.json", "--spiffe", id];
        let ran = folder.run(&[&trust[..], &["--audience", "db", "--at", AT]].concat());
        (ran.code, ran.out + &ran.err)
    };
    let map = |own: &Key, foreign: &Key| {
        let domains = json!({"prod.example.com": bundle(own), "other.example": bundle(foreign)});
        json!({"trust_domains": domains, "spiffe_refresh_hint": 600}).to_string()
    };
    let (code, told) = verify(&map(&signer, &other));
    assert_eq!(code, 0, "{told}");
    // B-11: a hint inside, which there should be none of, changes nothing.
    let mut hinted = bundle(&signer);
    hinted["spiffe_refresh_hint"] = json!(1);
    let hinted = json!({"trust_domains": {"prod.example.com": hinted}});
    let (code, told) = verify(&hinted.to_string());
    assert_eq!(code, 0, "{told}");
    // B-08: a key is of the trust domain that it stands under.
    assert_eq!(verify(&map(&other, &signer)).0, 3);
    // B-09: there may be none.
    assert_eq!(verify(r#"{"trust_domains": {}}"#).0, 3);
    // B-10: and none twice.
    let one = bundle(&signer);
    let twice =
        format!(r#"{{"trust_domains":{{"prod.example.com":{one},"prod.example.com":{one}}}}}"#);
    let (code, told) = verify(&twice);
    assert!(code != 0 && told.contains("twice"), "{code}: {told}");
}

#[test]
fn a_wit_is_believed_with_proof_only_and_the_proof_is_used_up() {
    let folder = Folder::new("wit");
    let id = "spiffe://prod.example.com/api";
    let (signer, holder) = (Key::p256("wit signer"), Key::p256("holder"));
    let trust = json!({"anchors": [{
        "trust_domain": "prod.example.com",
        "bundle": {"keys": [jwk(&signer, "wit-1", "wit-svid")]},
    }]});
    let wit = TokenForge::wit_svid(id, &holder).sign(&signer, "wit-1");
    let proof = TokenForge::proof(&wit, "https://db.example.com").sign_nameless(&holder);
    folder
        .file("trust.json", trust.to_string())
        .file("wit", &wit)
        .file("proof", &proof);
    let arguments = [
        "verify",
        "wit",
        "--trust",
        "trust.json",
        "--audience",
        "https://db.example.com",
        "--spiffe",
        id,
        "--at",
        AT,
    ];
    let without = folder.run(&[&arguments[..], &["-o", "json"]].concat());
    assert_eq!(without.json()["reason"]["code"], "federation.proof_missing");
    let with = folder.run(&[&arguments[..], &["--proof", "proof"]].concat());
    insta::assert_snapshot!(with.told());
    let json = folder
        .run(&[&arguments[..], &["--proof", "proof", "-o", "json"]].concat())
        .json();
    assert_eq!(
        json["effects"][0]["consume_nonce"]["until"],
        "2024-06-01T00:01:00Z"
    );
}

#[test]
fn an_api_key_is_known_by_its_digest() {
    let folder = Folder::new("api_key_known");
    let key = "avk_3f9a1c7e5b2d4f6081a3c5e7";
    let digest = Digest::of(key.as_bytes());
    folder.file("key", key).file(
        "trust.yaml",
        format!(
            "anchors:\n  - api_key: {{sha256: {digest}, subject: backup job}}\n    owner: ops\n"
        ),
    );
    insta::assert_snapshot!(folder.both(&["verify", "key", "--trust", "trust.yaml", "--at", AT]));
}

#[test]
fn a_new_key_of_an_issuer_is_a_grave_change_and_a_removed_one_is_not() {
    let folder = Folder::new("diff_keys");
    let trust = |names: &[&str]| {
        let keys: Vec<Value> = names
            .iter()
            .map(|name| jwk(&Key::ed25519(name), name, "sig"))
            .collect();
        json!({"anchors": [{"issuer": CLUSTER, "jwks": {"keys": keys}}]}).to_string()
    };
    folder
        .file("one.json", trust(&["a"]))
        .file("both.json", trust(&["a", "b"]));
    let added = folder.run(&["anchor", "diff", "one.json", "both.json"]);
    assert_eq!(added.code, 14, "{added:?}");
    assert!(added.out.contains("jwt b "), "{added:?}");
    assert_eq!(
        folder
            .run(&["anchor", "diff", "both.json", "one.json"])
            .code,
        12
    );
}
