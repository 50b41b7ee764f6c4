//! The protocol against the host's own shell.

use std::io::{self, Cursor};
use std::sync::Mutex;

use crate::frame::{Order, read_order};
use crate::{Machine, serve};

#[derive(Default)]
struct Switch(bool);

impl Machine for Switch {
    fn power_off(&mut self) -> io::Error {
        self.0 = true;
        io::Error::other("only a test")
    }
}

fn order(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![tag];
    frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    frame.extend_from_slice(bytes);
    frame
}

/// Frames of one kind put together.
fn collect(wire: &[u8], wanted: u8) -> Vec<u8> {
    let mut rest = wire;
    let mut result = Vec::new();
    while let [tag, a, b, c, d, tail @ ..] = rest {
        let len = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        if *tag == wanted {
            result.extend_from_slice(&tail[..len]);
        }
        rest = &tail[len..];
    }
    result
}

fn talk(input: &[u8], shell: &[&str]) -> (Vec<u8>, bool) {
    let output = Mutex::new(Vec::new());
    let mut switch = Switch::default();
    serve(&mut Cursor::new(input), &output, shell, &mut switch).unwrap();
    (output.into_inner().unwrap(), switch.0)
}

const SH: [&str; 2] = ["/bin/sh", "-c"];

#[test]
fn output_errors_and_status_come_back_apart() {
    let (wire, _) = talk(&order(b'R', b"echo out; echo err >&2; exit 7"), &SH);
    assert_eq!(wire[..5], *b"H\0\0\0\0");
    assert_eq!(collect(&wire, b'O'), b"out\n");
    assert_eq!(collect(&wire, b'E'), b"err\n");
    assert_eq!(collect(&wire, b'X'), 7i32.to_le_bytes());
}

#[test]
fn much_output_arrives_whole() {
    let (wire, _) = talk(&order(b'R', b"head -c 300000 /dev/zero"), &SH);
    assert_eq!(collect(&wire, b'O').len(), 300_000);
    assert_eq!(collect(&wire, b'X'), 0i32.to_le_bytes());
}

#[test]
fn a_killed_command_tells_its_signal() {
    let (wire, _) = talk(&order(b'R', b"kill -9 $$"), &SH);
    assert_eq!(collect(&wire, b'X'), 137i32.to_le_bytes());
}

#[test]
fn a_missing_shell_is_status_127_with_a_reason() {
    let (wire, _) = talk(&order(b'R', b"true"), &["/nowhere/sh", "-c"]);
    assert_eq!(collect(&wire, b'X'), 127i32.to_le_bytes());
    assert!(
        String::from_utf8(collect(&wire, b'E'))
            .unwrap()
            .contains("/nowhere/sh")
    );
}

#[test]
fn the_input_of_a_command_is_empty() {
    let (wire, _) = talk(&order(b'R', b"cat; echo end"), &SH);
    assert_eq!(collect(&wire, b'O'), b"end\n");
}

#[test]
fn stray_bytes_are_answered_with_ready() {
    let mut input = vec![0, b'?'];
    input.extend(order(b'R', b"exit 3"));
    let (wire, _) = talk(&input, &SH);
    assert_eq!(wire[..15], *b"H\0\0\0\0H\0\0\0\0H\0\0\0\0");
    assert_eq!(collect(&wire, b'X'), 3i32.to_le_bytes());
}

#[test]
fn power_off_reaches_the_machine() {
    let (wire, off) = talk(&order(b'Q', b""), &SH);
    assert!(off);
    assert_eq!(collect(&wire, b'X'), 1i32.to_le_bytes());
}

#[test]
fn a_length_that_cannot_be_meant_is_not_allocated() {
    let mut input = Cursor::new([b'R', 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(read_order(&mut input).unwrap(), Some(Order::Unknown));
}
