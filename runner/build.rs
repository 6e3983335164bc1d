//! Tells the linker that the runner is a host for other people's C modules.

/// What such a module may ask of its host.
const API: &[&str] = &["lua_*", "luaL_*", "luaopen_*", "luaJIT_*"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => println!("cargo:rustc-link-arg-bins=-Wl,-export_dynamic"),
        Ok("windows") => {}
        // Naming the symbols exports them and keeps them from being collected,
        // whatever else of the archive is used, and exports nothing of ours.
        _ => {
            let list = std::env::var("OUT_DIR").unwrap() + "/api.list";
            std::fs::write(&list, format!("{{ {}; }};\n", API.join("; "))).unwrap();
            println!("cargo:rustc-link-arg-bins=-Wl,--dynamic-list={list}");
        }
    }
}
