//! What was issued when credentials could live longer than they can now.

use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_issuer::profile::Lifetime;
use avouch_server::entries::EntryDraft;
use avouch_server::issuing::Wanted;
use avouch_server::revocations::Which;
use avouch_server::{Refused, Settings};
use avouch_store::{AuthorityKind, AuthorityRole, AuthorityState};
use avouch_testkit::key::Key;

use crate::refusals::{Deployment, draft};

const HOUR: i64 = 3_600;

/// Settings under which nothing lives for longer than five minutes.
fn short() -> Settings {
    let mut settings = Settings::default();
    let lifetime = || Lifetime::new(1, 300, 300).unwrap();
    settings.x509.lifetime = lifetime();
    settings.jwt.lifetime = lifetime();
    settings.wit.lifetime = lifetime();
    settings.node_ttl = 300;
    settings
}

#[test]
fn what_lives_longer_than_is_settled_now_is_counted_and_revoked_all_the_same() {
    let world = Deployment::new();
    let day = EntryDraft {
        x509_ttl: Some(86_400),
        ..draft("web")
    };
    world.put(day).unwrap();
    let (_, node) = world.join("node-1");
    world.issue(&node, "web").unwrap();
    // The certificate of the node itself has ended, and that of its workload has not.
    world.pass(2 * HOUR);
    let plane = world.opened_with(short());
    let tenant = plane.tenant_named("shop").unwrap().unwrap();
    let signing = tenant.read(|snapshot| {
        let mut all = snapshot.authorities.values();
        let signs = all.find(|one| {
            one.kind == AuthorityKind::X509
                && one.role == AuthorityRole::Intermediate
                && one.state == AuthorityState::Active
        });
        signs.unwrap().id.to_string()
    });
    plane.taint(&tenant, &signing, false).unwrap();
    let refused = plane.revoke(&tenant, &signing, false);
    let Err(Refused::Reason(reason)) = refused else {
        panic!("nothing lives: {refused:?}");
    };
    let Reason::IssueAuthorityInUse { credentials, .. } = *reason else {
        panic!("{}", reason.sentence());
    };
    assert_eq!(credentials, 1);
    let id = SpiffeId::parse("spiffe://shop.test/web").unwrap();
    let revoke = |which: &Which| plane.revoke_certificates(&tenant, which, 1);
    let revoked = revoke(&Which::Identity(id.clone())).unwrap();
    assert_eq!(revoked.len(), 1);
    assert_eq!(
        revoke(&Which::Serial(revoked[0].serial.clone()))
            .unwrap()
            .len(),
        1
    );
    // Long after, nothing is looked for that far back.
    world.pass(23 * HOUR);
    assert!(revoke(&Which::Identity(id)).is_err());
}

#[test]
fn servers_note_how_long_what_they_sign_may_live_for_as_long_as_it_may() {
    use avouch_store::{LifetimeKind, Operator, Store};
    let world = Deployment::new();
    let noted = || {
        let all = world.store().lifetimes(&Operator::of_this_deployment());
        let mut svids = all.unwrap();
        svids.retain(|one| one.kind == LifetimeKind::Svid);
        svids.iter().map(|one| one.seconds).collect::<Vec<_>>()
    };
    assert_eq!(noted(), [86_400]);
    let plane = world.opened_with(short());
    assert_eq!(noted(), [300, 86_400]);
    world.pass(4 * 86_400);
    plane.keep_lifetimes().unwrap();
    assert_eq!(noted(), [300]);
}

/// An entry says one time for its certificates and its workload identity tokens.
#[test]
fn a_time_that_an_entry_may_say_is_one_that_every_svid_of_it_may_have() {
    let mut brief = Settings::default();
    brief.set_x509_ttl(30).unwrap();
    let world = Deployment::new();
    let (caller, _) = world.join("node-1");
    let plane = world.opened_with(brief);
    let tenant = plane.tenant_named("shop").unwrap().unwrap();
    let node = plane.admit(&caller).unwrap();
    for (ttl, expected) in [(Some(30), 30), (Some(10), 10), (None, 30)] {
        let entry = EntryDraft {
            x509_ttl: ttl,
            ..draft("web")
        };
        let put = plane.put_entries(&tenant, vec![entry]).unwrap();
        assert!(put[0].is_ok(), "{put:?}");
        let wanted = [Wanted {
            entry: "web".to_owned(),
            public_key: Key::p256("workload").public_key_info(),
            facts: Vec::new(),
        }];
        let now = plane.now();
        let x509 = plane.issue_x509(&node, "shop", &wanted).unwrap();
        assert_eq!(x509[0].as_ref().unwrap().not_after.since(now), expected);
        let wit = plane.issue_wit(&node, "shop", &wanted).unwrap();
        assert_eq!(wit[0].as_ref().unwrap().expires.since(now), expected);
    }
    // Where the two are bounded otherwise, both bounds hold when the entry is written.
    let mut apart = Settings::default();
    apart.x509.lifetime = Lifetime::new(10, 30, 86_400).unwrap();
    let plane = world.opened_with(apart);
    let tenant = plane.tenant_named("shop").unwrap().unwrap();
    let entry = EntryDraft {
        x509_ttl: Some(30),
        ..draft("api")
    };
    let put = plane.put_entries(&tenant, vec![entry]).unwrap();
    let code = put[0].as_ref().err().map(Reason::code);
    assert_eq!(code, Some("issue.ttl_out_of_bounds"));
}

#[test]
fn nothing_that_is_issued_lives_longer_than_its_entry_but_for_the_shortest_life_there_is() {
    let world = Deployment::new();
    let now = || world.plane.now();
    let (_, node) = world.join("node-1");
    let least = 60;
    for (left, lives) in [(1_800, 1_800), (20, least), (10 * HOUR, HOUR)] {
        let ends = EntryDraft {
            expires: Some(now().plus(left)),
            ..draft("web")
        };
        world.put(ends).unwrap();
        let wanted = [Wanted {
            entry: "web".to_owned(),
            public_key: Key::p256("workload").public_key_info(),
            facts: Vec::new(),
        }];
        let issued = world.plane.issue_x509(&node, "shop", &wanted).unwrap();
        let [svid] = <[_; 1]>::try_from(issued).unwrap();
        let svid = svid.unwrap();
        assert_eq!(svid.not_after.since(now()), lives, "{left}");
    }
}
