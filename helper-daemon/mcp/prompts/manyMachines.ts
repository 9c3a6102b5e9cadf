/** Ways of working in several workspaces at once. */
import { definePrompt } from './prompt.ts';

const repository = { name: 'url', description: 'Repository', required: true } as const;
const golden = {
  name: 'golden',
  description: 'Name of the prepared workspace that all copies come from',
  workspace: true,
} as const;

export const parallelHypotheses = definePrompt({
  name: 'parallel_hypotheses',
  title: 'Parallel hypotheses',
  description: 'Try several ideas at once, each in its own copy of the same machine',
  arguments: [
    {
      name: 'workspace',
      description: 'Workspace to start from',
      required: true,
      workspace: true,
    },
    { name: 'question', description: 'What is to be found out', required: true },
    { name: 'ideas', description: 'The ideas; your own where absent' },
  ],
  text: ({
    workspace = '',
    question,
    ideas,
  }) => `Find the best answer by trying several in parallel: ${question ?? ''}

Ideas: ${ideas ?? 'think of two to five that differ in kind, not in detail'}

1. Bring workspace ${workspace} to the state all ideas need, and decide beforehand what is measured and how.
2. snapshot (action create), then workspace_fork of it, once for each idea with a new_name that says which (or count and name_prefix). Copies share what they have in common and start in seconds, with running programs if the snapshot has include_memory.
3. Carry each idea out in its copy; exec_parallel runs the same measurement in all of them.
4. Compare the results as a table. Keep the winner, workspace_destroy the others.`,
});

export const team = definePrompt({
  name: 'team',
  title: 'Team of agents',
  description: 'Several roles, each with a machine of its own, messages and a task board',
  arguments: [
    { name: 'name', description: 'Name of the team', required: true },
    { name: 'goal', description: 'What the team works on', required: true },
    { name: 'roles', description: 'The roles; your own proposal where absent' },
  ],
  text: ({ name = '', goal, roles }) => `Set up the team ${name} for: ${goal ?? ''}

Roles: ${roles ?? 'propose two to four with a name, a role and skills'}

1. team (action create) makes a machine for each role; they reach each other, nobody else reaches them. You own them: use their workspace ids, or ${name}.<role>, with every other tool.
2. Keep the task board in the vault: one note for each task below teams/${name}/tasks/, with status, priority, assigned_to and depends_on in its front matter. vault (search) finds open ones, vault (frontmatter, set) moves them on.
3. team (action message, to a role or *) and team (action receive) carry questions and results. A message of type task_assignment is run in the machine of its recipient; receive brings the result.
4. team (action status) shows who does what. When all is done, collect the results, then team (action destroy).`,
});

export const codeReviewTeam = definePrompt({
  name: 'code_review_team',
  title: 'Code review by a team',
  description: 'An author and reviewers in separate machines, with feedback by message',
  arguments: [
    repository,
    { name: 'change', description: 'What the author is to do', required: true },
    { name: 'reviewers', description: 'How many; default 2' },
  ],
  text: ({
    url,
    change,
    reviewers = '2',
  }) => `One machine writes, ${reviewers} review: ${change ?? ''} in ${url ?? ''}

1. team (action create) with a role author and roles reviewer-1 … reviewer-${reviewers}. Give each reviewer one area, so that they do not repeat each other.
2. Author: git_clone, a branch, the change, its tests, git_commit. Then team (action message) to each reviewer: the branch, what it does, where to look.
3. Reviewers get the branch by workspace_merge from the author's machine into their own clone, run the tests, read git_diff, and answer by message with file, line, problem and proposal.
4. Author: answer every point, change what is right, commit. Repeat until nobody objects.
5. Report what was found and what became of it; team (action destroy).`,
});

export const codingSwarm = definePrompt({
  name: 'coding_swarm',
  title: 'Coding swarm',
  description: 'Split a large task over copies of one prepared machine and merge what they did',
  arguments: [
    repository,
    { name: 'task', description: 'The whole task', required: true },
    { name: 'workers', description: 'How many copies; default 4' },
    golden,
  ],
  text: ({
    url,
    task,
    workers = '4',
    golden: name = 'golden',
  }) => `Do this with ${workers} machines at once: ${task ?? ''}

1. workspace_prepare: name ${name}, git_url ${url ?? ''}, setup_commands that install and build everything once. Calling it again is harmless.
2. Divide the task into ${workers} parts that touch different files; write down for each what it must deliver and how it is checked.
3. swarm_run with golden_workspace ${name}, one task for each part, a merge_strategy, and max_parallel where the host is small. It forks, runs, collects and cleans up by itself and reports progress. By hand: workspace_fork with count and name_prefix, set_env for keys, exec_background in each, poll, then step 5.
4. Look at each result: exit code and the end of its output. Repeat a part that failed, alone.
5. workspace_merge of the workers into ${name}: strategy branch-per-source keeps one branch for each, so that conflicts can be settled one at a time.
6. Run all tests in the merged workspace. Destroy the workers; keep ${name} for the next time.`,
});

export const forkAndMerge = definePrompt({
  name: 'fork_and_merge',
  title: 'Fork and merge features',
  description: 'Develop independent features side by side and merge them into one workspace',
  arguments: [
    { ...golden, required: true },
    { name: 'features', description: 'The features, one for each line', required: true },
    { name: 'test', description: 'Command that runs the tests' },
  ],
  text: ({
    golden: name = '',
    features,
    test = 'the tests',
  }) => `Develop these features independently, starting from workspace ${name}:

${features ?? ''}

1. snapshot of ${name} (a prepared workspace has one already), then workspace_fork for each feature with a new_name such as feat-<feature>.
2. In each: a branch, the change in small commits, ${test} until they pass. Uncommitted work is not merged.
3. workspace_merge with source_workspaces, target_workspace ${name} and strategy branch-per-source. It takes a snapshot of the target first and says for each source how many commits were applied or which files conflict.
4. A conflict: read both sides in ${name}, edit the file, exec git add and git commit; then merge the rest.
5. Run ${test} in ${name}, snapshot the result, destroy the forks.`,
});

export const researchSwarm = definePrompt({
  name: 'research_swarm',
  title: 'Research swarm',
  description: 'Build several approaches in parallel, measure them alike, keep the best',
  arguments: [
    { name: 'question', description: 'What is to be decided', required: true },
    { name: 'approaches', description: 'The approaches, one for each line', required: true },
    { name: 'url', description: 'Repository, where there is one' },
    golden,
  ],
  text: ({
    question,
    approaches,
    url,
    golden: name = 'golden',
  }) => `Decide by measurement: ${question ?? ''}

Approaches:
${approaches ?? ''}

1. First fix what every approach must deliver: one JSON file, say /workspace/result.json, with the same keys and units, made by the same benchmark.
2. workspace_prepare ${name}${url === undefined ? '' : ` from ${url}`} with the benchmark and everything the approaches need.
3. workspace_fork with count and name_prefix, one copy for each approach; start services with exec_background before the benchmark needs them.
4. exec_background or exec_parallel in all; poll with wait_secs until none runs.
5. file_read the result of each and compare them in a table, with what the numbers do not show.
6. snapshot ${name}, workspace_merge only the winner into it, destroy all copies.`,
});
