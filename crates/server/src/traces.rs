//! What the parts of a request take, as spans for OpenTelemetry.
//!
//! Nothing that a caller shows or sends stands in an attribute: addresses stand as the pattern that
//! they fit, and credentials, bodies and the part behind the question mark not at all.

use axum::http::HeaderMap;
use opentelemetry::propagation::Extractor;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of all spans here, by which who collects them knows them. They are of the finest level,
/// which no log has.
pub const TARGET: &str = "avouch_trace";

/// The header in which a caller says of which trace its request is a part (W3C Trace Context 3.2).
const PARENT: &str = "traceparent";

/// A request over HTTP.
pub(crate) fn of_http(
    method: &'static str,
    route: &'static str,
    id: &str,
    headers: &HeaderMap,
) -> Span {
    let span = tracing::trace_span!(
        target: TARGET,
        "http",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        avouch.request = id,
    );
    go_on(span, headers)
}

/// How a request over HTTP was answered. Only what failed on our side is an error of ours.
pub(crate) fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// A call of a node over gRPC.
pub(crate) fn of_grpc(request: &axum::http::Request<()>) -> Span {
    let path = request.uri().path().trim_start_matches('/');
    // Anyone can make up names of methods.
    let known = path.strip_prefix("avouch.node.v1.Node/");
    let method: String = known.unwrap_or("other").chars().take(64).collect();
    let span = tracing::trace_span!(
        target: TARGET,
        "grpc",
        otel.name = format!("Node/{method}"),
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = "avouch.node.v1.Node",
        rpc.method = method,
    );
    go_on(span, request.headers())
}

/// A part of what is done for a request.
pub(crate) fn part(name: &'static str) -> Span {
    tracing::trace_span!(target: TARGET, "part", otel.name = name, avouch.count = Empty, avouch.verdict = Empty)
}

/// Makes a span a part of the trace that the caller names, if it names one.
fn go_on(span: Span, headers: &HeaderMap) -> Span {
    if !span.is_disabled() && headers.contains_key(PARENT) {
        let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.extract(&Headers(headers))
        });
        // It fails only where nobody collects spans.
        drop(span.set_parent(parent));
    }
    span
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
