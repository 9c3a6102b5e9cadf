import { beforeEach, describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import {
  dispatcher,
  type CallObserver,
  type Dispatch,
} from '../../../helper-daemon/server/dispatch.ts';
import type { CallContext, Handlers } from '../../../helper-daemon/server/handlerTypes.ts';
import { keyedCalls } from '../../../helper-daemon/server/idempotency.ts';
import { rateLimits } from '../../../helper-daemon/server/rateLimits.ts';
import { idempotencyStore } from '../../../helper-daemon/store/idempotencyStore.ts';
import { transaction } from '../../../helper-daemon/store/database.ts';
import { treeStore } from '../../../helper-daemon/store/treeStore.ts';
import { workspaceStore } from '../../../helper-daemon/store/workspaceStore.ts';
import { defaultConfig } from '../../../helper-daemon/system/config.ts';
import type { Caller } from '../../../helper-daemon/workspaces/callers.ts';
import { callerActivity } from '../../../helper-daemon/workspaces/ownership.ts';
import { quotas } from '../../../helper-daemon/workspaces/quotas.ts';
import type { WorkspaceServices } from '../../../helper-daemon/workspaces/services.ts';
import { temporaryDatabase, workspaceRow } from '../store/temporaryDatabase.ts';

const database = temporaryDatabase();
const idStart = '00000000-0000-4000-8000-00000000000';
const alice: Caller = { uid: 1000, agent: 'alice' };
const bob: Caller = { uid: 1000, agent: 'bob' };

let seen: string[];
let handled: string[];
let failWith: CoppiceError | undefined;
let services: WorkspaceServices;
let dispatch: Dispatch;

beforeEach(() => {
  seen = [];
  handled = [];
  failWith = undefined;
  const store = workspaceStore(database.db);
  services = {
    store,
    tree: treeStore(database.db),
    transaction: (work: () => unknown) => transaction(database.db, work),
    callers: callerActivity(),
    quotas: quotas(store, defaultConfig),
    network: { kind: 'user' },
    publish: () => undefined,
  } as unknown as WorkspaceServices;
  const handlers = new Proxy({} as Handlers, {
    get: (_target, name) => (input: unknown) => {
      handled.push(`${String(name)} ${JSON.stringify(input)}`);
      return failWith === undefined ? Promise.resolve({ done: true }) : Promise.reject(failWith);
    },
  });
  const observer: CallObserver = {
    begin(call) {
      seen.push(`begin ${call.operation.name}`);
      return (outcome) => seen.push(`end ${outcome}`);
    },
    denied: (call, code) => seen.push(`denied ${call.operation.name} ${code}`),
  };
  dispatch = dispatcher({
    handlers,
    workspaces: services,
    rates: rateLimits(defaultConfig.rateLimit),
    keyed: keyedCalls(idempotencyStore(database.db), () => new Date()),
    observers: [observer],
  });
  store.insert(
    workspaceRow(`${idStart}1`, { name: 'hers', address: '10.42.0.1', owner: '1000/alice' }),
  );
  store.insert(
    workspaceRow(`${idStart}2`, { name: 'his', address: '10.42.0.2', owner: '1000/bob' }),
  );
});

const as = (caller: Caller): CallContext =>
  ({ caller, session: { clientName: 'test' } }) as unknown as CallContext;

describe('dispatch', () => {
  it('tells observers before and after a call', async () => {
    await dispatch('exec', { workspace_id: 'hers', command: 'true' }, as(alice));
    failWith = new CoppiceError({ code: 'timeout', message: 'too long' });
    await expect(
      dispatch('exec', { workspace_id: 'hers', command: 'true' }, as(alice)),
    ).rejects.toBe(failWith);
    expect(seen).toEqual(['begin exec', 'end ok', 'begin exec', 'end timeout']);
  });

  it('refuses what belongs to another before anything acts', async () => {
    await expect(
      dispatch('exec', { workspace_id: 'his', command: 'true' }, as(alice)),
    ).rejects.toMatchObject({ code: 'not_owned' });
    expect(handled).toEqual([]);
    expect(seen).toEqual(['denied exec not_owned']);
  });

  it('takes over what may be taken where an operation says so, and only then', async () => {
    await dispatch('workspace_destroy', { workspace_id: 'his' }, as(alice));
    expect(handled).toHaveLength(1);
    services.callers.heard(alice);
    await expect(
      dispatch('workspace_destroy', { workspace_id: 'hers' }, as(bob)),
    ).rejects.toMatchObject({ code: 'not_owned' });
  });

  it('charges changes to a bucket, and reading to none', async () => {
    for (let call = 0; call < 300; call += 1) await dispatch('workspace_list', {}, as(alice));
    for (let call = 0; call < 3; call += 1) await dispatch('workspace_create', {}, as(alice));
    await expect(dispatch('workspace_create', {}, as(alice))).rejects.toMatchObject({
      code: 'rate_limited',
    });
    expect(seen.at(-1)).toBe('denied workspace_create rate_limited');
  });

  it('acts once under a key, and ignores keys where nothing changes', async () => {
    const input = { workspace_id: 'hers', command: 'true' };
    await dispatch('exec', input, as(alice), 'k');
    await dispatch('exec', input, as(alice), 'k');
    await dispatch('workspace_list', {}, as(alice), 'k');
    expect(handled).toHaveLength(2);
    await expect(
      dispatch('process_open', { workspace_id: 'hers', command: 'sh' }, as(alice), 'k2'),
    ).rejects.toMatchObject({ code: 'invalid_input' });
  });
});
