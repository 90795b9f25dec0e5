"""Predict the class of every point of a file: ``python scripts/predict.py ROOM --ckpt best.ckpt``."""

from functools import wraps

from pcseg.cli import run
from pcseg.predict import predict


@wraps(predict)
def command(*args: object, **options: object) -> None:
    """Predict, and say what was found and done."""
    predicted = predict(*args, **options)  # type: ignore[arg-type]
    for remark in predicted.remarks:
        print(remark)


if __name__ == "__main__":
    run(command)
