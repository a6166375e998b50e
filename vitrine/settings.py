"""The configuration tree: one frozen struct per section, defaults included. `vitrine.config` loads it.

Every struct refuses unknown keys. Checks that need more than a type stand in `__post_init__` and say what was
got, what was expected and how to fix it; the loader adds the key and where it was set.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from inference.types import Rung
from stream.types import stream_id
from vitrine.addresses import is_loopback, playlist_url, web_url
from vitrine.secret import Secret as Secret
from vitrine.studio.settings import FleetConfig

Port = Annotated[int, Meta(ge=0, le=65535)]
Millis = Annotated[int, Meta(ge=0, le=3_600_000)]
Kilobits = Annotated[int, Meta(ge=50, le=100_000)]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]

EVERY_STREAM = "*"
"""Name in [republish] and [playlists] that stands for all streams without an entry of their own."""

_RUNG = re.compile(r"(\d{2,4})(?:x(\d{2,4}))?")
_OTHER = re.compile(r"(.+\.onnx)(?:@(.*))?")


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[server]: the public port.

    Attributes:
        host: address to listen on; 127.0.0.1 keeps the engine to this machine.
        port: TCP port of pages, WHIP, WHEP and websockets; 0 picks a free one.
        data_dir: state: keys, certificate, catalogue, ledger.
        tls: off, self-signed (made and kept in data_dir) or files (cert and key).
        cert: PEM chain, with tls = files.
        key: PEM private key, with tls = files.
        origins: pages of other sites let in, exact ("https://shop.example"); the same origin always is.
        public_url: address people use when a proxy stands in front.
        max_streams: streams this process admits; further ones get 503.
        force_admission: also admit a stream for which the inference device has no room; all get less then.
        trace: file to which the times of every overlay are written, for measurements.
        reuse_port: several processes may listen on the port; the system spreads connections over them.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    data_dir: Path = Path("vitrine-data")
    tls: Literal["off", "self-signed", "files"] = "off"
    cert: Path | None = None
    key: Path | None = None
    origins: tuple[str, ...] = ()
    public_url: str = ""
    max_streams: Annotated[int, Meta(ge=1, le=1000)] = 16
    force_admission: bool = False
    trace: Path | None = None
    reuse_port: bool = False

    def __post_init__(self) -> None:
        if self.tls == "files" and not (self.cert and self.key):
            raise ValueError("tls = 'files' needs both cert and key (PEM files)")
        if self.tls != "files" and (self.cert or self.key):
            raise ValueError(f"cert and key are read only with tls = 'files'; got tls = {self.tls!r}")
        if self.public_url:
            web_url("public_url", self.public_url, "https://live.example")
        for origin in self.origins:
            web_url("origins", origin, "https://shop.example")
            if urlsplit(origin).path.rstrip("/") or "*" in origin:
                raise ValueError(
                    f"origins: got {origin!r}, expected scheme, host and port only, without wildcards"
                )


class RtcConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[rtc]: WebRTC media.

    Attributes:
        udp_ports: "lo-hi", the only UDP ports used; empty lets the system choose.
        public_ip: address put into candidates when the machine sits behind one-to-one NAT.
        loopback: on gathers 127.0.0.1 only; auto does so when server.host is a loopback address.
        media_timeout_ms: a publisher that sends nothing for so long is gone.
        start_kbps: bitrate a publisher is asked to start with.
        max_kbps: bitrate a publisher is allowed.
        pace_kbps: a viewer is sent bursts, such as keyframes, no faster than this.
    """

    udp_ports: str = ""
    public_ip: str = ""
    loopback: Literal["auto", "on", "off"] = "auto"
    media_timeout_ms: Annotated[int, Meta(ge=500, le=60_000)] = 2500
    start_kbps: Kilobits = 2500
    max_kbps: Kilobits = 4000
    pace_kbps: Annotated[int, Meta(ge=1000, le=1_000_000)] = 25_000

    def __post_init__(self) -> None:
        self.port_range()
        if self.public_ip:
            try:
                ipaddress.ip_address(self.public_ip)
            except ValueError:
                raise ValueError(f"public_ip: got {self.public_ip!r}, expected an IP address") from None
        if self.start_kbps > self.max_kbps:
            raise ValueError(f"start_kbps {self.start_kbps} is above max_kbps {self.max_kbps}")

    def port_range(self) -> tuple[int, int] | None:
        """`udp_ports` as (lowest, highest), None when the system chooses."""
        if not self.udp_ports:
            return None
        found = re.fullmatch(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", self.udp_ports)
        low, high = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= low <= high <= 65535:
            raise ValueError(f"udp_ports: got {self.udp_ports!r}, expected 'lo-hi' such as '50000-50100'")
        return low, high


class InferenceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[inference]: models and their budget.

    Attributes:
        detector: ONNX file; unset uses the embedded one.
        embedder: ONNX file; unset uses the embedded one.
        rungs: input sizes of the model ladder ("416" or "640x384"); empty takes the model's own. Further
            models join it as "fast.onnx@320", or "fast.onnx" with its own sizes.
        regions: look only where the tracks are, and at the whole picture every so often: never, busy (when
            the largest size cannot be afforded) or always (which spares the processor).
        enough_hz: detections a second that are enough for a stream, which spares the processor; what is
            pinned or was just tapped gets more. 0: every frame that time allows.
        doze_ms: a stream not watched for so long is hardly decoded; one look every two seconds. 0: never.
        min_score: detections below are ignored; low ones still help to follow an object.
        budget_ms: from a frame's last packet to its overlay; a detector run beyond it is cancelled.
        threads: ONNX threads per session; 0 decides by the number of cores.
        provider: auto takes CUDA where it really works, else the CPU; TensorRT has to be asked for.
        half: 16-bit floating point on a GPU; the CPU computes as before.
        cuda_graphs: record a run once and replay it; runs can then no longer be stopped at their deadline.
        engines: folder for TensorRT's engines, which take minutes to build; unset keeps none.
        show_unsure: also show hotspots whose product is not known.
        family: the detector's family, where its file does not show it; empty looks at the file.
        names: the detector's class names, where its file does not hold them.
        products: classes that are products ("*dress"); empty takes all that are neither persons nor ignored.
        persons: classes that are people: never products, and nothing on them is taken for a part of one.
        ignore: classes that are forgotten at once.
    """

    detector: Path | None = None
    embedder: Path | None = None
    rungs: tuple[int | str, ...] = ()
    regions: Literal["never", "busy", "always"] = "busy"
    enough_hz: Annotated[int, Meta(ge=0, le=240)] = 0
    doze_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 10_000
    min_score: Unit = 0.1
    budget_ms: Annotated[int, Meta(ge=5, le=10_000)] = 60
    threads: Annotated[int, Meta(ge=0, le=256)] = 0
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto"
    half: bool = False
    cuda_graphs: bool = False
    engines: Path | None = None
    show_unsure: bool = False
    family: str = ""
    names: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    persons: tuple[str, ...] = ("person",)
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.ladder()
        self.others()
        for key in ("names", "products", "persons", "ignore"):
            if not all(name.strip() for name in getattr(self, key)):
                raise ValueError(f"{key}: got an empty name, expected names of classes")

    def ladder(self) -> tuple[Rung, ...]:
        """`rungs` as sizes in pixels, smallest first; empty means the model's own."""
        own = {_rung(item) for item in self.rungs if not _OTHER.fullmatch(str(item))}
        return tuple(sorted(own, key=lambda r: (r.width * r.height, r)))

    def others(self) -> dict[Path, tuple[Rung, ...]]:
        """Further models of the ladder and their sizes; none means a model's own."""
        found: dict[Path, tuple[Rung, ...]] = {}
        for item in self.rungs:
            if other := _OTHER.fullmatch(str(item).strip()):
                sizes = () if other[2] is None else (_rung(other[2]),)
                found[Path(other[1])] = found.get(Path(other[1]), ()) + sizes
        return found


def _rung(item: int | str) -> Rung:
    found = _RUNG.fullmatch(str(item).strip())
    if not found:
        raise ValueError(
            f"rungs: got {item!r}, expected a size in pixels such as 416 or '640x384', or a "
            "further model such as 'fast.onnx@320'"
        )
    rung = Rung(int(found[1]), int(found[2] or found[1]))
    if min(rung[:2]) < 32 or max(rung[:2]) > 2048 or rung.width % 32 or rung.height % 32:
        raise ValueError(f"rungs: got {item!r}, expected multiples of 32 between 32 and 2048")
    return rung


class OverlayConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[overlay]: what viewers get to see.

    Attributes:
        max_hotspots: at once in the picture.
        dwell_ms: a product must have been in the picture so long before its hotspot appears.
        show_similar: also show products that are similar to what is seen, marked as such.
        latency_ms: how far viewers hold back their video so that boxes arrive first; 0 learns it.
        max_viewers: websocket connections accepted; further ones get 503.
    """

    max_hotspots: Annotated[int, Meta(ge=1, le=32)] = 8
    dwell_ms: Millis = 150
    show_similar: bool = True
    latency_ms: Annotated[int, Meta(ge=0, le=4000)] = 0
    max_viewers: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000


class SearchConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[search]: viewers' searches in the picture.

    Attributes:
        enabled: viewers may search; off keeps no video at all.
        keep_ms: how far back moments can be searched.
        memory_mb: encoded video kept per stream, at most.
        keyframe_ms: how often a publisher is asked for a keyframe, from which moments decode; 0 never asks.
        whole_catalogue: also find products that are not in the show's list.
        per_second: searches one viewer may make.
        device_share: share of the inference device's time that all searches together may take.
    """

    enabled: bool = True
    keep_ms: Annotated[int, Meta(ge=1000, le=3_600_000)] = 180_000
    memory_mb: Annotated[int, Meta(ge=1, le=4096)] = 64
    keyframe_ms: Annotated[int, Meta(ge=0, le=60_000)] = 2000
    whole_catalogue: bool = True
    per_second: Annotated[float, Meta(gt=0, le=100)] = 4.0
    device_share: Annotated[float, Meta(gt=0, le=1)] = 0.1


class BusConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[bus]: how nodes share a stream.

    Attributes:
        url: "memory" for one process, or redis://, rediss://, unix://, redis+cluster:// with any node of a
            cluster, redis+sentinel://host:port,host:port/service (all may hold a password).
    """

    url: Secret = Secret("memory")

    def __post_init__(self) -> None:
        schemes = ("redis", "rediss", "redis+cluster", "redis+sentinel", "unix")
        if not self.alone and urlsplit(self.url.reveal()).scheme not in schemes:
            raise ValueError("url: expected 'memory' or an address such as redis://localhost:6379/0")

    @property
    def alone(self) -> bool:
        """This process is the whole engine."""
        return self.url.reveal() == "memory"


class CatalogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[catalog]: the products.

    Attributes:
        feed: product feed (Merchant TSV, CSV, XML, JSONL; Shopify; schema.org), a path or an http address.
        format: of the feed, where neither its ending nor its content shows it; see 'vitrine catalog import'.
        currency: of feeds that do not name theirs (Shopify): an ISO 4217 code.
        refresh_ms: the feed is read again this often, for prices and stock; 0 reads it at start only.
        prune: products that left the feed are removed.
        shop: "static" (cards from the feed) or the http address of a shop adapter.
        index: "local" (in data_dir), or postgresql://user:password@host/database with pgvector, which several
            nodes share.
        own_seller: the host's own shop as the feed names it in `seller`; others are labelled on their cards.
        partners: sellers preferred over strangers for the same product.
        link_hosts: host names that product links may lead to; empty allows all.
    """

    feed: str = ""
    format: Literal["", "tsv", "csv", "jsonl", "xml", "shopify", "schema.org"] = ""
    currency: str = ""
    refresh_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 600_000
    prune: bool = False
    shop: str = "static"
    index: Secret = Secret("local")
    own_seller: str = ""
    partners: tuple[str, ...] = ()
    link_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.currency and not re.fullmatch("[A-Za-z]{3}", self.currency):
            raise ValueError(f"currency: got {self.currency!r}, expected an ISO 4217 code such as EUR")
        schemes = ("postgresql", "postgres")
        if self.index.reveal() != "local" and urlsplit(self.index.reveal()).scheme not in schemes:
            raise ValueError("index: expected 'local' or postgresql://user:password@host:5432/database")
        if 0 < self.refresh_ms < 1000:
            raise ValueError(f"refresh_ms: got {self.refresh_ms}, expected 0 or at least 1000")
        if self.shop != "static":
            web_url("shop", self.shop, "https://shop.example/vitrine")

    @property
    def index_server(self) -> str:
        """Address of the index that nodes share; empty where each has its own."""
        address = self.index.reveal()
        return "" if address == "local" else address


class AuthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[auth]: one key per role; what is not set is generated at first start and kept in data_dir/keys.json.

    Attributes:
        publish_key: may publish to any stream.
        host_key: may pin and hide.
        operator_key: may read figures and metrics.
        viewer_tokens: viewers need a token; otherwise anyone who reaches the port may watch.
        secret: signs tokens (HS256); the same on every node.
    """

    publish_key: Secret = Secret()
    host_key: Secret = Secret()
    operator_key: Secret = Secret()
    viewer_tokens: bool = False
    secret: Secret = Secret()

    def __post_init__(self) -> None:
        for name in ("publish_key", "host_key", "operator_key"):
            key: Secret = getattr(self, name)
            if key and len(key.reveal()) < 8:
                raise ValueError(f"{name}: got {len(key.reveal())} characters, expected at least 8")
        if self.secret and len(self.secret.reveal()) < 32:
            raise ValueError(f"secret: got {len(self.secret.reveal())} characters, expected at least 32")


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration, read once. Three sections map stream names to addresses.

    [sources]: where a stream is pulled from. [republish]: where it is sent on to by WHIP. [playlists]: the
    HLS playlist that its viewers watch instead of WHEP; public. In the last two the name "*" stands for every
    stream, {stream} in the address for its name.
    """

    server: ServerConfig = field(default_factory=ServerConfig)
    rtc: RtcConfig = field(default_factory=RtcConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    overlay: OverlayConfig = field(default_factory=OverlayConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    bus: BusConfig = field(default_factory=BusConfig)
    fleet: FleetConfig = field(default_factory=FleetConfig)
    catalog: CatalogConfig = field(default_factory=CatalogConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    sources: dict[str, Secret] = field(default_factory=dict)
    republish: dict[str, Secret] = field(default_factory=dict)
    playlists: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.bus.alone and self.fleet.role != "all":
            raise ValueError(
                f"fleet: role {self.fleet.role!r} needs nodes that share a bus; set bus.url to a Redis server"
            )
        for name, url in self.republish.items():
            if name != EVERY_STREAM:
                stream_id(name)
            if urlsplit(url.reveal()).scheme not in ("whip", "whips"):
                raise ValueError(f"republish {name!r}: expected an address such as whips://TOKEN@host/path")
        for name, address in self.playlists.items():
            if name != EVERY_STREAM:
                stream_id(name)
            playlist_url(f"playlist {name!r}", address)
        for name, url in self.sources.items():
            stream_id(name)
            if not url:
                raise ValueError(f"source {name!r}: got an empty address, expected a file or a URL")

    def republish_to(self, stream: str) -> str:
        """Where `stream` is sent on to; empty when nowhere."""
        url = self.republish.get(stream) or self.republish.get(EVERY_STREAM)
        return url.reveal().replace("{stream}", stream) if url else ""

    def playlist_of(self, stream: str) -> str:
        """The HLS playlist that viewers of `stream` watch; empty where they watch WHEP."""
        address = self.playlists.get(stream) or self.playlists.get(EVERY_STREAM) or ""
        return address.replace("{stream}", stream)

    def doze_ns(self, stream: str) -> int:
        """See `doze_ms`; 0 with a trace (needs every frame) and a playlist (shows what went by before)."""
        return 0 if self.server.trace or self.playlist_of(stream) else self.inference.doze_ms * 1_000_000

    @property
    def loopback(self) -> bool:
        """Whether WebRTC gathers 127.0.0.1 only."""
        if self.rtc.loopback == "auto":
            return is_loopback(self.server.host)
        return self.rtc.loopback == "on"
