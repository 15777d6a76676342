//! Times for people: as exact as a reader wants.

use std::fmt;
use std::time::Duration;

/// A time as messages write it: `640 ms`, `2.5 s`, `90 s`.
#[derive(Clone, Copy, Debug)]
pub struct Brief(pub Duration);

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs_f64(), self.0.as_millis());
        match millis {
            0 => f.write_str("less than 1 ms"),
            1..1_000 => write!(f, "{millis} ms"),
            1_000..10_000 if millis % 1_000 >= 100 => write!(f, "{:.1} s", (seconds * 10.0).floor() / 10.0),
            _ => write!(f, "{} s", self.0.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_two_digits_that_matter() {
        for (micros, text) in [
            (600, "less than 1 ms"),
            (41_790, "41 ms"),
            (1_000_000, "1 s"),
            (2_590_000, "2.5 s"),
            (9_999_999, "9.9 s"),
            (61_500_000, "61 s"),
        ] {
            assert_eq!(Brief(Duration::from_micros(micros)).to_string(), text);
        }
    }
}
