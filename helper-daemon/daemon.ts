/** Composition root of coppiced: opens what there is, recovers, listens; and lets go of it again. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { CoppiceEvent } from '../protocol/events.ts';
import { announcer } from './audit/announcer.ts';
import { openAudit } from './audit/audit.ts';
import { auditObserver } from './audit/observer.ts';
import { createQemuEngine } from './engine/qemu/qemuEngine.ts';
import { merges as openMerges } from './git/merge/merges.ts';
import { openGuestLink } from './guest/guestLink.ts';
import { loadBootAssets } from './images/bootAssets.ts';
import { imageCatalogue } from './images/catalogue.ts';
import { imageSources } from './images/sources.ts';
import { stageBootAssets } from './images/stageBootAssets.ts';
import { meteredLock } from './metrics/meteredLock.ts';
import { openMetrics } from './metrics/metrics.ts';
import { metricsObserver } from './metrics/observer.ts';
import { dispatcher } from './server/dispatch.ts';
import { eventLog } from './server/eventLog.ts';
import { archiveHandlers } from './server/handlers/archiveHandlers.ts';
import { auditHandlers } from './server/handlers/auditHandlers.ts';
import { daemonHandlers } from './server/handlers/daemonHandlers.ts';
import { execParallelHandlers } from './server/handlers/execParallelHandlers.ts';
import { fileHandlers } from './server/handlers/fileHandlers.ts';
import { hostTransferHandlers } from './server/handlers/hostTransferHandlers.ts';
import { gitHandlers, rollbackSnapshots } from './server/handlers/gitHandlers.ts';
import { imageHandlers } from './server/handlers/imageHandlers.ts';
import { metricsHandlers } from './server/handlers/metricsHandlers.ts';
import { networkHandlers } from './server/handlers/networkHandlers.ts';
import {
  orchestrationHandlers,
  swarmMerge,
  swarmVault,
} from './server/handlers/orchestrationHandlers.ts';
import { poolHandlers } from './server/handlers/poolHandlers.ts';
import { processHandlers } from './server/handlers/processHandlers.ts';
import { sessionHandlers } from './server/handlers/sessionHandlers.ts';
import { snapshotHandlers } from './server/handlers/snapshotHandlers.ts';
import { storageHandlers } from './server/handlers/storageHandlers.ts';
import { teamHandlers, teamVault } from './server/handlers/teamHandlers.ts';
import { transferHandlers } from './server/handlers/transferHandlers.ts';
import { vaultHandlers } from './server/handlers/vaultHandlers.ts';
import { workspaceHandlers } from './server/handlers/workspaceHandlers.ts';
import type { Handlers } from './server/handlerTypes.ts';
import { keyedCalls } from './server/idempotency.ts';
import { listenOn, type Endpoint, type Listener } from './server/listener.ts';
import { rateLimits } from './server/rateLimits.ts';
import { tickets } from './server/tickets.ts';
import { openOrchestration } from './orchestration/orchestration.ts';
import { openStorages } from './storage/select.ts';
import { lightly, openDatabase, transaction } from './store/database.ts';
import { openNetwork } from './network/open.ts';
import { auditStore } from './store/auditStore.ts';
import { idempotencyStore } from './store/idempotencyStore.ts';
import { imageStore } from './store/imageStore.ts';
import { journal } from './store/journal.ts';
import { preparedStore, swarmStore } from './store/orchestrationStore.ts';
import { portForwardStore } from './store/portForwardStore.ts';
import { runStore } from './store/runStore.ts';
import { teamMailStore } from './store/teamMailStore.ts';
import { teamStore } from './store/teamStore.ts';
import { settingStore, templateStore } from './store/templateStore.ts';
import { treeStore } from './store/treeStore.ts';
import { vaultStore } from './store/vaultStore.ts';
import { workspaceStore } from './store/workspaceStore.ts';
import { defaultConfig, type DaemonConfig } from './system/config.ts';
import { makeDirectory } from './system/directory.ts';
import { lockState } from './system/lock.ts';
import type { Log } from './system/log.ts';
import { directoryMode, userSocket, type HostPaths } from './system/paths.ts';
import { allowedUids } from './system/users.ts';
import { probes as openProbes } from './snapshots/probes.ts';
import { guestJobs } from './teams/guestJobs.ts';
import { memberMachines } from './teams/memberMachines.ts';
import { openTeams } from './teams/teams.ts';
import { vaultDoors } from './vault/onDemand.ts';
import { activity } from './workspaces/activity.ts';
import { callerOf } from './workspaces/callers.ts';
import { carryInto } from './workspaces/carry.ts';
import { forwardListeners } from './workspaces/forwardListeners.ts';
import { keyedLock } from './workspaces/keyedLock.ts';
import { keepImages, layerCare as careForLayers } from './workspaces/layerCare.ts';
import { lifetimes } from './workspaces/lifetime.ts';
import { listening } from './workspaces/listening.ts';
import { liveMachines } from './workspaces/liveMachines.ts';
import { memories } from './workspaces/memories.ts';
import { callerActivity } from './workspaces/ownership.ts';
import { pool as openPool } from './workspaces/pool.ts';
import { openForwards, portWatch } from './workspaces/portWatch.ts';
import { readdress, tellAddresses } from './workspaces/readdress.ts';
import { quotas } from './workspaces/quotas.ts';
import { recover } from './workspaces/recover.ts';
import { resolveWorkspace } from './workspaces/resolve.ts';
import type { WorkspaceServices } from './workspaces/services.ts';
import { templates as openTemplates } from './workspaces/templates.ts';

export interface DaemonOptions {
  readonly paths: HostPaths;
  readonly log: Log;
  readonly version: string;
  /** Default: defaultConfig. */
  readonly config?: DaemonConfig;
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
  const config = options.config ?? defaultConfig;
  const startedAt = new Date();
  for (const directory of [paths.state, paths.workspaces, paths.images, paths.runtime]) {
    await makeDirectory(directory, directoryMode(paths.mode));
  }
  const lock = lockState(paths.lock);
  const db = openDatabase(paths.database);

  const events = eventLog();
  const publish = (event: CoppiceEvent): void => {
    metrics.eventPublished(event);
    events.publish(event);
  };
  const now = (): Date => new Date();
  const auditNews = announcer((last_seq) => publish({ type: 'audit_appended', last_seq }));
  const audit = openAudit(auditStore(db), now, {
    appended: auditNews.appended,
    failed: (error) => log.error({ err: error }, 'the audit could not be written'),
  });
  const locks = meteredLock(keyedLock());
  const metrics = openMetrics(() => ({
    workspaceStates: store.visible().map(({ state }) => state),
    teams: teamRows.all().length,
    pool: pool.status(),
    clients: connections(),
    locks: locks.counts,
  }));
  audit.recover();
  const inTransaction = <T>(work: () => T): T => transaction(db, work);
  const store = workspaceStore(db);
  const teamRows = teamStore(db);
  const mutations = journal(db, now);
  const engine = createQemuEngine({
    accelCache: path.join(paths.state, 'accelerator.json'),
    accelerator: process.env['COPPICE_ACCEL'],
    ...(paths.mode === 'system' ? { cgroupParent: 'coppice' } : {}),
  });
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
  const tree = treeStore(db);
  const services: WorkspaceServices = {
    paths,
    store,
    runs: runStore(db),
    tree,
    templates: templateStore(db),
    settings: settingStore(db),
    journal: mutations,
    transaction: inTransaction,
    lightly: (work) => lightly(db, work),
    storages: await openStorages({ state: paths.state, images: paths.images }),
    images,
    bootAssets: async () => {
      const assets = await loadBootAssets();
      return paths.mode === 'user'
        ? assets
        : await stageBootAssets(assets, path.join(paths.state, 'boot'));
    },
    engine: {
      ...engine,
      accelerator: async () => (accelerator = await engine.accelerator()),
    },
    openGuestLink,
    machines: liveMachines(),
    network: await openNetwork(paths, log),
    forwards: portForwardStore(db),
    forwardListeners: forwardListeners(
      (...connection) => carryInto(services)(...connection),
      (forward, error) => log.info({ ...forward, err: error }, 'forwarded connection failed'),
    ),
    listening: listening(),
    memories: memories({ paths, tree, engine, now }),
    quotas: quotas(store, config),
    callers: callerActivity(),
    memoryOvercommit: config.resources.memoryOvercommit,
    activity: activity(),
    booting: new Map(),
    locks,
    publish,
    log,
    now,
    bootTimeoutMs: bootTimeoutMs(),
  };
  const moved = readdress(services);
  await openForwards(services);
  const interrupted = mutations.open();
  await recover(services);
  await services.network.settle();
  await tellAddresses(services, moved);
  const templates = openTemplates(services);
  const pool = openPool(services, templates);
  const probes = openProbes(services);
  const ports = portWatch(services);
  const layerCare = careForLayers(services);
  const merges = openMerges(services, rollbackSnapshots(services, layerCare));
  void merges.recover(interrupted);
  const limits = lifetimes(services);
  await templates.tidy();
  await images.tidy();
  await keepImages(services).catch((error: unknown) => {
    log.warn({ err: error }, 'copies of removed images could not be removed');
  });
  void pool.fill();
  layerCare.soon();

  const vaults = vaultDoors((uid) =>
    config.vault.enabled
      ? {
          root: config.vault.path ?? vaultRoot(paths, uid),
          create: config.vault.path === null,
          extensions: config.vault.extensions,
          excludeDirs: config.vault.excludeDirs,
          store: (root) => vaultStore(db, root),
          now,
        }
      : undefined,
  );
  const teams = openTeams({
    store: teamRows,
    mail: teamMailStore(db),
    machines: memberMachines(services, { templates, pool }),
    jobs: guestJobs(services),
    vault: config.vault.enabled ? (owner) => teamVault(vaults.of(callerOf(owner).uid).open) : null,
    transaction: inTransaction,
    lightly: services.lightly,
    log,
    now,
    retryMs: 1000,
  });
  events.subscribe(({ event }) => teams.heard(event), undefined);
  await teams.recover();

  const orchestration = openOrchestration(services, {
    prepared: preparedStore(db),
    swarms: swarmStore(db),
    templates,
    pool,
    merge: swarmMerge(merges),
    vault: config.vault.enabled
      ? (owner) => swarmVault(vaults.of(callerOf(owner).uid).open)
      : undefined,
  });
  await orchestration.recover();

  const listeners: Listener[] = [];
  const connections = (): number =>
    listeners.reduce((sum, listener) => sum + listener.connections(), 0);
  const handlers: Handlers = {
    ...workspaceHandlers(services, { templates, pool, layerCare }),
    ...snapshotHandlers(services, { probes, layerCare }),
    ...archiveHandlers(services, layerCare),
    ...networkHandlers(services),
    ...sessionHandlers(services),
    ...poolHandlers(services, { templates, pool }),
    ...storageHandlers(services, layerCare),
    ...gitHandlers(services, merges),
    ...processHandlers(services),
    ...execParallelHandlers(services),
    ...fileHandlers(services),
    ...transferHandlers(services),
    ...hostTransferHandlers(services, config.transferDir),
    ...imageHandlers(images),
    ...vaultHandlers((uid) => vaults.of(uid).open()),
    ...teamHandlers(teams),
    ...orchestrationHandlers(orchestration),
    ...auditHandlers(audit),
    ...metricsHandlers(metrics),
    ...daemonHandlers(services, {
      version: options.version,
      startedAt,
      connections,
      accelerator: () => accelerator,
      // The reply goes first.
      stop: () => setTimeout(options.onStopRequested, 50),
    }),
  };
  const streamTickets = tickets();
  const dispatch = dispatcher({
    handlers,
    workspaces: services,
    rates: rateLimits(config.rateLimit),
    keyed: keyedCalls(idempotencyStore(db), now),
    observers: [
      auditObserver(audit, (reference) => resolveWorkspace(store, reference)),
      metricsObserver(metrics),
    ],
  });
  const endpoints = await listenEndpoints(paths, options.inheritedSocket);
  for (const endpoint of endpoints) {
    listeners.push(
      await listenOn(endpoint, {
        dispatch,
        events,
        tickets: streamTickets,
        log,
        mode: paths.mode,
        version: options.version,
        peerUid: 'path' in endpoint ? endpoint.uid : undefined,
      }),
    );
  }
  const { metricsPort } = config;
  const metricsEndpoint =
    metricsPort === null
      ? undefined
      : await (await import('./metrics/endpoint.ts')).serveMetrics(metrics, metricsPort);
  log.info({ pid: process.pid, version: options.version, socket: paths.socket }, 'listening');

  return {
    isIdle: () =>
      connections() === 0 &&
      services.machines.all().length === 0 &&
      orchestration.isIdle() &&
      // Somebody has to be there when their time is over.
      services.store.withLifetime().every(({ expiresAt }) => expiresAt === null),
    async close() {
      await Promise.all([
        ...listeners.map((listener) => listener.close()),
        metricsEndpoint?.close(),
      ]);
      audit.close();
      auditNews.close();
      streamTickets.revokeAll();
      limits.close();
      ports.close();
      await teams.close();
      await vaults.close();
      await orchestration.close();
      await Promise.all([templates.close(), pool.close(), probes.close(), layerCare.close()]);
      for (const { link, machine } of services.machines.all()) {
        link.close();
        machine.detach();
      }
      for (const endpoint of endpoints) {
        if ('path' in endpoint) await rm(endpoint.path, { force: true });
      }
      await services.network.close();
      services.memories.close();
      db.close();
      lock.release();
    },
  };
}

/** In system mode every account has notes of its own. */
function vaultRoot({ mode, state }: HostPaths, uid: number): string {
  return mode === 'user' || uid === 0
    ? path.join(state, 'vault')
    : path.join(state, 'vaults', String(uid));
}

/** The daemon's own socket, and in system mode one for each user who may use it. */
async function listenEndpoints(
  paths: HostPaths,
  inheritedSocket: number | undefined,
): Promise<Endpoint[]> {
  const own = inheritedSocket === undefined ? { path: paths.socket } : { fd: inheritedSocket };
  if (paths.mode === 'user') return [own];
  const uids = await allowedUids();
  return [own, ...uids.map((uid) => ({ path: userSocket(paths, uid), uid }))];
}

function bootTimeoutMs(): number {
  const seconds = Number(process.env['COPPICE_BOOT_TIMEOUT_SECS'] ?? '120');
  return (Number.isFinite(seconds) && seconds > 0 ? seconds : 120) * 1000;
}
