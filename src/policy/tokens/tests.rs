use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Document, DocumentSource, Image, Message, Proof, Reasoning, ResponseFormat,
    Text, Tool, ToolCall, UserPart,
};

mod gauge;

fn tool(description: &str) -> Tool {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    Tool { name: "weather".into(), description: description.into(), parameters: parameters.into(), strict: None }
}

fn size(request: &ChatRequest) -> PromptSize {
    Prompt::of(request, Measure::Shape, false).whole
}

/// Tokens of a text by its shape.
fn by_shape(text: &str) -> f64 {
    let size = PromptSize::of_message(&Message::user(text), Measure::Shape);
    size.count(Feature::Text) + size.count(Feature::Foreign)
}

fn prior(vocabulary: Vocabulary, request: &ChatRequest) -> u32 {
    TokenModel::new(vocabulary).weights().tokens(&size(request))
}

/// A conversation of this many turns, no two messages of the same length.
fn talk(turns: usize) -> ChatRequest {
    let words = |count: usize| "the quick brown fox, 42 years old, jumps over 3 lazy dogs. ".repeat(count);
    (0..turns).fold(ChatRequest::new("smart").system(words(5)), |request, turn| {
        request.user(words(1 + turn * 7 % 5)).message(Message::assistant(words(2 + turn * 3 % 7)))
    })
}

#[test]
fn text_is_estimated_by_where_its_pieces_begin() {
    // As OpenAI's o200k vocabulary counts them.
    for (text, tokens) in [
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("Please summarise the attached quarterly report and list the three most important risks.", 15),
        ("fn main() { let answer_to_all = 42; println!(\"{answer_to_all}\"); }", 20),
        ("{\"city\": \"Berlin\", \"units\": \"metric\", \"days\": 3}", 18),
        ("人工智能正在改变我们的生活方式，越来越多的企业开始使用大型语言模型来提高工作效率和服务质量。", 25),
        ("Правительство объявило о новых мерах поддержки малого бизнеса, которые вступят в силу.", 18),
    ] {
        let estimate = by_shape(text);
        assert!((estimate / f64::from(tokens) - 1.0).abs() < 0.3, "{text}: {estimate}, not {tokens}");
    }
}

#[test]
fn long_texts_are_sampled_without_a_bias() {
    // Rows that change on their way, of a length that no window divides.
    let rows = (0..4_000).map(|row| format!("{row}: {} is {}\n", "value ".repeat(row % 11), "{}[]".repeat(row % 3)));
    let text: String = rows.collect();
    // Each as long as what is read whole.
    let chunks = text.as_bytes().chunks(500).map(|chunk| std::str::from_utf8(chunk).expect("ASCII"));
    let (sampled, whole) = (by_shape(&text), chunks.map(by_shape).sum::<f64>());
    assert!((sampled / whole - 1.0).abs() < 0.04, "{sampled} against {whole}");
}

#[test]
fn all_that_goes_into_a_prompt_is_counted() {
    let call =
        ToolCall { id: "1".into(), name: "weather".into(), arguments: "{\"city\": \"Bern\"}".into(), proof: None };
    let plain = ChatRequest::new("smart").user("How is the weather?");
    let mut last = prior(Vocabulary::Unknown, &plain);
    let schema = json!({"type": "object", "properties": {"answer": {"type": "string"}}});
    let format = ResponseFormat::JsonSchema { name: "answer".into(), schema: schema.into(), strict: true };
    let image = UserPart::Image(Image::Url("https://example.com/a.png".into()));
    let mut request = plain;
    let steps: [(&str, &dyn Fn(ChatRequest) -> ChatRequest); 6] = [
        ("a tool", &|request| request.tool(tool("Tells the weather of a city."))),
        ("another tool", &|request| request.tool(tool("Tells it again."))),
        ("a call", &|request| {
            request.message(Message::Assistant(vec![crate::words::AssistantPart::ToolCall(call.clone())]))
        }),
        ("its result", &|request| request.message(Message::tool_result(&call, "Sunny, 21 degrees."))),
        ("a schema", &|request| ChatRequest { response_format: format.clone(), ..request }),
        ("an image", &|request| request.message(Message::User(vec![image.clone()]))),
    ];
    for (what, step) in steps {
        request = step(request);
        let tokens = prior(Vocabulary::Unknown, &request);
        assert!(tokens > last, "{what}: {tokens} after {last}");
        last = tokens;
    }
}

#[test]
fn sizes_of_messages_add_up_to_the_whole() {
    let request = talk(9).tool(tool("Tells the weather."));
    let by_message = Prompt::of(&request, Measure::Shape, true);
    let weights = TokenModel::new(Vocabulary::Claude).weights();
    assert_eq!(by_message.messages.len(), request.messages.len());
    let frame = by_message.messages.iter().fold(by_message.whole, |rest, message| rest - *message);
    let parts: f64 = by_message.messages.iter().map(|message| weights.weigh(message)).sum();
    assert!((weights.weigh(&frame) + parts - weights.weigh(&size(&request))).abs() < 1e-6);
}

#[test]
fn a_model_is_known_by_its_vendor_or_its_name() {
    use Vocabulary as V;
    for (vendor, model, vocabulary) in [
        (Some("openai"), "gpt-5-mini", V::O200k),
        (Some("openai"), "gpt-4-turbo", V::Cl100k),
        (None, "openai/gpt-4o-mini", V::O200k),
        (None, "gpt-35-turbo", V::Cl100k),
        (None, "openai/gpt-oss-120b", V::O200k),
        (None, "o4-mini", V::O200k),
        (Some("anthropic"), "claude-opus-5", V::Claude),
        (None, "us.anthropic.claude-sonnet-4-5-v1:0", V::Claude),
        (None, "models/gemini-2.5-flash", V::Gemini),
        (None, "deepseek-ai/DeepSeek-V4", V::DeepSeek),
        (Some("qwen"), "qwen3.8-max", V::Qwen),
        (None, "qwen3.8-max", V::Qwen),
        (Some("google"), "learnlm-2", V::Gemini),
        (Some("deepseek"), "v4", V::DeepSeek),
        (Some("mistral"), "voxtral-small", V::Mistral),
        (None, "mistralai/Mixtral-8x7B", V::Mistral),
        (None, "llama-3.3-70b", V::Unknown),
        (None, "", V::Unknown),
    ] {
        assert_eq!(V::of(vendor, model), vocabulary, "{model}");
    }
}

/// Teaches a model this many turns of one talk, as a provider counts them.
fn teach(model: &mut TokenModel, replies: usize, counted: impl Fn(&PromptSize, usize) -> u64) {
    for reply in 0..replies {
        let size = size(&talk(1 + reply % 23));
        model.learn(&size, counted(&size, reply));
    }
}

/// How far an estimate is off after that.
fn off(model: &TokenModel, counted: impl Fn(&PromptSize, usize) -> u64) -> f64 {
    let size = size(&talk(14));
    f64::from(model.weights().tokens(&size)) / counted(&size, 0) as f64 - 1.0
}

/// A provider that counts a quarter more than the shape tells, 9 tokens a message, and a prompt of its own.
fn counted(hidden: f64) -> impl Fn(&PromptSize, usize) -> u64 {
    move |size, _| u64::from(whole(hidden + 1.25 * size.count(Feature::Text) + 9.0 * size.count(Feature::Message)))
}

#[test]
fn estimates_learn_from_counted_usage() {
    for vocabulary in [Vocabulary::O200k, Vocabulary::Claude, Vocabulary::Gemini, Vocabulary::Unknown] {
        let mut model = TokenModel::new(vocabulary);
        assert!(off(&model, counted(40.0)).abs() > 0.05, "{vocabulary:?} knows it before");
        teach(&mut model, 20, counted(40.0));
        assert!(off(&model, counted(40.0)).abs() < 0.02, "{vocabulary:?}: {}", off(&model, counted(40.0)));
    }
}

#[test]
fn a_lie_now_and_then_is_not_believed() {
    for lie in [0, 1, 7] {
        let mut model = TokenModel::new(Vocabulary::Unknown);
        let lying = |size: &PromptSize, reply: usize| {
            let truth = counted(40.0)(size, reply);
            match (reply % 8, lie) {
                (5, 0) => 0,
                (5, 1) => truth * 10,
                (5, _) => u64::MAX,
                _ => truth,
            }
        };
        teach(&mut model, 80, lying);
        assert!(off(&model, counted(40.0)).abs() < 0.05, "{lie}: {}", off(&model, counted(40.0)));
    }
}

#[test]
fn a_hidden_prompt_that_comes_and_goes_is_believed_within_some_replies() {
    let mut model = TokenModel::new(Vocabulary::Unknown);
    for hidden in [5_000.0, 40.0, 5_000.0, 40.0] {
        for reply in 0..40 {
            let size = size(&talk(1 + reply * 7 % 23));
            model.learn(&size, counted(hidden)(&size, 0));
        }
        assert!(off(&model, counted(hidden)).abs() < 0.1, "{hidden}: {}", off(&model, counted(hidden)));
    }
}

proptest! {
    #[test]
    fn no_reply_makes_an_estimate_senseless(
        replies in prop::collection::vec(
            (0..30_usize, prop_oneof![0..100_000_u64, any::<u64>()], any::<bool>()),
            1..120,
        ),
    ) {
        let mut model = TokenModel::new(Vocabulary::Unknown);
        for (turns, tokens, tools) in replies {
            let mut request = talk(turns);
            if tools {
                request = request.tool(tool("Tells the weather."));
            }
            model.learn(&size(&request), tokens);
            let weights = model.weights();
            let part = |turns| weights.tokens(&size(&talk(turns)));
            prop_assert!(part(0) >= 1);
            prop_assert!(part(3) <= part(9), "a longer talk is no shorter");
            prop_assert!(weights.weigh(&PromptSize::of_message(&Message::user("hello"), Measure::Shape)) >= 0.0);
            prop_assert!(model.covariance.iter().enumerate().all(|(at, row)| row[at] >= 0.0 && row[at].is_finite()));
        }
    }
}

#[test]
fn text_for_openais_models_is_counted_by_their_vocabularies() {
    for (model, measure, tokens) in [("gpt-5", Measure::O200k, 18.0), ("gpt-4-turbo", Measure::Cl100k, 40.0)] {
        assert_eq!(
            Vocabulary::of(None, model).measure(),
            if cfg!(feature = "exact-tokens") { measure } else { Measure::Shape }
        );
        let text = "Правительство объявило о новых мерах поддержки малого бизнеса, которые вступят в силу.";
        let size = PromptSize::of_message(&Message::user(text), measure);
        assert_eq!((size.count(Feature::Text), size.count(Feature::Foreign)), (tokens, 0.0), "{model}");
    }
    // A prompt of one message, as gpt-4o counted it on record: 7 more than its text.
    let size = Prompt::of(&ChatRequest::new("smart").user("Hello!"), Measure::O200k, false).whole;
    assert_eq!(TokenModel::new(Vocabulary::O200k).weights().tokens(&size), 2 + 7);
    assert_eq!(Vocabulary::Claude.measure(), Measure::Shape);
}

#[test]
fn a_provider_that_counts_little_lowers_no_estimate_of_a_short_prompt_by_more_than_a_fourth() {
    let said = ChatRequest::new("smart").user("one two three four five");
    for vocabulary in [Vocabulary::O200k, Vocabulary::Claude, Vocabulary::Gemini, Vocabulary::Unknown] {
        let mut model = TokenModel::new(vocabulary);
        let first = model.weights().tokens(&size(&said));
        for words in [5, 5, 1, 1, 1, 5].repeat(50) {
            model.learn(&size(&said), words);
            let now = model.weights().tokens(&size(&said));
            assert!(now * 4 >= first * 3 && now <= first, "{vocabulary:?}: {first} and then {now}");
        }
        // A hidden prompt is believed nevertheless.
        for _ in 0..60 {
            model.learn(&size(&said), 5_000);
        }
        assert!(model.weights().tokens(&size(&said)) > 4_000, "{vocabulary:?}");
    }
}

/// Returns the size of a message with one part.
fn part(part: UserPart) -> PromptSize {
    PromptSize::of_message(&Message::User(vec![part]), Measure::Shape)
}

/// Returns a text as a body holds it: with escapes.
fn escaped(json: &str) -> Text {
    let body = bytestring::ByteString::from(format!("\"{json}\""));
    Text::escaped(&body, &body)
}

#[test]
fn a_text_with_escapes_counts_as_what_it_says() {
    for piece in [r"\n", r"\\n", r"\\\n", r"\u00e9", r#"caf\u00e9 \"au\" lait\n"#, r"\u4eba", r"one\ttwo\r\n", r"\\"] {
        for times in [3, 20, 2_000] {
            let json = piece.repeat(times);
            let says: String = serde_json::from_str(&format!("\"{json}\"")).expect("it is JSON");
            let plain = by_shape(&says);
            let size = part(UserPart::Text(escaped(&json)));
            let counted = size.count(Feature::Text) + size.count(Feature::Foreign);
            // What is read whole is the same; of a longer one windows are read.
            let off = if json.len() <= 512 { 1e-9 } else { 0.05 };
            assert!((counted / plain - 1.0).abs() <= off, "{piece} {times} times: {counted} instead of {plain}");
        }
    }
}

#[test]
fn what_is_no_text_is_counted_by_its_size() {
    let document = |source| part(UserPart::Document(Document::new(source))).count(Feature::Image);
    let base64 = |bytes: usize| {
        let data = "A".repeat(bytes).into();
        document(DocumentSource::Base64 { media_type: "application/pdf".into(), data })
    };
    assert_eq!([base64(10), base64(131_072 * 5), base64(131_072 * 40)], [1.0, 5.0, 30.0], "pages");
    assert_eq!(document(DocumentSource::Url("https://example.com/a.pdf".into())), 3.0);
}

#[test]
fn each_letter_beyond_ascii_costs_by_how_many_bytes_it_takes() {
    for (letter, tokens) in [("é", 0.25), ("न", 0.4), ("人", 0.65), ("😀", 2.0)] {
        let size = part(UserPart::Text(letter.repeat(10).into()));
        assert!((size.count(Feature::Foreign) - 10.0 * tokens).abs() < 1e-9, "{letter}");
        assert!(size.count(Feature::Text).abs() < 1.0, "{letter}");
    }
}

#[test]
fn thoughts_and_texts_that_are_no_conversation_are_counted_as_well() {
    let thought = |data: &str| {
        let proof = Some(Proof::new(Dialect::OpenAiChat, data));
        let reasoning = Reasoning { text: "Let me think about it.".into(), proof };
        PromptSize::of_message(&Message::Assistant(vec![AssistantPart::Reasoning(reasoning)]), Measure::Shape)
    };
    let size = thought(&"x".repeat(250));
    assert_eq!(size.count(Feature::Reasoning), by_shape("Let me think about it."));
    assert_eq!((size.count(Feature::Proof), thought("").count(Feature::Proof)), (25.0, 0.0));
    let texts = ["One text.".to_owned(), "Another, a little longer.".to_owned()];
    let whole = Prompt::of_texts(&texts, &[], Measure::Shape).whole;
    assert_eq!(whole.count(Feature::Text), texts.iter().map(|text| by_shape(text)).sum::<f64>());
}

#[test]
fn what_a_tool_and_texts_alone_say_is_counted_as_any_text() {
    let call = ToolCall::new("weather", &json!({"city": "Bern"}));
    let text = "It is sunny there, and as warm as on a day in June.";
    let result = PromptSize::of_message(&Message::tool_result(&call, text), Measure::Shape);
    assert_eq!(result.count(Feature::Text), by_shape(text));
    // Vectors of texts have no frame.
    let texts = Prompt::of_texts(&[text.to_owned()], &[], Measure::Shape).whole;
    let tokens = f64::from(TokenModel::new(Vocabulary::Unknown).weights().tokens(&texts));
    assert!((tokens / by_shape(text) - 1.0).abs() < 0.2, "{tokens}");
}
