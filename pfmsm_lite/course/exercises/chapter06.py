"""Exercises of chapter 06, conflict coordination."""

import math

from pfmsm_lite.course.exercise import FIGURE, Exercise, hint_for, say, tied, varied


def by_hand(length=2, height=1, c=0.5):
    """Exercise 1: a = (length, 0), b = (0, height). b's inner product is the smaller one."""
    if height * c >= length:
        return None
    cases = (
        ((length, c * length), ""),
        (
            (length, c),
            f"the radius of the disc is c times the length of a, and a has length {length}",
        ),
    )

    def judge(answer):
        x, y = (float(v) for v in answer)
        otherwise = "which of the two inner products is the smaller one? Go as far as the disc allows to "
        "raise it"
        if abs(math.hypot(x, y) - length) < 0.01:
            otherwise = "this has the length of a: the question is about U before any rescaling"
        elif math.hypot(x - length, y) > c * length + 0.01:
            otherwise = "this lies outside the disc around a"
        return hint_for(answer, cases, otherwise, 0.01)

    return Exercise(
        "array", judge, "U lies in the disc of radius c·‖a‖ around a", (2,), right=cases[0][0],
        task=rf"Let $a=({length},0)$, $b=(0,{height})$ and $c={c}$. Which $U$ with $\|U-a\|\le c\,\|a\|$ "
        r"makes the smaller one of $\langle a,U\rangle$ and $\langle b,U\rangle$ as large as it can be? "
        "Give a tensor of two numbers.",
        why=f"up by the whole radius, {c} · {length}: ⟨a, U⟩ = {length**2}, ⟨b, U⟩ = "
        f"{say(height * c * length)}",
    )  # fmt: skip


def longer(degrees=60, c=0.4):
    """Exercise 2: the angle between a and b, and c."""
    cosine = math.cos(math.radians(degrees))
    cases = (
        (1 / cosine, ""),
        (cosine, f"that is the cosine of {degrees} degrees; ask how long b must be to make up for it"),
        (1 + c, "that is the length of U; the question is about the length of b"),
    )

    def judge(answer):
        otherwise = "set U = (1 + c)·a and ask when ⟨b, U⟩ is no longer smaller than ⟨a, U⟩"
        if float(answer) <= 1:
            otherwise = "a b that is no longer than a always turns it: the usual case. Look at longer ones"
        return hint_for(answer, cases, otherwise, 0.05)

    task = (
        "Coordination with the sum in place of the mean: it looks harmless, since both point the "
        rf"same way. Let $\|a\|=1$, $c={c}$, and $b$ at {degrees} degrees. From which length of $b$ on is "
        "$a$ not turned at all, $U=(1+c)a$? A number, to two digits."
    )
    why = f"1 / cos {degrees}° = {1 / cosine:.3f}: there both inner products are equal"
    hint = "compare ⟨a, U⟩ and ⟨b, U⟩ at U = (1 + c)·a"
    if tied(cases, 0.05):
        return None
    return Exercise("number", judge, hint, task=task, right=1 / cosine, why=why)


def _control(answer):
    said = answer.lower()
    if "longer" in said and "not turned" in said:
        return ""
    if "no coordination" in said:
        return "against that arm two things change at once, the direction and the length"
    if "step" in said or "1.3" in said:
        return "close: but 1.3 is the same for every client and round, and no update is as long as its U"
    if "0.9" in said:
        return "that arm turns too, and further; the control must not turn at all"
    if "and longer" in said:
        return "that is the arm under test; its control differs from it in one thing only"
    if "turned" in said:
        return "that arm is turned in the same way: it tells what the length does, not what the turn does"
    return "look at the table of four: same length, but not turned"


EXERCISES = {
    "ex1": varied(by_hand, length=(2, 3, 4, 5), height=(1, 2, 3), c=(0.25, 0.4, 0.5, 0.75)),
    "ex2": varied(longer, degrees=(40, 45, 50, 55, 65, 70, 75), c=(0.2, 0.3, 0.4, 0.5)),
    "ex3": Exercise("text", _control, "give the name of an arm as the figure has it", stays=FIGURE),
}
