"""The one exception whose text is shown to a user without a traceback."""

import os
import sys
from collections.abc import Callable
from pathlib import Path


class UserError(Exception):
    """Something the user can mend: the message names the file or key and says what to do."""


def reason(error: BaseException, *, most: int = 200) -> str:
    """What an error of a library says, on one line of at most ``most`` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[: most - 2]} …"


def make_folder(folder: Path) -> None:
    """Make a folder of results; called before the work, so that hours of it are not lost.

    Raises:
        UserError: The folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: cannot be written; choose another folder")


def exit_on_user_error(main: Callable[[], object]) -> None:
    """Run ``main``; a :class:`UserError` becomes one line on stderr and exit status 1, Ctrl-C status 130.

    What a ``KeyboardInterrupt`` holds is said too: what is kept, and how to go on.
    """
    try:
        main()
    except UserError as error:
        print(f"pcseg: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as error:
        print(f"pcseg: interrupted{f'; {error}' if error.args else ''}", file=sys.stderr)
        sys.exit(130)
