//! Mutated archives, as many as fit into two seconds: no panic, and nothing outside is touched.

use std::fs;
use std::time::{Duration, Instant};

use coppice_guest_agent::files::unpack;

fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |kind, path: &str, content: &[u8], link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        if link.is_empty() {
            builder.append_data(&mut header, path, content).unwrap();
        } else {
            builder.append_link(&mut header, path, link).unwrap();
        }
    };
    add(tar::EntryType::Directory, "d", b"", "");
    add(tar::EntryType::Regular, "d/file", &[b'x'; 700], "");
    add(tar::EntryType::Symlink, "d/link", b"", "../outside");
    add(tar::EntryType::Link, "hard", b"", "d/file");
    add(tar::EntryType::Regular, &"long/".repeat(40), b"y", "");
    builder.into_inner().unwrap()
}

#[test]
fn mutated_archives_stay_inside() {
    let good = archive();
    let mut seed = 0x1234_5678_9abc_def1_u64;
    let mut random = |limit: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % limit as u64) as usize
    };
    let pieces: [&[u8]; 6] = [b"../", b"/", b"..", b"d/link/", b"outside/file", b"\0"];
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let mut bytes = good.clone();
        for _ in 0..1 + random(4) {
            let header = random(bytes.len() / 512) * 512;
            match random(5) {
                0 => bytes[header + random(512)] = random(256) as u8,
                1 => bytes[header + 156] = b"01234567xgLKS"[random(13)],
                2 => bytes.truncate(random(bytes.len()).max(512)),
                _ => {
                    let piece = pieces[random(pieces.len())];
                    let at = header + [0, 157][random(2)] + random(8);
                    bytes[at..at + piece.len()].copy_from_slice(piece);
                }
            }
            // A wrong sum would hide every other change.
            let Some(block) = bytes.get_mut(header..header + 512) else {
                continue;
            };
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
        let directory = tempfile::tempdir().unwrap();
        let (inside, outside) = (
            directory.path().join("inside"),
            directory.path().join("outside"),
        );
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "untouched").unwrap();
        let _ = unpack(&mut bytes.as_slice(), &inside, false);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"untouched");
    }
}
