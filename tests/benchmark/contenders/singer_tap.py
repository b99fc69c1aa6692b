"""A Singer tap on the Meltano SDK; runs in an environment of its own, before a pipe into target-duckdb."""

from collections.abc import Iterable
from typing import Any

from singer_sdk import Stream, Tap
from singer_sdk import typing as th

from tests.benchmark.contenders.sdk_client import pages


class RepliesStream(Stream):
    """Replies to the SMS of one application."""

    name = "replies"
    # The API gives no id: this is the nearest to one, and loses a person's second reply within a second.
    primary_keys = ("PhoneNumber", "ReplyTime")
    schema = th.PropertiesList(
        th.Property("ExtendCode", th.StringType),
        th.Property("CountryCode", th.StringType),
        th.Property("PhoneNumber", th.StringType, required=True),
        th.Property("SubscriberNumber", th.StringType),
        th.Property("SignName", th.StringType),
        th.Property("ReplyContent", th.StringType),
        th.Property("ReplyTime", th.IntegerType, required=True),
    ).to_dict()

    def get_records(self, context: Any) -> Iterable[dict[str, Any]]:
        """Return replies until an empty page."""
        for page in pages():
            yield from page


class SmsTap(Tap):
    """Replies to Tencent Cloud SMS."""

    name = "tap-tencent-sms"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self) -> list[Stream]:
        """Return the one stream."""
        return [RepliesStream(self)]


if __name__ == "__main__":
    SmsTap.cli()
