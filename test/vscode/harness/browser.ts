/** A real Chromium with a profile of its own that talks to nobody but the server under test. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import type { HermeticRoot } from './hermeticRoot.ts';

export interface Browser {
  readonly page: Page;
  readonly context: BrowserContext;
  close(): Promise<void>;
}

const places = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
] as const;

function browserProgram(): string {
  const found = [process.env['CHROMIUM'] ?? '', ...places].find((file) => existsSync(file));
  if (found === undefined) {
    throw new Error(
      'Chromium is not installed: apt-get install chromium, or set CHROMIUM to its path.',
    );
  }
  return found;
}

export async function startBrowser(root: HermeticRoot): Promise<Browser> {
  const context = await chromium.launchPersistentContext(path.join(root.folder, 'chromium'), {
    executablePath: browserProgram(),
    headless: true,
    viewport: { width: 1280, height: 800 },
    env: Object.fromEntries(
      Object.entries(root.env).filter((pair): pair is [string, string] => pair[1] !== undefined),
    ),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  await context.route(
    (url) => url.hostname !== '127.0.0.1' && /^https?:$/.test(url.protocol),
    (route) => route.abort(),
  );
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(30_000);
  return { page, context, close: () => context.close() };
}
