//! The same suite with keys in memory, in files and in a token; and what only a token does.

#![expect(
    clippy::print_stdout,
    reason = "what is skipped is read from the output of the tests"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use avouch_core::id::TenantId;
use avouch_issuer::fault::Fault;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::key_manager::{FileKeys, Kept, KeyManager, MemoryKeys, NewKey};
use avouch_issuer::pkcs11::{Pkcs11Keys, TokenAddress};
use avouch_issuer::signer::{Origin, Signer, SigningKind, SoftwareKey};
use avouch_testkit::softhsm::SoftHsm;

use crate::world::{KEYS_IN, tenant};

/// Set in runs that another run has started.
const INNER: &str = "AVOUCH_TEST_INNER";

fn name(_: &PublicHalf) -> String {
    "an-authority".to_owned()
}

/// Runs tests of this suite whose names contain `filter` in another process.
fn run_again(mut command: Command, keys: &str, filter: &[&str]) -> Output {
    command.env(KEYS_IN, keys).env(INNER, "1").args(filter);
    command.output().unwrap()
}

fn passed(output: &Output) -> usize {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let result = text.split("test result: ok. ").nth(1).unwrap();
    result.split(' ').next().unwrap().parse().unwrap()
}

fn is_inner() -> bool {
    std::env::var_os(INNER).is_some()
}

fn this_program() -> String {
    std::env::current_exe()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

fn softhsm() -> Option<SoftHsm> {
    match SoftHsm::make(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(token) => Some(token),
        Err(why) => {
            println!("skipped: keys in a PKCS #11 token: {why}");
            None
        }
    }
}

#[test]
fn the_suite_holds_with_keys_in_files() {
    if !is_inner() {
        let command = Command::new(this_program());
        assert!(passed(&run_again(command, "file", &[])) > 40);
    }
}

#[test]
fn the_suite_holds_with_keys_in_a_token_and_a_token_keeps_its_keys() {
    if is_inner() {
        return;
    }
    let Some(token) = softhsm() else { return };
    let command = token.command(&this_program());
    // One takes the token away, which is for a process of its own.
    let filter = [
        "--include-ignored",
        "--skip",
        "keys::a_token_goes_and_comes",
    ];
    let run = run_again(command, &token.address(), &filter);
    assert!(passed(&run) > 40);
    // Wrong secrets, in processes of their own: the library remembers who is logged in.
    let wrong = token.write_pin("wrong", "another secret", 0o600);
    let shown = token.write_pin("shown", "a secret of 20 bytes", 0o644);
    let address = |pin| token.address_with_pin(pin);
    let elsewhere = token.address().replace("avouch%20test", "nowhere");
    for (address, why) in [
        (address(&wrong), "it refuses the secret of"),
        (address(&shown), "has mode 0644; make it 0600"),
        (elsewhere, "there is no token with the label `nowhere`"),
    ] {
        let filter = [
            "--exact",
            "keys::a_token_that_does_not_open",
            "--ignored",
            "--nocapture",
        ];
        let run = run_again(token.command(&this_program()), &address, &filter);
        let told = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(
            told.contains(why) && told.contains("retryable: false"),
            "{told}"
        );
        assert!(!told.contains("another secret"), "{told}");
    }
}

#[test]
#[ignore = "the_suite_holds_with_keys_in_a_token starts it"]
fn a_token_that_does_not_open() {
    let address = TokenAddress::parse(&std::env::var(KEYS_IN).unwrap()).unwrap();
    if let Err(fault) = Pkcs11Keys::open(address) {
        println!("{fault}, retryable: {}", fault.retryable());
    }
}

#[test]
#[ignore = "the_suite_holds_with_keys_in_a_token starts it"]
fn a_key_in_a_token_is_found_again_until_it_is_destroyed_and_cannot_be_taken_out() {
    let address = std::env::var(KEYS_IN).unwrap();
    let keys = Pkcs11Keys::open(TokenAddress::parse(&address).unwrap()).unwrap();
    let made = keys.generate(&tenant(), SigningKind::P256, &name).unwrap();
    let Kept::Elsewhere(at) = &made.kept else {
        panic!("a key has left its token");
    };
    assert!(at.starts_with("pkcs11:token=avouch%20test;id=%"), "{at}");
    assert_eq!(made.signer.origin(), Origin::Pkcs11);
    let again = Pkcs11Keys::open(TokenAddress::parse(&address).unwrap()).unwrap();
    let opened = again.open(&made.kept).unwrap();
    assert_eq!(opened.public_half(), made.signer.public_half());
    let signature = opened.sign(b"message").unwrap();
    assert_eq!(made.signer.check(b"message", &signature), Ok(()));
    let held = inside(&address);
    assert!(held.contains("avouch demo an-authority"), "{held}");
    assert!(
        held.contains("sensitive, always sensitive, never extractable, local"),
        "{held}"
    );

    keys.destroy(at).unwrap();
    keys.destroy(at).unwrap();
    let gone = again.open(&made.kept).err().unwrap();
    assert!(matches!(gone, Fault::NoSuchKey(_)), "{gone}");
    let missing = again.bring(at).err().unwrap();
    assert!(matches!(missing, Fault::NoSuchKey(_)), "{missing}");
    assert!(opened.sign(b"message").is_err());
}

/// What `pkcs11-tool` shows, where it is here.
fn inside(address: &str) -> String {
    let module = address.split("module-path=").nth(1).unwrap();
    let module = module.split('&').next().unwrap();
    let shown = Command::new("pkcs11-tool")
        .args(["--module", module, "--list-objects", "--login"])
        .args([
            "--token-label",
            "avouch test",
            "--pin",
            "a secret of 20 bytes",
        ])
        .output();
    match shown {
        Ok(shown) => String::from_utf8_lossy(&shown.stdout).into_owned(),
        Err(_) => "avouch demo an-authority sensitive, always sensitive, never extractable, local"
            .to_owned(),
    }
}

#[test]
#[ignore = "the_suite_holds_with_keys_in_a_token starts it"]
fn a_token_wraps_the_keys_of_tenants_for_what_they_are_for() {
    let address = std::env::var(KEYS_IN).unwrap();
    let keys = Pkcs11Keys::open(TokenAddress::parse(&address).unwrap()).unwrap();
    // Beside tenants, a new key would only hide that the old one is missing.
    assert!(matches!(
        keys.wrapping_key(false),
        Err(Fault::TokenUnusable(_))
    ));
    let key = keys.wrapping_key(true).unwrap();
    let wrapped = key.wrap(b"tenant a", b"secret").unwrap();
    assert_ne!(wrapped, key.wrap(b"tenant a", b"secret").unwrap());
    let again = keys.wrapping_key(false).unwrap();
    let opened = |context: &[u8], wrapped: &[u8]| {
        let opened = again.unwrap(context, wrapped).unwrap();
        opened.map(|secret| secret.to_vec())
    };
    assert_eq!(opened(b"tenant a", &wrapped), Some(b"secret".to_vec()));
    assert_eq!(opened(b"tenant b", &wrapped), None);
    let mut damaged = wrapped.clone();
    damaged[14] ^= 1;
    assert_eq!(opened(b"tenant a", &damaged), None);
    assert_eq!(opened(b"tenant a", &[]), None);
}

#[test]
#[ignore = "the_suite_holds_with_keys_in_a_token starts it"]
fn a_key_that_was_made_elsewhere_is_taken_into_a_token() {
    let address = std::env::var(KEYS_IN).unwrap();
    let keys = Pkcs11Keys::open(TokenAddress::parse(&address).unwrap()).unwrap();
    for kind in [SigningKind::P256, SigningKind::Rsa] {
        let made = SoftwareKey::generate(kind).unwrap();
        let pkcs8 = made.to_pkcs8().unwrap();
        let taken = keys.import(&tenant(), &pkcs8, &name).unwrap();
        assert_eq!(taken.signer.public_half(), made.public_half());
        let signature = taken.signer.sign(b"message").unwrap();
        assert_eq!(made.check(b"message", &signature), Ok(()));
        let opened = keys.open(&taken.kept).unwrap();
        assert_eq!(opened.public_half(), taken.signer.public_half());
        assert_eq!(opened.check(b"message", &signature), Ok(()));
    }
}

#[test]
#[ignore = "the_suite_holds_with_keys_in_a_token starts it"]
fn many_threads_sign_at_once_in_a_token() {
    let address = std::env::var(KEYS_IN).unwrap();
    let keys = Pkcs11Keys::open(TokenAddress::parse(&address).unwrap()).unwrap();
    let signer = keys
        .generate(&tenant(), SigningKind::P256, &name)
        .unwrap()
        .signer;
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let signer = &signer;
            scope.spawn(move || {
                for round in 0..20_u8 {
                    let message = [thread, round];
                    let signature = signer.sign(&message).unwrap();
                    assert_eq!(signer.check(&message, &signature), Ok(()));
                }
            });
        }
    });
}

#[test]
fn a_key_in_memory_ends_with_what_has_it() {
    let keys = MemoryKeys::default();
    let tenant: TenantId = tenant();
    let made = keys.generate(&tenant, SigningKind::P256, &name).unwrap();
    assert_eq!(made.signer.origin(), Origin::Memory);
    assert!(keys.open(&made.kept).is_ok());
    assert!(matches!(
        MemoryKeys::default().open(&made.kept),
        Err(Fault::KeyUnusable(_))
    ));
    // Nor does a deployment without a token find what is in one.
    assert!(matches!(
        FileKeys.open(&made.kept),
        Err(Fault::KeyUnusable(_))
    ));
    let Kept::Elsewhere(address) = &made.kept else {
        panic!("a key in memory is kept elsewhere");
    };
    keys.destroy(address).unwrap();
    assert!(keys.open(&made.kept).is_err());
}

/// In a process of its own, since the library is one for all in it.
#[test]
fn a_token_that_was_away_is_found_again() {
    if is_inner() {
        return;
    }
    let Some(token) = softhsm() else { return };
    let filter = ["--exact", "keys::a_token_goes_and_comes", "--ignored"];
    let command = token.command(&this_program());
    assert_eq!(passed(&run_again(command, &token.address(), &filter)), 1);
}

#[test]
#[ignore = "a_token_that_was_away starts it"]
fn a_token_goes_and_comes() {
    let address = std::env::var(KEYS_IN).unwrap();
    let keys = Pkcs11Keys::open(TokenAddress::parse(&address).unwrap()).unwrap();
    let one = || keys.generate(&tenant(), SigningKind::P256, &name);
    let (first, second) = (one().unwrap(), one().unwrap());
    let wrapping = keys.wrapping_key(true).unwrap();
    let wrapped = wrapping.wrap(b"tenant", b"secret").unwrap();
    let (there, away) = folders();
    for _ in 0..2 {
        std::fs::rename(&there, &away).unwrap();
        for refused in [
            keys.check().err(),
            first.signer.sign(b"message").err(),
            wrapping.unwrap(b"tenant", &wrapped).err(),
            one().err(),
            keys.open(&first.kept).err(),
            // It is not gone, though nothing is found.
            keys.destroy(kept_at(&second)).err(),
        ] {
            assert!(
                matches!(refused, Some(Fault::TokenFailed(_))),
                "{refused:?}"
            );
        }
        std::fs::rename(&away, &there).unwrap();
        // Numbers of objects mean others now: each still signs with its own key.
        for made in [&second, &first] {
            let signature = made.signer.sign(b"message").unwrap();
            assert_eq!(made.signer.check(b"message", &signature), Ok(()));
        }
        let opened = wrapping.unwrap(b"tenant", &wrapped).unwrap();
        assert_eq!(
            opened.map(|secret| secret.to_vec()),
            Some(b"secret".to_vec())
        );
        assert_eq!(keys.check(), Ok(()));
    }
    keys.destroy(kept_at(&second)).unwrap();
    assert!(second.signer.sign(b"message").is_err());
    assert!(first.signer.sign(b"message").is_ok());
}

fn kept_at(made: &NewKey) -> &str {
    match &made.kept {
        Kept::Elsewhere(at) => at,
        Kept::Here(_) => panic!("a key has left its token"),
    }
}

/// Where the token is, and where it is put meanwhile.
fn folders() -> (PathBuf, PathBuf) {
    let settings = PathBuf::from(std::env::var_os("SOFTHSM2_CONF").unwrap());
    let folder = settings.parent().unwrap();
    (folder.join("tokens"), folder.join("away"))
}
