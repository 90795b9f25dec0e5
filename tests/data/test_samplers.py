"""Order of samples: determined by seed and epoch, on any number of processes, from any batch."""

import pytest

from pcseg.data import loaders
from pcseg.data.loaders import EpochSampler, SampleKey, ShardSampler


@pytest.fixture
def on_process(monkeypatch: pytest.MonkeyPatch):
    def set_rank(rank: int, world: int) -> None:
        monkeypatch.setattr(loaders, "process_rank", lambda: (rank, world))

    return set_rank


def keys(sampler: EpochSampler, epoch: int = 0, start: int = 0) -> list[SampleKey]:
    sampler.set_epoch(epoch)
    sampler.start_batch = start
    return list(sampler)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first, second = (EpochSampler(20, batch_size=3, seed=1) for _ in range(2))
    assert keys(first, 4) == keys(second, 4)
    assert [k.index for k in keys(first, 4)] != [k.index for k in keys(first, 5)]
    assert [k.index for k in keys(first, 4)] != [
        k.index for k in keys(EpochSampler(20, batch_size=3, seed=2), 4)
    ]
    assert {key.epoch for key in keys(first, 4)} == {4}
    assert [key.position for key in keys(first, 4)] == list(range(18))


def test_every_item_appears_before_any_is_repeated() -> None:
    items = [key.index for key in keys(EpochSampler(5, batch_size=2, loop=4))]
    assert len(items) == 20
    for start in range(0, 20, 5):
        assert sorted(items[start : start + 5]) == [0, 1, 2, 3, 4]


def test_few_items_still_make_a_batch() -> None:
    sampler = EpochSampler(3, batch_size=8)
    assert len(sampler) == len(keys(sampler)) == 8
    assert {key.index for key in keys(sampler)} == {0, 1, 2}


@pytest.mark.parametrize(("world", "batch_size"), [(2, 6), (3, 4), (4, 3), (12, 1)])
def test_processes_share_the_batches_of_one(on_process, world: int, batch_size: int) -> None:
    alone = keys(EpochSampler(40, batch_size=12, loop=2), 3)
    parts = []
    for rank in range(world):
        on_process(rank, world)
        sampler = EpochSampler(40, batch_size=batch_size, loop=2)
        parts.append(keys(sampler, 3))
        assert len(sampler) == len(parts[-1]) == len(alone) // world
    for number in range(len(alone) // 12):
        together = [key for part in parts for key in part[number * batch_size : (number + 1) * batch_size]]
        assert sorted(together) == alone[number * 12 : (number + 1) * 12]


@pytest.mark.parametrize("world", [1, 2])
def test_resumes_from_a_batch(on_process, world: int) -> None:
    for rank in range(world):
        on_process(rank, world)
        sampler = EpochSampler(30, batch_size=4)
        for start in range(sampler.num_batches + 1):
            assert keys(sampler, 2, start) == keys(sampler, 2)[4 * start :]


@pytest.mark.parametrize("world", [1, 2, 3, 5, 8])
def test_validation_shows_each_item_once(on_process, world: int) -> None:
    sizes = [5, 100, 7, 7, 60]
    seen = []
    for rank in range(world):
        on_process(rank, world)
        sampler = ShardSampler(sizes)
        assert len(sampler) == len(list(sampler))
        seen += list(sampler)
    assert sorted(seen) == [0, 1, 2, 3, 4]


def test_validation_starts_with_the_large_items(on_process) -> None:
    on_process(1, 2)
    assert list(ShardSampler([5, 100, 7, 60])) == [3, 0]
