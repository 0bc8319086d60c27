//! Reads the decimal fields of NMEA sentences in fixed point.
//!
//! The `nmea` crate gives coordinates as f64 and the rest as f32; a node signs what it read, so x86 and ARM must read the
//! same digits from the same text. Owns the arithmetic, not which field is which.

/// Digits after the point that are read; more are dropped. 1e-9 of a minute is two micrometres on the ground.
const MAX_DECIMALS: usize = 9;

/// Digits before the point that are read; more make the field unreadable. Enough for `dddmm` and `hhmmss`.
const MAX_WHOLE: usize = 9;

/// A decimal number as (digits with `MAX_DECIMALS` decimals, negative).
fn scaled(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let readable = whole.len() + decimals.len() > 0 && whole.len() <= MAX_WHOLE;
    if !readable || !all_digits(whole) || !all_digits(decimals) {
        return None;
    }
    let value = whole
        .bytes()
        .chain(
            decimals
                .bytes()
                .chain(std::iter::repeat(b'0'))
                .take(MAX_DECIMALS),
        )
        .fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

/// One, as [`scaled`] writes it.
const ONE: i64 = 10_i64.pow(9);

/// Billionths of a minute in 1e-7 degrees.
const MINUTES_PER_E7: i64 = 60 * ONE / 10_000_000;

/// A field times `factor / divisor`, rounded half up: `fixed("956.1", 1000, 1)` is metres to millimetres. `None` for an
/// empty or unreadable field.
pub(super) fn fixed(text: &str, factor: i32, divisor: i32) -> Option<i64> {
    let value = scaled(text)?;
    // Division of 128 bits costs more than all the rest, and no real figure needs it.
    if let Some(small) = value.checked_mul(2 * i64::from(factor))
        && let Some(small) = small.checked_add(ONE * i64::from(divisor))
    {
        return Some(small.div_euclid(2 * ONE * i64::from(divisor)));
    }
    let (numerator, denominator) = (
        i128::from(value) * i128::from(factor),
        i128::from(ONE) * i128::from(divisor),
    );
    i64::try_from((2 * numerator + denominator).div_euclid(2 * denominator)).ok()
}

/// A coordinate `dddmm.mmmm` with its hemisphere (`N`, `S`, `E`, `W`) in 1e-7 degrees, rounded half up. `None` for an empty
/// or impossible one (NMEA 0183, 5.2.2: latitude and longitude).
pub(super) fn coordinate_e7(text: &str, hemisphere: &str) -> Option<i32> {
    let (limit, negative) = match hemisphere {
        "N" => (90, false),
        "S" => (90, true),
        "E" => (180, false),
        "W" => (180, true),
        _ => return None,
    };
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let value = scaled(text)?;
    let degrees = value / (100 * ONE);
    let minutes = value % (100 * ONE);
    if minutes >= 60 * ONE {
        return None;
    }
    let total = degrees * 60 * ONE + minutes;
    if total > limit * 60 * ONE {
        return None;
    }
    let signed = if negative { -total } else { total };
    i32::try_from((2 * signed + MINUTES_PER_E7).div_euclid(2 * MINUTES_PER_E7)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates() {
        fn check(text: &str, hemisphere: &str, expected: Option<i32>) {
            assert_eq!(
                coordinate_e7(text, hemisphere),
                expected,
                "{text} {hemisphere}"
            );
        }
        check("3552.37449", "N", Some(358_729_082));
        check("13823.38721", "E", Some(1_383_897_868));
        check("3747.0873", "S", Some(-377_847_883));
        check("0000.0000", "N", Some(0));
        check("9000.0", "S", Some(-900_000_000));
        check("18000.000000000001", "W", Some(-1_800_000_000));
        // Half up: 0.0000003 minutes are 0.05e-7 degrees; 0.000003 are half a unit.
        check("0000.000003", "N", Some(1));
        check("0000.000003", "S", Some(0));
        check("0000.000009", "S", Some(-1));
        for bad in [
            "",
            "9000.1",
            "3560.0",
            "-3552.3",
            "35a2.1",
            "3552.3.1",
            "99999999999",
        ] {
            check(bad, "N", None);
        }
        check("3552.37449", "", None);
    }

    #[test]
    fn plain_numbers() {
        assert_eq!(fixed("956.1", 1000, 1), Some(956_100));
        assert_eq!(fixed("-0.0005", 1000, 1), Some(0));
        assert_eq!(fixed("0.0005", 1000, 1), Some(1));
        assert_eq!(fixed("1.17", 100, 1), Some(117));
        // Knots to millimetres a second: one is 1852 / 3.6.
        assert_eq!(fixed("0.059", 1_852_000, 3600), Some(30));
        assert_eq!(fixed(".5", 10, 1), Some(5));
        for bad in ["", "-", ".", "1e3", "1 ", "9999999999"] {
            assert_eq!(fixed(bad, 1, 1), None, "{bad}");
        }
    }
}
