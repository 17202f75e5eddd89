// examples: drives contrib/examples/node: one line in is a list of calls to be under way at once,
//   [{"method":"sign"|"verify","args":[…]},…], one line out the list of their answers, {"value"} or {"error"}.
// argv: the client's module, the socket, the timeout in ms.
'use strict';
const { createInterface } = require('node:readline');

const { Client, SignetError } = require(process.argv[2]);
const client = new Client(process.argv[3], Number(process.argv[4]));

const answer = ({ value, reason: e }) => {
  if (!e) return { value: { ...value, payload: value.payload?.toString() } };
  if (!(e instanceof SignetError)) throw e;
  const { code, reason, text, retryAfterMs } = e;
  return { error: { code, reason, text, retry_after_ms: retryAfterMs } };
};

createInterface({ input: process.stdin }).on('line', async (line) => {
  const calls = JSON.parse(line).map(({ method, args }) => client[method](...args));
  console.log(JSON.stringify((await Promise.allSettled(calls)).map(answer)));
}).on('close', () => client.close());
