//! A small HTTP server for the workloads: `/length/N` answers N bytes of known
//! length, `/chunked/N` the same in chunks, `/gzip/N` the same in a gzip file; other
//! paths, and requests with a body, a few bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Serves one connection until the peer closes it or says that it will.
pub fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = Request::read(&mut reader)? {
        answer(&mut writer, &request)?;
        if request.last {
            break;
        }
    }
    Ok(())
}

struct Request {
    path: String,
    /// The connection ends with this one.
    last: bool,
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let path = line.split(' ').nth(1).unwrap_or("/").to_string();
        let (mut last, mut length) = (false, 0);
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let field = line.trim_end().to_ascii_lowercase();
            match field.split_once(':') {
                None => break,
                Some(("connection", value)) => last = value.contains("close"),
                Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
                Some(_) => {}
            }
        }
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        Ok(Some(Request { path, last }))
    }
}

fn answer(writer: &mut TcpStream, request: &Request) -> io::Result<()> {
    let mut parts = request.path.trim_start_matches('/').split('/');
    let (kind, count) = (parts.next(), parts.next().and_then(|n| n.parse().ok()));
    match (kind, count) {
        (Some("length"), Some(count)) => {
            writer.write_all(head(&format!("Content-Length: {count}"), request).as_bytes())?;
            each_block(count, |block| writer.write_all(block))
        }
        (Some("chunked"), Some(count)) => {
            writer.write_all(head("Transfer-Encoding: chunked", request).as_bytes())?;
            let mut chunk = Vec::new();
            each_block(count, |block| {
                chunk.clear();
                write!(chunk, "{:x}\r\n", block.len())?;
                chunk.extend_from_slice(block);
                chunk.extend_from_slice(b"\r\n");
                writer.write_all(&chunk)
            })?;
            writer.write_all(b"0\r\n\r\n")
        }
        (Some("gzip"), Some(count)) => {
            let file = gzip(count)?;
            let length = file.len();
            let framing = format!("Content-Encoding: gzip\r\nContent-Length: {length}");
            writer.write_all(head(&framing, request).as_bytes())?;
            writer.write_all(&file)
        }
        _ => {
            let text = head("Content-Length: 3", request) + "ok\n";
            writer.write_all(text.as_bytes())
        }
    }
}

/// What a usual server says.
fn head(framing: &str, request: &Request) -> String {
    let connection = if request.last { "close" } else { "keep-alive" };
    format!(
        "HTTP/1.1 200 OK\r\nServer: bench/1.0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Type: application/octet-stream\r\n{framing}\r\nConnection: {connection}\r\n\r\n"
    )
}

/// A gzip file whose blocks are stored as they are.
fn gzip(count: usize) -> io::Result<Vec<u8>> {
    let mut file = GzEncoder::new(Vec::new(), Compression::none());
    each_block(count, |block| file.write_all(block))?;
    file.finish()
}

fn each_block(count: usize, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let block = vec![b'x'; BLOCK];
    let mut left = count;
    while left > 0 {
        let n = left.min(BLOCK);
        write(&block[..n])?;
        left -= n;
    }
    Ok(())
}

/// As large as the buffers of usual servers, so also the size of a chunk.
const BLOCK: usize = 32 * 1024;
