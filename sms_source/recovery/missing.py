"""What the warehouse lacks of what look-ups found, in the form in which the journal keeps it."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timezone

from sms_source.feeds import Feed
from sms_source.journal.pull import Pull
from sms_source.recovery.asking import Found, Record
from sms_source.recovery.content import Content, digest_of, fits, prefixes_of
from sms_source.recovery.warehouse import Warehouse
from sms_source.settings import MAX_PULL_LIMIT

_BODY = '{{"Response": {{"RequestId": {request_id}, "{result_set}": [{records}]}}}}'


def missing(
    found: list[Found], warehouse: Warehouse, region: str, pseudonym_key: str | None
) -> Iterator[Pull]:
    """Yield the records that the tables lack: those of each look-up together.

    Of equal records, those are missing whose number is not in the table: two equal replies of one second are
    two. The number is in the id, so that whoever finds the same record again gives it the same id.
    """
    by_queue: dict[tuple[Feed, str], list[Found]] = defaultdict(list)
    for one in found:
        by_queue[one.question.feed, one.question.sms_sdk_app_id].append(one)
    for (feed, app_id), answers in by_queue.items():
        prefixes: dict[Content, set[str]] = defaultdict(set)
        in_clear: dict[Content, Content] = {}
        for one in answers:
            for content, records in one.copies.items():
                for record in records:
                    earlier = record.content(feed, None)
                    in_clear[earlier] = content
                    if fits(content):  # somebody may have given the row a pseudonym, and left its texts
                        in_clear[(content[0], *earlier[1:])] = content
                    prefixes[content] |= prefixes_of(app_id, {content, earlier}, pseudonym_key)
        present = warehouse.present(feed, app_id, prefixes, in_clear)
        by_request: dict[str | None, dict[str, Record]] = defaultdict(dict)
        for one in answers:
            for content, records in one.copies.items():
                for copy, record in enumerate(records, 1):
                    if copy not in present[content]:
                        record_id = f"lookup/{digest_of(app_id, content)}/{copy}"
                        by_request[record.raw.answer.request_id][record_id] = record
        for request_id, added in by_request.items():
            yield _as_pull(feed, app_id, region, request_id, added)


def _as_pull(
    feed: Feed, app_id: str, region: str, request_id: str | None, records: dict[str, Record]
) -> Pull:
    """Return records by their ids in the form of an answer, each as it came."""
    texts = [record.text(feed) for record in records.values()]
    body = _BODY.format(
        request_id=json.dumps(request_id), result_set=feed.result_set, records=", ".join(texts)
    )
    moment = datetime.now(timezone.utc)
    return Pull(
        pull_id="",
        feed=feed.name,
        sms_sdk_app_id=app_id,
        region=region,
        limit=MAX_PULL_LIMIT,
        requested_at=moment,
        answered_at=moment,
        request_id=request_id,
        records=[record.value for record in records.values()],
        body=body.encode(),
        channel="lookup",
        record_ids=list(records),
    )
