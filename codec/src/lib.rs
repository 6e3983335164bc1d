//! Transfer encodings and line filters: bytes in, bytes out.
