#!/bin/sh
# setup.sh VENV REQUIREMENTS: make the environment VENV with exactly the locked REQUIREMENTS, then Kith itself into it.
# What is missing on the system is installed where we may (Debian and Ubuntu, as root or with a password-less sudo);
# elsewhere it is named.
set -eu
venv=$1
requirements=$2

fail() {
    echo "kith: $1" >&2
    exit 1
}

# apt PACKAGE...: install system packages, or return 1 where we may not.
apt() {
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" -eq 0 ]; then
        as=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as=sudo
    else
        return 1
    fi
    echo "kith: installing the system packages: $*"
    $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 && return 0
    $as apt-get update -q >/dev/null 2>&1 || true
    $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null
}

find_python() {
    for name in python3.13 python3.12 python3.11 python3.14 python3; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null; then
            echo "$name"
            return 0
        fi
    done
    return 1
}

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || { apt python3 python3-venv && python=$(find_python); } ||
        fail "Python 3.11 or later is missing. Debian 12, Ubuntu 24.04: apt install python3 python3-venv. macOS: brew install python@3.13"
    "$python" -m venv "$venv" >/dev/null 2>&1 || {
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt "python$version-venv" && "$python" -m venv "$venv" >/dev/null
    } || fail "$python cannot make an environment: its module venv is missing. Debian, Ubuntu: apt install python3-venv"
fi

# llama.cpp's runtime is linked against the system's OpenMP library, which bare images lack.
if [ "$(uname -s)" = Linux ] && ! "$venv/bin/python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null; then
    apt libgomp1 || echo "kith: libgomp is missing, so local models cannot run. Debian, Ubuntu: apt install libgomp1. Fedora: dnf install libgomp" >&2
fi

# The lock is complete, so that nothing has to be resolved; what makes up examples for Litestar's own description of an
# API is left out (25 MB), because Kith writes its own and nothing here imports it.
wanted=$(mktemp)
trap 'rm -f "$wanted"' EXIT
awk '/^[a-zA-Z0-9]/ { skip = /^(faker|polyfactory)==/ } !skip' "$requirements" >"$wanted"
echo "kith: installing $(grep -c '^[a-zA-Z0-9].*==' "$wanted") packages into $venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
    --no-deps -r "$wanted" || fail "the packages could not be installed; see above"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-input --no-deps --no-build-isolation -e . ||
    fail "Kith itself could not be installed; see above"

# Python 3.11 puts setuptools into every environment (10 MB), which nothing here asks for unless the lock names it; pip
# (17 MB) stays, because extras are added with it.
if ! grep -q '^setuptools==' "$requirements" && [ -d "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/setuptools" ]; then
    "$venv/bin/python" -m pip uninstall -q -y --disable-pip-version-check --no-input setuptools ||
        echo "kith: setuptools could not be taken out of $venv; it does no harm" >&2
fi
