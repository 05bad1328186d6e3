"""Coordination against brute force: scipy solves the primal problem, plain loops the published algorithms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite.coordination import coefficients, coordinate
from pfmsm_lite.errors import UserError
from pfmsm_lite.registry import OPERATORS

COORDINATE, RESCALE = OPERATORS["coordinate"], OPERATORS["rescale"]

quick = settings(deadline=None, max_examples=60, derandomize=True)
numbers = st.integers(0, 10**6)


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def a_pair(dimensions, seed):
    """Two vectors at any angle, nearly parallel and nearly opposite ones too, and of very unlike lengths."""
    a, other = random(2, dimensions, seed=seed)
    along, log_across, log_length = 4 * torch.rand(3, generator=torch.Generator().manual_seed(seed)) - 2
    return a, 10**log_length * (along * a + 10**log_across * other)


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


def worst(vectors, point):
    return float((vectors @ point).min())


def best_worst(vectors, centre, radius):
    """Brute force: max over U of min over the vectors g of ⟨g, U⟩, ‖U − centre‖ ≤ radius·‖centre‖."""
    g, c = vectors.numpy(), centre.numpy()
    basis = np.linalg.qr(np.vstack([g, c]).T)[0]  # outside the span of all of them nothing is won
    lengths, unit = np.linalg.norm(g, axis=1), np.linalg.norm(c)
    g, c, lengths, t_unit = (
        g @ basis / lengths[:, None],
        c @ basis / unit,
        lengths / min(lengths),
        min(lengths),
    )
    above = {  # ⟨g, U⟩ ≥ t, the last variable
        "type": "ineq",
        "fun": lambda z: g @ z[:-1] - z[-1] / lengths,
        "jac": lambda z: np.column_stack([g, -1 / lengths]),
    }
    ball = {
        "type": "ineq",
        "fun": lambda z: radius**2 - (z[:-1] - c) @ (z[:-1] - c),
        "jac": lambda z: np.append(-2 * (z[:-1] - c), 0.0),
    }
    best = -np.inf
    for direction in (0 * c, c, g.mean(0), g[0], g[-1]):
        start = c + radius / 2 * direction / max(np.linalg.norm(direction), 1e-9)
        z = minimize(
            lambda z: -z[-1],
            np.append(start, (lengths * (g @ start)).min()),
            jac=lambda z: np.append(0 * c, -1.0),
            method="SLSQP",
            constraints=[above, ball],
            options={"ftol": 1e-13, "maxiter": 300},
        ).x
        step = z[:-1] - c
        step *= min(1.0, radius / max(np.linalg.norm(step), 1e-12))  # into the ball, to the last digit
        best = max(best, (lengths * (g @ (c + step))).min())
    return best * unit * t_unit


@pytest.mark.parametrize("radius", [0.05, 0.4, 0.8, 0.99])
@pytest.mark.parametrize("dimensions", [2, 3, 10, 50])
def test_coordinate_solves_the_primal_problem(dimensions, radius):
    for seed in range(25):  # 16 pairs of dimension and radius: 400 cases
        a, b = a_pair(dimensions, seed)
        u = coordinate(a, b, radius, rescale="none")
        assert (u - a).norm() <= radius * a.norm() * (1 + 1e-6)
        both, unit = torch.stack([a, b]), float(a.norm() * b.norm())
        got, want = worst(both, u) / unit, best_worst(both, a, radius) / unit
        assert got == pytest.approx(want, abs=1e-5), f"seed {seed}"


@pytest.mark.parametrize("rescale", RESCALE)
@pytest.mark.parametrize("zero", [0, 1])
def test_a_zero_update_or_a_zero_reference_turns_nothing(zero, rescale):
    a, b = random(2, 5)
    (a, b)[zero].zero_()
    assert torch.equal(coordinate(a, b, 0.4, rescale), a)


@pytest.mark.parametrize(("rescale", "factor"), [("none", 1.4), ("norm", 1.0), ("sqrt", 1.4 * 1.16**-0.5)])
@pytest.mark.parametrize("k", [0.01, 0.5, 1.0, 2.0, 100.0])
def test_where_both_agree_the_step_grows_by_the_radius_unless_rescaled(k, rescale, factor):
    a = random(5)
    assert torch.allclose(coordinate(a, k * a, 0.4, rescale), factor * a)


@pytest.mark.parametrize("k", [0.01, 0.5, 1.0, 2.0, 100.0])
def test_opposite_updates_shrink_by_the_radius(k):
    a = random(5)
    assert torch.allclose(coordinate(a, -k * a, 0.4, "none"), 0.6 * a)
    assert torch.allclose(coordinate(a, -k * a, 0.4, "norm"), a)


@pytest.mark.parametrize("rescale", RESCALE)
def test_radius_zero_moves_nothing(rescale):
    a, b = random(2, 20, 5)
    assert torch.allclose(coordinate(a, b, 0.0, rescale), a, rtol=1e-12)


@pytest.mark.parametrize("radius", [0.1, 0.4, 0.9])
def test_rescaling_divides_as_documented(radius):
    a, b = random(2, 20, 5)
    u = coordinate(a, b, radius, "none")
    assert torch.allclose(coordinate(a, b, radius, "sqrt"), u / (1 + radius**2) ** 0.5)
    assert torch.allclose(coordinate(a, b, radius, "cagrad"), u / (1 + radius**2))
    kept = coordinate(a, b, radius, "norm")
    assert torch.allclose(kept.norm(dim=1), a.norm(dim=1)) and (cosine(kept, u) > 1 - 1e-12).all()
    assert not torch.allclose(u.norm(dim=1), a.norm(dim=1), rtol=1e-3)


@quick
@given(numbers, st.integers(2, 8), st.floats(0, 0.99), st.sampled_from(list(RESCALE)))
def test_u_is_never_further_from_the_reference_than_the_update_was(seed, dimensions, radius, rescale):
    a, b = a_pair(dimensions, seed)
    assert cosine(coordinate(a, b, radius, rescale), b) >= cosine(a, b) - 1e-6


@quick
@given(numbers, st.integers(2, 8), st.floats(0, 0.99), st.floats(1e-6, 1e6))
def test_rotating_or_scaling_both_does_the_same_to_u(seed, dimensions, radius, scale):
    a, b = a_pair(dimensions, seed)
    u = coordinate(a, b, radius, "none")
    turn = torch.linalg.qr(random(dimensions, dimensions, seed=seed + 1))[0]
    assert torch.allclose(coordinate(a @ turn, b @ turn, radius, "none"), u @ turn, atol=1e-6 * a.norm())
    scaled = coordinate(scale * a, scale * b, radius, "none")
    assert torch.allclose(scaled / scale, u, atol=1e-6 * float(a.norm()))


@pytest.mark.parametrize("rescale", RESCALE)
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e4])
@pytest.mark.parametrize("ratio", [1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4])
def test_single_precision_is_enough_at_any_length_of_update_and_reference(ratio, scale, rescale):
    a, b = random(2, 40, 30) * scale
    exact = coordinate(a.float().double(), (ratio * b).float().double(), 0.4, rescale)
    u = coordinate(a.float(), (ratio * b).float(), 0.4, rescale)
    assert u.dtype == torch.float32
    assert ((u - exact).norm(dim=1) <= 1e-4 * a.norm(dim=1)).all()


def test_rows_are_independent_and_one_reference_serves_all():
    a, b = random(4, 3, 6), random(6, seed=1)
    together = coordinate(a, b)
    assert together.shape == a.shape
    for k in range(4):
        for n in range(3):
            assert torch.allclose(together[k, n], coordinate(a[k, n], b))


@pytest.mark.parametrize("radius", [-0.1, 1.0, 2.0, float("nan")])
def test_a_radius_outside_zero_to_one_is_refused(radius):
    with pytest.raises(UserError, match=f"radius of coordination is {radius}.*at least 0 and below 1"):
        coordinate(*random(2, 3), radius)


def test_an_unknown_rescaling_is_refused_with_a_hint():
    with pytest.raises(UserError, match="Did you mean 'sqrt'"):
        coordinate(*random(2, 3), rescale="sqr")
    with pytest.raises(UserError, match="Did you mean 'two_vector'"):
        coefficients("two_vectors", torch.eye(2), torch.ones(2) / 2, 0.4, "norm")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", [0, 1])
def test_nan_and_infinity_are_refused(where, bad):
    pair = random(2, 3, 4)
    pair[where, 1, 2] = bad
    with pytest.raises(FloatingPointError, match="NaN or inf"):
        coordinate(*pair)


@pytest.mark.parametrize(
    ("local", "reference"), [((3, 4), (5,)), ((3, 4), (3, 5)), ((4,), (3, 4)), ((3, 4), (2, 4)), ((), ())]
)
def test_shapes_that_do_not_fit_are_refused(local, reference):
    with pytest.raises(ValueError, match="do not fit"):
        coordinate(torch.ones(local), torch.ones(reference))


def even(clients, absent=()):
    """Each client's share in the mean update; absent ones have none."""
    share = torch.ones(clients, dtype=torch.float64)
    share[list(absent)] = 0
    return share / share.sum()


def coordinated(kind, deltas, share=None, radius=0.4, rescale="none"):
    """U [..., N, P] by the rule `kind` for the clients' updates [..., N, P]."""
    share = even(deltas.shape[-2]) if share is None else share
    return coefficients(kind, deltas @ deltas.transpose(-2, -1), share, radius, rescale) @ deltas


@pytest.mark.parametrize("rescale", RESCALE)
@pytest.mark.parametrize("absent", [(), (1,), (0, 3)])
def test_two_vector_is_coordinate_towards_the_mean_of_those_present(absent, rescale):
    deltas, share = random(2, 5, 7), even(5, absent)
    deltas[:, list(absent)] = 0
    want = coordinate(deltas, (share @ deltas)[:, None].expand_as(deltas), 0.4, rescale)
    assert torch.allclose(coordinated("two_vector", deltas, share, 0.4, rescale), want)


@pytest.mark.parametrize("radius", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("clients", [2, 3, 6])
def test_cagrad_solves_the_primal_problem_over_all_clients(clients, radius):
    for seed in range(6):
        length = 10 ** (torch.rand(clients, 1, generator=torch.Generator().manual_seed(seed)) * 2 - 1)
        deltas = random(clients, 4 + 6 * (seed % 2), seed=seed) * length
        u = coordinated("cagrad", deltas, radius=radius)
        mean = deltas.mean(0)
        assert torch.allclose(u, u[:1].expand_as(u))  # one update for everybody
        assert (u[0] - mean).norm() <= radius * mean.norm() * (1 + 1e-6)
        unit = float(deltas.norm(dim=1).max() * mean.norm())
        want = best_worst(deltas, mean, radius) / unit
        assert worst(deltas, u[0]) / unit == pytest.approx(want, abs=1e-5), f"seed {seed}"


@pytest.mark.parametrize(
    ("rescale", "by"), [("none", 1), ("sqrt", 1.16**0.5), ("cagrad", 1.16), ("norm", 1.4)]
)
@pytest.mark.parametrize("kind", ["cagrad", "two_vector"])
def test_a_lone_client_is_only_lengthened_and_by_norm_not_even_that(kind, rescale, by):
    delta = random(1, 6)
    assert torch.allclose(coordinated(kind, delta, rescale=rescale), 1.4 / by * delta, rtol=1e-6)


def test_cagrad_leaves_absent_clients_out():
    deltas = random(4, 6)
    there = coordinated("cagrad", deltas[[0, 2, 3]])
    deltas[1] *= -3.0
    assert torch.allclose(coordinated("cagrad", deltas, even(4, (1,)))[0], there[0], atol=1e-4)


def test_cagrad_keeps_the_length_of_the_mean_if_asked_and_survives_no_update_at_all():
    deltas = random(3, 4, 6)
    got = coordinated("cagrad", deltas, rescale="norm")
    assert torch.allclose(got.norm(dim=-1), deltas.mean(1).norm(dim=-1)[:, None].expand(3, 4))
    assert not coordinated("cagrad", torch.zeros(3, 4, 6).double(), rescale="norm").any()


def by_the_paper(deltas):
    """PCGrad, algorithm 1, the others in the order of their numbers."""
    projected = deltas.clone()
    for i in range(len(deltas)):
        for j in range(len(deltas)):
            inner = projected[i] @ deltas[j]  # the current update against the other's ORIGINAL one
            if i != j and inner < 0:
                projected[i] = projected[i] - inner / deltas[j].square().sum() * deltas[j]
    return projected


@quick
@given(numbers, st.integers(1, 6), st.integers(1, 8))
def test_pcgrad_is_the_papers_loop(seed, clients, dimensions):
    deltas = random(clients, dimensions, seed=seed)
    want = by_the_paper(deltas)
    assert torch.allclose(coordinated("pcgrad", deltas), want, atol=1e-8 * float(1 + deltas.norm() ** 2))


def test_pcgrad_by_hand_projects_against_original_updates():
    deltas = torch.tensor([[1.0, 0.0], [-1.0, 1.0]]).double()
    want = torch.tensor([[0.5, 0.5], [0.0, 1.0]]).double()
    assert torch.allclose(coordinated("pcgrad", deltas), want)
    # the known bug, projecting against what is projected already, would leave the second as it was:
    assert want[0] @ deltas[1] == 0


def test_pcgrad_ignores_absent_clients_and_zero_updates():
    deltas = random(4, 3)
    deltas[2] = 0
    got = coordinated("pcgrad", deltas, even(4, (1,)))[[0, 2, 3]]
    assert torch.allclose(got, by_the_paper(deltas[[0, 2, 3]]))


@pytest.mark.parametrize("kind", COORDINATE)
def test_permuting_the_clients_permutes_what_each_gets(kind):
    deltas, order = random(2, 5, 7), torch.tensor([3, 0, 4, 1, 2])
    if kind == "pcgrad":  # the order matters from the second projection on: two clients have only one
        deltas, order = deltas[:, :2], torch.tensor([1, 0])
    straight, shuffled = coordinated(kind, deltas), coordinated(kind, deltas[:, order])
    assert torch.allclose(shuffled, straight[:, order], atol=1e-4)


def test_none_leaves_every_update_as_it_is():
    deltas = random(2, 4, 5)
    assert torch.equal(coordinated("none", deltas), deltas)
