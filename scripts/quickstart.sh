#!/usr/bin/env bash
# From an empty machine to a trained model and pictures, on generated rooms in the raw layout of S3DIS or ScanNet.
# Safe to run again: finished steps are skipped and interrupted ones resume.
#
#   bash scripts/quickstart.sh [--dataset s3dis|scannet] [--rooms N] [--points N] [--epochs N] [--data DIR] [--out DIR]
#                              [--with-2d]    (then image models of the same rooms: scripts/quickstart_2d.sh)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh

DATASET=s3dis ROOMS=20 POINTS=300000 EPOCHS="" DATA=data OUT="" WITH_2D=""
while [ $# -gt 0 ]; do
  case "$1" in
    --dataset) DATASET=$2 ;;
    --rooms) ROOMS=$2 ;;
    --points) POINTS=$2 ;;
    --epochs) EPOCHS=$2 ;;
    --data) DATA=$2 ;;
    --out) OUT=$2 ;;
    --with-2d) WITH_2D=yes && shift && continue ;;
    -h | --help) sed -n '2,6p' "$0" && exit 0 ;;
    *) echo "quickstart: unknown option $1. See --help." >&2 && exit 2 ;;
  esac
  [ $# -ge 2 ] || { echo "quickstart: $1: no value. Give one." >&2 && exit 2; }
  shift 2
done
case "$DATASET" in
  s3dis) NAME=rooms LAYOUT=aligned TEST=Area_5 OUT=${OUT:-runs/quickstart} SPLITS=() ;;
  scannet)
    NAME=scannet_rooms LAYOUT=scannet TEST=val OUT=${OUT:-runs/quickstart_scannet}
    SPLITS=(--data.train_splits '["train"]' --data.test_splits '["val"]')
    ;;
  *) echo "quickstart: --dataset $DATASET: unknown. Choose s3dis or scannet." >&2 && exit 2 ;;
esac
[ -z "$WITH_2D" ] || [ "$DATASET" = s3dis ] || { echo "quickstart: --with-2d: only for --dataset s3dis. Leave it out." >&2 && exit 2; }
WORKERS=$(nproc)
START=$SECONDS

setup

log "1/5  Scanning generated rooms into $DATA/${NAME}_raw (6 areas, $ROOMS rooms each)"
$PYTHON -m data_prep.rooms "$DATA/${NAME}_raw" --areas 6 --rooms "$ROOMS" --points "$POINTS" --workers "$WORKERS" \
  --layout "$LAYOUT"

log "2/5  Preparing them into $DATA/$NAME"
$PYTHON -m "data_prep.$DATASET" "$DATA/${NAME}_raw" "$DATA/$NAME" --workers "$WORKERS"

log "3/5  Training a sparse U-Net with slab context; $TEST is kept for the test"
PROCESSES=()
! two_processes || PROCESSES=(--trainer.devices 2)
if [ ! -f "$OUT/training_seconds" ]; then
  train_start=$SECONDS
  $PYTHON scripts/train.py --config rooms/slab --data.root "$DATA/$NAME" --out "$OUT" --resume true \
    ${PROCESSES[@]+"${PROCESSES[@]}"} ${SPLITS[@]+"${SPLITS[@]}"} ${EPOCHS:+--trainer.max_epochs "$EPOCHS"}
  echo $((SECONDS - train_start)) >"$OUT/training_seconds"
fi

log "4/5  Scoring it and two baselines on $TEST"
$PYTHON scripts/evaluate.py --ckpt "$OUT/best.ckpt" --out "$OUT/evaluation" --fragments 1 --baselines true

log "5/5  Pictures: color, true label, prediction, error"
for scene in $(ls "$DATA/$NAME/$TEST"/*.h5 | head -3); do
  $PYTHON scripts/visualize.py "$scene" --prediction "$OUT/evaluation" --sheet true \
    --png "$OUT/pictures/$(basename "$scene" .h5).png"
done

log "Done in $(((SECONDS - START) / 60)) min $(((SECONDS - START) % 60)) s, training took $(cat "$OUT/training_seconds") s"
$PYTHON scripts/summary.py "$OUT"
[ -z "$WITH_2D" ] || bash scripts/quickstart_2d.sh --data "$DATA" --out "$OUT" ${EPOCHS:+--epochs "$EPOCHS"}
