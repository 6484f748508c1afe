//! Bounds of what a broker node keeps and does at once.

use std::time::Duration;

/// Store times that are kept from one scrape of metrics to the next, of queues in which a group is behind: some 20 MB.
pub(crate) const AGES_KEPT: usize = 100_000;

/// Time that one scrape may spend on reading store times; the next goes on where it stopped. Half of what a scrape
/// may take altogether.
pub(crate) const AGE_READS_TIME: Duration = Duration::from_millis(100);

/// Topics whose queues at other brokers are remembered. Source: `topicRouteServiceCacheMaxNum` of the proxy.
pub(crate) const ROUTES_KEPT: usize = 20_000;

/// How long a name server may think about a route: a client waits for three seconds.
pub(crate) const ROUTE_TIME: Duration = Duration::from_secs(1);

/// How long a call that deletes old messages at once waits for that.
pub(crate) const CLEAN_WAIT: Duration = Duration::from_secs(3);
