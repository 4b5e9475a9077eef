"""Where `run` and `bench` work: this computer, or --device with its --python."""

from __future__ import annotations

import click

from bnn_deploy.running.here import Here
from bnn_deploy.running.place import Place
from bnn_deploy.running.there import There

python_option = click.option("--python", help="The device's Python, for .onnx and .tflite files  [default: python3].")


def chosen_place(device: str | None, python: str | None) -> Place:
    """The place that --device and --python name.

    Raises:
        UsageError: a Python without a device.
        UnknownName: no such device.
    """
    if device:
        return There(device, python)
    if python:
        raise click.UsageError("--python is a device's: give --device, too (`host` is this computer)")
    return Here()
