//! The command line of `cargo xtask bench`.

use lexopt::prelude::*;

use crate::Result;
use crate::target::Lua;

/// The options, as given.
pub struct Options {
    /// The interpreter's version.
    pub lua: Lua,
    /// Measurements of each side; a workload's own number if not given.
    pub rounds: Option<u64>,
    /// Factor for the number of operations in each measurement.
    pub scale: f64,
    /// The folder this library is loaded from.
    pub ours: Option<String>,
    /// The folder of what it is compared with; `none` for nothing.
    pub base: Option<String>,
    /// Compare the C library with itself.
    pub noise: bool,
    /// Count instructions and system calls instead of measuring time.
    pub count: bool,
    /// Print Markdown.
    pub markdown: bool,
    /// Be the other end of a workload (`peer.rs`) instead; how `bench` starts itself.
    pub peer: Vec<String>,
    /// Parts of the names of the workloads to run.
    pub filters: Vec<String>,
}

/// For the list of commands.
pub const USAGE: &str = "[--lua VERSION] [--rounds N] [--scale F] [--ours DIR] [--base DIR|none]
        [--noise] [--count] [--markdown] [FILTER]...";

impl Options {
    /// Reads the rest of the command line.
    pub fn parse(parser: &mut lexopt::Parser) -> Result<Self> {
        let mut options = Self {
            lua: Lua::parse(&"5.4".into())?,
            rounds: None,
            scale: 1.0,
            ours: None,
            base: None,
            noise: false,
            count: false,
            markdown: false,
            peer: Vec::new(),
            filters: Vec::new(),
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("lua") => options.lua = Lua::parse(&parser.value()?)?,
                Long("rounds") => options.rounds = Some(parser.value()?.parse()?),
                Long("scale") => options.scale = parser.value()?.parse()?,
                Long("ours") => options.ours = Some(parser.value()?.string()?),
                Long("base") => options.base = Some(parser.value()?.string()?),
                Long("noise") => options.noise = true,
                Long("count") => options.count = true,
                Long("markdown") => options.markdown = true,
                Long("peer") => {
                    options.peer = parser
                        .raw_args()?
                        .filter_map(|a| a.into_string().ok())
                        .collect()
                }
                Value(filter) => options.filters.push(filter.string()?),
                _ => return Err(arg.unexpected().into()),
            }
        }
        Ok(options)
    }
}
