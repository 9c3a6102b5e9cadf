/**
 * Who calls. A person is known by the account the client runs as and may use everything that account owns; an
 * agent is known by that account and its own name, which is the same in every session, and owns what it makes.
 */

export interface Caller {
  readonly uid: number;
  /** Null: the person. */
  readonly agent: string | null;
}

/** `1000` for a person, `1000/name` for an agent of theirs; what `owner` columns hold. */
export function callerKey({ uid, agent }: Caller): string {
  return agent === null ? String(uid) : `${String(uid)}/${agent}`;
}

export function callerOf(key: string): Caller {
  const slash = key.indexOf('/');
  return slash < 0
    ? { uid: Number(key), agent: null }
    : { uid: Number(key.slice(0, slash)), agent: key.slice(slash + 1) };
}

/** Whether `caller` may use what `owner` holds as its own. Nobody's things must be adopted by agents first. */
export function mayUse(caller: Caller, owner: string | null): boolean {
  if (caller.agent !== null) return owner === callerKey(caller);
  return owner === null || caller.uid === 0 || callerOf(owner).uid === caller.uid;
}
