"""What `bench` measures really trains; its clients and stages are those of the package."""

import re

import pytest
import torch

from pfmsm_lite.lab import bench, bench_fresh, bench_published, bench_reading


@pytest.mark.parametrize(
    "options", [{}, {"loop": True}, {"precision": "bf16"}, {"embedding_optimizer": "adam"}]
)
def test_a_client_of_the_bench_trains(monkeypatch, options):
    monkeypatch.setattr(bench, "BIG", {**bench.BIG, "hidden": (8, 4), "tower": 4, "batch_size": 64})
    client = bench.big_client(20, 128, **options)
    before = client.model.embedding.weight.detach().clone()
    assert client.fit(1).isfinite().all()
    assert not torch.equal(before, client.model.embedding.weight)


def test_a_round_is_told_by_stage_and_nothing_stays_watched():
    from pfmsm_lite import server

    usual = server.normalized
    found = bench.federation_round(2, 256, evaluated=64, values=10, hidden=(8, 4), batch_size=64)
    stages = {"train", "pack", "normalize", "coordinate", "aggregate", "unpack", "embedding", "evaluate"}
    assert stages | {"round", "fit"} == set(found)
    assert all(found[stage] > 0 for stage in stages) and server.normalized is usual
    assert sum(found[stage] for stage in stages) < 1.05 * found["round"]


def test_reading_is_told_beside_pandas():
    lines = []
    bench_reading.reading(lines.append, 2000)
    found = [
        re.search(r"(table\.\w+) +([\d.]+) s +([\d,]+) rows/s +([\d.]+) × pandas", line) for line in lines[1:]
    ]
    assert [match[1] for match in found] == ["table.csv", "table.parquet"]
    assert all(float(match[4]) > 0 for match in found)
    assert bench_reading.table(2000).shape == (2000, 20)


def test_a_large_published_file_is_told_beside_pyarrow_and_by_its_memory():
    lines = []
    bench_published.published(lines.append, 3000)
    found = [
        re.search(r"  (\S.*?) +([\d,]+) rows/s +([\d.]+) × pyarrow's .* peak ([\d,]+) MiB, ([\d,]+) of", line)
        for line in lines[1:]
    ]
    assert [match[1] for match in found] == [
        "pyarrow alone, rows thrown away", "read, kept as Parquet, encoded", "encoded, from the Parquet",
    ]  # fmt: skip
    for match in found:
        rows, times, peak, own = (float(text.replace(",", "")) for text in match.groups()[1:])
        assert rows > 0 and times > 0 and 50 < own <= peak


def test_a_large_server_really_serves_and_a_first_run_really_runs(monkeypatch):
    from pfmsm_lite.server import Server

    served, usual = [], Server.serve
    monkeypatch.setattr(Server, "serve", lambda self, sent: served.append(len(sent)) or usual(self, sent))
    seconds, peak = bench_fresh.large_server(3, hidden=(8, 4), rounds=2)
    assert served == [3, 3] and seconds > 0 and peak > 50
    assert 0 < bench_fresh.said("-c", bench_fresh.FIRST)[0] < 60
