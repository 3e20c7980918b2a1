"""MinHash signatures by a peer, in its own environment: what `benchmarks.dedup` compares with.

Arguments: the peer, a JSON file of texts, and how many bytes of them to take. Prints the bytes
of text and the CPU seconds of their signatures: 112 permutations, word 5-grams of lower-case words.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

_WORD = re.compile(r"\w+")


def shingles(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    return list(map(" ".join, zip(words, words[1:], words[2:], words[3:], words[4:], strict=False)))


def datatrove() -> Callable[[str], object]:
    """Its step's own functions, with its own English tokenizer, which is spaCy's."""
    import tempfile

    from datatrove.pipeline.dedup import minhash

    step = minhash.MinhashDedupSignature(tempfile.mkdtemp(), minhash.MinhashConfig())
    return lambda text: step.get_signature(step.get_shingles(text))


def datatrove_split() -> Callable[[str], object]:
    """The same, given words by `split`: what is left of its time without spaCy."""
    from datatrove.pipeline.dedup import minhash
    from datatrove.utils import word_tokenizers

    class Words:
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

    def loaded(_language: str) -> Words:
        return Words()

    minhash.load_word_tokenizer = word_tokenizers.load_word_tokenizer = loaded
    return datatrove()


def datasketch() -> Callable[[str], object]:
    from datasketch import MinHash

    first = MinHash(num_perm=112, seed=1, scheme="affine32")

    def sign(text: str) -> object:
        signature = MinHash(
            num_perm=112, seed=1, scheme="affine32", permutations=first.permutations
        )
        signature.update_batch([shingle.encode() for shingle in shingles(text)])
        return signature

    return sign


def rensa() -> Callable[[str], object]:
    from rensa import RMinHash

    def sign(text: str) -> object:
        signature = RMinHash(num_perm=112, seed=1)
        signature.update(shingles(text))
        return signature.digest()

    return sign


PEERS = {
    "datatrove": datatrove,
    "datatrove, given words": datatrove_split,
    "datasketch": datasketch,
    "rensa": rensa,
}


def main(peer: str, path: str, most: int) -> None:
    taken, size = [], 0
    for text in json.loads(Path(path).read_text()):
        if size >= most:
            break
        taken.append(text)
        size += len(text.encode())
    sign = PEERS[peer]()
    sign(taken[0])
    begun = time.process_time()
    for text in taken:
        sign(text)
    print(size, time.process_time() - begun)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
