"""A mail server that keeps what it takes, and can be told how to behave: aiosmtpd, on 127.0.0.1.

    mailbox.py FILE [--port P] [--tls CERTIFICATE KEY] [--sign-in USER PASSWORD] [--wrapped]

It prints its port when it is ready. Mails are kept in FILE, a JSON object a line, written through before it says yes. Orders
are lines of stdin, each answered by one line:

    take            take every mail                                 -> ok
    say TEXT        answer every recipient with this, "550 no"      -> ok
    hang            never answer a mail                             -> ok
    swallow         keep the mail, and then never say yes           -> ok
    close           break the connection at the mail                -> ok
    slow            keep the mail, say yes when the next order comes -> ok
    endless         answer EHLO by a line that does not end         -> ok
    said            wait for the end of such a line                 -> how many bytes of it were taken
    mails N         wait until N mails are kept                     -> all of them
    tries N         wait until N connections said EHLO or broke     -> how many did

With --tls a mail is taken over STARTTLS only, or with --wrapped over TLS from the start; with --sign-in after signing in only.
"""

import argparse
import asyncio
import email
import email.policy
import json
import logging
import os
import ssl
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult

parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--tls", nargs=2)
parser.add_argument("--wrapped", action="store_true")
parser.add_argument("--sign-in", nargs=2)
options = parser.parse_args()
# It complains of clients that break off, which is what the stories do.
logging.disable(logging.CRITICAL)

changed = threading.Condition()
behaviour = "take"
tries = 0
# The line that does not end, which ends here all the same; and what was taken of it.
ENDLESS = 64 << 20
said = None


def kept():
    if not os.path.exists(options.file):
        return []
    with open(options.file, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def keep(session, envelope):
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    line = {
        "from": envelope.mail_from,
        "to": envelope.rcpt_tos,
        "headers": [[name, str(value)] for name, value in mail.items()],
        "text": mail.get_content().replace("\r\n", "\n"),
        "raw": envelope.content.decode("latin-1"),
        "tls": session.ssl is not None or options.wrapped,
        "signed_in": session.authenticated,
    }
    with open(options.file, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


async def say_without_end(server):
    global said
    taken = 0
    try:
        while taken < ENDLESS:
            server._writer.write(b"2" * 65536)
            await server._writer.drain()
            taken += 65536
    finally:
        with changed:
            said = taken
            changed.notify_all()


class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        global tries
        session.host_name = hostname
        # The second one, after STARTTLS, is of the same connection.
        if session.ssl is None:
            with changed:
                tries += 1
                changed.notify_all()
        if behaviour == "endless":
            await say_without_end(server)
        return responses

    async def handle_RCPT(self, server, session, envelope, address, options):
        if behaviour.startswith("say "):
            return behaviour.removeprefix("say ")
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if behaviour == "close":
            server.transport.abort()
            return "421 gone"
        if behaviour in ("take", "swallow", "slow"):
            with changed:
                keep(session, envelope)
                changed.notify_all()
        if behaviour in ("hang", "swallow"):
            await asyncio.Event().wait()
        while behaviour == "slow":
            await asyncio.sleep(0.01)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, credentials):
    right = [credentials.login.decode(), credentials.password.decode()] == options.sign_in
    return AuthResult(success=right, handled=False)


settings = {"enable_SMTPUTF8": True}
context = None
if options.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*options.tls)
    if not options.wrapped:
        settings |= {"tls_context": context, "require_starttls": True}
if options.sign_in:
    settings |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": not options.wrapped}
loop = asyncio.new_event_loop()


async def serve():
    def server():
        return SMTP(Handler(), loop=loop, **settings)

    listening = await loop.create_server(
        server, "127.0.0.1", options.port, ssl=context if options.wrapped else None, reuse_address=True
    )
    print(listening.sockets[0].getsockname()[1], flush=True)


loop.create_task(serve())
threading.Thread(target=loop.run_forever, daemon=True).start()

PATIENCE = 30
for line in sys.stdin:
    order, _, rest = line.strip().partition(" ")
    with changed:
        if order == "mails":
            changed.wait_for(lambda: len(kept()) >= int(rest), PATIENCE)
            print(json.dumps(kept()), flush=True)
        elif order == "tries":
            changed.wait_for(lambda: tries >= int(rest), PATIENCE)
            print(tries, flush=True)
        elif order == "said":
            changed.wait_for(lambda: said is not None, PATIENCE)
            print(said, flush=True)
        else:
            behaviour = line.strip()
            print("ok", flush=True)
os._exit(0)
