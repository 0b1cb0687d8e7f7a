//! The bytes of a backup in, verified tiles out. Whatever is wrong is an error that says where.
//!
//! Memory stays at one tile whatever the file claims: every length is checked before it is believed.

use std::io::{self, Read};

use thiserror::Error;

use super::{
    BLOCK_HEAD_BYTES, CHECKSUM_BYTES, END, FOOTER_BYTES, HEADER_BYTES, Header, MAGIC, Summary,
    VERSION, boxes_in, bytes_for,
    digest::Digest,
    digest::Digesting,
    tile::{self, Coding},
    tiles_of,
};

/// Why a backup cannot be used.
#[derive(Debug, Error)]
pub enum BadBackup {
    /// Something else entirely.
    #[error("this is no backup of a board: it does not begin like one")]
    NotABackup,
    /// From another time.
    #[error(
        "this backup is in format {0}, but this program reads format {VERSION}: use the version of \
         the program that wrote it"
    )]
    Version(u32),
    /// The end is missing.
    #[error("the backup is cut off: it ends at byte {at}, {within}: get a whole copy")]
    CutOff {
        /// Where it ends.
        at: u64,
        /// What should have been there.
        within: String,
    },
    /// Bytes are not what was written.
    #[error("the backup is damaged at byte {at}: {what}: use another copy")]
    Damaged {
        /// Where the broken part begins.
        at: u64,
        /// What is wrong with it.
        what: String,
    },
    /// It could not be read.
    #[error("reading the backup failed at byte {at}: {error}")]
    Io {
        /// How far it was read.
        at: u64,
        /// Why it ended there.
        error: io::Error,
    },
}

/// A backup being read.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    header: Header,
    /// Bytes read.
    at: u64,
    /// CRC-32C of everything read but the other checksums, see the encoder.
    checksum: u32,
    tiles: u32,
    checked: u64,
    next: u32,
    digest: Digesting,
    body: Vec<u8>,
    summary: Option<Summary>,
}

impl<R: Read> Reader<R> {
    /// Reads the header. `source` should be buffered: it is read in small pieces.
    pub fn open(source: R) -> Result<Self, BadBackup> {
        let header = Header { name: String::new(), boxes: 0, created_s: 0 };
        let mut reader = Self {
            source,
            header,
            at: 0,
            checksum: 0,
            tiles: 0,
            checked: 0,
            next: 0,
            digest: Digesting::new(0),
            body: Vec::new(),
            summary: None,
        };
        reader.read_header()?;
        reader.digest = Digesting::new(reader.header.boxes);
        Ok(reader)
    }

    /// What the backup is of. Its checksum is right.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next tile into `bits` and returns its number. `None`: that was all, the footer
    /// agrees, and nothing comes after it.
    pub fn next(&mut self, bits: &mut Vec<u8>) -> Result<Option<u32>, BadBackup> {
        if self.summary.is_some() {
            return Ok(None);
        }
        let start = self.at;
        let mut kind = [0];
        self.fill(&mut kind, "where the next tile or the end should be")?;
        if kind[0] == END {
            self.read_footer(start)?;
            return Ok(None);
        }
        let Some(coding) = Coding::from_byte(kind[0]) else {
            return Err(damaged(start, format!("{:#04x} begins no block", kind[0])));
        };
        self.read_block(start, coding, bits).map(Some)
    }

    /// What was in it, once [`Reader::next`] has returned `None`.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// Reads everything, for its verification alone.
    pub fn verify(mut self) -> Result<Summary, BadBackup> {
        let mut bits = Vec::new();
        while self.next(&mut bits)?.is_some() {}
        Ok(self.summary.expect("set when the end was read"))
    }

    fn read_header(&mut self) -> Result<(), BadBackup> {
        let mut head = [0; HEADER_BYTES];
        // Judged before the rest: a short file of another kind is no damaged backup.
        let magic = self.fill(&mut head[..MAGIC.len()], "in its header");
        match magic {
            Err(BadBackup::CutOff { at, .. })
                if at > 0 && head[..at as usize] == MAGIC[..at as usize] =>
            {
                return magic;
            }
            Err(BadBackup::CutOff { .. }) => return Err(BadBackup::NotABackup),
            other => other?,
        }
        if head[..MAGIC.len()] != MAGIC {
            return Err(BadBackup::NotABackup);
        }
        self.fill(&mut head[MAGIC.len()..12], "in its header")?;
        let version = word(&head, 8);
        if version != VERSION {
            return Err(BadBackup::Version(version));
        }
        self.fill(&mut head[12..], "in its header")?;
        let mut name = vec![0; usize::from(head[HEADER_BYTES - 1])];
        self.fill(&mut name, "in its header")?;
        let expected = self.checksum;
        let stored = self.checksum_field("in its header")?;
        if stored != expected {
            return Err(damaged(0, "the header's checksum is wrong".into()));
        }
        let created_s = u64::from_le_bytes(head[16..24].try_into().expect("eight bytes"));
        let name = String::from_utf8(name).unwrap_or_default();
        self.header = Header { name, boxes: word(&head, 12), created_s };
        if self.header.board().is_none() {
            return Err(damaged(0, "the header describes no possible board".into()));
        }
        Ok(())
    }

    fn read_block(
        &mut self,
        start: u64,
        coding: Coding,
        bits: &mut Vec<u8>,
    ) -> Result<u32, BadBackup> {
        let mut head = [0; BLOCK_HEAD_BYTES];
        head[0] = coding.byte();
        self.fill(&mut head[1..], "inside a block")?;
        let (number, checked, length) = (word(&head, 1), word(&head, 5), word(&head, 9) as usize);
        if number < self.next || number >= tiles_of(self.header.boxes) {
            return Err(damaged(start, format!("tile {number} does not belong here")));
        }
        let boxes = boxes_in(number, self.header.boxes);
        let whole = bytes_for(boxes);
        if length > whole || (coding == Coding::Bitmap && length != whole) {
            return Err(damaged(start, format!("tile {number} cannot be {length} bytes long")));
        }
        let mut body = std::mem::take(&mut self.body);
        body.resize(length, 0);
        self.fill(&mut body, "inside a block")?;
        let expected = crc32c::crc32c_append(crc32c::crc32c(&head), &body);
        if self.checksum_field("inside a block")? != expected {
            return Err(damaged(start, format!("the checksum of tile {number} is wrong")));
        }
        let decoded = tile::decode(coding, &body, boxes, bits);
        self.body = body;
        if decoded.is_none() || checked == 0 || tile::count(bits) != checked {
            return Err(damaged(start, format!("tile {number} makes no sense")));
        }
        self.next = number + 1;
        self.tiles += 1;
        self.checked += u64::from(checked);
        self.digest.tile(number, bits);
        Ok(number)
    }

    fn read_footer(&mut self, start: u64) -> Result<(), BadBackup> {
        let mut foot = [0; FOOTER_BYTES - 1];
        self.fill(&mut foot, "in its footer")?;
        let expected = self.checksum;
        if self.checksum_field("in its footer")? != expected {
            return Err(damaged(start, "the checksum of the whole file is wrong".into()));
        }
        let (tiles, checked) = (word(&foot, 0), word(&foot, 4));
        if tiles != self.tiles || u64::from(checked) != self.checked {
            let (found, boxes) = (self.tiles, self.checked);
            let what = format!(
                "it should hold {checked} boxes in {tiles} tiles, but {boxes} in {found} are there"
            );
            return Err(damaged(start, what));
        }
        let digest = std::mem::replace(&mut self.digest, Digesting::new(0)).finish();
        if digest != Digest(foot[8..].try_into().expect("32 bytes")) {
            return Err(damaged(start, "the digest of its boxes is wrong".into()));
        }
        if self.read_some(&mut [0])? != 0 {
            return Err(damaged(self.at, "something follows its end".into()));
        }
        let (header, bytes) = (self.header.clone(), self.at);
        self.summary = Some(Summary { header, tiles, checked, digest, bytes });
        Ok(())
    }

    fn checksum_field(&mut self, within: &str) -> Result<u32, BadBackup> {
        let mut bytes = [0; CHECKSUM_BYTES];
        let before = self.checksum;
        self.fill(&mut bytes, within)?;
        self.checksum = before;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Fills `out`, or says that the file ends `within` something.
    fn fill(&mut self, out: &mut [u8], within: &str) -> Result<(), BadBackup> {
        let mut filled = 0;
        while filled < out.len() {
            let read = self.read_some(&mut out[filled..])?;
            if read == 0 {
                let (at, within) = (self.at + filled as u64, within.to_owned());
                return Err(BadBackup::CutOff { at, within });
            }
            filled += read;
        }
        self.at += filled as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, out);
        Ok(())
    }

    fn read_some(&mut self, out: &mut [u8]) -> Result<usize, BadBackup> {
        loop {
            match self.source.read(out) {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BadBackup::Io { at: self.at, error }),
            }
        }
    }
}

fn damaged(at: u64, what: String) -> BadBackup {
    BadBackup::Damaged { at, what }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
