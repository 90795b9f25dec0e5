# Sourced by quickstart.sh, quickstart_2d.sh and test.sh: makes .venv with everything pcseg needs. Safe to run again.
#
# As root on Debian and Ubuntu, missing system packages are listed and installed. PCSEG_INSTALL_SYSTEM=0 turns that off:
# then, as for other users, the command that installs them is printed.

PYTHON=.venv/bin/python
PCSEG_EXTRAS=${PCSEG_EXTRAS:-geometry,images,view,scans,dev}

# PACKAGE:PROOF, where PROOF is a library or a program of the package
OPEN3D_PACKAGES="libusb-1.0-0:libusb-1.0.so.0 libgl1:libGL.so.1 libegl1:libEGL.so.1 libgomp1:libgomp.so.1
  libx11-6:libX11.so.6 libudev1:libudev.so.1 libidn2-0:libidn2.so.0"
WINDOW_PACKAGES="libvulkan1:libvulkan.so.1 mesa-vulkan-drivers:libvulkan_lvp.so"
TEST_PACKAGES="xvfb:Xvfb chromium:chromium"

log() { printf '\n== %s\n' "$*"; }

missing_packages() {
  local entry libraries
  libraries=$(ldconfig -p 2>/dev/null) # once: "| grep -q" ends early, and pipefail would report that as missing
  for entry in "$@"; do
    [[ $libraries == *"${entry#*:}"* ]] || command -v "${entry#*:}" >/dev/null || echo "${entry%%:*}"
  done
}

# Install those of PACKAGE:PROOF ... that are missing; fail if that is not possible.
install_system_packages() {
  local PATH=$PATH:/usr/sbin:/sbin missing
  command -v ldconfig >/dev/null || return 0 # not Linux
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -z "$missing" ] && return 0
  log "Missing system packages: $missing"
  if [ "${PCSEG_INSTALL_SYSTEM:-1}" = 1 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing them (PCSEG_INSTALL_SYSTEM=0 turns this off)"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null && return 0
  fi
  echo "Install them with:  sudo apt-get update && sudo apt-get install -y $missing" >&2
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
  echo "Python: version 3.11 or newer is needed, found $(python3 --version 2>&1). Install one." >&2
  return 1
}

install_packages() {
  local installed=.venv/installed wanted
  wanted="$PCSEG_EXTRAS $(cksum <pyproject.toml)"
  [ -f "$installed" ] && [ "$(cat "$installed")" = "$wanted" ] && return 0
  if [ ! -x "$PYTHON" ]; then
    log "Creating the environment .venv"
    "$(find_python)" -m venv .venv || return 1
  fi
  log "Installing packages (about 8 GB with the CUDA libraries of torch; a few minutes)"
  "$PYTHON" -m pip install -qq --disable-pip-version-check -U pip || return 1
  "$PYTHON" -m pip install -qq --disable-pip-version-check -e ".[$PCSEG_EXTRAS]" || return 1
  echo "$wanted" >"$installed"
}

# A wheel of torch-scatter fits one version of torch, so it is kept in a folder named after both. The wheel cache of
# pip ignores the version of torch.
install_torch_scatter() {
  local tag folder
  "$PYTHON" -c 'import torch_scatter' 2>/dev/null && return 0
  tag=$("$PYTHON" -c 'import sys, torch; print(f"cp{sys.version_info[0]}{sys.version_info[1]}-torch{torch.__version__}")')
  folder=${PCSEG_WHEELS:-.wheels}/$tag
  mkdir -p "$folder"
  if ! ls "$folder"/torch_scatter-*.whl >/dev/null 2>&1; then
    log "Building torch-scatter once for $tag (3-4 minutes)"
    "$PYTHON" -m pip install -qq --disable-pip-version-check "setuptools>=77,<82" wheel ninja || return 1
    printf '[build_ext]\nparallel=2\n' >"$folder/build.cfg"
    DIST_EXTRA_CONFIG="$PWD/$folder/build.cfg" "$PYTHON" -m pip wheel -qq --no-deps --no-build-isolation \
      --no-cache-dir torch-scatter==2.1.2 -w "$folder" || return 1
  fi
  "$PYTHON" -m pip install -qq --no-deps --no-index --find-links "$folder" torch-scatter==2.1.2
}

setup() {
  install_system_packages $OPEN3D_PACKAGES || return 1
  install_system_packages $WINDOW_PACKAGES || echo "The window of pcseg visualize will not open without them." >&2
  install_packages
}

# Without a GPU, two processes with half of the threads each take about half the time: small matrix products gain little
# from threads.
two_processes() {
  [ "$(nproc)" -ge 2 ] && [ "$($PYTHON -c 'import torch; print(torch.cuda.is_available())')" = False ]
}
