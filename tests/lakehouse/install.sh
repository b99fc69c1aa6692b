#!/bin/sh
# Installs Java for Spark where it is missing; on Debian and Ubuntu, as root.
set -eu
if command -v java >/dev/null || [ -n "${JAVA_HOME:-}" ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
	echo "Java 17 or newer is needed: apt-get install default-jre-headless, as root, or another system's package" >&2
	exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends default-jre-headless >/dev/null
