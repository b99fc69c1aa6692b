"""Where the answers are that a run has pulled and not loaded: the sentence that an error ends with."""

from sms_source.journal.journal import Journal


def whereabouts(journal: Journal) -> str:
    """Try again to write what the journal refused; return a sentence that says where each answer is now."""
    in_memory = journal.spill.save_again(journal.storage)
    if in_memory:
        return (
            f"{in_memory} answers could be written nowhere: what of them is not loaded yet is lost with this "
            "process, and the next run shows their pulls as in doubt. What else was pulled is in the journal "
            f"{journal.url}."
        )
    if journal.spill.is_in_use():
        return (
            f"What was pulled is safe, in {journal.spill.root} and in the journal {journal.url}; the next "
            "run loads it once."
        )
    return f"What was pulled is safe in the journal {journal.url}; the next run loads it once."
