//! The other end of a workload: a small server, in a process of its own.
//!
//! It prints its port and serves until its standard input ends.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use super::http;
use super::program::Program;
use crate::Result;

/// Serves as `kind` and its arguments say.
pub fn serve(kind: &str, arguments: &[String]) -> Result<bool> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let _program = match (kind, arguments) {
        ("nginx", [certificate, key]) => {
            drop(listener);
            Program::nginx(port, certificate, key)?
        }
        ("s_time", [server, version]) => Program::s_time(server, version)?,
        _ => {
            println!("{port}");
            serve_within(listener, kind, arguments)?;
            return end_with_input();
        }
    };
    println!("{port}");
    end_with_input()
}

fn end_with_input() -> Result<bool> {
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(true)
}

/// The peers that are threads of this process.
fn serve_within(listener: TcpListener, kind: &str, arguments: &[String]) -> Result<()> {
    match (kind, arguments) {
        ("source", [text]) => each(listener, source(unhex(text), usize::MAX)),
        ("source", [text, total]) => each(listener, source(unhex(text), total.parse()?)),
        ("sink", []) => each(listener, sink),
        ("echo", []) => each(listener, echo),
        ("http", []) => each(listener, http::serve),
        ("hold", greeting) => hold(listener, unhex(&greeting.concat())),
        _ => return Err(format!("no such peer: {kind}").into()),
    }
    Ok(())
}

/// Serves each connection in a thread of its own.
fn each<F>(listener: TcpListener, serve: F)
where
    F: Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
{
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
}

/// Keeps every connection, greeted with `greeting`.
fn hold(listener: TcpListener, greeting: Vec<u8>) {
    thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(&greeting);
            held.push(stream);
        }
    });
}

/// Writes `text` over and over, `total` bytes in all.
fn source(text: Vec<u8>, total: usize) -> impl Fn(TcpStream) -> io::Result<()> + Clone {
    let block = text.repeat((BLOCK / text.len()).max(1));
    move |mut stream| {
        let mut left = total;
        while left > 0 {
            let n = left.min(block.len());
            stream.write_all(&block[..n])?;
            left -= n;
        }
        Ok(())
    }
}

fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    while stream.read(&mut block)? > 0 {}
    Ok(())
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut block = [0; 4096];
    loop {
        match stream.read(&mut block)? {
            0 => return Ok(()),
            n => stream.write_all(&block[..n])?,
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// What a peer writes or reads at once.
const BLOCK: usize = 256 * 1024;
