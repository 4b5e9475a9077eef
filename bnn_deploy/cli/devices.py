"""`bnn-deploy devices`"""

from __future__ import annotations

from dataclasses import asdict

import click

from bnn_deploy.cli.console import say
from bnn_deploy.cli.options import json_option
from bnn_deploy.errors import UnknownName
from bnn_deploy.profiling.check import Examination, examine
from bnn_deploy.profiling.description import DeviceDescription, device_descriptions, user_devices_path
from bnn_deploy.profiling.device import open_device
from bnn_deploy.profiling.own_devices import add_device, remove_device
from bnn_deploy.report.tables import print_json, print_table

_ADDRESS_HELP = "USER@HOST, as `ssh` takes it; a Host of your ~/.ssh/config will do."


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the devices that can be measured; add, remove and check your own.

    A board is reached by ssh with a key (`ssh-copy-id pi@raspberrypi.local` gives it yours), or by adb. Nothing has to
    be installed there.

    \b
    Examples:
      bnn-deploy devices
      bnn-deploy devices add rpi4 --host pi@raspberrypi.local
      bnn-deploy devices check rpi4
      bnn-deploy profile --device rpi4
    """
    if context.invoked_subcommand is not None:
        return
    known = device_descriptions().values()
    if as_json:
        print_json([asdict(entry) for entry in known])
    else:
        print_table("Devices", ["name", "what", "reached by"], [_row(entry) for entry in known])
        say(f"your own are in {user_devices_path()}; `bnn-deploy devices add NAME --host ...` gives one an address")


@command.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Tell what is known of a device without reaching it: its address, published figures of its kind.

    \b
    Example:
      bnn-deploy devices show rpi5
    """
    known = device_descriptions()
    if name not in known:
        raise UnknownName("device", name, known)
    entry = asdict(known[name])
    if as_json:
        print_json(entry)
        return
    figures = entry.pop("hardware") or {}
    facts = {key: value for key, value in {**entry, **figures}.items() if value is not None and key != "own"}
    print_table(f"Device {name}", ["fact", "value"], [[key, str(value)] for key, value in facts.items()])


@command.command()
@click.argument("name")
@click.option("--host", help=_ADDRESS_HELP)
@click.option("--like", "based_on", help="The kind of board, one of the built-in names  [default: NAME, if it is one].")
@click.option("--port", type=click.IntRange(1, 65535), help="Of its ssh server.")
@click.option("--identity", type=click.Path(), help="The private key.")
@click.option("--ssh-config", type=click.Path(), help="Instead of your ~/.ssh/config.")
@click.option("--serial", help="For adb, as `adb devices` lists it, or HOST:PORT.")
@click.option("--core", type=click.IntRange(min=0), help="To pin measurements to  [default: the fastest].")
@click.option("--folder", help="On the device, where this program may put its files  [default: /tmp and the like].")
@click.option("--description", help="A few words.")
@json_option
def add(name: str, host: str | None, as_json: bool, **options: str | int | None) -> None:
    """Add a device of your own, under a new name or in place of a built-in one.

    \b
    Examples:
      bnn-deploy devices add rpi4 --host pi@raspberrypi.local
      bnn-deploy devices add kitchen --like rpi5 --host pi@192.168.1.7 --identity ~/.ssh/boards --core 3
      bnn-deploy devices add phone --serial R58M123ABC
    """
    values = {key: value for key, value in options.items() if value is not None}
    if host is not None:
        user, at, machine = host.rpartition("@")
        values |= {"host": machine, **({"user": user} if at else {})}
    if "serial" in values:
        values["transport"] = "adb"
    if not values:
        raise click.UsageError("say where it is: --host USER@HOST, or --serial SERIAL")
    entry = add_device(name, values)
    if as_json:
        print_json(asdict(entry))
    else:
        say(f"{name} is in {user_devices_path()}; try `bnn-deploy devices check {name}`")


@command.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a device of your own.

    \b
    Example:
      bnn-deploy devices remove kitchen
    """
    remove_device(name)
    say(f"{name} is no longer in {user_devices_path()}")


@command.command()
@click.argument("name")
@json_option
def check(name: str, as_json: bool) -> None:
    """Reach a device, tell its facts and its state, and what to change for steadier numbers.

    \b
    Examples:
      bnn-deploy devices check rpi4
      bnn-deploy devices check host --json
    """
    with open_device(name) as device:
        found = examine(device)
    if as_json:
        print_json({"device": name, **found.to_json()})
        return
    print_table(f"Device {name}", ["fact", "value"], _check_rows(found))
    for advice in found.advice:
        click.echo(f"* {advice}")
    if not found.advice:
        click.echo("ready: nothing found that would make its latencies unsteady")


def _row(entry: DeviceDescription) -> list[str]:
    way = entry.transport if entry.transport == "local" else f"{entry.transport} {entry.address or '(no address yet)'}"
    return [entry.name, entry.description, way]


def _check_rows(found: Examination) -> list[list[str]]:
    state, hold = found.state, found.hold or {}
    facts = {key: value for key, value in found.facts.items() if key not in ("schema", "core_facts")}
    rows = {key: str(value) for key, value in facts.items() if value is not None}
    rows |= {
        "core to measure on": str(found.core),
        "clock": _megahertz(state.get("clock_khz")),
        "clock asked for": _megahertz(state.get("cur_khz")),
        "clock can be locked": "yes" if hold.get("freq_locked") else f"no: {hold.get('why', found.held_by)}",
        "temperature": _degrees(state.get("temperature_mc")),
        "throttled": "unknown" if state.get("throttled") is None else f"{state['throttled']:#x}",
        "load of the last minute": str(state.get("load1")),
        "memory free": _mebibytes(state.get("free_bytes")),
        "space free": _mebibytes(found.free_kib << 10),
    }
    return [[key, value] for key, value in rows.items()]


def _megahertz(khz: object) -> str:
    return f"{khz / 1000:.0f} MHz" if isinstance(khz, int) else "unknown"


def _degrees(millidegrees: object) -> str:
    return f"{millidegrees / 1000:.1f} °C" if isinstance(millidegrees, int) else "unknown"


def _mebibytes(size: object) -> str:
    return f"{size >> 20} MiB" if isinstance(size, int) else "unknown"
