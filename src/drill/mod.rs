//! A scripted provider behind real HTTP on loopback, to rehearse faults against: with the runtime as it will run, or
//! with any other client.
//!
//! It is [`testing::Scripted`](crate::testing::Scripted) with sockets: the same bytes, times and faults, plus those
//! only sockets have. HTTP/1.1 is written by hand here, since no server library can be made to break its own
//! connections. Input: requests. Output: a provider's bytes. Nothing here decides what is answered, and no garbage on a
//! connection may do more than close it.
//!
//! ```
//! use standin::drill::Drill;
//! use standin::testing::{Fault, Script};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let drill = Drill::start(Script { models: vec!["gpt-5-mini".into()], ..Script::default() }).await?;
//! let models = format!("{}/models", drill.base_url());
//! assert!(reqwest::get(&models).await?.text().await?.contains("gpt-5-mini"));
//!
//! let outage = drill.handle().always(Fault::Refuse);
//! drill.settled().await; // the listener is closed now
//! assert!(reqwest::get(&models).await.unwrap_err().is_connect());
//! drill.handle().lift(outage);
//! drill.settled().await; // and open again, on the same port
//! assert_eq!(reqwest::get(&models).await?.status(), 200);
//! assert_eq!(drill.handle().received(), 2);
//! drill.stop().await;
//! # Ok(())
//! # }
//! ```

mod phase;
mod request;
mod connection;
mod listener;

use std::io;
use std::net::SocketAddr;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use phase::Phase;

use crate::testing::{Record, Script, Scripted};

/// A scripted provider that listens on loopback. Dropping it closes everything at once; [`stop`](Self::stop) does so in
/// order.
#[derive(Debug)]
pub struct Drill {
    provider: Scripted,
    address: SocketAddr,
    phase: watch::Receiver<Phase>,
    stop: Option<oneshot::Sender<()>>,
    listener: JoinHandle<()>,
}

impl Drill {
    /// Starts a provider on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The operating system's: no port, no file descriptor.
    pub async fn start(script: Script) -> io::Result<Self> {
        Self::serve(Scripted::new(script)).await
    }

    /// Lets a provider listen on a free port of 127.0.0.1; it can still be used in process, too.
    ///
    /// # Errors
    /// The operating system's: no port, no file descriptor.
    #[expect(clippy::unused_async, reason = "it must be called on tokio, and only async says so")]
    pub async fn serve(provider: Scripted) -> io::Result<Self> {
        let listener = listener::Listener::bind(provider.clone())?;
        let address = listener.address();
        let (phase_tx, phase) = watch::channel(Phase::Open);
        let (stop, stopped) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "the drill is a server beside the runtime, not a part of it")]
        let listener = tokio::spawn(listener.run(phase_tx, stopped));
        Ok(Self { provider, address, phase, stop: Some(stop), listener })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL for clients, `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns the handle to switch faults, queue answers and read counts.
    pub fn handle(&self) -> &Scripted {
        &self.provider
    }

    /// Returns the records of the last requests, oldest first.
    pub fn log(&self) -> Vec<Record> {
        self.provider.log()
    }

    /// Waits until the listener is as the faults want it: closed if every connection is to be refused, else open.
    pub async fn settled(&self) {
        let mut phase = self.phase.clone();
        let is_settled = |phase: &Phase| match phase {
            Phase::Stopping => true,
            phase => (*phase == Phase::Refusing) == self.provider.refusing().0,
        };
        // An error means that the listener is gone: then nothing changes any more.
        let _ = phase.wait_for(is_settled).await;
    }

    /// Stops: nothing new is accepted, answers that are under way go on to their end (for five seconds at most), what
    /// hangs is closed.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = (&mut self.listener).await;
    }
}

impl Drop for Drill {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

#[cfg(test)]
mod tests;
