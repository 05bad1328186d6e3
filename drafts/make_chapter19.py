import nbformat as nf
cells=[]
def md(s): cells.append(nf.v4.new_markdown_cell(s.strip("\n"),id=f"c{len(cells):02d}"))
def code(s,hide=False,params=False):
    m={}
    if hide: m={"jupyter":{"source_hidden":True},"tags":["hide-input"]}
    if params: m={"tags":["parameters"]}
    cells.append(nf.v4.new_code_cell(s.strip("\n"),metadata=m,id=f"c{len(cells):02d}"))
md("""
# 19 · Trust

[← 17 Base rates](17_base_rates.ipynb) · [index](../00_start_here.ipynb)

**One client of six sends nonsense, or the opposite of what it learned. Who pays, and what can a server that sees no rows do?**

After this chapter you can
- say which uploads a server refuses by their form alone, and which it cannot;
- compute a median, a trimmed mean and Krum by hand, and say how far one client pulls each;
- say why mixtures already mistrust a client that flips its updates, and where the open door is;
- say what secure aggregation hides, and which rules it makes impossible.

**Before:** chapters 04 and 07. **Minutes:** reading RR; with exercises TT. **Data:** synthetic, new with each seed.
""")
code("SEED = 0\nFAST = False",params=True)
code("""
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from pfmsm_lite import METHODS, Federation, run
from pfmsm_lite.course.drawings.chapter19 import RULES, besieged, draw_siege, draw_trust, pulled
from pfmsm_lite.course.notebook import begin, check, claim, explore, show
from pfmsm_lite.data import synthetic
from pfmsm_lite.methods import Settings
from pfmsm_lite.rivals.robust import krum_scores, middle

begin("19_trust", FAST)
ROWS, ROUNDS, SEEDS = (80, 3, range(SEED, SEED + 2)) if FAST else (400, 6, range(SEED, SEED + 3))
""",hide=True)
md("""
## The smallest example, by hand

Six clients send one number: 1, 2, 2, 2, 3, and the sixth sends −100. The mean is −15. One client has decided it alone, and could have made it anything.

Sort them: −100, 1, 2, 2, 2, 3. The **median** is 2, the mean of the two in the middle. A **trimmed mean** leaves a quarter out at each end, rounded down to one client: 1, 2, 2, 2 give 1.75. **Krum** takes the one client whose nearest neighbours are nearest: a 2. None of the three asks who is hostile. Each bounds what a few can do.
""")
code("""
sent = torch.tensor([[1.0], [2.0], [2.0], [2.0], [3.0], [-100.0]])
print("mean", sent.mean(0).item(), "· median", middle(sent).item(), "· trimmed", middle(sent, 1 / 4).item())
print("Krum's scores", krum_scores(sent).tolist())
""")
code("""
claim("the mean is −15, the median 2", (sent.mean(0).item(), middle(sent).item()) == (-15, 2))
claim("trimmed: 1.75", middle(sent, 1 / 4).item() == 1.75)
claim("Krum takes a 2", sent[krum_scores(sent).argmin()].item() == 2)
""",hide=True)
md("""
## What can be seen by form alone

Before a server uses an upload it can compare it with what the first message promised: the names of the tensors, their shapes and types, the numbers of the embedding entries, and that every number is finite. That is exact: an honest upload always passes, and nothing in it is changed.

**Predict first.** A client sends 1e30 in every tensor. That is a finite number. Does it pass?

<details><summary>Answer</summary>No. Its square is infinite in float32, so the first inner product of two updates would be. The check asks for the sum of squares. 1e15 would pass: form alone does not say what is likely.</details>
""")
code("""
small, _ = synthetic(sizes=(80,) * 4, seed=SEED, test_rows=300)
tiny = Settings(experts=2, hidden=(8,), tower=4)
federation = Federation(small, METHODS["fedavg"], tiny, SEED)
federation.train()
uploads = [client.upload() for client in federation.clients]
name = "experts.scenario.0"
uploads[0] = {**uploads[0], name: uploads[0][name] * torch.nan}
uploads[1] = {**uploads[1], name: torch.full_like(uploads[1][name], 1e30)}
uploads[2] = {**uploads[2], "embedding.entries": uploads[2]["embedding.entries"] + 1}
federation.server.serve(uploads)
pd.Series(federation.server.said, [client.name for client in federation.clients])
""")
md("""
Three are refused by name, the fourth is served. A refused client keeps its place: it receives what everybody receives, or keeps its own mixture, and may send again in the next round. `history.said` keeps the reasons, and `run` prints them at its end.
""")
code("""
said = federation.server.said
claim("three are refused, one is not", federation.server.accepted == [False, False, False, True])
claim("each for its own reason", "NaN" in said[0] and "float32" in said[1] and "first message" in said[2])
""",hide=True)
md("""
## How far does one client pull?

Now the sixth client sends possible numbers: the opposite direction, as long as it likes. Drag its strength. `cut` shortens every update to at most two median lengths, then takes the mean.
""")
code("""
show(draw_siege(10.0, "mean"), "19_siege")
""")
code("""
explore(draw_siege, strength=(0.0, 20.0, 1.0), rule=list(RULES))
""")
md("""
**How to read it.** The mean follows the hostile client without bound. All others stop following: cutting bounds the length, so there is always some pull left; the median and the trimmed mean lose one honest client of their own, no more; Krum picks one client, and is a little off even when nobody is hostile. That is the price: a robust mean ignores what a few say, and sometimes the few are right. A client of rare taste looks like a hostile one.
""")
code("""
far = {strength: pulled(strength) for strength in (0.0, 10.0, 20.0)}
claim("the mean is pulled twice as far by twice the strength, or nearly", far[20.0]["mean"] > 1.7 * far[10.0]["mean"])
rest = [far[20.0][rule] - far[10.0][rule] for rule in RULES if rule != "mean"]
claim("none of the others", max(rest) < 0.01)
claim("Krum is off without a hostile client", far[0.0]["Krum"] > 0.01)
""",hide=True)
md("""
## Six clients, two of them hostile

The same with real uploads. `run(…, attack=("s0=flip",))`, or `--attack s0=flip`, makes a client hostile. We compare with the same federation *without* the two (their uploads are NaN and always refused), for their rows are lost in any case:

- `flip`: the update times −1;
- `scale10`: the update times −10;
- `entries`: only the change of the embedding table, times −2; all else is honest.

`robust_pf` is `pf_msmtrec` with two changes. A check, `screen`, refuses who points away from most others (the median of its cosines with them is below −0.2) or is far too long. And each change of an embedding entry counts as the median of its users' changes.

**Predict first.** Which of FedAvg and `pf_msmtrec` loses more to a flipper?

<details><summary>Answer</summary>FedAvg. In `pf_msmtrec` a client's mixture is made of those whose steps help it, and a flipper's do not; and each client has a model at home beside.</details>
""")
code("""
HOSTILE = ("s0", "s3")
ATTACKS = ("nan", "flip", "scale10", "entries")
NAMES = ("fedavg_sum", "pf_msmtrec", "robust_pf")
SMALLER = Settings(experts=2, hidden=(32, 16), tower=16, learning_rate=6e-3)


def honest_auc(method, kind, seed):
    \"\"\"Test AUC in points of those who are not hostile; every seed has new rows.\"\"\"
    data, _ = synthetic(sizes=(ROWS,) * 6, seed=seed, test_rows=800)
    attack = tuple(f"{client}={kind}" for client in HOSTILE)
    history = run(data, METHODS[method], ROUNDS, seed, settings=replace(SMALLER, attack=attack))
    return 100 * history.results.query("split == 'test' and scenario not in @HOSTILE").auc.mean()


aucs = {(m, k): np.array([honest_auc(m, k, s) for s in SEEDS]) for m in NAMES for k in ATTACKS}
""")
code("""
lost = {m: {k: (aucs[m, "nan"] - aucs[m, k]).mean() for k in ATTACKS[1:]} for m in NAMES}
table = pd.DataFrame(lost).T.assign(AUC=[aucs[m, "nan"].mean() for m in NAMES])
table.round(1).rename(columns={"AUC": "AUC without the hostile"})
""")
md("""
PROSE_TABLE
""")
code("""
CLAIMS_TABLE
""",hide=True)
md("""
## Weights that mistrust by themselves

A mixture's weights come from updates: `learned` and `partners` ask whose parameters a client's training moves towards, `kin` whose steps lower its validation loss. Nobody told them of hostile clients. What do the honest give to one that flips its updates?
""")
code("""
def trusted(rule, seed):
    \"\"\"[R] mean weight of the honest on the flipper s0, over experts.\"\"\"
    data, _ = synthetic(sizes=(ROWS,) * 6, seed=seed, test_rows=300)
    method = replace(METHODS["pf_msmtrec"], aggregate=rule, personal="none")
    settings = replace(SMALLER, attack=("s0=flip",))
    weights = run(data, method, ROUNDS, seed, settings=settings).weights
    experts = [unit for unit in weights.unit.values if unit.startswith("expert")]
    return weights.sel(unit=experts, source="s0").drop_sel(client="s0").mean(["unit", "client"]).values


trust = {rule: np.mean([trusted(rule, s) for s in SEEDS], axis=0) for rule in ("learned", "partners", "kin")}
show(draw_trust(trust, "TITLE_TRUST"), "19_trust")
""")
md("""
PROSE_TRUST
""")
code("""
CLAIMS_TRUST
""",hide=True)
md("""
## What an upload tells

A hostile *server* is the other half. It sees which embedding entries a client uses, how many rows it has, and how each update points. Two tools are often named in one breath. **Differential privacy** bounds what one row can change in an upload: gradients are cut row by row and noise is added at the client. It hides rows, not hostility, and the noise costs exactly what mixtures live on, the direction of single updates. **Secure aggregation** hides single uploads, and shows the server their sum.

## What a server can do with sums alone

Every pair of clients agrees on a random mask; one adds it, the other subtracts it. Each masked upload is noise. In the sum all masks cancel.
""")
code("""
draw = np.random.default_rng(SEED)
numbers = np.array([[1.0], [2.0], [2.0], [2.0], [3.0], [-100.0]])
masked = numbers.copy()
for n in range(6):
    for m in range(n + 1, 6):
        mask = draw.normal(0, 1000)  # known to n and m
        masked[n], masked[m] = masked[n] + mask, masked[m] - mask
print(masked.ravel().round(0), "sum", masked.sum().round(6))
""")
code("""
claim("the sum is that of the numbers", abs(masked.sum() - numbers.sum()) < 1e-6)
claim("no single one is near its number", np.abs(masked - numbers).min() > 1)
""",hide=True)
md("""
FedAvg's `mean` and the embedding rule `sum` are sums: they could be computed so, exactly. Normalization, coordination and every mixture weight cannot: they need each client's own length and cosines. Nor can a check of lengths, a median, or Krum. So with secure aggregation the −100 above is in the sum, and nobody can say whose it was. Personalization and robustness on the server both want what secure aggregation hides. This package has none, and a home-made one would protect nobody: the masks above come from one generator, in one process.

## Exercises

**1. Trim.** Write `trimmed(updates, cut)`: updates `[N, P]` in; in each column leave out the `cut` largest and the `cut` smallest numbers; out comes the mean of the rest, `[P]`. With `cut` 0 it is the mean.
""")
code("# exercise 1\nanswer = ...\ncheck(\"ex1\", answer)")
md("""
**2. From sums alone.** Which of these can a server compute under secure aggregation? a: FedAvg's mean by rows. b: each number's median. c: the embedding rule `sum`. d: cutting every update to two median lengths. e: `kin`'s weights. Answer with letters, such as `"be"`.
""")
code("# exercise 2\nanswer = ...\ncheck(\"ex2\", answer)")
md("""
**3. Open.** You are hostile, and you know `robust_pf`. What do you send, and when?

## What went wrong, and limits

- Until this chapter the server checked nothing: one upload of 1e30 gave everybody NaN, and the guilty client was never named.
- The bounds of `screen` were chosen on four tuning seeds of this world, with these attacks. An attacker who knows them stays below.
- `screen` may refuse an honest client of opposed taste: in a world of one odd client FedAvg's screen did.
- With half of the clients hostile no rule here helps: the majority defines what is usual.

## Summary

A server can refuse what is malformed, exactly and at no cost. Against possible numbers it can only compare clients with each other: lengths, directions, medians. Mixtures by usefulness mistrust a flipper by themselves; tables that add changes up do not. What robustness and personalization need to see is what secure aggregation hides.

## Quiz

<details><summary>1. Why is the check of form free?</summary>It compares with what was promised, and changes no honest upload.</details>

<details><summary>2. Two of six collude. Why may Krum choose one of them?</summary>They send the same, so their distance is zero; with few clients one near neighbour is much of the score.</details>

<details><summary>3. Why is the embedding rule `sum` the open door?</summary>Every change counts in full for everybody who uses the entry, whoever sent it.</details>

<details><summary>4. Does differential privacy at a client protect against a hostile one?</summary>No. It bounds what a row tells, and a hostile client need not add its noise.</details>

## References

- D. Yin et al.: *Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates*. ICML 2018.
- P. Blanchard et al.: *Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent* (Krum). NeurIPS 2017.
- X. Cao et al.: *FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping*. NDSS 2021.
- K. Bonawitz et al.: *Practical Secure Aggregation for Privacy-Preserving Machine Learning*. CCS 2017.

Back to [07 Personalized aggregation](../07_personalized_aggregation.ipynb) or to the [index](../00_start_here.ipynb).
""")
nb=nf.v4.new_notebook(cells=cells,metadata={"kernelspec":{"display_name":"Python 3","language":"python","name":"python3"},"language_info":{"file_extension":".py","mimetype":"text/x-python","name":"python"}})
import pickle,re
pickle.dump(nb,open("/tmp/nb19.pkl","wb"))
words=sum(len(re.findall(r"\w[\w'’-]*",c.source)) for c in cells if c.cell_type=="markdown")
print(len(cells),"cells",words,"words",sum(c.cell_type=="code" for c in cells))
