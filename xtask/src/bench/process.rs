//! The processes: one for each measurement, and the peers it asks for.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::options::Options;
use super::workload::Workload;
use crate::target::{Lua, Profile, build_runner};
use crate::{Result, dist, project};

/// One of the two libraries compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What we compare with: the interpreter's own LuaSocket, unless told otherwise.
    Base,
    /// This library.
    Ours,
}

/// Where a library comes from.
enum Source {
    /// The interpreter itself knows: its own path, or built in.
    Inside,
    /// A folder laid out by `cargo xtask dist`.
    Folder(PathBuf),
}

/// Everything needed to start a measurement.
pub struct Bench {
    lua: Lua,
    interpreter: PathBuf,
    base: Option<Source>,
    ours: Source,
    cores: Option<Cores>,
}

impl Bench {
    /// Finds interpreter, folders and cores. Where there is no stock interpreter,
    /// ours alone can be measured, by the runner.
    pub fn new(options: &Options) -> Result<Self> {
        let (lua, cores) = (options.lua, Cores::find());
        let Some(interpreter) = lua.stock() else {
            let interpreter = build_runner(lua, Profile::Release)?;
            let (base, ours) = (None, Source::Inside);
            return Ok(Self {
                lua,
                interpreter,
                base,
                ours,
                cores,
            });
        };
        let base = match options.base.as_deref() {
            None => Some(Source::Inside),
            Some("none") => None,
            Some(folder) => Some(Source::Folder(folder.into())),
        };
        let ours = if options.noise {
            Source::Inside
        } else {
            Source::ours(options)?
        };
        Ok(Self {
            lua,
            interpreter,
            base,
            ours,
            cores,
        })
    }

    /// The interpreter's name.
    pub fn title(&self) -> &str {
        self.lua.name
    }

    /// Whether there is something to compare with.
    pub fn compares(&self) -> bool {
        self.base.is_some()
    }

    /// Whether `workload` can be measured on `side`.
    pub fn has(&self, workload: &Workload, side: Side) -> bool {
        side == Side::Ours
            || workload.has_rival_of_its_own()
            || (self.compares() && !workload.ours_only)
    }

    /// What `run.lua list` prints for `files`.
    pub fn list(&self, files: &[PathBuf]) -> Result<String> {
        let mut command = self.interpreter_command(Side::Ours, &[]);
        let output = command.arg("list").args(files).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// One measurement: seconds per operation (or megabyte), or the figure that
    /// the workload measures itself.
    pub fn measure(&self, workload: &Workload, side: Side, count: u64) -> Result<f64> {
        let warm = workload.warm.unwrap_or(count / 10);
        let prefix = self.pin(|cores| cores.measured);
        let values = self.execute(workload, side, [count, warm], &prefix)?;
        match (values.as_slice(), workload.bytes) {
            ([figure], _) => Ok(*figure),
            ([time, bare], None) => Ok((time - bare) / count as f64),
            ([time, bare], Some(bytes)) => Ok((time - bare) / (count as f64 * bytes / 1e6)),
            _ => Err(format!("{}: no result", workload.name).into()),
        }
    }

    /// Runs `workload` (so many operations counted, so many before) under the
    /// command `prefix` and returns what it printed.
    pub fn execute(
        &self,
        workload: &Workload,
        side: Side,
        operations: [u64; 2],
        prefix: &[String],
    ) -> Result<Vec<f64>> {
        let mut command = self.command(workload, side, prefix)?;
        command.args(operations.map(|n| n.to_string()));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let values = self.converse(&mut child, workload);
        let status = child.wait()?;
        if status.success() {
            values
        } else {
            Err(format!("{}: {status}", workload.name).into())
        }
    }

    /// What runs `workload` on `side`, but for the numbers of operations.
    fn command(&self, workload: &Workload, side: Side, prefix: &[String]) -> Result<Command> {
        if side == Side::Base
            && let Some(rival) = &workload.rival
        {
            let mut words = rival.split_whitespace();
            let mut command = with_all_descriptors();
            command.args(prefix);
            command.arg(c_program(words.next().unwrap_or_default())?);
            command.args(words);
            return Ok(command);
        }
        let (side, name) = match &workload.versus {
            Some(other) if side == Side::Base => (Side::Ours, other),
            _ => (side, &workload.name),
        };
        let mut command = self.interpreter_command(side, prefix);
        command.args([&workload.file, name]);
        Ok(command)
    }

    /// Answers the child's requests for peers until it prints its values. The
    /// peers end with this call.
    fn converse(&self, child: &mut Child, workload: &Workload) -> Result<Vec<f64>> {
        let mut peers = Vec::new();
        let mut input = child.stdin.take().expect("piped");
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line?;
            let mut words = line.split_whitespace();
            match words.next() {
                Some("value") => return Ok(words.filter_map(|word| word.parse().ok()).collect()),
                Some("peer") => {
                    let peer = Peer::start(words, self.pin(|cores| cores.peer_of(workload)))?;
                    writeln!(input, "{}", peer.port)?;
                    peers.push(peer);
                }
                _ => eprintln!("{line}"),
            }
        }
        Err(format!("{}: ended without a result", workload.name).into())
    }

    /// `PREFIX interpreter run.lua`, with `side`'s library in its paths.
    fn interpreter_command(&self, side: Side, prefix: &[String]) -> Command {
        let mut command = with_all_descriptors();
        command
            .args(prefix)
            .arg(&self.interpreter)
            .arg(project::root().join("bench/lib/run.lua"));
        project::forget_lua(&mut command);
        let source = if side == Side::Ours {
            Some(&self.ours)
        } else {
            self.base.as_ref()
        };
        if let Some(Source::Folder(folder)) = source {
            command.env("LUA_PATH", folder.join("?.lua"));
            command.env("LUA_CPATH", folder.join("?.so"));
        }
        command
    }

    /// The command prefix that pins a process.
    fn pin(&self, core: impl Fn(&Cores) -> usize) -> Vec<String> {
        let Some(cores) = &self.cores else {
            return Vec::new();
        };
        vec!["taskset".into(), "-c".into(), core(cores).to_string()]
    }
}

impl Source {
    /// The library as it is now, unless the options name another.
    fn ours(options: &Options) -> Result<Self> {
        let Some(folder) = options.ours.as_ref().map(PathBuf::from) else {
            return Ok(Self::Folder(dist::build(options.lua, &[])?));
        };
        if !folder.is_dir() {
            return Err(format!("{} is missing", folder.display()).into());
        }
        Ok(Self::Folder(folder))
    }
}

/// Where processes are pinned to, when that is possible.
struct Cores {
    measured: usize,
    peer: usize,
}

impl Cores {
    /// The last core for what is measured, the first for its peers; `None`
    /// where there is no `taskset`.
    fn find() -> Option<Self> {
        let measured = std::thread::available_parallelism().ok()?.get() - 1;
        let trial = Command::new("taskset").args(["-c", "0", "true"]).output();
        trial
            .is_ok_and(|t| t.status.success())
            .then_some(Self { measured, peer: 0 })
    }

    fn peer_of(&self, workload: &Workload) -> usize {
        if workload.one_core {
            self.measured
        } else {
            self.peer
        }
    }
}

/// A running peer (`peer.rs`), stopped when dropped.
struct Peer {
    child: Child,
    port: u16,
    /// The peer ends when this is closed, even if we are killed.
    life: Option<ChildStdin>,
}

impl Peer {
    fn start<'a>(words: impl Iterator<Item = &'a str>, prefix: Vec<String>) -> Result<Self> {
        let mut words = words.peekable();
        let mut command = with_all_descriptors();
        command.args(prefix);
        if words.next_if_eq(&"load").is_some() {
            command.arg(c_program("load")?);
        } else {
            command.arg(std::env::current_exe()?);
            command.args(["bench", "--peer"]);
        }
        command.args(words);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let life = child.stdin.take().expect("piped");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line)?;
        let port = line.trim().parse().map_err(|_| "the peer did not start")?;
        Ok(Self {
            child,
            port,
            life: Some(life),
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // What it has started ends with it, if it may end by itself.
        self.life = None;
        for _ in 0..20 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program made of the C file `name` of `bench/lib`, built when that has changed.
fn c_program(name: &str) -> Result<PathBuf> {
    let source = project::root()
        .join("bench/lib")
        .join(name)
        .with_extension("c");
    let program = project::target().join("bench").join(name);
    let changed = |path: &PathBuf| path.metadata().and_then(|about| about.modified());
    if changed(&source)? > changed(&program).unwrap_or(std::time::UNIX_EPOCH) {
        std::fs::create_dir_all(project::target().join("bench"))?;
        let compiler = std::env::var_os("CC").unwrap_or("cc".into());
        let status = Command::new(compiler)
            .args(["-O2", "-o"])
            .args([&program, &source])
            .status()?;
        if !status.success() {
            return Err(format!("{} does not compile", source.display()).into());
        }
    }
    Ok(program)
}

/// A command whose process may open as many descriptors as the system allows.
fn with_all_descriptors() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n "$(ulimit -H -n)"; exec "$@""#, "sh"]);
    command
}
