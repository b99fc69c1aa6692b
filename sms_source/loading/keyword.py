"""A reply's keyword: its text in NFKC, upper case, without all but letters and digits."""

import pyarrow as pa
import pyarrow.compute as pc

LONGEST = 20
"""Characters of a keyword; a longer text is a sentence."""


def keywords(texts: pa.Array) -> pa.Array:
    """Return the keyword of each text; null when nothing is left or it is too long."""
    upper = pc.utf8_upper(pc.utf8_normalize(texts, form="NFKC"))
    words = pc.replace_substring_regex(upper, r"[^\pL\pN]+", "")
    length = pc.utf8_length(words)
    fits = pc.and_(pc.greater(length, 0), pc.less_equal(length, LONGEST))
    return pc.if_else(fits, words, pa.scalar(None, pa.string()))
