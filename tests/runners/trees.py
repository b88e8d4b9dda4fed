"""Process trees that do not want to die; each says on descriptor 9 when it is up."""

from tests.runners.witness import UP

# Lives on in a child, in a session of its own, a few hundred microseconds at a time.
_WANDER = r"""
import os
for _ in range(4): os.fork()
while True:
    if os.fork(): os._exit(0)
    os.setsid()
    if os.getpid() % 64 == 0: os.write(9, b"up\n")
"""

TREES = {
    "double fork": f"sh -c 'sh -c \"sleep 1000 & sleep 1000\" & exit'; {UP}; sleep 1000",
    "own sessions": f"for i in 1 2 3 4 5; do setsid sleep 1000 & done; {UP}; wait",
    "deaf": f"trap '' TERM HUP INT; sleep 1000 & {UP}; sleep 1000; sleep 1000; sleep 1000",
    "closed pipes": f"exec 0<&- 1>&- 2>&-; sleep 1000 & {UP}; wait",
    "cleared environment": f"env -i setsid sh -c 'sleep 1000; true' & {UP}; exec env -i sleep 1000",
    "stopped": f"sh -c 'kill -STOP $$; sleep 1000' & {UP}; kill -STOP $$; sleep 1000",
    "wandering": f"trap '' TERM; python3 -ISc '{_WANDER}' & sleep 1000",
    "all of it": "trap '' TERM HUP INT; exec 0<&- 1>&- 2>&-; "
    f"env -i setsid sh -c 'setsid sleep 1000 & kill -STOP $$' & {UP}; kill -STOP $$; sleep 1000",
}
