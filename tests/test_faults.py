"""The network and the disk fail: what arrived is loaded once, what may be lost is in doubt and named."""

import errno
import math
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sms_source.simulator import Fault, FaultKind, Outcome, SimulatorProcess
from tests.conftest import APP, OTHER_APP, Job, Warehouse, a_reply
from tests.helpers.jobs import MAIN_JOB

WORKERS = 16

# What leaves the replies' fate open; a pull that meets another fault is answered, or was not executed.
DOUBTFUL = (
    FaultKind.RESET_UNREAD,
    FaultKind.CLOSE_UNREAD,
    FaultKind.RESET,
    FaultKind.CLOSE,
    FaultKind.TRUNCATE,
    FaultKind.NOT_JSON,
    FaultKind.NO_RESPONSE,
    FaultKind.HTTP_STATUS,
    FaultKind.BODY,
)
EVERY_FAULT: dict[Fault | str, float] = {
    **dict.fromkeys(DOUBTFUL, 0.02),
    Fault(FaultKind.HTTP_STATUS, popped=False, status=503): 0.01,
    Fault(FaultKind.API_ERROR, code="InternalError"): 0.02,
    Fault(FaultKind.API_ERROR, code="InternalError.Timeout", popped=True): 0.02,
    Fault(FaultKind.API_ERROR, code="RequestLimitExceeded"): 0.1,
    Fault(FaultKind.API_ERROR, code="AuthFailure.SignatureExpire"): 0.01,
    Fault(FaultKind.DELAY, seconds=3.0): 0.005,
    Fault(FaultKind.DELAY, seconds=0.05): 0.02,
    Fault(FaultKind.TRICKLE, seconds=0.1): 0.02,
    Fault(FaultKind.CONTENT_TYPE, content_type="text/html"): 0.02,
    Fault(FaultKind.GZIP): 0.05,
    Fault(FaultKind.NO_REQUEST_ID): 0.02,
    Fault(FaultKind.DUPLICATE_REQUEST_ID): 0.02,
    Fault(FaultKind.CLOSE_AFTER): 0.05,
}


@pytest.fixture(autouse=True)
def impatient(configured: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, many pulls in flight."""
    monkeypatch.setattr("sms_source.pulling.queue_state.LONGEST_BACKOFF_SECONDS", 0.02)
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_TIMEOUT", "2")
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_WORKERS", str(WORKERS))
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULLS_PER_SECOND", "1000")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    configured.configure(rate_limit=0, latency=0.01)


def enqueue(simulator: SimulatorProcess, count: int) -> None:
    """Put numbered replies into the queue."""
    simulator.enqueue(APP, [a_reply(f"{n:05d}") for n in range(count)])


def assert_is_whole(simulator: SimulatorProcess, warehouse: Warehouse) -> None:
    """Every delivered reply is there once, and nothing else; each lost one is within a doubt's bound."""
    pulls = simulator.log()
    there = Counter(warehouse.contents())
    assert max(there.values()) == 1
    handed_out = {id(pull): [record["ReplyContent"] for record in pull.records] for pull in pulls}
    assert there.keys() <= {content for contents in handed_out.values() for content in contents}
    lost = []
    for pull in (pull for pull in pulls if pull.replies):
        contents = handed_out[id(pull)]
        came = [content for content in contents if content in there]
        assert came == contents[: len(came)]  # of an answer that broke off, what was whole
        if len(came) < len(contents):
            lost.append(pull)
    ((in_doubt, timed_out, at_risk, came_of_them, answered, records),) = warehouse.query("""
        select count(*) filter (outcome = 'in_doubt'), count(*) filter (error like 'Client.ReadTimeout%'),
               sum(at_risk), coalesce(sum(records) filter (outcome = 'in_doubt'), 0),
               count(*) filter (outcome = 'answered'), sum(records)
        from sms.pulls
    """)
    # A good answer that comes too late is lost as well: the server knows nothing of it.
    assert len([pull for pull in lost if pull.delivered]) <= timed_out
    doubtful = [pull for pull in pulls if pull.fault in DOUBTFUL or pull.code.startswith("InternalError")]
    # So is a request that goes out just as the server closes the connection: it never hears of it.
    closed = [pull for pull in pulls if pull.fault is FaultKind.CLOSE_AFTER]
    assert len(doubtful) <= in_doubt <= len(doubtful) + timed_out + len(closed)
    assert len(lost) <= in_doubt
    assert at_risk == 100 * in_doubt - came_of_them
    assert sum(len(contents) for contents in handed_out.values()) - len(there) <= at_risk
    assert (answered, records) == (len([pull for pull in pulls if pull.replies]) - len(lost), len(there))


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_faults_of_every_kind_cost_what_they_must(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, seed: int
) -> None:
    """Runs go on until the queue is empty; the simulator's log says what must be there."""
    enqueue(configured, 3_000)
    configured.configure(page_size=20)
    configured.fail_randomly(EVERY_FAULT, seed=seed)
    runs = 0
    while any(configured.stats().queued.values()):
        runs += 1
        assert runs < 20
        status, _, err = job()
        assert "Traceback" not in err
        assert status == 0 or "ERROR: The pull " in err
    assert_is_whole(configured, warehouse)
    # A pull for each page and each fault; the end of a queue is seen by each pull in flight.
    pages = math.ceil(3_000 / 20) + WORKERS * runs
    failed = sum(pull.outcome is Outcome.FAULTED for pull in configured.log())
    assert configured.stats().pulls <= pages + failed + WORKERS * runs


def test_every_kind_of_fault_is_in_the_mixture() -> None:
    """A fault that the simulator learns is a fault that is tried."""
    tried = {fault.kind if isinstance(fault, Fault) else FaultKind(fault) for fault in EVERY_FAULT}
    assert tried == set(FaultKind)


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "message", "doubts"),
    [
        (Fault(FaultKind.RESET), "Client.ConnectionReset", 1),
        (Fault(FaultKind.HTTP_STATUS, popped=False, status=502), "Client.HTTPStatus: HTTP status 502", 1),
        (Fault(FaultKind.NOT_JSON), "Client.NotJSON", 1),
        (Fault(FaultKind.API_ERROR, popped=True), "InternalError", 1),
        (Fault(FaultKind.API_ERROR, code="RequestLimitExceeded"), "lower `pulls_per_second`", 0),
        (Fault(FaultKind.API_ERROR, code="AuthFailure.TokenFailure"), "provide a new secret id", 0),
    ],
)
def test_a_run_that_keeps_failing_stops_having_loaded_what_it_has(
    configured: SimulatorProcess,
    warehouse: Warehouse,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    message: str,
    doubts: int,
) -> None:
    """A few more pulls, then the end: one clear message, the exit status 1, the rest still in the queue."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_TIMEOUT", "30")
    enqueue(configured, 10_000)
    configured.fail_next(fault, after=30, times=1_000)
    status, out, err = job()
    assert status == 1
    assert "Loaded 3,000 replies" in out
    last = err.splitlines()[-1]
    assert last.startswith("ERROR: The pull ")
    assert message in last
    assert "Traceback" not in err
    configured.clear_faults()
    failed = configured.stats().pulls - 30
    # Good answers that were still on their way begin the count anew.
    assert 5 <= failed <= 2 * WORKERS + 8
    assert warehouse.query("select count(*), sum(records), sum(at_risk) from sms.pulls") == [
        (30 + failed * doubts, 3_000, 100 * failed * doubts)
    ]
    assert_is_whole(configured, warehouse)


def test_one_application_s_faults_do_not_stop_the_other(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failing one ends and is named, the other is drained."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS", f'["{APP}", "{OTHER_APP}"]')
    configured.enqueue(APP, [a_reply(f"a{n}") for n in range(500)])
    configured.enqueue(OTHER_APP, [a_reply(f"b{n}") for n in range(500)])
    configured.fail_next("api_error", code="InternalError", times=100, app_id=OTHER_APP)
    status, _, err = job()
    assert status == 1
    assert "InternalError" in err.splitlines()[-1]
    assert sorted(warehouse.contents()) == sorted(f"a{n}" for n in range(500))


# ------------------------------------------------------------------------------------------------- the disk


def is_of_the_journal(descriptor: int, content: bytes = b"") -> bool:
    """Whether a descriptor is that of a file in which the journal keeps an answer."""
    path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    return "/sms_journal/drains/" in path and path.endswith(".intent")


def is_an_answer(_: str, target: str) -> bool:
    """Whether a file is renamed to that of an answer in the journal."""
    return "/sms_journal/drains/" in str(target) and str(target).endswith(".answer")


def fail_from(
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    number: int,
    error: int,
    counts: Callable[..., bool] = lambda *_: True,
) -> None:
    """Have a function of the operating system fail from one call on, as a broken disk makes it fail."""
    original: Callable[..., Any] = getattr(os, function)
    calls = Counter[str]()

    def failing(*arguments: Any, **options: Any) -> Any:
        if counts(*arguments):
            calls[function] += 1
            if calls[function] >= number:
                raise OSError(error, os.strerror(error))
        return original(*arguments, **options)

    monkeypatch.setattr(os, function, failing)


@pytest.mark.long
@pytest.mark.parametrize(
    ("workers", "function", "number", "counts"),
    [
        (1, "write", 3, is_of_the_journal),
        (WORKERS, "fsync", 3, is_of_the_journal),
        (1, "replace", 3, is_an_answer),
    ],
)
def test_an_answer_that_can_not_be_written_is_loaded_from_memory(
    configured: SimulatorProcess,
    warehouse: Warehouse,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    workers: int,
    function: str,
    number: int,
    counts: Callable[..., bool],
) -> None:
    """It is handed on and kept in dlt's data directory; pulling stops, and the log says where it is."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_WORKERS", str(workers))
    enqueue(configured, 2_000)
    with monkeypatch.context() as broken:
        fail_from(broken, function, number, errno.EIO, counts)
        status, out, err = job()
    assert status == 1
    (message,) = [line for line in err.splitlines() if line.startswith("ERROR: ")]
    assert "[Errno 5] Input/output error" in message
    handed_out = configured.stats().handed_out
    if function == "replace":  # which also keeps what is loaded from being archived
        assert message.startswith("ERROR: What was loaded could not be archived in the journal ")
        assert "sms_source/" in message
        assert "What was pulled is safe" in message
    else:
        assert message.startswith("ERROR: An answer could not be written into the journal ")
        assert "Pulling has stopped, and that answer is handed on all the same." in message
        assert "spill until the journal takes it." in caplog.text
        assert f"Loaded {handed_out:,} replies" in out
    assert "Traceback" not in err
    assert 300 <= handed_out <= 200 + 100 * workers
    assert len(warehouse.contents()) == handed_out
    in_doubt = "select count(*) from sms.pulls where outcome = 'in_doubt'"
    assert warehouse.query(in_doubt) == [(0,)]
    for arguments in ([], ["--replay"]):
        assert job(*arguments)[0] == 0
        assert warehouse.contents() == [f"{n:05d}" for n in range(2_000)]
        assert warehouse.query(in_doubt) == [(0,)]


@pytest.mark.long
def test_an_answer_that_was_never_written_nor_loaded_is_in_doubt(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk breaks for the journal and for the load alike: the intent covers what only memory had."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_WORKERS", "1")
    enqueue(configured, 250)
    with monkeypatch.context() as broken:
        fail_from(
            broken, "write", 2, errno.EIO, lambda _, content: b"PullSmsReplyStatusSet" in bytes(content)
        )
        broken.setattr("dlt.extract.extract.Extract.commit_packages", lambda _: os.fsync(-1))
        status, _, err = job()
    assert status == 1
    assert "Traceback" not in err
    assert job()[0] == 0
    assert warehouse.contents() == [f"{n:05d}" for n in range(250) if not 100 <= n < 200]
    assert warehouse.query("select at_risk from sms.pulls where outcome = 'in_doubt'") == [(100,)]


@pytest.mark.long
def test_a_doubt_that_can_not_be_written_is_loaded_from_memory(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger has it with its reason, whether the disk took it or not."""
    enqueue(configured, 300)
    configured.fail_next("truncate", after=1)
    with monkeypatch.context() as broken:
        fail_from(broken, "replace", 1, errno.EIO, lambda _, target: str(target).endswith(".in_doubt"))
        status, _, err = job()
    assert status == 1
    assert "ERROR: An answer could not be written into the journal" in err
    assert job()[0] == 0
    assert len(warehouse.contents()) == 250
    assert warehouse.query("select at_risk, split_part(error, ':', 1) from sms.pulls where at_risk > 0") == [
        (50, "Client.TruncatedBody")
    ]


@pytest.mark.long
def test_no_room_for_an_answer_stops_pulling_before_a_reply_is_at_risk(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every intent is refused: not one request goes out."""
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system can't reserve room")
    enqueue(configured, 250)
    with monkeypatch.context() as full:
        fail_from(full, "posix_fallocate", 1, errno.ENOSPC)
        status, _, err = job()
    assert (status, configured.stats().pulls) == (1, 0)
    assert "No room could be reserved for an answer in the journal" in err
    assert "[Errno 28] No space left on device" in err
    assert "Free or enlarge its disk, or see to its store, then run again." in err
    assert "Traceback" not in err
    assert job()[0] == 0
    assert len(warehouse.contents()) == 250


IN_NAMESPACE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def mounting(script: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell script where it may mount; skip the test where that can't be had."""
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare here")
    probe = subprocess.run(
        [*IN_NAMESPACE, "sh", "-c", "mount -t tmpfs -o size=64k none ."], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"nothing can be mounted here: {probe.stderr.decode().strip()}")
    return subprocess.run(
        [*IN_NAMESPACE, "sh", "-c", script],
        env={**os.environ, "JOB": f"{shlex.quote(sys.executable)} {shlex.quote(str(MAIN_JOB))}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
def test_a_full_disk_stops_pulling_before_a_reply_is_at_risk(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one: what fits is loaded, nothing is in doubt, and with more room the next run has the rest."""
    configured.enqueue(APP, [a_reply(f"{n:04d} {'x' * 4_000}") for n in range(1_000)])
    done = mounting("""
        mkdir sms_journal && mount -t tmpfs -o size=3m none sms_journal
        $JOB >first.out 2>first.err; echo $?
        cp sms_replies.duckdb first.duckdb
        mount -o remount,size=200m sms_journal
        $JOB >second.out 2>second.err; echo $?
    """)
    err = Path("first.err").read_text()
    assert done.stdout.split() == ["1", "0"], (done, err, Path("second.err").read_text())
    assert err.splitlines()[-1].startswith("ERROR: ")
    assert "No space left on device" in err.splitlines()[-1]
    assert "in the journal" in err.splitlines()[-1]
    assert "Traceback" not in err
    first = Warehouse(warehouse.folder)
    first.database = warehouse.folder / "first.duckdb"
    assert 100 <= len(first.contents()) < 1_000
    assert warehouse.query("select count(*) from sms.pulls where outcome = 'in_doubt'") == [(0,)]
    assert [text[:4] for text in warehouse.contents()] == [f"{n:04d}" for n in range(1_000)]


@pytest.mark.long
def test_a_journal_that_can_not_be_written_stops_the_run_before_it_pulls(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """A folder that is mounted to be read only: one clear message, no request, and the next run has all."""
    enqueue(configured, 250)
    done = mounting("""
        mkdir sms_journal && mount -t tmpfs none sms_journal
        mount -o remount,ro sms_journal
        $JOB >first.out 2>first.err; echo $?
        mount -o remount,rw sms_journal
        $JOB >second.out 2>second.err; echo $?
    """)
    err = Path("first.err").read_text()
    assert done.stdout.split() == ["1", "0"], (done, err)
    assert err.startswith("ERROR: ")
    assert err.count("\n") == 1
    assert "Read-only file system" in err
    assert "sms_journal" in err
    assert warehouse.contents() == [f"{n:05d}" for n in range(250)]
    assert [len(pull.replies) for pull in configured.log() if pull.replies] == [100, 100, 50]


@pytest.mark.long
def test_a_full_disk_at_the_destination_keeps_the_replies_for_the_next_run(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replies wait in the journal; the message says so; with more room they are there, once."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_URL", str(warehouse.folder / "sms_journal"))
    configured.enqueue(APP, [a_reply(f"{n:04d} {os.urandom(2_000).hex()}") for n in range(1_500)])
    done = mounting("""
        mkdir disk && mount -t tmpfs -o size=2m none disk
        export DLT_LOCAL_DIR=$PWD/disk
        $JOB >first.out 2>first.err; echo $?
        mount -o remount,size=200m disk
        $JOB >second.out 2>second.err; echo $?
        cp disk/sms_replies.duckdb .
    """)
    err = Path("first.err").read_text()
    assert done.stdout.split() == ["1", "0"], (done, err, Path("second.err").read_text())
    assert "No space left on device" in err.splitlines()[-1]
    assert "the next run loads it once" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert [text[:4] for text in warehouse.contents()] == [f"{n:04d}" for n in range(1_500)]
