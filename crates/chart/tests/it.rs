//! Pictures of plain values: that they are well-formed, small, and the same every time.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests"
)]

use coalmine_chart::{
    Curve, Kind, Label, Lane, Mark, MarkKind, Marks, Options, Overview, Picture, SIZE_MAX, Series, Span, Subject,
    Theme, Timeline, overview, page, place, timeline,
};
use proptest::prelude::*;
use roxmltree::{Document, Node};

const WIDTHS: [u32; 4] = [0, 360, 960, u32::MAX];
const THEMES: [Theme; 4] = [Theme::Auto, Theme::Light, Theme::Dark, Theme::Page];

/// Checks what holds for every SVG.
fn check_svg(svg: &str) {
    let document = Document::parse(svg).expect("an SVG is XML");
    let root = document.root_element();
    let text_of = |name: &str| {
        let mut children = root.children().filter(Node::is_element);
        children.find(|node| node.has_tag_name(("http://www.w3.org/2000/svg", name))).and_then(|node| node.text())
    };
    assert_eq!(root.attribute("role"), Some("img"));
    assert!(text_of("title").is_some_and(|title| !title.trim().is_empty()));
    assert!(text_of("desc").is_some_and(|desc| !desc.trim().is_empty()));
    let labelled = root.attribute("aria-labelledby").unwrap();
    assert!(labelled.split(' ').all(|id| document.descendants().any(|node| node.attribute("id") == Some(id))));
    for node in document.descendants().filter(Node::is_element) {
        assert!(!["script", "image", "use", "a", "foreignObject"].contains(&node.tag_name().name()), "{node:?}");
        for attribute in node.attributes() {
            assert!(!attribute.name().starts_with("on") && attribute.name() != "href", "{attribute:?}");
        }
    }
    assert!(svg.len() < SIZE_MAX, "{} bytes", svg.len());
}

/// Draws a picture in every width and theme.
fn check_picture(picture: Picture<'_>) {
    for width in WIDTHS {
        for theme in THEMES {
            let options = Options { width, theme };
            let svg = picture.svg(&options).unwrap();
            check_svg(&svg);
            assert_eq!(picture.svg(&options).unwrap(), svg, "the same values give the same bytes");
            assert_eq!(svg.contains("@media(prefers-color-scheme:dark)"), theme == Theme::Auto);
            assert_eq!(svg.contains("style"), theme != Theme::Page, "a page's policy may forbid styles inside of it");
            let html = page(picture, &options).unwrap();
            assert!(!html.contains("<script") && html.contains("default-src 'none'"));
        }
    }
}

fn empty(subject: Subject, name: &str, from: u32, to: u32) -> Timeline {
    Timeline::new(subject, name, from, to)
}

#[test]
fn pictures_of_little_or_nothing() {
    let name = "x".repeat(64);
    for subject in [Subject::Feature, Subject::Plugin] {
        for (from, to) in [(0, 0), (7, 7), (9, 3), (0, u32::MAX), (u32::MAX, u32::MAX)] {
            check_picture(Picture::Timeline(&empty(subject, &name, from, to)));
        }
    }
    check_picture(Picture::Overview(&Overview::default()));
}

#[test]
fn text_is_text() {
    let nasty = "</text><script>alert(1)</script>&\"'\u{0}\u{1b}";
    let mut picture = empty(Subject::Plugin, nasty, 1, 9);
    picture.headline = nasty.into();
    picture.note = nasty.into();
    picture.marks.push(Mark::new(5, MarkKind::Rollback, nasty, nasty));
    picture.versions.push(Span { from: 1, to: None, name: nasty.into() });
    picture.window = Some(Span { from: 2, to: Some(4), name: nasty.into() });
    picture.share.push(2, Some(10_000));
    let mut series = Series::default();
    series.push(2, Some(10_000));
    picture.rates.push(Curve { kind: Kind::Main, name: nasty.into(), series });
    check_picture(Picture::Timeline(&picture));
    let lane = Lane {
        subject: Subject::Feature,
        name: nasty.into(),
        now: nasty.into(),
        sentence: nasty.into(),
        is_rolled_back: true,
        share: picture.share.clone(),
        marks: picture.marks.clone(),
    };
    let overview = Overview { chain: nasty.into(), to: 9, lanes: vec![lane], total: 1, note: nasty.into(), from: 1 };
    check_picture(Picture::Overview(&overview));
}

/// The heights at which an SVG has the symbol of a rollback, in pixels from the left.
fn rollback_columns(svg: &str) -> Vec<f64> {
    let document = Document::parse(svg).unwrap();
    let paths = document.descendants().filter(|node| node.attribute("class") == Some("r"));
    let data = paths.filter_map(|node| node.attribute("d")).filter(|data| data.contains("l-5 9z"));
    let starts = data.flat_map(|data| data.split('M').skip(1).map(|part| part.split(' ').next().unwrap()));
    let mut columns: Vec<f64> = starts.map(|x| x.parse::<f64>().unwrap() + 5.0).collect();
    // The first one is the legend's.
    columns.sort_by(f64::total_cmp);
    columns
}

/// 10⁵ samples of everything, with a rollback at each of some heights.
fn long(rollbacks: &[u32]) -> Timeline {
    let mut picture = empty(Subject::Feature, "long", 0, 99_999);
    let mut noise = 12_345_u32;
    let mut next = |most: u32| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 8) % most
    };
    let kinds = [Kind::Main, Kind::Unjudged, Kind::Recent, Kind::Production];
    picture.rates = kinds.map(|kind| Curve { kind, name: "rate".into(), series: Series::default() }).into();
    let mut rolled_back = rollbacks.iter().copied().peekable();
    for height in 0..100_000 {
        picture.share.push(height, Some(next(10_001)));
        picture.threshold.push(height, Some(next(500)));
        for curve in &mut picture.rates {
            let value = next(700);
            curve.series.push(height, (value > 30).then_some(value));
        }
        picture.marks.push(Mark::new(height, MarkKind::Step, format!("{}", next(100)), "stepped"));
        if rolled_back.next_if_eq(&height).is_some() {
            picture.marks.push(Mark::new(height, MarkKind::Rollback, "rolled back", format!("verdict of {height}")));
        }
        picture.marks.push(Mark::new(height, MarkKind::ALL[1 + next(5) as usize], "mark", "something happened"));
    }
    picture
}

#[test]
fn a_long_history_is_small_and_keeps_every_verdict() {
    for (rollbacks, width) in
        [(vec![3], 960), ((0..100_000).step_by(997).collect::<Vec<u32>>(), 1_600), ((0..100_000).collect(), 1_600)]
    {
        let picture = long(&rollbacks);
        let options = Options { width, theme: Theme::Auto };
        let svg = timeline(&picture, &options).unwrap();
        check_svg(&svg);
        let counted = picture.marks.count(MarkKind::Rollback);
        assert_eq!(counted, rollbacks.len() as u64);
        // The plot begins at 62 and ends 16 before the right edge, of which the last 1/41 is behind the last height.
        let pixels = f64::from(width) - 78.0;
        let columns = rollback_columns(&svg);
        for rollback in &rollbacks {
            let x = 62.0 + pixels * f64::from(*rollback) / f64::from(99_999 + 99_999 / 40);
            let is_near = |column: &f64| (column - x).abs() <= 2.0;
            assert!(columns.iter().any(is_near), "the rollback at {rollback} has no symbol");
        }
        let number = counted.to_string();
        let description = svg.replace('\u{a0}', "");
        assert!(description.contains(&format!("{number} rolled back")), "{number}");
        let page = page(Picture::Timeline(&picture), &options).unwrap();
        assert!(page.contains("verdict of"));
    }
}

#[test]
fn an_overview_of_long_histories_is_small() {
    let picture = long(&(0..100_000).collect::<Vec<u32>>());
    let lane = |index: usize| Lane {
        subject: [Subject::Feature, Subject::Plugin][index % 2],
        name: format!("{index:064}"),
        now: "rolling out, 25 %".into(),
        sentence: "Rolling out: on for 25 % of users".into(),
        is_rolled_back: index.is_multiple_of(3),
        share: picture.share.clone(),
        marks: picture.marks.clone(),
    };
    for lanes in [1, 40] {
        let picture = Overview {
            chain: "chain".into(),
            from: 0,
            to: 99_999,
            lanes: (0..lanes).map(lane).collect(),
            total: 10_000,
            note: "The circuit breaker is open".into(),
        };
        for width in WIDTHS {
            check_svg(&overview(&picture, &Options { width, theme: Theme::Auto }).unwrap());
        }
    }
}

fn marks() -> impl Strategy<Value = Vec<Label>> {
    let label = (0.0..1_000.0_f64, 5.0..160.0_f64, 0..6_u32, any::<bool>());
    let snapped = label.prop_map(|(x, width, rank, snap)| Label {
        x: if snap { (x / 50.0).round() * 50.0 } else { x },
        width,
        rank,
    });
    prop::collection::vec(snapped, 0..300)
}

proptest! {
    /// No label overlaps another one or sticks out, and no line to a mark crosses a label.
    #[test]
    fn labels_never_overlap(labels in marks(), rows in 0..6_usize) {
        let spots = place(&labels, 0.0, 1_000.0, rows);
        prop_assert_eq!(spots.len(), labels.len());
        let placed: Vec<_> = labels.iter().zip(&spots).filter_map(|(label, spot)| Some((label, (*spot)?))).collect();
        for (index, (label, spot)) in placed.iter().enumerate() {
            prop_assert!(spot.row < rows && spot.left >= 0.0 && spot.right <= 1_000.0);
            prop_assert!((spot.right - spot.left - label.width).abs() < 1e-6);
            for (other_index, (other, other_spot)) in placed.iter().enumerate() {
                if index == other_index {
                    continue;
                }
                if spot.row == other_spot.row {
                    prop_assert!(spot.right < other_spot.left || other_spot.right < spot.left, "{label:?} {other:?}");
                }
                // The line of the other one passes through its row and those below.
                if other_spot.row >= spot.row {
                    prop_assert!(other.x < spot.left || spot.right < other.x, "{label:?} {other:?}");
                }
            }
        }
    }

    /// A label that has its row to itself is placed.
    #[test]
    fn a_single_label_finds_room(x in 0.0..1_000.0_f64, width in 1.0..400.0_f64) {
        let label = Label { x, width, rank: 0 };
        let spots = place(&[label], 0.0, 1_000.0, 1);
        prop_assert!(spots[0].is_some());
    }

    /// Whatever the values are, there is a picture.
    #[test]
    fn any_values_give_a_picture(
        points in prop::collection::vec((any::<u32>(), prop::option::of(any::<u32>())), 0..40),
        marked in prop::collection::vec((any::<u32>(), 0..6_usize, ".{0,30}"), 0..40),
        ends in any::<(u32, u32)>(),
        name in ".{0,80}",
        width in any::<u32>(),
    ) {
        let mut picture = empty(Subject::Plugin, &name, ends.0, ends.1);
        let mut points = points;
        points.sort_unstable_by_key(|(height, _)| *height);
        let mut marked = marked;
        marked.sort_by_key(|(height, _, _)| *height);
        let mut series = Series::starting_at(ends.0);
        for (height, value) in points {
            picture.share.push(height, value);
            picture.threshold.push(height, value);
            series.push(height, value);
        }
        let mut marks = Marks::default();
        for (height, kind, label) in marked {
            marks.push(Mark::new(height, MarkKind::ALL[kind], label.clone(), label));
        }
        picture.marks = marks;
        picture.versions.push(Span { from: ends.1, to: Some(ends.0), name: name.clone() });
        picture.rates.push(Curve { kind: Kind::Main, name, series });
        check_svg(&timeline(&picture, &Options { width, theme: Theme::Auto }).unwrap());
    }
}
