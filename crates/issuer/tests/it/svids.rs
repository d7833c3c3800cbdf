//! What is issued, as the core sees it and clause by clause of the SPIFFE standards. The numbers
//! are those of the clause list of this project's SPIFFE tests.

use avouch_core::credential::x509::Certificate;
use avouch_core::id::SpiffeId;
use avouch_issuer::signer::SigningKind;
use avouch_testkit::key::Key;
use base64ct::{Base64UrlUnpadded, Encoding};
use der::Decode;
use der::oid::AssociatedOid;
use der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use serde_json::{Value, json};
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
};

use crate::world::{ID, World, bearer, half, holder, now, plan, workload};

fn leaf(world: &World) -> Certificate {
    Certificate::parse(&world.x509(workload()).unwrap().chain[0]).unwrap()
}

/// Whether an extension is critical, and what it says, read by a library of others.
fn extension<T>(certificate: &Certificate) -> (bool, T)
where
    T: AssociatedOid + for<'a> Decode<'a, Error = der::Error>,
{
    let certificate = x509_cert::Certificate::from_der(certificate.der()).unwrap();
    certificate
        .tbs_certificate()
        .get_extension::<T>()
        .unwrap()
        .unwrap()
}

#[test]
fn x_01_x_04_a_leaf_has_exactly_one_uri_which_is_its_id() {
    let leaf = leaf(&World::new());
    assert_eq!(leaf.uris().collect::<Vec<_>>(), [ID]);
}

#[test]
fn x_03_a_leaf_carries_dns_names_beside_its_id() {
    let world = World::new();
    let mut request = workload();
    request.dns_names = vec!["api.payments.test".to_owned(), "api".to_owned()];
    let svid = world.x509(request).unwrap();
    let leaf = Certificate::parse(&svid.chain[0]).unwrap();
    let names: Vec<String> = leaf
        .alternative_names()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names.len(), 3);
    assert!(names.iter().any(|name| name.contains("api.payments.test")));
}

#[test]
fn x_05_the_names_of_a_leaf_are_critical_because_its_subject_is_empty() {
    let leaf = leaf(&World::new());
    assert!(leaf.subject().is_empty());
    assert!(extension::<SubjectAltName>(&leaf).0);
}

#[test]
fn x_06_x_07_x_09_x_13_signing_certificates_have_the_id_of_the_trust_domain() {
    let world = World::new();
    for (authority, further) in [(&world.root, 1), (&world.intermediate, 0)] {
        let certificate = authority.certificate();
        assert_eq!(
            certificate.uris().collect::<Vec<_>>(),
            ["spiffe://demo.avouch.test"]
        );
        let basic = BasicConstraints {
            ca: true,
            path_len_constraint: Some(further),
        };
        assert_eq!(extension(certificate), (true, basic));
        let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
        assert_eq!(extension(certificate), (true, usage));
    }
}

#[test]
fn x_10_x_12_x_14_x_15_x_16_a_leaf_signs_what_it_says_and_no_certificates() {
    let leaf = leaf(&World::new());
    let basic = BasicConstraints {
        ca: false,
        path_len_constraint: None,
    };
    assert_eq!(extension(&leaf), (true, basic));
    let usage = KeyUsage(KeyUsages::DigitalSignature.into());
    assert_eq!(extension(&leaf), (true, usage));
    let usages = ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH]);
    assert_eq!(extension(&leaf), (false, usages));
}

#[test]
fn a_08_the_leaf_comes_first_and_the_root_is_not_sent() {
    let world = World::new();
    let svid = world.x509(workload()).unwrap();
    assert_eq!(svid.chain.len(), 2);
    assert_eq!(svid.chain[1], world.intermediate.certificate().der());
    let leaf = Certificate::parse(&svid.chain[0]).unwrap();
    assert_eq!(
        leaf.public_key_info(),
        Key::p256("workload").public_key_info()
    );
}

#[test]
fn a_leaf_begins_a_little_before_it_is_issued_and_ends_with_its_authority_at_the_latest() {
    let world = World::new();
    let svid = world.x509(workload()).unwrap();
    assert_eq!(svid.not_before, now().plus(-10));
    assert_eq!(svid.not_after, now().plus(3_600));
    let mut request = workload();
    request.ttl = Some(86_400);
    let mut later = world;
    later.now = now().plus(80_000);
    let svid = later.x509(request).unwrap();
    assert_eq!(svid.not_after, now().plus(86_400));
    let leaf = Certificate::parse(&svid.chain[0]).unwrap();
    assert_eq!(leaf.not_after(), svid.not_after);
}

#[test]
fn serial_numbers_are_long_positive_and_never_the_same() {
    let world = World::new();
    let mut serials: Vec<String> = (0..100)
        .map(|_| world.x509(workload()).unwrap().serial)
        .collect();
    for serial in &serials {
        assert_eq!(serial.len(), 32);
        assert!(('4'..'8').contains(&serial.chars().next().unwrap()));
    }
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), 100);
}

#[test]
fn every_kind_of_key_is_issued_for_by_every_kind_of_authority() {
    for kind in [SigningKind::P256, SigningKind::Ed25519, SigningKind::Rsa] {
        let world = World::planned(&plan(), kind, now());
        for key in [Key::p256("w"), Key::p384("w"), Key::ed25519("w")] {
            let mut request = workload();
            request.public_half = half(&key);
            let svid = world.x509(request).unwrap();
            let leaf = Certificate::parse(&svid.chain[0]).unwrap();
            assert_eq!(leaf.public_key_info(), key.public_key_info());
        }
    }
}

/// The header and the claims of a token.
fn read(token: &str) -> (Value, Value) {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, _signature] = parts.as_slice() else {
        panic!("a token has {} parts", parts.len());
    };
    let part = |text| {
        let bytes = Base64UrlUnpadded::decode_vec(text).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    (part(header), part(claims))
}

#[test]
fn j_01_j_02_j_03_j_06_the_header_of_a_jwt_svid_has_three_members() {
    let world = World::new();
    let (header, _) = read(&world.jwt(bearer()).unwrap().token);
    assert_eq!(
        header,
        json!({"alg": "ES256", "kid": world.jwt.id(), "typ": "JWT"})
    );
}

#[test]
fn j_07_j_08_j_10_j_16_a_jwt_svid_says_who_for_whom_and_until_when() {
    let world = World::new();
    let svid = world.jwt(bearer()).unwrap();
    let (_, claims) = read(&svid.token);
    let issued = now().unix();
    assert_eq!(
        claims,
        json!({"sub": ID, "aud": "vault", "iat": issued, "exp": issued + 300, "jti": svid.token_id})
    );
    assert_eq!(svid.expires, now().plus(300));
}

#[test]
fn several_audiences_are_a_list() {
    let world = World::new();
    let mut request = bearer();
    request.audiences = vec![
        "vault".to_owned(),
        "spiffe://demo.avouch.test/db".to_owned(),
    ];
    let (_, claims) = read(&world.jwt(request).unwrap().token);
    assert_eq!(
        claims["aud"],
        json!(["vault", "spiffe://demo.avouch.test/db"])
    );
}

#[test]
fn w_01_w_03_w_04_the_header_of_a_wit_svid_says_its_type_and_key() {
    let world = World::new();
    let (header, _) = read(&world.wit(holder(&Key::p256("h"))).unwrap().token);
    assert_eq!(
        header,
        json!({"alg": "ES256", "kid": world.wit.id(), "typ": "wit+jwt"})
    );
}

#[test]
fn w_07_w_08_w_10_w_11_w_13_w_17_a_wit_svid_names_the_key_of_its_holder_and_no_audience() {
    let world = World::new();
    for (key, curve, algorithm) in [
        (Key::p256("h"), "P-256", "ES256"),
        (Key::p384("h"), "P-384", "ES384"),
    ] {
        let svid = world.wit(holder(&key)).unwrap();
        let (_, claims) = read(&svid.token);
        assert_eq!(claims["sub"], ID);
        assert_eq!(claims["exp"], now().unix() + 3_600);
        assert_eq!(claims["jti"], svid.token_id.as_str());
        assert!(claims.get("aud").is_none());
        let jwk = &claims["cnf"]["jwk"];
        assert_eq!(
            (&jwk["crv"], &jwk["alg"]),
            (&json!(curve), &json!(algorithm))
        );
        assert!(jwk.get("d").is_none());
    }
}

#[test]
fn a_token_ends_with_its_authority_at_the_latest() {
    let mut world = World::new();
    world.now = now().plus(86_400 - 10);
    let svid = world.jwt(bearer()).unwrap();
    assert_eq!(svid.expires, now().plus(86_400));
}

#[test]
fn a_long_id_is_issued() {
    let world = World::new();
    let prefix = "spiffe://demo.avouch.test/";
    let mut request = workload();
    request.id = SpiffeId::parse(&format!("{prefix}{}", "a".repeat(2_048 - prefix.len()))).unwrap();
    let svid = world.x509(request).unwrap();
    assert_eq!(svid.id.as_str().len(), 2_048);
}
