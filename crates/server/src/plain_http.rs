//! Whoever speaks plain HTTP where TLS is spoken is told so, instead of being sent an alert of TLS that no
//! client of HTTP can read.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How much of a request is read, so that its sender has read the answer before the connection is reset.
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
pub(crate) async fn unless_plain(mut stream: TcpStream, told: &Told) -> Option<TcpStream> {
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
    // Whoever does not read it has lost nothing.
    drop(timeout(LONGEST_READING, tell(&mut stream, told)).await);
    None
}

async fn tell(stream: &mut TcpStream, told: &Told) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) && request.len() < MOST_READ {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let body = json!({
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": told.code,
        "detail": told.detail,
        "hint": told.hint,
    });
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // Until the other end has closed it, too.
    let mut rest = (&mut *stream).take(u64::try_from(MOST_READ).unwrap_or(u64::MAX));
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

/// Whether the head of a request has ended.
fn is_whole(request: &[u8]) -> bool {
    request.windows(4).any(|four| four == b"\r\n\r\n")
}
