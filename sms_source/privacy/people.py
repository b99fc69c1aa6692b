"""People who are to be forgotten: which records are theirs, and which texts name them."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sms_source.errors import ConfigurationError
from sms_source.privacy.numbers import LEAST_DIGITS, LONGEST_COUNTRY_CODE, digits_of, runs_in
from sms_source.privacy.pseudonym import pseudonym

MOST_DIGITS = 15
"""Of a number in E.164."""

_AT_ONCE = 200

_OWN_FIELDS = ("PhoneNumber",)
_NATIONAL_FIELDS = (("CountryCode", "SubscriberNumber"), ("nationcode", "mobile"))
_OWN_NUMBER = re.compile(r'"PhoneNumber"\s*:\s*"([^"\\]+)"')
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
        self._whole = set(self.digits)
        national = {d[n:]: d for d in self.digits for n in range(1, LONGEST_COUNTRY_CODE + 1)}
        self._by_run = {**national, **{digits: digits for digits in self.digits}}
        self.pseudonyms = {
            pseudonym(digits, pseudonym_key): digits for digits in self.digits if pseudonym_key
        }
        self.by_value = {
            **{f"+{digits}": digits for digits in self.digits},
            **{digits: digits for digits in self.digits},
            **self.pseudonyms,
        }
        """The digits by what stands for them in a column of numbers."""

    def chunks(self) -> Iterator[tuple[list[str], list[str]]]:
        """Yield some hundred people at a time: what stands for them in a column, and their digits."""
        for start in range(0, len(self.digits), _AT_ONCE):
            chunk = dict.fromkeys(self.digits[start : start + _AT_ONCE])
            yield [value for value, digits in self.by_value.items() if digits in chunk], list(chunk)

    def owner_of(self, record: Any, text: str) -> str | None:
        """Return the digits of the person whose record it is; None when it is somebody else's.

        A record that says whose it is, is theirs; one that does not is of whom its text names.

        Args:
            record: as it is decoded.
            text: of the same.
        """
        if isinstance(record, dict):
            numbers = [str(record.get(name) or "") for name in _OWN_FIELDS]
            numbers += [f"{record.get(code) or ''}{record.get(own) or ''}" for code, own in _NATIONAL_FIELDS]
            for number in filter(None, numbers):
                if owner := self.by_value.get(number) or self._exactly(number):
                    return owner
            own = record.get("PhoneNumber")
            if isinstance(own, str) and len(digits_of(own)) >= LEAST_DIGITS:
                return None
        return self.named_in(text)

    def named_in(self, text: str) -> str | None:
        """Return the digits of a person whose number is in a text; None when no one's is."""
        for run in runs_in(text):
            if owner := self._by_run.get(digits_of(run)):
                return owner
        for word in _PSEUDONYM.findall(text):
            if word in self.pseudonyms:
                return self.pseudonyms[word]
        return None

    def may_own(self, torn: str) -> bool:
        """Return whether what broke off may be theirs: it is, unless it says it is not."""
        own = _OWN_NUMBER.search(torn)
        return own is None or self._exactly(own[1]) is not None or len(digits_of(own[1])) < LEAST_DIGITS

    def _exactly(self, number: str) -> str | None:
        digits = digits_of(number)
        return digits if digits in self._whole else None


def _checked(number: str, place: int) -> str:
    digits = digits_of(number)
    if not LEAST_DIGITS <= len(digits) <= MOST_DIGITS:
        raise ConfigurationError(
            f"Number {place} to forget has {len(digits)} digits; expected {LEAST_DIGITS} to {MOST_DIGITS}, "
            "in international form with the country code. Nothing was erased."
        )
    return digits
