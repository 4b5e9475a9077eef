import errno
import os
from pathlib import Path

import pytest

from bnn_deploy.errors import BnnDeployError, FileFormatError
from bnn_deploy.journal import Journal, read_journal, write_atomically
from bnn_deploy.settings import pin_settings, read_json


def open_journal(path: Path) -> Journal:
    return Journal(path, "test", 1, {"who": "me"})


def test_round_trip_and_resume(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.jsonl"
    with open_journal(path) as journal:
        journal.append({"n": 1})
    with Journal(path, "test", 1, {"who": "not me"}) as journal:
        assert journal.header["who"] == "me"
        assert journal.records == [{"n": 1}]
        journal.append({"n": 2, "text": 'quote " and ,"crc32":"'})
    assert [record["n"] for record in read_journal(path, "test", 1)[1]] == [1, 2]


def test_cut_at_every_byte_loses_at_most_the_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with open_journal(path) as journal:
        for n in range(3):
            journal.append({"n": n})
    data = path.read_bytes()
    header = data.index(b"\n") + 1
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with open_journal(path) as journal:
            complete = data[:size].count(b"\n") - 1
            assert journal.records == [{"n": n} for n in range(max(complete, 0))]
        assert path.read_bytes() == (data[: data.rfind(b"\n", 0, size) + 1] if size >= header else data[:header])


def test_any_altered_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with open_journal(path) as journal:
        journal.append({"n": 1})
        journal.append({"n": 2})
    data = path.read_bytes()
    for position in range(len(data) - 1):
        changed = bytearray(data)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(FileFormatError, match=r"line \d is damaged|expected a test"):
            read_journal(path, "test", 1)


def test_other_kinds_and_schemas(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    open_journal(path).close()
    with pytest.raises(FileFormatError, match="expected a table, found 'test'"):
        read_journal(path, "table", 1)
    with pytest.raises(FileFormatError, match="expected schema 2, found 1"):
        read_journal(path, "test", 2)
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_journal(tmp_path / "none", "test", 1)


@pytest.mark.parametrize("content", [b'{"my": "precious data"}', b"first line\nsecond, torn", b"\x89PNG\r\n\x1a\n\x00"])
def test_a_foreign_file_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"notes\.json"):
        open_journal(path)
    assert path.read_bytes() == content


def test_one_writer(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path / "a.jsonl"),
        pytest.raises(BnnDeployError, match="another process is writing it"),
    ):
        open_journal(tmp_path / "a.jsonl")


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    with open_journal(path) as journal:
        journal.append({"n": 1})
        before = path.read_bytes()

        def half(file: int, data: bytes, real=os.write) -> int:  # type: ignore[no-untyped-def]
            if len(data) < 10:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return int(real(file, data[: len(data) // 2]))

        monkeypatch.setattr(os, "write", half)
        with pytest.raises(BnnDeployError, match="No space left on device; free some space"):
            journal.append({"n": 2, "long": "x" * 100})
        monkeypatch.undo()
        assert path.read_bytes() == before
        journal.append({"n": 3})
    assert [record["n"] for record in read_journal(path, "test", 1)[1]] == [1, 3]


def test_atomic_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(BnnDeployError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_pinned_settings(tmp_path: Path) -> None:
    path = tmp_path / "run" / "settings.json"
    pin_settings(path, {"seed": 1, "groups": (1, 2)})
    pin_settings(path, {"groups": [1, 2], "seed": 1})
    with pytest.raises(BnnDeployError, match=r"holds a run with seed = 1, this one has 2; give another --out"):
        pin_settings(path, {"seed": 2, "groups": [1, 2]})
    text = path.read_text()
    path.write_text(text.replace('"seed": 1', '"seed": 2'))
    with pytest.raises(FileFormatError, match="altered"):
        read_json(path)
    path.write_text(text.replace("  ", "    "))
    assert read_json(path) == {"seed": 1, "groups": [1, 2]}
    path.write_text("{")
    with pytest.raises(FileFormatError, match="not valid JSON"):
        read_json(path)
