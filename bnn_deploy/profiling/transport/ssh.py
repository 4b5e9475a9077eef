"""A device reached by the system's OpenSSH: the user's own configuration, agent, jump hosts and known hosts hold."""

from __future__ import annotations

import shlex
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from bnn_deploy.errors import DeviceError
from bnn_deploy.profiling.transport.shell import ShellTransport
from bnn_deploy.profiling.transport.ssh_refusal import ssh_refusal

# Never a question, no forwarding, no terminal, whatever the user's configuration says for people's sessions. A broken
# connection is noticed within 20 s.
_OPTIONS = (
    *("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3", "LogLevel=INFO"),
    *("ControlPersist=no", "ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no", "PermitLocalCommand=no"),
    *("RemoteCommand=none", "RequestTTY=no"),
)
_LONGEST_SOCKET_FOLDER = 70  # characters: a socket's path has 108, of which ssh needs some for a temporary name


class SshTransport(ShellTransport):
    """All commands of a session share one connection (OpenSSH's ControlMaster, with a socket of our own).

    Args:
        name: of the device, for messages.
        host: as `ssh` takes it: a name, an address, or a Host of the user's ~/.ssh/config.
        user, port, identity: as `ssh -l`, `-p`, `-i`; None leaves it to the configuration.
        ssh_config: a configuration file instead of the user's and the system's.
        folder: see ShellTransport.
    """

    def __init__(
        self,
        name: str,
        host: str,
        *,
        user: str | None = None,
        port: int | None = None,
        identity: str | None = None,
        ssh_config: str | None = None,
        folder: str | None = None,
    ) -> None:
        if shutil.which("ssh") is None:
            raise DeviceError("`ssh` is missing on this computer; install OpenSSH's client (Debian: openssh-client)")
        self.host, self.user = host, user
        self._options = [word for option in _OPTIONS for word in ("-o", option)]
        for flag, value in (("-F", _expanded(ssh_config)), ("-l", user), ("-p", port), ("-i", _expanded(identity))):
            self._options += [] if value is None else [flag, str(value)]
        self._options += ["-o", "IdentitiesOnly=yes"] if identity else []
        folder_here = _short_folder()
        self._socket = Path(folder_here) / "ssh"
        self._remove_socket = weakref.finalize(self, shutil.rmtree, folder_here, ignore_errors=True)
        super().__init__(name, folder)

    def close(self) -> None:
        """See base.Transport."""
        super().close()
        self._remove_socket()

    def _command(self, argv: Sequence[str]) -> list[str]:
        # Over the session's connection or not at all: ssh would make another one, here by a "proxy" that fails.
        return self._ssh(["-o", "ControlMaster=no", "-o", "ProxyCommand=false"], argv)

    def _first_command(self, argv: Sequence[str]) -> list[str]:
        self._socket.unlink(missing_ok=True)  # of a connection that broke
        return self._ssh(["-o", "ControlMaster=yes"], argv)

    def _ssh(self, options: Sequence[str], argv: Sequence[str]) -> list[str]:
        words = [*self._options, *options, "-o", f"ControlPath={self._socket}"]
        # No window that asks, either: a jump host's ssh does not inherit BatchMode.
        return ["env", "SSH_ASKPASS_REQUIRE=never", "ssh", *words, "--", self.host, shlex.join(argv)]

    def _refusal(self, text: str) -> DeviceError:
        return ssh_refusal(self.name, f"{self.user}@{self.host}" if self.user else self.host, text)


def _expanded(path: str | None) -> str | None:
    return None if path is None else str(Path(path).expanduser())


def _short_folder() -> str:
    folder = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="bnn-ssh-", dir=folder if len(folder) <= _LONGEST_SOCKET_FOLDER else "/tmp")
