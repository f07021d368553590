"""Certificates over years of virtual time: always good, and any two shards always know each other."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from shardfleet_operator.cluster.certificates import (
    Pair,
    bundle,
    issuer_of,
    next_authorities,
    next_certificate,
    read_pairs,
)
from shardfleet_shard.errors import UsageError
from shardfleet_shard.net.tls import TlsFolder

NOW = 1_700_000_000_000_000
HOUR = 3_600_000_000


def knows(trusted: bytes, pair: Pair, shard: str, now_us: int) -> bool:
    moment = datetime.datetime.fromtimestamp(now_us / 1e6, datetime.UTC)
    store = Store(x509.load_pem_x509_certificates(trusted))
    verifier = PolicyBuilder().store(store).time(moment).build_server_verifier(x509.DNSName(shard))
    try:
        verifier.verify(pair.parsed, [])
    except x509.verification.VerificationError:
        return False
    return True


def test_two_shards_know_each_other_at_every_moment_of_three_years() -> None:
    """One shard's files are always as new as can be, the other's an hour old: a Secret takes a while to get there."""
    authorities: list[Pair] = []
    pairs: dict[str, Pair | None] = {"arena-0": None, "arena-1": None}
    before: tuple[bytes, dict[str, Pair]] | None = None
    renewals = changes = 0
    now_us = NOW
    for step in range(3 * 365 * 2):
        now_us = NOW + step * 12 * HOUR
        for late_us in (0, 30 * 60 * 1_000_000):  # the operator looks again soon after
            at_us = now_us + late_us
            known = len(authorities)
            authorities = next_authorities(authorities, fleet="play.arena", now_us=at_us)
            changes += len(authorities) > known
            issuer = issuer_of(authorities, now_us=at_us)
            fresh = {shard: next_certificate(pair, issuer, shard=shard, now_us=at_us) for shard, pair in pairs.items()}
            renewals += fresh["arena-0"] is not pairs["arena-0"]
            trusted = bundle(authorities)
            for shard, pair in fresh.items():
                assert knows(trusted, pair, shard, at_us)
                if before is not None:
                    assert knows(before[0], pair, shard, at_us), "issued by an authority that not all trust yet"
                    assert knows(trusted, before[1][shard], shard, at_us), "a former certificate ended too soon"
            before, pairs = (trusted, fresh), dict(fresh)
    assert changes >= 4 and 30 < renewals < 80


def test_a_certificate_is_for_its_shard_alone() -> None:
    authorities = next_authorities([], fleet="play.arena", now_us=NOW)
    pair = next_certificate(None, authorities[0], shard="arena-0", now_us=NOW)
    assert knows(bundle(authorities), pair, "arena-0", NOW) and not knows(bundle(authorities), pair, "arena-1", NOW)
    assert next_certificate(pair, authorities[0], shard="arena-0", now_us=NOW) is pair
    assert next_certificate(pair, authorities[0], shard="arena-1", now_us=NOW) is not pair


@pytest.mark.parametrize("spoilt", ["key", "certificate", "other issuer"])
def test_what_somebody_spoilt_is_made_anew(spoilt: str) -> None:
    (authority,) = next_authorities([], fleet="a", now_us=NOW)
    (other,) = next_authorities([], fleet="b", now_us=NOW)
    good = next_certificate(None, authority, shard="arena-0", now_us=NOW)
    bad = {
        "key": Pair(good.certificate, other.key),
        "certificate": Pair(b"x", good.key),
        "other issuer": next_certificate(None, other, shard="arena-0", now_us=NOW),
    }[spoilt]
    assert next_certificate(bad, authority, shard="arena-0", now_us=NOW) is not bad


def test_authorities_are_read_back() -> None:
    authorities = next_authorities([], fleet="a", now_us=NOW) + next_authorities([], fleet="a", now_us=NOW)
    keys = b"".join(one.key for one in authorities)
    assert read_pairs(bundle(authorities), keys) == authorities
    for certificates, spoilt in [(b"", b""), (bundle(authorities), keys[:-10]), (bundle(authorities[::-1]), keys)]:
        with pytest.raises(ValueError):
            read_pairs(certificates, spoilt)


def test_a_folder_of_files_that_do_not_belong_together_changes_nothing(tmp_path: Path) -> None:
    authorities = next_authorities([], fleet="a", now_us=NOW)

    def write(pair: Pair, *, key: bytes = b"") -> None:
        (tmp_path / "ca.crt").write_bytes(bundle(authorities))
        (tmp_path / "tls.crt").write_bytes(pair.certificate)
        (tmp_path / "tls.key").write_bytes(key or pair.key)

    with pytest.raises(UsageError, match=r"--tls: .*ca\.crt: cannot be read"):
        TlsFolder(tmp_path)
    first = next_certificate(None, authorities[0], shard="arena-0", now_us=NOW)
    second = next_certificate(None, authorities[0], shard="arena-0", now_us=NOW)
    write(first)
    folder = TlsFolder(tmp_path)
    assert not folder.reload()
    write(second, key=first.key)
    assert not folder.reload() and folder.files.certificate == first.certificate
    write(second)
    assert folder.reload() and folder.files.certificate == second.certificate
    write(second, key=first.key)
    with pytest.raises(UsageError, match=r"tls\.crt and tls\.key do not belong together"):
        TlsFolder(tmp_path)
