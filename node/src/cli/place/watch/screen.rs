//! The terminal of `place watch`: taken, drawn on, and given back whatever happens.
//!
//! Before a panic is told, too: a release aborts then, and nothing is dropped.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;

use super::source::News;
use super::view::{self, Shown};
use crate::admin::pages::{Outline, PlaceShown};
use crate::cli::exit::{Exit, Outcome};
use crate::cli::launch::runtime;
use crate::daemon::stop_signal;

/// How long a key is waited for before news are looked at: what a hand does not notice.
const LOOK: Duration = Duration::from_millis(100);
/// Keys that wait.
const KEYS: usize = 16;

/// What is on the screen.
#[derive(Default)]
struct Scene {
    page: Option<Box<PlaceShown>>,
    outline: Option<Outline>,
    trouble: Option<String>,
    over: bool,
}

/// Shows the source until somebody leaves.
pub(super) fn run(source: Receiver<News>, coloured: bool) -> Outcome {
    let stop = stopped()?;
    let taken = ratatui::try_init();
    if taken.is_err() {
        // It may have been taken by half.
        let _untold = ratatui::try_restore();
    }
    let mut terminal =
        taken.context("the terminal cannot be drawn on; pipe the output for lines")?;
    show_the_cursor_at_a_panic();
    let left = watch(&mut terminal, &source, &keys(), coloured, &stop);
    let given_back = ratatui::try_restore().and_then(|()| terminal.show_cursor());
    left.context("the terminal is gone")?;
    given_back.context("the terminal could not be put in order; type: reset")?;
    Ok(Exit::Ok)
}

/// ratatui leaves its screen before a panic is told, but not the cursor hidden by drawing.
fn show_the_cursor_at_a_panic() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Nothing better can be done about a terminal that takes no more.
        let _untold = execute!(io::stdout(), Show);
        others(panic);
    }));
}

/// Set when the process is asked to stop, for the terminal must be given back first. Ctrl-C is a key here.
fn stopped() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let (runtime, asked) = (runtime()?, Arc::clone(&flag));
    std::thread::spawn(move || {
        if runtime.block_on(stop_signal(false)).is_ok() {
            asked.store(true, Ordering::Relaxed);
        }
    });
    Ok(flag)
}

/// Keys and sizes, as they come, from a thread of their own: it may wait within half a sequence of keys, or turn in circles
/// where the terminal is gone, and nobody waits for it.
fn keys() -> Receiver<io::Result<Event>> {
    let (typed, keys) = sync_channel(KEYS);
    std::thread::spawn(move || {
        loop {
            let event = event::read();
            let failed = event.is_err();
            if typed.send(event).is_err() || failed {
                return;
            }
        }
    });
    keys
}

fn watch(
    terminal: &mut DefaultTerminal,
    source: &Receiver<News>,
    keys: &Receiver<io::Result<Event>>,
    coloured: bool,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut scene = Scene::default();
    let mut drawn = false;
    while !stop.load(Ordering::Relaxed) {
        let changed = scene.take(source);
        if changed || !drawn {
            terminal.draw(|frame| view::draw(frame, scene.shown(coloured)))?;
            drawn = true;
        }
        match keys.recv_timeout(LOOK) {
            Ok(Ok(event)) if leaves(&event) => return Ok(()),
            Ok(Ok(Event::Resize(..))) => drawn = false,
            Ok(Ok(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Err(error)) => return Err(error),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }
    Ok(())
}

/// `q`, Escape or Ctrl-C.
fn leaves(event: &Event) -> bool {
    let Event::Key(key) = event else {
        return false;
    };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
            KeyCode::Char('c') => control,
            _ => false,
        }
}

impl Scene {
    /// Takes what is new; whether anything was.
    fn take(&mut self, source: &Receiver<News>) -> bool {
        let mut changed = false;
        while !self.over {
            match source.try_recv() {
                Ok(news) => self.learn(news),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.over = true,
            }
            changed = true;
        }
        changed
    }

    fn learn(&mut self, news: News) {
        match news {
            News::Outline(outline) => self.outline = Some(outline),
            News::Page(page, _) => {
                self.page = Some(page);
                self.trouble = None;
            }
            News::Trouble(failure) => self.trouble = Some(failure.to_string()),
            News::End => self.trouble = Some("the capture is at its end".into()),
        }
    }

    fn shown(&self, coloured: bool) -> Shown<'_> {
        Shown {
            page: self.page.as_deref(),
            outline: self.outline.as_ref(),
            trouble: self.trouble.as_deref(),
            coloured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Failure;
    use crate::cli::place::watch::example;
    use ratatui::crossterm::event::KeyEvent;

    #[test]
    fn which_keys_leave() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        assert!(leaves(&key(KeyCode::Char('q'), KeyModifiers::NONE)));
        assert!(leaves(&key(KeyCode::Esc, KeyModifiers::NONE)));
        assert!(leaves(&key(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!leaves(&key(KeyCode::Char('c'), KeyModifiers::NONE)));
        assert!(!leaves(&Event::Resize(1, 1)));
    }

    #[test]
    fn trouble_stays_beside_the_last_page_until_the_next() {
        let (news, source) = sync_channel(9);
        let mut scene = Scene::default();
        let page = || News::Page(Box::new(example::page()), serde_json::Value::Null);
        assert!(!scene.take(&source));
        let gone = Failure::new(Exit::NotRunning, anyhow::anyhow!("not running"));
        for one in [
            News::Outline(example::outline()),
            page(),
            News::Trouble(gone),
        ] {
            news.send(one).unwrap();
        }
        assert!(scene.take(&source));
        let shown = scene.shown(true);
        assert_eq!(shown.trouble, Some("not running"));
        assert!(shown.page.is_some() && shown.outline.is_some());
        news.send(page()).unwrap();
        scene.take(&source);
        assert_eq!(scene.shown(true).trouble, None);
        news.send(News::End).unwrap();
        drop(news);
        scene.take(&source);
        assert!(scene.over && scene.shown(true).trouble.is_some());
    }
}
