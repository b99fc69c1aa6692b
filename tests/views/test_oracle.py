"""Each view says of random tables what plain Python says, on DuckDB and on PostgreSQL."""

from datetime import timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.views.oracle import ORACLE, Data
from tests.views.warehouse import NOON, Row, Warehouse, a_row, comparable

# Few values, so that what the views compare is often equal.
APPS = st.sampled_from(["1400006666", "1400007777"])
PEOPLE = st.sampled_from(["+8612000000001", "+8612000000002", "+15550100"])
COUNTRIES = st.sampled_from(["86", "86", "1", "65", "44", None])
SIGNS = st.sampled_from(["A", "B", "", None])
EXTENDS = st.sampled_from(["11", "", None])
CHANNELS = st.sampled_from(["queue", "queue", "callback", "lookup"])
TEXTS = st.sampled_from(
    [
        *(
            "T",
            "t",
            "TD",
            "退订",
            "T退订。",
            "N",
            "0000",
            "R",
            "STOP",
            "Opt-out!",
            "cancel",
            "START",
            "opt in",
        ),
        *("1", "１", "2", "yes", "好的", "a text that is no keyword, as it is too long", "", "🙏", None),
        *(
            "please stop texting me",
            "STOP, PLEASE!",
            "别再发了",
            "Don’t text me",
            "remove me… from this list",
        ),
    ]
)
MINUTES = st.sampled_from([0, 0, 1, 59, 60, 61, 120, 1_440, 2_880, 4_320, 4_321, 8_640, 10_080, 10_081])
DELAYS = st.sampled_from([0, 1, 3_600, 3_601, 90_000])
CODES = st.sampled_from(
    [
        *(
            "DELIVRD",
            "MK:0001",
            "MK0001",
            "MK:0001_006",
            "MI0020",
            "BWLIST_006",
            "UNDELIV_601",
            "UNDELIV_777",
        ),
        *("12", "012", "X_1", "_006", "", None),
    ]
)


@st.composite
def replies(draw: st.DrawFn) -> list[Row]:
    """Return some replies, many of them copies of each other."""
    rows = []
    for number in range(draw(st.integers(0, 12))):
        time = NOON - timedelta(minutes=draw(MINUTES))
        row = a_row(
            "replies",
            number,
            channel=draw(CHANNELS),
            sms_sdk_app_id=draw(APPS),
            phone_number=draw(PEOPLE),
            country_code=draw(COUNTRIES),
            sign_name=draw(SIGNS),
            extend_code=draw(EXTENDS),
            reply_content=draw(TEXTS),
            reply_time=time,
            pulled_at=time + timedelta(seconds=draw(DELAYS)),
        )
        copies = draw(st.lists(CHANNELS, max_size=2))
        rows += [
            row,
            *({**row, "channel": c, "reply_id": f"{row['reply_id']}/{c}/{n}"} for n, c in enumerate(copies)),
        ]
    for row in rows:
        if row["channel"] == "callback" and draw(st.booleans()):
            row["sms_sdk_app_id"] = None  # its URL does not tell
    return rows


@st.composite
def receipts(draw: st.DrawFn) -> list[Row]:
    """Return some receipts, around the replies."""
    rows = []
    for number in range(draw(st.integers(0, 12))):
        time = draw(st.none() | MINUTES.map(lambda minutes: NOON - timedelta(minutes=minutes)))
        row = a_row(
            "receipts",
            number,
            channel=draw(CHANNELS),
            sms_sdk_app_id=draw(APPS),
            phone_number=draw(PEOPLE),
            user_receive_time=time,
            serial_no=draw(st.sampled_from(["5000:1", "5000:2", "", None])),
            report_status=draw(st.sampled_from(["SUCCESS", "SUCCESS", "FAIL"])),
            description=draw(CODES),
            session_context=draw(st.sampled_from(["spring", "", None])),
            pulled_at=(time or NOON) + timedelta(seconds=draw(DELAYS)),
        )
        copies = draw(st.lists(CHANNELS, max_size=2))
        rows += [
            row,
            *(
                {**row, "channel": c, "receipt_id": f"{row['receipt_id']}/{c}/{n}"}
                for n, c in enumerate(copies)
            ),
        ]
    return rows


@st.composite
def pulls(draw: st.DrawFn) -> list[Row]:
    """Return some rows of the ledger."""
    return [
        a_row(
            "pulls",
            number,
            pull_id=f"d/{number}",
            feed=draw(st.sampled_from(["replies", "receipts"])),
            sms_sdk_app_id=draw(APPS),
            requested_at=NOON - timedelta(minutes=draw(MINUTES)),
            outcome=draw(st.sampled_from(["answered", "in_doubt", "in_doubt"])),
        )
        for number in range(draw(st.integers(0, 4)))
    ]


@pytest.mark.long
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.builds(Data, replies(), receipts(), pulls(), st.just(timezone.utc)))
def test_each_view_says_what_plain_python_says(warehouse: Warehouse, data: Data) -> None:
    """Equal records, several channels, nulls and the ends of each window included."""
    warehouse.fill(replies=data.replies, receipts=data.receipts, pulls=data.pulls)
    for view, expected in ORACLE.items():
        assert comparable(warehouse.view(view)) == comparable(expected(data)), view
