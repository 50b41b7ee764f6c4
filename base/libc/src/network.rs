//! Text forms of network names: IPv4 addresses, endpoints in scheme paths, `/etc/hosts`. Pure.

/// An IPv4 address and port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The address, first byte first.
    pub address: [u8; 4],
    /// The port.
    pub port: u16,
}

/// A decimal number that fills `text` and is at most `max`.
pub fn parse_decimal(text: &[u8], max: u32) -> Option<u32> {
    if text.is_empty() || text.len() > 10 {
        return None;
    }
    let mut value = 0u64;
    for byte in text {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10)?;
        value = value * 10 + u64::from(digit);
    }
    u32::try_from(value).ok().filter(|&value| value <= max)
}

/// `A.B.C.D`.
pub fn parse_address(text: &[u8]) -> Option<[u8; 4]> {
    let mut address = [0; 4];
    let mut parts = text.split(|&byte| byte == b'.');
    for byte in &mut address {
        *byte = u8::try_from(parse_decimal(parts.next()?, 255)?).ok()?;
    }
    parts.next().is_none().then_some(address)
}

/// `A.B.C.D:PORT`; an empty text is the unspecified endpoint.
pub fn parse_endpoint(text: &[u8]) -> Option<Endpoint> {
    if text.is_empty() {
        return Some(Endpoint::default());
    }
    let colon = text.iter().rposition(|&byte| byte == b':')?;
    let address = if colon == 0 {
        [0; 4]
    } else {
        parse_address(&text[..colon])?
    };
    Some(Endpoint {
        address,
        port: u16::try_from(parse_decimal(&text[colon + 1..], 65_535)?).ok()?,
    })
}

/// Remote and local endpoint in a socket's reference, `REMOTE[/LOCAL]`.
pub fn parse_reference(reference: &[u8]) -> Option<(Endpoint, Endpoint)> {
    let mut parts = reference.splitn(2, |&byte| byte == b'/');
    let remote = parse_endpoint(parts.next()?)?;
    let local = parse_endpoint(parts.next().unwrap_or(b""))?;
    Some((remote, local))
}

/// Writes `A.B.C.D:PORT` and returns it.
pub fn format_endpoint(endpoint: Endpoint, buf: &mut [u8; 22]) -> &[u8] {
    let mut len = 0;
    let [a, b, c, d] = endpoint.address.map(u16::from);
    for (number, separator) in [
        (a, b'.'),
        (b, b'.'),
        (c, b'.'),
        (d, b':'),
        (endpoint.port, 0),
    ] {
        let mut digits = [0; 5];
        let mut at = digits.len();
        let mut rest = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        buf[len..len + digits.len() - at].copy_from_slice(&digits[at..]);
        len += digits.len() - at;
        if separator != 0 {
            buf[len] = separator;
            len += 1;
        }
    }
    &buf[..len]
}

/// The IPv4 address of `name` in a hosts file.
pub fn find_host(hosts: &[u8], name: &[u8]) -> Option<[u8; 4]> {
    hosts.split(|&byte| byte == b'\n').find_map(|line| {
        let line = line.split(|&byte| byte == b'#').next()?;
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let address = parse_address(words.next()?)?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_four_small_numbers() {
        assert_eq!(parse_address(b"192.168.0.255"), Some([192, 168, 0, 255]));
        for bad in [
            &b""[..],
            b"1.2.3",
            b"1.2.3.4.5",
            b"1.2.3.256",
            b"a.b.c.d",
            b"1..2.3",
            b" 1.2.3.4",
        ] {
            assert_eq!(parse_address(bad), None);
        }
    }

    #[test]
    fn endpoints_survive_the_round_trip() {
        for text in ["0.0.0.0:0", "127.0.0.1:8080", "255.255.255.255:65535"] {
            let endpoint = parse_endpoint(text.as_bytes()).unwrap();
            assert_eq!(format_endpoint(endpoint, &mut [0; 22]), text.as_bytes());
        }
    }

    #[test]
    fn references_tell_remote_and_local() {
        let (remote, local) = parse_reference(b"10.0.2.2:80/10.0.2.15:4000").unwrap();
        assert_eq!((remote.port, local.port), (80, 4000));
        assert_eq!(
            parse_reference(b"").unwrap(),
            (Endpoint::default(), Endpoint::default())
        );
        assert_eq!(parse_reference(b"/0.0.0.0:80").unwrap().1.port, 80);
        assert_eq!(parse_reference(b"listen"), None);
    }

    #[test]
    fn hosts_are_found_by_any_of_their_names() {
        let hosts = b"# comment\n127.0.0.1 localhost\n10.0.0.7\tbox box.example # x\n";
        assert_eq!(find_host(hosts, b"localhost"), Some([127, 0, 0, 1]));
        assert_eq!(find_host(hosts, b"BOX.example"), Some([10, 0, 0, 7]));
        assert_eq!(find_host(hosts, b"x"), None);
    }
}
