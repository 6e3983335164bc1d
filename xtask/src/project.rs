//! Where the project lies, and how its commands are called.

use std::path::PathBuf;
use std::process::Command;

/// The root of the workspace.
pub fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("xtask lies in the workspace")
        .to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(folder).expect("a working directory"),
        None => root().join("target"),
    }
}

/// Cargo, called in the root of the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(root());
    command
}

/// Clears what a user's environment would tell an interpreter.
pub fn forget_lua(command: &mut Command) {
    for name in ["LUA_PATH", "LUA_CPATH", "LUA_INIT"] {
        command.env_remove(name);
        for suffix in ["_5_2", "_5_3", "_5_4", "_5_5"] {
            command.env_remove(format!("{name}{suffix}"));
        }
    }
}
