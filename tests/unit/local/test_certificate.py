"""What `local up --tls` says of files that would keep shards apart, and that it starts nothing with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from shardfleet_operator.cli.fleet import locate
from shardfleet_operator.cli.main import main
from shardfleet_operator.cluster.certificates import Pair, next_authorities, next_certificate
from shardfleet_operator.dialing import dial_plainly
from shardfleet_operator.local.certificate import checked_folder
from shardfleet_operator.local.folder import EMBEDDED, DataFolder
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.errors import UsageError
from shardfleet_shard.system_clock import SystemClock

from tests.tls_files import NEEDS_OPENSSL, make_tls_files

ONE = FleetConfig(name="arena", replicas=1)
FOUR = FleetConfig(name="arena", replicas=4)
ORBIT = Path(__file__).parents[3] / "examples" / "orbit.yaml"
NOW = SystemClock().now_unix_us()
LONG_AGO = NOW - 60 * 86_400_000_000
"""60 days: a certificate of then is over, its authority is not."""
(AUTHORITY,) = next_authorities([], fleet="arena", now_us=LONG_AGO)
(ANOTHER,) = next_authorities([], fleet="arena", now_us=NOW)


def write(folder: Path, *, issuer: Pair = AUTHORITY, now_us: int = NOW) -> Path:
    """As the Secret of arena-0 holds them."""
    pair = next_certificate(None, issuer, shard="arena-0", now_us=now_us)
    folder.mkdir(exist_ok=True)
    for name, content in (("ca.crt", AUTHORITY.certificate), ("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (folder / name).write_bytes(content)
    return folder


def test_the_secret_of_the_only_shard_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "tls")
    monkeypatch.chdir(tmp_path)
    assert checked_folder(Path("tls"), ONE) == tmp_path / "tls"


@NEEDS_OPENSSL
def test_the_commands_of_the_page_name_every_shard(tmp_path: Path) -> None:
    folder = make_tls_files(tmp_path)
    assert checked_folder(folder, FOUR) == folder
    with pytest.raises(UsageError, match=r"tls\.crt: does not name arena-4; issue one with .* each of the 5 shards"):
        checked_folder(folder, FleetConfig(name="arena", replicas=5))


def encrypt(key: Path) -> None:
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    how = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))


def replace_by_folder(path: Path) -> None:
    """Which nobody can read as a file; a mode would not keep root from it."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("ca.crt", Path.unlink, "cannot be read: No such file or directory; the folder must hold ca.crt, tls.crt, tls"),
        ("tls.crt", Path.unlink, "cannot be read: No such file"),
        ("tls.key", Path.unlink, "cannot be read: No such file"),
        ("tls.key", replace_by_folder, "cannot be read: Is a directory"),
        ("ca.crt", lambda path: path.write_bytes(b"\xff\x00"), "no PEM certificate in it; put one there"),
        ("ca.crt", lambda path: path.write_bytes(b""), "no PEM certificate in it"),
        ("tls.crt", lambda path: path.write_text("-----BEGIN CERTIFICATE-----\n"), "no PEM certificate in it"),
        ("tls.key", lambda path: path.write_text("no key"), "not a PEM key without a password"),
        ("tls.key", encrypt, "not a PEM key without a password; put the certificate's there"),
        ("tls.crt", lambda path: write(path.parent, issuer=ANOTHER), "does not hold before"),
        ("tls.crt", lambda path: write(path.parent, now_us=LONG_AGO), "certificate has expired"),
        ("tls.crt", lambda path: None, "does not name arena-1, arena-2, arena-3; issue one"),
    ],
)
def test_a_bad_file_is_named_before_anything_starts(
    name: str,
    spoil: Callable[[Path], object],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    spoil(write(tmp_path / "tls") / name)
    assert main(["local", "up", "-f", str(ORBIT), "--tls", "tls", "--data", "data"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"shardfleet: error: --tls: [^\n]+\n", captured.err), captured.err
    assert f"{tmp_path}/tls/{name}: " in captured.err and said in captured.err
    assert not (tmp_path / "data").exists()


def test_other_commands_find_the_files_by_the_data_folder(tmp_path: Path) -> None:
    tls, folder = write(tmp_path / "tls"), DataFolder(tmp_path / "data")
    folder.lock()
    try:
        folder.begin_world(ONE, EMBEDDED, fresh=False)
        folder.write_fleet("arena", "redis://h", Path("/f.yaml"), started_unix_us=1)
        assert locate(folder.path, None, None).dial is dial_plainly
        folder.write_fleet("arena", "redis://h", Path("/f.yaml"), started_unix_us=1, tls=tls)
        assert locate(folder.path, None, None).dial is not dial_plainly
        (tls / "tls.key").unlink()
        with pytest.raises(UsageError, match=r"--tls: .*tls\.key: cannot be read"):
            _ = locate(folder.path, None, None).dial
    finally:
        folder.unlock()
