//! Clusters that are asked about the tokens of their workloads. The cluster is a server of this test,
//! which answers as the TokenReview API (`authentication.k8s.io/v1`) of Kubernetes is documented to; it
//! is no API server.

use std::sync::{Arc, Mutex};

use avouch_testkit::https::{HttpsServer, Received, Shown, response, root};
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use crate::exchange::{OURSELVES, claims};
use crate::registry::{AUDIENCE, Registry, with};

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";
const REVIEWER: &str = "the token of the reviewer";
const SUBJECT: &str = "system:serviceaccount:shop:web";
const ACCOUNT: &str = "6a8680e1-1111-4222-8333-444455556666";
const POD: &str = "0d8b260e-1111-4222-8333-444455556666";

struct Cluster {
    server: HttpsServer,
    ca: String,
    key: Key,
    /// What is said of a token instead, if anything: a status, and what replaces members of `status`.
    says: Arc<Mutex<(u16, Value)>>,
}

/// The claims of a compact token.
fn said(token: &str) -> Value {
    Value::Object(claims(token))
}

/// What an API server says of a token that it knows, asked for these audiences: those of both.
fn review(received: &Received) -> Value {
    assert_eq!(
        (received.method.as_str(), received.path.as_str()),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews")
    );
    let asked: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(asked["kind"], "TokenReview");
    assert_eq!(asked["apiVersion"], "authentication.k8s.io/v1");
    let own = said(asked["spec"]["token"].as_str().unwrap());
    let named = own["aud"].as_array().unwrap();
    let asked = asked["spec"]["audiences"].as_array().unwrap();
    let both: Vec<&Value> = asked.iter().filter(|one| named.contains(one)).collect();
    let jti = own["jti"].as_str().unwrap();
    json!({
        "authenticated": !both.is_empty(),
        "user": {
            "username": SUBJECT, "uid": ACCOUNT,
            "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/credential-id": [format!("JTI={jti}")],
                "authentication.kubernetes.io/node-name": ["worker-1"],
                "authentication.kubernetes.io/node-uid": ["517eb86e-1111-4222-8333-444455556666"],
                "authentication.kubernetes.io/pod-name": ["web-7"],
                "authentication.kubernetes.io/pod-uid": [POD],
            },
        },
        "audiences": both,
    })
}

impl Cluster {
    fn start() -> Self {
        let root = root("cluster");
        let says = Arc::new(Mutex::new((201, json!({}))));
        let told = Arc::clone(&says);
        let server = HttpsServer::start(
            &Shown::under(&root, &["localhost"]),
            move |received, wire| {
                let bearer = received.headers.get("authorization");
                let may_ask = bearer.map(String::as_str) == Some(&format!("Bearer {REVIEWER}"));
                let (mut code, changed) = told.lock().unwrap().clone();
                let mut status = review(received);
                for (name, value) in changed.as_object().unwrap() {
                    match value {
                        Value::Null => drop(status.as_object_mut().unwrap().remove(name)),
                        Value::Object(members) if status[name].is_object() => {
                            for (name_in, value) in members {
                                status[name][name_in] = value.clone();
                            }
                        }
                        other => status[name] = other.clone(),
                    }
                }
                if !may_ask {
                    code = 401;
                }
                let answer = json!({
                    "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status,
                });
                let fields = [("content-type", "application/json")];
                wire.write_all(&response(code, &fields, answer.to_string().as_bytes()))
            },
        );
        Self {
            server,
            ca: pem("CERTIFICATE", &root.certificate),
            key: Key::p256("a cluster"),
            says,
        }
    }

    fn says(&self, code: u16, changed: Value) {
        *self.says.lock().unwrap() = (code, changed);
    }

    fn document(&self, more: Value) -> Value {
        let document = json!({
            "issuer": CLUSTER, "audiences": [AUDIENCE, OURSELVES], "max_lifetime": 3_700,
            "review": {"server": self.server.url(""), "ca": self.ca, "token": REVIEWER},
        });
        with(document, more)
    }

    fn token(&self, registry: &Registry, changed: Value) -> String {
        let at = registry.now();
        let own = json!({
            "iss": CLUSTER, "sub": SUBJECT, "aud": [AUDIENCE], "jti": "8f1b6a4e",
            "iat": at - 10, "nbf": at - 10, "exp": at + 3_600,
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web", "uid": ACCOUNT}},
        });
        TokenForge::saying(with(own, changed)).sign(&self.key, "sa-1")
    }

    fn count(&self) -> usize {
        self.server.received().len()
    }
}

fn house() -> (Registry, Cluster) {
    let (registry, cluster) = (Registry::new(), Cluster::start());
    let put = registry.put("prod", &cluster.document(json!({})));
    assert!(put.is_put(), "{}", put.body);
    assert!(!put.body.contains(REVIEWER), "{}", put.body);
    assert!(!put.body.contains("sealed"), "{}", put.body);
    (registry, cluster)
}

#[test]
fn a_token_of_a_pod_is_what_its_cluster_says_and_only_for_seconds() {
    let (mut registry, cluster) = house();
    let token = cluster.token(&registry, json!({}));
    let verdict = registry.verdict("one", &token);
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
    assert_eq!(verdict["path"][0]["how"], "token_review", "{verdict}");
    assert_eq!(verdict["revocation"][0]["source"], "token_review");
    let facts = &verdict["identity"]["facts"];
    assert_eq!(facts["k8s.pod_uid"], POD, "{verdict}");
    assert_eq!(facts["k8s.service_account_uid"], ACCOUNT);
    assert_eq!(facts["k8s.node"], "worker-1");
    // Both audiences are sent, since a cluster that is told none takes what is for itself.
    let received = &cluster.server.received()[0];
    let asked: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(asked["spec"]["audiences"], json!([AUDIENCE, OURSELVES]));
    assert_eq!(registry.decide(&token), "accept");
    assert_eq!(cluster.count(), 1, "an answer is used for ten seconds");
    // The pod is gone, and with it the token.
    cluster.says(
        201,
        json!({"authenticated": false, "error": "pod not found", "user": null}),
    );
    assert_eq!(registry.decide(&token), "accept");
    registry.pass(11);
    assert_eq!(registry.decide(&token), "federation.token_inactive");
    // Nothing old is used when the cluster is away.
    let other = cluster.token(&registry, json!({"jti": "another"}));
    cluster.says(201, json!({}));
    assert_eq!(registry.decide(&other), "accept");
    cluster.says(503, json!({}));
    registry.pass(11);
    assert_eq!(registry.decide(&other), "undetermined");
    assert_eq!(registry.show("prod")["state"], "ok");
}

/// What the cluster says of the groups of an account, no token says.
#[test]
fn a_group_that_a_cluster_names_can_be_asked_for() {
    let (registry, cluster) = house();
    let asks = |group: &str| {
        let rules = json!([{"name": "r", "facts": {"claims.groups": {"has": group}}}]);
        let put = registry.put("prod", &cluster.document(json!({ "rules": rules })));
        assert!(put.is_put(), "{}", put.body);
        registry.decide(&cluster.token(&registry, json!({"groups": ["of the token"]})))
    };
    assert_eq!(asks("system:serviceaccounts:shop"), "accept");
    assert_eq!(
        asks("system:serviceaccounts:sho"),
        "policy.rule_not_matched"
    );
    assert_eq!(asks("of the token"), "policy.rule_not_matched");
}

#[test]
fn hostile_40_what_a_cluster_does_not_say_plainly_is_no_yes() {
    let (mut registry, cluster) = house();
    let malformed = "federation.introspection_malformed";
    for (number, (changed, expected)) in [
        (json!({"authenticated": "true"}), "undetermined"),
        (json!({"authenticated": null}), "federation.token_inactive"),
        (json!({"error": "the token could not be checked"}), "undetermined"),
        (json!({"user": null}), "undetermined"),
        // These are answers, and go no better later.
        (json!({"audiences": null}), malformed),
        (json!({"audiences": []}), malformed),
        (json!({"audiences": ["https://other.test"]}), malformed),
        (json!({"user": {"username": "system:serviceaccount:shop:api"}}), malformed),
        (json!({"user": {"username": "system:node:worker-1"}}), malformed),
        (json!({"user": {"username": "alice"}}), malformed),
        (
            json!({"user": {"extra": {"authentication.kubernetes.io/credential-id": ["JTI=other"]}}}),
            malformed,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        cluster.says(201, changed.clone());
        let token = cluster.token(&registry, json!({"jti": format!("t-{number}")}));
        assert_eq!(registry.decide(&token), expected, "{changed}");
        let metrics = registry.call("GET", "/metrics", None).body;
        assert!(expected != "undetermined" || metrics.contains(malformed), "{metrics}");
        // The near miss.
        registry.pass(6);
        cluster.says(201, json!({}));
        let good = cluster.token(&registry, json!({"jti": format!("good-{number}")}));
        assert_eq!(registry.decide(&good), "accept", "{changed}");
    }
}

#[test]
fn hostile_41_a_token_is_shown_to_its_own_cluster_and_only_while_it_may_hold() {
    let (registry, cluster) = house();
    let now = registry.now();
    for (changed, expected) in [
        (
            json!({"iss": "https://kubernetes.default.svc"}),
            "federation.issuer_unknown",
        ),
        (
            json!({"iss": "kubernetes/serviceaccount"}),
            "federation.legacy_kubernetes_token",
        ),
        (
            json!({"aud": ["https://other.test"]}),
            "federation.audience_mismatch",
        ),
        (json!({"exp": now - 61}), "federation.token_expired"),
        (
            json!({"iat": now - 10, "exp": now + 31_536_000}),
            "federation.lifetime_excessive",
        ),
    ] {
        let code = registry.decide(&cluster.token(&registry, changed.clone()));
        assert_eq!(code, expected, "{changed}");
    }
    assert_eq!(cluster.count(), 0, "nothing of them was shown to anyone");
    // One that is also for somebody else is told apart, too.
    let alone = cluster.document(json!({"single_audience": true}));
    assert!(registry.put("prod", &alone).is_put());
    let both = cluster.token(&registry, json!({"aud": [AUDIENCE, "https://other.test"]}));
    assert_eq!(registry.decide(&both), "federation.audience_extra");
    assert_eq!(
        registry.decide(&cluster.token(&registry, json!({}))),
        "accept"
    );
    // In quarantine nobody is asked any more.
    let count = cluster.count();
    let cause = json!({"reason": "the cluster is lost"});
    registry.call(
        "POST",
        "/v1/tenants/one/issuers/prod/quarantine",
        Some(&cause),
    );
    let token = cluster.token(&registry, json!({"jti": "later"}));
    assert_eq!(registry.decide(&token), "federation.issuer_quarantined");
    assert_eq!(cluster.count(), count);
}

#[test]
fn a_pod_exchanges_its_token_once_and_by_the_account_it_has() {
    let (mut registry, cluster) = house();
    let domain = json!({"name": "one.test"});
    registry.call("POST", "/v1/tenants/one/trust-domains", Some(&domain));
    let rule = json!({
        "from": {"anchor": "prod", "facts": {
            "k8s.namespace": "shop", "k8s.service_account_uid": ACCOUNT, "k8s.pod_uid": POD,
        }},
        "gives": {
            "spiffe_id": "spiffe://one.test/shop/{k8s.service_account}", "kinds": ["jwt-svid"],
            "audiences": ["https://cloud.test"], "lifetime": 300, "outlives": true,
        },
        "bearer": {"reason": "no key at hand", "expires": "2027-12-01T00:00:00Z"},
        "owner": "the platform team", "reason": "workloads of the shop",
    });
    let put = registry.call("PUT", "/v1/tenants/one/rules/web", Some(&rule));
    assert!(put.is_put(), "{}", put.body);
    let token = cluster.token(&registry, json!({"aud": [OURSELVES]}));
    let given = registry.exchange(&token);
    assert_eq!(given.status, 200, "{}", given.body);
    let access = given.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(claims(&access)["sub"], "spiffe://one.test/shop/web");
    assert_eq!(registry.exchange(&token).status, 400, "it is used once");
    // An account of the same name that was made anew is another.
    cluster.says(201, json!({"user": {"uid": "another"}}));
    let token = |jti: &str| cluster.token(&registry, json!({"aud": [OURSELVES], "jti": jti}));
    assert_eq!(registry.exchange(&token("anew")).status, 400);
    // And while the cluster does not answer, nothing is given.
    cluster.says(500, json!({}));
    assert_ne!(registry.exchange(&token("away")).status, 200);
    cluster.says(201, json!({}));
    registry.pass(6);
    let token = cluster.token(&registry, json!({"aud": [OURSELVES], "jti": "back"}));
    assert_eq!(registry.exchange(&token).status, 200);
}

#[test]
fn hostile_40_of_two_clusters_of_one_name_each_is_shown_its_own_tokens_only() {
    let (registry, blue) = house();
    let (green, own) = (Cluster::start(), "https://vault.test/green");
    let unsaid = registry.put("green", &green.document(json!({})));
    assert_eq!(unsaid.code(), "issue.conflict");
    // A token is for one of them, or nobody could tell whom to ask.
    let overlapping = green.document(json!({"cluster": "green", "audiences": [own, AUDIENCE]}));
    let refused = registry.put("green", &overlapping);
    assert_eq!(refused.code(), "issue.conflict");
    assert!(refused.body.contains("`audiences`"), "{}", refused.body);
    let apart = green.document(json!({"cluster": "green", "audiences": [own]}));
    let put = registry.put("green", &apart);
    assert!(put.is_put(), "{}", put.body);
    let decide = |token: &str, audience: &str| {
        let question = json!({"credential": {"jwt": token}, "audience": [audience]});
        let answer = registry.call("POST", "/t/one/decide", Some(&question));
        answer.json()
    };
    let of_blue = blue.token(&registry, json!({}));
    let of_green = green.token(&registry, json!({"aud": [own]}));
    let verdict = decide(&of_blue, AUDIENCE);
    assert_eq!(verdict["anchor"]["name"], "prod", "{verdict}");
    assert_eq!((blue.count(), green.count()), (1, 0));
    let verdict = decide(&of_green, own);
    assert_eq!(verdict["anchor"]["name"], "green", "{verdict}");
    assert_eq!(verdict["path"][0]["by"], format!("{CLUSTER}#green"));
    assert_eq!((blue.count(), green.count()), (1, 1));
    // One that is for both is shown to neither.
    let both = blue.token(&registry, json!({"aud": [AUDIENCE, own], "jti": "both"}));
    let verdict = decide(&both, AUDIENCE);
    assert_eq!(
        verdict["reason"]["code"], "federation.token_opaque",
        "{verdict}"
    );
    assert_eq!((blue.count(), green.count()), (1, 1));

    // The same number of a token was used at the one, and not at the other.
    let domain = json!({"name": "one.test"});
    registry.call("POST", "/v1/tenants/one/trust-domains", Some(&domain));
    for (anchor, audience) in [("prod", OURSELVES), ("green", own)] {
        let rule = json!({
            "from": {"anchor": anchor, "facts": {"k8s.namespace": "shop"}},
            "gives": {
                "spiffe_id": format!("spiffe://one.test/{anchor}/{{k8s.service_account}}"),
                "kinds": ["jwt-svid"], "audiences": ["https://cloud.test"], "outlives": true,
            },
            "subject_audiences": [audience],
            "bearer": {"reason": "no key at hand", "expires": "2027-12-01T00:00:00Z"},
            "owner": "the platform team", "reason": "workloads of the shop",
        });
        let put = registry.call(
            "PUT",
            &format!("/v1/tenants/one/rules/{anchor}"),
            Some(&rule),
        );
        assert!(put.is_put(), "{}", put.body);
    }
    let of_blue = blue.token(&registry, json!({"aud": [OURSELVES], "jti": "one number"}));
    let of_green = green.token(&registry, json!({"aud": [own], "jti": "one number"}));
    for (token, anchor) in [(&of_blue, "prod"), (&of_green, "green")] {
        let given = registry.exchange(token);
        assert_eq!(given.status, 200, "{}", given.body);
        let given = given.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(
            claims(&given)["sub"],
            format!("spiffe://one.test/{anchor}/web")
        );
        assert_eq!(registry.exchange(token).json()["code"], "issue.token_used");
    }
}

#[test]
fn what_is_wanted_of_a_cluster_is_read_strictly_and_its_credential_stays() {
    let (mut registry, cluster) = house();
    let review = |more: Value| {
        let review = json!({"server": cluster.server.url(""), "ca": cluster.ca, "token": REVIEWER});
        json!({"review": with(review, more)})
    };
    for wrong in [
        review(json!({"server": "http://localhost:6443"})),
        review(json!({"server": "https://user@localhost"})),
        review(json!({"token": 7})),
        review(json!({"token_sealed": "AAAA"})),
        review(json!({"max_age": 61})),
        review(json!({"max_age": 0})),
        review(json!({"insecure": true})),
        json!({"audiences": []}),
        json!({"jwks": jwks(&[jwk(&Key::p256("k"), "k")])}),
        json!({"jwks_url": "https://localhost/keys"}),
        json!({"introspection": {"endpoint": "https://localhost/i", "client_id": "x"}}),
        json!({"preset": "github"}),
        json!({"issuer": "https://token.actions.githubusercontent.com"}),
    ] {
        let put = registry.put("prod", &cluster.document(wrong.clone()));
        assert!((400..500).contains(&put.status), "{wrong}: {}", put.body);
    }
    let mut nobody = cluster.document(json!({}));
    nobody.as_object_mut().unwrap().remove("audiences");
    assert_eq!(registry.put("prod", &nobody).status, 400);
    // Put again without the credential: it stays for the same server, and for no other.
    let again = registry.show("prod")["document"].clone();
    assert!(!again.to_string().contains("sealed"), "{again}");
    assert!(registry.put("prod", &again).is_put());
    assert_eq!(
        registry.decide(&cluster.token(&registry, json!({}))),
        "accept"
    );
    let mut elsewhere = again;
    elsewhere["review"]["server"] = "https://localhost:1".into();
    let put = registry.put("prod", &elsewhere);
    assert_eq!(put.status, 400, "{}", put.body);
    assert!(put.body.contains("token"), "{}", put.body);
    // Hostile 22: an address that nobody permitted is not called, whatever it is named.
    registry.pass(60);
    let inside = review(json!({"server": "https://169.254.169.254"}));
    assert!(registry.put("prod", &cluster.document(inside)).is_put());
    let token = cluster.token(&registry, json!({"jti": "inside"}));
    assert_eq!(registry.decide(&token), "undetermined");
    let metrics = registry.call("GET", "/metrics", None).body;
    assert!(metrics.contains("fetch.address_forbidden"), "{metrics}");
}
