// address: whom an IP address stands for.
'use strict';
const net = require('node:net');

// An IPv4 address, or the 64 bits of an IPv6 address that one subscriber has: the other 64 are theirs to choose.
function addressRange(address) {
  const ip = address.replace(/^::ffff:(?=\d+\.)/, '');
  if (!net.isIPv6(ip)) return ip;
  const [head, tail] = ip.split('::').map((half) => half.split(':').filter(Boolean));
  const middle = tail ? Array(8 - head.length - tail.length).fill('0') : [];
  return [...head, ...middle, ...(tail ?? [])].slice(0, 4).map((g) => parseInt(g, 16).toString(16)).join(':');
}

module.exports = { addressRange };
