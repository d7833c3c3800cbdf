//! A node that another server has let in, where that is not heard of yet.

use std::sync::atomic::{AtomicI64, Ordering};

use avouch_core::time::Time;
use avouch_testkit::key::Key;
use tonic::{Code, Status};

use super::*;
use crate::node_api::Session;

/// A clock that is set by hand.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_unix(self.0.load(Ordering::SeqCst))
    }
}

/// Lets a node join; what it connects with.
fn join(plane: &Plane, node: &str) -> Session {
    let one = plane.tenant(&id("one")).unwrap().unwrap();
    let token = plane.new_join_token(&one, node, 600).unwrap().token;
    let request = Key::p256(node).signing_request();
    Session::new(plane.join(&token, &request).unwrap().certificates)
}

fn is_refused(answer: Result<crate::nodes::Admitted, Status>) -> bool {
    answer.is_err_and(|refused| refused.code() == Code::PermissionDenied)
}

#[test]
fn a_node_that_has_just_joined_on_another_server_is_not_refused_and_the_store_is_asked_seldom() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000)));
    let open = || {
        let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
        server_at(store, folder.path(), Arc::<Hand>::clone(&clock))
    };
    let here = open();
    add(&here, "one");
    let there = open();
    there.tenant(&id("one")).unwrap().unwrap();
    let first = join(&here, "n1");
    first.admitted_or_seen(&there).unwrap();
    // Another takes its place, and it is the one who is refused.
    let second = join(&here, "n1");
    assert!(is_refused(second.admitted_or_seen(&there)), "not so soon");
    clock.0.fetch_add(1, Ordering::SeqCst);
    second.admitted_or_seen(&there).unwrap();
    assert!(is_refused(first.admitted_or_seen(&there)));
    // A tenant of which nobody has told it.
    clock.0.fetch_add(1, Ordering::SeqCst);
    add(&here, "two");
    let two = here.tenant(&id("two")).unwrap().unwrap();
    let token = here.new_join_token(&two, "n1", 600).unwrap().token;
    let request = Key::p256("two").signing_request();
    let node = Session::new(here.join(&token, &request).unwrap().certificates);
    node.admitted_or_seen(&there).unwrap();
    // Whom nobody knows anywhere is refused for as long as that is remembered, and asked for then.
    let stranger = Session::new(vec![vec![0x30, 0]]);
    for _ in 0..3 {
        assert!(is_refused(stranger.admitted_or_seen(&there)));
        clock.0.fetch_add(1, Ordering::SeqCst);
    }
}
