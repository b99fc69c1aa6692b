"""Pseudonyms of phone numbers: keyed, so that nobody without the key can try all numbers."""

import functools
import hashlib
import re
from collections.abc import Iterable
from typing import Any

from sms_source.api.answers import Unreadable, parse_record
from sms_source.privacy.numbers import RUN, digits_of, is_international, is_same, unescaped

MASK = "***"
"""In the place of a number that is not the row's own."""

PREFIX = "p_"
"""Of each pseudonym."""

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*')
"""A string, or a number."""
_BLOCK_BYTES = 64
"""Of SHA-256."""
_LETTERS = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")


def pseudonym(number: str, key: str) -> str:
    """Return the pseudonym of a phone number: the same for the same number and key, everywhere and for good.

    It is `p_` and 32 letters: the first 16 bytes of HMAC-SHA256(key, "+" and the digits of the number) in
    hexadecimal, whose digits 0 to f are written as the letters a to p, so that no pseudonym is taken for a
    number. Key and number are UTF-8.

    Args:
        number: in international form, such as `+8615291990000`. All but its digits is left out; a value
            without a digit is taken as it is. One that begins with neither + nor 00 is of no known country:
            its message is without the "+", so its pseudonym is no other number's.
        key: `pseudonym_key`.
    """
    digits = digits_of(number)
    message = f"{'+' if is_international(number) else ''}{digits}" if digits else number
    return PREFIX + _hmac(message, key).encode().translate(_LETTERS).decode()


def keyed_id(record_id: str, key: str) -> str:
    """Return the id of a record that has a pseudonym, made from the digest of what it holds.

    From a plain digest, a reader who knows all of a record but its number could find it, trying all numbers.

    Args:
        record_id: `callback/` and the digest of what was pushed, or `lookup/`, the digest of what was looked
            up, and which of equal ones it is, which stays as it is.
        key: `pseudonym_key`.
    """
    channel, digest, *copy = record_id.split("/")
    return "/".join((channel, _hmac(f"{channel}/{digest}", key), *copy))


def _hmac(message: str, key: str) -> str:
    """Return the first 16 bytes of HMAC-SHA256, in hexadecimal."""
    inner, outer = (state.copy() for state in _states(key))
    inner.update(message.encode(errors="surrogatepass"))
    outer.update(inner.digest())
    digest: str = outer.hexdigest()[:32]
    return digest


@functools.lru_cache(maxsize=8)
def _states(key: str) -> tuple[Any, Any]:
    """Return the two hashes that HMAC (RFC 2104) begins with: kept, a pseudonym takes a third of the time."""
    secret = key.encode()
    block = (secret if len(secret) <= _BLOCK_BYTES else hashlib.sha256(secret).digest()).ljust(
        _BLOCK_BYTES, b"\0"
    )
    return hashlib.sha256(bytes(n ^ 0x36 for n in block)), hashlib.sha256(bytes(n ^ 0x5C for n in block))


def without_numbers(text: str, own: Iterable[str], key: str) -> str:
    """Return a text in which each run of 7 or more digits is replaced.

    A number that is known to be the row's own, in its international or national form, becomes its pseudonym,
    all else `***`. What is JSON stays JSON: a number in it becomes a string.

    Args:
        text: what a person wrote, or JSON.
        own: the row's own numbers, in international form where their country is known.
        key: `pseudonym_key`.
    """
    plain = unescaped(text)
    if not RUN.search(plain):
        return text
    numbers = list(own)

    def replaced(part: str) -> str:
        return RUN.sub(lambda match: replacement(match.group()), part)

    def replacement(run: str) -> str:
        return next((pseudonym(number, key) for number in numbers if is_same(run, number)), MASK)

    def token(match: re.Match[str]) -> str:
        found = match.group()
        without = replaced(found)
        return without if found.startswith('"') or without == found else f'"{without}"'

    return _JSON_TOKEN.sub(token, plain) if _is_json(plain) else replaced(plain)


def _is_json(text: str) -> bool:
    """Return whether a text is an object or array of JSON; a number alone is a text like any other."""
    return text.startswith(("{", "[")) and not isinstance(parse_record(text), Unreadable)
