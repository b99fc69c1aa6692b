"""The column `keyword`: what a person wrote, reduced to what programs compare."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sms_source.keywords import keywords

CHARACTERS = st.characters(codec="utf-8")
# Few letters among much else, halves of what NFKC composes, and ligatures that it takes apart.
ODD = st.sampled_from(" 。!🙏\u0301\u200b\0ßﬁ㎏ﷺİıſ각\u1100\u1161\u11a8aéＡ９٣退")
TEXTS = st.none() | st.text(CHARACTERS, max_size=60) | st.text(ODD, max_size=200)


def one(text: str | None) -> str | None:
    """Return the keyword of a text."""
    result: list[str | None] = keywords(pa.array([text], pa.string())).to_pylist()
    return result[0]


def in_plain_python(text: str | None) -> str | None:
    """Return the definition, a letter at a time."""
    upper = unicodedata.normalize("NFKC", text or "").upper()
    kept = "".join(c for c in upper if unicodedata.category(c)[0] in "LN")
    return kept if 1 <= len(kept) <= 20 else None


EXAMPLES: list[tuple[str | None, str | None]] = [
    ("T 退订。", "T退订"),
    ("Opt-out!", "OPTOUT"),
    ("ＴＤ", "TD"),
    ("stop 🙏", "STOP"),
    ("5分", "5分"),
    (" 0000 ", "0000"),
    ("Straße", "STRASSE"),
    ("don't", "DONT"),
    ("arrêt", "ARRÊT"),
    ("ΐǰ", "ΙJ"),
    ("ɤ", "ɤ".upper()),
    ("arre\u0302t", "ARRÊT"),
    ("カ\u3099", "ガ"),
    ("수신거부", "수신거부"),
    ("\u1109\u116e", "수"),
    ("❤\ufe0f stop", "STOP"),
    ("a" * 20, "A" * 20),
    ("a" * 21, None),
    ("🙏" * 5_000 + "stop" + "\n" * 5_000, "STOP"),
    ("stop, or I complain about it to the carrier", None),
    ("🙏!", None),
    ("", None),
    (None, None),
]


@pytest.mark.parametrize(("text", "keyword"), EXAMPLES)
def test_a_keyword_is_letters_and_digits_in_one_case_and_width(text: str | None, keyword: str | None) -> None:
    """However a person writes a word, it is the same; prose and signs are no word."""
    assert one(text) == keyword == in_plain_python(text)


def test_a_column_in_chunks_has_the_same_keywords() -> None:
    """Arrow hands out large columns in chunks."""
    texts, expected = zip(*EXAMPLES, strict=True)
    chunks = pa.chunked_array([texts[:3], texts[3:]], pa.string())
    assert keywords(chunks).to_pylist() == list(expected)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=20))
def test_keywords_are_those_of_the_definition(texts: list[str | None]) -> None:
    """The kernels of Arrow over a column do what plain Python does letter by letter."""
    expected = [in_plain_python(text) for text in texts]
    column = pa.array(texts, pa.string())
    assert keywords(column).to_pylist() == expected
    chunks = pa.chunked_array([column.slice(0, 3), column.slice(3)], pa.string())
    assert keywords(chunks).equals(keywords(column))


@settings(deadline=None)
@given(TEXTS)
def test_the_keyword_of_a_keyword_is_itself(text: str | None) -> None:
    """So a word that a user configures may be written in any form.

    Up to letters that compose only now that nothing stands between them: Hangul's ᄀ!ᅡ.
    """
    keyword = one(text)
    assert one(keyword) == (keyword and unicodedata.normalize("NFC", keyword))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_column_without_rows_has_no_keywords(kind: pa.DataType) -> None:
    """The empty batch that makes the tables has the column, too."""
    for empty in (pa.array([], kind), pa.chunked_array([], kind)):
        assert keywords(empty).equals(pa.array([], kind))
