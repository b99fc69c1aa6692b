"""The demo's story: two weeks of a bookshop, a parcel service and a clinic, as receipts and replies."""

from __future__ import annotations

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .actions import RECEIPTS, REPLIES
from .campaigns import CAMPAIGNS, CHINA, FAILURES, LISTED, UNSUBSCRIBED, Campaign, Place, Weighted
from .control import Control

STORY_APP_IDS = ("1400006666", "1400007777")

_DAY = 86400
_REPORTED = 0.985  # of the messages; the carriers tell nothing of the others
_FAILED = 0.055  # of the reported ones
_OFFLINE = 0.03  # of the delivered ones: their phone is off for some hours
_STUCK = 0.04  # of the replies: a carrier keeps them for hours
_AGAIN = 0.04  # of those who reply: they write once more

Record = dict[str, str | int]


class Story(NamedTuple):
    """Receipts and replies as the API hands them out, by application id, in the order of their arrival.

    A reply may arrive hours after it was written, so the order is not that of `ReplyTime`.
    """

    replies: Mapping[str, list[Record]]
    receipts: Mapping[str, list[Record]]

    def enqueue(self, simulator: Control) -> None:
        """Hand it to a simulator, which has its applications."""
        for app_id in STORY_APP_IDS:
            simulator.enqueue(app_id, self.receipts[app_id], feed=RECEIPTS)
            simulator.enqueue(app_id, self.replies[app_id])


class _Send(NamedTuple):
    """A message that goes out."""

    time: float
    campaign: Campaign
    place: Place
    number: str


def demo_story(now: int, seed: int = 1) -> Story:
    """Return what three campaigns of the two weeks before `now` (Unix time) brought, until `now`.

    A bookshop's marketing in two waves, which people opt out of; a survey with scores from 1 to 5; reminders
    of appointments, which people confirm. In Chinese and English, to China, the United States and Singapore.
    About 12,000 receipts and 3,000 replies, which follow the receipts; the same for the same arguments.
    """
    return _Teller(now, random.Random(seed)).tell()


class _Teller:
    def __init__(self, now: int, generator: random.Random) -> None:
        self._now, self._generator = now, generator
        self._arrivals: dict[tuple[str, str], list[tuple[float, Record]]] = defaultdict(list)
        self._opted_out_at: dict[tuple[str, str], float] = {}

    def tell(self) -> Story:
        """Send everything in order, and collect what comes back."""
        sends = [send for campaign in CAMPAIGNS for send in self._sends(campaign)]
        for send in sorted(sends, key=lambda send: send.time):
            self._follow(send)
        return Story(
            *(
                {app_id: self._arrived(feed, app_id) for app_id in STORY_APP_IDS}
                for feed in (REPLIES, RECEIPTS)
            )
        )

    def _arrived(self, feed: str, app_id: str) -> list[Record]:
        arrivals = sorted(self._arrivals[feed, app_id], key=lambda arrival: arrival[0])
        return [record for time, record in arrivals if time <= self._now]

    def _sends(self, campaign: Campaign) -> Iterator[_Send]:
        pick = self._generator
        places = pick.choices(list(campaign.places), list(campaign.places.values()), k=campaign.people)
        people = [(place, self._number(place)) for place in places]
        for days_ago, count in campaign.sends.items():
            to = pick.sample(people, count)
            for place, number in to:
                local = dt.timezone(dt.timedelta(hours=place.utc_offset))
                day = dt.datetime.fromtimestamp(self._now - days_ago * _DAY, local)
                midnight = day.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
                time = midnight + pick.uniform(*campaign.hours) * 3600
                if time < self._now:
                    yield _Send(time, campaign, place, number)

    def _number(self, place: Place) -> str:
        digits = self._generator.randrange(10**place.digits)
        return f"{self._generator.choice(place.prefixes)}{digits:0{place.digits}}"

    def _follow(self, send: _Send) -> None:
        pick, campaign, place = self._generator, send.campaign, send.place
        is_listed = self._opted_out_at.get((campaign.sign_name, send.number), send.time) < send.time
        if pick.random() >= _REPORTED or (is_listed and pick.random() < 0.5):  # half are not even sent
            return
        if is_listed:
            self._receive(send, send.time + 1, "FAIL", UNSUBSCRIBED)
        elif pick.random() < _FAILED:
            code = self._draw(FAILURES.get(place.country_code, FAILURES[""]))
            delay = _DAY if code.startswith("EXPIRED") else pick.lognormvariate(2, 1)
            self._receive(send, send.time + delay, "FAIL", code)
        else:
            delay = pick.uniform(1, 20) * 3600 if pick.random() < _OFFLINE else pick.lognormvariate(1.4, 1)
            self._receive(send, send.time + delay, "SUCCESS", "DELIVRD")
            self._reply(send, send.time + delay)

    def _receive(self, send: _Send, time: float, status: str, code: str) -> None:
        receipt: Record = {
            "UserReceiveTime": int(time),
            **_numbers(send),
            "SerialNo": f"5000:{self._generator.randrange(10**27, 10**28)}",
            "ReportStatus": status,
            "Description": code,
            "SessionContext": send.campaign.context,
        }
        self._arrivals[RECEIPTS, send.campaign.app_id].append((time, receipt))

    def _reply(self, send: _Send, received: float) -> None:
        """Have the recipient reply, or not; some write once more, a few minutes later."""
        pick, campaign = self._generator, send.campaign
        answers = campaign.chinese if send.place == CHINA else campaign.english
        draw = pick.random()
        for answer in answers.values():
            draw -= answer.share
            if draw < 0:
                time = self._awake(send.place, received + 15 + pick.lognormvariate(0, 1.9) * campaign.delay)
                self._write(send, time, self._draw(answer.texts))
                if pick.random() < _AGAIN:
                    self._write(send, time + pick.uniform(20, 900), self._draw(answer.texts))
                return

    def _awake(self, place: Place, time: float) -> float:
        """Put off to the morning what would be written at night."""
        hour = (time / 3600 + place.utc_offset) % 24
        return time + (7 - hour + self._generator.uniform(0, 2)) * 3600 if hour < 6.5 else time

    def _write(self, send: _Send, time: float, text: str) -> None:
        pick, campaign = self._generator, send.campaign
        reply: Record = {
            "ExtendCode": campaign.extend_code,
            **_numbers(send),
            "SignName": campaign.sign_name,
            "ReplyContent": text,
            "ReplyTime": int(time),
        }
        arrival = time + (pick.uniform(0.4, 9) * 3600 if pick.random() < _STUCK else pick.uniform(1, 20))
        self._arrivals[REPLIES, campaign.app_id].append((arrival, reply))
        if send.place == CHINA and text.strip().upper() in LISTED:
            self._opted_out_at.setdefault((campaign.sign_name, send.number), time)

    def _draw(self, weighted: Weighted) -> str:
        return self._generator.choices(list(weighted), list(weighted.values()))[0]


def _numbers(send: _Send) -> dict[str, Any]:
    code, number = send.place.country_code, send.number
    return {"CountryCode": code, "SubscriberNumber": number, "PhoneNumber": f"+{code}{number}"}
