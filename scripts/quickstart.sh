#!/usr/bin/env bash
# From nothing to a trained model and pictures, on generated rooms in the raw S3DIS layout.
# Safe to run again: finished steps are skipped and interrupted ones go on.
#
#   bash scripts/quickstart.sh [--rooms N] [--points N] [--epochs N] [--data DIR] [--out DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh

ROOMS=20 POINTS=300000 EPOCHS="" DATA=data OUT=runs/quickstart
while [ $# -gt 0 ]; do
  case "$1" in
    --rooms) ROOMS=$2 ;;
    --points) POINTS=$2 ;;
    --epochs) EPOCHS=$2 ;;
    --data) DATA=$2 ;;
    --out) OUT=$2 ;;
    -h | --help) sed -n '2,5p' "$0" && exit 0 ;;
    *) echo "quickstart: unknown option $1; see --help" >&2 && exit 2 ;;
  esac
  [ $# -ge 2 ] || { echo "quickstart: $1 needs a value" >&2 && exit 2; }
  shift 2
done
WORKERS=$(nproc)
START=$SECONDS

setup

say "1/5  Scanning generated rooms into $DATA/rooms_raw (6 areas, $ROOMS rooms each)"
$PYTHON -m data_prep.rooms "$DATA/rooms_raw" --areas 6 --rooms "$ROOMS" --points "$POINTS" --workers "$WORKERS"

say "2/5  Preparing them into $DATA/rooms"
$PYTHON -m data_prep.s3dis "$DATA/rooms_raw" "$DATA/rooms" --workers "$WORKERS"

say "3/5  Training a sparse U-Net with a plain head; area 5 is kept for the test"
if [ ! -f "$OUT/training_seconds" ]; then
  train_start=$SECONDS
  $PYTHON scripts/train.py --config configs/rooms/plain.yaml --data.root "$DATA/rooms" --out "$OUT" --resume true \
    ${EPOCHS:+--trainer.max_epochs "$EPOCHS"}
  echo $((SECONDS - train_start)) >"$OUT/training_seconds"
fi

say "4/5  Scoring it on area 5, beside two baselines"
$PYTHON scripts/evaluate.py --ckpt "$OUT/best.ckpt" --out "$OUT/evaluation" --fragments 1 --baselines true

say "5/5  Pictures: colour, true label, prediction, error"
for scene in $(ls "$DATA"/rooms/Area_5/*.h5 | head -3); do
  $PYTHON scripts/visualize.py "$scene" --prediction "$OUT/evaluation" --sheet true \
    --png "$OUT/pictures/$(basename "$scene" .h5).png"
done

say "Done in $(((SECONDS - START) / 60)) min $(((SECONDS - START) % 60)) s, training took $(cat "$OUT/training_seconds") s"
$PYTHON scripts/summary.py "$OUT"
