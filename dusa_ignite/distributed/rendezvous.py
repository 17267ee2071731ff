"""Where torchrun's processes meet: under a name that no earlier attempt has used.

After a restart torchrun hands its processes the same store again, with the addresses that dead ones have left in it;
whoever starts first would connect to those and fail. So the processes of an attempt agree on a fresh name first, and
keep everything under it.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from datetime import timedelta

from torch import distributed as dist

POLL = 0.05  # seconds


def torchrun_store(limit: timedelta) -> dist.Store | None:
    """The store of this attempt's processes; ``None`` where they make one themselves, which then is fresh.

    Args:
        limit: to wait for the others.

    Raises:
        TimeoutError: they did not come.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=limit)
    return fresh_store(store, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]), limit=limit)


def fresh_store(store: dist.Store, *, rank: int, world_size: int, limit: timedelta) -> dist.Store:
    """The part of a store that no process of an earlier attempt has written to, the same in all processes.

    Every process writes down a name of its own. The first one publishes the list of names it has found, again and
    again, until every process has found itself in it and said so under the first one's name.

    Args:
        store: shared by all processes, perhaps with what dead ones have left in it.
        rank: this process, 0 .. world_size - 1.
        world_size: number of processes.
        limit: to wait for the others.

    Raises:
        TimeoutError: they did not come.
    """
    own, until = uuid.uuid4().hex, time.monotonic() + limit.total_seconds()
    store.set(f"dusa/name/{rank}", own)
    while time.monotonic() < until:
        if rank == 0:
            store.set("dusa/names", json.dumps([store.get(f"dusa/name/{r}").decode() for r in range(world_size)]))
            agreed, first = all(store.check([f"dusa/{own}/{r}"]) for r in range(1, world_size)), own
        else:
            names = json.loads(store.get("dusa/names"))
            first = names[0]
            agreed = names[rank] == own and store.get("dusa/name/0").decode() == first  # not a dead first process's
            if agreed:
                store.set(f"dusa/{first}/{rank}", "here")
        if agreed:
            return dist.PrefixStore(f"dusa/{first}", store)
        time.sleep(POLL)
    raise TimeoutError(f"process {rank} of {world_size}: the others did not come within {limit}")
