"""`tencent-sms journal reencrypt`: writes the journal's files anew with the first key."""

import argparse

from sms_source.cli.output import Output
from sms_source.journal.opening import open_journal, reencrypt
from sms_source.loading.loader import resolve_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be done to the journal to a parser."""
    parser.add_argument(
        "action",
        choices=["reencrypt"],
        help="write all files anew that the first of journal_encryption_key did not write: the others are of "
        'no use then; with "none" in the first place, in clear',
    )


def run(args: argparse.Namespace, output: Output) -> None:  # noqa: ARG001 - there is one action
    """Write the files anew. Errors as those of a load that finds no key."""
    with open_journal(resolve_options({})) as journal:
        done = reencrypt(journal)
        key = journal.storage.keys.writing_id
        how = f"with the key {key}" if key else "in clear"
        output.checked("journal", f"{done.files:,} files of {journal.url} written anew, all are {how}")
        if done.unreadable:
            output.checked("damaged", f"{done.unreadable:,} files can't be read, and stay as they are")
