/** Composition root of coppiced: opens what there is, recovers, listens; and lets go of it again. */
import { mkdir, rm } from 'node:fs/promises';
import type { CoppiceEvent } from '../protocol/events.ts';
import { qemuEngine } from './engine/qemu/engine.ts';
import { loadBootAssets } from './images/bootAssets.ts';
import { imageCatalogue } from './images/catalogue.ts';
import { imageSources } from './images/sources.ts';
import { eventLog } from './server/eventLog.ts';
import { daemonHandlers } from './server/handlers/daemonHandlers.ts';
import { fileHandlers } from './server/handlers/fileHandlers.ts';
import { imageHandlers } from './server/handlers/imageHandlers.ts';
import { processHandlers } from './server/handlers/processHandlers.ts';
import { transferHandlers } from './server/handlers/transferHandlers.ts';
import { workspaceHandlers } from './server/handlers/workspaceHandlers.ts';
import type { Handlers } from './server/handlerTypes.ts';
import { listenOn, type Listener } from './server/listener.ts';
import { tickets } from './server/tickets.ts';
import { qcow2Storage } from './storage/qcow2.ts';
import { openDatabase, transaction } from './store/database.ts';
import { imageStore } from './store/imageStore.ts';
import { journal } from './store/journal.ts';
import { workspaceStore } from './store/workspaceStore.ts';
import { lockState } from './system/lock.ts';
import type { Log } from './system/log.ts';
import type { HostPaths } from './system/paths.ts';
import { keyedLock } from './workspaces/keyedLock.ts';
import { liveMachines } from './workspaces/liveMachines.ts';
import { recover } from './workspaces/recover.ts';
import type { WorkspaceServices } from './workspaces/services.ts';

export interface DaemonOptions {
  readonly paths: HostPaths;
  readonly log: Log;
  readonly version: string;
  /** A listening socket handed over by systemd instead of the path. */
  readonly inheritedSocket?: number;
  /** Called when a client has asked the daemon to end. */
  readonly onStopRequested: () => void;
}

export interface Daemon {
  /** True when nobody is connected and no machine runs. */
  readonly isIdle: () => boolean;
  /** Machines stay up; another daemon will take them over. */
  close(): Promise<void>;
}

/** @throws CoppiceError `daemon_conflict` when another daemon uses the state directory */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { paths, log } = options;
  const startedAt = new Date();
  await mkdir(paths.workspaces, { recursive: true, mode: 0o700 });
  await mkdir(paths.runtime, { recursive: true, mode: 0o700 });
  const lock = lockState(paths.lock);
  const db = openDatabase(paths.database);

  const events = eventLog();
  const publish = (event: CoppiceEvent): void => events.publish(event);
  const now = (): Date => new Date();
  const inTransaction = <T>(work: () => T): T => transaction(db, work);
  const store = workspaceStore(db);
  const mutations = journal(db, now);
  const engine = qemuEngine({ paths, log });
  let accelerator: 'kvm' | 'tcg' | undefined;

  const images = imageCatalogue({
    directory: paths.images,
    store: imageStore(db),
    workspaces: store,
    journal: mutations,
    transaction: inTransaction,
    sources: imageSources(),
    now,
    changed: (change) =>
      publish(
        'image' in change
          ? { type: 'image_changed', image: change.image }
          : { type: 'image_removed', name: change.removed },
      ),
  });
  const services: WorkspaceServices = {
    paths,
    store,
    journal: mutations,
    transaction: inTransaction,
    storage: qcow2Storage(),
    images,
    bootAssets: loadBootAssets,
    engine: {
      ...engine,
      accelerator: async () => (accelerator = await engine.accelerator()),
    },
    machines: liveMachines(),
    locks: keyedLock(),
    publish,
    log,
    now,
    bootTimeoutMs: bootTimeoutMs(),
  };
  await recover(services);
  await images.tidy();

  let listener: Listener | undefined;
  const handlers: Handlers = {
    ...workspaceHandlers(services),
    ...processHandlers(services),
    ...fileHandlers(services),
    ...transferHandlers(services),
    ...imageHandlers(images),
    ...daemonHandlers(services, {
      version: options.version,
      startedAt,
      connections: () => listener?.connections() ?? 0,
      accelerator: () => accelerator,
      stop: () => setImmediate(options.onStopRequested),
    }),
  };
  const streamTickets = tickets();
  listener = await listenOn(
    options.inheritedSocket === undefined ? { path: paths.socket } : { fd: options.inheritedSocket },
    { handlers, events, tickets: streamTickets, log, mode: paths.mode, version: options.version },
  );
  const listening = listener;
  log.info({ pid: process.pid, version: options.version, socket: paths.socket }, 'listening');

  return {
    isIdle: () => listening.connections() === 0 && services.machines.all().length === 0,
    async close() {
      await listening.close();
      streamTickets.revokeAll();
      for (const { link, machine } of services.machines.all()) {
        link.close();
        machine.detach();
      }
      if (options.inheritedSocket === undefined) await rm(paths.socket, { force: true });
      db.close();
      lock.release();
    },
  };
}

function bootTimeoutMs(): number {
  const seconds = Number(process.env['COPPICE_BOOT_TIMEOUT_SECS'] ?? '120');
  return (Number.isFinite(seconds) && seconds > 0 ? seconds : 120) * 1000;
}
