//! Failover rehearsed: agents at work while their providers break, one after another.
//!
//! Three providers over real HTTP, each in another dialect (`stage`), the runtime over them, and a crew of agents,
//! actors all (`crew`, `agent`), that ask it by message. The `story` breaks the providers; the `screen` shows it live
//! on the `terminal`; the `report` sets what the agents saw against what the providers logged.
//!
//! ```text
//! cargo run --example failover
//! ```
//!
//! It ends by itself within a minute. The last line is JSON; the exit status is 0 only if no agent saw a failure.

mod agent;
mod crew;
mod report;
mod screen;
mod stage;
mod story;
mod terminal;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorRef, call};
use standin::drill::Drill;
use standin::runtime::Events;
use standin::{Event, Runtime, ractor};
use tokio::time::MissedTickBehavior;

use crew::{Crew, CrewMessage};
use report::{Played, report};
use screen::Screen;
use terminal::put;

/// Eight pictures a second.
const FRAME: Duration = Duration::from_millis(125);
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// The exit status that shells expect after Ctrl-C.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    match rehearse().await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn rehearse() -> Result<ExitCode, Box<dyn Error>> {
    let (drills, runtime) = stage::set().await?;
    let mut stage = Stage { drills, events: runtime.subscribe(), runtime, played: Vec::new(), crashes: 0 };
    let (crew, _) = Actor::spawn(None, Crew, stage.runtime.router()?).await?;
    let interrupted = tokio::select! {
        played = stage.play(&crew) => played.map(|()| false)?,
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| true)?,
    };
    // The agents take their turns to the end, then the runtime has nothing left to do.
    call!(crew, CrewMessage::GoHome)?;
    let account = call!(crew, CrewMessage::Account)?;
    stage.runtime.drain(DRAIN_MAX).await;
    crew.stop_and_wait(None, None).await?;

    if interrupted {
        put(&format!("interrupted after {} calls, {} failures\n", account.calls.len(), account.troubles.len()));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let (summary, text) = report(&account, &stage.played, &stage.drills, stage.crashes);
    put(&format!("\n{text}{}\n", serde_json::to_string(&summary)?));
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Stage {
    drills: Vec<Drill>,
    runtime: Runtime,
    events: Events,
    played: Vec<Played>,
    crashes: usize,
}

impl Stage {
    async fn play(&mut self, crew: &ActorRef<CrewMessage>) -> Result<(), Box<dyn Error>> {
        let acts = story::acts();
        let mut screen = Screen::open(acts.iter().map(|act| act.lasts).sum());
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for act in &acts {
            let began = Instant::now();
            screen.act(act);
            act.begin(&self.drills, &self.runtime);
            while began.elapsed() < act.lasts {
                frames.tick().await;
                while let Some(event) = self.events.try_next() {
                    self.crashes += usize::from(matches!(event, Event::ProviderCrashed { .. }));
                    screen.event(&event);
                }
                let picture = call!(crew, CrewMessage::Look)?;
                screen.draw(&picture, [0, 1, 2].map(|at| self.drills[at].handle().received()));
            }
            self.played.push(Played { title: act.title, span: began..Instant::now() });
        }
        Ok(())
    }
}
