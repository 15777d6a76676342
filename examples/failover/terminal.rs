//! The terminal: taken over for a picture that is drawn again and again, and given back in any case.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub const BOLD: &str = "1";
pub const DIM: &str = "2";
pub const RED: &str = "31";
pub const GREEN: &str = "32";
pub const YELLOW: &str = "33";
pub const CYAN: &str = "36";

/// Whether the terminal shows our picture. Global, because a panic must be able to give it back.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Shows pictures on a terminal, and lines elsewhere.
pub struct Terminal {
    colours: bool,
    picture: String,
}

impl Terminal {
    pub fn take() -> Self {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // The story's own crashes are not printed.
            let text = panic.payload().downcast_ref::<&str>().copied().unwrap_or_default();
            if !text.contains("asked for by the crash hook") {
                give_back();
                usual(panic);
            }
        }));
        if io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
            TAKEN.store(true, Relaxed);
            // The other screen, without a cursor: what was there before comes back in the end.
            put("\x1b[?1049h\x1b[?25l");
        }
        Self { colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()), picture: String::new() }
    }

    /// Adds a line to the picture, and erases what an earlier picture left behind it.
    pub fn line(&mut self, line: &str) {
        let _ = write!(self.picture, "{line}\x1b[K\r\n");
    }

    /// Shows the lines added since the last picture in its place.
    pub fn show(&mut self) {
        put(&format!("\x1b[H{}\x1b[J", self.picture));
        self.picture.clear();
    }

    pub fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Tells whether there is a picture to draw, and no lines to print.
pub fn is_taken() -> bool {
    TAKEN.load(Relaxed)
}

fn give_back() {
    if TAKEN.swap(false, Relaxed) {
        put("\x1b[?25h\x1b[?1049l");
    }
}

/// Writes to stdout. If the reader has left this goes on: the exit status still tells the result.
pub fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
