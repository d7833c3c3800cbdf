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

/// The protocols that are served; what they import comes along.
const PROTOCOLS: [&str; 7] = [
    "envoy/extensions/transport_sockets/tls/v3/secret.proto",
    "envoy/service/secret/v3/sds.proto",
    "google/rpc/error_details.proto",
    "node.proto",
    "spiffe/broker/brokerapi.proto",
    "spire/api/agent/delegatedidentity/v1/delegatedidentity.proto",
    "workload.proto",
];

/// Messages that hold a private key or a bearer token. Their `Debug` is written by hand.
const SECRET: [&str; 15] = [
    ".JWTSVID",
    ".ValidateJWTSVIDRequest",
    ".WITSVID",
    ".X509SVID",
    ".avouch.node.v1.Evidence",
    ".avouch.node.v1.Evidence.shown",
    ".avouch.node.v1.IssueJwtResponse",
    ".avouch.node.v1.JoinRequest",
    ".avouch.node.v1.WitAnswer",
    ".envoy.config.core.v3.DataSource",
    ".envoy.service.discovery.v3.DiscoveryResponse",
    ".spiffe.broker.JWTSVID",
    ".spiffe.broker.X509SVID",
    ".spire.api.agent.delegatedidentity.v1.X509SVIDWithKey",
    ".spire.api.types.JWTSVID",
];

/// The protocols that endpoints tell of by reflection.
const REFLECTED: [(&str, &str); 2] = [
    ("broker", "spiffe/broker/brokerapi.proto"),
    (WITHOUT_PACKAGE, "workload.proto"),
];

/// These messages come with `prost`.
const WITH_PROST: &str = "google.protobuf.rs";

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
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut config = tonic_prost_build::Config::new();
    config.default_package_filename(WITHOUT_PACKAGE);
    tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .btree_map(".")
        .skip_debug(SECRET)
        .out_dir(folder.path())
        .compile_fds_with_config(described(workspace, &PROTOCOLS)?, config)
        .map_err(|error| error.to_string())?;

    let mut made = Vec::new();
    let files = fs::read_dir(folder.path()).map_err(|error| error.to_string())?;
    for file in files {
        let file = file.map_err(|error| error.to_string())?;
        let name = file.file_name().to_string_lossy().into_owned();
        if name != WITH_PROST {
            made.push((name, formatted(workspace, file.path())?));
        }
    }
    made.sort();
    for (name, protocol) in REFLECTED {
        let mut bare = described(workspace, &[protocol])?;
        for file in &mut bare.file {
            file.source_code_info = None;
        }
        made.push((format!("{name}.descriptors.bin"), bare.encode_to_vec()));
    }
    Ok(made)
}

/// What the protocol files say, with all that they import.
fn described(workspace: &Workspace, protocols: &[&str]) -> Result<FileDescriptorSet, String> {
    let sources = workspace.path(SOURCES);
    let mut compiler = protox::Compiler::new([&sources]).map_err(|error| error.to_string())?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(protocols.iter().map(|protocol| sources.join(protocol)))
        .map_err(|error| format!("{error:?}"))?;
    Ok(compiler.file_descriptor_set())
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
