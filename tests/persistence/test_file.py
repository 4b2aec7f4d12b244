"""The file: what other programs read, what damage is found, what a crash leaves."""

import errno
import json
import os
import stat

import pytest
import safetensors.torch
import torch

from skotae.exceptions import CorruptFileError, UnsavableError
from skotae.persistence.format import file

from .conftest import sealed

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "flags": torch.tensor([True, False, True]),
    "count": torch.tensor(7),
    "empty": torch.empty(0, 3),
    "half": torch.ones(1, dtype=torch.bfloat16),
    "keys": torch.tensor([1, 2], dtype=torch.uint32),
}
TEXT = '{"schema": 1, "quotes": "\\"sha256\\":\\"' + "0" * 64 + '\\" é"}'


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / "model.safetensors")
    file.write(path, TENSORS, TEXT)
    return path


def put(path, raw):
    with open(path, "wb") as file:
        file.write(raw)


def get(path):
    with open(path, "rb") as file:
        return file.read()


def equal(a, b):
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a
    )


def test_round_trip(path):
    tensors, text = file.read(path)
    assert equal(tensors, TENSORS) and text == TEXT
    # Each has memory of its own, that can be written to.
    tensors["weight"].zero_()
    assert all(t.untyped_storage().nbytes() == t.nbytes for t in tensors.values())


def test_other_programs_read_it(path):
    assert equal(safetensors.torch.load_file(path), TENSORS)
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()["format"] == "skotae"
        assert file.metadata()["skotae"] == TEXT


def test_one_state_is_one_file(path, tmp_path):
    again = str(tmp_path / "again")
    for _ in range(8):
        file.write(again, dict(reversed(TENSORS.items())), TEXT)
        assert get(again) == get(path)


def test_no_tensors(tmp_path):
    path = str(tmp_path / "file")
    file.write(path, {}, "{}")
    assert file.read(path) == ({}, "{}")
    assert safetensors.torch.load_file(path).keys() == {"nothing"}


def test_tensors_do_not_depend_on_the_ambient_state(path):
    with torch.inference_mode():
        tensors, _ = file.read(path)
    assert not any(tensor.is_inference() for tensor in tensors.values())
    torch.set_default_device("meta")
    try:
        tensors, _ = file.read(path)
    finally:
        torch.set_default_device(None)
    assert equal(tensors, TENSORS)


# --- damage -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_bits", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_a_flipped_bit_is_found(path, n_bits):
    """One in each byte, or every one."""
    raw = bytearray(get(path))
    for place in range(len(raw)):
        for bit in [(place + i) % 8 for i in range(n_bits)]:
            raw[place] ^= 1 << bit
            put(path, raw)
            with pytest.raises(CorruptFileError):
                file.read(path)
            raw[place] ^= 1 << bit
    put(path, raw)
    file.read(path)


def test_every_truncation_is_found(path):
    raw = get(path)
    for n in range(len(raw)):
        put(path, raw[:n])
        with pytest.raises(CorruptFileError):
            file.read(path)
    put(path, raw + b"\0")
    with pytest.raises(CorruptFileError):
        file.read(path)


@pytest.mark.parametrize("raw", [b"", b"x" * 7, b"x" * 100, b"\x80\x04\x95" + b"p" * 50, b"PK\3\4"])
def test_other_files(path, raw):
    put(path, raw)
    with pytest.raises(CorruptFileError, match="not written by skotae"):
        file.read(path)


def test_safetensors_of_others(path):
    for metadata in (None, {"format": "pt"}):
        safetensors.torch.save_file({"a": torch.ones(2)}, path, metadata)
        with pytest.raises(CorruptFileError, match="not written by skotae"):
            file.read(path)


def test_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ""):
        with pytest.raises(CorruptFileError, match="no regular file"):
            file.read(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        file.read(str(tmp_path / "absent"))


# --- what an attacker writes ------------------------------------------------------------


def rewritten(raw, change):
    """A file with another header and the right digest."""
    n = int.from_bytes(raw[:8], "little")
    header = change(json.loads(raw[8 : 8 + n]))
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
    return sealed(len(text).to_bytes(8, "little") + text.encode() + raw[8 + n :])


def entry(**fields):
    def change(header):
        header["weight"].update(fields)
        return header

    return change


def metadata(**fields):
    def change(header):
        header["__metadata__"].update(fields)
        return header

    return change


def overlapping(header):
    header["weight"]["data_offsets"] = header["count"]["data_offsets"]
    header["weight"].update(dtype="I64", shape=[])
    return header


def without(name):
    def change(header):
        del header[name]
        return header

    return change


def with_a_key_twice(header):
    text = json.dumps(header, separators=(",", ":"))
    return text.replace('"weight":', '"count":', 1)


HEADERS = {
    "huge shape": entry(shape=[2**40, 2**40]),
    "negative shape": entry(shape=[-2, -3]),
    "shape of floats": entry(shape=[2.0, 3.0]),
    "shape of booleans": entry(shape=[True, 6]),
    "many dimensions": entry(shape=[1] * 40 + [6]),
    "huge empty": entry(shape=[0, 2**60]),
    "wrong dtype": entry(dtype="F64"),
    "unknown dtype": entry(dtype="PICKLE"),
    "dtype that is none": entry(dtype=["F32"]),
    "huge offsets": entry(data_offsets=[0, 2**62]),
    "large integers": entry(data_offsets=[0, 10**30]),
    "negative offsets": entry(data_offsets=[-24, 0]),
    "one offset": entry(data_offsets=[24]),
    "more fields": entry(code="x"),
    "no object": lambda header: {**header, "weight": 3},
    "overlap": overlapping,
    "hole": without("weight"),
    "list": lambda header: [header],
    "number": lambda header: "1",
    "key twice": with_a_key_twice,
    "no metadata": without("__metadata__"),
    "metadata of numbers": metadata(skotae=1),
    "more metadata": metadata(code="import os"),
    "another format": metadata(format="pt"),
    "no format": metadata(format=None),
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_headers(path, change):
    put(path, rewritten(get(path), change))
    with pytest.raises(CorruptFileError):
        file.read(path)


def test_an_unchanged_header_is_fine(path):
    put(path, rewritten(get(path), lambda header: header))
    assert equal(file.read(path)[0], TENSORS)


def test_header_length_is_not_believed(path):
    raw = get(path)
    for n in (2**63, 2**40, len(raw), len(raw) - 7):
        put(path, sealed(n.to_bytes(8, "little") + raw[8:]))
        with pytest.raises(CorruptFileError):
            file.read(path)


def test_booleans_are_0_or_1(path):
    raw = get(path)
    place = raw.rindex(b"\1\0\1")
    put(path, sealed(raw[:place] + b"\2" + raw[place + 1 :]))
    with pytest.raises(CorruptFileError, match="booleans"):
        file.read(path)


# --- writing ----------------------------------------------------------------------------


def test_more_than_can_be_read_is_not_written(tmp_path):
    path = str(tmp_path / "file")
    for text in ('"' + "a" * 2**22 + '"', "[" + "0," * 500_000 + "0]"):
        with pytest.raises(UnsavableError, match="columns .* names"):
            file.write(path, {}, text)
    with pytest.raises(UnsavableError, match="larger than the file"):
        file.write(path, {"a": torch.empty(0, 10**9)}, "{}")
    assert os.listdir(tmp_path) == []


def failing(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt(), MemoryError()], ids=repr
)
def test_a_failed_write_changes_nothing(path, monkeypatch, name, error):
    before = get(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing(error))
        with pytest.raises(type(error)):
            file.write(path, {"a": torch.ones(3)}, "{}")
    assert get(path) == before
    assert os.listdir(os.path.dirname(path)) == ["model.safetensors"]


def test_full_disk(path, monkeypatch):
    before = get(path)
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="Not saved, and nothing was changed: the disk is full") as e:
        file.write(path, {"a": torch.ones(3)}, "{}")
    assert e.value.errno == errno.ENOSPC and e.value.filename == path
    assert get(path) == before and os.listdir(os.path.dirname(path)) == ["model.safetensors"]


def test_a_limit_on_the_size_of_files(path):
    """A disk that is really full, as far as a test can have one."""
    resource = pytest.importorskip("resource")
    before, limits = get(path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, limits[1]))
    try:
        with pytest.raises(OSError, match="disk is full") as caught:
            file.write(path, {"a": torch.ones(2**14)}, "{}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == path
    assert get(path) == before and os.listdir(os.path.dirname(path)) == ["model.safetensors"]


def test_missing_folder(tmp_path):
    path = str(tmp_path / "absent" / "model")
    with pytest.raises(FileNotFoundError, match="no folder .*absent.*; make it first") as e:
        file.write(path, TENSORS, TEXT)
    assert e.value.filename == path
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="there is no folder"):
        file.write(str(tmp_path / "file" / "model"), TENSORS, TEXT)


def test_a_folder_in_its_place(tmp_path):
    with pytest.raises(IsADirectoryError, match="not a file that could be replaced"):
        file.write(str(tmp_path), TENSORS, TEXT)


def test_read_only_folder(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="cannot be written to"):
        file.write(str(tmp_path / "model"), TENSORS, TEXT)
    tmp_path.chmod(0o700)


def test_refused_by_the_system(tmp_path, monkeypatch):
    """As in a read-only folder, also for root."""
    monkeypatch.setattr("builtins.open", failing(PermissionError(errno.EACCES, "denied")))
    with pytest.raises(PermissionError, match="cannot be written to; choose another one"):
        file.write(str(tmp_path / "model"), TENSORS, TEXT)


def test_a_link_stays_one(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    file.write(str(link), {}, "{}")
    assert link.is_symlink() and file.read(path) == ({}, "{}")


def test_rights_are_those_of_any_new_file(path, tmp_path):
    (tmp_path / "other").touch()
    mode = stat.S_IMODE(os.stat(tmp_path / "other").st_mode)
    assert stat.S_IMODE(os.stat(path).st_mode) == mode
    os.chmod(path, 0o640)
    file.write(path, {}, "{}")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_long_names_and_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("m" * 255, "model"):
        file.write(name, {}, "{}")
        assert file.read(name) == ({}, "{}")


def test_a_folder_that_cannot_be_synced(path, monkeypatch):
    """Network file systems know no fsync of folders; the file itself is whole."""
    fsync = os.fsync

    def only_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    file.write(path, {}, "{}")
    assert file.read(path) == ({}, "{}")
