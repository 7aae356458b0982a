"""Runs the errand with the client that openapi-generator makes for Python: see tests/it/program/other_generators.rs."""

import os
import time

from ngoma_api import ApiClient, ASGGatewayApi, AsiliChainApi, Configuration, HealthApi
from ngoma_api.exceptions import NotFoundException
from ngoma_api.models import (
    AsgWebhookInput,
    BatchExportedData,
    BatchExportedPayload,
    DeliveryStatus,
    ErrorCode,
    EventInput,
    EventName,
    EventPayload,
    HealthStatus,
    WebhookInput,
)

COOPERATIVE = "COOP-MBALE-001"
URL = os.environ["CALLBACK_URL"]


def client(token: str) -> ApiClient:
    return ApiClient(Configuration(host=os.environ["NGOMA"], access_token=token))


ngoma = client(os.environ["COOPERATIVE_TOKEN"])
assert HealthApi(ngoma).live().status is HealthStatus.OK

api = AsiliChainApi(ngoma)
webhook = api.register_webhook(WebhookInput(url=URL, events=["batch.*"], cooperative_id=COOPERATIVE))
data = BatchExportedData(batch_id="BATCH-9", weight_kg=62.5).to_dict()
accepted = api.publish_event(EventInput(event=EventName.BATCH_DOT_EXPORTED, data=data))
assert accepted.event is EventName.BATCH_DOT_EXPORTED
assert [delivery.webhook_id for delivery in accepted.deliveries] == [webhook.webhook_id]
end = time.monotonic() + 30
while not api.list_deliveries(webhook.webhook_id, status=DeliveryStatus.DELIVERED).deliveries:
    assert time.monotonic() < end, "it was not delivered"
    time.sleep(0.02)

payload = EventPayload.from_json(os.environ["BODY"]).actual_instance
assert isinstance(payload, BatchExportedPayload), payload
assert (payload.data.batch_id, payload.data.token_id) == ("BATCH-7", 7)

try:
    api.get_delivery(webhook.webhook_id, "dlv_01ARZ3NDEKTSV4RRFFQ69G5FAV")
    raise AssertionError("there is none")
except NotFoundException as refused:
    assert refused.data.error.code is ErrorCode.DELIVERY_NOT_FOUND, refused.data

asg = ASGGatewayApi(client(os.environ["API_KEY"]))
made = asg.asg_register_webhook(AsgWebhookInput(callback_url=URL))
assert [(webhook.webhook_id, webhook.active) for webhook in asg.asg_list_webhooks()] == [(made.webhook_id, True)]
try:
    asg.asg_delete_webhook("whk_xxx")
except NotFoundException as refused:
    print(refused.data.error)
