//! `--count`: what an operation does, exactly, instead of how long it takes.
//!
//! Each figure is the difference between two runs that differ only in the
//! number of operations, so that starting and setting up cancel out.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::process::{Bench, Side};
use super::workload::Workload;
use crate::Result;

/// Prints instructions and system calls per operation, of both sides.
pub fn run(bench: &Bench, workloads: &[Workload]) -> Result<bool> {
    println!("instructions and system calls per operation");
    for workload in workloads.iter().filter(|w| w.unit.is_none()) {
        println!("{}", workload.name);
        for (side, name) in [(Side::Base, "base"), (Side::Ours, "ours")] {
            if bench.has(workload, side) {
                let instructions = instructions(bench, workload, side)?;
                let calls = system_calls(bench, workload, side)?;
                println!("  {name:<5} {instructions:>12.0}  {calls}");
            }
        }
    }
    Ok(true)
}

/// User-space instructions per operation, counted by valgrind.
fn instructions(bench: &Bench, workload: &Workload, side: Side) -> Result<f64> {
    let mut totals = [0.0; 2];
    let (fewer, more) = samples(workload);
    for (total, count) in totals.iter_mut().zip([fewer, more]) {
        let log = scratch("valgrind");
        let tool = [
            "valgrind",
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
        ];
        let mut prefix: Vec<String> = tool.map(String::from).into();
        prefix.push(format!("--log-file={}", log.display()));
        bench.execute(workload, side, [count, 0], &prefix)?;
        *total = collected(&take(&log)?).ok_or("valgrind printed no count")?;
    }
    Ok((totals[1] - totals[0]) / (more - fewer) as f64)
}

/// The number after `Collected :`.
fn collected(log: &str) -> Option<f64> {
    log.lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

/// System calls per operation, counted by strace.
fn system_calls(bench: &Bench, workload: &Workload, side: Side) -> Result<String> {
    let (fewer, more) = samples(workload);
    let mut totals = [BTreeMap::new(), BTreeMap::new()];
    for (total, count) in totals.iter_mut().zip([fewer, more]) {
        let log = scratch("strace");
        let tool = ["strace", "-f", "-c", "-o"].map(String::from);
        let prefix = [&tool[..], &[log.display().to_string()]].concat();
        bench.execute(workload, side, [count, 0], &prefix)?;
        *total = summary(&take(&log)?);
    }
    let per_operation = totals[1].iter().filter_map(|(name, &calls)| {
        let before = totals[0].get(name).copied().unwrap_or(0.0);
        let rate = (calls - before) / (more - fewer) as f64;
        (rate >= 0.005).then(|| format!("{name} {rate:.2}"))
    });
    Ok(per_operation.collect::<Vec<_>>().join(", "))
}

/// Name and number of the calls in the table that `strace -c` writes: the
/// fourth column is the number, the last the name.
fn summary(table: &str) -> BTreeMap<String, f64> {
    let row = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let calls = columns.get(3)?.parse().ok()?;
        let name = columns.last()?.to_string();
        (name != "total" && columns[0].parse::<f64>().is_ok()).then_some((name, calls))
    };
    table.lines().filter_map(row).collect()
}

/// Two numbers of operations, few enough for slow tools.
fn samples(workload: &Workload) -> (u64, u64) {
    match workload.count {
        1 => (1, 2),
        count if workload.serves => (count / 6, count),
        count => {
            let few = (count / 200).clamp(100, 2000);
            (few, 3 * few)
        }
    }
}

fn scratch(tool: &str) -> PathBuf {
    std::env::temp_dir().join(format!("luasocket-bench-{tool}-{}", std::process::id()))
}

fn take(path: &PathBuf) -> Result<String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let _ = fs::remove_file(path);
    Ok(text)
}
