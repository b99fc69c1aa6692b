"""A store that takes next to no CPU: what of S3 the journal uses, in memory, each answer after a delay.

    python -m tests.s3.light_store --delay 0.1

For measuring alone: moto's server, which the tests use, takes more CPU for a request than the connector does,
so that on one machine it is the server that is measured. Prints its port; ends with its standard input.
"""

import argparse
import asyncio
import hashlib
import re
import sys
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_KEY = re.compile(rb"<Key>(.*?)</Key>")
_MODIFIED = "2026-01-01T00:00:00.000Z"

Answer = tuple[int, dict[str, str], bytes]


class LightStore:
    """Buckets that need not be made, with conditional writes.

    Args:
        delay: seconds before each answer.
    """

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._objects: dict[str, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *rest = head.decode("latin-1").split("\r\n")
                headers = {n.lower(): v.strip() for n, _, v in (h.partition(":") for h in rest if h)}
                if "expect" in headers:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, target, _ = line.split(" ")
                status, more, content = self._answer(method, target, headers, body)
                await asyncio.sleep(self._delay)
                fields = {"Content-Length": str(len(content)), **more}
                lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode())
                writer.write(content if method != "HEAD" else b"")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        url = urlsplit(target)
        key, query = unquote(url.path).lstrip("/"), parse_qs(url.query, keep_blank_values=True)
        if method == "PUT":
            return self._put(key, headers, body)
        if method == "POST":  # removes several
            for found in _KEY.findall(body):
                self._objects.pop(f"{key.rstrip('/')}/{found.decode()}", None)
            return 200, {}, b"<DeleteResult></DeleteResult>"
        if method == "DELETE":
            self._objects.pop(key, None)
            return 204, {}, b""
        if "list-type" in query:
            return 200, {"Content-Type": "application/xml"}, self._list(key.rstrip("/"), query)
        if key not in self._objects:
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        content = self._objects[key]
        fields = {"ETag": _etag(content), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        return 200, {**fields, "Content-Length": str(len(content))}, content

    def _put(self, key: str, headers: dict[str, str], body: bytes) -> Answer:
        there = self._objects.get(key)
        if "if-match" in headers and there is None:
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        is_other = there is not None and headers.get("if-match", _etag(there)) != _etag(there)
        if is_other or ("if-none-match" in headers and there is not None):
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        if "x-amz-copy-source" in headers:
            body = self._objects[unquote(headers["x-amz-copy-source"]).lstrip("/")]
            self._objects[key] = body
            return 200, {}, f"<CopyObjectResult><ETag>{_etag(body)}</ETag></CopyObjectResult>".encode()
        self._objects[key] = body
        return 200, {"ETag": _etag(body)}, b""

    def _list(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        delimiter = query.get("delimiter", [""])[0]
        after = query.get("continuation-token", [""])[0]
        items: dict[str, str] = {}
        for path in self._objects:
            name = path.removeprefix(f"{bucket}/")
            if not name.startswith(prefix):
                continue
            first, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            if cut:
                folder = f"{prefix}{first}{delimiter}"
                items[folder] = f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            else:
                size = len(self._objects[path])
                items[name] = (
                    f"<Contents><Key>{escape(name)}</Key><LastModified>{_MODIFIED}</LastModified>"
                    f"<ETag>x</ETag><Size>{size}</Size></Contents>"
                )
        names = sorted(name for name in items if name > after)
        page = names[:1_000]
        is_more = len(names) > len(page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if is_more else ""
        return (
            f"<ListBucketResult><IsTruncated>{str(is_more).lower()}</IsTruncated>{token}"
            + "".join(items[name] for name in page)
            + "</ListBucketResult>"
        ).encode()


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


async def _main(delay: float) -> None:
    server = await asyncio.start_server(LightStore(delay).serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS")
    asyncio.run(_main(parser.parse_args().delay))
