"""Exercises of chapter 06, conflict coordination."""

from pfmsm_lite.course.notebook import Exercise


def _by_hand(answer):
    x, y = (float(v) for v in answer)
    if abs(x - 2) < 0.01 and abs(y - 1) < 0.01:
        return ""
    if abs(x - 2) < 0.01 and abs(y - 0.5) < 0.01:
        return "the radius of the disc is c times the length of a, and a has length 2"
    if abs((x * x + y * y) ** 0.5 - 2) < 0.01:
        return "this has the length of a: the question is about U before any rescaling"
    if ((x - 2) ** 2 + y * y) ** 0.5 > 1.01:
        return "this lies outside the disc around a"
    return "which of the two inner products is the smaller one? Go as far as the disc allows to raise it"


def _length(answer):
    value = float(answer)
    if abs(value - 2) < 0.05:
        return ""
    if abs(value - 0.5) < 0.05:
        return "that is the cosine of 60 degrees; ask how long b must be to make up for it"
    if abs(value - 1.4) < 0.05:
        return "that is the length of U; the question is about the length of b"
    if value <= 1:
        return "a b that is no longer than a always turns it: the usual case. Look at longer ones"
    return "set U = (1 + c)·a and ask when ⟨b, U⟩ is no longer smaller than ⟨a, U⟩"


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
    "ex1": Exercise("array", _by_hand, "U lies in the disc of radius c·‖a‖ around a", (2,)),
    "ex2": Exercise("number", _length, "compare ⟨a, U⟩ and ⟨b, U⟩ at U = (1 + c)·a"),
    "ex3": Exercise("text", _control, "give the name of an arm as the figure has it"),
}
