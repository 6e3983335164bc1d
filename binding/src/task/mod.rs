//! `socket.task`: many tasks at once, in code that looks as if it waited.
//!
//! From below: [`job`] is what a task waits for, [`mod@scheduler`] holds the tasks, in [`places`],
//! [`fibers`] and [`service`] are native stacks for where a task cannot be left otherwise,
//! [`suspend`] is how an entry is left and continued, [`turn`] how the kernel is asked,
//! [`mod@wait`] how a task stops and goes on, [`mod@run`] the loop that lets tasks run, and [`lost`]
//! what is left of those that the program has stopped otherwise. Above these, and above
//! [`drive`](crate::drive), is what is itself driven, [`mod@sleep`] and [`mod@ready`], and
//! [`primitives`], which are given to Lua. What tasks are to each other (joining, groups, channels)
//! is written there, in `socket/task.lua` and `socket/task/sharing.lua`.

mod fibers;
pub mod job;
pub mod lost;
mod places;
pub mod primitives;
mod ready;
mod run;
pub mod scheduler;
mod service;
pub mod sleep;
mod suspend;
mod time;
mod turn;
pub mod wait;
