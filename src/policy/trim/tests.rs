use proptest::prelude::*;

use super::*;
use crate::policy::tokens::{Measure, Prompt, TokenModel, Vocabulary, Weights};
use crate::words::{ToolCall, UserPart};

/// Reads a conversation: `s` system, `u` user, `a` assistant, `c1` an assistant that calls 1, `r1` the result of 1.
fn conversation(notation: &str) -> Vec<Message> {
    notation.split_whitespace().enumerate().map(|(at, word)| message(word, &format!("{word} at {at}"))).collect()
}

fn message(word: &str, text: &str) -> Message {
    let (kind, id) = word.split_at(1);
    let call = |id: &str| ToolCall { id: id.into(), name: "look".into(), arguments: "{}".into(), proof: None };
    match kind {
        "s" => Message::System(text.into()),
        "u" => Message::user(text),
        "a" => Message::assistant(text),
        // `c12` calls both.
        "c" => Message::Assistant(id.chars().map(|id| AssistantPart::ToolCall(call(&id.to_string()))).collect()),
        _ => Message::tool_result(&call(id), text),
    }
}

/// The rest of a conversation of one token a message that must become this much shorter.
fn cut(notation: &str, excess: u32) -> String {
    let messages = conversation(notation);
    let Some(cut) = TrimRange::find(&messages, |_| 1.0, excess.into()) else { return "nothing".into() };
    let words = notation.split_whitespace().zip(&messages).enumerate();
    words
        .filter(|(at, (_, message))| !cut.leaves_out(*at, message))
        .map(|(_, (word, _))| word)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_oldest_messages_after_the_first_user_message_go_in_whole_units() {
    for (conversation, excess, expected) in [
        ("s u a u a u", 1, "s u a u"),
        ("s u a u a u a", 1, "s u a u a"),
        ("s u a u a u", 3, "s u u"),
        ("s u a u a u", 4, "nothing"),
        // Calls and their results go together, however many and wherever they are.
        ("u c1 r1 c2 r2 a u", 1, "u c2 r2 a u"),
        ("u c1 r1 c2 r2 a u", 3, "u a u"),
        ("u c12 r1 r2 a u", 1, "u a u"),
        ("u c12 r1 a r2 a u", 1, "u a u"),
        // Ids may be used again: a result belongs to the last call before it.
        ("u c1 r1 c1 r1 a u", 1, "u c1 r1 a u"),
        // System messages stay where they are, and do not count.
        ("s u a s u a u", 2, "s u s a u"),
        // What follows the last user message stays, and so does the only one.
        ("u a u c1 r1 c2 r2", 1, "u u c1 r1 c2 r2"),
        ("u c1 r1 c2 r2", 1, "nothing"),
        ("s a", 1, "nothing"),
        ("s", 1, "nothing"),
        ("", 1, "nothing"),
        // A call whose result comes only after the last user message cannot go, nor can what follows it.
        ("u c1 a u r1", 1, "nothing"),
        // A result without a call stays with the message before it.
        ("u a r9 a u", 1, "u a u"),
    ] {
        assert_eq!(cut(conversation, excess), expected, "{conversation}, {excess} less");
    }
}

#[test]
fn no_target_is_skipped_whose_window_may_fit() {
    for (prompt, output, window, expected) in [
        (1_125, None, Some(1_001), true),
        (1_126, None, Some(1_000), false),
        (900, Some(200), Some(1_000), true),
        (901, Some(200), Some(1_000), false),
        (u32::MAX, Some(u32::MAX), None, true),
        (u32::MAX, Some(u32::MAX), Some(u32::MAX), false),
    ] {
        assert_eq!(fits(prompt, output, window), expected, "{prompt} {output:?} {window:?}");
    }
    assert!(fits_perhaps(1_332, None, Some(1_000)) && !fits_perhaps(1_333, None, Some(1_000)));
}

#[test]
fn the_budget_leaves_room_for_the_answer_and_shrinks_with_each_refusal() {
    // An eighth for the answer, and an eighth over of what is left.
    assert_eq!(budget(100_000, None, Some(9_000), 0), 7_000);
    assert_eq!(budget(100_000, None, Some(130_000), 0), 100_000);
    assert_eq!(budget(100_000, Some(4_500), Some(9_000), 0), 4_000);
    assert_eq!(budget(100_000, Some(4_500), Some(9_000), 1), 3_000);
    assert_eq!(budget(100_000, Some(4_500), Some(9_000), 2), 2_250);
    assert_eq!(budget(100_000, Some(4_500), Some(9_000), 9), 2_250, "no more than twice");
    assert_eq!(budget(1_000, None, None, 1), 750, "of an unknown window only what was sent is known");
    assert_eq!(budget(1_000, Some(2_000), Some(1_000), 0), 1);
}

/// Any conversation of some turns, with calls answered in any order before the next message, and system messages
/// anywhere.
fn any_conversation() -> impl Strategy<Value = Vec<Message>> {
    let text = || "[a-zé ]{0,400}";
    let turn = (text(), text(), prop::collection::vec((1..4_usize, text(), any::<bool>()), 0..4), 0..8_u8);
    prop::collection::vec(turn, 1..10).prop_map(|turns| {
        let mut messages = Vec::new();
        for (number, (question, answer, rounds, extra)) in turns.into_iter().enumerate() {
            if extra == 0 {
                messages.push(Message::System(answer.clone().into()));
            }
            messages.push(Message::User(vec![UserPart::Text(question.into())]));
            for (round, (calls, result, backwards)) in rounds.into_iter().enumerate() {
                // Ids that come again in the next turn.
                let ids: Vec<String> = (0..calls).map(|call| format!("{round}-{call}")).collect();
                let call =
                    |id: &String| ToolCall { id: id.clone(), name: "look".into(), arguments: "{}".into(), proof: None };
                messages.push(Message::Assistant(ids.iter().map(|id| AssistantPart::ToolCall(call(id))).collect()));
                let mut results: Vec<Message> =
                    ids.iter().map(|id| Message::tool_result(&call(id), result.clone())).collect();
                if backwards {
                    results.reverse();
                }
                messages.extend(results);
            }
            // Some turns are never answered.
            if extra != 1 || number == 0 {
                messages.push(Message::assistant(answer));
            }
        }
        messages
    })
}

/// What an agent may not meet: a result before whose message no call of its id is open.
fn orphans(messages: &[Message]) -> usize {
    let mut open: Vec<&str> = Vec::new();
    let mut orphans = 0;
    for message in messages {
        match message {
            Message::Assistant(parts) => {
                open.extend(parts.iter().filter_map(AssistantPart::as_tool_call).map(|call| call.id.as_str()));
            }
            Message::Tool(result) => match open.iter().position(|id| *id == result.call_id) {
                Some(at) => drop(open.swap_remove(at)),
                None => orphans += 1,
            },
            _ => {}
        }
    }
    orphans + open.len()
}

fn excess(request: &ChatRequest, weights: Weights, budget: u32) -> Option<TrimRange> {
    let prompt = Prompt::of(request, Measure::Shape, true);
    let over = f64::from(weights.tokens(&prompt.whole)) - f64::from(budget);
    (over > 0.0).then(|| TrimRange::find(&request.messages, |at| weights.weigh(&prompt.messages[at]), over)).flatten()
}

proptest! {
    #[test]
    fn a_cut_conversation_is_what_it_was_without_its_middle_and_fits(
        messages in any_conversation(),
        part in 0.05..1.0_f64,
    ) {
        let weights = TokenModel::new(Vocabulary::Unknown).weights();
        let request = ChatRequest { messages, ..ChatRequest::new("smart") };
        let tokens = |request: &ChatRequest| weights.tokens(&Prompt::of(request, Measure::Shape, false).whole);
        let budget = crate::policy::tokens::whole(f64::from(tokens(&request)) * part);
        let Some(cut) = excess(&request, weights, budget) else { return Ok(()) };
        let left = cut.apply(&request);
        // A subsequence.
        let mut rest = request.messages.iter();
        prop_assert!(left.messages.iter().all(|message| rest.any(|other| other == message)));
        prop_assert!(left.messages.len() < request.messages.len());
        // All of the system's, the first of the user's, the last of the user's and all that follows.
        let is_system = |message: &&Message| matches!(message, Message::System(_));
        let system = |request: &ChatRequest| request.messages.iter().filter(is_system).cloned().collect::<Vec<_>>();
        prop_assert_eq!(system(&left), system(&request));
        let is_user = |message: &&Message| matches!(message, Message::User(_));
        prop_assert_eq!(left.messages.iter().find(is_user), request.messages.iter().find(is_user));
        let last = request.messages.iter().rposition(|message| is_user(&message)).expect("a user message");
        prop_assert!(left.messages.ends_with(&request.messages[last..]));
        // No call without its result, no result without its call.
        prop_assert_eq!(orphans(&left.messages), 0);
        // What follows the first user message is an assistant's, unless only the last user message is left.
        let first = left.messages.iter().position(|message| is_user(&message)).expect("a user message");
        let next = left.messages[first + 1..].iter().find(|message| !matches!(message, Message::System(_)));
        let all_is_gone = left.messages.iter().filter(is_user).count() == 2 && next.is_some_and(|next| is_user(&next));
        prop_assert!(matches!(next, Some(Message::Assistant(_))) || all_is_gone);
        // It fits by the same estimate, so that it is not cut again.
        prop_assert!(tokens(&left) <= budget, "{} of {budget}", tokens(&left));
        prop_assert_eq!(excess(&left, weights, budget), None);
        // Nothing else of the request has changed.
        prop_assert_eq!(&ChatRequest { messages: request.messages.clone(), ..left }, &request);
    }
}
