from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import jwt
import pytest

from stream.types import stream_id
from vitrine.auth import ALGORITHM, AUDIENCE, Authenticator, FailureLimiter, Role, origin_allowed
from vitrine.errors import AuthError, ConfigError
from vitrine.keys import Keys, load_keys
from vitrine.settings import AuthConfig, Secret

DEMO, OTHER = stream_id("demo"), stream_id("other")
SECRET = "s" * 40
KEYS = Keys(Secret("publish-key"), Secret("host-key-1"), Secret("operator-key"), Secret(SECRET))
NOW_S = 1_800_000_000.0


class Clocks:
    """A monotonic and a wall clock that stand still until told."""

    def __init__(self) -> None:
        self.ns = 0
        self.wall = NOW_S

    def now_ns(self) -> int:
        return self.ns

    def wall_s(self) -> float:
        return self.wall

    def advance(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)
        self.wall += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def auth(clocks: Clocks) -> Authenticator:
    return Authenticator(KEYS, viewer_tokens=True, clock=clocks, wall_s=clocks.wall_s)


def refusal(auth: Authenticator, bearer: str | None, role: Role = Role.VIEW) -> AuthError:
    with pytest.raises(AuthError) as caught:
        auth.check(bearer, role, DEMO)
    return caught.value


def signed(secret: str = SECRET, algorithm: str = ALGORITHM, **changes: object) -> str:
    claims: dict[str, object] = {
        "aud": AUDIENCE,
        "iat": int(NOW_S),
        "exp": int(NOW_S) + 60,
        "jti": "x",
        "role": "view",
        "stream": "demo",
    }
    claims.update(changes)
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, secret, algorithm=algorithm)


def test_each_key_opens_its_role_and_viewing_and_the_host_may_go_live(auth: Authenticator) -> None:
    for key, role, also in (
        ("publish-key", Role.PUBLISH, set[Role]()),
        ("host-key-1", Role.HOST, {Role.PUBLISH}),
        ("operator-key", Role.OPERATOR, set[Role]()),
    ):
        assert auth.check(f"Bearer {key}", role, DEMO).role is role
        assert auth.check(key, Role.VIEW, DEMO).subject == "key"
        for implied in also:
            assert auth.check(key, implied, DEMO).role is role
        for foreign in {Role.PUBLISH, Role.HOST, Role.OPERATOR} - {role} - also:
            assert refusal(auth, key, foreign).http_status == 403


def test_a_minted_token_opens_one_stream_and_one_role(auth: Authenticator) -> None:
    token = auth.mint(Role.VIEW, DEMO)
    principal = auth.check(f"bearer {token}", Role.VIEW, DEMO)
    assert (principal.role, principal.stream) == (Role.VIEW, DEMO)
    assert refusal(auth, token, Role.HOST).http_status == 403
    with pytest.raises(AuthError) as caught:
        auth.check(token, Role.VIEW, OTHER)
    assert caught.value.http_status == 403
    with pytest.raises(AuthError):
        auth.check(token, Role.VIEW, None)


def test_a_token_for_all_streams(auth: Authenticator) -> None:
    token = auth.mint(Role.HOST, None)
    assert auth.check(token, Role.HOST, OTHER).stream is None


def test_tokens_have_ids_of_their_own(auth: Authenticator) -> None:
    assert auth.mint(Role.VIEW, DEMO) != auth.mint(Role.VIEW, DEMO)


def test_a_token_ends(auth: Authenticator, clocks: Clocks) -> None:
    token = auth.mint(Role.VIEW, DEMO, ttl_s=30)
    clocks.advance(31)
    auth.check(token, Role.VIEW, DEMO)
    clocks.advance(2)
    assert refusal(auth, token).http_status == 401


def _unsigned() -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {
        "aud": AUDIENCE,
        "iat": int(NOW_S),
        "exp": int(NOW_S) + 60,
        "jti": "x",
        "role": "view",
        "stream": "demo",
    }
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def _tampered() -> str:
    head, body, tail = signed().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["role"] = "operator"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{head}.{forged}.{tail}"


LIES = {
    "alg none": _unsigned(),
    "other secret": signed(secret="t" * 40),
    "other algorithm": signed(secret="s" * 64, algorithm="HS512"),
    "tampered": _tampered(),
    "expired": signed(exp=int(NOW_S) - 10),
    "from the future": signed(iat=int(NOW_S) + 600, exp=int(NOW_S) + 660),
    "good for years": signed(exp=int(NOW_S) + 10**8),
    "wrong audience": signed(aud="elsewhere"),
    "several audiences": signed(aud=["vitrine", "elsewhere"]),
    "unknown role": signed(role="root"),
    "role of a wrong type": signed(role=7),
    "no stream": signed(stream=None),
    "no exp": signed(exp=None),
    "no aud": signed(aud=None),
    "no jti": signed(jti=None),
    "exp as text": signed(exp="soon"),
    "garbage": "garbage",
    "three dots": "a.b.c",
    "not ascii": "sch\u00fcssel\udcff",
    "part of a key": "operator-ke",
    "longer than a key": "operator-keyy",
    "huge": "x" * 100_000,
    "huge token": signed() + "A" * 5000,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_credentials_that_lie_are_refused_alike(auth: Authenticator, lie: str) -> None:
    error = refusal(auth, lie)
    assert (error.http_status, error.code) == (401, "auth-required")
    assert str(error) == str(refusal(auth, None))


def test_nothing_of_a_credential_is_repeated(auth: Authenticator) -> None:
    token = auth.mint(Role.VIEW, DEMO)
    for error in (refusal(auth, "guess-4711"), refusal(auth, token, Role.OPERATOR)):
        assert "guess" not in str(error) and token not in str(error) and "view" not in str(error)


@pytest.mark.parametrize("bearer", [None, "", "Bearer", "Bearer   "])
def test_viewers_need_no_token_unless_asked_for(clocks: Clocks, bearer: str | None) -> None:
    auth = Authenticator(KEYS, clock=clocks, wall_s=clocks.wall_s)
    assert auth.check(bearer, Role.VIEW, DEMO).subject == "anonymous"
    assert refusal(auth, bearer, Role.HOST).http_status == 401


def test_a_wrong_token_is_refused_even_where_none_is_needed(clocks: Clocks) -> None:
    auth = Authenticator(KEYS, clock=clocks, wall_s=clocks.wall_s)
    assert refusal(auth, "wrong").http_status == 401


def test_guessing_is_slowed_per_peer_and_forgiven(auth: Authenticator, clocks: Clocks) -> None:
    for _ in range(20):
        with pytest.raises(AuthError):
            auth.check("guess", Role.HOST, DEMO, peer="10.0.0.1")
    with pytest.raises(AuthError) as caught:
        auth.check("host-key-1", Role.HOST, DEMO, peer="10.0.0.1")
    assert (caught.value.http_status, caught.value.retryable) == (429, True)
    assert auth.check("host-key-1", Role.HOST, DEMO, peer="10.0.0.2").role is Role.HOST
    clocks.advance(2)
    assert auth.check("host-key-1", Role.HOST, DEMO, peer="10.0.0.1").role is Role.HOST


def test_asking_without_a_credential_is_no_guess(auth: Authenticator) -> None:
    for _ in range(50):
        refusal(auth, None)
    assert len(auth.limiter) == 0


def test_peers_that_are_not_known_do_not_block_one_another(auth: Authenticator) -> None:
    for _ in range(50):
        refusal(auth, "guess")
    assert auth.check("host-key-1", Role.HOST, DEMO).role is Role.HOST


def test_the_limiter_forgets_the_oldest_peer() -> None:
    limiter = FailureLimiter(burst=1, peers=2)
    for peer in ("a", "b", "c"):
        limiter.failed(peer, 0)
    assert len(limiter) == 2
    assert not limiter.blocked("a", 0) and limiter.blocked("c", 0)


@pytest.mark.parametrize("ttl_s", [0, -1, 86_401])
def test_a_lifetime_out_of_range_is_refused(auth: Authenticator, ttl_s: int) -> None:
    with pytest.raises(ValueError, match="1..86400"):
        auth.mint(Role.VIEW, DEMO, ttl_s)


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        (None, "live.example", True),
        ("http://live.example", "live.example", True),
        ("https://live.example", "live.example:443", True),
        ("https://live.example:8443", "live.example:8443", True),
        ("http://LIVE.example", "live.EXAMPLE", True),
        ("https://shop.example", "live.example", True),
        ("https://shop.example:443", "live.example", True),
        ("http://shop.example", "live.example", False),
        ("https://shop.example:444", "live.example", False),
        ("https://shop.example.evil.example", "live.example", False),
        ("https://evil.example", "live.example", False),
        ("https://live.example@evil.example", "live.example", False),
        ("http://live.example:8080", "live.example:9090", False),
        ("null", "live.example", False),
        ("", "live.example", False),
        ("file://", "live.example", False),
        ("https://[bad", "live.example", False),
        ("https://shop.example/page", "live.example", False),
        ("http://live.example", None, False),
    ],
)
def test_which_origins_are_let_in(origin: str | None, host: str | None, expected: bool) -> None:
    assert origin_allowed(origin, host, ["https://shop.example"]) is expected


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first = load_keys(AuthConfig(), tmp_path / "state")
    again = load_keys(AuthConfig(), tmp_path / "state")
    assert first == again and first.generated
    assert len({first.publish, first.host, first.operator, first.secret}) == 4
    file = tmp_path / "state" / "keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    file.chmod(0o644)
    load_keys(AuthConfig(), tmp_path / "state")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_configured_keys_win_over_kept_ones(tmp_path: Path) -> None:
    kept = load_keys(AuthConfig(), tmp_path)
    keys = load_keys(AuthConfig(host_key=Secret("my-host-key")), tmp_path)
    assert keys.host.reveal() == "my-host-key" and keys.publish == kept.publish


def test_with_all_keys_configured_nothing_is_written(tmp_path: Path) -> None:
    configured = AuthConfig(
        publish_key=KEYS.publish, host_key=KEYS.host, operator_key=KEYS.operator, secret=KEYS.secret
    )
    assert load_keys(configured, tmp_path / "state") == KEYS
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"publish": 5}', "\xff"])
def test_a_damaged_key_file_says_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match="Delete the file"):
        load_keys(AuthConfig(), tmp_path)


def test_short_kept_keys_are_refused(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('{"publish": "", "host": "", "operator": "", "secret": ""}')
    with pytest.raises(ConfigError, match="too short"):
        load_keys(AuthConfig(), tmp_path)


def test_a_data_dir_that_is_a_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"server\.data_dir"):
        load_keys(AuthConfig(), tmp_path / "file")
