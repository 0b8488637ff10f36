#!/bin/sh
# Installs Debian's Chromium for the dashboard's tests where that is possible and missing.
# Where it is not, those tests skip and say why.
for browser in chromium chromium-browser google-chrome; do
    command -v "$browser" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "no chromium: the tests of the dashboard in a browser will be skipped" >&2
    exit 0
fi
echo "installing chromium for the tests of the dashboard" >&2
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } >/dev/null 2>&1 ||
    echo "chromium could not be installed: the tests in a browser will be skipped" >&2
