from __future__ import annotations

import errno
import pickle

import pytest

from storage import errors
from storage.errors import Fault, PhusaError, RequestError, StoreFull, UnknownArtifact


def test_the_tree_at_the_top_of_the_file_names_every_error() -> None:
    tree = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, PhusaError):
            assert name in tree, name


def test_a_request_lists_all_its_faults() -> None:
    faults = [Fault(f"knob {i}", str(i), "more", "Raise it.") for i in range(3)]
    error = RequestError(faults)
    assert str(error).splitlines() == [
        f"knob {i}: found {i}; expected more. Raise it." for i in range(3)
    ]
    assert error.exit_code == 2


def test_faults_survive_the_way_between_processes() -> None:
    error = UnknownArtifact(Fault("store", "nothing", "something", "Make it."))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is UnknownArtifact
    assert (again.faults, str(again)) == (error.faults, str(error))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_space_by_any_name_is_store_full(number: int) -> None:
    with (
        pytest.raises(StoreFull, match=r"/place: .*--store PATH"),
        errors.os_errors_named("/place"),
    ):
        raise OSError(number, "no room")
