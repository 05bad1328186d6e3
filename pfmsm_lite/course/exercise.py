"""Exercises: what an answer must be, the verdict on one, and variants with other numbers."""

import importlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

STOPPED = "your code stopped"  # so begins what is said of an answer that crashed
DRAWS = 1000  # attempts at numbers that are clear

Cases = Sequence[tuple[Any, str]]


@dataclass(frozen=True)
class Exercise:
    """What an answer must be, and what to say to one that is not.

    kind   "number", "text", "function", "array" or "any": what an answer is
    judge  answer → "" if right, else the hint. It may raise: that counts as wrong
    hint   said when `judge` raised, or had nothing better to say
    shape  of an array; None: any
    task   the text with its numbers, for an examination; "": that of the chapter
    right  the right answer, where it is a number, an array or a word that goes with the numbers
    why    the way to it, for who marks
    draw   random numbers → this exercise with other numbers; None: it stays as it is
    stays  why it does
    """

    kind: str
    judge: Callable[[Any], str | None]
    hint: str
    shape: tuple[int, ...] | None = None
    task: str = ""
    right: Any = None
    why: str = ""
    draw: "Callable[[random.Random], Exercise] | None" = None
    stays: str = ""


def equals(found: Any, numbers: Any, tolerance: float) -> bool:
    """Whether two numbers, or two arrays of one shape, are equal within an absolute tolerance."""
    import torch

    found, numbers = (torch.as_tensor(value, dtype=torch.float64) for value in (found, numbers))
    return torch.allclose(found, numbers, rtol=0, atol=tolerance)


def hint_for(answer: Any, cases: Cases, otherwise: str, tolerance: float) -> str:
    """The hint of the first case whose numbers the answer equals.

    cases      (numbers, hint) one after the other; the right answer's hint is ""
    otherwise  the hint where it equals none;  tolerance  absolute
    """
    return next((hint for numbers, hint in cases if equals(answer, numbers, tolerance)), otherwise)


def tied(cases: Cases, tolerance: float) -> bool:
    """Whether a mistake cannot be told from the right answer, the first case, or is no finite number."""
    import torch

    right, *wrong = (torch.as_tensor(numbers, dtype=torch.float64) for numbers, _ in cases)
    if not all(bool(value.isfinite().all()) for value in (right, *wrong)):
        return True
    return any(value.shape == right.shape and equals(value, right, 2 * tolerance) for value in wrong)


def by_cases(
    kind: str,
    cases: Cases,
    otherwise: str,
    tolerance: float,
    hint: str,
    of: Callable[[Any], Any] = lambda answer: answer,
    **rest: Any,
) -> Exercise | None:
    """An exercise whose answer is the number or the array of the first case; the others are mistakes.

    of       answer → its numbers; for a function what it makes of its arguments
    returns  None where the cases are `tied`
    """
    if tied(cases, tolerance):
        return None
    rest = rest if kind == "function" else {"right": cases[0][0], **rest}
    return Exercise(kind, lambda answer: hint_for(of(answer), cases, otherwise, tolerance), hint, **rest)


def say(numbers: Any) -> str:
    """Numbers for a text: 2, −0.5, (1, −2), ((1, 2), (3, 4))."""
    if isinstance(numbers, (list, tuple)):
        return f"({', '.join(map(say, numbers))})"
    return f"{numbers:,.6g}".replace("-", "−")


def varied(make: Callable[..., Exercise | None], **choices: Sequence) -> Exercise:
    """The exercise of `make`, its variants drawn from these choices.

    make     numbers → the exercise; its defaults are today's numbers. None: these numbers are degenerate
    choices  name of a number → what it may be
    """
    standard = make()
    if standard is None:
        raise ValueError(f"{make.__name__}: the numbers of its defaults are degenerate")

    def draw(chance: random.Random) -> Exercise:
        for _ in range(DRAWS):
            found = make(**{name: chance.choice(values) for name, values in choices.items()})
            if found is not None:
                return found
        raise ValueError(f"{make.__name__}: {DRAWS} draws, and all numbers were degenerate")

    return replace(standard, draw=draw)


SEEDS = range(1, 10**6)  # of a function's inputs
FIGURE = "it reads a figure, and a figure is of one run"
TABLE = "it reads a table of the results, which is what it is"
DECLARATION = "the answer is a declaration; there is no number in it"
NAMES = "what it is tried on is made of names that mislead; there is no number in it"


# ---- the exercises of a chapter ----


def exercises(chapter: str, variant: int | None = None) -> dict[str, Exercise]:
    """A chapter's exercises: name → Exercise. They are in pfmsm_lite/course/exercises/chapterNN.py.

    variant  seed of other numbers; None or 0: the chapter's own
    """
    known = importlib.import_module(f"pfmsm_lite.course.exercises.chapter{chapter[:2]}").EXERCISES
    return {name: variant_of(exercise, variant, chapter[:2] + name) for name, exercise in known.items()}


def variant_of(exercise: Exercise, variant: int | None, name: str) -> Exercise:
    """An exercise with the numbers of a seed; name: what tells it from the other exercises of that seed."""
    if not variant or exercise.draw is None:
        return exercise
    return replace(exercise.draw(random.Random(f"{variant} {name}")), draw=exercise.draw)


# ---- the verdict ----


class Kind(NamedTuple):
    fits: Callable[[Any], bool]
    words: str


def _is_number(answer: Any) -> bool:
    if hasattr(answer, "ndim"):  # of NumPy, PyTorch or pandas
        return answer.ndim == 0
    return not isinstance(answer, (bool, str)) and hasattr(answer, "__float__") and not callable(answer)


KINDS = {  # kind → (is an answer of that kind, in words)
    "number": Kind(_is_number, "a number"),
    "text": Kind(lambda answer: isinstance(answer, str), 'a string, such as "a"'),
    "function": Kind(callable, "a function"),
    "array": Kind(
        lambda answer: hasattr(answer, "shape") and hasattr(answer, "__array__"), "a tensor or an array"
    ),
    "any": Kind(lambda answer: True, "anything"),
}


def misfit(exercise: Exercise, answer: Any) -> str:
    """What an answer's type or shape has to be and is not; "" where it fits."""
    fits, words = KINDS[exercise.kind]
    if not fits(answer):
        return f"expected {words}, but this is of type {type(answer).__name__}"
    if exercise.kind == "array" and exercise.shape and tuple(answer.shape) != exercise.shape:
        return f"expected shape {exercise.shape}, but this has shape {tuple(answer.shape)}"
    if exercise.kind == "number" and not math.isfinite(float(answer)):
        return f"expected a finite number, but this is {float(answer)}"
    return ""


def verdict(exercise: Exercise, answer: Any) -> tuple[str, str]:
    """("ok" | "to do" | "wrong", hint) for an answer; never raises."""
    if answer is None or answer is ...:
        return "to do", ""
    if wrong := misfit(exercise, answer):
        return "wrong", wrong
    try:
        said = exercise.judge(answer)
    except Exception as error:  # a student's function may do anything
        return "wrong", f"{STOPPED} with {type(error).__name__}: {error}. {exercise.hint}"
    return ("ok", "") if said == "" else ("wrong", str(said or exercise.hint))
