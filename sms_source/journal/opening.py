"""The journal that the options name."""

from sms_source.configuration import SmsSourceConfiguration
from sms_source.journal import encrypted_storage
from sms_source.journal.encrypted_storage import Reencrypted
from sms_source.journal.encryption import Keys
from sms_source.journal.journal import Journal
from sms_source.settings import JOURNAL_WAIT_SECONDS


def open_journal(options: SmsSourceConfiguration, *, wait_seconds: float = JOURNAL_WAIT_SECONDS) -> Journal:
    """Return the journal that the options name, with their keys, to be entered.

    Args:
        options: of the source, resolved.
        wait_seconds: to wait for another user to end.

    Raises:
        ConfigurationError: as `Journal` and `Keys.parse`.
    """
    return Journal(
        options.journal_url,
        wait_seconds=wait_seconds,
        keys=Keys.parse(options.journal_encryption_key),
    )


def reencrypt(journal: Journal) -> Reencrypted:
    """Write all files anew that the first key did not write; the other keys are of no use then.

    Killed, it goes on when it is run again.

    Args:
        journal: entered.
    """
    journal.spill.take_into(journal.storage)
    done = encrypted_storage.reencrypt(journal.storage)
    journal.note(keys=encrypted_storage.check_keys(journal.storage, None))
    return done
