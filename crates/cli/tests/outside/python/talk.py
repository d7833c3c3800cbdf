"""One JSON object a line, in both directions: what is asked for, and what came of it. Ends when
nobody asks any more."""

import json
import sys
import traceback


def talk(ready, answer):
    # What libraries print must not come between.
    output, sys.stdout = sys.stdout, sys.stderr

    def say(what):
        output.write(json.dumps(what) + "\n")
        output.flush()

    say(ready)
    for line in sys.stdin:
        try:
            say(answer(json.loads(line)) or {})
        except Exception:
            say({"failed": traceback.format_exc()})
