/** The pages that are made from the definitions they describe, by path in the project. */
import { cliPage } from './docs/cliPage.ts';
import { configPage } from './docs/configPage.ts';
import { manPage } from './docs/manPage.ts';
import { toolsPage } from './docs/toolsPage.ts';

export function generatedDocs(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/tools.md', `${toolsPage()}\n`],
    ['docs/cli.md', `${cliPage()}\n`],
    ['docs/configuration.md', `${configPage()}\n`],
    ['docs/coppice.1', manPage()],
  ]);
}
