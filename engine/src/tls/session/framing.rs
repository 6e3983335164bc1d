//! Where one record ends and the next begins.

/// The position in a stream of records.
#[derive(Default)]
pub struct Framing {
    /// How much of a record's head has come, and its two last bytes: the length.
    head: usize,
    length: [u8; 2],
    /// How much of its body is missing.
    left: usize,
    begun: bool,
}

impl Framing {
    /// Whether anything has come.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// How many bytes can be taken that surely belong to one record.
    pub fn room(&self) -> usize {
        match self.left {
            0 => HEAD - self.head,
            left => left,
        }
    }

    /// Notes what has come.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        self.begun |= !bytes.is_empty();
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(self.room().min(bytes.len()));
            bytes = rest;
            if self.left > 0 {
                self.left -= now.len();
                continue;
            }
            for &byte in now {
                self.length = [self.length[1], byte];
            }
            self.head = (self.head + now.len()) % HEAD;
            if self.head == 0 {
                self.left = u16::from_be_bytes(self.length).into();
            }
        }
    }
}

/// Kind, version, length.
const HEAD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_with_the_head_and_with_the_record() {
        let mut framing = Framing::default();
        assert!(!framing.has_begun());
        assert_eq!(framing.room(), 5);
        framing.pass(&[22, 3, 3, 1]);
        assert!(framing.has_begun());
        assert_eq!(framing.room(), 1);
        framing.pass(&[2]);
        assert_eq!(framing.room(), 258);
        framing.pass(&[0; 200]);
        assert_eq!(framing.room(), 58);
        framing.pass(&[0; 58]);
        assert_eq!(framing.room(), 5);
    }

    #[test]
    fn it_does_not_matter_in_what_pieces_records_come() {
        let records = [&[22, 3, 3, 0, 0, 23, 3, 3, 0, 3, 9, 9, 9][..], &[21, 3]].concat();
        for size in 1..=records.len() {
            let mut framing = Framing::default();
            records.chunks(size).for_each(|piece| framing.pass(piece));
            assert_eq!(framing.room(), 3);
        }
    }
}
