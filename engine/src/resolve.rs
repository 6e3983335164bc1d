//! From names to addresses.
//!
//! What needs no look-up never leaves the calling thread. Names go to the
//! system's resolver (so hosts file, nsswitch and search lists apply), which
//! blocks: either here, when the caller would wait for ever anyway, or on one of
//! a few threads, while the caller waits for a descriptor and its deadline. A
//! look-up that misses the deadline is abandoned, not waited for: its thread ends
//! by itself when the system gives up.

use std::collections::VecDeque;
use std::ffi::CString;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::address::{self, Family, Service};
use crate::closings;
use crate::error::{Error, Result};
use crate::sys::{self, Fd, Hints, PerProcess};

/// What is asked: the addresses of a host and a service.
#[derive(Clone, Debug)]
pub struct Query {
    host: Option<CString>,
    service: CString,
    family: Family,
    kind: i32,
    passive: bool,
}

/// A query, or its answer where no look-up is needed.
pub enum Resolved {
    /// The answer.
    Now(Result<Vec<SocketAddr>>),
    /// A name must be looked up.
    Later(Query),
}

/// Asks for the addresses of `host` and `service` for sockets of `kind`
/// (`SOCK_*`) and `family`. `None` as host is the wildcard if `passive`, else the
/// loopback address. A NUL in either text names nothing.
pub fn resolve(
    host: Option<&[u8]>,
    service: &[u8],
    family: Family,
    kind: i32,
    passive: bool,
) -> Resolved {
    match prepare(host, service, family, kind, passive) {
        Ok(resolved) => resolved,
        Err(error) => Resolved::Now(Err(error)),
    }
}

fn prepare(
    host: Option<&[u8]>,
    service: &[u8],
    family: Family,
    kind: i32,
    passive: bool,
) -> Result<Resolved> {
    let port = address::service(service)?;
    if let (Some(ip), Service::Port(port)) = (host.and_then(address::literal), port) {
        let address = SocketAddr::new(ip, port);
        return match family.admits(Family::of(&address)) {
            true => Ok(Resolved::Now(Ok(vec![address]))),
            false => Err(Error::Resolve(sys::EAI_ADDRFAMILY)),
        };
    }
    let unknown = Error::Resolve(sys::EAI_NONAME);
    let empty = host.is_some_and(<[u8]>::is_empty);
    let named = host.is_some_and(|host| !may_be_numeric(host));
    let host = host.map(CString::new).transpose().map_err(|_| unknown)?;
    let service = match port {
        Service::Port(port) => address::port_text(port),
        Service::Name => CString::new(service).map_err(|_| Error::Resolve(sys::EAI_SERVICE))?,
    };
    let query = Query {
        host,
        service,
        family,
        kind,
        passive,
    };
    if named {
        let host = query.host.as_ref().map_or(&b""[..], |host| host.to_bytes());
        return Ok(if is_localhost(host) {
            Resolved::Now(query.blocking())
        } else {
            Resolved::Later(query)
        });
    }
    match query.ask(true) {
        Err(Error::Resolve(sys::EAI_NONAME)) if !empty => Ok(Resolved::Later(query)),
        answer => Ok(Resolved::Now(answer)),
    }
}

/// Whether a host is `localhost`, which RFC 6761 §6.3 keeps off the network: the hosts file
/// answers, so there is nothing to wait for.
pub(crate) fn is_localhost(host: &[u8]) -> bool {
    host.eq_ignore_ascii_case(b"localhost")
}

/// Whether the system could read `host` as a number. `*` is one to glibc.
pub(crate) fn may_be_numeric(host: &[u8]) -> bool {
    let numeric = |byte: &u8| byte.is_ascii_hexdigit() || b"xX.:*".contains(byte);
    host.contains(&b':') || host.iter().all(numeric)
}

impl Query {
    /// Asks the system here and now; blocks as long as it takes.
    pub fn blocking(&self) -> Result<Vec<SocketAddr>> {
        self.ask(false)
    }

    /// Asks on another thread.
    pub fn start(self) -> Result<Lookup<Vec<SocketAddr>>> {
        Lookup::start(move || self.ask(false))
    }

    fn ask(&self, numeric: bool) -> Result<Vec<SocketAddr>> {
        let hints = Hints {
            family: self.family.code(),
            kind: self.kind,
            passive: self.passive,
            numeric,
        };
        sys::getaddrinfo(self.host.as_deref(), Some(&self.service), hints)
    }
}

/// A look-up under way on another thread.
pub struct Lookup<T> {
    shared: Arc<Mutex<Shared<T>>>,
    fd: Fd,
    /// See [`Shared::signal`]: also here, for a forked child, which may not lock.
    signal: Fd,
    /// What asks the system; none if the answer was known.
    ask: Option<Ask<T>>,
    /// The process whose thread looks up: there is none in a forked child.
    process: i32,
}

/// What the owner and the thread of a look-up share.
struct Shared<T> {
    answer: Option<Result<T>>,
    /// The other end of the descriptor, by which the thread tells that the answer has come; none
    /// if nobody waits any more. It is the owner's, so that no thread keeps a descriptor open.
    signal: Fd,
}

type Ask<T> = Arc<dyn Fn() -> Result<T> + Send + Sync>;

impl<T: Send + 'static> Lookup<T> {
    /// Has `ask` called on a look-up thread.
    pub fn start(ask: impl Fn() -> Result<T> + Send + Sync + 'static) -> Result<Lookup<T>> {
        Lookup::begin(Arc::new(ask))
    }

    fn begin(ask: Ask<T>) -> Result<Lookup<T>> {
        let (fd, signal) = sys::socketpair().map_err(Error::Os)?;
        silence(fd);
        let answer = None;
        let lookup = Lookup {
            shared: Arc::new(Mutex::new(Shared { answer, signal })),
            fd,
            signal,
            ask: Some(Arc::clone(&ask)),
            process: sys::pid(),
        };
        let shared = Arc::clone(&lookup.shared);
        let work = Box::new(move || {
            // Nobody wants the answer of one that was abandoned before its turn came.
            if lock(&shared).signal == sys::INVALID {
                return;
            }
            // Who waits must hear of a panic, too.
            let found = catch_unwind(AssertUnwindSafe(|| ask()));
            let mut shared = lock(&shared);
            shared.answer = Some(found.unwrap_or(Err(Error::Resolve(sys::EAI_FAIL))));
            tell(shared.signal);
        });
        threads::submit(lookup.id(), work)?;
        Ok(lookup)
    }

    /// The answer, once, when it has come.
    pub fn take(&mut self) -> Option<Result<T>> {
        if self.fd != sys::INVALID && self.process != sys::pid() {
            return self.begin_again();
        }
        let answer = lock(&self.shared).answer.take();
        if answer.is_some() {
            self.close();
        }
        answer
    }

    /// In a forked child, which has no thread that would answer.
    #[cold]
    fn begin_again(&mut self) -> Option<Result<T>> {
        match Lookup::begin(self.ask.clone()?) {
            Ok(again) => {
                *self = again;
                None
            }
            Err(error) => {
                self.close();
                Some(Err(error))
            }
        }
    }
}

impl<T> Lookup<T> {
    /// One that is over already.
    pub fn known(answer: Result<T>) -> Lookup<T> {
        Lookup {
            shared: Arc::new(Mutex::new(Shared {
                answer: Some(answer),
                signal: sys::INVALID,
            })),
            fd: sys::INVALID,
            signal: sys::INVALID,
            ask: None,
            process: 0,
        }
    }

    /// A descriptor that becomes readable *and* writable when the answer is there,
    /// so that a program which waits for a connection "to be writable" may wait
    /// for this one in its place.
    pub fn fd(&self) -> Fd {
        self.fd
    }

    /// Abandons it, unless it is over. The descriptor goes away.
    pub fn close(&mut self) {
        if self.fd == sys::INVALID {
            return;
        }
        closings::note(self.fd);
        sys::close(self.fd);
        self.fd = sys::INVALID;
        // A forked child has no thread that could use it, but perhaps one that held the lock.
        if self.process == sys::pid() {
            let mut shared = lock(&self.shared);
            shared.signal = sys::INVALID;
            sys::close(self.signal);
            drop(shared);
            threads::withdraw(self.id());
        } else {
            sys::close(self.signal);
        }
    }

    /// Names it among those that live.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }
}

impl<T> Drop for Lookup<T> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Fills the way from `fd` to its other end, so that it is not writable yet.
fn silence(fd: Fd) {
    sys::shrink_send_buffer(fd);
    while sys::send(fd, &[0; 1024]).is_ok() {}
}

/// Makes the other end of `signal` readable and writable, if anybody still waits there.
fn tell(signal: Fd) {
    if signal == sys::INVALID {
        return;
    }
    let mut filling = Vec::with_capacity(4096);
    while matches!(sys::recv(signal, &mut filling), Ok(1..)) {
        filling.clear();
    }
    let _ = sys::shutdown(signal, sys::SHUT_RDWR);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The look-up threads: the only thing this library shares between Lua states.
/// They start when needed, serve whoever comes first, and end when idle.
mod threads {
    use super::*;

    pub type Work = Box<dyn FnOnce() + Send>;

    /// Slow look-ups must not hold up others, so there may be many; they cost
    /// nothing when not needed.
    pub const MOST: usize = 16;
    const IDLE: Duration = Duration::from_secs(10);

    /// A forked child has none of its parent's threads, and begins anew.
    static POOL: PerProcess<Pool> = PerProcess::new();

    #[derive(Default)]
    struct Pool {
        state: Mutex<State>,
        arrived: Condvar,
    }

    #[derive(Default)]
    struct State {
        jobs: VecDeque<Job>,
        threads: usize,
        idle: usize,
    }

    struct Job {
        id: usize,
        work: Work,
    }

    /// Has `work` done, unless `id` is withdrawn before its turn comes.
    pub fn submit(id: usize, work: Work) -> Result<()> {
        let pool = POOL.get();
        let mut state = lock(&pool.state);
        state.jobs.push_back(Job { id, work });
        if state.idle >= state.jobs.len() {
            pool.arrived.notify_one();
        } else if state.threads < MOST {
            let spawned = sys::without_signals(|| {
                std::thread::Builder::new()
                    .name("luasocket-dns".into())
                    .spawn(|| work_in(pool))
            });
            match spawned {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    let job = state.jobs.pop_back();
                    drop(state);
                    drop(job);
                    return Err(Error::Os(error.raw_os_error().unwrap_or(sys::EAGAIN)));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Takes back what was submitted, if its turn has not come.
    pub fn withdraw(id: usize) {
        let mut state = lock(&POOL.get().state);
        let found = state.jobs.iter().position(|job| job.id == id);
        let job = found.and_then(|at| state.jobs.remove(at));
        drop(state);
        drop(job);
    }

    fn work_in(pool: &Pool) {
        let mut state = lock(&pool.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                (job.work)();
                state = lock(&pool.state);
                continue;
            }
            state.idle += 1;
            let (again, waited) = pool
                .arrived
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::deadline::Limit;
    use crate::operation;
    use crate::sys::PollFd;

    fn now(host: &str, service: &str, family: Family) -> Result<Vec<SocketAddr>> {
        match resolve(
            Some(host.as_bytes()),
            service.as_bytes(),
            family,
            sys::SOCK_STREAM,
            false,
        ) {
            Resolved::Now(answer) => answer,
            Resolved::Later(_) => panic!("{host} needs a look-up"),
        }
    }

    #[test]
    fn literals_need_no_lookup() {
        assert_eq!(
            now("127.0.0.1", "80", Family::Unspec),
            Ok(vec!["127.0.0.1:80".parse().unwrap()])
        );
        assert_eq!(
            now("::1", "0", Family::Inet6),
            Ok(vec!["[::1]:0".parse().unwrap()])
        );
        assert_eq!(
            now("127.1", "7", Family::Unspec),
            Ok(vec!["127.0.0.1:7".parse().unwrap()])
        );
    }

    #[test]
    fn a_literal_of_the_wrong_family_is_refused() {
        let wrong = Err(Error::Resolve(sys::EAI_ADDRFAMILY));
        assert_eq!(now("127.0.0.1", "80", Family::Inet6), wrong);
        assert_eq!(now("::1", "80", Family::Inet), wrong);
    }

    #[test]
    fn a_nul_names_nothing() {
        let unknown = Err(Error::Resolve(sys::EAI_NONAME));
        assert_eq!(now("localhost\0.example", "80", Family::Unspec), unknown);
        assert_eq!(now("", "80", Family::Unspec), unknown);
    }

    /// A look-up that ends when something comes through the channel, or that is closed.
    fn held() -> (Sender<()>, Lookup<i32>) {
        let (release, held) = channel::<()>();
        let held = Mutex::new(held);
        let lookup = Lookup::start(move || {
            let _ = lock(&held).recv();
            Ok(7)
        });
        (release, lookup.unwrap())
    }

    fn wait<T>(lookup: &Lookup<T>) -> i16 {
        let mut fds = [PollFd::new(lookup.fd(), sys::POLLIN | sys::POLLOUT)];
        operation::poll(&mut fds, None, Limit::after(10.0)).unwrap();
        fds[0].revents()
    }

    /// Tests that keep all threads busy, one at a time.
    static ALL_THREADS: Mutex<()> = Mutex::new(());

    #[test]
    fn an_abandoned_lookup_is_not_asked() {
        let _alone = lock(&ALL_THREADS);
        let busy: Vec<_> = (0..threads::MOST).map(|_| held()).collect();
        let asked = Arc::new(Mutex::new(false));
        let flag = Arc::clone(&asked);
        let abandoned = Lookup::start(move || {
            *lock(&flag) = true;
            Ok(())
        });
        let question = Arc::downgrade(&abandoned.as_ref().unwrap().shared);
        drop(abandoned);
        // Nothing of it waits for its turn.
        assert_eq!(question.strong_count(), 0);
        let last = Lookup::start(|| Ok(())).unwrap();
        drop(busy);
        wait(&last);
        assert!(!*lock(&asked));
    }

    #[test]
    fn a_lookup_signals_when_it_is_over() {
        let (release, mut lookup) = held();
        let mut fds = [PollFd::new(lookup.fd(), sys::POLLIN | sys::POLLOUT)];
        assert_eq!(
            operation::poll(&mut fds, None, Limit::Now),
            Err(Error::Timeout)
        );
        assert!(lookup.take().is_none());
        release.send(()).unwrap();
        assert_ne!(wait(&lookup) & sys::POLLOUT, 0);
        assert_eq!(lookup.take(), Some(Ok(7)));
        assert_eq!(lookup.fd(), sys::INVALID);
    }

    #[test]
    fn a_lookup_that_panics_is_over() {
        let mut lookup = Lookup::start(|| -> Result<()> { panic!("as the test wants") }).unwrap();
        wait(&lookup);
        assert!(matches!(lookup.take(), Some(Err(_))));
    }

    #[test]
    fn a_child_that_lives_on_does_not_hold_the_signal_back() {
        let (release, mut lookup) = held();
        let (ours, theirs) = sys::socketpair().unwrap();
        std::thread::scope(|scope| {
            let child = scope.spawn(|| {
                sys::in_a_child(|| {
                    // Until the parent is done, or dead.
                    sys::close(theirs);
                    let mut fds = [PollFd::new(ours, sys::POLLIN)];
                    i32::from(operation::poll(&mut fds, None, Limit::after(10.0)).is_err())
                })
            });
            std::thread::sleep(Duration::from_millis(50));
            release.send(()).unwrap();
            assert_ne!(wait(&lookup) & sys::POLLOUT, 0);
            assert_eq!(lookup.take(), Some(Ok(7)));
            sys::send(theirs, b"x").unwrap();
            assert_eq!(child.join().unwrap(), 0);
        });
        sys::close(ours);
        sys::close(theirs);
    }

    #[test]
    fn a_child_looks_up_by_itself() {
        let mut lookup = Lookup::start(|| {
            std::thread::sleep(Duration::from_millis(50));
            Ok(sys::pid())
        })
        .unwrap();
        let status = sys::in_a_child(|| {
            assert!(lookup.take().is_none());
            wait(&lookup);
            i32::from(lookup.take() != Some(Ok(sys::pid())))
        });
        assert_eq!(status, 0);
        wait(&lookup);
        assert_eq!(lookup.take(), Some(Ok(sys::pid())));
    }
}
