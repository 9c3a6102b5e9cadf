/** Every prompt there is. */
import * as many from './manyMachines.ts';
import * as one from './oneMachine.ts';
import type { Prompt } from './prompt.ts';

export const prompts: readonly Prompt[] = [
  one.disposableSandbox,
  one.checkpointLoop,
  many.parallelHypotheses,
  one.persistentEnvironment,
  one.editFiles,
  one.backgroundWork,
  one.gitWorkflow,
  one.snapshotCare,
  many.team,
  many.codingSwarm,
  many.codeReviewTeam,
  many.forkAndMerge,
  many.researchSwarm,
];
