"""For all tests: the command line's setting of torch's threads, before torch is imported; a board to reach by ssh."""

from collections.abc import Iterator

import pytest

import bnn_deploy.cli  # noqa: F401
from tests.ssh_server import SshServer


@pytest.fixture(scope="session", autouse=True)
def no_devices_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests know the built-in devices, and those that they add themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BNN_DEPLOY_DEVICES", str(tmp_path_factory.mktemp("config") / "devices.toml"))
        yield


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A real sshd on loopback; a test that stops it or breaks its keys makes one of its own."""
    server = SshServer(tmp_path_factory.mktemp("ssh") / "server")
    yield server
    server.stop()
