#!/bin/sh
# Installs MariaDB's server programs where they are missing; on Debian and Ubuntu, as root.
set -eu
if command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
	echo "MariaDB's server is needed: apt-get install mariadb-server, as root, or another system's package of it" >&2
	exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends mariadb-server >/dev/null
