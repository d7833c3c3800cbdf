//! The log of issuance and revocation, and what it comes to.

use avouch_core::id::TrustDomain;
use avouch_core::time::Time;
use avouch_server::issuance_log::State;
use avouch_server::issuing::Wanted;
use avouch_testkit::key::Key;
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use crate::away::Cut;
use crate::world::{World, signing_request};

const ONE: &str = "/v1/tenants/one";

/// The whole log, page by page.
fn log(world: &World) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("{ONE}/log?limit=7{after}");
        let page = world.call(&world.operator(), "GET", &path, None).json();
        all.extend(page["log"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

/// What the server holds now, and when that is.
fn held(world: &World) -> (Time, String, Value) {
    let now = world.plane.now().to_string();
    let path = format!("{ONE}/log/state?at={now}");
    let state = world.call(&world.operator(), "GET", &path, None).json();
    let at = avouch_api::text::time(state["at"].as_str().unwrap()).unwrap();
    (at, state["digest"].as_str().unwrap().to_owned(), state)
}

fn replayed(log: &[Value], at: Time) -> State {
    let mut state = State::default();
    for entry in log {
        state.follow(entry, at).unwrap();
    }
    state
}

fn issue(world: &World, name: &str) -> String {
    let wanted = [Wanted {
        entry: name.to_owned(),
        public_key: Key::p256(name).public_key_info(),
        facts: Vec::new(),
    }];
    let issued = world.plane.issue_x509(world.node(), "one", &wanted);
    let svid = issued.unwrap().into_iter().next().unwrap().unwrap();
    svid.serial
}

fn revoke(world: &World, serial: &str) {
    let path = format!("{ONE}/revoke-certificates");
    let revoked = json!({ "serial": serial });
    let revoked = world.send(&world.operator(), "POST", &path, &revoked);
    assert_eq!(revoked.status, 200, "{}", revoked.body);
}

#[test]
fn the_log_replays_to_what_the_server_holds_and_not_without_any_of_its_entries() {
    let world = World::new();
    world.token("spiffe://one.test/web");
    world.token("spiffe://one.test/job");
    let (kept, taken_back) = (issue(&world, "web"), issue(&world, "web"));
    let request = pem("CERTIFICATE REQUEST", &signing_request(&Key::p256("hand")));
    let by_hand = json!({
        "signing_request": request, "spiffe_id": "spiffe://one.test/job", "ttl": 900,
    });
    let signed = world.send(
        &world.operator(),
        "POST",
        &format!("{ONE}/certificates"),
        &by_hand,
    );
    assert_eq!(signed.status, 200, "{}", signed.body);
    let by_hand = signed.json()["serial"].as_str().unwrap().to_owned();
    revoke(&world, &taken_back);
    let path = format!("{ONE}/trust-domains/one.test/authorities");
    let devices = json!({"used_for": "devices"});
    assert_eq!(
        world
            .send(&world.operator(), "POST", &path, &devices)
            .status,
        200
    );

    let (at, digest, told) = held(&world);
    let all = log(&world);
    let state = replayed(&all, at);
    assert_eq!(state.digest(at).to_string(), digest, "{told}");
    // Two tokens, and two certificates of three.
    assert_eq!((state.count(at), &told["living"]), (4, &json!(4)));

    // Each says who decided, and by what.
    let of = |id: &str| all.iter().find(|one| one["id"] == id).unwrap();
    assert_eq!(of(&kept)["entry"], "web");
    assert_eq!(of(&kept)["node"], world.node().id().as_str());
    let operator = world.plane.operator_id().unwrap();
    assert_eq!(of(&by_hand)["decision"]["by"], operator.as_str());
    assert_eq!(of(&by_hand)["entry"], "job");
    let back = of(&format!("revoked-{taken_back}"));
    assert_eq!(back["decision"]["by"], operator.as_str());
    assert_eq!(back["decision"]["serial"], taken_back.as_str());
    assert_eq!(back["authority"], of(&taken_back)["authority"]);

    // Without any of what counts, it is another state.
    let mut counted = 0;
    for left_out in 0..all.len() {
        let entry = &all[left_out];
        let is_superseded = entry["id"] == taken_back.as_str()
            || (entry["what"] == "authority"
                && all[left_out + 1..].iter().any(|later| {
                    later["what"] == "authority" && later["authority"] == entry["authority"]
                }));
        let is_kept = ["list", "event"].contains(&entry["what"].as_str().unwrap());
        let mut others = all.clone();
        others.remove(left_out);
        let is_same = replayed(&others, at).digest(at).to_string() == digest;
        assert_eq!(is_same, is_superseded || is_kept, "{entry}");
        counted += usize::from(!is_same);
    }
    assert!(counted >= 4 + 1 + 4, "{counted}");
}

#[test]
fn the_log_follows_a_drill_and_the_end_of_an_authority() {
    let world = World::new();
    world.token("spiffe://one.test/web");
    issue(&world, "web");
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let domain = TrustDomain::parse("one.test").unwrap();
    world.plane.replace_all(&one, &domain, false).unwrap();
    issue(&world, "web");
    let tainted: Vec<String> = one.read(|snapshot| {
        let records = snapshot.authorities.values();
        let tainted = records.filter(|record| record.state.name() == "tainted");
        tainted.map(|record| record.id.to_string()).collect()
    });
    assert!(!tainted.is_empty());
    for id in &tainted {
        // What stands above takes what it signed with it.
        drop(world.plane.revoke(&one, id, true));
    }
    let (at, digest, told) = held(&world);
    let state = replayed(&log(&world), at);
    assert_eq!(state.digest(at).to_string(), digest, "{told}");
    assert_eq!(
        state.count(at),
        1,
        "what the old authorities signed is believed no more"
    );
}

#[test]
fn a_revocation_and_its_entry_are_stored_together_or_not_at_all() {
    for (cut, is_stored) in [(Cut::BeforeStoring, false), (Cut::AfterStoring, true)] {
        let world = World::new();
        world.token("spiffe://one.test/web");
        let serial = issue(&world, "web");
        let operator = world.operator();
        world.cut_next(cut);
        let path = format!("{ONE}/revoke-certificates");
        let asked = json!({ "serial": serial });
        let failed = world.send(&operator, "POST", &path, &asked);
        assert_eq!(failed.status, 503, "{}", failed.body);
        let name = format!("revoked-{serial}");
        let all = log(&world);
        assert_eq!(all.iter().any(|one| one["id"] == name.as_str()), is_stored);
        let (at, digest, _) = held(&world);
        assert_eq!(replayed(&all, at).digest(at).to_string(), digest);
        // Again is harmless, also where it is written as OpenSSL writes it.
        let pairs = serial.as_bytes().chunks(2).map(String::from_utf8_lossy);
        let pairs: Vec<String> = pairs.map(|pair| pair.to_uppercase()).collect();
        revoke(&world, &pairs.join(":"));
        let again = log(&world);
        let count = again
            .iter()
            .filter(|one| one["id"] == name.as_str())
            .count();
        assert_eq!(count, 1);
    }
}
