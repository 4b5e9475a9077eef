"""What a person gets when a board misbehaves; over a real sshd on loopback, which leaves nothing behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bnn_deploy.errors import DeviceError, DeviceLost
from bnn_deploy.profiling.description import device_descriptions
from bnn_deploy.profiling.device import open_device, open_transport
from bnn_deploy.profiling.transport import ssh
from bnn_deploy.profiling.transport.base import Transport
from tests.ssh_server import Cable, SshServer, needs_sshd, processes_in
from tests.test_transport import folder_of, gone, soon

pytestmark = needs_sshd

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to mount")
PLACES = ("/tmp", "/var/tmp", "/dev/shm", str(Path.home()))
Opening = Callable[[SshServer], Transport]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opening:
    """Reaches a server as the device `board`."""

    def reach(server: SshServer) -> Transport:
        path = tmp_path / "devices.toml"
        path.write_text(f'schema = 1\n[board]\nbased_on = "x86-64"\nhost = "board"\nssh_config = "{server.config}"\n')
        monkeypatch.setenv("BNN_DEPLOY_DEVICES", str(path))
        return open_transport(device_descriptions()["board"])

    return reach


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    """One for a single test."""
    server = SshServer(tmp_path / "server")
    yield server
    server.stop()


@pytest.fixture
def cable(server: SshServer) -> Iterator[Cable]:
    """Between this program and the server."""
    cable = Cable(server.port)
    server.write_config(cable.port)
    yield cable
    cable.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent connection is given up after seconds."""
    short = {"ConnectTimeout": 1, "ServerAliveInterval": 1, "ServerAliveCountMax": 2}
    options = [option for option in ssh._OPTIONS if option.split("=")[0] not in short]
    monkeypatch.setattr(ssh, "_OPTIONS", (*options, *(f"{name}={value}" for name, value in short.items())))


@contextmanager
def mounted(tmp_path: Path, *mounts: str) -> Iterator[SshServer]:
    """A server whose sessions see other things mounted."""
    server = SshServer(tmp_path / "server", before=" && ".join(mounts))
    try:
        yield server
    finally:
        server.stop()


def test_no_server(server: SshServer, board: Opening) -> None:
    server.stop()
    with pytest.raises(DeviceLost, match=r"board: .*Connection refused: it is there, but no ssh server answers"):
        board(server)


@pytest.mark.usefixtures("impatient")
def test_a_board_that_does_not_answer(server: SshServer, cable: Cable, board: Opening) -> None:
    cable.pull()
    with pytest.raises(DeviceLost, match=r"timed out.*: is the device on, and in this network\?"):
        board(server)


def test_a_name_that_nobody_has(server: SshServer, board: Opening) -> None:
    server.config.write_text("Host board\n  HostName no-such-board.invalid\n")
    with pytest.raises(DeviceLost, match=r"Could not resolve hostname.*: is the device on, and the name right\?"):
        board(server)


def test_a_key_that_it_does_not_know(server: SshServer, board: Opening) -> None:
    server.new_key("key")
    with pytest.raises(DeviceError, match=r"Permission denied.*ssh-copy-id board") as caught:
        board(server)
    assert not isinstance(caught.value, DeviceLost)


def test_another_host_key_than_before(server: SshServer, board: Opening) -> None:
    server.stop()
    server.new_key("host_key")
    server.start()
    with pytest.raises(DeviceError, match="another host key than before") as caught:
        board(server)
    assert not isinstance(caught.value, DeviceLost)
    fix = shlex.split(str(caught.value).split("`")[1])
    assert fix == ["ssh-keygen", "-f", str(server.folder / "known_hosts"), "-R", f"[127.0.0.1]:{server.port}"]
    subprocess.run(fix, check=True, capture_output=True)
    with pytest.raises(DeviceError, match=r"not known yet; connect once by hand with `ssh board`"):
        board(server)
    server.know_host()
    board(server).close()


@needs_root
def test_no_space(tmp_path: Path, board: Opening) -> None:
    with mounted(tmp_path, *(f"mount -t tmpfs -o size=100k none {place}" for place in PLACES)) as server:
        with pytest.raises(
            DeviceError, match=r"free some space.*\n/tmp: no space: 100 KiB free, 8192 needed\n"
        ) as caught:
            board(server)
        assert [place for place in PLACES if f"{place}: no space" in str(caught.value)] == list(PLACES)


@needs_root
def test_space_that_runs_out(tmp_path: Path, board: Opening) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(12 << 20))
    with mounted(tmp_path, "mount -t tmpfs -o size=10M none /tmp") as server:
        transport = board(server)
        with pytest.raises(DeviceError, match=r"big: cannot be written there: exit code 1: .*No space left"):
            transport.push(big)
        folder = folder_of(transport)
        assert list(transport.run(["ls", "-A", folder], 10)) == []
        transport.close()


@needs_root
def test_places_that_are_read_only_or_execute_nothing(tmp_path: Path, board: Opening) -> None:
    home = PLACES[-1]
    mounts = ["mount -t tmpfs -o noexec none /tmp", "mount -t tmpfs -o ro none /var/tmp"]
    mounts += [f"mount -t tmpfs -o ro none {home}"]
    with mounted(tmp_path, *mounts) as server:
        transport = board(server)
        assert folder_of(transport).startswith("/dev/shm/")
        transport.close()
    with mounted(tmp_path / "2", *mounts, "mount -t tmpfs -o noexec none /dev/shm") as server:
        with pytest.raises(DeviceError) as caught:
            board(server)
        lines = str(caught.value).splitlines()[1:]
        assert lines == [
            "/tmp: programs cannot be executed there (mounted noexec?)",
            "/var/tmp: cannot be written",
            "/dev/shm: programs cannot be executed there (mounted noexec?)",
            f"{home}: cannot be written",
        ]


@needs_root
def test_a_system_of_32_bits(tmp_path: Path, board: Opening) -> None:
    uname = "printf '#!/bin/sh\\necho armv7l\\n' >/mnt/uname && chmod 755 /mnt/uname"
    with mounted(tmp_path, uname, 'mount --bind /mnt/uname "$(command -v uname)"') as server:
        board(server).close()
        with pytest.raises(DeviceError, match=r"board runs a 32-bit system \(armv7l\); install the 64-bit one"):
            open_device("board")


@needs_root
def test_start_up_files_that_print(tmp_path: Path, board: Opening) -> None:
    home = PLACES[-1]
    talk = f"printf 'echo welcome; printf more; echo beware >&2\\n' | tee {home}/.bashrc {home}/.profile {home}/.zshenv"
    with mounted(tmp_path, f"mount -t tmpfs none {home}", f"{talk} >/dev/null") as server:
        transport = board(server)
        assert list(transport.run(["echo", "answer"], 10)) == ["answer\n"]
        file = tmp_path / "file"
        file.write_bytes(bytes(range(256)))
        transport.pull(transport.push(file), tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == file.read_bytes()
        with pytest.raises(DeviceError, match=r"(?s)exit code 1: .*why"):
            list(transport.run(["sh", "-c", "echo why >&2; exit 1"], 10))
        transport.close()


def test_a_program_that_somebody_kills(server: SshServer, board: Opening) -> None:
    transport = board(server)
    lines = transport.run(["sh", "-c", "echo $$; exec sleep 56"], 60)
    os.kill(int(next(lines)), signal.SIGKILL)
    with pytest.raises(DeviceError, match=r"killed by SIGKILL") as caught:
        list(lines)
    assert not isinstance(caught.value, DeviceLost)
    assert list(transport.run(["echo", "on"], 10)) == ["on\n"]
    transport.close()


@pytest.mark.parametrize("how", ["cut", "server killed", "board off"])
def test_a_connection_that_breaks(how: str, server: SshServer, cable: Cable, board: Opening, tmp_path: Path) -> None:
    breaks = {"cut": cable.cut, "server killed": server.drop_connections, "board off": server.stop}
    transport = board(server)
    folder = folder_of(transport)
    held = transport.hold(["sh", "-c", "echo held; exec cat"])
    lines = transport.run(["sh", "-c", "echo one; exec sleep 55"], 60)
    assert next(lines) == "one\n"
    breaks[how]()
    with pytest.raises(DeviceLost, match="board: the connection broke"):
        list(lines)
    with pytest.raises(DeviceLost):
        list(transport.run(["echo", "more"], 10))
    with pytest.raises(DeviceLost):
        transport.push(server.config)
    with pytest.raises(DeviceLost):
        transport.hold(["cat"])
    held.close()
    if how == "board off":
        with pytest.raises(DeviceLost, match=r"Connection (reset|closed)"):
            transport.reconnect()
        threading.Timer(1.0, server.start).start()
    else:
        assert soon(lambda: gone(folder))
    assert soon(lambda: came_back(transport), 20)
    assert list(transport.run(["echo", "again"], 10)) == ["again\n"]
    assert gone(folder)
    last = folder_of(transport)
    transport.close()
    assert soon(lambda: gone(last))


def came_back(transport: Transport) -> bool:
    """One try."""
    try:
        transport.reconnect()
    except DeviceLost:
        return False
    return True


@pytest.mark.usefixtures("impatient")
def test_a_pulled_cable(server: SshServer, cable: Cable, board: Opening) -> None:
    transport = board(server)
    folder = folder_of(transport)
    held = transport.hold(["sh", "-c", "echo held; exec cat"])
    lines = transport.run(["sh", "-c", "echo one; exec sleep 54"], 60)
    assert next(lines) == "one\n"
    cable.pull()
    start = time.monotonic()
    with pytest.raises(DeviceLost, match=r"not responding"):
        list(lines)
    assert time.monotonic() - start < 10
    held.close()
    assert len(processes_in(folder)) >= 4  # the server knows nothing yet
    with pytest.raises(DeviceLost):
        transport.reconnect()
    other = Cable(server.port)  # plugged in again: a new connection, while the server still waits for the old one
    server.write_config(other.port)
    transport.reconnect()
    assert gone(folder)
    assert list(transport.run(["echo", "again"], 10)) == ["again\n"]
    transport.close()
    other.close()
