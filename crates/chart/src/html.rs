//! A picture as one file of HTML: a wide and a narrow drawing, of which the reader's screen takes one, and a table of what
//! they show. It contains no script, and its policy allows none.

use std::fmt::Write as _;

use crate::ChartError;
use crate::input::{Mark, MarkKind, Options, Overview, Theme, Timeline};
use crate::lanes::overview;
use crate::text::{clean, number};
use crate::timeline::timeline;

/// How many marks the table lists, but for rollbacks, which it lists all.
const ROWS_MAX: usize = 500;
/// The width of the narrow drawing.
const NARROW: u32 = 360;

/// What a page shows.
#[derive(Debug, Clone, Copy)]
pub enum Picture<'p> {
    /// One feature or plugin.
    Timeline(&'p Timeline),
    /// All of them.
    Overview(&'p Overview),
}

impl Picture<'_> {
    /// Draws it as SVG.
    ///
    /// # Errors
    /// [`ChartError`] if the plotting library refuses the layout.
    pub fn svg(&self, options: &Options) -> Result<String, ChartError> {
        match self {
            Self::Timeline(picture) => timeline(picture, options),
            Self::Overview(picture) => overview(picture, options),
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Timeline(picture) => format!("{} {}", picture.subject.name(), picture.name),
            Self::Overview(picture) if picture.chain.is_empty() => "Features and plugins".into(),
            Self::Overview(picture) => picture.chain.clone(),
        }
    }

    fn table(&self) -> (&'static str, [&'static str; 3], Vec<[String; 3]>) {
        match self {
            Self::Timeline(picture) => ("What happened", ["Block", "What", "In words"], rows(picture)),
            Self::Overview(picture) => {
                let row = |lane: &crate::Lane| [lane.subject.name().into(), lane.name.clone(), lane.sentence.clone()];
                ("As of the last block", ["Kind", "Name", "State"], picture.lanes.iter().map(row).collect())
            }
        }
    }
}

/// The marks of a timeline, the latest first.
fn rows(picture: &Timeline) -> Vec<[String; 3]> {
    let mut marks = picture.marks.all();
    marks.reverse();
    let mut others = 0_usize;
    marks.retain(|mark| {
        others = others.saturating_add(usize::from(mark.kind != MarkKind::Rollback));
        mark.kind == MarkKind::Rollback || others <= ROWS_MAX
    });
    let heights = |mark: &Mark| match mark.count {
        0 | 1 => number(mark.height.into()),
        _ => format!("{} – {}", number(mark.height.into()), number(mark.until.into())),
    };
    let what = |mark: &Mark| match mark.count {
        0 | 1 => mark.label.clone(),
        count => format!("{} ×{}", mark.label, number(count)),
    };
    marks.into_iter().map(|mark| [heights(mark), what(mark), mark.sentence.clone()]).collect()
}

/// Makes a page of a picture.
///
/// # Errors
/// [`ChartError`] if the plotting library refuses the layout.
pub fn page(picture: Picture<'_>, options: &Options) -> Result<String, ChartError> {
    let theme = if options.theme == Theme::Page { Theme::Auto } else { options.theme };
    let options = &Options { theme, ..*options };
    let wide = picture.svg(options)?;
    let narrow = picture.svg(&Options { width: NARROW, ..*options })?;
    let title = escape(&picture.title());
    let (caption, heads, rows) = picture.table();
    let mut table = String::new();
    for row in rows {
        table.push_str("<tr>");
        row.iter().for_each(|cell| {
            // Writing to a string cannot fail.
            let _written = write!(table, "<td>{}</td>", escape(cell));
        });
        table.push_str("</tr>\n");
    }
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    let (scheme, light, dark) = match options.theme {
        // A file stands alone: there is no other page that could have a style for it.
        Theme::Auto | Theme::Page => {
            ("light dark", "", "@media(prefers-color-scheme:dark){body{background:#12161b;color:#e8ebee}}")
        }
        Theme::Light => ("light", "", ""),
        Theme::Dark => ("dark", "background:#12161b;color:#e8ebee;", ""),
    };
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>:root{{color-scheme:{scheme}}}body{{margin:0 auto;padding:8px;max-width:{width}px;background:#fff;color:#1b1f24;{light}\
         font:14px/1.45 system-ui,'Segoe UI',Roboto,Helvetica,Arial,sans-serif}}{dark}\
         .narrow{{display:none}}@media(max-width:640px){{.wide{{display:none}}.narrow{{display:block}}}}\
         table{{border-collapse:collapse;width:100%}}caption{{text-align:left;font-weight:600;padding:8px 0}}\
         th,td{{text-align:left;vertical-align:top;padding:3px 8px 3px 0;border-top:1px solid #8c959f66;overflow-wrap:anywhere}}\
         td:first-child{{white-space:nowrap}}</style>\n</head>\n<body>\n<main>\n<div class=\"wide\">\n{wide}</div>\n\
         <div class=\"narrow\">\n{narrow}</div>\n<table>\n<caption>{caption}</caption>\n<thead><tr>{heads}</tr></thead>\n\
         <tbody>\n{table}</tbody>\n</table>\n</main>\n</body>\n</html>\n",
        width = options.width.clamp(Options::WIDTH_MIN, Options::WIDTH_MAX),
    ))
}

fn escape(text: &str) -> String {
    clean(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
