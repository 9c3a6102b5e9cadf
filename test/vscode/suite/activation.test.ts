import assert from 'node:assert/strict';
import { suite, test } from 'mocha';
import * as vscode from 'vscode';
import { connectedApi, extensionUnderTest } from './extensionUnderTest.ts';

interface Manifest {
  readonly contributes: { readonly commands: readonly { readonly command: string }[] };
}

suite('activation', () => {
  test('nothing but the view, a command or a terminal profile activates the extension', () => {
    assert.equal(extensionUnderTest().isActive, false);
  });

  test('showing the view starts the daemon and connects', async () => {
    const api = await connectedApi();
    assert.equal(api.version, 1);
    assert.deepEqual(api.workspaces(), []);
  });

  test('every contributed command is registered', async () => {
    const manifest = extensionUnderTest().packageJSON as Manifest;
    const registered = new Set(await vscode.commands.getCommands(true));
    const missing = manifest.contributes.commands.filter(({ command }) => !registered.has(command));
    assert.deepEqual(missing, []);
  });

  test('the extension runs where the workspace is', () => {
    assert.equal(extensionUnderTest().extensionKind, vscode.ExtensionKind.Workspace);
  });
});
