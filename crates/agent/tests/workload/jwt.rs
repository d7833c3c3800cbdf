//! Tokens, made and checked.

use avouch_api::grpc::workload::{JwtsvidRequest, ValidateJwtsvidRequest, ValidateJwtsvidResponse};
use prost_types::value::Kind;
use tonic::{Code, Status};

use crate::world::{Client, DATABASE, FOREIGN, OWN, WEB, World, entitled, jwt, now, svid};

fn asked(audiences: &[&str], spiffe_id: &str) -> JwtsvidRequest {
    JwtsvidRequest {
        audience: audiences
            .iter()
            .map(|&audience| audience.to_owned())
            .collect(),
        spiffe_id: spiffe_id.to_owned(),
    }
}

async fn validate(
    client: &mut Client,
    audience: &str,
    token: &str,
) -> Result<ValidateJwtsvidResponse, Status> {
    let asked = ValidateJwtsvidRequest {
        audience: audience.to_owned(),
        svid: token.to_owned(),
    };
    Ok(client.validate_jwtsvid(asked).await?.into_inner())
}

#[tokio::test]
async fn a14_a_token_for_each_identity_unless_one_is_named() {
    let world = World::start_with(Ok(entitled(vec![svid(WEB, None), svid(DATABASE, None)]))).await;
    let mut client = world.client().await;
    let mut names = async |asked| {
        let answer = client.fetch_jwtsvid(asked).await.unwrap().into_inner();
        let svids = answer.svids.into_iter();
        svids.map(|svid| svid.spiffe_id).collect::<Vec<String>>()
    };
    assert_eq!(names(asked(&["db"], "")).await, [WEB, DATABASE]);
    assert_eq!(names(asked(&["db"], DATABASE)).await, [DATABASE]);
}

#[tokio::test]
async fn a10_a14_a_workload_is_denied_an_identity_that_is_not_its_own() {
    let world = World::start().await;
    let answer = world
        .client()
        .await
        .fetch_jwtsvid(asked(&["db"], DATABASE))
        .await;
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(!status.message().contains("web"), "{status}");
}

#[tokio::test]
async fn a16_a_token_is_believed_for_its_audience_and_its_claims_are_told() {
    let world = World::start().await;
    let mut client = world.client().await;
    let answer = client
        .fetch_jwtsvid(asked(&["db", "cache"], ""))
        .await
        .unwrap();
    let token = answer.into_inner().svids.remove(0).svid;
    for audience in ["db", "cache"] {
        let valid = validate(&mut client, audience, &token).await.unwrap();
        assert_eq!(valid.spiffe_id, WEB);
        let claims = valid.claims.unwrap().fields;
        assert_eq!(claims["sub"].kind, Some(Kind::StringValue(WEB.to_owned())));
        assert!(claims.keys().eq(["aud", "exp", "iat", "jti", "sub"]));
    }
}

#[tokio::test]
async fn a16_a_token_that_is_not_to_be_believed_is_an_invalid_argument_with_a_code() {
    let world = World::start().await;
    let mut client = world.client().await;
    let audience = ["db".to_owned()];
    let good = jwt(OWN, WEB, &audience, now());
    let expired = jwt(OWN, WEB, &audience, now().plus(-3600));
    let forged = jwt(FOREIGN, WEB, &audience, now());
    for (audience, token) in [
        ("other", good.as_str()),
        ("db", expired.as_str()),
        ("db", forged.as_str()),
        ("db", "not a token"),
    ] {
        let status = validate(&mut client, audience, token).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let (code, sentence) = status.message().split_once(": ").unwrap();
        assert!(code.contains('.'), "{status}");
        assert!(!sentence.contains(token), "{status}");
    }
}

#[tokio::test]
async fn a17_a22_a_token_is_checked_by_the_bundle_of_its_own_trust_domain() {
    let world = World::start().await;
    let mut client = world.client().await;
    let audience = ["db".to_owned()];
    let partner = "spiffe://partner.avouch.test/web";
    let foreign = jwt(FOREIGN, partner, &audience, now());
    let valid = validate(&mut client, "db", &foreign).await.unwrap();
    assert_eq!(valid.spiffe_id, partner);

    let unknown = "spiffe://unknown.avouch.test/web";
    let unknown = jwt("unknown.avouch.test", unknown, &audience, now());
    let status = validate(&mut client, "db", &unknown).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_request_that_is_longer_than_any_token_is_not_read() {
    let world = World::start().await;
    let long = "x".repeat(100 << 10);
    let status = validate(&mut world.client().await, "db", &long)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
}
