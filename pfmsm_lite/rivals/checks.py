"""What a server may do with uploads that are sound in form: bound their length, or leave a client out.

A check gets the Server and the uploads, None where there is none, and returns (uploads, said): what may be
used, and per client in words what was found, "" where nothing was. It changes nothing that it is given.
"""

import torch
from torch import Tensor

from pfmsm_lite.aggregation import cosines
from pfmsm_lite.registry import register

FAR = 4  # `screen`: who is longer than so many times `clip` is refused, not cut
AWAY = -0.2  # `screen`: whose median cosine with the others is below is refused


def index_of(server, n: int) -> Tensor:
    """[U_n] which entries of the server's table client n sends."""
    return server.table.index[n][server.table.uses[n] > 0]


def changes(server, uploads: list) -> dict[str, list[Tensor | None]]:
    """Group → per client what its upload changes: [units, P] of the units that it has, of the embedding table
    [entries, K] of the entries that it uses; None where there is no upload."""
    found = {}
    for block in server.blocks:
        delta = block.read(uploads) - block.received  # [U, N, P]
        own = [delta[block.has[:, n], n] for n in range(len(uploads))]
        found[block.group] = [None if u is None else part for u, part in zip(uploads, own, strict=True)]
    if "embedding" in server.method.sent:
        table = server.table.table
        found["embedding"] = [
            None if upload is None else upload["embedding.weight"] - table[index_of(server, n)]
            for n, upload in enumerate(uploads)
        ]
    return found


def length(change: Tensor) -> Tensor:
    """Root mean square over units, or entries, of their length: [units, P] → [].

    A client without a task, or with few embedding entries, is no shorter for it.
    """
    return change.square().sum(-1).mean().sqrt() if len(change) else change.new_zeros(())


def excess(server, uploads: list) -> dict[str, Tensor]:
    """Group → [N]: the length of each client's update in medians of those who are there; 0 where nothing is.

    Of an even number, the mean of the two in the middle. A median of 0 makes nobody long.
    """
    found = {}
    for group, parts in changes(server, uploads).items():
        lengths = torch.stack([torch.zeros(()) if part is None else length(part).cpu() for part in parts])
        there = torch.tensor([part is not None and len(part) > 0 for part in parts])
        middle = lengths[there].quantile(0.5) if there.any() else torch.zeros(())
        found[group] = lengths / middle if middle > 0 else torch.zeros_like(lengths)
    return found


def words(found: dict[str, Tensor], n: int, most: float) -> str:
    """What of client n's update is too long: "embedding 9.8, tower 10.1 medians long"."""
    long = [f"{group} {float(times[n]):.3g}" for group, times in found.items() if times[n] > most]
    return f"{', '.join(long)} medians long" if long else ""


def shortened(server, upload: dict, n: int, factors: dict[str, float]) -> dict:
    """An upload whose groups' updates are multiplied by `factors`."""
    upload = dict(upload)
    for block in server.blocks:
        if block.group in factors:
            start = block.write(block.received, n)
            for name, old in start.items():
                upload[name] = old + factors[block.group] * (upload[name] - old)
    if "embedding" in factors:
        old = server.table.table[index_of(server, n)]
        upload["embedding.weight"] = old + factors["embedding"] * (upload["embedding.weight"] - old)
    return upload


@register("check", "clip", text="a group's update longer than `clip` medians of all clients is cut to that")
def clip(server, uploads: list) -> tuple[list, list[str]]:
    """Each group of a client's update, embedding entries included, is scaled down to at most `clip` medians.

    Source: norm clipping (Sun et al., "Can you really backdoor federated learning?", 2019)
    Paper: updates longer than a threshold are scaled down to it; the threshold is given
    Ours: the threshold is a multiple of the median length of the clients' updates, group by group
    Fidelity: differs
    """
    found, most = excess(server, uploads), server.method.clip
    said = [words(found, n, most) for n in range(len(uploads))]
    used = []
    for n, upload in enumerate(uploads):
        factors = {group: most / float(times[n]) for group, times in found.items() if times[n] > most}
        used.append(upload if upload is None or not factors else shortened(server, upload, n, factors))
    return used, [f"{what}, cut to {most:g}" if what else "" for what in said]


@register("check", "refuse", text="a client with a group's update longer than `clip` medians is left out")
def refuse(server, uploads: list) -> tuple[list, list[str]]:
    """The whole upload is refused where one group of it is longer than `clip` medians.

    Ours: as `clip`, but nothing of such a client is used
    Fidelity: own
    """
    found = excess(server, uploads)
    said = [words(found, n, server.method.clip) for n in range(len(uploads))]
    return [None if what else upload for what, upload in zip(said, uploads, strict=True)], said


def likeness(server, uploads: list) -> Tensor:
    """[N, N]: cosines between the clients' updates, NaN for oneself and where there is no upload.

    The mean over the units that both have of each shared group of the network (experts, gates, towers); where
    none of these is shared, the cosine over the embedding table, 0 in entries that a client does not use.
    """
    found = []
    for block in server.blocks:
        delta = block.read(uploads) - block.received  # [U, N, P]
        both = block.has[:, :, None] & block.has[:, None, :]  # [U, N, N]
        found.append(cosines(delta @ delta.transpose(-2, -1)).masked_fill(~both, torch.nan).nanmean(0))
    if not found:
        table = torch.zeros(len(uploads), *server.table.table.shape).to(server.table.table)
        for n, change in enumerate(changes(server, uploads)["embedding"]):
            if change is not None:
                table[n, index_of(server, n)] = change
        flat = table.flatten(1)
        found.append(cosines(flat @ flat.T))
    mean = torch.stack(found).nanmean(0).cpu().fill_diagonal_(torch.nan)
    absent = torch.tensor([upload is None for upload in uploads])
    mean[absent], mean[:, absent] = torch.nan, torch.nan
    return mean


def strangers(likeness: Tensor, bound: float) -> dict[int, float]:
    """Who points away from most others: {client: its median cosine with those who are left}.

    The one with the lowest median is taken out, and the medians are taken anew, until all are above the
    bound or fewer than three are left: so that nobody is judged by those who are out already.
    """
    likeness, found = likeness.clone(), {}
    while int(likeness.isfinite().any(1).sum()) >= 3:
        medians = likeness.nanquantile(0.5, dim=1).nan_to_num(torch.inf)
        worst = int(medians.argmin())
        if medians[worst] >= bound:
            break
        found[worst] = float(medians[worst])
        likeness[worst], likeness[:, worst] = torch.nan, torch.nan
    return found


@register("check", "screen", text="who moves against most others or far too long is left out; else as `clip`")
def screen(server, uploads: list) -> tuple[list, list[str]]:
    """Who points away from most others, or is far too long, is refused; what is a little too long is cut.

    Source: cosines of updates against poisoning, as FoolsGold (Fung et al., 2018) and FLTrust (Cao et al.,
        NDSS 2021) have them
    Paper: FoolsGold mistrusts updates that are too alike; FLTrust weighs an update by its cosine, if that is
        positive, with one that the server trains on rows of its own, and scales all to that one's length
    Ours: the server has no rows, so the median of the cosines with the other clients stands in; whose median
        is below AWAY, or who is longer than FAR · `clip` medians, is refused, the others are cut to `clip`
    Fidelity: differs
    """
    if not server.method.sent:
        return uploads, [""] * len(uploads)
    found, most = excess(server, uploads), FAR * server.method.clip
    out = {n: said for n in range(len(uploads)) if (said := words(found, n, most))}
    left = [None if n in out else upload for n, upload in enumerate(uploads)]
    for n, cosine in strangers(likeness(server, left), AWAY).items():
        out[n] = f"points away from most others (median cosine {cosine:.2f})"
    used, cut = clip(server, [None if n in out else upload for n, upload in enumerate(uploads)])
    return used, [out.get(n, said) for n, said in enumerate(cut)]
