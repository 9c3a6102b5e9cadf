/** The composition root: makes every part of the extension once and wires them together. */
import { setTimeout as delay } from 'node:timers/promises';
import * as vscode from 'vscode';
import { connectDaemon, daemonSocket } from '../helper-daemon/client/startDaemon.ts';
import type { CoppiceApi } from './api.ts';
import { registerCommands } from './commands/registerCommands.ts';
import { readOnlyDocuments } from './documents/readOnlyDocuments.ts';
import { daemonConnection, type ConnectionState } from './helper/connection.ts';
import { daemonProgram } from './helper/daemonProgram.ts';
import { eventFeed } from './helper/eventFeed.ts';
import { watchSocket } from './helper/socketWatch.ts';
import { workspaceModel, type ModelChange } from './helper/workspaceModel.ts';
import type { SettingName } from './manifest/settings.ts';
import type { Services } from './services.ts';
import { machineTerminals } from './terminals/machineTerminals.ts';
import { registerTerminalProfile } from './terminals/profile.ts';
import { savedShells } from './terminals/savedShells.ts';
import { workspacesTree } from './views/workspaces/workspacesTree.ts';

const socketSetting: SettingName = 'coppice.socketPath';

/** Builds the extension into `context.subscriptions`; nothing is connected until something is shown or asked. */
export function buildContainer(context: vscode.ExtensionContext): CoppiceApi {
  const log = vscode.window.createOutputChannel('Coppice', { log: true });
  const changed = new vscode.EventEmitter<void>();
  // The model and the connection are made before the tree that shows them.
  const modelListeners: ((change: ModelChange) => void)[] = [() => changed.fire()];
  const stateListeners: ((state: ConnectionState) => void)[] = [];

  const workspaces = workspaceModel((change) => modelListeners.forEach((tell) => tell(change)));
  const feed = eventFeed(workspaces);
  const daemon = daemonConnection({
    connect: (start) => {
      const socketPath = socketChoice();
      const identity = { name: 'vscode', version: extensionVersion(context) };
      return connectDaemon(identity, {
        start,
        ...(socketPath === undefined ? {} : { socketPath }),
        ...(start ? daemonProgram(context.extensionPath) : {}),
        onStart: () => log.info('Starting the daemon.'),
      });
    },
    synchronise: (client) => feed.attach(client),
    onState: (state) => stateListeners.forEach((tell) => tell(state)),
    pause: (ms) => delay(ms),
    watchForDaemon: (onChange) => {
      const socketPath = socketChoice();
      const socket = daemonSocket(socketPath === undefined ? {} : { socketPath });
      return watchSocket(socket.path, onChange);
    },
    log: (message) => log.info(message),
  });

  const documents = readOnlyDocuments(daemon);
  const terminals = machineTerminals(daemon, savedShells(context.workspaceState), log);
  const services: Services = { daemon, workspaces, documents, terminals, log };
  const tree = workspacesTree(daemon, workspaces);
  modelListeners.push((change) => tree.onModelChange(change));
  stateListeners.push((state) => tree.onConnectionState(state));

  const settings = vscode.workspace.onDidChangeConfiguration((event) => {
    if (!event.affectsConfiguration(socketSetting)) return;
    feed.reset();
    workspaces.replaceAll([]);
    daemon.reconnect().catch(() => undefined);
  });
  context.subscriptions.push(
    log,
    changed,
    daemon,
    documents,
    terminals,
    tree,
    settings,
    registerCommands(services),
    registerTerminalProfile(services),
  );
  terminals.restore().catch((error: unknown) => log.warn('Shells were not brought back.', error));

  return {
    version: 1,
    workspaces: () => workspaces.list(),
    onDidChangeWorkspaces: changed.event,
    connection: () => daemon.state().kind,
  };
}

function socketChoice(): string | undefined {
  const chosen = vscode.workspace.getConfiguration().get<string>(socketSetting, '');
  return chosen === '' ? undefined : chosen;
}

function extensionVersion(context: vscode.ExtensionContext): string {
  return (context.extension.packageJSON as { readonly version: string }).version;
}
