"""Processes meet under a name that is theirs alone, whatever dead ones have left behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch import distributed as dist

from dusa_ignite.distributed import rendezvous
from dusa_ignite.distributed.rendezvous import fresh_store, torchrun_store

LIMIT = timedelta(seconds=30)


@pytest.fixture
def server() -> dist.TCPStore:
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=LIMIT)


def meet(server: dist.TCPStore, *, late: int | None = None) -> list[dist.Store]:
    """Three processes, here threads with a client each, the ``late`` one behind the others."""

    def process(rank: int) -> dist.Store:
        client = dist.TCPStore("127.0.0.1", server.port, is_master=False, timeout=LIMIT)
        if rank == late:
            rendezvous.time.sleep(0.5)  # type: ignore[attr-defined]
        return fresh_store(client, rank=rank, world_size=3, limit=LIMIT)

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(process, range(3)))


@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_second_attempt_does_not_see_the_first(server: dist.TCPStore, late: int) -> None:
    first = meet(server)
    first[0].set("address", "of a process that is dead")
    assert [store.get("address") for store in first] == [b"of a process that is dead"] * 3
    second = meet(server, late=late)
    assert not any(store.check(["address"]) for store in second)
    second[late].set("address", "alive")
    assert [store.get("address") for store in second] == [b"alive"] * 3
    assert first[1].get("address") == b"of a process that is dead"


def test_who_waits_in_vain_says_so(server: dist.TCPStore) -> None:
    for rank in (0, 1):  # what an earlier attempt has left
        server.set(f"dusa/name/{rank}", "dead")
    with pytest.raises(TimeoutError, match="process 0 of 2: the others did not come"):
        fresh_store(server, rank=0, world_size=2, limit=timedelta(seconds=0.3))


def test_without_an_agent_the_processes_make_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    assert torchrun_store(LIMIT) is None
