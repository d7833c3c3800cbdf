//! Files that a watch keeps fresh.

use std::fs;
use std::process::Child;

use crate::plane::Plane;
use crate::serving_on::{manage, wait};

struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_watch_goes_on_after_files_could_not_be_written_and_replaces_all_of_them_or_none() {
    let plane = Plane::start("watched-files", &[]);
    let socket = plane.socket();
    let said = plane.folder.path().join("watch.log");
    let mut command = plane.folder.command(&[
        "fetch",
        "x509",
        "--socket",
        socket.to_str().unwrap(),
        "--write",
        "watched",
        "--watch",
    ]);
    command.stderr(fs::File::create(&said).unwrap());
    let mut watch = Watch(command.spawn().unwrap());
    let folder = plane.folder.path().join("watched");
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    wait(|| read("bundle.pem").is_some());
    let before = ["svid.pem", "key.pem"].map(read);
    // Nobody can write a file where a folder stands, not even root.
    let in_the_way = folder.join("key.pem.new");
    fs::create_dir(&in_the_way).unwrap();
    let id = "spiffe://demo.avouch.test/user/".to_owned()
        + &nix::unistd::User::from_uid(nix::unistd::getuid())
            .unwrap()
            .unwrap()
            .name;
    let revoked = manage(
        &plane,
        &[
            "authority",
            "revoke-certificates",
            "--reason",
            "superseded",
            "--spiffe-id",
            &id,
        ],
    );
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    let told = || fs::read_to_string(&said).unwrap();
    wait(|| told().contains("it is tried again"));
    assert!(told().contains("key.pem: "), "{}", told());
    assert_eq!(["svid.pem", "key.pem"].map(read), before);
    assert!(!folder.join("svid.pem.new").exists());
    assert!(
        watch.0.try_wait().unwrap().is_none(),
        "it has ended: {}",
        told()
    );
    fs::remove_dir(&in_the_way).unwrap();
    wait(|| ["svid.pem", "key.pem"].map(read) != before && !in_the_way.exists());
    wait(|| read("svid.pem") != before[0] && read("key.pem") != before[1]);
    // It is said once, however often it was tried.
    assert_eq!(told().matches("it is tried again").count(), 1, "{}", told());
}
