"""What a history says beside others: reached as `history.verdict(…)`, see `history.VIEWS`."""

from collections.abc import Callable
from typing import Any

from pfmsm_lite.history import History
from pfmsm_lite.lab import verdict as answers


def verdict(history: History) -> Callable[..., list[str]]:
    """(other histories, options of `verdict.verdict`) → sentences: who should federate, and for whom it pays.

    One of the others must be of the method `local`: a gain is measured against staying alone.
    """

    def among(*others: History, **options: Any) -> list[str]:
        return answers.verdict([history, *others], **options)

    return among
