"""The rivals, as rows of METHODS. Their rules and models stand beside this file."""

# their rows in the tables of operators
from dataclasses import replace

from pfmsm_lite.methods import EVERYTHING, GROUPS, PF_MSMTREC, Method, declare
from pfmsm_lite.rivals import entries, m3oe, mixtures, pooled, rules, second_model, trees  # noqa: F401

BODY = {"embedding": "mean", "expert.scenario": "mean"}

declare(
    # Another rule for the mixtures of pf_msmtrec.
    replace(
        PF_MSMTREC,
        name="pf_msmtrec_partners",
        summary="pf_msmtrec, half of each mixture one's own, the rest learned from updates alone",
        aggregate="partners",
        intercept="none",
        personal="none",
        search={"self_weight": (0.3, 0.5), "aggregate": ("partners", "evidence")},
    ),
    # One model, all rows in one place.
    Method(
        "m3oe",
        "one model: shared, domain and task experts (M3oE, Zhang et al., SIGIR 2024)",
        pooled=True,
        model="m3oe",
        search={"learning_rate": (1 / 10, 1 / 3, 1)},
    ),
    Method(
        "shared_bottom",
        "one model: a perceptron for all tasks, a tower each",
        pooled=True,
        model="shared_bottom",
    ),
    Method(
        "ple",
        "one model: experts of its own for each task (PLE, Tang et al., RecSys 2020)",
        pooled=True,
        model="ple",
    ),
    Method(
        "star",
        "one model: factors of its own for each scenario (STAR, Sheng et al., CIKM 2021)",
        pooled=True,
        model="star",
    ),
    Method(
        "boosted_tree",
        "gradient-boosted trees, all rows in one place (scikit-learn)",
        pooled=True,
        model="boosted_tree",
        search={"tree_step": (0.03, 0.1, 0.3), "leaves": (7, 15, 31, 63)},
    ),
    # The federated rivals. All have the embedding rule of pf_msmtrec, as a comparison must.
    Method(
        "fedprox",
        "FedAvg whose clients stay near what they received (Li et al., MLSys 2020)",
        share=EVERYTHING,
        embedding="sum",
        proximal=0.01,
        search={"proximal": (0.001, 0.01, 0.1, 1.0)},
    ),
    Method(
        "fedbn",
        "FedAvg with BatchNorm layers that stay at home (Li et al., ICLR 2021)",
        share={group: "mean" for group in GROUPS if group != "norm"},
        needs={"batch_norm": True},
        embedding="sum",
    ),
    Method(
        "fedper",
        "gates and towers stay at home, the rest is averaged (Arivazhagan et al., 2019)",
        share=BODY,
        embedding="sum",
    ),
    Method(
        "fedrep",
        "as fedper, the part at home trained first (Collins et al., ICML 2021)",
        share=BODY,
        embedding="sum",
        phases="local_first",
    ),
    Method(
        "ditto",
        "FedAvg, and a second model at home that is drawn towards it (Li et al., ICML 2021)",
        share=EVERYTHING,
        embedding="sum",
        personal="ditto",
        search={"pull": (1.0, 10.0, 30.0, 100.0)},
    ),
    Method(
        "fedamp",
        "attention between clients with similar models (Huang et al., AAAI 2021)",
        share={**{group: "personalized" for group in GROUPS}, "embedding": "mean"},
        embedding="sum",
        aggregate="fedamp",
        proximal=0.01,
        search={"temperature": (0.1, 0.2, 0.5, 1.0), "proximal": (0.0, 0.01, 0.1)},
    ),
    Method(
        "fedhca2",
        "conflict-averse updates of experts, attention between towers (Lu et al., CVPR 2024)",
        share={"embedding": "mean", "expert.scenario": "personalized", "gate": "local", "tower": "attention"},
        embedding="sum",
        coordinate="cagrad",
        rescale="cagrad",
        aggregate="fedhca2",
        search={"radius": (0.2, 0.4, 0.6), "mixing_step": (0.1, 0.5)},
    ),
    Method(
        "local_finetune",
        "FedAvg, then a round of training at home for each client's own use",
        share=EVERYTHING,
        embedding="sum",
        personal="finetune",
    ),
)
