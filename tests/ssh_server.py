"""A real OpenSSH server on loopback, started as this user, and a cable to it that can be pulled."""

from __future__ import annotations

import contextlib
import getpass
import os
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
needs_sshd = pytest.mark.skipif(not SSHD, reason="needs sshd (Debian: openssh-server)")

_SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
"""

_CLIENT = """\
Host board
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
"""


class SshServer:
    """sshd with keys of its own; `config` is an ssh_config in which its host is `board`.

    Args:
        folder: new, for its files.
        before: shell commands that are run before it, as root in a mount namespace of its own: what they mount is seen
            by the server's sessions alone. `folder` is /mnt there, too, in case it is mounted over.
    """

    def __init__(self, folder: Path, before: str | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in ("host_key", "key"):
            self.new_key(name)
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.know_host()
        self.config = folder / "ssh_config"
        self.write_config(self.port)
        self._inside = "/mnt" if before else str(folder)
        (folder / "sshd_config").write_text(_SERVER.format(port=self.port, folder=self._inside))
        self._before = before
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def new_key(self, name: str) -> None:
        """Make a key, in place of the one that is there."""
        for path in (self.folder / name, self.folder / f"{name}.pub"):
            path.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(self.folder / name)]
        subprocess.run(command, check=True, timeout=30)

    def know_host(self) -> None:
        """Put the server's host key among the known ones."""
        kind, key, _ = (self.folder / "host_key.pub").read_text().split()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def write_config(self, port: int) -> None:
        """Let `board` be reached by this port."""
        self.config.write_text(_CLIENT.format(port=port, user=getpass.getuser(), folder=self.folder))
        with (self.config).open("a") as file:
            file.write(f"  HostKeyAlias [127.0.0.1]:{self.port}\n" if port != self.port else "")

    def start(self) -> None:
        """Returns when it listens."""
        assert SSHD, "sshd is missing: install openssh-server"
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own condition when root starts it
        command = [SSHD, "-D", "-e", "-f", f"{self._inside}/sshd_config"]
        if self._before:
            inside = f"mount --bind {shlex.quote(str(self.folder))} /mnt && {self._before}"
            command = ["unshare", "--mount", "sh", "-ec", f"{inside}\nexec {shlex.join(command)}"]
        command = ["setpriv", "--pdeathsig", "KILL", *command]  # it does not outlive the tests
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as stream:
                if stream.recv(4) == b"SSH-":
                    return
            time.sleep(0.05)
        raise AssertionError(f"sshd did not start: {(self.folder / 'log').read_text()}")

    @property
    def pid(self) -> int:
        """Of the process that listens."""
        assert self._process, "the server is stopped"
        return self._process.pid

    def stop(self) -> None:
        """The board is off: server and sessions are killed, and all that they started."""
        if self._process:
            _kill(descendants(self._process.pid))
            self._process.kill()
            self._process.wait()
            self._process = None

    def drop_connections(self) -> None:
        """Kill the processes that serve connections; what they started is left alone."""
        assert self._process
        _kill(pid for pid in descendants(self._process.pid) if _name(pid) == "sshd")


class Cable:
    """A TCP connection to a port that can be cut (both ends notice) or pulled (nobody is told)."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._pulled = threading.Event()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def pull(self) -> None:
        """From now on nothing comes through, in the connections that there are, and in new ones."""
        self._pulled.set()

    def plug(self) -> None:
        """New connections come through; the old ones are gone, as after a minute."""
        self.cut()
        self._pulled.clear()

    def cut(self) -> None:
        """Close the connections that there are."""
        pairs, self._pairs = self._pairs, []
        for stream in (stream for pair in pairs for stream in pair):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._pulled.clear()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:  # no server there: the caller sees the end of the connection
                near.close()
                continue
            self._pairs.append((near, far))
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with near, far, selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in ready.select():
                    stream, other = key.fileobj, key.data
                    assert isinstance(stream, socket.socket)
                    while self._pulled.is_set() and not self._closed:
                        time.sleep(0.02)
                    data = stream.recv(1 << 16)
                    if not data:
                        return
                    other.sendall(data)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found, ahead = [], [pid]
    while ahead:
        children = parents.get(ahead.pop(), [])
        found += children
        ahead += children
    return found


def processes_in(folder: str) -> list[int]:
    """Those whose working folder it is, or was."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if str(link.readlink()).removesuffix(" (deleted)") == folder:
                found.append(int(link.parent.name))
    return found


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "comm").read_text().strip()
    return ""


def _kill(pids: Sequence[int] | Iterator[int]) -> None:
    for pid in list(pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
