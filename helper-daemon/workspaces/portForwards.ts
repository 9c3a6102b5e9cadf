/** Ports of this host that lead into machines: which there are, and making and taking them back. */
import { CoppiceError } from '../../protocol/errors.ts';
import { limits } from '../../protocol/limits.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import type { PortForward } from '../../protocol/operations/networkModel.ts';
import type { PortForwardRecord } from '../store/portForwardStore.ts';
import { refreshCard } from './network.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';

const loopback = '127.0.0.1';
/** Tried in turn where the guest's own number cannot be had: below what the system gives to clients. */
const firstAutomatic = 20_000;
const lastAutomatic = 32_000;

export function portForwards(services: WorkspaceServices, id: string): PortForward[] {
  return services.forwards.of(id).map((forward) => viewForward(services, forward));
}

function viewForward(
  { forwardListeners }: Pick<WorkspaceServices, 'forwardListeners'>,
  forward: PortForwardRecord,
): PortForward {
  return {
    host_port: forward.hostPort,
    guest_port: forward.guestPort,
    bind: forward.bind,
    problem: forwardListeners.problem(forward) ?? null,
  };
}

export function announcePorts(services: WorkspaceServices, id: string): void {
  services.publish({
    type: 'ports_changed',
    workspace_id: id,
    port_forwards: portForwards(services, id),
    listening: [...services.listening.of(id)],
  });
}

/**
 * Asking for what is there already changes nothing.
 * @throws CoppiceError `not_found`, `port_taken`, `invalid_input`
 */
export async function addForward(
  services: WorkspaceServices,
  input: ParsedInputOf<'port_forward_add'>,
): Promise<OutputOf<'port_forward_add'>> {
  const { id } = resolveWorkspace(services.store, input.workspace_id);
  const bind = input.bind ?? loopback;
  return await services.locks.run(id, async () => {
    resolveWorkspace(services.store, id);
    const same = services.forwards
      .of(id)
      .find(
        (one) =>
          one.guestPort === input.guest_port &&
          one.bind === bind &&
          (input.host_port === undefined || one.hostPort === input.host_port),
      );
    const forward =
      same ??
      (await make(
        services,
        { workspaceId: id, bind, guestPort: input.guest_port },
        input.host_port,
      ));
    await refreshCard(services, id);
    announcePorts(services, id);
    return { workspace_id: input.workspace_id, ...viewForward(services, forward) };
  });
}

async function make(
  services: WorkspaceServices,
  wanted: Omit<PortForwardRecord, 'hostPort'>,
  hostPort: number | undefined,
): Promise<PortForwardRecord> {
  if (services.forwards.of(wanted.workspaceId).length >= limits.portForwards.max) {
    throw new CoppiceError({
      code: 'limit_exceeded',
      message: `A workspace can have ${String(limits.portForwards.max)} port forwards.`,
      next: 'Take back those that are not needed: coppice port remove.',
    });
  }
  if (hostPort !== undefined) {
    requireAllowed(hostPort);
    return await open(services, { ...wanted, hostPort });
  }
  const { guestPort } = wanted;
  const first = firstAutomatic + (guestPort % 10_000);
  const candidates = [
    ...(isReserved(guestPort) ? [] : [guestPort]),
    ...Array.from({ length: lastAutomatic - first }, (_, index) => first + index),
  ];
  for (const candidate of candidates) {
    if (isReserved(candidate)) continue;
    try {
      return await open(services, { ...wanted, hostPort: candidate });
    } catch (error) {
      if (!(error instanceof CoppiceError) || error.code !== 'port_taken') throw error;
    }
  }
  throw new CoppiceError({
    code: 'port_taken',
    message: `No port between ${String(first)} and ${String(lastAutomatic)} is free on ${wanted.bind}.`,
    next: 'Name a free one with --host-port (host_port).',
  });
}

/** The row is written before the port is opened, so that one that is open is never forgotten. */
async function open(
  services: WorkspaceServices,
  forward: PortForwardRecord,
): Promise<PortForwardRecord> {
  const other = services.forwards
    .all()
    .find((one) => one.hostPort === forward.hostPort && overlaps(one.bind, forward.bind));
  if (other !== undefined) throw taken(forward, nameOf(services, other.workspaceId));
  services.forwards.insert(forward);
  const problem = await services.forwardListeners.open(forward);
  if (problem === undefined) return forward;
  services.forwards.remove(forward);
  services.forwardListeners.close(forward);
  if (problem.code === 'EADDRINUSE') throw taken(forward, 'another program');
  throw new CoppiceError({
    code: 'invalid_input',
    message: `This host cannot listen on ${forward.bind}:${String(forward.hostPort)} (${problem.code}).`,
    next:
      problem.code === 'EADDRNOTAVAIL'
        ? 'Bind it to an address that this host has, or to 0.0.0.0.'
        : 'Choose another port or address.',
  });
}

/** All that lead to the port. @throws CoppiceError `not_found` */
export async function removeForward(
  services: WorkspaceServices,
  { workspace_id, guest_port }: ParsedInputOf<'port_forward_remove'>,
): Promise<OutputOf<'port_forward_remove'>> {
  const { id } = resolveWorkspace(services.store, workspace_id);
  return await services.locks.run(id, async () => {
    const gone = services.forwards.of(id).filter(({ guestPort }) => guestPort === guest_port);
    for (const forward of gone) {
      services.forwards.remove(forward);
      services.forwardListeners.close(forward);
    }
    await refreshCard(services, id);
    if (gone.length > 0) announcePorts(services, id);
    return { workspace_id, guest_port, removed: gone.length };
  });
}

export function listForwards(
  services: WorkspaceServices,
  { workspace_id }: ParsedInputOf<'port_forward_list'>,
): OutputOf<'port_forward_list'> {
  const records =
    workspace_id === undefined
      ? services.store.visible()
      : [resolveWorkspace(services.store, workspace_id)];
  return records.flatMap(({ id, name }) => {
    const listening = services.listening.of(id);
    const forwards = services.forwards.of(id);
    const onlyListening = listening.filter(
      ({ port }, index) =>
        forwards.every(({ guestPort }) => guestPort !== port) &&
        listening.findIndex((one) => one.port === port) === index,
    );
    return [
      ...forwards.map((forward) => ({
        workspace_id: id,
        name,
        guest_port: forward.guestPort,
        forward: viewForward(services, forward),
        listening: listening.find(({ port }) => port === forward.guestPort) ?? null,
      })),
      ...onlyListening.map((one) => ({
        workspace_id: id,
        name,
        guest_port: one.port,
        forward: null,
        listening: one,
      })),
    ];
  });
}

/** Of a workspace that is being removed. */
export function dropForwards(
  { forwards, forwardListeners }: Pick<WorkspaceServices, 'forwards' | 'forwardListeners'>,
  id: string,
): void {
  for (const forward of forwards.of(id)) forwardListeners.close(forward);
}

function overlaps(a: string, b: string): boolean {
  return a === b || a === '0.0.0.0' || b === '0.0.0.0';
}

/** Privileged ports, and those the administrator keeps for other things: COPPICE_RESERVED_PORTS=8080,3100. */
function isReserved(port: number): boolean {
  const reserved = (process.env['COPPICE_RESERVED_PORTS'] ?? '').split(',').map(Number);
  return port < limits.hostPort.min || reserved.includes(port);
}

function requireAllowed(port: number): void {
  if (!isReserved(port)) return;
  throw new CoppiceError({
    code: 'invalid_input',
    message: `Port ${String(port)} of this host is reserved.`,
    next: `Choose one from ${String(limits.hostPort.min)} on, or leave it out and one is chosen.`,
  });
}

function nameOf({ store }: WorkspaceServices, id: string): string {
  return `workspace ${store.byId(id)?.name ?? id}`;
}

function taken({ bind, hostPort }: PortForwardRecord, by: string): CoppiceError {
  return new CoppiceError({
    code: 'port_taken',
    message: `Port ${String(hostPort)} on ${bind} is used by ${by}.`,
    next: 'Name another one with --host-port (host_port), or leave it out and a free one is chosen.',
    details: { host_port: hostPort, bind },
  });
}
