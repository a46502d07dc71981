#!/usr/bin/env bash
# Builds .venv, the Python environment that everything here runs in: once, in one to five minutes.
#   DEVICE=cpu|gpu   which CNTK (default: gpu if an NVIDIA driver loads, else cpu)
#   PYTHON=path      which Python 3.6 (default: one that is installed; else one is fetched)
#   CUDNN=7|9        which cuDNN, on a GPU (default: 9, which is 1.3 GB more, if there is a card that
#                    the 7 in CNTK has no code for; else 7)
#   CHECK=no         do not try CNTK at the end: for an image that is built where no card is
# A complete .venv of these requirements is left alone; anything else is built again.
set -euo pipefail
cd "$(dirname "$0")"

MICROMAMBA_URL=https://github.com/mamba-org/micromamba-releases/releases/download/2.8.1-0/micromamba-linux-64
MICROMAMBA_SHA256=9689782d863c05a1bf5d2d371ba527104e7a4eb4310c1637d8653b751aed9c82

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 2; }
has() { command -v "$1" >/dev/null 2>&1; }

is_36() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 6))' >/dev/null 2>&1; }

# --- A Python 3.6: CNTK has no build for a later one, and few systems still have it. -------------

candidates() {
    local pyenv="${PYENV_ROOT:-$HOME/.pyenv}"
    echo .python/env/bin/python
    echo python3.6
    ls -d "$pyenv"/versions/3.6.*/bin/python 2>/dev/null | sort -rV
    echo "${CONDA_PREFIX:-/nowhere}/bin/python"
    ls -d "$HOME"/{miniconda3,anaconda3,miniforge3,mambaforge}/envs/*/bin/python 2>/dev/null
    conda env list 2>/dev/null | sed -n 's|^[^#]* \(/.*\)|\1/bin/python|p'
    true
}

find_python() {
    local candidate
    while IFS= read -r candidate; do
        if is_36 "$candidate"; then
            echo "$candidate"
            return
        fi
    done < <(candidates)
}

# With the tool that the user has; else with micromamba, a single file that needs no installation.
fetch_python() {
    local tool
    [ "$(uname -s) $(uname -m)" = 'Linux x86_64' ] ||
        fail "CNTK has builds for x86-64 only, on Linux and Windows; this is $(uname -s) on $(uname -m)"
    mkdir -p .python
    for tool in mamba conda micromamba; do
        if has $tool; then
            say "getting Python 3.6 with $tool (a minute)"
            create_with $tool && return
            say "$tool could not get it (see .python/log)"
        fi
    done
    if has pyenv || [ -x "${PYENV_ROOT:-$HOME/.pyenv}/bin/pyenv" ]; then
        say "building Python 3.6 with pyenv (three to five minutes; it needs a compiler)"
        PATH="$PATH:${PYENV_ROOT:-$HOME/.pyenv}/bin" pyenv install --skip-existing 3.6.15 \
            >.python/log 2>&1 && return
        say "pyenv could not build it (see .python/log)"
    fi
    fetch_micromamba
    say "getting Python 3.6 with micromamba (a minute)"
    create_with .python/micromamba || {
        tail -n 3 .python/log >&2
        fail "Python 3.6 could not be fetched from conda-forge; with a network, set up again, or name one with PYTHON=path"
    }
}

create_with() {
    rm -rf .python/env
    MAMBA_ROOT_PREFIX="$PWD/.python/root" "$1" create --yes --prefix "$PWD/.python/env" \
        --override-channels --channel conda-forge python=3.6.15 >.python/log 2>&1
}

fetch_micromamba() {
    [ -x .python/micromamba ] && return
    say "fetching micromamba"
    local file=.python/micromamba.partial
    if has curl; then
        curl --fail --location --silent --show-error --output $file "$MICROMAMBA_URL" 2>.python/log
    elif has wget; then
        wget --no-verbose --output-document=$file "$MICROMAMBA_URL" 2>.python/log
    else
        fail "to fetch a Python 3.6, curl or wget is needed; install one, or name a Python 3.6 with PYTHON=path"
    fi || fail "no Python 3.6 was found, and none could be fetched ($(tail -n 1 .python/log)); with a network, set up again, or name one with PYTHON=path"
    echo "$MICROMAMBA_SHA256  $file" | sha256sum --check --status ||
        fail "$MICROMAMBA_URL is not the file that was expected (its SHA-256 is another); nothing of it was run"
    chmod +x $file
    mv $file .python/micromamba
}

# --- Shared libraries of the system. -------------------------------------------------------------

loads() {   # whether all of these shared libraries load
    "$python" -c 'import ctypes, sys; [ctypes.CDLL(name) for name in sys.argv[1:]]' "$@" >/dev/null 2>&1
}

# cntk-gpu can't even be imported without both libraries of the NVIDIA driver.
driver_loads() { loads libcuda.so.1 libnvidia-ml.so.1; }

provide_libraries() {
    local packages=
    loads libmpi.so.12 libmpi_cxx.so.1 || loads libmpi.so.40 libmpi_cxx.so.40 || packages+=" openmpi-bin"
    loads libgomp.so.1 || packages+=" libgomp1"                 # oneDNN
    loads libGL.so.1 || packages+=" libgl1"                     # OpenCV
    loads libgthread-2.0.so.0 || packages+=" libglib2.0-0"      # OpenCV
    if [ -n "$packages" ]; then
        local install="apt-get install -y --no-install-recommends$packages"
        has apt-get || fail "these libraries are missing (Debian's names):$packages; install them and set up again"
        [ "$(id -u)" = 0 ] || fail "these libraries are missing:$packages; run this once, then set up again:  sudo $install"
        say "installing$packages"
        { apt-get update && $install; } >.venv/apt.log 2>&1 || { tail -n 5 .venv/apt.log >&2; fail "could not install$packages"; }
    fi
}

# CNTK asks for OpenMPI 1.10 by its library names. A newer one serves under the old names, which
# CNTK looks up in its own folder first.
link_mpi() {
    loads libmpi.so.12 libmpi_cxx.so.1 && return
    local libs
    libs=$(.venv/bin/python -c 'import importlib.util as u; print(u.find_spec("cntk").submodule_search_locations[0])')/libs
    ln -sf "$(library libmpi.so.40)" "$libs/libmpi.so.12"
    ln -sf "$(library libmpi_cxx.so.40)" "$libs/libmpi_cxx.so.1"
}

library() {     # the path of a shared library, by its name
    local path
    path=$( { /sbin/ldconfig -p 2>/dev/null || ldconfig -p; } | sed -n "s|.*${1//./\\.} .*=> ||p" | head -n 1)
    [ -n "$path" ] && echo "$path"
}

# --- The environment. ----------------------------------------------------------------------------

pip() { .venv/bin/python -m pip "$@" --quiet --disable-pip-version-check; }

requirements() {    # those of a device: requirements.txt names CNTK for the GPU
    if [ "$1" = gpu ]; then cat requirements.txt; else sed 's/^cntk-gpu==/cntk==/' requirements.txt; fi
}

stamp() { echo "$device $cudnn $(cat requirements*.txt setup.sh | cksum)"; }

# What the device needs beside CNTK: sets cudnn, and installs cuDNN 9 if that is it.
provide_cudnn() {
    local card too_old
    if [ -z "$cudnn" ] && [ "${CHECK:-}" != no ]; then
        card=$(from_device 'next((c.name for c in cntk_cards() if c.capability > LAST), "")')
        [ -z "$card" ] || { cudnn=9; say "the cuDNN 7 in CNTK has no code for the $card: cuDNN 9 takes its place"; }
    fi
    cudnn=${cudnn:-7}
    [ "$cudnn" = 9 ] || return 0
    if [ "${CHECK:-}" != no ]; then
        too_old=$(from_device 'driver_too_old(12) or ""')
        [ -z "$too_old" ] || fail "cuDNN 9 can not be used: $too_old; update the driver, or set up with DEVICE=cpu"
    fi
    say "installing cuDNN 9 and cuBLAS 12 (1.3 GB)"
    pip install --only-binary=:all: -r requirements-cudnn.txt 2>.venv/pip.log \
        || { cat .venv/pip.log >&2; fail "cuDNN 9 and cuBLAS 12 could not be installed"; }
    .venv/bin/python -c '
from wgan.machine import cudnn
print("setup: %s are installed" % cudnn.versions(cudnn.load()))' || fail "cuDNN 9 is installed but does not load (see above)"
}

from_device() {     # the value of an expression in the names of wgan/machine/device.py
    .venv/bin/python -c "from wgan.machine.device import *; print($1)" || fail "CNTK is installed but does not work (see above)"
}

read -r device_then cudnn_then _ <<<"$(cat .venv/ready 2>/dev/null || true)"
device=${DEVICE:-$device_then}          # without DEVICE and CUDNN, what is there stays
cudnn=${CUDNN:-$cudnn_then}
case "$device" in
    cpu|gpu) ;;
    ''|auto) device= ;;
    *) fail "DEVICE=$device: choose cpu or gpu" ;;
esac
case "${CUDNN:-}" in
    ''|7|9) ;;
    *) fail "CUDNN=$CUDNN: choose 7 or 9" ;;
esac
[ "$device" = gpu ] && [ "$device_then" = gpu ] || cudnn=${CUDNN:-}
[ "$device" = cpu ] && cudnn=none
if [ -n "$device" ] && [ "$(cat .venv/ready 2>/dev/null)" = "$(stamp)" ] && is_36 .venv/bin/python; then
    exit 0
fi

if [ -n "${PYTHON:-}" ]; then
    is_36 "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.6 that runs; CNTK has no build for any other"
    python=$PYTHON
else
    python=$(find_python)
    if [ -z "$python" ]; then
        fetch_python
        python=$(find_python)
        [ -n "$python" ] || fail "the Python 3.6 that was fetched does not run here (see .python/log); name another with PYTHON=path"
    fi
fi
if [ -z "$device" ]; then
    if driver_loads; then device=gpu; else device=cpu; fi
elif [ "$device" = gpu ] && [ "${CHECK:-}" != no ]; then
    driver_loads || fail "DEVICE=gpu: the NVIDIA driver (libcuda.so.1, libnvidia-ml.so.1) does not load here, and CNTK for the GPU can't be imported without it"
fi
[ "$device" = gpu ] || [ -z "${CUDNN:-}" ] || fail "CUDNN=$CUDNN is for a GPU: set up with DEVICE=gpu too"

say "building .venv with $("$python" --version 2>&1), CNTK for the $device"
rm -rf .venv
"$python" -m venv .venv
provide_libraries
pip install pip==21.3.1 2>.venv/pip.log || { cat .venv/pip.log >&2; fail "pip could not be brought up to date; is there a network?"; }
say "installing the packages"
requirements "$device" >.venv/requirements.txt
pip install --only-binary=:all: -r .venv/requirements.txt -r requirements-test.txt 2>.venv/pip.log \
    || { cat .venv/pip.log >&2; fail "the packages could not be installed"; }
link_mpi
if [ "$device" = gpu ]; then provide_cudnn; else cudnn=none; fi
if [ "${CHECK:-}" != no ]; then
    .venv/bin/python -c '
from wgan.machine.cntk import C
from wgan.machine.command_line import run
from wgan.machine.device import kernels, select_device

def check():
    device = select_device("auto")
    assert C.times([[1.0, 2.0]], [[3.0], [4.0]]).eval().item() == 11
    nine = C.convolution(C.constant(1, (1, 1, 3, 3)), C.input_variable((1, 3, 3)), auto_padding=[False])
    assert nine.eval({nine.arguments[0]: [[[[1.0] * 3] * 3]]}).item() == 9
    print("setup: CNTK %s computes on the %s, with %s" % (C.__version__, device, kernels(device)))

run(check)
' || fail "CNTK is installed but does not work (see above)$([ "$device" = gpu ] && echo "; make setup DEVICE=cpu sets up for the CPU")"
fi
stamp >.venv/ready
