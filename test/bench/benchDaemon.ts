/** A daemon of the bench's own, from the bundle users run, with a state directory that goes away again. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { randomBytes, randomUUID } from 'node:crypto';
import type { CoppiceClient } from '../../helper-daemon/client/client.ts';
import { connectDaemon } from '../../helper-daemon/client/startDaemon.ts';
import { openDatabase } from '../../helper-daemon/store/database.ts';
import { workspaceStore } from '../../helper-daemon/store/workspaceStore.ts';
import { hostPaths } from '../../helper-daemon/system/paths.ts';
import { version } from '../../helper-daemon/system/version.ts';

export interface BenchHome {
  readonly directory: string;
  connect(): Promise<CoppiceClient>;
  /** Ends the daemon; its state stays. */
  stop(client: CoppiceClient): Promise<void>;
  remove(): void;
}

export function benchHome(): BenchHome {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'cop-bench-'));
  return {
    directory,
    connect() {
      // The daemon inherits this; nothing else in this process looks at it.
      process.env['COPPICE_HOME'] = directory;
      return connectDaemon({ name: 'bench', version });
    },
    async stop(client) {
      const gone = new Promise<void>((resolve) => client.onClose(resolve));
      await client.call('daemon_stop', { stop_machines: true });
      await gone;
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** Puts stopped workspaces into a state directory that no daemon is using. */
export function addStoppedWorkspaces(home: BenchHome, amount: number): void {
  const db = openDatabase(hostPaths('user', { COPPICE_HOME: home.directory }).database);
  const store = workspaceStore(db);
  for (let index = 0; index < amount; index += 1) {
    const id = randomUUID();
    store.insert({
      id,
      name: `known-${id}`,
      state: 'stopped',
      imageName: 'debian-dev',
      imageDigest: 'sha256:0',
      vcpus: 2,
      memoryMb: 512,
      diskGb: 10,
      init: 'agent',
      ephemeral: false,
      hostname: `known-${String(index)}`,
      machineId: randomBytes(16).toString('hex'),
      generation: 1,
      createdAt: new Date().toISOString(),
      uid: null,
      problem: null,
    });
  }
  db.close();
}
