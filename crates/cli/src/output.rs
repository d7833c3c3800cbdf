//! Writing: data to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::arguments::Format;
use crate::fault::Fault;
use crate::render::{Style, WIDTH};

/// Writes data and a line break to standard output.
pub fn data(text: &str) -> Result<(), Fault> {
    let mut output = io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| {
            if text.ends_with('\n') {
                Ok(())
            } else {
                output.write_all(b"\n")
            }
        })
        .and_then(|()| output.flush())
        .map_err(Fault::Write)
}

/// How to draw on standard output: in colour only on a terminal, and never against `NO_COLOR`
/// (no-color.org).
pub fn style() -> Style {
    Style::new(colour_wanted() && io::stdout().is_terminal())
}

/// How wide a line on standard output may be, if that is a terminal: as it says (`COLUMNS`), or as
/// wide as verdicts are drawn.
pub fn columns() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok();
    let said = said.and_then(|columns| columns.parse().ok());
    io::stdout()
        .is_terminal()
        .then(|| said.filter(|columns| *columns > 0).unwrap_or(WIDTH))
}

/// Tells on standard error one of the refusals that the command has come to: the others of what was
/// asked for may be done.
pub fn refused(text: &str) {
    // Nothing is left to do if standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{}", style_beside().fault(text));
}

/// Tells on standard error what was done and may not be as it was meant.
pub fn warn(text: &str) {
    // Nothing is left to do if standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{}", style_beside().warning(text));
}

/// Tells on standard error how far something is, if somebody watches.
pub fn progress(text: &str) {
    if io::stderr().is_terminal() {
        note(text);
    }
}

/// Tells on standard error what is worth knowing and is no fault.
pub fn note(text: &str) {
    // Nothing is left to do if standard error is closed.
    let _ = writeln!(io::stderr().lock(), "note: {text}");
}

/// Tells a fault on standard error and gives the exit code. What is refused is an answer, which `-o json`
/// gives on standard output too.
pub fn report(fault: &Fault, format: Format) -> ExitCode {
    if let (Fault::Refused(refusal), Format::Json) = (fault, format) {
        // What cannot be written there is told below all the same.
        let _ = data(&format!("{:#}", refusal.to_json()));
    }
    if !fault.is_closed_pipe() {
        let text = style_beside().fault(&fault.to_string());
        // Nothing is left to do if standard error is closed too.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
    fault.exit().into()
}

/// How to draw on standard error.
fn style_beside() -> Style {
    Style::new(colour_wanted() && io::stderr().is_terminal())
}

fn colour_wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// The answer in the form that was asked for, each made only when it is wanted.
pub fn formatted(
    format: Format,
    human: impl FnOnce() -> String,
    json: impl FnOnce() -> String,
) -> Result<(), Fault> {
    match format {
        Format::Human => data(&human()),
        _ => data(&json()),
    }
}
