"""The page and its few requests, on the standard library's HTTP server and on 127.0.0.1 alone.

Others on this machine, and pages of other origins in the same browser, are kept out: each request names the host that
was printed, and each that does something carries a token that stands in the page alone.

GET / and its files; PUT /photo?name=NAME (the bytes): its number; POST /drop (numbers): the drop's number;
POST /look ({head, drop}): what the head sees.
"""

import json
import secrets
import urllib.parse
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from amnet_common.commands import printable
from amnet_common.errors import AmnetError
from headtrain.app.looking import Looking, Photo

HOST = "127.0.0.1"
MOST_BYTES = 200_000_000  # of a photograph
MOST_PHOTOS = 40  # dropped together
MOST_JSON = 100_000  # bytes of a request that is no photograph
CHUNK = 1 << 20
TOKEN = "X-Amnet-Token"
SAFE = {"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}  # fmt: skip


class RefusedError(Exception):
    """Report a request that is not served, with its HTTP status."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serve the page of some heads on 127.0.0.1. `port` 0: any that is free. Raises OSError."""

    daemon_threads = True

    def __init__(self, looking: Looking, work: Path, port: int = 0) -> None:
        super().__init__((HOST, port), Handler)
        self.looking, self.work, self.token = looking, work, secrets.token_urlsafe(16)
        self.photos: dict[int, Photo] = {}

    @property
    def url(self) -> str:
        """Return the address of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def pages(self) -> dict[str, tuple[str, bytes]]:
        """Return type and bytes of each file of the page, by its path."""
        here, report = files("headtrain.app"), files("headtrain.report")
        html = here.joinpath("page.html").read_text("utf-8").replace("{token}", self.token)
        css = report.joinpath("page.css").read_text("utf-8") + here.joinpath("app.css").read_text("utf-8")
        return {
            "/": ("text/html", html.encode()),
            "/app.css": ("text/css", css.encode()),
            "/app.js": ("text/javascript", here.joinpath("app.js").read_bytes()),
        }


class Handler(BaseHTTPRequestHandler):
    """Serve one request."""

    server: Server
    timeout = 60  # seconds without a byte

    def do_GET(self) -> None:
        """Give a file of the page, or the heads."""
        self._answered(self._get)

    def do_PUT(self) -> None:
        """Take the bytes of a photograph."""
        self._answered(self._put)

    def do_POST(self) -> None:
        """Take a drop together, or look at one."""
        self._answered(self._post)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""

    def _get(self) -> tuple[str, bytes]:
        path = urllib.parse.urlsplit(self.path).path
        if path == "/heads":
            return as_json([{"name": name, "text": printable(name)} for name in self.server.looking.heads])
        pages = self.server.pages()
        if path not in pages:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such page")
        return pages[path]

    def _put(self) -> tuple[str, bytes]:
        self._refuse_strangers()
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        name = query.get("name", ["photograph"])[0]
        number, length = secrets.randbits(52), self._length(MOST_BYTES)
        path = self.server.work / f"{number}{Path(name).suffix if Path(name).suffix.isascii() else ''}"[:40]
        with open(path, "wb") as file:
            while length > 0:
                data = self.rfile.read(min(CHUNK, length))
                if not data:
                    raise RefusedError(HTTPStatus.BAD_REQUEST, "the photograph ended early")
                file.write(data)
                length -= len(data)
        self.server.photos[number] = Photo(printable(name)[:200], path)
        return as_json(number)

    def _post(self) -> tuple[str, bytes]:
        self._refuse_strangers()
        try:
            asked = json.loads(self.rfile.read(self._length(MOST_JSON)))
            if self.path == "/drop":
                return self._dropped([int(number) for number in asked])
            head, drop = str(asked["head"]), int(asked["drop"])
        except (ValueError, KeyError, TypeError) as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "a request that is none of the page's") from error
        if self.path != "/look":
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such page")
        return as_json(self.server.looking.look(head, drop))

    def _dropped(self, numbers: Sequence[int]) -> tuple[str, bytes]:
        """Put photographs together. KeyError for one that is not there."""
        if not 1 <= len(numbers) <= MOST_PHOTOS:
            why = f"expected 1 to {MOST_PHOTOS} photographs at a time, found {len(numbers)}"
            raise RefusedError(HTTPStatus.BAD_REQUEST, why)
        return as_json(self.server.looking.drop([self.server.photos.pop(number) for number in numbers]))

    def _answered(self, answer: Any) -> None:  # noqa: ANN401 - a method
        try:
            if self.headers.get("Host") not in {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}:
                raise RefusedError(HTTPStatus.FORBIDDEN, "another host than the one that was printed")
            kind, body = answer()
            self._send(HTTPStatus.OK, kind, body)
        except RefusedError as error:
            self._send(error.status, *as_json({"error": str(error)}))
        except (AmnetError, OSError) as error:
            if not isinstance(error, ConnectionError | TimeoutError):
                self._send(HTTPStatus.UNPROCESSABLE_ENTITY, *as_json({"error": printable(str(error))}))

    def _refuse_strangers(self) -> None:
        if not secrets.compare_digest(self.headers.get(TOKEN, "").encode(), self.server.token.encode()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "a request of another page; reload this one")

    def _length(self, most: int) -> int:
        text = self.headers.get("Content-Length", "")
        if not text.isdecimal() or int(text) > most:
            self.close_connection = True
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {most} bytes, found {text or 'none'}"
            )
        return int(text)

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**SAFE, "Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def as_json(value: object) -> tuple[str, bytes]:
    """Return the type and the bytes of a JSON value."""
    return "application/json", json.dumps(value, allow_nan=False).encode()
