import { defineConfig } from 'vitest/config';

/** Three suites of one runner: `unit` needs nothing, `vm` boots real machines, `ui` drives a real VS Code. */
export default defineConfig({
  test: {
    passWithNoTests: true,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 15_000,
        },
      },
      {
        test: {
          name: 'vm',
          include: ['test/vm/**/*.test.ts', 'test/faults/**/*.test.ts'],
          // Machines compete for two cores: side by side they only get slower and less certain.
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          name: 'ui',
          include: ['test/vscode/ui/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
