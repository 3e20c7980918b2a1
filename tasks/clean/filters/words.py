"""What filters use of `tasks.words`, and the type of their numbers of words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tasks.words import UNSPACED, is_unspaced, split_words

Integers = npt.NDArray[np.int64]

__all__ = ["UNSPACED", "Integers", "is_unspaced", "split_words"]
