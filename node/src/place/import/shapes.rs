//! Whether a Shapefile's files say of themselves what can be: looked through before the crate reads them, because it believes
//! counts and places, and a small file can name one shape a million times.
//!
//! Owns those limits. Reading shapes and tables is the crate's (`shapefile`).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::MAX_FILE_BYTES;

/// Most rings of one shape. N03's richest in islands have some thousands; each takes twenty times its four bytes of the file.
const MAX_RINGS: u64 = 1_000_000;
/// Header of `.shp` and `.shx`, bytes (ESRI Shapefile Technical Description, 1998).
const HEADER: u64 = 100;
/// Where it says how long the file is, in words of two bytes, big-endian.
const LENGTH_AT: u64 = 24;
/// Header of a shape: its number and its length in words of two bytes, big-endian.
const SHAPE_HEADER: u64 = 8;
/// Entry of a `.shx`: where a shape begins and how long it is, in words.
const ENTRY: usize = 8;
/// Where a shape of many parts has its counts, and how much stands before its lists: type, box, parts, points.
const COUNTS: usize = 36;
const BEFORE_LISTS: u64 = 44;
/// Types of shapes with parts: lines, areas (each also with Z and M) and patches.
const WITH_PARTS: [u32; 7] = [3, 5, 13, 15, 23, 25, 31];
/// Header of a `.dbf`, and of a field in it (dBASE III).
const TABLE_HEADER: usize = 32;
const FIELD: usize = 32;
/// Longest beginning of a `.dbf` up to its records, bytes: what two bytes can say.
const MAX_TABLE_HEADER: u64 = 1 << 16;

/// Looks through `.shp`, `.shx` if there is one, and `.dbf`.
///
/// # Errors
/// What is wrong with them, in words.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    check_table(&path.with_extension("dbf"))?;
    let shapes = File::open(path).map_err(told)?;
    let end = shapes.metadata().map_err(told)?.len();
    match File::open(path.with_extension("shx")) {
        Ok(index) => check_named(&shapes, end, &offsets(index)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => check_in_a_row(&shapes, end),
        Err(error) => Err(error.to_string()),
    }
}

/// Memo fields point into a file of their own, at any place and as often as they like.
fn check_table(path: &Path) -> Result<(), String> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(|error| format!("its .dbf: {error}"))?;
    let read = file.take(MAX_TABLE_HEADER).read_to_end(&mut start);
    read.map_err(|error| format!("its .dbf: {error}"))?;
    // As the crate counts them: all that fit before the first record, whatever stands there. The type is behind eleven bytes
    // of name.
    let first = start
        .get(8..10)
        .map_or(0, |len| usize::from(u16::from_le_bytes([len[0], len[1]])));
    let fields = start.get(TABLE_HEADER..first.min(start.len()));
    for field in fields.unwrap_or_default().chunks_exact(FIELD) {
        if field[11] == b'M' {
            let name = field[..11].split(|&byte| byte == 0).next();
            return Err(format!(
                "its .dbf has a memo field, {}, which a Shapefile cannot have: leave it out with `ogr2ogr -select`",
                String::from_utf8_lossy(name.unwrap_or_default())
            ));
        }
    }
    Ok(())
}

/// Where the index says that shapes begin, bytes.
fn offsets(index: File) -> Result<Vec<u64>, String> {
    let mut bytes = Vec::new();
    let read = index.take(MAX_FILE_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| format!("its .shx: {error}"))?;
    let header = usize::try_from(HEADER).expect("a hundred");
    let entries = bytes.get(header..).unwrap_or_default().chunks_exact(ENTRY);
    Ok(entries.map(|entry| 2 * u64::from(big(entry))).collect())
}

/// Each shape stands behind the one before it, so that none is read twice, nor a part of it.
fn check_named(shapes: &File, end: u64, offsets: &[u64]) -> Result<(), String> {
    let mut offsets = offsets.to_vec();
    offsets.sort_unstable();
    let mut free = HEADER;
    for offset in offsets {
        if offset < free {
            return Err("its .shx names a shape, or a part of one, more than once".into());
        }
        free = check_shape(shapes, end, offset)?;
    }
    Ok(())
}

/// Without an index shapes stand one behind the other, up to the length that the header says.
fn check_in_a_row(shapes: &File, end: u64) -> Result<(), String> {
    let mut words = [0; 4];
    let read = shapes.read_exact_at(&mut words, LENGTH_AT);
    read.map_err(|_| "no header of 100 bytes".to_owned())?;
    let told = 2 * u64::from(big(&words));
    let mut at = HEADER;
    while at < told {
        at = check_shape(shapes, end, at)?;
    }
    Ok(())
}

/// Checks a shape's counts by its length, and gives where it ends.
fn check_shape(shapes: &File, end: u64, at: u64) -> Result<u64, String> {
    let beyond = || format!("the shape at byte {at} goes beyond the end of the file");
    let mut start = [0; 52];
    let header = usize::try_from(SHAPE_HEADER).expect("eight");
    shapes
        .read_exact_at(&mut start[..header], at)
        .map_err(|_| beyond())?;
    let bytes = 2 * u64::from(big(&start[4..]));
    let body = at + SHAPE_HEADER;
    if body + bytes > end {
        return Err(beyond());
    }
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    let start = &mut start[..length.min(52)];
    shapes.read_exact_at(start, body).map_err(|_| beyond())?;
    if !start
        .get(..4)
        .is_some_and(|kind| WITH_PARTS.contains(&little(kind)))
    {
        return Ok(body + bytes);
    }
    let counts = start.get(COUNTS..COUNTS + 8);
    let counts = counts.ok_or_else(|| format!("the shape at byte {at} is cut off"))?;
    let (rings, points) = (u64::from(little(counts)), u64::from(little(&counts[4..])));
    if rings > MAX_RINGS {
        return Err(format!(
            "the shape at byte {at} has {rings} rings, and at most {MAX_RINGS} are taken: divide it"
        ));
    }
    if BEFORE_LISTS + 4 * rings + 16 * points > bytes {
        return Err(format!(
            "the shape at byte {at} names more rings and points than it has"
        ));
    }
    Ok(body + bytes)
}

fn big(bytes: &[u8]) -> u32 {
    bytes[..4].iter().fold(0, |n, &b| n << 8 | u32::from(b))
}

fn little(bytes: &[u8]) -> u32 {
    bytes[..4]
        .iter()
        .rev()
        .fold(0, |n, &b| n << 8 | u32::from(b))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A shape of type 5 with these counts and so many bytes of lists.
    fn area(rings: u32, points: u32, lists: usize) -> Vec<u8> {
        let mut body = [&5_u32.to_le_bytes()[..], &[0; 32]].concat();
        body.extend([rings.to_le_bytes(), points.to_le_bytes()].concat());
        body.resize(body.len() + lists, 0);
        let words = u32::try_from(body.len() / 2).unwrap();
        [&[0; 4][..], &words.to_be_bytes(), &body].concat()
    }

    struct Files {
        _dir: tempfile::TempDir,
        path: PathBuf,
    }

    impl Files {
        fn new(shapes: &[Vec<u8>], named: Option<&[u32]>) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("towns.shp");
            let mut bytes = [vec![0; 100], shapes.concat()].concat();
            let words = u32::try_from(bytes.len() / 2).unwrap();
            bytes[24..28].copy_from_slice(&words.to_be_bytes());
            // What stands behind that is nobody's.
            bytes.extend([7; 9]);
            fs::write(&path, bytes).unwrap();
            fs::write(path.with_extension("dbf"), [0; 33]).unwrap();
            if let Some(named) = named {
                let entries = named.iter().flat_map(|at| [(at / 2).to_be_bytes(), [0; 4]]);
                let entries = entries.flatten().collect();
                fs::write(path.with_extension("shx"), [vec![0; 100], entries].concat()).unwrap();
            }
            Self { _dir: dir, path }
        }
    }

    #[track_caller]
    fn check_says(shapes: &[Vec<u8>], named: Option<&[u32]>, expected: Result<(), &str>) {
        let files = Files::new(shapes, named);
        let said = check(&files.path);
        match (&said, expected) {
            (Ok(()), Ok(())) => {}
            (Err(why), Err(word)) => assert!(why.contains(word), "{why}"),
            _ => panic!("{said:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_shape_is_read_once_and_not_longer_than_it_is() {
        // A ring of four points: 4 + 64 bytes of lists; 120 bytes with all.
        let good = || area(1, 4, 68);
        let two = [good(), good()];
        check_says(&two, None, Ok(()));
        check_says(&two, Some(&[100, 220]), Ok(()));
        check_says(&two, Some(&[220, 100]), Ok(()));
        check_says(&two, Some(&[220]), Ok(()));
        check_says(&[], Some(&[]), Ok(()));
        check_says(&two, Some(&[100, 220, 100]), Err("more than once"));
        check_says(&two, Some(&[100, 110]), Err("more than once"));
        check_says(&two, Some(&[10]), Err("more than once"));
        check_says(&two, Some(&[340]), Err("beyond the end"));
        check_says(&two, Some(&[4_000_000_000]), Err("beyond the end"));
        let cut = good()[..100].to_vec();
        check_says(&[good(), cut], None, Err("beyond the end"));
        check_says(&[area(1, 5, 68)], None, Err("more rings and points"));
        check_says(&[area(2, 4, 68)], None, Err("more rings and points"));
        check_says(
            &[area(u32::MAX, u32::MAX, 68)],
            None,
            Err("4294967295 rings"),
        );
        check_says(&[area(1_000_001, 0, 4_000_004)], None, Err("divide it"));
        let stub = [&[0, 0, 0, 1, 0, 0, 0, 4][..], &5_u64.to_le_bytes()].concat();
        check_says(&[stub], None, Err("cut off"));
        // A shape that is nothing, and one of a kind without parts.
        let null = [&[0, 0, 0, 1, 0, 0, 0, 2][..], &[0; 4]].concat();
        check_says(&[null, good()], None, Ok(()));
    }

    #[test]
    fn a_table_with_memos_is_not_read() {
        let files = Files::new(&[], None);
        let field = |name: &str, kind: u8| {
            let mut field = name.as_bytes().to_vec();
            field.resize(11, 0);
            field.push(kind);
            field.resize(FIELD, 0);
            field
        };
        let table = |fields: &[Vec<u8>]| {
            let first = u16::try_from(33 + 32 * fields.len()).unwrap();
            let header = [&[3; 8][..], &first.to_le_bytes(), &[0; 22]].concat();
            let bytes = [&header, &fields.concat()[..], &[0x0D], &[b'M'; 40]].concat();
            fs::write(files.path.with_extension("dbf"), bytes).unwrap();
            check(&files.path)
        };
        table(&[field("N03_007", b'C'), field("N03_004", b'C')]).unwrap();
        let why = table(&[field("N03_007", b'C'), field("STORY", b'M')]).unwrap_err();
        assert!(why.contains("memo field, STORY,"), "{why}");
        // A name that looks like the end of the list hides nothing.
        let hidden = [field("\r", b'C'), field("STORY", b'M')];
        assert!(table(&hidden).is_err());
        fs::remove_file(files.path.with_extension("dbf")).unwrap();
        assert!(check(&files.path).unwrap_err().contains(".dbf"));
    }
}
