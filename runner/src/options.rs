//! The command line of the stock `lua`.

use std::ffi::CStr;
use std::fmt;

/// What the command line asks for.
#[derive(Clone, Default, Debug, PartialEq)]
pub struct Options {
    /// `-v`, or `-i`.
    pub version: bool,
    /// `-i`.
    pub interactive: bool,
    /// `-E`.
    pub ignore_environment: bool,
    /// What stands before the script, in order.
    pub actions: Vec<Action>,
    /// Where in the words the script stands; `-` is one.
    pub script: Option<usize>,
    /// `--task`, or the first of those below: the script is the first task of a loop.
    pub task: Option<&'static CStr>,
    /// `--workers`: in how many threads.
    pub workers: Option<usize>,
    /// `--grace`: how many seconds tasks have to end when they are asked to.
    pub grace: Option<f64>,
}

/// An option that is carried out when its turn comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// `-e`
    Execute(&'static CStr),
    /// `-l`
    Require(&'static CStr),
    /// `-W`
    Warn,
    /// `-j`
    Jit(&'static CStr),
    /// `-O`
    Optimize(&'static CStr),
}

/// A command line that makes no sense, and the word to blame.
#[derive(Debug, PartialEq)]
pub enum Misuse {
    Unrecognized(&'static CStr),
    NeedsArgument(&'static CStr),
    NeedsNumber(&'static CStr),
    NeedsScript(&'static CStr),
    NeedsFile(&'static CStr),
    Excludes(&'static CStr, &'static CStr),
}

/// A number beyond is a slip of the finger.
const MOST_WORKERS: usize = 1024;

const IS_JIT: bool = cfg!(feature = "luajit");
const IS_51: bool = cfg!(any(feature = "lua51", feature = "luajit"));
const HAS_WARNINGS: bool = cfg!(any(feature = "lua54", feature = "lua55"));
const HAS_NO_ENVIRONMENT: bool = !cfg!(feature = "lua51");

impl Options {
    /// Reads the words of a command line, the program's name first.
    pub fn parse(words: &[&'static CStr]) -> Result<Options, Misuse> {
        let mut options = Options::default();
        let mut rest = words.iter().copied().enumerate().skip(1);
        while let Some((at, word)) = rest.next() {
            let Some((letter, tail)) = split(word) else {
                options.script = Some(at);
                break;
            };
            let bare = tail.is_empty();
            match letter {
                b'-' if !bare => options.long(word, &mut rest)?,
                b'-' if bare => {
                    options.script = rest.next().map(|(at, _)| at);
                    break;
                }
                b'v' if bare => options.version = true,
                b'i' if bare => (options.interactive, options.version) = (true, true),
                b'E' if bare && HAS_NO_ENVIRONMENT => options.ignore_environment = true,
                b'W' if bare && HAS_WARNINGS => options.actions.push(Action::Warn),
                b'O' if IS_JIT => options.actions.push(Action::Optimize(tail)),
                b'e' | b'l' => {
                    let text = if bare {
                        argument(word, rest.next())?
                    } else {
                        tail
                    };
                    options.actions.push(match letter {
                        b'e' => Action::Execute(text),
                        _ => Action::Require(text),
                    });
                }
                b'j' if IS_JIT => {
                    let text = if bare {
                        argument(word, rest.next())?
                    } else {
                        tail
                    };
                    options.actions.push(Action::Jit(text));
                }
                _ => return Err(Misuse::Unrecognized(word)),
            }
        }
        options.check(words)
    }

    /// Reads an option that has a name instead of a letter.
    fn long(
        &mut self,
        word: &'static CStr,
        rest: &mut impl Iterator<Item = (usize, &'static CStr)>,
    ) -> Result<(), Misuse> {
        self.task.get_or_insert(word);
        match word.to_bytes() {
            b"--task" => {}
            b"--workers" => self.workers = Some(number(word, rest.next(), 0..=MOST_WORKERS)?),
            b"--grace" => self.grace = Some(number(word, rest.next(), 0.0..=f64::INFINITY)?),
            _ => return Err(Misuse::Unrecognized(word)),
        }
        Ok(())
    }

    /// Tasks are for scripts, and each worker reads its own.
    fn check(self, words: &[&'static CStr]) -> Result<Options, Misuse> {
        let Some(task) = self.task else {
            return Ok(self);
        };
        if self.interactive {
            return Err(Misuse::Excludes(task, c"-i"));
        }
        match self.script {
            None => Err(Misuse::NeedsScript(task)),
            Some(at) if self.workers.is_some() && words[at] == c"-" => {
                Err(Misuse::NeedsFile(c"--workers"))
            }
            Some(_) => Ok(self),
        }
    }

    /// Whether there is nothing to do but to read what comes on standard input.
    pub fn reads_input(&self) -> bool {
        let executes = |action: &Action| matches!(action, Action::Execute(_));
        self.script.is_none()
            && !self.version
            && !self.interactive
            && !self.actions.iter().any(executes)
    }
}

/// The letter of an option and what follows it; `None` for a script, `-` included.
fn split(word: &'static CStr) -> Option<(u8, &'static CStr)> {
    match word.to_bytes() {
        [b'-', letter, ..] => {
            let tail = CStr::from_bytes_with_nul(&word.to_bytes_with_nul()[2..]);
            Some((*letter, tail.expect("the end of a C string is one")))
        }
        _ => None,
    }
}

/// The word after an option that needs one. Since Lua 5.2 it must not look like an option.
fn argument(
    option: &'static CStr,
    next: Option<(usize, &'static CStr)>,
) -> Result<&'static CStr, Misuse> {
    match next {
        Some((_, word)) if IS_51 || !word.to_bytes().starts_with(b"-") => Ok(word),
        _ => Err(Misuse::NeedsArgument(option)),
    }
}

/// The number after an option, one of `range`.
fn number<T: std::str::FromStr + PartialOrd>(
    option: &'static CStr,
    next: Option<(usize, &'static CStr)>,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, Misuse> {
    let (_, word) = next.ok_or(Misuse::NeedsArgument(option))?;
    let number = word.to_str().ok().and_then(|word| word.parse().ok());
    let number = number.filter(|number| range.contains(number));
    number.ok_or(Misuse::NeedsNumber(option))
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let text = |word: &CStr| word.to_string_lossy().into_owned();
        match self {
            Misuse::Unrecognized(word) => write!(f, "unrecognized option '{}'", text(word)),
            Misuse::NeedsArgument(word) => write!(f, "'{}' needs argument", text(word)),
            Misuse::NeedsNumber(word) => write!(f, "'{}' needs a number", text(word)),
            Misuse::NeedsScript(word) => write!(f, "'{}' needs a script to run", text(word)),
            Misuse::NeedsFile(word) => write!(f, "'{}' needs a script in a file", text(word)),
            Misuse::Excludes(one, other) => {
                write!(f, "'{}' does not go with '{}'", text(one), text(other))
            }
        }
    }
}

/// The help text.
pub fn usage(program: &str) -> String {
    let mut text = format!(
        "usage: {program} [options] [script [args]]\n\
         Available options are:\n  \
           -e stat   execute string 'stat'\n  \
           -i        enter interactive mode after executing 'script'\n  \
           -l mod    require library 'mod' into global 'mod'\n  \
           -l g=mod  require library 'mod' into global 'g'\n  \
           -v        show version information\n"
    );
    if HAS_NO_ENVIRONMENT {
        text += "  -E        ignore environment variables\n";
    }
    if HAS_WARNINGS {
        text += "  -W        turn warnings on\n";
    }
    if IS_JIT {
        text += "  -j cmd    perform JIT control command\n";
        text += "  -O[opt]   control JIT optimizations\n";
    }
    text += "  --task    run 'script' as the first task of socket.task\n";
    text += "  --workers n  the same, in n threads at once (0: one for each core)\n";
    text += "  --grace s  seconds that tasks have to end after SIGTERM or SIGINT (default 5)\n";
    text + "  --        stop handling options\n  -         stop handling options and execute stdin"
}

#[cfg(test)]
mod tests {
    use super::{Action, Misuse, Options};

    #[test]
    fn nothing_at_all_reads_input() {
        let options = Options::parse(&[c"lua"]).unwrap();
        assert_eq!(options, Options::default());
        assert!(options.reads_input());
        assert!(!Options::parse(&[c"lua", c"-e", c""]).unwrap().reads_input());
        assert!(!Options::parse(&[c"lua", c"-v"]).unwrap().reads_input());
        assert!(
            Options::parse(&[c"lua", c"-lsocket"])
                .unwrap()
                .reads_input()
        );
    }

    #[test]
    fn options_end_at_the_script() {
        let words = [
            c"lua",
            c"-v",
            c"-ex=1",
            c"-l",
            c"socket",
            c"script.lua",
            c"-i",
        ];
        let options = Options::parse(&words).unwrap();
        assert_eq!(
            options.actions,
            [Action::Execute(c"x=1"), Action::Require(c"socket")]
        );
        assert_eq!(options.script, Some(5));
        assert!(options.version && !options.interactive);
    }

    #[test]
    fn a_script_may_be_input_or_look_like_an_option() {
        assert_eq!(
            Options::parse(&[c"lua", c"-", c"a"]).unwrap().script,
            Some(1)
        );
        assert_eq!(
            Options::parse(&[c"lua", c"--", c"-v"]).unwrap().script,
            Some(2)
        );
        assert_eq!(Options::parse(&[c"lua", c"--"]).unwrap().script, None);
    }

    #[test]
    fn tasks_are_for_scripts() {
        let parse = |words: &[_]| Options::parse(words);
        assert!(
            parse(&[c"lua", c"--task", c"x.lua"])
                .unwrap()
                .task
                .is_some()
        );
        let options = parse(&[
            c"lua",
            c"--workers",
            c"4",
            c"--grace",
            c"0.5",
            c"x",
            c"--task",
        ]);
        let options = options.unwrap();
        assert_eq!(options.task, Some(c"--workers"));
        assert!(options.workers == Some(4) && options.grace == Some(0.5));
        assert_eq!(options.script, Some(5));
        let misuse = |words: &[_]| Options::parse(words).unwrap_err().to_string();
        let needs_script = "'--task' needs a script to run";
        assert_eq!(misuse(&[c"lua", c"--task"]), needs_script);
        assert_eq!(misuse(&[c"lua", c"--task", c"-e", c"x"]), needs_script);
        assert_eq!(
            misuse(&[c"lua", c"-i", c"--task", c"x"]),
            "'--task' does not go with '-i'"
        );
        assert_eq!(
            misuse(&[c"lua", c"--workers", c"2", c"-"]),
            "'--workers' needs a script in a file"
        );
        for number in [c"two", c"-1", c"1025", c""] {
            assert_eq!(
                misuse(&[c"lua", c"--workers", number, c"x"]),
                "'--workers' needs a number"
            );
        }
        for number in [c"soon", c"-1", c"nan"] {
            assert_eq!(
                misuse(&[c"lua", c"--grace", number, c"x"]),
                "'--grace' needs a number"
            );
        }
        assert_eq!(
            misuse(&[c"lua", c"--workers"]),
            "'--workers' needs argument"
        );
    }

    #[test]
    fn says_what_it_does_not_know() {
        let parse = |words: &[_]| Options::parse(words).unwrap_err();
        assert_eq!(parse(&[c"lua", c"-x"]), Misuse::Unrecognized(c"-x"));
        assert_eq!(parse(&[c"lua", c"-vv"]), Misuse::Unrecognized(c"-vv"));
        assert_eq!(
            parse(&[c"lua", c"--version"]),
            Misuse::Unrecognized(c"--version")
        );
        assert_eq!(parse(&[c"lua", c"-e"]), Misuse::NeedsArgument(c"-e"));
        assert_eq!(parse(&[c"lua", c"-l"]).to_string(), "'-l' needs argument");
    }
}
