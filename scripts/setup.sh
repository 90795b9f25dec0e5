# Sourced by quickstart.sh, quickstart_2d.sh and test.sh: makes .venv with everything pcseg needs. Safe to run again.

PYTHON=.venv/bin/python
PCSEG_EXTRAS=${PCSEG_EXTRAS:-geometry,images,view,scans,dev}

say() { printf '\n== %s\n' "$*"; }

# Open3D links these; Debian and Ubuntu names.
SYSTEM_LIBRARIES="libusb-1.0-0 libgl1 libegl1 libgomp1 libx11-6 libudev1 libidn2-0"

install_system_libraries() {
  command -v ldconfig >/dev/null || return 0
  local missing="" name
  for name in libusb-1.0.so.0 libGL.so.1 libEGL.so.1 libgomp.so.1 libX11.so.6 libudev.so.1 libidn2.so.0; do
    ldconfig -p 2>/dev/null | grep -q "$name" || missing="$missing $name"
  done
  [ -z "$missing" ] && return 0
  say "Installing system libraries (missing:$missing)"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $SYSTEM_LIBRARIES >/dev/null && return 0
  fi
  echo "These libraries are missing and cannot be installed from here:$missing" >&2
  echo "Install them, then run this script again:  sudo apt-get install -y $SYSTEM_LIBRARIES" >&2
  return 1
}

find_python() {
  local name
  for name in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      echo "$name"
      return 0
    fi
  done
  echo "Python 3.11 or newer is needed; found $(python3 --version 2>&1)" >&2
  return 1
}

install_packages() {
  local stamp=.venv/installed wanted
  wanted="$PCSEG_EXTRAS $(cksum <pyproject.toml)"
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return 0
  if [ ! -x "$PYTHON" ]; then
    say "Making the environment .venv"
    "$(find_python)" -m venv .venv || return 1
  fi
  say "Installing packages (about 8 GB with the CUDA libraries that torch brings; a few minutes)"
  "$PYTHON" -m pip install -qq --disable-pip-version-check -U pip "setuptools>=77,<82" wheel ninja || return 1
  "$PYTHON" -m pip install -qq --disable-pip-version-check -e ".[$PCSEG_EXTRAS]" || return 1
  echo "$wanted" >"$stamp"
}

# torch-scatter is compiled for one torch version, so its wheel lives in a folder named after both; pip's own
# wheel cache knows nothing of torch and would hand out a wheel of another one.
install_torch_scatter() {
  local tag folder
  "$PYTHON" -c 'import torch_scatter' 2>/dev/null && return 0
  tag=$("$PYTHON" -c 'import sys, torch; print(f"cp{sys.version_info[0]}{sys.version_info[1]}-torch{torch.__version__}")')
  folder=${PCSEG_WHEELS:-.wheels}/$tag
  mkdir -p "$folder"
  if ! ls "$folder"/torch_scatter-*.whl >/dev/null 2>&1; then
    say "Building torch-scatter once for $tag (3-4 minutes)"
    printf '[build_ext]\nparallel=2\n' >"$folder/build.cfg"
    DIST_EXTRA_CONFIG="$PWD/$folder/build.cfg" "$PYTHON" -m pip wheel -qq --no-deps --no-build-isolation \
      --no-cache-dir torch-scatter==2.1.2 -w "$folder" || return 1
  fi
  "$PYTHON" -m pip install -qq --no-deps --no-index --find-links "$folder" torch-scatter==2.1.2
}

setup() {
  install_system_libraries && install_packages
}

# Small products gain little by threads: without a GPU two processes, each with half of the threads, take about half
# the time.
two_processes() {
  [ "$(nproc)" -ge 2 ] && [ "$($PYTHON -c 'import torch; print(torch.cuda.is_available())')" = False ]
}
