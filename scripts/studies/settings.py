"""Settings of a training: which ones a study requires of finished runs and of rows that it keeps."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pcseg.cli import training_config
from pcseg.config_names import differing_keys, flat
from pcseg.errors import UserError

FREE_SETTINGS = ("data.init_args.num_workers", "data.init_args.root", "out", "resume", "seed", "trainer.accelerator",
                 "trainer.devices", "trainer.num_nodes", "trainer.progress_bar")  # fmt: skip
"""Settings of training that may differ between the runs of a variant."""


def settings_of(config: str, options: Sequence[str]) -> dict[str, Any]:
    """Return the settings that a training has now, by dotted names, without :data:`FREE_SETTINGS`.

    Args:
        config: Name of a configuration.
        options: Changes of it, as options of ``pcseg train``.
    """
    return _settings(training_config(["--config", config, *options]))


def changed_settings(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings of an earlier training that are different now.

    Convention:
        A setting that the code did not have then is not a change: its default is taken for what the code did.
    """
    return [name for name in differing_keys(earlier, now) if name in earlier]


def require_same_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Reject the folder of a run that was trained with other settings; one without a run is accepted.

    Raises:
        UserError: Some settings are different; the message names them.
    """
    path = folder / "config.json"
    if not path.is_file():
        return
    if changed := changed_settings(_settings(json.loads(path.read_text())), settings):
        raise UserError(f"{folder}: trained with other settings ({', '.join(changed)}). Give another --out.")


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flat(config).items() if name not in FREE_SETTINGS}
