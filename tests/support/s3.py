"""A real S3 server on this machine, and a proxy before it that fails as it is told."""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEY, SECRET = "key", "secret"
HOP_BY_HOP = {"transfer-encoding", "connection", "content-length"}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def program() -> str | None:
    """Where rclone is, which serves a folder as S3: each folder in it is a bucket."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")


class Server:
    """`rclone serve s3` over a folder, until it is ended."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        words = [program(), "serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--addr", f"127.0.0.1:{self.port}",
                 "--vfs-cache-mode", "off", "--dir-cache-time", "0s", "--config", "/dev/null", str(folder)]  # fmt: skip
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("rclone does not answer")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Store:
    """A server as amnet finds it, by variables, for one test."""

    def __init__(self, server: Server, monkeypatch: Any, cache: Path) -> None:
        self.server, self._monkeypatch = server, monkeypatch
        for name, value in {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",  # rclone sends that of the whole file with a range
            "AMNET_CACHE": str(cache),
        }.items():
            monkeypatch.setenv(name, value)
        self.ask(server.port)

    def ask(self, port: int) -> None:
        """From now on that one is asked."""
        import fsspec

        self._monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        fsspec.get_filesystem_class("s3").clear_instance_cache()

    def bucket(self) -> Path:
        """A new bucket, as the folder that it is."""
        folder = self.server.folder / f"b{len(os.listdir(self.server.folder))}"
        folder.mkdir()
        return folder

    @contextlib.contextmanager
    def impatient(self) -> Iterator[None]:
        """Within it a request that fails is not tried again."""
        with self._monkeypatch.context() as patch:
            patch.setattr("amnet_common.remote.TRIES", 1)
            patch.setattr("s3fs.core.S3FileSystem.retries", 1)
            yield


class Proxy:
    """Pass requests on to a server on `port`, but for those that `fails` names by their number: they get 503."""

    def __init__(self, port: int, fails: Callable[[int], bool]) -> None:
        self.to, self.fails, self.count, self.failed, self.lock = port, fails, 0, 0, threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        self.server.proxy = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def failing(self) -> bool:
        """Whether the next request fails, which is counted."""
        with self.lock:
            self.count += 1
            failing = self.fails(self.count)
            self.failed += failing
        return failing

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Passing(BaseHTTPRequestHandler):
    """One request, passed on as it is: its signature covers the name of the host that was asked."""

    protocol_version = "HTTP/1.1"

    def passed_on(self) -> None:
        if self.server.proxy.failing():
            self._answer(503, {}, b"")
            return
        one = http.client.HTTPConnection("127.0.0.1", self.server.proxy.to)
        one.request(self.command, self.path, headers=dict(self.headers))
        answer = one.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
        if self.command == "HEAD":
            kept["Content-Length"] = answer.getheader("Content-Length") or "0"
        self._answer(answer.status, kept, answer.read())
        one.close()

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_HEAD = do_POST = passed_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""
