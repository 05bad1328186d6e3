"""Further 10: solutions pass, plausible mistakes are refused with the hint for that mistake."""

from solving import exercise_tests
from torch import nn

ALL = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def of_kinds(model, kinds):
    return [
        f"{path}.{name}"
        for path, module in model.named_modules()
        if isinstance(module, kinds)
        for name in module.state_dict()
    ]


def parameters_only(model):
    layers = [(path, m) for path, m in model.named_modules() if isinstance(m, ALL)]
    return [f"{path}.{name}" for path, m in layers for name, _ in m.named_parameters()]


def children_only(model):
    layers = [(path, m) for path, m in model.named_children() if isinstance(m, ALL)]
    return [f"{path}.{name}" for path, m in layers for name in m.state_dict()]


def by_class_name(model):
    layers = [(path, m) for path, m in model.named_modules() if type(m).__name__.startswith("BatchNorm")]
    return [f"{path}.{name}" for path, m in layers for name in m.state_dict()]


WRONG = [
    ("ex1", 8 / 2**0.5, "A's own statistics"),
    ("ex1", 0.667, "square root"),
    ("ex1", 2.217, "averaged deviations"),
    ("ex1", 2.667, "before you divide"),
    ("ex1", 6, "not divided"),
    ("ex1", 1, "Average the means"),
    ("ex1", "2", "expected a number"),
    ("ex2", lambda model: [n for n in model.state_dict() if "bn" in n], "subnet"),
    ("ex2", lambda model: [n for n in model.state_dict() if "norm" in n], "isinstance"),
    ("ex2", parameters_only, "buffers"),
    ("ex2", children_only, "Sequential"),
    ("ex2", lambda model: of_kinds(model, nn.BatchNorm1d), "BatchNorm2d"),
    ("ex2", lambda model: of_kinds(model, ALL[:2]), "BatchNorm3d"),
    ("ex2", by_class_name, "subclass"),
    ("ex2", lambda model: of_kinds(model, (*ALL, nn.LayerNorm)), "LayerNorm"),
    ("ex2", lambda model: of_kinds(model, (*ALL, nn.Conv2d)), "belong to BatchNorm"),
    ("ex2", lambda model: None, "returns nothing"),
    ("ex2", {"scale.weight"}, "expected a function"),
    ("ex3", "type", "zero of the figure"),
    ("ex3", "bn", "other panel"),
    ("ex3", "norm", "other panel"),
    ("ex3", "FedBN", "one of"),
    ("ex3", 3, "expected a string"),
]


def test_any_way_to_name_all_kinds_is_right():
    from pfmsm_lite.course.exercises.chapter10 import EXERCISES
    from pfmsm_lite.course.notebook import verdict

    base = nn.modules.batchnorm._BatchNorm
    assert verdict(EXERCISES["ex2"], lambda model: of_kinds(model, base)) == ("ok", "")


test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("10", WRONG)
