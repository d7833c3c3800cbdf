//! APIs that never answer, of several tenants at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_server::Settings;
use avouch_server::fetch::Permitted;
use avouch_store::TenantKind;
use avouch_testkit::https::{HttpsServer, Shown, pause, response, root};
use avouch_testkit::world::{Authority, pem};
use serde_json::json;

use crate::world::World;

const KEY: &str = "rk_test_of_a_tarpit";

/// The places of the server would be used up by so many tenants with so many uses each.
const TENANTS: usize = 4;
const USES: usize = 63;

#[test]
fn apis_that_never_answer_hold_up_their_own_tenants_only() {
    let world = World::with(Settings {
        fetch: Permitted::read(["127.0.0.0/8"]).unwrap(),
        ..Settings::default()
    });
    let authority = root("Tarpits");
    let shown = Shown::under(&authority, &["localhost"]);
    let is_over = Arc::new(AtomicBool::new(false));
    let tarpit = {
        let is_over = Arc::clone(&is_over);
        HttpsServer::start(&shown, move |_, wire| {
            while !is_over.load(Ordering::SeqCst) {
                pause(Duration::from_millis(20));
            }
            wire.write_all(&response(200, &[], b"{}"))
        })
    };
    let quick = HttpsServer::always(&shown, 200, &[], "{}");
    let tokens = tenants(&world, &authority, &[&tarpit, &quick]);
    std::thread::scope(|scope| {
        let world = &world;
        let mut asking = Vec::new();
        for (number, token) in tokens.iter().take(TENANTS).enumerate() {
            for use_number in 0..USES {
                let api = ["a", "b", "c"][use_number % 3];
                let path = format!("/t/t{number}/egress/{api}/x");
                asking.push(scope.spawn(move || world.call(token, "GET", &path, None)));
            }
        }
        // Until each hangs or was told that it cannot.
        for tries in 0.. {
            let hang = tarpit.received().len();
            let told = asking.iter().filter(|one| one.is_finished()).count();
            assert!(tries < 1_000, "{hang} hang, {told} were told");
            if hang + told == TENANTS * USES {
                break;
            }
            pause(Duration::from_millis(20));
        }
        // Who asks something else, and whose API answers, notices nothing.
        assert_eq!(world.get("/t/one/keys").status, 200);
        let path = format!("/t/t{TENANTS}/egress/a/x");
        let own = world.call(&tokens[TENANTS], "GET", &path, None);
        assert_eq!(own.status, 200, "{}", own.body);
        is_over.store(true, Ordering::SeqCst);
        let mut busy = 0;
        for one in asking {
            let answer = one.join().unwrap();
            if answer.status != 200 {
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (429, "issue.egress_busy")
                );
                busy += 1;
            }
        }
        // Each has a quarter of what it leaves free, and half of that for one API.
        assert!((60..=112).contains(&busy), "{busy}");
    });
}

/// Tenants with three APIs each: all of the first server but for the last tenant. Gives a token for each.
fn tenants(world: &World, authority: &Authority, servers: &[&HttpsServer; 2]) -> Vec<String> {
    let above = world.plane.root().unwrap();
    let mut tokens = Vec::new();
    for number in 0..=TENANTS {
        let name = format!("t{number}");
        let id = TenantId::parse(&name).unwrap();
        let kind = TenantKind::Tenant;
        let tenant = world.plane.add_tenant(&id, Some(above.id()), kind).unwrap();
        let domain = TrustDomain::parse(&format!("{name}.test")).unwrap();
        world.plane.add_trust_domain(&tenant, &domain).unwrap();
        let server = servers[usize::from(number == TENANTS)];
        let url = server.url("");
        for api in ["a", "b", "c"] {
            let document = json!({
                "url": url, "ca": pem("CERTIFICATE", &authority.certificate), "bearer": true,
                "rules": [{"ids": [format!("spiffe://{name}.test/w")], "methods": ["GET"], "paths": ["/"]}],
                "key": KEY,
            });
            let path = format!("/v1/tenants/{name}/egress/{api}");
            let put = world.send(&world.operator(), "PUT", &path, &document);
            assert!(put.is_put(), "{}", put.body);
        }
        tokens.push(world.token(&format!("spiffe://{name}.test/w")));
    }
    tokens
}
