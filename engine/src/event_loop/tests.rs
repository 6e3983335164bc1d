use super::*;
use crate::operation::Direction;
use crate::socket::Socket;
use crate::sys;

/// Reads until it has `want` bytes, as a stream does: by edges where it may.
struct Read {
    socket: Socket,
    want: usize,
    has: usize,
    steps: u32,
    outcome: Option<Error>,
}

impl Read {
    fn new(fd: Fd, want: usize) -> Read {
        let mut socket = Socket::new(sys::SOCK_STREAM);
        socket.set_fd(fd);
        Read {
            socket,
            want,
            has: 0,
            steps: 0,
            outcome: None,
        }
    }
}

impl Parked for Read {
    fn step(&mut self, _: Since) -> bool {
        self.steps += 1;
        loop {
            let mut block = Vec::with_capacity(4);
            match sys::recv(self.socket.fd(), &mut block) {
                Ok(0) => self.outcome = Some(Error::Closed),
                Ok(n) => self.has += n,
                Err(sys::EAGAIN) => return false,
                Err(errno) => self.outcome = Some(Error::Os(errno)),
            }
            if self.has >= self.want || self.outcome.is_some() {
                return true;
            }
        }
    }

    fn interest(&mut self) -> (Interest<'_>, Known) {
        let known = Known {
            serial: self.socket.serial(),
            unasked: false,
        };
        (Interest::One(self.socket.fd(), Direction::Read), known)
    }

    fn give_up(&mut self, why: Error) {
        self.outcome = Some(why);
    }

    fn closing(&mut self, _: Fd) {
        self.outcome = Some(Error::Closed);
    }
}

/// Waits for nothing, but looks again after each pause.
struct Pauses(u32);

impl Parked for Pauses {
    fn step(&mut self, _: Since) -> bool {
        self.0 += 1;
        false
    }

    fn interest(&mut self) -> (Interest<'_>, Known) {
        let wake = Instant::now() + Duration::from_millis(5);
        (Interest::Many(&mut [], Some(wake)), Known::default())
    }

    fn give_up(&mut self, _: Error) {}
}

const SOON: Duration = Duration::from_millis(20);
const LATE: Duration = Duration::from_secs(10);

fn pair() -> (Fd, Fd) {
    sys::socketpair().unwrap()
}

/// Turns until somebody's wait is over, or for a while.
fn next<J: Parked>(events: &mut EventLoop<J>, wait: Duration) -> Option<(Waiter, J, Over)> {
    let end = Instant::now() + wait;
    loop {
        if let Some(over) = events.next_over() {
            return Some(over);
        }
        let now = Instant::now();
        if now >= end {
            return None;
        }
        events.turn(Some(end - now)).unwrap();
    }
}

/// The job of `owner`, which must be the next whose wait is over, for the reason `why`.
fn expect<J: Parked>(events: &mut EventLoop<J>, owner: Waiter, why: Over) -> J {
    let (next, job, over) = next(events, LATE).unwrap();
    assert_eq!((next, over), (owner, why));
    job
}

#[test]
fn a_job_is_handed_back_when_it_is_done_and_not_before() {
    let (ours, theirs) = pair();
    let mut events = EventLoop::new();
    events.park(3, Read::new(ours, 10), Limit::None, None);
    sys::send(theirs, b"123456789").unwrap();
    assert!(next(&mut events, SOON).is_none());
    sys::send(theirs, b"0").unwrap();
    let job = expect(&mut events, 3, Over::Done);
    assert_eq!((job.has, job.steps), (10, 2));
    assert!(events.take(3).is_none());
    sys::close(theirs);
}

#[test]
fn a_descriptor_is_registered_once_and_no_edge_is_lost() {
    let (ours, theirs) = pair();
    let mut events = EventLoop::new();
    let mut job = Read::new(ours, 1);
    for n in 0..100 {
        sys::send(theirs, b"x").unwrap();
        if n % 2 == 0 {
            // The edge comes while nobody waits.
            events.turn(Some(SOON)).unwrap();
        }
        job.has = 0;
        if !job.step(Since::Nothing) {
            events.park(0, job, Limit::None, None);
            job = expect(&mut events, 0, Over::Done);
        }
    }
    sys::close(theirs);
}

#[test]
fn several_wait_for_a_descriptor_at_once() {
    let (ours, theirs) = pair();
    let mut events = EventLoop::new();
    for owner in 0..5 {
        events.park(owner, Read::new(ours, 1), Limit::None, None);
    }
    let mut served = Vec::new();
    for _ in 0..5 {
        sys::send(theirs, b"x").unwrap();
        let (owner, job, over) = next(&mut events, LATE).unwrap();
        assert_eq!(over, Over::Done);
        std::mem::forget(job);
        served.push(owner);
    }
    served.sort_unstable();
    assert_eq!(served, [0, 1, 2, 3, 4]);
    for fd in [ours, theirs] {
        sys::close(fd);
    }
}

#[test]
fn a_limit_is_kept_and_a_deadline_of_the_owner_leaves_the_job_undone() {
    let (ours, theirs) = pair();
    let mut events = EventLoop::new();
    events.park(0, Read::new(ours, 1), Limit::after(0.02), None);
    assert_eq!(events.deadlines(), 1);
    let job = expect(&mut events, 0, Over::Done);
    assert_eq!(job.outcome, Some(Error::Timeout));

    let until = Instant::now() + SOON;
    events.park(0, job, Limit::after(5.0), Some(until));
    expect(&mut events, 0, Over::Until);
    assert!(Instant::now() >= until);
    assert_eq!(events.deadlines(), 0);
    sys::close(theirs);
}

#[test]
fn what_is_past_is_over_at_once() {
    let (ours, theirs) = pair();
    let mut events = EventLoop::new();
    events.queue(0, Read::new(ours, 1), Limit::Now, None);
    let job = expect(&mut events, 0, Over::Done);
    assert_eq!((job.outcome, job.steps), (Some(Error::Timeout), 2));
    let past = Instant::now() - SOON;
    events.park(0, job, Limit::None, Some(past));
    expect(&mut events, 0, Over::Until);
    sys::close(theirs);
}

#[test]
fn a_pause_does_not_prolong_a_wait() {
    let mut events = EventLoop::new();
    let limit = Limit::Each {
        each: Duration::from_millis(30),
        until: Instant::now() + LATE,
    };
    events.park(0, Pauses(0), limit, None);
    let start = Instant::now();
    let job = expect(&mut events, 0, Over::Done);
    assert!(start.elapsed() < LATE / 2);
    assert!(job.0 >= 3);
}

#[test]
fn closing_wakes_whoever_waits() {
    let (ours, theirs) = pair();
    let (mut one, mut other) = (EventLoop::new(), EventLoop::new());
    for events in [&mut one, &mut other] {
        events.park(7, Read::new(ours, 1), Limit::None, None);
    }
    let mut closer = Socket::new(sys::SOCK_STREAM);
    closer.set_fd(ours);
    closer.close();
    for events in [&mut one, &mut other] {
        let mut job = expect(events, 7, Over::Done);
        assert!(job.outcome.is_some());
        job.socket.set_fd(sys::INVALID);
    }
    sys::close(theirs);
}

#[test]
fn a_number_that_was_closed_before_is_no_closing_of_its_next_owner() {
    let (ours, theirs) = pair();
    let mut events = EventLoop::new();
    events.park(0, Read::new(ours, 1), Limit::None, None);
    let (next_ours, next_theirs) = pair();
    drop(events.take(0)); // closes
    // In one step: between two, another test might be given the number.
    sys::move_fd(next_ours, ours).unwrap();
    events.park(1, Read::new(ours, 1), Limit::None, None);
    assert!(next(&mut events, SOON).is_none());
    assert_eq!(events.job(1).unwrap().outcome, None);
    sys::send(next_theirs, b"x").unwrap();
    expect(&mut events, 1, Over::Done);
    for fd in [theirs, next_theirs] {
        sys::close(fd);
    }
}

#[test]
fn a_wait_that_ended_otherwise_takes_nobodys_edge() {
    let (ours, theirs) = pair();
    let (idle, other) = pair();
    let mut events = EventLoop::new();
    events.park(0, Read::new(ours, 1), Limit::None, None);
    let mut job = events.take(0).unwrap();
    events.park(0, Read::new(idle, 1), Limit::None, None);
    sys::send(theirs, b"x").unwrap();
    assert!(next(&mut events, SOON).is_none());
    assert_eq!(events.job(0).unwrap().steps, 0);
    // The edge has come. Who does not ask the kernel is told of it.
    job.steps = 0;
    let known = Known {
        serial: job.socket.serial(),
        unasked: true,
    };
    let wait = Wait {
        owner: 1,
        ticket: NonZeroU64::MAX,
    };
    let watched = events.readiness.watch(ours, known, Direction::Read, wait);
    assert!(matches!(watched, Watched::Ready(_)));
    for fd in [theirs, other] {
        sys::close(fd);
    }
}

#[test]
fn a_number_that_was_closed_and_taken_anew_is_registered_anew() {
    let mut events = EventLoop::new();
    for _ in 0..10 {
        let (ours, theirs) = pair();
        events.park(0, Read::new(ours, 1), Limit::None, None);
        sys::send(theirs, b"x").unwrap();
        drop(expect(&mut events, 0, Over::Done));
        sys::close(theirs);
    }
}

#[test]
fn what_cannot_be_waited_for_is_looked_at_again_and_again() {
    let mut events = EventLoop::new();
    let (ours, theirs) = pair();
    sys::close(ours);
    struct Closed(Fd, u32);
    impl Parked for Closed {
        fn step(&mut self, _: Since) -> bool {
            self.1 += 1;
            self.1 == 3
        }
        fn interest(&mut self) -> (Interest<'_>, Known) {
            (Interest::One(self.0, Direction::Read), Known::default())
        }
        fn give_up(&mut self, _: Error) {}
    }
    for fd in [ours, sys::INVALID] {
        events.park(0, Closed(fd, 0), Limit::None, None);
        expect(&mut events, 0, Over::Done);
    }
    sys::close(theirs);
}

#[test]
fn many_waits_come_and_go_and_nothing_is_left() {
    let mut events = EventLoop::new();
    let pairs: Vec<_> = (0..50).map(|_| pair()).collect();
    let mut seed = 1u64;
    let mut random = |n: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
        (seed >> 33) % n
    };
    let mut sent = [0; 50];
    let mut found = [0; 50];
    for _ in 0..5000 {
        let owner = random(50) as usize;
        let (ours, theirs) = pairs[owner];
        match random(4) {
            0 => {
                sys::send(theirs, b"x").unwrap();
                sent[owner] += 1;
            }
            1 if events.job(owner as Waiter).is_none() => {
                let mut job = Read::new(ours, 1);
                match job.step(Since::Nothing) {
                    true => {
                        found[owner] += job.has;
                        std::mem::forget(job);
                    }
                    false => events.park(owner as Waiter, job, Limit::after(1e-3), None),
                }
            }
            2 => {
                if let Some(job) = events.take(owner as Waiter) {
                    found[owner] += job.has;
                    std::mem::forget(job);
                }
            }
            _ => {
                events.turn(Some(Duration::ZERO)).unwrap();
                while let Some((owner, job, Over::Done)) = events.next_over() {
                    found[owner as usize] += job.has;
                    std::mem::forget(job);
                }
            }
        }
    }
    for (owner, (ours, theirs)) in pairs.into_iter().enumerate() {
        std::mem::forget(events.take(owner as Waiter));
        let mut rest = Read::new(ours, usize::MAX);
        rest.step(Since::Nothing);
        assert_eq!(found[owner] + rest.has, sent[owner]);
        sys::close(theirs);
    }
    assert_eq!(events.deadlines(), 0);
}

/// Waits for nothing at all.
struct Never(Option<Error>);

impl Parked for Never {
    fn step(&mut self, _: Since) -> bool {
        false
    }

    fn interest(&mut self) -> (Interest<'_>, Known) {
        (Interest::Many(&mut [], None), Known::default())
    }

    fn give_up(&mut self, why: Error) {
        self.0 = Some(why);
    }
}

#[test]
fn waits_end_when_their_time_has_come_and_not_before() {
    let mut now = Instant::now();
    clock::set(now);
    let mut events = EventLoop::new();
    // When each wait ends: by its limit, by its owner's wish.
    let mut naive: Vec<Option<[Option<Instant>; 2]>> = vec![None; 40];
    let mut seed = 1u64;
    let mut random = |n: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
        (seed >> 33) % n
    };
    let ms = Duration::from_millis;
    for _ in 0..20_000 {
        let owner = random(40) as usize;
        if naive[owner].is_none() {
            let (each, whole) = (ms(random(30)), now + ms(random(60)));
            let (limit, due) = match random(4) {
                0 => (Limit::None, None),
                1 => (Limit::Now, Some(now)),
                2 => (Limit::Until(whole), Some(whole)),
                _ => {
                    let limit = Limit::Each { each, until: whole };
                    (limit, Some(whole.min(now + each)))
                }
            };
            let until = (random(3) == 0).then(|| now + ms(random(60)));
            events.park(owner as Waiter, Never(None), limit, until);
            naive[owner] = Some([due, until]);
        } else if random(4) == 0 {
            assert!(events.take(owner as Waiter).is_some());
            naive[owner] = None;
        }
        let has_come = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        events.turn(Some(Duration::ZERO)).unwrap();
        while let Some((owner, job, why)) = events.next_over() {
            let [due, until] = naive[owner as usize].take().expect("it waited");
            match why {
                Over::Until => assert!(has_come(until) && job.0.is_none()),
                Over::Done => {
                    assert!(has_come(due) && !has_come(until));
                    assert_eq!(job.0, Some(Error::Timeout));
                }
            }
        }
        let mut left = naive.iter().flatten().flatten().flatten();
        assert!(left.all(|at| *at > now));
        let timed = naive.iter().flatten().filter(|ends| **ends != [None; 2]);
        assert_eq!(events.deadlines(), timed.count());
        now += ms(random(4));
        clock::set(now);
    }
}

#[test]
fn a_forked_child_waits_for_itself() {
    let (ours, theirs) = pair();
    let mut events = EventLoop::new();
    events.park(0, Read::new(ours, 1), Limit::None, None);
    events.turn(Some(Duration::ZERO)).unwrap();
    let child = sys::in_a_child(|| {
        sys::send(theirs, b"x").unwrap();
        let heard = next(&mut events, LATE).is_some();
        let (other, answer) = pair();
        events.park(0, Read::new(other, 1), Limit::None, None);
        sys::send(answer, b"x").unwrap();
        i32::from(!(heard && next(&mut events, LATE).is_some()))
    });
    assert_eq!(child, 0);
    // The byte is gone, and so is the edge; what the child watched is not ours to hear of.
    assert!(next(&mut events, SOON).is_none());
    sys::send(theirs, b"x").unwrap();
    expect(&mut events, 0, Over::Done);
    sys::close(theirs);
}
