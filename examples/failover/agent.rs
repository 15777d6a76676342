//! One agent: an actor that works through a conversation, turn after turn, and asks the runtime by message.
//!
//! What to copy is [`State::stream`]: one message to the router, and a stream to read. The rest is the agent's own
//! work, and its distrust: every question carries a ticket that no other has, and the answer must bring it back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, call};
use serde_json::{Value, json};
use standin::{
    AssistantPart, AttemptRecord, ChatRequest, Error, Message, OnExhausted, ReplyEvent, RouterMessage, Tool, ToolCall,
    ractor,
};

use crate::crew::{Call, CrewMessage, Kind};
use crate::stage::ROUTE;

/// A conversation of this many messages is done: six turns. The next task begins with an empty one.
const MESSAGES_MAX: usize = 24;
/// The agent's own work between two turns.
const THINK: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_secs(20);

/// Tells the agent to take its next turn.
pub struct Turn;

#[cfg(feature = "cluster")]
impl ractor::Message for Turn {}

pub struct Agent;

pub struct Arguments {
    pub number: usize,
    pub router: ActorRef<RouterMessage>,
    pub crew: ActorRef<CrewMessage>,
    /// How its calls go on if no target can answer.
    pub on_exhausted: OnExhausted,
}

pub struct State {
    me: Arguments,
    turns: u32,
    conversation: Vec<Message>,
    /// Tickets that the tool has looked up: a ticket twice would mean that a call ran twice.
    looked_up: HashSet<String>,
}

/// An answer, whole.
#[derive(Default)]
struct Said {
    text: String,
    tool_calls: Vec<ToolCall>,
    /// The attempts as the runtime tells of them.
    attempts: Vec<AttemptRecord>,
    resets: u32,
    /// How long it waited for a target to come back.
    waited: Duration,
    /// Whether it is an answer from a lower rung.
    less: bool,
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Agent {
    type Msg = Turn;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, myself: ActorRef<Turn>, me: Arguments) -> Result<State, ActorProcessingErr> {
        myself.cast(Turn)?;
        Ok(State { me, turns: 0, conversation: Vec::new(), looked_up: HashSet::new() })
    }

    async fn handle(&self, myself: ActorRef<Turn>, _: Turn, state: &mut State) -> Result<(), ActorProcessingErr> {
        if let Err(trouble) = state.turn().await {
            state.conversation.clear();
            state.me.crew.cast(CrewMessage::Trouble(trouble))?;
        }
        tokio::time::sleep(THINK).await;
        myself.cast(Turn)?;
        Ok(())
    }
}

impl State {
    /// Takes a turn: asks, runs the tool that the model calls, tells it the result, reads its answer.
    async fn turn(&mut self) -> Result<(), String> {
        if self.conversation.len() >= MESSAGES_MAX {
            self.conversation.clear();
        }
        self.turns += 1;
        let ticket = format!("{}-{}", self.me.number, self.turns);
        // The drill calls a tool where it is told to like this, and else repeats what it was told.
        let arguments = json!({ "ticket": ticket });
        self.conversation.push(Message::user(format!("What became of ticket {ticket}? call:look_up({arguments})")));
        let asked = self.ask(Kind::Tool).await?;
        if asked.less {
            // Better than nothing for an agent in a hurry; the ticket comes again.
            self.conversation.pop();
            return Ok(());
        }
        let [call] = asked.tool_calls.as_slice() else {
            return Err(format!("{} tool calls for ticket {ticket}, not one", asked.tool_calls.len()));
        };
        // Where the dialect has an object, each provider writes it in its own way.
        let called = serde_json::from_str::<Value>(&call.arguments).unwrap_or_default();
        if (call.name.as_str(), &called) != ("look_up", &arguments) {
            return Err(format!("asked for ticket {ticket}, the model called {} {}", call.name, call.arguments));
        }
        let result = self.look_up(&ticket)?;
        self.conversation.push(Message::Assistant(vec![AssistantPart::ToolCall(call.clone())]));
        self.conversation.push(Message::tool_result(call, result.as_str()));

        let answer = self.ask(Kind::Text).await?;
        if !answer.less && answer.text != format!("the tool said: {result}") {
            return Err(format!("the answer for ticket {ticket} is another one's: {:?}", answer.text));
        }
        self.conversation.push(Message::assistant(answer.text));
        Ok(())
    }

    /// The tool. It has side effects, so it must run once for each call that was asked for.
    fn look_up(&mut self, ticket: &str) -> Result<String, String> {
        let first = self.looked_up.insert(ticket.to_owned());
        let result = || format!("ticket {ticket} was shipped on Tuesday, lost on Wednesday, and found on Friday");
        first.then(result).ok_or_else(|| format!("the tool ran twice for ticket {ticket}"))
    }

    /// Asks the model what follows in the conversation, and tells the crew how that went.
    async fn ask(&mut self, kind: Kind) -> Result<Said, String> {
        let began = Instant::now();
        let answer = self.stream().await;
        let call = match &answer {
            Ok(said) => Call { resets: said.resets, waited: said.waited, less: said.less, ..Call::of(&said.attempts) },
            Err(error) => Call { answered: false, ..Call::of(error.attempts()) },
        };
        let call = Call { began, took: began.elapsed(), kind, ..call };
        // The crew outlives its agents.
        let _ = self.me.crew.cast(CrewMessage::Called(call));
        answer.map_err(|error| error.to_string())
    }

    async fn stream(&self) -> Result<Said, Error> {
        let request = ChatRequest { messages: self.conversation.clone(), ..ChatRequest::new(ROUTE) }
            .tool(look_up_tool())
            .deadline(DEADLINE)
            .on_exhausted(self.me.on_exhausted);
        // Two results in one another: the actors' (no actor is there to answer) and the runtime's.
        let asked = call!(self.me.router, RouterMessage::Stream, Box::new(request));
        let mut stream = asked.unwrap_or(Err(Error::Unavailable))?;
        let mut said = Said::default();
        let mut waits_since = None;
        while let Some(event) = stream.next().await {
            match event? {
                ReplyEvent::Text(text) => said.text.push_str(&text),
                // No target can answer now. There is nothing to do: the call goes on by itself.
                ReplyEvent::Waiting { .. } => drop(waits_since.get_or_insert_with(Instant::now)),
                ReplyEvent::Started { .. } => {
                    said.waited += waits_since.take().map_or(Duration::ZERO, |since| since.elapsed());
                }
                // The answer broke off in the middle; another provider begins anew. Forget this one.
                ReplyEvent::Reset(_) => {
                    said.text.clear();
                    said.resets += 1;
                }
                // Comes only with an answer that is whole, so it is safe to act on.
                ReplyEvent::ToolCall(call) => said.tool_calls.push(call),
                ReplyEvent::Finished(finished) => {
                    said.less = finished.degraded.is_some();
                    said.attempts = finished.attempts;
                }
                _ => {}
            }
        }
        Ok(said)
    }
}

fn look_up_tool() -> Tool {
    Tool {
        name: "look_up".into(),
        description: "Returns what became of a ticket.".into(),
        parameters: json!({
            "type": "object", "properties": {"ticket": {"type": "string"}}, "required": ["ticket"],
        })
        .into(),
        strict: None,
    }
}
