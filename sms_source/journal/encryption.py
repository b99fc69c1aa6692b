"""How the journal's files are encrypted: AES-256-GCM, a file at a time. Pure: touches no disk.

    SMSJ1   5 bytes, which no file in clear begins with
    key id  4 bytes: the first of SHA-256("sms_source journal key" and the key)
    length  8 bytes, big-endian: of what follows the header; zeros behind it are room that was reserved
    nonce   12 bytes, random
    crc32   4 bytes: of the above, so that damage there is not taken for another key
    ...     the ciphertext and its tag of 16 bytes

Header and name are authenticated with the content, so no file can be changed, cut, or put in another's place.
The name is what stays of it for good (see `lasting_name`).

With random nonces a key is good for 2**32 files (NIST SP 800-38D, 8.3): 16 months of 100 answers a second.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sms_source.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"SMSJ1"
_HEADER = struct.Struct(">5s4sQ12s")
_CRC = struct.Struct(">I")
_HEADER_BYTES = _HEADER.size + _CRC.size
_TAG_BYTES = 16
_KEY_BYTES = 32
PLAIN = "none"
"""In the place of the first key: what is written is in clear."""
CLEAR = ""
"""The id of no key: what a file in clear was written with."""


class Keys:
    """The keys of a journal: the first writes, all read.

    Args:
        keys: of 32 bytes each.
        is_plain: whether what is written is in clear all the same.

    Raises:
        ConfigurationError: there are keys, and the package `cryptography` is not installed.
    """

    def __init__(self, keys: Sequence[bytes] = (), *, is_plain: bool = False) -> None:
        self._ciphers = {_id_of(key): _cipher(key) for key in keys}
        self.ids = list(self._ciphers)
        self.writing_id = CLEAR if is_plain or not keys else self.ids[0]

    def __repr__(self) -> str:
        return f"Keys({', '.join(self.ids) or PLAIN})"

    @classmethod
    def parse(cls, value: Any) -> Keys:
        """Return the keys that `journal_encryption_key` names: base64 of 32 bytes each, a list or one.

        Raises:
            ConfigurationError: one is no such key. Says which, and never shows it.
        """
        if isinstance(value, Keys):
            return value
        texts = _list_of(value)
        is_plain = texts[:1] == [PLAIN]
        texts = texts[is_plain:]
        keys = [_key(text, f"{place} of {len(texts)}") for place, text in enumerate(texts, 1)]
        return cls(keys, is_plain=is_plain)

    def seal(self, path: str, content: bytes) -> bytes:
        """Return a file's content as it is to be written."""
        if not self.writing_id:
            return content
        length = len(content) + _TAG_BYTES
        nonce = os.urandom(12)
        header = _HEADER.pack(MAGIC, bytes.fromhex(self.writing_id), length, nonce)
        header += _CRC.pack(zlib.crc32(header))
        name = lasting_name(path).encode()
        return header + self._ciphers[self.writing_id].encrypt(nonce, content, header + name)

    def open(self, path: str, content: bytes) -> bytes:
        """Return what a file holds, in clear.

        Raises:
            ValueError: it was changed, cut, or is another file's.
            ConfigurationError: its key is not among these.
        """
        key_id = key_id_of(content)
        if not key_id:
            return content
        if key_id not in self._ciphers:
            raise missing_key({key_id}, self.ids)
        from cryptography.exceptions import InvalidTag

        header, rest = content[:_HEADER_BYTES], content[_HEADER_BYTES:]
        _, _, length, nonce = _HEADER.unpack_from(header)
        if rest[length:].strip(b"\0"):
            raise ValueError("something stands behind the encrypted content")
        try:
            return self._ciphers[key_id].decrypt(nonce, rest[:length], header + lasting_name(path).encode())
        except InvalidTag:
            raise ValueError("the encrypted file was changed or cut, or is another file's") from None


def key_id_of(content: bytes) -> str:
    """Return the id of the key that a file was written with; `CLEAR` for one in clear.

    Raises:
        ValueError: the header was changed or cut.
    """
    if not content.startswith(MAGIC):
        return CLEAR
    header, crc = content[: _HEADER.size], content[_HEADER.size : _HEADER_BYTES]
    if crc != _CRC.pack(zlib.crc32(header)):
        raise ValueError("the header of the encrypted file was changed or cut")
    return header[5:9].hex()


def lasting_name(path: str) -> str:
    """Return what never changes of a file's path in the journal: what its content is tied to.

    A pull's file changes its state and its folder, but not its drain and what the name says of the request; a
    bundle its folder and the load that proves it.
    """
    folder, _, name = path.removesuffix(".new").rpartition("/")
    if name.endswith(".zip"):
        first_last_suffix_level = name.split(".")[:3]  # what follows is the load's id
        return ".".join(first_last_suffix_level)
    return f"{folder.rpartition('/')[2]}/{name.rpartition('.')[0]}"


def missing_key(needed: set[str], given: Sequence[str]) -> ConfigurationError:
    """Return the error of a journal whose files need keys that are not given."""
    ids = ", ".join(sorted(needed))
    has = f"journal_encryption_key has {', '.join(given)}" if given else "journal_encryption_key is not set"
    return ConfigurationError(
        f"The journal holds files that are encrypted with the key {ids}, and {has}. Add the key of that id, "
        "behind the first if new files are to have another. Nothing was pulled, and nothing is lost."
    )


def _list_of(value: Any) -> list[str]:
    """Return the texts of a list, which may be JSON; one may stand by itself."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise ConfigurationError(
                'journal_encryption_key is no list of keys: expected one key, or ["first key", "second key"].'
            ) from None
    values = value if isinstance(value, (list, tuple)) else [value] if value else []
    return [str(text).strip() for text in values]


def _key(text: str, place: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        found = f"base64 of {len(key)} bytes" if key else "no base64"
        raise ConfigurationError(
            f"journal_encryption_key {place} is {found}; expected base64 of 32 random bytes, such as "
            "`openssl rand -base64 32` prints."
        )
    return key


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"sms_source journal key" + key).digest()[:4].hex()


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise ConfigurationError(
            "journal_encryption_key needs the package cryptography: pip install 'dlt-tencent-sms[privacy]'"
        ) from None
    return AESGCM(key)
