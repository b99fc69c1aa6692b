#!/bin/sh
# Installs Chromium, and fonts for Chinese, where they are missing; on Debian and Ubuntu, as root.
set -eu
if command -v chromium >/dev/null && command -v fc-list >/dev/null && [ -n "$(fc-list :lang=zh-cn family)" ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
	echo "Chromium is needed: apt-get install chromium fonts-noto-cjk, as root, or another system's packages of it" >&2
	exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium fontconfig fonts-noto-cjk >/dev/null
