"""What needs a process of its own to be measured: the first run after PyTorch's import, a large server."""

import subprocess
import sys
import time
from collections.abc import Callable

import torch

from pfmsm_lite import METHODS, MMoE
from pfmsm_lite.data.memory import keep_memory
from pfmsm_lite.mmoe import parameter_groups
from pfmsm_lite.server import Server

FIRST = """
import time, torch
start = time.perf_counter()
from pfmsm_lite import Rows, Scenario, run
rows = lambda: Rows(torch.randint(1, 50, (256, 4)), torch.zeros(256, 0), (torch.rand(256, 1) < 0.5).float())
fields = {name: 50 for name in "abcd"}
run([Scenario(name, ("t",), fields, (), rows(), rows(), rows()) for name in "xy"], "pf_msmtrec", rounds=1)
print(time.perf_counter() - start)
"""
HIDDEN, FIELDS, WIDTH = (768, 64), 16, 16  # 4 experts of these layers: 986,368 parameters


def peak_mib() -> float:
    """Peak memory of this process, MiB; NaN on Windows, which does not report it."""
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def large_server(clients: int, hidden: tuple[int, int] = HIDDEN, rounds: int = 5) -> tuple[float, float]:
    """(median seconds, peak MiB of the process, messages included) of a server's whole round."""
    keep_memory()
    method = METHODS["pf_msmtrec"]
    model = MMoE({f"field {f}": 10 for f in range(FIELDS)}, 0, 2, WIDTH, 4, hidden, template=method.compose)
    groups = parameter_groups(model)
    entries = groups.pop("embedding")["embedding.weight"].detach()
    start = {g: {k: p.detach() for k, p in own.items()} for g, own in groups.items() if g in method.sent}
    names = torch.arange(len(entries))
    hello = {"rows": torch.tensor(300.0), "has_task": torch.ones(2, dtype=torch.bool), "entries": names,
             "uses": torch.ones(len(entries))}  # fmt: skip
    server = Server(method, ("a", "b"), start, entries, {str(n): hello for n in range(clients)})
    shared = {k: p for own in start.values() for k, p in own.items()}
    messages = [{k: p.clone() for k, p in shared.items()} for _ in range(clients)]
    taken = []
    for _ in range(rounds):
        for own in messages:  # "training", in the memory that came
            for name in shared:
                own[name] += 0.01 * torch.randn_like(own[name])
            own |= {"embedding.weight": entries, "embedding.entries": names.int()}
        before = time.perf_counter()
        messages, _ = server.serve(messages)
        taken.append(time.perf_counter() - before)
    return sorted(taken)[rounds // 2], peak_mib()


def said(*arguments: str) -> list[float]:
    """The numbers that a fresh Python process prints."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def fresh(show: Callable[[str], None], clients: int = 100, repeats: int = 3) -> None:
    """Print what fresh processes say."""
    first = sorted(said("-c", FIRST)[0] for _ in range(repeats))[repeats // 2]
    seconds, peak = said("-m", __name__, str(clients))
    show("\nIn processes of their own, PyTorch's usual threads")
    show(f"  {'first run of two small clients, after import torch':58s}{first:8.2f} s")
    show(f"  {f'a server, {clients} clients of 1,000,000 parameters':58s}{seconds:8.2f} s")
    show(f"  {f'a server, {clients} clients of 1,000,000 parameters, peak':58s}{peak:8,.0f} MiB")


if __name__ == "__main__":
    print(*large_server(int(sys.argv[1])))
