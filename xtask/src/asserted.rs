//! What a source says cannot happen, so that no test is asked to reach it: its assertions for debug builds,
//! and blocks that begin with `debug_assert!(false, ..)` or with a call of `broken`.

use anyhow::{Context, Result};
use proc_macro2::{LineColumn, Span};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The places of a source that are not asked for.
#[derive(Debug, Default)]
pub(crate) struct Asserted {
    /// Nothing in them.
    blocks: Vec<Place>,
    /// The patterns of a `let` whose `else` is such a block: always true.
    patterns: Vec<Place>,
    /// The conditions of an `if` that leads into such a block: never true.
    conditions: Vec<Place>,
}

/// From a place up to, not including, another.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: LineColumn,
    end: LineColumn,
}

impl Asserted {
    /// Reads a source.
    pub(crate) fn of(text: &str) -> Result<Self> {
        let file = syn::parse_file(text).context("this is no source file")?;
        let mut asserted = Self::default();
        asserted.visit_file(&file);
        Ok(asserted)
    }

    /// Whether code that begins at a place cannot be reached. Columns are from 1 on.
    pub(crate) fn has(&self, line: u32, column: u32) -> bool {
        is_in(&self.blocks, line, column)
    }

    /// Whether a line is in such a block, but for the line on which it begins.
    pub(crate) fn has_line(&self, line: u32) -> bool {
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        self.blocks.iter().any(|place| place.start.line < line && line <= place.end.line)
    }

    /// Whether the condition at a place is always true.
    pub(crate) fn is_always_true(&self, line: u32, column: u32) -> bool {
        is_in(&self.patterns, line, column)
    }

    /// Whether the condition at a place is never true.
    pub(crate) fn is_never_true(&self, line: u32, column: u32) -> bool {
        is_in(&self.conditions, line, column)
    }
}

fn is_in(places: &[Place], line: u32, column: u32) -> bool {
    let (Ok(line), Ok(column)) = (usize::try_from(line), usize::try_from(column)) else { return false };
    let here = LineColumn { line, column: column.saturating_sub(1) };
    places.iter().any(|place| place.start <= here && here < place.end)
}

impl Place {
    fn of(span: Span) -> Self {
        Self { start: span.start(), end: span.end() }
    }
}

/// Whether a block says that it is never entered.
fn is_asserted(block: &syn::Block) -> bool {
    match block.stmts.first() {
        Some(syn::Stmt::Macro(first)) => {
            let first_token = first.mac.tokens.clone().into_iter().next();
            first.mac.path.is_ident("debug_assert") && first_token.is_some_and(|token| token.to_string() == "false")
        }
        Some(syn::Stmt::Expr(syn::Expr::Return(first), _)) => first.expr.as_deref().is_some_and(is_broken),
        Some(syn::Stmt::Expr(first, _)) => is_broken(first),
        Some(syn::Stmt::Local(_) | syn::Stmt::Item(_)) | None => false,
    }
}

/// Whether an expression reports a broken invariant.
fn is_broken(found: &syn::Expr) -> bool {
    matches!(found, syn::Expr::MethodCall(call) if call.method == "broken")
}

impl<'ast> Visit<'ast> for Asserted {
    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        if ["debug_assert", "debug_assert_eq", "debug_assert_ne"].iter().any(|name| found.path.is_ident(name)) {
            self.blocks.push(Place::of(found.span()));
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        if is_asserted(block) {
            self.blocks.push(Place::of(block.span()));
        }
        visit::visit_block(self, block);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let diverge = local.init.as_ref().and_then(|init| init.diverge.as_ref());
        if diverge.is_some_and(|(_, diverge)| matches!(&**diverge, syn::Expr::Block(of) if is_asserted(&of.block))) {
            self.patterns.push(Place::of(local.pat.span()));
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_if(&mut self, found: &'ast syn::ExprIf) {
        if is_asserted(&found.then_branch) {
            self.conditions.push(Place::of(found.cond.span()));
        }
        visit::visit_expr_if(self, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
fn f(a: Option<u8>, b: u8) -> u8 {
    debug_assert!(b > 1, \"why\");
    let Some(a) = a else {
        debug_assert!(false, \"why\");
        return 0;
    };
    let Some(c) = g() else { return 1 };
    if a > b {
        debug_assert!(false, \"why\");
    }
    if b > a {
        debug_assert!(c, \"why\");
    }
    let Some(d) = h() else {
        return out.broken(d);
    };
    let Some(e) = h() else {
        out.broken(e);
    };
    a
}
";

    #[test]
    fn what_cannot_happen_is_found() {
        let asserted = Asserted::of(TEXT).unwrap();
        let lines = |is: &dyn Fn(u32) -> bool| (1..=21).filter(|line| is(*line)).collect::<Vec<u32>>();
        // Where the first word of a line stands, and where the blocks begin.
        assert_eq!(
            lines(&|line| asserted.has(line, 5) || asserted.has(line, 9)),
            [2, 4, 5, 6, 9, 10, 12, 15, 16, 18, 19]
        );
        assert!(asserted.has(3, 26) && !asserted.has(3, 25) && !asserted.has(1, 1) && !asserted.has(7, 28));
        assert!(asserted.has(8, 14) && !asserted.has(11, 14));
        assert_eq!(lines(&|line| asserted.has_line(line)), [4, 5, 6, 9, 10, 15, 16, 18, 19]);
        assert_eq!(lines(&|line| asserted.is_always_true(line, 9)), [3, 14, 17]);
        assert_eq!(lines(&|line| asserted.is_never_true(line, 8)), [8]);
        assert!(Asserted::of("fn f( {").is_err());
    }
}
