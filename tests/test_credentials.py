"""Credentials: where they are found, in which order, how they renew, and that they never show."""

from __future__ import annotations

import copy
import json
import pickle
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import dlt
import pytest
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import InvalidNativeValue
from dlt.common.configuration.providers import ConfigProvider, EnvironProvider
from dlt.common.configuration.specs.config_providers_context import ConfigProvidersContainer
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from tencentcloud.common.credential import (
    Credential,
    CVMRoleCredential,
    STSAssumeRoleCredential,
)

import sms_source.credentials
from sms_source.credentials import Keys, TencentCloudCredentials
from sms_source.errors import ConfigurationError

PREFIX = "SOURCES__SMS_SOURCE__CREDENTIALS__"
TENCENT = "TENCENTCLOUD_"
NO_SERVER = "http://127.0.0.1:9"


@dlt.source(name="sms_source", section="sms_source")
def injected(credentials: TencentCloudCredentials = dlt.secrets.value) -> Any:
    """Return a source that hands out the credentials which dlt gave it."""
    return dlt.resource([credentials], name="credentials")


def resolve(explicit: Any = dlt.secrets.value) -> TencentCloudCredentials:
    """Return what a source's function gets for its argument `credentials`."""
    (credentials,) = injected(explicit)
    assert isinstance(credentials, TencentCloudCredentials)
    return credentials


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide an empty home and project, without a network and without the developer's own credentials."""
    for name in ("SECRET_ID", "SECRET_KEY", "TOKEN"):
        monkeypatch.delenv(TENCENT + name, raising=False)
        monkeypatch.delenv(PREFIX + name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path))
    reach_metadata_by(NO_SERVER, monkeypatch)
    return tmp_path


def reach_metadata_by(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a server of the test in the place of a CVM's metadata service."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setattr(urllib.request, "_opener", None)  # which keeps the proxy of its first request


def configure(monkeypatch: pytest.MonkeyPatch, prefix: str = PREFIX, **values: str) -> None:
    """Set variables of dlt's configuration, or of Tencent Cloud's tools."""
    for name, value in values.items():
        monkeypatch.setenv(prefix + name.upper(), value)


def write_secrets(project: Path, **values: str) -> None:
    """Write a project's own secrets.toml."""
    lines = "".join(f'{name} = "{value}"\n' for name, value in values.items())
    (project / ".dlt").mkdir(exist_ok=True)
    (project / ".dlt" / "secrets.toml").write_text(f"[sources.sms_source.credentials]\n{lines}")


def write_profile(home: Path, text: str) -> None:
    """Write the profile file of Tencent Cloud's tools, in a home folder."""
    (home / ".tencentcloud").mkdir()
    (home / ".tencentcloud" / "credentials").write_text(text, encoding="utf-8")


@pytest.fixture
def read_anew(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make dlt read the files of its configuration as a new process would."""
    run = Container()[PluggableRunContext]

    def read() -> None:
        monkeypatch.setattr(run, "providers", ConfigProvidersContainer(run.context.initial_providers()))

    return read


class TestConfiguration:
    """dlt's own ways of configuration."""

    def test_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The documented environment variables give id, key and token."""
        configure(monkeypatch, secret_id="id", secret_key="key", token="token")
        assert resolve().current() == ("id", "key", "token")

    def test_secrets_toml(self, home: Path, read_anew: Any) -> None:
        """The documented section of a project's secrets.toml gives the keys."""
        write_secrets(home, secret_id="id", secret_key="key")
        read_anew()
        assert resolve().current() == ("id", "key", None)

    def test_dict(self) -> None:
        """A dict in code gives the keys."""
        assert resolve({"secret_id": "id", "secret_key": "key"}).current() == ("id", "key", None)

    def test_dict_beside_half_a_configuration(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keys from code work whatever the configuration holds, and may be completed by it."""
        configure(monkeypatch, secret_id="configured-id")
        assert resolve({"secret_id": "id", "secret_key": "key"}).current() == ("id", "key", None)
        assert resolve({"secret_key": "key"}).current() == ("configured-id", "key", None)

    def test_instance(self) -> None:
        """An instance made in code gives the keys, injected or used on its own."""
        credentials = TencentCloudCredentials(secret_id="id", secret_key="key")
        assert credentials.current() == ("id", "key", None)
        assert resolve(credentials).current() == ("id", "key", None)

    def test_configuration_wins_over_the_default_chain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the project says counts, whatever else lies on the machine."""
        configure(
            monkeypatch, TENCENT, secret_id="machine-id", secret_key="machine-key", token="machine-token"
        )
        configure(monkeypatch, secret_id="id", secret_key="key")
        assert resolve().current() == ("id", "key", None)

    def test_blanks_around_keys_do_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A new line after a mounted or pasted secret does no harm."""
        configure(monkeypatch, secret_id=" id", secret_key="key\n", token="\n")
        assert resolve().current() == ("id", "key", None)

    @pytest.mark.parametrize(
        ("given", "missing"),
        [("secret_id", "no secret_key"), ("secret_key", "no secret_id"), ("token", "no secret_id")],
    )
    @pytest.mark.parametrize("empty", [True, False])
    def test_part_of_the_keys_is_an_error_that_names_the_rest(
        self, monkeypatch: pytest.MonkeyPatch, given: str, missing: str, *, empty: bool
    ) -> None:
        """Half a pair never leads to the keys of another account, and the error names what is missing."""
        configure(monkeypatch, TENCENT, secret_id="another-id", secret_key="another-key")
        if empty:
            configure(monkeypatch, secret_id="", secret_key="", token="")
        configure(monkeypatch, **{given: "a-secret-value"})
        with pytest.raises(ConfigurationError, match=missing) as caught:
            resolve()
        assert "a-secret-value" not in str(caught.value)

    @pytest.mark.parametrize("value", ["just-a-secret-string", 5])
    def test_something_else_is_an_error_that_does_not_show_it(self, value: Any) -> None:
        """A value of the wrong type is named by its type only."""
        with pytest.raises(InvalidNativeValue, match=type(value).__name__) as caught:
            resolve(value)
        assert "just-a-secret-string" not in str(caught.value)


class TestDefaultChain:
    """Where Tencent Cloud's own tools look, in their order."""

    def test_environment_with_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Temporary keys in Tencent's own variables keep the token, which the SDK drops."""
        configure(monkeypatch, TENCENT, secret_id="id", secret_key="key")
        assert resolve().current() == ("id", "key", None)
        configure(monkeypatch, TENCENT, token="token")
        assert resolve().current() == ("id", "key", "token")

    def test_empty_configuration_counts_as_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Variables that are set to nothing, as container files do, are no credentials."""
        configure(monkeypatch, secret_id="", secret_key="", token="")
        configure(monkeypatch, TENCENT, secret_id="id", secret_key="key")
        assert resolve().current() == ("id", "key", None)

    def test_profile_file(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The profile file in the home folder gives the keys, unless variables do."""
        write_profile(home, "[default]\nsecret_id = file-id\nsecret_key = file-k%y\n")
        assert resolve().current() == ("file-id", "file-k%y", None)
        configure(monkeypatch, TENCENT, secret_id="id", secret_key="key")
        assert resolve().current() == ("id", "key", None)

    def test_half_a_pair_is_an_error(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Half a pair in the environment does not lead to the profile file's account."""
        write_profile(home, "[default]\nsecret_id = file-id\nsecret_key = file-key\n")
        configure(monkeypatch, TENCENT, secret_id="an-id")
        with pytest.raises(ConfigurationError, match=r"environment \(TENCENTCLOUD_…\) has no secret_key"):
            resolve()

    @pytest.mark.parametrize("text", ["[other]\nsecret_id = x\n", "secret_key no-section-here\n", "\0"])
    def test_unusable_profile_file_ends_in_the_full_advice(self, home: Path, text: str) -> None:
        """A profile file that can't be read neither crashes nor shows its content."""
        write_profile(home, text)
        with pytest.raises(ConfigurationError, match="No Tencent Cloud credentials were found") as caught:
            resolve()
        assert "no-section-here" not in str(caught.value)

    def test_no_credentials_anywhere_names_every_way_to_give_them(self) -> None:
        """Without credentials, the error lists all the places for them."""
        with pytest.raises(ConfigurationError) as caught:
            resolve()
        for way in (
            f"{PREFIX}SECRET_ID",
            "secrets.toml",
            "TENCENTCLOUD_SECRET_ID",
            "~/.tencentcloud/credentials",
            "CVM",
            "TKE",
            "credentials=",
            "https://console.cloud.tencent.com/cam/capi",
        ):
            assert way in str(caught.value)

    def test_role_of_a_cvm_instance(self, metadata: type[Metadata], monkeypatch: pytest.MonkeyPatch) -> None:
        """On a CVM instance, the keys of its role are used, and `refresh` asks for newer ones."""
        reach_metadata_by(metadata.address, monkeypatch)
        credentials = resolve()
        assert credentials.current() == ("i-1", "k-1", "t-1")
        for _ in range(2):
            credentials.refresh("t-1")
            assert credentials.current() == ("i-2", "k-2", "t-2")

    def test_metadata_service_that_never_answers_does_not_hang(
        self, silence: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A network that swallows the metadata request ends in a clear error."""
        monkeypatch.setattr(sms_source.credentials, "_LOOK_UP_SECONDS", 0.2)
        reach_metadata_by(silence, monkeypatch)
        with pytest.raises(ConfigurationError, match=r"were found(?s:.*)ended with TimeoutError"):
            resolve()

    def test_role_of_a_tke_pod(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a TKE pod, the SDK's OIDC credential takes over, which asks for keys when they are needed."""
        (home / "web-identity").write_text("jwt", encoding="utf-8")
        monkeypatch.setenv("TKE_REGION", "ap-guangzhou")
        monkeypatch.setenv("TKE_PROVIDER_ID", "p")
        monkeypatch.setenv("TKE_WEB_IDENTITY_TOKEN_FILE", str(home / "web-identity"))
        monkeypatch.setenv("TKE_ROLE_ARN", "qcs::cam::uin/1:roleName/r")
        assert type(resolve().default_credentials()).__name__ == "OIDCRoleArnCredential"


class Metadata(BaseHTTPRequestHandler):
    """A CVM's metadata service, whose keys are new at every request."""

    count: ClassVar[int]
    address: ClassVar[str]

    def do_GET(self) -> None:
        """Answers with the role's name, or with the role's next keys."""
        kind = type(self)
        answer = b"role"
        if self.path.endswith("/role"):
            kind.count += 1
            answer = json.dumps(
                {
                    "Code": "Success",
                    "TmpSecretId": f"i-{kind.count}",
                    "TmpSecretKey": f"k-{kind.count}",
                    "Token": f"t-{kind.count}",
                    "ExpiredTime": int(time.time()) + 7200,
                }
            ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def metadata() -> Iterator[type[Metadata]]:
    """Provide a metadata service on this machine, which the SDK reaches as its HTTP proxy."""

    class Handler(Metadata):
        count = 0

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Handler.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield Handler
        server.shutdown()


@pytest.fixture
def silence() -> Iterator[str]:
    """Provide a server that accepts connections and never answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        yield f"http://127.0.0.1:{server.server_port}"


class RotatingRole(STSAssumeRoleCredential):  # type: ignore[misc]
    """The SDK's STS credential, with a local mint in place of the network."""

    def __init__(self) -> None:
        """Start with nothing minted."""
        super().__init__("long-id", "long-key", "arn", "session")
        self.minted = 0
        self.broken = False

    def get_sts_tmp_role_arn(self) -> None:
        """Mints the next keys."""
        if self.broken:
            msg = "AccessDenied for k-1"
            raise OSError(msg)
        self.minted += 1
        self._tmp_secret_id, self._tmp_secret_key = f"i-{self.minted}", f"k-{self.minted}"
        self._token = f"t-{self.minted}"
        self._expired_time = int(time.time()) + 3600


class TestSdkCredential:
    """Credential objects of Tencent Cloud's SDK."""

    def test_static(self) -> None:
        """A static credential is taken as it is."""
        credentials = TencentCloudCredentials.from_sdk_credential(Credential("id", "key", "token"))
        assert credentials.current() == ("id", "key", "token")

    def test_as_argument_of_a_source(self) -> None:
        """An SDK object can be given for a source's argument, wrapped or not."""
        assert resolve(RotatingRole()).current() == ("i-1", "k-1", "t-1")
        wrapped = TencentCloudCredentials.from_sdk_credential(RotatingRole())
        assert resolve(wrapped).current() == ("i-1", "k-1", "t-1")

    def test_as_default_of_a_source(self) -> None:
        """An SDK object can be the default of a source's argument, which dlt copies."""
        default = TencentCloudCredentials.from_sdk_credential(RotatingRole())

        @dlt.source(name="sms_source", section="sms_source")
        def with_default(credentials: TencentCloudCredentials = default) -> Any:
            return dlt.resource([credentials], name="credentials")

        (credentials,) = with_default()
        assert credentials.current() == ("i-1", "k-1", "t-1")
        assert credentials.copy().current() == ("i-1", "k-1", "t-1")

    def test_renews_itself_when_it_has_expired(self) -> None:
        """Expired keys are replaced at the next request."""
        role = RotatingRole()
        credentials = TencentCloudCredentials.from_sdk_credential(role)
        assert credentials.current().token == "t-1"
        role._expired_time = 0
        assert credentials.current() == ("i-2", "k-2", "t-2")

    def test_refresh_makes_it_mint_new_keys(self) -> None:
        """After a refused token, new keys are minted though the old ones have not expired."""
        credentials = TencentCloudCredentials.from_sdk_credential(RotatingRole())
        assert credentials.current().token == "t-1"
        credentials.refresh()
        assert credentials.current() == ("i-2", "k-2", "t-2")

    def test_threads_refused_together_refresh_once(self) -> None:
        """Sixteen threads that were refused with one token mint one new set of keys."""
        role = RotatingRole()
        credentials = TencentCloudCredentials.from_sdk_credential(role)
        refused = credentials.current().token
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(credentials.refresh, [refused] * 16))
        assert role.minted == 2

    def test_refresh_that_fails_keeps_the_old_keys(self) -> None:
        """A refresh never raises; the present keys stay in use, now and at their expiry."""
        role = RotatingRole()
        credentials = TencentCloudCredentials.from_sdk_credential(role)
        before = credentials.current()
        role.broken = True
        credentials.refresh()
        assert credentials.current() == before
        role._expired_time = 0
        assert credentials.current() == before
        role.broken = False
        assert credentials.current().token == "t-2"

    def test_without_keys_is_a_configuration_error(self) -> None:
        """An object that can't get keys is named, and what it said is not quoted."""
        role = RotatingRole()
        role.broken = True
        with pytest.raises(ConfigurationError, match=r"RotatingRole .* \(OSError\)") as caught:
            TencentCloudCredentials.from_sdk_credential(role).current()
        assert "k-1" not in str(caught.value)

    def test_role_of_a_cvm_refreshes(self, metadata: type[Metadata], monkeypatch: pytest.MonkeyPatch) -> None:
        """The SDK's CVM role is made to ask its metadata service again."""
        reach_metadata_by(metadata.address, monkeypatch)
        credentials = TencentCloudCredentials.from_sdk_credential(CVMRoleCredential("role"))
        assert credentials.current().token == "t-1"
        assert credentials.current().token == "t-1"
        credentials.refresh()
        assert credentials.current() == ("i-2", "k-2", "t-2")

    def test_threads_never_see_keys_that_do_not_belong_together(self) -> None:
        """While keys rotate, sixteen threads always get id, key and token of one set."""
        role = RotatingRole()
        credentials = TencentCloudCredentials.from_sdk_credential(role)

        def look(_: int) -> bool:
            role._expired_time = 0
            keys = credentials.current()
            return keys == tuple(f"{letter}-{keys.secret_id[2:]}" for letter in "ikt")

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(look, range(500)))


class Vault(ConfigProvider):
    """A live secrets provider, as a program may register one with dlt."""

    name = "vault"
    supports_secrets = supports_sections = True
    version = 1

    def get_value(self, key: str, hint: Any, pipeline_name: str | None, *sections: str) -> tuple[Any, str]:  # noqa: ARG002 - dlt's interface
        """Asks the vault for a field of the credentials."""
        found = sections == ("sources", "sms_source", "credentials")
        return (f"{key}-{self.version}" if found else None), key


class TestRefreshOfConfiguration:
    """Keys that came from dlt's configuration are looked up there again."""

    def test_newer_secrets_toml(self, home: Path, read_anew: Any) -> None:
        """A secrets.toml that was rewritten meanwhile, which dlt read once, gives the new keys."""
        write_secrets(home, secret_id="id-1", secret_key="key-1", token="token-1")
        read_anew()
        credentials = resolve()
        write_secrets(home, secret_id="id-2", secret_key="key-2", token="token-2")
        credentials.refresh("another")
        assert credentials.current() == ("id-1", "key-1", "token-1")
        credentials.refresh("token-1")
        assert credentials.current() == ("id-2", "key-2", "token-2")
        write_secrets(home, secret_id="half")
        credentials.refresh()
        assert credentials.current() == ("id-2", "key-2", "token-2")
        (home / ".dlt" / "secrets.toml").unlink()
        credentials.refresh()
        assert credentials.current() == ("id-2", "key-2", "token-2")

    @pytest.mark.parametrize("prefix", [PREFIX, TENCENT])
    def test_newer_environment(self, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
        """A process that sets its variables anew gets the new keys."""
        configure(monkeypatch, prefix, secret_id="id-1", secret_key="key-1")
        credentials = resolve()
        configure(monkeypatch, prefix, secret_id="id-2", secret_key="key-2")
        assert credentials.current() == ("id-1", "key-1", None)
        credentials.refresh()
        assert credentials.current() == ("id-2", "key-2", None)
        monkeypatch.delenv(f"{prefix}SECRET_ID")
        credentials.refresh()
        assert credentials.current() == ("id-2", "key-2", None)

    def test_vault_that_the_program_registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A provider that is not dlt's own is asked again, too."""
        vault = Vault()
        monkeypatch.setattr(
            Container()[PluggableRunContext],
            "providers",
            ConfigProvidersContainer([EnvironProvider(), vault]),
        )
        credentials = resolve()
        assert credentials.current() == ("secret_id-1", "secret_key-1", "token-1")
        vault.version = 2
        credentials.refresh("token-1")
        assert credentials.current() == ("secret_id-2", "secret_key-2", "token-2")

    def test_keys_given_in_code_never_give_way_to_configured_ones(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keys from code stay, though the configuration holds those of another account."""
        configure(monkeypatch, secret_id="another-id", secret_key="another-key")
        credentials = resolve({"secret_id": "id", "secret_key": "key"})
        credentials.refresh()
        assert credentials.current() == ("id", "key", None)

    def test_resolved_by_hand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Credentials that a script resolves itself, outside a source, refresh too."""
        configure(monkeypatch, secret_id="id-1", secret_key="key-1")
        credentials = resolve_configuration(TencentCloudCredentials(), sections=("sources", "sms_source"))
        configure(monkeypatch, secret_key="key-2")
        credentials.refresh()
        assert credentials.current() == ("id-1", "key-2", None)


class TestSecrecy:
    """Keys and tokens never show where people or logs look."""

    def test_representations_hide_everything(self) -> None:
        """Neither the credentials nor a set of keys show a secret when they are printed."""
        credentials = resolve({"secret_id": "id-s3cret", "secret_key": "key-s3cret", "token": "token-s3cret"})
        for value in (credentials, credentials.current()):
            for shown in (repr(value), str(value), f"{value}", f"{value!r}", repr([value])):
                assert "s3cret" not in shown

    def test_no_native_representation(self) -> None:
        """There is no native form in which dlt could print them."""
        with pytest.raises(NotImplementedError):
            resolve({"secret_id": "id", "secret_key": "key"}).to_native_representation()

    def test_copies_keep_the_keys(self) -> None:
        """Credentials can be copied and pickled, as dlt does for its workers."""
        credentials = resolve({"secret_id": "id", "secret_key": "key"})
        for twin in (credentials.copy(), copy.deepcopy(credentials), pickle.loads(pickle.dumps(credentials))):  # noqa: S301
            assert twin.current() == Keys("id", "key", None)
