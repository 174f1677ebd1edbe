#!/usr/bin/env bash
# torch 2.13.0: while one thread waits for a key of a TCPStore, every other call on the same store object waits with it,
# also check(), which never blocks by itself.
#
# A guess: a client that threads may share (its calls are guarded) answers check() at once while another thread waits.
# Seen: check() returns only when the other thread's wait has ended. clone() gives a connection of its own, which does
# not wait. gloo's rendezvous waits for keys too, so a process group that is built in a thread stops whatever else looks
# at the default store, a heartbeat for instance.
#   check() beside a wait of 3 s: 2.8 s; on a clone: 0.0 s
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cd "$folder"
cat > run.py <<'PYTHON'
import contextlib
import threading
import time
from datetime import timedelta

from torch.distributed import TCPStore

SECONDS = 3
store = TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=60))


def wait_in_vain():
    with contextlib.suppress(Exception):  # the time is over
        store.wait(["never set"], timedelta(seconds=SECONDS))


def seconds_of_check(asked):
    waiting = threading.Thread(target=wait_in_vain)
    waiting.start()
    time.sleep(0.2)
    started = time.monotonic()
    asked.check(["another key"])
    took = time.monotonic() - started
    waiting.join()
    return took


shared, cloned = seconds_of_check(store), seconds_of_check(store.clone())
print(f"check() beside a wait of {SECONDS} s: {shared:.1f} s; on a clone: {cloned:.1f} s")
raise SystemExit(int(not (shared > SECONDS / 2 and cloned < SECONDS / 6)))
PYTHON
"$folder/env/bin/python" run.py > out.txt 2>&1 || { cat out.txt; exit 1; }
grep "check()" out.txt
