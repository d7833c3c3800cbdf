//! A deployment on a disk, and a node that calls it over mutual TLS.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_issuer::signer::{Signer, SigningKind, SoftwareKey};
use avouch_server::clock::SystemClock;
use avouch_server::entries::EntryDraft;
use avouch_server::node_api;
use avouch_server::plane::Founding;
use avouch_server::tenant::Tenant;
use avouch_server::tls::ServerIdentity;
use avouch_server::{Plane, Settings};
use avouch_store::TenantKind;
use avouch_store::keyring::RootKey;
use avouch_store::sqlite::SqliteStore;
use avouch_testkit::asn1;
use avouch_testkit::key::{Kind, Scheme};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::client::Identity;

/// The tenant that everything is about.
pub(crate) const TENANT: &str = "bench";

/// The one above it, which is that of the operator.
pub(crate) const ABOVE: &str = "root";

/// Opens the deployment in a folder, or founds it.
pub(crate) fn open(folder: &Path) -> Arc<Plane> {
    open_with(folder, Settings::default())
}

/// The same with other settings.
pub(crate) fn open_with(folder: &Path, settings: Settings) -> Arc<Plane> {
    let store = Arc::new(SqliteStore::open(folder).unwrap());
    let founding = Founding {
        tenant: TenantId::parse(ABOVE).unwrap(),
        trust_domain: TrustDomain::parse("root.avouch.test").unwrap(),
    };
    let root_key = |tenants: &[_]| Ok(RootKey::open_or_create(folder, tenants)?);
    let clock = Arc::new(SystemClock);
    let plane = Plane::open(store, root_key, &founding, settings, clock).unwrap();
    if plane.count_tenants() == 1 {
        let id = TenantId::parse(TENANT).unwrap();
        let tenant = plane.add_tenant(&id, Some(&founding.tenant), TenantKind::Tenant);
        let domain = TrustDomain::parse("bench.avouch.test").unwrap();
        plane.add_trust_domain(&tenant.unwrap(), &domain).unwrap();
    }
    plane
}

pub(crate) fn tenant(plane: &Plane) -> Arc<Tenant> {
    plane.tenant_named(TENANT).unwrap().unwrap()
}

/// The entry of this number, for the node of this name.
pub(crate) fn entry(number: usize, node: &str) -> EntryDraft {
    EntryDraft {
        id: Some(format!("entry-{number}")),
        spiffe_id: format!("spiffe://bench.avouch.test/ns/payments/sa/service-{number}"),
        parent: Some(format!("spiffe://bench.avouch.test/avouch/node/{node}")),
        selectors: vec![
            format!("unix:uid:{}", number % 60_000),
            "unix:path:/usr/bin/service".to_owned(),
        ],
        ..EntryDraft::default()
    }
}

/// As [`entry`], for every process of the user that runs this.
pub(crate) fn own_entry(number: usize, node: &str) -> EntryDraft {
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    EntryDraft {
        selectors: vec![format!("unix:uid:{own}")],
        ..entry(number, node)
    }
}

/// Writes entries `from` to `to` in batches of a thousand.
pub(crate) fn write_entries(plane: &Plane, from: usize, to: usize, node: &str) {
    let tenant = tenant(plane);
    for start in (from..to).step_by(1_000) {
        let drafts = (start..to.min(start + 1_000)).map(|number| entry(number, node));
        let answers = plane.put_entries(&tenant, drafts.collect()).unwrap();
        assert!(answers.iter().all(Result::is_ok));
    }
}

/// Serves nodes, and tells where.
pub(crate) async fn serve(plane: &Arc<Plane>) -> (String, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopping) = watch::channel(false);
    let identity = ServerIdentity::new(Arc::clone(plane)).unwrap();
    tokio::spawn(node_api::serve(
        listener,
        identity,
        Arc::clone(plane),
        stopping,
    ));
    (address, stop)
}

/// Lets a node of this name join.
pub(crate) fn enrol(plane: &Plane, node: &str) -> Identity {
    let key = SoftwareKey::generate(SigningKind::P256).unwrap();
    let token = plane.new_join_token(&tenant(plane), node, 600).unwrap();
    let member = plane.join(&token.token, &signing_request(&key)).unwrap();
    Identity {
        chain: member.certificates,
        pkcs8: key.to_pkcs8().unwrap().to_vec(),
    }
}

/// A PKCS#10 request (RFC 2986) for a key, signed by it.
fn signing_request(key: &SoftwareKey) -> Vec<u8> {
    let info = asn1::sequence([
        asn1::number(0),
        asn1::sequence::<Vec<u8>>([]),
        key.public_half().info().to_vec(),
        asn1::constructed(0, &[]),
    ]);
    let signature = key.sign(&info).unwrap();
    let (r, s) = signature.as_bytes().split_at(32);
    let signature = asn1::sequence([r, s].map(positive));
    let algorithm = Scheme::EcdsaSha256.identifier_for(Kind::P256);
    asn1::sequence([info, algorithm, asn1::bit_string(0, &signature)])
}

/// A positive INTEGER in DER: no zeros in front but the one that keeps it positive.
fn positive(octets: &[u8]) -> Vec<u8> {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    let mut shortest = octets[zeros..].to_vec();
    if shortest.first().is_none_or(|head| head & 0x80 != 0) {
        shortest.insert(0, 0);
    }
    asn1::integer(&shortest)
}
