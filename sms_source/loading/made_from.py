"""What a destination's tables and views are made from, so that a quiet round can tell that it has changed."""

import hashlib
import json
from functools import cache
from pathlib import Path

from sms_source.configuration import SmsSourceConfiguration

_VIEWS = Path(__file__).parents[1] / "views"


def made_from(feeds: list[str], options: SmsSourceConfiguration) -> str:
    """Return a digest of the feeds, of the options of the views, and of this version's views."""
    of_views = (options.create_views, options.opt_out_words, options.views_time_zone)
    return _digest(json.dumps([sorted(feeds), *of_views, _version_of_views()]).encode())


@cache
def _version_of_views() -> str:
    # Their files, not their module: that would import what a quiet round does without.
    return _digest(b"\0".join(path.read_bytes() for path in sorted(_VIEWS.iterdir()) if path.is_file()))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
