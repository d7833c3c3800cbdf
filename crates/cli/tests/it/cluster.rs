//! A tenant as the CA of a Kubernetes cluster, judged by others: OpenSSL, the authenticator of the
//! API server and the discovery of kubeadm, from the Go modules of Kubernetes.

#![expect(
    clippy::print_stdout,
    reason = "what is skipped is read from the output of the tests"
)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64ct::{Base64, Encoding};
use serde_json::Value;

use crate::plane::Plane;
use crate::run::Ran;

const DOMAIN: &str = "demo.avouch.test";

fn manage(plane: &Plane, arguments: &[&str]) -> Ran {
    plane.run(&[arguments, &["--tenant", "demo"]].concat())
}

/// A script of the shell in the folder of a plane; what it said, if it ended well.
fn shell(plane: &Plane, script: &str) -> Result<String, String> {
    let run = Command::new("sh")
        .args(["-ec", script])
        .current_dir(plane.folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    match run.status.success() {
        true => Ok(told),
        false => Err(told),
    }
}

/// Whether everything is here that the tests need.
fn is_missing(program: &str) -> bool {
    let found = Command::new(program).arg("version").output();
    let missing = found.is_err();
    if missing {
        println!("skipped: cluster CA: there is no {program} here");
    }
    missing
}

/// The program that reads what was issued as Kubernetes does. Its modules need a network the first
/// time.
fn kubernetes() -> Option<PathBuf> {
    static BUILDING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _building = BUILDING.lock().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/kubernetes");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubernetes-reader");
    for arguments in [&["mod", "download"][..], &["build", "-o"][..]] {
        let mut go = Command::new("go");
        go.args(arguments).current_dir(&source).stdin(Stdio::null());
        if arguments == ["build", "-o"] {
            go.arg(&program).arg(".");
        }
        let told = match go.output() {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        // With all modules there, a build that fails is a failure of ours.
        assert_ne!(arguments, ["build", "-o"], "{told}");
        println!("skipped: Kubernetes' own authenticator: {told}");
        return None;
    }
    Some(program)
}

/// A certification request, made by OpenSSL.
fn request(plane: &Plane, name: &str, more: &str) {
    let script = format!(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key \
         -out {name}.csr {more} 2>&1"
    );
    shell(plane, &script).unwrap();
}

/// Signs one as PEM, and writes the certificates.
fn sign(plane: &Plane, name: &str, signer: &str) {
    let file = format!("{name}.csr");
    let signed = manage(plane, &["authority", "sign", &file, "--signer", signer]);
    assert_eq!(signed.code, 0, "{}", signed.err);
    plane.folder.file(&format!("{name}.pem"), &signed.out);
}

fn write_ca(plane: &Plane) -> Value {
    let token = manage(
        plane,
        &[
            "authority",
            "bootstrap-token",
            "worker-1",
            "--api-server",
            "https://10.0.0.1:6443",
            "-o",
            "json",
        ],
    );
    assert_eq!(token.code, 0, "{}", token.err);
    let token = token.json();
    plane
        .folder
        .file("ca.pem", token["cluster_ca"].as_str().unwrap());
    token
}

#[test]
fn what_is_signed_for_a_cluster_is_believed_by_openssl_and_by_the_api_server() {
    if is_missing("openssl") {
        return;
    }
    let plane = Plane::start("cluster-sign", &[]);
    let added = manage(&plane, &["authority", "add", DOMAIN, "--use", "cluster"]);
    assert_eq!(added.code, 0, "{}", added.err);
    let token = write_ca(&plane);
    request(&plane, "jane", "-subj /O=dev/O=ops/CN=jane");
    request(
        &plane,
        "kubelet",
        "-subj /O=system:nodes/CN=system:node:worker-1",
    );
    request(
        &plane,
        "serving",
        "-subj /O=system:nodes/CN=system:node:worker-1 \
         -addext subjectAltName=DNS:worker-1.test,IP:10.0.0.7",
    );
    sign(&plane, "jane", "kubernetes.io/kube-apiserver-client");
    sign(
        &plane,
        "kubelet",
        "kubernetes.io/kube-apiserver-client-kubelet",
    );
    sign(&plane, "serving", "kubernetes.io/kubelet-serving");
    for (name, purpose, more) in [
        ("jane", "sslclient", ""),
        ("kubelet", "sslclient", ""),
        ("serving", "sslserver", "-verify_hostname worker-1.test"),
        ("serving", "sslserver", "-verify_ip 10.0.0.7"),
    ] {
        let script = format!(
            "openssl verify -x509_strict -purpose {purpose} -CAfile ca.pem -untrusted {name}.pem \
             {more} {name}.pem"
        );
        shell(&plane, &script).unwrap();
    }
    let wrong = "openssl verify -purpose sslserver -CAfile ca.pem -untrusted jane.pem jane.pem";
    assert!(shell(&plane, wrong).is_err(), "a client is no server");

    let Some(reader) = kubernetes() else { return };
    let reader = reader.display().to_string();
    believed_by_the_api_server(&plane, &reader);
    discovered_by_kubeadm(&plane, &reader, &token);
}

fn believed_by_the_api_server(plane: &Plane, reader: &str) {
    let other = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key \
         -out other.pem -subj /CN=kubernetes 2>&1";
    shell(plane, other).unwrap();
    let told = shell(plane, &format!("{reader} client ca.pem jane.pem")).unwrap();
    assert_eq!(told, "jane dev,ops\n");
    let told = shell(plane, &format!("{reader} client ca.pem kubelet.pem")).unwrap();
    assert_eq!(told, "system:node:worker-1 system:nodes\n");
    shell(
        plane,
        &format!("{reader} serving ca.pem serving.pem worker-1.test"),
    )
    .unwrap();
    shell(
        plane,
        &format!("{reader} serving ca.pem serving.pem 10.0.0.7"),
    )
    .unwrap();
    for wrong in [
        "serving ca.pem serving.pem worker-2.test",
        "client ca.pem serving.pem",
        "client other.pem jane.pem",
    ] {
        assert!(
            shell(plane, &format!("{reader} {wrong}")).is_err(),
            "{wrong}"
        );
    }
    // An X.509-SVID is signed below the same root, and is nobody to the API server.
    let fetched = plane.run(&["fetch", "x509", "--write", "svid"]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    let told = shell(plane, &format!("{reader} client ca.pem svid/svid.pem"));
    assert_eq!(told, Err("not authenticated\n".to_owned()));
}

fn discovered_by_kubeadm(plane: &Plane, reader: &str, token: &Value) {
    let hash = shell(plane, &format!("{reader} hash ca.pem")).unwrap();
    assert_eq!(hash.trim(), token["ca_cert_hash"]);
    let info = &token["cluster_info"];
    plane
        .folder
        .file("info", info["kubeconfig"].as_str().unwrap());
    let secret = token["token"].as_str().unwrap();
    let name = secret.split('.').next().unwrap();
    let signature = info[format!("jws-kubeconfig-{name}")].as_str().unwrap();
    shell(plane, &format!("{reader} info info {signature} {secret}")).unwrap();
    let other = format!("{reader} info info {signature} {name}.0123456789abcdef");
    assert!(shell(plane, &other).is_err(), "another secret");
}

#[test]
fn a_request_of_the_api_of_kubernetes_is_signed_and_its_certificate_can_be_taken_back() {
    if is_missing("openssl") {
        return;
    }
    let plane = Plane::start("cluster-document", &[]);
    let refused = manage(&plane, &["authority", "bootstrap-token", "worker-1"]);
    assert!(
        refused.err.contains("issue.conflict") && refused.err.contains("--use cluster"),
        "{}",
        refused.err
    );
    let added = manage(&plane, &["authority", "add", DOMAIN, "--use", "cluster"]);
    assert_eq!(added.code, 0, "{}", added.err);
    write_ca(&plane);
    request(&plane, "jane", "-subj /O=dev/CN=jane");
    let pem = std::fs::read(plane.folder.path().join("jane.csr")).unwrap();
    let document = format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata:\n  name: jane\n\
         spec:\n  request: {}\n  signerName: kubernetes.io/kube-apiserver-client\n  \
         expirationSeconds: 3600\n  usages: [client auth, digital signature]\n",
        Base64::encode_string(&pem)
    );
    plane.folder.file("jane.yaml", &document);
    let signed = manage(&plane, &["authority", "sign", "jane.yaml", "-o", "json"]);
    assert_eq!(signed.code, 0, "{}", signed.err);
    let signed = signed.json();
    assert_eq!(signed["metadata"]["name"], "jane");
    let certificate = signed["status"]["certificate"].as_str().unwrap();
    plane
        .folder
        .file("jane.pem", Base64::decode_vec(certificate).unwrap());
    shell(
        &plane,
        "openssl verify -purpose sslclient -CAfile ca.pem -untrusted jane.pem jane.pem",
    )
    .unwrap();
    let mistaken = manage(
        &plane,
        &[
            "authority",
            "sign",
            "jane.yaml",
            "--signer",
            "kubernetes.io/kubelet-serving",
        ],
    );
    assert_eq!(mistaken.code, 2, "{}", mistaken.err);
    let unsaid = manage(&plane, &["authority", "sign", "jane.csr"]);
    assert_eq!(unsaid.code, 2, "{}", unsaid.err);
    let legacy = manage(
        &plane,
        &[
            "authority",
            "sign",
            "jane.csr",
            "--signer",
            "kubernetes.io/legacy-unknown",
        ],
    );
    assert_eq!(legacy.code, 3, "{}", legacy.err);
    assert!(
        legacy.err.contains("issue.cluster_signer_unknown"),
        "{}",
        legacy.err
    );
    is_taken_back(&plane);
}

/// It is in the records under a name that no workload can have, and in the list of its authority.
fn is_taken_back(plane: &Plane) {
    let revoked = manage(
        plane,
        &[
            "authority",
            "revoke-certificates",
            "--spiffe-id",
            "spiffe://demo.avouch.test/avouch/cluster/user/jane",
            "-o",
            "json",
        ],
    );
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    let revoked = revoked.json();
    let revoked = &revoked["revoked"][0];
    let serial = shell(plane, "openssl x509 -in jane.pem -noout -serial").unwrap();
    let serial = serial.trim().trim_start_matches("serial=").to_lowercase();
    let told = revoked["serial"]
        .as_str()
        .unwrap()
        .trim_start_matches('0')
        .to_owned();
    assert_eq!(serial.trim_start_matches('0'), told);
}

/// Takes the CA of a cluster in, has it sign, and gives its name and what was said of it.
fn import_ca(plane: &Plane) -> Value {
    let arguments = ["authority", "import", DOMAIN, "ca.crt", "--key", "ca.key"];
    let imported = manage(plane, &[&arguments[..], &["-o", "json"]].concat());
    assert_eq!(imported.code, 0, "{}", imported.err);
    let imported = imported.json();
    let authority = imported["authority"].as_str().unwrap();
    let active = manage(plane, &["authority", "activate", "--anyway", authority]);
    assert_eq!(active.code, 0, "{}", active.err);
    let added = manage(plane, &["authority", "add", DOMAIN, "--use", "cluster"]);
    assert_eq!(added.code, 0, "{}", added.err);
    imported
}

/// A user gets a certificate, which OpenSSL and the API server believe by `ca.crt`.
fn is_signed_below_the_ca(plane: &Plane, name: &str) {
    request(plane, name, &format!("-subj /O=dev/CN={name}"));
    sign(plane, name, "kubernetes.io/kube-apiserver-client");
    let verify = format!(
        "openssl verify -x509_strict -purpose sslclient -CAfile ca.crt -untrusted {name}.pem {name}.pem"
    );
    shell(plane, &verify).unwrap();
    if let Some(reader) = kubernetes() {
        let reader = reader.display();
        let told = shell(plane, &format!("{reader} client ca.crt {name}.pem")).unwrap();
        assert_eq!(told, format!("{name} dev\n"));
    }
}

/// A CA as kubeadm makes it (`NewSelfSignedCACert` of client-go): its usages lack `cRLSign`.
fn make_ca(plane: &Plane, key: &str) {
    let script = format!(
        "openssl req -x509 -newkey {key} -nodes -keyout made.key -out ca.crt -subj /CN=kubernetes \
         -days 3650 -addext keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign \
         -addext basicConstraints=critical,CA:TRUE -addext subjectAltName=DNS:kubernetes 2>&1"
    );
    shell(plane, &script).unwrap();
}

#[test]
fn a_cluster_ca_that_is_there_already_signs_on_below_its_own_root() {
    if is_missing("openssl") {
        return;
    }
    let plane = Plane::start("cluster-import", &[]);
    // As kubeadm makes one with `encryptionAlgorithm: ECDSA-P256`.
    make_ca(&plane, "ec -pkeyopt ec_paramgen_curve:P-256");
    shell(&plane, "openssl ec -in made.key -out ca.key 2>&1").unwrap();
    let key = std::fs::read_to_string(plane.folder.path().join("ca.key")).unwrap();
    assert!(key.starts_with("-----BEGIN EC PRIVATE KEY-----"));
    import_ca(&plane);
    is_signed_below_the_ca(&plane, "jane");
}

#[test]
fn the_rsa_ca_of_kubeadm_signs_on_and_is_followed_by_a_root_of_ours() {
    if is_missing("openssl") {
        return;
    }
    let plane = Plane::start("cluster-rsa", &[]);
    make_ca(&plane, "rsa:2048");
    shell(
        &plane,
        "openssl rsa -traditional -in made.key -out ca.key 2>&1",
    )
    .unwrap();
    let key = std::fs::read_to_string(plane.folder.path().join("ca.key")).unwrap();
    assert!(key.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    let imported = import_ca(&plane);
    let root = imported["authority"].as_str().unwrap();
    let warning = imported["warning"].as_str().unwrap();
    assert!(
        warning.contains("may not sign revocation lists"),
        "{warning}"
    );
    is_signed_below_the_ca(&plane, "jane");
    let signed = shell(
        &plane,
        "openssl crl2pkcs7 -nocrl -certfile jane.pem | openssl pkcs7 -print_certs -text -noout",
    )
    .unwrap();
    assert!(
        signed.contains("Signature Algorithm: sha256WithRSAEncryption"),
        "{signed}"
    );

    // The key is sealed: neither form of it is in the store.
    let secret = key.lines().nth(5).unwrap();
    let held = std::fs::read(plane.folder.path().join("avouch-data/avouch.sqlite3")).unwrap();
    assert!(!String::from_utf8_lossy(&held).contains(secret));
    let plain = Base64::decode_vec(&secret.chars().take(64).collect::<String>()).unwrap();
    assert!(!held.windows(plain.len()).any(|window| window == plain));

    // What a list cannot tell is not done unseen.
    let listed = manage(&plane, &["authority", "list", "-o", "json"]).json();
    let listed = listed["authorities"].as_array().unwrap();
    let cluster = listed
        .iter()
        .find(|one| one["used_for"] == "cluster")
        .unwrap();
    let cluster = cluster["id"].as_str().unwrap();
    for (step, code) in [("taint", 0), ("revoke", 3)] {
        let done = manage(&plane, &["authority", step, cluster]);
        assert_eq!(done.code, code, "{}", done.err);
        assert_eq!(
            code == 3,
            done.err.contains("issue.revocation_untold"),
            "{}",
            done.err
        );
    }
    is_signed_below_the_ca(&plane, "john");
    let revoked = manage(&plane, &["authority", "revoke", "--anyway", cluster]);
    assert_eq!(revoked.code, 0, "{}", revoked.err);

    // Its successor is a root of ours, and the keeper goes on below it.
    let tainted = manage(&plane, &["authority", "taint", root]);
    assert_eq!(tainted.code, 0, "{}", tainted.err);
    write_ca(&plane);
    request(&plane, "mary", "-subj /O=dev/CN=mary");
    sign(&plane, "mary", "kubernetes.io/kube-apiserver-client");
    shell(
        &plane,
        "openssl verify -x509_strict -purpose sslclient -CAfile ca.pem -untrusted mary.pem mary.pem",
    )
    .unwrap();
    let by_rsa = "openssl verify -CAfile ca.crt -untrusted mary.pem mary.pem";
    assert!(shell(&plane, by_rsa).is_err(), "below the root of before");
}

fn bootstrap(plane: &Plane, more: &[&str]) -> Ran {
    bootstrap_at(plane, &plane.http(), more)
}

fn bootstrap_at(plane: &Plane, server: &str, more: &[&str]) -> Ran {
    let fixed = [
        "cluster",
        "bootstrap",
        "worker-1",
        "--server",
        server,
        "--tenant",
        "demo",
        "--token-file",
        "token",
        "--api-server",
        "https://10.0.0.1:6443",
        "--kubeconfig",
        "node/kubelet.conf",
        "--cert-dir",
        "node/pki",
    ];
    plane.folder.run(&[&fixed[..], more].concat())
}

#[test]
fn a_node_bootstraps_its_kubelet_by_the_hash_of_the_ca_and_may_ask_again_with_its_key() {
    if is_missing("openssl") {
        return;
    }
    let plane = Plane::start("cluster-bootstrap", &[]);
    let added = manage(&plane, &["authority", "add", DOMAIN, "--use", "cluster"]);
    assert_eq!(added.code, 0, "{}", added.err);
    let token = write_ca(&plane);
    plane.folder.file("token", token["token"].as_str().unwrap());
    let hash = token["ca_cert_hash"].as_str().unwrap();
    let here = |name: &str| plane.folder.path().join(name).exists();

    // Neither is guessed.
    assert_eq!(bootstrap(&plane, &[]).code, 2);
    assert_eq!(bootstrap(&plane, &["--ca-cert-hash", "9f2c"]).code, 2);
    let both = ["--ca-cert-hash", hash, "--unsafe-skip-ca-verification"];
    assert_eq!(bootstrap(&plane, &both).code, 2);
    let strange = format!("sha256:{}", "0".repeat(64));
    let refused = bootstrap(&plane, &["--ca-cert-hash", &strange]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(
        refused.err.contains("issue.bootstrap_ca_mismatch"),
        "{}",
        refused.err
    );
    assert!(!here("node/kubelet.conf") && !here("node/pki/kubelet-client.pem"));

    let done = bootstrap(&plane, &["--ca-cert-hash", hash, "-o", "json"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.json()["ca_cert_hash"], hash);
    assert!(
        done.json()["warning"].is_null() && done.err.is_empty(),
        "{}",
        done.err
    );
    let check = "openssl verify -x509_strict -purpose sslclient -CAfile node/pki/cluster-ca.pem \
                 -untrusted node/pki/kubelet-client.pem node/pki/kubelet-client.pem
                 openssl x509 -in node/pki/kubelet-client.pem -noout -subject
                 test \"$(stat -c %a node/kubelet.conf node/pki/kubelet-client.key | sort -u)\" = 600";
    let told = shell(&plane, check).unwrap();
    assert!(
        told.contains("O = system:nodes, CN = system:node:worker-1")
            || told.contains("O=system:nodes, CN=system:node:worker-1"),
        "{told}"
    );
    if let Some(reader) = kubernetes() {
        let reader = reader.display();
        let told = shell(&plane, &format!("{reader} kubeconfig node/kubelet.conf")).unwrap();
        assert_eq!(told, "https://10.0.0.1:6443 system:node:worker-1\n");
    }

    // The answer got lost: the key is there, and has it again. Another key has not.
    let again = bootstrap(&plane, &["--ca-cert-hash", hash]);
    assert_eq!(again.code, 0, "{}", again.err);
    shell(&plane, "rm node/pki/kubelet-client.key").unwrap();
    let used = bootstrap(&plane, &["--ca-cert-hash", hash]);
    assert_eq!(used.code, 3, "{}", used.err);
    assert!(
        used.err.contains("issue.bootstrap_token_used"),
        "{}",
        used.err
    );

    let token = manage(
        &plane,
        &["authority", "bootstrap-token", "worker-1", "-o", "json"],
    );
    plane
        .folder
        .file("token", token.json()["token"].as_str().unwrap());
    let unsafely = bootstrap(&plane, &["--unsafe-skip-ca-verification"]);
    assert_eq!(unsafely.code, 0, "{}", unsafely.err);
    assert!(
        unsafely.err.contains("believed because someone answered"),
        "{}",
        unsafely.err
    );
    assert!(unsafely.out.contains(hash), "{}", unsafely.out);
}

#[test]
fn a_server_with_another_ca_than_it_says_is_not_believed() {
    if is_missing("openssl") {
        return;
    }
    // What answers signs with the CA of the cluster below it and calls it the CA that the node knows.
    let plane = Plane::start("cluster-liar", &[]);
    let made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.key \
                -out other.pem -subj /CN=kubernetes 2>&1";
    shell(&plane, made).unwrap();
    let other = std::fs::read_to_string(plane.folder.path().join("other.pem")).unwrap();
    let answer = serde_json::json!({
        "cluster_ca": other, "ca_cert_hash": format!("sha256:{}", "1".repeat(64)),
        "signing_request": {"status": {"certificate": Base64::encode_string(other.as_bytes())}},
    });
    let body = answer.to_string();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            read_request(&mut stream);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let text = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    plane.folder.file("token", "abcdef.0123456789abcdef");
    let hash = format!("sha256:{}", "1".repeat(64));
    let pinned = bootstrap_at(&plane, &address, &["--ca-cert-hash", &hash]);
    assert!(
        pinned.err.contains("issue.bootstrap_ca_mismatch"),
        "{}",
        pinned.err
    );
    let unsafely = bootstrap_at(&plane, &address, &["--unsafe-skip-ca-verification"]);
    assert_eq!(unsafely.code, 1, "{}", unsafely.err);
    assert!(
        unsafely.err.contains("another key or of another node"),
        "{}",
        unsafely.err
    );
    serving.join().unwrap();
    assert!(!plane.folder.path().join("node/kubelet.conf").exists());
}

/// Reads a request with its body, so that its sender hears the answer.
fn read_request(stream: &mut std::net::TcpStream) {
    let mut seen = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
            if body.len() >= length {
                return;
            }
        }
        let read = stream.read(&mut part).unwrap();
        seen.extend_from_slice(&part[..read]);
    }
}
