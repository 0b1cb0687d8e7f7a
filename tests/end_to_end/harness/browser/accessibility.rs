//! axe-core, run inside the page as it stands.

use std::path::Path;

use serde_json::Value;

use super::Window;

/// Where `cargo xtask test` puts the script.
fn script() -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in a target folder");
    let path = target.join("axe/axe.min.js");
    std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("cannot read {}: {error}; cargo xtask test puts it there", path.display())
    })
}

impl Window<'_> {
    /// Fails for whatever axe-core finds wrong, and for text of which it cannot tell the contrast: it
    /// gives up where something else may lie over a text.
    pub fn assert_accessible(&self, when: &str) {
        self.evaluate(&script(), ());
        // What it does not find is left out: with two thousand boxes that list is long.
        let run = "return axe.run(document, { resultTypes: ['violations', 'incomplete'] }).then((found) =>
            [...found.violations, ...found.incomplete.filter(({ id }) => id === 'color-contrast')]
                .map(({ id, impact, help, nodes }) => ({
                    id, impact, help, times: nodes.length,
                    first: nodes.slice(0, 3).map(({ html, failureSummary, any }) =>
                        `${html} ${failureSummary ?? ''} ${any.map(({ message }) => message)}`),
                })))";
        let found = self.evaluate(run, ());
        let Value::Array(found) = found else { panic!("axe-core says {found}") };
        assert!(found.is_empty(), "axe-core, {when}: {found:#?}");
    }
}
