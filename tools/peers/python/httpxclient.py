"""Speaks HTTP/2 with an edge by httpx, and says what passed."""

import asyncio
import hashlib
import json
import socket
import sys

import httpx

at = json.loads(sys.argv[1])
fields = {"x-workload": "h2c"} if at["h2c"] else {}
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda _host, *rest, **more: resolve("127.0.0.1", *rest, **more)  # no resolver knows the name
with open(at["file"], "rb") as f:
    data = f.read()
whole = f'{at["length"]} {at["sum"]}'


async def ask(c, method, path, **more):
    r = await c.request(method, f'https://{at["host"]}:{at["port"]}{path}', headers={**fields, **more.pop("headers", {})}, **more)
    assert r.http_version == "HTTP/2", r.http_version
    return r


async def pieces(body):
    for i in range(0, len(body), 1 << 16):
        yield body[i : i + (1 << 16)]


async def send(c, path, body):
    return await ask(c, "POST", path, content=pieces(body), headers={"content-length": str(len(body))})


async def upload(c):
    assert (await send(c, "/sum", data)).text == whole


async def download(c):
    assert hashlib.sha256((await ask(c, "GET", "/parts/bytes")).content).hexdigest() == at["sum"]


async def early(c):
    # httpx looks for an answer when it has sent all, and waits for ever for room on a stream that was reset
    # meanwhile. So this is more than the windows, and no more than is sent before the edge stops it.
    r = await send(c, "/parts/early", data[: 2 << 20])
    assert r.status_code == 413 and len(r.content) == at["early"], r


async def head(c):
    r = await ask(c, "HEAD", "/file")
    assert r.headers["content-length"] == "36" and not r.content, r


async def not_modified(c):
    r = await ask(c, "GET", "/file", headers={"if-none-match": '"v1"'})
    assert r.status_code == 304 and not r.content, r


async def hints(c):
    assert (await ask(c, "GET", "/hints")).text == "final"


async def concurrent(c):
    for i, r in enumerate(await asyncio.gather(*(ask(c, "GET", f"/bytes/{i % 9 * 20000}") for i in range(90)))):
        assert r.status_code == 200 and len(r.content) == i % 9 * 20000, r


cases = {"upload": upload, "download": download, "head": head, "not-modified": not_modified, "hints": hints, "concurrent": concurrent, "early": early}


async def main():
    async with httpx.AsyncClient(http2=True, verify=at["ca"], timeout=60, limits=httpx.Limits(max_connections=1)) as c:
        for name in at["cases"]:
            await cases[name](c)
            print("passed", name, flush=True)
        await download(c)


asyncio.run(main())
