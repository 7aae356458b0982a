// An ordinary client in Node: fetch.
//
// Reads a list of requests from stdin, [{method, url, headers, bytes}], sends each with a body of so many bytes, and prints
// the list of what it got: a status and the length of the answer's body, or an error.
import { text } from 'node:stream/consumers';

async function send({ method, url, headers, bytes }) {
  try {
    const answer = await fetch(url, { method, headers, body: new Uint8Array(bytes).fill(120), redirect: 'manual' });
    return { status: answer.status, bytes: (await answer.arrayBuffer()).byteLength };
  } catch (error) {
    return { error: `${error.cause ?? error}` };
  }
}

const seen = [];
for (const wanted of JSON.parse(await text(process.stdin))) {
  seen.push(await send(wanted));
}
console.log(JSON.stringify(seen));
