"""One person's number in the spellings that a record may have."""

from collections.abc import Callable
from typing import Any

from sms_source import forget
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply

PERSON = "+8613712345678"


def _wide(text: str) -> str:
    """Return a number as a Chinese keyboard writes it."""
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


_SPELLINGS = [
    (PERSON, "86", "13712345678"),
    ("+86 137 1234 5678", "86", None),
    ("+86-13712345678", "86", "137-1234-5678"),
    ("(86) 137.1234.5678", "86", None),
    ("8613712345678", "86", None),
    ("13712345678", "86", None),
    ("008613712345678", "86", None),
    ("+008613712345678", "0086", "13712345678"),
    ("86+13712345678", "86", None),
    ("+86008613712345678", "86", "008613712345678"),
    (_wide(PERSON), "86", None),
    (_wide(PERSON[1:]), "86", None),
    ("unknown", _wide("86"), "13712345678"),
]


def assert_forgotten(
    simulator: SimulatorProcess,
    load: Callable[[], Any],
    contents: Callable[[], list[str]],
    destination: str = "duckdb",
) -> None:
    """Assert that a person is forgotten however their number is spelt, and that what others have is left.

    Args:
        simulator: with empty queues.
        load: drains them into the destination.
        contents: returns what people wrote, of the table of replies, in the order of what they wrote.
        destination: as `forget` takes it.
    """
    simulator.enqueue(APP, [*_theirs(), *_others()])
    load()
    done = forget(PERSON, destination)
    assert contents() == ["other 0", "other 1", "other 2"]
    assert done.rows["replies"] == done.journal_records == len(_SPELLINGS)


def _theirs() -> list[dict[str, Any]]:
    """Return a reply of the person in each spelling."""
    return [
        a_reply(f"theirs {n}", PhoneNumber=number, CountryCode=country, SubscriberNumber=national)
        for n, (number, country, national) in enumerate(_SPELLINGS)
    ]


def _others() -> list[dict[str, Any]]:
    """Return replies of others, spelt likewise."""
    return [
        a_reply("other 0", PhoneNumber="+86 137 1234 5679", SubscriberNumber=None),
        a_reply("other 1", PhoneNumber="+44 13712345678", CountryCode="44", SubscriberNumber="13712345678"),
        a_reply("other 2", PhoneNumber="0013712345678", CountryCode="1", SubscriberNumber=None),
    ]
