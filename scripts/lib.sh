# Sourced by the scripts beside it: runs from the top of the checkout and installs what a bare
# Debian or Ubuntu machine lacks. Other systems get the list of what is missing.
set -eu
cd "$(dirname "$0")/.."
if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
    . "$HOME/.cargo/env"
fi
if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust from https://rustup.rs and try again" >&2
    exit 2
fi

# need COMMAND-THAT-PROVES-IT PACKAGE...: installs the packages unless the proof holds.
need() {
    proof=$1
    shift
    if sh -c "$proof" >/dev/null 2>&1; then
        return 0
    fi
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    if ! command -v apt-get >/dev/null; then
        echo "missing: $* (these are Debian's names); install them and try again" >&2
        exit 2
    fi
    echo "installing $*" >&2
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >&2
}

# tool NAME: installs a cargo command unless it is there. Not optimised, which compiles much faster.
tool() {
    command -v "$1" >/dev/null || cargo install --quiet --locked --debug "$1" >&2
}
