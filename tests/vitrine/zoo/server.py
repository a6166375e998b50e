"""A web server that does what it is told: truncates, stalls, lies, redirects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Behaviour = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Request:
    """What a client asked."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def start(self) -> int:
        """The first byte asked for."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])


@dataclass
class Server:
    """Plays its script, one behaviour a request; the last one goes on."""

    script: Sequence[Behaviour]
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    def url(self, path: str = "/model.onnx") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            pairs = (line.split(": ", 1) for line in head[1:] if ": " in line)
            request = Request(method, target, {name.lower(): value for name, value in pairs})
            self.requests.append(request)
            await self.script[min(len(self.requests), len(self.script)) - 1](request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*script: Behaviour) -> AsyncIterator[Server]:
    server = Server(script)
    listener = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()


def head(status: str, **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def whole(data: bytes, cut: int | None = None, **headers: object) -> Behaviour:
    """Ignores ranges; ends after `cut` bytes whatever it announced."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        announced = {"Content_Length": len(data), **headers}
        writer.write(head("200 OK", **announced) + data[:cut])
        await writer.drain()

    return behave


def ranged(
    data: bytes, cut: int | None = None, etag: str = '"one"', shift: int = 0, **headers: object
) -> Behaviour:
    """Honours Range and If-Range; ends after `cut` bytes of what it was to send."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        start, fresh = request.start, request.headers.get("if-range", etag) == etag
        named = {"ETag": etag, **headers} if etag else headers
        if not start or not fresh:
            writer.write(head("200 OK", Content_Length=len(data), **named) + data[:cut])
        elif start >= len(data):
            writer.write(head("416 Range Not Satisfiable", Content_Range=f"bytes */{len(data)}"))
        else:
            rest = data[start:]
            span = f"bytes {start + shift}-{len(data) - 1}/{len(data)}"
            writer.write(head("206 Partial Content", Content_Length=len(rest), Content_Range=span, **named))
            writer.write(rest[:cut])
        await writer.drain()

    return behave


def stalling(data: bytes, after: int, etag: str = '"one"') -> Behaviour:
    """Sends `after` bytes and then nothing, without hanging up."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head("200 OK", Content_Length=len(data), ETag=etag) + data[:after])
        await writer.drain()
        await asyncio.sleep(30)

    return behave


def status(code: str, **headers: object) -> Behaviour:
    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head(code, Content_Length=0, **headers))
        await writer.drain()

    return behave
