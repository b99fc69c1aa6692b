"""What people wrote, their numbers, and the page's two languages."""

import re
import unicodedata
from datetime import datetime, timedelta, timezone
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from sms_source.report import page
from sms_source.report.language import LANGUAGES, Language
from sms_source.report.people import mask, show
from sms_source.report.receipts import BUCKETS

NOW = datetime(2026, 7, 3, 9, 30, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("number", "country_code", "masked"),
    [
        ("+8615291990000", "86", "+86152****0000"),
        ("+12025550123", "1", "+1202****123"),
        ("+6581234567", "65", "+6581****67"),
        ("+861", "86", "+86****"),
        ("15291990000", "86", "152****0000"),
        ("+8615291990000", None, "861****0000"),
        ("3f2a9c0b77d1e4a8", "86", "3f2a9c0b77d1…"),
        ("", "86", ""),
        (None, None, ""),
    ],
)
def test_a_number_is_masked(number: str | None, country_code: str | None, masked: str) -> None:
    """The page shows whose country and which of some, and not the person."""
    assert mask(number, country_code) == masked


@given(number=st.from_regex(r"\+[1-9]\d{1,14}", fullmatch=True), length=st.integers(0, 4))
def test_at_least_four_digits_are_hidden(number: str, length: int) -> None:
    """With fewer, a mask would be a riddle of a few tries."""
    country_code = number[1 : 1 + length]
    national = len(number) - 1 - length
    hidden = national - sum(
        char.isdigit() for char in mask(number, country_code).removeprefix(f"+{country_code}")
    )
    assert hidden >= min(4, national)


@given(text=st.text(), longest=st.integers(1, 40))
def test_any_text_can_be_shown(text: str, longest: int) -> None:
    """Whatever somebody writes, it is short, has no control character, and says what was left out."""
    shown = show(text, longest=longest, full_numbers=True)
    assert len(shown.text) + shown.left_out <= max(len(text), longest)
    assert shown.left_out == max(len(text) - longest, 0)
    assert not [char for char in shown.text if unicodedata.category(char) in {"Cc", "Cs"}]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("13812345678", "****"),
        ("call 138-1234-5678 or +65 8123 4567", "call **** or +****"),
        ("\uff11\uff13\uff18\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18", "****"),
        ("z" + "\u0301" * 300 + "algo", "z" + "\u0301" * 3 + "algo"),
        ("order 123456, on 2026-07-03 at 10:00", "order 123456, on 2026-07-03 at 10:00"),
    ],
)
def test_a_text_is_masked_and_tamed(text: str, shown: str) -> None:
    """People write numbers, too, and not only their own; dates stay, and piles of accents don't."""
    assert show(text, longest=400).text == shown


def sentences() -> set[str]:
    """Every sentence that the page can have, as the template and the modules around it have them."""
    folder = files("sms_source.report")
    template = "".join(
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("macros.html", "page.html")
    )
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    found = {
        message if isinstance(message, str) else message[1]
        for _, _, message in environment.extract_translations(template)  # type: ignore[attr-defined]
    }
    return found | set(BUCKETS.values()) | set(page.CATEGORIES.values()) | {page.OTHER_CATEGORY}


def test_every_sentence_is_translated() -> None:
    """A page in Chinese has no English sentence in between, and no value is lost in translation."""
    chinese = Language("zh", NOW)
    values = re.compile(r"%\((\w+)\)s")
    for sentence in sentences():
        translated = chinese.gettext(sentence)
        assert sorted(values.findall(translated)) == sorted(values.findall(sentence)), sentence
        assert re.search(r"[\u4e00-\u9fff]", translated), sentence
        assert sentence.count("<") == translated.count("<")


def test_quantities_read_as_people_write_them() -> None:
    """Figures are rounded so that none says what is not: some are never 0 %, nor nearly all 100 %."""
    english, chinese = (Language(code, NOW) for code in LANGUAGES)
    shares = (0, 0.00001, 0.004, 0.0456, 0.5, 0.9949, 0.99999, 1)
    written = ["0%", "<0.1%", "0.4%", "4.6%", "50%", "99.5%", ">99.9%", "100%"]
    assert [english.share(share) for share in shares] == written
    seconds = (59, 61, 3_599, 3_601, 86_400, 200_000)
    assert [english.duration(time) for time in seconds] == [
        *("less than a minute", "1 min", "60 min", "1 hour", "24 hours", "2 days")
    ]
    assert chinese.duration(200_000) == "2 天"
    assert english.day(NOW, weekday=True) == "Fri 3 Jul"
    assert english.day(NOW - timedelta(days=365)) == "3 Jul 2025"
    assert chinese.moment(NOW, year=True) == "2026年7月3日 09:30"
    assert english.age(NOW + timedelta(hours=1)) == "ahead of the clock"
    assert (english.age(NOW), chinese.age(NOW - timedelta(hours=3))) == ("just now", "3 小时前")
