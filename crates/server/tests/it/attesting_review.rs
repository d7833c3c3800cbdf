//! Agents whose cluster is asked about their tokens. The cluster is a server of this test, which
//! answers as the TokenReview API (`authentication.k8s.io/v1`) of Kubernetes is documented to.

use avouch_api::grpc::node::Evidence;
use avouch_api::grpc::node::evidence::Shown as Presented;
use avouch_server::Refused;
use avouch_server::fetch::{Fetched, Fetcher, Permitted};
use avouch_server::nodes::Membership;
use avouch_testkit::https::{HttpsServer, Received, Shown, response, root};
use avouch_testkit::key::Key;
use avouch_testkit::token::TokenForge;
use avouch_testkit::world::{Authority, pem};
use serde_json::{Value, json};

use crate::attesting::{Asked, by, code, put};
use crate::world::World;

const REVIEWER: &str = "the token of the reviewer";

/// What an API server says of the tokens that this test makes: each names in its `sub` what is to
/// be said.
fn answer(received: &Received) -> (u16, Value) {
    let bearer = received.headers.get("authorization");
    if bearer.map(String::as_str) != Some(&format!("Bearer {REVIEWER}")) {
        return (
            401,
            json!({"kind": "Status", "status": "Failure", "code": 401}),
        );
    }
    assert_eq!(
        (received.method.as_str(), received.path.as_str()),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews")
    );
    let review: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(review["kind"], "TokenReview");
    assert_eq!(review["apiVersion"], "authentication.k8s.io/v1");
    let token = review["spec"]["token"].as_str().unwrap();
    let case = case_of(token);
    let mut status = json!({
        "authenticated": true,
        "user": {
            "username": "system:serviceaccount:avouch:agent",
            "uid": "77778888-9999-4aaa-8bbb-ccccddddeeee",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/credential-id": ["JTI=8f1b6a4e"],
                "authentication.kubernetes.io/node-name": ["worker-1"],
                "authentication.kubernetes.io/node-uid": ["5e0f5b0a-1111-4222-8333-444455556666"],
                "authentication.kubernetes.io/pod-name": ["agent-x7"],
                "authentication.kubernetes.io/pod-uid": ["0d9f3c1e-1111-4222-8333-444455556666"],
            },
        },
        "audiences": review["spec"]["audiences"],
    });
    match case.as_str() {
        "unknown" => status = json!({"authenticated": false, "error": "token has expired"}),
        "no audiences" => drop(status.as_object_mut().unwrap().remove("audiences")),
        "for others" => status["audiences"] = json!(["vault"]),
        "not of an agent" => {
            status["user"]["username"] = json!("system:serviceaccount:avouch:agent-2");
        }
        "of a person" => status["user"]["username"] = json!("avouch:agent"),
        "no node" => drop(status["user"].as_object_mut().unwrap().remove("extra")),
        "yes as a text" => status["authenticated"] = json!("true"),
        "failure" => return (500, json!({"kind": "Status", "code": 500})),
        _ => {}
    }
    let review =
        json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status});
    (201, review)
}

fn case_of(token: &str) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let claims = Base64UrlUnpadded::decode_vec(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

fn token(world: &World, case: &str) -> String {
    let issued = world.plane.now().unix() - 60;
    let claims = json!({"sub": case, "iat": issued, "exp": issued + 3_600});
    TokenForge::saying(claims).sign(&Key::p256("cluster"), "sa")
}

fn cluster(authority: &Authority) -> HttpsServer {
    let shown = Shown::under(authority, &["localhost"]);
    HttpsServer::start(&shown, |received, wire| {
        let (status, body) = answer(received);
        let fields = [("content-type", "application/json")];
        wire.write_all(&response(status, &fields, body.to_string().as_bytes()))
    })
}

fn attestor(cluster: &HttpsServer, authority: &Authority) -> Value {
    json!({
        "method": "k8s_psat",
        "cluster": "prod",
        "audiences": ["avouch"],
        "review": {
            "server": cluster.url(""),
            "ca": pem("CERTIFICATE", &authority.certificate),
            "token": REVIEWER,
        },
        "service_accounts": ["avouch/agent"],
    })
}

/// Does what the shell does: asks, and attests with the answer.
fn bring(world: &World, fetcher: &Fetcher, token: &str) -> Result<Membership, Refused> {
    let asked = Asked::new(by("k8s_psat"));
    let evidence = Evidence {
        signing_request: asked.request.clone(),
        shown: Some(Presented::K8sPsat(token.to_owned())),
    };
    let plane = &world.plane;
    let (tenant, question) = plane.question_about(&asked.intention, &evidence)?.unwrap();
    assert!(
        !format!("{question:?}").contains(REVIEWER),
        "a secret is shown"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let answer: Fetched = runtime.block_on(fetcher.fetch(&tenant, &question))?;
    let answer = Some(&answer);
    plane.attest(&asked.intention, &asked.challenge, &evidence, answer, None)
}

#[test]
fn an_agent_joins_when_its_cluster_knows_its_token_and_not_otherwise() {
    let world = World::new();
    let authority = root("cluster");
    let server = cluster(&authority);
    put(&world, "k8s_psat", &attestor(&server, &authority));
    let fetcher = Fetcher::new(Permitted::read(["127.0.0.0/8"]).unwrap());
    let good = token(&world, "good");
    let member = bring(&world, &fetcher, &good).unwrap();
    assert_eq!(
        member.id.to_string(),
        "spiffe://one.test/avouch/node/k8s_psat-5e0f5b0a-1111-4222-8333-444455556666"
    );
    let again = bring(&world, &fetcher, &good);
    assert_eq!(code(again), "issue.node_joined_already");
    // Nor in another writing, which a lenient reader takes for the same.
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let name = "k8s_psat-5e0f5b0a-1111-4222-8333-444455556666";
    world.plane.evict(&one, name).unwrap();
    let again = bring(&world, &fetcher, &format!("{good}\n"));
    assert_eq!(code(again), "issue.node_joined_already");
    bring(&world, &fetcher, &token(&world, "good, of later")).unwrap();
    for case in [
        "unknown",
        "no audiences",
        "for others",
        "not of an agent",
        "of a person",
        "yes as a text",
        "failure",
    ] {
        let refused = bring(&world, &fetcher, &token(&world, case));
        assert_eq!(code(refused), "issue.token_review_refused", "{case}");
    }
    let refused = bring(&world, &fetcher, &token(&world, "no node"));
    assert_eq!(code(refused), "issue.attestation_fact_missing");
    // Without the operator's leave nothing on the machine itself is called.
    let refused = bring(&world, world.plane.fetcher(), &token(&world, "good"));
    assert!(code(refused).starts_with("fetch."));
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let facts: Vec<String> = one.read(|held| {
        let node = held.nodes.values().next().unwrap();
        node.facts.iter().map(ToString::to_string).collect()
    });
    assert!(
        facts.contains(&"k8s_psat:agent_node_name:worker-1".to_owned()),
        "{facts:?}"
    );
}

#[test]
fn what_shows_that_we_may_ask_is_never_shown() {
    let world = World::new();
    let authority = root("cluster");
    let server = cluster(&authority);
    let operator = world.operator();
    let path = "/v1/tenants/one/attestors/k8s_psat";
    let document = attestor(&server, &authority);
    let put = world.send(&operator, "PUT", path, &document);
    assert!(put.is_put(), "{}", put.body);
    assert!(!put.body.contains(REVIEWER), "{}", put.body);
    let list = world.call(&operator, "GET", "/v1/tenants/one/attestors", None);
    assert!(!list.body.contains(REVIEWER), "{}", list.body);
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let record = one.read(|held| format!("{:?}", held.attestors));
    assert!(!record.contains(REVIEWER), "{record}");
    // Nothing of it is guessed: without the token, without agents, by plain HTTP.
    for (member, value) in [
        ("review", json!({"server": "https://10.0.0.1:6443"})),
        (
            "review",
            json!({"server": "http://10.0.0.1:6443", "token": "x"}),
        ),
        (
            "review",
            json!({"server": "https://10.0.0.1:6443", "token": 5}),
        ),
        ("service_accounts", json!([])),
        ("service_accounts", json!(["agent"])),
        ("trust", json!({"anchors": []})),
    ] {
        let mut wrong = document.clone();
        wrong[member] = value;
        let refused = world.send(&operator, "PUT", path, &wrong);
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.body);
    }
}
