//! Keys and certificates of OpenSSH in, credentials out: made and proved by `ssh-keygen`.

use avouch_core::credential::ssh::{NAMESPACE, statement};
use serde_json::json;

use super::{CLOUD, Cloud, OURSELVES, claims, exchange_form, refusal, token};
use crate::attesting_ssh::Keys;
use crate::http::Answer;

const SSH: &str = "urn:avouch:params:token-type:ssh";
const SKIPPED: &str = "skipped: keys of SSH: `ssh-keygen` is not installed";
const DEPLOY: [&str; 4] = ["-n", "deploy", "-V", "-1d:+52w"];

/// A tenant that believes an authority of SSH about users, and gives something to one of them.
struct House {
    cloud: Cloud,
    keys: Keys,
}

impl House {
    fn new() -> Option<Self> {
        let keys = Keys::new()?;
        for name in ["ca", "other-ca", "person", "thief"] {
            keys.key("ed25519", name);
        }
        let cloud = Cloud::new();
        let anchor = json!({
            "ssh": {
                "authorities": [keys.public("ca")], "certify": "users",
                "principals": ["deploy", "release"],
            },
            "owner": "the platform team", "reason": "people deploy from laptops",
        });
        cloud.anchor("people", &anchor);
        let rule = json!({
            "from": {"anchor": "people", "facts": {
                "ssh.principal": "deploy", "ssh.key_id": "key id",
            }},
            "gives": {
                "spiffe_id": "spiffe://one.test/people/{ssh.principal}",
                "kinds": ["jwt-svid", "x509-svid"], "audiences": [CLOUD], "lifetime": 600,
            },
            "owner": "the platform team", "reason": "deploys by hand",
        });
        cloud.rule("people", &rule);
        Some(Self { cloud, keys })
    }

    fn certified(&self, how: &[&str]) -> String {
        self.keys.certified("ca", "person", how)
    }

    fn ask(&self, key: &str, more: &[(&str, &str)]) -> Answer {
        let of_ssh = [&[("subject_token_type", SSH)], more].concat();
        let proof = self.cloud.signed_proof();
        let form = exchange_form(key.trim(), &of_ssh);
        self.cloud.send(&form, &[("dpop", &proof)])
    }

    fn challenge(&self, key: &str) -> String {
        let refused = self.ask(key, &[]);
        let (error, code) = refusal(&refused);
        assert_eq!(
            (&*error, &*code),
            ("invalid_request", "issue.ssh_challenge")
        );
        refused.json()["challenge"].as_str().unwrap().to_owned()
    }

    fn sign(&self, key: &str, challenge: &str) -> String {
        let said = statement(OURSELVES, challenge);
        self.keys.armoured(key, NAMESPACE, said.as_bytes())
    }

    fn prove(&self, key: &str, challenge: &str, proof: &str) -> Answer {
        let more = [
            ("subject_token_challenge", challenge),
            ("subject_token_proof", proof),
        ];
        self.ask(key, &more)
    }

    /// Shows a key with a good proof of the person who holds it.
    fn show(&self, key: &str) -> Answer {
        let challenge = self.challenge(key);
        self.prove(key, &challenge, &self.sign("person", &challenge))
    }
}

#[test]
fn a_certificate_of_a_user_and_a_proof_of_its_key_become_a_credential_once() {
    let Some(house) = House::new() else {
        return println!("{SKIPPED}");
    };
    let certificate = house.certified(&DEPLOY);
    let challenge = house.challenge(&certificate);
    let proof = house.sign("person", &challenge);
    let said = claims(&token(&house.prove(&certificate, &challenge, &proof)));
    assert_eq!(said["sub"], "spiffe://one.test/people/deploy");
    assert_eq!(said["lineage"][0]["anchor"], "people");
    let named = said["lineage"][0]["iss"].as_str().unwrap();
    assert!(named.starts_with("ssh:SHA256:"), "{named}");

    let again = refusal(&house.prove(&certificate, &challenge, &proof));
    assert_eq!(again.1, "issue.token_used");
    // Another challenge is another use; the certificate itself is good until it ends.
    token(&house.show(&certificate));
}

#[test]
fn keys_of_every_kind_that_openssh_makes_are_taken() {
    let Some(house) = House::new() else {
        return println!("{SKIPPED}");
    };
    for (kind, name) in [("ecdsa", "e"), ("rsa", "r")] {
        house.keys.key(kind, name);
        let certificate = house.keys.certified("ca", name, &DEPLOY);
        let challenge = house.challenge(&certificate);
        let proof = house.sign(name, &challenge);
        token(&house.prove(&certificate, &challenge, &proof));
    }
}

#[test]
fn a_proof_for_anything_else_shows_nothing() {
    let Some(house) = House::new() else {
        return println!("{SKIPPED}");
    };
    let certificate = house.certified(&DEPLOY);
    let challenge = house.challenge(&certificate);
    let said = statement(OURSELVES, &challenge);
    let good = house.sign("person", &challenge);
    let of = |proof: &str| refusal(&house.prove(&certificate, &challenge, proof)).1;
    let signed = |key: &str, namespace: &str, text: &str| {
        house.keys.armoured(key, namespace, text.as_bytes())
    };
    assert_eq!(of(&signed("person", "file", &said)), "ssh.proof_namespace");
    assert_eq!(of(&signed("thief", NAMESPACE, &said)), "ssh.proof_key");
    let elsewhere = statement("http://127.0.0.1:8080/t/two", &challenge);
    assert_eq!(
        of(&signed("person", NAMESPACE, &elsewhere)),
        "ssh.proof_invalid"
    );
    assert_eq!(of("garbage"), "input.ssh_malformed");
    // A challenge that another was given is one of ours, and not the one that was signed.
    let other = house.challenge(&certificate);
    let refused = refusal(&house.prove(&certificate, &other, &good));
    assert_eq!(refused.1, "ssh.proof_invalid");
    // One that nobody gave out, one changed, and one of another tenant are none.
    let mut changed = challenge.clone();
    changed.replace_range(
        15..16,
        if challenge.as_bytes()[15] == b'A' {
            "B"
        } else {
            "A"
        },
    );
    for made_up in ["", "AAAA", &*changed, &"A".repeat(54)] {
        let proof = house.sign("person", made_up);
        let refused = refusal(&house.prove(&certificate, made_up, &proof));
        assert_eq!(refused.1, "issue.ssh_challenge", "{made_up}");
    }
    // After all that the right one is still unused.
    token(&house.prove(&certificate, &challenge, &good));
}

#[test]
fn what_the_authority_does_not_vouch_for_is_refused_each_for_its_own_reason() {
    let Some(house) = House::new() else {
        return println!("{SKIPPED}");
    };
    let with = |more: &[&str]| house.certified(&[&DEPLOY[..], more].concat());
    let named = |name: &str, span: &str| house.certified(&["-n", name, "-V", span]);
    let stranger = house.keys.certified("other-ca", "person", &DEPLOY);
    for (key, code) in [
        (stranger, "ssh.authority_unknown"),
        (with(&["-h"]), "ssh.kind_mismatch"),
        (named("deploy", "-2d:-1d"), "ssh.expired"),
        (named("deploy", "+1d:+2d"), "ssh.not_yet_valid"),
        (named("intern", "-1d:+1d"), "ssh.principal_not_accepted"),
        (
            named("deploy,release", "-1d:+1d"),
            "ssh.principal_ambiguous",
        ),
        (house.certified(&["-V", "-1d:+1d"]), "ssh.principal_missing"),
        (
            with(&["-O", "force-command=/bin/true"]),
            "ssh.option_not_honoured",
        ),
        (
            with(&["-O", "source-address=127.0.0.1"]),
            "ssh.option_not_honoured",
        ),
        (
            with(&["-O", "critical:only@example.com=1"]),
            "ssh.option_unknown",
        ),
        (house.keys.public("person"), "ssh.key_unknown"),
        // It is believed, and no rule gives anything for it.
        (named("release", "-1d:+1d"), "issue.exchange_not_admitted"),
    ] {
        assert_eq!(refusal(&house.show(&key)).1, code);
    }
    // A near miss of each: names beside the one that is taken, and an extension, which binds nobody.
    token(&house.show(&named("deploy,intern", "-1d:+1d")));
    token(&house.show(&with(&["-O", "extension:note@example.com=1"])));
}

#[test]
fn a_key_that_is_listed_is_exchanged_by_whoever_proves_it() {
    let Some(house) = House::new() else {
        return println!("{SKIPPED}");
    };
    let key = house.keys.public("person");
    let anchor = json!({
        "ssh": {"keys": [key], "subject": "robot"},
        "owner": "the platform team", "reason": "one machine that has no certificate",
    });
    house.cloud.anchor("robot", &anchor);
    let rule = json!({
        "from": {"anchor": "robot"},
        "gives": {"spiffe_id": "spiffe://one.test/robot", "audiences": [CLOUD]},
        "owner": "the platform team", "reason": "one machine",
    });
    house.cloud.rule("robot", &rule);
    let said = claims(&token(&house.show(&key)));
    assert_eq!(said["sub"], "spiffe://one.test/robot");
    let challenge = house.challenge(&key);
    let stolen = house.prove(&key, &challenge, &house.sign("thief", &challenge));
    assert_eq!(refusal(&stolen).1, "ssh.proof_key");
}
