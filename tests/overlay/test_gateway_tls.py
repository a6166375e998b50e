"""The gateway behind TLS: the transport's flow control differs from a plain socket's."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.client import connect

from overlay.bus.memory import MemoryBus
from tests.overlay.builders import frame, hotspot
from tests.overlay.stage import HELLO, Stage, Viewer


@pytest.fixture
def server_context(tmp_path: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_viewer_over_tls_who_pauses_gets_the_newest_positions_and_the_close(
    server_context: ssl.SSLContext,
) -> None:
    stage = Stage(MemoryBus())
    server = await asyncio.get_running_loop().create_server(
        stage.gateway.protocol, "127.0.0.1", 0, ssl=server_context
    )
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    port = server.sockets[0].getsockname()[1]
    await stage.start_show()
    async with connect(f"wss://127.0.0.1:{port}/ws/demo", ssl=trusting, ping_interval=None) as wire:
        viewer = Viewer(wire)
        await viewer.send(HELLO)
        assert (await viewer.receive())["seq"] == 2
        for rtp in range(1, 201):  # more than the client holds while nobody reads
            stage.publisher.positions(frame(*(hotspot(spot) for spot in range(1, 30)), rtp=rtp))
            await asyncio.sleep(0.001)
        newest = 0
        while newest < 200:
            newest = (await viewer.until("pos"))["s"][-1][1]
        await stage.gateway.close(0)
        assert await viewer.close_code() == 1001
    server.close()
