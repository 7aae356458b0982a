// Runs the errand with the client that @hey-api/openapi-ts makes: see tests/it/program/other_generators.rs.
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { setTimeout } from 'node:timers/promises';

import { createClient } from './hey/client/index.js';
import {
  asgDeleteWebhook, asgListWebhooks, asgRegisterWebhook, getDelivery, listDeliveries, live, publishEvent, registerWebhook,
} from './hey/sdk.gen.js';
import type { BatchExportedData, EventPayload } from './hey/types.gen.js';

const { NGOMA: baseUrl, CALLBACK_URL: url, BODY: body } = env;
assert(baseUrl && url && body);
const as = (auth?: string) => createClient({ baseUrl, auth });

// An answer that is no refusal.
async function told<T>(call: Promise<{ data?: T; error?: unknown }>): Promise<T> {
  const { data, error } = await call;
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

const client = as(env.COOPERATIVE_TOKEN);
assert.equal((await told(live({ client }))).status, 'ok');

const input = { url, events: ['batch.*'], cooperative_id: 'COOP-MBALE-001' };
const { webhook_id } = await told(registerWebhook({ client, body: input }));
const data = { batch_id: 'BATCH-9', weight_kg: 62.5 } satisfies BatchExportedData;
const accepted = await told(publishEvent({ client, body: { event: 'batch.exported', data } }));
assert.deepEqual([accepted.event, accepted.deliveries[0]?.webhook_id], ['batch.exported', webhook_id]);
const end = Date.now() + 30_000;
const arrived = () => told(listDeliveries({ client, path: { webhook_id }, query: { status: 'DELIVERED' } }));
while ((await arrived()).deliveries.length < 1) {
  assert(Date.now() < end, 'it was not delivered');
  await setTimeout(20);
}

const payload = JSON.parse(body) as EventPayload;
assert(payload.event === 'batch.exported');
assert.deepEqual([payload.data.batch_id, payload.data.token_id], ['BATCH-7', 7]);

const missing = await getDelivery({ client, path: { webhook_id, delivery_id: 'dlv_01ARZ3NDEKTSV4RRFFQ69G5FAV' } });
assert.equal(missing.error?.error.code, 'DELIVERY_NOT_FOUND');

const customer = as(env.API_KEY);
const made = await told(asgRegisterWebhook({ client: customer, body: { callback_url: url } }));
const listed = (await told(asgListWebhooks({ client: customer }))).map(({ webhook_id, active }) => [webhook_id, active]);
assert.deepEqual(listed, [[made.webhook_id, true]]);
const refused = await asgDeleteWebhook({ client: customer, path: { webhook_id: 'whk_xxx' } });
console.log(refused.error?.error);
