"""Devices: descriptions and the user's file, a device over ssh with the real board binary, what `check` advises."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bnn_deploy.cli import cli, main
from bnn_deploy.errors import BnnDeployError, DeviceError, DeviceLost, FileFormatError, UnknownName
from bnn_deploy.profiling.check import Busy, Examination, examine
from bnn_deploy.profiling.description import BUILT_IN, device_descriptions, parse_devices
from bnn_deploy.profiling.device import Device, open_device
from bnn_deploy.profiling.own_devices import add_device, remove_device
from tests.ssh_server import SshServer, needs_sshd
from tests.test_transport import gone, soon

FACTS = {"emulated": False, "hypervisor": False, "governor": "ondemand"}
STATE = {"cur_khz": 1_500_000, "clock_khz": 1_499_000, "temperature_mc": 48_000, "throttled": 0, "load1": 0.1}
GOOD = Examination(
    core=3,
    facts=FACTS,
    state={**STATE, "free_bytes": 1 << 30},
    hold={"held": True, "freq_locked": True, "why": None},
    held_by=None,
    busy=[],
    desktop=None,
    free_kib=1 << 20,
)


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's devices file, not there yet."""
    path = tmp_path / "config" / "devices.toml"
    monkeypatch.setenv("BNN_DEPLOY_DEVICES", str(path))
    return path


@pytest.fixture
def board(own: Path, ssh_server: SshServer) -> Path:
    """This computer as the device `board`, behind a real sshd."""
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(f'schema = 1\n[board]\nbased_on = "x86-64"\nhost = "board"\nssh_config = "{ssh_server.config}"\n')
    return own


def test_built_in_devices_have_sources_for_their_figures() -> None:
    known = device_descriptions()
    assert {"host", "rpi3", "rpi4", "rpi5", "rpi-zero2w", "jetson-nano", "jetson-orin", "aarch64", "x86-64"} == set(
        known
    )
    for entry in known.values():
        assert not entry.own
        assert entry.hardware is None or entry.hardware.source
    pi = known["rpi4"].hardware
    assert pi is not None
    assert (pi.cpu, pi.max_khz, pi.l2_bytes) == ("cortex-a72", 1_500_000, 1 << 20)


def test_an_entry_of_a_built_in_name_is_based_on_it(own: Path) -> None:
    entry = add_device("rpi4", {"host": "raspberrypi.local", "user": "pi", "core": 2})
    known = device_descriptions()["rpi4"]
    assert known.own
    assert (known.transport, known.core, known.address) == ("ssh", 2, "pi@raspberrypi.local")
    assert known.hardware == entry.hardware == parse_devices(BUILT_IN, BUILT_IN.read_text())["rpi4"].hardware
    assert own.read_text().startswith("# Devices of your own")


def test_comments_and_neighbours_survive_an_edit(own: Path) -> None:
    own.parent.mkdir()
    own.write_text(
        '# mine\nschema = 1\n\n[a]  # first\nhost = "a"\n\n'
        '[b]\nhost = "b"\n[b.hardware]\ncores = 2\n\n[c]\nhost = "c"\n'
    )
    add_device("d", {"host": "d", "description": 'with "quotes", \\ and ü'})
    remove_device("b")
    text = own.read_text()
    assert text.startswith('# mine\nschema = 1\n\n[a]  # first\nhost = "a"\n\n[c]\n')
    own_entries = [entry for entry in device_descriptions().values() if entry.own]
    assert [entry.name for entry in own_entries] == ["a", "c", "d"]
    assert own_entries[2].description == 'with "quotes", \\ and ü'
    with pytest.raises(DeviceError, match="has a device 'a' already"):
        add_device("a", {"host": "x"})
    with pytest.raises(UnknownName, match=r"'b'.*\(known: a, c, d\)"):
        remove_device("b")
    with pytest.raises(UnknownName, match="'rpi4'"):
        remove_device("rpi4")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[a]\nhost = 'x'", FileFormatError, "expected `schema = 1`"),
        ("schema = 2\n[a]\nhost = 'x'", FileFormatError, "expected `schema = 1`"),
        ("schema = 1\n[a\n", FileFormatError, "not TOML"),
        ("schema = 1\na = 3", FileFormatError, r"expected a table \[a\], found a = 3"),
        ("schema = 1\n[a]\nhots = 'x'", UnknownName, r"unknown key in .*\[a\] 'hots'; did you mean host"),
        ("schema = 1\n[a]\nname = 'x'", UnknownName, "unknown key"),
        ("schema = 1\n[a]\nhost = 3", FileFormatError, r"\[a\]: host: expected a text in quotes, found 3"),
        ("schema = 1\n[a]\nhost = 'x'\nport = '22'", FileFormatError, "port: expected a whole number, found '22'"),
        ("schema = 1\n[a]\nhost = 'x'\ncore = true", FileFormatError, "core: expected a whole number, found True"),
        ("schema = 1\n[a]\nhost = 'x'\nport = 0", FileFormatError, "port: expected 1 to 65535, found 0"),
        ("schema = 1\n[a]\nhost = 'x'\ncore = -2", FileFormatError, "core: expected a core's number"),
        ("schema = 1\n[a]\nhost = '-oProxyCommand=x'", FileFormatError, "host: expected a name"),
        ("schema = 1\n[a]\nhost = 'a b'", FileFormatError, "host: expected a name"),
        ("schema = 1\n[a]\nhost = 'x'\nuser = ''", FileFormatError, "user: expected a name"),
        ("schema = 1\n[a]\ncore = 1", FileFormatError, r"\[a\]: transport missing"),
        ("schema = 1\n[a]\ntransport = 'usb'", FileFormatError, "expected one of local, ssh, adb, found 'usb'"),
        ("schema = 1\n[a]\ntransport = 'local'\nhost = 'x'", FileFormatError, "host is for transport 'ssh'"),
        ("schema = 1\n[a]\nhost = 'x'\nserial = 'y'", FileFormatError, "serial is for transport 'adb'"),
        ("schema = 1\n[a]\nbased_on = 'rpi9'", UnknownName, "'rpi9'; did you mean rpi5"),
        ("schema = 1\n[a.hardware]\ncores = 'x'", FileFormatError, r"\[a.hardware\]: cores: expected a whole number"),
        ("schema = 1\n['a b']\nhost = 'x'", FileFormatError, "a name consists of"),
    ],
)
def test_a_wrong_file_is_a_clear_error(own: Path, text: str, error: type[BnnDeployError], message: str) -> None:
    own.parent.mkdir()
    own.write_text(text)
    with pytest.raises(error, match=message) as caught:
        device_descriptions()
    assert str(own) in str(caught.value)


def test_where_the_users_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BNN_DEPLOY_DEVICES")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    add_device("a", {"host": "a"})
    assert (tmp_path / "bnn-deploy" / "devices.toml").is_file()
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert "a" not in device_descriptions()
    (tmp_path / "home" / ".config").mkdir(parents=True)
    (tmp_path / "bnn-deploy").rename(tmp_path / "home" / ".config" / "bnn-deploy")
    assert "a" in device_descriptions()


@needs_sshd
def test_a_device_over_ssh(board: Path) -> None:
    with open_device("host") as here, open_device("board") as there:
        changing = {"cur_khz"}
        assert {k: v for k, v in here.facts.items() if k not in changing} == {
            k: v for k, v in there.facts.items() if k not in changing
        }
        assert there.binary_sha256 == here.binary_sha256
        assert not there.emulated
        assert there.choose_core() in range(os.cpu_count() or 1)
        (folder,) = there.run(["pwd"])
        there.reconnect()
        assert gone(folder)
        assert next(there.board(["facts"], 30))["machine"] == here.facts["machine"]
        (folder,) = there.run(["pwd"])
    assert soon(lambda: gone(folder))


@needs_sshd
def test_another_device_in_its_place(board: Path) -> None:
    with open_device("board") as device:
        device.facts = {**device.facts, "cpu": "another"}
        with pytest.raises(DeviceError, match=r"came back as another device: cpu was 'another', now it is") as caught:
            device.reconnect()
    assert not isinstance(caught.value, DeviceLost)


@needs_sshd
def test_two_profilers_on_one_board(board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = Device.hold
    (tmp_path / "sys").mkdir()  # one's own: somebody may be measuring on this computer
    monkeypatch.setattr(Device, "hold", lambda self, words: hold(self, [*words, "--sysfs", str(tmp_path / "sys")]))
    with open_device("board") as first, open_device("board") as second:
        held = first.hold(["hold", "--core", "0"])
        told = json.loads(held.first_line)
        with pytest.raises(DeviceError, match=f"process {told['pid']} is measuring"):
            second.hold(["hold", "--core", "0"])
        found = examine(second)
        assert found.hold is None
        assert any(f"process {told['pid']} is measuring" in advice for advice in found.advice)
        held.close()
        assert examine(second).hold is not None


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda found: {}, []),
        (lambda found: {"facts": {**FACTS, "emulated": True}}, ["latencies mean nothing"]),
        (lambda found: {"facts": {**FACTS, "hypervisor": True}}, ["a virtual machine"]),
        (
            lambda found: {"hold": {"freq_locked": False, "why": "Permission denied"}},
            ["cannot be locked (Permission denied): governor 'ondemand': run `echo performance | sudo tee"],
        ),
        (lambda found: {"hold": None, "held_by": "process 4711 is measuring"}, ["process 4711 is measuring"]),
        (lambda found: {"state": {**found.state, "clock_khz": 600_000}}, ["runs at 600 MHz where 1500 were asked for"]),
        (lambda found: {"state": {**found.state, "clock_khz": 1_480_000}}, []),
        (lambda found: {"state": {**found.state, "temperature_mc": 72_000}}, ["at 72 °C it is about to slow down"]),
        (lambda found: {"state": {**found.state, "temperature_mc": 82_000}}, ["at 82 °C it slows down"]),
        (lambda found: {"state": {**found.state, "throttled": 1}}, ["now the supply's voltage is too low"]),
        (
            lambda found: {"state": {**found.state, "throttled": 0x50005}},
            ["now the supply's voltage is too low", "now the clock is lowered"],
        ),
        (lambda found: {"state": {**found.state, "throttled": 0x80000}}, ["for a time, the soft temperature limit"]),
        (lambda found: {"desktop": "labwc"}, ["a desktop runs (labwc): `sudo systemctl isolate multi-user.target`"]),
        (lambda found: {"busy": [Busy("apt", 0.5), Busy("x", 0.03)]}, ["apt (50% of a core), x (3% of a core); stop"]),
        (lambda found: {"state": {**found.state, "load1": 1.5}}, ["its load was 1.50"]),
        (lambda found: {"state": {**found.state, "free_bytes": 50 << 20}}, ["only 50 MiB of memory"]),
        (lambda found: {"free_kib": 20 << 10}, ["only 20 MiB are free"]),
        (lambda found: {"state": dict.fromkeys(found.state), "facts": {}}, []),
    ],
)
def test_advice(change: Callable[[Examination], dict[str, object]], advice: list[str]) -> None:
    said = replace(GOOD, **change(GOOD)).advice  # type: ignore[arg-type]
    assert len(said) == len(advice)
    assert all(wanted in got for wanted, got in zip(advice, said, strict=True))


def invoke(*arguments: str) -> str:
    """Standard output of `bnn-deploy devices`, which succeeds."""
    result = CliRunner().invoke(cli, ["devices", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_add_list_show_remove(own: Path) -> None:
    words = ["--like", "rpi5", "--host", "pi@192.168.1.7", "--identity", "~/.ssh/boards", "--core", "3"]
    added = json.loads(invoke("add", "kitchen", *words, "--json"))
    listed = {entry["name"]: entry for entry in json.loads(invoke("--json"))}
    assert listed["kitchen"] == added == json.loads(invoke("show", "kitchen", "--json"))
    assert (added["user"], added["host"], added["based_on"], added["core"]) == ("pi", "192.168.1.7", "rpi5", 3)
    assert "ssh pi@192.168.1.7" in invoke()
    assert "LPDDR4X-4267" in invoke("show", "kitchen")
    invoke("add", "phone", "--serial", "R58M")
    assert "adb R58M" in invoke()
    invoke("remove", "kitchen")
    assert "kitchen" not in invoke()


@pytest.mark.parametrize("name", ["add", "remove", "show", "check"])
def test_every_subcommand_has_help_with_an_example(name: str) -> None:
    assert f"bnn-deploy devices {name}" in invoke(name, "--help")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["check", "rpi4"], 1, "`bnn-deploy devices add rpi4 --host USER@HOST` gives it one"),
        (["check", "rpi9"], 1, "did you mean rpi5"),
        (["show", "rpi9"], 1, "did you mean rpi5"),
        (["add", "x"], 2, "say where it is"),
        (["add", "x", "--host", "-oProxyCommand=x"], 1, "host: expected a name"),
        (["add", "a b", "--host", "x"], 1, "not TOML"),
        (["remove", "rpi4"], 1, "(known: none)"),
    ],
)
def test_bad_input(
    own: Path, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["devices", *arguments])
    assert stopped.value.code == code
    assert message in capsys.readouterr().err
    assert not own.exists()


def test_check_this_computer() -> None:
    found = json.loads(invoke("check", "host", "--json"))
    assert found["facts"]["machine"] == os.uname().machine
    assert found["state"]["clock_khz"] > 100_000
    assert found["free_kib"] > 0
    assert isinstance(found["advice"], list)
    assert "clock can be locked" in invoke("check", "host")


@needs_sshd
def test_check_over_ssh(board: Path) -> None:
    assert json.loads(invoke("check", "board", "--json"))["device"] == "board"
