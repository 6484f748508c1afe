//! What others said, remembered by name: for a short while, and longer while nobody can be asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Age from which on a value is asked for again. Java's proxy takes 20 seconds and its broker 30; a change is seen sooner
/// here, for a small request or two in five seconds for each name in use.
const FRESH: Duration = Duration::from_secs(5);

/// Age from which on a value that nobody asked for is forgotten, where room is needed. Source:
/// `topicRouteServiceCacheExpiredSeconds` and its like.
const EXPIRED: Duration = Duration::from_secs(300);

/// Values of type `T` that somebody else knows, by name.
pub struct Cache<T> {
    entries: Mutex<HashMap<String, Arc<Entry<T>>>>,
    entries_max: usize,
}

struct Entry<T> {
    known: Mutex<Option<Known<T>>>,
    /// Held while the value is asked for: who comes together shares one answer.
    asking: tokio::sync::Mutex<()>,
}

struct Known<T> {
    value: Arc<T>,
    asked: Instant,
}

impl<T> Entry<T> {
    fn get(&self, younger_than: Duration) -> Option<Arc<T>> {
        let known = self.known.lock();
        known.as_ref().filter(|known| known.asked.elapsed() < younger_than).map(|known| known.value.clone())
    }
}

impl<T> Cache<T> {
    /// Room for so many names.
    pub fn new(entries_max: usize) -> Cache<T> {
        Cache { entries: Mutex::default(), entries_max }
    }

    /// The value of a name; `load` asks for it. Who comes while another asks anew gets the value of before, and so do
    /// all while nobody answers, which `is_silence` tells of an error.
    ///
    /// # Errors
    /// What `load` returned. What does not exist is not remembered.
    pub async fn get<E>(
        &self,
        name: &str,
        is_silence: impl Fn(&E) -> bool,
        load: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let entry = self.entry(name);
        if let Some(value) = entry.get(FRESH) {
            return Ok(value);
        }
        let _asking = match (entry.asking.try_lock(), entry.get(EXPIRED)) {
            (Ok(asking), _) => asking,
            (Err(_), Some(value)) => return Ok(value),
            (Err(_), None) => entry.asking.lock().await,
        };
        if let Some(value) = entry.get(FRESH) {
            return Ok(value);
        }
        let loaded = load().await;
        let asked = Instant::now();
        match loaded {
            Ok(value) => {
                let value = Arc::new(value);
                *entry.known.lock() = Some(Known { value: value.clone(), asked });
                Ok(value)
            }
            Err(error) => {
                let mut known = entry.known.lock();
                if let Some(known) = known.as_mut().filter(|_| is_silence(&error)) {
                    // Asked for again after a while, not by each of thousands of calls.
                    known.asked = asked;
                    return Ok(known.value.clone());
                }
                drop(known);
                self.entries.lock().remove(name);
                Err(error)
            }
        }
    }

    fn entry(&self, name: &str) -> Arc<Entry<T>> {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(name) {
            return entry.clone();
        }
        if entries.len() >= self.entries_max {
            entries.retain(|_, entry| entry.get(EXPIRED).is_some());
            // All are in use: any one makes room, and is asked for again.
            if let Some(name) = entries.keys().next().filter(|_| entries.len() >= self.entries_max).cloned() {
                entries.remove(&name);
            }
        }
        let entry = Arc::new(Entry { known: Mutex::default(), asking: tokio::sync::Mutex::default() });
        entries.insert(name.to_owned(), entry.clone());
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Failed {
        Silence,
        Unknown,
    }

    const NAMES: usize = 100;

    async fn get<T>(cache: &Cache<T>, load: impl AsyncFnOnce() -> Result<T, Failed>) -> Result<Arc<T>, Failed> {
        cache.get("a", |error| *error == Failed::Silence, load).await
    }

    fn grow_old<T>(cache: &Cache<T>, name: &str) {
        let entry = cache.entry(name);
        let mut known = entry.known.lock();
        let known = known.as_mut().unwrap();
        known.asked = known.asked.checked_sub(FRESH).expect("the machine runs for longer than a few seconds");
    }

    #[tokio::test]
    async fn a_value_is_asked_for_when_it_is_old_and_kept_while_nobody_answers() {
        let cache = Cache::new(NAMES);
        assert_eq!(*get(&cache, async || Ok(1)).await.unwrap(), 1);
        assert_eq!(*get(&cache, async || Ok(2)).await.unwrap(), 1);
        grow_old(&cache, "a");
        assert_eq!(*get(&cache, async || Err(Failed::Silence)).await.unwrap(), 1);
        grow_old(&cache, "a");
        assert_eq!(*get(&cache, async || Ok(3)).await.unwrap(), 3);
        grow_old(&cache, "a");
        let gone = get(&cache, async || Err(Failed::Unknown)).await;
        assert!(matches!(gone, Err(Failed::Unknown)));
        assert!(matches!(get(&cache, async || Err(Failed::Silence)).await, Err(Failed::Silence)));
        assert!(cache.entries.lock().is_empty(), "what does not exist is not remembered");
    }

    #[tokio::test]
    async fn while_one_asks_anew_the_others_do_not_wait() {
        let cache = Cache::new(NAMES);
        get(&cache, async || Ok(1)).await.unwrap();
        grow_old(&cache, "a");
        let nested = get(&cache, async || {
            assert_eq!(*get(&cache, async || Ok(2)).await.unwrap(), 1);
            Ok(3)
        });
        assert_eq!(*nested.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn there_is_room_for_so_many() {
        let cache = Cache::new(NAMES);
        for name in 0..=NAMES {
            cache.get(&name.to_string(), |_: &Failed| false, async || Ok(name)).await.unwrap();
        }
        assert_eq!(cache.entries.lock().len(), NAMES);
    }
}
