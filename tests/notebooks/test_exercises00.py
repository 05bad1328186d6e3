"""Chapter 00: solutions pass; plausible wrong answers get the hint that fits."""

from dataclasses import replace

from solving import exercise_tests

WRONG = [
    ("ex1", 0.0, "plain mean"),
    ("ex1", -6.0, "column"),
    ("ex1", 1.6, "leaves C itself out"),
    ("ex1", 5.4, "sign"),
    ("ex1", 17, "add up the three products"),
    ("ex1", "-5.4", "expected a number"),
    ("ex1", float("nan"), "finite"),
    ("ex2", "tower", "does leave"),
    ("ex2", "Rows", "no part of the model"),
    ("ex2", "expert.local", "part of an expert"),
    ("ex2", "server", "compare the list"),
    ("ex2", 3, "expected a string"),
    ("ex3", lambda method: replace(method, aggregate="self"), "fixed weights"),
    ("ex3", lambda method: method, "still mixes"),
    ("ex3", lambda method: replace(method, aggregate="cosine"), "FedAvg's"),
    ("ex3", lambda method: replace(method, aggregate="mean", coordinate="none"), "one thing only"),
    ("ex3", lambda method: "mean", "return a Method"),
    ("ex3", lambda: 1, "your code stopped with TypeError"),
    ("ex3", "mean", "expected a function"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("00", WRONG)
