//! Dollars for people.

/// Writes dollars as people read them: three significant digits, and no powers of ten.
pub fn dollars(cost: f64) -> String {
    if cost == 0.0 || !cost.is_finite() {
        return "0".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of digits from 2 to 12")]
    let digits = (2.0 - cost.abs().log10().floor()).clamp(2.0, 12.0) as usize;
    let text = format!("{cost:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::dollars;

    #[test]
    fn dollars_are_no_powers_of_ten() {
        for (cost, expected) in [
            (0.0, "0"),
            (0.000_01, "0.00001"),
            (0.000_012_345, "0.0000123"),
            (0.25, "0.25"),
            (12.3456, "12.35"),
            (1e-9, "0.000000001"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(dollars(cost), expected, "{cost}");
        }
    }
}
