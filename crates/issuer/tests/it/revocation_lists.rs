//! Revocation lists, as the core and OpenSSL see them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use avouch_core::credential::x509::Crl;
use avouch_issuer::BACKDATE;
use avouch_issuer::authority::X509Authority;
use avouch_issuer::fault::NotIssued;
use avouch_issuer::intent::CredentialKind;
use avouch_issuer::life_cycle::{LifeCycle, State};
use avouch_issuer::random::SystemRandom;
use avouch_issuer::revocation_list::{RevocationList, Revoked};
use avouch_issuer::signer::SigningKind;
use avouch_issuer::stages::issue_one;
use avouch_testkit::world::pem;

use crate::world::{World, now, plan, workload};

const WEEK: u32 = 7 * 86_400;

fn list(
    world: &World,
    authority: &Arc<X509Authority>,
    revoked: &[&str],
    number: u64,
) -> RevocationList {
    let revoked = revoked.iter().map(|serial| Revoked {
        serial: (*serial).to_owned(),
        at: world.now,
        reason: 1,
    });
    let prepared = authority.prepare_revocation_list(
        revoked.collect(),
        number,
        WEEK,
        world.now,
        &SystemRandom,
    );
    issue_one(prepared.unwrap(), &world.log).unwrap()
}

#[test]
fn a_list_is_recorded_and_says_what_is_revoked_and_until_when_it_counts() {
    let world = World::new();
    let svid = world.x509(workload()).unwrap();
    let made = list(&world, &world.intermediate, &[&svid.serial, "00ff"], 7);
    let read = Crl::parse(&made.der).unwrap();
    assert_eq!(read.len(), 2);
    // As a certificate: for a verifier whose clock is a little late.
    assert_eq!(read.this_update(), world.now.plus(-BACKDATE));
    assert_eq!(made.this_update, read.this_update());
    assert_eq!(read.next_update(), Some(world.now.plus(i64::from(WEEK))));
    assert_eq!(
        (made.number, made.next_update),
        (7, world.now.plus(i64::from(WEEK)))
    );
    let intents = world.log.all();
    let intent = intents.last().unwrap();
    assert_eq!(intent.kind, CredentialKind::RevocationList);
    assert_eq!(intent.authority, world.intermediate.id());
    assert!(intent.serial.starts_with("crl-7-"));
    let empty = list(&world, &world.root, &[], 1);
    assert!(Crl::parse(&empty.der).unwrap().is_empty());
}

#[test]
fn an_authority_that_signs_no_more_still_signs_lists_until_it_is_revoked() {
    let world = World::new();
    let refused = |state, at| {
        let life = LifeCycle::stored(state, now(), now().plus(86_400));
        let authority = Arc::new(X509Authority::clone(&world.intermediate).with_life(life));
        let prepared = authority.prepare_revocation_list(Vec::new(), 1, WEEK, at, &SystemRandom);
        match prepared {
            Ok(prepared) => {
                issue_one(prepared, &world.log).unwrap();
                None
            }
            Err(NotIssued::Refused(reason)) => Some(reason.code()),
            Err(NotIssued::Failed(fault)) => panic!("{fault}"),
        }
    };
    for state in [
        State::Prepared,
        State::Active,
        State::Retired,
        State::Tainted,
    ] {
        assert_eq!(refused(state, now()), None, "{state:?}");
    }
    for state in [State::Requested, State::Revoked] {
        assert_eq!(refused(state, now()), Some("issue.authority_state"));
    }
    let late = now().plus(86_401);
    assert_eq!(
        refused(State::Retired, late),
        Some("issue.authority_expired")
    );
}

#[test]
fn openssl_checks_the_list_and_refuses_what_it_names() {
    for kind in [SigningKind::P256, SigningKind::Ed25519, SigningKind::Rsa] {
        let world = World::planned(&plan(), kind, now());
        let (good, bad) = (
            world.x509(workload()).unwrap(),
            world.x509(workload()).unwrap(),
        );
        let lists = [
            list(&world, &world.intermediate, &[&bad.serial], 2),
            list(&world, &world.root, &[], 1),
        ];
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("crl-{}-{kind:?}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, label: &str, ders: &[&[u8]]| {
            let text: String = ders.iter().map(|der| pem(label, der)).collect();
            fs::write(folder.join(name), text).unwrap();
        };
        write("root.pem", "CERTIFICATE", &[world.root.certificate().der()]);
        write("int.pem", "CERTIFICATE", &[&good.chain[1]]);
        write("good.pem", "CERTIFICATE", &[&good.chain[0]]);
        write("bad.pem", "CERTIFICATE", &[&bad.chain[0]]);
        write("list.pem", "X509 CRL", &[&lists[0].der]);
        write("lists.pem", "X509 CRL", &[&lists[0].der, &lists[1].der]);
        let openssl = |arguments: &[&str]| {
            let run = Command::new("openssl")
                .args(arguments)
                .current_dir(&folder)
                .output();
            run.ok().map(|run| {
                let told = [run.stdout, run.stderr].concat();
                (
                    run.status.success(),
                    String::from_utf8_lossy(&told).into_owned(),
                )
            })
        };
        let at = world.now.unix().to_string();
        let verify = |leaf: &str| {
            openssl(&[
                "verify",
                "-attime",
                &at,
                "-crl_check_all",
                "-x509_strict",
                "-CAfile",
                "root.pem",
                "-untrusted",
                "int.pem",
                "-CRLfile",
                "lists.pem",
                leaf,
            ])
        };
        let Some(checked) = openssl(&[
            "crl", "-in", "list.pem", "-CAfile", "int.pem", "-noout", "-verify",
        ]) else {
            println!("skipped: revocation lists under OpenSSL: there is no openssl here");
            return;
        };
        assert!(checked.1.contains("verify OK"), "{}", checked.1);
        let (holds, told) = verify("good.pem").unwrap();
        assert!(holds, "{told}");
        let (holds, told) = verify("bad.pem").unwrap();
        assert!(!holds && told.contains("certificate revoked"), "{told}");
        fs::remove_dir_all(&folder).unwrap();
    }
}

/// As of an authority below a root that was made a moment ago: the list is dated to before that.
#[test]
fn a_list_below_a_root_that_has_just_begun_is_signed() {
    let begins = now().plus(BACKDATE);
    let world = World::planned(&plan(), SigningKind::P256, begins);
    let life = LifeCycle::stored(State::Active, now().plus(-60), now().plus(86_400));
    let authority = Arc::new(X509Authority::clone(&world.intermediate).with_life(life));
    let prepared = authority.prepare_revocation_list(Vec::new(), 1, WEEK, begins, &SystemRandom);
    let made = issue_one(prepared.unwrap(), &world.log).unwrap();
    assert_eq!(made.this_update, begins.plus(-BACKDATE));
    let late = now().plus(5);
    let prepared = authority.prepare_revocation_list(Vec::new(), 2, WEEK, late, &SystemRandom);
    // Its root began at `now()`; the list is dated before.
    let made = issue_one(prepared.unwrap(), &world.log).unwrap();
    assert_eq!(made.this_update, late.plus(-BACKDATE));
}
