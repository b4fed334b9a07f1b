"""A tar stream becomes a folder, or nothing: whatever a hostile or broken server sends."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.adapters.hub.pack import packed
from knowngood_sdk import fingerprint
from knowngood_sdk.agent.unpack import unpack
from knowngood_sdk.errors import InvalidError, NotFoundError


def stream(*members: tuple[tarfile.TarInfo, bytes], end: bytes = bytes(1024)) -> bytes:
    pieces = []
    for member, content in members:
        pieces += [member.tobuf(tarfile.PAX_FORMAT), content, bytes(-len(content) % 512)]
    return b"".join(pieces) + end


def file(name: str, content: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, content


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    yield from (data[start : start + size] for start in range(0, len(data), size))


def test_what_was_packed_is_what_is_unpacked(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("a", "b/c", "b/" + "d" * 120 + "/e", "\u00fc"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(name.encode() * 100)
    (source / "a").chmod(0o755)
    unpack(packed(source), tmp_path / "target")
    assert fingerprint(tmp_path / "target") == fingerprint(source)


def test_a_single_file_gets_the_name_that_it_is_asked_for_by(tmp_path: Path) -> None:
    (tmp_path / "0123").write_bytes(b"model")
    unpack(packed(tmp_path / "0123", "model.bin"), tmp_path / "target")
    assert (tmp_path / "target" / "model.bin").read_bytes() == b"model"


def test_nothing_is_packed_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="gone from this control plane"):
        packed(tmp_path / "nothing")


@given(data=st.data())
def test_the_size_of_the_pieces_does_not_matter(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = stream(file("a", b"1" * 1000), file("b" * 200, b"2"))
    size = data.draw(st.integers(1, 3000))
    target = tmp_path_factory.mktemp("target") / "folder"
    unpack(pieces(whole, size), target)
    assert (target / "a").read_bytes() == b"1" * 1000
    assert (target / ("b" * 200)).read_bytes() == b"2"


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../out", "a/../../out", "a//b", "./a", ".git/hooks/x", "", "a\0b", "x/" + "../" * 90 + "y"]
)
def test_no_path_leads_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidError, match="leads out"):
        unpack(pieces(stream(file(name)) if "\0" not in name else _pax_path(name)), tmp_path / "in" / "target")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def _pax_path(name: str) -> bytes:
    record = f"{len(name) + 9} path={name}\n".encode()
    return stream(file("h", record, type=tarfile.XHDTYPE), file("a"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_there_is_nothing_but_files(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("a")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(InvalidError, match="no regular file"):
        unpack(pieces(stream((member, b""))), tmp_path / "target")


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cannot be written"):
        unpack(pieces(stream(file("a"), file("a"))), tmp_path / "target")


@pytest.mark.parametrize("cut", [0, 100, 512, 600, 1023, 1024, 1500])
def test_a_stream_that_ends_early_is_told_from_a_whole_one(tmp_path: Path, cut: int) -> None:
    whole = stream(file("a", b"1" * 700), end=bytes(512))
    with pytest.raises(InvalidError, match="ended early"):
        unpack(pieces(whole[:cut]), tmp_path / "target")


def test_endless_bytes_and_endless_files_end(tmp_path: Path) -> None:
    def endless(member: Callable[[int], bytes]) -> Iterator[bytes]:
        number = 0
        while True:
            yield member(number)
            number += 1

    many = endless(lambda number: stream(file(str(number)), end=b""))
    with pytest.raises(InvalidError, match="more than 1000 bytes or 10 files"):
        unpack(many, tmp_path / "many", max_bytes=1000, max_files=10)
    large = tarfile.TarInfo("large")
    large.size = 10**15
    with pytest.raises(InvalidError, match="more than 1000 bytes"):
        unpack(iter([large.tobuf(tarfile.PAX_FORMAT)]), tmp_path / "large", max_bytes=1000, max_files=10)


@pytest.mark.parametrize(
    "record", [b"0 path=a\n", b"999 path=a\n", b"x path=a\n", b"path", b"-5 path=a\n", b"9 path=\xff\n", b"9 size=-1\n"]
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, record: bytes) -> None:
    with pytest.raises(InvalidError):
        unpack(pieces(stream(file("h", record, type=tarfile.XHDTYPE), file("a"))), tmp_path / "target")


def test_a_header_cannot_make_memory_grow(tmp_path: Path) -> None:
    member = tarfile.TarInfo("h")
    member.type, member.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(InvalidError, match="a header in the stream has"):
        unpack(iter([member.tobuf(tarfile.GNU_FORMAT)]), tmp_path / "target")


@given(noise=st.binary(max_size=3000))
def test_noise_is_refused(noise: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        unpack(pieces(noise), tmp_path_factory.mktemp("noise") / "target")
    except InvalidError:
        return
    assert noise[:512] == bytes(512)


def test_the_standard_library_reads_what_is_packed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1" * 3000)
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed(tmp_path / "a")))) as archive:
        assert archive.getnames() == ["a"]
