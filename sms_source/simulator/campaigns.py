"""The three campaigns of the demo's story: who is written to and when, what people answer, what fails.

The carriers' codes are of Tencent's public list (tencentyun/qcloud-documents, 短信 错误码). The numbers are
nobody's: Chinese ones begin with 120, which no carrier has; American ones are 555-01xx, reserved for fiction;
Singaporean ones begin with 4, a digit that its numbering plan has not given away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Weighted = Mapping[str, float]
"""What can be drawn, with its weight."""


class Place(NamedTuple):
    """Where people live: country code, hours ahead of UTC, and how a national number is made."""

    country_code: str
    utc_offset: int
    prefixes: tuple[str, ...]
    digits: int


class Answers(NamedTuple):
    """What people write back: of those reached, the share that writes it, and the texts."""

    share: float
    texts: Weighted


class Campaign(NamedTuple):
    """What is sent.

    context: the SessionContext of its messages.
    sends: messages a day, by how many days ago.
    hours: in which hours of the recipient's day.
    places: where they live, with weights.
    people: how many there are to write to; a small number is written to again.
    delay: seconds until half of those who answer have answered.
    answers: in Chinese for numbers of the mainland, in English for the others; by what they mean.
    """

    app_id: str
    sign_name: str
    extend_code: str
    context: str
    sends: Mapping[int, int]
    hours: tuple[float, float]
    places: Mapping[Place, float]
    people: int
    delay: float
    chinese: Mapping[str, Answers]
    english: Mapping[str, Answers]


CHINA = Place("86", 8, ("120",), 8)
_AREAS = ["202", "206", "212", "213", "214", "303", "305", "312", "404", "415", "503", "512", "602", "617"]
_AREAS += ["619", "702", "713", "718", "808", "919"]
UNITED_STATES = Place("1", -5, tuple(f"{area}55501" for area in _AREAS), 2)
SINGAPORE = Place("65", 8, ("4",), 7)
_EVERYWHERE = {CHINA: 66, UNITED_STATES: 18, SINGAPORE: 16}

_OPT_OUTS = {"T": 26, "TD": 22, "退订": 16, "t": 5, "td": 6, "T退订": 6, "退订 ": 3, "ＴＤ": 1, "QX": 1}
_OPT_OUTS |= {"别再发了,退订": 4, "T 退订。": 2}
_STOPS = {"STOP": 40, "Stop": 18, "stop": 8, "stop please": 8, "Unsubscribe": 5, "END": 3, "Stop.": 4}
_PLEAS = {"Please remove me from your list": 6, "stop texting me": 3, "Wrong number, please take me off": 2}

MARKETING = Campaign(
    app_id="1400006666",
    sign_name="湖畔书店",
    extend_code="201",
    context="autumn-books",  # the text ends with 拒收请回复R
    sends={12: 3150, 5: 3150},
    hours=(10, 10.5),
    places={CHINA: 1},
    people=3200,
    delay=1500,
    chinese={
        "opt out": Answers(0.036, {"R": 55, "r": 8, "R ": 2, **_OPT_OUTS}),
        "plead": Answers(
            0.006, {"别再发了": 4, "请不要再发短信了": 3, "怎么取消订阅？": 2, "拒收": 2, "烦": 1}
        ),
        "ask": Answers(
            0.018,
            {
                "活动到几号？": 5,
                "请问几点开门？": 5,
                "新书也打折吗": 4,
                "地址在哪里": 3,
                "可以寄到外地吗？": 2,
            },
        ),
        "like": Answers(0.012, {"想参加周末的读书会": 4, "好的": 4, "谢谢 🙏": 3, "收到": 3, "1": 2}),
    },
    english={},
)

SURVEY = Campaign(
    app_id="1400006666",
    sign_name="Northwind Parcel",
    extend_code="102",
    context="parcel-survey",  # how was it, 1 to 5
    sends=dict.fromkeys(range(14), 198),
    hours=(9, 20),
    places=_EVERYWHERE,
    people=2600,
    delay=900,
    chinese={
        "score": Answers(
            0.27,
            {"5": 44, "4": 22, "3": 8, "2": 4, "1": 6, "5分": 9, "4分": 3, "１分": 1, "5 分，很快": 2}
            | {"1 分，太慢了": 2, "5！": 1, "五分": 1},
        ),
        "complain": Answers(0.015, {"包裹还没收到": 3, "箱子破了": 2, "送错地方了，请联系我": 1}),
        "opt out": Answers(0.008, _OPT_OUTS),
    },
    english={
        "score": Answers(
            0.27,
            {"5": 44, "4": 22, "3": 9, "2": 4, "1": 6, "4 - fast, thank you": 2, "5!": 3, "5 stars": 2}
            | {"Five": 1, "2, the box was wet": 1},
        ),
        "complain": Answers(0.015, {"Where is my parcel?": 3, "It never arrived": 2}),
        "opt out": Answers(0.012, _STOPS),
        "plead": Answers(0.003, _PLEAS),
    },
)

REMINDER = Campaign(
    app_id="1400007777",
    sign_name="Harbour Clinic",
    extend_code="101",
    context="appointment-reminder",  # Y confirms
    sends=dict.fromkeys(range(14), 265),
    hours=(16, 19),
    places=_EVERYWHERE,
    people=2400,
    delay=300,
    chinese={
        "confirm": Answers(
            0.46,
            {
                "Y": 40,
                "y": 8,
                "是": 12,
                "确认": 14,
                "1": 12,
                "好的": 6,
                "收到": 4,
                "Ｙ": 1,
                "会来的": 2,
                "OK": 2,
            },
        ),
        "move": Answers(0.06, {"改天": 6, "能改到周五上午吗？": 4, "不行，改到下周": 3, "来不了": 2}),
        "ask": Answers(0.02, {"需要空腹吗？": 3, "请问在几楼？": 3, "可以带孩子吗": 1}),
        "opt out": Answers(0.006, _OPT_OUTS),
    },
    english={
        "confirm": Answers(
            0.46,
            {"Y": 38, "Yes": 20, "y": 8, "YES": 6, "1": 8, "OK": 5, "ok 👍": 3, "Confirmed": 5, "Y!": 2}
            | {"See you tomorrow": 2},
        ),
        "move": Answers(0.06, {"Can we move it to Friday?": 4, "No, sorry": 3, "Another day please": 3}),
        "ask": Answers(0.02, {"Which floor?": 3, "Is parking free?": 2}),
        "opt out": Answers(0.018, _STOPS),
        "plead": Answers(0.006, _PLEAS),
        "come back": Answers(0.002, {"START": 3, "Unstop": 1}),
    },
)

CAMPAIGNS = (MARKETING, SURVEY, REMINDER)

LISTED = frozenset({"R", "T", "TD", "退订", "T退订", "QX"})
"""Words with which Tencent puts a mainland number on the sign's list, in upper case."""

UNSUBSCRIBED = "MX:0012"
"""The code of a message to a number on that list."""

FAILURES = {  # by country code; others than the mainland's have those of ""
    "86": {
        "MI:0024": 16,  # switched off or suspended
        "MK:0012": 12,  # not in use
        "12": 10,  # Unicom: not in use, switched off or suspended
        "UNDELIV_601": 8,  # Telecom: the same
        "MK:0001": 8,  # not in use
        "4": 6,  # Unicom: switched off
        "TUIDING": 6,  # the carrier's blocklist
        "EXPIRED": 6,
        "MB:1077": 5,  # the carrier's blocklist
        "MX:0003": 5,  # too many to this number today
        "EXPIRED_602": 5,
        "REJECTD": 4,
        "MN:0059": 4,  # out of reach
        "MK:0017": 3,  # the memory is full
    },
    "": {"UNDELIV": 10, "EXPIRED": 6, "REJECTD": 4},
}
