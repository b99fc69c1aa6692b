"""Malformed, hostile and huge answers: each is loaded, rejected or in doubt, and none costs a good record.

100 examples of each kind by default; 10,000 with `--hypothesis-profile=thorough`.
"""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sms_source.api.answers import parse_answer, whole_records
from sms_source.api.brackets import NotAnAnswerError
from sms_source.cli import job as run_main_job
from sms_source.feeds import REPLIES
from sms_source.journal.bundle import read_bundle
from sms_source.journal.journal import Journal
from sms_source.journal.pull import Pull
from sms_source.loading.tables import Tables, to_tables
from sms_source.simulator import Simulator
from tests.conftest import APP, Warehouse, a_reply
from tests.helpers.jobs import options_for

FUZZ = settings(
    max_examples=max(100, settings.default.max_examples if settings.default else 0),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

pytestmark = pytest.mark.timeout(3600)  # for the thorough profile

HEAD = b'{"Response": {"RequestId": "r1", "PullSmsReplyStatusSet": ['
TAIL = b"]}}"
MARK = re.compile(rb"MARK[0-9]{4}")

# ------------------------------------------------------------------------------------------------- what comes

odd_text = st.text(
    st.characters(codec=None, categories=None)
    | st.sampled_from('\x00\x1f"\\/{}[],:\u2028\ufeff\ud800\udfff\U0010ffff长')
)
odd_number = st.one_of(
    st.integers(),
    st.integers(min_value=-(10**400), max_value=10**400),
    st.sampled_from([2**63, 2**64, -(2**63) - 1, 4_102_444_799, 4_102_444_800, 0, -1, 10**4200]),
    st.floats(),
)
odd_value = st.recursive(
    st.none() | st.booleans() | odd_number | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=5,
)
FIELDS = [*a_reply(), "RequestId", "Response", "PullSmsReplyStatusSet", "Error"]
HOSTILE_NAMES = [
    "reply_id",
    "ReplyId",
    "_dlt_load_id",
    "_dlt_id",
    "OtherFields",
    "other_fields",
    "phone number",
    "PHONENUMBER",
    "order",
    "select",
    'a"; drop table replies; --',
    "__",
    "a__b",
    "",
    "长",
    "A" * 200,
    "__proto__",
]
hostile_name = (
    st.sampled_from([*FIELDS, *HOSTILE_NAMES]) | st.text("aAxX_1", min_size=1, max_size=4) | odd_text
)


def encoded(value: Any, *, escaped: bool = True) -> bytes:
    """JSON, or what some encoders take for it (NaN); a lone surrogate as an escape, or as broken UTF-8."""
    text = json.dumps(value, ensure_ascii=escaped)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def odd_object(draw: st.DrawFn) -> bytes:
    """Return an object with hostile names, some of them twice, and odd values."""
    members = draw(st.lists(st.tuples(hostile_name, odd_value), max_size=6))
    escaped = draw(st.booleans())
    parts = [
        encoded(name, escaped=escaped) + b":" + encoded(value, escaped=escaped) for name, value in members
    ]
    return b"{" + b", ".join(parts) + b"}"


@st.composite
def odd_reply(draw: st.DrawFn) -> bytes:
    """Return a reply of which a field or two are odd or gone, or to which some were added."""
    record: dict[str, Any] = a_reply(draw(odd_text))
    for name in draw(st.lists(st.sampled_from(list(record)), max_size=2)):
        record[name] = draw(odd_value)
    for name in draw(st.lists(st.sampled_from(list(record)), max_size=1)):
        del record[name]
    record.update(draw(st.dictionaries(hostile_name, odd_value, max_size=4)))
    return encoded(record, escaped=draw(st.booleans()))


# Whatever stands between two commas of the set and leaves its brackets and strings in order.
a_bad_record = st.one_of(
    odd_object(),
    odd_reply(),
    odd_value.map(encoded),
    st.integers(1, 3_000).map(lambda depth: b"[" * depth + b"]" * depth),
    st.integers(1, 3_000).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth),
    st.integers(4_000, 6_000).map(lambda digits: b"9" * digits),
    st.binary(max_size=20).map(lambda data: b'{"ReplyContent": "' + re.sub(rb'["\\]', b"", data) + b'"}'),
    st.sampled_from(
        [
            *(b"tru", b"NaN", b"-Infinity", b"1e999", b"-", b"0x10", b"'text'", b"{]", b"[}", b'{"a": }'),
            *(b'{"a" 1}', b"{1: 2}", b'"\x00"', b'"\\u12"', b'"\\x"', b"\xff\xfe", b"// comment", b"\x00"),
            *(
                b'{"ReplyTime": NaN}',
                b'"\\ud800"',
                b"\xef\xbb\xbf{}",
                b'{"PhoneNumber": "+1", "ReplyTime": 1}',
            ),
        ]
    ),
)


@st.composite
def records_with_good_ones(draw: st.DrawFn) -> list[bytes]:
    """Return records of one answer; the good ones bear a mark in what the person wrote."""
    bad = draw(st.lists(a_bad_record, min_size=1, max_size=6))
    records = [MARK.sub(b"mark", record) for record in bad]
    for number in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(records)))
        records.insert(position, encoded(a_reply(f"MARK{number:04d}")))
    return records


an_edit = st.tuples(
    st.floats(0, 1),
    st.integers(0, 12),
    st.binary(max_size=3)
    | st.sampled_from([b'"', b"]", b"}", b"[", b"{", b",", b":", b"\\", b"]}}", b"\xff", b"1"]),
)


@st.composite
def a_broken_body(draw: st.DrawFn) -> bytes:
    """Return an answer in whose records some bytes were cut out and others, mostly brackets, put in."""
    text = b", ".join(draw(records_with_good_ones()))
    for place, length, instead in draw(st.lists(an_edit, min_size=1, max_size=4)):
        start = round(place * len(text))
        text = text[:start] + instead + text[start + length :]
    return HEAD + text + TAIL


# ------------------------------------------------------------------------------------- what is made of it


class End(NamedTuple):
    """What became of an answer: its tables, or None when it is in doubt."""

    tables: Tables | None

    @property
    def loaded(self) -> dict[int, str | None]:
        """What people wrote, by the place in the answer."""
        assert self.tables is not None
        rows = self.tables.records["replies"]
        places = [int(reply_id.rpartition("/")[2]) for reply_id in rows["reply_id"].to_pylist()]
        return dict(zip(places, rows["ReplyContent"].to_pylist(), strict=True))

    @property
    def rejected(self) -> dict[int, str]:
        """Rejected records by their position."""
        assert self.tables is not None
        rows = self.tables.rejected
        return dict(zip(rows["position"].to_pylist(), rows["record"].to_pylist(), strict=True))


class Way(NamedTuple):
    """The way of an answer from its body to its rows, with a journal on the disk."""

    journal: Journal

    def walk(self, body: bytes) -> End:
        """Read, journal, read again and make tables of an answer, and hold them against each other."""
        drain = self.journal.open_drain()
        intent = drain.intend("replies", APP, "ap-guangzhou", 100)
        try:
            answer = parse_answer(REPLIES, body)
        except NotAnAnswerError as error:
            came = whole_records(REPLIES, body)
            pull = intent.pull.doubted(f"Client.NotJSON: {error}", came.request_id, body, came.records)
            intent.keep(pull)
        else:
            if answer.error is not None:
                intent.discard()
                return End(None)
            pull = intent.pull.answered(answer, body)
            intent.keep(pull)
        (kept,) = self.journal.read(drain.drain_id)
        assert kept.body == body
        assert repr(kept) == repr(pull)
        assert repr(kept.records) == repr(pull.records)  # NaN equals nothing, not even itself
        self.journal.storage.remove_folder(f"drains/{drain.drain_id}")
        tables = to_tables([pull], [REPLIES], {})
        again = to_tables([kept], [REPLIES], {})
        assert all(one.equals(again.by_name()[name]) for name, one in tables.by_name().items())
        check(pull, tables)
        return End(None if pull.in_doubt else tables)


def check(pull: Pull, tables: Tables) -> None:
    """Check what holds for the rows of any answer."""
    for table in tables.by_name().values():
        table.validate(full=True)
    replies = tables.records["replies"]
    ids = [int(reply_id.rpartition("/")[2]) for reply_id in replies["reply_id"].to_pylist()]
    positions = tables.rejected["position"].to_pylist()
    assert sorted(ids + positions) == list(range(len(pull.records)))
    (ledger,) = tables.pulls.to_pylist()
    assert ledger["records"] == len(pull.records)
    lost = max(100 - len(pull.records), 0)
    assert (ledger["outcome"], ledger["at_risk"]) == (
        ("in_doubt", lost) if pull.in_doubt else ("answered", 0)
    )
    names = [NamingConvention().normalize_identifier(name) for name in replies.column_names]
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    """Provide the way of an answer."""
    with Journal(str(tmp_path / "journal")) as journal:
        yield Way(journal)


def good_ones(records: list[bytes]) -> dict[int, str]:
    """Return the good records of an answer as they must be loaded."""
    return {n: record[mark.start() : mark.end()].decode() for n, record, mark in marks(records)}


def marks(records: list[bytes]) -> Iterator[tuple[int, bytes, re.Match[bytes]]]:
    """Yield the good records with their positions and marks."""
    for number, record in enumerate(records):
        if mark := MARK.search(record):
            yield number, record, mark


@pytest.mark.long
@FUZZ
@given(records=records_with_good_ones())
def test_a_bad_record_costs_none_of_the_good_ones_beside_it(way: Way, records: list[bytes]) -> None:
    """Each good one is loaded at its place; each other one is loaded, or rejected verbatim, as text."""
    end = way.walk(HEAD + b", ".join(records) + TAIL)
    assert end.tables is not None
    assert end.loaded.items() >= good_ones(records).items()
    assert len(end.loaded) + len(end.rejected) == len(records)
    for position, text in end.rejected.items():
        as_it_came = records[position].strip(b" \t\r\n").decode("utf-8", "backslashreplace")
        assert text == as_it_came
        text.encode()


@pytest.mark.long
@FUZZ
@given(body=a_broken_body())
def test_a_broken_answer_loses_no_record_silently(way: Way, body: bytes) -> None:
    """What was written is loaded, or a rejected record's text, or the whole answer is in doubt and kept."""
    end = way.walk(body)
    if end.tables is not None:
        found = json.dumps(
            [*end.loaded.values(), *end.rejected.values(), end.tables.records["replies"].to_pylist()],
            default=str,
        )
        missing = [mark for mark in MARK.findall(body) if mark.decode() not in found]
        assert missing == []


@FUZZ
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda data: HEAD + data + TAIL),
        odd_value.map(lambda value: encoded({"Response": value})),
        odd_object().map(lambda value: b'{"Response": ' + value + b"}"),
        odd_value.map(
            lambda value: encoded({"Response": {"PullSmsReplyStatusSet": value, "RequestId": value}})
        ),
        st.tuples(odd_value, odd_value).map(
            lambda pair: encoded({"Response": {"Error": {"Code": pair[0], "Message": pair[1]}, "NaN": 1e999}})
        ),
        st.integers(0, 400).map(lambda size: (HEAD + encoded(a_reply("长\\" * 30)) + TAIL)[:size]),
    )
)
def test_whatever_an_answer_is_it_is_read_or_in_doubt(way: Way, body: bytes) -> None:
    """There is no third way, and no other exception."""
    way.walk(body)


@pytest.mark.long
@FUZZ
@given(records=records_with_good_ones(), place=st.floats(0, 1))
def test_each_beginning_of_an_answer_gives_the_first_of_its_records(
    records: list[bytes], place: float
) -> None:
    """However odd they are: what was whole is read as it would have been, and what was not is left out."""
    body = HEAD + b", ".join(records) + TAIL
    whole = parse_answer(REPLIES, body)
    ends = [len(HEAD) + len(b", ".join(records[: n + 1])) for n in range(len(records))]
    for cut in {round(place * len(body)), *ends, *(end + 1 for end in ends), len(body)}:
        found = whole_records(REPLIES, body[:cut])
        assert repr(found.records) == repr(whole.records[: len(found.records)])
        assert len(found.records) >= sum(end < cut for end in ends)
        assert found.request_id in (None, whole.request_id)
    assert repr(whole_records(REPLIES, body)) == repr(whole)


@FUZZ
@given(body=st.binary(max_size=300) | a_broken_body() | odd_object() | odd_value.map(encoded))
def test_what_is_whole_in_a_body_can_be_asked_of_anything(body: bytes) -> None:
    """A body that broke off is whatever a network makes of it."""
    found = whole_records(REPLIES, body)
    assert found.error is None
    with suppress(NotAnAnswerError):
        answer = parse_answer(REPLIES, body)
        assert (repr(found.records), found.request_id) == (repr(answer.records), answer.request_id)


def test_an_answer_with_an_error_and_replies_is_no_refusal() -> None:
    """A pull that "was not executed" leaves no trace: with replies in its answer, it is in doubt and kept."""
    replies = encoded(a_reply("MARK0000"))
    error = b'], "Error": {"Code": "RequestLimitExceeded", "Message": ""}}}'
    with pytest.raises(NotAnAnswerError):
        parse_answer(REPLIES, HEAD + replies + error)


BIG = 10_000_000


@pytest.mark.long
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(encoded(a_reply("长" * (BIG // 3)), escaped=False), id="text that fits"),
        pytest.param(b'{"ReplyContent": "' + b"x" * BIG + b'"}', id="text that does not fit"),
        pytest.param(b'{"ReplyContent": "' + b"\xff" * (BIG // 10) + b'"}', id="bytes that are no UTF-8"),
        pytest.param(b'"' + b'\\"' * (BIG // 40) + b'\\x"', id="escapes"),
        pytest.param(b"[" * (BIG // 100) + b"]" * (BIG // 100), id="nesting"),
        pytest.param(b" " * (BIG // 10) + b"tru", id="blanks"),
        pytest.param(b"9" * (BIG // 10), id="digits"),
        pytest.param(b'{"a": NaN}' + b", {}" * 20_000, id="records"),
    ],
)
def test_a_huge_record_costs_none_of_the_good_ones_beside_it(way: Way, bad: bytes) -> None:
    """10 MB are read in a time in proportion to them."""
    records = [encoded(a_reply("MARK0000")), bad, encoded(a_reply("MARK0001"))]
    end = way.walk(HEAD + b",".join(records) + TAIL)
    assert {"MARK0000", "MARK0001"} <= set(end.loaded.values())


@pytest.mark.long
@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b'"' + b'\\"' * 500_000, id="a string of quotes"),
        pytest.param(b"[" * 500_000, id="nesting"),
        pytest.param(b'"' * 500_001, id="quotes"),
        pytest.param(b'{"a": "' + b"x" * BIG, id="a string"),
    ],
)
def test_a_huge_answer_that_breaks_off_is_in_doubt(way: Way, rest: bytes) -> None:
    """Looking for an end that never comes takes no longer than reading to the end once."""
    assert way.walk(HEAD + encoded(a_reply()) + b"," + rest).tables is None


# ---------------------------------------------------------------------------------- through HTTP, into DuckDB


@pytest.mark.long
@settings(FUZZ, max_examples=FUZZ.max_examples // 25)
@given(answers=st.lists(records_with_good_ones() | a_broken_body(), min_size=6, max_size=12))
def test_hostile_answers_end_in_the_warehouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[list[bytes] | bytes]
) -> None:
    """Over HTTP, through dlt: good answers between hostile ones are whole, and every record is counted."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    monkeypatch.chdir(folder)
    for name in ("DLT_DATA_DIR", "DLT_LOCAL_DIR", "DLT_PROJECT_DIR"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr("sms_source.pulling.queue_state.LONGEST_BACKOFF_SECONDS", 0.01)
    bodies = [one if isinstance(one, bytes) else HEAD + b", ".join(one) + TAIL for one in answers]
    with Simulator([APP], page_size=1) as simulator:
        configure(simulator, monkeypatch)
        simulator.enqueue(APP, [a_reply(f"good {n:02d}") for n in range(len(bodies))])
        for number, body in enumerate(bodies):
            own_id = body.replace(b'"r1"', b'"r%d"' % number, 1)
            own_marks = MARK.sub(lambda mark, n=number: mark[0] + b"-%d-" % n, own_id)  # type: ignore[misc]
            simulator.fail_next("body", popped=False, body=own_marks)
            simulator.fail_next("content_type")
        while simulator.stats().planned_faults:  # a broken body can look like the end of the queue
            assert run_main_job([]) == 0
        assert run_main_job([]) == 0
    warehouse = Warehouse(folder)
    good = [text for text in warehouse.contents() if text and text.startswith("good ")]
    assert good == [f"good {n:02d}" for n in range(len(bodies))]
    assert warehouse.query("""
        select (select sum(records) from sms.pulls)
            = (select count(*) from sms.replies) + (select count(*) from sms.rejected_records)
    """) == [(True,)]
    found = repr(warehouse.query("from sms.replies")) + repr(warehouse.query("from sms.rejected_records"))
    doubted = b"".join(
        member.content
        for bundle in folder.rglob("*.zip")
        for member in read_bundle(bundle.read_bytes())
        if member.name.endswith(".in_doubt")
    )
    for number, (answer, body) in enumerate(zip(answers, bodies, strict=True)):
        for mark in MARK.findall(body):
            own = f"{mark.decode()}-{number}-"
            assert own in found or (isinstance(answer, bytes) and own.encode() in doubted)


def configure(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point dlt's configuration to the simulator."""
    for name, value in options_for(simulator, APP, pull_workers="1").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
