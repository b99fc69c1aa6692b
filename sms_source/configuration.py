"""The options of the source: their names, types and defaults, checked before anything is pulled."""

import difflib
import ipaddress
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from dlt.common.configuration import configspec
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ConfigValueCannotBeCoercedException
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.typing import TSecretStrValue

from sms_source import settings
from sms_source.cleaning import without_keys
from sms_source.credentials import TencentCloudCredentials
from sms_source.errors import ConfigurationError
from sms_source.feeds import FEEDS, REPLIES

SECTIONS = ("sources", "sms_source")

_APP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(rf"[A-Za-z0-9._~-]{{{settings.MIN_KEY_CHARACTERS},256}}")
_REGION = re.compile(r"[a-z0-9-]{1,64}")


class Bounds(NamedTuple):
    """From where to where a number may be, both included."""

    kind: type[int] | type[float]
    minimum: float
    maximum: float
    unit: str = ""

    def __str__(self) -> str:
        """Return what is expected."""
        number = "a whole number" if self.kind is int else "a number"
        return f"{number} from {self.minimum:g} to {self.maximum:g}{self.unit and f' {self.unit}'}"

    def hold(self, value: Any) -> bool:
        """Return whether `value` is such a number; a boolean is none, and neither is infinity or NaN."""
        is_number = isinstance(value, (int, self.kind)) and not isinstance(value, bool)
        return is_number and self.minimum <= value <= self.maximum


BOUNDS = {
    "journal_retention_days": Bounds(float, 0, 36_500, "days"),
    "pulls_per_second": Bounds(int, 1, 1_000),
    "pull_workers": Bounds(int, 1, settings.MAX_PULL_WORKERS),
    "pull_limit": Bounds(int, 1, settings.MAX_PULL_LIMIT),
    "pull_timeout": Bounds(float, 0.1, 3_600, "seconds"),
}
"""Of each option that is a number: it has no other check."""


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
    pull_feeds: Any = REPLIES.name  # likewise
    api_region: str = settings.API_REGION
    api_endpoint: str = settings.API_ENDPOINT
    api_language: str = settings.API_LANGUAGE
    journal_url: str = settings.JOURNAL_URL
    journal_retention_days: float = settings.JOURNAL_RETENTION_DAYS
    journal_encryption_key: Any | None = field(default=None, repr=False)  # a string or a list, as above
    pseudonym_key: TSecretStrValue | None = field(default=None, repr=False)
    tables_retention_days: float | None = None
    callback_token: TSecretStrValue | None = field(default=None, repr=False)
    callback_allow: Any = ""  # a string or a list, as above
    pulls_per_second: int = settings.MAX_PULLS_PER_SECOND
    pull_workers: int = settings.PULL_WORKERS
    pull_limit: int = settings.MAX_PULL_LIMIT
    pull_timeout: float = settings.PULL_TIMEOUT
    allow_duplicates_in: str | None = None
    create_views: bool = True
    opt_out_words: Any = ""  # likewise
    views_time_zone: str = "UTC"

    __section__ = "sms_source"

    def on_resolved(self) -> None:
        """Check and normalize what was given."""
        self.sms_sdk_app_ids = _app_ids(self.sms_sdk_app_ids)
        _check_token(self.callback_token)
        self.callback_allow = _networks(self.callback_allow or [])
        self.pull_feeds = _feeds(self.pull_feeds, may_be_none=self.callback_token is not None)
        words = 'opt-out words, such as ["LEAVE"]'
        self.opt_out_words = [w for w in _names("opt_out_words", self.opt_out_words or [], words) if w]
        self.journal_url = _absolute(self.journal_url)
        days, key = self.tables_retention_days, self.pseudonym_key
        is_number = days is None or (days != 0 and BOUNDS["journal_retention_days"].hold(days))
        _expect("tables_retention_days", days, "days, more than 0 and at most 36500", is_number)
        if key is not None and len(key) < settings.MIN_KEY_CHARACTERS:
            raise ConfigurationError(
                f"pseudonym_key has {len(key)} characters; expected at least {settings.MIN_KEY_CHARACTERS} "
                "random ones, such as `openssl rand -base64 32` prints."
            )
        _expect(
            "api_region",
            self.api_region,
            "a region such as 'ap-guangzhou'",
            _REGION.fullmatch(str(self.api_region)),
        )
        _expect(
            "api_language", self.api_language, "'en-US' or 'zh-CN'", self.api_language in ("en-US", "zh-CN")
        )
        _check_endpoint(self.api_endpoint)
        for option, bounds in BOUNDS.items():
            value = getattr(self, option)
            _expect(option, value, str(bounds), bounds.hold(value))


def not_coerced(error: ConfigValueCannotBeCoercedException) -> ConfigurationError:
    """Return the error of a value that dlt could not make the option's type; show only one of ours."""
    if bounds := BOUNDS.get(error.field_name):
        return _wrong(error.field_name, error.field_value, str(bounds))
    expected = getattr(error.hint, "__name__", str(error.hint))
    return ConfigurationError(
        f"{error.field_name} in dlt's configuration is not of the type {expected}: correct it."
    )


def _expect(option: str, value: Any, expected: str, holds: Any) -> None:
    if not holds:
        raise _wrong(option, value, expected)


def _wrong(option: str, value: Any, expected: str) -> ConfigurationError:
    shown = without_keys(repr(value), 120)  # somebody may have pasted one into the wrong place
    return ConfigurationError(f"{option} is {shown}; expected {expected}. Set it in [{'.'.join(SECTIONS)}].")


def _names(option: str, value: Any, expected: str) -> list[str]:
    """Return the distinct names of a list, which may be JSON; a name may be given by itself."""
    given = value
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            given = json.loads(value)
        except (ValueError, RecursionError):
            _expect(option, value, expected, holds=False)
    given = given if isinstance(given, (list, tuple)) else [given]
    return list(dict.fromkeys(str(name).strip() for name in given))


def _app_ids(value: Any) -> list[str]:
    """Return the application ids."""
    expected = 'application ids of the SMS console, such as ["1400006666"]'
    app_ids = _names("sms_sdk_app_ids", value, expected)
    _expect("sms_sdk_app_ids", value, expected, app_ids and all(map(_APP_ID.fullmatch, app_ids)))
    return app_ids


def _feeds(value: Any, *, may_be_none: bool) -> list[str]:
    """Return the names of the feeds to drain; a job that has a `callback_token` may only receive."""
    expected = f"a list of {', '.join(map(repr, FEEDS))}"
    feeds = _names("pull_feeds", value, expected)
    drained = f"{expected}: without any, nothing would be drained (who only receives has a callback_token)"
    _expect("pull_feeds", value, drained, feeds or may_be_none)
    _expect("pull_feeds", value, expected, FEEDS.keys() >= set(feeds))
    return feeds


def _check_token(token: str | None) -> None:
    """Refuse a token that could be guessed, or that a URL can't hold as it is; never shows it."""
    if token is not None and not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            f"callback_token has {len(token)} characters; expected {settings.MIN_KEY_CHARACTERS} to 256 "
            "random letters, digits and - . _ ~ (a URL holds no other as it is), such as "
            "`openssl rand -hex 24` prints."
        )


def _networks(value: Any) -> list[str]:
    """Return the networks that may push."""
    expected = 'networks or addresses, such as ["203.0.113.0/24", "2001:db8::/32"]'
    networks = [name for name in _names("callback_allow", value, expected) if name]
    for name in networks:
        try:
            ipaddress.ip_network(name)
        except ValueError as error:
            _expect("callback_allow", value, f"{expected} ({error})", holds=False)
    return networks


def _absolute(journal_url: str) -> str:
    """Return the path, a relative one beside the database: in the folder where dlt puts a DuckDB file."""
    _expect("journal_url", journal_url, "a folder", journal_url.strip())
    if "://" in journal_url:
        return journal_url
    local_dir = Container()[PluggableRunContext].context.local_dir
    return str(Path(local_dir, Path(journal_url).expanduser()).absolute())


def _check_endpoint(endpoint: str) -> None:
    expected = f"https:// and a host, such as {settings.API_ENDPOINT!r}"
    shown = re.sub(r"//.*@", "//***@", endpoint, flags=re.DOTALL)  # a user's name and password
    try:
        url = urlsplit(endpoint)
        whole = url.hostname and url.port != 0 and url.path in ("", "/")
        bare = endpoint.isprintable() and " " not in endpoint and not re.search(r"[?#@]", endpoint)
    except ValueError:
        _expect("api_endpoint", shown, expected, holds=False)
        return
    _expect("api_endpoint", shown, expected, url.scheme in ("http", "https") and whole and bare)
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
    """Yield each name below the section, dotted, and where it stands: environment and TOML files."""
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
