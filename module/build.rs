//! Tells the linker what a shared library of ours needs.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A thread that looks up a name may outlive the Lua state that started it,
    // so `dlclose` must not take the code away.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
