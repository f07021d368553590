"""The options of ``kubectl shardfleet`` that say which cluster, and as whom: the same for each of its commands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from shardfleet_shard.environment import OPERATOR_NAMESPACE_VARIABLE

if TYPE_CHECKING:
    from .forward import Cluster

Command = Callable[..., None]


def cluster_of(
    *,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="The fleet's. Default: the context's.")
    ] = "",
    operator_namespace: Annotated[
        str,
        typer.Option(
            "--operator-namespace",
            metavar="NAME",
            envvar=OPERATOR_NAMESPACE_VARIABLE,
            help="Where the operator is. Default: it is looked for everywhere.",
        ),
    ] = "",
    context: Annotated[str, typer.Option("--context", metavar="NAME", help="Of the kubeconfig.")] = "",
    kubeconfig: Annotated[str, typer.Option("--kubeconfig", metavar="FILE", help="Default: as kubectl finds it.")] = "",
    user: Annotated[str, typer.Option("--as", metavar="USER", help="Look as this user, as kubectl --as.")] = "",
) -> Cluster:
    """What the options say."""
    from .forward import Cluster

    return Cluster(
        namespace=namespace,
        operator_namespace=operator_namespace,
        context=context,
        kubeconfig=kubeconfig,
        user=user,
    )


def with_cluster_options(command: Command, *, without: frozenset[str] = frozenset()) -> Command:
    """The command with the options of ``cluster_of`` in the place of its parameter ``cluster``.

    Typer reads a command's options from its signature, and has no way to say five of them at once.

    Args:
        without: parameters of ``cluster_of`` that this command does not offer.
    """
    # `Cluster` is a name for the type checker alone: its module is imported when a command runs.
    known = {"Cluster": object}
    options = {
        name: option
        for name, option in inspect.signature(cluster_of, eval_str=True, locals=known).parameters.items()
        if name not in without
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command, eval_str=True, locals=known).parameters.items():
        parameters.extend(options.values() if name == "cluster" else [parameter])

    @functools.wraps(command)
    def run(**given: Any) -> None:
        cluster = cluster_of(**{name: given.pop(name) for name in options})
        command(cluster=cluster, **given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
