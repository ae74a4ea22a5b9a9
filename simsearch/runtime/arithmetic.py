"""What all workers of a run compute with: said once by who asks, so that it does not matter who does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.runtime.asking import Answered, ask_workers

if TYPE_CHECKING:
    from distributed import Client

    from simsearch.nn.device import Arithmetic

_TIMEOUT_S = 60.0  # to load torch where many processes do at once


def choose_arithmetic(client: Client, *, is_exact: bool = False) -> Arithmetic:
    """Choose bfloat16 if every worker has instructions for it, and it is not to be exact; else float32.

    A worker that comes later computes with what was chosen, whether it has instructions for it or not.
    """
    if is_exact:
        return "float32"
    answers = ask_workers(client, _native_arithmetic, workers=list(client.nthreads()), timeout_s=_TIMEOUT_S)
    told = {answer.value for answer in answers.values() if isinstance(answer, Answered)}
    return "bfloat16" if told == {"bfloat16"} else "float32"


def _native_arithmetic() -> Arithmetic:
    from simsearch.nn.device import native_arithmetic  # takes seconds: not while a worker reads what it is asked

    return native_arithmetic()
