//! Runs a dispatcher for a transport: one lock around it, and one thread that acts on a service's news.
//!
//! Every transport has the same two sides. Its own threads bring requests ([`Host::call`]); the host's thread
//! retries what was parked when the service says so. Replies leave through one closure that the transport gives,
//! called without the lock held, so a reply may cause the next request at once.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::dispatch::{Dispatcher, Output};
use crate::service::{Service, Wake};

/// How long the news thread sleeps at most before it looks whether its host still lives.
const IDLE: Duration = Duration::from_secs(1);

type Deliver = Box<dyn Fn(Vec<Output>) + Send + Sync>;

/// A running service behind a transport.
pub struct Host<S: Service> {
    dispatcher: Mutex<Dispatcher<S>>,
    wake: Wake,
    deliver: Deliver,
}

impl<S: Service> Host<S> {
    /// Starts the service and its news thread. `deliver` gets every reply and event, in order per handle.
    pub fn start(service: S, deliver: impl Fn(Vec<Output>) + Send + Sync + 'static) -> Arc<Self> {
        let dispatcher = Dispatcher::new(service);
        let wake = dispatcher.wake();
        let host = Arc::new(Host {
            dispatcher: Mutex::new(dispatcher),
            wake: wake.clone(),
            deliver: Box::new(deliver),
        });
        let weak = Arc::downgrade(&host);
        thread::spawn(move || run(&weak, &wake));
        host
    }

    /// Lets `act` work on the dispatcher and delivers what it pushed.
    pub fn call<T>(&self, act: impl FnOnce(&mut Dispatcher<S>, &mut Vec<Output>) -> T) -> T {
        let mut out = Vec::new();
        let value = {
            // A panic in a service is a bug that ends the daemon elsewhere; the table itself stays consistent.
            let mut dispatcher = self
                .dispatcher
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            act(&mut dispatcher, &mut out)
        };
        if !out.is_empty() {
            (self.deliver)(out);
        }
        value
    }
}

impl<S: Service> Drop for Host<S> {
    fn drop(&mut self) {
        self.wake.shut();
    }
}

fn run<S: Service>(host: &Weak<Host<S>>, wake: &Wake) {
    while wake.wait(IDLE) {
        let Some(host) = host.upgrade() else { return };
        host.call(|dispatcher, out| dispatcher.settle(out));
    }
}
