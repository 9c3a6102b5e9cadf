/** What the vault says about the members of a team: one JSON file for each. */
import type { MemberRecord, TeamRecord } from '../store/teamStore.ts';
import type { TeamServices, TeamVault } from './teamServices.ts';

export interface Cards {
  /** Makes the folders that members find their cards, tasks and notes in. */
  prepare(team: TeamRecord): Promise<void>;
  /** Brings the files of a team's members up to date with their rows. */
  refresh(team: TeamRecord, members?: readonly MemberRecord[]): Promise<void>;
  /** Removes the whole folder of the team. @throws CoppiceError what the vault says */
  purge(team: TeamRecord): Promise<void>;
}

/** Where agents of the contract look for the services of a member's machine. */
const httpPort = 8080;

function teamFolder(name: string): string {
  return `teams/${name}`;
}

export function cards(services: Pick<TeamServices, 'store' | 'machines' | 'vault' | 'log'>): Cards {
  const { store, machines, vault, log } = services;

  function cardOf(team: TeamRecord, member: MemberRecord): unknown {
    const { name, role, description, skills, workspaceId, state } = member;
    const machine = workspaceId === null ? undefined : machines.find(workspaceId);
    return {
      name,
      role,
      description,
      skills,
      // Channels of machines are no addresses: none can be dialled by its number.
      endpoints: { vsock_cid: 0, ip: machine?.ip ?? null, http_port: httpPort },
      status: state,
      team: team.name,
      workspace_id: workspaceId,
    };
  }

  /** A team works without its cards: a vault that is full or read-only must not keep it from that. */
  async function attempt(
    team: TeamRecord,
    work: (open: TeamVault) => Promise<void>,
  ): Promise<void> {
    if (vault === null) return;
    await work(vault(team.owner)).catch((error: unknown) => {
      log.warn({ team: team.name, err: error }, 'vault not kept current');
    });
  }

  return {
    prepare: (team) =>
      attempt(team, async (open) => {
        for (const part of ['cards', 'tasks', 'notes']) {
          await open.makeFolder(`${teamFolder(team.name)}/${part}`);
        }
      }),
    async refresh(team, members = store.members(team.id)) {
      for (const member of members) {
        const file = `${teamFolder(team.name)}/cards/${member.name}.json`;
        const text = `${JSON.stringify(cardOf(team, member), undefined, 2)}\n`;
        await attempt(team, (open) => open.write(file, text));
      }
    },
    async purge(team) {
      await vault?.(team.owner).remove(teamFolder(team.name));
    },
  };
}
