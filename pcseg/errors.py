"""The exception for invalid input and the entry point that prints it as one line."""

import os
import sys
from collections.abc import Callable
from typing import Any, get_args


class UserError(Exception):
    """Invalid input that the user can fix.

    *Convention*: the message reads ``<file or option>: <what is wrong>. <What to do>.`` and fits on one line.
    """


def require_choice(option: str, value: Any, choices: Any) -> None:
    """Reject an option value that its ``Literal`` type does not list; Python callers bypass the YAML parser's check.

    Raises:
        UserError: ``value`` is not one of ``choices``.
    """
    allowed = get_args(choices)
    if value not in allowed:
        raise UserError(f"{option}: unknown value {value!r}. Choose one of {', '.join(map(str, allowed))}.")


def require(valid: bool, option: str, value: object, choose: str) -> None:
    """Reject an option value that is not ``valid``; ``choose`` is a sentence with the valid values."""
    if not valid:
        raise UserError(f"{option}: {value} is out of range. {choose}")


def reason(error: BaseException, *, most: int = 200) -> str:
    """Return the message of an error on one line of at most ``most`` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[: most - 2]} …"


OUT_OF_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""Parts of the messages in which the CPU allocator, the GPU driver or a GPU library reports a lack of memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports that the GPU or the CPU ran out of memory."""
    # torch's own class by name: importing torch takes seconds
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error) for words in OUT_OF_MEMORY)


def exit_on_user_error(main: Callable[[], object]) -> None:
    """Run ``main`` and turn expected failures into one line on stderr.

    A :class:`UserError`, a lack of memory and an error of the operating system exit with status 1, Ctrl-C with status
    130. The message of a ``KeyboardInterrupt`` is printed too: it reports which results were kept and how to resume. A
    reader of the output that ends early, such as ``head``, ends the command with status 141 and without a message, as
    in a shell.
    """
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:  # the interpreter flushes once more at its end
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt as error:
        print(f"pcseg: interrupted{f'; {error}' if error.args else ''}", file=sys.stderr)
        sys.exit(130)
    except UserError as error:
        text = str(error)
    except OSError as error:  # a full disk, a folder without permission, a file that vanished
        name = f"{error.filename}: " if error.filename else ""
        text = f"{name}{error.strerror or reason(error)}. Check disk space and permissions."
    except (RuntimeError, MemoryError) as error:  # torch's own error of memory is a RuntimeError
        if not is_out_of_memory(error):
            raise
        text = f"out of memory ({reason(error, most=100)}). Choose a smaller model or batch, or end other programs."
    else:
        return
    print(f"pcseg: error: {text}", file=sys.stderr)
    sys.exit(1)
