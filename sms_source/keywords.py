"""A reply's keyword: what a person wrote, reduced to what programs compare."""

from typing import Any

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
    kept = _letters_and_digits(pc.utf8_slice_codeunits(texts, 0, _HEAD))
    # What has too many in its head has too many in all, up to a pair that composes across the head's end.
    cut = pc.fill_null(pc.greater(pc.utf8_length(texts), _HEAD), fill_value=False)
    cut = pc.and_(cut, pc.less_equal(pc.utf8_length(kept), MAX_KEYWORD_LENGTH + 2))
    if pc.any(cut).as_py():
        kept = pc.replace_with_mask(kept, cut, _letters_and_digits(_whole(texts.filter(cut))))
    length = pc.utf8_length(kept)
    is_keyword = pc.and_(pc.greater(length, 0), pc.less_equal(length, MAX_KEYWORD_LENGTH))
    return _whole(pc.if_else(is_keyword, kept, pa.scalar(None, kept.type)))


def _letters_and_digits(texts: Any) -> Any:
    # Arrow's upper case of ß is the letter ẞ, that of Python and of those who write it is SS.
    normal = pc.replace_substring(pc.utf8_normalize(texts, form="NFKC"), "ß", "SS")
    return pc.replace_substring_regex(pc.utf8_upper(normal), r"[^\pL\pN]+", "")


def _whole(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
