"""Open tables: a rule of one's own is a choice at once, and a wrong one is refused by name."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import SMALL, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, OPERATORS, Method, declare, register, run
from pfmsm_lite.aggregation import Exchange, Past, mixing_weights
from pfmsm_lite.errors import UserError
from pfmsm_lite.mmoe import MMoE

PF = METHODS["pf_msmtrec"]
WRONG = {  # kind → (title, rule, what is said) of rules that are refused at their first round
    "aggregate": [
        ("shape", lambda e, m: (e.gram[..., :2, :], {}), r"of shape \(.*weights \[U, N, N\] = \(3, 3, 3\)"),
        ("nan", lambda e, m: (e.gram * torch.nan, {}), "with NaN or infinity"),
        ("sum", lambda e, m: (torch.full_like(e.gram, 0.5), {}), "sum is 0.5 away from one"),
        ("no memory", lambda e, m: e.gram.softmax(-1), r"\(weights, memory\)"),
        ("a list", lambda e, m: ([[1.0]], {}), "a list; it should return"),
    ],
    "coordinate": [
        ("shape", lambda gram, share, radius, rescale: gram[0], r"coefficients \[U, N, N\] = \(3, 3, 3\)"),
        ("nan", lambda gram, share, radius, rescale: gram / 0 * 0, "with NaN or infinity"),
    ],
    "normalize": [
        ("one part", lambda stack: stack, r"\(scale, shift\)"),
        ("nan", lambda stack: (stack * torch.nan, stack), "with NaN or infinity"),
    ],
    "compose": [
        ("shape", lambda scenario, local, task: scenario, r"weights \[T, E, O, I\] = \(2, 3, 8, 10\)"),
        ("nan", lambda scenario, local, task: task[:, None] * scenario * torch.nan, "NaN or infinity"),
    ],
    "embedding": [
        ("shape", lambda table, here: [uses[:2] for uses in table.uses], "a number per entry"),
        ("nan", lambda table, here: [uses * torch.nan for uses in table.uses], "NaN or infinity"),
    ],
}


@pytest.fixture(autouse=True)
def as_before():
    """The tables and the methods as they were, after each test."""
    tables = {kind: dict(rows) for kind, rows in OPERATORS.items()}
    methods = dict(METHODS)
    yield
    for kind, rows in tables.items():
        OPERATORS[kind].clear()
        OPERATORS[kind].update(rows)
    METHODS.clear()
    METHODS.update(methods)


def nearest(exchange, method):
    """Half from oneself, half from the most alike."""
    own = torch.eye(len(exchange.rows))
    mate = exchange.gram.masked_fill(own > 0, -torch.inf).argmax(-1)
    return (own + torch.nn.functional.one_hot(mate, len(own))) / 2, {"mate": mate}


def test_a_rule_of_ones_own_is_a_choice_at_once():
    with pytest.raises(UserError, match="Unknown --aggregate 'nearest'"):
        replace(PF, aggregate="nearest")
    assert register("aggregate", "nearest", nearest) is nearest
    assert OPERATORS["aggregate"]["nearest"].text == "Half from oneself, half from the most alike"
    history = run(scenarios(3), replace(PF, name="mine", aggregate="nearest"), rounds=2, **SMALL)
    assert set(history.weights.values.round(6).flatten()) == {0.0, 0.5}
    declare(replace(PF, name="mine", aggregate="nearest"))
    again = run(scenarios(3), "mine", rounds=2, **SMALL)
    assert again.results.equals(history.results)


def test_register_is_a_decorator_too():
    @register("coordinate", "half", text="half of each update")
    def half(gram, share, radius, rescale):
        return torch.eye(gram.shape[-1]).expand_as(gram) / 2

    history = run(scenarios(2), replace(PF, coordinate="half"), rounds=1, **SMALL)
    assert OPERATORS["coordinate"]["half"] == (half, "half of each update")
    assert (history.cosines.sel(stage="after") != 0).any()


def test_each_kind_takes_a_rule_that_equals_a_built_in_one():
    """A copy under another name gives the same numbers: nothing depends on a rule's name."""
    for kind, name in (
        ("aggregate", "partners"), ("coordinate", "two_vector"), ("normalize", "moment"),
        ("compose", "hadamard"), ("embedding", "sum"), ("personal", "ditto"), ("phases", "local_first"),
    ):  # fmt: skip
        found = OPERATORS[kind][name].function
        register(kind, "mine", lambda *a, found=found: found(*a), "a copy")
        usual, mine = (replace(PF, **{kind: choice}) for choice in (name, "mine"))
        first, second = (run(scenarios(3), method, rounds=2, **SMALL) for method in (usual, mine))
        assert first.results["auc"].tolist() == second.results["auc"].tolist(), kind


def test_a_model_of_ones_own_is_trained_in_a_federation():
    class Wider(MMoE):
        """an MMoE with a wider tower"""

        def __init__(self, *sizes, **options):
            super().__init__(*sizes[:-1], 2 * sizes[-1], **options)

    register("model", "wider", Wider)
    history = run(scenarios(2), replace(PF, model="wider"), rounds=1, **SMALL)
    usual = run(scenarios(2), PF, rounds=1, **SMALL)
    assert history.rounds["bytes"].sum() > usual.rounds["bytes"].sum()


@pytest.mark.parametrize(
    ("kind", "rule", "said"),
    [
        pytest.param(kind, *rest, id=f"{kind}, {title}")
        for kind, rows in WRONG.items()
        for title, *rest in rows
    ],
)
def test_a_wrong_rule_is_refused_at_its_first_round_by_name(kind, rule, said):
    register(kind, "mine", rule, "wrong")
    with pytest.raises(UserError, match=f"(?s){kind} rule 'mine'.*{said}"):
        run(scenarios(3), replace(PF, **{kind: "mine"}), rounds=1, **SMALL)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("aggregate", "partners", nearest, "x"),
            "'partners' is already a choice of aggregate: as",
        ),
        (("agregate", "mine", nearest, "x"), "Unknown kind of operator 'agregate'. Did you mean 'aggregate'"),
        (("aggregate", "mine", 3, "x"), "3 is not a function"),
        (("aggregate", "my rule", nearest, "x"), "a name is letters, digits, - and _"),
        (("aggregate", "", nearest, "x"), "a name is letters"),
    ],
)
def test_what_cannot_be_registered_is_refused(arguments, said):
    with pytest.raises(UserError, match=said):
        register(*arguments)


def test_a_name_taken_twice_is_refused_but_a_cell_may_run_again():
    source = "def rule(exchange, method):\n    return exchange.gram.softmax(-1), {}\n"
    cells = []
    for name in ("rule", "rule", "other"):
        space = {"__name__": "__main__"}
        exec(source.replace("rule", name), space)
        cells.append(space[name])
    register("aggregate", "mine", cells[0], "first")
    register("aggregate", "mine", cells[1], "the cell, run again")
    assert OPERATORS["aggregate"]["mine"].function is cells[1]
    with pytest.raises(UserError, match="'mine' is already a choice of aggregate: the cell, run again"):
        register("aggregate", "mine", cells[2], "another function")
    register("undo", "mine", lambda affine, stack: stack, "x")
    with pytest.raises(UserError, match="'mine' is already a choice of undo"):
        register("undo", "mine", lambda affine, stack: stack, "x")


def test_a_method_is_declared_once():
    mine = Method("mine", "a test")
    declare(mine, mine)
    assert METHODS["mine"] == mine
    with pytest.raises(UserError, match="already a method 'mine'"):
        declare(replace(mine, pooled=True))
    with pytest.raises(UserError, match="already a method 'fedavg'"):
        declare(replace(mine, name="fedavg"))


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.sampled_from(sorted(OPERATORS["aggregate"])), st.integers(2, 5), st.integers(0, 10**6))
def test_a_rule_changes_nothing_that_it_is_given(rule, clients, seed):
    draw = torch.Generator().manual_seed(seed)
    delta, received, older = torch.randn(3, 2, clients, 4, generator=draw).double()
    there = torch.ones(2, clients, dtype=torch.bool)
    rows, method = torch.arange(1.0, clients + 1).double(), replace(PF, aggregate=rule)

    def exchange(previous):
        return Exchange(
            received,
            delta,
            1.1 * torch.eye(clients).double().expand(2, -1, -1),
            received + 1.1 * delta,
            delta @ delta.mT,
            rows,
            there,
            there,
            previous,
        )

    weights, memory = mixing_weights(exchange(None), method)
    for past in (None, Past(older, received, weights, memory)):
        given_ = exchange(past)
        tensors = [part for part in vars(given_).values() if torch.is_tensor(part)]
        tensors += [] if past is None else [past.delta, past.sources, past.weights, *past.memory.values()]
        before = [tensor.clone() for tensor in tensors]
        mixing_weights(given_, method)
        assert all(torch.equal(old, new) for old, new in zip(before, tensors, strict=True))
