//! SSH: certificates under authorities, listed keys, and the proof that whoever shows one holds it.

use avouch_core::credential::Credential;
use avouch_core::question::ExpectedName;
use avouch_core::time::Time;
use avouch_core::verdict::{Assurance, Effect, IdentityKind, Need, TrustModel, Verdict};
use avouch_testkit::key::Key;
use avouch_testkit::ssh::{NAMESPACE, SshForge, proof, public_line, statement};
use avouch_testkit::token::NOW_SECONDS;
use serde_json::{Value, json};

use crate::token_ask::{AUDIENCE, Ask};

const CHALLENGE: &str = "a-challenge";

fn authority() -> Key {
    Key::ed25519("ca")
}

fn holder() -> Key {
    Key::ed25519("holder")
}

fn users(principals: &[&str]) -> Value {
    let mut anchor = json!({"ssh": {
        "authorities": [public_line(&authority())], "certify": "users",
    }});
    if !principals.is_empty() {
        anchor["ssh"]["principals"] = json!(principals);
    }
    anchor
}

fn hosts() -> Value {
    json!({"ssh": {"authorities": [public_line(&authority())], "certify": "hosts"}})
}

fn deploy() -> SshForge {
    SshForge::user(&holder(), &["deploy"])
}

fn ask(key: &str) -> Ask {
    Ask::ssh(key, None).trust(&users(&["deploy"]))
}

fn proved(proof: &str) -> Ask {
    let certificate = deploy().sign(&authority());
    Ask::ssh(&certificate, Some(proof))
        .nonce(CHALLENGE)
        .trust(&users(&["deploy"]))
}

#[test]
fn a_user_whom_an_authority_certifies_is_its_principal() {
    let identity = ask(&deploy().sign(&authority())).identity();
    assert!(
        identity.name().starts_with("ssh:SHA256:"),
        "{}",
        identity.name()
    );
    assert!(identity.name().ends_with("#deploy"), "{}", identity.name());
    assert_eq!(identity.kind(), IdentityKind::Ssh);
    assert_eq!(identity.model(), TrustModel::Pki);
    // Whoever has seen a certificate can show it: without a proof, its holder is still to prove, and
    // where a challenge was given out is not believed.
    let unproved = Ask::ssh(&deploy().sign(&authority()), None).trust(&users(&["deploy"]));
    unproved.nonce(CHALLENGE).is_refused("ssh.proof_missing");
    assert_eq!(identity.assurance(), Assurance::HolderOfKey);
    let facts = identity.facts();
    assert_eq!(facts["subject"], "deploy");
    assert_eq!(facts["ssh.principal"], "deploy");
    assert_eq!(facts["ssh.key_id"], "laptop of a person");
    assert_eq!(facts["ssh.serial"], "7");
    assert_eq!(facts["ssh.kind"], "user");
    assert_eq!(identity.valid_until(), Time::from_unix(1_735_689_599));
}

#[test]
fn a_proof_for_this_challenge_and_this_relying_party_shows_who_holds_the_key() {
    let good = proof(&holder(), NAMESPACE, &statement(AUDIENCE, CHALLENGE));
    let asked = proved(&good);
    let identity = asked.identity();
    assert_eq!(identity.assurance(), Assurance::ProofOfPossession);
    let Verdict::Accept(sealed) = asked.decide() else {
        panic!("it is refused");
    };
    let [Effect::ConsumeNonce { nonce, .. }] = sealed.effects() else {
        panic!("{:?}", sealed.effects());
    };
    assert_eq!(nonce, CHALLENGE);

    let over = |key: &Key, namespace: &str, audience: &str, challenge: &str| {
        proof(key, namespace, &statement(audience, challenge))
    };
    for (made, code) in [
        (
            over(&holder(), "file", AUDIENCE, CHALLENGE),
            "ssh.proof_namespace",
        ),
        (
            over(&holder(), "proof@avouch2", AUDIENCE, CHALLENGE),
            "ssh.proof_namespace",
        ),
        (
            over(&Key::ed25519("thief"), NAMESPACE, AUDIENCE, CHALLENGE),
            "ssh.proof_key",
        ),
        (
            over(&holder(), NAMESPACE, AUDIENCE, "another"),
            "ssh.proof_invalid",
        ),
        (
            over(&holder(), NAMESPACE, "elsewhere", CHALLENGE),
            "ssh.proof_invalid",
        ),
        (proof(&holder(), NAMESPACE, CHALLENGE), "ssh.proof_invalid"),
        ("no proof".to_owned(), "input.ssh_malformed"),
        ("x".repeat(9_000), "limit.input_size"),
    ] {
        proved(&made).is_refused(code);
    }
    // What is missing to tell is told, and is neither yes nor no.
    let unasked = Ask::ssh(&deploy().sign(&authority()), Some(&good)).trust(&users(&["deploy"]));
    assert_eq!(unasked.needs(), [Need::Challenge]);
    assert_eq!(proved(&good).audiences(&[]).needs(), [Need::Audience]);
}

#[test]
fn what_no_authority_vouches_for_is_refused_and_its_near_miss_is_not() {
    let ca = authority();
    for (line, code) in [
        (
            deploy().sign(&Key::ed25519("another")),
            "ssh.authority_unknown",
        ),
        (
            deploy().signed_as(&ca, &Key::ed25519("forger")),
            "ssh.not_signed",
        ),
        (
            SshForge::host(&holder(), &["deploy"]).sign(&ca),
            "ssh.kind_mismatch",
        ),
        (
            SshForge::user(&ca, &["deploy"]).sign(&ca),
            "ssh.kind_mismatch",
        ),
        (
            deploy().option("force-command", "/bin/true").sign(&ca),
            "ssh.option_not_honoured",
        ),
        (
            deploy().option("source-address", "::/0").sign(&ca),
            "ssh.option_not_honoured",
        ),
        (
            deploy().option("verify-required", "").sign(&ca),
            "ssh.option_not_honoured",
        ),
        (
            deploy().option("permit@example.com", "").sign(&ca),
            "ssh.option_unknown",
        ),
        (
            SshForge::user(&holder(), &[]).sign(&ca),
            "ssh.principal_missing",
        ),
        (
            SshForge::user(&holder(), &[""]).sign(&ca),
            "ssh.principal_missing",
        ),
        (
            SshForge::user(&holder(), &["Deploy"]).sign(&ca),
            "ssh.principal_not_accepted",
        ),
        (
            SshForge::user(&holder(), &["deploy "]).sign(&ca),
            "ssh.principal_not_accepted",
        ),
        (public_line(&holder()), "ssh.key_unknown"),
        (public_line(&ca), "ssh.key_unknown"),
        ("ssh-ed25519 AAAA".to_owned(), "input.ssh_malformed"),
        (
            "ssh-ed25519-cert-v01@openssh.com AAAA".to_owned(),
            "input.ssh_malformed",
        ),
    ] {
        ask(&line).is_refused(code);
    }
    // Of several names the one that the anchor takes is meant.
    ask(&SshForge::user(&holder(), &["admin", "deploy"]).sign(&ca)).is_accepted();
    let two = SshForge::user(&holder(), &["admin", "deploy"]).sign(&ca);
    let open = Ask::ssh(&two, None).trust(&users(&[]));
    open.is_refused("ssh.principal_ambiguous");
    Ask::ssh(&deploy().sign(&ca), None)
        .trust(&users(&[]))
        .is_accepted();
    Ask::ssh(&two, None).is_refused("policy.no_anchors");
}

#[test]
fn a_certificate_holds_from_its_first_second_to_the_one_before_its_last() {
    let now = u64::try_from(NOW_SECONDS).unwrap();
    let valid = |from: u64, until: u64| ask(&deploy().valid(from, until).sign(&authority()));
    valid(now, now + 1).is_accepted();
    valid(0, u64::MAX).is_accepted();
    valid(now + 1, now + 2).is_refused("ssh.not_yet_valid");
    valid(now - 1, now).is_refused("ssh.expired");
    valid(now, 0).is_refused("ssh.expired");
    ask(&deploy().sign(&authority()))
        .with_anchor(|anchor| anchor.stewardship.expires = Some(Time::from_unix(NOW_SECONDS)))
        .is_refused("policy.anchor_expired");
}

#[test]
fn a_host_is_the_name_that_is_expected_of_it() {
    let names = ["web-1.example.com", "web.example.com"];
    let line = SshForge::host(&holder(), &names).sign(&authority());
    let host = |name: &str| {
        Ask::ssh(&line, None)
            .trust(&hosts())
            .expect(ExpectedName::Dns(name.to_owned()))
    };
    assert!(
        host("WEB-1.example.com")
            .identity()
            .name()
            .ends_with("#web-1.example.com")
    );
    host("web-2.example.com").is_refused("ssh.name_mismatch");
    // Who connects to an address means the host that is certified for it.
    let addressed = SshForge::host(&holder(), &["10.0.0.1", "fd00:0::1"]).sign(&authority());
    let at = |address: &str| {
        let expected = ExpectedName::Ip(address.parse().unwrap());
        Ask::ssh(&addressed, None).trust(&hosts()).expect(expected)
    };
    at("10.0.0.1").is_accepted();
    at("fd00::1").is_accepted();
    at("10.0.0.2").is_refused("ssh.name_mismatch");
    Ask::ssh(&line, None)
        .trust(&hosts())
        .is_refused("ssh.principal_ambiguous");
    Ask::ssh(&deploy().sign(&authority()), None)
        .trust(&hosts())
        .is_refused("ssh.kind_mismatch");
    let bounded = |domain: &str| {
        let domain = domain.to_owned();
        host("web.example.com").with_anchor(|anchor| anchor.constraints.dns = vec![domain])
    };
    bounded("example.com").is_accepted();
    bounded("example.org").is_refused("policy.anchor_name");
    // An authority that is bound to names of hosts vouches for no user.
    ask(&deploy().sign(&authority()))
        .with_anchor(|anchor| anchor.constraints.dns = vec!["example.com".to_owned()])
        .is_refused("policy.anchor_name");
}

#[test]
fn of_several_lines_none_is_taken_for_what_is_asked_about() {
    let (good, other) = (deploy().sign(&authority()), public_line(&Key::ed25519("b")));
    ask(&format!("{good}\n")).is_accepted();
    for text in [
        format!("{good}\n{other}"),
        format!("{good}\r{other}"),
        format!("{other}\n{good}"),
        format!("{other}\n{other}"),
        format!("# a comment\n{good}"),
        format!("db.example.com {good}"),
        format!("restrict,command=\"x\" {other}"),
    ] {
        ask(&text).is_refused("input.ssh_malformed");
    }
}

#[test]
fn a_key_that_is_listed_is_its_own_anchor() {
    let listed = json!({"ssh": {"keys": [public_line(&holder())], "subject": "robot"}});
    let identity = Ask::ssh(&public_line(&holder()), None)
        .trust(&listed)
        .identity();
    assert!(identity.name().ends_with("#robot"));
    assert_eq!(identity.facts()["ssh.kind"], "key");
    let said = statement(AUDIENCE, CHALLENGE);
    let with = |key: &Key| {
        let made = proof(key, NAMESPACE, &said);
        let asked = Ask::ssh(&public_line(&holder()), Some(&made));
        asked.nonce(CHALLENGE).trust(&listed)
    };
    with(&holder()).is_accepted();
    with(&Key::ed25519("thief")).is_refused("ssh.proof_key");
    let shown = Ask::ssh(&public_line(&holder()), None).trust(&listed);
    shown.nonce(CHALLENGE).is_refused("ssh.proof_missing");
    Ask::ssh(&public_line(&Key::ed25519("other")), None)
        .trust(&listed)
        .is_refused("ssh.key_unknown");
    // A key that is listed certifies nobody.
    let by_listed = SshForge::user(&Key::ed25519("other"), &["robot"]).sign(&holder());
    Ask::ssh(&by_listed, None)
        .trust(&listed)
        .is_refused("ssh.authority_unknown");
}

#[test]
fn an_anchor_of_ssh_says_whom_it_certifies_and_names_keys_that_can_be_checked() {
    let line = public_line(&authority());
    for wrong in [
        json!({}),
        json!({"authorities": [line]}),
        json!({"authorities": [line], "certify": "everyone"}),
        json!({"authorities": [], "certify": "users"}),
        json!({"authorities": ["ssh-ed25519 AAAA"], "certify": "users"}),
        json!({"authorities": [line], "certify": "users", "principals": []}),
        json!({"authorities": [line], "certify": "users", "principals": ["*"]}),
        json!({"authorities": [line], "certify": "users", "subject": "x"}),
        json!({"keys": [line]}),
        json!({"keys": [line], "subject": "x", "certify": "users"}),
        json!("x"),
    ] {
        let read = crate::token_ask::read_anchor(&json!({"ssh": wrong}));
        assert_eq!(
            read.unwrap_err().code(),
            "input.trust_document_malformed",
            "{wrong}"
        );
    }
}

#[test]
fn a_key_of_ssh_and_its_proof_are_not_shown_by_their_debug() {
    let credential = Credential::Ssh {
        key: public_line(&holder()),
        proof: Some("SECRET".to_owned()),
    };
    assert!(!format!("{credential:?}").contains("SECRET"));
    assert_eq!(credential.kind(), "ssh");
}
