"""The page's languages: its sentences, and how each writes numbers, dates and times."""

import json
from datetime import date, datetime, timedelta
from importlib.resources import files

LANGUAGES = ("en", "zh")
"""English and Chinese."""

_TAGS = {"en": "en", "zh": "zh-CN"}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "zh": ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
}
_SHORT_WEEKDAYS = {
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "zh": ("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
}
_UNITS = ((86_400, "%(num)s day", "%(num)s days"), (3_600, "%(num)s hour", "%(num)s hours"))
_MINUTES = ("%(num)s min", "%(num)s min")


class Language:
    """A language, in a time zone.

    Args:
        code: of `LANGUAGES`.
        now: of the page, in the time zone in which it shows times.
    """

    def __init__(self, code: str, now: datetime) -> None:
        self.code = code
        self.tag = _TAGS[code]
        self.gap = "" if code == "zh" else " "  # between two sentences
        self._now = now
        self._sentences: dict[str, str] = {}
        if code != "en":
            text = files(__package__).joinpath(f"{code}.json").read_text(encoding="utf-8")
            self._sentences = json.loads(text)

    def gettext(self, sentence: str) -> str:
        """Return a sentence of the page, which is given in English, in this language."""
        return self._sentences[sentence] if self._sentences else sentence

    def ngettext(self, one: str, many: str, count: int) -> str:
        """Return the same for a sentence that depends on a number. Chinese has no plural."""
        if self._sentences:
            return self._sentences[many]
        return one if count == 1 else many

    def number(self, value: float) -> str:
        """Return a whole number, with its thousands apart."""
        return f"{value:,.0f}"

    def share(self, value: float) -> str:
        """Return a share of 1 as a percentage: with a decimal below 10, and never 0 % or 100 % of some."""
        percent = value * 100
        if 0 < percent < 0.1:
            return "<0.1%"
        if 99.9 < percent < 100:
            return ">99.9%"
        return f"{percent:.1f}%" if 0 < percent < 10 or 90 < percent < 100 else f"{percent:.0f}%"

    def weekday(self, number: int, *, short: bool = False) -> str:
        """Return the name of a weekday, from 1 for Monday."""
        return (_SHORT_WEEKDAYS if short else _WEEKDAYS)[self.code][number - 1]

    def day(self, value: date, *, weekday: bool = False, year: bool = False) -> str:
        """Return a date, with its year if that is not the page's; a datetime's is that of the zone."""
        if isinstance(value, datetime):
            value = value.astimezone(self._now.tzinfo).date()
        year = year or value.year != self._now.year
        name = self.weekday(value.isoweekday(), short=True)
        if self.code == "zh":
            return f"{value.year}年" * year + f"{value.month}月{value.day}日" + f" {name}" * weekday
        text = f"{value.day} {_MONTHS[value.month - 1]}" + f" {value.year}" * year
        return f"{name} " * weekday + text

    def moment(self, value: datetime, *, year: bool = False) -> str:
        """Return a date and a time, to the minute."""
        return f"{self.day(value, year=year)} {value.astimezone(self._now.tzinfo):%H:%M}"

    def duration(self, seconds: float) -> str:
        """Return a length of time, in its largest unit: minutes, hours up to two days, days."""
        for unit, one, many in _UNITS:
            if seconds >= unit * (2 if unit > 3_600 else 1):
                count = round(seconds / unit)
                return self.ngettext(one, many, count) % {"num": self.number(count)}
        if seconds < 60:
            return self.gettext("less than a minute")
        count = round(seconds / 60)
        return self.ngettext(*_MINUTES, count) % {"num": count}

    def age(self, value: datetime) -> str:
        """Return how long ago something was."""
        if value > self._now + timedelta(minutes=1):
            return self.gettext("ahead of the clock")
        if value > self._now - timedelta(minutes=1):
            return self.gettext("just now")
        return self.gettext("%(time)s ago") % {"time": self.duration((self._now - value).total_seconds())}
