"""Phone numbers in texts: which runs of digits are one, and whose."""

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

MIN_DIGITS = 7
"""Of a run of digits that may be a phone number; a shorter one is a vote, a date, a code."""

_ANY = r"D{7,}|D{2,4}(?:[ -]D{3,4}){2,}"
"""D being a digit: a run of them, or groups as in 138-1234-5678 and +86 138 1234 5678; no date is such."""
RUN = re.compile(rf"\+?(?:{_ANY})".replace("D", r"\d"))
"""What may be a phone number, in the digits of any script."""
RUN_IN_RE2 = _ANY.replace("D", r"\p{Nd}")
"""The same, without its plus sign, in the language of Arrow's expressions."""

_COUNTRY_CODE = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{3}"  # E.164: none begins another
)
_INTERNATIONAL = re.compile(r"[^\d+]*(?:\+|00)")
_PARTS = (("CountryCode", "SubscriberNumber"), ("nationcode", "mobile"))

_HIGH, _LOW, _ANY_UNIT = r"[dD][89abAB][0-9a-fA-F]{2}", r"[dD][c-fC-F][0-9a-fA-F]{2}", r"[0-9a-fA-F]{4}"
_ESCAPE = re.compile(rf"(?<!\\)((?:\\\\)*)(\\u(?:{_HIGH}\\u{_LOW}|{_ANY_UNIT}))")
"""As in JSON, behind backslashes that are escaped themselves."""


def digits_of(number: str) -> str:
    """Return the digits of a number; of one in international form, E.164 without its plus sign.

    Blanks, hyphens and brackets are left out, and so is the 00 that some dial for the plus.
    """
    if number.startswith("+") and number.isascii() and number[1:].isdigit():
        return number[1:]  # as the API gives them: a million of them a run
    plain = unicodedata.normalize("NFKC", number).strip()
    digits = "".join(str(unicodedata.decimal(char)) for char in plain if char.isdecimal())
    return digits.removeprefix("00")


def is_international(number: str) -> bool:
    """Return whether a number tells its country: with a plus sign, or the 00 that some dial for it."""
    return number.startswith("+") or bool(_INTERNATIONAL.match(unicodedata.normalize("NFKC", number)))


def national_of(digits: str) -> str:
    """Return the digits of an international number without its country code."""
    code = _COUNTRY_CODE.match(digits)
    return digits[code.end() :] if code else digits


def is_same(run: str, number: str) -> bool:
    """Return whether a run of digits in a text is a number, in its international or its national form."""
    found, digits = digits_of(run), digits_of(number)
    if is_international(run):
        return is_international(number) and found == digits
    return found == digits or (is_international(number) and found == national_of(digits))


def own_numbers(record: Mapping[str, Any]) -> list[str]:
    """Return the numbers that a record names as its own, a pseudonym as it is.

    One whose country is known is in international form; one of a callback without its country code is not.

    Args:
        record: of the API, a row of it, or a callback's entry, as it is decoded.
    """
    numbers = []
    for code, national in _PARTS:
        country, number = str(record.get(code) or ""), str(record.get(national) or "")
        if number:
            has_both = country and _is_without_sign(number)
            numbers.append(f"+{digits_of(country)}{digits_of(number)}" if has_both else number)
    number = str(record.get("PhoneNumber") or "")
    if number and number != str(record.get("SubscriberNumber") or ""):  # as in a callback without a country
        if _is_without_sign(number):  # E.164, which lacks its sign, or its country, too
            country, digits = digits_of(str(record.get("CountryCode") or "")), digits_of(number)
            number = f"+{digits}" if digits.startswith(country) else f"+{country}{digits}"
        numbers.append(number)
    return numbers


def _is_without_sign(number: str) -> bool:
    """Return whether it is a number, no pseudonym, and tells no country."""
    return not is_international(number) and digits_of(number) != ""


def runs_in(text: str) -> list[str]:
    """Return the runs in a text that may be phone numbers; it may be JSON, whose digits may be escaped."""
    return RUN.findall(unescaped(text))


def unescaped(text: str) -> str:
    """Return a text with its digits, of any script, as they are, where they are escaped as in JSON."""
    return _ESCAPE.sub(_without_escape, text) if "\\u" in text else text


def _without_escape(match: re.Match[str]) -> str:
    char = json.loads(f'"{match[2]}"')
    return f"{match[1]}{char}" if char.isdecimal() else match[0]
