//! What a node shows of itself: renewed when it must be, and not lost when it cannot be kept.

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
    let kept = || std::fs::read_to_string(plane.folder.path().join("far-data/node.json"));
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
    let tainted = x509(&plane, "tainted");
    assert!(!tainted.is_empty());
    for id in tainted {
        wait(|| manage(&plane, &["authority", "revoke", &id]).code == 0);
    }
    let log = || std::fs::read_to_string(plane.folder.path().join("far.log")).unwrap();
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
