from __future__ import annotations

import hashlib
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.files import HashingFile


@given(st.lists(st.binary(max_size=200), max_size=12), st.booleans())
def test_what_is_written_is_hashed_on_its_way(pieces: list[bytes], flush: bool) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        with HashingFile(path) as stream:
            for number, piece in enumerate(pieces):
                assert stream.tell() == sum(map(len, pieces[:number]))
                assert stream.write(memoryview(piece)) == len(piece)
                if flush:
                    stream.flush()
            stream.sync()
            assert path.read_bytes() == b"".join(pieces)
        assert stream.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()
        assert stream.closed
        stream.flush()  # pyarrow does so once more at its end


def test_a_hashed_file_only_goes_forward(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(FileExistsError):
        HashingFile(tmp_path / "there")
    with HashingFile(tmp_path / "new") as stream:
        assert stream.writable() and not stream.readable() and not stream.seekable()
        with pytest.raises(io.UnsupportedOperation):
            stream.seek(0)
