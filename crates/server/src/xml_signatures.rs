//! Signatures in XML: what they cover is found out by `xmlsec1`, in a process of its own.
//!
//! XML that strangers send is given to a C library only there: a process without environment,
//! privileges or, where the system lets it, a network, bounded in time, memory and output, whose
//! document has no document type, no second signature and no key but the anchor's. What it answers
//! is believed for nothing: the core checks digest and signature over the bytes that come back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use avouch_core::budget::Budget;
use avouch_core::credential::saml::{KEY_NAME, XmlFound, XmlSignature, XmlToVerify};
use avouch_core::crypto::Verifier;
use avouch_core::question::Question;
use avouch_core::verdict::{Need, Verdict};
use avouch_core::view::View;
use der::pem::LineEnding;

use self::queue::Queue;
pub use self::queue::Share;
use self::refused::Refused;
use crate::fault::Fault;

mod queue;
mod refused;

/// How many seconds one check may take; whoever waits for the answer waits for it. It takes some 50
/// ms.
const PATIENCE: &str = "3";

/// The most that is read of the answer: it repeats the document twice.
const ANSWER_BYTES: u64 = 2 << 20;

/// As whom it runs where we are root: a user who owns nothing.
const NOBODY: u32 = 65_534;

/// Where programs are looked for; the environment has no say.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/bin"];

/// The checks of this process.
static QUEUE: Queue = Queue::new();

/// What they have found not to be signed.
static REFUSED: Refused = Refused::new();

/// Decides for one of the tenants of a server, and finds out about signatures in XML if the verdict
/// waits for that.
///
/// # Errors
///
/// [`Fault::XmlSignatures`] when that cannot be found out.
pub fn decide(
    question: &mut Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &Budget,
) -> Result<Verdict, Fault> {
    let tenant = question.tenant.clone();
    decide_in(Share::Of(&tenant), question, view, crypto, budget)
}

/// The same for someone who shares the process with nobody.
///
/// # Errors
///
/// [`Fault::XmlSignatures`] when that cannot be found out.
pub fn decide_alone(
    question: &mut Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &Budget,
) -> Result<Verdict, Fault> {
    decide_in(Share::Whole, question, view, crypto, budget)
}

fn decide_in(
    share: Share<'_>,
    question: &mut Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &Budget,
) -> Result<Verdict, Fault> {
    let verdict = avouch_core::decide(question, view, crypto, &mut budget.clone());
    let Verdict::Undetermined(needs) = &verdict else {
        return Ok(verdict);
    };
    let wanted: Vec<&XmlToVerify> = needs
        .iter()
        .filter_map(|need| match need {
            Need::XmlSignature(wanted) => Some(wanted.as_ref()),
            Need::Audience
            | Need::Challenge
            | Need::Introspection { .. }
            | Need::Key(_)
            | Need::KeySet { .. }
            | Need::Recipient
            | Need::State
            | Need::StatusList { .. } => None,
        })
        .collect();
    if wanted.is_empty() {
        return Ok(verdict);
    }
    for one in wanted {
        let of = one.digest();
        let found = match REFUSED.has(&of) {
            true => XmlFound::NotHeld,
            false => find_out(one, share)?,
        };
        let is_held = matches!(found, XmlFound::Held { .. });
        if !is_held {
            REFUSED.note(of);
        }
        question
            .context
            .xml_signatures
            .push(XmlSignature { of, found });
        if is_held {
            break;
        }
    }
    Ok(avouch_core::decide(
        question,
        view,
        crypto,
        &mut budget.clone(),
    ))
}

/// Whether the signature holds for the key, and what it covers.
///
/// # Errors
///
/// [`Fault::XmlSignatures`].
pub fn find_out(wanted: &XmlToVerify, share: Share<'_>) -> Result<XmlFound, Fault> {
    let _turn = QUEUE.take(share)?;
    let folder = Folder::make().map_err(|error| failed("a folder", &error))?;
    let key = der::pem::encode_string("PUBLIC KEY", LineEnding::LF, &wanted.key);
    let key = key.map_err(|error| Fault::Bug(error.to_string()))?;
    let document = folder
        .write("document.xml", &wanted.document)
        .and_then(|document| Ok((document, folder.write("key.pem", &key)?)));
    // Last: before that nobody else can put anything in the place of what is written.
    let document = document.and_then(|files| folder.give_away().map(|()| files));
    let (document, key) = document.map_err(|error| failed("a file", &error))?;
    let mut command = command(&key, &document, &folder)?;
    let child = command
        .spawn()
        .map_err(|error| failed("a process", &error))?;
    let answer = answer_of(child).map_err(|error| failed("an answer", &error))?;
    Ok(answer.map_or(XmlFound::NotHeld, |answer| read(&answer)))
}

fn failed(what: &str, error: &io::Error) -> Fault {
    Fault::XmlSignatures {
        why: format!("there is {what} that cannot be had: {error}"),
        again: true,
    }
}

/// The command with which it is found out.
fn command(key: &Path, document: &Path, folder: &Folder) -> Result<Command, Fault> {
    let mut command = Command::new(program("timeout", "coreutils")?);
    command
        .args(["--signal=KILL", PATIENCE])
        .arg(program("prlimit", "util-linux")?)
        .args([
            "--core=0",
            "--cpu=2",
            "--as=268435456",
            "--fsize=0",
            "--nofile=32",
        ])
        .arg(program("setpriv", "util-linux")?)
        .arg("--no-new-privs");
    if is_root() {
        let nobody = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        command.args(nobody).arg("--clear-groups");
    }
    command.arg("--");
    if let Some(unshare) = network_of_its_own() {
        command.arg(unshare).args(NETWORK);
    }
    command
        .arg(program("xmlsec1", "xmlsec1")?)
        .args([
            "--verify",
            "--store-references",
            "--store-signatures",
            "--print-debug",
        ])
        .args(["--enabled-key-data", "key-name"])
        .args(["--enabled-reference-uris", "same-doc"])
        .args([
            "--id-attr:ID",
            "urn:oasis:names:tc:SAML:2.0:assertion:Assertion",
        ])
        .arg(format!("--pubkey-pem:{KEY_NAME}"))
        .arg(key)
        .arg(document)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir(&folder.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Ok(command)
}

/// Where a program is; a fault that says which package brings it, if it is nowhere.
fn program(name: &str, package: &str) -> Result<PathBuf, Fault> {
    let found = FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| Fault::XmlSignatures {
        why: format!(
            "the program `{name}` is not installed; it is in the package `{package}` \
             (`apt-get install {package}`)"
        ),
        again: false,
    })
}

/// A network with nobody in it, not even oneself.
const NETWORK: [&str; 4] = ["--user", "--map-current-user", "--net", "--"];

/// The program that gives one, where the system lets users have it.
fn network_of_its_own() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let unshare = program("unshare", "util-linux").ok()?;
        let nothing = program("true", "coreutils").ok()?;
        let tried = Command::new(&unshare)
            .args(NETWORK)
            .arg(nothing)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried
            .is_ok_and(|status| status.success())
            .then_some(unshare)
    });
    found.as_deref()
}

/// Takes what was signed out of the answer. Whatever someone has written there to look like the
/// answer has another digest than the one that was signed.
fn read(answer: &[u8]) -> XmlFound {
    let between = |name: &str| {
        let start = format!("== {name} data - start buffer:\n");
        let end = format!("\n== {name} data - end buffer\n");
        let start = position(answer, start.as_bytes())? + start.len();
        let rest = answer.get(start..)?;
        let end = last_position(rest, end.as_bytes())?;
        rest.get(..end).map(<[u8]>::to_vec)
    };
    match (between("PreSigned"), between("PreDigest")) {
        (Some(signed_info), Some(content)) => XmlFound::Held {
            signed_info,
            content,
        },
        _ => XmlFound::NotHeld,
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn last_position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .rposition(|window| window == wanted)
}

/// What a process wrote, if the signature holds. It ends in time, since another process sees to
/// that. Whatever ended it but its own word has found nothing out.
fn answer_of(mut child: Child) -> io::Result<Option<Vec<u8>>> {
    let mut answer = Vec::new();
    let read = match child.stdout.take() {
        Some(output) => output.take(ANSWER_BYTES).read_to_end(&mut answer),
        None => Ok(0),
    };
    let status = child.wait()?;
    read?;
    match status.code() {
        Some(0) => Ok(Some(answer)),
        Some(NOT_SIGNED) if speaks_itself(&answer) => Ok(None),
        _ => Err(io::Error::other(format!("it was ended: {status}"))),
    }
}

/// How xmlsec1 ends where a signature does not hold or a document cannot be read.
const NOT_SIGNED: i32 = 1;

/// What it says then: what it has found, or, of a key that it cannot read, how it is to be called.
const OWN_WORDS: [&[u8]; 2] = [b"= VERIFICATION CONTEXT\n", b"Usage: xmlsec "];

/// Whether xmlsec1 has said something, since the programs that start it end with the same number
/// when they cannot.
fn speaks_itself(answer: &[u8]) -> bool {
    OWN_WORDS
        .iter()
        .any(|words| position(answer, words).is_some())
}

/// A folder that nobody else can look into, gone when it is not used any more.
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Self> {
        let name = format!("avouch-{}", uuid::Uuid::now_v7());
        let path = std::env::temp_dir().join(name);
        // Fails if something of that name is there.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// To whom the process runs as.
    fn give_away(&self) -> io::Result<()> {
        if is_root() {
            chown(&self.0, Some(NOBODY), Some(NOBODY))?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fill(new_file(&path)?, text)?;
        Ok(path)
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a file, and gives it away: the very file, whatever is under its name by now.
fn fill(mut file: File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    if is_root() {
        fchown(&file, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_a_fault_that_names_its_package() {
        let fault = program("no-such-program", "its-package").unwrap_err();
        let said = fault.to_string();
        assert!(said.contains("apt-get install its-package"), "{said}");
        assert!(!fault.retryable());
    }

    #[test]
    fn a_folder_is_ours_alone_and_gone_when_it_is_not_used_any_more() {
        let folder = Folder::make().unwrap();
        let file = folder.write("a", "b").unwrap();
        assert_eq!(fs::metadata(&folder.0).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        drop(folder);
        assert!(!file.exists());
    }

    #[test]
    fn nobody_else_comes_near_what_is_written_before_all_of_it_is() {
        let folder = Folder::make().unwrap();
        let us = fs::metadata("/proc/self").unwrap().uid();
        let owner = |path: &Path| fs::symlink_metadata(path).unwrap().uid();
        let theirs = if is_root() { NOBODY } else { us };
        let file = folder.write("a", "b").unwrap();
        assert_eq!((owner(&file), owner(&folder.0)), (theirs, us));
        folder.give_away().unwrap();
        assert_eq!(owner(&folder.0), theirs);
    }

    #[test]
    fn what_is_given_away_is_the_file_that_was_written_whatever_has_its_name_by_then() {
        let folder = Folder::make().unwrap();
        let (path, moved) = (folder.0.join("a"), folder.0.join("moved"));
        let file = new_file(&path).unwrap();
        let victim = folder.write("victim", "ours").unwrap();
        let us = fs::metadata("/proc/self").unwrap().uid();
        chown(&victim, Some(us), None).unwrap();
        fs::rename(&path, &moved).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        fill(file, "theirs").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "ours");
        assert_eq!(fs::metadata(&victim).unwrap().uid(), us);
        assert_eq!(fs::read_to_string(&moved).unwrap(), "theirs");
        let theirs = if is_root() { NOBODY } else { us };
        assert_eq!(fs::metadata(&moved).unwrap().uid(), theirs);
    }

    #[test]
    fn a_program_that_only_ends_as_xmlsec1_does_has_found_nothing_out() {
        let ended = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]).stdout(Stdio::piped());
            answer_of(command.spawn().unwrap())
        };
        assert!(ended("exit 1").is_err());
        assert!(ended("echo 'prlimit: failed'; exit 1").is_err());
        assert!(ended("echo '= VERIFICATION CONTEXT'; exit 2").is_err());
        let not_held = ended("echo '= VERIFICATION CONTEXT'; exit 1");
        assert!(matches!(not_held, Ok(None)));
        assert!(matches!(ended("echo OK"), Ok(Some(_))));
    }

    #[test]
    fn what_was_signed_is_taken_out_of_the_answer() {
        let answer = b"x\n== PreDigest data - start buffer:\na\n== PreDigest data - end buffer\n\
            y\n== PreSigned data - start buffer:\nb\n== PreSigned data - end buffer\nz";
        let XmlFound::Held {
            signed_info,
            content,
        } = read(answer)
        else {
            panic!("nothing was found");
        };
        assert_eq!((content, signed_info), (b"a".to_vec(), b"b".to_vec()));
        assert!(read(b"OK\n") == XmlFound::NotHeld);
    }
}
