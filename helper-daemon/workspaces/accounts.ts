/**
 * Host accounts of machines. In system mode every workspace's QEMU runs as a uid of its own that owns
 * nothing but that workspace's disk and sockets; in user mode it runs as the user.
 */
import { CoppiceError } from '../../protocol/errors.ts';
import type { Account } from '../system/users.ts';

/** Above every range that useradd, subuid and systemd hand out by default, below 2^31. */
const firstUid = 1_900_000_000;
const accountCount = 65_536;

/** @throws CoppiceError `limit_exceeded` when every account is taken */
export function freeAccount(taken: ReadonlySet<number>): Account {
  for (let uid = firstUid; uid < firstUid + accountCount; uid += 1) {
    if (!taken.has(uid)) return { uid, gid: uid };
  }
  throw new CoppiceError({
    code: 'limit_exceeded',
    message: `All ${String(accountCount)} machine accounts of this host are in use.`,
    next: 'Destroy workspaces that are no longer needed.',
  });
}

export function accountOf(uid: number | null): Account | undefined {
  return uid === null ? undefined : { uid, gid: uid };
}
