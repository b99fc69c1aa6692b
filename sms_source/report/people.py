"""What people wrote and the numbers they wrote from, as a page may show them: as text, masked, and short."""

import re
import unicodedata
from typing import NamedTuple

_NUMBER = re.compile(r"\+?\d+")
_NUMBERS_IN_TEXT = re.compile(
    r"\d{7,}"
    r"|\d{2,4}(?:[ -]\d{3,4}){2,}"  # 138-1234-5678, 415 555 2671; no date
)
_PILED = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
"""More than three accents on a letter: no language has them, and they would pile up over other lines."""
_PSEUDONYM_SHOWN = 12


def mask(number: str | None, country_code: str | None) -> str:
    """Return a phone number with its middle hidden: `+8615291990000` is `+86152****0000`.

    At least four digits are hidden, so that of a short number less is shown. What is no number, such as a
    pseudonym, is cut instead.
    """
    if not number:
        return ""
    if not _NUMBER.fullmatch(number):
        return number if len(number) <= _PSEUDONYM_SHOWN else f"{number[:_PSEUDONYM_SHOWN]}…"
    prefix = f"+{country_code}" if country_code and number.startswith(f"+{country_code}") else ""
    national = number[len(prefix) :].lstrip("+")
    shown = max(len(national) - 4, 0)
    tail = min(4, (shown + 1) // 2)
    head = min(3, shown - tail)
    return f"{prefix}{national[:head]}****{national[len(national) - tail :]}"


class Shown(NamedTuple):
    """A text that is fit to be shown.

    text: its beginning, without control characters, with numbers masked.
    left_out: characters that were cut.
    """

    text: str
    left_out: int = 0


def show(text: str | None, *, longest: int, full_numbers: bool = False) -> Shown:
    """Return what somebody wrote, as it may be shown. The page's `<bdi>` isolates bidirectional text."""
    if not text:
        return Shown("")
    if not full_numbers:
        text = _NUMBERS_IN_TEXT.sub("****", text[: longest * 4]) + text[longest * 4 :]
    visible = _PILED.sub(r"\1", "".join(map(_visible, text[:longest]))).strip()
    return Shown(visible, max(len(text) - longest, 0))


def _visible(character: str) -> str:
    """Return a control character as its picture, a break as a blank; others as they are."""
    if character in "\t\n\r\v\f\x85\u2028\u2029":
        return " "
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return "\ufffd" if unicodedata.category(character) in {"Cc", "Cs"} else character
