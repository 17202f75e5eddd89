// start login|shop: a server of contrib/weblogin in the time of the tests, $SIGNET_TEST_TIME, as the daemon has it. It says
// with which cost each password is hashed.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const file = fs.openSync(process.env.SIGNET_TEST_TIME), moved = Buffer.alloc(16); // struct clock_test_time
function now() {
  fs.readSync(file, moved, 0, 16, 0);
  return Date.now() + Number(moved.readBigInt64LE(0) + moved.readBigInt64LE(8));
}

const { scrypt } = crypto;
crypto.scrypt = (password, salt, length, cost, done) => {
  console.log(`hashed ${cost.N} ${cost.r} ${cost.p} ${salt.length} ${length}`);
  scrypt(password, salt, length, cost, done);
};

require(path.join(__dirname, '../../../contrib/weblogin', process.argv[2])).main(now);
