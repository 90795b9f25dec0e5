#!/usr/bin/env bash
# The image models of the quickstart: frames of the same generated rooms, a small CCNet, EncNet and CTNet, their
# scores on unseen frames, and a comparison with point models on unseen rooms. Run scripts/quickstart.sh first.
# Safe to run again.
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
    *) echo "quickstart_2d: unknown option $1. See --help." >&2 && exit 2 ;;
  esac
  [ $# -ge 2 ] || { echo "quickstart_2d: $1: no value. Give one." >&2 && exit 2; }
  shift 2
done
WORKERS=$(nproc)
START=$SECONDS

setup
[ -f "$OUT/best.ckpt" ] || { echo "quickstart_2d: $OUT/best.ckpt: not found. Run scripts/quickstart.sh first." >&2 && exit 1; }

log "2-D 1/4  Rendering frames of the rooms into $DATA/rooms_frames ($FRAMES frames each)"
$PYTHON -m data_prep.frames "$DATA/rooms_raw" "$DATA/rooms_frames" --frames "$FRAMES" --workers "$WORKERS"

# Train and score one model, unless that is done.
train_and_score() {
  local out=$OUT/$1 config=rooms_frames/$1 root=$DATA/rooms_frames
  [ "$1" != linear ] || { config=rooms/linear root=$DATA/rooms; }
  [ ! -f "$out/done" ] || return 0
  mkdir -p "$out"
  $PYTHON scripts/train.py --config "$config" --data.root "$root" --out "$out" --resume true \
    ${EPOCHS:+--trainer.max_epochs "$EPOCHS"} 2>&1 | tee -a "$out/log.txt" | sed -u "s/^/$1: /"
  if [ "$1" != linear ]; then
    echo "$1: scoring, see $out/log.txt"
    $PYTHON scripts/evaluate.py --ckpt "$out/best.ckpt" --out "$out/evaluation" >>"$out/log.txt" 2>&1
    $PYTHON scripts/evaluate.py --ckpt "$out/best.ckpt" --out "$out/evaluation_averaged" \
      --scales "[1.0, 1.25]" --flip true >>"$out/log.txt" 2>&1
  fi
  touch "$out/done"
  echo "$1: done"
}

JOBS=1 THREADS=()
! two_processes || JOBS=2 THREADS=(env OMP_NUM_THREADS=$(($(nproc) / 2)))

log "2-D 2/4  Training small image models on frames, and the sparse U-Net with a linear head on points, $JOBS at a time"
export -f train_and_score
export PYTHON OUT DATA EPOCHS
printf '%s\n' linear ctnet ccnet encnet |
  ${THREADS[@]+"${THREADS[@]}"} xargs -P "$JOBS" -n 1 bash -euo pipefail -c 'train_and_score "$1"' _ ||
  { echo "quickstart_2d: a training failed. See the last lines of $OUT/*/log.txt." >&2 && exit 1; }

log "2-D 3/4  mIoU in percent on unseen frames: single pass, and mean of two scales and their mirror images"
images=()
for head in ccnet encnet ctnet; do
  images+=("$OUT/$head/best.ckpt")
  scores=("$OUT/$head/evaluation/results.md" "$OUT/$head/evaluation_averaged/results.md")
  printf '%-8s %s\n' "$head" "$(grep -hm 1 'this model' "${scores[@]}" | cut -d '|' -f 3 | tr '\n' ' ')"
done

log "2-D 4/4  Comparing points and images on the rooms of area 5"
$PYTHON scripts/compare.py "$DATA/rooms" "$DATA/rooms_frames" --plain "$OUT/linear/best.ckpt" \
  --context "$OUT/best.ckpt" --images "[$(IFS=,; echo "${images[*]}")]" --out "$OUT/comparison"

log "2-D done in $(((SECONDS - START) / 60)) min $(((SECONDS - START) % 60)) s; table: $OUT/comparison/comparison.md"
ls "$OUT"/comparison/*.png
