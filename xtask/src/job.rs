//! Running one Lua file in one interpreter, in a process of its own and in bounded time.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::tally::Tally;
use crate::{Result, project};

/// What a file must do to pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Print `N passed, N failed, N skipped` as its last line, and exit with status 0.
    Spec,
    /// Exit with status 0; counts as one test.
    Example,
}

/// An interpreter, and where it finds the library.
#[derive(Clone, Debug)]
pub struct Interpreter {
    /// How the report names it: `lua5.4 inside`, `lua5.4`, `lua5.4 reference`.
    pub title: String,
    pub program: PathBuf,
    /// `LUA_CPATH`; without it the interpreter's own default.
    pub cpath: Option<String>,
    /// Whether what it loads is the C library instead of ours.
    pub reference: bool,
    /// The program that runs the interpreter, and its arguments; usually none.
    pub wrapper: Vec<String>,
}

/// One file to be run by one interpreter.
#[derive(Clone, Debug)]
pub struct Job {
    pub kind: Kind,
    pub interpreter: Interpreter,
    pub file: PathBuf,
    /// The part of their names that selects tests inside a spec file.
    pub test: Option<String>,
}

/// What came of a job.
pub struct Outcome {
    pub tally: Tally,
    pub output: String,
    /// What is wrong, apart from what the output tells.
    pub fault: Option<String>,
    pub time: Duration,
}

impl Job {
    /// Runs the file; returns `None` when `stop` was set.
    pub fn run(&self, limit: Duration, stop: &Arc<AtomicBool>) -> Result<Option<Outcome>> {
        let start = Instant::now();
        let log = log_file(self);
        let mut child = self.command(File::create(&log)?).spawn()?;
        let mut late = false;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            late = start.elapsed() > limit;
            if late || stop.load(Ordering::Relaxed) {
                break end(&mut child)?;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        // What it started and left behind must not outlive it.
        signal(&child, Signal::KILL);
        let mut bytes = Vec::new();
        File::open(&log)?.read_to_end(&mut bytes)?;
        std::fs::remove_file(&log)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let output = String::from_utf8_lossy(&bytes).into_owned();
        let late = late.then(|| format!("stopped after {} s", limit.as_secs()));
        Ok(Some(self.judge(output, status, late, start.elapsed())))
    }

    fn command(&self, log: File) -> Command {
        let wrapper = self.interpreter.wrapper.iter().map(OsStr::new);
        let mut words = wrapper.chain([self.interpreter.program.as_os_str()]);
        let mut command = Command::new(words.next().expect("one at least"));
        command.args(words);
        project::forget_lua(&mut command);
        let spec = project::root().join("spec");
        // For `require "support"` only: `spec/mime.lua` must not answer to "mime".
        let mut path = format!("{}/?/init.lua", spec.display());
        match &self.interpreter.cpath {
            Some(cpath) => _ = command.env("LUA_CPATH", cpath),
            // The C library's Lua half lies on the default path.
            None => path.push_str(";;"),
        }
        command.env("LUA_PATH", path);
        command.env_remove("LUASOCKET_REFERENCE");
        if self.interpreter.reference {
            command.env("LUASOCKET_REFERENCE", "1");
        }
        command
            .arg(&self.file)
            .args(&self.test)
            .current_dir(project::root())
            .process_group(0);
        let log_too = log.try_clone().expect("a descriptor");
        command.stdin(Stdio::null()).stdout(log).stderr(log_too);
        command
    }

    fn judge(
        &self,
        output: String,
        status: ExitStatus,
        late: Option<String>,
        time: Duration,
    ) -> Outcome {
        let said = match self.kind {
            Kind::Spec => Tally::of_spec(&output),
            Kind::Example if status.success() => Some(Tally {
                passed: 1,
                ..Tally::default()
            }),
            Kind::Example => Some(Tally {
                failed: 1,
                ..Tally::default()
            }),
        };
        let fault = match said {
            _ if late.is_some() => late,
            None => Some(format!("no closing line ({status})")),
            Some(tally) if tally.failed == 0 && !status.success() => Some(status.to_string()),
            Some(_) => None,
        };
        let mut tally = said.unwrap_or_default();
        if fault.is_some() && tally.failed == 0 {
            tally.failed = 1;
        }
        Outcome {
            tally,
            output,
            fault,
            time,
        }
    }
}

/// Ends the child and what it started: a word first, then without asking.
fn end(child: &mut Child) -> Result<ExitStatus> {
    signal(child, Signal::TERM);
    for _ in 0..20 {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    signal(child, Signal::KILL);
    Ok(child.wait()?)
}

/// Every job leads a process group of its own.
fn signal(child: &Child, signal: Signal) {
    if let Some(group) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process_group(group, signal);
    }
}

/// Output goes to a file, so that a grandchild that keeps it open delays nobody.
fn log_file(job: &Job) -> PathBuf {
    let name = format!(
        "luasocket-{}-{}-{}.log",
        std::process::id(),
        job.interpreter.title.replace(' ', "-"),
        job.title()
    );
    std::env::temp_dir().join(name)
}

impl Job {
    /// The file's name without folder and extension.
    pub fn title(&self) -> String {
        Path::new(self.file.file_stem().unwrap_or_default())
            .display()
            .to_string()
    }
}
