//! What a Prometheus server knows of counters: their raw samples, by its HTTP API.
//!
//! Raw samples rather than `increase()`, which extrapolates: sums of what it says are no sums of anything.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;
use zeroize::Zeroizing;

use crate::outgoing::{client, describe, read_body};
use crate::reporter::counters::{Sample, micros};

/// How long a query takes at most.
const TOTAL: Duration = Duration::from_secs(30);
/// An answer is at most so long, in bytes.
const ANSWER_MAX: u64 = 16 << 20;
/// How much of a server's own error is shown.
const ERROR_CHARS_MAX: usize = 300;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// It is too long: a shorter time may do.
    #[error("the answer is longer than {ANSWER_MAX} bytes")]
    TooLong,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// A series with its samples, in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) samples: Vec<Sample>,
}

/// A server.
pub(crate) struct Prometheus {
    agent: Agent,
    url: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

#[derive(Deserialize)]
struct Answer<T> {
    status: String,
    error: Option<String>,
    data: Option<Data<T>>,
    /// What makes an answer incomplete. What is merely odd comes as `infos`.
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data<T> {
    result: T,
}

#[derive(Deserialize)]
struct RawSeries {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

impl Prometheus {
    pub(crate) fn new(url: Zeroizing<String>, token: Option<Zeroizing<String>>) -> Result<Self, String> {
        let url = Zeroizing::new(url.trim_end_matches('/').to_owned());
        Ok(Self { agent: client(TOTAL)?, url, token })
    }

    /// The time of the server, in milliseconds since 1970. Samples have times of the same clock.
    pub(crate) fn now(&self) -> Result<u64, QueryError> {
        let (at, _): (f64, String) = self.query("time()", None)?;
        milliseconds(at).ok_or_else(|| QueryError::Failed("its time is no time".into()))
    }

    /// The samples of a selector in the time up to `end`, with a little before it.
    pub(crate) fn samples(&self, selector: &str, end: u64, length: Duration) -> Result<Vec<Series>, QueryError> {
        let query = format!("{selector}[{}ms]", length.as_millis());
        let series: Vec<RawSeries> = self.query(&query, Some(end))?;
        Ok(series.into_iter().map(RawSeries::into_series).collect())
    }

    fn query<T: for<'de> Deserialize<'de>>(&self, query: &str, at: Option<u64>) -> Result<T, QueryError> {
        let failed = QueryError::Failed;
        let mut form = vec![("query", query.to_owned())];
        form.extend(at.map(|at| ("time", seconds(at))));
        let mut request = self.agent.post(format!("{}/api/v1/query", self.url.as_str()));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.as_str()));
        }
        let mut response = request.send_form(form).map_err(|error| failed(describe(&error)))?;
        let status = response.status();
        let body = read_body(response.body_mut(), ANSWER_MAX).map_err(failed)?.ok_or(QueryError::TooLong)?;
        let answer: Answer<T> = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            Err(_) if !status.is_success() => return Err(failed(format!("status {}", status.as_u16()))),
            Err(error) => return Err(failed(format!("the answer is not that of a Prometheus server: {error}"))),
        };
        let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(ERROR_CHARS_MAX).collect::<String>();
        if let Some(warning) = answer.warnings.first() {
            return Err(failed(format!("the answer may be incomplete: {}", shown(warning))));
        }
        match answer.data {
            Some(data) if answer.status == "success" => Ok(data.result),
            _ => Err(failed(format!("it refuses: {}", shown(&answer.error.unwrap_or_default())))),
        }
    }
}

impl RawSeries {
    fn into_series(self) -> Series {
        let sample = |(at, value): (f64, String)| {
            Some(Sample { at: milliseconds(at)?, value: micros(value.parse::<f64>().ok()?)? })
        };
        Series { labels: self.metric, samples: self.values.into_iter().filter_map(sample).collect() }
    }
}

/// A time as the API writes it: seconds with a fraction.
fn seconds(milliseconds: u64) -> String {
    let time = Duration::from_millis(milliseconds);
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there is no other way from a float; it is checked to be in range"
)]
fn milliseconds(seconds: f64) -> Option<u64> {
    let milliseconds = (seconds * 1_000.0).round();
    (0.0..1e15).contains(&milliseconds).then_some(milliseconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds() {
        assert_eq!(seconds(1_700_000_000_012), "1700000000.012");
        for (text, expected) in
            [(1_700_000_000.012, Some(1_700_000_000_012)), (0.0, Some(0)), (-1.0, None), (f64::NAN, None)]
        {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }

    #[test]
    fn answers_are_series() {
        let text = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"a","code":"200"},"values":[[1.5,"3"],[2.5,"NaN"],[3,"4.25"]]},
            {"metric":{},"histograms":[]}]}}"#;
        let answer: Answer<Vec<RawSeries>> = serde_json::from_str(text).unwrap();
        let series: Vec<Series> = answer.data.unwrap().result.into_iter().map(RawSeries::into_series).collect();
        let sample = |at, value| Sample { at, value };
        assert_eq!(series[0].samples, [sample(1_500, 3_000_000), sample(3_000, 4_250_000)]);
        assert_eq!(series[0].labels["code"], "200");
        assert_eq!(series[1], Series { labels: BTreeMap::new(), samples: vec![] });
    }
}
