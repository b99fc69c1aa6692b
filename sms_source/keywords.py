"""A reply's keyword: what a person wrote, reduced to what programs compare."""

import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

MAX_KEYWORD_LENGTH = 20
"""Characters; what is longer is prose."""

_HEAD = 40
"""Characters of a text that are looked at first: of nearly all texts, all."""


def keywords(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Give each text's keyword: NFKC, upper case, letters and digits alone.

    Letters and digits are Unicode's categories L and N, which is `str.isalnum` in Python; marks (category M),
    such as the vowel signs of Thai, are neither. Upper case is Unicode's simple mapping, a letter for a
    letter, and SS for ß.

    Args:
        texts: strings, or null.

    Returns:
        Strings; null for a text that is null, has no letter or digit, or more than 20 of them.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    kept = _letters_and_digits(pc.utf8_slice_codeunits(texts, 0, _HEAD))
    # What has too many in its head has too many in all, up to a pair that composes across the head's end.
    cut = pc.fill_null(pc.greater(pc.utf8_length(texts), _HEAD), fill_value=False)
    cut = pc.and_(cut, pc.less_equal(pc.utf8_length(kept), MAX_KEYWORD_LENGTH + 2))
    if pc.any(cut).as_py():
        kept = pc.replace_with_mask(kept, cut, _letters_and_digits(texts.filter(cut)))
    length = pc.utf8_length(kept)
    is_keyword = pc.and_(pc.greater(length, 0), pc.less_equal(length, MAX_KEYWORD_LENGTH))
    return pc.if_else(is_keyword, kept, pa.scalar(None, kept.type))


def _letters_and_digits(texts: pa.Array) -> pa.Array:
    # Arrow's upper case of ß is the letter ẞ, that of Python and of those who write it is SS.
    normal = pc.replace_substring(_nfkc(texts), "ß", "SS")
    return pc.replace_substring_regex(pc.utf8_upper(normal), r"[^\pL\pN]+", "")


def _nfkc(texts: pa.Array) -> pa.Array:
    """Normalize, also where the kernel leaves decomposed what it should compose: pyarrow before 26.

    https://github.com/apache/arrow/issues/51225. What may compose has a mark or the second letter of a Hangul
    syllable; only such texts, few where people write English or Chinese, are gone through in Python.
    """
    normal = pc.utf8_normalize(texts, form="NFKC")
    unfinished = pc.fill_null(pc.match_substring_regex(normal, r"[\pM\x{1161}-\x{1175}]"), fill_value=False)
    if not pc.any(unfinished).as_py():
        return normal
    composed = [unicodedata.normalize("NFC", text) for text in normal.filter(unfinished).to_pylist()]
    return pc.replace_with_mask(normal, unfinished, pa.array(composed, normal.type))
