#!/bin/sh
# Installs strace where it is missing; on Debian and Ubuntu, as root. Other systems than Linux have none.
set -eu
if [ "$(uname)" != Linux ] || command -v strace >/dev/null; then
	exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
	echo "strace is needed: apt-get install strace, as root, or another system's package of it" >&2
	exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends strace >/dev/null
