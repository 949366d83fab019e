#!/bin/sh
# servers.sh: the real servers that the channels' tests talk with. Debian's packages where we may install them (as root
# or with a password-less sudo), else their names. Outside of CI a missing one is no failure: its tests are skipped.
set -eu

# Each as program:package.
wanted="ngircd:ngircd mosquitto:mosquitto prosody:prosody dovecot:dovecot-imapd openssl:openssl nginx:nginx-light docker-compose:docker-compose"
[ "$(uname)" != Linux ] || wanted="$wanted systemd-analyze:systemd"

missing() {
    for pair in $wanted; do
        PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || printf '%s ' "${pair#*:}"
    done
}

absent=$(missing)
if [ -n "$absent" ] && command -v apt-get >/dev/null 2>&1; then
    as=none
    if [ "$(id -u)" -eq 0 ]; then
        as=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as=sudo
    fi
    if [ "$as" != none ]; then
        echo "kith: installing servers for the tests: $absent"
        # Installed is not started: the tests start their own, on free ports.
        policy=/usr/sbin/policy-rc.d
        [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' | $as tee "$policy" >/dev/null && $as chmod 755 "$policy" && own=yes; }
        # shellcheck disable=SC2086
        $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $absent >/dev/null 2>&1 || {
            $as apt-get update -q >/dev/null 2>&1 || true
            $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $absent >/dev/null || true
        }
        [ "${own:-}" != yes ] || $as rm -f "$policy"
    fi
fi
absent=$(missing)
[ -z "$absent" ] || echo "kith: the tests of some channels need: $absent(Debian, Ubuntu: apt install $absent)" >&2
[ -z "$absent" ] || [ -z "${CI:-}" ]

# Matrix's server comes from the package index into an environment of its own, with hashes.
venv=${KITH_VENV:-.venv}
if [ -x "$venv/bin/python" ] && [ ! -e "$venv/synapse/.done" ]; then
    echo "kith: installing matrix-synapse for the tests into $venv/synapse"
    if {
        "$venv/bin/python" -m venv "$venv/synapse" &&
            "$venv/synapse/bin/python" -m pip install -q --disable-pip-version-check --no-input --require-hashes \
                --only-binary :all: -r requirements/synapse.txt
    }; then
        touch "$venv/synapse/.done"
    else
        echo "kith: matrix-synapse could not be installed: the tests of the Matrix channel are skipped" >&2
        [ -z "${CI:-}" ]
    fi
fi
