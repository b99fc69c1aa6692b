"""Tencent Cloud credentials as a dlt spec: dlt's configuration first, then where Tencent's own tools look.

    configuration (environment, secrets.toml, vaults) ─▶ TENCENTCLOUD_* variables
        ─▶ profile file ─▶ role of a CVM instance ─▶ role of a TKE pod

The last four are the official SDK's `DefaultCredentialProvider`. Only its variables are read here, because it
drops the token of temporary keys and takes half a pair for none at all.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from dlt.common import logger
from dlt.common.configuration import configspec
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs import CredentialsConfiguration, CredentialsWithDefault
from dlt.common.configuration.specs.config_providers_context import ConfigProvidersContainer
from dlt.common.configuration.specs.exceptions import NativeValueError
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.typing import TSecretStrValue
from tencentcloud.common import credential as sdk

from sms_source.errors import ConfigurationError

_LOOK_UP_SECONDS = 5.0
_SECTIONS = ("sources", "sms_source", "credentials")
_CONFIGURED = "the configuration (sources.sms_source.credentials)"
_HOW_TO = """\
No Tencent Cloud credentials were found. Give them in one of these ways:
- environment variables SOURCES__SMS_SOURCE__CREDENTIALS__SECRET_ID and …__SECRET_KEY (and …__TOKEN)
- secret_id and secret_key (and token) under [sources.sms_source.credentials] in .dlt/secrets.toml or a vault
- environment variables TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY (and TENCENTCLOUD_TOKEN)
- secret_id and secret_key under [default] in ~/.tencentcloud/credentials
- a role bound to this CVM instance or TKE pod
- in code, sms_source(credentials=…), which takes a dict or a credential object of Tencent Cloud's SDK
Keys are made on https://console.cloud.tencent.com/cam/capi"""

_lock = threading.RLock()  # one for all instances, so that dlt can copy and pickle them


class Keys(NamedTuple):
    """What signs one request: temporary credentials have a token, others None."""

    secret_id: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        """Show nothing of the keys, since this ends up in tracebacks."""
        return "Keys(***)"


@configspec
class TencentCloudCredentials(CredentialsConfiguration, CredentialsWithDefault):
    """The keys of a Tencent Cloud account, from dlt's configuration or from Tencent's default chain.

    Wherever they are from, an object of the SDK hands them out; the fields hold the last ones.

    Raises:
        ConfigurationError: on resolving, when there are no credentials, or only a part of them.
    """

    # dlt takes a field for required by its type, whatever its default; its own specs are written so.
    secret_id: str = None  # type: ignore[assignment]
    secret_key: TSecretStrValue = None  # type: ignore[assignment]
    token: TSecretStrValue | None = None

    @classmethod
    def from_sdk_credential(cls, credential: Any) -> TencentCloudCredentials:
        """Wrap a credential object of Tencent Cloud's SDK, such as `STSAssumeRoleCredential`."""
        self = cls()
        self.parse_native_representation(credential)
        return self

    def parse_native_representation(self, native_value: Any) -> None:
        """Take a credential object of Tencent Cloud's SDK, so that a source's argument can be one."""
        if not hasattr(native_value, "get_credential_info"):
            msg = f"neither a dict nor a credential object of the SDK, but a {type(native_value).__name__}"
            raise NativeValueError(type(self), "", msg)  # never the value itself: it may be a secret
        self._set_default_credentials(native_value)
        self.__is_resolved__ = True

    def on_partial(self) -> None:
        """Go on to the default chain: the configuration has no pair."""
        self.resolve()

    def on_resolved(self) -> None:
        """Check the keys that the configuration gave; without any, walk the default chain."""
        if self.is_resolved():
            return
        credential = _whole(_CONFIGURED, dict(self))
        if credential is None:
            self._look_up: Callable[[], Any] = _default_chain
            credential = _default_chain()
        else:
            with contextlib.suppress(Exception):  # keys from code work and stay, whatever is configured
                if vars(credential) == vars(_configured()):
                    self._look_up = _configured
        self._set_default_credentials(credential)

    def current(self) -> Keys:
        """Return the keys to sign the next request with; safe to call from many threads.

        The SDK's temporary credentials renew themselves here when they are about to expire. Should that
        fail, the last keys stay in use, and the server judges whether they are still good.

        Raises:
            ConfigurationError: there are no keys at all.
        """
        with _lock:
            if not self.is_resolved():
                self.resolve()
            credential, reason = self.default_credentials(), "they are empty"
            try:
                keys = Keys(*credential.get_credential_info())
                if keys.secret_id and keys.secret_key:
                    self.secret_id, self.secret_key, self.token = keys
                    return keys
            except Exception as error:  # noqa: BLE001 - it may be anything that the SDK or its HTTP raises
                reason = type(error).__name__  # not its text, which may quote a key
            msg = f"{type(credential).__name__} of Tencent Cloud's SDK handed out no keys ({reason})"
            if not self.secret_id:
                raise ConfigurationError(msg)
            logger.warning(msg)
            return Keys(self.secret_id, self.secret_key, self.token)

    def refresh(self, refused_token: str | None = None) -> None:
        """Get new keys where they can be had, after the server refused the token of the present ones.

        Never raises: when nothing newer is to be had, the present keys stay. Nothing is done when another
        token than `refused_token` is in use by now, so that threads refused together renew once.
        """
        with _lock:
            try:
                if refused_token is not None and self.current().token != refused_token:
                    return
                if hasattr(self, "_look_up"):
                    self._set_default_credentials(self._look_up() or self.default_credentials())
                else:
                    _expire(self.default_credentials())
            except Exception as error:  # noqa: BLE001 - what fails here is any provider's, vault's or SDK's
                logger.warning(f"No newer Tencent Cloud credentials ({type(error).__name__})")

    def copy(self) -> TencentCloudCredentials:
        """Return a copy that, unlike dlt's, keeps what is not a field."""
        return copy.copy(self)

    def __repr__(self) -> str:
        """Show nothing of the keys, since this ends up in tracebacks."""
        return f"{type(self).__name__}(***)"

    __str__ = __repr__


def _whole(place: str, values: Mapping[str, Any]) -> Any:
    """Return the SDK's object of the keys in `values`, without blanks around them; None without keys.

    Raises:
        ConfigurationError: there is only a part of them, and nobody can want another account's instead; or
            one of them can be no key.
    """
    secret_id, secret_key, token = (str(values.get(field) or "").strip() for field in Keys._fields)
    for field, value in zip(Keys._fields, (secret_id, secret_key, token), strict=True):
        if value.startswith("<") and value.endswith(">"):
            raise ConfigurationError(
                f"{field} in {place} is still the example's placeholder: put the real one in its place. "
                "Keys are made on https://console.cloud.tencent.com/cam/capi"
            )
        if re.search(r"[^!-~]", value):
            raise ConfigurationError(
                f"{field} in {place} has blanks or characters in it that no key has: copy it once more."
            )
    if secret_id and secret_key:
        return sdk.Credential(secret_id, secret_key, token or None)
    if secret_id or secret_key or token:
        missing = "secret_key" if secret_id else "secret_id"
        raise ConfigurationError(f"The Tencent Cloud credentials are incomplete: {place} has no {missing}.")
    return None


def _expire(credential: Any) -> None:
    """Make an SDK object fetch new keys when it is asked next, for which the SDK has no public way."""
    for name in ("_expired_ts", "_expired_time"):  # of its CVM role; of its STS and OIDC roles
        if hasattr(credential, name):
            setattr(credential, name, 0)


def _configured() -> Any:
    """Return what is configured now: dlt reads files and vaults once, so this asks providers made anew."""
    run = Container()[PluggableRunContext]
    fresh = ConfigProvidersContainer(run.context.initial_providers())
    fresh.add_extras()
    registered = [provider for provider in run.providers.providers if provider.name not in fresh]
    values: dict[str, Any] = {}
    for field in Keys._fields:
        for provider in [*fresh.providers, *registered]:
            values[field] = values.get(field) or provider.get_value(field, TSecretStrValue, "", *_SECTIONS)[0]
    return _whole(_CONFIGURED, values)


def _default_chain() -> Any:
    """Return what Tencent's own tools would use: its variables, else what the SDK's provider finds.

    Raises:
        ConfigurationError: there are no credentials, or only a part of them.
    """
    values = {field: os.environ.get(f"TENCENTCLOUD_{field.upper()}") for field in Keys._fields}
    if credential := _whole("the environment (TENCENTCLOUD_…)", values):
        return credential
    found: Future[Any] = Future()

    def look_up() -> None:
        try:
            found.set_result(sdk.DefaultCredentialProvider().get_credential())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            found.set_exception(error)

    # The SDK waits for a CVM's metadata without an end. A daemon does not keep the interpreter from ending.
    threading.Thread(target=look_up, daemon=True).start()
    try:
        return found.result(timeout=_LOOK_UP_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever the SDK meets there, there are no credentials
        msg = f"{_HOW_TO}\n(The SDK's default chain ended with {type(error).__name__}.)"
        raise ConfigurationError(msg) from None
