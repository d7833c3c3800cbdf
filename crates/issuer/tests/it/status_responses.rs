//! Answers about certificates, as OpenSSL sees them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use avouch_core::credential::x509::{Certificate, StatusRequest};
use avouch_issuer::BACKDATE;
use avouch_issuer::fault::NotIssued;
use avouch_issuer::intent::CredentialKind;
use avouch_issuer::life_cycle::{LifeCycle, State};
use avouch_issuer::random::SystemRandom;
use avouch_issuer::signer::SigningKind;
use avouch_issuer::stages::issue_one;
use avouch_issuer::status_response::{CertificateStatus, StatusResponse, is_issued_by};
use avouch_testkit::world::pem;

use crate::world::{World, now, plan, workload};

const HOUR: u32 = 3_600;

/// A folder with the certificates of a world, and a leaf of it.
struct Files(PathBuf);

impl Files {
    fn of(world: &World, leaf: &[Vec<u8>], name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("ocsp-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, der) in [
            ("root.pem", world.root.certificate().der()),
            ("int.pem", leaf[1].as_slice()),
            ("leaf.pem", leaf[0].as_slice()),
        ] {
            fs::write(folder.join(name), pem("CERTIFICATE", der)).unwrap();
        }
        Self(folder)
    }

    /// What OpenSSL says, both what it prints and what it complains of; `None` without OpenSSL.
    fn openssl(&self, arguments: &[&str]) -> Option<String> {
        let ran = Command::new("openssl")
            .arg("ocsp")
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .ok()?;
        let (out, err) = (ran.stdout, ran.stderr);
        Some(String::from_utf8_lossy(&[out, err].concat()).into_owned())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

const LEAF: [&str; 4] = ["-issuer", "int.pem", "-cert", "leaf.pem"];

fn answer(world: &World, request: &StatusRequest, status: CertificateStatus) -> StatusResponse {
    let ids = request.certificates().iter();
    let answers: Vec<_> = ids.map(|id| (id, status)).collect();
    let nonce = request.nonce();
    let prepared =
        world
            .intermediate
            .prepare_status_response(&answers, nonce, HOUR, world.now, &SystemRandom);
    issue_one(prepared.unwrap(), &world.log).unwrap()
}

#[test]
fn openssl_believes_what_an_authority_answers_whatever_its_key() {
    for kind in [SigningKind::P256, SigningKind::Ed25519, SigningKind::Rsa] {
        let world = World::planned(&plan(), kind, now());
        let svid = world.x509(workload()).unwrap();
        let files = Files::of(&world, &svid.chain, &format!("{kind:?}"));
        for hash in ["-sha1", "-sha256", "-sha384", "-sha512"] {
            let asked = [&[hash], &LEAF[..], &["-reqout", "request.der"]].concat();
            if files.openssl(&asked).is_none() {
                return println!("skipped: OCSP: there is no openssl here");
            }
            let request = fs::read(files.0.join("request.der")).unwrap();
            let request = StatusRequest::parse(&request).unwrap();
            let [id] = request.certificates() else {
                panic!("{request:?}");
            };
            let own = Certificate::parse(&svid.chain[0]).unwrap();
            assert_eq!(id.serial(), own.serial());
            assert!(is_issued_by(id, world.intermediate.certificate()), "{hash}");
            assert!(!is_issued_by(id, world.root.certificate()), "{hash}");
            let at = world.now.plus(-60);
            for (status, told) in [
                (CertificateStatus::Good, "leaf.pem: good"),
                (CertificateStatus::Unknown, "leaf.pem: unknown"),
                (
                    CertificateStatus::Revoked { at, reason: 1 },
                    "keyCompromise",
                ),
                (
                    CertificateStatus::Revoked { at, reason: 0 },
                    "leaf.pem: revoked",
                ),
            ] {
                let made = answer(&world, &request, status);
                fs::write(files.0.join("answer.der"), &made.der).unwrap();
                let now = world.now.unix().to_string();
                // The nonce of the request that was made before, and no other.
                let read = [
                    "-no_nonce",
                    "-respin",
                    "answer.der",
                    "-reqin",
                    "request.der",
                ];
                // The clock of these tests stands still, and that of the machine does not.
                let slack = ["-validity_period", "1000000000"];
                let checked = ["-CAfile", "root.pem", "-attime", &now];
                let said = [&[hash], &read[..], &LEAF, &checked, &slack].concat();
                let said = files.openssl(&said).unwrap();
                assert!(
                    said.contains("Response verify OK"),
                    "{kind:?} {hash}: {said}"
                );
                assert!(!said.contains("WARNING"), "{said}");
                let text = files.openssl(&["-respin", "answer.der", "-resp_text", "-noverify"]);
                let text = format!("{said}{}", text.unwrap());
                // Go takes a certificate beside the answer for that of a delegate, also if it is the issuer's.
                assert!(!text.contains("Certificate:"), "{text}");
                assert!(
                    text.contains(told) || text.contains(told.trim_start_matches("leaf.pem: ")),
                    "{status:?}: {text}"
                );
            }
        }
    }
}

#[test]
fn an_answer_is_recorded_and_counts_for_as_long_as_its_authority_at_most() {
    let world = World::new();
    let svid = world.x509(workload()).unwrap();
    let files = Files::of(&world, &svid.chain, "recorded");
    let asked = [&LEAF[..], &["-reqout", "request.der"]].concat();
    if files.openssl(&asked).is_none() {
        return println!("skipped: OCSP: there is no openssl here");
    }
    let request = fs::read(files.0.join("request.der")).unwrap();
    let request = StatusRequest::parse(&request).unwrap();
    let made = answer(&world, &request, CertificateStatus::Good);
    assert_eq!(made.this_update, world.now.plus(-BACKDATE));
    assert_eq!(made.next_update, world.now.plus(i64::from(HOUR)));
    let intents = world.log.all();
    let intent = intents.last().unwrap();
    assert_eq!(intent.kind, CredentialKind::StatusResponse);
    assert_eq!(intent.authority, world.intermediate.id());
    assert!(intent.serial.starts_with("ocsp-"), "{}", intent.serial);
    let refused = |state, at| {
        let life = LifeCycle::stored(state, now(), now().plus(100));
        let authority = world.intermediate.as_ref().clone().with_life(life);
        let authority = std::sync::Arc::new(authority);
        let answers = [(&request.certificates()[0], CertificateStatus::Good)];
        let random = &SystemRandom;
        match authority.prepare_status_response(&answers, None, HOUR, at, random) {
            Ok(prepared) => Err(issue_one(prepared, &world.log).unwrap().next_update),
            Err(NotIssued::Refused(reason)) => Ok(reason.code()),
            Err(NotIssued::Failed(fault)) => panic!("{fault}"),
        }
    };
    for state in [
        State::Prepared,
        State::Active,
        State::Retired,
        State::Tainted,
    ] {
        assert_eq!(refused(state, now()), Err(now().plus(100)), "{state:?}");
    }
    for state in [State::Requested, State::Revoked] {
        assert_eq!(refused(state, now()), Ok("issue.authority_state"));
    }
    let late = now().plus(101);
    assert_eq!(refused(State::Retired, late), Ok("issue.authority_expired"));
}
