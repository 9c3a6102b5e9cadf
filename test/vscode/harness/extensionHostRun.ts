/** Runs the mocha suites in the extension host of a real VS Code with a real workbench. */
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startBrowser, type Browser } from './browser.ts';
import { ensureBed } from './bedInstall.ts';
import { hermeticRoot, type HermeticRoot } from './hermeticRoot.ts';
import { bundleSuites } from './suiteBundle.ts';
import { startVscodeServer, type VscodeServer } from './vscodeServer.ts';

export interface SuiteResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const project = path.resolve(import.meta.dirname, '../../..');
const artifacts = path.join(project, 'out/vscode-failure');
const limitMs = 20 * 60_000;

/** @throws Error when the suites did not run to their end */
export async function runInExtensionHost(say: (line: string) => void): Promise<SuiteResult> {
  const bed = await ensureBed(say);
  const suiteMain = await bundleSuites();
  const root = await hermeticRoot();
  const output = path.join(root.folder, 'suite.out');
  const result = path.join(root.folder, 'suite.json');
  await writeFile(output, '');
  let server: VscodeServer | undefined;
  let browser: Browser | undefined;
  const pump = followFile(output, say);
  try {
    server = await startVscodeServer(bed, root, {
      suiteEnv: {
        COPPICE_SUITE_OUTPUT: output,
        COPPICE_SUITE_RESULT: result,
        COPPICE_SUITE_MAIN: suiteMain,
      },
    });
    browser = await startBrowser(root);
    await openWithSuite(browser, server, root, suiteMain);
    await pump.stop();
    // The end alone proves nothing: it is also reported when the extension host has died.
    if (!existsSync(result)) throw new Error('The extension host ended without a result.');
    const counts = JSON.parse(await readFile(result, 'utf8')) as SuiteResult;
    if (counts.passed + counts.failed === 0) throw new Error('No test ran.');
    if (counts.failed > 0) await keepEvidence(root, browser);
    return counts;
  } catch (error) {
    await keepEvidence(root, browser);
    throw error;
  } finally {
    await pump.stop();
    await browser?.close().catch(() => undefined);
    await server?.stop();
    const leaked = await root.dispose();
    for (const command of leaked) say(`left running, killed: ${command}`);
  }
}

/** Opens the workbench with the extension and its suites; resolves when the suites have ended. */
async function openWithSuite(
  { page }: Browser,
  server: VscodeServer,
  root: HermeticRoot,
  suiteMain: string,
): Promise<void> {
  const remote = (file: string): string => `vscode-remote://${server.authority}${file}`;
  const payload = [
    ['extensionDevelopmentPath', remote(project)],
    ['extensionTestsPath', remote(suiteMain)],
    ['skipWelcome', 'true'],
    ['skipReleaseNotes', 'true'],
  ];
  const ended = new Promise<void>((resolve) => {
    void page.exposeFunction('codeAutomationExit', () => resolve());
  });
  await page.exposeFunction('codeAutomationLog', () => undefined);
  const query = new URLSearchParams({ folder: root.workspace, payload: JSON.stringify(payload) });
  await page.goto(`${server.url}?${query.toString()}`);
  const limit = delay(limitMs, 'limit' as const, { ref: false });
  if ((await Promise.race([ended, limit])) === 'limit') {
    throw new Error(`The suites did not end within ${limitMs / 60_000} minutes.`);
  }
}

function followFile(file: string, say: (line: string) => void): { stop: () => Promise<void> } {
  let told = 0;
  const tell = async (): Promise<void> => {
    const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n').slice(0, -1);
    for (const line of lines.slice(told)) say(line);
    told = Math.max(told, lines.length);
  };
  const timer = setInterval(() => void tell(), 300);
  return {
    async stop() {
      clearInterval(timer);
      await tell();
    },
  };
}

async function keepEvidence(root: HermeticRoot, browser: Browser | undefined): Promise<void> {
  await mkdir(artifacts, { recursive: true });
  await browser?.page.screenshot({ path: path.join(artifacts, 'end.png') }).catch(() => undefined);
  for (const from of [path.join(root.folder, 'server.log'), root.daemonLog]) {
    await cp(from, path.join(artifacts, path.basename(from))).catch(() => undefined);
  }
  for (const logs of ['ud/logs', 'sd/data/logs']) {
    const to = path.join(artifacts, logs.replaceAll('/', '-'));
    await cp(path.join(root.folder, logs), to, { recursive: true }).catch(() => undefined);
  }
}
