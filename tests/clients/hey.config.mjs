// Of @hey-api/openapi-ts: what it imports is named with its ending, as Node.js needs it.
export default {
  input: './openapi.json',
  output: { path: './hey', importFileExtension: '.js' },
  plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk'],
};
