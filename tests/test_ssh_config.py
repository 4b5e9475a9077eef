"""How a device is reached by ssh is the user's to say: entries, ssh_config, jump hosts, agents."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

import pytest

from bnn_deploy.profiling.description import device_descriptions
from bnn_deploy.profiling.device import open_transport
from bnn_deploy.profiling.own_devices import add_device
from bnn_deploy.profiling.transport.ssh import SshTransport
from tests.ssh_server import SshServer, needs_sshd

pytestmark = needs_sshd


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_DEPLOY_DEVICES", str(tmp_path / "devices.toml"))


def reach(values: dict[str, str | int]) -> list[str]:
    """What a program says on a device of this entry, and who asked."""
    add_device("board", values)
    transport = open_transport(device_descriptions()["board"])
    try:
        return [line.strip() for line in transport.run(["sh", "-c", 'echo "$SSH_CONNECTION"; id -un'], 20)]
    finally:
        transport.close()


def known_hosts_only(server: SshServer, path: Path, *lines: str) -> str:
    """An ssh_config that knows nothing but the server's key."""
    path.write_text("\n".join([f"UserKnownHostsFile {server.folder}/known_hosts", *lines]) + "\n")
    return str(path)


def test_all_in_the_entry(ssh_server: SshServer, tmp_path: Path) -> None:
    connection, user = reach(
        {
            "host": "127.0.0.1",
            "user": getpass.getuser(),
            "port": ssh_server.port,
            "identity": str(ssh_server.folder / "key"),
            "ssh_config": known_hosts_only(ssh_server, tmp_path / "config"),
        }
    )
    assert connection.split()[3] == str(ssh_server.port)
    assert user == getpass.getuser()


def test_a_jump_host(ssh_server: SshServer, tmp_path: Path) -> None:
    config = tmp_path / "config"
    lines = ssh_server.config.read_text().splitlines()[1:]
    config.write_text("\n".join(["Host far", "  ProxyJump board", *lines, "", ssh_server.config.read_text()]))
    before = (ssh_server.folder / "log").read_text().count("Accepted publickey")
    assert reach({"host": "far", "ssh_config": str(config)})[1] == getpass.getuser()
    assert (ssh_server.folder / "log").read_text().count(
        "Accepted publickey"
    ) == before + 2  # once each, for all commands


def test_an_agents_key(ssh_server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True, timeout=20)
    agent = dict(part.split("=", 1) for part in started.stdout.replace(";", "\n").split() if "=" in part)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", agent["SSH_AUTH_SOCK"])
        subprocess.run(["ssh-add", "-q", str(ssh_server.folder / "key")], check=True, timeout=20)
        config = known_hosts_only(ssh_server, tmp_path / "config", "IdentityFile none")
        values = {"host": "127.0.0.1", "user": getpass.getuser(), "port": ssh_server.port, "ssh_config": config}
        assert reach(values)[1] == getpass.getuser()
    finally:
        os.kill(int(agent["SSH_AGENT_PID"]), 15)


def test_settings_for_people_do_not_disturb(ssh_server: SshServer, tmp_path: Path) -> None:
    config = tmp_path / "config"
    disturbing = ["RemoteCommand echo hello", "RequestTTY force", "LogLevel QUIET", "LocalForward 1 127.0.0.1:1"]
    disturbing += ["ControlMaster auto", f"ControlPath {tmp_path}/theirs", "ControlPersist 60", "ForwardX11 yes"]
    disturbing += ["PermitLocalCommand yes", f"LocalCommand touch {tmp_path}/ran"]
    config.write_text("\n".join([*disturbing, ssh_server.config.read_text()]))
    assert reach({"host": "board", "ssh_config": str(config)})[1] == getpass.getuser()
    assert not (tmp_path / "theirs").exists()
    assert not (tmp_path / "ran").exists()


def test_the_users_own_configuration_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SshTransport, "_open", lambda self: None)
    monkeypatch.setattr("bnn_deploy.profiling.transport.shell._say_goodbye", lambda child: None)
    words = SshTransport("board", "alias")._command(["echo"])
    assert "-F" not in words
    assert words[-3:] == ["--", "alias", "echo"]
