"""Which pods to replace because they were made from an older spec. Pure.

One at a time, and only while the whole world is simulated, so that a roll never takes a second cell away and stops by
itself where the new pods do not come up. A pod that never ran holds nothing, and goes at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .pods import PodFacts


def choose_to_replace(outdated: Sequence[PodFacts], pods: Iterable[PodFacts], *, all_claimed: bool) -> list[PodFacts]:
    """Pods to delete now.

    Args:
        outdated: living pods of another revision, by ordinal.
        pods: all of the fleet.
        all_claimed: every cell is simulated.
    """
    never_ran = [facts for facts in outdated if not facts.began]
    if never_ran:
        return never_ran
    is_quiet = all_claimed and all(facts.ready and not facts.deleting for facts in pods)
    return list(outdated[:1]) if is_quiet else []
