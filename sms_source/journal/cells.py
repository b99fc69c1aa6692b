"""The object that a lease is in: replaced on condition, by S3's conditional writes or as well as can be.

Amazon S3 has had them since 2024; Cloudflare R2, MinIO and Ceph have them too. What fsspec reaches besides,
and an S3 look-alike that passes over the condition, is read, compared and then written: another's write may
come in between. Of two holders that begin at once the one that wrote last stays, and the other one is told
before it loads anything.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec

from sms_source.cleaning import without_keys
from sms_source.errors import JournalError
from sms_source.journal.lease import Version

F = TypeVar("F", bound=Callable[..., Any])


def as_os_error(method: F) -> F:
    """Have a method raise `OSError`: every client library has errors of its own."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except JournalError:
            raise
        except OSError as error:
            error.args = tuple(without_keys(each) if isinstance(each, str) else each for each in error.args)
            if isinstance(error.strerror, str):
                error.strerror = without_keys(error.strerror)
            raise
        except Exception as error:
            raise OSError(without_keys(f"{type(error).__name__}: {error}")) from error

    return call  # type: ignore[return-value]


_NO_TAG = '"00000000000000000000000000000000"'


class S3Cell:
    """An object in S3.

    Args:
        files: s3fs.
        path: of the object.
    """

    is_atomic = True

    def __init__(self, files: fsspec.AbstractFileSystem, path: str) -> None:
        self._files = files
        bucket, key, _ = files.split_path(path)
        self._place = {"Bucket": bucket, "Key": key}

    @as_os_error
    def read(self) -> Version | None:
        """Return what is there, and its ETag."""
        try:
            found = self._files.call_s3("get_object", **self._place)
        except OSError as error:
            if _status(error) == (404, "NoSuchKey"):
                return None
            raise
        body = fsspec.asyn.sync(self._files.loop, found["Body"].read)
        return Version(body, found["ETag"])

    @as_os_error
    def replace(self, content: bytes, tag: str | None) -> str:
        """Replace the version with this ETag, or, with None, nothing; return the ETag of the new one."""
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        try:
            answer = self._files.call_s3("put_object", **self._place, Body=content, **condition)
        except OSError as error:
            status, code = _status(error)
            # 409: another conditional write of the object is under way.
            if status in (409, 412) or code == "NoSuchKey":
                raise FileExistsError(f"{self._place['Key']}: another version is there") from error
            raise
        return str(answer["ETag"])


@functools.cache
def has_conditional_writes(files: fsspec.AbstractFileSystem, path: str) -> bool:
    """Try a write that the store must refuse, of an object that is not there; once a process.

    Raises:
        OSError: the store fails.
    """
    if not hasattr(files, "call_s3"):
        return False
    try:
        S3Cell(files, path).replace(b"", _NO_TAG)
    except FileExistsError:
        return True
    except OSError as error:
        if _status(error)[0] == 501:
            return False
        raise
    return False  # the condition was passed over


class PlainCell:
    """An object in a store without conditional writes.

    Args:
        files: of fsspec.
        path: of the object.
    """

    is_atomic = False

    def __init__(self, files: fsspec.AbstractFileSystem, path: str) -> None:
        self._files = files
        self._path = path

    @as_os_error
    def read(self) -> Version | None:
        """Return what is there; its tag is the content itself, as no two writes of a lease are equal."""
        try:
            content = bytes(self._files.cat_file(self._path))
        except FileNotFoundError:
            return None
        return Version(content, content.hex())

    @as_os_error
    def replace(self, content: bytes, tag: str | None) -> str:
        """Replace the version with this tag, if it is there just before."""
        found = self.read()
        if (found.tag if found else None) != tag:
            raise FileExistsError(f"{self._path}: another version is there")
        self._files.pipe_file(self._path, content)
        return content.hex()


def _status(error: OSError) -> tuple[int, str]:
    """Return the HTTP status and the code that S3 answered with; s3fs has them in the error's cause."""
    response: Any = getattr(error.__cause__, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status, response.get("Error", {}).get("Code", "")
