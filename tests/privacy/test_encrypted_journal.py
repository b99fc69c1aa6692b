"""A job whose journal is encrypted: the same rows, and nothing in clear."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import fsspec
import pytest

import sms_source
from sms_source.errors import ConfigurationError
from sms_source.journal.encrypted_storage import EncryptedStorage
from sms_source.journal.encryption import Keys
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalStorage
from sms_source.journal.object_storage import ObjectStorage
from sms_source.journal.opening import reencrypt
from sms_source.journal.spill import Spill
from sms_source.journal.storage import Storage
from sms_source.loading.loader import Loader, resolve_options
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.privacy.keys import ANSWER, INTENT, KEY, KEYS, OTHER_KEY
from tests.privacy.scan import found

TEXT = "please 退订, my name is Ångström"
NUMBER = "+8613712345678"


def enqueue(simulator: SimulatorProcess, *texts: str) -> None:
    """Let people answer."""
    simulator.enqueue(APP, [a_reply(text, PhoneNumber=NUMBER) for text in texts])


@pytest.fixture
def journal(own_folders: Path) -> Path:
    """Provide the folder of the journal."""
    return own_folders / "sms_journal"


def test_a_load_leaves_nothing_in_clear(
    configured: SimulatorProcess, warehouse: Warehouse, journal: Path
) -> None:
    """Only the database tells who wrote what."""
    enqueue(configured, TEXT)
    sms_source.load(journal_encryption_key=KEY)
    assert warehouse.contents() == [TEXT]
    assert found(journal.parents[1], [TEXT, NUMBER, NUMBER[3:]]) == {"project/sms_replies.duckdb"}


@pytest.mark.long
def test_a_replay_reads_what_is_encrypted(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """The archive is of use to whoever has the key."""
    enqueue(configured, "1", "2")
    sms_source.load(journal_encryption_key=KEY)
    warehouse.database.unlink()
    sms_source.load(journal_encryption_key=KEY)
    assert warehouse.contents() == ["1", "2"]


@pytest.mark.long
@pytest.mark.parametrize("key", [None, OTHER_KEY])
def test_without_the_right_key_nothing_is_pulled_and_nothing_is_lost(
    configured: SimulatorProcess, warehouse: Warehouse, key: str | None
) -> None:
    """Once the key is there again, all of it loads."""
    enqueue(configured, "1")
    sms_source.load(journal_encryption_key=KEY)
    warehouse.database.unlink()
    enqueue(configured, "2")
    before = configured.stats().pulls
    with pytest.raises(ConfigurationError, match=KEYS.ids[0]) as caught:
        sms_source.load(journal_encryption_key=key)
    assert KEY not in str(caught.value)
    assert configured.stats().pulls == before
    sms_source.load(journal_encryption_key=KEY)
    assert warehouse.contents() == ["1", "2"]


def test_a_wrong_key_is_refused_for_an_intent_that_a_kill_filled(
    configured: SimulatorProcess, warehouse: Warehouse, journal: Path
) -> None:
    """Not set aside as damaged: the answer waits for its key."""
    enqueue(configured, "1")
    options = resolve_options({"journal_encryption_key": KEY})
    with Loader(options) as loader:
        loader.round()
    with Journal(str(journal), keys=KEYS) as opened:
        (bundle,) = opened.give_again()
    with pytest.raises(ConfigurationError, match="nothing is lost"):
        sms_source.load(journal_encryption_key=OTHER_KEY)
    assert (journal / "drains" / bundle).exists()
    assert not (journal / "unreadable").exists()


@pytest.mark.long
def test_a_journal_may_become_encrypted_and_go_back(
    configured: SimulatorProcess, warehouse: Warehouse, journal: Path
) -> None:
    """Old files stay readable, both ways."""
    enqueue(configured, "1")
    sms_source.load()
    enqueue(configured, "2")
    sms_source.load(journal_encryption_key=KEY)
    enqueue(configured, "3")
    sms_source.load(journal_encryption_key=["none", KEY])
    warehouse.database.unlink()
    with pytest.raises(ConfigurationError, match="is not set"):
        sms_source.load()
    sms_source.load(journal_encryption_key=["none", KEY])
    assert warehouse.contents() == ["1", "2", "3"]
    with Journal(str(journal), keys=Keys.parse(["none", KEY])) as opened:
        assert reencrypt(opened).files == 1
    enqueue(configured, "4")
    sms_source.load(replay=False)
    assert warehouse.contents() == ["1", "2", "3", "4"]


@pytest.mark.long
def test_reencrypt_ends_an_old_key(configured: SimulatorProcess, warehouse: Warehouse, journal: Path) -> None:
    """After it, the first key alone opens everything, what was in clear among it."""
    enqueue(configured, TEXT)
    sms_source.load()
    assert found(journal, [TEXT])
    enqueue(configured, "2")
    sms_source.load(journal_encryption_key=KEY)
    with Journal(str(journal), keys=Keys.parse([OTHER_KEY, KEY])) as opened:
        assert reencrypt(opened) == (2, 0)
        assert reencrypt(opened) == (0, 0)
    assert not found(journal, [TEXT])
    warehouse.database.unlink()
    sms_source.load(journal_encryption_key=OTHER_KEY)
    assert warehouse.contents() == ["2", TEXT]


def test_notes_beside_the_drains_are_written_anew_too(journal: Path) -> None:
    """Who was asked about in a recovery is nobody's business either."""
    with Journal(str(journal), keys=KEYS) as opened:
        opened.storage.write("recovery.json", b"{}")
    with Journal(str(journal), keys=Keys.parse([OTHER_KEY, KEY])) as opened:
        assert reencrypt(opened) == (1, 0)
    with Journal(str(journal), keys=Keys.parse(OTHER_KEY)) as opened:
        assert opened.storage.read("recovery.json") == b"{}"


@pytest.mark.long
def test_a_key_that_no_file_needs_any_more_is_not_asked_for(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """What was encrypted is older than the retention: its key may go with it."""
    enqueue(configured, "1")
    sms_source.load(journal_encryption_key=KEY, journal_retention_days=0)
    enqueue(configured, "2")
    sms_source.load(journal_retention_days=0)
    assert warehouse.contents() == ["1", "2"]


def test_a_journal_whose_note_is_lost_still_knows_its_keys(
    configured: SimulatorProcess, journal: Path
) -> None:
    """The files themselves tell."""
    enqueue(configured, "1")
    sms_source.load(journal_encryption_key=KEY)
    (journal / "journal.json").unlink()
    with pytest.raises(ConfigurationError, match=KEYS.ids[0]):
        sms_source.load()


@pytest.mark.long
def test_one_damaged_file_stops_nothing(
    configured: SimulatorProcess, warehouse: Warehouse, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is set aside for a person, as it would be in clear."""
    enqueue(configured, "1")
    sms_source.load(journal_encryption_key=KEY)
    (bundle,) = (journal / "archive").iterdir()
    for place in (7, 200):  # in the key's id, and in the ciphertext
        content = bytearray(bundle.read_bytes())
        content[place] ^= 1
        bundle.write_bytes(content)
        enqueue(configured, f"after {place}")
        sms_source.load(journal_encryption_key=KEY, replay=True)
        sms_source.load(journal_encryption_key=KEY)
        assert f"after {place}" in warehouse.contents()
        assert list((journal / "unreadable").rglob("*.zip"))
        (bundle,) = (journal / "archive").iterdir()


def test_what_the_journal_refused_is_encrypted_too(tmp_path: Path, journal: Path) -> None:
    """A spill file is as good a place to read as the journal."""
    spill = Spill("0123abcd", KEYS)
    spill.keep(ANSWER, TEXT.encode())
    assert spill.is_in_use()
    assert not found(tmp_path, [TEXT])
    storage = Journal(str(journal), keys=KEYS).storage
    spill.take_into(storage)
    assert storage.read(ANSWER) == TEXT.encode()
    assert not spill.is_in_use()
    assert not found(tmp_path, [TEXT])


def test_a_damaged_spill_file_is_set_aside(journal: Path) -> None:
    """It must not stop every later run."""
    spill = Spill("0123abcd", KEYS)
    spill.keep(ANSWER, b"x")
    file = spill.root / ANSWER
    file.write_bytes(file.read_bytes()[:-1])
    spill.take_into(Journal(str(journal), keys=KEYS).storage)
    assert not spill.is_in_use()
    assert list((spill.root / "unreadable").rglob("*.answer"))


def _local(folder: Path) -> Storage:
    return LocalStorage(folder)


def _in_memory(folder: Path) -> Storage:
    return ObjectStorage(f"memory://{folder.name}", fsspec.filesystem("memory"))


@pytest.mark.parametrize("make", [_local, _in_memory])
def test_each_kind_of_storage_is_encrypted_alike(tmp_path: Path, make: Callable[[Path], Storage]) -> None:
    """Reserved and filled, written, moved: in clear for who has the key, and for nobody else."""
    inner = make(tmp_path / f"j{os.getpid()}")
    storage = EncryptedStorage(inner, KEYS)
    reservation = storage.reserve(INTENT, 100)
    reservation.fill(ANSWER, b"first")
    assert storage.read(ANSWER) == b"first"
    storage.write(ANSWER, b"second")
    storage.move(ANSWER, f"unreadable/{ANSWER.partition('/')[2]}")
    (name,) = storage.names(f"unreadable/{ANSWER.split('/')[1]}")
    path = f"unreadable/{ANSWER.split('/')[1]}/{name}"
    assert storage.read(path) == b"second"
    assert b"second" not in inner.read(path)
    storage.remove([path])
    assert storage.names(f"unreadable/{ANSWER.split('/')[1]}") == []


def test_an_empty_archive_and_retention_need_no_key(journal: Path) -> None:
    """A new journal has nothing to read."""
    with Journal(str(journal), keys=KEYS) as opened:
        opened.archive.tidy(timedelta(days=1))
        assert reencrypt(opened) == (0, 0)
