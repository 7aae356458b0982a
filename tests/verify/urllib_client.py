# An ordinary client in Python: urllib, which sends the whole body before it reads the answer.
#
# Reads a list of requests from stdin, [{"method", "url", "headers", "bytes"}], sends each with a body of so many bytes,
# and prints the list of what it got: a status and the length of the answer's body, or an error.
import json
import sys
import urllib.error
import urllib.request


def send(wanted):
    request = urllib.request.Request(wanted["url"], b"x" * wanted["bytes"], wanted["headers"], method=wanted["method"])
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    except OSError as error:
        return {"error": str(error)}
    return {"status": answer.status, "bytes": len(answer.read())}


print(json.dumps([send(wanted) for wanted in json.load(sys.stdin)]))
