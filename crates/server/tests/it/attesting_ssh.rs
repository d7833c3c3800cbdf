//! Hosts of SSH that show who they are, with certificates and signatures made by `ssh-keygen`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use avouch_api::attestation::SSH_NAMESPACE;
use avouch_api::grpc::node::SshPossession;
use avouch_api::grpc::node::evidence::Shown;
use base64ct::{Base64, Encoding};
use serde_json::json;
use tempfile::TempDir;

use crate::attesting::{Asked, by, code, put};
use crate::world::World;

const SKIPPED: &str = "skipped: hosts of SSH: `ssh-keygen` is not installed";

/// A folder of keys.
pub(crate) struct Keys(TempDir);

impl Keys {
    /// `None` where there is no OpenSSH.
    pub(crate) fn new() -> Option<Self> {
        if Command::new("ssh-keygen").arg("-?").output().is_err() {
            return None;
        }
        Some(Self(tempfile::tempdir().unwrap()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new("ssh-keygen");
        let output = command
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
    }

    /// Makes a key of a kind, such as `ed25519`.
    pub(crate) fn key(&self, kind: &str, name: &str) {
        self.run(&["-q", "-t", kind, "-N", "", "-C", name, "-f", name]);
    }

    pub(crate) fn public(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    /// Has an authority certify a key; gives the certificate as it is on the wire.
    fn certify(&self, authority: &str, name: &str, how: &[&str]) -> Vec<u8> {
        let text = self.certified(authority, name, how);
        Base64::decode_vec(text.split_whitespace().nth(1).unwrap()).unwrap()
    }

    /// The same as the line of its file.
    pub(crate) fn certified(&self, authority: &str, name: &str, how: &[&str]) -> String {
        let file = format!("{name}.pub");
        let head = ["-q", "-s", authority, "-I", "key id"];
        self.run(&[&head, how, &[&file]].concat());
        let text = fs::read_to_string(self.path(&format!("{name}-cert.pub"))).unwrap();
        fs::remove_file(self.path(&format!("{name}-cert.pub"))).unwrap();
        text
    }

    /// A signature as `ssh-keygen -Y sign` makes it, out of its armour.
    fn sign(&self, name: &str, namespace: &str, message: &[u8]) -> Vec<u8> {
        let text = self.armoured(name, namespace, message);
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        Base64::decode_vec(&body).unwrap()
    }

    /// The same as it makes it.
    pub(crate) fn armoured(&self, name: &str, namespace: &str, message: &[u8]) -> String {
        fs::write(self.path("message"), message).unwrap();
        drop(fs::remove_file(self.path("message.sig")));
        self.run(&["-q", "-Y", "sign", "-f", name, "-n", namespace, "message"]);
        fs::read_to_string(self.path("message.sig")).unwrap()
    }
}

const HOST: [&str; 5] = ["-h", "-n", "web-1.example.com", "-V", "-1d:+52w"];

fn attestor(world: &World, keys: &Keys, authority: &str) {
    let document = json!({
        "method": "sshpop",
        "authorities": [keys.public(authority)],
        "domains": ["example.com"],
    });
    put(world, "sshpop", &document);
}

fn shown(certificate: &[u8], signature: Vec<u8>) -> Shown {
    Shown::Sshpop(SshPossession {
        certificate: certificate.to_vec(),
        signature,
    })
}

#[test]
fn hosts_and_authorities_of_every_kind_that_openssh_makes_are_believed() {
    let Some(keys) = Keys::new() else {
        return println!("{SKIPPED}");
    };
    let world = World::new();
    let asked = Asked::new(by("sshpop"));
    for (number, (authority, host)) in [("ed25519", "ed25519"), ("ecdsa", "ecdsa"), ("rsa", "rsa")]
        .into_iter()
        .enumerate()
    {
        let (ca, name) = (format!("ca-{number}"), format!("host-{number}"));
        keys.key(authority, &ca);
        keys.key(host, &name);
        attestor(&world, &keys, &ca);
        let certificate = keys.certify(&ca, &name, &HOST);
        let signature = keys.sign(&name, SSH_NAMESPACE, &asked.statement());
        let first = asked.send(&world, shown(&certificate, signature.clone()));
        let first = first.unwrap();
        // Certified anew, and without an end, it is the same node.
        let renewed = keys.certify(&ca, &name, &["-h", "-n", "web-1.example.com"]);
        let renewed = asked.send(&world, shown(&renewed, signature));
        assert_eq!(renewed.unwrap().id, first.id, "{authority}");
    }
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    let facts: Vec<String> = tenant.read(|held| {
        let nodes = held.nodes.values();
        nodes
            .flat_map(|node| node.facts.iter().map(ToString::to_string))
            .collect()
    });
    assert!(facts.contains(&"sshpop:principal:web-1.example.com".to_owned()));
    assert!(
        facts.contains(&"sshpop:key_id:key id".to_owned()),
        "{facts:?}"
    );
}

#[test]
fn what_is_not_a_host_that_an_authority_vouches_for_is_refused() {
    let Some(keys) = Keys::new() else {
        return println!("{SKIPPED}");
    };
    let world = World::new();
    for name in ["ca", "other-ca", "host"] {
        keys.key("ed25519", name);
    }
    attestor(&world, &keys, "ca");
    let asked = Asked::new(by("sshpop"));
    let statement = asked.statement();
    let signature = keys.sign("host", SSH_NAMESPACE, &statement);
    let send = |certificate: &[u8], signature: &[u8]| {
        code(asked.send(&world, shown(certificate, signature.to_vec())))
    };
    let host = |how: &[&str]| send(&keys.certify("ca", "host", how), &signature);

    let user = ["-n", "web-1.example.com", "-V", "-1d:+1d"];
    assert_eq!(host(&user), "issue.ssh_not_a_host");
    let stranger = keys.certify("other-ca", "host", &HOST);
    assert_eq!(send(&stranger, &signature), "issue.ssh_authority_unknown");
    let name = ["-h", "-n", "web-1.example.com", "-V"];
    for span in ["-2d:-1d", "+1d:+2d"] {
        assert_eq!(host(&[&name[..], &[span]].concat()), "issue.ssh_not_valid");
    }
    for principals in [
        "web-1.example.org",
        "web-1.example.com,web-1.example.org",
        "badexample.com",
        "*.example.com",
    ] {
        let refused = host(&["-h", "-n", principals, "-V", "-1d:+1d"]);
        assert_eq!(refused, "issue.ssh_principal", "{principals}");
    }
    // For nobody in particular is not for everybody.
    assert_eq!(host(&["-h", "-V", "-1d:+1d"]), "issue.ssh_principal");
    let option = [&HOST[..], &["-O", "critical:only@example.com=1"]].concat();
    assert_eq!(host(&option), "issue.ssh_option_unknown");
    let as_host = keys.certify("ca", "ca", &HOST);
    let by_authority = keys.sign("ca", SSH_NAMESPACE, &statement);
    assert_eq!(send(&as_host, &by_authority), "issue.ssh_not_a_host");

    nobody_is_known(&world);
}

fn nobody_is_known(world: &World) {
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    assert!(tenant.read(|held| held.nodes.is_empty()), "a node is known");
}

#[test]
fn what_the_host_did_not_sign_for_this_call_is_nothing() {
    let Some(keys) = Keys::new() else {
        return println!("{SKIPPED}");
    };
    let world = World::new();
    for name in ["ca", "host", "thief"] {
        keys.key("ed25519", name);
    }
    attestor(&world, &keys, "ca");
    let asked = Asked::new(by("sshpop"));
    let statement = asked.statement();
    let good = keys.certify("ca", "host", &HOST);
    let signature = keys.sign("host", SSH_NAMESPACE, &statement);
    let send = |certificate: &[u8], signature: &[u8]| {
        code(asked.send(&world, shown(certificate, signature.to_vec())))
    };
    let not_proven = "issue.attestation_not_proven";
    // What a host signs as files, as commits, or for whoever asks, is nothing here.
    for namespace in ["file", "git", "node-attestation"] {
        assert_eq!(
            send(&good, &keys.sign("host", namespace, &statement)),
            not_proven
        );
    }
    let other = Asked {
        challenge: [8; 32],
        ..asked.clone()
    };
    let other = keys.sign("host", SSH_NAMESPACE, &other.statement());
    assert_eq!(send(&good, &other), not_proven);
    assert_eq!(
        send(&good, &keys.sign("thief", SSH_NAMESPACE, &statement)),
        not_proven
    );
    assert_eq!(send(&good, b"SSHSIG"), not_proven);
    assert_eq!(send(&good, &[&signature[..], b"more"].concat()), not_proven);
    assert_eq!(send(&good, &vec![0; 5_000]), "limit.input_size");
    assert_eq!(send(&vec![0; 40_000], &signature), "limit.input_size");
    assert_eq!(
        send(b"no certificate", &signature),
        "issue.attestation_malformed"
    );
    // A serial number that the authority did not write.
    let mut changed = good.clone();
    let place = good.len() - 200;
    changed[place] ^= 1;
    let refused = send(&changed, &signature);
    assert!(
        [
            "issue.ssh_not_signed",
            "issue.attestation_malformed",
            "issue.ssh_authority_unknown"
        ]
        .contains(&refused),
        "{refused}"
    );
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(send(&forged, &signature), "issue.ssh_not_signed");
    nobody_is_known(&world);
    asked.send(&world, shown(&good, signature)).unwrap();
}

#[test]
fn an_attestor_of_hosts_names_keys_that_can_be_checked() {
    let Some(keys) = Keys::new() else {
        return println!("{SKIPPED}");
    };
    keys.key("ed25519", "ca");
    let world = World::new();
    let token = world.operator();
    let path = "/v1/tenants/one/attestors/sshpop";
    for authorities in [json!([]), json!(["ssh-ed25519 AAAA"]), json!(["no key"])] {
        let document = json!({"method": "sshpop", "authorities": authorities});
        let refused = world.send(&token, "PUT", path, &document);
        assert_eq!(refused.status, 400, "{}", refused.body);
    }
    let document = json!({"method": "sshpop", "authorities": [keys.public("ca")]});
    assert!(world.send(&token, "PUT", path, &document).is_put());
}
