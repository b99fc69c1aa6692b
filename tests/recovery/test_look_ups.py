"""Recovery against look-ups of every kind that may turn out to be Tencent Cloud's."""

import time
from collections import Counter
from typing import Any

import pytest

import sms_source
from sms_source.errors import NotExecutedError, SmsSourceError
from sms_source.simulator import LOOK_UP_REPLIES, SimulatorProcess
from tests.conftest import APP, OTHER_APP
from tests.recovery.conftest import Lose, Query, number_of, reply_of


@pytest.fixture(autouse=True)
def unlimited(configured: SimulatorProcess) -> None:
    """Most of these tests are not about the rate."""
    configured.configure(look_up_rate_limit=0)


def recovered(query: Query) -> Counter[str]:
    """Count what was recovered, by text."""
    return Counter(
        text for (text,) in query("select reply_content from sms.replies where channel = 'lookup'")
    )


def texts_of(records: list[dict[str, Any]]) -> Counter[str]:
    """Count records by text."""
    return Counter(record["ReplyContent"] for record in records)


@pytest.mark.long
@pytest.mark.parametrize("ends", ["both", "begin", "end", "neither"])
def test_a_full_window_is_halved_whichever_of_its_ends_belong_to_it(
    configured: SimulatorProcess, lose: Lose, query: Query, ends: str
) -> None:
    """Somebody with 330 replies has them all back, each once."""
    configured.configure(look_up_ends=ends, look_up_newest_first=ends in ("both", "end"))
    newest = int(time.time()) - 60
    replies = [reply_of(1, f"reply {n}", ReplyTime=newest - n // 9) for n in range(330)]
    lose(replies)
    summary = sms_source.recover(numbers=[number_of(1), number_of(2)])
    summary.raise_for_failure()
    assert recovered(query) == texts_of(replies)
    assert summary.crowded == []


@pytest.mark.long
@pytest.mark.parametrize("ends", ["both", "begin", "end"])
def test_crowded_neighbouring_seconds_are_told_apart(
    configured: SimulatorProcess, lose: Lose, query: Query, ends: str
) -> None:
    """Seventy replies in each of four seconds are more than a window of two can show."""
    configured.configure(look_up_ends=ends)
    newest = int(time.time()) - 60
    replies = [reply_of(1, f"reply {n}", ReplyTime=newest - n % 4) for n in range(280)]
    lose(replies)
    summary = sms_source.recover(numbers=[number_of(1)])
    summary.raise_for_failure()
    assert recovered(query) == texts_of(replies)
    assert summary.crowded == []


@pytest.mark.long
@pytest.mark.parametrize("ends", ["both", "neither"])
def test_a_hundred_replies_of_one_second_stay_in_doubt(
    configured: SimulatorProcess, lose: Lose, query: Query, ends: str
) -> None:
    """A look-up can't tell more of them: what it tells comes back, and the summary names the second."""
    configured.configure(look_up_ends=ends)
    crowded = int(time.time()) // 60 * 60 - 30  # not at a minute's edge: the window may begin a second before
    replies = [reply_of(1, f"reply {n}", ReplyTime=crowded) for n in range(130)]
    lose([*replies, reply_of(1, "before", ReplyTime=crowded - 9)])
    summary = sms_source.recover(numbers=[number_of(1)])
    summary.raise_for_failure()
    found = recovered(query)
    assert found["before"] == 1
    assert found.total() == 101
    assert summary.crowded
    moment = time.strftime("%Y-%m-%d %H:%M", time.gmtime(crowded))
    assert any(moment in line and "stays in doubt" in line for line in summary.lines())


@pytest.mark.long
def test_what_shows_late_comes_back_with_the_next_recovery(
    configured: SimulatorProcess, lose: Lose, query: Query
) -> None:
    """A look-up may show a record some time after the queue handed it out, however old the record is."""
    replies = [reply_of(1, "old", ago=2 * 86_400), reply_of(2, "new", ago=1)]
    configured.configure(look_up_delay=86_400)
    lose(replies)
    numbers = [number_of(1), number_of(2)]
    assert sms_source.recover(numbers=numbers).recovered.total() == 0
    configured.configure(look_up_delay=0)
    assert sms_source.recover(numbers=numbers).recovered.total() == 2
    assert recovered(query) == texts_of(replies)


@pytest.mark.long
def test_a_window_of_sends_finds_the_replies_to_them(
    configured: SimulatorProcess, lose: Lose, query: Query
) -> None:
    """Whether a window is of the reply or of the message replied to is not documented."""
    configured.configure(look_up_send_lag=3600)
    replies = [reply_of(1, f"reply {n}", ago=60 + n) for n in range(150)]
    lose(replies)
    sms_source.recover(numbers=[number_of(1)]).raise_for_failure()
    assert recovered(query) == texts_of(replies)


@pytest.mark.long
def test_look_ups_that_consume_stop_the_recovery_and_keep_what_came(
    configured: SimulatorProcess, lose: Lose, query: Query
) -> None:
    """The first person who has something is asked about twice; then nobody is asked about any more."""
    configured.configure(look_up_consumes=True)
    lose([reply_of(person, f"lost {person}") for person in range(20)])
    summary = sms_source.recover(numbers=[number_of(person) for person in range(20)])
    with pytest.raises(SmsSourceError, match="take out what they find"):
        summary.raise_for_failure()
    assert configured.stats().look_ups == 2
    assert recovered(query) == {"lost 0": 1}


@pytest.mark.long
@pytest.mark.parametrize(("skew", "reached"), [(0, 30), (-240, 30), (240, 330)])
def test_a_look_up_reaches_back_seven_days(
    configured: SimulatorProcess, lose: Lose, query: Query, skew: int, reached: int
) -> None:
    """But for the seconds that it takes; where Tencent Cloud's clock is ahead, for some minutes as well."""
    configured.configure(clock_skew=skew)
    week = 7 * 86_400
    lose([reply_of(1, "last", ago=week - reached), reply_of(2, "new"), reply_of(3, "gone", ago=week + 60)])
    summary = sms_source.recover(numbers=[number_of(person) for person in range(1, 6)])
    summary.raise_for_failure()
    assert recovered(query) == {"last": 1, "new": 1}
    # One answer for each person, one more to see whether it takes out what it finds, one refusal at most.
    assert configured.stats().look_ups == 6 + (skew > 0)


@pytest.mark.long
def test_each_application_is_asked(
    configured: SimulatorProcess, lose: Lose, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application without a doubt is not; what is out of the configuration's reach is said."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS", f'["{APP}", "{OTHER_APP}"]')
    sms_source.load()
    for app_id in (APP, OTHER_APP):
        lose([reply_of(1, f"of {app_id}")], app_id=app_id)
        sms_source.load()
    monkeypatch.setenv("SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS", f'["{APP}"]')
    summary = sms_source.recover(numbers=[number_of(1)])
    assert (summary.doubts, summary.out_of_reach) == (1, 1)
    assert recovered(query) == {f"of {APP}": 1}
    monkeypatch.setenv("SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS", f'["{APP}", "{OTHER_APP}"]')
    assert sms_source.recover(numbers=[number_of(1)]).recovered["replies"] == 1
    assert recovered(query) == {f"of {APP}": 1, f"of {OTHER_APP}": 1}


@pytest.mark.long
@pytest.mark.parametrize(
    "fault", ["reset", "truncate", "http_status", "not_json", "api_error", "close_unread"]
)
def test_a_look_up_that_fails_is_repeated(
    configured: SimulatorProcess, lose: Lose, query: Query, fault: str
) -> None:
    """It takes nothing, so whatever the outcome of the first attempt, the next one tells."""
    lose([reply_of(person, f"lost {person}") for person in range(3)])
    configured.fail_next(fault, times=2, action=LOOK_UP_REPLIES)
    summary = sms_source.recover(numbers=[number_of(person) for person in range(3)])
    summary.raise_for_failure()
    assert recovered(query).total() == 3
    assert summary.look_ups == 3 + 1 + 2


@pytest.mark.long
def test_a_number_that_the_api_refuses_stops_nobody(
    configured: SimulatorProcess, lose: Lose, query: Query
) -> None:
    """The others are asked about, and the summary counts it."""
    lose([reply_of(1, "lost")])
    sms_source.load()
    code = "InvalidParameterValue.IncorrectPhoneNumber"
    configured.fail_next("api_error", code=code, action=LOOK_UP_REPLIES)
    summary = sms_source.recover(numbers=[number_of(2), number_of(1)])
    summary.raise_for_failure()
    assert (summary.refused_numbers, recovered(query)) == (1, {"lost": 1})


@pytest.mark.long
def test_an_api_that_goes_away_ends_it_and_the_next_one_goes_on(
    configured: SimulatorProcess, lose: Lose, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found until then is kept and loaded."""
    monkeypatch.setattr("sms_source.recovery.asking.ATTEMPTS", 2)
    monkeypatch.setattr("sms_source.recovery.recovery.TOGETHER", 4)
    lose([reply_of(person, f"lost {person}") for person in range(12)])
    configured.fail_next("api_error", code="RequestLimitExceeded", times=99, after=8, action=LOOK_UP_REPLIES)
    numbers = [number_of(person) for person in range(12)]
    summary = sms_source.recover(numbers=numbers)
    with pytest.raises(NotExecutedError, match="RequestLimitExceeded"):
        summary.raise_for_failure()
    assert recovered(query).total() >= 4
    configured.clear_faults()
    again = sms_source.recover(numbers=numbers)
    again.raise_for_failure()
    assert again.is_resumed
    assert again.asked == 12 - summary.asked
    assert recovered(query) == {f"lost {person}": 1 for person in range(12)}
