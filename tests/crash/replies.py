"""Replies that are awkward to keep apart and to keep whole, each with a mark to trace it by."""

import json
import random
import time
from typing import Any

_TEXTS = (
    "T",
    "退订",
    "ok 👍",
    "好的\n第二行\r\n",
    "",
    "   ",
    "quote \" ' ` \\ %s {0} $1 ; drop table replies; --",
    "tab\tand bell\a",
    "e\u0301 \u202eright to left\u202c \ufeff",
    "👩‍👩‍👧‍👦" * 5,
    "长" * 1000,
)
_DAY = 86400
_LATEST_TIME = 4_102_444_799
_TWIN_SHARE = 0.05
_MALFORMED_SHARE = 0.01


class ReplyMaker:
    """Makes replies: recent, late and odd ones, some equal to the one before in every field, some malformed.

    malformed: those that do not fit, as the simulator sends them.
    """

    def __init__(self, generator: random.Random) -> None:
        self.malformed: set[bytes] = set()
        self._random = generator
        self._serial = 0
        self._last: bytes | None = None

    def make(self, count: int) -> list[bytes]:
        """So many replies, each as JSON."""
        return [self._make() for _ in range(count)]

    def make_receipts(self, count: int) -> list[bytes]:
        """Return so many receipts, each as JSON, some equal to the one before, some malformed."""
        made: list[bytes] = []
        for _ in range(count):
            draw = self._random.random()
            if made and draw < _TWIN_SHARE and made[-1] not in self.malformed:
                made.append(made[-1])
                continue
            record = self._receipt()
            if draw > 1 - _MALFORMED_SHARE:
                made.append(self._make_malformed_receipt(record))
                self.malformed.add(made[-1])
            else:
                made.append(json.dumps(record, ensure_ascii=self._random.random() < 0.5).encode())
        return made

    def _receipt(self) -> dict[str, Any]:
        self._serial += 1
        subscriber_number = self._subscriber_number()
        record: dict[str, Any] = {
            "UserReceiveTime": self._time(),
            "CountryCode": "86",
            "PhoneNumber": f"+86{subscriber_number}",
            "SubscriberNumber": subscriber_number,
            "SerialNo": f"5000:#{self._serial}",
            "ReportStatus": self._random.choice(["SUCCESS", "FAIL"]),
            "Description": self._random.choice(["DELIVRD", "12", "012", "MK:0001", "", None]),
            "SessionContext": self._random.choice([None, "", "order 7"]),
        }
        if self._random.random() < 0.1:
            del record["SessionContext"]
        return record

    def _make_malformed_receipt(self, record: dict[str, Any]) -> bytes:
        kind = self._random.randrange(4)
        if kind == 0:
            record["UserReceiveTime"] = str(record["UserReceiveTime"])
        elif kind == 1:
            del record["PhoneNumber"]
        elif kind == 2:
            del record["ReportStatus"]
        else:
            return b'{"SerialNo": "#%d no JSON", "UserReceiveTime": NaN}' % self._serial
        return json.dumps(record).encode()

    def _make(self) -> bytes:
        draw = self._random.random()
        if draw < _TWIN_SHARE and self._last is not None:
            return self._last
        self._serial += 1
        if draw > 1 - _MALFORMED_SHARE:
            reply = self._make_malformed()
            self.malformed.add(reply)
            return reply
        self._last = json.dumps(self._record(), ensure_ascii=self._random.random() < 0.5).encode()
        return self._last

    def _subscriber_number(self) -> str:
        return f"1299{self._random.randrange(10**7):07}"

    def _record(self) -> dict[str, Any]:
        subscriber_number = self._subscriber_number()
        record: dict[str, Any] = {
            "ExtendCode": self._random.choice(["", "101", "0"]),
            "CountryCode": "86",
            "PhoneNumber": f"+86{subscriber_number}",
            "SubscriberNumber": subscriber_number,
            "SignName": self._random.choice(["Harbour Clinic", "湖畔书店", "", None]),
            "ReplyContent": f"#{self._serial} {self._random.choice(_TEXTS)}",
            "ReplyTime": self._time(),
        }
        if self._random.random() < 0.02:
            del record["SignName"]
        return record

    def _time(self) -> int:
        now = int(time.time())
        draw = self._random.random()
        if draw < 0.7:
            return now - self._random.randrange(60)
        if draw < 0.95:
            return now - self._random.randrange(30 * _DAY)
        return self._random.choice([1, 86399, now - 3650 * _DAY, _LATEST_TIME])

    def _make_malformed(self) -> bytes:
        record = self._record()
        kind = self._random.randrange(6)
        if kind == 0:
            record["ReplyTime"] = str(record["ReplyTime"])
        elif kind == 1:
            del record["PhoneNumber"]
        elif kind == 2:
            record["ReplyTime"] = 0
        elif kind == 3:
            record["ReplyContent"] = f"#{self._serial} lone surrogate \ud83d"
        elif kind == 4:
            return json.dumps(f"#{self._serial} no object").encode()
        else:
            return b'{"ReplyContent": "#%d no JSON", "ReplyTime": NaN}' % self._serial
        return json.dumps(record).encode()
