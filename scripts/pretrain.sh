#!/usr/bin/env bash
# Make the model that ships with pcseg, from an empty folder: generate scans, train, calibrate, release.
# Safe to stop at any time and to run again: finished scans are kept and the training resumes.
#
#   bash scripts/pretrain.sh [--scans N] [--epochs N] [--data DIR] [--out DIR] [--release FILE] [--processes N]
#                            [-- OPTIONS OF pcseg train]
#
# 200 scans (about 450 rooms) take 20 minutes of one core, and 50 epochs 2.3 hours of one core, a little more than half
# of that with two processes. A GPU, if there is one, trains in minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}

SCANS=200 EPOCHS=50 DATA=data OUT=runs/indoor_small RELEASE=pcseg/pretrained/indoor-small.safetensors PROCESSES=1
COMMAND="bash scripts/pretrain.sh $*"
while [ $# -gt 0 ]; do
  case "$1" in
    --scans) SCANS=$2 ;;
    --epochs) EPOCHS=$2 ;;
    --data) DATA=$2 ;;
    --out) OUT=$2 ;;
    --release) RELEASE=$2 ;;
    --processes) PROCESSES=$2 ;;
    --) shift && break ;;
    -h | --help) sed -n '2,9p' "$0" && exit 0 ;;
    *) echo "pretrain: unknown option $1. See --help." >&2 && exit 2 ;;
  esac
  [ $# -ge 2 ] || { echo "pretrain: $1: no value. Give one." >&2 && exit 2; }
  shift 2
done
RAW=$DATA/indoor_raw
UNSEEN=$(((SCANS + 19) / 20)) # scans per group of families that training never sees

# Scans in $RAW/$1 with $2 scans of training, $3 of validation and $4 of test, without families $5, only of families $6.
scans() {
  $PYTHON -m data_prep.buildings "$RAW/$1" --train "$2" --val "$3" --test "$4" --hold_out "[$5]" \
    ${6:+--only "[$6]"} --points 250000 --spacing 0.02 --workers "$PROCESSES"
}

echo "== 1/4  Generating scans into $RAW: $SCANS to train on, three times $UNSEEN of other families"
scans new_sensor 0 "$UNSEEN" 0 classroom,storage,tubular,dark,no_color handheld
scans new_rooms 0 "$UNSEEN" 0 handheld,tubular,dark,no_color classroom,storage
scans new_looks 0 "$UNSEEN" 0 handheld,classroom,storage,no_color tubular,dark
scans seen "$SCANS" 0 "$((UNSEEN * 3 / 2))" handheld,classroom,storage,tubular,dark,no_color

echo "== 2/4  Preparing them into $DATA/indoor"
sed -e "s|^  train:.*|  train: ['seen/train/*.ply']|" -e "s|^  test:.*|  test: ['seen/test/*.ply']|" \
  -e "s|^  val:.*|  new_sensor: ['new_sensor/val/*.ply']\n  new_rooms: ['new_rooms/val/*.ply']\n  new_looks: ['new_looks/val/*.ply']|" \
  "$RAW/seen/indoor.yaml" >"$RAW/indoor.yaml"
$PYTHON -m pcseg prepare folder "$RAW/indoor.yaml" "$DATA/indoor" --workers "$PROCESSES"

echo "== 3/4  Training for $EPOCHS epochs into $OUT"
EVERY=$((EPOCHS < 4 ? 1 : 4))
$PYTHON -m pcseg train --config indoor/base --data.root "$DATA/indoor" --out "$OUT" --resume true \
  --trainer.max_epochs "$EPOCHS" --trainer.check_val_every_n_epoch "$EVERY" --trainer.devices "$PROCESSES" "$@"

echo "== 4/4  Calibrating it on scans of unseen families into $RELEASE"
$PYTHON -m pcseg calibrate "$OUT/best.ckpt" "$RELEASE" --notes "Made by \`$COMMAND\` on generated scans only."
