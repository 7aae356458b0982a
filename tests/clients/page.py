"""The Python of ASG Gateway's page "Webhooks", over the client that the guide shows; only the URL is another."""

import os

from asg_gateway import ASGGatewayClient

client = ASGGatewayClient(os.environ["API_KEY"])
wh = client.register_webhook(
    os.environ["CALLBACK_URL"],
    secret="whsec_...",
    events=["task.settled"],
)
print(wh["webhook_id"])

for w in client.list_webhooks():
    print(w["webhook_id"], w["callback_url"], w["active"])

client.delete_webhook(wh["webhook_id"])
for w in client.list_webhooks():
    print(w["webhook_id"], w["callback_url"], w["active"])

try:
    client.delete_webhook("whk_xxx")
except LookupError as error:
    print(error)
