#!/bin/sh
# Installs PostgreSQL's server programs where they are missing; on Debian and Ubuntu, as root.
set -eu
if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null; then
	exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
	echo "PostgreSQL's server is needed: apt-get install postgresql, as root, or another system's package of it" >&2
	exit 1
fi
# The package would start a server of its own, which the tests don't need.
mkdir -p /etc/postgresql-common
echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends postgresql >/dev/null
