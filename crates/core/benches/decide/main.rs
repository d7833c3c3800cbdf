//! How long decisions take, beside the cryptography that no one can do without and beside other
//! verifiers: `cargo bench -p avouch-core`.
//!
//! All contestants of a row run in one process and take turns, so that whatever the machine does
//! meanwhile happens to all of them. Time is that of the processor in this thread, not of the wall.

#![expect(missing_docs, reason = "a program for the developers of this crate")]
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

mod contest;
mod openssl;
mod tokens;
mod worlds;

fn main() {
    // `cargo test --benches` runs this too, and wants to know only whether it starts.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    let rounds = if quick { 1 } else { contest::ROUNDS };
    println!("{}", contest::HEAD);
    let rows = [
        worlds::cold(),
        worlds::issuer_seen(),
        worlds::again(),
        tokens::es256(),
    ];
    for row in rows {
        row.run(rounds);
    }
    if !quick {
        openssl::beside();
    }
}
