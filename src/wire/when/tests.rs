use proptest::prelude::*;

use super::*;

/// 2026-11-29T12:00:00Z, a Sunday.
const NOW: u64 = 1_795_953_600;
const M: u64 = 60;
const H: u64 = 3600;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

/// Returns the seconds that a message asks to wait.
fn seconds(message: &str) -> Option<u64> {
    in_words(message, Some(now()), Zone::UTC).map(|when| match when {
        RetryAfter::After(wait) => wait.as_secs(),
        RetryAfter::At(at) => at.duration_since(now()).unwrap_or_default().as_secs(),
    })
}

#[test]
fn a_wait_in_words_is_understood_from_every_provider() {
    for (message, expected) in [
        ("Please try again in 1h2m3s.", H + 2 * M + 3),
        ("Your quota will reset after 3h12m10s.", 3 * H + 12 * M + 10),
        ("Please retry after 17 seconds.", 17),
        ("Rate limit exceeded, retry in 90 s", 90),
        ("Your limit resets in 2 hours and 5 minutes.", 2 * H + 5 * M),
        ("usage limit reached, resets in 1 hour, 2 minutes, 3 seconds", H + 2 * M + 3),
        ("Try again in an hour.", H),
        ("please wait for about 5 minutes before retrying", 5 * M),
        ("You can use the model again in 3 days", 3 * 24 * H),
        ("Available again in ~45 min", 45 * M),
        ("retry-after: 30", 30),
        ("Retry after (seconds): 12", 12),
        ("Too many requests. Wait 20s and try again", 20),
        ("limit will be restored in 1d2h", 26 * H),
        ("Please try again in 7m12.5s. Need more?", 7 * M + 12),
        ("Try again after 60 minutes", H),
        ("resets after 2h", 2 * H),
        ("Reset in: 12 minutes", 12 * M),
        ("Next reset in 36 hours", 36 * H),
        ("Retry after PT1M30S.", 90),
        ("available in P1DT2H", 26 * H),
        // A clock behind a word like "in" is a duration, as .NET and Python write it.
        ("Rate limited. Try again in 00:30:00.", 30 * M),
        ("Your quota resets in 1:30:00.", 90 * M),
        ("Too many requests, retry after 0:05:00", 5 * M),
        ("retry after 26:00:00.5", 26 * H),
        ("Try again in about 04:59", 4 * M + 59),
        ("Please wait 00:00:20 before retrying", 20),
        ("try again in 1 day, 3:00:00", 27 * H),
        ("will be available in 1.03:00:00", 27 * H),
        ("resets in 1:30 hours", 90 * M),
    ] {
        assert_eq!(seconds(message), Some(expected), "{message}");
    }
}

#[test]
fn a_wait_before_its_mark_and_in_other_languages_is_understood() {
    for (message, expected) in [
        ("请3600秒后再试", H),
        ("请求过于频繁，3600秒后重试", H),
        ("请稍后再试，剩余等待时间：3600秒", H),
        ("请 5 分钟后重试", 5 * M),
        ("请求过多，1小时30分钟后再试", 90 * M),
        ("将于30秒后解除限制", 30),
        ("请等待大约 5 分钟", 5 * M),
        ("冷却时间：120秒", 120),
        ("还需等待45秒", 45),
        ("請於30秒後重試", 30),
        ("3600秒後に再試行してください", H),
        ("30分後にもう一度お試しください", 30 * M),
        ("1時間30分後に再試行してください", 90 * M),
        ("待機時間: 90秒", 90),
        ("3600초 후에 다시 시도하세요", H),
        ("30분 후 다시 시도해 주세요", 30 * M),
        ("대기 시간: 90초", 90),
        ("cooldown: 3600 seconds remaining", H),
        ("Rate limited, 90 seconds remaining", 90),
        ("You are blocked: 12 minutes left", 12 * M),
        ("Next request allowed in 3600 s", H),
        ("Your next request is possible in 5 minutes", 5 * M),
        ("Cooldown of 90 seconds", 90),
        ("Too fast: back off for 20s", 20),
        ("2 minutes until reset", 2 * M),
        ("Time remaining: 1h2m", 62 * M),
        ("Bitte versuchen Sie es in 30 Sekunden erneut", 30),
        ("Bitte warten Sie 2 Minuten", 2 * M),
        ("Veuillez réessayer dans 30 secondes", 30),
        ("Inténtelo de nuevo en 5 minutos", 5 * M),
        ("Por favor, espere 30 segundos", 30),
        ("Tente novamente em 2 horas", 2 * H),
        ("Повторите попытку через 30 секунд", 30),
        ("Подождите 5 минут", 5 * M),
    ] {
        assert_eq!(seconds(message), Some(expected), "{message}");
    }
}

#[test]
fn a_date_or_a_clock_in_words_is_understood_to_the_minute() {
    for (message, expected) in [
        ("Your limit will reset at 2026-11-30T00:00:00Z", 12 * H),
        ("resets at 2026-11-29 14:30:00 UTC", 2 * H + 30 * M),
        ("reset at 2026-11-29T20:00:00+08:00 and not before", 0),
        ("will reset at 2026-11-29T22:00:00+08:00.", 2 * H),
        ("You've hit your limit · resets 9:20pm (UTC)", 9 * H + 20 * M),
        ("try again after 14:00:00 UTC", 2 * H),
        ("try again after 14:30", 2 * H + 30 * M),
        ("wait until 14:30:00", 2 * H + 30 * M),
        ("resets 9pm (America/New_York)", 14 * H),
        ("resets 6am (Europe/Berlin)", 17 * H),
        ("usage limit, try again at 11:45 AM", 23 * H + 45 * M),
        ("Try again at 13:00 UTC.", H),
        ("It will be available again at 2026-12-01 00:00 UTC", 36 * H),
        ("try again tomorrow at 9:00 UTC", 21 * H),
        ("Resets tomorrow", 12 * H),
        ("Limits reset at midnight UTC.", 12 * H),
        ("Daily limits reset at midnight Pacific time", 20 * H),
        ("Limit resets on Dec 1 at 12:00 UTC", 48 * H),
        ("Try again on November 30th, 2026, 1:30 PM", 25 * H + 30 * M),
        ("resets Dec 2, 5am (UTC)", 2 * 24 * H + 17 * H),
        ("resets Monday at 9am", 21 * H),
        ("resets Sun 11:00am (UTC)", 7 * 24 * H - H),
        ("reset at 1795957200", H),
        ("Claude AI usage limit reached|1795957200", H),
        ("Monthly quota exceeded. Resets on the 1st.", 36 * H),
        ("Resets on the 30th at 9:00 UTC", 21 * H),
        ("resets on the 29th", 30 * 24 * H - 12 * H),
        ("rate limited until 2026-11-29T12:34:00Z", 34 * M),
    ] {
        assert_eq!(seconds(message), Some(expected), "{message}");
    }
}

#[test]
fn text_without_a_time_gives_none() {
    for message in [
        "Please try again later",
        "try again in a moment",
        "Please try again in 30",
        "Limit: 3 / min",
        "Your limit is 500 requests per day",
        "the model is overloaded, retry your request",
        "reset your password",
        "We wait for nobody: 5 requests in 10 minutes are allowed",
        "resets at 9999-01-01T00:00:00Z",
        "Upgrade for 20x more usage and resume",
        "try again in ",
        "wait",
        // Of limits, usage and other times.
        "10 requests are allowed in 60 seconds",
        "Requests remaining: 0, limit 100 per 60 s",
        "5 requests left, then wait",
        "Your trial has 3 days left",
        "令牌30天后过期",
        "每 60 秒最多 10 次请求，剩余 0 次",
        "还剩 0 次",
    ] {
        assert_eq!(seconds(message), None, "{message}");
    }
    // A clock needs to know what time it is; a whole date does not.
    assert_eq!(in_words("resets 9:20pm (UTC)", None, Zone::UTC), None);
    assert!(in_words("resets at 2026-11-30T00:00:00Z", None, Zone::UTC).is_some());
}

#[test]
fn an_hour_more_in_summer_is_known_where_it_is_kept() {
    let offset = |name: &str, date: &str| {
        let Some(RetryAfter::At(at)) = stamp(date, Zone::UTC) else { panic!("{date}") };
        let at = at.duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs();
        zone(name).expect("a zone").offset(at.cast_signed()) / HOUR
    };
    for (name, date, hours) in [
        ("america/new_york", "2026-03-08T06:59:00Z", -5),
        ("america/new_york", "2026-03-08T07:01:00Z", -4),
        ("america/los_angeles", "2026-11-01T08:59:00Z", -7),
        ("america/los_angeles", "2026-11-01T09:01:00Z", -8),
        ("europe/berlin", "2026-03-29T00:59:00Z", 1),
        ("europe/berlin", "2026-03-29T01:01:00Z", 2),
        ("europe/berlin", "2026-10-25T01:01:00Z", 1),
        ("pst", "2026-07-01T00:00:00Z", -8),
        ("utc+8", "2026-07-01T00:00:00Z", 8),
    ] {
        assert_eq!(offset(name, date), hours, "{name} {date}");
    }
}

proptest! {
    #[test]
    fn any_words_are_read(text in
        r"(try again|reset|at|in|[0-9]{1,4}|:|pm|am|h|m|s|utc|dec|tomorrow|-|\.|\PC| ){0,40}") {
        in_words(&text, Some(now()), Zone::BEIJING);
        in_words(&text, None, Zone::UTC);
        parse(&text);
    }
}
