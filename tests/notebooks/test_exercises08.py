"""Chapter 08: its solutions pass, wrong answers get the hint that is meant for them."""

from solving import exercise_tests, solutions

WEIGHTED = solutions("08")["ex3"]

WRONG = [
    ("ex1", 0.46, "that is the mean"),
    ("ex1", 0.9124, "the upper end"),
    ("ex1", 0.14061, "Student's t"),
    ("ex1", "0.01", "expected a number"),
    ("ex2", 27, "how many there are in all"),
    ("ex2", 1, "can be told from the best"),
    ("ex2", 0, "clearly above `local`"),
    ("ex2", "26", "expected a number"),
    ("ex3", -WEIGHTED, "the sign"),
    ("ex3", WEIGHTED / 100, "one point is 0.01"),
    ("ex3", 0.48, "counts every tab alike"),
    ("ex3", -0.48, "the sign is turned"),
    ("ex3", 7, "auc_by_rows"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("08", WRONG)


def test_the_trees_are_eight_tenths_of_a_point_ahead_by_rows():
    assert 0.75 < WEIGHTED < 0.85
