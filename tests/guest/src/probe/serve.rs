//! The two loops that serve the probe scheme, as real daemons do it: `loop` reads one request at a time and keeps the
//! deferred ones itself, `wrapper` is the crate's `ReadinessBased` on a non-blocking socket with an event queue.

use std::cell::RefCell;
use std::rc::Rc;

use event::{EventFlags as QueueFlags, RawEventQueue};
use syscall::error::{ECANCELED, EOPNOTSUPP, EWOULDBLOCK, Error, Result};

use super::super::redox_scheme::scheme::{
    Op, SchemeResponse, SchemeState, SchemeSync, register_sync_scheme,
};
use super::super::redox_scheme::wrappers::ReadinessBased;
use super::super::redox_scheme::{CallerCtx, Id, RequestKind, Response, SignalBehavior, Socket};
use super::Probe;

/// Requests that the wrapper reads at once.
const QUEUE_LENGTH: usize = 16;

/// Serves the scheme NAME until the process is killed. `style` is `loop` or `wrapper`.
pub(crate) fn serve(name: &str, style: &str) -> std::result::Result<(), String> {
    let text = |what: &'static str| move |error: Error| format!("{what}: {error}");
    let socket = match style {
        "wrapper" => Socket::nonblock(),
        _ => Socket::create(),
    }
    .map_err(text("creating the scheme"))?;
    let socket = Rc::new(socket);
    let mut probe = Probe::new(socket.clone());
    register_sync_scheme(&socket, name, &mut probe).map_err(text("registering the scheme"))?;
    println!("ready");
    match style {
        "wrapper" => serve_by_wrapper(&socket, probe),
        _ => serve_by_loop(&socket, probe),
    }
    .map_err(text("serving"))
}

fn serve_by_loop(socket: &Socket, mut probe: Probe) -> Result<()> {
    let mut state = SchemeState::new();
    let mut waiting: Vec<(Id, CallerCtx, Op)> = Vec::new();
    while let Some(request) = socket.next_request(SignalBehavior::Restart)? {
        match request.kind() {
            RequestKind::Call(request) => {
                let (id, caller) = (request.request_id(), request.caller());
                match request.op() {
                    Ok(op) => waiting.push((id, caller, op)),
                    Err(request) => respond(socket, Response::err(EOPNOTSUPP, request))?,
                }
            }
            RequestKind::Cancellation(request) => {
                probe.log.push("cancel".into());
                if let Some(at) = waiting.iter().position(|(id, ..)| *id == request.id) {
                    respond(socket, Response::err(ECANCELED, waiting.swap_remove(at).2))?;
                }
            }
            RequestKind::SendFd(request) => {
                let result = probe.on_sendfd(&request);
                respond(socket, Response::new(result, request))?;
            }
            RequestKind::RecvFd(request) => {
                let result = probe.on_recvfd(&request);
                respond(socket, Response::open_dup_like(result, request))?;
            }
            RequestKind::OnClose { id } => probe.on_close(id),
            RequestKind::OnDetach { .. } => probe.log.push("detach".into()),
            _ => {}
        }
        // A request may have made an older one answerable, so all that wait are tried again.
        for (id, caller, mut op) in std::mem::take(&mut waiting) {
            match op.handle_sync_dont_consume(&caller, &mut probe, &mut state) {
                SchemeResponse::Regular(Err(error))
                    if error.errno == EWOULDBLOCK && !op.is_explicitly_nonblock() =>
                {
                    waiting.push((id, caller, op));
                }
                SchemeResponse::Regular(result) => respond(socket, Response::new(result, op))?,
                SchemeResponse::Opened(result) => {
                    respond(socket, Response::open_dup_like(result, op))?
                }
                SchemeResponse::RegularAndNotifyOnDetach(result) => {
                    respond(socket, Response::new_notify_on_detach(result, op))?;
                }
            }
        }
        for (id, flags) in std::mem::take(&mut probe.events) {
            respond(socket, Response::post_fevent(id, flags))?;
        }
    }
    Ok(())
}

fn respond(socket: &Socket, response: Response) -> Result<()> {
    socket
        .write_response(response, SignalBehavior::Restart)
        .map(|_| ())
}

fn serve_by_wrapper(socket: &Socket, probe: Probe) -> Result<()> {
    let probe = RefCell::new(probe);
    let queue = RawEventQueue::new().map_err(|error| Error::new(error.errno()))?;
    queue
        .subscribe(socket.inner().raw(), 0, QueueFlags::READ)
        .map_err(|error| Error::new(error.errno()))?;
    let mut wrapper = ReadinessBased::new(socket, QUEUE_LENGTH);
    for event in queue {
        event.map_err(|error| Error::new(error.errno()))?;
        if !wrapper.read_requests()? {
            return Ok(());
        }
        wrapper.process_requests(|| probe.borrow_mut());
        wrapper.poll_all_requests(|| probe.borrow_mut())?;
        wrapper.write_responses()?;
        for (id, flags) in std::mem::take(&mut probe.borrow_mut().events) {
            respond(socket, Response::post_fevent(id, flags))?;
        }
    }
    Ok(())
}
