from __future__ import annotations

from pathlib import Path

import pytest
from shardfleet_operator.cli.main import main
from shardfleet_operator.local.map_child import listening_socket
from shardfleet_shard.errors import UsageError

NOWHERE = ("--redis", "redis://127.0.0.1:1")
"""Each is refused before anybody is asked there."""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--listen", "0.0.0.0:0"), "--listen 0.0.0.0:0: others could look at the fleet: add --token-file FILE"),
        (("--listen", ":0"), "add --token-file FILE"),
        (("--listen", "nowhere"), "an address is HOST:PORT"),
        (("--token-file", "no-such-file"), "--token-file no-such-file: cannot be read"),
        (("--token-file", "short"), "--token-file short: a token is at least 16"),
        (("--fleet", "arena", "--data", "x"), "leave --fleet out"),
    ],
)
def test_what_it_refuses(
    arguments: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("abc")
    where = () if "--data" in arguments else NOWHERE
    assert main(["map", *where, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_silent_redis_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", *NOWHERE, "--fleet", "arena", "--listen", "127.0.0.1:0"]) == 2
    assert "no answer from Redis at 127.0.0.1:1" in capsys.readouterr().err


def test_the_usual_port_gives_way_and_a_chosen_one_does_not() -> None:
    with listening_socket(None) as first, listening_socket(None) as second:
        taken = first.getsockname()[1]
        assert second.getsockname()[1] != taken
        with pytest.raises(UsageError, match=f"--map-port {taken}: Address already in use; choose another one"):
            listening_socket(taken)
