//! `cargo xtask bench`: this library beside the C one, in the same run.
//!
//! Each measurement is a fresh process of a stock interpreter that runs one
//! workload of `bench/` (declared in Lua, see `bench/lib/run.lua`) on one of
//! the two libraries; they take turns. What counts is the CPU time of that
//! process; the other end of its connections is a process of its own
//! (`peer.rs`). Absolute times say little, so the table shows ratios.

mod count;
mod http;
mod options;
mod peer;
mod process;
mod program;
mod report;
mod workload;

use crate::{Command, Result};
use options::Options;
use process::{Bench, Side};
use report::{Row, Table};
use workload::Workload;

pub const COMMAND: Command = Command {
    name: "bench",
    usage: options::USAGE,
    about: "Run the workloads of bench/ whose file or name contains a FILTER on this library
(which is built first, as by `cargo xtask dist`) and on the interpreter's own
LuaSocket, in turns. --ours DIR: the library in DIR instead; --base DIR: beside
the one in DIR; --noise: on the C library twice; --count: instructions and
system calls instead of time.",
    run,
};

fn run(mut parser: lexopt::Parser) -> Result<bool> {
    let options = Options::parse(&mut parser)?;
    if let [kind, arguments @ ..] = &options.peer[..] {
        return peer::serve(kind, arguments);
    }
    let bench = Bench::new(&options)?;
    let text = bench.list(&workload::files()?)?;
    let mut workloads = workload::read(&text, &options.filters)?;
    workloads.retain(|workload| {
        !options.noise || !(workload.ours_only || workload.has_rival_of_its_own())
    });
    if options.count {
        return count::run(&bench, &workloads);
    }
    let mut table = Table::new(&options, &bench);
    table.head();
    for workload in &workloads {
        table.row(&compare(&bench, workload, &options)?);
    }
    table.foot();
    Ok(true)
}

/// Measures one workload on both sides: one round to warm up, then the counted
/// ones. Who is first changes from round to round.
fn compare<'a>(bench: &Bench, workload: &'a Workload, options: &Options) -> Result<Row<'a>> {
    let rounds = options.rounds.or(workload.rounds).unwrap_or(5);
    let count = ((workload.count as f64 * options.scale) as u64).max(1);
    let mut row = Row::new(workload);
    for round in 0..=rounds {
        let mut sides = [Side::Base, Side::Ours];
        sides.rotate_left(round as usize % 2);
        for side in sides.into_iter().filter(|&side| bench.has(workload, side)) {
            let cost = bench.measure(workload, side, count)?;
            if round > 0 {
                row.add(side, cost);
            }
        }
    }
    Ok(row)
}
