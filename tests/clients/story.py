"""Goes through both vendors' pages with the client that openapi-python-client generates from the contract.

The environment names the server (NGOMA) and the tokens of a customer (API_KEY) and a cooperative (COOPERATIVE_TOKEN). It is
type-checked before it runs: what the contract says of an answer is what is known of it here.
"""

import hashlib
import hmac
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar, assert_type

from ngoma_client import AuthenticatedClient, Client
from ngoma_client.api.asg_gateway import (
    asg_delete_webhook,
    asg_get_task,
    asg_list_webhooks,
    asg_publish_batch,
    asg_publish_event,
    asg_register_webhook,
)
from ngoma_client.api.asili_chain import (
    delete_webhook,
    get_delivery,
    get_event,
    get_webhook,
    list_deliveries,
    list_event_types,
    list_webhooks,
    publish_batch,
    publish_event,
    register_webhook,
    replay_delivery,
    test_webhook,
    update_webhook,
)
from ngoma_client.api.health import live, ready
from ngoma_client.models import (
    ApiError,
    AsgDeliveryStatus,
    AsgError,
    AsgEventInput,
    AsgEventName,
    AsgEventsInput,
    AsgTaskSettled,
    AsgWebhook,
    AsgWebhookInput,
    AsgWebhookStatus,
    BatchExportedData,
    BatchExportedPayload,
    DeliveryStatus,
    ErrorClass,
    ErrorCode,
    EventInput,
    EventInputData,
    EventName,
    EventsInput,
    HealthStatus,
    SuspendedReason,
    WebhookInput,
    WebhookStatus,
    WebhookUpdate,
)
from ngoma_client.types import Unset

T = TypeVar("T")
SECRET = "your_webhook_signing_secret"
COOPERATIVE = "COOP-MBALE-001"
# More than any machine needs; a wait that ends here is a failure.
PATIENCE = 30


def verify_signature(payload: bytes, secret: str, signature: str) -> bool:
    """ASG's page's own function."""
    expected = "sha256=" + hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature)


class Receiver(BaseHTTPRequestHandler):
    """Verifies what comes, keeps it, and answers 500 on the paths that fail."""

    bodies: dict[str, list[bytes]] = {}
    failing: set[str] = set()
    came = threading.Condition()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        header = "X-ASG-Signature" if self.path.startswith("/asg") else "X-AsiliChain-Signature"
        status = 200 if verify_signature(body, SECRET, self.headers[header]) else 401
        with self.came:
            self.bodies.setdefault(self.path, []).append(body)
            self.came.notify_all()
            self.send_response(500 if self.path in self.failing else status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def bodies(path: str, count: int) -> list[bytes]:
    """What came to a path, once so much has."""
    with Receiver.came:
        arrived = Receiver.came.wait_for(lambda: len(Receiver.bodies.get(path, [])) >= count, PATIENCE)
        assert arrived, f"{path} got {Receiver.bodies.get(path)}"
        return list(Receiver.bodies[path])


def told(answer: T | ApiError | AsgError | None) -> T:
    """An answer that is no refusal."""
    assert answer is not None and not isinstance(answer, (ApiError, AsgError)), answer
    return answer


def until(look: Callable[[], T], holds: Callable[[T], bool]) -> T:
    """Looks until it is as it should be."""
    end = time.monotonic() + PATIENCE
    while not holds(seen := look()):
        assert time.monotonic() < end, seen
    return seen


def asg(client: AuthenticatedClient, receiver: str) -> None:
    """The page "Webhooks": register, receive, verify, list, delete."""
    url, failing = receiver + "/asg", receiver + "/asg/failing"
    Receiver.failing.add("/asg/failing")
    webhook = told(asg_register_webhook.sync(client=client, body=AsgWebhookInput(url, SECRET)))
    assert_type(webhook, AsgWebhook)
    assert (webhook.callback_url, webhook.events, webhook.active) == (url, ["task.settled"], True)
    assert isinstance(webhook.secret, Unset), "their own is not shown"
    made = told(asg_register_webhook.sync(client=client, body=AsgWebhookInput(failing, events=["task.settled"])))
    assert isinstance(made.secret, str) and made.secret.startswith("whsec_"), "one that is made is shown once"

    settled = datetime(2026, 4, 8, 21, 5, tzinfo=UTC)
    task = AsgEventInput(AsgEventName.TASK_SETTLED, "tsk_1", "cat", 1.0, "9f1c", settled, callback_url=url)
    accepted = told(asg_publish_event.sync(client=client, body=task))
    assert [delivery.webhook_id for delivery in accepted.deliveries] == [webhook.webhook_id]
    payload = AsgTaskSettled.from_dict(json.loads(bodies("/asg", 1)[0]))
    assert (payload.event, payload.task_id, payload.consensus_label) == ("task.settled", "tsk_1", "cat")
    assert (payload.confidence, payload.settled_at) == (1.0, settled) and payload.timestamp > settled
    record = until(
        lambda: told(asg_get_task.sync("tsk_1", client=client)),
        lambda task: task.webhook_status is AsgWebhookStatus.DELIVERED,
    )
    assert record.deliveries[0].attempts[0].response_status == 200 and not record.webhook_fail

    told(asg_publish_event.sync(client=client, body=AsgEventInput(AsgEventName.TASK_SETTLED, "tsk_2", "cat", 0.5, "9f1d", settled)))
    record = until(lambda: told(asg_get_task.sync("tsk_2", client=client)), lambda task: task.webhook_fail)
    failed = next(delivery for delivery in record.deliveries if delivery.webhook_id == made.webhook_id)
    assert failed.status is AsgDeliveryStatus.FAILED
    assert [attempt.error for attempt in failed.attempts] == [ErrorClass.STATUS] * 3
    assert failed.attempts[-1].next_attempt_at is None

    batch = [
        AsgEventInput(AsgEventName.TASK_SETTLED, task_id, "dog", 0.75, "9f1e", settled, callback_url=url)
        for task_id in ("tsk_3", "tsk_4")
    ]
    together = told(asg_publish_batch.sync(client=client, body=AsgEventsInput(batch)))
    assert [event.task_id for event in together.events] == ["tsk_3", "tsk_4"]
    arrived = {AsgTaskSettled.from_dict(json.loads(body)).task_id for body in bodies("/asg", 4)}
    assert arrived == {"tsk_1", "tsk_2", "tsk_3", "tsk_4"}

    told(asg_delete_webhook.sync(made.webhook_id, client=client))
    active = {webhook.webhook_id: webhook.active for webhook in told(asg_list_webhooks.sync(client=client))}
    assert active == {webhook.webhook_id: True, made.webhook_id: False}
    refused = asg_delete_webhook.sync_detailed("whk_xxx", client=client)
    assert refused.status_code == HTTPStatus.NOT_FOUND
    assert isinstance(refused.parsed, AsgError) and refused.parsed.error == "webhook not found"


def export(client: AuthenticatedClient, batch: str, key: str) -> str:
    """Publishes an event of AsiliChain, and gives its id."""
    data = EventInputData.from_dict(BatchExportedData(batch_id=batch, weight_kg=67.5).to_dict())
    event = EventInput(EventName.BATCH_EXPORTED, data, COOPERATIVE)
    accepted = told(publish_event.sync(client=client, body=event, idempotency_key=key))
    again = told(publish_event.sync(client=client, body=event, idempotency_key=key))
    assert accepted == again, "the same key is the same event"
    return accepted.event_id


def asilichain(client: AuthenticatedClient, receiver: str) -> None:
    """The page "Webhooks Overview": every route of it."""
    url = receiver + "/asilichain"
    events = ["batch.delivered", "batch.exported", "batch.settled", "dds.generated"]
    webhook = told(register_webhook.sync(client=client, body=WebhookInput(url, events, COOPERATIVE, SECRET)))
    assert (webhook.url, webhook.events, webhook.status) == (url, events, WebhookStatus.ACTIVE)
    assert webhook.created_at.tzinfo is not None
    id = webhook.webhook_id
    assert [entry.name for entry in told(list_event_types.sync(client=client))][:2] == [
        EventName.FARMER_REGISTERED,
        EventName.BATCH_DELIVERED,
    ]
    event_id = export(client, "BATCH-2026-004821", "export-1")
    payload = BatchExportedPayload.from_dict(json.loads(bodies("/asilichain", 1)[0]))
    assert (payload.webhook_id, payload.event, payload.api_version) == (id, "batch.exported", "2026-04-01")
    assert payload.data.batch_id == "BATCH-2026-004821"
    assert told(list_webhooks.sync(client=client)) == [webhook]
    arrived = until(
        lambda: told(get_event.sync(event_id, client=client)).deliveries[0],
        lambda delivery: delivery.status is DeliveryStatus.DELIVERED,
    )
    details = told(get_webhook.sync(id, client=client))
    assert details.recent_deliveries == [arrived] and details.suspended_reason is None and details.held_deliveries == 0

    replayed = told(replay_delivery.sync(id, arrived.delivery_id, client=client))
    assert replayed.replay_of == arrived.delivery_id and replayed.event_id == event_id
    first, second = bodies("/asilichain", 2)
    assert first == second, "a replay sends the same bytes"
    result = told(test_webhook.sync(id, client=client))
    assert result.delivered and result.response_status == 200 and result.error is None
    looked_at = told(get_delivery.sync(id, result.delivery_id, client=client))
    assert looked_at.test and looked_at.attempts[0].duration_ms == result.duration_ms
    page = told(list_deliveries.sync(id, client=client, limit=2))
    rest = told(list_deliveries.sync(id, client=client, cursor=page.next_cursor or ""))
    assert len(page.deliveries) == 2 and rest.next_cursor is None
    arrived.newest_replay = replayed.delivery_id
    arrived.newest_replay_status = rest.deliveries[0].newest_replay_status
    assert rest.deliveries == [arrived] and arrived.newest_replay_status is not None

    # Five attempts fail: it is suspended, what comes is held; both go out once it is resumed.
    Receiver.failing.add("/asilichain/failing")
    changed = told(update_webhook.sync(id, client=client, body=WebhookUpdate(url=url + "/failing", events=["batch.*"])))
    assert (changed.url, changed.events, changed.status) == (url + "/failing", ["batch.*"], WebhookStatus.ACTIVE)
    export(client, "BATCH-2", "export-2")
    details = until(
        lambda: told(get_webhook.sync(id, client=client)), lambda webhook: webhook.status is WebhookStatus.SUSPENDED
    )
    assert details.suspended_reason is SuspendedReason.EXHAUSTED and details.suspended_at is not None
    failed = told(list_deliveries.sync(id, client=client, status=DeliveryStatus.FAILED)).deliveries[0]
    attempts = told(get_delivery.sync(id, failed.delivery_id, client=client)).attempts
    assert [attempt.attempt for attempt in attempts] == [1, 2, 3, 4, 5]
    assert {attempt.error for attempt in attempts} == {ErrorClass.STATUS}
    refused = replay_delivery.sync(id, failed.delivery_id, client=client)
    assert isinstance(refused, ApiError) and refused.error.code is ErrorCode.WEBHOOK_SUSPENDED
    export(client, "BATCH-3", "export-3")
    assert told(get_webhook.sync(id, client=client)).held_deliveries == 1
    with Receiver.came:
        Receiver.failing.remove("/asilichain/failing")
    resumed = told(update_webhook.sync(id, client=client, body=WebhookUpdate(status=WebhookStatus.ACTIVE)))
    assert (resumed.status, resumed.resent_deliveries, resumed.released_deliveries) == (WebhookStatus.ACTIVE, 1, 1)
    again = [BatchExportedPayload.from_dict(json.loads(body)) for body in bodies("/asilichain/failing", 7)[5:]]
    assert {payload.data.batch_id for payload in again} == {"BATCH-2", "BATCH-3"}, "what failed, and what was held"

    batch = [
        EventInput(EventName.BATCH_EXPORTED, EventInputData.from_dict({"batch_id": name}), COOPERATIVE, idempotency_key=name)
        for name in ("BATCH-4", "BATCH-5")
    ]
    together = told(publish_batch.sync(client=client, body=EventsInput(batch)))
    assert together == told(publish_batch.sync(client=client, body=EventsInput(batch))), "each is known by its key"
    assert [len(event.deliveries) for event in together.events] == [1, 1]
    last = [BatchExportedPayload.from_dict(json.loads(body)) for body in bodies("/asilichain/failing", 9)[7:]]
    assert {payload.data.batch_id for payload in last} == {"BATCH-4", "BATCH-5"}

    assert delete_webhook.sync_detailed(id, client=client).status_code == HTTPStatus.NO_CONTENT
    gone = get_webhook.sync(id, client=client)
    assert isinstance(gone, ApiError) and gone.error.code is ErrorCode.WEBHOOK_NOT_FOUND


def health(client: Client) -> None:
    assert told(live.sync(client=client)).status is HealthStatus.OK
    assert told(ready.sync(client=client)).status is HealthStatus.OK


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
base, receiver = os.environ["NGOMA"], f"http://127.0.0.1:{server.server_port}"
health(Client(base, raise_on_unexpected_status=True))
asg(AuthenticatedClient(base, os.environ["API_KEY"], raise_on_unexpected_status=True), receiver)
asilichain(AuthenticatedClient(base, os.environ["COOPERATIVE_TOKEN"], raise_on_unexpected_status=True), receiver)
print("both pages are gone through")
