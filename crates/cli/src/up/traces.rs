//! Traces for OpenTelemetry, if the standard variables of the environment name a collector.

use std::future::{Future, ready};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use avouch_agent::command::LogLevel;
use avouch_agent::logging;
use avouch_server::traces::TARGET;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use ureq::Agent;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};

use crate::fault::Fault;
use crate::manage::secured::Secured;

/// The variables of OpenTelemetry that name a collector.
const OF_ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// How long a collector may take for what is sent at once. The standard variable may say otherwise
/// to the exporter, but whoever stops waits no longer than this.
const LONGEST_CALL: Duration = Duration::from_secs(10);

/// The longest answer of a collector in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// What is collected until the end, when the rest of it is sent.
pub(super) struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Starts the log, and sends spans if a collector is named.
    pub(super) fn start(level: LogLevel) -> Result<Self, Fault> {
        if !is_wanted() {
            logging::start(level);
            return Ok(Self(None));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::of_environment()?)
            .build()
            .map_err(|error| Fault::Usage(format!("{OF_ALL}: {error}")))?;
        let resource = Resource::builder();
        let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
            Some(_) => resource,
            None => resource.with_service_name("avouch"),
        };
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("avouch"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && metadata.target() == TARGET
            }));
        logging::start_with(level, spans);
        Ok(Self(Some(provider)))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

/// Off unless someone says where to: nothing is sent to where a collector might be.
fn is_wanted() -> bool {
    let said = |name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let is = |name, wanted: &str| std::env::var(name).is_ok_and(|value| value == wanted);
    (said(OF_ALL) || said(OF_TRACES))
        && !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
}

/// The collector, as spans are sent to it (OTLP/HTTP).
#[derive(Debug)]
struct Collector(Agent);

impl Collector {
    fn of_environment() -> Result<Self, Fault> {
        let file = |name| std::env::var_os(name).map(PathBuf::from);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(LONGEST_CALL))
            .build();
        let address = std::env::var(OF_TRACES).or_else(|_| std::env::var(OF_ALL));
        if !address.is_ok_and(|address| address.starts_with("https:")) {
            return Ok(Self(config.into()));
        }
        let secured = Secured::of_files(
            file("OTEL_EXPORTER_OTLP_CERTIFICATE").as_deref(),
            file("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE").as_deref(),
            file("OTEL_EXPORTER_OTLP_CLIENT_KEY").as_deref(),
        )?;
        let connector = TcpConnector::default().chain(secured);
        let resolver = DefaultResolver::default();
        Ok(Self(Agent::with_parts(config, connector, resolver)))
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.run(request.map(|body| body.to_vec()))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(LONGEST_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(head, Bytes::from(body)))
    }
}

impl HttpClient for Collector {
    /// Spans are sent from a thread of their own, which may wait.
    fn send_bytes<'collector, 'sent>(
        &'collector self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sent>>
    where
        'collector: 'sent,
        Self: 'sent,
    {
        Box::pin(ready(self.send(request)))
    }
}
