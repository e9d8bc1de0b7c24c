//! `unsafe`: in which files, how often, and why it is right.

use super::source::Source;

/// A macro that makes `unsafe` functions.
const MAKES_UNSAFE: &[&str] = &["pam_hooks"];
/// Longest way, in lines, from the reason to what it is the reason for.
const REACH: usize = 8;

/// The lines on which the file has `unsafe`, and those on which it lets the compiler allow it.
pub fn places(source: &Source) -> Vec<usize> {
    let is_unsafe = |index: &usize| {
        let text = source.text(*index);
        text == "unsafe" || MAKES_UNSAFE.contains(&text) && source.text(index + 1) == "!"
    };
    (0..source.tokens.len()).filter(is_unsafe).map(|index| source.tokens[index].line).collect()
}

/// Files with more or less of `unsafe` than the list says: file and number of places.
pub fn check_list(list: &[(&str, usize)], sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let there = places(source).len();
        let listed = list.iter().find(|(path, _)| *path == source.path).map_or(0, |(_, count)| *count);
        if there != listed {
            wrong.push(format!("{}: unsafe in {there} places, and the list says {listed}", source.path));
        }
    }
    let gone = list.iter().filter(|(path, _)| sources.iter().all(|source| source.path != *path));
    wrong.extend(gone.map(|(path, _)| format!("{path}: in the list of unsafe, and not there")));
    wrong
}

/// Files outside `allowed` that switch the compiler's own check off.
pub fn check_switches(allowed: &[&str], source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, token) in source.tokens.iter().enumerate() {
        let off = ["allow", "expect", "warn"].contains(&token.text.as_str()) && source.text(index + 1) == "(";
        let inside = index + 1..source.closing(index + 1);
        if off
            && inside.into_iter().any(|at| source.text(at) == "unsafe_code")
            && !allowed.contains(&source.path.as_str())
        {
            wrong.push(source.finding(token.line, "unsafe_code is switched off"));
        }
    }
    wrong
}

/// Every `unsafe` without its reason: `// SAFETY:` on its line or right above the statement, or, for a
/// function that others must call with care, `# Safety` in its documentation.
pub fn check_reasons(source: &Source) -> Vec<String> {
    let bare = places(source).into_iter().filter(|line| !has_reason(source, *line));
    bare.map(|line| source.finding(line, "unsafe without a SAFETY line")).collect()
}

fn has_reason(source: &Source, line: usize) -> bool {
    let at = line - 1;
    if is_reason(&source.lines[at].comment) {
        return true;
    }
    for above in source.lines[at.saturating_sub(REACH)..at].iter().rev() {
        let code = above.code.trim();
        if is_reason(&above.comment) && code.is_empty() {
            return true;
        }
        // Here another statement ends or a block begins: what is above is not about this one.
        let foreign = code.ends_with([';', '{', '}']) || code.is_empty() && above.comment.is_empty();
        if foreign {
            return false;
        }
    }
    false
}

fn is_reason(comment: &str) -> bool {
    let said = |mark: &str| comment.split_once(mark).is_some_and(|(_, reason)| !reason.trim().is_empty());
    said("// SAFETY:") || comment.starts_with("///") && comment.contains("# Safety")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(text: &str) -> usize {
        check_reasons(&Source::new("x.rs", text)).len()
    }

    #[test]
    fn unsafe_without_a_reason_is_refused() {
        for text in [
            "let a = unsafe { f() };",
            "// It is fine.\nlet a = unsafe { f() };",
            "// SAFETY:\nlet a = unsafe { f() };",
            "// SAFETY: of another.\nlet a = b;\nlet c = unsafe { f() };",
            "// SAFETY: far away.\n\nlet c = unsafe { f() };",
            "// SAFETY: of the block.\nfn f() {\nunsafe { g() }\n}",
            "let a = \"// SAFETY: x\"; unsafe { f() }",
            "unsafe impl Send for A {}",
            "/// Does.\nunsafe fn f() {}",
            "unsafe extern \"C\" {\nfn f();\n}",
            "pam::pam_hooks!(Module);",
        ] {
            assert_eq!(bare(text), 1, "{text}");
        }
        assert_eq!(bare("// SAFETY: of the first.\nunsafe { f() };\nunsafe { f() };"), 1);
    }

    #[test]
    fn a_reason_next_to_it_is_enough() {
        for text in [
            "// SAFETY: open.\nlet a =\n    unsafe { f() };",
            "// SAFETY: open,\n// and ours.\n#[link]\nunsafe extern \"C\" { fn f(); }",
            "unsafe { f() } // SAFETY: open.",
            "/// Does.\n///\n/// # Safety\n/// Once only.\nunsafe fn f() {}",
            "fn f() {} // unsafe",
        ] {
            assert_eq!(bare(text), 0, "{text}");
        }
    }

    #[test]
    fn the_list_must_be_true() {
        let sources = || [Source::new("a.rs", "unsafe {} unsafe {}"), Source::new("b.rs", "")];
        assert_eq!(check_list(&[("a.rs", 2)], &sources()), Vec::<String>::new());
        for list in [
            &[][..],
            &[("a.rs", 1)],
            &[("a.rs", 3)],
            &[("a.rs", 2), ("b.rs", 1)],
            &[("a.rs", 2), ("c.rs", 1)],
        ] {
            assert_eq!(check_list(list, &sources()).len(), 1, "{list:?}");
        }
    }

    #[test]
    fn the_compilers_check_stays_on() {
        let wrong = |text| check_switches(&["sys.rs"], &Source::new("x.rs", text)).len();
        assert_eq!(wrong("#![allow(dead_code, unsafe_code)]"), 1);
        assert_eq!(wrong("#[expect(unsafe_code)] fn f() {}"), 1);
        assert_eq!(wrong("#![forbid(unsafe_code)] // allow(unsafe_code)"), 0);
        let inside = Source::new("sys.rs", "#![allow(unsafe_code)]");
        assert_eq!(check_switches(&["sys.rs"], &inside), Vec::<String>::new());
    }
}
