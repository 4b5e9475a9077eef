"""Transports: one contract for all of them."""

import pytest

from bnn_deploy.errors import DeviceError
from bnn_deploy.profiling.transport import LocalTransport, Transport


class TransportContract:
    """What every transport must do; an implementation adds a subclass."""

    def transport(self) -> Transport:
        raise NotImplementedError

    def test_lines_come_as_they_are(self) -> None:
        lines = list(self.transport().run(["/bin/sh", "-c", "echo one; echo 'two words; $HOME'"], 10))
        assert [line.strip() for line in lines] == ["one", "two words; $HOME"]

    def test_arguments_pass_no_shell(self) -> None:
        (line,) = self.transport().run(["/bin/echo", "$HOME; `id` *"], 10)
        assert line.strip() == "$HOME; `id` *"

    def test_failure_tells_code_and_text(self) -> None:
        with pytest.raises(DeviceError, match=r"exit code 3: told on stderr"):
            list(self.transport().run(["/bin/sh", "-c", "echo told on stderr >&2; exit 3"], 10))

    def test_a_missing_program(self) -> None:
        with pytest.raises(DeviceError, match="cannot be started"):
            list(self.transport().run(["/no/such/program", "x"], 10))

    def test_time_runs_out(self) -> None:
        with pytest.raises(DeviceError, match="no end after"):
            list(self.transport().run(["/bin/sh", "-c", "sleep 60"], 0.2))


class TestLocalTransport(TransportContract):
    def transport(self) -> Transport:
        return LocalTransport()
