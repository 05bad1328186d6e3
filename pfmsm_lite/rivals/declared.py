"""The rivals, as rows of METHODS. Their rules and models stand beside this file.

What is the papers' and what is ours, where no rule's docstring says it (see lab/pages_fidelity.py):

fedavg
    Source: FedAvg (McMahan et al., AISTATS 2017)
    Paper: the mean of all parameters, weighted by rows; a part of the clients in each round; SGD
    Ours: all clients in each round, Adam, whose moments stay at home
    Fidelity: differs

embedding_only
    Source: federated recommenders such as FedMF (Chai et al., IEEE Intelligent Systems 2021) and FedNCF
        (Perifanis and Efraimidis, Knowledge-Based Systems 2022)
    Paper: clients exchange item embeddings, a user's vector stays at home
    Ours: clients are scenarios and exchange all embedding tables; the network stays at home
    Fidelity: differs

fedprox
    Source: FedProx (Li et al., MLSys 2020)
    Paper: μ/2·‖w − w_received‖² in the loss, over all parameters, by SGD
    Ours: the term's gradient goes into Adam, which rescales it: μ is not comparable with the paper's
    Fidelity: differs

fedbn
    Source: FedBN (Li et al., ICLR 2021)
    Paper: BatchNorm layers, affine parameters and statistics, stay at home; the rest averaged evenly
    Ours: the same, but the average is weighted by rows
    Fidelity: differs

fedper
    Source: FedPer (Arivazhagan et al., 2019)
    Paper: the last layers stay at home, the base is averaged
    Ours: gates and towers stay at home
    Fidelity: same

fedrep
    Source: FedRep (Collins et al., ICML 2021)
    Paper: several epochs of the head (10 in most scripts), then one or few of the body
    Ours: one of each by default (`head_epochs`); the head is gates and towers
    Fidelity: differs

ditto
    Source: Ditto (Li et al., ICML 2021)
    Paper: see its rule of `personal`
    Ours: see there; the shared model is FedAvg's
    Fidelity: differs

fedamp
    Source: FedAMP (Huang et al., AAAI 2021)
    Paper: see its rule of `aggregate`
    Ours: attention mixtures after FedAMP, not its algorithm; embeddings are added up
    Fidelity: differs

fedhca2
    Source: FedHCA2 (Lu et al., CVPR 2024, arXiv 2311.13250), figure 2 and code
    Paper: see its rules of `aggregate`, `fedhca2` and `attention`
    Ours: experts are the encoder, towers the decoders, gates stay at home, embeddings are added up
    Fidelity: differs

fedapa
    Source: FedAPA (Sun et al., IJCAI 2025), its published code
    Paper: see its rule of `aggregate`
    Ours: experts are the body; gates and towers stay at home; embeddings are added up
    Fidelity: differs

clustered
    Source: clustered federated learning (Sattler et al., TNNLS 2021)
    Paper: see its rule of `aggregate`
    Ours: clusters of each group of parameters; embeddings are added up
    Fidelity: differs

pf_msmtrec_hca
    Source: PF-MSMTrec, eq. 13 and client weights, read as FedHCA2 (Lu et al., CVPR 2024)
    Paper: see the parts of PF-MSMTrec
    Ours: template and normalization of pf_msmtrec, FedHCA2's rules for experts and towers
    Fidelity: unknown

m3oe
    Source: M3oE (Zhang et al., SIGIR 2024, arXiv 2404.18465), the published code
    Paper: see the docstring of the model: paper and code do not agree
    Ours: as the paper says where we know it; the loss is by default the sum over tasks, not over cells
    Fidelity: differs

ple
    Source: PLE (Tang et al., RecSys 2020)
    Paper: two extraction layers in its experiments
    Ours: one (CGC), ReLU, widths as an MMoE's
    Fidelity: differs

star
    Source: STAR (Sheng et al., CIKM 2021)
    Paper: a single task; mini-batches of one domain each; partitioned normalization
    Ours: one output per task; mixed mini-batches; the normalization can be left out
    Fidelity: differs

pmtrec
    Source: PMTRec (Yang et al., IEEE BigData 2024, arXiv 2407.21364)
    Paper: weights of the tasks for each user and item, from the norms of its gradients; algorithm 1
    Ours: not a row of METHODS: rivals/pmtrec.py, whose docstring names each departure
    Fidelity: differs
"""

from dataclasses import replace

# their rows in the tables of operators
from pfmsm_lite.data import pooling  # noqa: F401
from pfmsm_lite.methods import EVERYTHING, GROUPS, PF_MSMTREC, Method, declare
from pfmsm_lite.rivals import (  # noqa: F401
    ablations,
    attacks,
    checks,
    clustered,
    entries,
    logistic,
    m3oe,
    mixtures,
    plain_steps,
    pooled,
    readings,
    robust,
    rules,
    second_model,
    trees,
)

BODY = {"embedding": "mean", "expert.scenario": "mean"}
PERSONAL = {**dict.fromkeys(GROUPS, "personalized"), "embedding": "mean"}
RIDGE = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)

declare(
    # The simplest things first: no network, nothing is sent.
    Method(
        "logistic",
        "a logistic regression per scenario and task, each on its own rows (scikit-learn)",
        model="logistic",
        search={"ridge": RIDGE},
    ),
    Method(
        "logistic_pooled",
        "a logistic regression per task on all rows, the scenario a feature (scikit-learn)",
        pooled=True,
        model="logistic",
        search={"ridge": RIDGE},
    ),
    # FedAvg with another rule for embedding entries.
    Method("fedavg_used", "FedAvg, but each embedding entry by its use", EVERYTHING),
    Method("fedavg_sum", "FedAvg, but changes of embedding entries added up", EVERYTHING, embedding="sum"),
    # One model, all rows in one place.
    Method("pooled", "one model, all rows in one place: what a federation cannot do", pooled=True),
    Method(
        "m3oe",
        "one model: shared, domain and task experts (M3oE, Zhang et al., SIGIR 2024)",
        pooled=True,
        model="m3oe",
        # the loss by cells and the published code; a tenth of the data's own rate, too
        search={
            "model": ("m3oe", "m3oe_cells", "m3oe_code"),
            "learning_rate": (1 / 10, 1 / 3, 1, 10 / 3, 10),
        },
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
        search={"experts": (4, 6, 8)},
    ),
    Method(
        "star",
        "one model: factors of its own for each scenario (STAR, Sheng et al., CIKM 2021)",
        pooled=True,
        model="star",
        search={"batch_norm": (False, True)},  # its partitioned normalization
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
        "fedavg_bn",
        "FedAvg with BatchNorm layers, averaged as all the rest: the control of fedbn",
        share=EVERYTHING,
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
        "as fedper, the part at home trained first (Collins et al., ICML 2021; there for more epochs)",
        share=BODY,
        embedding="sum",
        phases="local_first",
        search={"head_epochs": (1, 2, 4)},
    ),
    Method(
        "ditto",
        "FedAvg, and a second model at home that is drawn towards it (Li et al., ICML 2021)",
        share=EVERYTHING,
        embedding="sum",
        personal="ditto",
        pull=1.0,
        search={"pull": (1.0, 10.0, 30.0, 100.0)},
    ),
    Method(
        "fedamp",
        "attention mixtures of similar models as starts, after FedAMP (Huang et al., AAAI 2021)",
        share=PERSONAL,
        embedding="sum",
        aggregate="fedamp",
        proximal=0.01,
        search={"temperature": (0.1, 0.2, 0.5, 1.0), "proximal": (0.0, 0.01, 0.1)},
    ),
    Method(
        "fedhca2",
        "own update + a share of the conflict-averse one; attention of towers (Lu et al., CVPR 2024)",
        share={"embedding": "mean", "expert.scenario": "personalized", "gate": "local", "tower": "attention"},
        embedding="sum",
        coordinate="cagrad",
        rescale="cagrad",
        aggregate="fedhca2",
        search={"radius": (0.2, 0.4, 0.6), "mixing_step": (0.1, 0.5)},
    ),
    # The other reading of eq. 13 and of "client weights", the likelier one: as the sister paper has them.
    replace(
        PF_MSMTREC,
        name="pf_msmtrec_hca",
        summary="pf_msmtrec's template and normalization with FedHCA2's step: the likelier reading of eq. 13",
        share={**PF_MSMTREC.share, "tower": "attention"},
        coordinate="cagrad",
        rescale="cagrad",
        aggregate="fedhca2",
        intercept="none",
        personal="none",
        search={"radius": (0.2, 0.4, 0.6), "mixing_step": (0.1, 0.5)},
    ),
    Method(
        "fedapa",
        "mixtures of experts, weights over clients learned by SGD on the server (Sun et al., IJCAI 2025)",
        share={"embedding": "mean", "expert.scenario": "personalized"},
        embedding="sum",
        aggregate="fedapa",
        mixing_step=0.01,
        search={"mixing_step": (0.001, 0.01, 0.1)},
    ),
    Method(
        "clustered",
        "FedAvg inside clusters of clients whose updates are alike (after Sattler et al., TNNLS 2020)",
        share=PERSONAL,
        embedding="sum",
        aggregate="clustered",
        search={"clusters": (0, 2)},  # 2: the most that any federation has
    ),
    Method(
        "local_finetune",
        "FedAvg, then a round of training at home for each client's own use",
        share=EVERYTHING,
        embedding="sum",
        personal="finetune",
        search={"home_epochs": (1, 2, 4)},
    ),
)

# Against hostile clients: FedAvg by each robust mean, and the one default for pf_msmtrec.
declare(
    *(
        Method(
            f"robust_{rule}",
            f"FedAvg by {words} instead of its mean",
            share={**dict.fromkeys(GROUPS, rule), "embedding": "mean"},
            embedding=combine,
        )
        for rule, combine, words in (
            ("median", "sum_median", "each number's median"),
            ("trimmed", "sum_trimmed", "each number's trimmed mean"),
            ("krum", "sum_median", "the client nearest to its neighbours (Krum)"),
            ("multikrum", "sum_median", "the clients nearest to their neighbours (multi-Krum)"),
        )
    ),
    Method(
        "robust_clip",
        "FedAvg, no update longer than `clip` medians",
        EVERYTHING,
        embedding="sum",
        check="clip",
    ),
    Method(
        "robust_screen",
        "FedAvg, who moves against most others left out, entries by their median",
        EVERYTHING,
        embedding="sum_median",
        check="screen",
    ),
    replace(
        PF_MSMTREC,
        name="robust_pf",
        summary="pf_msmtrec, who moves against most others left out, entries by their median",
        embedding="sum_median",
        check="screen",
    ),
)
