//! Pins on what an issuer shows and publishes, and the rotations that break them.
//!
//! The three rotations of GitHub are played with chains of their shape. The keys are others, since
//! nobody here has GitHub's, so the pins are computed and not those that people wrote down then.

use avouch_core::pin::Link;
use avouch_core::time::Time;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::https::{Shown, root};
use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use avouch_testkit::world::{Authority, pem};
use serde_json::{Value, json};

use crate::registry::{AUDIENCE, Registry, document, token, with};

const DAY: i64 = 86_400;

/// An issuer whose certificates come from CAs that are all believed.
struct Github {
    issuer: IssuerServer,
    key: Key,
    roots: [Authority; 2],
}

impl Github {
    fn start() -> Self {
        let issuer = IssuerServer::start();
        let key = Key::p256("a");
        issuer.publish(&[(&key, "k-a")]);
        let roots = [root("First Root"), root("Second Root")];
        Self { issuer, key, roots }
    }

    fn intermediate(&self, root: usize, name: &str) -> Authority {
        self.roots[root].intermediate_with(name, Key::ed25519(name), |forge| {
            forge.valid("2020-01-01T00:00:00Z", "2049-01-01T00:00:00Z")
        })
    }

    /// Another certificate for a CA, by the second root.
    fn cross_certified(&self, other: &Authority) -> Vec<u8> {
        let forge = CertificateForge::authority(other.name.clone(), &other.key);
        self.roots[1].issue(forge.valid("2020-01-01T00:00:00Z", "2049-01-01T00:00:00Z"))
    }

    /// The certificate of the server under an intermediate, which ends in so many days.
    fn chain(&self, registry: &Registry, intermediate: &Authority, days: i64) -> Shown {
        let ends = Time::from_unix(registry.now() + days * DAY).to_string();
        Shown::valid(intermediate, &["localhost"], "2020-01-01T00:00:00Z", &ends)
            .followed_by(&intermediate.certificate)
    }

    /// As it is trusted: keys that are due are not used on when they cannot be fetched.
    fn document(&self) -> Value {
        let roots = self.roots.iter();
        let ca: String = roots
            .map(|root| pem("CERTIFICATE", &root.certificate))
            .collect();
        with(document(&self.issuer), json!({"ca": ca, "stale_for": 0}))
    }

    fn trusted(&self, registry: &Registry) {
        let put = registry.put("ci", &self.document());
        assert_eq!(put.json()["state"], "ok", "{}", put.body);
    }

    /// Trusted while its server shows a certificate of this intermediate.
    fn shown_and_trusted(&self, registry: &Registry) -> Authority {
        let shown = self.intermediate(0, "Server CA");
        self.issuer
            .server()
            .show(&self.chain(registry, &shown, 200));
        self.trusted(registry);
        shown
    }

    fn token(&self, registry: &Registry) -> String {
        token(registry, &self.issuer, &self.key, "k-a")
    }
}

/// The SHA-1 digest of a certificate, as AWS writes a thumbprint.
fn thumbprint(certificate: &[u8]) -> String {
    Link::of(certificate).names()[0].to_string()
}

fn sha256(certificate: &[u8]) -> String {
    Link::of(certificate).names()[1].to_string()
}

fn public_key(certificate: &[u8]) -> String {
    Link::of(certificate).names()[2].to_string()
}

fn said(more: Value) -> Value {
    with(
        json!({"owner": "the platform team", "reason": "a drill"}),
        more,
    )
}

fn put(registry: &Registry, pin: &str, wanted: Value) -> Value {
    let path = format!("/v1/tenants/one/issuers/ci/pins/{pin}");
    let answer = registry.call("PUT", &path, Some(&said(wanted)));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn check(registry: &Registry) -> Value {
    let answer = registry.call("POST", "/v1/tenants/one/issuers/ci/pins/check", None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn stage_all(registry: &Registry) -> Value {
    let path = "/v1/tenants/one/issuers/ci/pins/stage";
    let answer = registry.call("POST", path, Some(&said(json!({"all": true}))));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// The warnings of a kind.
fn warnings<'a>(told: &'a Value, kind: &str) -> Vec<&'a Value> {
    let all = told["warnings"].as_array().unwrap().iter();
    all.filter(|warning| warning["kind"] == kind).collect()
}

/// What is due is fetched, and a token is decided on.
fn verdict_after_a_refresh(registry: &mut Registry, github: &Github) -> Value {
    registry.pass(601);
    registry.tick();
    registry.verdict("one", &github.token(registry))
}

/// One rotation: what is shown before, while it is under way, and after it.
struct Rotation {
    before: Vec<Shown>,
    under_way: Vec<Shown>,
    after: Vec<Shown>,
    /// The certificate that was pinned, and the one that comes.
    pinned: Vec<u8>,
    next: Vec<u8>,
}

impl Rotation {
    /// From a server of one intermediate to one of another, whose certificate ends in so many days.
    /// Meanwhile so many machines show the old one for each that shows the new one.
    fn of(
        (github, registry): (&Github, &Registry),
        (old, days): (&Authority, i64),
        (new, new_days): (&Authority, i64),
        slow: usize,
    ) -> Self {
        let before = github.chain(registry, old, days);
        let after = github.chain(registry, new, new_days);
        let mut under_way = vec![before.clone(); slow];
        under_way.push(after.clone());
        Self {
            before: vec![before],
            under_way,
            // The discovery document comes from one machine, the keys from the next.
            after: vec![after.clone(), after],
            pinned: old.certificate.clone(),
            next: new.certificate.clone(),
        }
    }
}

/// Plays a rotation twice: for whoever looks away, and for whoever heeds the warning.
fn drill(github: &Github, registry: Registry, rotation: &Rotation) {
    let mut registry = registry;
    let server = github.issuer.server();
    server.show_in_turn(&rotation.before);
    github.trusted(&registry);
    let (old, new) = (thumbprint(&rotation.pinned), thumbprint(&rotation.next));
    let put = put(&registry, &old, json!({"mode": "enforced", "place": "top"}));
    assert_eq!(put["pins"][0]["pin"], old);
    check(&registry);
    assert_eq!(
        verdict_after_a_refresh(&mut registry, github)["verdict"],
        "accept"
    );

    // The warning comes while everything still works: what is coming is seen and named.
    server.show_in_turn(&rotation.under_way);
    let warned = check(&registry);
    let second = warnings(&warned, "second_path");
    assert_eq!(second.len(), 1, "{warned}");
    assert_eq!(second[0]["severity"], "medium");
    let sentence = second[0]["sentence"].as_str().unwrap();
    assert!(sentence.contains(&new), "{sentence}");
    let metrics = registry.call("GET", "/metrics", None).body;
    assert!(
        metrics.contains("avouch_pin_warnings{kind=\"second_path\"} 1"),
        "{metrics}"
    );
    let events = registry.show("ci")["events"].to_string();
    assert!(
        events.contains("pin_warning") && events.contains(&new),
        "{events}"
    );
    // The set that would have held is told with it.
    let set = warned["would_hold"].to_string();
    for digest in [&old, &new] {
        assert!(set.contains(digest.trim_start_matches("sha1:")), "{set}");
    }

    // Whoever looks away: the reason names what was expected and what was seen.
    server.show_in_turn(&rotation.after);
    let verdict = verdict_after_a_refresh(&mut registry, github);
    assert_eq!(
        verdict["reason"]["code"], "federation.pin_missed",
        "{verdict}"
    );
    let evidence = &verdict["reason"]["evidence"];
    assert_eq!(evidence["expected"], json!([format!("{old} (top)")]));
    assert_eq!(evidence["seen"], json!([format!("{new} (top)")]));
    let told = registry.show("ci");
    assert_eq!(told["failing"]["code"], "fetch.pin_missed", "{told}");
    assert_eq!(warnings(&check(&registry), "missed").len(), 1);

    // Whoever pins what was seen is let in again, and would never have been kept out.
    let staged = stage_all(&registry);
    assert!(
        staged["pins"].to_string().contains(&sha256(&rotation.next)),
        "{staged}"
    );
    assert_eq!(registry.decide(&github.token(&registry)), "accept");
    for shown in [&rotation.before, &rotation.under_way, &rotation.after] {
        server.show_in_turn(shown);
        let verdict = verdict_after_a_refresh(&mut registry, github);
        assert_eq!(verdict["verdict"], "accept", "{verdict}");
    }
    assert_eq!(warnings(&check(&registry), "second_path").len(), 0);
}

#[test]
fn rotation_drill_of_january_2022_warning_before_deny_reason_after() {
    let (registry, github) = (Registry::today(), Github::start());
    let old = github.intermediate(0, "Old Server CA");
    let new = github.intermediate(1, "New Server CA");
    // Three of four machines still have the old certificate.
    let rotation = Rotation::of((&github, &registry), (&old, 10), (&new, 300), 3);
    drill(&github, registry, &rotation);
}

#[test]
fn before_any_machine_shows_it_the_end_of_the_certificate_tells_that_a_rotation_is_near() {
    let (registry, github) = (Registry::today(), Github::start());
    let old = github.intermediate(0, "Old Server CA");
    let server = github.issuer.server();
    server.show(&github.chain(&registry, &old, 60));
    github.trusted(&registry);
    put(
        &registry,
        &thumbprint(&old.certificate),
        json!({"mode": "enforced"}),
    );
    let far = check(&registry);
    assert!(warnings(&far, "renewal_near").is_empty(), "{far}");
    // One pin is none in reserve.
    assert_eq!(warnings(&far, "no_backup").len(), 1);
    server.show(&github.chain(&registry, &old, 10));
    let near = check(&registry);
    let warned = warnings(&near, "renewal_near");
    assert_eq!(warned.len(), 1, "{near}");
    let sentence = warned[0]["sentence"].as_str().unwrap();
    assert!(sentence.contains("may come from another"), "{sentence}");
    // A second pin is what takes the warning away.
    let other = github.intermediate(1, "New Server CA");
    let other = thumbprint(&other.certificate);
    let told = put(&registry, &other, json!({"mode": "enforced"}));
    assert!(warnings(&told, "renewal_near").is_empty(), "{told}");
    assert_eq!(warnings(&told, "unseen").len(), 1, "{told}");
}

#[test]
fn rotation_drill_of_november_2022_some_machines_only_warning_before_deny_reason_after() {
    // What changed then was not written down where we looked; it failed for some, now and then.
    let (registry, github) = (Registry::today(), Github::start());
    let old = github.intermediate(0, "Server CA");
    let new = github.intermediate(0, "Server CA 2");
    let rotation = Rotation::of((&github, &registry), (&old, 200), (&new, 300), 3);
    drill(&github, registry, &rotation);
}

#[test]
fn rotation_drill_of_june_2023_a_second_chain_warning_before_deny_reason_after() {
    let (registry, github) = (Registry::today(), Github::start());
    let first = github.intermediate(0, "Server CA");
    // The same CA with the same key, certified a second time by another root.
    let second = Authority {
        certificate: github.cross_certified(&first),
        ..first.clone()
    };
    let rotation = Rotation::of((&github, &registry), (&first, 200), (&second, 200), 1);
    drill(&github, registry, &rotation);
}

#[test]
fn a_chain_that_is_cross_signed_holds_by_either_of_its_paths() {
    let (mut registry, github) = (Registry::today(), Github::start());
    let first = github.intermediate(0, "Server CA");
    let second = github.cross_certified(&first);
    let both = github.chain(&registry, &first, 200).followed_by(&second);
    github.issuer.server().show(&both);
    github.trusted(&registry);
    for pinned in [&first.certificate, &second] {
        put(&registry, &thumbprint(pinned), json!({"mode": "enforced"}));
        let verdict = verdict_after_a_refresh(&mut registry, &github);
        assert_eq!(verdict["verdict"], "accept", "{verdict}");
        let told = check(&registry);
        // The second path is predicted before anybody takes only that.
        assert_eq!(warnings(&told, "second_path").len(), 1, "{told}");
        let path = format!("/v1/tenants/one/issuers/ci/pins/{}", thumbprint(pinned));
        assert_eq!(registry.call("DELETE", &path, None).status, 204);
    }
    // The key of the CA is the same on both, so a pin on that needs no second.
    let key = public_key(&second);
    let told = put(&registry, &key, json!({"mode": "enforced"}));
    assert!(warnings(&told, "second_path").is_empty(), "{told}");
}

#[test]
fn what_continues_a_pin_is_pinned_by_itself_and_nothing_else_is() {
    let (mut registry, github) = (Registry::today(), Github::start());
    let first = github.intermediate(0, "Server CA");
    let cross = Authority {
        certificate: github.cross_certified(&first),
        ..first.clone()
    };
    let foreign = github.intermediate(0, "Other Server CA");
    let server = github.issuer.server();
    let old = github.chain(&registry, &first, 200);
    server.show(&old);
    github.trusted(&registry);
    let wanted = json!({"mode": "enforced", "auto_stage": true});
    put(&registry, &thumbprint(&first.certificate), wanted);
    check(&registry);
    // Another CA under the very same root: that is what a takeover looks like, too.
    server.show_in_turn(&[old.clone(), github.chain(&registry, &foreign, 200)]);
    let told = check(&registry);
    assert_eq!(told["pins"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(warnings(&told, "second_path").len(), 1);
    // The same CA with the same key, by another root.
    server.show_in_turn(&[old, github.chain(&registry, &cross, 200)]);
    let told = check(&registry);
    let pins = told["pins"].as_array().unwrap();
    assert_eq!(pins.len(), 2, "{told}");
    assert_eq!(pins[1]["pin"], sha256(&cross.certificate));
    assert_eq!(pins[1]["continues"], thumbprint(&first.certificate));
    assert_eq!(pins[1]["mode"], "enforced");
    server.show(&github.chain(&registry, &cross, 200));
    let verdict = verdict_after_a_refresh(&mut registry, &github);
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
}

#[test]
fn hostile_23_a_pinned_certificate_that_is_only_sent_along_proves_nothing() {
    let (mut registry, github) = (Registry::today(), Github::start());
    let pinned = github.intermediate(0, "Server CA");
    let thief = github.intermediate(1, "Thief's CA");
    let server = github.issuer.server();
    server.show(&github.chain(&registry, &pinned, 200));
    github.trusted(&registry);
    for place in ["top", "issuing", "any"] {
        let wanted = json!({"mode": "enforced", "place": place});
        put(&registry, &thumbprint(&pinned.certificate), wanted);
        let honest = github.chain(&registry, &pinned, 200);
        server.show(&honest);
        let verdict = verdict_after_a_refresh(&mut registry, &github);
        assert_eq!(verdict["verdict"], "accept", "{place}: {verdict}");
        // A good certificate of a CA that is believed, and the pinned one behind it.
        let along = github
            .chain(&registry, &thief, 200)
            .followed_by(&pinned.certificate);
        server.show(&along);
        registry.pass(601);
        registry.tick();
        let told = registry.show("ci");
        assert_eq!(
            told["failing"]["code"], "fetch.pin_missed",
            "{place}: {told}"
        );
        server.show(&honest);
        registry.call("POST", "/v1/tenants/one/issuers/ci/refresh", None);
    }
}

#[test]
fn hostile_26_whoever_takes_the_domain_over_and_publishes_the_old_key_again_needs_the_pin_too() {
    let (mut registry, github) = (Registry::today(), Github::start());
    let pinned = github.intermediate(0, "Server CA");
    let server = github.issuer.server();
    server.show(&github.chain(&registry, &pinned, 200));
    github.trusted(&registry);
    put(
        &registry,
        &public_key(&pinned.certificate),
        json!({"mode": "enforced"}),
    );
    let thief = Key::p256("thief");
    github
        .issuer
        .publish(&[(&github.key, "k-a"), (&thief, "k-t")]);
    let elsewhere = github.intermediate(1, "Any CA of the Web");
    server.show(&github.chain(&registry, &elsewhere, 200));
    registry.pass(301);
    let forged = token(&registry, &github.issuer, &thief, "k-t");
    assert_eq!(registry.decide(&forged), "undetermined");
    assert_eq!(registry.show("ci")["failing"]["code"], "fetch.pin_missed");
    // The near miss: the same set by the server that is pinned.
    server.show(&github.chain(&registry, &pinned, 200));
    registry.call("POST", "/v1/tenants/one/issuers/ci/refresh", None);
    let taken = token(&registry, &github.issuer, &thief, "k-t");
    assert_eq!(registry.decide(&taken), "accept");
}

#[test]
fn a_pin_that_is_not_consulted_is_disclosed_wherever_someone_could_take_it_for_one_that_is() {
    let (mut registry, github) = (Registry::today(), Github::start());
    let shown = github.shown_and_trusted(&registry);
    // The thumbprint of the mission's example, which names nothing here.
    let github_of_2022 = "sha1:6938fd4d98bab03faadb97b34396831e3780aea1";
    let told = put(&registry, github_of_2022, json!({"mode": "vestigial"}));
    let means = told["pins"][0]["means"].as_str().unwrap();
    assert!(means.contains("top intermediate CA"), "{means}");
    let consulted = told["pins"][0]["consulted"].as_str().unwrap();
    assert!(
        consulted.contains("present but not consulted"),
        "{consulted}"
    );
    let verdict = verdict_after_a_refresh(&mut registry, &github);
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
    let checks = verdict["checks"].to_string();
    let disclosed = format!("present but not consulted: {github_of_2022} (top)");
    assert!(checks.contains(&disclosed), "{checks}");
    let pins = &registry.show("ci")["pins"];
    assert_eq!(
        pins["not_consulted"],
        json!([format!("{github_of_2022} (top)")])
    );
    assert_eq!(pins["enforced"], json!([]));
    // What would break where it is consulted is told all the same.
    let told = check(&registry);
    let sentence = warnings(&told, "missed")[0]["sentence"].as_str().unwrap();
    assert!(sentence.contains("not consulted"), "{sentence}");
    // Beside one that holds, both are said.
    put(
        &registry,
        &thumbprint(&shown.certificate),
        json!({"mode": "enforced"}),
    );
    let verdict = verdict_after_a_refresh(&mut registry, &github);
    let checks = verdict["checks"].to_string();
    assert!(checks.contains(&disclosed), "{checks}");
    assert!(checks.contains("came over the pinned sha1:"), "{checks}");
    let listed = registry.call("GET", "/v1/tenants/one/pins", None).json();
    assert_eq!(listed["pins"].as_array().unwrap().len(), 2, "{listed}");
}

#[test]
fn a_key_that_is_published_and_not_pinned_is_told_of_before_it_signs_and_not_believed_after() {
    let (registry, github) = (Registry::today(), Github::start());
    github.shown_and_trusted(&registry);
    let thumbprint = registry.show("ci")["keys"][0]["thumbprint"].clone();
    let pin = format!("jwk:{}", thumbprint.as_str().unwrap());
    put(&registry, &pin, json!({"mode": "enforced"}));
    assert_eq!(registry.decide(&github.token(&registry)), "accept");
    let next = Key::p256("next");
    github
        .issuer
        .publish(&[(&github.key, "k-a"), (&next, "k-n")]);
    let told = check(&registry);
    let warned = warnings(&told, "key_unpinned");
    assert_eq!(warned.len(), 1, "{told}");
    let about = warned[0]["about"].as_str().unwrap().to_owned();
    let of_next = token(&registry, &github.issuer, &next, "k-n");
    let verdict = registry.verdict("one", &of_next);
    assert_eq!(
        verdict["reason"]["code"], "federation.key_unpinned",
        "{verdict}"
    );
    assert_eq!(verdict["reason"]["evidence"]["pinned"], json!([pin]));
    assert_eq!(registry.decide(&github.token(&registry)), "accept");
    // No key continues another: a person must say that it is meant.
    let path = format!("/v1/tenants/one/issuers/ci/pins/{pin}");
    let wanted = said(json!({"mode": "enforced", "auto_stage": true}));
    assert_eq!(registry.call("PUT", &path, Some(&wanted)).status, 400);
    let staging = said(json!({"pins": [about]}));
    let path = "/v1/tenants/one/issuers/ci/pins/stage";
    let staged = registry.call("POST", path, Some(&staging));
    assert_eq!(staged.status, 200, "{}", staged.body);
    assert_eq!(registry.decide(&of_next), "accept");
    // Where all that is published is unpinned, nothing is believed, and that is how it stands.
    for pin in [&pin, &about] {
        let path = format!("/v1/tenants/one/issuers/ci/pins/{pin}");
        assert_eq!(registry.call("DELETE", &path, None).status, 204);
    }
    let other = "jwk:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    put(&registry, other, json!({"mode": "enforced"}));
    assert_eq!(registry.show("ci")["state"], "unpinned");
    assert_eq!(
        registry.decide(&github.token(&registry)),
        "federation.key_unpinned"
    );
}

#[test]
fn a_pin_that_ends_opens_nothing_and_is_told_of_before() {
    let (mut registry, github) = (Registry::today(), Github::start());
    let shown = github.shown_and_trusted(&registry);
    let ends = Time::from_unix(registry.now() + 3 * DAY).to_string();
    let wanted = json!({"mode": "enforced", "expires": ends});
    let told = put(&registry, &thumbprint(&shown.certificate), wanted);
    assert_eq!(warnings(&told, "pin_ends").len(), 1, "{told}");
    let verdict = verdict_after_a_refresh(&mut registry, &github);
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
    registry.pass(3 * DAY);
    let verdict = verdict_after_a_refresh(&mut registry, &github);
    assert_eq!(
        verdict["reason"]["code"], "federation.pin_missed",
        "{verdict}"
    );
    assert_eq!(warnings(&check(&registry), "pin_ended").len(), 1);
}

#[test]
fn the_server_looks_by_itself_and_remembers_over_a_restart() {
    let (registry, github) = (Registry::today(), Github::start());
    let shown = github.shown_and_trusted(&registry);
    put(
        &registry,
        &thumbprint(&shown.certificate),
        json!({"mode": "enforced"}),
    );
    registry.block_on(registry.plane.watch_due_pins());
    let before = github.issuer.server().connections();
    // Not again within the hour.
    registry.block_on(registry.plane.watch_due_pins());
    assert_eq!(github.issuer.server().connections(), before);
    let next = github.intermediate(1, "Next Server CA");
    let both = [
        github.chain(&registry, &shown, 200),
        github.chain(&registry, &next, 200),
    ];
    github.issuer.server().show_in_turn(&both);
    let mut registry = registry;
    registry.pass(3_601);
    registry.block_on(registry.plane.watch_due_pins());
    let registry = registry.restarted();
    let path = "/v1/tenants/one/issuers/ci/pins";
    let told = registry.call("GET", path, None).json();
    assert_eq!(warnings(&told, "second_path").len(), 1, "{told}");
    assert_eq!(told["pins"][0]["state"], "seen");
}

#[test]
fn hostile_27_the_pins_of_one_tenant_bind_no_other() {
    let (registry, github) = (Registry::today(), Github::start());
    github.shown_and_trusted(&registry);
    let path = "/v1/tenants/two/issuers/ci";
    let put_two = registry.call("PUT", path, Some(&github.document()));
    assert_eq!(put_two.json()["state"], "ok", "{}", put_two.body);
    let wrong = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    put(&registry, wrong, json!({"mode": "enforced"}));
    assert_eq!(registry.show("ci")["failing"]["code"], "fetch.pin_missed");
    let other = registry
        .call("POST", &format!("{path}/refresh"), None)
        .json();
    assert_eq!(other["state"], "ok", "{other}");
    let listed = registry.call("GET", "/v1/tenants/two/pins", None).json();
    assert_eq!(listed["pins"], json!([]));
}

#[test]
fn what_is_no_pin_is_not_taken_for_one() {
    let (registry, github) = (Registry::today(), Github::start());
    let shown = github.shown_and_trusted(&registry);
    let good = thumbprint(&shown.certificate);
    let key = "jwk:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    let past = "2020-01-01T00:00:00Z";
    for (pin, wanted) in [
        ("sha1:6938", json!({"mode": "enforced"})),
        (
            "md5:6938fd4d98bab03faadb97b34396831e3780aea1",
            json!({"mode": "enforced"}),
        ),
        (good.as_str(), json!({})),
        (good.as_str(), json!({"mode": "maybe"})),
        (
            good.as_str(),
            json!({"mode": "enforced", "place": "middle"}),
        ),
        (
            good.as_str(),
            json!({"mode": "enforced", "place": "anchor"}),
        ),
        (good.as_str(), json!({"mode": "enforced", "expires": past})),
        (good.as_str(), json!({"mode": "enforced", "vestigal": true})),
        (key, json!({"mode": "enforced", "place": "top"})),
    ] {
        let path = format!("/v1/tenants/one/issuers/ci/pins/{pin}");
        let answer = registry.call("PUT", &path, Some(&said(wanted.clone())));
        assert_eq!(answer.status, 400, "{pin} {wanted}: {}", answer.body);
    }
    let nobodys = json!({"mode": "enforced"});
    let path = format!("/v1/tenants/one/issuers/ci/pins/{good}");
    assert_eq!(registry.call("PUT", &path, Some(&nobodys)).status, 400);
    // What was never seen cannot be staged as if it had been.
    let path = "/v1/tenants/one/issuers/ci/pins/stage";
    for staging in [
        json!({"pins": [key]}),
        json!({}),
        json!({"all": true, "pins": [key]}),
    ] {
        let answer = registry.call("POST", path, Some(&said(staging)));
        assert_eq!(answer.status, 400, "{}", answer.body);
    }
    let told = registry.call("GET", "/v1/tenants/one/pins", None).json();
    assert_eq!(told["pins"], json!([]), "{told}");
    assert_eq!(registry.decide(&github.token(&registry)), "accept");
    // Removed with its issuer, it is not there when the name is given again.
    put(
        &registry,
        &good,
        json!({"mode": "enforced", "host": "elsewhere.test"}),
    );
    registry.call("DELETE", "/v1/tenants/one/issuers/ci", None);
    github.trusted(&registry);
    let told = registry.call("GET", "/v1/tenants/one/pins", None).json();
    assert_eq!(told["pins"], json!([]), "{told}");
    assert_eq!(AUDIENCE, github.document()["audiences"][0]);
}

#[test]
fn hostile_24_a_pinned_server_that_lets_one_wait_keeps_no_other_tenant_from_being_watched() {
    let (registry, github) = (Registry::today(), Github::start());
    let shown = github.shown_and_trusted(&registry);
    // It accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let slow = "/v1/tenants/two/issuers/ci";
    registry.call(
        "PUT",
        slow,
        Some(&json!({
            "issuer": url, "audiences": [AUDIENCE],
            "rules": [{"name": "jobs", "facts": {"subject": "job-7"}}],
        })),
    );
    let digest = thumbprint(&shown.certificate);
    let path = format!("/v1/tenants/two/issuers/ci/pins/{digest}");
    registry.call("PUT", &path, Some(&said(json!({"mode": "vestigial"}))));
    put(&registry, &digest, json!({"mode": "enforced"}));
    let watching = registry.plane.watch_due_pins();
    let looked = async {
        loop {
            let path = "/v1/tenants/one/issuers/ci/pins";
            let told = registry.call("GET", path, None).json();
            if told["pins"][0]["state"] == "seen" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    // The silent one is waited for, and the other is seen meanwhile.
    registry.block_on(async {
        tokio::select! {
            () = watching => panic!("the other was seen only when all was done"),
            () = looked => {}
        }
    });
}
