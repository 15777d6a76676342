//! The runtime over scripted providers, under paused time.

mod kit;

mod classes;
mod failover;
mod operators;
mod strategies;
mod streams;
mod supervision;
mod timers;
