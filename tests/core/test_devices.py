"""Training on a device that has no float64, as MPS: a stand-in that raises where one would live there."""

import contextlib

import pytest
import torch
from small import SMALL, scenarios
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

import pfmsm_lite.rivals.declared  # noqa: F401
from pfmsm_lite import METHODS, run
from pfmsm_lite import loop as loop_module
from pfmsm_lite.client import Client

DEVICE = torch.device("meta")  # every PyTorch knows it, and no tensor with numbers lies on it


class There(torch.Tensor):
    """A tensor that says it lies on DEVICE, and keeps its numbers on the CPU."""

    @staticmethod
    def __new__(cls, numbers):
        if numbers.dtype == torch.float64:
            raise TypeError("float64 on a device that has none")
        return torch.Tensor._make_wrapper_subclass(
            cls, numbers.shape, strides=numbers.stride(), dtype=numbers.dtype, device=DEVICE
        )

    def __init__(self, numbers):
        self.numbers = numbers

    def tolist(self):
        return self.numbers.tolist()

    def numpy(self, force=False):
        assert force
        return self.numbers.numpy(force=True)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return call(func, args, kwargs or {})


def call(func, args, kwargs):
    """An operator on tensors here and there: of both only with single numbers, as on a true device."""
    found = []
    tree_map(lambda x: found.append(x) if isinstance(x, torch.Tensor) else None, (args, kwargs))
    there = any(isinstance(x, There) for x in found)
    target = kwargs.get("device")
    moves = func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_)
    if there and not moves:
        indices = func.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put_)
        here = [x for x in found if not isinstance(x, There) and x.ndim]
        assert indices or not here, f"{func}: tensors of two devices"
    kwargs = {**kwargs, "device": torch.device("cpu")} if target is not None else kwargs
    inner = tree_map(lambda x: x.numbers if isinstance(x, There) else x, (args, kwargs))
    out = func(*inner[0], **inner[1])
    if func.overloadpacket is torch.ops.aten.copy_:
        return args[0]
    goes = torch.device(target) == DEVICE if target is not None else there
    if not goes:
        return out
    same = {id(x.numbers): x for x in found if isinstance(x, There)}  # in place: the tensor itself

    def wrapped(x):
        return same[id(x)] if id(x) in same else There(x) if isinstance(x, torch.Tensor) else x

    return tree_map(wrapped, out)


class Device(TorchDispatchMode):
    """Catches what makes tensors there, or brings them there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return call(func, args, kwargs or {})


@pytest.fixture
def on_device(monkeypatch):
    """`run` on DEVICE; a function like `run`."""
    plain = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda groups, lr, fused: plain(groups, lr=lr, foreach=False))
    monkeypatch.setattr("pfmsm_lite.client.eager", lambda optimizer: optimizer)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: None)
    make = torch.tensor  # it does not pass through a mode

    def tensor(data, device=None, **options):
        return make(data, **options) if device is None else make(data, **options).to(device)

    monkeypatch.setattr(torch, "tensor", tensor)
    monkeypatch.setattr(Client, "autocast", lambda self: contextlib.nullcontext())
    monkeypatch.setattr(loop_module, "check_device", lambda device: None)
    monkeypatch.setattr("pfmsm_lite.methods.choices", lambda entry: ())

    def trained(method, **options):
        with Device():
            return run(scenarios(3), method, rounds=2, device="meta", **SMALL, **options)

    return trained


def test_the_stand_in_has_no_float64_and_no_second_device():
    with Device():
        one = torch.ones(2, 2).to(DEVICE)
        assert one.device == DEVICE and torch.equal((one + one).cpu(), torch.full((2, 2), 2.0))
        with pytest.raises(TypeError, match="float64"):
            one.double()
        with pytest.raises(AssertionError, match="two devices"):
            one + torch.ones(2, 2)
        assert one.cpu().double().dtype == torch.float64


@pytest.mark.parametrize("method", ["pf_msmtrec", "fedavg", "ditto", "fedhca2", "fedamp", "pooled", "fedrep"])
def test_a_method_trains_where_there_is_no_float64(method, on_device):
    here = run(scenarios(3), METHODS[method], rounds=2, **SMALL)
    there = on_device(METHODS[method])
    assert there.best_auc == pytest.approx(here.best_auc, abs=1e-3)
