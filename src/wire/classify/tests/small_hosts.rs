//! Errors that small hosts and gateways put in the place of an answer, in shapes of their own.

use super::*;

/// Body, class; none where it is no error.
const SHAPES: &[(&str, Option<FailureClass>)] = &[
    // A verdict with its words, by any names.
    (r#"{"status":"449","msg":"You exceeded your current rate limit","body":null}"#, Some(C::RateLimited)),
    (r#"{"status":"434","msg":"Invalid apiKey","body":null}"#, Some(C::Unauthorised)),
    (r#"{"ret":1001,"msg":"token expired"}"#, Some(C::Unauthorised)),
    (r#"{"ret":7,"msg":"no"}"#, Some(C::Server)),
    (r#"{"errcode":5,"errmsg":"quota exceeded"}"#, Some(C::RateLimited)),
    (r#"{"err_code":429,"err_msg":"slow"}"#, Some(C::RateLimited)),
    (r#"{"ErrorCode":7,"ErrorMsg":"no"}"#, Some(C::Server)),
    (r#"{"resultCode":"9999","resultMsg":"system is busy"}"#, Some(C::Overloaded)),
    (r#"{"status":"failure","message":"Invalid API Key. Error Code: 03"}"#, Some(C::Unauthorised)),
    (r#"{"status":"error","Message":"no"}"#, Some(C::Server)),
    // A flag.
    (r#"{"success":false,"errorCode":"LIMIT","errorMsg":"too many requests"}"#, Some(C::RateLimited)),
    (r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}"#, Some(C::Unauthorised)),
    (r#"{"ok":false,"err":"insufficient balance"}"#, Some(C::OutOfMoney)),
    (r#"{"success":false}"#, Some(C::Server)),
    // An error's object by another name, or within another object.
    (r#"{"Response":{"Error":{"Code":"LimitExceeded","Message":"too many"},"RequestId":"x"}}"#, Some(C::RateLimited)),
    (r#"{"result":{"code":401,"message":"invalid api key"}}"#, Some(C::Unauthorised)),
    (r#"{"data":{"error":"server busy"}}"#, Some(C::Overloaded)),
    (r#"{"fault":{"faultstring":"Rate limit quota violation. Quota limit exceeded"}}"#, Some(C::RateLimited)),
    (r#"{"errors":[{"message":"insufficient balance"}]}"#, Some(C::OutOfMoney)),
    (r#"{"Error":{"Message":"invalid api key"}}"#, Some(C::Unauthorised)),
    // Success, by any name, and what says nothing.
    (r#"{"status":"200","msg":"ok","body":null}"#, None),
    (r#"{"ret":0,"msg":"success"}"#, None),
    (r#"{"code":"0000","message":""}"#, None),
    (r#"{"code":20,"data":{}}"#, None),
    (r#"{"success":true,"errors":[]}"#, None),
    (r#"{"status":"processing"}"#, None),
    (r#"{"status":"completed","output":[]}"#, None),
    // An answer, or a piece of one.
    (r#"{"code":1,"msg":"x","choices":[{"delta":{}}]}"#, None),
    (r#"{"id":"x","object":"chat.completion.chunk","choices":[]}"#, None),
    (r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#, None),
    (r#"{"responseId":"x","modelVersion":"m"}"#, None),
    (r#"{"response":{"id":"r","status":"in_progress","error":null,"output":[]}}"#, None),
    (r#"{"message":"an answer in words","content":"more"}"#, None),
];

#[test]
fn an_error_in_the_place_of_an_answer_is_known_by_its_verdict_under_any_name() {
    for (json, class) in SHAPES {
        assert_eq!(recognise(json).map(|failure| failure.class), *class, "{json}: {:?}", recognise(json));
    }
    let said = recognise(r#"{"status":"449","msg":"You exceeded your current rate limit"}"#).expect("an error");
    assert_eq!(said.message, "You exceeded your current rate limit");
}
