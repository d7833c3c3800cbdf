//! A PostgreSQL at the other end of a network: encrypted, or not at all.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use avouch_store::postgresql::PostgresqlStore;
use avouch_store::{Fault, Store};
use avouch_testkit::postgresql::Cluster;
use avouch_testkit::world::{Authority, pem};

use crate::objects::*;
use crate::on_postgresql::or_skipped;

#[test]
fn every_connection_is_encrypted_once_the_server_has_shown_who_it_is() {
    let name = "every_connection_is_encrypted_once_the_server_has_shown_who_it_is";
    let Some(cluster) = or_skipped(name, Cluster::start_with_tls()) else {
        return;
    };
    let database = cluster.new_database();
    let roots = cluster.roots().display().to_string();
    for mode in ["verify-full", "verify-ca", "require"] {
        let options = format!("sslmode={mode}&sslrootcert={roots}");
        let store = PostgresqlStore::connect(&cluster.over_tls(&database, &options)).unwrap();
        store.tenants(&OPERATOR).unwrap();
        store.wait_for_change(&OPERATOR, Duration::ZERO).unwrap();
        let mut client = postgres::Client::connect(&database, postgres::NoTls).unwrap();
        let of_ours = "SELECT count(*) FILTER (WHERE ssl AND version = 'TLSv1.3'), count(*)
             FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
             WHERE application_name = 'avouch'";
        let row = client.query_one(of_ours, &[]).unwrap();
        let (encrypted, all): (i64, i64) = (row.get(0), row.get(1));
        assert!(all > 1, "{mode}: {all}");
        assert_eq!(encrypted, all, "{mode}");
    }
}

#[test]
fn a_server_that_is_another_is_not_spoken_to() {
    let name = "a_server_that_is_another_is_not_spoken_to";
    let Some(cluster) = or_skipped(name, Cluster::start_with_tls()) else {
        return;
    };
    let database = cluster.new_database();
    let folder = tempfile::tempdir().unwrap();
    let stranger = folder.path().join("stranger.pem");
    let root = Authority::root("Another Root");
    std::fs::write(&stranger, pem("CERTIFICATE", &root.certificate)).unwrap();
    let (roots, stranger) = (cluster.roots(), stranger.display());
    let roots = roots.display();
    let refused = |address: &str| {
        let fault = PostgresqlStore::connect(address).err().unwrap();
        assert!(matches!(fault, Fault::Denied(_)), "{address}: {fault:?}");
        assert!(!fault.retryable());
        fault.to_string()
    };
    let over_tls = |options: String| cluster.over_tls(&database, &options);
    refused(&over_tls(format!(
        "sslmode=verify-full&sslrootcert={stranger}"
    )));
    refused(&over_tls(format!("sslmode=require&sslrootcert={stranger}")));

    // Its certificate is for `localhost`, and this is another name of the same machine.
    let elsewhere = |options: String| over_tls(options).replace("localhost", "127.0.0.1");
    let told = refused(&elsewhere(format!(
        "sslmode=verify-full&sslrootcert={roots}"
    )));
    assert!(told.contains("not valid for name"), "{told}");
    let chain = elsewhere(format!("sslmode=verify-ca&sslrootcert={roots}"));
    PostgresqlStore::connect(&chain).unwrap();
}

#[test]
fn a_server_without_tls_learns_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    let root = Authority::root("Example Root");
    std::fs::write(&roots, pem("CERTIFICATE", &root.certificate)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut asked = [0; 8];
        client.read_exact(&mut asked).unwrap();
        client.write_all(b"N").unwrap();
        let mut more = Vec::new();
        client.read_to_end(&mut more).unwrap();
        more
    });
    let roots = roots.display();
    let address =
        format!("postgres://u:secret@localhost:{port}/d?sslmode=verify-full&sslrootcert={roots}");
    let fault = PostgresqlStore::connect(&address).err().unwrap();
    assert!(matches!(fault, Fault::Denied(_)), "{fault:?}");
    assert!(server.join().unwrap().is_empty());
}
