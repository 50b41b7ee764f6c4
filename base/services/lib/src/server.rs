//! The loop that serves a scheme: requests in, answers and events out.
//!
//! A service without other inputs blocks in the read of its socket, the cheapest form. One that also waits
//! for descriptors or for the clock uses an event queue with everything on it. redox-scheme's own wrapper
//! for waiting requests is not used because it keeps them in a `HashMap`, which needs the random scheme.

use std::collections::VecDeque;

use event::{EventFlags as Wake, RawEventQueue};
use redox_scheme::scheme::{Op, SchemeResponse, SchemeState, register_sync_scheme};
use redox_scheme::{CallerCtx, Request, RequestKind, Response, SignalBehavior, Socket};
use syscall::error::{EAGAIN, ECANCELED, EINTR, ENOSYS, EWOULDBLOCK, Error, Result};

use crate::clock::{Timer, now_ms};
use crate::host::Host;
use crate::limits::{BATCH, PARKED_MAX};
use crate::ready;
use crate::service::Service;

/// Registers the scheme, tells init, and serves until the socket is closed.
pub(crate) fn serve<S: Service>(service: S) -> Result<()> {
    let evented = !service.sources().is_empty() || service.uses_clock();
    let socket = if evented {
        Socket::nonblock()?
    } else {
        Socket::create()?
    };
    let mut host = Host::new(service);
    let name = host.service.name().to_owned();
    register_sync_scheme(&socket, &name, &mut host)?;
    let mut server = Server {
        socket: &socket,
        host,
        state: SchemeState::new(),
        parked: Vec::new(),
        answers: VecDeque::new(),
        requests: Vec::with_capacity(BATCH),
    };
    let waker = if evented {
        Some(Waker::new(&socket, &server.host.service)?)
    } else {
        None
    };
    ready::notify();
    match waker {
        None => while server.turn()? != Turn::Closed {},
        Some(mut waker) => server.serve_events(&mut waker)?,
    }
    Ok(())
}

#[derive(PartialEq)]
enum Turn {
    Served,
    Drained,
    Closed,
}

struct Server<'s, S: Service> {
    socket: &'s Socket,
    host: Host<S>,
    state: SchemeState,
    /// Requests that wait, in the order they came.
    parked: Vec<(CallerCtx, Op)>,
    answers: VecDeque<Response>,
    requests: Vec<Request>,
}

impl<S: Service> Server<'_, S> {
    /// Reads one batch and answers it.
    fn turn(&mut self) -> Result<Turn> {
        match self
            .socket
            .read_requests(&mut self.requests, SignalBehavior::Restart)
        {
            Ok(()) if self.requests.is_empty() => return Ok(Turn::Closed),
            Ok(()) => {}
            Err(error) if matches!(error.errno, EAGAIN | EWOULDBLOCK) => return Ok(Turn::Drained),
            Err(error) => return Err(error),
        }
        let mut batch = std::mem::take(&mut self.requests);
        for request in batch.drain(..) {
            self.take(request);
        }
        self.requests = batch;
        self.finish()?;
        Ok(Turn::Served)
    }

    fn serve_events(&mut self, waker: &mut Waker) -> Result<()> {
        loop {
            waker.arm(self.host.service.deadline_ms());
            match waker.wait()? {
                Woken::Requests => loop {
                    if self.host.service.uses_clock() {
                        self.host.service.on_clock(now_ms());
                    }
                    match self.turn()? {
                        Turn::Served => {}
                        Turn::Drained => break,
                        Turn::Closed => return Ok(()),
                    }
                },
                Woken::Clock => {
                    self.host.service.on_clock(now_ms());
                    self.finish()?;
                }
                Woken::Source(fd) => {
                    self.host.service.on_source(fd);
                    self.finish()?;
                }
                Woken::Nothing => {}
            }
        }
    }

    fn take(&mut self, request: Request) {
        match request.kind() {
            RequestKind::Call(call) => {
                let caller = call.caller();
                match call.op() {
                    Ok(op) => self.attempt(caller, op),
                    Err(call) => self.answers.push_back(Response::err(ENOSYS, call)),
                }
            }
            RequestKind::Cancellation(cancel) => {
                let found = self
                    .parked
                    .iter()
                    .position(|(caller, _)| caller.id == cancel.id);
                if let Some(index) = found {
                    let (_, op) = self.parked.remove(index);
                    self.answers.push_back(Response::err(ECANCELED, op));
                }
            }
            RequestKind::OnClose { id } => {
                redox_scheme::scheme::SchemeSync::on_close(&mut self.host, id)
            }
            RequestKind::SendFd(send) => {
                self.answers
                    .push_back(Response::err(syscall::error::EOPNOTSUPP, send));
            }
            RequestKind::RecvFd(receive) => {
                self.answers
                    .push_back(Response::err(syscall::error::EOPNOTSUPP, receive));
            }
            _ => {}
        }
    }

    fn attempt(&mut self, caller: CallerCtx, mut op: Op) {
        let response = match op.handle_sync_dont_consume(&caller, &mut self.host, &mut self.state) {
            SchemeResponse::Regular(Err(e)) | SchemeResponse::Opened(Err(e)) if would_block(&e) => {
                let hurried = op.is_explicitly_nonblock()
                    || op.file_id().is_some_and(|id| self.host.nonblocking(id));
                if !hurried && self.parked.len() < PARKED_MAX {
                    self.parked.push((caller, op));
                    return;
                }
                Response::err(EAGAIN, op)
            }
            SchemeResponse::Regular(result) => Response::new(result, op),
            SchemeResponse::RegularAndNotifyOnDetach(r) => Response::new_notify_on_detach(r, op),
            SchemeResponse::Opened(result) => Response::open_dup_like(result, op),
        };
        self.answers.push_back(response);
    }

    /// Retries what waits, posts events, performs effects and writes everything out.
    fn finish(&mut self) -> Result<()> {
        loop {
            let before = self.answers.len();
            for (caller, op) in std::mem::take(&mut self.parked) {
                self.attempt(caller, op);
            }
            if self.answers.len() == before {
                break;
            }
        }
        for (id, flags) in self.host.news() {
            self.answers
                .push_back(Response::post_fevent(id, flags.bits()));
        }
        while !self.answers.is_empty() {
            self.socket
                .write_responses(&mut self.answers, SignalBehavior::Restart)?;
        }
        self.host.service.settle();
        Ok(())
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error.errno, EAGAIN | EWOULDBLOCK)
}

/// What woke the event loop.
enum Woken {
    Requests,
    Clock,
    Source(usize),
    Nothing,
}

/// The event queue with the socket, the clock and the service's own descriptors on it.
struct Waker {
    queue: RawEventQueue,
    socket: usize,
    clock: Option<Timer>,
    armed_ms: Option<u64>,
}

impl Waker {
    fn new<S: Service>(socket: &Socket, service: &S) -> Result<Self> {
        let queue = RawEventQueue::new().map_err(old_error)?;
        let socket = socket.inner().raw();
        let clock = match service.uses_clock() {
            true => Some(Timer::new()?),
            false => None,
        };
        let clock_fd = clock.as_ref().map(Timer::fd);
        for fd in [Some(socket), clock_fd]
            .into_iter()
            .flatten()
            .chain(service.sources())
        {
            queue.subscribe(fd, fd, Wake::READ).map_err(old_error)?;
        }
        Ok(Waker {
            queue,
            socket,
            clock,
            armed_ms: None,
        })
    }

    /// Sets the clock; an older, later deadline may still fire, which the service tolerates.
    fn arm(&mut self, deadline_ms: Option<u64>) {
        if deadline_ms == self.armed_ms {
            return;
        }
        self.armed_ms = deadline_ms;
        if let (Some(clock), Some(ms)) = (&self.clock, deadline_ms)
            && let Err(error) = clock.set(ms)
        {
            crate::log!("cannot set the timer: {error}");
        }
    }

    fn wait(&mut self) -> Result<Woken> {
        let event = match self.queue.next_event() {
            Ok(event) => event,
            Err(error) if error.errno() == EINTR => return Ok(Woken::Nothing),
            Err(error) => return Err(old_error(error)),
        };
        if event.user_data == self.socket {
            return Ok(Woken::Requests);
        }
        match &self.clock {
            Some(clock) if clock.fd() == event.user_data => {
                clock.acknowledge();
                self.armed_ms = None;
                Ok(Woken::Clock)
            }
            _ => Ok(Woken::Source(event.user_data)),
        }
    }
}

/// redox_event is built on another version of libredox, with its own error type.
fn old_error(error: event::libredox::error::Error) -> Error {
    Error::new(error.errno())
}
