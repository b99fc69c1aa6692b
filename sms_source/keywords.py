"""A reply's keyword: what a person wrote, reduced to what programs compare."""

import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

MAX_KEYWORD_LENGTH = 20
"""Characters; what is longer is prose."""

_HEAD = 40
"""Characters of a text that are looked at first: of nearly all texts, all."""

_PLAIN = r"[\x00-\x7F\x{3000}-\x{3002}\x{4E00}-\x{9FEF}\x{FF01}-\x{FF5E}]"
"""ASCII, Chinese, and punctuation and letters in full width: Arrow does with these just what Python does."""


def keyword(text: str) -> str | None:
    """Return a text's keyword: NFKC, upper case, letters and digits alone.

    Letters and digits are Unicode's categories L and N, which is `str.isalnum`; marks (category M), such as
    the vowel signs of Thai, are neither. Upper case is Unicode's, in which ß is SS.

    Returns:
        None when the text has no letter or digit, or more than 20 of them.
    """
    kept = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).upper()))
    return kept if 0 < len(kept) <= MAX_KEYWORD_LENGTH else None


def keywords(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the `keyword` of each text, null for null.

    People answer with few words, so each text is gone through once; most of them by Arrow, at a tenth of the
    cost.

    Args:
        texts: strings, or null.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    different = texts.dictionary_encode()
    return _keywords(different.dictionary).take(different.indices)


def _keywords(texts: pa.Array) -> pa.Array:
    head = pc.utf8_slice_codeunits(texts, 0, _HEAD)
    kept = _letters_and_digits(head)
    length = pc.utf8_length(kept)
    # What has too many in its head has too many in all.
    is_cut = pc.and_(pc.greater(pc.utf8_length(texts), _HEAD), pc.less_equal(length, MAX_KEYWORD_LENGTH))
    is_keyword = pc.and_(pc.greater(length, 0), pc.less_equal(length, MAX_KEYWORD_LENGTH))
    result = pc.if_else(is_keyword, kept, pa.scalar(None, kept.type))
    others = pc.or_(is_cut, pc.invert(pc.match_substring_regex(head, f"^{_PLAIN}*$")))
    others = pc.fill_null(others, fill_value=False)
    if pc.any(others).as_py():
        given = [keyword(text) for text in texts.filter(others).to_pylist()]
        result = pc.replace_with_mask(result, others, pa.array(given, result.type))
    return result


def _letters_and_digits(plain: pa.Array) -> pa.Array:
    upper = pc.utf8_upper(pc.utf8_normalize(plain, form="NFKC"))
    return pc.replace_substring_regex(upper, r"[^A-Z0-9\x{4E00}-\x{9FEF}]+", "")
