"""The command line. Results on stdout, progress and errors on stderr; exit codes 0 done, 1 failed, 2 wrong usage.

Each command lives in a module of its own that is imported only when the command runs, so that `--help` is fast and
profiling needs no torch.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from bnn_deploy import __version__
from bnn_deploy.errors import BnnDeployError

# Before torch is imported: its threads then spin only briefly while they wait for each other (libgomp's own default is
# 300000 rounds): slower on idle cores, faster when another process wants one, as on shared machines.
os.environ.setdefault("GOMP_SPINCOUNT", "300")

# name -> one line of help; the module is bnn_deploy.cli.NAME, the command in it is `command`.
COMMANDS = {
    "quickstart": "The whole road on the built-in digits: profile, search, train, export, verify.",
    "devices": "List the devices that can be measured.",
    "profile": "Measure every step of a space on a device: its latency table.",
    "tables": "List, show, check, compare and merge latency tables.",
    "search": "Find an architecture by evolution over a space, under a table's latencies.",
    "train": "Train an architecture, or a search's winner, from scratch.",
    "export": "Write a trained network as .onnx, .tflite and .bnn.",
    "run": "What an exported network answers, in any runtime, here or on a device.",
    "bench": "How long an exported network takes, and its steps, in any runtime, here or on a device.",
    "verify": "Check that the exported files give torch's answers, and the predicted latency.",
    "cost": "Count BOPs, FLOPs, OPs, parameters and bytes.",
    "show": "Describe a table, a .bnn file, a run folder, a space or a reference architecture.",
}


class LazyGroup(click.Group):
    """Commands that are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the road."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for click's own "no such command"."""
        if cmd_name not in COMMANDS:
            return None
        try:
            module = importlib.import_module(f"bnn_deploy.cli.{cmd_name}")
        except ModuleNotFoundError as exc:
            if exc.name and exc.name.startswith("bnn_deploy"):
                raise
            raise click.ClickException(
                f"`{cmd_name}` needs the Python package {exc.name!r}: pip install 'bnn-deploy[train]'"
            ) from exc
        found = module.command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bnn-deploy")
def cli() -> None:
    """From a latency budget on a real board to a trained 1-bit MobileNet that runs there.

    \b
    Examples:
      bnn-deploy quickstart
      bnn-deploy profile --device host --space mobilenet-32
      bnn-deploy search --space mobilenet-32 --data digits --budget-us 60 --out runs/mine
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; maps every BnnDeployError to exit code 1. arguments: of the command line, sys.argv's by default."""
    try:
        cli(arguments, standalone_mode=False)
    except click.exceptions.Exit as exc:
        sys.exit(exc.exit_code)
    except click.Abort:
        click.echo("interrupted; the same command continues where it stopped", err=True)
        sys.exit(1)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except BnnDeployError as exc:
        click.echo(f"error: {exc}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as exc:  # a full disk, a missing permission: the file and the reason say it all
        click.echo(f"error: {exc.filename or 'input/output'}: {exc.strerror or exc}", err=True)
        sys.exit(1)
