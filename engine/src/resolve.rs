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
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::address::{self, Family, Service};
use crate::error::{Error, Result};
use crate::sys::{self, Fd, Hints};

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
    answer: Arc<Mutex<Option<Result<T>>>>,
    fd: Fd,
}

impl<T: Send + 'static> Lookup<T> {
    /// Has `ask` called on a look-up thread.
    pub fn start(ask: impl FnOnce() -> Result<T> + Send + 'static) -> Result<Lookup<T>> {
        let (ours, theirs) = sys::socketpair().map_err(Error::Os)?;
        let lookup = Lookup {
            answer: Arc::default(),
            fd: ours,
        };
        let signal = Signal(theirs);
        signal.silence(ours);
        let answer = Arc::clone(&lookup.answer);
        threads::submit(Box::new(move || {
            // Nobody wants the answer of one that was abandoned before its turn came.
            if Arc::strong_count(&answer) > 1 {
                let found = ask();
                *lock(&answer) = Some(found);
            }
            drop(signal);
        }))?;
        Ok(lookup)
    }

    /// The answer, once, when it has come.
    pub fn take(&mut self) -> Option<Result<T>> {
        lock(&self.answer).take()
    }
}

impl<T> Lookup<T> {
    /// One that is over already.
    pub fn known(answer: Result<T>) -> Lookup<T> {
        Lookup {
            answer: Arc::new(Mutex::new(Some(answer))),
            fd: sys::INVALID,
        }
    }

    /// A descriptor that becomes readable *and* writable when the answer is there,
    /// so that a program which waits for a connection "to be writable" may wait
    /// for this one in its place.
    pub fn fd(&self) -> Fd {
        self.fd
    }
}

impl<T> Drop for Lookup<T> {
    fn drop(&mut self) {
        if self.fd != sys::INVALID {
            sys::close(self.fd);
        }
    }
}

/// The look-up thread's end of the descriptor; closing it is the signal.
struct Signal(Fd);

impl Signal {
    /// Fills the way from `ours` to here, so that `ours` is not writable yet.
    fn silence(&self, ours: Fd) {
        sys::shrink_send_buffer(ours);
        while sys::send(ours, &[0; 1024]).is_ok() {}
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        sys::close(self.0);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The look-up threads: the only thing this library shares between Lua states.
/// They start when needed, serve whoever comes first, and end when idle.
mod threads {
    use super::*;

    pub type Job = Box<dyn FnOnce() + Send>;

    /// Slow look-ups must not hold up others, so there may be many; they cost
    /// nothing when not needed.
    pub const MOST: usize = 16;
    const IDLE: Duration = Duration::from_secs(10);

    struct Pool {
        jobs: VecDeque<Job>,
        threads: usize,
        idle: usize,
        /// The process they run in: a forked child has none of them.
        process: u32,
    }

    static POOL: Mutex<Pool> = Mutex::new(Pool {
        jobs: VecDeque::new(),
        threads: 0,
        idle: 0,
        process: 0,
    });
    static WORK: Condvar = Condvar::new();

    pub fn submit(job: Job) -> Result<()> {
        let mut pool = lock(&POOL);
        let process = std::process::id();
        if pool.process != process {
            *pool = Pool {
                jobs: VecDeque::new(),
                threads: 0,
                idle: 0,
                process,
            };
        }
        pool.jobs.push_back(job);
        if pool.idle >= pool.jobs.len() {
            WORK.notify_one();
        } else if pool.threads < MOST {
            let spawned = sys::without_signals(|| {
                std::thread::Builder::new()
                    .name("luasocket-dns".into())
                    .spawn(work)
            });
            match spawned {
                Ok(_) => pool.threads += 1,
                Err(error) if pool.threads == 0 => {
                    pool.jobs.pop_back();
                    return Err(Error::Os(error.raw_os_error().unwrap_or(sys::EAGAIN)));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn work() {
        let mut pool = lock(&POOL);
        loop {
            if let Some(job) = pool.jobs.pop_front() {
                drop(pool);
                job();
                pool = lock(&POOL);
                continue;
            }
            pool.idle += 1;
            let (again, waited) = WORK
                .wait_timeout(pool, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            pool = again;
            pool.idle -= 1;
            if waited.timed_out() && pool.jobs.is_empty() {
                pool.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn an_abandoned_lookup_is_not_asked() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let busy: Vec<_> = (0..threads::MOST)
            .map(|_| {
                let held = Arc::clone(&held);
                Lookup::start(move || {
                    let _ = lock(&held).recv();
                    Ok(())
                })
                .unwrap()
            })
            .collect();
        let asked = Arc::new(Mutex::new(false));
        let flag = Arc::clone(&asked);
        let abandoned = Lookup::start(move || {
            *lock(&flag) = true;
            Ok(())
        });
        drop(abandoned);
        let last = Lookup::start(|| Ok(())).unwrap();
        drop(release);
        let mut fds = [PollFd::new(last.fd(), sys::POLLIN)];
        operation::poll(&mut fds, None, Limit::after(10.0)).unwrap();
        assert!(!*lock(&asked));
        drop(busy);
    }

    #[test]
    fn a_lookup_signals_when_it_is_over() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut lookup = Lookup::start(move || {
            let _ = held.recv();
            Ok(7)
        })
        .unwrap();
        let mut fds = [PollFd::new(lookup.fd(), sys::POLLIN | sys::POLLOUT)];
        assert_eq!(
            operation::poll(&mut fds, None, Limit::Now),
            Err(Error::Timeout)
        );
        assert!(lookup.take().is_none());
        release.send(()).unwrap();
        operation::poll(&mut fds, None, Limit::after(10.0)).unwrap();
        assert_ne!(fds[0].revents() & sys::POLLOUT, 0);
        assert_eq!(lookup.take(), Some(Ok(7)));
    }
}
