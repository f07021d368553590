"""Every target over its seeds, what was once found, and a few thousand damaged copies: the same every time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
DAMAGED = 1500
INTERESTING = (0, 1, 2, 7, 8, 10, 0x22, 0x2C, 0x5B, 0x5D, 0x7B, 0x7D, 0x7F, 0x80, 0xFE, 0xFF)


def damaged(data: bytes, generator: random.Random) -> bytes:
    """One to four changes: bytes changed, taken out, put in, or a stretch said twice."""
    result = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        at = generator.randrange(len(result) + 1)
        match generator.randrange(5):
            case 0 if at < len(result):
                result[at] = generator.choice(INTERESTING)
            case 1 if at < len(result):
                result[at] ^= 1 << generator.randrange(8)
            case 2:
                del result[at : at + generator.randint(1, 8)]
            case 3:
                result[at:at] = generator.randbytes(generator.randint(1, 8))
            case _:
                result[at:at] = result[at : at + generator.randint(1, 32)]
    return bytes(result)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_stays_mended(name: str) -> None:
    found = sorted((CORPUS / name).glob("*"))
    for path in found:
        TARGETS[name].read(path.read_bytes())


def test_everything_in_the_corpus_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.glob("*")} <= set(TARGETS)  # no folder as long as nothing was ever found


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_refused_as_promised(name: str) -> None:
    target, generator = TARGETS[name], random.Random(name)
    seeds = list(target.seeds())
    assert seeds
    target.read(b"")
    for seed in seeds:
        target.read(seed)
        for size in range(len(seed)):
            target.read(seed[:size])
    for _ in range(DAMAGED):
        target.read(damaged(generator.choice(seeds), generator))
