#!/bin/sh
# web.sh WHAT: the web app.
#   build    build it and put it where the server serves it, if anything has changed
#   beside   the same in the background of `make run`; a note says how it went
#   unit     types, unit tests, build
#   e2e      the tests in a real browser, of what was built
# Needs Node 20.19 or later and npm, which are named when they are missing; nothing of them is needed to serve.
set -eu
cd "$(dirname "$0")/.."
pages=src/kith/gateway/pages
note=web/.note

say() {
    echo "kith: $1"
}

node_is_there() {
    command -v npm >/dev/null 2>&1 && command -v node >/dev/null 2>&1 &&
        node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)'
}

name_node() {
    say "the web app has to be built once, which needs Node 20.19 or 22.12 or later, with npm."
    say "macOS: brew install node. Debian 13, Ubuntu 25.04: apt install nodejs npm. Elsewhere: nodejs.org."
}

# Whether anything of the sources is younger than what is served.
stale() {
    [ ! -f $pages/index.html ] || [ -n "$(find web/src web/public web/index.html web/vite.config.ts web/package-lock.json -newer $pages/index.html -print -quit)" ]
}

# Exactly what the lock names; nothing is fetched when that is there already.
packages() {
    [ web/node_modules/.package-lock.json -nt web/package-lock.json ] || (cd web && npm ci --no-fund --no-audit --loglevel=error)
}

build() {
    packages
    (cd web && npx --no-install vite build --logLevel warn)
    rm -rf $pages.old
    [ ! -d $pages ] || mv $pages $pages.old
    mv web/dist $pages
    rm -rf $pages.old
}

# A browser for the tests: the system's own, installed where we may.
browser() {
    command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 && return 0
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
        say "installing the system package chromium"
        apt-get update -q >/dev/null 2>&1 || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium fonts-noto-cjk >/dev/null 2>&1 && return 0
    fi
    say "the tests of the web app need Chromium. Debian: apt install chromium. macOS: brew install --cask chromium" >&2
    return 1
}

case "$1" in
build)
    node_is_there || { name_node >&2; exit 1; }
    if stale; then build; say "the web app is built"; fi
    ;;
beside)
    rm -f $note
    stale || exit 0
    node_is_there || { name_node; exit 0; }
    say "the web app is being built meanwhile"
    echo building >$note
    (
        if build >web/.log 2>&1; then echo built; else echo failed; fi >$note.new
        mv $note.new $note
    ) </dev/null >/dev/null 2>&1 &
    ;;
unit)
    node_is_there || { name_node >&2; exit 1; }
    packages
    (cd web && npx --no-install tsc --noEmit && npx --no-install vitest run --project unit)
    build
    ;;
e2e)
    browser
    (cd web && npx --no-install vitest run --project e2e)
    ;;
*)
    say "web.sh build, beside, unit or e2e" >&2
    exit 2
    ;;
esac
