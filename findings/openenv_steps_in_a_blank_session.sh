#!/usr/bin/env bash
# openenv 0.10.0: a client whose server was started anew steps on in an environment that was never reset.
#
# A guess: an episode whose session is gone cannot go on, and the step raises.
# Seen: the client opens a new session in silence, which has a new environment; its observation and reward come back as if
# they were the episode's.
#   before: began with seed 7; after: never began, reward 1.0
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet openenv==0.10.0
cd "$folder"
cat > server.py <<'PYTHON'
import sys

import uvicorn
from openenv.core.env_server import Action, Environment, Observation, State, create_app


class Seen(Observation):
    text: str = ""


class Env(Environment[Action, Seen, State]):
    text = "never began"

    def reset(self, seed=None, episode_id=None, **_):
        self.text = f"began with seed {seed}"
        return Seen(text=self.text)

    def step(self, action, timeout_s=None, **_):
        return Seen(text=self.text, reward=1.0)

    @property
    def state(self):
        return State()


uvicorn.run(create_app(Env, Action, Seen), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
PYTHON
cat > run.py <<'PYTHON'
import socket
import subprocess
import sys
import time

from openenv import GenericEnvClient

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]


def serve():
    server = subprocess.Popen([sys.executable, "server.py", str(port)])
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the server does not start")


first = serve()
client = GenericEnvClient(base_url=f"http://127.0.0.1:{port}").sync()
client.reset(seed=7)
before = client.step({}).observation["text"]
first.kill()
first.wait()
second = serve()
after = client.step({})
second.kill()
text = f"{after.observation['text']}, reward {after.reward}"
print(f"before: {before}; after: {text}")
raise SystemExit(int(text != "never began, reward 1.0"))
PYTHON
"$folder/env/bin/python" run.py > out.txt 2>&1 || { cat out.txt; exit 1; }
grep "before:" out.txt
