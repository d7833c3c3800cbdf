//! One answer for all who ask the same at the same time.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

/// Work under way, by what it is for. Whoever asks for what is under way waits for it instead of
/// beginning it again.
pub struct Flights<K, V> {
    under_way: Arc<Mutex<BTreeMap<K, UnderWay<V>>>>,
    most_waiting: usize,
}

struct UnderWay<V> {
    result: watch::Receiver<Option<V>>,
    waiting: usize,
}

impl<K, V> Flights<K, V>
where
    K: Ord + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// At most so many wait for one piece of work; the next is told at once that it cannot.
    pub fn new(most_waiting: usize) -> Self {
        Self {
            under_way: Arc::default(),
            most_waiting,
        }
    }

    /// What the work for `key` comes to, begun by the first who asks; `None` for who would be one
    /// too many, and after work that panicked. The work goes on when nobody waits for it any more.
    pub async fn share<F>(&self, key: K, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut result = self.join(key, work)?;
        let done = result.wait_for(Option::is_some).await.ok()?;
        done.clone()
    }

    /// As [`Flights::share`], for who may block, and waits so long at most. Where there is no runtime,
    /// nothing is begun.
    pub fn wait<F>(&self, key: K, longest: Duration, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let runtime = Handle::try_current().ok()?;
        let flight = self.share(key, work);
        let waited = async { tokio::time::timeout(longest, flight).await };
        runtime.block_on(waited).ok().flatten()
    }

    /// Whether someone works on this already.
    pub fn is_under_way(&self, key: &K) -> bool {
        lock(&self.under_way).contains_key(key)
    }

    fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Option<watch::Receiver<Option<V>>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        if let Some(known) = under_way.get_mut(&key) {
            if known.waiting >= self.most_waiting {
                return None;
            }
            known.waiting += 1;
            return Some(known.result.clone());
        }
        let (sender, result) = watch::channel(None);
        let begun = UnderWay {
            result: result.clone(),
            waiting: 1,
        };
        under_way.insert(key.clone(), begun);
        drop(under_way);
        let landing = Landing {
            under_way: Arc::clone(&self.under_way),
            key,
        };
        let work = work();
        tokio::spawn(async move {
            let done = work.await;
            // Whoever comes from here on begins anew: what it asks may be newer than this.
            drop(landing);
            sender.send_replace(Some(done));
        });
        Some(result)
    }
}

/// Takes the work from the list, however it ends.
struct Landing<K: Ord, V> {
    under_way: Arc<Mutex<BTreeMap<K, UnderWay<V>>>>,
    key: K,
}

impl<K: Ord, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_fetch() {
        let flights: Flights<u8, usize> = Flights::new(100);
        let begun = Arc::new(AtomicUsize::new(0));
        let ask = || {
            flights.share(1, || {
                let begun = Arc::clone(&begun);
                async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    begun.fetch_add(1, Ordering::SeqCst) + 1
                }
            })
        };
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert_eq!((a, b, c), (Some(1), Some(1), Some(1)));
        assert_eq!(ask().await, Some(2));
    }

    #[tokio::test]
    async fn one_too_many_does_not_wait() {
        let flights: Flights<u8, u8> = Flights::new(1);
        let ask = || {
            flights.share(1, || {
                tokio::time::sleep(Duration::from_millis(20)).map_to(7)
            })
        };
        let (first, second) = tokio::join!(ask(), ask());
        assert_eq!((first, second), (Some(7), None));
    }

    #[tokio::test]
    async fn work_that_panics_leaves_nothing_behind() {
        let flights: Flights<u8, u8> = Flights::new(9);
        assert_eq!(
            flights.share(1, || async { panic!("as a test") }).await,
            None
        );
        assert_eq!(flights.share(1, || async { 7 }).await, Some(7));
    }

    trait MapTo: Future + Sized + Send {
        fn map_to<T: Send>(self, value: T) -> impl Future<Output = T> + Send {
            async move {
                self.await;
                value
            }
        }
    }

    impl<F: Future + Send> MapTo for F {}
}
