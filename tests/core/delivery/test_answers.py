import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.delivery.answers import (
    Answer,
    AnswerKind,
    NetworkFault,
    answer_of_fault,
    answer_of_status,
    classify,
    clock_of,
    is_web_page,
    parse_retry_after,
)

SET_UP = {401, 403, 404, 405, 407, 411, 415, 501, 505, 511}
UNHAPPY_4XX = {408, 410, 429, 460}
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        (range(100, 200), AnswerKind.SET_UP),
        (range(200, 300), AnswerKind.ACCEPTED),
        (range(300, 400), AnswerKind.SET_UP),
        (SET_UP, AnswerKind.SET_UP),
        (UNHAPPY_4XX, AnswerKind.UNHAPPY),
        ({413}, AnswerKind.TOO_LARGE),
        (set(range(400, 500)) - SET_UP - UNHAPPY_4XX - {413}, AnswerKind.REFUSED),
        (set(range(500, 600)) - SET_UP, AnswerKind.UNHAPPY),
    ],
)
def test_each_status_has_the_kind_of_its_row(statuses: set[int], kind: AnswerKind) -> None:
    """The rows cover 100 to 599 without a gap, so a status that changes its kind is seen here."""
    assert {classify(status) for status in statuses} == {kind}


@given(st.integers(-1_000, 10_000))
def test_every_number_is_classified(status: int) -> None:
    """Servers send statuses that no list knows; none of them may pass for a success or raise."""
    assert (classify(status) is AnswerKind.ACCEPTED) == (200 <= status <= 299)


def test_faults_of_names_trust_pages_and_proxies_are_our_set_up_and_others_are_not() -> None:
    kinds = {fault: answer_of_fault(fault).kind for fault in NetworkFault}
    set_up = {fault for fault, kind in kinds.items() if kind is AnswerKind.SET_UP}
    assert set_up == {
        NetworkFault.DNS_UNKNOWN_HOST,
        NetworkFault.TLS_VERIFICATION,
        NetworkFault.WEB_PAGE,
        NetworkFault.PROXY_REFUSED,
    }
    assert {kind for fault, kind in kinds.items() if fault not in set_up} == {AnswerKind.UNHAPPY}


def test_a_success_that_broke_off_is_not_a_success() -> None:
    """Whether it was stored is unknown; sending it again with the same messageIds is safe, leaving it is not."""
    assert answer_of_fault(NetworkFault.CUT_OFF) == Answer(AnswerKind.UNHAPPY, None, "cut_off")


@pytest.mark.parametrize(
    ("content_type", "is_page"),
    [
        ("text/html", True),
        ("text/html; charset=utf-8", True),
        (" Text/HTML;charset=UTF-8", True),
        ("application/xhtml+xml", True),
        ("application/json", False),
        ("text/plain; x=text/html", False),
        ("", False),
        (None, False),
    ],
)
def test_a_web_page_is_known_by_its_content_type(content_type: str | None, is_page: bool) -> None:
    assert is_web_page(content_type) is is_page


def test_errors_are_the_status_or_the_name_of_the_fault() -> None:
    assert answer_of_status(200, None).error == ""
    assert answer_of_status(503, None) == Answer(AnswerKind.UNHAPPY, 503, "503", None)
    assert answer_of_fault(NetworkFault.TLS_VERIFICATION).error == "tls_verification"


@pytest.mark.parametrize(
    ("status", "retry_after", "asks"),
    [(429, None, True), (503, 7.0, True), (503, None, False), (401, 7.0, False), (400, 7.0, False), (200, 7.0, False)],
)
def test_only_an_unhappy_destination_can_ask_to_wait(status: int, retry_after: float | None, asks: bool) -> None:
    assert answer_of_status(status, retry_after).asks_to_wait is asks


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("17", 17.0),
        (" 17 ", 17.0),
        ("301", 300.0),
        ("9" * 5_000, 300.0),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90.0),
        ("Sun Mar  1 12:01:30 2026", 90.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2037 12:00:00 GMT", 300.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", 1.5),
        ("0.25", 0.25),
        (".5", 0.5),
        ("7.", 7.0),
        ("1.5.2", None),
        ("12,17", 17.0),
        ("17, 12", 17.0),
        ("soon, 12", 12.0),
        (",,", None),
        ("12, Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 2026 12:01:30 GMT, 12", 90.0),
        ("Sun, 01 Mar 2026 12:00:05 GMT, Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 12026 12:01:30 GMT", 300.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
        ("Fri, 31 Dec 9999 23:59:59 -0500", 300.0),
        ("infinity", None),
        ("nan", None),
        ("1e5", None),
        ("soon", None),
        ("१७", None),
        ("Sun, 99 Mar 2026 12:01:30 GMT", None),
        ("Sun, 01 Mar 2026 12:01:30 +9999", None),
        ("Sun, 01 Mar 99999999999999999999 12:00:00 GMT", 300.0),
        ("Sun, 01-Mar-99999999999999999999 12:00:00 GMT", 300.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date_and_capped(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds


def test_a_date_without_a_zone_is_in_utc_wherever_we_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the three forms of HTTP dates names no zone."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        assert parse_retry_after("Sun Mar  1 12:01:30 2026", NOW) == 90.0
    finally:
        monkeypatch.undo()
        time.tzset()


NUMBERS = st.integers(0, 10**25).map(str) | st.floats(0, 1e9).map(str) | st.just("9" * 5_000)
DATES = st.builds(
    "{}{}{}{}{}{}{} {}".format,
    st.sampled_from(["Sun, ", "Sunday, ", "Sun ", "", "Sun,"]),
    st.integers(-5, 40),
    st.sampled_from([" ", "-", "/", ""]),
    st.sampled_from(["Mar", "March", "03", "Foo", ""]),
    st.sampled_from([" ", "-"]),
    st.integers(-1, 100_000) | st.integers(1_900, 2_100) | st.integers(10**18, 10**25),
    st.sampled_from([" 12:01:30", " 25:61:61", " 1:2", "", " 12:01:30.5", " ::"]),
    st.sampled_from(["GMT", "-0000", "+9999", "-2359", "EST", "", "+000000000000000000000001", "\x00"]),
)
HEADERS = (
    st.text(alphabet="0123456789:,-+ .GMTSunMar", max_size=40)
    | st.text(max_size=40)
    | st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    | st.lists(NUMBERS | DATES | st.text(max_size=5), max_size=4).map(", ".join)
)
"""Headers of any shape; an HTTP client hands on bytes that are not UTF-8 as surrogates."""


@given(HEADERS, st.floats(-1e12, 1e12))
def test_no_retry_after_raises_or_leaves_its_range(text: str, now: float) -> None:
    """The header is written by others; whatever it holds, the wait is bounded, and no pipeline ends."""
    seconds = parse_retry_after(text, now)
    assert seconds is None or 0 <= seconds <= 300


@given(HEADERS)
def test_no_date_raises_or_turns_the_clock_by_years(text: str) -> None:
    assert abs(clock_of(text, NOW) - NOW) <= 366 * 86_400


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -0500",
        "Mon, 01 Jan 0100 00:00:00 -0000",
        "Mon, 01 Jan 1601 00:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Sun, 01 Mar 12026 12:00:00 GMT",
        "noon",
        "",
        None,
    ],
)
def test_a_date_that_cannot_be_meant_is_no_clock(date: str | None) -> None:
    assert clock_of(date, NOW) == NOW


def test_a_clock_that_is_wrong_by_hours_is_the_one_that_dates_are_by() -> None:
    assert clock_of("Sun, 01 Mar 2026 17:00:00 GMT", NOW) == NOW + 5 * 3_600


@given(st.lists(st.floats(0, 1_000), min_size=1, max_size=5))
def test_a_list_asks_for_its_longest_wait(waits: list[float]) -> None:
    """A server and a proxy on the way may each ask for one."""
    assert parse_retry_after(", ".join(f"{wait:f}" for wait in waits), NOW) == pytest.approx(
        min(max(waits), 300), abs=1e-5
    )


@given(st.integers(0, 1_000))
def test_a_date_waits_as_long_as_the_same_number_of_seconds(seconds: int) -> None:
    date = format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)
    assert parse_retry_after(date, NOW) == parse_retry_after(str(seconds), NOW)
