//! The runtime over scripted providers, under paused time.

mod kit;

mod classes;
mod failover;
mod streams;
mod supervision;
mod timers;
