"""Runs the guide's line for Python on deliveries: each line of stdin is {"line", "secret", "headers", "body"}, and each line
of stdout `verified`, or what the library says.
"""

import json
import sys

from standardwebhooks import Webhook

for order in sys.stdin:
    order = json.loads(order)
    try:
        exec(order["line"], {"Webhook": Webhook, **{name: order[name] for name in ("secret", "headers")}, "body": order["body"].encode()})
        print("verified")
    except Exception as error:  # whatever the library raises, the delivery was not verified
        print(repr(error))
