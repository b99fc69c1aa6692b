"""Phone numbers in texts: which runs of digits are one, and whose."""

import re
import unicodedata

LEAST_DIGITS = 7
"""Of a run of digits that may be a phone number; a shorter one is a vote, a date, a code."""
LONGEST_COUNTRY_CODE = 3

_ANY = r"D{7,}|D{2,4}(?:[ -]D{3,4}){2,}"
"""D being a digit: a run of them, or groups as in 138-1234-5678 and +86 138 1234 5678; no date is such."""
RUN = re.compile(rf"\+?(?:{_ANY})".replace("D", r"\d"))
"""What may be a phone number, in the digits of any script."""
RUN_IN_RE2 = _ANY.replace("D", r"\p{Nd}")
"""The same, without its plus sign, in the language of Arrow's expressions."""

_ESCAPED_DIGIT = re.compile(r"\\u(?:003|[fF][fF]1)([0-9])")


def digits_of(number: str) -> str:
    """Return the digits of a number in international form: E.164 without its plus sign.

    Blanks, hyphens and brackets are left out, and so is the 00 that some dial for the plus. A number in its
    national form has to be given with its country code.
    """
    if number.startswith("+") and number.isascii() and number[1:].isdigit():
        return number[1:]  # as the API gives them: a million of them a run
    plain = unicodedata.normalize("NFKC", number).strip()
    digits = "".join(char for char in plain if char.isdecimal())
    return digits.removeprefix("00")


def is_same(run: str, digits: str) -> bool:
    """Return whether a run of digits is a number, in its international form or in its national one.

    Args:
        run: with a plus sign or without.
        digits: of the number, as `digits_of` gives them.
    """
    found = digits_of(run)
    prefix = len(digits) - len(found)
    return found == digits or (digits.endswith(found) and 0 < prefix <= LONGEST_COUNTRY_CODE)


def runs_in(text: str) -> list[str]:
    """Return the runs in a text that may be phone numbers; it may be JSON, whose digits may be escaped."""
    return RUN.findall(unescaped(text))


def unescaped(text: str) -> str:
    """Return a text with its digits as they are, where they are escaped as in JSON."""
    return _ESCAPED_DIGIT.sub(r"\1", text) if "\\u" in text else text
