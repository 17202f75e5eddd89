// remote: a token, the URL of a key set, issuer and audience as arguments; verifies it by node's jose, which fetches the set.
import * as jose from 'jose';

const [token, url, issuer, audience] = process.argv.slice(2);
const keys = jose.createRemoteJWKSet(new URL(url));
console.log(JSON.stringify((await jose.jwtVerify(token, keys, { issuer, audience })).payload));
