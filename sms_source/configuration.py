"""The options of the source: their names, types and defaults, checked before anything is pulled."""

import difflib
import ipaddress
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dlt.common.configuration import configspec
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.typing import TSecretStrValue

from sms_source import settings
from sms_source.credentials import TencentCloudCredentials
from sms_source.errors import ConfigurationError

SECTIONS = ("sources", "sms_source")

_APP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REGION = re.compile(r"[a-z0-9-]{1,64}")


@configspec
class SmsSourceConfiguration(BaseConfiguration):
    """The options in dlt's section `sources.sms_source`; `sms_source` describes each.

    Raises:
        ConfigurationError: on resolving, when a value can't be right; names the option, the value and what
            is expected.
    """

    # dlt takes a field for required by its type, whatever its default; its own specs are written so.
    credentials: TencentCloudCredentials = None  # type: ignore[assignment]
    sms_sdk_app_ids: Any = None  # a string or a list of them: dlt has no such type
    api_region: str = settings.API_REGION
    api_endpoint: str = settings.API_ENDPOINT
    api_language: str = settings.API_LANGUAGE
    journal_url: str = settings.JOURNAL_URL
    journal_retention_days: float = settings.JOURNAL_RETENTION_DAYS
    journal_encryption_key: Any | None = field(default=None, repr=False)  # a string or a list, as above
    pseudonym_key: TSecretStrValue | None = field(default=None, repr=False)
    tables_retention_days: float | None = None
    pulls_per_second: int = settings.MAX_PULLS_PER_SECOND
    pull_workers: int = settings.PULL_WORKERS
    pull_limit: int = settings.MAX_PULL_LIMIT
    pull_timeout: float = settings.PULL_TIMEOUT
    pull_feeds: Any = "replies"  # a string or a list of them, as above

    __section__ = "sms_source"

    def on_resolved(self) -> None:
        """Checks and normalizes what was given."""
        self.sms_sdk_app_ids = _app_ids(self.sms_sdk_app_ids)
        self.pull_feeds = [self.pull_feeds] if isinstance(self.pull_feeds, str) else list(self.pull_feeds)
        self.journal_url = _absolute(self.journal_url)
        days, key = self.tables_retention_days, self.pseudonym_key
        _expect("tables_retention_days", days, "more than 0", days is None or 0 < days <= 36_500)
        if key is not None and len(key) < settings.LEAST_KEY_CHARACTERS:
            raise ConfigurationError(
                f"pseudonym_key has {len(key)} characters; expected at least {settings.LEAST_KEY_CHARACTERS} "
                "random ones, such as `openssl rand -base64 32` prints."
            )
        _expect(
            "api_region",
            self.api_region,
            "a region such as 'ap-guangzhou'",
            _REGION.fullmatch(self.api_region),
        )
        _expect(
            "api_language", self.api_language, "'en-US' or 'zh-CN'", self.api_language in ("en-US", "zh-CN")
        )
        _check_endpoint(self.api_endpoint)
        _expect(
            "journal_retention_days",
            self.journal_retention_days,
            "0 or more",
            self.journal_retention_days >= 0,
        )
        _expect("pulls_per_second", self.pulls_per_second, "1 or more", self.pulls_per_second >= 1)
        _expect("pull_workers", self.pull_workers, "from 1 to 256", 1 <= self.pull_workers <= 256)
        limits = f"from 1 to {settings.MAX_PULL_LIMIT}"
        _expect("pull_limit", self.pull_limit, limits, 1 <= self.pull_limit <= settings.MAX_PULL_LIMIT)
        _expect("pull_timeout", self.pull_timeout, "more than 0 seconds", self.pull_timeout > 0)


def _expect(option: str, value: Any, expected: str, holds: Any) -> None:
    if not holds:
        raise ConfigurationError(
            f"{option} is {value!r}; expected {expected}. Set it in [{'.'.join(SECTIONS)}]."
        )


def _app_ids(value: Any) -> list[str]:
    """The application ids as a list of distinct strings; one may be given by itself."""
    expected = 'application ids of the SMS console, such as ["1400006666"]'
    given = value
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            given = json.loads(value)
        except ValueError:
            _expect("sms_sdk_app_ids", value, expected, holds=False)
    given = given if isinstance(given, (list, tuple)) else [given]
    app_ids = list(dict.fromkeys(str(app_id).strip() for app_id in given))
    _expect("sms_sdk_app_ids", value, expected, app_ids and all(map(_APP_ID.fullmatch, app_ids)))
    return app_ids


def _absolute(journal_url: str) -> str:
    """A relative path is beside the database: in the folder where dlt puts a DuckDB file."""
    _expect("journal_url", journal_url, "a folder", journal_url.strip())
    if "://" in journal_url:
        return journal_url
    local_dir = Container()[PluggableRunContext].context.local_dir
    return str(Path(local_dir, Path(journal_url).expanduser()).absolute())


def _check_endpoint(endpoint: str) -> None:
    url = urlsplit(endpoint)
    whole = url.hostname and url.path in ("", "/") and not (url.query or url.fragment or url.username)
    expected = f"https:// and a host, such as {settings.API_ENDPOINT!r}"
    _expect("api_endpoint", endpoint, expected, url.scheme in ("http", "https") and whole)
    loopback = "https:// (http:// would send people's answers in the clear; it is for a loopback address)"
    _expect("api_endpoint", endpoint, loopback, url.scheme == "https" or _is_loopback(url.hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_names(given: Iterable[str] = ()) -> None:
    """Look for names that are no option, given or in the configuration's section: dlt passes over them.

    Raises:
        ConfigurationError: names the unknown option, where it stands and which option it may have meant.
    """
    options = set(SmsSourceConfiguration.get_resolvable_fields())
    secrets = set(TencentCloudCredentials.get_resolvable_fields())
    places = [(name, "the arguments") for name in given]
    for name, place in [*places, *_configured_names()]:
        option, _, rest = name.partition(".")
        if option == "journal" and rest:
            continue  # the object store's own: sms_source.journal.object_storage
        known, unknown = (secrets, rest) if option == "credentials" and rest else (options, option)
        if unknown not in known:
            close = difflib.get_close_matches(unknown, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Options are: {', '.join(sorted(known))}."
            raise ConfigurationError(f"{unknown!r} in {place} is not an option of sms_source.{hint}")


def _configured_names() -> Iterator[tuple[str, str]]:
    """Each name below the section, dotted, and where it stands: environment and TOML files."""
    prefix = "__".join(SECTIONS).upper() + "__"
    for variable in os.environ:
        if variable.startswith(prefix):
            yield variable[len(prefix) :].lower().replace("__", "."), f"the environment ({variable})"
    for provider in Container()[PluggableRunContext].providers.providers:
        document = getattr(provider, "to_toml", None) and getattr(provider, "_config_doc", None)
        section: Any = document
        for part in SECTIONS:
            section = section.get(part, {}) if isinstance(section, dict) else {}
        if isinstance(section, dict):
            places = ", ".join(getattr(provider, "present_locations", [])) or provider.name
            for name in _dotted(section):
                yield name, f"[{'.'.join(SECTIONS)}] of {places}"


def _dotted(section: dict[str, Any]) -> Iterable[str]:
    for name, value in section.items():
        if name in ("credentials", "journal") and isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in value)
        else:
            yield name
