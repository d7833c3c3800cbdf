//! Programs of other people, from their registries, unchanged: how tests get them, and why not
//! where they cannot be had.
//!
//! A test that gets a [`Missing`] prints `skipped: PROGRAM: WHY` and ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Why something cannot be had here: the last line that was said about it.
pub type Missing = String;

/// What was fetched and built is there for good; two tests at once wait for each other.
static PREPARING: Mutex<()> = Mutex::new(());

/// Has `found` look for something again after this package of Debian was installed, if it was not
/// there before.
///
/// # Errors
///
/// If it is not there and cannot be installed.
pub fn debian<T>(package: &str, found: impl Fn() -> Option<T>) -> Result<T, Missing> {
    if let Some(it) = found() {
        return Ok(it);
    }
    let _preparing = PREPARING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(it) = found() {
        return Ok(it);
    }
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        succeed(&mut apt)
    };
    let install = ["install", "-y", "-qq", "--no-install-recommends", package];
    if let Err(why) = apt(&install).or_else(|_| {
        // A new machine may know of no packages yet.
        apt(&["update", "-qq"])?;
        apt(&install)
    }) {
        return Err(format!("{package} is not here and not to be had: {why}"));
    }
    found().ok_or_else(|| format!("{package} was installed, and what it should bring is not there"))
}

/// Where a program is that is in the path, or where Debian has those of administrators.
#[must_use]
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrators)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Fetches the modules of a Go program, which needs a network the first time, and builds
/// `package`, as `program`.
///
/// # Errors
///
/// If the modules cannot be had.
///
/// # Panics
///
/// If they are all there and it cannot be built: that is a failure of ours.
pub fn go_program(sources: &Path, package: &str, program: &Path) -> Result<(), Missing> {
    let _preparing = PREPARING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut fetch = Command::new("go");
    succeed(fetch.args(["mod", "download"]).current_dir(sources))?;
    let mut build = Command::new("go");
    build.arg("build").arg("-o").arg(program).arg(package);
    let built = succeed(build.current_dir(sources));
    built.expect("the program can be built");
    Ok(())
}

/// Makes an environment of Python in a folder with the packages of a list, which needs a network
/// the first time. `module` is there when they are. Gives the interpreter.
///
/// # Errors
///
/// If the packages cannot be had.
pub fn python(environment: &Path, module: &str, requirements: &Path) -> Result<PathBuf, Missing> {
    let _preparing = PREPARING.lock().unwrap_or_else(PoisonError::into_inner);
    let python = environment.join("bin/python");
    let import = ["-c", &format!("import {module}")];
    if succeed(Command::new(&python).args(import)).is_ok() {
        return Ok(python);
    }
    let mut create = Command::new("python3");
    succeed(create.args(["-m", "venv", "--clear"]).arg(environment))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--requirement"]);
    succeed(install.arg(requirements))?;
    Ok(python)
}

/// Fetches the packages of a Java program, which needs a network the first time, and compiles all
/// sources beside its `pom.xml` into a folder. Gives the class path.
///
/// # Errors
///
/// If the packages cannot be had, or it cannot be built.
pub fn java(sources: &Path, folder: &Path) -> Result<String, Missing> {
    let _preparing = PREPARING.lock().unwrap_or_else(PoisonError::into_inner);
    let packages = folder.join("packages");
    if !packages.exists() {
        let mut fetch = Command::new("mvn");
        fetch.args(["--quiet", "--batch-mode", "--file"]);
        fetch.arg(sources.join("pom.xml"));
        fetch.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        let output = format!("-DoutputDirectory={}", packages.display());
        succeed(fetch.arg(output))?;
    }
    let classes = format!("{}:{}/*", folder.display(), packages.display());
    let mut build = Command::new("javac");
    build.arg("-cp").arg(&classes).arg("-d").arg(folder);
    let files = std::fs::read_dir(sources).map_err(|error| error.to_string())?;
    for file in files.flatten() {
        if file.path().extension().is_some_and(|kind| kind == "java") {
            build.arg(file.path());
        }
    }
    succeed(&mut build)?;
    Ok(classes)
}

/// Runs a command to its end. Gives what it wrote.
///
/// # Errors
///
/// If it cannot be started or does not succeed, with the last line that it said.
pub fn succeed(command: &mut Command) -> Result<String, Missing> {
    let output = command.stdin(Stdio::null()).output();
    let name = || command.get_program().to_string_lossy().into_owned();
    let output = match output {
        Ok(output) => output,
        Err(error) => return Err(format!("{} cannot be started: {error}", name())),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = text.lines().rfind(|line| !line.trim().is_empty());
    Err(match said {
        Some(said) => said.to_owned(),
        None => format!("{} failed and said nothing", name()),
    })
}
