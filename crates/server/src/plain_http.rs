//! Whoever speaks plain HTTP where TLS is spoken is told so, instead of being sent an alert of TLS that no
//! client of HTTP can read.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How much of a request is read, its head and its body each.
const MOST_READ: usize = 16 << 10;

/// How long its sender may take for that, and for reading the answer.
const LONGEST_READING: Duration = Duration::from_secs(2);

/// What is said.
pub(crate) struct Told {
    pub(crate) code: &'static str,
    pub(crate) detail: &'static str,
    pub(crate) hint: &'static str,
}

/// Where commands and verifiers call.
pub(crate) const TLS_REQUIRED: Told = Told {
    code: "server.tls_required",
    detail: "This address speaks TLS.",
    hint: "Call it with https:// in place of http://.",
};

/// Where nodes call.
pub(crate) const NODES_ONLY: Told = Told {
    code: "server.nodes_only",
    detail: "This is the address for nodes, which speaks gRPC over TLS.",
    hint: "Call the address for HTTP, which has another port.",
};

/// The connection, if it may be one of TLS. One that begins with a method of HTTP is answered and closed.
pub(crate) async fn unless_plain(stream: TcpStream, told: &Told) -> Option<TcpStream> {
    let mut first = [0];
    stream.peek(&mut first).await.ok()?;
    // A record of TLS begins with a number below 26 (RFC 8446 5.1), a method with a letter.
    let [first] = first;
    if !first.is_ascii_alphabetic() {
        return Some(stream);
    }
    tracing::info!(
        code = told.code,
        "a connection was not made: it speaks no TLS"
    );
    let answer = service_fn(|request: Request<Incoming>| async {
        // So that its sender has read the answer before the connection is reset.
        drop(to_bytes(Body::new(request.into_body()), MOST_READ).await);
        Ok::<_, Infallible>(answer(told))
    });
    let mut one = http1::Builder::new();
    let told = one
        .keep_alive(false)
        .max_buf_size(MOST_READ)
        .serve_connection(TokioIo::new(stream), answer);
    // Whoever does not read it has lost nothing.
    drop(timeout(LONGEST_READING, told).await);
    None
}

fn answer(told: &Told) -> Response<String> {
    let problem = json!({
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": told.code,
        "detail": told.detail,
        "hint": told.hint,
    });
    let mut answer = Response::new(problem.to_string());
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    let content_type = HeaderValue::from_static("application/problem+json");
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
