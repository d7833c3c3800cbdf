//! Work that blocks, on a thread that may.

use tracing::Span;

use crate::dry_run;
use crate::fault::{Fault, Refused};

/// Does what blocks on a thread that may. It stays a part of whatever it is done for: what it tells goes
/// with the trace of that, and in a dry run it stores nothing either.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let (span, is_dry_run) = (Span::current(), dry_run::is_on());
    let done = tokio::task::spawn_blocking(move || {
        span.in_scope(|| match is_dry_run {
            true => dry_run::rehearsed(work),
            false => work(),
        })
    });
    let broken = |error: tokio::task::JoinError| Err(Fault::Bug(error.to_string()).into());
    done.await.unwrap_or_else(broken)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::thread::{self, ThreadId};

    use tracing::span::Id;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Notes on which threads spans are entered.
    #[derive(Clone, Default)]
    struct Noting(Arc<Mutex<Vec<ThreadId>>>);

    impl<S: tracing::Subscriber> Layer<S> for Noting {
        fn on_enter(&self, _: &Id, _: Context<'_, S>) {
            self.0.lock().unwrap().push(thread::current().id());
        }
    }

    #[test]
    fn what_goes_with_a_call_goes_with_it_to_another_thread() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.build().unwrap();
        let noting = Noting::default();
        let noted = tracing_subscriber::registry().with(noting.clone());
        let (at, is_dry_run) = with_default(noted, || {
            let span = tracing::info_span!("a request");
            let _entered = span.enter();
            let work = || Ok((thread::current().id(), dry_run::is_on()));
            dry_run::rehearsed(|| runtime.block_on(blocking(work))).unwrap()
        });
        assert_ne!(at, thread::current().id());
        assert!(noting.0.lock().unwrap().contains(&at));
        assert!(is_dry_run);
        let after = runtime.block_on(blocking(|| Ok(dry_run::is_on())));
        assert!(!after.unwrap());
    }
}
