"""A source on the Airbyte CDK; PyAirbyte runs it as a program of its own (see airbyte_read.py)."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from airbyte_cdk.entrypoint import launch
from airbyte_cdk.models import ConnectorSpecification
from airbyte_cdk.sources import AbstractSource
from airbyte_cdk.sources.streams import Stream

from tests.benchmark.contenders.sdk_client import pages

FIELDS = ("ExtendCode", "CountryCode", "PhoneNumber", "SubscriberNumber", "SignName", "ReplyContent")


class Replies(Stream):
    """Replies to the SMS of one application."""

    name = "replies"
    # The API gives no id: this is the nearest to one, and loses a person's second reply within a second.
    primary_key = ["PhoneNumber", "ReplyTime"]

    def get_json_schema(self) -> Mapping[str, Any]:
        """Return the fields, as the API documents them."""
        properties: dict[str, Any] = {name: {"type": ["null", "string"]} for name in FIELDS}
        return {"type": "object", "properties": {**properties, "ReplyTime": {"type": ["null", "integer"]}}}

    def read_records(self, *args: Any, **kwargs: Any) -> Iterable[Mapping[str, Any]]:
        """Return replies until an empty page."""
        for page in pages():
            yield from page


class SmsSource(AbstractSource):
    """Replies to Tencent Cloud SMS."""

    def spec(self, *args: Any) -> ConnectorSpecification:
        """No options: the environment has them."""
        return ConnectorSpecification(connectionSpecification={"type": "object", "properties": {}})

    def check_connection(self, *args: Any) -> tuple[bool, None]:
        """Ask nothing: a pull would take replies."""
        return True, None

    def streams(self, config: Mapping[str, Any]) -> list[Stream]:
        """Return the one stream."""
        return [Replies()]


if __name__ == "__main__":
    launch(SmsSource(), sys.argv[1:])
