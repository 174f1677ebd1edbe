#!/usr/bin/env bash
# huggingface_hub 2.4.0: InferenceClient refuses a server on this machine when HF_HUB_OFFLINE=1, and sends it the saved
# token of the Hub when not.
#
# A guess: HF_HUB_OFFLINE keeps a run from the Hub, so that a model served on this machine still answers; and a client
# that is given an address and no key sends none.
# Seen: every request raises OfflineModeIsEnabled, whatever its address; online, the token of HF_TOKEN (or the one that
# `hf auth login` saved) goes to whatever base_url names. api_key="-" keeps the token at home.
#   offline: OfflineModeIsEnabled; online, without a key: Bearer hf_saved; with api_key="-": Bearer -
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet huggingface_hub==2.4.0
cd "$folder"
cat > run.py <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from huggingface_hub import InferenceClient

seen = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        seen.append(self.headers["Authorization"])
        self.send_response(500)
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
for settings in ({}, {"api_key": "-"}):
    client = InferenceClient(base_url=f"http://127.0.0.1:{server.server_port}/v1", timeout=5, **settings)
    try:
        client.chat_completion([{"role": "user", "content": "Hello"}], model="served")
    except Exception as error:
        seen.append(type(error).__name__)
print(*seen, sep=", ")
PYTHON
HF_HUB_OFFLINE=1 HF_TOKEN=hf_saved HF_HOME="$folder" "$folder/env/bin/python" run.py > offline.txt
HF_HUB_OFFLINE=0 HF_TOKEN=hf_saved HF_HOME="$folder" "$folder/env/bin/python" run.py > online.txt
offline=$(cut -d, -f1 offline.txt)
first=$(cut -d, -f1 online.txt)
second=$(cut -d, -f3 online.txt)
echo "offline: $offline; online, without a key: $first; with api_key=\"-\":$second"
[ "$offline" = OfflineModeIsEnabled ] && [ "$first" = "Bearer hf_saved" ] && [ "$second" = " Bearer -" ]
