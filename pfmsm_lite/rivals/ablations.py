"""PF-MSMTrec without one of its modules, and other rules for its mixtures: rows of METHODS."""

from dataclasses import replace
from typing import Any

from pfmsm_lite.methods import PF_MSMTREC, Method, declare
from pfmsm_lite.rivals import mixtures  # noqa: F401 its rules


def without(name: str, words: str, **changes: Any) -> Method:
    """PF-MSMTrec without one of its modules: an ablation."""
    return replace(PF_MSMTREC, name=f"no_{name}", summary=f"pf_msmtrec without {words}", **changes)


declare(
    without("template", "the parameter template", compose="none"),
    without("normalization", "normalization", normalize="none"),
    without("coordination", "coordination", coordinate="none"),
    without("personalization", "personal mixtures: FedAvg's mean", aggregate="mean", search={}),
    without("blend", "the model at home", personal="none"),
    replace(
        PF_MSMTREC,
        name="pf_msmtrec_partners",
        summary="pf_msmtrec, half of each mixture one's own, the rest learned from updates alone",
        aggregate="partners",
        intercept="none",
        personal="none",
        search={"self_weight": (0.3, 0.5), "aggregate": ("partners", "evidence")},
    ),
)
