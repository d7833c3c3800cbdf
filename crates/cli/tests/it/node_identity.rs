//! What a node shows of itself: renewed when it must be, and not lost when it cannot be kept.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use avouch_core::credential::x509::Certificate;
use base64ct::{Base64, Encoding};
use serde_json::Value;

use crate::plane::Plane;
use crate::serving_on::{agent, manage, svids, wait};

/// The authorities of a state, of certificates that sign workloads and nodes.
fn x509(plane: &Plane, state: &str) -> Vec<String> {
    let listed = manage(plane, &["authority", "list", "-o", "json"]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    let listed = listed.json();
    let authorities = listed["authorities"].as_array().unwrap().iter();
    let of_state = authorities.filter(|one| one["kind"] == "x509" && one["state"] == state);
    of_state
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_node_renews_its_own_identity_at_once_when_its_authority_is_tainted_and_outlives_the_revocation()
 {
    let plane = Plane::start("tainted-node", &[]);
    let agent = agent(&plane, "far");
    let before = svids(&agent.fetch(&plane));
    let kept = || fs::read_to_string(plane.folder.path().join("far-data/node.json"));
    let own = |kept: String| -> Value {
        let kept: Value = serde_json::from_str(&kept).unwrap();
        kept["certificates"].clone()
    };
    let first = own(kept().unwrap());
    let replaced = manage(&plane, &["authority", "replace", "demo.avouch.test"]);
    assert_eq!(replaced.code, 0, "{}", replaced.err);
    wait(|| own(kept().unwrap()) != first);
    wait(|| svids(&agent.fetch(&plane)) != before);
    // Nothing is below the old ones any more, so nothing stands in the way of ending them.
    assert!(!x509(&plane, "tainted").is_empty());
    wait(|| {
        for id in x509(&plane, "tainted") {
            manage(&plane, &["authority", "revoke", &id]);
        }
        x509(&plane, "tainted").is_empty()
    });
    let log = || fs::read_to_string(plane.folder.path().join("far.log")).unwrap();
    let made = manage(
        &plane,
        &[
            "entry",
            "create",
            "--id",
            "later",
            "--spiffe-id",
            "spiffe://demo.avouch.test/later",
            "--selector",
            &format!("unix:uid:{}", nix::unistd::getuid()),
        ],
    );
    assert_eq!(made.code, 0, "{}", made.err);
    wait(|| svids(&agent.fetch(&plane)).to_string().contains("/later"));
    assert!(!log().contains("refuses this node"), "{}", log());
}

#[test]
fn a_node_goes_on_with_its_renewed_identity_while_its_folder_cannot_be_written() {
    let plane = Plane::start("unwritten-node", &["--x509-ttl", "10"]);
    let agent = agent(&plane, "full");
    let folder = plane.folder.path().join("full-data");
    let file = folder.join("node.json");
    let log = || fs::read_to_string(plane.folder.path().join("full.log")).unwrap();
    let kept = || fs::read_to_string(&file).ok();
    let first = kept();
    // A folder that stands where the new file would be written stops every user, the first one too.
    let in_the_way = folder.join("node.json.new");
    fs::create_dir(&in_the_way).unwrap();
    wait(|| log().contains("could not write its own identity"));
    // Well after the identity in the file has ended.
    let (start, ended) = (svids(&agent.fetch(&plane)), |text: &str| {
        let text: Value = serde_json::from_str(text).unwrap();
        let der = Base64::decode_vec(text["certificates"][0].as_str().unwrap()).unwrap();
        let since = now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let ended = Certificate::parse(&der).unwrap().not_after().unix() + 2;
        ended < i64::try_from(since).unwrap()
    });
    wait(|| ended(first.as_deref().unwrap()));
    wait(|| svids(&agent.fetch(&plane)) != start);
    assert!(!log().contains("has ended"), "{}", log());
    assert_eq!(kept(), first);
    fs::remove_dir(&in_the_way).unwrap();
    wait(|| kept() != first);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert!(!in_the_way.exists());
    drop(agent);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the identity ends by the clock of the machine"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
