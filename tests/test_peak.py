"""`bnn-board peak`: the rates that percentages of peak are percentages of."""

from __future__ import annotations

import json
import subprocess

import pytest

from bnn_deploy.profiling.device import BOARD_BINARY


def peak(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BOARD_BINARY), "peak", "--samples", "3", "--min-sample-ns", "20000", *arguments]
    return subprocess.run(command, text=True, capture_output=True, check=False)


def test_every_isa_has_samples_of_all_loops() -> None:
    done = peak("--copy", "10000")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({record["isa"] for record in records}) == len(records) > 0
    for record in records:
        for prefix in ("", "float_", "cycle_", "copy_"):
            assert record[f"{prefix}iterations"] > 0
            assert len(record[f"{prefix}samples_ns"]) == 3
        macs = record["macs_per_iteration"] * record["iterations"] / min(record["samples_ns"])
        floats = record["float_macs_per_iteration"] * record["float_iterations"] / min(record["float_samples_ns"])
        assert macs > floats > 0
        assert record["copy_bytes"] == 10240


@pytest.mark.parametrize(("isa", "code"), [("unknown", 2), ("scalar", 1)])
def test_an_isa_without_peak_is_an_error(isa: str, code: int) -> None:
    done = peak("--isa", isa)
    assert done.returncode == code
    assert isa in done.stderr
    assert done.stdout == ""
