//! Callers who do not finish what they send.

use std::io::Write;
use std::net::TcpStream;

use crate::http::{request, send};
use crate::world::World;

/// More than are worked for at once.
const SLOW: usize = 300;

fn begun(world: &World, request: &[u8]) -> Vec<TcpStream> {
    let (_, before) = request.split_last().unwrap();
    let streams = (0..SLOW).map(|_| {
        let mut stream = TcpStream::connect(world.address).unwrap();
        stream.write_all(before).unwrap();
        stream
    });
    streams.collect()
}

fn form() -> Vec<u8> {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    request("POST", "/t/one/token", &headers, Some("grant_type=other"))
}

#[test]
fn whoever_sends_slowly_keeps_nobody_waiting() {
    let world = World::new();
    let slow = begun(&world, &form());
    let answer = send(world.address, &form());
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.json()["error"], "unsupported_grant_type");
    drop(slow);
}
