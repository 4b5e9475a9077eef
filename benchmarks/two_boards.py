"""How long a whole profile takes, and that a second board beside it adds no time.

    python -m benchmarks.two_boards [--space mobilenet-224] [--rounds 2] [--out benchmarks/results/two_boards.json]

`bnn-deploy profile` of the whole space, in turn: on this computer; through ssh on "another board"; on both by one
command. The other board is this computer, too, on another core: a real OpenSSH server in a network namespace of its own
(so that the two boards' guards do not see each other), reached through a ProxyCommand. Needs root, sshd and two cores.

Two cores of one computer disturb each other, as two boards do not, and profile would wait for its core to be quiet: so
its patience is 0 here, and it measures each step as often as it would alone.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import met, progress, write_results
from bnn_deploy.latency.check import check
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.space import load_space
from tests.ssh_server import SSHD

WANTED_S = 600.0
ADDED = 0.10  # of the slower board's own time
NAMES = ("near", "far")
PAIRS = (("near",), ("far",), ("near", "far"))


def prepare(folder: Path, cores: Sequence[int]) -> Path:
    """Keys, server and client configuration, and a devices file; returns the last."""
    assert SSHD, "sshd is missing: install openssh-server"
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host_key", "key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "authorized_keys").write_bytes((folder / "key.pub").read_bytes())
    kind, key, *_ = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"far {kind} {key}\n")
    server = folder / "sshd_config"
    server.write_text(
        f"HostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nStrictModes no\n"
        "UsePAM no\nPermitRootLogin prohibit-password\n"
    )
    client = folder / "ssh_config"
    proxy = shlex.join(["nsenter", f"--net={folder}/net", SSHD, "-i", "-f", str(server)])
    client.write_text(
        f"Host far\n  User {getpass.getuser()}\n  ProxyCommand {proxy}\n  IdentityFile {folder}/key\n"
        f"  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {folder}/known_hosts\n"
    )
    devices = folder / "devices.toml"
    devices.write_text(
        f'schema = 1\n[near]\ntransport = "local"\ncore = {cores[0]}\n'
        f'[far]\nhost = "far"\nssh_config = "{client}"\ncore = {cores[1]}\n'
    )
    return devices


def run(names: Sequence[str], space: str, folder: Path) -> dict[str, object]:
    """One command; seconds, and what its tables are worth."""
    words = [
        "profile",
        "--space",
        space,
        "--patience",
        "0",
        "--json",
        *(word for name in names for word in ("--device", name)),
    ]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", "from bnn_deploy.cli import main; main()", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=False,
    )
    seconds = time.monotonic() - begin
    if done.returncode not in (0, 1):
        raise SystemExit(f"profile of {names}: exit code {done.returncode}")
    tables = []
    for told in json.loads(done.stdout)["tables"]:
        if "error" in told:
            raise SystemExit(told["error"])
        table = LatencyTable.open(folder / str(told["table"]))
        tables.append(
            {
                "device": table.device,
                "rows": len(table.rows),
                "blocks": len(table.blocks),
                "set_aside": len(table.set_aside),
                "disturbed_s": round(
                    sum(block.seconds for block in table.blocks if block.number in table.set_aside), 1
                ),
                "passed": check(table).passed,
            }
        )
    return {"boards": list(names), "seconds": round(seconds, 2), "tables": tables}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mobilenet-224")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "two_boards.json")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    steps = len(load_space(arguments.space).steps())
    runs: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="bnn-two-boards-") as name:
        root = Path(name)
        (root / "net").touch()
        subprocess.run(["unshare", f"--net={root}/net", "true"], check=True)
        os.environ["BNN_DEPLOY_DEVICES"] = str(prepare(root, cores))
        try:
            for number in range(arguments.rounds * len(PAIRS)):
                folder = root / f"run-{number}"
                folder.mkdir()
                runs.append(run(PAIRS[number % len(PAIRS)], arguments.space, folder))
                progress(f"{number + 1}: {runs[-1]}")
        finally:
            subprocess.run(["umount", str(root / "net")], check=True)
    best = {pair: min(float(str(r["seconds"])) for r in runs if r["boards"] == list(pair)) for pair in PAIRS}
    alone_s, both_s = max(best[("near",)], best[("far",)]), best[NAMES]
    added = both_s / alone_s - 1
    print(f"{steps} steps: local {best[('near',)]:.0f} s, ssh {best[('far',)]:.0f} s, both at once {both_s:.0f} s")
    print(f"at most {WANTED_S:.0f} s: {met(best[('near',)], WANTED_S, at_most=True)}")
    print(f"a second board adds {added:+.0%}: {met(added, ADDED, at_most=True)}")
    summary = {"local_s": best[("near",)], "ssh_s": best[("far",)], "both_s": both_s, "added": round(added, 4)}
    write_results(arguments.out, {"space": arguments.space, "cores": cores, "summary": summary, "runs": runs})
    return 0 if best[("near",)] <= WANTED_S and added <= ADDED else 1


if __name__ == "__main__":
    sys.exit(main())
