/** The workbench as a user sees it: what to click and what to wait for. */
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Locator, Page } from 'playwright-core';

const shots = path.resolve(import.meta.dirname, '../../../out/screenshots');

export interface Workbench {
  readonly page: Page;
  /** Opens the activity-bar container of that name. */
  openView(title: string): Promise<void>;
  /** A row of the tree in the side bar. */
  row(text: string | RegExp): Locator;
  /** Clicks one of the icons that a row shows under the pointer, until it has its effect. */
  rowAction(row: Locator, label: string, effect: Locator): Promise<void>;
  /** Chooses a row of the quick pick that is open. */
  pick(text: string | RegExp): Promise<void>;
  /** Types into the input box that is open and accepts it. */
  answer(text: string): Promise<void>;
  /** Presses a button of the modal dialog that is open. */
  confirm(label: string): Promise<void>;
  /** Runs a command from the palette, by its title without a category. */
  command(title: string): Promise<void>;
  /** A notification that has popped up. */
  notification(text: string): Locator;
  /** The text of the active terminal, as rendered. */
  terminal(): Locator;
  /** Chooses one of several terminals; VS Code adds one of its own when it restores the panel. */
  selectTerminal(name: string): Promise<void>;
  typeInTerminal(line: string): Promise<void>;
  screenshot(name: string): Promise<void>;
}

/** Those of an earlier run would only mislead. */
export async function forgetScreenshots(): Promise<void> {
  await rm(shots, { recursive: true, force: true });
}

export function workbench(page: Page): Workbench {
  const quickInput = page.locator('.quick-input-widget');
  const terminal = page.locator('.terminal-wrapper.active .xterm-rows');

  return {
    page,
    terminal: () => terminal,
    async openView(title) {
      const item = page.locator(`.activitybar .action-item [aria-label^="${title}"]`).first();
      const heading = page.locator('.sidebar .title-label', { hasText: title });
      // A click on the view that is open would close it, and a reloaded window opens it by itself, late.
      for (let tries = 0; tries < 5; tries += 1) {
        await item.waitFor();
        const open = await heading.waitFor({ timeout: 2_000 }).then(
          () => true,
          () => false,
        );
        if (open) return;
        await item.click();
      }
      await heading.waitFor();
    },
    row: (text) => page.locator('.sidebar .monaco-list-row', { hasText: text }),
    async rowAction(row, label, effect) {
      // A row that is drawn again under the pointer shows its icons only after the pointer has
      // moved, and one that is drawn again between press and release swallows the click.
      await insistently(async () => {
        await page.mouse.move(0, 0);
        await row.hover();
        await row
          .locator(`.action-label[aria-label^="${label}"]`)
          .first()
          .click({ timeout: 3_000 });
        await effect.waitFor({ timeout: 10_000 });
      });
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
      const row = quickInput.locator('.monaco-list-row', { hasText: title }).first();
      // Whatever takes the focus late (a terminal that opens) closes the palette: then it is opened again.
      await insistently(async () => {
        await page.keyboard.press('F1');
        await quickInput.locator('input.input').fill(`>${title}`, { timeout: 3_000 });
        await row.click({ timeout: 3_000 });
      });
    },
    notification: (text) => page.locator('.notification-toast', { hasText: text }),
    async selectTerminal(name) {
      const entry = page.locator('.terminal-tabs-entry', { hasText: name });
      const only = page.locator('.single-terminal-tab', { hasText: name });
      await entry.or(only).filter({ visible: true }).first().waitFor();
      // The only terminal is shown already, and a click on its name would open a menu.
      if (await entry.first().isVisible()) await entry.first().click();
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

/** Does again what the workbench, busy with itself, has let come to nothing. */
async function insistently(work: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await work();
      return;
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}
