#!/usr/bin/env node
// signet_client: sign and verify JSON Web Tokens through signetd, as signet-protocol(7) says.
//
//     npm ci
//     ./signet_client.js PROFILE SUBJECT
//
// A client has one connection; hundreds of calls may be under way on it at once. It connects when there is something to
// ask, and a daemon that restarts is waited for: what was under way is asked again, which is harmless.
'use strict';
const net = require('node:net');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const protobuf = require('protobufjs');

const schema = protobuf.loadSync(path.join(__dirname, '../../../proto/signet.proto'));
const Request = schema.lookupType('signet.v1.Request');
const Reply = schema.lookupType('signet.v1.Reply');
// Of gRPC's codes, those that a client finds by itself.
const INVALID_ARGUMENT = 3, DEADLINE_EXCEEDED = 4, UNAVAILABLE = 14;
const RESTART_MS = 2000, FIRST_WAIT_MS = 100; // how long a restart may take; what is waited before the next try, doubled
const AWAY = ['DAEMON_UNREACHABLE', 'STARTING', 'DRAINING'];
const MAX_REQUEST = 64 * 1024, MAX_REPLY = 1024 * 1024; // bytes; the daemon's max_request, unless it is configured

class SignetError extends Error {
  constructor({ code, reason, text, retryAfterMs = 0 }) {
    super(`${reason}: ${text}`);
    Object.assign(this, { code, reason, text, retryAfterMs });
  }
}

class Client {
  constructor(socketPath = process.env.SIGNET_SOCKET || '/run/signet/signet.sock', timeoutMs = 5000) {
    Object.assign(this, { socketPath, timeoutMs, socket: null, lastId: 0, waiting: new Map(), wasThere: false });
  }

  // {token, kid, jti, expiresAt}. `more`: the other fields of SignRequest, such as {ttlS: 600}.
  sign(profile, subject, claims, more) {
    return this.call('sign', { profile, subject, claims: claims && Buffer.from(JSON.stringify(claims)), ...more });
  }

  // {payload, profile, kid, expiresAt}. `more`: profile, audience.
  verify(token, more) {
    return this.call('verify', { token: Buffer.from(token), ...more });
  }

  // {keys, version, maxAgeS, changesInS, profiles}: what verifies locally, and for how long. Each key is {jwk, ring}.
  async keys() {
    const pages = [await this.call('getKeys', { page: 0 })], [first] = pages;
    while (pages.length < first.nPages) pages.push(await this.call('getKeys', { page: pages.length }));
    // The set changed between two pages: the next ones are of the new one.
    if (pages.some((p) => p.version !== first.version)) return this.keys();
    const keys = pages.flatMap((p) => JSON.parse(p.jwks).keys.map((jwk, i) => ({ jwk, ring: p.rings[i] })));
    return { ...first, keys };
  }

  // When nothing is under way.
  close() {
    this.socket?.destroy();
  }

  async call(op, body) {
    const until = performance.now() + this.timeoutMs;
    let patience = until, dropped = 0;
    for (let wait = FIRST_WAIT_MS; ; wait *= 2) {
      const { error, ...reply } = await this.ask(op, body, until);
      if (!error && reply[op]) return reply[op];
      if (!error) throw this.failure(UNAVAILABLE, 'PROTOCOL_BROKEN', 'the answer is to something else');
      patience = Math.min(patience, performance.now() + RESTART_MS); // from the first failure on
      // One that was never there is not restarting; one that hangs up on the same question twice does not like it.
      const again = AWAY.includes(error.reason) && (error.hungUp ? ++dropped < 2 : this.wasThere);
      if (!again || performance.now() + wait > patience) throw new SignetError(error);
      if (!error.hungUp) await sleep(wait * (0.5 + Math.random() / 2));
    }
  }

  async ask(op, body, until) {
    const requestId = ++this.lastId, deadlineMs = Math.max(until - performance.now(), 1), header = Buffer.alloc(4);
    const message = Request.encode(Request.fromObject({ requestId, deadlineMs, [op]: body })).finish();
    // The daemon would say so too, and close: all others under way would be lost.
    const { length } = message;
    if (length > MAX_REQUEST) throw this.failure(INVALID_ARGUMENT, 'REQUEST_TOO_LARGE', `a request of ${length} bytes`);
    header.writeUInt32BE(length);
    this.socket ??= this.connect();
    this.socket.write(Buffer.concat([header, message]));
    return new Promise((resolve) => {
      const late = () => answer({ error: this.failure(DEADLINE_EXCEEDED, 'DEADLINE_EXCEEDED', 'no answer in time') });
      const timer = setTimeout(late, deadlineMs);
      const answer = (reply) => {
        clearTimeout(timer);
        this.waiting.delete(requestId); // should another come, it is nobody's
        resolve(reply);
      };
      this.waiting.set(requestId, answer);
    });
  }

  connect() {
    const socket = net.createConnection(this.socketPath);
    let unread = Buffer.alloc(0), error = this.failure(UNAVAILABLE, 'DAEMON_UNREACHABLE', 'it closed the connection');
    let hungUp = false;
    socket.on('connect', () => { hungUp = this.wasThere = true; });
    socket.on('data', (bytes) => {
      try {
        unread = this.takeReplies(Buffer.concat([unread, bytes]));
      } catch (e) {
        socket.destroy(e instanceof SignetError ? e : this.failure(UNAVAILABLE, 'PROTOCOL_BROKEN', e.message));
      }
    });
    socket.on('error', (e) => {
      error = e instanceof SignetError ? e : this.failure(UNAVAILABLE, 'DAEMON_UNREACHABLE', e.message);
    });
    socket.on('close', () => {
      this.socket = null;
      this.waiting.forEach((answer) => answer({ error: Object.assign(error, { hungUp }) }));
    });
    return socket;
  }

  // Returns what is left: part of a frame.
  takeReplies(unread) {
    while (unread.length >= 4) {
      const end = 4 + unread.readUInt32BE();
      if (end === 4 || end > 4 + MAX_REPLY) throw new Error('what answers there is no signetd');
      if (unread.length < end) break;
      const reply = Reply.toObject(Reply.decode(unread.subarray(4, end)), { longs: Number, defaults: true });
      // An error with no id is about a frame that could not be read, or about the connection.
      if (reply.requestId === 0 && reply.error) throw new SignetError(reply.error);
      this.waiting.get(reply.requestId)?.(reply);
      unread = unread.subarray(end);
    }
    return unread;
  }

  failure(code, reason, text) {
    return new SignetError({ code, reason, text: `signetd at '${this.socketPath}': ${text}` });
  }
}

module.exports = { Client, SignetError };

async function main([profile, subject, ...more]) {
  if (subject === undefined || more.length) throw new Error('usage: signet_client.js PROFILE SUBJECT');
  const client = new Client();
  try {
    const { token } = await client.sign(profile, subject);
    console.log(`${token}\n${(await client.verify(token)).payload}`);
  } finally {
    client.close();
  }
}

if (require.main === module) {
  main(process.argv.slice(2)).catch((e) => {
    console.error(e instanceof SignetError ? `signet_client: ${e.message}` : e.message);
    process.exitCode = 1;
  });
}
