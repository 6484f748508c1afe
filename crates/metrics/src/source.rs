//! Who has figures, and how they get into a form.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::exposition::{Exposition, Kind, Writer};
use crate::process;
use crate::settings::Settings;

/// Puts figures that were gathered into a form. It may take its time: it runs on a thread of its own.
pub type Collected = Box<dyn FnOnce(&mut Exposition<'_>) + Send>;

/// A server that has something to show.
pub trait Source: Send + Sync + 'static {
    /// Name of the instruments as a whole, for OpenTelemetry.
    const SCOPE: &'static str;

    /// As they are now: some may change while the server runs.
    fn settings(&self) -> Settings;

    /// Labels of all series, without those of the settings.
    fn labels(&self) -> Vec<(&'static str, String)>;

    /// Why this process should be replaced, if it should.
    fn ill(&self) -> Option<String>;

    /// Why clients should go elsewhere for now, if they should.
    fn not_ready(&self) -> Option<String>;

    /// Gathers what takes waiting, and answers with the rest of the work. Never called twice at a time.
    fn collect(self: &Arc<Self>) -> impl Future<Output = Collected> + Send;
}

/// A source, shown in any form.
pub(crate) struct Monitor<S> {
    pub(crate) source: Arc<S>,
    /// Sources collect once at a time.
    collecting: Semaphore,
    /// A text is many megabytes, so there is one at a time. A push waits for its collector, and nobody for the push.
    pub(crate) scraping: Semaphore,
}

impl<S: Source> Monitor<S> {
    pub(crate) fn new(source: Arc<S>) -> Monitor<S> {
        Monitor { source, collecting: Semaphore::new(1), scraping: Semaphore::new(1) }
    }

    /// Writes everything with the writer that `make` makes of the labels of all series. `None` when that panicked,
    /// which was told then.
    pub(crate) async fn write<W: Writer + Send + 'static>(
        &self,
        make: impl FnOnce(Vec<(String, String)>) -> W + Send + 'static,
    ) -> Option<W> {
        let began = Instant::now();
        let settings = self.source.settings();
        let mut labels: Vec<_> =
            self.source.labels().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        labels.extend(settings.label.0);
        let collected = {
            // The semaphore is never closed.
            let _permit = self.collecting.acquire().await;
            self.source.collect().await
        };
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = make(labels);
            let mut out = Exposition::new(&mut writer, settings.series_max);
            collected(&mut out);
            process::add(&mut out);
            let help = "Time it took to collect these figures.";
            out.single("rocketmq_scrape_seconds", Kind::Gauge, help, began.elapsed().as_secs_f64());
            writer.finish();
            writer
        });
        written.await.ok()
    }
}
