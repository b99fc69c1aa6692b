"""The actions that the simulator answers, and all that differs between them.

Sources: the API's pages of the four actions, version 2021-01-11, and the structures of the official SDK.
"""

from __future__ import annotations

import dataclasses

REPLIES = "replies"
RECEIPTS = "receipts"


@dataclasses.dataclass(frozen=True)
class Action:
    """An action that hands out the records of a feed.

    name: as in the header X-TC-Action.
    feed: `REPLIES` or `RECEIPTS`.
    result_set: the field of an answer that holds the records.
    time_field: the field of a record that a look-up's window is about, in Unix seconds.
    is_look_up: whether it asks for one phone number's records, instead of emptying a queue.
    """

    name: str
    feed: str
    result_set: str
    time_field: str
    is_look_up: bool = False


PULL_REPLIES = "PullSmsReplyStatus"
PULL_RECEIPTS = "PullSmsSendStatus"
LOOK_UP_REPLIES = "PullSmsReplyStatusByPhoneNumber"
LOOK_UP_RECEIPTS = "PullSmsSendStatusByPhoneNumber"

_REPLY = (REPLIES, "PullSmsReplyStatusSet", "ReplyTime")
_RECEIPT = (RECEIPTS, "PullSmsSendStatusSet", "UserReceiveTime")

ACTIONS = {
    action.name: action
    for action in (
        Action(PULL_REPLIES, *_REPLY),
        Action(PULL_RECEIPTS, *_RECEIPT),
        Action(LOOK_UP_REPLIES, *_REPLY, is_look_up=True),
        Action(LOOK_UP_RECEIPTS, *_RECEIPT, is_look_up=True),
    )
}
"""By name."""

TIME_FIELDS = {action.feed: action.time_field for action in ACTIONS.values()}
"""By feed."""


def feed_of(name: str) -> str:
    """Return the name of a feed as it is. Raises `ValueError` for a name that is none."""
    if name not in TIME_FIELDS:
        raise ValueError(f"no feed {name!r}: it is {REPLIES!r} or {RECEIPTS!r}")
    return name
