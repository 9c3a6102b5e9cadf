/** The generated part of package.json; `node scripts/generate.ts` writes it, the checks compare it. */
import { commands, type CommandSpec } from './commands.ts';
import { settings } from './settings.ts';
import {
  connectionContext,
  containerId,
  terminalProfile,
  welcomes,
  workspacesView,
} from './views.ts';

const category = 'Coppice';
const icon = 'media/coppice.svg';

/** Manifest keys that are generated, by name. */
export function generatedManifest(): Readonly<Record<string, unknown>> {
  return {
    categories: ['Other', 'Machine Learning', 'Testing'],
    icon: 'media/icon.png',
    extensionKind: ['workspace'],
    // Views, commands and terminal profiles activate the extension by themselves; nothing else does.
    activationEvents: [],
    capabilities: {
      untrustedWorkspaces: {
        supported: 'limited',
        description:
          'In restricted mode the daemon and its socket cannot be changed by the folder.',
        restrictedConfigurations: Object.keys(settings),
      },
      virtualWorkspaces: true,
    },
    contributes: contributes(),
  };
}

function contributes(): Readonly<Record<string, unknown>> {
  const list: readonly CommandSpec[] = commands;
  return {
    commands: list.map((command) => ({
      command: command.id,
      title: command.title,
      category,
      ...(command.icon === undefined ? {} : { icon: command.icon }),
    })),
    viewsContainers: { activitybar: [{ id: containerId, title: 'Coppice', icon }] },
    views: { [containerId]: [{ id: workspacesView, name: 'Workspaces', icon }] },
    viewsWelcome: welcomes.map((welcome) => ({
      view: workspacesView,
      when: `${connectionContext} == '${welcome.when}'`,
      contents: welcome.text.join('\n'),
    })),
    menus: {
      'view/title': menu('view/title', list),
      'view/item/context': menu('view/item/context', list),
    },
    terminal: {
      profiles: [{ id: terminalProfile, title: 'Coppice Workspace', icon: 'vm' }],
    },
    configuration: { title: category, properties: settings },
  };
}

function menu(name: string, list: readonly CommandSpec[]): readonly unknown[] {
  return list.flatMap((command) =>
    (command.menus ?? [])
      .filter((place) => place.menu === name)
      .map((place) => ({
        command: command.id,
        when: [`view == ${workspacesView}`, ...(place.when === undefined ? [] : [place.when])].join(
          ' && ',
        ),
        group: place.group,
      })),
  );
}
