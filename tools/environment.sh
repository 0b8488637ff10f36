#!/bin/sh
# Makes the virtual environment that every target of the Makefile uses.
# usage: environment.sh PYTHON FOLDER
set -eu
python=$1
folder=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "memprof needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if ! [ -x "$folder/bin/python" ] && ! "$python" -m venv "$folder"; then
    rm -rf "$folder"
    echo "$python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2
    exit 1
fi
echo "installing memprof and what it needs into $folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable '.[all,dev]'
