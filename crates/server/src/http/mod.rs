//! What administrators and verifiers call: JSON over HTTP.
//!
//! Every address is one row of the table in [`mod@routes`], from which both the router and
//! `/openapi.json` are made. A row says who may call, so that no address can forget to ask; whoever
//! may not is told before anything of what was sent is read.

mod answer;
mod call;
mod conditional;
mod decide;
mod egress;
mod events;
mod introspect;
mod listener;
mod manage;
mod oauth;
mod ocsp;
mod openapi;
mod problem;
mod public;
mod route;
mod routes;
mod sending;
mod ssf;
mod token;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use avouch_api::members::Document;
use avouch_core::reason::Reason;
use axum::Router;
use axum::extract::{ConnectInfo, RawPathParams, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, IF_MATCH, IF_NONE_MATCH, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method as Named, Uri, Version};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch as signal};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Instrument;

use crate::caller::Caller;
use crate::counters::Answered;
use crate::dry_run;
use crate::fault::{Fault, Refused, unknown};
use crate::issuance_log;
use crate::plane::{KnownTenant, Plane};
use crate::tenant::Tenant;
use crate::tls::Shown;
use crate::traces;
use crate::views::Views;
use answer::Answer;
use call::{Call, Forwarded, Presented, Rest, Stop};
use listener::{Patient, Peer};
use problem::Problem;
use routes::{Access, Beginner, Method, Route, routes};
use sending::Sending;

/// How many requests are worked on at once; each may hold a thread. Half of the threads that the
/// runtime has for this remain for nodes.
const MOST_AT_ONCE: usize = 256;

/// The header that says what an answer is called.
const DECISION: HeaderName = HeaderName::from_static("avouch-decision");

/// How long an answer may take. Work that was begun is carried through even then.
const LONGEST_WORK: Duration = Duration::from_secs(30);

/// Serves administrators and verifiers on a listener until `stopping` becomes true; over TLS if
/// something is shown to them.
///
/// # Errors
///
/// When serving ends by itself.
pub async fn serve(
    listener: TcpListener,
    shown: Shown,
    plane: Arc<Plane>,
    mut stopping: signal::Receiver<bool>,
) -> Result<(), Fault> {
    let ended = |error: std::io::Error| Fault::Serving {
        what: "the address for administrators and verifiers",
        why: error.to_string(),
    };
    let listener = Patient::open(listener, shown, Arc::clone(&plane)).map_err(ended)?;
    let service = router(plane).into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(listener, service)
        .with_graceful_shutdown(async move {
            // The sender lives as long as the server; its end is an end too.
            drop(stopping.wait_for(|stopping| *stopping).await);
        })
        .await;
    served.map_err(ended)
}

/// All addresses.
pub fn router(plane: Arc<Plane>) -> Router {
    let http = Arc::new(Http::of(plane));
    let mut router = Router::new();
    let mut paths: Vec<&'static str> = routes().map(|route| route.path).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        router = router.route(path, methods_of(&http, path));
    }
    let of_unknown = Arc::clone(&http);
    let router = router.fallback(move |uri: Uri| {
        let http = Arc::clone(&of_unknown);
        async move { http.unknown(uri.path()) }
    });
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let http = Arc::clone(&http);
        async move {
            match check_host(&request) {
                Ok(()) => next.run(request).await,
                Err(detail) => http.refused_head(&request, detail),
            }
        }
    }))
}

/// RFC 9112 3.2: whoever speaks HTTP/1.1 says once, and in order, whom it means.
fn check_host(request: &Request) -> Result<(), &'static str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => Err("`Host` is missing"),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err("`Host` stands in it more than once"),
        // Empty it is where the target has no authority (RFC 9110 7.2).
        (Some(host), None) if host.is_empty() => Ok(()),
        (Some(host), None) => match Authority::try_from(host.as_bytes()) {
            Ok(authority) if !authority.as_str().contains('@') => Ok(()),
            Ok(_) | Err(_) => Err("`Host` is no host, with a port or without"),
        },
    }
}

/// The methods and addresses that there are, such as `GET` and `/healthz`.
pub fn addresses() -> impl Iterator<Item = (&'static str, &'static str)> {
    routes().map(|route| (route.method.name(), route.path))
}

fn methods_of(http: &Arc<Http>, path: &'static str) -> MethodRouter {
    let mut methods = MethodRouter::new();
    let mut allowed = Vec::new();
    for route in routes().filter(|route| route.path == path) {
        allowed.push(route.method.name().to_owned());
        let http = Arc::clone(http);
        let handler = move |names: Result<RawPathParams, _>, request: Request| {
            let http = Arc::clone(&http);
            async move {
                match names {
                    Ok(names) => http.answer(route, &names, request).await,
                    Err::<_, axum::extract::rejection::RawPathParamsRejection>(_) => {
                        http.unknown(request.uri().path())
                    }
                }
            }
        };
        methods = methods.on(route.method.filter(), handler);
    }
    let http = Arc::clone(http);
    methods.fallback(move |method: Named| {
        let refused = http.refused_method(path, &method, allowed.clone());
        async move { refused }
    })
}

/// What all requests share.
struct Http {
    plane: Arc<Plane>,
    views: Arc<Views>,
    store: watch::StoreState,
    sending: Sending,
    at_once: Arc<Semaphore>,
}

impl Http {
    fn of(plane: Arc<Plane>) -> Self {
        Self {
            views: Arc::clone(&plane.views),
            plane,
            store: watch::StoreState::default(),
            sending: Sending::default(),
            at_once: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        }
    }

    async fn answer(
        self: Arc<Self>,
        route: &'static Route,
        names: &RawPathParams,
        request: Request,
    ) -> Response {
        let id = uuid::Uuid::now_v7().to_string();
        let span = traces::of_http(route.method.name(), route.path, &id, request.headers());
        let call = Call::of(
            Arc::clone(&self),
            id.clone(),
            route,
            names,
            presented(route, &request),
        );
        let outcome = match call {
            // It is handed on from step to step, and each would have room for all of it.
            Ok(call) => {
                let working = self.work(Box::new(call), request);
                working.instrument(span.clone()).await
            }
            Err((id, stop)) => Outcome::refused(id, stop),
        };
        let outcome = if route.is_oauth {
            Outcome(outcome.0.map_err(Problem::for_oauth))
        } else {
            outcome
        };
        let response = named(outcome.into_response(&self), &id);
        tracing::debug!(
            request = id,
            method = route.method.name(),
            route = route.path,
            status = response.status().as_u16(),
            "answered"
        );
        traces::answered(&span, response.status().as_u16());
        self.plane.counters.answered(Answered {
            method: route.method.name(),
            route: route.path,
            status: response.status().as_u16(),
        });
        response
    }

    /// Who calls and whether it may, then what it sends, then the work. Nobody holds a place among
    /// those who are worked for while it sends, so that slow ones keep nobody waiting.
    async fn work(&self, call: Box<Call>, request: Request) -> Outcome {
        let id = call.id.clone();
        let (mut call, allowed) = match call.route.access {
            // Nothing is looked up, so there is nothing to wait for.
            Access::Anyone(run) | Access::Watcher(run) => (call, Allowed::Anyone(run)),
            Access::Beginner(beginner) => (call, Allowed::Beginner(beginner)),
            Access::Administrator(_) | Access::Of(..) | Access::Known(..) => {
                let Some(place) = self.place() else {
                    return Outcome::problem(Problem::busy(id));
                };
                let allowing = move || {
                    let allowed = allow(&call);
                    if let Err(Stop::Unauthenticated(reason)) = &allowed {
                        call.keep_refused(reason);
                    }
                    (allowed, call)
                };
                match blocking(Some(place), allowing).await {
                    Ok((Ok(allowed), call)) => (call, allowed),
                    Ok((Err(stop), _)) => return Outcome::refused(id, stop),
                    Err(unfinished) => return Outcome::problem(unfinished.problem(id)),
                }
            }
        };
        let sent = self.sending.whole(request.into_body(), call.route.longest);
        match sent.await {
            Ok((body, room)) => {
                call.body = body;
                call.room = Some(room);
            }
            Err(stop) => return Outcome::refused(id, stop),
        }
        let place = match call.route.access {
            // Whoever looks whether the server lives is answered even when it has too much to do.
            Access::Watcher(_) => None,
            Access::Anyone(_)
            | Access::Beginner(_)
            | Access::Administrator(_)
            | Access::Of(..)
            | Access::Known(..) => match self.place() {
                Some(place) => Some(place),
                None => return Outcome::problem(Problem::busy(id)),
            },
        };
        match worked(place, call, allowed).await {
            Ok(Ok(answer)) => Outcome(Ok(answer)),
            Ok(Err(stop)) => Outcome::refused(id, stop),
            Err(unfinished) => Outcome::problem(unfinished.problem(id)),
        }
    }

    /// A place among those who are worked for, if one is free.
    fn place(&self) -> Option<Arc<OwnedSemaphorePermit>> {
        let place = Arc::clone(&self.at_once).try_acquire_owned();
        place.ok().map(Arc::new)
    }

    fn unknown(&self, path: &str) -> Response {
        self.refuse_address("none", "other", unknown("address", path))
    }

    fn refused_head(&self, request: &Request, detail: &str) -> Response {
        let reason = Document::Request("head of the request").refuse(detail);
        self.refuse_address("none", counted(request.method()), reason)
    }

    fn refused_method(&self, path: &'static str, method: &Named, allowed: Vec<String>) -> Response {
        let reason = Reason::IssueMethodNotAllowed {
            method: method.as_str().chars().take(32).collect(),
            allowed,
        };
        self.refuse_address(path, counted(method), reason)
    }

    fn refuse_address(
        &self,
        route: &'static str,
        method: &'static str,
        reason: Reason,
    ) -> Response {
        let id = uuid::Uuid::now_v7().to_string();
        let response = Outcome::refused(id.clone(), reason.into()).into_response(self);
        let response = named(response, &id);
        self.plane.counters.answered(Answered {
            method,
            route,
            status: response.status().as_u16(),
        });
        response
    }
}

/// As what a method is counted: anyone can make up some, and each would be counted by itself.
fn counted(method: &Named) -> &'static str {
    let mut known = Method::ALL.into_iter().map(Method::name);
    let counted = known.find(|name| *name == method.as_str());
    counted.unwrap_or("other")
}

/// An answer with what it is called: by that the log and the traces have it, and whoever was answered
/// can quote it, whatever the answer was. It stands in the place of a header of that name which someone
/// else's answer came with.
fn named(mut response: Response, id: &str) -> Response {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(DECISION, id);
    }
    response
}

/// What came of a request.
struct Outcome(Result<Answer, Problem>);

impl Outcome {
    fn problem(problem: Problem) -> Self {
        Self(Err(problem))
    }

    fn refused(id: String, stop: Stop) -> Self {
        Self(Err(Problem::of(id, stop)))
    }

    fn into_response(self, http: &Http) -> Response {
        match self.0 {
            Ok(answer) => answer.into_response(),
            Err(problem) => {
                http.plane.counters.refused(problem.code());
                problem.into_response()
            }
        }
    }
}

/// A call that may be made, with what was found out on the way.
enum Allowed {
    Anyone(fn(&Call) -> Result<Answer, Stop>),
    Beginner(Beginner),
    Administrator(fn(&Call, &Caller) -> Result<Answer, Stop>, Caller),
    Of(fn(&Call, &Arc<Tenant>) -> Result<Answer, Stop>, Arc<Tenant>),
    Known(
        fn(&Call, &Arc<KnownTenant>) -> Result<Answer, Stop>,
        Arc<KnownTenant>,
    ),
}

impl Allowed {
    fn run(&self, call: &Call) -> Result<Worked, Stop> {
        if !call.is_dry_run() {
            return self.done(call);
        }
        match dry_run::rehearsed(|| self.done(call)) {
            Ok(Worked::Whole(answer)) if answer.is_of_dry_run => Ok(Worked::Whole(answer)),
            // It came to its end without anything to store, or to where it would be stored.
            Ok(_) | Err(Stop::Refused(Refused::Fault(Fault::DryRun))) => {
                Ok(Worked::Whole(Answer::dry_run(None)))
            }
            Err(stop) => Err(stop),
        }
    }

    fn done(&self, call: &Call) -> Result<Worked, Stop> {
        let answer = match self {
            Self::Beginner(beginner) => return (beginner.begin)(call).map(Worked::But),
            Self::Anyone(run) => run(call),
            Self::Administrator(run, caller) => {
                conditional::refuse_blindly(call)?;
                issuance_log::asked_by(Some(caller.id.clone()), || run(call, caller))
            }
            Self::Of(run, tenant) => {
                let who = call.caller()?.id;
                issuance_log::asked_by(Some(who), || {
                    conditional::run(call, tenant, || run(call, tenant))
                })
            }
            Self::Known(run, known) => {
                conditional::refuse_blindly(call)?;
                let who = call.caller()?.id;
                issuance_log::asked_by(Some(who), || run(call, known))
            }
        };
        answer.map(Worked::Whole)
    }

    /// What of it takes a moment only.
    fn at_once(&self, call: &Call) -> Option<Rest> {
        match self {
            Self::Beginner(beginner) => (beginner.at_once)(call),
            Self::Anyone(_) | Self::Administrator(..) | Self::Of(..) | Self::Known(..) => None,
        }
    }
}

/// What work came to that needed a thread.
enum Worked {
    Whole(Answer),
    /// All but this.
    But(Rest),
}

fn allow(call: &Call) -> Result<Allowed, Stop> {
    match call.route.access {
        Access::Anyone(run) | Access::Watcher(run) => Ok(Allowed::Anyone(run)),
        Access::Beginner(beginner) => Ok(Allowed::Beginner(beginner)),
        Access::Administrator(run) => Ok(Allowed::Administrator(run, call.caller()?)),
        Access::Of(verb, noun, run) => {
            let caller = call.caller()?;
            let tenant = call
                .plane()
                .permit(&caller, call.name("tenant"), verb, noun)?;
            Ok(Allowed::Of(run, tenant))
        }
        Access::Known(verb, noun, run) => {
            let caller = call.caller()?;
            let known = call
                .plane()
                .permit_known(&caller, call.name("tenant"), verb, noun)?;
            Ok(Allowed::Known(run, known))
        }
    }
}

/// Who has changed what is in the log, and who has tried to.
fn note(call: &Call, stopped: Option<&Stop>) {
    if call.route.method == Method::Get {
        return;
    }
    let Some(caller) = call.known_caller() else {
        return;
    };
    let outcome = stopped.map_or("done", Stop::code);
    tracing::info!(
        request = call.id, administrator = %caller.id, method = call.route.method.name(),
        route = call.route.path, tenant = call.name("tenant"), outcome, dry_run = call.is_dry_run(),
        "an administrator has called"
    );
}

/// What a request shows of its caller.
fn presented(route: &Route, request: &Request) -> Presented {
    let text = |name| {
        let value = request.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let authorization = request
        .headers()
        .contains_key(AUTHORIZATION)
        .then(|| text(AUTHORIZATION).unwrap_or_default());
    let is_bound = authorization.is_some() && request.headers().contains_key("dpop");
    Presented {
        authorization,
        bound_path: is_bound.then(|| request.uri().path().to_owned()),
        if_match: text(IF_MATCH),
        if_none_match: text(IF_NONE_MATCH),
        content_type: text(CONTENT_TYPE),
        dpop: request
            .headers()
            .get_all("dpop")
            .iter()
            .map(|value| value.to_str().unwrap_or_default().to_owned())
            .collect(),
        query: request.uri().query().map(str::to_owned),
        forwarded: route.forwards.then(|| Forwarded {
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            headers: request.headers().clone(),
        }),
        address: peer(request).map(|peer| peer.address),
        certificates: certificates(request),
    }
}

/// The chain that the caller showed in its handshake. A browser shows it for any page that sends a
/// form here, and then names that page (RFC 6454 7): then it says nothing of who wants what is
/// asked for.
fn certificates(request: &Request) -> Arc<Vec<Vec<u8>>> {
    match peer(request) {
        Some(peer) if !request.headers().contains_key(ORIGIN) => Arc::clone(&peer.certificates),
        Some(_) | None => Arc::default(),
    }
}

/// Who is at the other end of the connection.
fn peer(request: &Request) -> Option<&Peer> {
    let peer = request.extensions().get::<ConnectInfo<Peer>>();
    peer.map(|ConnectInfo(peer)| peer)
}

/// Why blocking work has no answer.
enum Unfinished {
    Broken,
    Slow,
}

impl Unfinished {
    fn problem(&self, id: String) -> Problem {
        match self {
            Self::Broken => Problem::broken(id),
            Self::Slow => Problem::slow(id),
        }
    }
}

/// Does the work: on a thread that may block, unless it takes a moment only.
async fn worked(
    place: Option<Arc<OwnedSemaphorePermit>>,
    call: Box<Call>,
    allowed: Allowed,
) -> Result<Result<Answer, Stop>, Unfinished> {
    if let Some(rest) = allowed.at_once(&call) {
        return carried_through(place, call, rest).await;
    }
    let worked = blocking(place.clone(), move || {
        let worked = allowed.run(&call);
        if !matches!(worked, Ok(Worked::But(_))) {
            note(&call, worked.as_ref().err());
        }
        (call, worked)
    });
    match worked.await? {
        (_, Ok(Worked::Whole(answer))) => Ok(Ok(answer)),
        (call, Ok(Worked::But(rest))) => carried_through(place, call, rest).await,
        (_, Err(stop)) => Ok(Err(stop)),
    }
}

/// Waits for the rest of the work. It is a task of its own: what was begun is carried through and
/// noted even when nobody waits for it any more, and holds its place until then.
async fn carried_through(
    place: Option<Arc<OwnedSemaphorePermit>>,
    mut call: Box<Call>,
    rest: Rest,
) -> Result<Result<Answer, Stop>, Unfinished> {
    // What is waited for now has taken of the body what it needs.
    (call.body, call.room) = (Vec::new(), None);
    let place = place.filter(|_| rest.keeps_place);
    let done = tokio::spawn(async move {
        let done = rest.done().await;
        note(&call, done.as_ref().err());
        drop(place);
        done
    });
    waited_for(done).await
}

/// What a task came to, if it does within the longest time that anyone waits.
async fn waited_for<T>(task: JoinHandle<T>) -> Result<T, Unfinished> {
    match timeout(LONGEST_WORK, task).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(Unfinished::Broken),
        Err(_) => Err(Unfinished::Slow),
    }
}

/// Does what blocks on a thread that may. The place is given back when the work is done, which may
/// be after the answer was given up.
async fn blocking<T: Send + 'static>(
    place: Option<Arc<OwnedSemaphorePermit>>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let span = tracing::Span::current();
    let done = tokio::task::spawn_blocking(move || {
        let done = span.in_scope(work);
        drop(place);
        done
    });
    waited_for(done).await
}
