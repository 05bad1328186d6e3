"""Normalization of parameters: what must agree afterwards, what must not change, what must not explode."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pfmsm_lite.errors import UserError
from pfmsm_lite.normalization import normalize
from pfmsm_lite.registry import OPERATORS

NORMALIZE = OPERATORS["normalize"]

quick = settings(deadline=None, max_examples=40, derandomize=True)
SEGMENTS = (12, 3, 5)


def uploads(seed=0, clients=4, units=3):
    """[U, N, P]: tensors of different means and deviations for every client."""
    generator = torch.Generator().manual_seed(seed)
    stack = torch.randn(units, clients, sum(SEGMENTS), generator=generator, dtype=torch.float64)
    spread, middle = torch.randn(2, units, clients, 1, generator=generator, dtype=torch.float64)
    return stack * spread.exp() + middle


def moments(stack):
    return stack.mean(-1), stack.std(-1, correction=0)


def test_moment_gives_all_clients_the_average_mean_and_deviation_tensor_by_tensor():
    stack = uploads()
    normalized, _ = normalize(stack, "moment", SEGMENTS)
    for before, after in zip(stack.split(SEGMENTS, -1), normalized.split(SEGMENTS, -1), strict=True):
        for old, new in zip(moments(before), moments(after), strict=True):
            assert torch.allclose(new, old.mean(1, keepdim=True).expand_as(new), atol=1e-6)
            assert not torch.allclose(old, new, atol=1e-2)


def test_moment_by_hand():
    stack = torch.tensor([[1.0, 3.0], [2.0, 10.0]])  # means 2 and 6, deviations 1 and 4: 4 and 2.5 on average
    normalized, affine = normalize(stack, "moment")
    assert torch.allclose(normalized, torch.tensor([[1.5, 6.5], [1.5, 6.5]]))
    assert torch.allclose(affine.undo(normalized), stack)


def test_elementwise_by_hand():
    stack = torch.tensor([[0.0, 10.0, 5.0], [2.0, 30.0, 5.0]])  # deviations over the clients: 1, 10, 0
    third = 11 / 3
    want = torch.tensor([[1 - third, 20 - third, 5.0], [1 + third, 20 + third, 5.0]])
    assert torch.allclose(normalize(stack, "elementwise")[0], want)


def test_elementwise_keeps_each_entrys_mean_and_gives_all_the_tensors_average_deviation():
    stack = uploads()
    normalized, _ = normalize(stack, "elementwise", SEGMENTS)
    assert torch.allclose(normalized.mean(1), stack.mean(1))
    for before, after in zip(stack.split(SEGMENTS, -1), normalized.split(SEGMENTS, -1), strict=True):
        old, new = before.std(1, correction=0), after.std(1, correction=0)
        assert torch.allclose(new, old.mean(-1, keepdim=True).expand_as(new))
        assert not torch.allclose(old, new, atol=1e-2)


def test_restoring_each_entrys_own_deviation_would_do_nothing():
    stack = uploads()
    mean, deviation = stack.mean(1, keepdim=True), stack.std(1, keepdim=True, correction=0)
    assert torch.allclose((stack - mean) / deviation * deviation + mean, stack)
    alike = (stack - mean) / deviation * 0.7 + mean  # every entry has the average deviation already …
    assert torch.allclose(normalize(alike, "elementwise")[0], alike)  # … so `elementwise` has nothing to do
    assert not torch.allclose(normalize(stack, "elementwise")[0], stack)


@quick
@given(st.sampled_from(list(NORMALIZE)), st.integers(0, 10**6), st.integers(1, 6))
def test_undone_at_once_each_client_has_its_upload_back(kind, seed, clients):
    stack = uploads(seed, clients)
    normalized, affine = normalize(stack, kind, SEGMENTS)
    assert torch.allclose(affine.apply(stack), normalized)
    assert torch.allclose(affine.undo(normalized), stack, atol=1e-8)


@quick
@given(st.sampled_from(list(NORMALIZE)), st.integers(0, 10**6), st.integers(1, 6))
def test_normalizing_twice_is_normalizing_once(kind, seed, clients):
    once, _ = normalize(uploads(seed, clients), kind, SEGMENTS)
    assert torch.allclose(normalize(once, kind, SEGMENTS)[0], once, atol=1e-8)


@quick
@given(st.sampled_from(list(NORMALIZE)), st.integers(0, 10**6), st.permutations(range(4)))
def test_permuting_the_clients_permutes_the_result(kind, seed, order):
    stack = uploads(seed)
    straight, shuffled = (normalize(s, kind, SEGMENTS)[0] for s in (stack, stack[:, order]))
    assert torch.allclose(shuffled, straight[:, order])


@pytest.mark.parametrize("kind", NORMALIZE)
def test_tensors_experts_and_stacks_do_not_see_each_other(kind):
    stack = uploads()
    whole, _ = normalize(stack, kind, SEGMENTS)
    for part, alone in zip(whole.split(SEGMENTS, -1), stack.split(SEGMENTS, -1), strict=True):
        assert torch.allclose(part, normalize(alone, kind)[0])
    for unit in range(3):
        assert torch.allclose(whole[unit], normalize(stack[unit], kind, SEGMENTS)[0])
    other = stack.clone()
    other[..., :12] = 1000.0 * uploads(1)[..., :12]
    assert torch.equal(normalize(other, kind, SEGMENTS)[0][..., 12:], whole[..., 12:])


@pytest.mark.parametrize("kind", ["moment", "elementwise"])
def test_one_client_or_equal_clients_stay_as_they_are(kind):
    stack = uploads(clients=1)
    assert torch.allclose(normalize(stack, kind, SEGMENTS)[0], stack)
    same = stack.expand(-1, 5, -1)
    assert torch.allclose(normalize(same, kind, SEGMENTS)[0], same)


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 5000])
@pytest.mark.parametrize("constant", [0.0, 0.1, 0.3, 123.4])
def test_a_tensor_without_deviation_moves_to_the_mean_and_nothing_explodes(constant, size):
    stack = torch.randn(2, 3, size + 9, generator=torch.Generator().manual_seed(0)) * 0.1
    stack[:, 1, :size] = constant
    normalized, affine = normalize(stack, "moment", (size, 9))
    want = stack[..., :size].mean(-1).mean(-1)[:, None].expand(2, size)
    assert torch.allclose(normalized[:, 1, :size], want, atol=1e-5 * max(1, constant))
    assert normalized.isfinite().all()
    assert all(scale.isfinite().all() and (scale > 0).all() for scale, _ in affine.maps)
    assert torch.allclose(affine.undo(normalized), stack, atol=1e-5 * max(1, constant))


def test_an_entry_that_all_clients_agree_on_stays_under_elementwise():
    stack = uploads().float()
    stack[..., 4] = 0.1
    normalized, affine = normalize(stack, "elementwise", SEGMENTS)
    assert torch.allclose(normalized[..., 4], stack[..., 4])
    assert torch.allclose(affine.undo(normalized), stack, atol=1e-4)


@pytest.mark.parametrize("kind", ["moment", "elementwise"])
def test_uploads_of_nothing_but_zeros_stay_zeros(kind):
    assert not normalize(torch.zeros(2, 3, 4), kind)[0].any()


def test_none_returns_its_input():
    stack = uploads()
    normalized, affine = normalize(stack, "none", SEGMENTS)
    assert torch.equal(normalized, stack)
    assert torch.equal(affine.apply(stack), stack) and torch.equal(affine.undo(stack), stack)


@pytest.mark.parametrize("kind", NORMALIZE)
def test_the_upload_itself_is_not_written_to(kind):
    stack = uploads()
    before = stack.clone()
    normalize(stack, kind, SEGMENTS)
    assert torch.equal(stack, before)


@pytest.mark.parametrize("kind", NORMALIZE)
@pytest.mark.parametrize("segments", [(12, 3), (12, 3, 6), (21,)])
def test_segments_that_do_not_add_up_are_refused(segments, kind):
    with pytest.raises(ValueError, match="do not add up to the 20 columns"):
        normalize(uploads(), kind, segments)


def test_an_unknown_kind_is_refused_with_a_hint():
    with pytest.raises(UserError, match="Unknown normalize 'moments'. Did you mean 'moment'"):
        normalize(uploads(), "moments")
