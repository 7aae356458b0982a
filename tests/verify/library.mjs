// Runs the guide's line for JavaScript on deliveries: each line of stdin is {"line", "secret", "headers", "body"}, and each
// line of stdout `verified`, or what the library says. The argument is the folder where the library is installed.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { Webhook } = createRequire(`${process.argv[2]}/`)('standardwebhooks');

for (const order of readFileSync(0, 'utf8').split('\n').slice(0, -1)) {
  const { line, secret, headers, body } = JSON.parse(order);
  try {
    new Function('Webhook', 'secret', 'headers', 'body', line)(Webhook, secret, headers, Buffer.from(body));
    console.log('verified');
  } catch (error) {
    console.log(`${error}`);
  }
}
