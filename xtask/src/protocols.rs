//! `crates/api/src/grpc/`, made from the protocol files in `crates/api/proto/`.
//!
//! What is made is committed, so that nobody who builds the project needs a compiler of protocol
//! files, and so that a change of a protocol is seen in a review.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message;
use prost_types::FileDescriptorSet;

use crate::command::output;
use crate::workspace::Workspace;

const SOURCES: &str = "crates/api/proto";
const MADE: &str = "crates/api/src/grpc";

/// Files without a package get this name: that of the one protocol which has none.
const WITHOUT_PACKAGE: &str = "workload";

/// The protocols beside it, each with the name of its package.
const WITH_PACKAGE: [(&str, &str); 1] = [("node", "avouch.node.v1")];

/// Messages that hold a private key or a bearer token. Their `Debug` is written by hand.
const SECRET: [&str; 7] = [
    ".avouch.node.v1.IssueJwtResponse",
    ".avouch.node.v1.JoinRequest",
    ".avouch.node.v1.WitAnswer",
    ".JWTSVID",
    ".ValidateJWTSVIDRequest",
    ".WITSVID",
    ".X509SVID",
];

/// Writes the code.
pub(crate) fn write(workspace: &Workspace) -> Result<(), String> {
    for (name, content) in make(workspace)? {
        let path = workspace.path(MADE).join(name);
        fs::write(&path, content).map_err(|error| cannot("written", &path, &error))?;
    }
    Ok(())
}

/// Which files are not what the protocols say.
pub(crate) fn up_to_date(workspace: &Workspace) -> Vec<String> {
    let made = match make(workspace) {
        Ok(made) => made,
        Err(message) => return vec![message],
    };
    let differ = made.iter().filter(|(name, content)| {
        fs::read(workspace.path(MADE).join(name)).ok().as_ref() != Some(content)
    });
    differ
        .map(|(name, _)| {
            format!("{MADE}/{name} differs from its protocol; run `cargo xtask protocols`")
        })
        .collect()
}

/// Each file by its name.
fn make(workspace: &Workspace) -> Result<Vec<(String, Vec<u8>)>, String> {
    let workload = compile(workspace, WITHOUT_PACKAGE)?;
    let mut made = vec![
        code(workspace, WITHOUT_PACKAGE, workload.clone())?,
        descriptors(workload),
    ];
    for (protocol, package) in WITH_PACKAGE {
        made.push(code(workspace, package, compile(workspace, protocol)?)?);
    }
    Ok(made)
}

/// A protocol with its comments.
fn compile(workspace: &Workspace, protocol: &str) -> Result<FileDescriptorSet, String> {
    let sources = workspace.path(SOURCES);
    let mut compiler = protox::Compiler::new([&sources]).map_err(|error| error.to_string())?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files([sources.join(format!("{protocol}.proto"))])
        .map_err(|error| format!("{error:?}"))?;
    Ok(compiler.file_descriptor_set())
}

/// The code of a protocol: its messages, client and server.
fn code(
    workspace: &Workspace,
    package: &str,
    protocol: FileDescriptorSet,
) -> Result<(String, Vec<u8>), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut config = tonic_prost_build::Config::new();
    config.default_package_filename(WITHOUT_PACKAGE);
    tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .btree_map(".")
        .skip_debug(SECRET)
        .out_dir(folder.path())
        .compile_fds_with_config(protocol, config)
        .map_err(|error| error.to_string())?;
    let name = format!("{package}.rs");
    let path = folder.path().join(&name);
    Ok((name, formatted(workspace, path)?))
}

/// A protocol as reflection tells it, without comments.
fn descriptors(mut protocol: FileDescriptorSet) -> (String, Vec<u8>) {
    for file in &mut protocol.file {
        file.source_code_info = None;
    }
    let name = format!("{WITHOUT_PACKAGE}.descriptors.bin");
    (name, protocol.encode_to_vec())
}

/// The file as `cargo fmt` leaves it.
fn formatted(workspace: &Workspace, path: PathBuf) -> Result<Vec<u8>, String> {
    let mut format = Command::new("rustfmt");
    format.args(["--edition", "2024", "--config-path"]);
    output(format.arg(workspace.root()).arg(&path))?;
    fs::read(&path).map_err(|error| cannot("read", &path, &error))
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be {what}: {error}", path.display())
}
