/** `coppice.workspace.create`: choose an image, name the workspace, watch it boot. */
import * as vscode from 'vscode';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { workspaceName } from '../../../protocol/names.ts';
import type { Services } from '../../services.ts';
import { withProgress } from '../progress.ts';

interface ImageChoice extends vscode.QuickPickItem {
  readonly image: string;
  readonly needsBuild: boolean;
}

/** Answers given by a key binding or another extension instead of the user. */
interface GivenAnswers {
  readonly name?: string;
  readonly base_image?: string;
}

export async function createWorkspace(services: Services, given?: unknown): Promise<void> {
  const answers = isGiven(given) ? given : {};
  const client = await services.daemon.client();
  const choice = answers.base_image ?? (await chooseImage(client));
  if (choice === undefined) return;
  const image = typeof choice === 'string' ? choice : choice.image;
  const name = answers.name ?? (await askName(services, image));
  if (name === undefined) return;

  if (typeof choice !== 'string' && choice.needsBuild) {
    const built = await withProgress(`Building the image ${image}`, (options) =>
      client.call('image_build', { name: image }, options),
    );
    if (built === undefined) return;
  }
  const created = await withProgress(`Creating ${name}`, (options) =>
    client.call('workspace_create', { name, base_image: image }, options),
  );
  if (created === undefined) return;
  services.log.info(`Created ${created.name} in ${Math.round(created.boot_time_ms)} ms.`);
  // Told after the command has ended: whoever called it need not wait for the user's answer.
  void offerTerminal(services, created.workspace_id, created.name, created.boot_time_ms);
}

function isGiven(value: unknown): value is GivenAnswers {
  return typeof value === 'object' && value !== null && ('name' in value || 'base_image' in value);
}

async function chooseImage(client: CoppiceClient): Promise<ImageChoice | undefined> {
  const { images, recipes } = await client.call('image_list', {});
  const built = [...images].sort((a, b) => Number(b.is_default) - Number(a.is_default));
  const choices: ImageChoice[] = [
    ...built.map(({ name, is_default, size_bytes }) => ({
      label: `$(package) ${name}`,
      description: [is_default ? 'default' : '', `${Math.round(size_bytes / 1e6)} MB`]
        .filter(Boolean)
        .join(' · '),
      image: name,
      needsBuild: false,
    })),
    ...recipes.map(({ name, description }) => ({
      label: `$(tools) ${name}`,
      description: 'is built first',
      detail: description,
      image: name,
      needsBuild: true,
    })),
  ];
  return await vscode.window.showQuickPick(choices, {
    title: 'Create Workspace (1/2)',
    placeHolder: 'Choose an image',
    matchOnDescription: true,
  });
}

async function askName(services: Services, image: string): Promise<string | undefined> {
  const taken = new Set(services.workspaces.list().map(({ name }) => name));
  return await vscode.window.showInputBox({
    title: 'Create Workspace (2/2)',
    prompt: `Name of the new workspace from ${image}`,
    value: freeName(image, taken),
    validateInput(text) {
      if (taken.has(text)) return `${text} exists already.`;
      const checked = workspaceName.safeParse(text);
      return checked.success ? undefined : `A name must: ${checked.error.issues[0]?.message ?? ''}`;
    },
  });
}

/** A name nobody has: the image's own word with the first free number. */
function freeName(image: string, taken: ReadonlySet<string>): string {
  const stem = image.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 100);
  for (let number = 1; ; number += 1) {
    const name = `${stem}-${number}`;
    if (!taken.has(name)) return name;
  }
}

async function offerTerminal(
  services: Services,
  id: string,
  name: string,
  bootMs: number,
): Promise<void> {
  const open = 'Open Terminal';
  const seconds = (bootMs / 1000).toFixed(1);
  const answer = await vscode.window.showInformationMessage(
    `${name} is up after ${seconds} s.`,
    open,
  );
  if (answer === open) services.terminals.open(id, name);
}
