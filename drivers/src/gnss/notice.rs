//! What a receiver says in words: TXT sentences (NMEA 0183 4.11, TXT), in which receivers tell what they are, what they were
//! refused, and how their antenna is.
//!
//! Owns the form, and which words of u-blox, Quectel and ST speak of the antenna. A sentence that came by this line is a
//! stranger's text: it is cut to printable characters and to [`MAX_NOTICE`].

use super::framing::Frame;
use std::collections::VecDeque;
use std::time::Duration;

/// Longest text kept, characters: a sentence has 82, and receivers that write longer ones still mean one line.
pub const MAX_NOTICE: usize = 100;

/// So many different texts are remembered to tell what is new. A u-blox says some 15 at its start.
const REMEMBERED: usize = 24;

/// The same text is news again after this long: a receiver that repeats it each second says that it still holds.
const NEWS_AGAIN: Duration = Duration::from_secs(60);

/// How much a notice matters, as the receiver says (u-blox interface description, TXT msgType; others use the same numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// 00.
    Error,
    /// 01.
    Warning,
    /// 02.
    Notice,
    /// 07.
    User,
    /// Another number, or none.
    Other,
}

impl Severity {
    /// The stable word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::User => "user",
            Self::Other => "other",
        }
    }

    fn of(number: &str) -> Self {
        match number {
            "00" => Self::Error,
            "01" => Self::Warning,
            "02" => Self::Notice,
            "07" => Self::User,
            _ => Self::Other,
        }
    }
}

/// How the receiver's own supervision finds its antenna.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AntennaState {
    /// It draws the current that an antenna draws.
    Ok,
    /// The line is short-circuited.
    Short,
    /// Nothing is connected, or something that draws no current.
    Open,
}

impl AntennaState {
    /// The stable word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Short => "short",
            Self::Open => "open",
        }
    }
}

/// One line of a receiver's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub severity: Severity,
    /// The words, printable, at most [`MAX_NOTICE`] characters; never empty.
    pub text: String,
}

impl Notice {
    /// Reads a sentence from `$` to its checksum, as the framer delivers it; `None` if it is no TXT, or has no words.
    pub(super) fn of_sentence(sentence: &str) -> Option<Self> {
        let body = sentence.strip_prefix('$')?;
        let body = body.rsplit_once('*').map_or(body, |(body, _)| body);
        let (address, data) = body.split_once(',')?;
        if address.len() != 5 || !address.ends_with("TXT") {
            return None;
        }
        let (severity, text) = numbered(data).unwrap_or((Severity::Other, data));
        let text = printable(text);
        (!text.is_empty()).then_some(Self { severity, text })
    }

    /// What it says of the antenna: `ANTSTATUS=…` of u-blox, `ANTENNA …` of Quectel, MediaTek and ST.
    #[must_use]
    pub fn antenna(&self) -> Option<AntennaState> {
        let state = ["ANTSTATUS=", "ANTENNA "]
            .into_iter()
            .find_map(|said| self.text.strip_prefix(said))?;
        match state.trim() {
            "OK" => Some(AntennaState::Ok),
            "SHORT" => Some(AntennaState::Short),
            "OPEN" => Some(AntennaState::Open),
            // INIT and DONTKNOW: it is not known yet, or not supervised.
            _ => None,
        }
    }
}

/// Behind the number of sentences, the sentence's own and the severity, two digits each. st-teseo-liv4f leaves them out.
fn numbered(data: &str) -> Option<(Severity, &str)> {
    let mut parts = data.splitn(4, ',');
    let mut number = || {
        let part = parts.next()?;
        (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then_some(part)
    };
    let (_total, _this, severity) = (number()?, number()?, number()?);
    Some((Severity::of(severity), parts.next()?))
}

/// Without what would rewrite a screen; `^2C` is the character 2C, as sentences write what they reserve.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text.trim();
    while let Some(next) = rest.chars().next() {
        let escaped = rest
            .strip_prefix('^')
            .and_then(|code| code.get(..2))
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        let (character, len) = match escaped {
            Some(byte) => (char::from(byte), 3),
            None => (next, next.len_utf8()),
        };
        shown.extend(Some(character).filter(|c| !c.is_control()));
        rest = &rest[len..];
    }
    shown.chars().take(MAX_NOTICE).collect()
}

/// Tells what a receiver says anew from what it repeats. `now` is any clock that runs forward.
#[derive(Debug, Default)]
pub(super) struct News {
    said: VecDeque<(Notice, Duration)>,
    antenna: Option<AntennaState>,
}

impl News {
    /// What a frame says anew, if it is words.
    pub(super) fn told(&mut self, frame: &Frame<'_>, now: Duration) -> Option<Notice> {
        let Frame::Nmea { text } = frame else {
            return None;
        };
        Notice::of_sentence(text).filter(|notice| self.is_new(notice, now))
    }

    /// Whether this was not said a moment ago. Of the antenna each change is news, however soon.
    fn is_new(&mut self, notice: &Notice, now: Duration) -> bool {
        let antenna = notice.antenna();
        let changed = antenna.is_some() && antenna != self.antenna;
        self.antenna = antenna.or(self.antenna);
        let known = self.said.iter_mut().find(|(held, _)| held == notice);
        if let Some((_, at)) = known {
            let again = changed || now.saturating_sub(*at) >= NEWS_AGAIN;
            if again {
                *at = now;
            }
            return again;
        }
        if self.said.len() == REMEMBERED {
            self.said.pop_front();
        }
        self.said.push_back((notice.clone(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(sentence: &str) -> Option<(Severity, String)> {
        let notice = Notice::of_sentence(sentence)?;
        Some((notice.severity, notice.text))
    }

    #[test]
    fn sentences_of_several_makers() {
        let check = |sentence: &str, severity, text: &str| {
            assert_eq!(
                said(sentence),
                Some((severity, text.to_owned())),
                "{sentence}"
            );
        };
        check(
            "$GNTXT,01,01,00,txbuf alloc*61",
            Severity::Error,
            "txbuf alloc",
        );
        check(
            "$GPTXT,01,01,01,ANTENNA OK*35",
            Severity::Warning,
            "ANTENNA OK",
        );
        check(
            "$GNTXT,01,01,02,ANTSTATUS=OK*25",
            Severity::Notice,
            "ANTSTATUS=OK",
        );
        check(
            "$GNTXT,01,01,07,hello, all*00",
            Severity::User,
            "hello, all",
        );
        check(
            "$GPTXT,DEFAULT PVT CONFIGURATION*00",
            Severity::Other,
            "DEFAULT PVT CONFIGURATION",
        );
        check("$GNTXT,01,01,02,a^2Cb^*00", Severity::Notice, "a,b^");
        check(
            "$GNTXT,01,01,02, HW  UBX-G5xxx  00040005 *00",
            Severity::Notice,
            "HW  UBX-G5xxx  00040005",
        );
    }

    #[test]
    fn what_is_no_text_or_would_rewrite_a_screen() {
        for none in [
            "$GPGGA,1*00",
            "$GNTXT,01,01,02,*00",
            "$GNTXT*00",
            "$PTXT,x*00",
            "",
            "$GNTXT,01,01,02,^1B^0A*00",
        ] {
            assert_eq!(said(none), None, "{none}");
        }
        let (_, text) = said("$GNTXT,01,01,02,\u{1b}[2J^1B[31mred\u{9b}*00").unwrap();
        assert_eq!(text, "[2J[31mred");
        let long = format!("$GNTXT,01,01,02,{}*00", "漢".repeat(300));
        assert_eq!(said(&long).unwrap().1.chars().count(), MAX_NOTICE);
    }

    #[test]
    fn the_antenna_in_the_words_of_each() {
        let check = |text: &str, expected| {
            let notice = Notice {
                severity: Severity::Notice,
                text: text.into(),
            };
            assert_eq!(notice.antenna(), expected, "{text}");
        };
        check("ANTSTATUS=SHORT", Some(AntennaState::Short));
        check("ANTSTATUS=OPEN", Some(AntennaState::Open));
        check("ANTENNA OPEN", Some(AntennaState::Open));
        check("ANTENNA OK", Some(AntennaState::Ok));
        check("ANTSTATUS=DONTKNOW", None);
        check("ANTSUPERV=AC SD PDoS SR", None);
    }

    #[test]
    fn a_repetition_is_no_news_and_a_change_of_the_antenna_always() {
        let mut news = News::default();
        let of = |text: &str| Notice {
            severity: Severity::Warning,
            text: text.into(),
        };
        let mut at = |text: &str, second| news.is_new(&of(text), Duration::from_secs(second));
        assert!(at("ANTENNA OK", 0));
        assert!(!at("ANTENNA OK", 1));
        assert!(at("ANTENNA SHORT", 2));
        assert!(at("ANTENNA OK", 3), "it was short in between");
        assert!(!at("ANTENNA OK", 62));
        assert!(at("ANTENNA OK", 63), "it still holds");
        // However much is said, little is remembered.
        for n in 0..1000 {
            at(&format!("nonsense {n}"), 70);
        }
        assert!(news.said.len() <= REMEMBERED);
    }
}
