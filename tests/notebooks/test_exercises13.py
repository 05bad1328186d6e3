"""Chapter 13: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests, solutions

SOLUTIONS = solutions("13")


def test_the_numbers_of_the_first_exercise_are_those_of_the_package():
    from pfmsm_lite.rivals.m3oe import VARIANTS as READINGS
    from pfmsm_lite.rivals.m3oe import Fusion

    fusion = Fusion(3, 2, READINGS["paper"])
    given = {"alpha_domain": 0.2, "alpha_task": [0.5, 0.8], "beta_domain": 0.5, "beta_task": 0.75}
    with torch.no_grad():
        for name, value in given.items():
            getattr(fusion, name).copy_(torch.logit(torch.tensor(value)))
        shared, domain = torch.ones(2, 3, 1, 1), torch.tensor([6.0, 2.0, 4.0])[:, None, None]
        z = fusion(shared, domain, torch.tensor([3.0, 7.0])[:, None, None])
    assert torch.allclose(z[:, 0, 0, 0], SOLUTIONS["ex1"])


def always(names):
    return [
        name for name in names if not name.startswith("fusion.alpha") or not name.startswith("fusion.beta")
    ]


def only_alpha(names):
    return [name for name in names if not name.startswith("fusion.alpha")]


def listed(names):
    return [name for name in names if not name.startswith(("fusion.alpha", "fusion.beta"))]


def containing(names):
    return [name for name in names if "fusion" not in name]


def by_letters(names):
    return [name for name in names if "alpha" not in name and "beta" not in name]


def beginning(names):
    return [name for name in names if not name.startswith("fusion")]


WRONG = [
    ("ex1", torch.tensor([3.9, 6.7]), "code's reading"),
    ("ex1", torch.tensor([3.05, 4.8]), "S is missing"),
    ("ex1", torch.tensor([4.8, 7.0]), "number of the others"),
    ("ex1", torch.tensor([4.6, 7.2]), "level 1 is missing"),
    ("ex1", torch.tensor([5.8, 4.05]), "wrong order"),
    ("ex1", torch.zeros(2), "level 1 first"),
    ("ex1", torch.zeros(3), "expected shape (2,)"),
    ("ex1", 4.05, "expected a tensor or an array"),
    ("ex2", always, "nothing is left out"),
    ("ex2", only_alpha, "fusion.beta_domain is still among them"),
    ("ex2", listed, "fusion.gamma"),
    ("ex2", containing, "looks alike"),
    ("ex2", by_letters, "looks alike"),
    ("ex2", beginning, "looks alike"),
    ("ex2", lambda names: [], "everything is left out"),
    ("ex2", lambda names: names[:1], "all of them and in their order"),
    ("ex2", lambda names: len(names), "must return a list"),
    ("ex2", lambda: [], "TypeError"),
    ("ex2", ["gates.weight"], "expected a function"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("13", WRONG)
