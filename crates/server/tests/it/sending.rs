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

#[test]
fn what_is_long_has_room_of_its_own_and_it_is_bounded() {
    let world = World::new();
    let head = "POST /t/one/decide HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
    let endless = format!("{head}transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n1");
    let slow = begun(&world, endless.as_bytes());
    let long = " ".repeat(200_000);
    let headers = [("content-type", "application/json")];
    let long = request("POST", "/t/one/decide", &headers, Some(&long));
    await_status(&world, &long, 503);
    let short = send(world.address, &form());
    assert_eq!(short.status, 400, "{short:?}");
    drop(slow);
    await_status(&world, &long, 200);
}

/// Sends it until it is answered so: the server takes others in its own time.
fn await_status(world: &World, request: &[u8], status: u16) {
    let mut answers = (0..2_000).map(|_| send(world.address, request).status);
    assert!(answers.any(|answer| answer == status), "never {status}");
}
