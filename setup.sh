#!/usr/bin/env bash
# Builds .venv, the Python environment that everything here runs in: once, in about a minute.
#   DEVICE=cpu|gpu   which CNTK (default: gpu if an NVIDIA driver loads, else cpu)
#   PYTHON=path      which Python 3.6 (default: the first that is found)
# A .venv that is whole and of these requirements is left alone; anything else is built anew.
set -euo pipefail
cd "$(dirname "$0")"

fail() { echo "setup: $*" >&2; exit 2; }

is_36() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 6))' >/dev/null 2>&1; }

candidates() {
    local pyenv="${PYENV_ROOT:-$HOME/.pyenv}"
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

# cntk-gpu can't even be imported without both libraries of the NVIDIA driver.
driver_loads() {
    "$1" -c 'import ctypes; ctypes.CDLL("libcuda.so.1"); ctypes.CDLL("libnvidia-ml.so.1")' \
        >/dev/null 2>&1
}

# CNTK asks for OpenMPI 1.10 by its library names. A newer one serves under the old names, which
# CNTK looks up in its own folder first.
provide_mpi() {
    .venv/bin/python -c 'import ctypes; ctypes.CDLL("libmpi.so.12"); ctypes.CDLL("libmpi_cxx.so.1")' \
        >/dev/null 2>&1 && return
    if ! library libmpi_cxx.so.40 >/dev/null; then
        local install="apt-get install -y --no-install-recommends openmpi-bin"   # and its libraries
        command -v apt-get >/dev/null || fail "CNTK needs OpenMPI (libmpi.so.12, or libmpi.so.40 with libmpi_cxx.so.40); install it and run this again"
        [ "$(id -u)" = 0 ] || fail "CNTK needs OpenMPI; run this once, then set up again:  sudo $install"
        echo "setup: installing OpenMPI"
        { apt-get update && $install; } >.venv/apt.log 2>&1 || { tail -n 5 .venv/apt.log >&2; fail "could not install OpenMPI"; }
    fi
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

requirements() { [ "$1" = gpu ] && echo requirements.txt || echo requirements-cpu.txt; }

stamp() { echo "$1 $(cat "$(requirements "$1")" requirements-test.txt setup.sh | cksum)"; }

ready=$(cat .venv/ready 2>/dev/null || true)
device=${DEVICE:-${ready%% *}}          # without DEVICE, what is there stays
case "$device" in
    cpu|gpu) ;;
    ''|auto) device= ;;
    *) fail "DEVICE=$device: choose cpu or gpu" ;;
esac
if [ -n "$device" ] && [ "$ready" = "$(stamp "$device")" ] && is_36 .venv/bin/python; then
    exit 0
fi

if [ -n "${PYTHON:-}" ]; then
    is_36 "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.6 that runs; CNTK has no build for any other"
fi
python=${PYTHON:-$(find_python)}
[ -n "$python" ] || fail "CNTK needs Python 3.6, and none was found. The two shortest ways to one:
    pyenv install 3.6.15            (https://github.com/pyenv/pyenv)
    conda create -n py36 python=3.6 (https://docs.conda.io)
then set up again; or name one with PYTHON=path"
if [ -z "$device" ]; then
    if driver_loads "$python"; then device=gpu; else device=cpu; fi
elif [ "$device" = gpu ]; then
    driver_loads "$python" || fail "DEVICE=gpu: the NVIDIA driver (libcuda.so.1, libnvidia-ml.so.1) does not load here, and CNTK for the GPU can't be imported without it"
fi

echo "setup: building .venv with $("$python" --version 2>&1), CNTK for the $device"
rm -rf .venv
"$python" -m venv .venv
pip() { .venv/bin/python -m pip "$@" --quiet --disable-pip-version-check; }
pip install pip==21.3.1 2>.venv/pip.log || { cat .venv/pip.log >&2; fail "pip could not be brought up to date"; }
pip install --only-binary=:all: -r "$(requirements "$device")" -r requirements-test.txt 2>.venv/pip.log \
    || { cat .venv/pip.log >&2; fail "the packages could not be installed"; }
provide_mpi
.venv/bin/python -c '
from quiet_cntk import C, select_device
device = select_device("auto")
assert C.times([[1.0, 2.0]], [[3.0], [4.0]]).eval().item() == 11
print("setup: CNTK %s computes on the %s" % (C.__version__, device))
' || fail "CNTK is installed but does not work (see above)"
stamp "$device" >.venv/ready
