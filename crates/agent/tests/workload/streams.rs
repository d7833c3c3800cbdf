//! Streams as what they show changes.

use std::time::Duration;

use avouch_agent::NotIssued;
use avouch_api::grpc::workload::{
    JwtBundlesRequest, X509BundlesRequest, X509svidRequest, X509svidResponse,
};
use tonic::{Code, Status, Streaming};

use crate::world::{
    Client, DATABASE, FOREIGN, OWN, PATIENCE, WEB, World, entitled, entitled_without_foreign_roots,
    eventually, svid, svid_with_key, web,
};

async fn open(client: &mut Client) -> Streaming<X509svidResponse> {
    let stream = client.fetch_x509svid(X509svidRequest {}).await;
    stream.unwrap().into_inner()
}

/// The next message, or the status with which the stream ends.
async fn next<M>(stream: &mut Streaming<M>) -> Result<Option<M>, Status> {
    tokio::time::timeout(PATIENCE, stream.message())
        .await
        .expect("a stream does not keep anyone waiting")
}

async fn names(stream: &mut Streaming<X509svidResponse>) -> Vec<String> {
    let message = next(stream).await.unwrap().unwrap();
    let svids = message.svids.into_iter();
    svids.map(|svid| svid.spiffe_id).collect()
}

#[tokio::test]
async fn a03_a05_the_first_message_comes_at_once_and_the_stream_stays_open() {
    let world = World::start().await;
    let mut stream = open(&mut world.client().await).await;
    assert_eq!(names(&mut stream).await, [WEB]);
    let more = tokio::time::timeout(Duration::from_millis(200), stream.message()).await;
    assert!(more.is_err(), "nothing has changed: {more:?}");
}

#[tokio::test]
async fn a04_a06_each_message_is_the_whole_state() {
    let world = World::start().await;
    let mut stream = open(&mut world.client().await).await;
    assert_eq!(names(&mut stream).await, [WEB]);
    let both = vec![svid(WEB, None), svid(DATABASE, None)];
    world.office.change(Ok(entitled(both)));
    assert_eq!(names(&mut stream).await, [WEB, DATABASE]);
    world
        .office
        .change(Ok(entitled(vec![svid(DATABASE, None)])));
    assert_eq!(names(&mut stream).await, [DATABASE]);
}

#[tokio::test]
async fn a_new_key_is_pushed_to_those_who_hold_it_and_not_to_those_who_only_check() {
    let world = World::start().await;
    let mut client = world.client().await;
    let mut svids = open(&mut client).await;
    let x509 = client.fetch_x509_bundles(X509BundlesRequest {}).await;
    let mut x509 = x509.unwrap().into_inner();
    let jwt = client.fetch_jwt_bundles(JwtBundlesRequest {}).await;
    let mut jwt = jwt.unwrap().into_inner();
    let before = next(&mut svids).await.unwrap().unwrap();
    next(&mut x509).await.unwrap().unwrap();
    next(&mut jwt).await.unwrap().unwrap();

    let renewed = svid_with_key(WEB, None, "the next key");
    world.office.change(Ok(entitled(vec![renewed])));
    let after = next(&mut svids).await.unwrap().unwrap();
    assert_ne!(before.svids[0].x509_svid_key, after.svids[0].x509_svid_key);
    let silence = Duration::from_millis(200);
    assert!(tokio::time::timeout(silence, x509.message()).await.is_err());
    assert!(tokio::time::timeout(silence, jwt.message()).await.is_err());
}

#[tokio::test]
async fn a11_every_stream_ends_as_denied_when_the_last_identity_goes() {
    let world = World::start().await;
    let mut client = world.client().await;
    let mut svids = open(&mut client).await;
    let bundles = client.fetch_x509_bundles(X509BundlesRequest {}).await;
    let mut bundles = bundles.unwrap().into_inner();
    let keys = client.fetch_jwt_bundles(JwtBundlesRequest {}).await;
    let mut keys = keys.unwrap().into_inner();
    next(&mut svids).await.unwrap().unwrap();
    next(&mut bundles).await.unwrap().unwrap();
    next(&mut keys).await.unwrap().unwrap();

    world.office.change(Err(NotIssued::nearest([])));
    let denied = Some(Code::PermissionDenied);
    assert_eq!(
        next(&mut svids).await.err().map(|status| status.code()),
        denied
    );
    assert_eq!(
        next(&mut bundles).await.err().map(|status| status.code()),
        denied
    );
    assert_eq!(
        next(&mut keys).await.err().map(|status| status.code()),
        denied
    );

    world.office.change(Ok(web()));
    assert_eq!(names(&mut open(&mut client).await).await, [WEB]);
}

#[tokio::test]
async fn a_slow_reader_finds_the_newest_state_and_not_all_that_were_between() {
    let world = World::start().await;
    let mut stream = open(&mut world.client().await).await;
    assert_eq!(names(&mut stream).await, [WEB]);
    for round in 0..200 {
        let key = format!("key {round}");
        world
            .office
            .change(Ok(entitled(vec![svid_with_key(WEB, None, &key)])));
    }
    world
        .office
        .change(Ok(entitled(vec![svid(DATABASE, None)])));
    let mut messages = 1;
    while names(&mut stream).await != [DATABASE] {
        messages += 1;
    }
    assert!(
        messages < 50,
        "{messages} messages for 201 changes in one moment"
    );
}

#[tokio::test]
async fn a_stream_that_nobody_reads_any_more_is_let_go() {
    let world = World::start().await;
    let mut client = world.client().await;
    let mut stream = open(&mut client).await;
    assert_eq!(names(&mut stream).await, [WEB]);
    eventually("the stream waits for changes", || {
        world.office.streams() == 1
    })
    .await;
    drop(stream);
    eventually("the stream is let go", || world.office.streams() == 0).await;
}

#[tokio::test]
async fn a_stopping_agent_ends_its_streams_as_unavailable_and_leaves_no_socket() {
    let world = World::start().await;
    let mut stream = open(&mut world.client().await).await;
    assert_eq!(names(&mut stream).await, [WEB]);
    let socket = world.socket.clone();
    world.stop().await.unwrap();
    let end = next(&mut stream).await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    assert!(!socket.exists());
}

/// The libraries of workloads refuse all that they are sent for one bundle without certificates.
#[tokio::test]
async fn b_06_a_trust_domain_that_has_withdrawn_all_its_roots_is_left_out() {
    let world = World::start().await;
    let mut client = world.client().await;
    let mut svids = open(&mut client).await;
    let x509 = client.fetch_x509_bundles(X509BundlesRequest {}).await;
    let mut x509 = x509.unwrap().into_inner();
    let foreign = format!("spiffe://{FOREIGN}");
    let first = next(&mut svids).await.unwrap().unwrap();
    assert!(first.federated_bundles.contains_key(&foreign));
    let first = next(&mut x509).await.unwrap().unwrap();
    assert!(first.bundles.contains_key(&foreign));

    let withdrawn = entitled_without_foreign_roots(WEB);
    world.office.change(Ok(withdrawn));
    let then = next(&mut svids).await.unwrap().unwrap();
    assert!(then.federated_bundles.is_empty());
    let then = next(&mut x509).await.unwrap().unwrap();
    let names: Vec<String> = then.bundles.into_keys().collect();
    assert_eq!(names, [format!("spiffe://{OWN}")]);
}
