"""Predict the class of every point or pixel of a file: ``python scripts/predict.py ROOM --ckpt best.ckpt``.

With the checkpoint of a model of images the file is a picture; ``--ckpt FILE --help`` lists its options.
"""

from functools import wraps

from checkpoint_kind import names_image_model

from pcseg.cli import run
from pcseg.inference.predict_images import predict_image
from pcseg.inference.predict_points import predict


@wraps(predict)
def command(*args: object, **options: object) -> None:
    """Predict, and say what was found and done."""
    predicted = predict(*args, **options)  # type: ignore[arg-type]
    for remark in predicted.remarks:
        print(remark)


@wraps(predict_image)
def image_command(*args: object, **options: object) -> None:
    """Predict a picture, and say what was found."""
    for remark in predict_image(*args, **options):  # type: ignore[arg-type]
        print(remark)


if __name__ == "__main__":
    run(image_command if names_image_model() else command)
