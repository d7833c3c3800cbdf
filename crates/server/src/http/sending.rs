//! What callers send: so much at once, and none of it for long.

use std::sync::Arc;
use std::time::Duration;

use avouch_core::reason::Reason;
use axum::body::{Body, HttpBody, to_bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::call::Stop;
use super::route::FORM;

/// How many may send something short at once: half of the connections there may be. Together they
/// hold 256 MiB at most.
const MOST_SHORT: usize = 2_048;

/// How much of what is longer may be on its way at once, in pieces of [`PIECE`] bytes: as much again.
const MOST_LONG: usize = 256;

/// What longer bodies are measured in.
const PIECE: usize = 1 << 20;

/// How long a caller may take to send what it sends.
const LONGEST_SENDING: Duration = Duration::from_secs(30);

/// Those who are sending. Anyone may send a form, so whoever sends slowly must not keep others from
/// it; and what is longer has room of its own, so that it cannot either.
pub(super) struct Sending {
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            short: Arc::new(Semaphore::new(MOST_SHORT)),
            long: Arc::new(Semaphore::new(MOST_LONG)),
        }
    }
}

impl Sending {
    /// All of a body of at most so many bytes, and its room: to be held while the body is, which takes
    /// more when it is read apart.
    pub(super) async fn whole(
        &self,
        body: Body,
        most: usize,
    ) -> Result<(Vec<u8>, OwnedSemaphorePermit), Stop> {
        let Some(room) = self.room(&body, most) else {
            return Err(Stop::Busy);
        };
        match timeout(LONGEST_SENDING, to_bytes(body, most)).await {
            Ok(Ok(bytes)) => Ok((bytes.to_vec(), room)),
            Ok(Err(_)) => Err(Reason::InputSize {
                part: "body of the request",
                size: most.saturating_add(1),
                allowed: most,
            }
            .into()),
            Err(_) => Err(Stop::Slow),
        }
    }

    /// Room for a body, by the length that it says it has; one that does not say is taken to be as
    /// long as it may be.
    fn room(&self, body: &Body, most: usize) -> Option<OwnedSemaphorePermit> {
        let said = body.size_hint().upper();
        let said = said.and_then(|length| usize::try_from(length).ok());
        let length = said.unwrap_or(most).min(most);
        if length <= FORM {
            return Arc::clone(&self.short).try_acquire_owned().ok();
        }
        let pieces = u32::try_from(length.div_ceil(PIECE)).ok()?;
        Arc::clone(&self.long).try_acquire_many_owned(pieces).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use axum::body::Bytes;
    use hyper::body::Frame;

    use super::super::route::{BATCH, OBJECT};
    use super::*;

    /// One that does not say how long it is, and does not come.
    struct Endless;

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    fn endless() -> Body {
        Body::new(Endless)
    }

    #[test]
    fn what_is_long_has_room_of_its_own_and_it_is_bounded() {
        let sending = Sending::default();
        let held: Vec<_> = (0..MOST_LONG)
            .map(|_| sending.room(&endless(), OBJECT).unwrap())
            .collect();
        let long = Body::from(vec![b' '; FORM + 1]);
        assert!(sending.room(&long, OBJECT).is_none());
        assert!(sending.room(&Body::from("short"), OBJECT).is_some());
        drop(held);
        let batch = Body::from(vec![b' '; BATCH]);
        let held = sending.room(&batch, BATCH).unwrap();
        assert_eq!(sending.long.available_permits(), MOST_LONG - BATCH / PIECE);
        drop(held);
        assert_eq!(sending.long.available_permits(), MOST_LONG);
    }

    #[test]
    fn what_is_short_is_bounded_too() {
        let sending = Sending::default();
        let held: Vec<_> = (0..MOST_SHORT)
            .map(|_| sending.room(&endless(), FORM).unwrap())
            .collect();
        assert!(sending.room(&Body::empty(), FORM).is_none());
        assert!(sending.room(&endless(), OBJECT).is_some());
        drop(held);
    }
}
