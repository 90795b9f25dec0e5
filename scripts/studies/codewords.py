"""Measure how EncNet assigns tokens to codewords: ``python scripts/studies/codewords.py --report FILE``."""

from itertools import cycle, islice
from pathlib import Path

import torch
from torch import Tensor

from pcseg.cli import make_parser, run
from pcseg.config_names import expand_configs
from pcseg.errors import UserError
from pcseg.files import write_text
from pcseg.nn.encoding import EncodingLayer
from pcseg.training.segmentor import Segmentor
from pcseg.training.train import train
from pcseg.values import Count, NameList, PositiveInt, checked

CONFIG = "rooms/encnet"
BODY = "--head.init_args.body.init_args."
VARIANTS: dict[str, tuple[str, ...]] = {
    "distance (published)": (),
    "shared": ("assignment=shared",),
    "cosine": ("assignment=cosine",),
    "distance, restart": ("restart=true",),
    "shared, restart": ("assignment=shared", "restart=true"),
    "cosine, restart": ("assignment=cosine", "restart=true"),
}
"""Options of ``EncBody`` by their row in the table."""

COLUMNS = (
    "largest share of a token",
    "entropy of a token",
    "largest share of all tokens",
    "used codewords",
    "codewords that lead",
)


@checked("--")
def codewords(
    *,
    data: Path = Path("data/rooms"),
    report: Path | None = None,
    seeds: PositiveInt = 3,
    batches: PositiveInt = 4,
    steps: Count = 0,
    variants: NameList | None = None,
) -> str:
    """Return a table of :func:`measures` for every way to assign tokens, as means over the seeds.

    Args:
        data: Prepared folder.
        report: File for the table.
        seeds: Number of seeds of the weights.
        batches: Number of training batches that are measured.
        steps: Number of training steps with a constant learning rate before measuring; 0 measures the initial network.
        variants: Rows of the table; default: all of :data:`VARIANTS`.

    Raises:
        UserError: An unknown variant.
    """
    for name in variants or ():
        if name not in VARIANTS:
            raise UserError(f"--variants: unknown variant {name!r}. Choose from {'; '.join(VARIANTS)}.")
    header = " | ".join([f"after {steps} steps", *COLUMNS])
    lines = [f"| {header} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in VARIANTS if variants is None else variants:
        rows = [_one(data, VARIANTS[name], seed, batches, steps) for seed in range(seeds)]
        token, entropy, most, used, leading = torch.stack(rows).mean(0).tolist()
        lines.append(f"| {name} | {token:.2f} | {entropy:.2f} | {most:.2f} | {used:.1f} | {leading:.1f} |")
        print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    if report is not None:
        write_text(report, table)
    return table


def measures(assign: Tensor) -> Tensor:
    """Return measures of the assignment of tokens to codewords ``(N, K)``, in the order of :data:`COLUMNS`.

    They are: the mean over tokens of the largest share; the mean entropy in units of its maximum, log K; the largest
    share that a codeword has of all tokens; the exponential of the entropy of those shares, which is K if all are
    equal; and the number of codewords that have the largest share of some token.
    """
    entropy = torch.special.entr(assign).sum(1).mean() / torch.tensor(assign.shape[1]).log()
    total = assign.mean(0)
    used, leading = torch.special.entr(total).sum().exp(), torch.tensor(len(assign.argmax(1).unique()))
    return torch.stack([assign.amax(1).mean(), entropy, total.max(), used, leading])


def _one(data: Path, options: tuple[str, ...], seed: int, batches: int, steps: int) -> Tensor:
    """Return the measures of one network."""
    words, _ = expand_configs(["--config", CONFIG, "--data.root", str(data), "--out", "unused"])
    torch.manual_seed(seed)
    parser = make_parser(train)
    parts = parser.instantiate(parser.parse_args([*words, *(f"{BODY}{option}" for option in options)]))
    network = Segmentor(
        parts.backbone,
        parts.head,
        in_channels=parts.data.in_channels,
        schema=parts.data.schema,
        loss=parts.loss(parts.data.class_counts),
    )
    loader = cycle(parts.data.train_dataloader())
    optimizer = parts.optimizer(network.parameters())
    for batch in islice(loader, steps):
        optimizer.zero_grad()
        torch.stack(list(network.losses(network(batch), batch).values())).sum().backward()
        optimizer.step()
    found: list[Tensor] = []
    (layer,) = [module for module in network.modules() if isinstance(module, EncodingLayer)]
    layer.register_forward_pre_hook(lambda module, inputs: found.append(module.assign(inputs[0].float())))
    with torch.no_grad():
        for batch in islice(loader, batches):
            network(batch)
    return measures(torch.cat(found))


if __name__ == "__main__":
    run(codewords)
