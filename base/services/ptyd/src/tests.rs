//! The line discipline and the scheme over it.

use std::cell::RefCell;
use std::rc::Rc;

use valence_daemon::syscall::error::{EINVAL, EIO, ENOENT, EWOULDBLOCK, Error, Result};
use valence_daemon::syscall::flag::{EventFlags, O_RDWR};
use valence_daemon::{Caller, Opened, Service};

use crate::limits::{INPUT_BYTES, LINE_BYTES, OUTPUT_BYTES};
use crate::terminal::Wait;
use crate::termios::{Termios, cc, flag};
use crate::{Node, Ptys, Signal, Terminal};

fn terminal() -> Terminal {
    let mut terminal = Terminal::default();
    terminal.set_group(42);
    terminal.slave_opened();
    terminal
}

fn raw(min: u8, time: u8) -> Terminal {
    let mut terminal = terminal();
    let mut termios = Termios::default();
    termios.local &= !(flag::ICANON | flag::ECHO | flag::ISIG);
    termios.chars[cc::MIN] = min;
    termios.chars[cc::TIME] = time;
    terminal.set_termios(termios);
    terminal
}

fn typed(terminal: &mut Terminal, text: &str) {
    assert_eq!(terminal.master_write(text.as_bytes(), 0), Ok(text.len()));
}

fn line(terminal: &mut Terminal) -> Result<String> {
    let mut buf = [0; 8192];
    let len = terminal.slave_read(&mut buf, &mut Wait::default(), 0)?;
    Ok(String::from_utf8_lossy(&buf[..len]).into_owned())
}

fn screen(terminal: &mut Terminal) -> String {
    let mut buf = vec![0; 2 * OUTPUT_BYTES];
    let len = terminal.master_read(&mut buf).unwrap_or(0);
    String::from_utf8_lossy(&buf[..len]).into_owned()
}

const BLOCKED: Result<String> = Err(Error { errno: EWOULDBLOCK });

#[test]
fn a_line_is_read_when_it_is_complete_and_echoed_as_typed() {
    let mut terminal = terminal();
    typed(&mut terminal, "ls -l");
    assert_eq!(line(&mut terminal), BLOCKED);
    typed(&mut terminal, "\rnext");
    assert_eq!(line(&mut terminal), Ok("ls -l\n".into()));
    assert_eq!(line(&mut terminal), BLOCKED);
    assert_eq!(screen(&mut terminal), "ls -l\r\nnext");
}

#[test]
fn a_short_read_leaves_the_rest_of_the_line() {
    let mut terminal = terminal();
    typed(&mut terminal, "abcdef\nx\n");
    let mut buf = [0; 4];
    assert_eq!(
        terminal.slave_read(&mut buf, &mut Wait::default(), 0),
        Ok(4)
    );
    assert_eq!(line(&mut terminal), Ok("ef\n".into()));
    assert_eq!(line(&mut terminal), Ok("x\n".into()));
}

#[test]
fn editing_keys_change_line_and_screen() {
    let mut terminal = terminal();
    typed(&mut terminal, "ab\u{e9}\x7f\x08\n");
    assert_eq!(line(&mut terminal), Ok("a\n".into()));
    assert_eq!(screen(&mut terminal), "ab\u{e9}\x08 \x08\x08 \x08\r\n");
    typed(&mut terminal, "\x7fone two  \x17three\x15four\n");
    assert_eq!(line(&mut terminal), Ok("four\n".into()));
    let mut terminal = super::tests::terminal();
    typed(&mut terminal, "one two_2 \x17x\n");
    assert_eq!(line(&mut terminal), Ok("one x\n".into()));
}

#[test]
fn reprint_and_literal_next_work() {
    let mut terminal = terminal();
    typed(&mut terminal, "ab\x12c\x16\x03\n");
    assert_eq!(line(&mut terminal), Ok("abc\x03\n".into()));
    assert_eq!(screen(&mut terminal), "ab^R\r\nabc^C\r\n");
    assert!(terminal.take_signals().is_empty());
}

#[test]
fn end_of_file_ends_a_line_or_the_input() {
    let mut terminal = terminal();
    typed(&mut terminal, "part\x04\x04");
    assert_eq!(line(&mut terminal), Ok("part".into()));
    assert_eq!(line(&mut terminal), Ok(String::new()));
    assert_eq!(line(&mut terminal), BLOCKED);
}

#[test]
fn keys_signal_the_foreground_group_and_drop_the_line() {
    let mut terminal = terminal();
    typed(&mut terminal, "half\x03\x1c\x1a");
    let numbers: Vec<_> = terminal
        .take_signals()
        .iter()
        .map(|s| (s.group, s.number))
        .collect();
    assert_eq!(numbers, [(42, 2), (42, 3), (42, 20)]);
    typed(&mut terminal, "x\n");
    assert_eq!(line(&mut terminal), Ok("x\n".into()));
    terminal.set_group(0);
    typed(&mut terminal, "\x03");
    assert!(terminal.take_signals().is_empty());
}

#[test]
fn an_interrupt_is_shown() {
    let mut terminal = terminal();
    typed(&mut terminal, "\x03");
    assert_eq!(screen(&mut terminal), "^C");
}

#[test]
fn output_gets_carriage_returns_only_while_processed() {
    let mut terminal = terminal();
    terminal.slave_write(b"a\nb").unwrap();
    assert_eq!(screen(&mut terminal), "a\r\nb");
    let termios = Termios {
        output: 0,
        ..Termios::default()
    };
    terminal.set_termios(termios);
    terminal.slave_write(b"a\nb").unwrap();
    assert_eq!(screen(&mut terminal), "a\nb");
}

#[test]
fn stop_and_start_hold_the_screen() {
    let mut terminal = terminal();
    terminal.slave_write(b"text").unwrap();
    typed(&mut terminal, "\x13");
    assert_eq!(screen(&mut terminal), "");
    assert!(!terminal.master_ready().contains(EventFlags::EVENT_READ));
    typed(&mut terminal, "\x11");
    assert_eq!(screen(&mut terminal), "text");
}

#[test]
fn without_echo_only_the_asked_newline_shows() {
    let mut terminal = terminal();
    let mut termios = Termios::default();
    termios.local = termios.local & !flag::ECHO | flag::ECHONL;
    terminal.set_termios(termios);
    typed(&mut terminal, "secret\x7f\n");
    assert_eq!(screen(&mut terminal), "\r\n");
    assert_eq!(line(&mut terminal), Ok("secre\n".into()));
}

#[test]
fn raw_bytes_pass_unchanged_and_wait_for_the_minimum() {
    let mut terminal = raw(3, 0);
    typed(&mut terminal, "\x03\x04");
    assert_eq!(line(&mut terminal), BLOCKED);
    assert!(terminal.slave_ready() & EventFlags::EVENT_READ == EventFlags::empty());
    typed(&mut terminal, "\x7f");
    assert_eq!(line(&mut terminal), Ok("\x03\x04\x7f".into()));
    assert_eq!(screen(&mut terminal), "");
}

#[test]
fn a_minimum_of_zero_never_waits() {
    let mut terminal = raw(0, 0);
    assert_eq!(line(&mut terminal), Ok(String::new()));
    typed(&mut terminal, "a");
    assert_eq!(line(&mut terminal), Ok("a".into()));
}

#[test]
fn a_time_limits_the_wait_for_the_first_byte() {
    let mut terminal = raw(0, 5);
    let (mut buf, mut wait) = ([0; 4], Wait::default());
    let blocked = Err(Error::new(EWOULDBLOCK));
    assert_eq!(terminal.slave_read(&mut buf, &mut wait, 1000), blocked);
    assert_eq!(wait.until_ms, Some(1500));
    assert_eq!(terminal.slave_read(&mut buf, &mut wait, 1499), blocked);
    assert_eq!(terminal.slave_read(&mut buf, &mut wait, 1500), Ok(0));
    assert_eq!(terminal.slave_read(&mut buf, &mut wait, 1600), blocked);
    assert_eq!(wait.until_ms, Some(2100));
}

#[test]
fn a_time_limits_the_gap_between_bytes() {
    let mut terminal = raw(10, 2);
    let (mut buf, mut wait) = ([0; 16], Wait::default());
    let blocked = Err(Error::new(EWOULDBLOCK));
    assert_eq!(terminal.slave_read(&mut buf, &mut wait, 1000), blocked);
    assert_eq!(wait.until_ms, None);
    terminal.master_write(b"ab", 5000).unwrap();
    assert_eq!(terminal.slave_read(&mut buf, &mut wait, 5000), blocked);
    assert_eq!(wait.until_ms, Some(5200));
    assert_eq!(terminal.slave_read(&mut buf, &mut wait, 5200), Ok(2));
}

#[test]
fn typed_bytes_survive_a_change_of_mode() {
    let mut terminal = terminal();
    typed(&mut terminal, "one\ntw");
    let mut termios = Termios::default();
    termios.local &= !flag::ICANON;
    terminal.set_termios(termios);
    assert_eq!(line(&mut terminal), Ok("one\ntw".into()));
    typed(&mut terminal, "x");
    terminal.set_termios(Termios::default());
    assert_eq!(line(&mut terminal), Ok("x".into()));
}

#[test]
fn every_queue_is_bounded() {
    let mut terminal = terminal();
    typed(&mut terminal, &"x".repeat(LINE_BYTES + 10));
    typed(&mut terminal, "\n");
    assert_eq!(line(&mut terminal).unwrap().len(), LINE_BYTES);
    let much = vec![b'y'; 2 * OUTPUT_BYTES];
    terminal.flush_output();
    assert_eq!(terminal.slave_write(&much), Ok(OUTPUT_BYTES));
    assert_eq!(terminal.slave_write(&much), Err(Error::new(EWOULDBLOCK)));
    assert!(!terminal.slave_ready().contains(EventFlags::EVENT_WRITE));
    let mut terminal = raw(1, 0);
    assert_eq!(
        terminal.master_write(&vec![b'z'; 2 * INPUT_BYTES], 0),
        Ok(INPUT_BYTES)
    );
    assert_eq!(terminal.master_write(b"z", 0), Err(Error::new(EWOULDBLOCK)));
}

#[test]
fn hanging_up_ends_input_and_refuses_output() {
    let mut terminal = terminal();
    typed(&mut terminal, "last\n");
    terminal.hang_up();
    let numbers: Vec<_> = terminal.take_signals().iter().map(|s| s.number).collect();
    assert_eq!(numbers, [1, 18]);
    assert_eq!(line(&mut terminal), Ok("last\n".into()));
    assert_eq!(line(&mut terminal), Ok(String::new()));
    assert_eq!(terminal.slave_write(b"x"), Err(Error::new(EIO)));
}

#[test]
fn the_master_sees_the_end_when_the_last_program_is_gone() {
    let mut terminal = Terminal::default();
    let mut buf = [0; 8];
    assert_eq!(terminal.master_read(&mut buf), Err(Error::new(EWOULDBLOCK)));
    terminal.slave_opened();
    terminal.slave_write(b"bye").unwrap();
    terminal.slave_closed();
    assert_eq!(terminal.master_read(&mut buf), Ok(3));
    assert_eq!(terminal.master_read(&mut buf), Ok(0));
}

// ---- the scheme ----

fn scheme() -> (Ptys, Rc<RefCell<Vec<Signal>>>) {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&sent);
    (
        Ptys::new(Box::new(move |signal| sink.borrow_mut().push(signal))),
        sent,
    )
}

fn open(ptys: &mut Ptys, path: &str) -> Result<Node> {
    match ptys.open(None, path, O_RDWR, &Caller::default())? {
        Opened::Stream(node) | Opened::Positioned(node) => Ok(node),
    }
}

fn setting(ptys: &mut Ptys, node: &Node, name: &str) -> Result<Node> {
    match ptys.dup(node, name.as_bytes())? {
        Opened::Stream(node) | Opened::Positioned(node) => Ok(node),
    }
}

#[test]
fn a_master_makes_a_pair_that_lives_as_long_as_either_end() {
    let (mut ptys, sent) = scheme();
    let master = open(&mut ptys, "ptmx").unwrap();
    assert_eq!(ptys.path(&master), "0");
    let slave = open(&mut ptys, "0").unwrap();
    assert_eq!(open(&mut ptys, "1").unwrap_err(), Error::new(ENOENT));
    let mut group = setting(&mut ptys, &slave, "pgrp").unwrap();
    ptys.write(&mut group, &7i32.to_le_bytes(), 0, 0).unwrap();
    ptys.close(master);
    ptys.settle();
    assert_eq!(
        sent.borrow()
            .iter()
            .map(|s| (s.group, s.number))
            .collect::<Vec<_>>(),
        [(7, 1), (7, 18)]
    );
    assert_eq!(open(&mut ptys, "0").unwrap_err(), Error::new(EIO));
    ptys.close(slave);
    assert_eq!(open(&mut ptys, "0").unwrap_err(), Error::new(ENOENT));
}

#[test]
fn settings_are_the_c_structs() {
    let (mut ptys, sent) = scheme();
    let master = open(&mut ptys, "ptmx").unwrap();
    let slave = open(&mut ptys, "0").unwrap();
    let mut buf = [0; 80];
    let mut termios = setting(&mut ptys, &slave, "termios").unwrap();
    assert_eq!(ptys.read(&mut termios, &mut buf, 0), Ok(60));
    assert_eq!(Termios::from_bytes(&buf), Some(Termios::default()));
    assert_eq!(
        ptys.write(&mut termios, &buf[..10], 0, 0),
        Err(Error::new(EINVAL))
    );
    let mut group = setting(&mut ptys, &master, "pgrp").unwrap();
    ptys.write(&mut group, &9i32.to_le_bytes(), 0, 0).unwrap();
    assert_eq!(ptys.read(&mut group, &mut buf[..4], 0), Ok(4));
    assert_eq!(buf[..4], 9i32.to_le_bytes());
    assert_eq!(ptys.read(&mut group, &mut buf[..8], 0), Ok(8));
    assert_eq!(buf[..8], 9i64.to_le_bytes());
    let mut winsize = setting(&mut ptys, &master, "winsize").unwrap();
    ptys.write(&mut winsize, &[24, 0, 80, 0, 0, 0, 0, 0], 0, 0)
        .unwrap();
    ptys.settle();
    assert_eq!(
        *sent.borrow(),
        [Signal {
            group: 9,
            number: 28
        }]
    );
    let mut name = setting(&mut ptys, &master, "ptsname").unwrap();
    assert_eq!(ptys.read(&mut name, &mut buf[..4], 0), Ok(4));
    assert_eq!(buf[..4], 0u32.to_le_bytes());
    let mut flush = setting(&mut ptys, &slave, "flush").unwrap();
    assert_eq!(ptys.write(&mut flush, &[0], 0, 0), Ok(1));
    assert_eq!(ptys.write(&mut flush, &[3], 0, 0), Err(Error::new(EINVAL)));
    assert_eq!(
        setting(&mut ptys, &master, "other").unwrap_err(),
        Error::new(EINVAL)
    );
    let mut lock = setting(&mut ptys, &master, "ptlock").unwrap();
    ptys.write(&mut lock, &1i32.to_le_bytes(), 0, 0).unwrap();
    assert_eq!(open(&mut ptys, "0").unwrap_err(), Error::new(EIO));
}

#[test]
fn a_waiting_read_sets_the_clock() {
    let (mut ptys, _) = scheme();
    let _master = open(&mut ptys, "ptmx").unwrap();
    let mut slave = open(&mut ptys, "0").unwrap();
    let mut termios = Termios::default();
    termios.local &= !flag::ICANON;
    (termios.chars[cc::MIN], termios.chars[cc::TIME]) = (0, 1);
    let mut node = setting(&mut ptys, &slave, "termios").unwrap();
    ptys.write(&mut node, &termios.to_bytes(), 0, 0).unwrap();
    ptys.on_clock(1000);
    let mut buf = [0; 4];
    assert_eq!(
        ptys.read(&mut slave, &mut buf, 0),
        Err(Error::new(EWOULDBLOCK))
    );
    assert_eq!(ptys.deadline_ms(), Some(1100));
    ptys.on_clock(1100);
    assert_eq!(ptys.deadline_ms(), None);
    assert_eq!(ptys.read(&mut slave, &mut buf, 0), Ok(0));
}
