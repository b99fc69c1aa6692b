"""The views once more, in plain Python and from their contract: what the SQL has to say."""

import csv
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.conftest import Rows
from tests.views.warehouse import Row

DATA = Path(__file__).resolve().parents[2] / "sms_source" / "views"

EVERYWHERE = {
    *("STOP", "QUIT", "END", "REVOKE", "OPTOUT", "CANCEL", "UNSUBSCRIBE", "STOPALL", "ARRET", "REMOVE"),
    *("TD", "退订", "T退订"),
}
MAINLAND = {"T", "N", "QX", "0000", "R"}
OPT_IN = {"START", "UNSTOP", "OPTIN"}
BLOCKED = {"T", "N", "TD", "退订", "T退订", "QX", "0000"}
CHANNELS = ("queue", "callback", "lookup")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

Key = TypeVar("Key", bound=Hashable)


class Data(NamedTuple):
    """The tables' rows, and the options."""

    replies: Sequence[Row]
    receipts: Sequence[Row] = ()
    pulls: Sequence[Row] = ()
    zone: tzinfo = timezone.utc


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Rows by key."""
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def read(name: str) -> list[dict[str, str]]:
    """Return the rows of a file of data."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def meaning(reply: Row) -> str | None:
    """Return what a reply's keyword means: opt_out, opt_in, or None."""
    if reply["keyword"] in OPT_IN:
        return "opt_in"
    mainland = reply["country_code"] == "86" and reply["keyword"] in MAINLAND
    return "opt_out" if mainland or reply["keyword"] in EVERYWHERE else None


def by_time(reply: Row) -> tuple[datetime, datetime, str]:
    """Return what replies are ordered by."""
    return reply["reply_time"], reply["pulled_at"], reply["reply_id"]


def unique(rows: Iterable[Row], record_id: str, content: tuple[str, ...]) -> list[Row]:
    """Each record once across channels."""
    kept = []
    for copies in grouped(rows, lambda row: tuple(row[name] or "" for name in content)).values():
        ordered = sorted(copies, key=lambda row: (row["pulled_at"], row[record_id]))
        by_channel = [[row for row in ordered if row["channel"] == channel] for channel in CHANNELS]
        kept += [
            next(rows[number] for rows in by_channel if len(rows) > number)
            for number in range(max(map(len, by_channel)))
        ]
    return kept


def unique_replies(data: Data) -> list[Row]:
    """By everything that a reply says."""
    content = ("sms_sdk_app_id", "phone_number", "reply_time", "reply_content", "sign_name", "extend_code")
    kept = unique(data.replies, "reply_id", content)

    def said(row: Row) -> tuple[str, ...]:
        return tuple(row[name] or "" for name in content[1:])

    named = Counter(said(row) for row in kept if row["sms_sdk_app_id"])
    unnamed = [row for row in data.replies if row["channel"] == "callback" and not row["sms_sdk_app_id"]]
    copies = {
        row["reply_id"]
        for what, rows in grouped(unnamed, said).items()
        for row in sorted(rows, key=lambda row: (row["pulled_at"], row["reply_id"]))[: named[what]]
    }
    return [row for row in kept if row["reply_id"] not in copies]


def unique_receipts(data: Data) -> list[Row]:
    """By everything that a receipt says, but the context, which only some channels may have."""
    content = (
        "sms_sdk_app_id",
        "phone_number",
        "user_receive_time",
        "serial_no",
        "report_status",
        "description",
    )
    return unique(data.receipts, "receipt_id", content)


def sender(reply: Row) -> tuple[str, str, str]:
    """Application, sign and number."""
    return reply["sms_sdk_app_id"], reply["sign_name"], reply["phone_number"]


def campaign(reply: Row) -> tuple[str, str, str]:
    """Application, sign and extend code."""
    return reply["sms_sdk_app_id"], reply["sign_name"], reply["extend_code"]


def opt_outs(data: Data) -> Rows:
    """Walk through each person's keywords in their order."""
    rows: Rows = []
    worded = [reply for reply in unique_replies(data) if meaning(reply)]
    for key, replies in grouped(worded, sender).items():
        since: list[Row] = []
        for reply in sorted(replies, key=by_time):
            since = [] if meaning(reply) == "opt_in" else [*since, reply]
        if since:
            first = since[0]
            at, country = first["reply_time"], first["country_code"]
            days = {5: 13, 6: 12}.get(at.astimezone(timezone.utc).weekday(), 14)
            slow = country in ("1", "65")
            rows.append(
                (
                    *key,
                    country,
                    at,
                    first["keyword"],
                    first["reply_content"],
                    first["reply_id"],
                    len(since),
                    "10 business days" if slow else "at once",
                    at + days * DAY if slow else at,
                    country == "86" and first["keyword"] in BLOCKED,
                )
            )
    return rows


def possible_opt_outs(data: Data) -> Rows:
    """Return the phrases, looked for in each text."""

    def squeezed(text: str) -> str:
        return "".join(character for character in text.lower() if character not in " '’.,;:!?…-_，。！？~")

    phrases = [entry["phrase"] for entry in read("opt_out_phrases")]
    phrases.sort(key=lambda phrase: (-len(phrase), phrase))
    out = {row[:3] for row in opt_outs(data)}
    rows: Rows = []
    for reply in unique_replies(data):
        text = squeezed(reply["reply_content"] or "")
        phrase = next((phrase for phrase in phrases if squeezed(phrase) in text), None)
        if phrase and not meaning(reply) and sender(reply) not in out:
            app, sign, number = sender(reply)
            time = reply["reply_time"]
            rows.append((reply["reply_id"], app, sign, number, time, reply["reply_content"], phrase))
    return rows


def people(replies: Iterable[Row]) -> int:
    """How many different numbers."""
    return len({reply["phone_number"] for reply in replies})


def campaigns(data: Data) -> Rows:
    """Return the counts."""
    rows: Rows = []
    for key, replies in grouped(unique_replies(data), campaign).items():
        times = [reply["reply_time"] for reply in replies]
        out = people(reply for reply in replies if meaning(reply) == "opt_out")
        share = out / people(replies)
        rows.append((*key, len(replies), people(replies), out, share, min(times), max(times)))
    return rows


def answers(data: Data) -> Rows:
    """Return the last answer of each person to each campaign."""
    rows: Rows = []
    given = [reply for reply in unique_replies(data) if reply["keyword"] and not meaning(reply)]
    for key, replies in grouped(given, campaign).items():
        last = {reply["phone_number"]: reply["keyword"] for reply in sorted(replies, key=by_time)}
        for keyword in set(last.values()):
            count = list(last.values()).count(keyword)
            rows.append((*key, keyword, count, count / len(last)))
    return rows


def reply_hours(data: Data) -> Rows:
    """Count by the clock of the zone."""

    def cell(reply: Row) -> tuple[int, int]:
        local = reply["reply_time"].astimezone(data.zone)
        return local.isoweekday(), local.hour

    cells = grouped(unique_replies(data), cell)
    return [(*key, len(replies), people(replies)) for key, replies in cells.items()]


def late_replies(data: Data) -> Rows:
    """More than an hour late."""
    return [
        (reply["reply_id"], reply["reply_time"], reply["pulled_at"], late.total_seconds())
        for reply in unique_replies(data)
        if (late := reply["pulled_at"] - reply["reply_time"]) > HOUR
    ]


def pulls_in_doubt(data: Data) -> Rows:
    """Return the ledger's rows in doubt, and what look-ups found."""
    found = [("replies", row, row["reply_time"]) for row in data.replies]
    found += [("receipts", row, row["user_receive_time"]) for row in data.receipts]
    rows: Rows = []
    for pull in data.pulls:
        if pull["outcome"] == "in_doubt":
            end = pull["requested_at"]
            recovered = sum(
                row["channel"] == "lookup"
                and (feed, row["sms_sdk_app_id"]) == (pull["feed"], pull["sms_sdk_app_id"])
                and time is not None
                and end - 7 * DAY <= time <= end
                for feed, row, time in found
            )
            columns = (value for name, value in pull.items() if name != "_dlt_load_id")
            rows.append((*columns, end + 7 * DAY, recovered))
    return rows


def utc_day(receipt: Row) -> date | None:
    """Return the day on which a receipt's message arrived."""
    time = receipt["user_receive_time"]
    return time.astimezone(timezone.utc).date() if time else None


def explanation(status: str, description: str | None) -> tuple[str, str | None]:
    """Category and meaning of a carrier's code, which may lack its colon or have a suffix."""

    def plain(code: str) -> str:
        return code.replace(":", "").replace(" ", "")

    codes = sorted(read("receipt_codes"), key=lambda entry: entry["code"])
    code = description or ""
    stem, _, suffix = plain(code).rpartition("_")
    wanted: tuple[Callable[[str], bool], ...] = (
        lambda listed: listed == code,
        lambda listed: plain(listed) == plain(code),
        lambda listed: suffix.isdecimal() and plain(listed) == stem,
    )
    for fits in wanted:
        for entry in codes:
            if fits(entry["code"]):
                return entry["category"], entry["meaning"]
    return ("delivered" if status == "SUCCESS" else "other"), None


def deliveries(data: Data) -> Rows:
    """Return how many receipts of each code came a day."""

    def key(receipt: Row) -> tuple[Any, ...]:
        return utc_day(receipt), receipt["sms_sdk_app_id"], receipt["report_status"], receipt["description"]

    groups = grouped(unique_receipts(data), key)
    return [
        (*group, len(receipts), people(receipts), *explanation(*group[2:]))
        for group, receipts in groups.items()
    ]


def reply_attributions(data: Data) -> Rows:
    """For each reply, the messages that may have caused it."""
    rows: Rows = []
    arrived = [row for row in unique_receipts(data) if row["report_status"] == "SUCCESS"]
    for reply in unique_replies(data):
        end = reply["reply_time"]
        candidates = [
            row
            for row in arrived
            if row["user_receive_time"] is not None
            and end - 72 * HOUR <= row["user_receive_time"] <= end
            and row["sms_sdk_app_id"] == reply["sms_sdk_app_id"] is not None
            and row["phone_number"] == reply["phone_number"]
        ]
        if candidates:
            latest = max(
                candidates, key=lambda row: (row["user_receive_time"], row["pulled_at"], row["receipt_id"])
            )
            names = ("receipt_id", "serial_no", "session_context")
            seconds = (end - latest["user_receive_time"]).total_seconds()
            rows.append((reply["reply_id"], *(latest[name] for name in names), seconds, len(candidates)))
    return rows


def response_rates(data: Data) -> Rows:
    """Of those whom a message reached."""
    replies = {reply["reply_id"]: reply for reply in unique_replies(data)}
    answered = grouped(
        ({"receipt": row[1], "seconds": row[4], **replies[row[0]]} for row in reply_attributions(data)),
        lambda row: row["receipt"],
    )

    def key(receipt: Row) -> tuple[Any, ...]:
        return utc_day(receipt), receipt["sms_sdk_app_id"], receipt["session_context"]

    rows: Rows = []
    arrived = [row for row in unique_receipts(data) if row["report_status"] == "SUCCESS"]
    for group, receipts in grouped(arrived, key).items():
        theirs = [reply for receipt in receipts for reply in answered.get(receipt["receipt_id"], [])]
        median = statistics.median([reply["seconds"] for reply in theirs]) if theirs else None
        out = people(reply for reply in theirs if meaning(reply) == "opt_out")
        delivered, replied = people(receipts), people(theirs)
        rows.append((*group, delivered, replied, replied / delivered, median, out))
    return rows


def as_rows(rows: list[Row]) -> Rows:
    """Rows of a table as tuples."""
    return [tuple(row.values()) for row in rows]


ORACLE: dict[str, Callable[[Data], Rows]] = {
    "unique_replies": lambda data: as_rows(unique_replies(data)),
    "opt_outs": opt_outs,
    "possible_opt_outs": possible_opt_outs,
    "campaigns": campaigns,
    "answers": answers,
    "reply_hours": reply_hours,
    "late_replies": late_replies,
    "pulls_in_doubt": pulls_in_doubt,
    "unique_receipts": lambda data: as_rows(unique_receipts(data)),
    "deliveries": deliveries,
    "reply_attributions": reply_attributions,
    "response_rates": response_rates,
}
