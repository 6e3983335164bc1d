//! The Luas we build for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Result;

/// One of the six Luas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lua {
    /// What people say: `5.4`, `jit`.
    pub version: &'static str,
    /// The cargo feature, the same in every crate.
    pub feature: &'static str,
    /// The stock interpreter, and the folder under `target/dist`.
    pub name: &'static str,
}

/// Every Lua there is for us, oldest first.
pub const LUAS: &[Lua] = &[
    Lua {
        version: "5.1",
        feature: "lua51",
        name: "lua5.1",
    },
    Lua {
        version: "5.2",
        feature: "lua52",
        name: "lua5.2",
    },
    Lua {
        version: "5.3",
        feature: "lua53",
        name: "lua5.3",
    },
    Lua {
        version: "5.4",
        feature: "lua54",
        name: "lua5.4",
    },
    Lua {
        version: "5.5",
        feature: "lua55",
        name: "lua5.5",
    },
    Lua {
        version: "jit",
        feature: "luajit",
        name: "luajit",
    },
];

impl Lua {
    /// Finds a Lua by what a person may call it: `5.4`, `lua5.4`, `lua54`, `jit`, `luajit`.
    pub fn parse(word: &OsString) -> Result<Lua> {
        let word = word.to_string_lossy();
        let found = LUAS
            .iter()
            .find(|lua| [lua.version, lua.feature, lua.name].contains(&&*word));
        Ok(*found.ok_or_else(|| format!("no Lua '{word}': say 5.1, 5.2, 5.3, 5.4, 5.5 or jit"))?)
    }

    /// The stock interpreter of this version on PATH, if there is one.
    pub fn stock(&self) -> Option<PathBuf> {
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|folder| folder.join(self.name))
            .find(|program| program.is_file())
    }
}

/// A cargo profile and the folder below the target folder that it builds into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// What users get.
    Release,
    /// What the tests run: quick to build, with the assertions of Rust and of Lua's API.
    Spec,
}

impl Profile {
    /// The name cargo knows it by, and the folder.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Release => "release",
            Profile::Spec => "spec",
        }
    }
}

/// Builds the runner for `lua`; the program keeps a name of its own, so that the
/// six of them lie side by side.
pub fn build_runner(lua: Lua, profile: Profile) -> Result<PathBuf> {
    build("luasocket-cli", lua, profile, &[])?;
    let folder = crate::project::target().join(profile.name());
    let kept = folder.join("runner").join(lua.name);
    std::fs::create_dir_all(folder.join("runner"))?;
    replace(&folder.join("luasocket"), &kept)?;
    Ok(kept)
}

/// Builds the shared library for `lua`. The next call for another Lua overwrites it.
pub fn build_module(lua: Lua, profile: Profile, features: &[&str]) -> Result<PathBuf> {
    build("luasocket-module", lua, profile, features)?;
    let name = format!(
        "{}luasocket_module{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    Ok(crate::project::target().join(profile.name()).join(name))
}

/// One cargo call. The features of the package are `lua` and `features`, nothing else.
fn build(package: &str, lua: Lua, profile: Profile, features: &[&str]) -> Result<()> {
    let mut list = vec![lua.feature];
    list.extend(features);
    let status = crate::project::cargo()
        .args([
            "build",
            "--quiet",
            "--package",
            package,
            "--profile",
            profile.name(),
        ])
        .args(["--no-default-features", "--features", &list.join(",")])
        .stdin(Stdio::null())
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{package} does not build for {}", lua.name).into()),
    }
}

/// Copies `from` to `to` such that a program running from the old `to` is not disturbed.
pub fn replace(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let fresh = to.with_extension("new");
    std::fs::copy(from, &fresh).map_err(|e| format!("{}: {e}", from.display()))?;
    std::fs::rename(&fresh, to)?;
    Ok(())
}

/// Whether `program` runs `chunk` without an error, with the module path of its own.
pub fn runs(program: &std::path::Path, chunk: &str) -> bool {
    let mut command = Command::new(program);
    crate::project::forget_lua(&mut command);
    let status = command
        .args(["-e", chunk])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
