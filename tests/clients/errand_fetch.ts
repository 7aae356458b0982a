// Runs the errand with the client that openapi-generator makes for TypeScript: see tests/it/program/other_generators.rs.
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { setTimeout } from 'node:timers/promises';

import {
  ASGGatewayApi, AsiliChainApi, Configuration, DeliveryStatus, ErrorCode, EventName,
  EventPayloadFromJSON, HealthApi, HealthStatus, ApiErrorFromJSON, AsgErrorFromJSON, ResponseError,
} from './fetch/index.js';

const { NGOMA: basePath, CALLBACK_URL: url, BODY: body } = env;
assert(basePath && url && body);
const client = (accessToken?: string) => new Configuration({ basePath, accessToken });
const refusal = async (call: Promise<unknown>): Promise<unknown> => {
  const refused = await call.then(() => assert.fail('no refusal'), (error: unknown) => error);
  assert(refused instanceof ResponseError);
  return refused.response.json();
};

const ngoma = client(env.COOPERATIVE_TOKEN);
assert.equal((await new HealthApi(ngoma).live()).status, HealthStatus.Ok);

const api = new AsiliChainApi(ngoma);
const webhookInput = { url, events: ['batch.*'], cooperativeId: 'COOP-MBALE-001' };
const { webhookId } = await api.registerWebhook({ webhookInput });
// Not BatchExportedDataToJSON: of an object that may have more fields it writes each field twice, by both of its names.
const data = { batch_id: 'BATCH-9', weight_kg: 62.5 };
const accepted = await api.publishEvent({ eventInput: { event: EventName.BatchExported, data } });
assert.deepEqual([accepted.event, accepted.deliveries[0]?.webhookId], [EventName.BatchExported, webhookId]);
const end = Date.now() + 30_000;
while ((await api.listDeliveries({ webhookId, status: DeliveryStatus.Delivered })).deliveries.length < 1) {
  assert(Date.now() < end, 'it was not delivered');
  await setTimeout(20);
}

const payload = EventPayloadFromJSON(JSON.parse(body));
assert(payload.event === 'batch.exported');
assert.deepEqual([payload.data.batchId, payload.data.tokenId], ['BATCH-7', 7]);

const missing = await refusal(api.getDelivery({ webhookId, deliveryId: 'dlv_01ARZ3NDEKTSV4RRFFQ69G5FAV' }));
assert.equal(ApiErrorFromJSON(missing).error.code, ErrorCode.DeliveryNotFound);

const asg = new ASGGatewayApi(client(env.API_KEY));
const made = await asg.asgRegisterWebhook({ asgWebhookInput: { callbackUrl: url } });
const listed = (await asg.asgListWebhooks()).map(({ webhookId, active }) => [webhookId, active]);
assert.deepEqual(listed, [[made.webhookId, true]]);
console.log(AsgErrorFromJSON(await refusal(asg.asgDeleteWebhook({ webhookId: 'whk_xxx' }))).error);
