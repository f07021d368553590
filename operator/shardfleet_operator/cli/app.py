"""The tree of commands. A command's module is light; what the command needs is imported when it runs.

``local`` is a whole application of its own: its module is imported only where it is called, or for the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from . import backup, checks, entities, fleets, live_map, operate, settings, simulations, transfers
from .exits import EXIT_USAGE, PROGRAM

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
LOCAL_HELP = "Run a fleet on this machine: up, status, down."
SHARD_HELP = "Run one shard process. The fleet starts these; 'shardfleet shard --help' says what it needs."
EPILOG = "Exit codes: 0 done, 1 an invariant broke or a check failed, 2 wrong use."


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


def build(*, with_local: bool) -> typer.Typer:
    """The whole application.

    Args:
        with_local: load ``shardfleet local`` for real; False puts its name and its line of help in its place.
    """
    app = typer.Typer(
        name=PROGRAM,
        help="Fleets of spatial shards that hand moving entities over without losing or doubling one.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
    )

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
        ] = False,
    ) -> None: ...

    if with_local:
        from .local import app as local

        local.rich_markup_mode = None
        app.add_typer(local, name="local", help=LOCAL_HELP, context_settings=CONTEXT)
    else:
        app.command("local", help=LOCAL_HELP)(_elsewhere)
    app.command("shard", help=SHARD_HELP)(_elsewhere)
    operate.register(app)
    fleets.register(app)
    transfers.register(app)
    entities.register(app)
    live_map.register(app)
    backup.register(app)
    checks.register(app)
    settings.register(app)
    simulations.register(app)
    return app


def _elsewhere() -> None:
    raise AssertionError("dispatched before the tree is walked")


def invoke(arguments: Sequence[str]) -> int:
    """Runs the command that ``arguments`` name; returns its exit code and raises what it raises."""
    first = next((argument for argument in arguments if not argument.startswith("-")), "")
    command = typer.main.get_command(build(with_local=first == "local"))
    try:
        result: Any = command.main(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except SystemExit as end:
        # Typer turns a broken pipe into exit code 1, which is ours for a broken invariant.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        raise
    return result if isinstance(result, int) else 0


_CLICK_ERROR = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""Typer's own copy of click has it, or click itself: which one depends on typer's version."""


def usage_message(error: BaseException) -> str | None:
    """What typer says of wrong arguments, with where to look; '' where it printed help itself; None: not its error."""
    if not isinstance(error, _CLICK_ERROR):
        return None
    if getattr(error, "exit_code", EXIT_USAGE) == 0 or type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]
        return ""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else PROGRAM
    return f"{error.format_message().rstrip('.')}; see '{where} --help'"  # type: ignore[attr-defined]
