//! Pictures of rollouts and deployments: share, error rates, marks and verdicts over block height, as SVG or HTML.
//!
//! [`timeline`] draws one feature or plugin, [`overview`] draws all of them in lanes; [`page`] makes a file of HTML of
//! either. What they draw are plain values ([`Timeline`], [`Overview`]), which `ledger` (a cargo feature) makes from the
//! records and blocks of a ledger.
//!
//! A picture is a function of its input: the same values give the same bytes. It contains no script and refers to
//! nothing outside of itself; it has a title and a description for those who do not see it, follows the reader's choice
//! of light or dark, and never says by colour alone what it says. It stays below [`SIZE_MAX`] bytes however long the
//! history is: what is thinned out is never the mark of a rollback.
//!
//! ```
//! use coalmine_chart::{Kind, Mark, MarkKind, Options, Subject, Timeline, timeline};
//!
//! let mut picture = Timeline::new(Subject::Feature, "vita_recovery_v2", 100, 450);
//! picture.headline = "Rolled back at block 450".into();
//! for (height, percent) in [(100, 5), (300, 25), (400, 45), (450, 0)] {
//!     picture.share.push(height, Some(percent * 100));
//! }
//! picture.marks.push(Mark::new(450, MarkKind::Rollback, "rolled back", "1.18 % of errors are above the allowed 1 %"));
//! let svg = timeline(&picture, &Options::default())?;
//! assert!(svg.contains("vita_recovery_v2"));
//! # Ok::<(), coalmine_chart::ChartError>(())
//! ```

mod canvas;
mod html;
mod input;
mod labels;
mod lanes;
#[cfg(feature = "ledger")]
pub mod ledger;
mod palette;
mod panel;
mod text;
mod thin;
mod timeline;

pub use html::{Picture, page};
pub use input::{Curve, Kind, Lane, Mark, MarkKind, Marks, Options, Overview, Span, Subject, Theme, Timeline};
pub use labels::{Label, Spot, place};
pub use lanes::overview;
pub use palette::style_sheet;
pub use text::{number, rate};
pub use thin::Series;
pub use timeline::timeline;

/// No SVG is longer, in bytes.
pub const SIZE_MAX: usize = 300_000;

/// A picture that cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChartError {
    /// The plotting library refuses the layout.
    #[error("the picture cannot be drawn: {0}")]
    Layout(String),
}
