//! As much of DNS as asking for an address takes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const A: u16 = 1;
pub const AAAA: u16 = 28;
const IN: u16 = 1;
const RECURSION_DESIRED: u16 = 0x0100;

/// None when the name cannot be one.
pub fn query(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len() + 18);
    for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        out.extend(word.to_be_bytes());
    }
    if name.len() > 253 {
        return None;
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend(IN.to_be_bytes());
    Some(out)
}

/// The addresses in a response; None when it is not the response to `id`. What it is about is not
/// compared: the socket is connected and the id fresh.
pub fn answers(message: &[u8], id: u16, kind: u16) -> Option<Vec<IpAddr>> {
    let word = |at: usize| {
        Some(u16::from_be_bytes([
            *message.get(at)?,
            *message.get(at + 1)?,
        ]))
    };
    if word(0)? != id || word(2)? & 0x8000 == 0 {
        return None;
    }
    let (questions, records) = (word(4)?, word(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = skip_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..records {
        at = skip_name(message, at)?;
        let (is, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        if is == kind {
            if let Ok(bytes) = <[u8; 4]>::try_from(data) {
                found.push(IpAddr::V4(Ipv4Addr::from(bytes)));
            } else if let Ok(bytes) = <[u8; 16]>::try_from(data) {
                found.push(IpAddr::V6(Ipv6Addr::from(bytes)));
            }
        }
        at += 10 + length;
    }
    Some(found)
}

/// Past a name, which ends with a zero or with a pointer to the rest of it.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_out_of_a_response() {
        let mut message = query(7, "a.example", A).unwrap();
        message[2] = 0x81;
        message[7] = 2;
        // A CNAME first, both by pointer.
        message.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1]);
        assert_eq!(
            answers(&message, 7, A),
            Some(vec![IpAddr::from([10, 0, 0, 1])])
        );
        assert_eq!(answers(&message, 8, A), None);
        for cut in 0..message.len() {
            let _ = answers(&message[..cut], 7, A);
        }
    }

    #[test]
    fn impossible_names_are_refused() {
        assert!(query(1, "", A).is_none());
        assert!(query(1, "a..b", A).is_none());
        assert!(query(1, &"x".repeat(64), A).is_none());
    }
}
