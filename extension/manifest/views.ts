/** The activity-bar container, its views and what an empty view says. */
export const containerId = 'coppice';
export const workspacesView = 'coppice.workspaces';
export const terminalProfile = 'coppice.terminal';

/** Values of the context key `coppice.connection`. */
export type ConnectionKey = 'connecting' | 'connected' | 'stopped' | 'unavailable' | 'refused';

export const connectionContext = 'coppice.connection';

interface Welcome {
  readonly when: ConnectionKey;
  readonly text: readonly string[];
}

const retry = '[Try Again](command:coppice.daemon.retry)';
const showLog = '[Show Log](command:coppice.daemon.showLog)';

export const welcomes: readonly Welcome[] = [
  {
    when: 'connected',
    text: [
      'A workspace is a small Linux machine of its own: try things in it, throw it away.',
      '[Create Workspace](command:coppice.workspace.create)',
    ],
  },
  {
    when: 'stopped',
    text: [
      'The Coppice daemon was stopped. Machines that were running keep running.',
      '[Start Daemon](command:coppice.daemon.retry)',
      showLog,
    ],
  },
  {
    when: 'unavailable',
    text: ['The Coppice daemon cannot be reached. The log says why.', retry, showLog],
  },
  {
    when: 'refused',
    text: [
      'The Coppice daemon does not accept this extension: it is of another version or belongs to another user. The log says which.',
      retry,
      showLog,
    ],
  },
];
