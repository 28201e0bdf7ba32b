//! All mutants of a source at once: a function that has some becomes a `match` on a number, with an arm
//! for each mutant and one for the function as it is.
//!
//! Functions are found by their syntax. One that stands within another is part of it.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use syn::spanned::Spanned;
use syn::visit::Visit;

/// Where the number comes from: the environment, and 0 is no mutant.
const NUMBER: &str = r#"
pub(crate) fn mutant() -> u32 {
    static NUMBER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *NUMBER.get_or_init(|| std::env::var("MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0))
}
"#;

/// A mutant as cargo-mutants lists it: a text to put in the place of another.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    /// From the top of the workspace.
    pub(crate) file: String,
    pub(crate) function: Option<Function>,
    pub(crate) span: Span,
    pub(crate) replacement: String,
}

/// The function in which a mutant is.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Function {
    pub(crate) function_name: String,
}

/// From a place up to, not including, another.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Span {
    start: Position,
    end: Position,
}

/// A line, and a character in it, both from 1 on.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Position {
    line: usize,
    column: usize,
}

/// A source with mutants in it.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    pub(crate) text: String,
    pub(crate) arms: Vec<Arm>,
    /// The numbers of the mutants that are in no function.
    pub(crate) outside: Vec<u32>,
}

/// The lines of the text that are those of a mutant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Arm {
    pub(crate) number: u32,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

impl Switch {
    /// Puts numbered mutants of one file into its text.
    pub(crate) fn new(text: &str, mutants: &[(u32, &Mutant)]) -> Result<Self> {
        let functions = functions(text)?;
        // Number, place and replacement, by the function.
        let mut chosen = BTreeMap::<usize, Vec<_>>::new();
        let mut switch = Self::default();
        for (number, mutant) in mutants {
            let place = mutant.span.bytes(text).with_context(|| format!("{}: it is not there", mutant.name))?;
            let is_in = |function: &Parts| function.body.start <= place.start && place.end <= function.body.end;
            match functions.iter().position(is_in) {
                Some(function) => {
                    chosen.entry(function).or_default().push((*number, place, &mutant.replacement));
                }
                None => switch.outside.push(*number),
            }
        }
        let mut at = 0;
        for (function, mutants) in chosen {
            let function = functions.get(function).context("no such function")?;
            // What depends on the environment is not const.
            let header = function.constness.clone().unwrap_or(function.body.start..function.body.start);
            switch.push(text, at..header.start)?;
            switch.push(text, header.end..function.body.start)?;
            // Arms of an opaque type must be of one type.
            let (open, close) = match &function.opaque {
                Some(bounds) => ("{ alloc::boxed::Box::new(", format!(") as alloc::boxed::Box<dyn {bounds} + '_> }}")),
                None => ("{ ", " }".to_owned()),
            };
            switch.text.push_str("{ match crate::mutant() {\n");
            for (number, place, replacement) in mutants {
                let first = switch.line();
                switch.text.push_str(&format!("{number} => {open}"));
                switch.push(text, function.body.start..place.start)?;
                switch.text.push_str(replacement);
                switch.push(text, place.end..function.body.end)?;
                switch.text.push_str(&close);
                switch.arms.push(Arm { number, first, last: switch.line() });
                switch.text.push('\n');
            }
            switch.text.push_str(&format!("_ => {open}"));
            switch.push(text, function.body.clone())?;
            switch.text.push_str(&close);
            switch.text.push_str(" } }");
            at = function.body.end;
        }
        switch.push(text, at..text.len())?;
        Ok(switch)
    }

    fn push(&mut self, text: &str, range: Range<usize>) -> Result<()> {
        self.text.push_str(text.get(range).context("a place within a character, or out of order")?);
        Ok(())
    }

    /// The line that is being written.
    fn line(&self) -> usize {
        self.text.matches('\n').count() + 1
    }
}

/// The root of core with the number, and with std, which that needs. Its attributes allow the warnings of arms.
pub(crate) fn root(text: &str) -> Result<String> {
    let mut root = text.to_owned();
    for (from, to) in [
        ("\n#![no_std]\n", "\n#![no_std] #![allow(warnings)]\n"),
        ("\nextern crate alloc;\n", "\nextern crate alloc; extern crate std;\n"),
    ] {
        if !root.contains(from) {
            bail!("the root of core has no line {from:?}");
        }
        root = root.replacen(from, to, 1);
    }
    Ok(root + NUMBER)
}

/// A source with one mutant in it and nothing else.
pub(crate) fn alone(text: &str, mutant: &Mutant) -> Result<String> {
    let place = mutant.span.bytes(text).with_context(|| format!("{}: it is not there", mutant.name))?;
    let mut text = text.to_owned();
    text.replace_range(place, &mutant.replacement);
    Ok(text)
}

/// What is wrong with an arm that a constant needs: the path of the function that is no longer const.
pub(crate) fn needed_by_constant(message: &str) -> Option<String> {
    let (_, what) = message.split_once("non-const ")?;
    let (kind, rest) = what.split_once(" `")?;
    let (path, _) = rest.split_once('`')?;
    matches!(kind, "function" | "method" | "associated function").then(|| plain(path))
}

/// Whether the end of a path is that of a function, generics aside.
pub(crate) fn is_path_of(path: &str, function: &Function) -> bool {
    format!("::{}", plain(path)).ends_with(&format!("::{}", plain(&function.function_name)))
}

/// A path without generics.
fn plain(path: &str) -> String {
    let mut depth = 0_u32;
    let mut plain = String::new();
    for character in path.chars() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(character),
            _ => {}
        }
    }
    plain.replace("::::", "::")
}

impl Span {
    /// The place in bytes.
    fn bytes(self, text: &str) -> Option<Range<usize>> {
        let (start, end) = (self.start.byte(text)?, self.end.byte(text)?);
        (start <= end).then_some(start..end)
    }
}

impl Position {
    fn byte(self, text: &str) -> Option<usize> {
        let mut start = 0;
        for line in text.split_inclusive('\n').take(self.line.checked_sub(1)?) {
            start += line.len();
        }
        let column = self.column.checked_sub(1)?;
        let line = text.get(start..)?.split_inclusive('\n').next().unwrap_or_default();
        let mut places = line.char_indices().map(|(place, _)| place).chain([line.len()]);
        Some(start + places.nth(column)?)
    }
}

/// The parts of a function that are rewritten, in bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Parts {
    /// The word `const`.
    constness: Option<Range<usize>>,
    /// With its braces.
    body: Range<usize>,
    /// The traits of the type that it returns, if that is `impl`.
    opaque: Option<String>,
}

/// The functions of a source that are in no other, in order.
fn functions(text: &str) -> Result<Vec<Parts>> {
    let file = syn::parse_file(text).context("this is no source file")?;
    let mut visitor = Visitor { text, found: Vec::new() };
    visitor.visit_file(&file);
    Ok(visitor.found)
}

struct Visitor<'a> {
    text: &'a str,
    found: Vec<Parts>,
}

impl Visitor<'_> {
    /// The traits of an opaque type. Its lifetimes are those of what the box borrows.
    fn traits(&self, returned: &syn::Type) -> Option<String> {
        let syn::Type::ImplTrait(opaque) = returned else { return None };
        let traits = opaque.bounds.iter().filter(|bound| matches!(bound, syn::TypeParamBound::Trait(_)));
        let texts = traits.map(|bound| self.text.get(bound.span().byte_range()));
        Some(texts.collect::<Option<Vec<_>>>()?.join(" + "))
    }

    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let opaque = match &signature.output {
            syn::ReturnType::Type(_, returned) => self.traits(returned),
            syn::ReturnType::Default => None,
        };
        let constness = signature.constness.map(|word| word.span().byte_range());
        self.found.push(Parts { constness, body: body.span().byte_range(), opaque });
    }
}

// None of these looks into the function.
impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.add(&function.sig, body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mutant that puts `replacement` in the place of the only `from` in a text.
    fn mutant(text: &str, from: &str, replacement: &str) -> Mutant {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        let position = |byte: usize| {
            let before = text.get(..byte).unwrap();
            let line = before.rsplit('\n').next().unwrap();
            Position { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
        };
        let start = text.find(from).unwrap();
        Mutant {
            name: format!("crates/core/src/a.rs: replace {from}"),
            file: "crates/core/src/a.rs".into(),
            function: None,
            span: Span { start: position(start), end: position(start + from.len()) },
            replacement: replacement.into(),
        }
    }

    /// Puts mutants into a text: it must be the expected one, and each arm must have its own lines.
    fn check(text: &str, edits: &[(&str, &str)], expected: &str) {
        let mutants: Vec<Mutant> = edits.iter().map(|(from, to)| mutant(text, from, to)).collect();
        let numbered: Vec<(u32, &Mutant)> = (1..).zip(&mutants).collect();
        let switch = Switch::new(text, &numbered).unwrap();
        assert_eq!(switch.text, expected);
        assert!(syn::parse_file(&switch.text).is_ok(), "{expected}");
        let lines: Vec<&str> = expected.lines().collect();
        for Arm { number, first, last } in switch.arms {
            assert!(lines[first - 1].starts_with(&format!("{number} => ")), "{number}");
            assert!(last == lines.len() || lines[last].contains(" => "), "{number}");
        }
    }

    #[test]
    fn a_function_becomes_a_switch() {
        check(
            "fn f(a: u8) -> u8 {\n    a + 1\n}\n",
            &[("+", "-"), ("a + 1", "0")],
            "fn f(a: u8) -> u8 { match crate::mutant() {\n\
             1 => { {\n    a - 1\n} }\n\
             2 => { {\n    0\n} }\n\
             _ => { {\n    a + 1\n} } } }\n",
        );
        // The whole body.
        check(
            "fn f() { g() }",
            &[("{ g() }", "()")],
            "fn f() { match crate::mutant() {\n1 => { () }\n_ => { { g() } } } }",
        );
    }

    #[test]
    fn what_has_no_mutants_stays() {
        let text = "//! é\nconst fn f() {}\nfn g() { h() }\nfn i() {}\n";
        let expected = "//! é\nconst fn f() {}\nfn g() { match crate::mutant() {\n1 => { { 0 } }\n_ => { { h() } } } }\nfn i() {}\n";
        check(text, &[("h()", "0")], expected);
        check(text, &[], text);
    }

    #[test]
    fn a_switch_is_not_const() {
        check(
            "impl A { pub const fn f() -> u8 { 7 } }",
            &[("7", "8")],
            "impl A { pub  fn f() -> u8 { match crate::mutant() {\n1 => { { 8 } }\n_ => { { 7 } } } } }",
        );
    }

    #[test]
    fn braces_in_literals_and_comments_are_none() {
        let text = "fn f() -> u8 { // }\n    let _ = (\"}\", '}', b'}', r#\"}\"#); /* } */ 7 }\nfn g<'a>(a: &'a u8) -> &'a u8 { a }\n";
        let body = "{ // }\n    let _ = (\"}\", '}', b'}', r#\"}\"#); /* } */ 7 }";
        let mutated = body.replace('7', "8");
        let expected = format!(
            "fn f() -> u8 {{ match crate::mutant() {{\n1 => {{ {mutated} }}\n_ => {{ {body} }} }} }}\n\
             fn g<'a>(a: &'a u8) -> &'a u8 {{ a }}\n"
        );
        check(text, &[("7", "8")], &expected);
    }

    #[test]
    fn characters_are_not_bytes() {
        check(
            "fn f() { g(\"é→\"); h() }",
            &[("h()", "()")],
            "fn f() { match crate::mutant() {\n1 => { { g(\"é→\"); () } }\n_ => { { g(\"é→\"); h() } } } }",
        );
    }

    #[test]
    fn a_function_within_another_is_part_of_it() {
        check(
            "fn f() { fn g() { 1 } g() }",
            &[("1", "2")],
            "fn f() { match crate::mutant() {\n1 => { { fn g() { 2 } g() } }\n_ => { { fn g() { 1 } g() } } } }",
        );
    }

    #[test]
    fn an_opaque_type_is_boxed() {
        check(
            "trait T { fn f(&self) -> impl Iterator<Item = u8> + Send + use<'_> { a() } fn g(); }",
            &[("a()", "b()")],
            "trait T { fn f(&self) -> impl Iterator<Item = u8> + Send + use<'_> { match crate::mutant() {\n\
             1 => { alloc::boxed::Box::new({ b() }) as alloc::boxed::Box<dyn Iterator<Item = u8> + Send + '_> }\n\
             _ => { alloc::boxed::Box::new({ a() }) as alloc::boxed::Box<dyn Iterator<Item = u8> + Send + '_> } } } \
             fn g(); }",
        );
    }

    #[test]
    fn a_mutant_outside_of_functions_has_no_arm() {
        let text = "const A: u8 = 1;\nfn f() { 2 }\n";
        let mutants = [mutant(text, "1", "3"), mutant(text, "2", "4")];
        let switch = Switch::new(text, &[(5, &mutants[0]), (9, &mutants[1])]).unwrap();
        assert_eq!(switch.outside, [5]);
        assert_eq!(switch.arms, [Arm { number: 9, first: 3, last: 3 }]);
        assert_eq!(alone(text, &mutants[0]).unwrap(), "const A: u8 = 3;\nfn f() { 2 }\n");
    }

    #[test]
    fn a_place_that_is_not_there_is_refused() {
        let text = "fn f() {\n}\n";
        let check = |line, column, expected: Option<usize>| {
            assert_eq!(Position { line, column }.byte(text), expected, "{line}:{column}");
        };
        check(1, 1, Some(0));
        check(1, 9, Some(8));
        check(2, 1, Some(9));
        check(2, 3, Some(11));
        check(2, 4, None);
        check(0, 1, None);
        check(1, 0, None);
        check(4, 2, None);
        let mut gone = mutant(text, "{", "[");
        gone.span.start.line = 9;
        gone.span.start.column = 9;
        assert!(Switch::new(text, &[(1, &gone)]).is_err());
        assert!(alone(text, &gone).is_err());
        assert!(Switch::new("fn f( {", &[]).is_err());
    }

    #[test]
    fn the_root_gets_the_number() {
        let text = "//! Core.\n#![no_std]\n#![deny(a)]\n\nextern crate alloc;\n\nmod b;\n";
        let found = root(text).unwrap();
        let start = "//! Core.\n#![no_std] #![allow(warnings)]\n#![deny(a)]\n\nextern crate alloc; extern crate std;\n\nmod b;\n";
        assert_eq!(found, format!("{start}{NUMBER}"));
        assert!(syn::parse_file(&found).is_ok());
        assert!(root("#![no_std]\n").is_err());
        let core = crate::workspace::top().join(crate::workspace::CORE).join("lib.rs");
        assert!(root(&crate::workspace::read(&core).unwrap()).is_ok());
    }

    #[test]
    fn a_function_that_a_constant_needs_is_named() {
        let check =
            |message: &str, expected: Option<&str>| assert_eq!(needed_by_constant(message).as_deref(), expected);
        check("cannot call non-const associated function `values::Bps::new` in constants", Some("values::Bps::new"));
        check("cannot call non-const method `Array::<u8, 4>::get` in statics", Some("Array::get"));
        check("cannot call non-const function `f` in constant functions", Some("f"));
        check("cannot call non-const operator in constants", None);
        check("mismatched types", None);

        let is_path = |path: &str, name: &str| is_path_of(path, &Function { function_name: name.into() });
        assert!(is_path("values::Bps::new", "Bps::new"));
        assert!(is_path("Bps::new", "Bps::new"));
        assert!(is_path("tree::Arena::new", "Arena<Node<T>>::new"));
        assert!(!is_path("values::Bps::new", "XBps::new"));
        assert!(!is_path("values::Bps::renew", "new"));
    }
}
