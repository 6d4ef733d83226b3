"""Requests as bytes: hostile filters of the admin's lists, methods, paths, headers, and what is no HTTP.

Made from what `plant` says of the installation, the same ones for the same seed; those that the description
calls for come from `recording`.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from tests.fuzzing.plant import Plant
from tests.fuzzing.recording import Recorded
from tests.fuzzing.replay import address_of
from tests.serving import BY_TLS, HOST

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "INVENTED", "CONNECT")
# As they stand in an address.
VALUES = (
    *("", "0", "-1", "1_0", "%D9%A3", "nan", "1e400", "9" * 20, "9" * 400, "x" * 600, "x%20" * 300),
    *("%00", "a%00b", "%ED%A0%80", "%FF", "%EF%BF%BF", "%F0%9F%92%A9", "%0D%0AX:%20y", "%25", "..%2F.."),
    *("%5B", "(((((", "%5B'", "1,x", ",", "'", "{}", "true", "None", "on", "_5F00", "*", ".", "-", "2.-1.x"),
    *("0001-01-01", "9999-12-31", "10000-01-01", "2026-13-45", "0", "9999", "10000", "13"),
    *("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "9999-12-31%2023:59:59"),
)
PARAMETERS = (
    *("page", "page_size", "ordering", "search", "format", "lang", "version", "title", "script", "session"),
    *("before", "kind", "after", "section", "order", "band", "term", "score", "actual", "explain", "next"),
    *(
        "status",
        "anomaly",
        "model_version",
        "created_after",
        "detected_before",
        "available",
        "_popup",
        "x%00",
    ),
    *("_changelist_filters", "_to_field", "app_label", "model_name", "field_name", "groups", "moved"),
)
HEADERS = (
    *("Authorization", "Cookie", "Host", "Accept", "Accept-Language", "Accept-Encoding", "Content-Type"),
    *("Content-Length", "Content-Encoding", "Transfer-Encoding", "Expect", "Idempotency-Key", "Prefer"),
    *("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-ID", "Origin", "Referer"),
    *("If-Modified-Since", "If-None-Match", "Range", "X-CSRFToken", "X-HTTP-Method-Override", "Upgrade"),
)
TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\x01",
        "\xff\xfe",
        "\xed\xa0\x80",
        "é",
        "x" * 8_000,
        "0",
        "-1",
        "9" * 30,
        "null",
        ",,,",
    ),
    *("Token", "Token ", "Token \xff", "Token a b", "Basic eA==", "Basic \xff", "sessionid=\xff; csrftoken="),
    *('sessionid="\\000"', "sessionid=" + "x" * 32, "text/html", "*/*;q=x", "application/json;charset=x"),
    *("multipart/form-data", "multipart/form-data; boundary=\xff", "gzip", "chunked", "chunked, gzip", "100"),
    *("100-continue", "bytes=9-0", "respond-async, wait=x", "fr-\xff,*;q=9", "a.example:x", "[::1", "https"),
)
BODIES = (
    *(
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[{}]",
        b"\x00",
        b"\xff\xfe",
        b'{"a":"\\ud800"}',
        b'{"\\ud800":1}',
        b"a=b",
    ),
    *(b"[" * 60, b'{"a":1,"a":2}', b"--x\r\n\r\n\r\n--x--\r\n", b"_selected_action=x&action=export"),
)
RAW = (
    *(b"\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G\x00T / HTTP/1.1\r\n\r\n"),
    *(b"get /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\n\r\n"),
    *(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"\x16\x03\x01\x02\x00"),
    *(b"GET /livez HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n", b"GET /livez HTTP/1.1\r\nA: b\r\n c\r\n\r\n"),
    *(
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"* * HTTP/1.1\r\n\r\n",
    ),
    *(b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"GET http://x/livez HTTP/1.1\r\nHost: x\r\n\r\n"),
    *(b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
    b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
)
SPARED = ("/logout/", "/tokenproxy/", "/auth/user/", "/password")  # or nobody is known any more


@dataclass(frozen=True, kw_only=True)
class Wire:
    """The bytes of one request. `is_http`: the server must answer, and not only close."""

    label: str
    method: str
    content: bytes
    is_http: bool = True

    @property
    def patience(self) -> float:
        """Seconds to wait for an answer, which does not come where more bytes were announced."""
        return 60 if self.is_http else 3

    def as_json(self) -> str:
        content = base64.b64encode(self.content).decode()
        return json.dumps({**self.__dict__, "content": content})

    @classmethod
    def from_json(cls, line: str) -> "Wire":
        found = json.loads(line)
        return cls(**{**found, "content": base64.b64decode(found["content"])})


def hostile(plant: Plant, count: int, *, number: int = 1) -> Iterator[Wire]:
    """So many, of every kind alike; `number` is the seed."""
    random = Random(number)  # nothing secret
    kinds: tuple[Callable[[Plant, Random], Wire], ...] = (_list, _list, _route, _route, _query, _header, _raw)
    for position in range(count):
        yield kinds[position % len(kinds)](plant, random)


def described(plant: Plant, recorded: Iterable[Recorded]) -> Iterator[tuple[Recorded, Wire]]:
    """The requests that `recording` made, with who asks."""
    for one in recorded:
        headers = (
            dict(one.headers) if one.stranger else {"Authorization": f"Token {plant.token}"} | one.headers
        )
        target = quote(address_of(one, plant.rows), safe="/?&=%:;,+~!*()'@$[]-._")
        label = f"{one.method} {one.template}"
        yield (
            one,
            Wire(label=label, method=one.method, content=request(one.method, target, headers, one.content)),
        )


def request(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """One whole request; what is given takes the place of what is usual."""
    usual = {"Host": HOST, **BY_TLS, "Content-Length": str(len(body)), "Connection": "close"}
    if body:
        usual["Content-Type"] = "application/json"
    given = {name.lower() for name in headers}
    lines = {name: value for name, value in usual.items() if name.lower() not in given} | dict(headers)
    head = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())]
    return "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + body


def _list(plant: Plant, random: Random) -> Wire:
    path = random.choice(list(plant.lists))
    names = random.sample(plant.lists[path], random.choice([1, 1, 2]))
    query = "&".join(f"{name}={random.choice(VALUES)}" for name in names)
    page = random.choice([path, path, path, f"{path}export/"]) if path.endswith("anomaly/") else path
    return _wire("GET", f"{page}?{query}", _session(plant))


def _route(plant: Plant, random: Random) -> Wire:
    pattern = random.choice(plant.patterns)
    target = pattern.replace("{}", random.choice(VALUES) or "0")
    if random.random() < 0.5:
        target = random.choice(plant.pages)
    method = random.choice(METHODS)
    if method == "POST" and any(part in target for part in SPARED):
        method = "GET"
    who = random.choice([{}, {"Authorization": f"Token {plant.token}"}, _session(plant)])
    body = random.choice(BODIES) if method not in {"GET", "HEAD"} else b""
    if body and target.startswith("/admin/"):
        who = who | {"Content-Type": "application/x-www-form-urlencoded"}
    return _wire(method, target, who, body)


def _query(plant: Plant, random: Random) -> Wire:
    pages = [page for page in plant.pages if not page.startswith("/admin/auth")]
    query = "&".join(f"{random.choice(PARAMETERS)}={random.choice(VALUES)}" for _ in range(2))
    path = random.choice(pages)
    who = _session(plant) if path.startswith("/admin") else {"Authorization": f"Token {plant.token}"}
    return _wire("GET", f"{path}?{query}", who)


def _header(plant: Plant, random: Random) -> Wire:
    path, method = random.choice(plant.pages), random.choice(["GET", "POST"])
    if any(part in path for part in SPARED):
        method = "GET"
    who = _session(plant) if path.startswith("/admin") else {"Authorization": f"Token {plant.token}"}
    name = random.choice(HEADERS)
    value = random.choice(TEXTS)
    return _wire(method, path, who | {name: value}, b"{}" if method == "POST" else b"", label=name)


def _raw(_plant: Plant, random: Random) -> Wire:
    content = random.choice(RAW)
    return Wire(label=f"raw {content[:40]!r}", method="GET", content=content, is_http=False)


def _session(plant: Plant) -> dict[str, str]:
    return {
        "Cookie": f"sessionid={plant.session}; csrftoken={plant.csrf}",
        "X-CSRFToken": plant.csrf,
        "Referer": f"https://{HOST}/admin/",
    }


def _wire(method: str, target: str, headers: Mapping[str, str], body: bytes = b"", label: str = "") -> Wire:
    content = request(method, target, headers, body)
    known = {"Content-Length", "Transfer-Encoding", "Expect", "Upgrade"}
    return Wire(
        label=f"{method} {target[:200]} {label}".rstrip(),
        method=method,
        content=content,
        is_http=label not in known and method != "CONNECT",
    )
