#!/usr/bin/env bash
# From nothing to a trained model and pictures on generated rooms. Safe to run again: finished steps are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh

RAW=data/rooms_raw
ROOMS=data/rooms
RUN=runs/quickstart
START=$SECONDS

setup

say "1/5  Scanning generated rooms (raw S3DIS layout) into $RAW"
$PYTHON -m data_prep.rooms $RAW --areas 6 --rooms 8 --points 300000 --seed 0 --workers "$(nproc)"

say "2/5  Preparing them into $ROOMS"
$PYTHON -m data_prep.s3dis $RAW $ROOMS --workers "$(nproc)"

say "3/5  Training a sparse U-Net with a plain head on areas 1-4 and 6"
if [ ! -f $RUN/finished ]; then
  train_start=$SECONDS
  $PYTHON scripts/train.py --config configs/rooms/plain.yaml --data.root $ROOMS --out $RUN --resume true
  echo "$((SECONDS - train_start))" >$RUN/finished
fi

say "4/5  Evaluating on area 5, which training has not seen"
$PYTHON scripts/evaluate.py --ckpt $RUN/best.ckpt --root $ROOMS --out $RUN/evaluation --baselines true

say "5/5  Pictures"
for scene in $(ls $ROOMS/Area_5/*.h5 | head -2); do
  $PYTHON scripts/visualize.py "$scene" --prediction $RUN/evaluation --sheet true \
    --png "$RUN/pictures/$(basename "$scene" .h5).png"
done

say "Done in $(((SECONDS - START) / 60)) min $(((SECONDS - START) % 60)) s, of which training $(cat $RUN/finished) s"
$PYTHON scripts/summary.py $RUN
