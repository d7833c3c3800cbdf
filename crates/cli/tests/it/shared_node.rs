//! One node that serves several tenants, over its socket: what one of them says is not what another's
//! identity relies on.

#![expect(
    clippy::disallowed_methods,
    reason = "which entry is older is told in seconds, and tokens are for the time of the machine"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use avouch_api::grpc::WORKLOAD_HEADER;
use avouch_api::grpc::envoy::extensions::transport_sockets::tls::v3::Secret;
use avouch_api::grpc::envoy::service::discovery::v3::DiscoveryRequest;
use avouch_api::grpc::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use avouch_api::grpc::workload::ValidateJwtsvidRequest;
use avouch_api::grpc::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use avouch_core::time::Time;
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, bundle, jwk};
use avouch_testkit::world::Authority;
use base64ct::{Base64, Encoding};
use prost::Message;
use serde_json::{Value, json};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::plane::Plane;

const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// A deployment with the tenants `one` and `two`, both served by the node of this machine.
pub(crate) struct Shared {
    pub(crate) plane: Plane,
    runtime: tokio::runtime::Runtime,
}

impl Shared {
    pub(crate) fn start(name: &str) -> Self {
        let shared = Self {
            plane: Plane::start(name, &[]),
            runtime: tokio::runtime::Runtime::new().unwrap(),
        };
        for tenant in ["one", "two"] {
            let domain = format!("{tenant}.test");
            shared.run("", &["tenant", "create", tenant, "--trust-domain", &domain]);
        }
        shared.run("demo", &["entry", "delete", "current-user"]);
        shared
    }

    pub(crate) fn run(&self, tenant: &str, command: &[&str]) {
        let of = match tenant {
            "" => Vec::new(),
            tenant => vec!["--tenant", tenant],
        };
        let ran = self.plane.run(&[command, &of].concat());
        assert_eq!(ran.code, 0, "{command:?}: {}", ran.err);
    }

    /// Gives every process of this user an identity of a tenant.
    pub(crate) fn register(&self, tenant: &str, federates_with: &[&str]) {
        let id = format!("spiffe://{tenant}.test/web");
        let uid = format!("unix:uid:{}", nix::unistd::getuid());
        let mut command = vec!["entry", "create", "--id", "web", "--spiffe-id", &id];
        command.extend(["--selector", &uid]);
        for name in federates_with {
            command.extend(["--federates-with", name]);
        }
        self.run(tenant, &command);
    }

    /// Has a tenant believe this bundle of a trust domain.
    pub(crate) fn anchor(&self, tenant: &str, name: &str, anchor: &Value) {
        self.plane.folder.file("anchor.json", anchor.to_string());
        self.run(tenant, &["anchor", "put", name, "-f", "anchor.json"]);
    }

    /// The bundles of the workload, once it has those of just these trust domains.
    pub(crate) fn bundles(&self, of: &[&str]) -> Value {
        let of: Vec<String> = of.iter().map(|name| format!("spiffe://{name}")).collect();
        let mut last = String::new();
        eventually(|| {
            let ran = self.plane.run(&["fetch", "bundle", "-o", "json"]);
            last = format!("{}{}", ran.out, ran.err);
            let bundles = (ran.code == 0).then(|| ran.json()["bundles"].clone())?;
            let names = bundles.as_object()?.keys().cloned().collect::<Vec<_>>();
            (names == of).then_some(bundles)
        })
        .unwrap_or_else(|| panic!("not {of:?}: {last}"))
    }

    /// A JWT-SVID of the workload, as one of its identities.
    fn token(&self, id: &str) -> String {
        let command = [
            "fetch",
            "jwt",
            "--audience",
            "vault",
            "--spiffe-id",
            id,
            "-o",
            "json",
        ];
        let ran = self.plane.run(&command);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.json()["svids"][0]["svid"].as_str().unwrap().to_owned()
    }

    async fn channel(&self) -> Channel {
        let address = format!("unix://{}", self.plane.socket().display());
        let endpoint = Endpoint::from_shared(address).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Whether the Workload API says that a token is to be believed.
    fn believes(&self, token: &str) -> bool {
        let request = ValidateJwtsvidRequest {
            audience: "vault".to_owned(),
            svid: token.to_owned(),
        };
        let mut request = Request::new(request);
        let value = "true".parse().unwrap();
        request.metadata_mut().insert(WORKLOAD_HEADER, value);
        self.runtime.block_on(async {
            let mut client = SpiffeWorkloadApiClient::new(self.channel().await);
            client.validate_jwtsvid(request).await.is_ok()
        })
    }

    /// What Envoy is given to check peers of a trust domain with, as bytes.
    fn of_envoy(&self, trust_domain: &str) -> Vec<u8> {
        let request = DiscoveryRequest {
            resource_names: vec![format!("spiffe://{trust_domain}")],
            type_url: SECRET.to_owned(),
            ..DiscoveryRequest::default()
        };
        let answer = self.runtime.block_on(async {
            let mut client = SecretDiscoveryServiceClient::new(self.channel().await);
            client.fetch_secrets(request).await.unwrap().into_inner()
        });
        let secret = Secret::decode(answer.resources[0].value.as_slice()).unwrap();
        format!("{:?}", secret.r#type).into_bytes()
    }
}

pub(crate) fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(40) {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    None
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Keys that somebody has, of every kind.
fn keys_of(name: &str) -> Value {
    let jwt = Key::p256(name);
    let mut bundle = bundle(&jwt, &Key::p256(&format!("{name} wit")));
    let root = Authority::root(name);
    let mut x509 = jwk(&root.key, "x");
    x509["use"] = "x509-svid".into();
    x509["x5c"] = json!([Base64::encode_string(&root.certificate)]);
    bundle["keys"].as_array_mut().unwrap().push(x509);
    bundle
}

/// A token that is signed with a key of [`keys_of`].
fn forged(id: &str, name: &str) -> String {
    let claims = json!({"sub": id, "aud": ["vault"], "iat": now(), "exp": now() + 300});
    TokenForge::saying(claims).sign(&Key::p256(name), "jwt-1")
}

#[test]
fn no_tenant_of_a_shared_node_says_what_the_trust_domain_of_another_is() {
    let shared = Shared::start("shared-node");
    // What is really `two`'s, while nobody says anything else.
    shared.register("two", &[]);
    let published = shared.bundles(&["two.test"])["spiffe://two.test"].clone();
    let of_envoy = shared.of_envoy("two.test");
    // `one` says that `two.test` has its keys, and both say something of a partner.
    let anchor =
        |domain: &str, keys: &str| json!({"trust_domain": domain, "bundle": keys_of(keys)});
    shared.anchor("one", "theirs", &anchor("two.test", "mallory"));
    shared.anchor("one", "partner", &anchor("partner.test", "partner of one"));
    shared.anchor("two", "partner", &anchor("partner.test", "partner of two"));
    shared.run("two", &["entry", "delete", "web"]);

    for [first, second] in [["one", "two"], ["two", "one"]] {
        for tenant in [first, second] {
            let foreign: &[&str] = match tenant {
                "one" => &["two.test", "partner.test"],
                _ => &["partner.test"],
            };
            shared.register(tenant, foreign);
            // Which is older is told in seconds.
            std::thread::sleep(Duration::from_millis(1_100));
        }
        let bundles = shared.bundles(&["one.test", "partner.test", "two.test"]);
        assert_eq!(
            bundles["spiffe://two.test"], published,
            "{first} before {second}"
        );
        assert_eq!(
            shared.of_envoy("two.test"),
            of_envoy,
            "{first} before {second}"
        );
        let genuine = "spiffe://two.test/web";
        assert!(shared.believes(&shared.token(genuine)), "{first} first");
        assert!(
            !shared.believes(&forged(genuine, "mallory")),
            "{first} first"
        );
        // Of who is foreign to both, the tenant of the default identity says who it is, and the
        // other does not say it too.
        let partner = "spiffe://partner.test/a";
        for tenant in ["one", "two"] {
            let token = forged(partner, &format!("partner of {tenant}"));
            assert_eq!(shared.believes(&token), tenant == first, "{first} first");
        }
        for tenant in [first, second] {
            shared.run(tenant, &["entry", "delete", "web"]);
        }
    }
}

#[test]
fn a_tenant_that_may_not_select_a_workload_is_none_of_its_identities() {
    let shared = Shared::start("shared-bounded");
    shared.register("one", &[]);
    std::thread::sleep(Duration::from_millis(1_100));
    shared.register("two", &[]);
    shared.bundles(&["one.test", "two.test"]);
    let ids = || {
        let ran = shared.plane.run(&["fetch", "x509", "-o", "json"]);
        let svids = ran.json()["svids"].as_array().unwrap().clone();
        let ids = svids
            .iter()
            .map(|svid| svid["spiffe_id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(
        ids()[0],
        "spiffe://one.test/web",
        "the oldest is the default identity"
    );
    // Whoever runs the node says whose its workloads are.
    shared.run(
        "",
        &[
            "tenant",
            "quota",
            "one",
            "--workload",
            "unix:uid:4000000000",
        ],
    );
    shared.bundles(&["two.test"]);
    assert_eq!(ids(), ["spiffe://two.test/web"]);
    shared.run("", &["tenant", "quota", "one", "--workload", "none"]);
    shared.bundles(&["one.test", "two.test"]);
}

#[test]
fn a_tenant_that_is_removed_takes_its_identities_from_running_workloads() {
    let shared = Shared::start("shared-removed");
    shared.register("one", &[]);
    shared.register("two", &[]);
    shared.bundles(&["one.test", "two.test"]);
    let told = shared.plane.run(&["tenant", "delete", "one", "--dry-run"]);
    assert!(told.out.contains("registration entries"), "{}", told.out);
    let refused = shared.plane.run(&["tenant", "delete", "one"]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(
        refused.err.contains("--confirm one,one.test"),
        "{}",
        refused.err
    );
    shared.run(
        "",
        &["tenant", "delete", "one", "--confirm", "one,one.test"],
    );
    shared.bundles(&["two.test"]);
    let ran = shared.plane.run(&["fetch", "x509", "-o", "json"]);
    let svids = ran.json()["svids"].as_array().unwrap().clone();
    assert_eq!(svids.len(), 1, "{}", ran.out);
    assert_eq!(svids[0]["spiffe_id"], "spiffe://two.test/web");
    // A trust domain of its own goes likewise, and then nothing is left.
    let ran = [
        "trust-domain",
        "remove",
        "two.test",
        "--confirm",
        "two.test",
    ];
    shared.run("two", &ran);
    let none = eventually(|| {
        let ran = shared.plane.run(&["fetch", "x509", "-o", "json"]);
        (ran.code != 0).then_some(ran)
    });
    assert!(none.is_some(), "the workload has an identity still");
}

#[test]
fn an_anchor_that_has_ended_or_is_believed_within_bounds_is_none_of_a_workload() {
    let shared = Shared::start("shared-ended");
    let ends = Time::from_unix(now() + 12).to_string();
    let brief = json!({"trust_domain": "brief.test", "bundle": keys_of("brief"), "expires": ends});
    shared.anchor("two", "brief", &brief);
    let bounded = json!({
        "trust_domain": "bounded.test", "bundle": keys_of("bounded"),
        "constraints": {"path_length": 1},
    });
    shared.anchor("two", "bounded", &bounded);
    shared.register("two", &["brief.test", "bounded.test"]);
    let token = forged("spiffe://brief.test/a", "brief");
    shared.bundles(&["brief.test", "two.test"]);
    assert!(shared.believes(&token));
    assert!(!shared.believes(&forged("spiffe://bounded.test/a", "bounded")));
    // Nothing of the tenant changes but the time.
    shared.bundles(&["two.test"]);
    assert!(!shared.believes(&token));
}
