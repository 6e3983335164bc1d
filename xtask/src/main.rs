//! `cargo xtask`: the commands of this project, one file each.

mod bench;
mod dist;
mod job;
mod project;
mod tally;
mod target;
mod test;

use std::process::ExitCode;

/// What went wrong, in words for the person at the terminal.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// A command: its name, its usage, what it is for, and how it is run. `Ok(false)`
/// means that it did its work and the answer is bad news (a test failed).
struct Command {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(lexopt::Parser) -> Result<bool>,
}

const COMMANDS: &[Command] = &[test::COMMAND, dist::COMMAND, bench::COMMAND];

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some(command) = COMMANDS.iter().find(|c| c.name == name) else {
        return help(&name);
    };
    let mut parser = lexopt::Parser::from_env();
    let _ = parser.next(); // the command's name
    match (command.run)(parser) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask {name}: {error}");
            ExitCode::from(2)
        }
    }
}

fn help(name: &str) -> ExitCode {
    for command in COMMANDS {
        println!("cargo xtask {} {}", command.name, command.usage);
        for line in command.about.lines() {
            println!("    {line}");
        }
    }
    match name {
        "" | "help" | "-h" | "--help" => ExitCode::SUCCESS,
        _ => {
            eprintln!("xtask: no command '{name}'");
            ExitCode::from(2)
        }
    }
}
