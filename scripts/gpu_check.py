"""Check and measure pcseg on a GPU: ``python scripts/gpu_check.py --out FOLDER``; see ``scripts/gpu_check.sh``.

Every item runs in a process of its own, because an error on a GPU ends all later work of its process. Results are
written after every item.
"""

import argparse
import json
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from pcseg.errors import UserError, exit_on_user_error, reason
from pcseg.files import write_text

NAME = "gpu_check"

SECONDS = {
    "machine": 60, "convolutions": 150, "unet_step": 120, "ptv3_step": 120, "waits": 90, "heads": 90,
    "prediction": 60, "repeats": 45, "tests": 120, "constants": 90,
}  # fmt: skip
"""Items, the most useful first, and the seconds after which each is ended."""


def main() -> None:
    """Run items and write ``gpu_check.json`` and ``gpu_check.md``."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/gpu"), help="folder of the results")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="small clouds and networks, to try the script")
    parser.add_argument("--minutes", type=float, default=12.0, help="no item starts after this time")
    parser.add_argument(
        "--items", nargs="+", default=list(SECONDS), choices=list(SECONDS), help="items to run"
    )
    parser.add_argument("--here", action="store_true", help="run the items in this process")
    parser.add_argument("--one", choices=list(SECONDS), help="print the results of one item as JSON")
    args = parser.parse_args()
    if args.device == "cuda" and not has_gpu():
        raise UserError(
            "--device cuda: not available. Check nvidia-smi and torch.version.cuda, or pass --device cpu."
        )
    if args.one:
        print(json.dumps(measured(args.one, args.device, small=args.small)))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    start, results = time.monotonic(), {}
    for name in args.items:
        left = 60 * args.minutes - (time.monotonic() - start)
        begun = time.monotonic()
        if left <= 0:
            results[name] = {"error": f"not started: {args.minutes:g} minutes are over"}
        elif args.here:
            results[name] = measured(name, args.device, small=args.small)
        else:
            results[name] = in_own_process(
                name, args.device, small=args.small, seconds=min(left, SECONDS[name])
            )
        results[name]["seconds"] = round(time.monotonic() - begun, 1)
        write_text(args.out / f"{NAME}.json", json.dumps(results, indent=1) + "\n")
        write_text(args.out / f"{NAME}.md", as_markdown(results))
        print(f"{name}: {results[name].get('error', 'done')} ({results[name]['seconds']} s)", flush=True)


def has_gpu() -> bool:
    import torch  # takes seconds, which --help does not need

    return torch.cuda.is_available()


def measured(name: str, device: str, *, small: bool) -> dict[str, Any]:
    """Return what an item measures, or its error."""
    try:
        from gpu.items import ITEMS
        from gpu.workload import Setting

        return ITEMS[name](Setting(device, small))
    except Exception as error:  # one failure must not end the others
        return {"error": f"{type(error).__name__}: {reason(error)}", "traceback": traceback.format_exc()}


def in_own_process(name: str, device: str, *, small: bool, seconds: float) -> dict[str, Any]:
    """Return what an item measures in a process of its own, which is ended after some time."""
    words = [sys.executable, __file__, "--one", name, "--device", device, *(["--small"] if small else [])]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"error": f"ended after {seconds:.0f} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"error": f"status {done.returncode}", "traceback": done.stderr[-3000:]}
    return json.loads(lines[-1])


def as_markdown(results: dict[str, Any]) -> str:
    """Return one table per item."""
    parts = ["# Measured on a GPU", "Made by `bash scripts/gpu_check.sh`. Times are milliseconds."]
    for name, found in results.items():
        rows = [f"| {key} | {value} |" for key, value in flat(found) if key != "traceback"]
        parts.append("\n".join([f"## {name}", "", "| | |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def flat(found: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested dictionaries as rows."""
    rows: list[tuple[str, Any]] = []
    for key, value in found.items():
        rows += flat(value, f"{prefix}{key}: ") if isinstance(value, dict) else [(prefix + key, value)]
    return rows


if __name__ == "__main__":
    exit_on_user_error(main)
