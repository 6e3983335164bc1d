//! PEM: sections of text with a label, around base64.

use base64_turbo::STANDARD;

/// One section.
pub struct Section<'a> {
    /// What stands between `BEGIN` and the dashes.
    pub label: &'a str,
    /// How the content is encrypted in the old way of OpenSSL, if it is: what the header
    /// `DEK-Info` says.
    pub encrypted: Option<String>,
    /// The content.
    pub der: Vec<u8>,
}

/// The sections of `text`, in order; what is no section is skipped, also a section
/// without end or with something else than base64 in it.
pub fn sections(text: &[u8]) -> Vec<Section<'_>> {
    let Some(mut rest) = utf8_prefix(text) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    while let Some(at) = rest.find(BEGIN) {
        rest = &rest[at + BEGIN.len()..];
        let Some((label, behind)) = rest.split_once(DASHES) else {
            break;
        };
        let end = format!("-----END {label}-----");
        let Some(length) = behind.find(&end) else {
            continue;
        };
        if let Some(section) = section(label, &behind[..length]) {
            found.push(section);
        }
        rest = &behind[length + end.len()..];
    }
    found
}

/// `der` as a section: lines of 64 characters, with a line end behind the last.
pub fn write(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("{BEGIN}{label}{DASHES}\n");
    for line in base64.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn section<'a>(label: &'a str, content: &str) -> Option<Section<'a>> {
    let (headers, content) = match content.contains(':') {
        // Headers stand before an empty line.
        true => {
            let content = content.replace('\r', "");
            let (headers, content) = content.split_once("\n\n")?;
            (headers.to_owned(), content.to_owned())
        }
        false => (String::new(), content.to_owned()),
    };
    let encrypted = headers.contains("ENCRYPTED").then(|| {
        let info = headers
            .lines()
            .find_map(|line| line.strip_prefix("DEK-Info:"));
        info.unwrap_or_default().trim().to_owned()
    });
    let packed: String = content.split_ascii_whitespace().collect();
    let der = STANDARD.decode(packed).ok()?;
    Some(Section {
        label,
        encrypted,
        der,
    })
}

/// Text around sections may be in any encoding; then only what is ASCII counts.
fn utf8_prefix(text: &[u8]) -> Option<&str> {
    match std::str::from_utf8(text) {
        Ok(text) => Some(text),
        Err(_) => {
            let at = find(text, BEGIN.as_bytes())?;
            let tail = &text[at..];
            match std::str::from_utf8(tail) {
                Ok(text) => Some(text),
                Err(wrong) => std::str::from_utf8(&tail[..wrong.valid_up_to()]).ok(),
            }
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let der: Vec<u8> = (0..200).collect();
        let text = format!("before\n{}after", write("THING", &der));
        let found = sections(text.as_bytes());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].label, "THING");
        assert_eq!(found[0].der, der);
    }

    #[test]
    fn garbage_is_no_section() {
        for text in [
            "",
            "-----BEGIN A-----",
            "-----BEGIN A-----\n?\n-----END A-----",
            "-----BEGIN ",
        ] {
            assert!(sections(text.as_bytes()).is_empty(), "{text}");
        }
    }

    #[test]
    fn headers_tell_encryption() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-128-CBC,00\r\n\r\nAAAA\r\n-----END RSA PRIVATE KEY-----\r\n";
        let found = sections(text.as_bytes());
        assert_eq!(found[0].encrypted.as_deref(), Some("AES-128-CBC,00"));
        assert_eq!(found[0].der, [0, 0, 0]);
    }
}
