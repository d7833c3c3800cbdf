//! A server under load, as its nodes see it: SVIDs over mutual TLS, each with its intent on disk;
//! entries written in batches; the start with many entries; how long a change takes to arrive.
//!
//! `cargo bench -p avouch-server`, or one of them: `cargo bench -p avouch-server -- issue`. Server
//! and client share the process, so what is given per second of processor time counts both.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod deployment;
mod entries;
mod issue;
mod measure;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let wanted = |name: &str| {
        let mut names = arguments
            .iter()
            .filter(|argument| !argument.starts_with("--"));
        names.clone().next().is_none() || names.any(|wanted| wanted == name)
    };
    if wanted("issue") {
        issue::run();
    }
    if wanted("entries") {
        entries::write();
    }
    if wanted("start") {
        entries::start();
    }
    if wanted("push") {
        entries::push();
    }
}
