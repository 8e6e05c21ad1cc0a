"""`artanis sandbox`, `artanis contract`, `artanis completion`."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from ._app import State, api_options, output_options
from ._output import note, out, out_json, out_object, rows


@click.command()
@click.option("--port", type=int, default=8400, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--traces", type=int, default=60, show_default=True, help="How many traces the project has.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses the data and the faults.")
@click.option("--latency", type=float, default=0.0, show_default=True, help="Seconds to wait before each answer.")
@click.option("--fault-rate", type=float, default=0.0, show_default=True, help="Share of requests that go wrong.")
@click.option("--drift", multiple=True, metavar="NAME", help="Depart from openapi.yaml; a wrong name lists them.")
@output_options
@click.pass_obj
def sandbox(state: State, /, **options: Any) -> None:
    """Serve the API with made-up data on 127.0.0.1, until Ctrl-C. Needs the extra 'sandbox'.

    Prints the lines that point a client at it.
    """
    from ..sandbox import Sandbox, serve

    def announce(running: Sandbox) -> None:
        if state.output:
            out_object(state.output, running.credentials)
        else:
            for name, value in running.environment.items():
                out(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        note("The sandbox runs. Paste these lines where a client is to use it; Ctrl-C ends it.")

    serve(announce, **options)


@click.command()
@click.option("--max-requests", type=int, default=50, show_default=True, help="Requests to send at most.")
@click.option("--show-values", is_flag=True, help="Show real values, not just their form.")
@api_options
@click.pass_obj
def contract(state: State, max_requests: int, show_values: bool) -> int:
    """Call every operation of the contract, and say where an answer differs. Needs the extra 'contract'.

    Reads only. Exits with 1 where the API has drifted; what is provisional in the contract does not count.
    """
    import attrs

    from ..contract import check

    with state.connect() as client:
        report = check(client, max_requests=max_requests, show_values=show_values)
    if state.output == "json":
        out_json(attrs.asdict(report))
    elif state.output:
        rows(state.output, [], ((attrs.asdict(operation), []) for operation in report.operations))
    else:
        for text in report.lines():
            out(text)
    return report.exit_code


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what completes commands and options in a shell.

    \b
    bash: eval "$(artanis completion bash)"    in ~/.bashrc
    zsh:  eval "$(artanis completion zsh)"     in ~/.zshrc
    fish: artanis completion fish | source     in ~/.config/fish/config.fish
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is not None:
        out(kind(ctx.find_root().command, {}, "artanis", "_ARTANIS_COMPLETE").source())
