"""What foreign pages, prefetchers, rebound names and crooked requests can send: none of it changes anything.

Raw bytes over a real socket, as a client library would tidy them up. Every attempt is made against a switch that
is on and against one that is off, with and without a token, so that an attempt which sets what is already there
does not pass for harmless.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

import pytest

from app.api.links import sign

from .conftest import Build, House
from .ticks import make_tick

AGENT = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0 Safari/537.36"
CURL = "User-Agent: curl/8.5.0"
EVIL = "http://evil.example"
TOGGLE, FLIP = "/api/toggle?state={other}", "/api/toggle"
JSON = "Content-Type: application/json"
BODY = '{{"enabled": {flag}, "target_point_w": 999}}'
GRAFANA = "http://localhost:3000/d/zero-export"
SIGNED_AND_BACK = "{signed}&redirect=" + quote(GRAFANA, safe="")


@dataclass(frozen=True)
class Attempt:
    """One request; ``{other}``, ``{flag}`` and ``{own}`` are filled in: the state that is not, and our address."""

    name: str
    method: str
    path: str
    headers: tuple[str, ...] = ()
    body: str = ""
    host: str | None = "{own}"
    last: bool = True  # say that no further request follows: the answer is complete once the server closes

    def __str__(self) -> str:
        return self.name


def navigations() -> Iterator[Attempt]:
    """A browser that is sent here, shows an image or a frame, or runs a script of a foreign page."""
    sites = {
        "typed": ["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1"],
        "link": ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", f"Referer: {EVIL}/"],
        "same site": ["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate"],
        "image": ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"],
        "script": ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"],
        "frame": ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
        "fetch": ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", f"Origin: {EVIL}"],
        "sandbox": ["Origin: null"],
        "our own origin on a GET": ["Origin: http://{own}", "Sec-Fetch-Site: same-origin"],
        "our own page as referer": ["Referer: http://{own}/"],
        "Grafana as referer": [f"Referer: {GRAFANA}"],
        "nothing but its name": [],
    }
    for name, headers in sites.items():
        yield Attempt(f"GET from {name}", "GET", TOGGLE, (AGENT, *headers))
        yield Attempt(f"flip from {name}", "GET", FLIP, (AGENT, *headers))
    for header in ("Origin: http://evil.example", "Referer: x", "Sec-Fetch-Dest: empty", "Sec-Fetch-User: ?1"):
        yield Attempt(f"no browser by name, but {header}", "GET", TOGGLE, (CURL, header))


def posts() -> Iterator[Attempt]:
    """What forms, beacons and scripts of foreign pages can post."""
    origins = {
        "foreign": EVIL,
        "null": "null",
        "empty": "",
        "our name, another port": "http://127.0.0.1:1",
        "our name as a prefix": "http://{own}.evil.example",
        "our name as a login": "http://{own}@evil.example",
        "our name as a path": "http://evil.example/{own}",
        "localhost for 127.0.0.1": "http://localhost:8080",
        "another scheme": "chrome-extension://{own}",
        "two": "http://{own} http://evil.example",
        "a list": "http://{own}, http://evil.example",
    }
    for name, origin in origins.items():
        yield Attempt(f"POST, origin {name}", "POST", TOGGLE, (AGENT, f"Origin: {origin}"))
        yield Attempt(f"PUT, origin {name}", "PUT", "/api/settings", (AGENT, f"Origin: {origin}", JSON), BODY)
    twice = ("Origin: http://{own}", f"Origin: {EVIL}")
    yield Attempt("POST with two origins", "POST", TOGGLE, (AGENT, *twice))
    yield Attempt("POST without any proof", "POST", TOGGLE, (AGENT,))
    yield Attempt("POST with a referer only", "POST", TOGGLE, (AGENT, "Referer: http://{own}/"))
    yield Attempt(
        "POST, origin ours, fetched cross-site",
        "POST",
        TOGGLE,
        (AGENT, "Origin: http://{own}", "Sec-Fetch-Site: cross-site"),
    )
    yield Attempt(
        "POST, origin foreign, said to be same-origin",
        "POST",
        TOGGLE,
        (AGENT, f"Origin: {EVIL}", "Sec-Fetch-Site: same-origin"),
    )
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; x",
        "",
    ):
        headers = (AGENT, f"Origin: {EVIL}", *((f"Content-Type: {kind}",) if kind else ()))
        yield Attempt(f"a simple form, {kind or 'no type'}", "POST", "/api/settings", headers, BODY)
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
    ):
        headers = (CURL, f"Content-Type: {kind}")
        yield Attempt(f"even without a browser, {kind} is not read", "POST", "/api/settings", headers, BODY)
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method"):
        yield Attempt(f"{header}: PUT", "GET", "/api/settings", (AGENT, f"{header}: PUT", JSON), BODY)
        yield Attempt(f"HEAD with {header}: GET", "HEAD", TOGGLE, (CURL, f"{header}: GET"))
    yield Attempt("_method=PUT", "POST", "/api/toggle?_method=PUT", (AGENT, f"Origin: {EVIL}"))
    yield Attempt(
        "a step test from elsewhere",
        "POST",
        "/api/step-test",
        (AGENT, f"Origin: {EVIL}", JSON),
        '{{"serial": "116180400001"}}',
    )


def methods() -> Iterator[Attempt]:
    """Methods that look, and must do no more; and those that browsers ask with first."""
    for method in ("HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "DELETE", "PUT", "PROPFIND", "QUERY", "get", "FOO"):
        yield Attempt(f"{method} of the toggle", method, TOGGLE, (CURL,))
    for method in ("HEAD", "OPTIONS", "GET", "PATCH", "DELETE"):
        yield Attempt(f"{method} of the settings", method, "/api/settings", (CURL, JSON), BODY)
    for asked in ("PUT", "POST", "GET"):
        headers = (
            AGENT,
            f"Origin: {EVIL}",
            f"Access-Control-Request-Method: {asked}",
            "Access-Control-Request-Headers: authorization",
        )
        yield Attempt(f"preflight for {asked}", "OPTIONS", TOGGLE, headers)
        private = "Access-Control-Request-Private-Network: true"
        yield Attempt(f"private-network preflight for {asked}", "OPTIONS", "/api/settings", (*headers, private))


def prefetches() -> Iterator[Attempt]:
    """Browsers and mail scanners that guess what somebody may open, also where the link is signed."""
    for header in (
        "Sec-Purpose: prefetch",
        "Sec-Purpose: prefetch;prerender",
        "Purpose: prefetch",
        "X-Moz: prefetch",
        "X-Purpose: preview",
    ):
        yield Attempt(f"{header} of a signed link", "GET", "{signed}", (AGENT, header))
        yield Attempt(f"{header} without a browser's name", "GET", TOGGLE, (CURL, header))
    yield Attempt("HEAD of a signed link", "HEAD", "{signed}", (AGENT,))
    yield Attempt("OPTIONS of a signed link", "OPTIONS", "{signed}", (AGENT,))


def hosts() -> Iterator[Attempt]:
    """Names that a foreign name server can give to our address, and what only looks like an address."""
    names = [
        "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "127-0-0-1.evil.example",
        "7f000001.evil.example",
        "localhost.evil.example", "evil.local.example", "pi.local.evil.example", "127.1", "0x7f.0.0.1", "0177.0.0.1",
        "127.0.0.1.5", "127.0.0.1,evil.example", "evil.example, 127.0.0.1", "user@127.0.0.1", "127.0.0.1@evil.example",
        "evil.example#127.0.0.1", "evil.example/127.0.0.1", "evil.example\\.local", "evil.example?.local",
        "[::1].evil.example",
        "[::ffff:127.0.0.1]evil.example", "evil.example:80:8080", "127.0.0.1:evil", "xn--local-.example", "évil.local",
        "..local",
        " ", "*",
    ]  # fmt: skip
    rebound = ("Origin: http://{host}", "Sec-Fetch-Site: same-origin")
    for name in names:
        yield Attempt(f"Host {name}", "GET", TOGGLE, (CURL,), host=name)
        headers = (AGENT, *(header.replace("{host}", name.strip()) for header in rebound), JSON)
        yield Attempt(f"rebound page at {name}", "PUT", "/api/settings", headers, BODY, host=name)
    yield Attempt("no Host", "GET", TOGGLE, (CURL,), host=None)
    yield Attempt("two Hosts", "GET", TOGGLE, (CURL, "Host: evil.example"))
    yield Attempt("an unknown Host with a signed link", "GET", "{signed}", (AGENT,), host="evil.example")
    yield Attempt(
        "X-Forwarded-Host is no Host", "GET", TOGGLE, (CURL, "X-Forwarded-Host: 127.0.0.1"), host="evil.example"
    )
    yield Attempt(
        "another host in the request line",
        "GET",
        "http://evil.example/api/toggle?state={other}",
        (CURL,),
        host="evil.example",
    )


REDIRECTS = [
    "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example", "\\evil.example",
    "https://evil.example", "http:evil.example", "http:/evil.example", "http:///evil.example", "javascript:alert(1)",
    "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)", "data:text/html,<script>", "vbscript:x", "file:///etc",
    "ftp://localhost:3000/", "http://localhost:3000@evil.example/", "http://evil.example@localhost:3000/", "http://localhost:3000\\@evil.example/",
    "http://localhost:3000.evil.example/", "http://localhost.evil.example:3000/", "http://evil.example:3000/", "http://localhost:30000/",
    "http://localhost/", "https://localhost:3000/", "http://localhost:3000\r\nSet-Cookie: a=b", "http://localhost:3000/\r\n\r\n<script>",
    "http://localhost:3000/\nLocation: http://evil.example", "http://localhost:3000\0.evil.example/", "http://xn--lcalhost-5fd:3000/",
    "http://l\u043ecalhost:3000/", "http://\uff4cocalhost:3000/", "http://localhost\u3002evil.example:3000/", "http://[::ffff:127.0.0.1]:3000/",
    "http://0x7f.1:3000/", "http://2130706433:3000/", "http://localhost:3000:80/", "http://localhost:0x0bb8/", "http://localhost:03000x/",
    "http://localhost%2eevil.example:3000/", "http://localhost%00.evil.example:3000/", "http://localhost:3000%40evil.example/",
    "/", "..", "?x", "#x", "",
    "\ufeffhttp://localhost:3000/", "http://localhost:3000/\u2028", "http://localhost:3000/" + "x" * 3000,
]  # fmt: skip


def redirects() -> Iterator[Attempt]:
    """Where a redirect could lead: curl would change something, so a bad one must hold it up."""
    for url in REDIRECTS:
        shown = url.encode("unicode_escape").decode()[:40]
        yield Attempt(f"redirect={shown}", "GET", f"{TOGGLE}&redirect={quote(url, safe='')}", (CURL,))
    for url in ("//evil.example", "javascript:alert(1)"):
        yield Attempt(f"browser, redirect={url}", "GET", f"{TOGGLE}&redirect={quote(url, safe='')}", (AGENT,))
        signed = f"{{signed}}&redirect={quote(url, safe='')}"
        yield Attempt(f"signed, redirect={url}", "GET", signed, (AGENT,))
    both = f"&redirect={quote(GRAFANA, safe='')}&redirect={quote(EVIL, safe='')}"
    yield Attempt("two redirects", "GET", TOGGLE + both, (CURL,))
    yield Attempt(
        "Host as a way to redirect",
        "POST",
        TOGGLE,
        (AGENT, "Origin: http://evil.example", "Accept: text/html"),
        host="evil.example",
    )


def parameters() -> Iterator[Attempt]:
    """Links that are signed, but not for this; and parameters that are there twice."""
    yield Attempt("signed for the other state", "GET", "{signed_other}", (AGENT,))
    yield Attempt("expired", "GET", "{expired}", (AGENT,))
    yield Attempt("expired, without a browser", "GET", "{expired}", (CURL,))
    yield Attempt("signed by another installation", "GET", "{foreign}", (AGENT,))
    yield Attempt("signed, and one digit changed", "GET", "{tampered}", (AGENT,))
    yield Attempt("signed, and its end moved", "GET", "{later}", (AGENT,))
    yield Attempt("signed, and its end moved, without a browser", "GET", "{later}", (CURL,))
    yield Attempt("signed for a flip", "GET", "{flip}", (AGENT,))
    yield Attempt("signed, and a second state", "GET", "{signed}&state={other}", (AGENT,))
    yield Attempt("signed, and a second signature", "GET", "{signed}&sig=00", (AGENT,))
    yield Attempt("signed, sent by POST from elsewhere", "POST", "{tampered}", (AGENT, f"Origin: {EVIL}"))
    yield Attempt("a signature of nothing", "GET", "/api/toggle?state={other}&exp=&sig=", (CURL,))
    yield Attempt("an end that is no number", "GET", "/api/toggle?state={other}&exp=never&sig={sig_never}", (AGENT,))
    for query in (
        "state=ON",
        "state=1",
        "state=",
        "state={other}&state={other}",
        "state=on%00",
        "state=%6f%6e%20",
        "state[]=on",
    ):
        yield Attempt(f"?{query}", "GET", f"/api/toggle?{query}&x", (CURL,) if "[]" not in query else (AGENT,))


def framing() -> Iterator[Attempt]:
    """Requests whose end is a matter of opinion: a second one may be hidden in the first."""
    yield from (replace(attempt, last=False) for attempt in _hidden())


def _hidden() -> Iterator[Attempt]:
    hidden = "GET /api/toggle?state={other} HTTP/1.1\r\nHost: {own}\r\n\r\n"
    length = f"Content-Length: {len(hidden) + 40}"
    browser = (AGENT, f"Origin: {EVIL}")
    yield Attempt("hidden in a body", "POST", "/api/settings", (*browser, JSON, length), hidden)
    yield Attempt(
        "length and chunks",
        "POST",
        "/api/settings",
        (*browser, "Content-Length: 4", "Transfer-Encoding: chunked"),
        "0\r\n\r\n" + hidden,
    )
    yield Attempt(
        "chunks and length",
        "POST",
        "/api/settings",
        (*browser, "Transfer-Encoding: chunked", "Content-Length: 4"),
        "0\r\n\r\n" + hidden,
    )
    yield Attempt(
        "two lengths",
        "POST",
        "/api/settings",
        (*browser, "Content-Length: 0", f"Content-Length: {len(hidden)}"),
        hidden,
    )
    yield Attempt("a signed length", "POST", "/api/settings", (*browser, "Content-Length: +0"), hidden)
    yield Attempt(
        "chunks, twice said",
        "POST",
        "/api/settings",
        (*browser, "Transfer-Encoding: chunked, chunked"),
        "0\r\n\r\n" + hidden,
    )
    yield Attempt("chunks, badly said", "POST", "/api/settings", (*browser, "Transfer-Encoding: xchunked"), hidden)
    yield Attempt(
        "chunks with a blank before the colon",
        "POST",
        "/api/settings",
        (*browser, "Transfer-Encoding : chunked"),
        "0\r\n\r\n" + hidden,
    )
    yield Attempt("a folded header", "POST", "/api/settings", (*browser, "X: y\r\n Content-Length: 0"), hidden)
    yield Attempt("a line feed alone", "GET", "/healthz", (AGENT, f"X: y\n\n{hidden}"))
    yield Attempt("a bare return", "GET", "/healthz", (AGENT, "X: y\r\r" + hidden.replace("\r\n", "\r")))
    yield Attempt("a line break in the path", "GET", "/healthz HTTP/1.1\r\nHost: pi\r\nX: /api/toggle", (AGENT,))


def paths() -> Iterator[Attempt]:
    """Other ways to write the path of the toggle: what is not it must not be taken for it."""
    yield Attempt("a path with dots", "GET", "/web/../api/toggle?state={other}", (AGENT,))
    yield Attempt("a path with codes", "GET", "/api%2ftoggle?state={other}", (CURL,))
    yield Attempt("a path with two slashes", "GET", "//api/toggle?state={other}", (CURL,))
    yield Attempt("a path with another case", "GET", "/API/toggle?state={other}", (CURL,))
    yield Attempt("a path with a point", "GET", "/api/toggle/?state={other}", (CURL,))
    yield Attempt("a parameter in the path", "GET", "/api/toggle;state={other}", (CURL,))


FAMILIES = (navigations, posts, methods, prefetches, hosts, redirects, parameters, framing, paths)
CORPUS = [attempt for family in FAMILIES for attempt in family()]
ALLOWED_ORIGINS = {"http://localhost:3000", "http://localhost:8080"}


def filled(text: str, house: House) -> str:
    """The text with the values of this server."""
    other = "off" if house.enabled else "on"
    now = "on" if house.enabled else "off"
    key, end = house.store.signing_key, str(int(house.utc_s + 60))

    def link(state: str, *, until: str = end, by: bytes = key, exp: str | None = None, spoil: bool = False) -> str:
        signature = sign(by, state, until)
        signature = ("0" if signature[0] != "0" else "1") + signature[1:] if spoil else signature
        return f"/api/toggle?state={state}&exp={exp or until}&sig={signature}"

    values = {
        "other": other,
        "flag": "false" if house.enabled else "true",
        "own": f"127.0.0.1:{house.server.port}",
        "signed": link(other),
        "signed_other": link(now).replace(f"state={now}", f"state={other}"),
        "expired": link(other, until=str(int(house.utc_s - 1))),
        "foreign": link(other, by=b"x" * 32),
        "tampered": link(other, spoil=True),
        "later": link(other, exp=str(int(house.utc_s + 99_999))),
        "flip": link(other).replace(f"state={other}&", ""),
        "sig_never": "0" * 64,
    }
    return text.format(**values)


async def send(attempt: Attempt, house: House) -> bytes:
    """All that the server answers before it closes the connection, or has nothing more to say."""
    path = filled(attempt.path, house)
    body = filled(attempt.body, house)
    headers = [filled(header, house) for header in attempt.headers]
    lines = [f"{attempt.method} {path} HTTP/1.1"]
    lines += [] if attempt.host is None else [f"Host: {filled(attempt.host, house)}"]
    lines += [*headers, "Connection: close"] if attempt.last else headers
    if body and not any(
        header.lower().startswith(("content-length", "transfer-encoding", "x: y")) for header in headers
    ):
        lines.append(f"Content-Length: {len(body.encode())}")
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write("\r\n".join([*lines, "", body]).encode("utf-8", "surrogateescape"))
    answer = b""
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(5.0 if attempt.last else 0.15):
            while more := await reader.read(65536):
                answer += more
    writer.transport.abort()
    return answer


@pytest.fixture(params=["", "sunshine"], ids=["no token", "token"])
async def house(request: pytest.FixtureRequest, build: Build) -> House:
    house = await build(token=request.param)
    house.hub.publish(make_tick())
    return house


@pytest.mark.parametrize("attempt", CORPUS, ids=str)
async def test_nothing_changes_and_nothing_leads_elsewhere(house: House, attempt: Attempt) -> None:
    for enabled in (True, False):
        house.store.update(enabled=enabled, source="test")
        before = house.store.current
        answer = await send(attempt, house)
        assert house.store.current == before, answer[:300]
        assert house.tests.request is None
        head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
        assert "access-control-" not in head.lower()
        assert "set-cookie" not in head.lower()
        for location in re.findall(r"(?im)^location: *(.*?)\r?$", head):
            parts = urlsplit(location)
            assert f"{parts.scheme}://{parts.netloc}" in ALLOWED_ORIGINS, location
        assert not re.match(r"HTTP/1\.[01] 5\d\d", head), head


def test_there_are_enough_of_them_and_none_is_there_twice() -> None:
    assert len(CORPUS) >= 80
    assert len({attempt.name for attempt in CORPUS}) == len(CORPUS)
    for family in FAMILIES:
        assert len(list(family())) >= 5


ALLOWED = [
    Attempt("curl flips", "GET", FLIP, (CURL,)),
    Attempt("curl sets", "GET", TOGGLE, (CURL,)),
    Attempt("curl posts", "POST", TOGGLE, (CURL,)),
    Attempt("a script puts", "PUT", "/api/settings", (CURL, JSON), '{{"enabled": {flag}}}'),
    Attempt("curl by a local name", "GET", TOGGLE, (CURL,), host="pi.local:8080"),
    Attempt("curl on to Grafana", "GET", f"{TOGGLE}&redirect={quote(GRAFANA, safe='')}", (CURL,)),
    Attempt("no User-Agent at all", "GET", TOGGLE, ()),
    Attempt("our own page", "PUT", "/api/settings", (AGENT, "Origin: http://{own}", JSON), '{{"enabled": {flag}}}'),
    Attempt("the page that asks", "POST", TOGGLE, (AGENT, "Origin: http://{own}", "Sec-Fetch-Site: same-origin")),
    Attempt("the same without scripts", "POST", TOGGLE, (AGENT, "Origin: http://{own}", "Accept: text/html")),
    Attempt("Grafana's link", "GET", "{signed}", (AGENT, "Sec-Fetch-Site: cross-site", "Referer: http://grafana.test/")),
    Attempt("and back to Grafana", "GET", SIGNED_AND_BACK, (AGENT, f"Referer: {GRAFANA}")),
]  # fmt: skip


@pytest.mark.parametrize("attempt", ALLOWED, ids=str)
async def test_what_has_to_work_works(house: House, attempt: Attempt) -> None:
    """The corpus is no proof where nothing gets through at all."""
    if house.config.token and "{signed}" not in attempt.path:
        attempt = replace(attempt, headers=(*attempt.headers, f"Authorization: Bearer {house.config.token}"))
    answer = await send(attempt, house)
    assert not house.enabled, answer[:300]
    if "redirect" in attempt.path:
        assert f"\r\nLocation: {GRAFANA}\r\n".encode() in answer
