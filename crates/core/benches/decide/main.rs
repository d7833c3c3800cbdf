//! How long decisions take, beside the cryptography that no one can do without and beside other
//! verifiers: `cargo bench -p avouch-core`, or only the rows
//! whose title has a word: `cargo bench -p avouch-core -- cold`.
//!
//! All contestants of a row run in one process and take turns, so that whatever the machine does
//! meanwhile happens to all of them. Time is that of the processor in this thread, not of the wall.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]

mod contest;
mod openssl;
mod tokens;
mod worlds;

fn main() {
    // `cargo test --benches` runs this too, and wants to know only whether it starts.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    let rounds = if quick { 1 } else { contest::ROUNDS };
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted =
        |title: &str| wanted.is_empty() || wanted.iter().any(|part| title.contains(part));
    println!("{}", contest::HEAD);
    let rows = [
        worlds::cold(),
        worlds::issuer_seen(),
        worlds::again(),
        tokens::es256(),
    ];
    for row in rows.into_iter().filter(|row| is_wanted(row.title())) {
        row.run(rounds);
    }
    if !quick && is_wanted(openssl::TITLE) {
        openssl::beside();
    }
}
