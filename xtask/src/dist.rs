//! `cargo xtask dist`: the folders that a stock Lua loads the library from.

use std::path::{Path, PathBuf};

use lexopt::prelude::*;

use crate::target::{LUAS, Lua, Profile, build_module, replace};
use crate::{Command, Result, project};

pub const COMMAND: Command = Command {
    name: "dist",
    usage: "[--lua VERSION]... [--debug-results]",
    about: "Lay out target/dist/lua5.1 ... luajit; a Lua with LUA_CPATH=FOLDER/?.so finds
every module there. With --debug-results as LuaSocket's debug build.",
    run,
};

/// The first words of the names of all modules. Lua looks for `luaopen_socket_http`
/// in the file of `socket`, so one file for each first word serves them all.
const ROOTS: &[&str] = &["socket", "mime", "ltn12", "mbox", "ssl"];

fn run(mut parser: lexopt::Parser) -> Result<bool> {
    let mut luas = Vec::new();
    let mut features = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("lua") => luas.push(Lua::parse(&parser.value()?)?),
            Long("debug-results") => features.push("debug"),
            _ => return Err(arg.unexpected().into()),
        }
    }
    if luas.is_empty() {
        luas.extend(LUAS);
    }
    for lua in luas {
        println!("{}", build(lua, &features)?.display());
    }
    Ok(true)
}

/// Builds the library as it is shipped; the folder that it lies in.
pub fn build(lua: Lua, features: &[&str]) -> Result<PathBuf> {
    let folder = project::target().join("dist").join(lua.name);
    let library = build_module(lua, Profile::Release, features)?;
    lay_out(&library, &folder)?;
    strip(&folder.join("socket.so"));
    Ok(folder)
}

/// Fills `folder` with the library and its other names.
pub fn lay_out(library: &Path, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let first = format!("{}.so", ROOTS[0]);
    replace(library, &folder.join(&first))?;
    for name in &ROOTS[1..] {
        let link = folder.join(format!("{name}.so"));
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(&link)?;
        }
        std::os::unix::fs::symlink(&first, &link)?;
    }
    Ok(folder.to_path_buf())
}

/// Takes the line tables out. Where there is no `strip` the library is only larger.
fn strip(library: &Path) {
    let _ = std::process::Command::new("strip")
        .arg("-S")
        .arg(library)
        .status();
}

#[cfg(test)]
mod tests {
    use super::ROOTS;
    use crate::project::root;

    /// What stands between `c"` and `"` in the list of modules.
    fn modules() -> Vec<String> {
        let text = std::fs::read_to_string(root().join("binding/src/modules.rs")).unwrap();
        let list = &text[text.find("pub const MODULES").expect("the list")..];
        let names = list.split("c\"").skip(1);
        names
            .map(|rest| rest[..rest.find('"').unwrap()].to_string())
            .collect()
    }

    #[test]
    fn the_library_exports_every_module() {
        let text = std::fs::read_to_string(root().join("module/src/lib.rs")).unwrap();
        let modules = modules();
        assert!(modules.len() > 3);
        for name in modules {
            let symbol = format!("luaopen_{} =", name.replace('.', "_"));
            assert!(
                text.contains(&symbol),
                "module/src/lib.rs does not export {name}"
            );
        }
    }

    #[test]
    fn a_file_answers_for_every_module() {
        for name in modules() {
            let first = name.split('.').next().unwrap();
            assert!(ROOTS.contains(&first), "no file for {name}");
        }
    }
}
