"""The example configuration of nginx before a running gateway, kept-alive connections and all."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlay.bus.redis import RedisBus
from overlay.messages import Snapshot, decode_server
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from stream.types import StreamId
from tests.deploy.test_deploy import DEPLOY, tool
from tests.redis_server import RedisServer
from tests.vitrine.fleet_rig import fleet_rig, until

pytestmark = pytest.mark.redis


@contextlib.contextmanager
def nginx(folder: Path, port: int, upstream: str) -> Iterator[str]:
    """Our file, but for certificate and ports. Its address."""
    text = (DEPLOY / "nginx.conf").read_text()
    text = re.sub(r"listen 443 ssl", f"listen 127.0.0.1:{port}", text)
    text = re.sub(r"^\s*ssl_certificate.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^worker_processes.*$", "worker_processes 1;", text, flags=re.MULTILINE)
    text = text.replace("127.0.0.1:8080", upstream)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    text = text.replace("http {", f"http {{ access_log off; {folders}", 1)
    (folder / "nginx.conf").write_text(f"daemon off; pid {folder}/nginx.pid;\n{text}")
    command = [tool("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(command)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def test_pages_and_websockets_come_through_one_kept_alive_upstream(
    tmp_path: Path, redis_process: RedisServer, unused_tcp_port: int
) -> None:
    redis_process.flush()
    bus = RedisBus(redis_process.url)
    author = OverlayAuthor(StreamId("show"), "log")
    publisher = StreamPublisher(author, bus)
    await publisher.start()
    await publisher.publish(author.live(1, 0, 100))
    async with fleet_rig(tmp_path, redis_process.url) as rig:
        gateway = await rig.start("g", "gateway")
        with nginx(tmp_path, unused_tcp_port, gateway.url.removeprefix("http://")) as url:

            async def answers() -> bool:
                with contextlib.suppress(OSError):
                    async with rig.http.get(f"{url}/healthz") as reply:
                        return reply.status == 200
                return False

            await until(answers)
            for _ in range(10):
                async with rig.http.get(f"{url}/watch/show") as page:
                    assert page.status == 200 and "vitrine" in (await page.text()).lower()
                async with rig.http.ws_connect(f"{url}/ws/show", origin=url) as viewer:
                    await viewer.send_str('{"t":"hello","v":1}')
                    assert isinstance(decode_server((await viewer.receive(5)).data), Snapshot)
            async with rig.http.get(f"{url}/metrics") as figures:
                assert figures.status == 403, "not for the public"
    await bus.close()
