// Judges contracts by Spectral's and Redocly's recommended rules, and prints what each finds, a line of JSON for a contract:
// [{linter, severity, rule, place, text}]. Both are used as libraries: nothing is asked of the network.
import { readFileSync } from 'node:fs';
import { createConfig, lint } from '@redocly/openapi-core';
import spectral from '@stoplight/spectral-core';
import rulesets from '@stoplight/spectral-rulesets';

const config = await createConfig({ extends: ['recommended'] });
const judge = new spectral.Spectral();
judge.setRuleset(new spectral.Ruleset({ extends: [[rulesets.oas, 'recommended']] }));

async function bySpectral(file) {
  const found = await judge.run(JSON.parse(readFileSync(file, 'utf8')));
  return found.map(({ code, message, path, severity }) => ({
    linter: 'spectral', severity: ['error', 'warn', 'info', 'hint'][severity], rule: code, place: path.join('.'), text: message,
  }));
}

async function byRedocly(file) {
  const found = await lint({ ref: file, config });
  return found.map(({ ruleId, message, location, severity }) => ({
    linter: 'redocly', severity, rule: ruleId, place: location[0].pointer, text: message,
  }));
}

for (const file of process.argv.slice(2)) {
  console.log(JSON.stringify([...(await bySpectral(file)), ...(await byRedocly(file))]));
}
