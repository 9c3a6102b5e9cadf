/** A fresh VS Code with the packaged extension, opened in a browser. */
import { connectClient, type CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { ensureBed } from '../harness/bedInstall.ts';
import { startBrowser } from '../harness/browser.ts';
import { hermeticRoot } from '../harness/hermeticRoot.ts';
import { installVsix, startVscodeServer } from '../harness/vscodeServer.ts';
import { packageVsix } from '../harness/vsix.ts';
import { forgetScreenshots, workbench, type Workbench } from './workbench.ts';

export interface InstalledVscode {
  readonly workbench: Workbench;
  /** A second client of the daemon that the extension started. */
  daemonClient(): Promise<CoppiceClient>;
  reload(): Promise<void>;
  /** @returns what was left running: a leak */
  dispose(): Promise<readonly string[]>;
}

export async function installedVscode(): Promise<InstalledVscode> {
  await forgetScreenshots();
  const bed = await ensureBed((line) => console.log(line));
  const vsix = await packageVsix();
  const root = await hermeticRoot();
  await installVsix(bed, root, vsix);
  const server = await startVscodeServer(bed, root);
  const browser = await startBrowser(root);
  const { page } = browser;
  const ready = async (): Promise<void> => {
    await page.waitForSelector('.monaco-workbench .part.statusbar', { timeout: 60_000 });
  };
  const query = new URLSearchParams({ folder: root.workspace });
  await page.goto(`${server.url}?${query.toString()}`);
  await ready();
  return {
    workbench: workbench(page),
    daemonClient: () => connectClient(root.socketPath, { name: 'ui-test', version: '0' }),
    async reload() {
      await page.reload();
      await ready();
    },
    async dispose() {
      await browser.close().catch(() => undefined);
      await server.stop();
      return await root.dispose();
    },
  };
}
