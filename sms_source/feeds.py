"""The feeds: all that differs between the queues of Tencent Cloud SMS, declared once.

Client, parser, journal, tables and queue state take a feed; none of them names an action. A further feed is
one more declaration here.

Sources: the pages of PullSmsReplyStatus (https://www.tencentcloud.com/document/product/382/40462) and
PullSmsSendStatus, the structures of Tencent Cloud's SDK, and, for callbacks, the pages 短信下发状态通知 and
短信回复 of Tencent's own documents on GitHub (tencentyun/qcloud-documents).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Feed:
    """A destructive queue, and what its records are.

    name: of the table, in `pull_feeds` and in the names of the journal's files.
    record: one of its records, in a sentence.
    record_id: the column of a record's id.
    action: of the API, which empties the queue.
    look_up_action: of the API, which asks for the records of one phone number.
    result_set: the field of an answer that holds the records.
    time_field: Unix seconds; the cursor of dlt.
    text_fields: fields that are strings, null or absent.
    required_fields: fields that have to be strings.
    is_time_required: whether a record without a time, or with the time 0, does not fit.
    content_fields: what tells records of one application, number and second apart, as in the view that has
        each record once.
    keyword_field: the text whose keyword is a column of its own; None when there is none.
    pushed_fields: the keys of a callback's entry, each with the API's field.
    pulls_per_second, look_ups_per_second: requests a second that the API allows an account for the actions.
    """

    name: str
    record: str
    record_id: str
    action: str
    look_up_action: str
    result_set: str
    time_field: str
    text_fields: tuple[str, ...]
    required_fields: frozenset[str]
    content_fields: tuple[str, ...]
    is_time_required: bool = True
    keyword_field: str | None = None
    pushed_fields: tuple[tuple[str, str], ...] = ()
    pulls_per_second: int = 100
    look_ups_per_second: int = 20

    @cached_property
    def fields(self) -> frozenset[str]:
        """All fields that this version knows."""
        return frozenset((*self.text_fields, self.time_field))


REPLIES = Feed(
    name="replies",
    record="reply",
    record_id="reply_id",
    action="PullSmsReplyStatus",
    look_up_action="PullSmsReplyStatusByPhoneNumber",
    result_set="PullSmsReplyStatusSet",
    time_field="ReplyTime",
    text_fields=(
        "PhoneNumber",
        "CountryCode",
        "SubscriberNumber",
        "SignName",
        "ExtendCode",
        "ReplyContent",
    ),
    required_fields=frozenset({"PhoneNumber"}),
    content_fields=("ReplyContent", "SignName", "ExtendCode"),
    keyword_field="ReplyContent",
    pushed_fields=(
        ("extend", "ExtendCode"),
        ("mobile", "SubscriberNumber"),
        ("nationcode", "CountryCode"),
        ("sign", "SignName"),
        ("text", "ReplyContent"),
        ("time", "ReplyTime"),
    ),
)

RECEIPTS = Feed(
    name="receipts",
    record="receipt",
    record_id="receipt_id",
    action="PullSmsSendStatus",
    look_up_action="PullSmsSendStatusByPhoneNumber",
    result_set="PullSmsSendStatusSet",
    time_field="UserReceiveTime",
    text_fields=(
        "PhoneNumber",
        "CountryCode",
        "SubscriberNumber",
        "SerialNo",
        "ReportStatus",
        "Description",
        "SessionContext",
    ),
    required_fields=frozenset({"PhoneNumber", "ReportStatus"}),
    content_fields=("SerialNo", "ReportStatus", "Description"),
    # Of a message that failed, the time's meaning is not documented.
    is_time_required=False,
    pushed_fields=(
        ("user_receive_time", "UserReceiveTime"),
        ("nationcode", "CountryCode"),
        ("mobile", "SubscriberNumber"),
        ("report_status", "ReportStatus"),
        ("errmsg", "Description"),
        # A sentence, where the API's Description is the carrier's code: a column of its own.
        ("description", "ReportDescription"),
        ("sid", "SerialNo"),
        ("ext", "SessionContext"),
    ),
)

FEEDS = {feed.name: feed for feed in (REPLIES, RECEIPTS)}
"""By name."""


def feeds_of(names: Iterable[str]) -> list[Feed]:
    """Return the feeds of these names, in their order. Raises `KeyError` for a name that is none."""
    return [FEEDS[name] for name in names]
