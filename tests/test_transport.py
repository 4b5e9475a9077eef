"""Transports: one contract for local, ssh (a real sshd on loopback) and adb (the real adb, a daemon of the tests)."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bnn_deploy.errors import DeviceError, DeviceLost
from bnn_deploy.profiling.description import device_descriptions
from bnn_deploy.profiling.device import open_transport
from bnn_deploy.profiling.transport.base import Transport
from bnn_deploy.profiling.transport.scripts import KEEP
from tests.adb_device import AdbDevice
from tests.ssh_server import SshServer, needs_sshd, processes_in

FOREIGN_ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xf3\0" + bytes(100)  # RISC-V: none of our devices

needs_adb = pytest.mark.skipif(not shutil.which("adb"), reason="needs adb (Debian: adb)")


def soon(condition: Callable[[], bool], within_s: float = 10.0) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def reach() -> Transport:
    """The device `board` of the devices file."""
    return open_transport(device_descriptions()["board"])


def folder_of(transport: Transport) -> str:
    """The session's folder on the device."""
    (line,) = transport.run(["pwd"], 10)
    return line.rstrip()


def gone(folder: str) -> bool:
    """Nothing is left of a session."""
    return not Path(folder).exists() and not processes_in(folder)


class TransportContract:
    """What every transport must do; an implementation adds a subclass with the fixture `entry` of a devices file."""

    @pytest.fixture(autouse=True)
    def devices_file(self, entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "devices.toml"
        path.write_text(f'schema = 1\n[board]\ndescription = "of a test"\n{entry}\n')
        monkeypatch.setenv("BNN_DEPLOY_DEVICES", str(path))

    @pytest.fixture
    def transport(self, devices_file: None) -> Iterator[Transport]:
        transport = reach()
        yield transport
        folder = folder_of(transport)
        transport.close()
        assert soon(lambda: gone(folder))

    def test_lines_come_as_they_are(self, transport: Transport) -> None:
        lines = list(transport.run(["/bin/sh", "-c", "echo one; echo 'two words; $HOME'; printf rest"], 10))
        assert lines == ["one\n", "two words; $HOME\n", "rest"]

    def test_lines_come_when_they_are_printed(self, transport: Transport) -> None:
        start = time.monotonic()
        lines = transport.run(["/bin/sh", "-c", "echo now; exec sleep 20"], 30)
        assert next(lines) == "now\n"
        lines.close()  # type: ignore[attr-defined]
        assert time.monotonic() - start < 10

    def test_a_reader_that_leaves_ends_the_program(self, transport: Transport) -> None:
        folder = folder_of(transport)
        lines = transport.run(["/bin/sh", "-c", "echo $$; exec sleep 20"], 30)
        program = int(next(lines))
        assert program in processes_in(folder)
        lines.close()  # type: ignore[attr-defined]
        assert soon(lambda: program not in processes_in(folder))

    def test_arguments_pass_no_shell(self, transport: Transport) -> None:
        for words in (["$HOME; `id` *"], ["", "'", '"', "\\", "a\nb", "-n"], ["ü \t#!"]):
            lines = "".join(transport.run(["printf", "[%s]", *words], 10))
            assert lines == "".join(f"[{word}]" for word in words)

    def test_failure_tells_code_and_text(self, transport: Transport) -> None:
        with pytest.raises(DeviceError, match=r"exit code 3: told on stderr") as caught:
            list(transport.run(["/bin/sh", "-c", "echo told on stderr >&2; exit 3"], 10))
        assert not isinstance(caught.value, DeviceLost)

    def test_exit_code_255_is_the_programs_own(self, transport: Transport) -> None:
        with pytest.raises(DeviceError, match="exit code 255") as caught:
            list(transport.run(["/bin/sh", "-c", "exit 255"], 10))
        assert not isinstance(caught.value, DeviceLost)

    def test_a_killed_program(self, transport: Transport) -> None:
        with pytest.raises(DeviceError, match="killed by SIGKILL") as caught:
            list(transport.run(["/bin/sh", "-c", "kill -9 $$"], 10))
        assert not isinstance(caught.value, DeviceLost)

    def test_a_talkative_program(self, transport: Transport) -> None:
        lines = transport.run(["/bin/sh", "-c", "head -c 300000 /dev/zero >&2; seq 50000"], 30)
        assert [int(line) for line in lines] == list(range(1, 50001))

    def test_no_input(self, transport: Transport) -> None:
        assert list(transport.run(["cat"], 10)) == []

    def test_a_missing_program(self, transport: Transport) -> None:
        with pytest.raises(DeviceError, match="cannot be started"):
            list(transport.run(["/no/such/program", "x"], 10))

    def test_a_program_for_another_cpu(self, transport: Transport, tmp_path: Path) -> None:
        program = tmp_path / "program"
        program.write_bytes(FOREIGN_ELF)
        program.chmod(0o755)
        with pytest.raises(DeviceError, match="cannot be started"):
            list(transport.run([transport.push(program)], 10))

    def test_time_runs_out(self, transport: Transport) -> None:
        folder = folder_of(transport)
        with pytest.raises(DeviceError, match=r"sleep 59: no end after 3 s"):
            list(transport.run(["sleep", "59"], 3.0))
        assert soon(lambda: len(processes_in(folder)) <= 2)  # the session's own shell and cat

    def test_files_there_and_back(self, transport: Transport, tmp_path: Path) -> None:
        sent, back = tmp_path / "-a 'b'; $(x).bin", tmp_path / "back"
        sent.write_bytes(random.Random(0).randbytes(1_000_003))
        transport.pull(transport.push(sent), back)
        assert back.read_bytes() == sent.read_bytes()

    def test_what_is_pushed_can_be_executed(self, transport: Transport, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("#!/bin/sh\necho $1\n")
        script.chmod(0o755)
        assert list(transport.run([transport.push(script), "works"], 10)) == ["works\n"]

    def test_the_same_bytes_are_not_sent_again(self, transport: Transport, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("one")

        def state() -> tuple[str, list[str], list[str]]:
            remote = transport.push(file)
            number = list(transport.run(["stat", "-c", "%i %z", remote], 10))
            return remote, number, list(transport.run(["cat", remote], 10))

        first = state()
        assert state() == first
        file.write_text("two")
        assert state()[2] == ["two"]

    def test_an_empty_file(self, transport: Transport, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.touch()
        transport.pull(transport.push(empty), tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == b""

    def test_programs_run_in_the_sessions_folder(self, transport: Transport, tmp_path: Path) -> None:
        list(transport.run(["/bin/sh", "-c", "echo found >result"], 10))
        transport.pull("result", tmp_path / "result")
        assert (tmp_path / "result").read_text() == "found\n"

    def test_a_missing_file_cannot_be_pulled(self, transport: Transport, tmp_path: Path) -> None:
        with pytest.raises(DeviceError, match=r"none: cannot be fetched.*[Nn]o such file"):
            transport.pull("none", tmp_path / "x")
        assert not (tmp_path / "x").exists()

    def test_hold_until_closed(self, transport: Transport, tmp_path: Path) -> None:
        script = 'echo "{\\"pid\\": $$}"; cat >got; sleep 0.3; echo end >result'
        held = transport.hold(["/bin/sh", "-c", script])
        assert held.first_line == f'{{"pid": {held.first_line[8:-1]}}}'
        assert int(held.first_line[8:-1]) in processes_in(folder_of(transport))
        held.close()
        transport.pull("result", tmp_path / "result")
        assert (tmp_path / "result").read_text() == "end\n"
        held.close()

    def test_a_hold_that_is_refused(self, transport: Transport) -> None:
        with pytest.raises(DeviceError, match="exit code 1: held by another"):
            transport.hold(["/bin/sh", "-c", "echo held by another >&2; exit 1"])

    def test_several_at_once(self, transport: Transport) -> None:
        held = transport.hold(["/bin/sh", "-c", "echo held; cat"])

        def one(number: int) -> list[str]:
            return list(transport.run(["sh", "-c", f"sleep 0.2; echo {number}"], 20))

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(one, range(8))) == [[f"{number}\n"] for number in range(8)]
        held.close()

    def test_devices_in_parallel(self) -> None:
        def one(number: int) -> str:
            transport = reach()
            try:
                assert list(transport.run(["echo", str(number)], 20)) == [f"{number}\n"]
                return folder_of(transport)
            finally:
                transport.close()

        with ThreadPoolExecutor(4) as pool:
            folders = list(pool.map(one, range(4)))
        assert len(set(folders)) == 4
        assert soon(lambda: all(map(gone, folders)))

    def test_a_lost_session_is_cleared_away(self, transport: Transport, tmp_path: Path) -> None:
        former = folder_of(transport)
        file = tmp_path / "file"
        file.write_text("again")
        transport.push(file)
        # As of a session whose connection hangs: one that puts things in order when told to end, one that does not.
        orderly = subprocess.Popen(["sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done"], cwd=former)
        stubborn = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], cwd=former)
        transport.reconnect()
        assert orderly.wait(10) == 5
        assert stubborn.wait(10) == -signal.SIGKILL
        assert soon(lambda: gone(former))
        assert list(transport.run(["cat", transport.push(file)], 10)) == ["again"]

    def test_the_end_of_this_program_ends_everything_there(self) -> None:
        code = "import time\nfrom tests.test_transport import reach\ntransport = reach()\n"
        code += "held = transport.hold(['sh', '-c', 'echo held; exec cat'])\n"
        code += "lines = transport.run(['sh', '-c', 'pwd; exec sleep 57'], 60)\n"
        code += "print(next(lines), end='', flush=True)\ntime.sleep(60)\n"
        client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        with client:
            assert client.stdout is not None
            folder = client.stdout.readline().rstrip()
            assert len(processes_in(folder)) >= 4
            client.kill()
        assert soon(lambda: gone(folder))


class TestLocal(TransportContract):
    @pytest.fixture
    def entry(self) -> str:
        return 'transport = "local"'


@needs_sshd
class TestSsh(TransportContract):
    @pytest.fixture
    def entry(self, ssh_server: SshServer) -> str:
        return f'host = "board"\nssh_config = "{ssh_server.config}"'


@needs_adb
class TestAdb(TransportContract):
    @pytest.fixture
    def entry(self, adb_device: AdbDevice) -> str:
        return f'transport = "adb"\nserial = "{adb_device.serial}"'


@pytest.fixture(scope="module")
def adb_device() -> Iterator[AdbDevice]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", port)  # not the user's own adb server
        device = AdbDevice()
        yield device
        subprocess.run(["adb", "kill-server"], check=True, timeout=30, capture_output=True)
        device.close()


def test_a_connection_that_breaks_while_it_opens_leaves_no_folder(tmp_path: Path) -> None:
    """The folder is made when nobody listens any more: the shell dies of writing its name."""
    nobody, written = os.pipe()
    os.close(nobody)
    command = ["sh", "-c", KEEP, "sh", "", "1", str(tmp_path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.DEVNULL, timeout=30)
    os.close(written)
    assert list(tmp_path.iterdir()) == []
