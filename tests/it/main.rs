//! The runtime over scripted providers, under paused time.

mod kit;

mod classes;
mod config_errors;
mod dialects;
mod drift;
mod embed;
mod failover;
mod keys;
mod lifetimes;
mod messages;
mod operators;
mod privacy;
mod providers;
mod reconfigure;
mod rehearsal_anthropic;
mod rehearsal_gemini;
mod strategies;
mod streams;
mod supervision;
mod timers;
