"""Damage to files, and the properties of a clear error message."""

import re

import numpy as np

from pcseg.errors import UserError


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One of several kinds of damage to a file."""
    array = bytearray(data)
    kind = rng.integers(0, 9)
    place = int(rng.integers(0, len(data)))
    if rng.random() < 0.5:  # headers are where it hurts
        place %= 400
    if kind == 0:  # cut off
        return data[:place]
    if kind == 1:  # single bits
        for spot in rng.integers(0, len(data), 5):
            array[spot] ^= 1 << int(rng.integers(0, 8))
        array[place % len(array)] ^= 1 << int(rng.integers(0, 8))
    elif kind == 2:  # bytes of all kinds
        array[place : place + 8] = rng.bytes(8)
    elif kind == 3:  # a hole
        del array[place : place + int(rng.integers(1, 60))]
    elif kind == 4:  # twice the same
        array[place:place] = array[place : place + int(rng.integers(1, 60))]
    elif kind == 5:  # zeros, as after a crash of the machine
        array[place : place + 200] = bytes(len(array[place : place + 200]))
    elif kind == 6:  # all ones: counts of 2^32, NaN
        array[place : place + 8] = b"\xff" * len(array[place : place + 8])
    elif kind == 7:  # another number: counts, types, ids, coordinates
        numbers = list(re.finditer(rb"\d+", data)) or [re.match(rb"", data)]
        number = numbers[int(rng.integers(0, min(len(numbers), 60)))]
        other = [b"nan", b"inf", b"-1", b"0", b"1e300", b"99999999999999999999", b"x", b"", b"0.5"]
        assert number is not None
        array[number.start() : number.end()] = other[int(rng.integers(0, len(other)))]
    else:  # another word
        words = list(re.finditer(rb"[a-z]{3,}", data)) or [re.match(rb"", data)]
        word = words[int(rng.integers(0, min(len(words), 60)))]
        assert word is not None
        array[word.start() : word.end()] = [b"float", b"list", b"\xc3\xa9", b"", b"vertex"][
            int(rng.integers(0, 5))
        ]
    return bytes(array)


def clear(error: UserError, name: str) -> str:
    """Return the defects of an error message, empty if there are none."""
    text = str(error)
    faults = (
        ["several lines"] * ("\n" in text) + ["long"] * (len(text) > 1000) + ["no file"] * (name not in text)
    )
    return f"{', '.join(faults)}: {text}" if faults else ""
