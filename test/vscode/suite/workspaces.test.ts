import assert from 'node:assert/strict';
import { suite, suiteSetup, suiteTeardown, test } from 'mocha';
import * as vscode from 'vscode';
import type { CoppiceApi } from '../../../extension/api.ts';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { connectedApi, otherClient, until, workspaceNamed } from './extensionUnderTest.ts';

const name = 'suite-machine';

suite('workspaces', function () {
  // One machine's life in order: after a failure the rest would only repeat it.
  this.bail(true);
  let api: CoppiceApi;
  let client: CoppiceClient;

  suiteSetup(async function () {
    // An image may have to be put into the new store first.
    this.timeout(600_000);
    api = await connectedApi();
    client = await otherClient();
    await client.call('image_build', { name: 'debian-dev' });
  });

  suiteTeardown(async () => {
    await client.call('workspace_destroy', { workspace_id: name }).catch(() => undefined);
    client.close();
  });

  test('create boots a machine and the model hears of it by events', async () => {
    const answers = { name, base_image: 'debian-dev' };
    await vscode.commands.executeCommand('coppice.workspace.create', answers);
    const runs = (): boolean => workspaceNamed(api, name)?.state === 'running';
    await until('the workspace runs', runs, 5_000);
  });

  test('a terminal is a real shell in the machine', async () => {
    await vscode.commands.executeCommand('coppice.workspace.openTerminal', name);
    await until('the terminal is open', () => vscode.window.activeTerminal?.name === name);
    const terminal = vscode.window.activeTerminal!;
    terminal.sendText('tty > /tmp/tty; hostname >> /tmp/tty; touch /tmp/done');
    await until('the shell has run the line', () => exists('/tmp/done'));
    const written = await client.call('exec', { workspace_id: name, command: 'cat /tmp/tty' });
    assert.match(written.stdout, /^\/dev\/pts\/\d+\nsuite-machine\n$/);
  });

  test('closing the terminal ends its shell', async () => {
    const before = await liveShells();
    assert.equal(before, 1);
    vscode.window.activeTerminal!.dispose();
    await until('the shell is gone', async () => (await liveShells()) === 0);
  });

  test('the console is a read-only document', async () => {
    await vscode.commands.executeCommand('coppice.workspace.showLogs', name);
    const document = vscode.window.activeTextEditor?.document;
    assert.equal(document?.uri.scheme, 'coppice-text');
    assert.equal(document.languageId, 'log');
    assert.ok(!document.getText().includes('\u001b'));
  });

  test('the doctor writes what it found', async () => {
    await vscode.commands.executeCommand('coppice.doctor');
    const document = vscode.window.activeTextEditor?.document;
    assert.match(document?.getText() ?? '', /can run Coppice machines|checks failed/);
    assert.equal(document?.isUntitled, false);
  });

  test('what another client does shows up without asking', async () => {
    await client.call('workspace_stop', { workspace_id: name });
    await until('it is shown as stopped', () => workspaceNamed(api, name)?.state === 'stopped');
    await vscode.commands.executeCommand('coppice.workspace.start', name);
    await until('it runs again', () => workspaceNamed(api, name)?.state === 'running');
  });

  test('a daemon that is killed is started again, and its machines are still there', async () => {
    const { pid } = await client.call('daemon_status', {});
    process.kill(pid, 'SIGKILL');
    client.close();
    // The extension, not this client, starts the next one: connecting here never does.
    await until('another daemon answers', async () => {
      const next = await otherClient().catch(() => undefined);
      if (next === undefined) return false;
      client = next;
      return next.server.server.pid !== pid;
    });
    await until('the extension is connected again', () => api.connection() === 'connected');
    const { stdout } = await client.call('exec', { workspace_id: name, command: 'echo alive' });
    assert.equal(stdout, 'alive\n');
    assert.equal(workspaceNamed(api, name)?.state, 'running');
  });

  test('a workspace that another client destroys disappears', async () => {
    await client.call('workspace_destroy', { workspace_id: name });
    await until('it is gone', () => workspaceNamed(api, name) === undefined);
  });

  async function exists(file: string): Promise<boolean> {
    const input = { workspace_id: name, command: `test -e ${file}` };
    return (await client.call('exec', input)).exit_code === 0;
  }

  async function liveShells(): Promise<number> {
    const jobs = await client.call('process_list', { workspace_id: name });
    return jobs.filter((job) => job.terminal && job.running).length;
  }
});
