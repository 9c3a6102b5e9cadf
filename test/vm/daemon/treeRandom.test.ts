import { execFile } from 'node:child_process';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { expectSound, rows } from '../support/storedState.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import {
  deleted,
  drawn,
  renamed,
  restored,
  snapshotTaken,
  written,
  type TreeModel,
} from '../support/treeModel.ts';
import { drawTree, sh } from '../support/workspaceSteps.ts';

const run = promisify(execFile);
const names = ['w', 'v'] as const;
type Name = (typeof names)[number];
/** More snapshots only make the test slow. */
const mostSnapshots = 12;

let daemon: TestDaemon;
let client: CoppiceClient;
let fresh = 0;
const freshName = (): string => `s${String((fresh += 1))}`;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = await daemon.connect();
  for (const name of names) {
    await client.call('workspace_create', { name, memory_mb: 256, vcpus: 1 });
  }
});
afterAll(async () => {
  await daemon.dispose();
});

/** Within three clusters, on and off their borders; the disk is never mounted again. */
const places = [0, 4096, 126_976, 131_072, 200_704, 262_144].map((at) => 5 * 1024 ** 3 + at);
const placeBytes = 4096;

async function io(
  file: string,
  options: readonly string[],
  commands: readonly string[],
): Promise<string> {
  const args = [...options, '-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), file];
  for (let attempt = 1; ; attempt += 1) {
    try {
      return (await run('qemu-io', args)).stdout;
    } catch (error) {
      // The daemon may be folding something into it.
      if (attempt === 40 || !String(error).includes('lock')) throw error;
      await delay(25);
    }
  }
}

function fileOf(sql: string, ...values: string[]): string {
  return path.join(daemon.paths.state, String(rows(daemon.paths, sql, ...values)[0]?.['file']));
}
const headOf = (name: Name): string =>
  fileOf('SELECT head AS file FROM workspace WHERE name = ?', name);
const layerOf = (name: Name, snapshot: string): string =>
  fileOf(
    `SELECT locator AS file FROM layer, snapshot, workspace WHERE layer.id = snapshot.layer_id
     AND workspace.id = snapshot.workspace_id AND workspace.name = ? AND snapshot.name = ?`,
    name,
    snapshot,
  );

async function holds(file: string, content: readonly number[]): Promise<boolean> {
  const reads = content.map(
    (value, index) => `read -P ${String(value)} ${String(places[index])} ${String(placeBytes)}`,
  );
  const output = await io(file, ['-r', '-U'], reads).catch(
    (error: unknown) => (error as { stdout?: string }).stdout ?? '',
  );
  return (
    !output.includes('verification failed') &&
    output.split('read 4096/4096').length === content.length + 1
  );
}

type Change = { readonly act: () => Promise<unknown>; readonly outcomes: readonly TreeModel[] };
type Kind = 'write' | 'snapshot' | 'restore' | 'keep' | 'delete' | 'rename';
interface Step {
  readonly on: Name;
  readonly kind: Kind;
  readonly pick: number;
  readonly value: number;
  /** Milliseconds after which the daemon is killed. */
  readonly kill: number | undefined;
  /** Tidy up at the same time. */
  readonly tidy: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  on: fc.constantFrom(...names),
  kind: fc.constantFrom<Kind>(
    'write',
    'write',
    'snapshot',
    'snapshot',
    'restore',
    'keep',
    'delete',
    'rename',
  ),
  pick: fc.nat(1000),
  value: fc.integer({ min: 1, max: 255 }),
  kill: fc.oneof(
    { weight: 24, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.double({ min: 0, max: 12, noNaN: true }) },
  ),
  tidy: fc.nat(19).map((n) => n === 0),
});

/** What a step does to the tree; outcomes are what a crash may leave of it, the whole one last. */
function changeFor(tree: TreeModel, { on, kind, pick, value }: Step): Change {
  const workspace_id = on;
  const chosen = tree.nodes[pick % Math.max(1, tree.nodes.length)]?.name;
  if (kind === 'write' || (chosen === undefined && kind !== 'snapshot')) {
    const place = pick % places.length;
    return {
      act: () =>
        io(
          headOf(on),
          [],
          [`write -P ${String(value)} ${String(places[place])} ${String(placeBytes)}`],
        ),
      outcomes: [written(tree, place, value)],
    };
  }
  const name = freshName();
  const target = chosen ?? '';
  if (kind === 'delete' || tree.nodes.length >= mostSnapshots) {
    return {
      act: () => client.call('snapshot_delete', { workspace_id, name: target }),
      outcomes: [tree, deleted(tree, target)],
    };
  }
  if (kind === 'snapshot') {
    return {
      act: () => client.call('snapshot_create', { workspace_id, name }),
      outcomes: [tree, snapshotTaken(tree, name)],
    };
  }
  if (kind === 'rename') {
    return {
      act: () => client.call('snapshot_rename', { workspace_id, name: target, new_name: name }),
      outcomes: [tree, renamed(tree, target, name)],
    };
  }
  const saved = kind === 'keep' ? snapshotTaken(tree, name) : tree;
  return {
    act: () =>
      client.call('snapshot_restore', {
        workspace_id,
        name: target,
        leave_stopped: true,
        ...(kind === 'keep' ? { save_as: name } : {}),
      }),
    outcomes: [tree, saved, restored(saved, target)],
  };
}

async function restartedAfter(act: () => Promise<unknown>, milliseconds: number): Promise<boolean> {
  let answered = false;
  const acting = act().then(
    () => (answered = true),
    () => undefined,
  );
  await delay(milliseconds);
  const told = answered;
  await daemon.kill();
  await acting;
  await daemon.start();
  client = await daemon.connect();
  return told;
}

/** Does the step, and says which of the outcomes it was. */
async function take(tree: TreeModel, wanted: Step): Promise<TreeModel> {
  const { act, outcomes } = changeFor(tree, wanted);
  const whole = outcomes.at(-1) ?? tree;
  const tidying = wanted.tidy ? client.call('storage_gc', {}).catch(() => undefined) : undefined;
  if (wanted.kill === undefined || outcomes.length === 1) {
    await act();
    await tidying;
    expect(await drawTree(client, wanted.on)).toEqual(drawn(whole));
    return whole;
  }
  const told = await restartedAfter(act, wanted.kill);
  await tidying;
  const now = await drawTree(client, wanted.on);
  const head = headOf(wanted.on);
  for (const outcome of told ? [whole] : outcomes) {
    if (String(drawn(outcome)) === String(now) && (await holds(head, outcome.content))) {
      return outcome;
    }
  }
  throw new Error(
    `${now.join(' ')} is none of ${outcomes.map((tree) => drawn(tree).join(' ')).join(' | ')}`,
  );
}

async function expectContents(name: Name, tree: TreeModel): Promise<void> {
  expect({ head: await holds(headOf(name), tree.content) }).toEqual({ head: true });
  for (const node of tree.nodes) {
    expect({ [node.name]: await holds(layerOf(name, node.name), node.content) }).toEqual({
      [node.name]: true,
    });
  }
}

const liveStep = fc.record({
  kind: fc.constantFrom(
    ...(['write', 'snapshot', 'memory', 'restore', 'boot', 'delete'] as const),
    ...(['pause', 'suspend', 'stop', 'fork', 'crash', 'tidy'] as const),
  ),
  pick: fc.nat(1000),
  value: fc.nat(1000),
});

async function takeLive(
  tree: TreeModel,
  { kind, pick, value }: typeof liveStep extends fc.Arbitrary<infer S> ? S : never,
): Promise<TreeModel> {
  const workspace_id = 'r';
  const name = tree.nodes[pick % Math.max(1, tree.nodes.length)]?.name;
  switch (kind) {
    case 'write':
      await sh(client, 'r', `echo ${String(value)} > /workspace/mark; sync`);
      return written(tree, 0, value);
    case 'snapshot':
    case 'memory': {
      const taken = freshName();
      const include_memory = kind === 'memory';
      await client.call('snapshot_create', { workspace_id, name: taken, include_memory });
      return snapshotTaken(tree, taken);
    }
    case 'restore':
    case 'boot':
      if (name === undefined) return tree;
      await client.call('snapshot_restore', { workspace_id, name, boot: kind === 'boot' });
      return restored(tree, name);
    case 'delete':
      if (name === undefined) return tree;
      await client.call('snapshot_delete', { workspace_id, name });
      return deleted(tree, name);
    case 'fork': {
      const content = tree.nodes.find((node) => node.name === name)?.content ?? tree.content;
      const from = name === undefined ? {} : { snapshot_name: name };
      await client.call('workspace_fork', { workspace_id, new_name: 'f', ...from });
      expect(await sh(client, 'f', 'cat /workspace/mark')).toBe(String(content[0]));
      await client.call('workspace_destroy', { workspace_id: 'f' });
      return tree;
    }
    case 'crash':
      await daemon.kill();
      await daemon.start();
      client = await daemon.connect();
      return tree;
    case 'tidy':
      await client.call('storage_gc', {});
      return tree;
    default:
      await client.call(`workspace_${kind}`, { workspace_id });
      return tree;
  }
}

describe('any sequence of changes', () => {
  it('of stopped machines, with crashes in between, leaves the tree and every byte as the model has it', async () => {
    const empty: TreeModel = { nodes: [], current: undefined, content: places.map(() => 0) };
    await Promise.all(names.map((name) => client.call('workspace_stop', { workspace_id: name })));
    const trees = new Map<Name, TreeModel>(names.map((name) => [name, empty]));
    const steps = fc.array(step, { minLength: 100, maxLength: 100, size: 'max' });
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        for (const next of sequence) {
          trees.set(next.on, await take(trees.get(next.on) ?? empty, next));
        }
        for (const [name, tree] of trees) await expectContents(name, tree);
        await expectSound(daemon, client);
      }),
      // Each sequence goes on where the one before ended: there is nothing to shrink.
      { numRuns: 10, endOnFailure: true },
    );
    await client.call('storage_gc', {});
    for (const [name, tree] of trees) await expectContents(name, tree);
    await expectSound(daemon, client);
  }, 300_000);

  it('of a machine that runs, is frozen, copied and woken, leaves the tree and its files as the model has them', async () => {
    for (const name of names) await client.call('workspace_destroy', { workspace_id: name });
    await client.call('workspace_create', { name: 'r', memory_mb: 256, vcpus: 1 });
    await sh(client, 'r', 'echo 0 > /workspace/mark; sync');
    let tree: TreeModel = { nodes: [], current: undefined, content: [0] };
    const steps = fc.array(liveStep, { minLength: 24, maxLength: 24, size: 'max' });
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        for (const next of sequence) {
          tree = await takeLive(tree, next);
          expect(await drawTree(client, 'r')).toEqual(drawn(tree));
          const { state } = await client.call('workspace_info', { workspace_id: 'r' });
          if (state === 'paused') await client.call('workspace_resume', { workspace_id: 'r' });
          if (state === 'stopped') await client.call('workspace_start', { workspace_id: 'r' });
          expect(await sh(client, 'r', 'cat /workspace/mark')).toBe(String(tree.content[0]));
        }
        await expectSound(daemon, client);
      }),
      { numRuns: 1, endOnFailure: true },
    );
  }, 300_000);
});
