//! Machines that show their TPM: what the agent makes of `swtpm` is sent to the server, whole and in
//! every way that it could be forged.

use avouch_agent::node::{Evidence as Showing, Preparation};
use avouch_api::grpc::node::evidence::Shown;
use avouch_api::grpc::node::{Evidence, TpmPossession};
use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use avouch_server::Refused;
use avouch_server::nodes::Membership;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension::{SERVER_AUTH, extended_key_usage};
use avouch_testkit::key::Key;
use avouch_testkit::outside::Missing;
use avouch_testkit::swtpm::{SoftTpm, TpmMaker};
use avouch_testkit::world::{Authority, pem};
use serde_json::{Value, json};

use crate::attesting::{Asked, by, code, put};
use crate::world::{World, signing_request};

/// `tcg-kp-EKCertificate`.
const ENDORSEMENT: &str = "2.23.133.8.1";

/// Attributes of keys (TPM 2.0 Library Part 2, 8.3.2), and where they stand in a public area.
const FIXED_TPM: u32 = 0x2;
const RESTRICTED: u32 = 0x1_0000;
const ATTRIBUTES: std::ops::Range<usize> = 4..8;

/// A TPM that is asked, and what it is asked.
struct Machine {
    preparation: Preparation,
    asked: Asked,
}

impl Machine {
    fn new(tpm: &SoftTpm) -> Self {
        Self::with(tpm, None)
    }

    fn with(tpm: &SoftTpm, certificate: Option<std::path::PathBuf>) -> Self {
        let showing = Showing::Tpm {
            device: tpm.socket(),
            certificate,
        };
        let mut preparation = showing.prepare().unwrap();
        let mut asked = Asked::new(by("tpm"));
        (_, asked.request) = preparation.key_and_request().unwrap();
        Self { preparation, asked }
    }

    fn shown(&mut self) -> TpmPossession {
        match self.preparation.shown(&self.asked.statement()).unwrap() {
            Shown::Tpm(shown) => shown,
            _ => panic!("not what a TPM shows"),
        }
    }

    /// Sends it, and opens what is sealed for it if it can.
    fn send(&mut self, world: &World, shown: TpmPossession) -> Result<Membership, Refused> {
        let (asked, plane) = (&self.asked, &world.plane);
        let evidence = Evidence {
            signing_request: asked.request.clone(),
            shown: Some(Shown::Tpm(shown)),
        };
        let sealing = plane.sealing_for(&asked.intention, &evidence)?.unwrap();
        let opened = self.preparation.open(sealing.sealed()).unwrap_or_default();
        let opened = Some(sealing.open(&opened)?);
        let opened = opened.as_ref();
        plane.attest(&asked.intention, &asked.challenge, &evidence, None, opened)
    }
}

fn attestor(world: &World, maker: &TpmMaker, more: &Value) {
    let mut document = json!({
        "method": "tpm",
        "trust": {"anchors": [{"x509": maker.authority()}]},
    });
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    put(world, "tpm", &document);
}

fn facts(world: &World, member: &Membership) -> Vec<String> {
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    tenant.read(|held| {
        let node = held.nodes.values().find(|node| node.spiffe_id == member.id);
        node.unwrap()
            .facts
            .iter()
            .map(ToString::to_string)
            .collect()
    })
}

fn makers() -> Result<(TpmMaker, SoftTpm), Missing> {
    let maker = TpmMaker::new()?;
    let tpm = maker.tpm()?;
    Ok((maker, tpm))
}

fn without(area: &[u8], attribute: u32) -> Vec<u8> {
    let mut area = area.to_vec();
    let attributes = u32::from_be_bytes(area[ATTRIBUTES].try_into().unwrap());
    assert_ne!(attributes & attribute, 0);
    area[ATTRIBUTES].copy_from_slice(&(attributes & !attribute).to_be_bytes());
    area
}

#[test]
fn a_machine_with_a_tpm_of_a_known_maker_joins_and_is_known_by_it() {
    let (maker, tpm) = match makers() {
        Ok(made) => made,
        Err(why) => return println!("skipped: TPMs: {why}"),
    };
    let world = World::new();
    attestor(&world, &maker, &json!({"pcrs": [0, 7]}));
    let mut machine = Machine::new(&tpm);
    let shown = machine.shown();
    let first = machine.send(&world, shown.clone()).unwrap();
    let facts = facts(&world, &first);
    let key = Digest::of(&endorsement_info(&shown)).to_string();
    for fact in [
        "key_storage:tpm",
        "tpm:manufacturer:id:00001014",
        "tpm:model:swtpm",
        &format!("tpm:pcr:7:{}", "00".repeat(32)),
        &format!("tpm:ek:{key}"),
    ] {
        assert!(facts.contains(&fact.to_owned()), "{fact}: {facts:?}");
    }
    assert!(!facts.iter().any(|fact| fact.starts_with("tpm:pcr:1:")));
    // After another start, with other keys, it is the same node.
    drop(machine);
    let mut again = Machine::new(&tpm);
    let shown = again.shown();
    assert_eq!(again.send(&world, shown).unwrap().id, first.id);
    // A key on a curve is as good as one of RSA: here the key itself is on the list.
    let dummy = tempfile::NamedTempFile::new().unwrap();
    let leaf =
        Authority::root("any").issue(CertificateForge::server_with("any", &Key::p256("any")));
    std::fs::write(dummy.path(), pem("CERTIFICATE", &leaf)).unwrap();
    drop(again);
    let mut on_curve = Machine::with(&tpm, Some(dummy.path().to_owned()));
    let shown = on_curve.shown();
    let key = Digest::of(&endorsement_info(&shown)).to_string();
    put(
        &world,
        "tpm",
        &json!({"method": "tpm", "endorsement_keys": [key]}),
    );
    let listed = on_curve.send(&world, shown).unwrap();
    assert_ne!(listed.id, first.id);
}

/// The endorsement key as a `SubjectPublicKeyInfo`.
fn endorsement_info(shown: &TpmPossession) -> Vec<u8> {
    let area = avouch_core::credential::tpm::PublicArea::parse(&shown.endorsement_key);
    area.unwrap().key_info().to_vec()
}

#[test]
fn only_a_tpm_of_a_known_maker_or_of_the_list_is_believed() {
    let (maker, tpm) = match makers() {
        Ok(made) => made,
        Err(why) => return println!("skipped: TPMs: {why}"),
    };
    let world = World::new();
    let stranger = TpmMaker::new().unwrap();
    let strange = stranger.tpm().unwrap();
    attestor(&world, &maker, &json!({}));
    // Both makers call their authority alike.
    let mut theirs = Machine::new(&strange);
    let shown = theirs.shown();
    assert_eq!(
        code(theirs.send(&world, shown.clone())),
        "pki.signature_invalid"
    );
    let mut ours = Machine::new(&tpm);
    let own = ours.shown();
    let send = |ours: &mut Machine, change: &dyn Fn(&mut TpmPossession)| {
        let mut changed = own.clone();
        change(&mut changed);
        ours.send(&world, changed)
    };
    // The certificate of one TPM, and the endorsement key of another.
    let mixed = send(&mut ours, &|one| {
        one.certificates.clone_from(&shown.certificates)
    });
    assert_eq!(code(mixed), "issue.tpm_endorsement_key");
    let none = send(&mut ours, &|one| one.certificates.clear());
    assert_eq!(code(none), "issue.attestation_malformed");
    // The same authority certifies other keys too, which anyone may hold.
    let authority = Authority::root("maker of many things");
    let trust = json!({"anchors": [{"x509": pem("CERTIFICATE", &authority.certificate)}]});
    put(&world, "tpm", &json!({"method": "tpm", "trust": trust}));
    let certified = |usage: &str| {
        let forge = CertificateForge::server_with("tpm", &Key::p256("placeholder"));
        let forge = forge.public_key_info(endorsement_info(&own));
        let forge = forge.valid("2020-01-01T00:00:00Z", "2045-01-01T00:00:00Z");
        authority.issue(forge.with(extended_key_usage(&[usage])))
    };
    let other = send(&mut ours, &|one| {
        one.certificates = vec![certified(SERVER_AUTH)]
    });
    assert_eq!(code(other), "issue.tpm_certificate_purpose");
    send(&mut ours, &|one| {
        one.certificates = vec![certified(ENDORSEMENT)]
    })
    .unwrap();
    // A list narrows what makers vouch for.
    let listed = |key: String| attestor(&world, &maker, &json!({"endorsement_keys": [key]}));
    listed("00".repeat(32));
    assert_eq!(
        code(send(&mut ours, &|_| ())),
        "issue.tpm_endorsement_unknown"
    );
    listed(Digest::of(&endorsement_info(&own)).to_string());
    send(&mut ours, &|_| ()).unwrap();
}

#[test]
fn what_does_not_come_from_one_tpm_proves_nothing() {
    let (maker, tpm) = match makers() {
        Ok(made) => made,
        Err(why) => return println!("skipped: TPMs: {why}"),
    };
    let other = maker.tpm().unwrap();
    let world = World::new();
    attestor(&world, &maker, &json!({}));
    let (mut ours, mut theirs) = (Machine::new(&tpm), Machine::new(&other));
    let (own, foreign) = (ours.shown(), theirs.shown());
    ours.send(&world, own.clone()).unwrap();
    theirs.send(&world, foreign.clone()).unwrap();
    let refused = |machine: &mut Machine, change: &dyn Fn(&mut TpmPossession)| {
        let mut changed = own.clone();
        change(&mut changed);
        code(machine.send(&world, changed))
    };
    // All that another TPM says, under the endorsement key of this one: neither can open it.
    let with_their_statements = |one: &mut TpmPossession| {
        let (certificates, key) = (one.certificates.clone(), one.endorsement_key.clone());
        *one = foreign.clone();
        (one.certificates, one.endorsement_key) = (certificates, key);
    };
    for machine in [&mut ours, &mut theirs] {
        let found = refused(machine, &with_their_statements);
        assert_eq!(found, "issue.tpm_not_activated");
    }
    // Whoever has heard what a TPM said cannot open what is sealed for it.
    assert_eq!(refused(&mut theirs, &|_| ()), "issue.tpm_not_activated");
    // Nor does it help to open something else, or nothing.
    let sealed = |machine: &Machine| {
        let evidence = Evidence {
            signing_request: machine.asked.request.clone(),
            shown: Some(Shown::Tpm(own.clone())),
        };
        let sealing = world.plane.sealing_for(&machine.asked.intention, &evidence);
        (sealing.unwrap().unwrap(), evidence)
    };
    let (one, _) = sealed(&ours);
    let (two, evidence) = sealed(&ours);
    let opened = ours.preparation.open(one.sealed()).unwrap();
    let not_activated = Reason::IssueTpmNotActivated {};
    assert_eq!(two.open(&opened).unwrap_err(), not_activated);
    assert_eq!(one.open(&[]).unwrap_err(), not_activated);
    let asked = &ours.asked;
    let plane = &world.plane;
    let unopened = plane.attest(&asked.intention, &asked.challenge, &evidence, None, None);
    assert_eq!(code(unopened), "issue.tpm_not_activated");
    // What one TPM has opened says nothing about another.
    let (sealing, _) = sealed(&ours);
    let opened = ours.preparation.open(sealing.sealed()).unwrap();
    let opened = sealing.open(&opened).unwrap();
    let evidence = Evidence {
        signing_request: theirs.asked.request.clone(),
        shown: Some(Shown::Tpm(foreign.clone())),
    };
    let (asked, opened) = (&theirs.asked, Some(&opened));
    let lent = plane.attest(&asked.intention, &asked.challenge, &evidence, None, opened);
    assert_eq!(code(lent), "issue.tpm_not_activated");
}

#[test]
fn what_a_tpm_did_not_say_now_of_such_a_key_is_refused() {
    let (maker, tpm) = match makers() {
        Ok(made) => made,
        Err(why) => return println!("skipped: TPMs: {why}"),
    };
    let world = World::new();
    attestor(&world, &maker, &json!({}));
    let mut machine = Machine::new(&tpm);
    let own = machine.shown();
    let refused = |machine: &mut Machine, change: &dyn Fn(&mut TpmPossession)| {
        let mut changed = own.clone();
        change(&mut changed);
        code(machine.send(&world, changed))
    };
    // Keys that could be elsewhere, or that would sign anything.
    let found = refused(&mut machine, &|one| {
        one.attestation_key = without(&one.attestation_key, RESTRICTED);
    });
    assert_eq!(found, "issue.tpm_key_attributes");
    let found = refused(&mut machine, &|one| {
        one.endorsement_key = without(&one.endorsement_key, FIXED_TPM);
    });
    assert_eq!(found, "issue.tpm_key_attributes");
    let found = refused(&mut machine, &|one| {
        one.node_key = without(&one.node_key, FIXED_TPM)
    });
    assert_eq!(found, "issue.tpm_key_attributes");
    // A key that says of itself what the TPM does not say of it.
    let found = refused(&mut machine, &|one| {
        let mut area = one.node_key.clone();
        area[ATTRIBUTES.start + 2] ^= 0x04;
        one.node_key = area;
    });
    assert_eq!(found, "issue.tpm_node_key");
    // Another statement than the one that is asked for, and one that is not signed.
    let found = refused(&mut machine, &|one| one.certified = one.quoted.clone());
    assert_eq!(found, "issue.tpm_node_key");
    let found = refused(&mut machine, &|one| one.quoted = one.certified.clone());
    assert_eq!(found, "issue.tpm_registers");
    let flip = |statement: &mut Option<avouch_api::grpc::node::TpmStatement>| {
        let said = &mut statement.as_mut().unwrap().said;
        *said.last_mut().unwrap() ^= 1;
    };
    let found = refused(&mut machine, &|one| flip(&mut one.certified));
    assert_eq!(found, "issue.tpm_not_signed");
    let found = refused(&mut machine, &|one| flip(&mut one.quoted));
    assert_eq!(found, "issue.tpm_not_signed");
    // Measured otherwise than the TPM says.
    let found = refused(&mut machine, &|one| one.registers[7][0] ^= 1);
    assert_eq!(found, "issue.tpm_registers");
    let found = refused(&mut machine, &|one| drop(one.registers.pop()));
    assert_eq!(found, "issue.tpm_registers");
    // Said in answer to another challenge, or for another request.
    machine.asked.challenge = [8; 32];
    assert_eq!(refused(&mut machine, &|_| ()), "issue.tpm_statement_stale");
    let fresh = machine.shown();
    let found = refused(&mut machine, &|one| {
        one.certified.clone_from(&fresh.certified)
    });
    assert_eq!(found, "issue.tpm_statement_stale");
    machine.asked.request = signing_request(&Key::p256("a key outside of the TPM"));
    let elsewhere = machine.shown();
    assert_eq!(code(machine.send(&world, elsewhere)), "issue.tpm_node_key");
}

#[test]
fn what_cannot_be_read_or_is_too_long_is_refused() {
    let (maker, tpm) = match makers() {
        Ok(made) => made,
        Err(why) => return println!("skipped: TPMs: {why}"),
    };
    let world = World::new();
    attestor(&world, &maker, &json!({}));
    let mut machine = Machine::new(&tpm);
    let own = machine.shown();
    let refused = |machine: &mut Machine, change: &dyn Fn(&mut TpmPossession)| {
        let mut changed = own.clone();
        change(&mut changed);
        code(machine.send(&world, changed))
    };
    for bytes in [
        Vec::new(),
        own.attestation_key[..20].to_vec(),
        vec![0; 3000],
    ] {
        let expected = if bytes.len() > 2048 {
            "limit.input_size"
        } else {
            "issue.attestation_malformed"
        };
        let found = refused(&mut machine, &|one| one.attestation_key.clone_from(&bytes));
        assert_eq!(found, expected);
        let found = refused(&mut machine, &|one| one.endorsement_key.clone_from(&bytes));
        assert_eq!(found, expected);
    }
    let found = refused(&mut machine, &|one| one.attestation_key.push(0));
    assert_eq!(found, "issue.attestation_malformed");
    let found = refused(&mut machine, &|one| one.certified = None);
    assert_eq!(found, "issue.attestation_malformed");
}

#[test]
fn registers_must_have_values_that_the_attestor_takes() {
    let (maker, tpm) = match makers() {
        Ok(made) => made,
        Err(why) => return println!("skipped: TPMs: {why}"),
    };
    let world = World::new();
    let mut machine = Machine::new(&tpm);
    let own = machine.shown();
    let zero = "00".repeat(32);
    attestor(
        &world,
        &maker,
        &json!({"pcr_values": {"7": ["11".repeat(32)]}}),
    );
    let refused = machine.send(&world, own.clone()).unwrap_err();
    let Refused::Reason(reason) = refused else {
        panic!()
    };
    let text = reason.sentence();
    assert_eq!(reason.code(), "issue.tpm_register");
    assert!(
        text.contains(&zero) && text.contains("register 7"),
        "{text}"
    );
    attestor(&world, &maker, &json!({"pcr_values": {"7": [zero]}}));
    let member = machine.send(&world, own).unwrap();
    let fact = format!("tpm:pcr:7:{zero}");
    assert!(facts(&world, &member).contains(&fact));
    // What an attestor cannot mean is not kept.
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    for wrong in [
        json!({"method": "tpm"}),
        json!({"method": "tpm", "endorsement_keys": ["not a digest"]}),
        json!({"method": "tpm", "endorsement_keys": [zero], "pcrs": [16]}),
        json!({"method": "tpm", "endorsement_keys": [zero], "pcr_values": {"7": []}}),
        json!({"method": "tpm", "endorsement_keys": [zero], "pcr_values": {"x": [zero]}}),
        // Set back without a restart.
        json!({"method": "tpm", "endorsement_keys": [zero], "pcr_values": {"16": [zero]}}),
        json!({"method": "tpm", "endorsement_keys": [zero], "pcr_values": {"07": [zero]}}),
        json!({"method": "tpm", "endorsement_keys": [zero], "pcrs": [23]}),
        json!({"method": "tpm", "endorsement_keys": [zero], "domains": ["example.com"]}),
    ] {
        let put = world.plane.put_attestor(&tenant, "wrong", &wrong);
        assert!(put.is_err(), "{wrong}");
    }
    let last = json!({"endorsement_keys": [], "pcrs": [0, 15], "pcr_values": {"15": [zero]}});
    attestor(&world, &maker, &last);
}

#[test]
fn a_node_with_its_key_in_a_tpm_is_given_no_identity_with_another() {
    let (maker, tpm) = match makers() {
        Ok(made) => made,
        Err(why) => return println!("skipped: TPMs: {why}"),
    };
    let world = World::new();
    attestor(&world, &maker, &json!({}));
    let mut machine = Machine::new(&tpm);
    let own = machine.shown();
    let member = machine.send(&world, own).unwrap();
    let caller = world.plane.identify_client(member.certificates).unwrap();
    let node = world.plane.admit(&caller).unwrap();
    let other = signing_request(&Key::p256("in a file"));
    assert_eq!(
        code(world.plane.renew(&node, &other)),
        "issue.tpm_node_key_kept"
    );
    world.plane.renew(&node, &machine.asked.request).unwrap();
}
