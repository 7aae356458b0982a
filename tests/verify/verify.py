"""A subscriber, in Python, that verifies as ASG Gateway's page shows and as the Standard Webhooks library does.

It prints its port when it is ready. Each line of stdin, {"path", "secret", "standard"}, makes it serve one webhook, which it
answers with "ok"; "standard" is the secret as the library takes it. When stdin ends it prints what it saw,
{path: {verified, refused, events, complaint}}, and goes. A path under /asg/ must carry both signatures, any other the library's.
"""

import hashlib
import hmac
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

webhooks = {}
lock = threading.Lock()


def verify_signature(payload: bytes, secret: str, signature: str) -> bool:
    """The page's own function."""
    expected = "sha256=" + hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature)


def complaint(path, webhook, headers, body):
    """Why a delivery does not verify; None if it does."""
    if path.startswith("/asg/") and not verify_signature(body, webhook["secret"], headers.get("X-ASG-Signature", "")):
        return "the vendor's signature is wrong"
    try:
        Webhook(webhook["standard"]).verify(body, dict(headers.items()))
        return None
    except Exception as error:  # whatever the library raises, the delivery was not verified
        return repr(error)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        webhook = webhooks.get(self.path)
        flaw = complaint(self.path, webhook, self.headers, body) if webhook else "unknown"
        if webhook:
            with lock:
                if flaw is None:
                    webhook["verified"] += 1
                    webhook["events"].add(self.headers["webhook-id"])
                else:
                    webhook["refused"] += 1
                    webhook["complaint"] = webhook["complaint"] or f"{flaw}: {body!r}"
        self.send_response(200 if flaw is None else 401)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Says nothing: one line a delivery helps nobody."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)

for line in sys.stdin:
    order = json.loads(line)
    webhooks[order["path"]] = order | {"verified": 0, "refused": 0, "events": set(), "complaint": None}
    print("ok", flush=True)


def seen(webhook):
    return {key: webhook[key] for key in ("verified", "refused", "complaint")} | {"events": len(webhook["events"])}


with lock:
    print(json.dumps({path: seen(webhook) for path, webhook in webhooks.items()}), flush=True)
# The serving threads are in the middle of nothing that matters.
os._exit(0)
