// A subscriber of AsiliChain, in Node, that verifies as the vendor's page shows.
//
// It prints its port when it is ready. Each line of stdin, {"path", "secret"}, makes it serve one webhook, which it answers
// with "ok". When stdin ends it prints what it saw, {path: {verified, refused, events, complaint}}, and goes.
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const webhooks = new Map();

// The page's own function, without its types.
function verifyWebhook(body, signature, secret) {
  const expected = createHmac('sha256', secret).update(body).digest('hex');
  return `sha256=${expected}` === signature;
}

// As express.json() does: only a body that says that it is JSON is parsed.
function parse(req, raw) {
  const type = (req.headers['content-type'] ?? '').split(';')[0].trim();
  return type === 'application/json' ? JSON.parse(raw.toString('utf8')) : {};
}

// Why a delivery does not verify; null if it does.
function complaint(req, raw, secret) {
  try {
    const body = JSON.stringify(parse(req, raw));
    if (verifyWebhook(body, req.headers['x-asilichain-signature'], secret)) {
      return null;
    }
    return `signed was ${raw}, printed again it is ${body}`;
  } catch (error) {
    return `${error}: ${raw}`;
  }
}

const server = createServer((req, res) => {
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => {
    const raw = Buffer.concat(chunks);
    const webhook = webhooks.get(req.url);
    const flaw = webhook === undefined ? 'unknown' : complaint(req, raw, webhook.secret);
    if (flaw === null) {
      webhook.verified += 1;
      webhook.events.add(req.headers['webhook-id']);
    } else if (webhook !== undefined) {
      webhook.refused += 1;
      webhook.complaint ??= flaw;
    }
    res.writeHead(flaw === null ? 200 : 401, { 'content-type': 'application/json' });
    res.end(flaw === null ? '{"received":true}' : '{"error":"Invalid signature"}');
  });
});

server.listen(0, '127.0.0.1', () => console.log(server.address().port));

const orders = createInterface({ input: process.stdin });
orders.on('line', (line) => {
  const { path, secret } = JSON.parse(line);
  webhooks.set(path, { secret, verified: 0, refused: 0, events: new Set(), complaint: null });
  console.log('ok');
});
orders.on('close', () => {
  const seen = {};
  for (const [path, { verified, refused, events, complaint }] of webhooks) {
    seen[path] = { verified, refused, events: events.size, complaint };
  }
  process.stdout.write(JSON.stringify(seen) + '\n', () => process.exit(0));
});
