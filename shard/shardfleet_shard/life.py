"""What a process is at, why it ends, and how long a plugin may fail before it does."""

from __future__ import annotations

from enum import StrEnum

from .core.context import Context
from .core.mailbox import TransferMailbox
from .core.membership import Membership
from .errors import SimulationError
from .exit_codes import ExitCode

SIMULATION_RETRIES = 10
SIMULATION_RETRY_US = 1_000_000


class RuntimeState(StrEnum):
    STARTING = "starting"
    RECOVERING = "recovering"
    ACTIVE = "active"
    SETTLING = "settling"
    """No new transfers; open ones finish; then the last manifest and RESIGN."""
    RESIGNED = "resigned"
    ENDED = "ended"
    """The process must end; ``exit_code`` says how."""


SERVING = (RuntimeState.ACTIVE, RuntimeState.SETTLING)
"""It has its rows."""
OVER = (RuntimeState.RESIGNED, RuntimeState.ENDED)


class Life:
    """The state, and how the process is to end once it has ended."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.state = RuntimeState.STARTING
        self.exit_code: int = ExitCode.RESIGNED
        self.exit_reason = ""

    def end(self, code: ExitCode, reason: str) -> None:
        self.state = RuntimeState.ENDED
        self.exit_code, self.exit_reason = code, reason
        self.context.stats.state = str(self.state)

    def resign(self) -> None:
        self.state = RuntimeState.RESIGNED
        self.exit_code = ExitCode.RESIGNED
        self.context.stats.state = str(self.state)


class PluginFailure:
    """A plugin that raises: the claims are given up, it is tried again each second, and at last the process ends."""

    def __init__(self, context: Context, life: Life, membership: Membership, mailbox: TransferMailbox) -> None:
        self.context = context
        self.life = life
        self.membership = membership
        self.mailbox = mailbox
        self.count = 0
        """How often in a row; 0: it works."""
        self._next_try_us = 0

    def waits(self, now_us: int) -> bool:
        return self.count > 0 and now_us < self._next_try_us

    def failed(self, error: SimulationError) -> None:
        """The old buffer stays."""
        context = self.context
        now_us = context.clock.now_unix_us()
        if self.waits(now_us):
            return
        self.mailbox.tick_thrown_away()
        self.count += 1
        self._next_try_us = now_us + SIMULATION_RETRY_US
        context.stats.simulation_errors += 1
        context.stats.last_error = str(error)
        context.stats.state = "simulation-error"
        self.membership.giving_up = True
        if self.count > SIMULATION_RETRIES:
            self.life.end(ExitCode.SIMULATION, str(error))

    def works(self) -> None:
        if self.count:
            self.count = 0
            self.membership.giving_up = self.life.state is RuntimeState.SETTLING
