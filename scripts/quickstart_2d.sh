#!/usr/bin/env bash
# The image models of the quickstart: frames of the same generated rooms, a small CCNet, EncNet and CTNet, their
# scores on unseen frames, and the comparison with point models, one with a plain head, on unseen rooms. Run
# scripts/quickstart.sh first; safe to run again.
#
#   bash scripts/quickstart_2d.sh [--frames N] [--epochs N] [--data DIR] [--out DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh

FRAMES=12 EPOCHS="" DATA=data OUT=runs/quickstart
while [ $# -gt 0 ]; do
  case "$1" in
    --frames) FRAMES=$2 ;;
    --epochs) EPOCHS=$2 ;;
    --data) DATA=$2 ;;
    --out) OUT=$2 ;;
    -h | --help) sed -n '2,6p' "$0" && exit 0 ;;
    *) echo "quickstart_2d: unknown option $1; see --help" >&2 && exit 2 ;;
  esac
  [ $# -ge 2 ] || { echo "quickstart_2d: $1 needs a value" >&2 && exit 2; }
  shift 2
done
WORKERS=$(nproc)
START=$SECONDS

setup
[ -f "$OUT/best.ckpt" ] || { echo "quickstart_2d: no $OUT/best.ckpt; run scripts/quickstart.sh first" >&2 && exit 1; }

say "2-D 1/4  Photographing the rooms into $DATA/rooms_frames ($FRAMES frames each)"
$PYTHON -m data_prep.frames "$DATA/rooms_raw" "$DATA/rooms_frames" --frames "$FRAMES" --workers "$WORKERS"

choose_processes
# the batch of the configuration, shared out: as many steps with as many images each
BATCH=()
[ ${#PROCESSES[@]} = 0 ] || BATCH=(--data.batch_size 4)

images=()
for head in ccnet encnet ctnet; do
  say "2-D 2/4  Training a small $head on frames; those of area 5 are kept for the test"
  if [ ! -f "$OUT/$head/evaluation_averaged/results.json" ]; then
    $PYTHON scripts/train.py --config "configs/rooms/${head}_2d.yaml" --data.root "$DATA/rooms_frames" \
      --out "$OUT/$head" --resume true ${PROCESSES[@]+"${PROCESSES[@]}"} ${BATCH[@]+"${BATCH[@]}"} \
      ${EPOCHS:+--trainer.max_epochs "$EPOCHS"}
    say "Scores of $head, every unseen frame shown once"
    $PYTHON scripts/evaluate.py --ckpt "$OUT/$head/best.ckpt" --out "$OUT/$head/evaluation"
    say "Scores of $head, averaged over two scales and their mirror images, as the papers report them besides"
    $PYTHON scripts/evaluate.py --ckpt "$OUT/$head/best.ckpt" --out "$OUT/$head/evaluation_averaged" \
      --scales "[1.0, 1.25]" --flip true
  fi
  images+=("$OUT/$head/best.ckpt")
done

say "2-D 3/4  Training the sparse U-Net with a plain head"
[ -f "$OUT/plain/done" ] || $PYTHON scripts/train.py --config configs/rooms/plain.yaml --data.root "$DATA/rooms" \
  --out "$OUT/plain" --resume true ${PROCESSES[@]+"${PROCESSES[@]}"} ${EPOCHS:+--trainer.max_epochs "$EPOCHS"}
touch "$OUT/plain/done"

say "2-D 4/4  Points and images compared on the rooms of area 5"
$PYTHON scripts/compare.py "$DATA/rooms" "$DATA/rooms_frames" --plain "$OUT/plain/best.ckpt" \
  --context "$OUT/best.ckpt" --images "[$(IFS=,; echo "${images[*]}")]" --out "$OUT/comparison"

say "2-D done in $(((SECONDS - START) / 60)) min $(((SECONDS - START) % 60)) s; table: $OUT/comparison/comparison.md"
ls "$OUT"/comparison/*.png
