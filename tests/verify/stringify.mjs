// What JavaScript makes of JSON texts. Each line of stdin is one text, written as a JSON string (texts hold line breaks);
// each line of stdout is JSON.stringify(JSON.parse(text)), or `!` where JSON.parse refuses it.
import { readFileSync } from 'node:fs';

function printed(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return '!';
  }
  return JSON.stringify(value);
}

const lines = readFileSync(0, 'utf8').split('\n').slice(0, -1);
process.stdout.write(lines.map((line) => printed(JSON.parse(line)) + '\n').join(''));
