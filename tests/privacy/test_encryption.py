"""Encryption: what is wrapped comes back, and whatever happened to it is found."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_source.errors import ConfigurationError
from sms_source.journal.encryption import Keys, key_id_of, lasting_name
from tests.privacy.keys import ANSWER, INTENT, KEY, KEYS, OTHER_KEY, PATH

BUNDLE = "20261124T132000000000Z-20261124T132000000000Z-0123abcd.89abcdef.0.{load_id}.zip"


@given(st.binary(max_size=5000))
def test_what_is_sealed_comes_back_at_any_size(content: bytes) -> None:
    """Bytes are bytes, none among them."""
    assert KEYS.open(ANSWER, KEYS.seal(ANSWER, content)) == content


@given(st.integers(0, 40), st.integers(0, 4096))
def test_room_that_was_reserved_may_stand_behind_it(size: int, room: int) -> None:
    """A process killed before it cut the file to its length has lost nothing."""
    content = os.urandom(size)
    assert KEYS.open(ANSWER, KEYS.seal(INTENT, content) + bytes(room)) == content


@given(st.binary(min_size=1, max_size=200), st.data())
def test_any_flipped_bit_is_found(content: bytes, data: st.DataObject) -> None:
    """In the header, the ciphertext or the tag: nothing that was changed is taken for an answer."""
    sealed = bytearray(KEYS.seal(ANSWER, content))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    try:
        opened = KEYS.open(ANSWER, bytes(sealed))
    except ValueError:
        return
    # In the first five bytes, it is a file in clear, which is then no envelope and no bundle.
    assert bit < 40
    assert opened == bytes(sealed)
    assert not opened.startswith((b"{", b"PK"))


@given(st.binary(max_size=200), st.data())
def test_any_cut_is_found(content: bytes, data: st.DataObject) -> None:
    """A file that a power cut tore is no answer."""
    sealed = KEYS.seal(ANSWER, content)
    length = data.draw(st.integers(5, len(sealed) - 1))
    with pytest.raises(ValueError, match=r"changed or cut"):
        KEYS.open(ANSWER, sealed[:length])


@pytest.mark.parametrize(
    "path",
    [
        ANSWER.replace("000001", "000002"),
        ANSWER.replace("0123abcd", "0123abce"),
        ANSWER.replace(".100.", ".99."),
        ANSWER.replace("1400006666", "1400007777"),
        f"archive/{BUNDLE.format(load_id='1.0')}",
    ],
)
def test_a_file_in_another_ones_place_is_found(path: str) -> None:
    """Nobody can give one pull the answer of another."""
    with pytest.raises(ValueError, match="another file's"):
        KEYS.open(path, KEYS.seal(ANSWER, b"x"))


def test_the_renames_of_the_journal_keep_a_file_readable() -> None:
    """An intent becomes an answer, a bundle is given again and comes back under another load."""
    sealed = KEYS.seal(INTENT, b"x")
    for path in (ANSWER, f"{PATH}.in_doubt", f"unreadable/{ANSWER.partition('/')[2]}"):
        assert KEYS.open(path, sealed) == b"x"
    sealed = KEYS.seal(f"archive/{BUNDLE.format(load_id='1764000000.123')}", b"x")
    for folder in ("archive", "drains", "unreadable/archive"):
        assert KEYS.open(f"{folder}/{BUNDLE.format(load_id='1764000009.9')}", sealed) == b"x"
    copy = f"archive/{BUNDLE.format(load_id='1.5')}"
    assert KEYS.open(f"unreadable/{copy}", KEYS.seal(f"{copy}.new", b"x")) == b"x"


def test_the_first_key_writes_and_all_read() -> None:
    """Rotation is one more key in front."""
    old, new = Keys.parse(KEY), Keys.parse([OTHER_KEY, KEY])
    assert new.open(ANSWER, old.seal(ANSWER, b"x")) == b"x"
    assert key_id_of(new.seal(ANSWER, b"x")) == new.ids[0] != old.ids[0]


def test_none_in_the_first_place_writes_in_clear() -> None:
    """The way back, with the old files readable."""
    keys = Keys.parse(["none", KEY])
    assert keys.seal(ANSWER, b"x") == b"x"
    assert keys.open(ANSWER, KEYS.seal(ANSWER, b"x")) == b"x"


def test_a_missing_key_is_named_by_its_id() -> None:
    """The message tells which key to look for, and shows none."""
    sealed = KEYS.seal(ANSWER, b"x")
    for keys in (Keys(), Keys.parse(OTHER_KEY)):
        with pytest.raises(ConfigurationError, match=KEYS.ids[0]) as caught:
            keys.open(ANSWER, sealed)
        assert KEY not in str(caught.value)
        assert OTHER_KEY not in str(caught.value)


@pytest.mark.parametrize("text", ["secret", "c2VjcmV0", base64.b64encode(bytes(31)).decode(), "", "[1"])
def test_what_is_no_key_is_refused_and_not_shown(text: str) -> None:
    """A secret in the wrong form is still a secret."""
    with pytest.raises(ConfigurationError, match="journal_encryption_key") as caught:
        Keys.parse(text if text.startswith("[") else [KEY, text])
    assert "2 of 2" in str(caught.value) or text == "[1"
    assert KEY not in str(caught.value)
    assert not text or f"{text} " not in str(caught.value)


def test_keys_may_be_json_as_in_the_environment_and_are_not_shown() -> None:
    """A list in an environment variable is JSON."""
    keys = Keys.parse(f'["{OTHER_KEY}", "{KEY}"]')
    assert keys.ids == [*Keys.parse(OTHER_KEY).ids, *KEYS.ids]
    assert KEY not in repr(keys)


def test_the_name_that_lasts_is_without_state_load_and_folder() -> None:
    """What a rename of the journal's changes is not in it."""
    assert lasting_name(ANSWER) == PATH.partition("/")[2]
    assert lasting_name(f"archive/{BUNDLE.format(load_id='1.0')}") == BUNDLE.partition(".{")[0]
