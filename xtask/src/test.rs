//! `cargo xtask test`: every test of the project.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lexopt::prelude::*;

use crate::job::{Interpreter, Job, Kind, Outcome};
use crate::tally::Tally;
use crate::target::{LUAS, Lua, Profile, build_module, build_runner, runs};
use crate::{Command, Result, dist, project};

pub const COMMAND: Command = Command {
    name: "test",
    usage: "[--lua VERSION]... [--only PART]... [--jobs N] [--limit SECONDS] [--valgrind]
        [FILTER [TEST]]",
    about: "Run the tests; FILTER keeps the Lua files with that word in their name (and
leaves out the crates), TEST the tests in them. PARTs:
  crates     cargo test of the workspace
  inside     spec/*.lua and examples/*.lua in the runner, which has its own Lua
  stock      the same in each interpreter on PATH, which loads the shared library
  reference  the same over the C library, where the interpreter has it
With --valgrind the interpreters of `stock` run under it; an error or a leak
fails the file.",
    run,
};

/// A stock interpreter has the C library when this runs without an error.
const HAS_C_LIBRARY: &str = "assert(require('socket')._VERSION:find('LuaSocket', 1, true) == 1)";

/// How long one file may take.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Crates,
    Inside,
    Stock,
    Reference,
}

struct Options {
    luas: Vec<Lua>,
    parts: Vec<Part>,
    jobs: usize,
    limit: Duration,
    valgrind: bool,
    filter: Option<String>,
    /// Handed to each spec file, which runs only the tests with this in their name.
    test: Option<String>,
}

fn run(parser: lexopt::Parser) -> Result<bool> {
    let options = Options::parse(parser)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let start = Instant::now();
    let mut run = Run {
        options,
        stop,
        tally: Tally::default(),
        faults: Vec::new(),
    };
    if run.has(Part::Crates) {
        run.crates()?;
    }
    for lua in run.options.luas.clone() {
        run.lua(lua)?;
    }
    println!();
    for fault in &run.faults {
        println!("FAILED {fault}");
    }
    println!("{:.0} s", start.elapsed().as_secs_f64());
    println!("{}", run.tally);
    Ok(run.tally.failed == 0)
}

impl Options {
    fn parse(mut parser: lexopt::Parser) -> Result<Options> {
        let mut luas = Vec::new();
        let mut parts = Vec::new();
        let mut options = Options {
            luas: vec![],
            parts: vec![],
            // One more than there are cores, as most files wait more than they work.
            jobs: std::thread::available_parallelism().map_or(2, |n| n.get() + 1),
            limit: LIMIT,
            valgrind: false,
            filter: None,
            test: None,
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("lua") => luas.push(Lua::parse(&parser.value()?)?),
                Long("only") => parts.push(Part::parse(&parser.value()?.string()?)?),
                Long("jobs") => options.jobs = parser.value()?.parse::<usize>()?.max(1),
                Long("limit") => options.limit = Duration::from_secs(parser.value()?.parse()?),
                Long("valgrind") => options.valgrind = true,
                Value(word) if options.filter.is_none() => options.filter = Some(word.string()?),
                Value(word) if options.test.is_none() => options.test = Some(word.string()?),
                _ => return Err(arg.unexpected().into()),
            }
        }
        if luas.is_empty() {
            luas.extend(LUAS);
        }
        if options.valgrind {
            parts = vec![Part::Stock];
        } else if parts.is_empty() {
            parts.extend([Part::Inside, Part::Stock, Part::Reference]);
            if options.filter.is_none() {
                parts.push(Part::Crates);
            }
        }
        Ok(Options {
            luas,
            parts,
            ..options
        })
    }
}

impl Part {
    fn parse(word: &str) -> Result<Part> {
        match word {
            "crates" => Ok(Part::Crates),
            "inside" => Ok(Part::Inside),
            "stock" => Ok(Part::Stock),
            "reference" => Ok(Part::Reference),
            _ => Err(format!("no part '{word}': say crates, inside, stock or reference").into()),
        }
    }
}

/// A run of the command: what was asked for, and what came of it so far.
struct Run {
    options: Options,
    stop: Arc<AtomicBool>,
    tally: Tally,
    /// One line for each file with a failure, to be repeated at the end.
    faults: Vec<String>,
}

impl Run {
    fn has(&self, part: Part) -> bool {
        self.options.parts.contains(&part)
    }

    /// `cargo test` of all crates but `module`, which links no Lua.
    fn crates(&mut self) -> Result<()> {
        let start = Instant::now();
        let output = project::cargo()
            .args([
                "test",
                "--quiet",
                "--profile",
                Profile::Spec.name(),
                "--no-fail-fast",
            ])
            .args(["--workspace", "--exclude", "luasocket-module"])
            .args(["--features", "luasocket/mlua"])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut tally = Tally::of_cargo(&text);
        if !output.status.success() {
            tally.failed = tally.failed.max(1);
            print!("{text}");
            self.faults.push("crates".into());
        }
        report("crates", "cargo test", &tally, start.elapsed());
        self.tally += tally;
        self.check_stop()
    }

    /// Everything for one Lua: build, then run all files, a few at a time.
    fn lua(&mut self, lua: Lua) -> Result<()> {
        let interpreters = self.interpreters(lua)?;
        let mut jobs = VecDeque::new();
        for interpreter in interpreters {
            for (kind, file) in files(self.options.filter.as_deref())? {
                // Examples of what only this library has are not for the other one.
                if kind == Kind::Example && interpreter.reference && needs_ours(&file)? {
                    continue;
                }
                jobs.push_back(Job {
                    kind,
                    interpreter: interpreter.clone(),
                    file,
                    test: self.options.test.clone(),
                });
            }
        }
        let queue = Mutex::new(jobs);
        let done = Mutex::new(&mut *self);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..done.lock().unwrap().options.jobs)
                .map(|_| scope.spawn(|| work(&queue, &done)))
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().expect("no panic"))
        })?;
        self.check_stop()
    }

    fn interpreters(&mut self, lua: Lua) -> Result<Vec<Interpreter>> {
        let mut list = Vec::new();
        if self.has(Part::Inside) {
            list.push(inside(lua)?);
        }
        let Some(program) = lua.stock() else {
            if self.has(Part::Stock) || self.has(Part::Reference) {
                self.skip(lua.name, "not on PATH");
            }
            return Ok(list);
        };
        if self.has(Part::Stock) {
            list.push(stock(lua, &program, self.options.valgrind)?);
        }
        let title = format!("{} reference", lua.name);
        if self.has(Part::Reference) && !runs(&program, HAS_C_LIBRARY) {
            self.skip(&title, "the C library is not installed for it");
        } else if self.has(Part::Reference) {
            list.push(Interpreter {
                title,
                program,
                cpath: None,
                reference: true,
                wrapper: vec![],
            });
        }
        Ok(list)
    }

    fn skip(&mut self, title: &str, reason: &str) {
        println!("{title:<20} skipped: {reason}");
        self.tally.skipped += 1;
    }

    /// Reports a finished job, with its output if it failed.
    fn finish(&mut self, job: &Job, outcome: Outcome) {
        let title = &job.interpreter.title;
        if outcome.tally.failed > 0 {
            println!("---- {title}: {}", job.file.display());
            for line in outcome.output.lines() {
                println!("    {line}");
            }
            if let Some(fault) = &outcome.fault {
                println!("    {fault}");
            }
            self.faults
                .push(format!("{title}: {} ({})", job.title(), outcome.tally));
        }
        report(title, &job.title(), &outcome.tally, outcome.time);
        self.tally += outcome.tally;
    }

    fn check_stop(&self) -> Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err("interrupted".into()),
            false => Ok(()),
        }
    }
}

/// One of the threads that take jobs from the queue until none is left.
fn work(queue: &Mutex<VecDeque<Job>>, run: &Mutex<&mut Run>) -> Result<()> {
    let (limit, stop) = {
        let run = run.lock().unwrap();
        (run.options.limit, run.stop.clone())
    };
    loop {
        let Some(job) = queue.lock().unwrap().pop_front() else {
            return Ok(());
        };
        match job.run(limit, &stop)? {
            Some(outcome) => run.lock().unwrap().finish(&job, outcome),
            None => return Ok(()),
        }
    }
}

fn inside(lua: Lua) -> Result<Interpreter> {
    let program = build_runner(lua, Profile::Spec)?;
    let title = format!("{} inside", lua.name);
    Ok(Interpreter {
        title,
        program,
        cpath: Some(String::new()),
        reference: false,
        wrapper: vec![],
    })
}

fn stock(lua: Lua, program: &Path, valgrind: bool) -> Result<Interpreter> {
    let library = build_module(lua, Profile::Spec, &[])?;
    let folder = project::target()
        .join(Profile::Spec.name())
        .join("dist")
        .join(lua.name);
    dist::lay_out(&library, &folder)?;
    Ok(Interpreter {
        title: lua.name.into(),
        program: program.into(),
        cpath: Some(format!("{}/?.so", folder.display())),
        reference: false,
        wrapper: if valgrind { valgrind_words() } else { vec![] },
    })
}

/// Any error makes valgrind exit with a status of its own, and so does a block that
/// nothing points to any more.
fn valgrind_words() -> Vec<String> {
    let suppressions = project::root().join(".ci/valgrind.supp");
    [
        "valgrind",
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect",
        "--errors-for-leak-kinds=definite,indirect",
        &format!("--suppressions={}", suppressions.display()),
    ]
    .map(String::from)
    .to_vec()
}

/// `spec/*.lua`, and the examples that need nothing but themselves.
fn files(filter: Option<&str>) -> Result<Vec<(Kind, PathBuf)>> {
    let mut list = Vec::new();
    for (kind, folder) in [(Kind::Spec, "spec"), (Kind::Example, "examples")] {
        for entry in std::fs::read_dir(project::root().join(folder))? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let wanted = path.extension().is_some_and(|e| e == "lua")
                && filter.is_none_or(|word| stem.contains(word))
                && (kind == Kind::Spec || is_self_contained(&path)?);
            if wanted {
                list.push((kind, path.strip_prefix(project::root())?.to_path_buf()));
            }
        }
    }
    list.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(list)
}

/// Whether the comment at the head of the file says `self-contained`.
fn is_self_contained(file: &Path) -> Result<bool> {
    let text = std::fs::read_to_string(file)?;
    let mut head = text
        .lines()
        .take_while(|line| line.starts_with("--") || line.starts_with("#!"));
    Ok(head.any(|line| line.to_lowercase().contains("self-contained")))
}

/// Whether a program uses what LuaSocket does not have.
fn needs_ours(file: &Path) -> Result<bool> {
    let text = std::fs::read_to_string(project::root().join(file))?;
    Ok(text.contains("require \"socket.task\""))
}

fn report(title: &str, name: &str, tally: &Tally, time: Duration) {
    println!(
        "{title:<20} {name:<24} {tally}   {:.1} s",
        time.as_secs_f64()
    );
}
