# Shared by the scripts of this folder: source it, do not run it.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# This will run apt-get as root, directly or by a sudo that asks for no password; it fails where neither works.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

# This will install Debian packages, or end the script with the exact command that a person has to run.
install_packages() {
    local instead="install what is missing with: apt-get install $*"
    command -v apt-get >/dev/null || fail "$instead (this machine has no apt-get: use its own packages)"
    as_root true 2>/dev/null || fail "$instead"
    say "installing $*"
    # Standard output belongs to the script's caller (ensure-go prints a path there).
    {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -qqy -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
    } </dev/null >&2 || fail "apt-get failed; $instead"
}
