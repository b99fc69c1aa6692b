"""Keys of a journal, and names of files that are encrypted with them."""

import base64

from sms_source.journal.encryption import Keys

KEY, OTHER_KEY = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
KEYS = Keys.parse(KEY)
PATH = (
    "drains/20261124T132000000000Z-0123abcd/000001.replies.1400006666.ap-guangzhou.100.20261124T132000000000Z"
)
ANSWER, INTENT = f"{PATH}.answer", f"{PATH}.intent"
