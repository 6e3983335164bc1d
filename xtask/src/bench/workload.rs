//! The workloads: what `bench/*.lua` declares.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::{Result, project};

/// One workload, as `bench/lib/run.lua list` prints it. The fields are
/// explained there.
pub struct Workload {
    pub file: String,
    pub name: String,
    pub count: u64,
    pub warm: Option<u64>,
    pub bytes: Option<f64>,
    pub unit: Option<String>,
    pub target: Option<f64>,
    pub limit: Option<f64>,
    pub ours_only: bool,
    pub rounds: Option<u64>,
    pub one_core: bool,
    /// Whether it serves requests, so that starting takes a number of them.
    pub serves: bool,
    /// The workload of the same file that it is compared with.
    pub versus: Option<String>,
    /// The program that it is compared with, and its arguments.
    pub rival: Option<String>,
}

impl Workload {
    /// Whether it is compared with something else than the C library.
    pub fn has_rival_of_its_own(&self) -> bool {
        self.versus.is_some() || self.rival.is_some()
    }
}

/// The workloads of `text`, what `run.lua list` printed, whose file or name contains one of
/// `filters`.
pub fn read(text: &str, filters: &[String]) -> Result<Vec<Workload>> {
    let mut all = text.lines().map(parse).collect::<Result<Vec<_>>>()?;
    if !filters.is_empty() {
        all.retain(|w| {
            filters
                .iter()
                .any(|f| w.file.contains(f) || w.name.contains(f))
        });
    }
    if all.is_empty() {
        return Err("no workload has that name".into());
    }
    Ok(all)
}

/// The files that declare workloads.
pub fn files() -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(project::root().join("bench"))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "lua"));
    files.sort();
    Ok(files)
}

/// Reads `field=value`s, separated by tabs.
fn parse(line: &str) -> Result<Workload> {
    let mut fields: HashMap<_, _> = line.split('\t').filter_map(|f| f.split_once('=')).collect();
    let number = |text: &str| {
        text.parse::<f64>()
            .map_err(|_| format!("bad number in: {line}"))
    };
    let mut optional = |field| fields.remove(field).map(number).transpose();
    let count = optional("count")?.unwrap_or(1.0) as u64;
    let warm = optional("warm")?.map(|n| n as u64);
    let (bytes, target, limit) = (optional("bytes")?, optional("target")?, optional("limit")?);
    let rounds = optional("rounds")?.map(|n| n as u64);
    let one_core = optional("cores")? == Some(1.0);
    let serves = optional("serve")?.is_some();
    let ours_only = fields.remove("only") == Some("ours");
    let mut text = |field| fields.remove(field).map(str::to_owned);
    let (unit, versus, rival) = (text("unit"), text("versus"), text("rival"));
    let (Some(file), Some(name)) = (text("file"), text("name")) else {
        return Err(format!("no workload: {line}").into());
    };
    Ok(Workload {
        file,
        name,
        count,
        warm,
        bytes,
        unit,
        target,
        limit,
        ours_only,
        rounds,
        one_core,
        serves,
        versus,
        rival,
    })
}
