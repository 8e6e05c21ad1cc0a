"""`artanis sandbox`, `artanis contract`, `artanis completion`."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from typing import Any

import click

from ._options import State, api_options, output_options, usage_examples
from ._output import note, out, out_object, rows


def _complete_drift(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    with suppress(ImportError):
        from ..sandbox import DRIFTS

        return [name for name in DRIFTS if name.startswith(incomplete)]
    return []


@click.command(epilog=usage_examples("artanis sandbox", "artanis sandbox --port 0 --traces 200 --json"))
@click.option("--port", type=int, default=8400, show_default=True, help="Port to listen on; 0 selects a free one.")
@click.option("--traces", type=int, default=60, show_default=True, help="Number of traces in the project.")
@click.option("--seed", type=int, default=0, show_default=True, help="Selects the data and the faults.")
@click.option("--now", metavar="TIME", help="Time at which the data ends, such as 2026-04-30T18:00Z.")
@click.option("--latency", type=float, default=0.0, show_default=True, help="Seconds to wait before each response.")
@click.option("--fault-rate", type=float, default=0.0, show_default=True, help="Share of requests that fail, 0 to 1.")
@click.option("--rate-limit", type=float, metavar="N", help="Requests accepted per second; more get 429.")
@click.option(
    "--drift",
    multiple=True,
    metavar="NAME",
    shell_complete=_complete_drift,
    help="Deviate from openapi.yaml; an unknown name lists all.",
)
@click.option("--quiet", is_flag=True, help="Do not print a line per request.")
@output_options
def sandbox(state: State, quiet: bool, **options: Any) -> None:
    """Serve the API with made-up data on 127.0.0.1 until Ctrl-C. Needs the extra 'sandbox'.

    Prints the environment variables that point a client at it, and to stderr a line per request.
    """
    from ..sandbox import Sandbox, serve

    def announce(running: Sandbox) -> None:
        if state.output:
            out_object(state.output, running.credentials)
        else:
            for name, value in running.environment.items():
                out(f"export {name}={shlex.quote(value)}")
        note("The sandbox is running. Paste these lines into another shell to use it. Ctrl-C stops it.")
        sys.stdout.flush()  # last, because a program that reads it may stop the sandbox at once

    serve(announce, None if quiet else note, **options)


@click.command(epilog=usage_examples("artanis contract", "artanis contract --max-requests 200 --json"))
@click.option(
    "--max-requests", type=click.IntRange(min=1), default=50, show_default=True, help="Most requests to send."
)
@click.option("--show-values", is_flag=True, help="Show real values instead of only their form.")
@api_options
def contract(state: State, max_requests: int, show_values: bool) -> int:
    """Check the live API against the contract, and report the differences. Needs the extra 'contract'.

    Calls every operation that only reads. Exits with 1 if the API has drifted; provisional operations do not count.
    """
    import attrs

    from ..contract import check

    with state.connect() as client:
        report = check(client, max_requests=max_requests, show_values=show_values)
    if state.output:
        found = ((attrs.asdict(operation), list[str]()) for operation in report.operations)
        rows(state.output, [], found, document=attrs.asdict(report))
    else:
        for text in report.lines():
            out(text)
    return report.exit_code


@click.command(epilog=usage_examples("artanis completion zsh", "artanis completion fish | source"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in a shell.

    \b
    bash: eval "$(artanis completion bash)"    in ~/.bashrc
    zsh:  eval "$(artanis completion zsh)"     in ~/.zshrc
    fish: artanis completion fish | source     in ~/.config/fish/config.fish
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    if script := get_completion_class(shell):
        source = script(ctx.find_root().command, {}, "artanis", "_ARTANIS_COMPLETE").source()
        # zsh: define compdef if nothing else has. fish: a comma may be part of a value.
        compinit = "#compdef artanis\n\n(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }\n"
        source = source.replace("#compdef artanis\n", compinit)
        out(source.replace('string split ","', 'string split -m 1 ","'))
