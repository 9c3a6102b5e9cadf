/**
 * Every command the extension contributes: the one list from which package.json is generated, the handler
 * map is typed and the tests are checked.
 */
export interface MenuPlace {
  readonly menu: 'view/title' | 'view/item/context';
  readonly group: string;
  /** Joined with the view's own condition. */
  readonly when?: string;
}

export interface CommandSpec {
  readonly id: string;
  readonly title: string;
  readonly icon?: `$(${string})`;
  readonly menus?: readonly MenuPlace[];
}

const running = String.raw`viewItem =~ /\+running\b/`;
const startable = String.raw`viewItem =~ /\+(stopped|suspended)\b/`;
const anyWorkspace = String.raw`viewItem =~ /^workspace\b/`;

export const commands = [
  {
    id: 'coppice.workspace.create',
    title: 'Create Workspace…',
    icon: '$(add)',
    menus: [
      { menu: 'view/title', group: 'navigation@1', when: "coppice.connection == 'connected'" },
    ],
  },
  {
    id: 'coppice.workspace.openTerminal',
    title: 'Open Terminal',
    icon: '$(terminal)',
    menus: [
      { menu: 'view/item/context', group: 'inline@1', when: running },
      { menu: 'view/item/context', group: '1_use@1', when: running },
    ],
  },
  {
    id: 'coppice.workspace.start',
    title: 'Start',
    icon: '$(debug-start)',
    menus: [
      { menu: 'view/item/context', group: 'inline@1', when: startable },
      { menu: 'view/item/context', group: '2_power@1', when: startable },
    ],
  },
  {
    id: 'coppice.workspace.stop',
    title: 'Stop',
    icon: '$(debug-stop)',
    menus: [
      { menu: 'view/item/context', group: 'inline@2', when: running },
      { menu: 'view/item/context', group: '2_power@2', when: running },
    ],
  },
  {
    id: 'coppice.workspace.showLogs',
    title: 'Show Console Log',
    icon: '$(output)',
    menus: [{ menu: 'view/item/context', group: '3_look@1', when: anyWorkspace }],
  },
  {
    id: 'coppice.workspace.destroy',
    title: 'Destroy…',
    icon: '$(trash)',
    menus: [
      { menu: 'view/item/context', group: 'inline@9', when: anyWorkspace },
      { menu: 'view/item/context', group: '9_destroy@1', when: anyWorkspace },
    ],
  },
  {
    id: 'coppice.workspace.refresh',
    title: 'Refresh Workspaces',
    icon: '$(refresh)',
    menus: [{ menu: 'view/title', group: 'navigation@2' }],
  },
  {
    id: 'coppice.doctor',
    title: 'Check This Computer (Doctor)',
    icon: '$(pulse)',
    menus: [{ menu: 'view/title', group: '2_help@1' }],
  },
  { id: 'coppice.daemon.retry', title: 'Connect to the Daemon' },
  {
    id: 'coppice.daemon.showLog',
    title: 'Show Log',
    menus: [{ menu: 'view/title', group: '2_help@2' }],
  },
] as const satisfies readonly CommandSpec[];

export type CommandId = (typeof commands)[number]['id'];
