// Converts the contract that is named by Postman's converter, and sends the first request of the collection, with the one
// variable that a person sets: the address of the server. Prints the status of the answer, and how many requests there are.
import { readFileSync } from 'node:fs';
import { env } from 'node:process';
import converter from 'openapi-to-postmanv2';
import sdk from 'postman-collection';

const data = readFileSync(process.argv[2], 'utf8');
const { result, reason, output } = await new Promise((resolve, reject) => {
  converter.convertV2({ type: 'string', data }, {}, (error, made) => (error ? reject(error) : resolve(made)));
});
if (!result) throw new Error(reason);
const collection = new sdk.Collection(output[0].data);
collection.variables.upsert({ key: 'baseUrl', value: env.NGOMA });
const requests = [];
collection.forEachItem(({ request }) => requests.push(request));
const [first] = requests;
const url = sdk.Property.replaceSubstitutions(first.url.toString(), collection.variables.toObject());
const answer = await fetch(url, { method: first.method, headers: first.headers.toObject() });
console.log(answer.status, requests.length);
process.exit(0);
