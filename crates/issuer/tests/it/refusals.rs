//! Every reason of issuing, by an example.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::id::SpiffeId;
use avouch_core::reason::{CATALOGUE, Family, Reason};
use avouch_issuer::fault::NotIssued;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::life_cycle::LifeCycle;
use avouch_issuer::signing_request::SigningRequest;
use avouch_testkit::asn1;
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::name::Name;

use crate::world::{World, bearer, half, holder, now, workload};

fn refused<T: std::fmt::Debug>(outcome: Result<T, NotIssued>) -> Reason {
    match outcome.unwrap_err() {
        NotIssued::Refused(reason) => reason,
        NotIssued::Failed(fault) => panic!("{fault}"),
    }
}

/// A PKCS#10 request for one key, signed by another.
fn signing_request(key: &Key, signer: &Key) -> Vec<u8> {
    let info = asn1::sequence([
        asn1::number(0),
        asn1::sequence::<Vec<u8>>([]),
        key.public_key_info(),
        asn1::constructed(0, &[]),
    ]);
    let signature = signer.sign(signer.scheme(), &info);
    let algorithm = signer.scheme().identifier_for(signer.kind());
    asn1::sequence([info, algorithm, asn1::bit_string(0, &signature)])
}

/// Why a request is refused whose sender would be a CA.
fn ca_request(key: &Key) -> Reason {
    let asked = avouch_testkit::extension::basic_constraints(true, None);
    let der = key.signing_request_for(&Name::empty(), &[asked]);
    let request = SigningRequest::read(&der).unwrap();
    request.for_svid(&workload().id, &[]).unwrap_err()
}

/// A request that is refused for each reason of the family.
fn examples() -> Vec<Reason> {
    let world = World::new();
    let mut of_state = World::new();
    let life = LifeCycle::prepared(now(), now().plus(60));
    let prepared = world.intermediate.as_ref().clone().with_life(life);
    of_state.intermediate = Arc::new(prepared);
    let mut late = World::new();
    late.now = now().plus(86_401);

    let mut audience = bearer();
    audience.audiences.clear();
    let mut dns_name = workload();
    dns_name.dns_names = vec!["*.example.com".to_owned()];
    let mut outside = workload();
    outside.id = SpiffeId::parse("spiffe://other.test/api").unwrap();
    let mut rsa = workload();
    rsa.public_half = half(&Key::rsa(RsaTestKey::A));
    let mut brief = workload();
    brief.ttl = Some(1);
    let (key, other) = (Key::p256("a"), Key::p256("b"));
    vec![
        refused(world.jwt(audience)),
        refused(late.x509(workload())),
        refused(of_state.x509(workload())),
        refused(world.x509(dns_name)),
        refused(world.x509(outside)),
        refused(world.x509(rsa)),
        PublicHalf::from_info(b"no key").unwrap_err(),
        PublicHalf::from_signing_request(b"no request").unwrap_err(),
        PublicHalf::from_signing_request(&signing_request(&key, &other)).unwrap_err(),
        ca_request(&key),
        refused(world.x509(brief)),
    ]
}

/// Reasons that the server gives before the issuer is asked; its own tests have their examples.
const OF_THE_SERVER: &[&str] = &[
    "issue.actor_not_allowed",
    "issue.assurance_insufficient",
    "issue.attestation_fact_missing",
    "issue.attestation_malformed",
    "issue.attestation_not_proven",
    "issue.attestor_unknown",
    "issue.authority_in_use",
    "issue.authority_no_successor",
    "issue.authority_not_held",
    "issue.body_malformed",
    "issue.bootstrap_ca_mismatch",
    "issue.bootstrap_node",
    "issue.bootstrap_token_expired",
    "issue.bootstrap_token_unknown",
    "issue.bootstrap_token_used",
    "issue.bootstrap_unpinned",
    "issue.bound_exceeded",
    "issue.client_not_authenticated",
    "issue.cluster_request_refused",
    "issue.cluster_signer_unknown",
    "issue.conflict",
    "issue.credential_missing",
    "issue.delegation_refused",
    "issue.egress_bearer",
    "issue.egress_busy",
    "issue.egress_key_waits",
    "issue.egress_leak",
    "issue.egress_not_permitted",
    "issue.egress_path",
    "issue.egress_rate_exceeded",
    "issue.endings_exceeded",
    "issue.entry_expired",
    "issue.entry_unfilled",
    "issue.event_audience",
    "issue.event_issuer_unknown",
    "issue.event_key",
    "issue.event_malformed",
    "issue.event_state",
    "issue.event_subject",
    "issue.event_time",
    "issue.events_exceeded",
    "issue.exchange_not_admitted",
    "issue.grant_unsupported",
    "issue.id_reserved",
    "issue.identity_administers",
    "issue.join_token_expired",
    "issue.join_token_unknown",
    "issue.join_token_used",
    "issue.key_address_refused",
    "issue.key_awaited",
    "issue.lineage_broken",
    "issue.method_not_allowed",
    "issue.name_resurrected",
    "issue.names_exceeded",
    "issue.node_joined_already",
    "issue.node_name_taken",
    "issue.node_not_admitted",
    "issue.node_renews_too_often",
    "issue.nonce_required",
    "issue.not_permitted",
    "issue.object_malformed",
    "issue.object_unknown",
    "issue.proof_invalid",
    "issue.proof_required",
    "issue.proxy_restricted",
    "issue.quota_exceeded",
    "issue.rate_exceeded",
    "issue.release_stale",
    "issue.removal_unconfirmed",
    "issue.revocation_unsupported",
    "issue.revocation_untold",
    "issue.scope_not_allowed",
    "issue.ssh_authority_unknown",
    "issue.ssh_challenge",
    "issue.ssh_not_a_host",
    "issue.ssh_not_signed",
    "issue.ssh_not_valid",
    "issue.ssh_option_unknown",
    "issue.ssh_principal",
    "issue.subject_ends_soon",
    "issue.target_not_allowed",
    "issue.template_unfit",
    "issue.token_of_another",
    "issue.token_review_refused",
    "issue.token_type_false",
    "issue.token_type_unsupported",
    "issue.token_used",
    "issue.tpm_certificate_purpose",
    "issue.tpm_endorsement_key",
    "issue.tpm_endorsement_unknown",
    "issue.tpm_key_attributes",
    "issue.tpm_node_key",
    "issue.tpm_node_key_kept",
    "issue.tpm_not_activated",
    "issue.tpm_not_signed",
    "issue.tpm_register",
    "issue.tpm_registers",
    "issue.tpm_statement_stale",
    "issue.trust_mutable",
    "issue.trust_unconditional",
    "issue.undecided",
    "issue.upstream_key",
    "issue.upstream_malformed",
    "issue.webhook_malformed",
    "issue.webhook_not_permitted",
    "issue.webhook_signature",
    "issue.webhook_stale",
    "issue.precondition_failed",
];

#[test]
fn every_reason_of_issuing_has_an_example() {
    let seen: BTreeMap<&str, String> = examples()
        .iter()
        .map(|reason| (reason.code(), reason.sentence()))
        .collect();
    let family = CATALOGUE
        .iter()
        .filter(|entry| entry.family == Family::Issue && !OF_THE_SERVER.contains(&entry.code));
    let expected: Vec<&str> = family.map(|entry| entry.code).collect();
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected);
    for (code, sentence) in seen {
        assert!(!sentence.contains(['{', '}']), "{code}: {sentence}");
    }
}

#[test]
fn an_authority_before_its_turn_says_so() {
    let reasons = examples();
    let reason = reasons
        .iter()
        .find(|reason| reason.code() == "issue.authority_state")
        .unwrap();
    assert!(
        reason
            .sentence()
            .ends_with("is prepared, so it cannot sign.")
    );
    let reason = reasons
        .iter()
        .find(|reason| reason.code() == "issue.ttl_out_of_bounds")
        .unwrap();
    assert_eq!(
        reason.sentence(),
        "A credential for 1 second is not issued here; the profile allows 60 to 86400."
    );
}

#[test]
fn a_signing_request_gives_its_key_and_nothing_else() {
    let key = Key::p256("a");
    let half = PublicHalf::from_signing_request(&signing_request(&key, &key)).unwrap();
    assert_eq!(half.info(), key.public_key_info());
}

#[test]
fn the_id_of_the_trust_domain_itself_is_not_for_workloads() {
    let id = SpiffeId::parse("spiffe://demo.avouch.test").unwrap();
    let world = World::new();
    let mut x509 = workload();
    x509.id = id.clone();
    let mut jwt = bearer();
    jwt.id = id.clone();
    let mut wit = holder(&Key::p256("a"));
    wit.id = id;
    for reason in [
        refused(world.x509(x509)),
        refused(world.jwt(jwt)),
        refused(world.wit(wit)),
    ] {
        assert_eq!(reason.code(), "spiffe.leaf_id_without_path");
    }
    assert!(world.log.all().is_empty());
}

#[test]
fn a_token_is_not_issued_for_audiences_without_bound() {
    let world = World::new();
    for audiences in [
        vec![String::new()],
        vec!["a".to_owned(), String::new()],
        vec!["a".repeat(2_049)],
        vec!["a".to_owned(); 9],
    ] {
        let mut request = bearer();
        request.audiences = audiences;
        assert_eq!(refused(world.jwt(request)).code(), "issue.audience_invalid");
    }
}

#[test]
fn a_wit_is_not_issued_for_a_key_whose_algorithm_spiffe_does_not_allow() {
    let world = World::new();
    for key in [Key::ed25519("a"), Key::rsa(RsaTestKey::A)] {
        let reason = refused(world.wit(holder(&key)));
        assert_eq!(reason.code(), "issue.key_not_accepted");
    }
}
