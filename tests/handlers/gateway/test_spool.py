"""The spool keeps every line until it is settled, whatever happens to its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.gateway import spool as module
from handlers.gateway.spool import Spool, decode_line, encode_line


def drain(spool: Spool, lines_max: int = 10) -> list[bytes]:
    found: list[bytes] = []
    while (batch := spool.batch(lines_max)) is not None:
        segment, payloads, offset, _ = batch
        found += payloads
        spool.commit(segment, offset)
    return found


@given(st.binary(min_size=1, max_size=200).filter(lambda payload: b"\n" not in payload))
def test_a_line_survives_its_encoding(payload: bytes) -> None:
    assert decode_line(encode_line(payload)[:-1]) == payload


@given(st.binary(min_size=1, max_size=60).filter(lambda p: b"\n" not in p), st.integers(0, 500), st.integers(1, 255))
def test_a_damaged_line_is_noticed(payload: bytes, position: int, flip: int) -> None:
    line = bytearray(encode_line(payload)[:-1])
    line[position % len(line)] ^= flip
    assert decode_line(bytes(line)) != payload or bytes(line).lower() == encode_line(payload)[:-1]


def test_lines_come_out_once_and_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    wanted = [b'{"n":%d}' % number for number in range(57)]
    for line in wanted:
        spool.append(line)
    assert drain(spool) == wanted
    assert drain(spool) == []
    spool.close()


def test_nothing_is_left_behind_when_all_is_settled(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(b"{}")
    drain(spool)
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_segments_rotate_and_are_deleted_when_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES_MAX", 200)
    spool = Spool(tmp_path)
    for number in range(100):
        spool.append(b'{"number":%d}' % number)
    assert len(list(tmp_path.glob("*/*.usage"))) > 5
    assert len(drain(spool)) == 100
    assert len(list(tmp_path.glob("*/*.usage"))) == 1
    assert spool.unsettled_bytes() == 0
    spool.close()


def test_only_a_sync_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES_MAX", 200)
    synced: list[int] = []
    monkeypatch.setattr("os.fdatasync", synced.append)
    spool = Spool(tmp_path)
    for number in range(50):
        spool.append(b'{"number":%d}' % number)
    drain(spool)
    assert synced == []
    spool.sync()
    assert len(synced) == len(set(synced)) > 5, "each segment that was full, and the one that grows"
    spool.sync()
    assert synced[-1] == synced[-2]
    spool.close()


def test_a_batch_that_is_not_committed_comes_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(b"{}")
    assert spool.batch(10) == spool.batch(10)
    spool.close()


def test_the_lines_of_a_killed_process_are_adopted(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from handlers.gateway.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]))\n"
        "for number in range(20): spool.append(b'{\"n\":%d}' % number)\n"
        "os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, env={"PYTHONPATH": str(root)})
    spool = Spool(tmp_path)
    assert spool.adopted == 1
    assert drain(spool) == [b'{"n":%d}' % number for number in range(20)]
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_keeps_its_lines(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.append(b"{}")
    second = Spool(tmp_path)
    assert second.adopted == 0
    second.close()
    assert drain(first) == [b"{}"]
    first.close()


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_tail_is_cut_off(tmp_path: Path, cut: int) -> None:
    folder = tmp_path / "0000001-dead"
    folder.mkdir()
    whole, torn = encode_line(b'{"n":1}'), encode_line(b'{"n":2}')
    (folder / "00000001.usage").write_bytes(whole + torn[:cut])
    spool = Spool(tmp_path)
    assert drain(spool) == [b'{"n":1}']
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_line_in_the_middle_loses_only_itself(tmp_path: Path) -> None:
    folder = tmp_path / "0000001-dead"
    folder.mkdir()
    lines = [encode_line(b'{"n":%d}' % number) for number in range(3)]
    lines[1] = lines[1].replace(b'"n"', b'"x"')
    (folder / "00000001.usage").write_bytes(b"".join(lines))
    spool = Spool(tmp_path)
    batch = spool.batch(10)
    assert batch is not None
    assert batch[1] == [b'{"n":0}', b'{"n":2}']
    assert batch[3] == len(lines[1])
    spool.commit(batch[0], batch[2])
    spool.close()


def test_a_hole_loses_only_the_lines_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "0000001-dead"
    folder.mkdir()
    lines = [encode_line(b'{"n":%d}' % number) for number in range(4)]
    lines[1] = lines[1][:5] + bytes(len(lines[1]) - 5)
    (folder / "00000001.usage").write_bytes(b"".join(lines) + bytes(100))
    spool = Spool(tmp_path)
    batch = spool.batch(10)
    assert batch is not None
    assert batch[1] == [b'{"n":0}', b'{"n":3}'], "the page that never reached the disk takes the line it ran into along"
    assert batch[3] == len(lines[1]) + len(lines[2])
    spool.commit(batch[0], batch[2])
    assert spool.unsettled_bytes() == 0
    spool.close()


def test_a_segment_that_was_never_written_to_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "0000001-dead"
    folder.mkdir()
    (folder / "00000001.usage").write_bytes(bytes(4096))
    spool = Spool(tmp_path)
    assert spool.batch(10) is None
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_line_longer_than_a_segment_has_one_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES_MAX", 100)
    spool = Spool(tmp_path)
    wanted = [b'{"n":1}', b'{"text":"%b"}' % (b"x" * 300), b'{"n":2}']
    for line in wanted:
        spool.append(line)
    assert drain(spool) == wanted
    spool.close()


def test_a_full_disk_is_told_and_costs_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES_MAX", 60)
    spool = Spool(tmp_path)
    wanted = [b'{"number":%d}' % number for number in range(5)]
    spool.append(wanted[0])
    spool.append(wanted[1])
    with monkeypatch.context() as full:

        def refuse(*_: int) -> None:
            raise OSError(28, "no space left")

        full.setattr("os.posix_fallocate", refuse)
        for _ in range(3):
            with pytest.raises(OSError, match="no space"):
                spool.append(wanted[2])
    for line in wanted[2:]:
        spool.append(line)
    assert drain(spool) == wanted
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_in_the_file_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(b"{}")
    (path,) = tmp_path.glob("*/*.usage")
    assert path.read_bytes().rstrip(b"\0") == encode_line(b"{}")
    assert path.stat().st_blocks * 512 >= module.SEGMENT_BYTES_MAX, "its blocks are its own already"
    spool.close()


def test_files_are_private(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(b"{}")
    for path in (tmp_path / "spool").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    spool.close()
