//! How long blocks take, for metrics.

use std::time::Duration;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// How long the blocks of a node have taken since it started.
#[derive(Debug)]
pub(crate) struct Timings {
    /// To execute.
    pub(crate) execute: Histogram,
    /// To write durably and to apply.
    pub(crate) commit: Histogram,
}

impl Default for Timings {
    fn default() -> Self {
        // From a tenth of a millisecond to more than three seconds.
        let histogram = || Histogram::new(exponential_buckets(0.000_1, 2.0, 16));
        Self { execute: histogram(), commit: histogram() }
    }
}

impl Timings {
    pub(crate) fn executed(&self, time: Duration) {
        self.execute.observe(time.as_secs_f64());
    }

    pub(crate) fn committed(&self, time: Duration) {
        self.commit.observe(time.as_secs_f64());
    }
}
