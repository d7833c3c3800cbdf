//! Many who have shown nothing, at once: each address has a share of what there is for them, and
//! nobody else waits.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use avouch_api::grpc::node::attest_request::Step;
use avouch_api::grpc::node::node_client::NodeClient;
use avouch_api::grpc::node::{IssueJwtRequest, JoinRequest};
use avouch_testkit::key::Key;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Channel;

use crate::attesting::by;
use crate::attesting_misuse::{ELSEWHERE, LONGEST, Served, connect_from};
use crate::node_calls::{self, Way};
use crate::world::{World, signing_request};

/// More connections than one address may have at once as a stranger.
const MANY: usize = 300;

#[test]
fn whoever_calls_and_says_nothing_keeps_no_node_from_joining() {
    let served = Served::new();
    let connections: Vec<_> = (0..6).map(|_| served.connect()).collect();
    let silent = connections
        .iter()
        .flat_map(|connection| (0..95).map(|_| served.try_call_on(connection.clone())));
    let silent: Vec<_> = silent.collect();
    let refused = silent.iter().filter_map(|call| call.as_ref().err());
    assert!(
        refused
            .map(tonic::Status::code)
            .all(|code| code == Code::Unavailable)
    );
    // One that calls from the same address.
    let world = &served.world;
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    let token = world.plane.new_join_token(&tenant, "n1", 600).unwrap();
    let join = JoinRequest {
        join_token: token.token.to_string(),
        signing_request: signing_request(&Key::p256("n1")),
    };
    let mut client = NodeClient::new(served.connect());
    let joined = world.runtime().block_on(client.join(join)).unwrap();
    assert!(joined.into_inner().spiffe_id.ends_with("/n1"));
    served.lets_others_in();
}

#[test]
fn whoever_wants_to_join_often_at_once_keeps_nobody_out_who_calls_from_elsewhere() {
    let served = Served::new();
    let channel = served.connect();
    let mut on_their_way = Vec::new();
    let refused = loop {
        let mut call = served.try_call_on(channel.clone()).unwrap();
        if on_their_way.len() == 16 {
            call.send(Step::Intention(by("x509pop")));
            break call.refused();
        }
        call.challenge();
        on_their_way.push(call);
    };
    assert_eq!(refused, Code::Unavailable);
    assert_eq!(turned_away(&served.world, "joining"), 1);
    served.lets_others_in();
}

#[test]
fn connections_of_strangers_are_few_for_each_address() {
    let served = Served::new();
    let runtime = served.world.runtime();
    let silent = (0..MANY).map(|_| TcpStream::connect(served.address).unwrap());
    let mut silent: Vec<TcpStream> = silent.collect();
    // The last is closed before a byte of TLS was spoken.
    let last = silent.pop().unwrap();
    last.set_nonblocking(true).unwrap();
    let ended = runtime.block_on(async {
        let mut last = tokio::net::TcpStream::from_std(last).unwrap();
        timeout(LONGEST, last.read(&mut [0; 1])).await.unwrap()
    });
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    served.lets_others_in();
    let away = turned_away(&served.world, "node");
    assert!(away > 0, "{away}");
}

/// How many were turned away, as those are told who watch the server.
fn turned_away(world: &World, what: &str) -> u64 {
    count_of(&world.get("/metrics").body, what)
}

fn count_of(page: &str, what: &str) -> u64 {
    let head = format!("avouch_turned_away_total{{what=\"{what}\"}} ");
    let count = page.lines().find_map(|line| line.strip_prefix(&head));
    count.unwrap().parse().unwrap()
}

#[test]
fn nodes_that_are_let_in_are_no_strangers_however_many_share_an_address() {
    let world = World::new();
    world.token("spiffe://one.test/web");
    let (_stop, stopping) = watch::channel(false);
    let way = node_calls::way(&world, stopping);
    let connected: Vec<_> = (0..MANY).map(|_| calling(&world, &way)).collect();
    assert!(connected.iter().all(|(code, _)| *code == Code::Ok));
}

#[test]
fn nodes_that_were_banned_keep_no_place_of_others_of_their_address() {
    let world = World::new();
    world.token("spiffe://one.test/web");
    let (_stop, stopping) = watch::channel(false);
    let banned = node_calls::way(&world, stopping);
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    world.plane.set_banned(&one, "n1", true).unwrap();
    let mut kept = Vec::new();
    for _ in 0..MANY {
        let (code, client) = calling(&world, &banned);
        assert_eq!(code, Code::PermissionDenied);
        kept.push(client);
    }
    let let_in = node_calls::way_of(&world, "n2", banned.address);
    assert_eq!(calling(&world, &let_in).0, Code::Ok);
    // Those for whom there is no place even so are not kept.
    let (watched, closed) = banned.watched(&world);
    let (code, _client) = calling(&world, &watched);
    assert_eq!(code, Code::PermissionDenied);
    let closed = async { timeout(LONGEST, closed).await };
    world.runtime().block_on(closed).unwrap().unwrap();
}

/// What a node is answered on a connection of its own, which stays.
fn calling(world: &World, way: &Way) -> (Code, NodeClient<Channel>) {
    let ask = IssueJwtRequest {
        tenant: "one".to_owned(),
        entry: "web".to_owned(),
        audiences: vec!["vault".to_owned()],
        facts: Vec::new(),
    };
    world.runtime().block_on(async {
        let mut client = way.connect();
        let asked = client.issue_jwt(ask).await;
        (asked.err().map_or(Code::Ok, |status| status.code()), client)
    })
}

/// Asks on a connection that stays, if it is served at all.
fn is_served(stream: &mut TcpStream) -> bool {
    let asked = b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n";
    let mut answer = [0; 12];
    let answered = stream
        .write_all(asked)
        .and_then(|()| stream.read_exact(&mut answer));
    answered.is_ok() && answer == *b"HTTP/1.1 200"
}

fn elsewhere(world: &World, to: SocketAddr) -> TcpStream {
    let stream = world.runtime().block_on(connect_from(ELSEWHERE, to));
    let stream = stream.unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

#[test]
fn one_address_does_not_have_all_connections_of_verifiers() {
    let world = World::new();
    let mut kept = Vec::new();
    let most = loop {
        let mut stream = TcpStream::connect(world.address).unwrap();
        if !is_served(&mut stream) {
            break kept.len();
        }
        kept.push(stream);
        assert!(kept.len() <= 1_024, "nothing bounds what one address has");
    };
    assert!(most >= 64, "{most}");
    let mut other = elsewhere(&world, world.address);
    assert!(is_served(&mut other));
    // Whoever watches from there is told of who was turned away.
    let asked = b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    other.write_all(asked).unwrap();
    let mut page = String::new();
    other.read_to_string(&mut page).unwrap();
    assert!(count_of(&page, "http") > 0, "{page}");
}
