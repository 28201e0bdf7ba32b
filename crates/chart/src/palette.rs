//! Colours, as classes of a style sheet inside the picture.
//!
//! The hues are those of Okabe and Ito, which people with any colour vision tell apart, made darker on white and lighter
//! on black until text has a contrast of 4.5 to 1 and lines of 3 to 1. Shapes and dashes say the same again.

use std::fmt::Write as _;

use plotters::style::RGBColor;

use crate::input::Theme;

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// The ground.
    Ground,
    /// Text.
    Text,
    /// Text of less weight.
    Muted,
    /// Lines of a grid.
    Grid,
    /// An axis.
    Axis,
    /// The share.
    Share,
    /// The area below the share.
    ShareArea,
    /// The rate that is judged first.
    Main,
    /// The same, with too few operations.
    Unjudged,
    /// The rate of window or stage.
    Recent,
    /// The rate of production.
    Production,
    /// The threshold.
    Threshold,
    /// The blocks of the window.
    Window,
    /// A rollback.
    Rollback,
    /// The line of a rollback through the plots.
    RollbackLine,
    /// A start.
    Start,
    /// The end of a change.
    Complete,
    /// A hold.
    Hold,
    /// The line from a label to its mark.
    Leader,
}

/// An ink, its class, its colours on light and dark ground, and the rest of its style. A colour is for lines or for areas.
struct Style {
    ink: Ink,
    class: &'static str,
    property: &'static str,
    light: u32,
    dark: u32,
    more: &'static str,
}

const fn style(
    ink: Ink,
    class: &'static str,
    property: &'static str,
    (light, dark): (u32, u32),
    more: &'static str,
) -> Style {
    Style { ink, class, property, light, dark, more }
}

/// The light colour of each ink is unique: it stands for the ink in the plotting library.
#[rustfmt::skip]
const STYLES: [Style; 19] = [
    style(Ink::Ground, "b", "fill", (0xff_ff_ff, 0x12_16_1b), ""),
    style(Ink::Text, "t", "fill", (0x1b_1f_24, 0xe8_eb_ee), ""),
    style(Ink::Muted, "u", "fill", (0x57_60_6a, 0xa0_aa_b5), ""),
    style(Ink::Grid, "g", "stroke", (0xdd_e2_e8, 0x2b_32_3a), "fill:none"),
    style(Ink::Axis, "x", "stroke", (0x8c_95_9f, 0x6e_77_82), "fill:none"),
    style(Ink::Share, "s", "stroke", (0x00_72_b2, 0x58_b4_f0), "fill:none;stroke-width:2;stroke-linejoin:round"),
    style(Ink::ShareArea, "a", "fill", (0x00_72_b3, 0x58_b4_f1), "fill-opacity:.16"),
    style(Ink::Main, "m", "stroke", (0x8a_3f_8f, 0xe0_9f_d8), "fill:none;stroke-width:2;stroke-linejoin:round"),
    style(Ink::Unjudged, "n", "stroke", (0x8a_3f_90, 0xe0_9f_d9), "fill:none;stroke-width:1.5;stroke-dasharray:1.5 2.5"),
    style(Ink::Recent, "w", "stroke", (0x00_79_5a, 0x3f_cf_a0), "fill:none;stroke-width:1.5;stroke-dasharray:7 2"),
    style(Ink::Production, "p", "stroke", (0x57_60_6b, 0xa0_aa_b6), "fill:none;stroke-width:1.5"),
    style(Ink::Threshold, "h", "stroke", (0xb8_43_00, 0xff_95_5e), "fill:none;stroke-width:1.5;stroke-dasharray:5 4"),
    style(Ink::Window, "i", "fill", (0x00_79_5b, 0x3f_cf_a1), "fill-opacity:.12"),
    style(Ink::Rollback, "r", "fill", (0xb8_43_01, 0xff_95_5f), ""),
    style(Ink::RollbackLine, "q", "stroke", (0xb8_43_02, 0xff_95_60), "fill:none"),
    style(Ink::Start, "k", "fill", (0x00_62_9e, 0x58_b4_f2), ""),
    style(Ink::Complete, "c", "fill", (0x00_69_4b, 0x3f_cf_a2), ""),
    style(Ink::Hold, "o", "fill", (0x8a_5a_00, 0xe8_b3_39), ""),
    style(Ink::Leader, "l", "stroke", (0xaf_b8_c1, 0x57_60_69), "fill:none"),
];

impl Ink {
    /// The class in the picture.
    pub(crate) fn class(self) -> &'static str {
        STYLES.iter().find(|style| style.ink == self).map_or("t", |style| style.class)
    }

    /// The colour that stands for it in the plotting library.
    pub(crate) fn color(self) -> RGBColor {
        let light = STYLES.iter().find(|style| style.ink == self).map_or(0, |style| style.light);
        let [_, red, green, blue] = light.to_be_bytes();
        RGBColor(red, green, blue)
    }

    /// The ink that a colour of the plotting library stands for.
    pub(crate) fn of_color((red, green, blue): (u8, u8, u8)) -> Self {
        let light = u32::from_be_bytes([0, red, green, blue]);
        STYLES.iter().find(|style| style.light == light).map_or(Self::Text, |style| style.ink)
    }
}

/// The style sheet of a page with pictures of [`Theme::Page`]: they are as light or dark as the reader has it.
///
/// Its rules name the class of the pictures, so that they touch nothing else on the page.
#[must_use]
pub fn style_sheet() -> String {
    format!(".coalmine{{max-width:100%;height:auto}}{}", sheet(Theme::Auto))
}

/// The style sheet of a picture. Its rules name the picture's own class, so that they touch nothing else on a page that
/// the picture is put into. The dark rules come last and say colours only, so that a viewer that knows no media
/// queries shows the light picture.
pub(crate) fn sheet(theme: Theme) -> String {
    let mut sheet = String::from(
        ".coalmine text{font-family:system-ui,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:11px}\
         .coalmine .f1{font-size:18px;font-weight:600}.coalmine .f2{font-size:13px}.coalmine .f3{font-size:11px}\
         .coalmine .f4{font-size:10px}.coalmine .e{text-anchor:end}.coalmine .d{text-anchor:middle}",
    );
    let rule = |sheet: &mut String, style: &Style, color: u32, more: &str| {
        let Style { class, property, .. } = style;
        let separator = if more.is_empty() { "" } else { ";" };
        // Writing to a string cannot fail.
        let _written = write!(sheet, ".coalmine .{class}{{{property}:#{color:06x}{separator}{more}}}");
    };
    for style in &STYLES {
        let color = if theme == Theme::Dark { style.dark } else { style.light };
        rule(&mut sheet, style, color, style.more);
    }
    if theme == Theme::Auto {
        sheet.push_str("@media(prefers-color-scheme:dark){");
        STYLES.iter().for_each(|style| rule(&mut sheet, style, style.dark, ""));
        sheet.push('}');
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative luminance of WCAG 2.
    fn luminance(color: u32) -> f64 {
        let [_, red, green, blue] = color.to_be_bytes();
        let linear = |channel: u8| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.03928 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    fn contrast(a: u32, b: u32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_ink_can_be_seen_on_its_ground() {
        let ground = &STYLES[0];
        for style in &STYLES {
            let least = match style.ink {
                Ink::Ground | Ink::Grid | Ink::Leader | Ink::ShareArea | Ink::Window => continue,
                Ink::Text | Ink::Muted | Ink::Rollback | Ink::Start | Ink::Complete | Ink::Hold => 4.5,
                Ink::Axis
                | Ink::Share
                | Ink::Main
                | Ink::Unjudged
                | Ink::Recent
                | Ink::Production
                | Ink::Threshold
                | Ink::RollbackLine => 3.0,
            };
            for (color, ground) in [(style.light, ground.light), (style.dark, ground.dark)] {
                assert!(contrast(color, ground) >= least, "{:?}: {}", style.ink, contrast(color, ground));
            }
        }
    }

    #[test]
    fn a_color_stands_for_one_ink() {
        for style in &STYLES {
            let RGBColor(red, green, blue) = style.ink.color();
            assert_eq!(Ink::of_color((red, green, blue)), style.ink);
        }
    }
}
