//! A wallet on paper: its file, still sealed by the passphrase, in texts that fit QR codes.
//!
//! `CITY-NODE/1/TAG/N/M/DATA`, all in QR's alphanumeric alphabet: DATA is base32 of one piece of SHA-256(file) ‖ file,
//! where `file` is the compact form of what a passphrase seals; TAG, base32 of the digest's first five bytes, tells
//! pieces of different wallets apart. In any order, each at least once, they give the file back.

use std::collections::BTreeMap;

use city_protocol::ids::sha256;
use data_encoding::BASE32_NOPAD;
use qrcode::render::unicode;
use qrcode::{EcLevel, QrCode};

use crate::keys::passphrase::{self, PassphraseError};

/// How each text begins.
const PREFIX: &str = "CITY-NODE/1";
/// Bytes in one code: 1,600 characters, 117 modules square, which a screen shows and a telephone reads.
const PIECE: usize = 1000;
/// Most codes: a wallet of the larger suite takes eleven.
const MAX_CODES: usize = 40;
/// Length of the digest in bytes.
const DIGEST: usize = 32;

/// Why texts do not give a wallet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PaperError {
    /// One is no text of ours.
    #[error("line {0} is not a text of a wallet's QR code; scan that code again")]
    Text(usize),
    /// Two wallets.
    #[error("line {0} belongs to another wallet than the first line; give the texts of one wallet")]
    Other(usize),
    /// Some are not there.
    #[error("of {of} codes these are missing: {}; scan them, too", missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Missing {
        /// How many there are.
        of: usize,
        /// Which are missing.
        missing: Vec<usize>,
    },
    /// All are there, and they are not what was written.
    #[error("the codes do not fit together; scan them again")]
    Damaged,
    /// What was put together, or is to be written, is not sealed by a passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
}

/// The texts of a sealed file.
///
/// # Errors
/// [`PaperError::Passphrase`] if it is not one.
pub fn texts(sealed: &[u8]) -> Result<Vec<String>, PaperError> {
    let compact = passphrase::to_compact(sealed)?;
    let digest = sha256(&[&compact]);
    let whole = [&digest[..], &compact].concat();
    let tag = tag(&digest);
    let pieces: Vec<&[u8]> = whole.chunks(PIECE).collect();
    let of = pieces.len();
    let text = |(i, piece): (usize, &&[u8])| {
        format!(
            "{PREFIX}/{tag}/{}/{of}/{}",
            i + 1,
            BASE32_NOPAD.encode(piece)
        )
    };
    Ok(pieces.iter().enumerate().map(text).collect())
}

/// What a code is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Paper, or a light terminal: what is drawn is dark.
    Light,
    /// A dark terminal: what is drawn is light.
    Dark,
}

/// A text as a QR code, two modules to a character.
///
/// # Panics
/// Never for texts of [`texts`]: they are short enough.
#[must_use]
pub fn code(text: &str, ground: Ground) -> String {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .expect("a piece fits the largest code");
    // The library calls `Dark` what it draws, and `Light` what it leaves blank.
    let (drawn, blank) = (unicode::Dense1x2::Dark, unicode::Dense1x2::Light);
    let (dark, light) = match ground {
        Ground::Light => (drawn, blank),
        Ground::Dark => (blank, drawn),
    };
    code.render::<unicode::Dense1x2>()
        .dark_color(dark)
        .light_color(light)
        .quiet_zone(true)
        .build()
}

/// The sealed file of its texts, one a line, in any order.
///
/// # Errors
/// A [`PaperError`] that says which line or code.
pub fn join(lines: &str) -> Result<Vec<u8>, PaperError> {
    let mut pieces = BTreeMap::new();
    let mut first: Option<(String, usize)> = None;
    for (i, line) in lines.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (tag, n, of, piece) = read(line).ok_or(PaperError::Text(i + 1))?;
        match &first {
            None => first = Some((tag.to_owned(), of)),
            Some((same, count)) if same == tag && *count == of => {}
            Some(_) => return Err(PaperError::Other(i + 1)),
        }
        pieces.insert(n, piece);
    }
    let (tag, of) = first.ok_or(PaperError::Text(1))?;
    let missing: Vec<usize> = (1..=of).filter(|n| !pieces.contains_key(n)).collect();
    if !missing.is_empty() {
        return Err(PaperError::Missing { of, missing });
    }
    let whole: Vec<u8> = pieces.into_values().flatten().collect();
    let (digest, compact) = whole
        .split_first_chunk::<DIGEST>()
        .ok_or(PaperError::Damaged)?;
    if sha256(&[compact]) != *digest || self::tag(digest) != tag {
        return Err(PaperError::Damaged);
    }
    Ok(passphrase::from_compact(compact)?)
}

fn tag(digest: &[u8; DIGEST]) -> String {
    let (tag, _) = digest.split_at(5);
    BASE32_NOPAD.encode(tag)
}

fn read(line: &str) -> Option<(&str, usize, usize, Vec<u8>)> {
    let rest = line.strip_prefix(PREFIX)?.strip_prefix('/')?;
    let mut parts = rest.splitn(4, '/');
    let tag = parts.next().filter(|tag| tag.len() == 8)?;
    let n: usize = parts.next()?.parse().ok()?;
    let of: usize = parts.next()?.parse().ok()?;
    let piece = BASE32_NOPAD.decode(parts.next()?.as_bytes()).ok()?;
    let sound = (1..=MAX_CODES).contains(&of)
        && (1..=of).contains(&n)
        && (1..=PIECE).contains(&piece.len());
    sound.then_some((tag, n, of, piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::wallet::Wallet;
    use crate::keys::Passphrase;
    use city_protocol::crypto::Suite;
    use zeroize::Zeroizing;

    fn passphrase() -> Passphrase {
        Passphrase::new(Zeroizing::new("correct horse battery".into())).unwrap()
    }

    fn sealed(suite: Suite) -> Vec<u8> {
        Wallet::generate(suite).seal(&passphrase()).unwrap()
    }

    #[test]
    fn a_wallet_comes_back_from_its_texts_in_any_order() {
        for (suite, codes) in [(Suite::Dilithium5Ntru, 11), (Suite::Fips, 4)] {
            let file = sealed(suite);
            let mut texts = texts(&file).unwrap();
            assert_eq!(texts.len(), codes);
            texts.reverse();
            texts.push(texts[0].clone());
            let lines = format!("\n {} \r\n", texts.join("\n\n"));
            assert_eq!(join(&lines).unwrap(), file);
        }
    }

    #[test]
    fn what_is_missing_wrong_or_of_another_wallet_is_told() {
        let file = sealed(Suite::Fips);
        let good = texts(&file).unwrap();
        assert_eq!(
            join(&good[1..3].join("\n")),
            Err(PaperError::Missing {
                of: 4,
                missing: vec![1, 4]
            })
        );
        let other = texts(&sealed(Suite::Fips)).unwrap();
        let mixed = [&good[..3], &other[3..]].concat().join("\n");
        assert_eq!(join(&mixed), Err(PaperError::Other(4)));
        assert_eq!(join("https://example.jp"), Err(PaperError::Text(1)));
        assert_eq!(join(""), Err(PaperError::Text(1)));
        let huge = good[0].replacen("/4/", "/99999999999/", 1);
        assert_eq!(join(&huge), Err(PaperError::Text(1)));
        // Another letter that base32 has, too.
        let mut changed = good.clone();
        let at = changed[2].len() - 9;
        let other = if changed[2].as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        changed[2].replace_range(at..=at, other);
        assert_eq!(join(&changed.join("\n")), Err(PaperError::Damaged));
    }

    /// What stands on the screen is what a telephone reads.
    #[test]
    fn a_code_on_the_screen_is_read_back() {
        let file = sealed(Suite::Fips);
        let texts = texts(&file).unwrap();
        let both = [Ground::Light, Ground::Dark].into_iter().cycle();
        for (text, ground) in texts.into_iter().zip(both) {
            let drawn = code(&text, ground);
            let rows: Vec<Vec<char>> = drawn.lines().map(|line| line.chars().collect()).collect();
            let (width, height) = (rows[0].len(), rows.len() * 2);
            // Each module as three by three points.
            let scale = 3;
            let mut image = rqrr::PreparedImage::prepare_from_greyscale(
                width * scale,
                height * scale,
                |x, y| {
                    let (x, y) = (x / scale, y / scale);
                    let upper = y % 2 == 0;
                    let inked = match rows[y / 2][x] {
                        '█' => true,
                        '▀' => upper,
                        '▄' => !upper,
                        _ => false,
                    };
                    let light = inked == (ground == Ground::Dark);
                    if light { 255 } else { 0 }
                },
            );
            let grids = image.detect_grids();
            let (_, content) = grids[0].decode().unwrap();
            assert_eq!(content, text);
        }
    }
}
