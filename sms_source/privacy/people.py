"""People who are to be forgotten: which records are theirs, and which texts name them."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sms_source.api.answers import Unreadable
from sms_source.errors import ConfigurationError
from sms_source.privacy.numbers import (
    MIN_DIGITS,
    digits_of,
    is_international,
    national_of,
    own_numbers,
    runs_in,
    unescaped,
)
from sms_source.privacy.pseudonym import pseudonym

MAX_DIGITS = 15
"""Of a number in E.164."""

_AT_ONCE = 200
_NAMED = re.compile(
    r'"(PhoneNumber|CountryCode|SubscriberNumber|nationcode|mobile)"\s*:\s*(?:"([^"\\]+)"|(\d+)(?!\d|$))'
)
"""What tells whose a record is, in a text that is no JSON."""
_PSEUDONYM = re.compile(r"p_[a-p]{32}")


class People:
    """Some people, by the digits of their numbers in international form.

    Args:
        numbers: in international form, each once or often.
        pseudonym_key: whose pseudonyms stand for them, too; None when there are none.

    Raises:
        ConfigurationError: one is no number. Says which, and does not show it.
    """

    def __init__(self, numbers: Iterable[str], pseudonym_key: str | None = None) -> None:
        self.digits = list(dict.fromkeys(_checked(number, n) for n, number in enumerate(numbers, 1)))
        national = {national_of(digits): digits for digits in self.digits}
        whole = {f"+{digits}": digits for digits in self.digits}
        self.pseudonyms = {
            pseudonym(number, pseudonym_key): whole[number] for number in whole if pseudonym_key
        }
        """The digits by the pseudonym."""
        self.by_value = {
            **{pseudonym(number, pseudonym_key): national[number] for number in national if pseudonym_key},
            **self.pseudonyms,
            **national,
            **whole,
        }
        """The digits by what stands for them as a number, whose country may be unknown."""

    def chunks(self) -> Iterator[list[str]]:
        """Yield what may stand for people in a column, without a separator; some hundred people at a time."""
        for start in range(0, len(self.digits), _AT_ONCE):
            chunk = dict.fromkeys(self.digits[start : start + _AT_ONCE])
            values = [value for value, digits in self.by_value.items() if digits in chunk]
            yield [*values, *(prefix + digits for digits in chunk for prefix in ("", "00", "+00"))]

    def owner_of(self, record: Any, text: str = "") -> str | None:
        """Return the digits of the person whose record it is; None when it is somebody else's.

        A record that says whose it is, is theirs; one that does not is of whom its text names. A number
        without its country is of whoever has it in any country.

        Args:
            record: as it is decoded, or a row with the API's names.
            text: of the same.
        """
        if isinstance(record, Unreadable):
            record = _named(text)
        numbers = own_numbers(record) if isinstance(record, dict) else []
        for number in numbers:
            if owner := self._owner(number):
                return owner
        return None if any(map(_is_whole, numbers)) else self.named_in(text)

    def named_in(self, text: str) -> str | None:
        """Return the digits of a person whose number is in a text; None when no one's is."""
        for run in runs_in(text):
            digits = digits_of(run)
            if owner := self._owner(run) or self.by_value.get(f"+{digits}"):
                return owner
        for word in _PSEUDONYM.findall(text):
            if word in self.by_value:
                return self.by_value[word]
        return None

    def may_own(self, torn: str) -> bool:
        """Return whether what broke off may be theirs: it is, unless it says it is not."""
        record = _named(torn)
        return self.owner_of(record) is not None or not any(map(_is_whole, own_numbers(record)))

    def _owner(self, number: str) -> str | None:
        digits = digits_of(number)
        return self.by_value.get(f"+{digits}" if is_international(number) else digits or number)


def _named(text: str) -> dict[str, str]:
    """Return the fields that tell whose a record is, of one that is no JSON."""
    return {name: quoted or bare for name, quoted, bare in _NAMED.findall(unescaped(text))}


def _is_whole(number: str) -> bool:
    return len(digits_of(number)) >= MIN_DIGITS


def _checked(number: str, place: int) -> str:
    digits = digits_of(number)
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        raise ConfigurationError(
            f"Number {place} to forget has {len(digits)} digits; expected {MIN_DIGITS} to {MAX_DIGITS}, "
            "in international form with the country code. Nothing was erased."
        )
    if not is_international(number):
        raise ConfigurationError(
            f"Number {place} to forget begins with neither + nor 00; expected the international form, "
            "such as +8615291990000. Nothing was erased."
        )
    return digits
