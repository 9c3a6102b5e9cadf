/** The workbench as a user sees it: what to click and what to wait for. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Locator, Page } from 'playwright-core';

const shots = path.resolve(import.meta.dirname, '../../../out/screenshots');

export interface Workbench {
  readonly page: Page;
  /** Opens the activity-bar container of that name. */
  openView(title: string): Promise<void>;
  /** A row of the tree in the side bar. */
  row(text: string | RegExp): Locator;
  /** Clicks one of the icons that a row shows under the pointer. */
  rowAction(row: Locator, label: string): Promise<void>;
  /** Chooses a row of the quick pick that is open. */
  pick(text: string | RegExp): Promise<void>;
  /** Types into the input box that is open and accepts it. */
  answer(text: string): Promise<void>;
  /** Presses a button of the modal dialog that is open. */
  confirm(label: string): Promise<void>;
  /** Runs a command from the palette. */
  command(title: string): Promise<void>;
  /** The text of the active terminal, as rendered. */
  terminal(): Locator;
  typeInTerminal(line: string): Promise<void>;
  screenshot(name: string): Promise<void>;
}

export function workbench(page: Page): Workbench {
  const quickInput = page.locator('.quick-input-widget');
  const terminal = page.locator('.terminal-wrapper.active .xterm-rows');

  return {
    page,
    terminal: () => terminal,
    async openView(title) {
      await page.locator(`.activitybar [aria-label^="${title}"]`).first().click();
    },
    row: (text) => page.locator('.sidebar .monaco-list-row', { hasText: text }),
    async rowAction(row, label) {
      await row.hover();
      await row.locator(`.action-label[aria-label^="${label}"]`).first().click();
    },
    async pick(text) {
      await quickInput.locator('.monaco-list-row', { hasText: text }).first().click();
    },
    async answer(text) {
      const input = quickInput.locator('input.input');
      await input.fill(text);
      await input.press('Enter');
    },
    async confirm(label) {
      await page.locator('.monaco-dialog-box .monaco-button', { hasText: label }).first().click();
    },
    async command(title) {
      await page.keyboard.press('F1');
      await quickInput.locator('input.input').fill(`>${title}`);
      const name = title.replace(/^.*: /, '');
      const row = quickInput.locator('.monaco-list-row.focused', { hasText: name });
      await row.first().waitFor();
      await page.keyboard.press('Enter');
    },
    async typeInTerminal(line) {
      await page.locator('.terminal-wrapper.active .xterm-screen').click();
      await page.keyboard.type(`${line}\r`);
    },
    async screenshot(name) {
      await mkdir(shots, { recursive: true });
      await page.screenshot({ path: path.join(shots, `${name}.png`) });
    },
  };
}
