//! How far a home is on its way, for a person who watches.

use carry::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar with an estimate; nothing where standard error is no terminal.
pub struct Bar(ProgressBar);

impl Bar {
    /// Of a home.
    pub fn of(name: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The template is ours, so it is one.
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix} {bar:30} {binary_bytes}/{binary_total_bytes}, {msg}, {eta} left",
        ) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        Self(bar)
    }

    /// Shows it.
    pub fn show(&self, progress: Progress) {
        self.0.set_length(progress.size);
        self.0.set_position(progress.done);
        self.0.set_message(format!("{} moved", indicatif::BinaryBytes(progress.moved)));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
