import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import { installedVscode, type InstalledVscode } from './installedVscode.ts';

const name = 'ui-machine';

describe('a workspace from first click to last, in a real VS Code', () => {
  let vscode: InstalledVscode;

  beforeAll(async () => {
    vscode = await installedVscode();
  });

  afterAll(async () => {
    expect(await vscode.dispose()).toEqual([]);
  });

  /** A step of the story: keeps what the user would have seen when it fails. */
  function step(title: string, work: () => Promise<void>): void {
    test(title, async () => {
      onTestFailed(() => vscode.workbench.screenshot(`failed ${title}`));
      await work();
    });
  }

  step('the empty view offers to create a workspace', async () => {
    const { openView, page, screenshot } = vscode.workbench;
    await openView('Coppice');
    await page.locator('.welcome-view .monaco-button', { hasText: 'Create Workspace' }).waitFor();
    await screenshot('1-empty');
  });

  step('creating asks for an image and a name and shows the machine running', async () => {
    const { page, pick, answer, row, notification, screenshot } = vscode.workbench;
    await page.locator('.welcome-view .monaco-button', { hasText: 'Create Workspace' }).click();
    await page.locator('.quick-input-widget .monaco-list-row').first().waitFor();
    await screenshot('2-choose-image');
    await pick('debian-dev');
    await page.locator('.quick-input-widget input.input').waitFor();
    await screenshot('3-name');
    await answer(name);
    await row(name).waitFor();
    await screenshot('4-creating');
    await row(name).locator('.codicon-vm-running').waitFor({ timeout: 150_000 });
    await notification(`${name} is up`).waitFor();
    await screenshot('5-running');
  });

  step('its terminal is a shell in the machine', async () => {
    const { row, rowAction, terminal, typeInTerminal, screenshot } = vscode.workbench;
    await rowAction(row(name), 'Open Terminal', terminal().filter({ hasText: 'root@ui-machine' }));
    await typeInTerminal('uname -a && echo shell-$((40+2))');
    await terminal().filter({ hasText: 'shell-42' }).waitFor();
    expect(await terminal().innerText()).toMatch(/Linux.ui-machine/);
    await screenshot('6-terminal');
  });

  step('the shell knows the size of the terminal', async () => {
    const { terminal, typeInTerminal, page } = vscode.workbench;
    await typeInTerminal('stty size | sed s/^/first:/');
    await terminal()
      .filter({ hasText: /first:\d+/ })
      .waitFor();
    await page.setViewportSize({ width: 1000, height: 700 });
    await typeInTerminal('stty size | sed s/^/second:/');
    await terminal()
      .filter({ hasText: /second:\d+/ })
      .waitFor();
    const text = (await terminal().innerText()).replaceAll('\u00a0', ' ');
    const size = (word: string): string | undefined =>
      new RegExp(`${word}:(\\d+ \\d+)`).exec(text)?.[1];
    expect(size('second')).toBeDefined();
    expect(size('second')).not.toBe(size('first'));
    await page.setViewportSize({ width: 1280, height: 800 });
  });

  step('a reloaded window has the same shell again', async () => {
    const { terminal, selectTerminal, typeInTerminal, screenshot } = vscode.workbench;
    await typeInTerminal('survivor=yes; echo set-$((40+2))');
    await terminal().filter({ hasText: 'set-42' }).waitFor();
    await vscode.reload();
    await vscode.workbench.openView('Coppice');
    await vscode.workbench.row(name).waitFor();
    await selectTerminal(name);
    await typeInTerminal('echo survivor-is-$survivor');
    await terminal().filter({ hasText: 'survivor-is-yes' }).waitFor();
    await screenshot('7-after-reload');
  });

  step('a shell that fails says with which exit code before it goes', async () => {
    const { page, terminal, typeInTerminal, screenshot } = vscode.workbench;
    await typeInTerminal('exit 3');
    const farewell = terminal().filter({ hasText: 'Press any key' });
    await farewell.waitFor();
    expect((await terminal().innerText()).replaceAll('\u00a0', ' ')).toContain('exit code 3');
    await screenshot('8-exit-code');
    await page.keyboard.press('Enter');
    await farewell.waitFor({ state: 'detached' });
  });

  step('the terminal menu offers a shell in the workspace', async () => {
    const { command, pick, selectTerminal, terminal } = vscode.workbench;
    await command('Create New Terminal (With Profile)');
    await pick('Coppice Workspace');
    // VS Code makes the terminal of a profile without opening a panel that is closed.
    await command('Focus on Terminal View');
    await selectTerminal(name);
    await terminal().filter({ hasText: 'root@ui-machine' }).waitFor();
  });

  step('what the command line does shows up in the tree', async () => {
    const { row, screenshot } = vscode.workbench;
    const client = await vscode.daemonClient();
    await client.call('workspace_stop', { workspace_id: name });
    await row(name).locator('.codicon-vm-outline').waitFor();
    await screenshot('9-stopped');
    client.close();
  });

  step('a daemon that was stopped stays so until the user wants it', async () => {
    const { page, row, screenshot } = vscode.workbench;
    const client = await vscode.daemonClient();
    await client.call('daemon_stop', {});
    const start = page.locator('.welcome-view .monaco-button', { hasText: 'Start Daemon' });
    await start.waitFor();
    await screenshot('10-daemon-stopped');
    await start.click();
    await row(name).waitFor();
    await screenshot('11-daemon-back');
  });

  step('destroying asks first and then removes it', async () => {
    const { page, row, rowAction, confirm, screenshot } = vscode.workbench;
    await rowAction(row(name), 'Destroy', page.locator('.monaco-dialog-box'));
    await screenshot('12-destroy');
    await confirm('Destroy');
    await row(name).waitFor({ state: 'detached' });
    await screenshot('13-gone');
    const client = await vscode.daemonClient();
    expect(await client.call('workspace_list', {})).toEqual([]);
    client.close();
  });
});
