/**
 * New ed25519 keys in OpenSSH's own format, which every OpenSSH reads (PKCS #8 only newer ones). Not by ssh2: of the
 * files that its version 1.17 writes one in 250 cannot be read.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';

const kind = 'ssh-ed25519';
const blockBytes = 8;

/** The text of a private key file that is not encrypted. */
export function newPrivateKey(comment: string): string {
  const { d, x } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  if (d === undefined || x === undefined) throw new Error('the key has no numbers');
  const open = Buffer.from(x, 'base64url');
  const secret = Buffer.from(d, 'base64url');
  const check = randomBytes(4);
  const inner = Buffer.concat([
    check,
    check,
    field(kind),
    field(open),
    field(Buffer.concat([secret, open])),
    field(comment),
  ]);
  const missing = (blockBytes - (inner.length % blockBytes)) % blockBytes;
  const padding = Uint8Array.from({ length: missing }, (_, index) => index + 1);
  const one = Buffer.from([0, 0, 0, 1]);
  const whole = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    field('none'),
    field('none'),
    field(''),
    one,
    field(Buffer.concat([field(kind), field(open)])),
    field(Buffer.concat([inner, padding])),
  ]);
  const lines = whole.toString('base64').match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

/** Length, then bytes. */
function field(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
