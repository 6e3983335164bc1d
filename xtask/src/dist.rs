//! `cargo xtask dist`: the folders that a stock Lua loads the library from.

use std::path::{Path, PathBuf};

use lexopt::prelude::*;

use crate::target::{LUAS, Lua, Profile, build_module, replace};
use crate::{Command, Result, project};

pub const COMMAND: Command = Command {
    name: "dist",
    usage: "[--lua VERSION]... [--debug-results]",
    about: "Lay out target/dist/lua5.1 ... luajit; a Lua with LUA_PATH='FOLDER/?.lua;;' finds
every module there. With --debug-results as LuaSocket's debug build.",
    run,
};

/// The first words of the names of all modules. Lua looks for `luaopen_socket_http`
/// in the file of `socket`, so one file for each first word serves them all.
const ROOTS: &[&str] = &["socket", "mime", "ltn12", "mbox", "ssl"];

/// What other installations of LuaSocket have a library of its own for. Lua would prefer
/// theirs, though it comes later in `LUA_CPATH`, to ours under the first word.
const OWN_LIBRARIES: &[&str] = &["mime/core", "socket/core", "socket/serial", "socket/unix"];

/// The file of every module in `LUA_PATH`, where Lua searches first.
const STUB: &str = "\
-- Opens this module in the library beside, whatever else of its name is installed.
local name = ...
local folder = debug.getinfo(1, \"S\").source:sub(2, -#name - 5)
return assert(package.loadlib(folder .. \"socket.so\", \"luaopen_\" .. name:gsub(\"%.\", \"_\")))(...)
";

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

/// Fills `folder` with the library, its other names, and a file in Lua for each module.
pub fn lay_out(library: &Path, folder: &Path) -> Result<PathBuf> {
    for name in modules()? {
        let file = folder.join(name.replace('.', "/") + ".lua");
        std::fs::create_dir_all(file.parent().expect("below the folder"))?;
        std::fs::write(&file, STUB)?;
    }
    let first = format!("{}.so", ROOTS[0]);
    replace(library, &folder.join(&first))?;
    for name in ROOTS[1..].iter().chain(OWN_LIBRARIES) {
        let link = folder.join(format!("{name}.so"));
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(&link)?;
        }
        let target = "../".repeat(name.matches('/').count()) + &first;
        std::os::unix::fs::symlink(target, &link)?;
    }
    Ok(folder.to_path_buf())
}

/// The names of all modules: what stands between `c"` and `"` in the list of them.
fn modules() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(project::root().join("binding/src/modules.rs"))?;
    let start = text.find("pub const MODULES").ok_or("no list of modules")?;
    let names = text[start..].split("c\"").skip(1);
    Ok(names
        .filter_map(|rest| rest.split('"').next())
        .map(String::from)
        .collect())
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
    use super::{OWN_LIBRARIES, ROOTS, modules};
    use crate::project::root;

    #[test]
    fn the_library_exports_every_module() {
        let text = std::fs::read_to_string(root().join("module/src/lib.rs")).unwrap();
        let modules = modules().unwrap();
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
        let modules = modules().unwrap();
        for name in &modules {
            let first = name.split('.').next().unwrap();
            assert!(ROOTS.contains(&first), "no file for {name}");
        }
        for name in OWN_LIBRARIES {
            assert!(modules.contains(&name.replace('/', ".")), "no {name}");
        }
    }
}
