//! Running other programs.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::workspace::Workspace;

/// The cargo that runs this tool, in the root of the project.
pub(crate) fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(workspace.root());
    command
}

/// Runs to the end; whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    println!("\n$ {}", shown(command));
    command.status().is_ok_and(|status| status.success())
}

/// Runs to the end without showing anything; whether it succeeded.
pub(crate) fn succeeds_quietly(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs to the end and hands each line of its output on, which tells whether to show it; whether it
/// succeeded.
pub(crate) fn follow(command: &mut Command, mut each_line: impl FnMut(&str) -> bool) -> bool {
    println!("\n$ {}", shown(command));
    let Ok(mut child) = command.stdout(Stdio::piped()).spawn() else {
        return false;
    };
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if each_line(&line) {
                println!("{line}");
            }
        }
    }
    child.wait().is_ok_and(|status| status.success())
}

/// The output of a program that is expected to succeed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let shown = shown(command);
    let done = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("`{shown}` cannot be run: {error}"))?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(format!("`{shown}` failed"))
    }
}

fn shown(command: &Command) -> String {
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy());
    std::iter::once("cargo".into())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}
