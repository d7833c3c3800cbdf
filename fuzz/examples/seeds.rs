//! Writes the seeds: `cargo run --example seeds` in this directory.
//!
//! Good inputs for each target that reads bytes, and some that are wrong in one way. `decide`
//! reads whole worlds from bytes that no one writes by hand; its seeds are what fuzzing kept.

use std::path::Path;

use avouch_core::exchange::ExchangeRule;
use avouch_fuzz::fixtures::{self, AUDIENCE, ISSUER, TRUST_DOMAIN};
use avouch_testkit::asn1;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::crl::CrlForge;
use avouch_testkit::extension::{self, IssuingDistributionPoint};
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::name::GeneralName;
use avouch_testkit::question::QuestionForge;
use avouch_testkit::status_list::pack;
use avouch_testkit::token::encode;
use avouch_testkit::world::{Authority, pem};
use avouch_testkit::{saml, saml_hostile};
use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (target, name, content) in
        [chains(), lists(), status_requests(), tokens(), documents()].concat()
    {
        let directory = seeds.join(target);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(name), content)?;
    }
    Ok(())
}

/// The target, the name of the file, its content.
type Seed = (&'static str, &'static str, Vec<u8>);

fn chains() -> Vec<Seed> {
    let root = fixtures::root();
    let issuing = fixtures::issuing();
    let constrained = root.intermediate_with("Constrained", Key::ed25519("c"), |forge| {
        forge.path_length(0).with(extension::name_constraints(
            &[
                GeneralName::dns("example"),
                GeneralName::ip_range("10.0.0.0/8"),
            ],
            &[GeneralName::email("b.example")],
        ))
    });
    let mapped = root.intermediate_with("Mapped", Key::ed25519("m"), |forge| {
        forge
            .with(extension::certificate_policies(&["1.3.6.1.4.1.57264.1"]))
            .with(extension::policy_mappings(&[(
                "1.3.6.1.4.1.57264.1",
                "1.3.6.1.4.1.57264.2",
            )]))
            .with(extension::policy_constraints(Some(0), Some(1)))
    });
    let other = Authority::root("Other");
    let of_mapped = CertificateForge::server("a.example")
        .with(extension::certificate_policies(&["1.3.6.1.4.1.57264.2"]))
        .with(extension::crl_distribution_points(&[
            "http://a.example/crl",
        ]))
        .with(extension::authority_information_access(
            &["http://a.example/ocsp"],
            &["http://a.example/ca"],
        ));
    let rsa = CertificateForge::server_with("a.example", &Key::rsa(RsaTestKey::A));
    let kinds = [Key::p384("l"), Key::p521("l"), Key::ml_dsa_44("l")];
    let mut seeds = vec![
        chain(
            "good",
            64 | 3,
            &[issuing.server("a.example"), issuing.certificate.clone()],
        ),
        chain(
            "constrained",
            64 | 3,
            &[
                constrained.server("a.example"),
                constrained.certificate.clone(),
            ],
        ),
        chain(
            "mapped",
            1,
            &[mapped.issue(of_mapped), mapped.certificate.clone()],
        ),
        chain("svid", 2, &[root.svid("spiffe://example.org/w")]),
        chain("rsa", 0, &[root.issue(rsa)]),
        chain(
            "crossed",
            0,
            &[
                other.server("a.example"),
                root.cross_certify(&other),
                other.cross_certify(&root),
                other.certificate.clone(),
            ],
        ),
    ];
    for (name, key) in ["p384", "p521", "ml-dsa-44"].into_iter().zip(kinds) {
        let leaf = CertificateForge::client("a@a.example", &key);
        seeds.push(chain(name, 4, &[root.issue(leaf)]));
    }
    seeds
}

fn chain(name: &'static str, how: u8, certificates: &[Vec<u8>]) -> Seed {
    (
        "chain",
        name,
        [&[how], certificates.concat().as_slice()].concat(),
    )
}

fn lists() -> Vec<Seed> {
    let issuing = fixtures::issuing();
    let leaf = issuing.server("a.example");
    let empty = issuing.crl(CrlForge::complete());
    let revoked = issuing.crl(CrlForge::complete().revoke_certificate(&leaf));
    let partition = IssuingDistributionPoint {
        names: vec![GeneralName::uri("http://a.example/crl")],
        only_user: true,
        ..IssuingDistributionPoint::default()
    };
    let partial = issuing.crl(CrlForge::complete().distribution_point(&partition));
    let delta = issuing.crl(CrlForge::complete().delta(1));
    let of_root = fixtures::root().crl(CrlForge::complete());
    vec![
        ("crl", "empty", [empty, of_root].concat()),
        ("crl", "revoked", revoked),
        ("crl", "partial", partial),
        ("crl", "delta", delta),
    ]
}

/// Requests after the status of certificates: by SHA-1, and of two by SHA-256 with a nonce.
fn status_requests() -> Vec<Seed> {
    let id = |oid: &str, digest: &[u8], serial: u64| {
        asn1::sequence([
            asn1::sequence([asn1::oid(oid), vec![5, 0]]),
            asn1::octet_string(digest),
            asn1::octet_string(digest),
            asn1::number(serial),
        ])
    };
    let list = |ids: &[Vec<u8>]| asn1::sequence(ids.iter().map(|id| asn1::sequence([id])));
    let one = list(&[id("1.3.14.3.2.26", &[1; 20], 7)]);
    let sha_256 = "2.16.840.1.101.3.4.2.1";
    let two = list(&[id(sha_256, &[2; 32], 7), id(sha_256, &[2; 32], 300)]);
    let nonce = asn1::sequence([
        asn1::oid("1.3.6.1.5.5.7.48.1.2"),
        asn1::octet_string(&asn1::octet_string(&[9; 32])),
    ]);
    let extensions = asn1::constructed(2, &asn1::sequence([nonce]));
    let request = |parts: &[Vec<u8>]| asn1::sequence([asn1::sequence(parts)]);
    vec![
        ("status_request", "one", request(&[one])),
        ("status_request", "two", request(&[two, extensions])),
    ]
}

fn tokens() -> Vec<Seed> {
    let (issued, expires) = (1_717_199_000, 1_717_200_600);
    let subject = format!("spiffe://{TRUST_DOMAIN}/w");
    let key = fixtures::key_set()["keys"][0].clone();
    let id_token = [
        json!({"alg": "ES256", "kid": "k1", "typ": "JWT"}),
        json!({"iss": ISSUER, "sub": "repo:a/b:ref:refs/heads/main", "aud": AUDIENCE,
            "iat": issued, "nbf": issued, "exp": expires, "jti": "1"}),
    ];
    let svid = [
        json!({"alg": "ES256", "kid": "j1", "typ": "JWT"}),
        json!({"sub": subject, "aud": [AUDIENCE], "iat": issued, "exp": expires}),
    ];
    let wit = [
        json!({"alg": "ES256", "kid": "w1", "typ": "wit+jwt"}),
        json!({"iss": format!("spiffe://{TRUST_DOMAIN}"), "sub": subject, "iat": issued,
            "exp": expires, "jti": "2", "cnf": {"jwk": key}}),
    ];
    let proof = [
        json!({"alg": "ES256", "typ": "wpt+jwt"}),
        json!({"aud": AUDIENCE, "exp": expires, "jti": "3",
            "wth": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}),
    ];
    let none = [json!({"alg": "none"}), id_token[1].clone()];
    let compact = |[header, claims]: &[Value; 2]| fixtures::token(header, claims);
    let inside = |[header, claims]: &[Value; 2]| format!("{header}\n{claims}");
    let both = format!("{} {}", compact(&wit), compact(&proof));
    let both_inside = format!("{}\n{}", inside(&wit), inside(&proof));
    let event = [
        json!({"alg": "ES256", "typ": "secevent+jwt"}),
        json!({"iss": id_token[1]["iss"], "aud": AUDIENCE, "iat": id_token[1]["iat"], "jti": "4",
            "sub_id": {"format": "opaque", "id": "a"},
            "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}}}),
    ];
    vec![
        ("event", "session-revoked", inside(&event).into_bytes()),
        ("jws", "id-token", inside(&id_token).into_bytes()),
        ("jws", "id-token-compact", compact(&id_token).into_bytes()),
        ("jws", "jwt-svid", inside(&svid).into_bytes()),
        ("jws", "jwt-svid-compact", compact(&svid).into_bytes()),
        ("jws", "wit", both_inside.into_bytes()),
        ("jws", "wit-compact", both.into_bytes()),
        ("jws", "none", compact(&none).into_bytes()),
        (
            "jws",
            "api-key",
            b"key 0123456789abcdef0123456789abcdef".to_vec(),
        ),
    ]
}

/// A number and the JSON of a list with these entries.
fn status_list(bits: u8, entries: &[u8]) -> String {
    let claims = json!({
        "iss": ISSUER, "sub": "https://issuer.example/status/1", "iat": 1_717_199_000,
        "exp": 1_717_200_600, "ttl": 60,
        "status_list": {"bits": bits, "lst": encode(&pack(entries))},
    });
    format!("5\n{claims}")
}

/// An exchange rule for the trust domain of the fixtures, with most of its members.
fn rule() -> Value {
    let rule = json!({
        "from": {"trust_domain": TRUST_DOMAIN, "facts": {"spiffe.path": "/a"}},
        "gives": {
            "spiffe_id": format!("spiffe://{TRUST_DOMAIN}/ci/{{subject}}"),
            "kinds": ["access-token", "jwt-svid", "x509-svid"],
            "audiences": [AUDIENCE],
            "scopes": ["read"],
            "lifetime": 900,
            "outlives": true,
        },
        "subject_audiences": [AUDIENCE],
        "actors": [{"trust_domain": TRUST_DOMAIN, "facts": {"spiffe.path": "/b"}}],
        "assurance": {"multi_factor": true, "max_age": 3600},
        "bearer": {"reason": "a test", "expires": "2030-01-01T00:00:00Z"},
        "owner": "ops",
        "reason": "a test",
    });
    let members = rule.as_object().expect("it is an object");
    let read = ExchangeRule::read("rule", members, fixtures::view(), avouch_fuzz::now());
    if let Err(reason) = read {
        panic!("the seed is no rule: {}", reason.sentence());
    }
    rule
}

fn documents() -> Vec<Seed> {
    let issuing = fixtures::issuing();
    let leaf = issuing.server("a.example");
    let asked = QuestionForge::x509(&[&leaf, &issuing.certificate])
        .profile("webpki")
        .expect("dns", "a.example")
        .anchor(&fixtures::root().certificate)
        .crl(&issuing.crl(CrlForge::complete()));
    let claims = json!({"iss": ISSUER, "sub": "a", "aud": AUDIENCE});
    let of_token = QuestionForge::jwt(&fixtures::token(&json!({"alg": "ES256"}), &claims))
        .audience(&[AUDIENCE]);
    let store = pem("CERTIFICATE", &fixtures::root().certificate);
    let yaml = format!(
        "anchors:\n  - x509: |\n      {}\n    owner: ops\n    expires: 2030-01-01T00:00:00Z\n    \
         constraints:\n      dns: [example]\n      max_path_length: 1\n",
        store.trim_end().replace('\n', "\n      ")
    );
    let map = json!({"trust_domains": {TRUST_DOMAIN: fixtures::bundle()}});
    let metadata = saml::metadata(saml_hostile::ISSUER, &[&fixtures::root().certificate], None);
    vec![
        (
            "saml",
            "assertion",
            saml_hostile::forge().unsigned().into_bytes(),
        ),
        ("saml", "response", saml_hostile::good().into_bytes()),
        ("saml", "metadata", metadata.into_bytes()),
        ("rule", "good", rule().to_string().into_bytes()),
        (
            "status_list",
            "claims",
            status_list(1, &[0, 32, 0]).into_bytes(),
        ),
        (
            "status_list",
            "two-bits",
            status_list(2, &[0xc9, 0x44, 0xf9]).into_bytes(),
        ),
        (
            "status_list",
            "three-bits",
            status_list(3, &[0]).into_bytes(),
        ),
        (
            "status_list",
            "bomb",
            status_list(8, &vec![0; 4 << 20]).into_bytes(),
        ),
        (
            "template",
            "places",
            b"spiffe://a.example/ns/{k8s.ns}/{node:k8s.cluster}\nk8s:ns:web\nk8s.cluster:one"
                .to_vec(),
        ),
        ("jwks", "good", fixtures::key_set().to_string().into_bytes()),
        (
            "bundle",
            "good",
            fixtures::bundle().to_string().into_bytes(),
        ),
        ("bundle", "map", map.to_string().into_bytes()),
        (
            "trust_document",
            "json",
            fixtures::trust_document().to_string().into_bytes(),
        ),
        ("trust_document", "yaml", yaml.into_bytes()),
        ("trust_document", "pem", store.into_bytes()),
        ("trust_document", "der", fixtures::root().certificate),
        ("question", "x509", asked.to_json().to_string().into_bytes()),
        (
            "question",
            "jwt",
            of_token.to_json().to_string().into_bytes(),
        ),
    ]
}
