//! Where the lines of a conversation come from: an editor at the terminal.

use std::io::ErrorKind;
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};

/// The line editor, and the text that is being put together. It lives outside all
/// calls of Lua.
#[derive(Default)]
pub struct Input {
    editor: Option<Editor<(), FileHistory>>,
    history: Option<PathBuf>,
    /// `return ` and the lines of the statement so far; see `interactive`.
    pub text: Vec<u8>,
}

/// What came of asking for a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A line was added to the text.
    Line,
    /// Ctrl-C: never mind what was typed so far.
    Never,
    /// The end of all input.
    End,
}

impl Input {
    /// Gets the editor ready; without one (`false`) lines are read plainly.
    pub fn open(&mut self) -> bool {
        let config = Config::builder().auto_add_history(false).build();
        let Ok(mut editor) = Editor::<(), FileHistory>::with_config(config) else {
            return false;
        };
        self.history = history_file();
        if let Some(file) = &self.history {
            let _ = editor.load_history(file);
        }
        self.editor = Some(editor);
        true
    }

    /// Asks the person at the terminal for a line.
    pub fn read_line(&mut self, prompt: &[u8]) -> Answer {
        let Some(editor) = &mut self.editor else {
            return Answer::End;
        };
        match editor.readline(&*String::from_utf8_lossy(prompt)) {
            Ok(line) => {
                self.text.extend_from_slice(line.as_bytes());
                Answer::Line
            }
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Answer::Never,
            // The person typed something that is no UTF-8.
            Err(ReadlineError::Io(problem)) if problem.kind() == ErrorKind::InvalidData => {
                Answer::Never
            }
            Err(_) => Answer::End,
        }
    }

    /// Remembers a complete statement, for this conversation and the next.
    pub fn remember(&mut self, statement: usize) {
        let Some(editor) = &mut self.editor else {
            return;
        };
        let text = String::from_utf8_lossy(&self.text[statement..]);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let _ = editor.add_history_entry(text);
        if let Some(file) = &self.history {
            let _ = editor.append_history(file);
        }
    }
}

/// `LUASOCKET_HISTORY`, where an empty one means none, or a file in the home folder.
fn history_file() -> Option<PathBuf> {
    match std::env::var_os("LUASOCKET_HISTORY") {
        Some(name) if name.is_empty() => None,
        Some(name) => Some(name.into()),
        None => Some(PathBuf::from(std::env::var_os("HOME")?).join(".luasocket_history")),
    }
}
