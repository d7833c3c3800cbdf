//! Real clusters of Kubernetes, the API server over etcd, which are asked about the tokens that they give
//! to their workloads.

use std::fs;
use std::process::Command;

use avouch_testkit::key::Key;
use avouch_testkit::token::TokenForge;
use serde_json::{Value, json};

use super::house::{House, claims, with};
use super::parties::{ADMIN, Running, api_server, etcd_in, service_account_keys, status};
use super::{Missing, free_port, succeed, until};

/// What every cluster calls itself that was given no other name.
const NAME: &str = "https://kubernetes.default.svc.cluster.local";

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const PODS: &str = "/api/v1/namespaces/shop/pods";
const ACCOUNTS: &str = "/api/v1/namespaces/shop/serviceaccounts";

struct Cluster {
    name: &'static str,
    address: String,
    ca: String,
    _running: [Running; 2],
}

impl Cluster {
    /// One with a namespace `shop` and an account `web` in it.
    fn start(house: &House, name: &'static str) -> Result<Self, Missing> {
        let [server, etcd] = api_server()?;
        let folder = house.folder().join(name);
        fs::create_dir_all(&folder).unwrap();
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let (store, clients) = etcd_in(&folder, etcd);
        let [key, public] = service_account_keys(&folder)?;
        let admin = format!("{ADMIN},admin,1,system:masters\n");
        fs::write(file("tokens.csv"), admin).unwrap();
        let port = free_port();
        let mut command = Command::new(server);
        command.args([
            &format!("--etcd-servers={clients}"),
            "--bind-address=127.0.0.1",
            &format!("--secure-port={port}"),
            &format!("--cert-dir={}", file("certificates")),
            &format!("--tls-cert-file={}", house.file("tls.pem")),
            &format!("--tls-private-key-file={}", house.file("tls.key")),
            &format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC",
            &format!("--service-account-issuer={NAME}"),
            &format!("--service-account-key-file={public}"),
            &format!("--service-account-signing-key-file={key}"),
            "--service-cluster-ip-range=10.0.0.0/24",
        ]);
        let mut running = Running::start(command, folder.join("kube-apiserver.log"));
        let address = format!("https://127.0.0.1:{port}");
        let (ca, ready) = (house.file("ca.pem"), format!("{address}/readyz"));
        running.until("the API server is ready", || {
            status(&["--cacert", &ca, &ready], ADMIN) == "200"
        });
        let this = Self {
            name,
            address,
            ca,
            _running: [running, store],
        };
        for namespace in ["avouch", "shop"] {
            let called = json!({"metadata": {"name": namespace}});
            this.ask("POST", "/api/v1/namespaces", &called);
        }
        this.add_account();
        Ok(this)
    }

    /// What the API server answers to its administrator.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "--max-time", "20"]);
        curl.args(["--cacert", &self.ca, "-X", method, "-d", &body.to_string()]);
        curl.args(["-H", &format!("Authorization: Bearer {ADMIN}")]);
        curl.args(["-H", "content-type: application/json"]);
        let answer = succeed(curl.arg(format!("{}{path}", self.address)));
        let answer = answer.unwrap_or_else(|why| panic!("{method} {path}: {why}"));
        serde_json::from_str(&answer).unwrap()
    }

    fn add_account(&self) {
        self.ask("POST", ACCOUNTS, &json!({"metadata": {"name": "web"}}));
    }

    /// A token of an account of a namespace, by TokenRequest.
    fn token_of(&self, namespace: &str, account: &str, spec: &Value) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let made = self.ask("POST", &path, &json!({ "spec": spec }));
        made["status"]["token"].as_str().unwrap().to_owned()
    }

    /// A token of the account `web`.
    fn token(&self, audience: &str) -> String {
        let spec = json!({"audiences": [audience], "expirationSeconds": 600});
        self.token_of("shop", "web", &spec)
    }

    /// One that holds as long as a pod is there.
    fn token_in(&self, pod: &Value, audience: &str) -> String {
        let metadata = &pod["metadata"];
        let spec = json!({
            "audiences": [audience], "expirationSeconds": 600,
            "boundObjectRef": {
                "apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"],
            },
        });
        self.token_of("shop", "web", &spec)
    }

    /// What shows that we may ask: a token of an account that may have tokens reviewed, and no more.
    fn reviewer(&self) -> String {
        let accounts = "/api/v1/namespaces/avouch/serviceaccounts";
        self.ask("POST", accounts, &json!({"metadata": {"name": "avouch"}}));
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "metadata": {"name": "avouch"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:auth-delegator"},
            "subjects": [{"kind": "ServiceAccount", "name": "avouch", "namespace": "avouch"}],
        });
        let path = format!("/apis/{group}/v1/clusterrolebindings");
        self.ask("POST", &path, &binding);
        self.token_of("avouch", "avouch", &json!({"expirationSeconds": 3_600}))
    }

    /// Whether the API server itself knows a token. What it has known once it may know for ten seconds
    /// more.
    fn knows(&self, token: &str, audience: &str) -> bool {
        let review = json!({"spec": {"token": token, "audiences": [audience]}});
        self.ask("POST", REVIEWS, &review)["status"]["authenticated"] == true
    }

    /// What is for this cluster alone.
    fn audience(&self) -> String {
        format!("https://vault.test/{}", self.name)
    }

    fn document(&self, reviewer: &str, more: Value) -> Value {
        let ca = fs::read_to_string(&self.ca).unwrap();
        let document = json!({
            "issuer": NAME, "audiences": [self.audience()],
            "review": {"server": self.address, "ca": ca, "token": reviewer},
            "owner": "the platform team", "reason": "workloads of the cluster",
        });
        with(document, more)
    }

    /// Believes its workloads in the namespace `shop`.
    fn trust(&self, house: &House, more: Value) {
        let reviewer = self.reviewer();
        until("the cluster knows who asks", || self.knows(&reviewer, NAME));
        let document = self.document(&reviewer, more);
        house
            .plane
            .folder
            .file("cluster.json", document.to_string());
        house.manage(&["issuer", "put", self.name, "-f", "cluster.json"]);
        let rule = json!({
            "from": {"anchor": self.name, "facts": {"k8s.namespace": "shop"}},
            "gives": {
                "spiffe_id": format!("spiffe://demo.avouch.test/{}/{{k8s.service_account}}", self.name),
                "kinds": ["jwt-svid"], "audiences": [super::house::CLOUD], "outlives": true,
            },
            "subject_audiences": [self.audience()],
        });
        house.rule(self.name, rule);
        let first = self.token(&self.audience());
        until("the cluster knows its account", || {
            self.knows(&first, &self.audience())
        });
    }

    /// Takes something away, and waits until the cluster knows none of these tokens any more, which it
    /// had not seen before; gives one that it still has not seen.
    fn take_away(&self, path: &str, mut tokens: Vec<String>) -> String {
        self.ask("DELETE", path, &json!({"gracePeriodSeconds": 0}));
        until("the cluster has taken it away", || {
            let one = tokens.pop().expect("it had time enough");
            !self.knows(&one, &self.audience())
        });
        tokens.pop().expect("it had time enough")
    }
}

#[test]
fn workloads_of_real_clusters_are_believed_as_long_as_their_own_cluster_knows_them() {
    let name = "the API server of Kubernetes, asked about its tokens";
    if let Err(why) = api_server() {
        return println!("skipped: {name}: {why}");
    }
    let house = House::start("outside-clusters");
    let started = ["blue", "green"].map(|name| Cluster::start(&house, name));
    let [blue, green] = match started {
        [Ok(blue), Ok(green)] => [blue, green],
        [Err(why), _] | [_, Err(why)] => return println!("skipped: {name}: {why}"),
    };
    blue.trust(&house, json!({}));
    let own = blue.audience();
    let token = blue.token(&own);
    let given = house.accepted(&token, &[]);
    assert_eq!(given["sub"], "spiffe://demo.avouch.test/blue/web");
    assert_eq!(house.refusal(&token, &[]), "issue.token_used");
    let elsewhere = blue.token("https://other.test");
    assert_eq!(
        house.refusal(&elsewhere, &[]),
        "federation.audience_mismatch"
    );
    let forged = TokenForge::saying(claims(&blue.token(&own))).sign(&Key::p256("mallory"), "k");
    assert_eq!(house.refusal(&forged, &[]), "federation.token_inactive");

    // A token of a pod, which goes with it.
    let spec = json!({
        "serviceAccountName": "web", "containers": [{"name": "c", "image": "registry.test/c"}],
    });
    let pod = json!({"metadata": {"name": "web-7"}, "spec": spec});
    let pod = blue.ask("POST", PODS, &pod);
    let first = blue.token_in(&pod, &own);
    until("the cluster knows the pod", || blue.knows(&first, &own));
    house.accepted(&first, &[]);
    let tokens = || (0..50).map(|_| blue.token_in(&pod, &own)).collect();
    let left = blue.take_away(&format!("{PODS}/web-7"), tokens());
    assert_eq!(house.refusal(&left, &[]), "federation.token_inactive");

    // The account is deleted, and another made of its name: what the first had is not the second's.
    let tokens = (0..50).map(|_| blue.token(&own)).collect();
    let left = blue.take_away(&format!("{ACCOUNTS}/web"), tokens);
    assert_eq!(house.refusal(&left, &[]), "federation.token_inactive");
    blue.add_account();
    let anew = blue.token(&own);
    until("the cluster knows the new account", || {
        blue.knows(&anew, &own)
    });
    house.accepted(&anew, &[]);

    // Another cluster calls itself the same.
    let unsaid = green.document("nobody", json!({}));
    house.plane.folder.file("cluster.json", unsaid.to_string());
    let put = [
        "issuer",
        "put",
        "green",
        "-f",
        "cluster.json",
        "--tenant",
        "demo",
    ];
    let refused = house.plane.run(&put);
    assert_eq!(refused.code, 3, "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("`cluster`"), "{}", refused.err);
    green.trust(&house, json!({"cluster": "green"}));
    let given = house.accepted(&green.token(&green.audience()), &[]);
    assert_eq!(given["sub"], "spiffe://demo.avouch.test/green/web");
    let crossed = green.token(&own);
    assert_eq!(house.refusal(&crossed, &[]), "federation.token_inactive");
    house.accepted(&blue.token(&own), &[]);
}
