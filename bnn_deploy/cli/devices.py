"""`bnn-deploy devices`"""

from __future__ import annotations

from dataclasses import asdict

import click

from bnn_deploy.cli.options import json_option
from bnn_deploy.profiling.description import device_descriptions
from bnn_deploy.profiling.device import open_device
from bnn_deploy.report.tables import print_json, print_table


@click.command()
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the devices that can be measured, or tell the facts of one.

    \b
    Examples:
      bnn-deploy devices
      bnn-deploy devices host --json
    """
    if name is None:
        known = device_descriptions()
        if as_json:
            print_json([asdict(device) for device in known.values()])
        else:
            rows = [[device.name, device.description, device.transport] for device in known.values()]
            print_table("Devices", ["name", "what", "reached by"], rows)
        return
    device = open_device(name)
    facts = dict(device.facts)
    device.close()
    if as_json:
        print_json(facts)
    else:
        print_table(f"Device {name}", ["fact", "value"], [[key, str(value)] for key, value in facts.items()])
