//! As the `spiffe` crate sees it, which other people wrote.

use spiffe::workload_api::WorkloadApiClient;
use spiffe::{JwtSource, X509Source};

use crate::world::{DATABASE, PATIENCE, WEB, World, entitled, svid};

#[tokio::test]
async fn the_spiffe_crate_gets_and_checks_what_it_needs() {
    let world = World::start().await;
    let client = WorkloadApiClient::connect_to(&world.address).await.unwrap();

    let context = client.fetch_x509_context().await.unwrap();
    assert_eq!(context.default_svid().unwrap().spiffe_id().to_string(), WEB);
    assert_eq!(context.bundle_set().len(), 2);

    let svid = client.fetch_jwt_svid(["db"], None).await.unwrap();
    assert_eq!(svid.spiffe_id().to_string(), WEB);
    let claims = client.validate_jwt_token("db", svid.token()).await.unwrap();
    assert_eq!(claims.spiffe_id().to_string(), WEB);
    let bundles = client.fetch_jwt_bundles().await.unwrap();
    assert_eq!(bundles.len(), 2);
}

#[tokio::test]
async fn the_sources_of_the_spiffe_crate_follow_a_change() {
    let world = World::start().await;
    let source = X509Source::builder()
        .endpoint(&world.address)
        .build()
        .await
        .unwrap();
    assert_eq!(source.svid().unwrap().spiffe_id().to_string(), WEB);
    let mut updates = source.updated();
    world
        .office
        .change(Ok(entitled(vec![svid(DATABASE, None)])));
    let changed = tokio::time::timeout(PATIENCE, updates.changed()).await;
    assert!(changed.unwrap().is_ok());
    assert_eq!(source.svid().unwrap().spiffe_id().to_string(), DATABASE);

    let source = JwtSource::builder()
        .endpoint(&world.address)
        .build()
        .await
        .unwrap();
    let token = source.fetch_jwt_svid(["db"]).await.unwrap();
    assert_eq!(token.spiffe_id().to_string(), DATABASE);
}
