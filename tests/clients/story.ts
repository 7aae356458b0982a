// Goes through both vendors' pages with openapi-fetch and the types that openapi-typescript generates from the contract.
//
// The environment names the server (NGOMA) and the tokens of a customer (API_KEY) and a cooperative (COOPERATIVE_TOKEN). It is
// type-checked before it runs: what the contract says of an answer is what is known of it here.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { env } from 'node:process';

import createClient from 'openapi-fetch';

import type { components, operations, paths, webhooks } from './ngoma.js';

// Every body that an operation answers with; it fails to compile if one of them may be anything.
type Bodies<O extends { responses: object }> = {
  [S in keyof O['responses']]: O['responses'][S] extends { content: infer C extends object } ? C[keyof C] : never;
}[keyof O['responses']];
type Vague = { [O in keyof operations]: unknown extends Bodies<operations[O]> ? O : never }[keyof operations];
const vague: [Vague] extends [never] ? 'none' : Vague = 'none';
assert.equal(vague, 'none');

type Sent<P extends keyof webhooks> = webhooks[P]['post']['requestBody']['content']['application/json'];
type Webhook = components['schemas']['Webhook'];

const SECRET = 'your_webhook_signing_secret';
const COOPERATIVE = 'COOP-MBALE-001';
// More than any machine needs, in milliseconds; a wait that ends here is a failure.
const PATIENCE = 30_000;

// AsiliChain's page's own function; ASG's says the same in Python.
function verifyWebhook(body: string, signature: string, secret: string): boolean {
  const expected = createHmac('sha256', secret).update(body).digest('hex');
  return `sha256=${expected}` === signature;
}

const bodies = new Map<string, string[]>();
const failing = new Set<string>();

// Verifies what comes, keeps it, and answers 500 on the paths that fail.
const receiver = createServer((request, response) => {
  const path = request.url ?? '';
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const raw = Buffer.concat(chunks).toString('utf8');
    const header = request.headers[path.startsWith('/asg') ? 'x-asg-signature' : 'x-asilichain-signature'];
    const isValid = verifyWebhook(raw, String(header), SECRET);
    bodies.set(path, [...(bodies.get(path) ?? []), raw]);
    response.writeHead(failing.has(path) ? 500 : isValid ? 200 : 401).end();
    receiver.emit('came');
  });
});

// What came to a path, once so much has.
async function came(path: string, count: number): Promise<string[]> {
  const signal = AbortSignal.timeout(PATIENCE);
  for (;;) {
    const arrived = bodies.get(path) ?? [];
    if (arrived.length >= count) return arrived;
    await once(receiver, 'came', { signal });
  }
}

// An answer that is no refusal.
async function told<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await answer;
  if (data === undefined) throw new Error(`${response.status} ${JSON.stringify(error)}`);
  return data;
}

// Looks until it is as it should be.
async function until<T>(look: () => Promise<T>, holds: (seen: T) => boolean): Promise<T> {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const seen = await look();
    if (holds(seen)) return seen;
    assert(Date.now() < end, JSON.stringify(seen));
  }
}

const client = (token?: string) => {
  assert(env.NGOMA);
  return createClient<paths>({ baseUrl: env.NGOMA, headers: { Authorization: `Bearer ${token}` } });
};

// The page "Webhooks": register, receive, verify, list, delete.
async function asg(base: string) {
  const ngoma = client(env.API_KEY);
  const url = `${base}/asg`;
  failing.add('/asg/failing');
  const webhook = await told(ngoma.POST('/v1/webhooks', { body: { callback_url: url, secret: SECRET } }));
  const events = ['task.settled'];
  assert.deepEqual(webhook, { webhook_id: webhook.webhook_id, callback_url: url, events, active: true });
  const made = await told(ngoma.POST('/v1/webhooks', { body: { callback_url: `${url}/failing`, events } }));
  assert(made.secret?.startsWith('whsec_'), 'one that is made is shown once');

  const settled_at = '2026-04-08T21:05:00Z';
  const task = { event: 'task.settled' as const, consensus_label: 'cat', confidence: 1, bsv_txid: '9f1c', settled_at };
  const accepted = await told(ngoma.POST('/v1/events', { body: { ...task, task_id: 'tsk_1', callback_url: url } }));
  assert.deepEqual(accepted.deliveries.map((delivery) => delivery.webhook_id), [webhook.webhook_id]);
  const payload = JSON.parse((await came('/asg', 1))[0] ?? '') as Sent<'task.settled'>;
  assert.deepEqual(payload, { ...task, task_id: 'tsk_1', timestamp: payload.timestamp });
  const look = (task_id: string) => told(ngoma.GET('/v1/tasks/{task_id}', { params: { path: { task_id } } }));
  const record = await until(() => look('tsk_1'), (task) => task.webhook_status === 'delivered');
  assert.equal(record.deliveries[0]?.attempts[0]?.response_status, 200);

  await told(ngoma.POST('/v1/events', { body: { ...task, task_id: 'tsk_2' } }));
  const marked = await until(() => look('tsk_2'), (task) => task.webhook_fail);
  const failed = marked.deliveries.find((delivery) => delivery.webhook_id === made.webhook_id);
  assert.equal(failed?.status, 'failed');
  assert.deepEqual(failed.attempts.map((attempt) => attempt.error), ['status', 'status', 'status']);

  const batch = ['tsk_3', 'tsk_4'].map((task_id) => ({ ...task, task_id, callback_url: url }));
  const together = await told(ngoma.POST('/v1/events/batch', { body: { events: batch } }));
  assert.deepEqual(together.events.map(({ task_id }) => task_id), ['tsk_3', 'tsk_4']);
  const arrived = (await came('/asg', 4)).map((body) => (JSON.parse(body) as Sent<'task.settled'>).task_id);
  assert.deepEqual(arrived.sort(), ['tsk_1', 'tsk_2', 'tsk_3', 'tsk_4']);

  const remove = (webhook_id: string) =>
    ngoma.DELETE('/v1/webhooks/{webhook_id}', { params: { path: { webhook_id } } });
  assert.equal((await told(remove(made.webhook_id))).active, false);
  const active = (await told(ngoma.GET('/v1/webhooks'))).map((webhook) => [webhook.webhook_id, webhook.active]);
  assert.deepEqual(active, [[webhook.webhook_id, true], [made.webhook_id, false]]);
  const refused = await remove('whk_xxx');
  assert.equal(refused.response.status, 404);
  assert.equal(refused.error?.error, 'webhook not found');
}

// The page "Webhooks Overview": every route of it.
async function asilichain(base: string) {
  const ngoma = client(env.COOPERATIVE_TOKEN);
  const url = `${base}/asilichain`;
  const events = ['batch.delivered', 'batch.exported', 'batch.settled', 'dds.generated'];
  const body = { url, events, cooperative_id: COOPERATIVE, secret: SECRET };
  const webhook: Webhook = await told(ngoma.POST('/webhooks', { body }));
  assert.deepEqual([webhook.url, webhook.events, webhook.status], [url, events, 'ACTIVE']);
  const { webhook_id } = webhook;
  const path = { webhook_id };
  const details = () => told(ngoma.GET('/webhooks/{webhook_id}', { params: { path } }));
  const change = (body: components['schemas']['WebhookUpdate']) =>
    told(ngoma.PATCH('/webhooks/{webhook_id}', { params: { path }, body }));
  const list = (query: operations['listDeliveries']['parameters']['query']) =>
    told(ngoma.GET('/webhooks/{webhook_id}/deliveries', { params: { path, query } }));
  const one = (delivery_id: string) => ({ params: { path: { webhook_id, delivery_id } } });
  const replay = (delivery_id: string) => ngoma.POST('/webhooks/{webhook_id}/replay/{delivery_id}', one(delivery_id));
  const attempts = (delivery_id: string) =>
    told(ngoma.GET('/webhooks/{webhook_id}/deliveries/{delivery_id}', one(delivery_id)));
  const exported = async (batch_id: string) => {
    const header = { 'Idempotency-Key': batch_id };
    const data = { batch_id, weight_kg: 67.5 } satisfies components['schemas']['BatchExportedData'];
    const body = { event: 'batch.exported' as const, cooperative_id: COOPERATIVE, data };
    const accepted = await told(ngoma.POST('/events', { params: { header }, body }));
    const again = await told(ngoma.POST('/events', { params: { header }, body }));
    assert.deepEqual(again, accepted, 'the same key is the same event');
    return accepted.event_id;
  };

  assert.equal((await told(ngoma.GET('/event-types')))[1]?.trigger, 'BatchToken minted');
  const event_id = await exported('BATCH-2026-004821');
  const payload = JSON.parse((await came('/asilichain', 1))[0] ?? '') as Sent<'event'>;
  assert(payload.event === 'batch.exported');
  assert.equal(payload.webhook_id, webhook_id);
  assert.equal(payload.data.batch_id, 'BATCH-2026-004821');
  assert.deepEqual(await told(ngoma.GET('/webhooks')), [webhook]);
  const event = () => told(ngoma.GET('/events/{event_id}', { params: { path: { event_id } } }));
  const arrived = (await until(event, (event) => event.deliveries[0]?.status === 'DELIVERED')).deliveries[0];
  assert(arrived);
  const seen = await details();
  assert.deepEqual(seen.recent_deliveries, [arrived]);
  assert.deepEqual([seen.suspended_reason, seen.held_deliveries], [null, 0]);

  const replayed = await told(replay(arrived.delivery_id));
  assert.deepEqual([replayed.replay_of, replayed.event_id], [arrived.delivery_id, event_id]);
  const [first, second] = await came('/asilichain', 2);
  assert.equal(first, second, 'a replay sends the same bytes');
  const result = await told(ngoma.POST('/webhooks/{webhook_id}/test', { params: { path } }));
  assert.deepEqual([result.delivered, result.response_status, result.error], [true, 200, null]);
  assert.equal((await attempts(result.delivery_id)).attempts[0]?.duration_ms, result.duration_ms);
  const page = await list({ limit: 2 });
  assert(page.next_cursor);
  const { deliveries: rest, next_cursor } = await list({ cursor: page.next_cursor });
  const newest_replay_status = rest[0]?.newest_replay_status;
  assert(newest_replay_status);
  assert.deepEqual(rest, [{ ...arrived, newest_replay: replayed.delivery_id, newest_replay_status }]);
  assert.equal(next_cursor, null);

  // Five attempts fail: it is suspended, what comes is held; both go out once it is resumed.
  failing.add('/asilichain/failing');
  assert.deepEqual((await change({ url: `${url}/failing`, events: ['batch.*'] })).events, ['batch.*']);
  await exported('BATCH-2');
  const suspended = await until(details, (webhook) => webhook.status === 'SUSPENDED');
  assert.equal(suspended.suspended_reason, 'exhausted');
  const failed = (await list({ status: 'FAILED' })).deliveries[0];
  assert(failed);
  const made = (await attempts(failed.delivery_id)).attempts;
  assert.deepEqual(made.map(({ attempt }) => attempt), [1, 2, 3, 4, 5]);
  assert(made.every(({ error }) => error === 'status'));
  assert.equal((await replay(failed.delivery_id)).error?.error.code, 'WEBHOOK_SUSPENDED');
  await exported('BATCH-3');
  assert.equal((await details()).held_deliveries, 1);
  failing.delete('/asilichain/failing');
  const resumed = await change({ status: 'ACTIVE' });
  assert.deepEqual([resumed.status, resumed.resent_deliveries, resumed.released_deliveries], ['ACTIVE', 1, 1]);
  assert.match((await came('/asilichain/failing', 7)).slice(5).sort().join(), /BATCH-2.*BATCH-3/, 'what failed, what was held');

  const batch = ['BATCH-4', 'BATCH-5'].map((batch_id) => ({
    event: 'batch.exported' as const, cooperative_id: COOPERATIVE, data: { batch_id }, idempotency_key: batch_id,
  }));
  const together = await told(ngoma.POST('/events/batch', { body: { events: batch } }));
  assert.deepEqual(together.events.map(({ deliveries }) => deliveries.length), [1, 1]);
  const again = await told(ngoma.POST('/events/batch', { body: { events: batch } }));
  assert.deepEqual(again, together, 'each is known by its key');
  const last = (await came('/asilichain/failing', 9)).slice(7).join();
  assert(last.includes('BATCH-4') && last.includes('BATCH-5'));

  const deleted = await ngoma.DELETE('/webhooks/{webhook_id}', { params: { path } });
  assert.equal(deleted.response.status, 204);
  const gone = await ngoma.GET('/webhooks/{webhook_id}', { params: { path } });
  assert.equal(gone.error?.error.code, 'WEBHOOK_NOT_FOUND');
}

async function health() {
  for (const path of ['/health/live', '/health/ready'] as const) {
    assert.equal((await told(client().GET(path))).status, 'ok');
  }
}

receiver.listen(0, '127.0.0.1');
await once(receiver, 'listening');
const base = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
await health();
await asg(base);
await asilichain(base);
console.log('both pages are gone through');
process.exit(0);
