"""Runs cases in the engine of the package installed in the environment that it is started in: wheel_worker.py FOLDER.

FOLDER holds, for each case, NAME.bnn, NAME.images.npy [N, C, H, W] and NAME.expected.npy: the engine's answer on the
machine that wrote it. An x86-64 machine must give the same bits; on others the stem may round differently. The board
binary must run, and what is for the other machine must be there. Exit code 1 if not.
"""

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

from bnn_deploy import __version__, litert_library_path, native_folder, onnx_library_path
from bnn_deploy.engine.network import Network
from bnn_deploy.profiling.board_binary import MACHINES, board_binary

CLOSE = 1e-4


def is_right(network: Path) -> bool:
    """Whether one case passes; says why not."""
    images, expected = (np.load(network.with_suffix(f".{name}.npy")) for name in ("images", "expected"))
    logits = Network.open(network).run(np.ascontiguousarray(images.transpose(0, 2, 3, 1))).reshape(expected.shape)
    difference = float(np.abs(logits - expected).max())
    right = difference <= (0 if platform.machine() == "x86_64" else CLOSE)
    if not right:
        print(f"{network.stem}: off by {difference:.2g}", file=sys.stderr)
    return right


def main(folder: str) -> int:
    """The command line."""
    networks = sorted(Path(folder).glob("*.bnn"))
    right = sum(is_right(network) for network in networks)
    for machine in MACHINES:
        carried = board_binary(machine), onnx_library_path(machine), litert_library_path(machine)
        print(f"for {machine}:", *(path.relative_to(native_folder()) for path in carried))
    subprocess.run([board_binary(platform.machine()), "facts"], check=True, stdout=subprocess.DEVNULL)
    print(f"bnn-deploy {__version__} on {platform.machine()}: {right} of {len(networks)} networks right")
    return int(right < len(networks) or not networks)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
